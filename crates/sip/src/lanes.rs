//! Control characters, sixteen bytes at a time, by vector instructions that every machine of its kind has (SSE2, NEON):
//! they are where lines end.

use std::slice;

use wide::u8x16;

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

/// As [`find_control`], for texts that are short as a rule.
#[inline]
pub(crate) fn find_control_soon(text: &[u8]) -> usize {
    find_soon(text, controls, find_last_control)
}

/// Position of the first byte that ends a URI in brackets: `>`, and what may not stand in it, `<`, blanks and control characters;
/// the length of the text if there is none.
#[inline]
pub(crate) fn find_bracket_end(text: &[u8]) -> usize {
    find_soon(text, bracket_ends, find_last_bracket_end)
}

/// Position of the first mark of a text; `last` finds it where less is left than is looked at together.
#[inline(always)]
fn find_soon(text: &[u8], marks: fn(&[u8; LANES]) -> u32, last: fn(&[u8]) -> usize) -> usize {
    let (blocks, rest) = text.as_chunks();
    for (number, bytes) in blocks.iter().enumerate() {
        let marks = marks(bytes);
        if marks != 0 {
            return number * LANES + marks.trailing_zeros() as usize;
        }
    }
    text.len() - rest.len() + last(rest)
}

/// Up to sixteen bytes that are expected.
pub(crate) type Block = u8x16;

/// A text that is expected, as a rule one of a few bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    first: Block,
    /// Blocks behind the first.
    more: u32,
    /// A bit for each byte of the last block that does not matter, the first one lowest.
    ignored: u32,
    len: u32,
}

impl Expected {
    /// The text; its blocks but for the first are put behind `others`.
    pub(crate) fn new(text: &[u8], others: &mut Vec<Block>) -> Expected {
        let mut blocks = text.chunks(LANES).map(|part| {
            let mut bytes = [0; LANES];
            bytes.iter_mut().zip(part).for_each(|(byte, expected)| *byte = *expected);
            Block::new(bytes)
        });
        let first = blocks.next().unwrap_or_default();
        let before = others.len();
        others.extend(blocks);
        let more = others.len() - before;
        let last_len = text.len() - more * LANES;
        Expected { first, more: more as u32, ignored: 0xffff << last_len & 0xffff, len: text.len() as u32 }
    }

    /// How many bytes the text has.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether another text begins with this one. `others` are the blocks behind the first one, and those of whatever is
    /// expected next.
    #[inline]
    pub(crate) fn begins(&self, text: &[u8], others: &mut slice::Iter<'_, Block>) -> bool {
        let Some((first, rest)) = text.split_first_chunk() else { return self.begins_few(text, others) };
        let mut same = Block::new(*first).simd_eq(self.first);
        if self.more > 0 {
            let Some(more) = rest.get(..self.more as usize * LANES) else {
                return self.begins_few(text, others);
            };
            // All but the last are whole.
            let mut whole = same;
            for found in more.as_chunks().0 {
                let Some(expected) = others.next() else { return false };
                whole &= same;
                same = Block::new(*found).simd_eq(*expected);
            }
            if whole.to_bitmask() != 0xffff {
                return false;
            }
        }
        same.to_bitmask() | self.ignored == 0xffff
    }

    /// As [`begins`](Expected::begins), where less is left than is compared at once.
    #[cold]
    fn begins_few(&self, text: &[u8], others: &mut slice::Iter<'_, Block>) -> bool {
        let Some(found) = text.get(..self.len()) else { return false };
        let mut parts = found.chunks(LANES);
        let mut is_found = |block: &Block| {
            let part = parts.next().unwrap_or_default();
            block.to_array().starts_with(part)
        };
        is_found(&self.first) && others.by_ref().take(self.more as usize).all(is_found)
    }
}

/// Whether two texts begin with the same bytes, which are few as a rule: nothing is called for that.
#[inline]
pub(crate) fn begin_alike(one: &[u8], other: &[u8], len: usize) -> bool {
    match (one.first_chunk::<{ 2 * LANES }>(), other.first_chunk::<{ 2 * LANES }>()) {
        (Some(one), Some(other)) if len <= 2 * LANES => {
            let (([one, more], _), ([other, more_of_other], _)) = (one.as_chunks(), other.as_chunks()) else {
                return false;
            };
            let differ = u64::from(differences(one, other) | differences(more, more_of_other) << LANES);
            // What is behind does not matter.
            differ & !(u64::MAX << len) == 0
        }
        _ => one.get(..len).is_some_and(|expected| other.starts_with(expected)),
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
    use crate::span::Span;

    proptest! {
        #[test]
        fn the_end_of_brackets_is_found_as_a_plain_loop_finds_it(
            text in prop::collection::vec(prop_oneof![29 => b'a'..=b'z', 1 => any::<u8>()], 0..60),
        ) {
            let plain = text.iter().position(|byte| matches!(byte, b'<' | b'>' | 0..=b' '));
            prop_assert_eq!(find_bracket_end(&text), plain.unwrap_or(text.len()));
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
            let text = text.as_slice();
            let plain = text.strip_prefix(part.of(&other));
            prop_assert_eq!(begin_alike(text, &other[start..], end - start), plain.is_some());
            let mut blocks = Vec::new();
            let expected = [Expected::new(part.of(&other), &mut blocks), Expected::new(b"b", &mut blocks)];
            let mut others = blocks.iter();
            prop_assert_eq!(expected[0].begins(text, &mut others), plain.is_some());
            if let Some(plain) = plain {
                prop_assert_eq!(expected[1].begins(plain, &mut others), plain.starts_with(b"b"));
            }
        }

        #[test]
        fn a_control_character_is_found_as_a_plain_loop_finds_it(
            text in prop::collection::vec(prop_oneof![9 => 0x20u8.., 1 => any::<u8>()], 0..90),
        ) {
            let plain = text.iter().position(|&byte| byte < 0x20);
            prop_assert_eq!(find_control(&text), plain.unwrap_or(text.len()));
            prop_assert_eq!(find_control_soon(&text), plain.unwrap_or(text.len()));
        }
    }
}
