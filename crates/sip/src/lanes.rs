//! Control characters, sixty-four bytes at a time, by vector instructions that every machine of its kind has (SSE2, NEON):
//! they are where lines end.

use wide::u8x16;

/// Bytes that are looked at together.
const BLOCK: usize = 64;

/// Finds the ends of the lines that begin at `start` and behind it, as long as each is usual: it has something in it, no
/// control character, and CRLF behind it that no folded line follows. Gives how many were put into `ends`, at most as
/// many as there is room for.
#[inline]
pub(crate) fn line_ends(text: &[u8], mut start: usize, ends: &mut [u32]) -> usize {
    let mut count = 0;
    let mut block = start / BLOCK;
    let mut marks = controls_of(text, block) & (u64::MAX << (start % BLOCK));
    loop {
        while marks != 0 {
            let bit = marks.trailing_zeros();
            let at = block * BLOCK + bit as usize;
            let Some(&[cr, lf, next]) = text.get(at..).and_then(<[u8]>::first_chunk) else { return count };
            let is_usual = [cr, lf] == *b"\r\n" && next != b' ' && next != b'\t' && at != start;
            match ends.get_mut(count) {
                Some(place) if is_usual => *place = at as u32,
                _ => return count,
            }
            count += 1;
            start = at + 2;
            // Neither this CR nor its LF.
            marks &= u64::MAX << bit << 2;
        }
        block += 1;
        if block * BLOCK >= text.len() {
            return count;
        }
        // The LF of the last line may be the first byte.
        marks = controls_of(text, block) & !u64::from(start > block * BLOCK);
    }
}

/// A bit for each control character (below 0x20) of a block, the first byte lowest.
#[inline]
fn controls_of(text: &[u8], block: usize) -> u64 {
    let rest = text.get(block * BLOCK..).unwrap_or_default();
    match rest.first_chunk::<BLOCK>() {
        Some(bytes) => controls(bytes),
        None => last_controls(rest),
    }
}

#[inline]
fn controls(block: &[u8; BLOCK]) -> u64 {
    let marks = |bytes: &[u8; 16]| {
        let bytes = u8x16::new(*bytes);
        u64::from(bytes.min(u8x16::splat(0x1f)).simd_eq(bytes).to_bitmask())
    };
    match block.as_chunks::<16>().0 {
        [first, second, third, fourth] => {
            marks(first) | marks(second) << 16 | marks(third) << 32 | marks(fourth) << 48
        }
        _ => 0,
    }
}

/// As [`controls`], for what is shorter than a block.
#[inline(never)]
fn last_controls(rest: &[u8]) -> u64 {
    let mut padded = [b' '; BLOCK];
    if let Some(place) = padded.get_mut(..rest.len()) {
        place.copy_from_slice(rest);
    }
    controls(&padded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, start: usize, room: usize, expected: &[u32]) {
        let mut ends = vec![0; room];
        let count = line_ends(text.as_bytes(), start, &mut ends);
        assert_eq!(ends.get(..count), Some(expected), "{text:?}");
    }

    #[test]
    fn usual_lines_are_found_until_one_is_not() {
        check("a: b\r\ncd: e\r\n\r\nbody\r\nx", 0, 9, &[4, 11]);
        check("a: b\r\ncd: e\r\n\r\n", 6, 9, &[11]);
        check("a: b\r\ncd: e\r\nf: g\r\n\r\n", 0, 2, &[4, 11]);
        check("a: b\r\nc: d\r\n e\r\nf: g\r\n\r\n", 0, 9, &[4]);
        check("a: b\r\nc\td\r\nf: g\r\n\r\n", 0, 9, &[4]);
        check("a: b\nc: d\r\n\r\n", 0, 9, &[]);
        check("a: b\rc: d\r\n\r\n", 0, 9, &[]);
        check("a: b\r\nc: d", 0, 9, &[4]);
        check("a: b\r\n", 0, 9, &[]);
        check("\r\na: b\r\n", 0, 9, &[]);
        check("", 0, 9, &[]);
        check("a", 7, 9, &[]);
    }

    proptest! {
        #[test]
        fn line_ends_agree_with_a_plain_loop(
            lines in prop::collection::vec(prop_oneof![9 => "[ -~é]{0,90}", 1 => "[ -~\t\r\n\0]{0,40}"], 0..12),
            start in 0usize..150,
        ) {
            let text = lines.join("\r\n");
            let bytes = text.as_bytes();
            let start = start.min(bytes.len());
            let mut expected = Vec::new();
            let mut at = start;
            while let Some(len) = bytes[at..].iter().position(|&byte| byte < 0x20) {
                let end = at + len;
                let is_usual = len > 0 && bytes[end..].starts_with(b"\r\n");
                if !is_usual || bytes.get(end + 2).is_none_or(|next| b" \t".contains(next)) {
                    break;
                }
                expected.push(end as u32);
                at = end + 2;
            }
            let mut ends = [0; 16];
            let count = line_ends(bytes, start, &mut ends);
            prop_assert_eq!(&ends[..count], expected);
        }
    }
}
