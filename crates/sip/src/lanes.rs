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
        fn a_control_character_is_found_as_a_plain_loop_finds_it(
            text in prop::collection::vec(prop_oneof![9 => 0x20u8.., 1 => any::<u8>()], 0..90),
        ) {
            let plain = text.iter().position(|&byte| byte < 0x20);
            prop_assert_eq!(find_control(&text), plain.unwrap_or(text.len()));
        }
    }
}
