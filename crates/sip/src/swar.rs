//! Searching eight or sixteen bytes at a time. The haystacks of this crate are header names, values and
//! parameters: mostly below 40 bytes, where the run-time dispatch of `memchr` costs more instructions than the search
//! (60 to 100 a call, measured with callgrind). Long haystacks, bodies and streams, are for `memchr`.

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Eight bytes as a number, the first byte lowest.
#[inline]
const fn word(bytes: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*bytes)
}

#[inline]
const fn repeat(byte: u8) -> u64 {
    LOW * byte as u64
}

/// The high bit of every byte that is zero. Bits above the lowest one may be wrong, because of the borrow, so only
/// the lowest is to be used.
#[inline]
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(LOW) & !word & HIGH
}

/// Position of the byte that the lowest set high bit stands for.
#[inline]
const fn position(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
}

/// Position of the first byte that is `wanted`. `marks` says the same of eight bytes at once: it sets the high bit
/// of each that is, and may set more above the lowest. The tail is padded with zero bytes.
#[inline]
fn search(haystack: &[u8], wanted: impl Fn(u8) -> bool, marks: impl Fn(u64) -> u64) -> Option<usize> {
    let mut at = 0;
    let mut rest = haystack;
    while let Some((bytes, after)) = rest.split_first_chunk::<16>() {
        // Without an early exit, so that the compiler makes a few vector instructions of it.
        if bytes.iter().fold(false, |found, &byte| found | wanted(byte)) {
            let ([low, high], _) = bytes.as_chunks::<8>() else { break };
            let low = marks(word(low));
            return Some(at + if low != 0 { position(low) } else { 8 + position(marks(word(high))) });
        }
        at += 16;
        rest = after;
    }
    if let Some((bytes, after)) = rest.split_first_chunk::<8>() {
        let found = marks(word(bytes));
        if found != 0 {
            return Some(at + position(found));
        }
        at += 8;
        rest = after;
    }
    if rest.is_empty() {
        return None;
    }
    let offset = position(marks(load_tail(haystack, rest)));
    (offset < rest.len()).then_some(at + offset)
}

/// The up to seven last bytes of a haystack, padded with zero bytes.
#[inline]
fn load_tail(haystack: &[u8], tail: &[u8]) -> u64 {
    match haystack.last_chunk::<8>() {
        // They are the end of the last eight bytes.
        Some(last) => word(last) >> ((8 - tail.len()) * 8),
        None => tail.iter().rev().fold(0, |padded, &byte| padded << 8 | u64::from(byte)),
    }
}

/// Position of the first occurrence of a byte.
#[inline]
pub(crate) fn find(haystack: &[u8], needle: u8) -> Option<usize> {
    let pattern = repeat(needle);
    search(haystack, |byte| byte == needle, |word| zeros(word ^ pattern))
}

/// Position of the first occurrence of one of two bytes.
#[inline]
pub(crate) fn find2(haystack: &[u8], a: u8, b: u8) -> Option<usize> {
    let (first, second) = (repeat(a), repeat(b));
    search(haystack, |byte| byte == a || byte == b, |word| zeros(word ^ first) | zeros(word ^ second))
}

/// Position of the first occurrence of one of three bytes.
#[inline]
pub(crate) fn find3(haystack: &[u8], a: u8, b: u8, c: u8) -> Option<usize> {
    let (first, second, third) = (repeat(a), repeat(b), repeat(c));
    search(
        haystack,
        |byte| byte == a || byte == b || byte == c,
        |word| zeros(word ^ first) | zeros(word ^ second) | zeros(word ^ third),
    )
}

/// Position of the first byte that ends a display name or a URI without brackets: `<`, `;`, `,` or a quote.
#[inline]
pub(crate) fn find_address_mark(haystack: &[u8]) -> Option<usize> {
    let (open, quote) = (repeat(b'<'), repeat(b'"'));
    let (semicolon, comma) = (repeat(b';'), repeat(b','));
    search(
        haystack,
        |byte| matches!(byte, b'<' | b';' | b',' | b'"'),
        |word| zeros(word ^ open) | zeros(word ^ quote) | zeros(word ^ semicolon) | zeros(word ^ comma),
    )
}

/// The first eight bytes as a number; `None` if there are not as many.
#[inline]
pub(crate) fn first_word(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(word)
}

/// The first 24 bytes as three words, for names that are looked up; `None` if there are not as many.
#[inline]
pub(crate) fn first_words(bytes: &[u8]) -> Option<[u64; 3]> {
    let chunk = bytes.first_chunk::<24>()?;
    let (words, _) = chunk.as_chunks::<8>();
    match words {
        [first, second, third] => Some([word(first), word(second), word(third)]),
        _ => None,
    }
}

/// Sixteen bytes as two words.
#[inline]
pub(crate) fn two_words(bytes: &[u8; 16]) -> Option<[u64; 2]> {
    match bytes.as_chunks::<8>() {
        ([first, second], _) => Some([word(first), word(second)]),
        _ => None,
    }
}

/// Up to 24 bytes as three words, padded with zero bytes; `None` if there are more.
#[inline]
pub(crate) fn padded_words(bytes: &[u8]) -> Option<[u64; 3]> {
    let mut padded = [0; 24];
    padded.get_mut(..bytes.len())?.copy_from_slice(bytes);
    first_words(&padded)
}

