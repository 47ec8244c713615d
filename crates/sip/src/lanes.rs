//! Control characters, sixteen bytes at a time, by vector instructions that every machine of its kind has (SSE2, NEON):
//! they are where lines end.

use wide::u8x16;

use crate::span::Span;

/// Bytes that are looked at together.
const LANES: usize = 16;

/// Position of the first byte below 0x20, CR, LF, NUL, HTAB and the other control characters; the length of the text if
/// there is none.
#[inline]
pub(crate) fn find_control(text: &[u8]) -> usize {
    let mut rest = text;
    while let Some((bytes, after)) = rest.split_first_chunk::<{ 2 * LANES }>() {
        let ([first, second], _) = bytes.as_chunks() else { break };
        if lesser_control(first, second) {
            let marks = controls(first) | controls(second) << LANES;
            return text.len() - rest.len() + marks.trailing_zeros() as usize;
        }
        rest = after;
    }
    if let Some((bytes, after)) = rest.split_first_chunk() {
        let marks = controls(bytes);
        if marks != 0 {
            return text.len() - rest.len() + marks.trailing_zeros() as usize;
        }
        rest = after;
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

/// Up to sixteen bytes that are expected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    bytes: [u8; LANES],
    /// A bit for each byte that does not matter, the first one lowest.
    ignored: u32,
    len: u32,
}

impl Block {
    /// The blocks of a text; all but the last one are whole.
    pub(crate) fn all(text: &[u8]) -> impl Iterator<Item = Block> {
        text.chunks(LANES).map(|part| {
            let mut bytes = [0; LANES];
            bytes.iter_mut().zip(part).for_each(|(byte, expected)| *byte = *expected);
            Block { bytes, ignored: 0xffff << part.len() & 0xffff, len: part.len() as u32 }
        })
    }

    /// What comes behind the block, if a text begins with it.
    #[inline]
    pub(crate) fn behind<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        let Some(found) = text.first_chunk() else { return self.behind_last(text) };
        let same = u8x16::new(*found).simd_eq(u8x16::new(self.bytes)).to_bitmask();
        if same | self.ignored != 0xffff {
            return None;
        }
        text.get(self.len as usize..)
    }

    /// As [`behind`](Block::behind), where less is left than is compared at once.
    #[inline(never)]
    fn behind_last<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        text.strip_prefix(self.bytes.get(..self.len as usize)?)
    }
}

/// Whether a text begins with a part of another one, which is short as a rule: nothing is called for that.
#[inline]
pub(crate) fn begins_with(text: &[u8], other: &[u8], part: Span) -> bool {
    let len = part.len as usize;
    let expected = other.get(part.start as usize..).unwrap_or_default();
    if len > 2 * LANES {
        return text.starts_with(part.of(other));
    }
    match (text.first_chunk::<{ 2 * LANES }>(), expected.first_chunk::<{ 2 * LANES }>()) {
        (Some(found), Some(expected)) => {
            let (([found, more], _), ([expected, more_expected], _)) =
                (found.as_chunks(), expected.as_chunks())
            else {
                return false;
            };
            // What is behind a short part does not matter.
            let differ = u64::from(differences(found, expected) | differences(more, more_expected) << LANES);
            differ & !(u64::MAX << len) == 0
        }
        _ => text.starts_with(part.of(other)),
    }
}

/// A bit for each byte that differs, the first one lowest.
#[inline]
fn differences(one: &[u8; LANES], other: &[u8; LANES]) -> u32 {
    !u8x16::new(*one).simd_eq(u8x16::new(*other)).to_bitmask() & 0xffff
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

/// Whether there is a control character among these bytes.
#[inline]
fn lesser_control(first: &[u8; LANES], second: &[u8; LANES]) -> bool {
    let lesser = u8x16::new(*first).min(u8x16::new(*second));
    lesser.min(u8x16::splat(0x1f)).simd_eq(lesser).to_bitmask() != 0
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
        fn a_text_begins_as_it_does(
            text in "[ab]{0,60}", start in 0usize..20, len in 0usize..50, is_copied: bool, is_last: bool,
        ) {
            let other = text.clone().into_bytes();
            let (start, end) = (start.min(other.len()), other.len().min(start + len));
            let part = Span::between(start, end);
            let mut text = text.into_bytes();
            if is_copied {
                text = part.of(&other).to_vec();
                text.extend_from_slice(if is_last { b"" } else { b"behind it, something else" });
            }
            let plain = text.strip_prefix(part.of(&other));
            prop_assert_eq!(begins_with(&text, &other, part), plain.is_some());
            let by_blocks = Block::all(part.of(&other)).try_fold(&text[..], |text, block| block.behind(text));
            prop_assert_eq!(by_blocks, plain);
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
