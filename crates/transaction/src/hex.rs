//! Hexadecimal text, eight digits at a time: branch parameters are written and read for every message.

/// Eight digits for a number, most significant first, lower case.
#[inline]
pub(crate) fn digits(number: u32) -> [u8; 8] {
    // One nibble into each byte, then '0' is added, and to those above 9 what is between '9' and 'a'.
    let mut nibbles = u64::from(number);
    nibbles = (nibbles | nibbles << 16) & 0x0000_ffff_0000_ffff;
    nibbles = (nibbles | nibbles << 8) & 0x00ff_00ff_00ff_00ff;
    nibbles = (nibbles | nibbles << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    let letters = ((nibbles + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    (nibbles + 0x3030_3030_3030_3030 + letters * 0x27).to_be_bytes()
}

/// The number that eight digits write, in either case; `None` if one of them is no digit.
#[inline]
pub(crate) fn number(text: [u8; 8]) -> Option<u32> {
    let text = u64::from_be_bytes(text);
    let letters = (text >> 6) & 0x0101_0101_0101_0101;
    let nibbles = (text & 0x0f0f_0f0f_0f0f_0f0f).wrapping_add(letters * 9) & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = (nibbles | nibbles >> 4) & 0x00ff_00ff_00ff_00ff;
    let quads = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    let number = (quads | quads >> 16) as u32;
    // What is no digit does not come out again as it went in. Letters are compared in lower case.
    (u64::from_be_bytes(digits(number)) == text | letters << 5).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_standard_library() {
        for value in [0, 1, 9, 10, 0x0123_4567, 0x89ab_cdef, 0xfedc_ba98, u32::MAX] {
            assert_eq!(digits(value), format!("{value:08x}").as_bytes());
            assert_eq!(number(digits(value)), Some(value));
            assert_eq!(number(digits(value).map(|digit| digit.to_ascii_uppercase())), Some(value));
        }
    }

    #[test]
    fn every_byte_that_is_no_digit_is_refused() {
        for place in 0..8 {
            for byte in 0..=255_u8 {
                let mut text = *b"01234567";
                text[place] = byte;
                assert_eq!(number(text).is_some(), byte.is_ascii_hexdigit(), "{byte:#x} at {place}");
            }
        }
    }
}