/// The number at the start and how many digits it has, if these are one to eight and more bytes follow.
#[inline]
pub(crate) fn leading_number(bytes: &[u8]) -> Option<(u32, usize)> {
    let (first, after) = bytes.split_first_chunk::<8>()?;
    let digits = word(first) ^ repeat(b'0');
    // What is more than nine has bits above, or gets them from six more. The lowest such byte is right.
    let others = (digits | digits.wrapping_add(repeat(6))) & repeat(0xf0);
    let len = if others == 0 { 8 } else { position(others) };
    if len == 0 || len == 8 && after.first()?.is_ascii_digit() {
        return None;
    }
    // Leading zeros in place of what follows; then pairs, fours and all eight are put together.
    let digits = digits << (64 - 8 * len);
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let high = (pairs >> 16 & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    Some(((low.wrapping_add(high) >> 32) as u32, len))
}

/// Position of the first occurrence of a byte in three words.
#[inline]
pub(crate) fn find_in_words(words: &[u64; 3], needle: u8) -> Option<usize> {
    let pattern = repeat(needle);
    let mut at = 0;
    for word in words {
        let found = zeros(word ^ pattern);
        if found != 0 {
            return Some(at + position(found));
        }
        at += 8;
    }
    None
}

/// A word with the ASCII letters in it in lower case.
#[inline]
const fn to_lower(word: u64) -> u64 {
    let seven = word & !HIGH;
    let from_a = seven + repeat(0x80 - b'A');
    let after_z = seven + repeat(0x7f - b'Z');
    let upper = (from_a ^ after_z) & !word & HIGH;
    word | upper >> 2
}

/// Whether two byte strings are equal when ASCII letters are compared without their case.
#[inline]
pub(crate) fn eq_ignore_case(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let (left_words, left_tail) = left.as_chunks::<8>();
    let (right_words, right_tail) = right.as_chunks::<8>();
    for (one, other) in left_words.iter().zip(right_words) {
        if to_lower(word(one)) != to_lower(word(other)) {
            return false;
        }
    }
    left_tail.is_empty() || to_lower(load_tail(left, left_tail)) == to_lower(load_tail(right, right_tail))
}

/// Whether there is an ASCII letter in upper case.
#[inline]
pub(crate) fn has_upper_case(text: &[u8]) -> bool {
    let (words, tail) = text.as_chunks::<8>();
    let is_upper = |word: u64| to_lower(word) != word;
    words.iter().any(|bytes| is_upper(word(bytes))) || !tail.is_empty() && is_upper(load_tail(text, tail))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_byte_is_found_at_every_position() {
        for len in 0..40 {
            for at in 0..len {
                for needle in [b'\0', b':', b'\x7f', b'\x80', b'\xff'] {
                    let mut haystack = vec![b'a'; len];
                    haystack[at] = needle;
                    assert_eq!(find(&haystack, needle), Some(at), "{needle} at {at} of {len}");
                    assert_eq!(find(&haystack, b'?'), None);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn searches_agree_with_a_plain_loop(haystack in prop::collection::vec(any::<u8>(), 0..70), needles: [u8; 3]) {
            let [a, b, c] = needles;
            let plain = |set: &[u8]| haystack.iter().position(|byte| set.contains(byte));
            prop_assert_eq!(find(&haystack, a), plain(&[a]));
            prop_assert_eq!(find2(&haystack, a, b), plain(&[a, b]));
            prop_assert_eq!(find3(&haystack, a, b, c), plain(&[a, b, c]));
        }

        #[test]
        fn a_number_at_the_start_is_what_its_digits_say(digits in "[0-9]{0,10}", rest in "[ -~\\x00-\\xff]{0,9}") {
            let text = digits.clone() + &rest;
            let len = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
            let is_short = (1..=8).contains(&len) && text.len() >= 8 + usize::from(len == 8);
            let expected = is_short.then(|| (text[..len].parse().unwrap(), len));
            prop_assert_eq!(leading_number(text.as_bytes()), expected);
        }

        #[test]
        fn comparison_without_case_agrees_with_the_standard_library(
            left in prop::collection::vec(any::<u8>(), 0..40), flips: u64, change: Option<(prop::sample::Index, u8)>
        ) {
            let mut right = left.clone();
            for (index, byte) in right.iter_mut().enumerate() {
                if flips >> (index % 64) & 1 == 1 {
                    *byte ^= 0x20;
                }
            }
            if let Some((index, byte)) = change && !right.is_empty() {
                let at = index.index(right.len());
                right[at] = byte;
            }
            prop_assert_eq!(eq_ignore_case(&left, &right), left.eq_ignore_ascii_case(&right));
        }

        #[test]
        fn upper_case_is_seen_wherever_it_is(before in "[a-z0-9@\\[`{é-]{0,20}", upper in "[A-Z]?", behind in "[a-z0-9@\\[`{é-]{0,20}") {
            let text = format!("{before}{upper}{behind}");
            prop_assert_eq!(has_upper_case(text.as_bytes()), !upper.is_empty());
        }
    }
}
