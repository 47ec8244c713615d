//! Digests in hexadecimal, the form in which they are sent, stored and hashed again.

use std::fmt;

use subtle::ConstantTimeEq;

use crate::algorithm::Hash;

/// A digest as lower-case hexadecimal digits.
#[derive(Clone, Copy)]
pub struct Hex {
    digits: [u8; 64],
    len: u8,
}

impl Hex {
    /// Writes bytes as digits; what does not fit 64 digits is left out.
    #[inline]
    pub(crate) fn of(bytes: &[u8]) -> Hex {
        let mut hex = Hex { digits: [b'0'; 64], len: 0 };
        let (fours, rest) = bytes.as_chunks::<4>();
        let (places, _) = hex.digits.as_chunks_mut::<8>();
        places.iter_mut().zip(fours).for_each(|(place, four)| *place = eight_digits(*four));
        if !rest.is_empty() {
            let mut last = [0; 4];
            last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            if let Some(place) = places.get_mut(fours.len()) {
                *place = eight_digits(last);
            }
        }
        hex.len = u8::try_from(2 * bytes.len().min(32)).unwrap_or(0);
        hex
    }

    /// The digits.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.digits.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Whether somebody else's digits, in either case, are the same. Takes as long for any difference.
    #[must_use]
    pub fn matches(&self, digits: &[u8]) -> bool {
        let mut lower = [b'0'; 64];
        let Some(given) = lower.get_mut(..usize::from(self.len)) else { return false };
        if given.len() != digits.len() {
            return false;
        }
        given.copy_from_slice(digits);
        lower.make_ascii_lowercase();
        // Behind the digits there are zeros on both sides.
        let (words, others) = (lower.as_chunks::<8>().0, self.digits.as_chunks::<8>().0);
        let differences = words.iter().zip(others).map(|(left, right)| word(*left) ^ word(*right));
        differences.fold(0, |all, difference| all | difference).ct_eq(&0).into()
    }
}

fn word(bytes: [u8; 8]) -> u64 {
    u64::from_le_bytes(bytes)
}

/// The digits of four bytes, all at once: there are some 70 digits to be written for each request.
fn eight_digits(bytes: [u8; 4]) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let four = u64::from(u32::from_le_bytes(bytes));
    let twos = (four | four << 16) & 0x0000_ffff_0000_ffff;
    let ones = (twos | twos << 8) & 0x00ff_00ff_00ff_00ff;
    // The high half of a byte is the digit that comes first.
    let nibbles = (ones >> 4 | ones << 8) & (0x0f * EACH);
    // Adding 6 carries into the next bit from ten on.
    let letters = ((nibbles + 6 * EACH) >> 4) & EACH;
    (nibbles + u64::from(b'0') * EACH + letters * u64::from(b'a' - b'0' - 10)).to_le_bytes()
}

impl fmt::Debug for Hex {
    /// Says nothing: it may be as good as a password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hex")
    }
}

/// The hash of user, realm and password, H(A1) of RFC 7616 section 3.4.2 without `-sess`: all that is needed to
/// authenticate, and therefore as secret as the password.
#[derive(Clone, Copy, Debug)]
pub struct Ha1 {
    hash: Hash,
    hex: Hex,
}

impl Ha1 {
    /// Computes it.
    #[must_use]
    pub fn new(hash: Hash, user: &[u8], realm: &[u8], password: &[u8]) -> Ha1 {
        Ha1 { hash, hex: hash.digest(&[user, b":", realm, b":", password]) }
    }

    /// Reads one that was computed before. `None` when the text is not as many hexadecimal digits as the hash has.
    #[must_use]
    pub fn parse(hash: Hash, text: &[u8]) -> Option<Ha1> {
        if text.len() != hash.digits() || !text.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let mut hex = Hex { digits: [b'0'; 64], len: 0 };
        hex.digits.get_mut(..text.len())?.copy_from_slice(text);
        hex.digits.make_ascii_lowercase();
        hex.len = u8::try_from(text.len()).ok()?;
        Some(Ha1 { hash, hex })
    }

    /// The hash that made it.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Its digits, for storing.
    #[must_use]
    pub fn digits(&self) -> &[u8] {
        self.hex.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_hash_is_read_in_either_case_and_nothing_else_is() {
        let made = Ha1::new(Hash::Md5, b"Mufasa", b"testrealm@host.com", b"Circle Of Life");
        assert_eq!(made.digits(), b"939e7578ed9e3c518a452acee763bce9");
        let read = Ha1::parse(Hash::Md5, b"939E7578ed9e3c518a452acee763bce9").unwrap();
        assert_eq!(read.digits(), made.digits());
        for wrong in [&b""[..], b"939e", b"939e7578ed9e3c518a452acee763bceg", &[b'a'; 64], &[b'a'; 65]] {
            assert!(Ha1::parse(Hash::Md5, wrong).is_none(), "{wrong:?}");
        }
        assert!(Ha1::parse(Hash::Sha256, &[b'a'; 64]).is_some());
    }

    #[test]
    fn a_comparison_takes_only_the_whole() {
        let hex = Hex::of(&[0xab, 0x01]);
        assert!(hex.matches(b"ab01") && hex.matches(b"AB01"));
        for other in [&b"ab0"[..], b"ab011", b"ab02", b"", &[b'a'; 65]] {
            assert!(!hex.matches(other), "{other:?}");
        }
    }

    #[test]
    fn every_byte_has_its_two_digits() {
        for byte in 0..=255u8 {
            let bytes = [byte, !byte, byte.rotate_left(3), 0, byte];
            let expected: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(Hex::of(&bytes).as_bytes(), expected.as_bytes());
        }
        assert_eq!(Hex::of(&[0xa5; 40]).as_bytes(), "a5".repeat(32).as_bytes());
        assert_eq!(Hex::of(&[]).as_bytes(), b"");
    }

    #[test]
    fn nothing_of_it_reaches_a_log() {
        let made = Ha1::new(Hash::Md5, b"a", b"b", b"c");
        assert!(!format!("{made:?}").contains(std::str::from_utf8(made.digits()).unwrap()));
    }
}
