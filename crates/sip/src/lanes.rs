//! Control characters, sixteen bytes at a time, by vector instructions that every machine of its kind has (SSE2, NEON):
//! they are where lines end.

use wide::u8x16;

/// Bytes that are looked at together.
const LANES: usize = 16;

/// Position of the first byte below 0x20, CR, LF, NUL, HTAB and the other control characters; the length of the text if
/// there is none.
#[inline]
pub(crate) fn find_control(text: &[u8]) -> usize {
    let (whole, rest) = text.as_chunks::<LANES>();
    for (number, bytes) in whole.iter().enumerate() {
        let marks = controls(bytes);
        if marks != 0 {
            return number * LANES + marks.trailing_zeros() as usize;
        }
    }
    text.len() - rest.len() + find_last_control(rest)
}

/// Position of the first byte at `from` or behind it that ends a URI in brackets: `>`, and what may not stand in it, `<`, blanks
/// and control characters; the length of the text if there is none.
#[inline]
pub(crate) fn find_bracket_end(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(bytes) = text.get(at..).and_then(<[u8]>::first_chunk) {
        let marks = bracket_ends(bytes);
        if marks != 0 {
            return at + marks.trailing_zeros() as usize;
        }
        at += LANES;
    }
    // The rest is the end of the last sixteen bytes.
    let rest = text.len().saturating_sub(at);
    let Some(bytes) = text.last_chunk() else {
        return at + find_last_bracket_end(text.get(at..).unwrap_or_default());
    };
    let marks = bracket_ends(bytes) >> (LANES - rest) | 1 << rest;
    at + marks.trailing_zeros() as usize
}

/// A bit for each byte that ends a URI in brackets, the first byte lowest.
#[inline]
fn bracket_ends(bytes: &[u8; LANES]) -> u32 {
    // `<` and `>` differ in this bit only.
    const EITHER: u8 = b'<' ^ b'>';
    let bytes = u8x16::new(*bytes);
    let blanks = bytes.min(u8x16::splat(b' ')).simd_eq(bytes);
    let brackets = (bytes | u8x16::splat(EITHER)).simd_eq(u8x16::splat(b'>'));
    (blanks | brackets).to_bitmask()
}

/// As [`find_bracket_end`], in a text that is shorter than what is looked at together.
#[inline(never)]
fn find_last_bracket_end(rest: &[u8]) -> usize {
    rest.iter().position(|byte| matches!(byte, b'<' | b'>' | 0..=b' ')).unwrap_or(rest.len())
}

/// A bit for each control character, the first byte lowest.
#[inline]
fn controls(bytes: &[u8; LANES]) -> u32 {
    let bytes = u8x16::new(*bytes);
    bytes.min(u8x16::splat(0x1f)).simd_eq(bytes).to_bitmask()
}

/// As [`find_control`], where less is left than is looked at together.
#[inline(never)]
fn find_last_control(rest: &[u8]) -> usize {
    rest.iter().position(|&byte| byte < 0x20).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_end_of_brackets_is_found_as_a_plain_loop_finds_it(
            text in prop::collection::vec(prop_oneof![29 => b'a'..=b'z', 1 => any::<u8>()], 0..60),
            from in 0usize..60,
        ) {
            let from = from.min(text.len());
            let plain = text[from..].iter().position(|byte| matches!(byte, b'<' | b'>' | 0..=b' '));
            prop_assert_eq!(find_bracket_end(&text, from), plain.map_or(text.len(), |offset| from + offset));
        }

        #[test]
        fn a_control_character_is_found_as_a_plain_loop_finds_it(
            text in prop::collection::vec(prop_oneof![9 => 0x20u8.., 1 => any::<u8>()], 0..90),
        ) {
            let plain = text.iter().position(|&byte| byte < 0x20);
            prop_assert_eq!(find_control(&text), plain.unwrap_or(text.len()));
        }
    }
}
