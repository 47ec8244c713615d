//! Where the parts of short texts end, by vector instructions that every machine of its kind has (SSE2, NEON).

use wide::{i8x16, u8x16};

use crate::ascii::Class;
use crate::swar;

/// The places of bytes that are neither letters nor digits nor one of `-._`, found sixteen at a time. All parts of a URI or
/// a Via may consist of these; whether they may have another byte in them is looked up for each.
pub(crate) struct Marks<'a> {
    text: &'a [u8],
    /// Where the bytes begin that `found` is about.
    block: usize,
    /// A bit for each such byte that was not given yet, the first one lowest.
    found: u32,
}

/// Bytes that are looked at together.
const BLOCK: usize = 16;

impl<'a> Marks<'a> {
    /// Those from `start` on.
    #[inline]
    pub(crate) fn new(text: &'a [u8], start: usize) -> Marks<'a> {
        let block = start - start % BLOCK;
        let found = marks_of(text, block) & (u32::MAX << (start % BLOCK));
        Marks { text, block, found }
    }

    /// The next place; the end of the text is the last.
    #[inline]
    pub(crate) fn next(&mut self) -> usize {
        while self.found == 0 {
            self.block += BLOCK;
            if self.block > self.text.len() {
                return self.text.len();
            }
            self.found = marks_of(self.text, self.block);
        }
        let place = self.block + self.found.trailing_zeros() as usize;
        self.found &= self.found - 1;
        place
    }

    /// The next place whose byte is not of this class.
    #[inline]
    pub(crate) fn next_outside(&mut self, class: Class) -> usize {
        loop {
            let place = self.next();
            if !self.text.get(place).is_some_and(|byte| class.has(*byte)) {
                return place;
            }
        }
    }
}

/// How many bytes come before the first mark: letters, digits and `-._`. That is within so many bytes as a rule.
#[inline]
pub(crate) fn plain_len<const USUAL: usize>(text: &[u8]) -> usize {
    // Without a loop whose end is not known, which would be prepared for nothing.
    let Some((first, rest)) = text.split_first_chunk::<USUAL>() else { return longer_plain_len(text) };
    for (number, bytes) in first.as_chunks().0.iter().enumerate() {
        let found = marks(bytes);
        if found != 0 {
            return number * BLOCK + found.trailing_zeros() as usize;
        }
    }
    USUAL + longer_plain_len(rest)
}

/// As [`plain_len`], for any text.
#[inline(never)]
fn longer_plain_len(text: &[u8]) -> usize {
    let mut rest = text;
    while let Some((bytes, after)) = rest.split_first_chunk() {
        let found = marks(bytes);
        if found != 0 {
            return text.len() - rest.len() + found.trailing_zeros() as usize;
        }
        rest = after;
    }
    text.len() - rest.len() + plain_len_of_few(rest)
}

/// How many bytes at the start are of a class to which all bytes without a mark belong; within so many bytes as a rule.
#[inline]
pub(crate) fn len_inside<const USUAL: usize>(class: Class, text: &[u8]) -> usize {
    let len = plain_len::<USUAL>(text);
    match text.get(len) {
        Some(byte) if class.has(*byte) => longer_inside(class, text, len),
        _ => len,
    }
}

/// As [`len_inside`], where the bytes up to here are of the class.
#[inline(never)]
fn longer_inside(class: Class, text: &[u8], len: usize) -> usize {
    len + class.run_len(text.get(len..).unwrap_or_default())
}

/// As [`plain_len`], where less than a block is left.
#[inline(never)]
fn plain_len_of_few(text: &[u8]) -> usize {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    text.iter().position(|byte| !is_plain(byte)).unwrap_or(text.len())
}

/// The marks of a block. The end of the text has one, what is behind it may have.
#[inline]
fn marks_of(text: &[u8], block: usize) -> u32 {
    let rest = text.get(block..).unwrap_or_default();
    if let Some(bytes) = rest.first_chunk::<BLOCK>() {
        return marks(bytes);
    }
    let end = 1 << rest.len();
    match text.last_chunk::<BLOCK>() {
        Some(bytes) => marks(bytes) >> (BLOCK - rest.len()) | end,
        None => marks_of_few(rest) | end,
    }
}

/// Position of the first quote or backslash.
#[inline]
pub(crate) fn find_quoted_end(text: &[u8]) -> Option<usize> {
    let mut rest = text;
    while let Some((bytes, after)) = rest.split_first_chunk::<BLOCK>() {
        let bytes = u8x16::new(*bytes);
        let found = bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\'));
        let found = found.to_bitmask();
        if found != 0 {
            return Some(text.len() - rest.len() + found.trailing_zeros() as usize);
        }
        rest = after;
    }
    swar::find2(rest, b'"', b'\\').map(|at| text.len() - rest.len() + at)
}

/// Bytes of a text whose places fit into the bits of a number.
const FEW_BLOCKS: usize = 64;

/// The marks of so many bytes, a bit for each byte, the first one lowest.
#[inline]
pub(crate) fn marks_of_many(text: &[u8; FEW_BLOCKS]) -> u64 {
    let (blocks, _) = text.as_chunks::<BLOCK>();
    blocks.iter().rev().fold(0, |found, bytes| found << BLOCK | u64::from(marks(bytes)))
}

/// The marks and the letters in upper case of a text of 16 to 64 bytes, a bit for each byte, the first one lowest. `None` for
/// others.
#[inline]
pub(crate) fn marks_and_upper_case(text: &[u8]) -> Option<(u64, u64)> {
    let last = text.last_chunk::<BLOCK>().filter(|_| text.len() <= FEW_BLOCKS)?;
    let (whole, rest) = text.as_chunks::<BLOCK>();
    // The end of the text is the end of its last sixteen bytes.
    let (shift, overlap) = (text.len() - rest.len(), BLOCK - rest.len());
    let behind = |bits: u32| (u64::from(bits) >> overlap).wrapping_shl(shift as u32);
    let is_whole = rest.is_empty();
    let mut found = if is_whole { (0, 0) } else { (behind(marks(last)), behind(upper_case(last))) };
    for (number, bytes) in whole.iter().enumerate() {
        let at = |bits: u32| u64::from(bits) << (number * BLOCK % FEW_BLOCKS);
        found = (found.0 | at(marks(bytes)), found.1 | at(upper_case(bytes)));
    }
    Some(found)
}

#[inline]
fn upper_case(bytes: &[u8; BLOCK]) -> u32 {
    are_between(i8x16::new(bytes.map(u8::cast_signed)), b'A', b'Z').to_bitmask()
}

/// The marks of a text that is shorter than a block.
#[inline(never)]
fn marks_of_few(text: &[u8]) -> u32 {
    let mut padded = [0; BLOCK];
    if let Some(place) = padded.get_mut(..text.len()) {
        place.copy_from_slice(text);
    }
    marks(&padded)
}

#[inline]
fn marks(bytes: &[u8; BLOCK]) -> u32 {
    let bytes = i8x16::new(bytes.map(u8::cast_signed));
    let splat = |byte: u8| i8x16::splat(byte.cast_signed());
    let letters = are_between(bytes | splat(0x20), b'a', b'z');
    // From the hyphen over the full stop and the slash to the nine.
    let digits = are_between(bytes, b'-', b'9') & bytes.simd_ne(splat(b'/'));
    let plain = letters | digits | bytes.simd_eq(splat(b'_'));
    plain.to_bitmask() ^ 0xffff
}

/// All bits of the bytes from the first to the last. The last becomes the greatest signed number, and what is behind it wraps
/// around, so that one comparison is enough.
#[inline]
fn are_between(bytes: i8x16, first: u8, last: u8) -> i8x16 {
    let greatest = i8::MAX.cast_unsigned();
    let splat = |byte: u8| i8x16::splat(byte.cast_signed());
    (bytes + splat(greatest - last)).simd_gt(splat(greatest - (last - first) - 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_bits_of_a_short_text_are_those_of_its_bytes(text in prop::collection::vec(any::<u8>(), 0..70)) {
            let bits = |wanted: fn(u8) -> bool| {
                text.iter().enumerate().filter(|(_, byte)| wanted(**byte)).fold(0, |bits, (at, _)| bits | 1_u64 << at)
            };
            let expected = (16..=64).contains(&text.len()).then(|| {
                let is_mark = |byte: u8| !byte.is_ascii_alphanumeric() && !b"-._".contains(&byte);
                (bits(is_mark), bits(|byte| byte.is_ascii_uppercase()))
            });
            prop_assert_eq!(marks_and_upper_case(&text), expected);
            if let Some(bytes) = text.first_chunk() {
                prop_assert_eq!(Some(marks_of_many(bytes)), marks_and_upper_case(bytes).map(|found| found.0));
            }
        }

        #[test]
        fn a_quoted_end_is_the_first_there_is(text in "[a-d:]{0,40}[\"\\\\a]?[a\"\\\\]{0,30}") {
            let expected = text.bytes().position(|byte| byte == b'"' || byte == b'\\');
            prop_assert_eq!(find_quoted_end(text.as_bytes()), expected);
        }

        #[test]
        fn what_is_not_plain_is_marked(text in "[ -~é\\x00-\\xff]{0,50}", start in 0usize..20) {
            let text = text.as_bytes();
            let start = start.min(text.len());
            let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
            let mut marks = Marks::new(text, start);
            for place in (start..text.len()).filter(|place| !is_plain(&text[*place])) {
                prop_assert_eq!(marks.next(), place);
            }
            prop_assert_eq!(marks.next(), text.len());
            let text = &text[start..];
            let outside = |is_inside: fn(&u8) -> bool| text.iter().position(|byte| !is_inside(byte)).unwrap_or(text.len());
            prop_assert_eq!(plain_len::<16>(text), outside(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(byte)));
            prop_assert_eq!(len_inside::<32>(Class::TOKEN, text), outside(|byte| Class::TOKEN.has(*byte)));
        }
    }
}
