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
    pub(crate) fn of(bytes: &[u8]) -> Hex {
        const DIGITS: [u8; 16] = *b"0123456789abcdef";
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble & 15)).copied().unwrap_or(b'0');
        let mut hex = Hex { digits: [b'0'; 64], len: 0 };
        for (pair, byte) in hex.digits.chunks_exact_mut(2).zip(bytes) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(*byte)]);
            hex.len += 2;
        }
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
        let mut lower = [0; 64];
        let Some(given) = lower.get_mut(..digits.len()) else { return false };
        given.copy_from_slice(digits);
        given.make_ascii_lowercase();
        given.ct_eq(self.as_bytes()).into()
    }
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
    fn nothing_of_it_reaches_a_log() {
        let made = Ha1::new(Hash::Md5, b"a", b"b", b"c");
        assert!(!format!("{made:?}").contains(std::str::from_utf8(made.digits()).unwrap()));
    }
}
