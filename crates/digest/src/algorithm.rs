//! The algorithms of RFC 7616 section 6.1 and RFC 8760.

use md5::{Digest, Md5};
use sha2::{Sha256, Sha512_256};

use crate::hex::Hex;

/// How many bytes are joined before they are hashed.
const JOINED_LEN: usize = 256;

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hash {
    /// MD5, which every client has.
    Md5,
    /// SHA-256.
    Sha256,
    /// SHA-512/256.
    Sha512t256,
}

impl Hash {
    /// All of them, the weakest first.
    pub const ALL: [Hash; 3] = [Hash::Md5, Hash::Sha256, Hash::Sha512t256];

    /// How many hexadecimal digits its digests have.
    #[must_use]
    pub fn digits(self) -> usize {
        if self == Hash::Md5 { 32 } else { 64 }
    }

    /// The digest of the parts, one behind the other.
    pub(crate) fn digest(self, parts: &[&[u8]]) -> Hex {
        fn run<D: Digest>(parts: &[&[u8]]) -> Hex {
            let mut digest = D::new();
            // One update costs less than eight, and what is hashed for a response fits nearly always.
            let mut joined = [0; JOINED_LEN];
            let mut room = joined.as_mut_slice();
            for part in parts {
                match room.split_at_mut_checked(part.len()) {
                    Some((place, rest)) => {
                        place.copy_from_slice(part);
                        room = rest;
                    }
                    None => {
                        parts.iter().for_each(|part| digest.update(part));
                        return Hex::of(&digest.finalize());
                    }
                }
            }
            let len = JOINED_LEN - room.len();
            digest.update(joined.get(..len).unwrap_or_default());
            Hex::of(&digest.finalize())
        }
        match self {
            Hash::Md5 => run::<Md5>(parts),
            Hash::Sha256 => run::<Sha256>(parts),
            Hash::Sha512t256 => run::<Sha512_256>(parts),
        }
    }
}

/// A hash function and how it is used, as the `algorithm` parameter names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Algorithm {
    /// The hash function.
    pub hash: Hash,
    /// `-sess`: nonce and cnonce go into A1 (RFC 7616 section 3.4.2).
    pub session: bool,
}

impl Algorithm {
    /// What a challenge without `algorithm` means (RFC 7616 section 3.3).
    pub const MD5: Algorithm = Algorithm { hash: Hash::Md5, session: false };

    /// The algorithm of a name, in any case.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Algorithm> {
        Algorithm::all().find(|algorithm| name.eq_ignore_ascii_case(algorithm.name().as_bytes()))
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match (self.hash, self.session) {
            (Hash::Md5, false) => "MD5",
            (Hash::Md5, true) => "MD5-sess",
            (Hash::Sha256, false) => "SHA-256",
            (Hash::Sha256, true) => "SHA-256-sess",
            (Hash::Sha512t256, false) => "SHA-512-256",
            (Hash::Sha512t256, true) => "SHA-512-256-sess",
        }
    }

    /// Every algorithm, the weakest first.
    pub fn all() -> impl Iterator<Item = Algorithm> {
        Hash::ALL.into_iter().flat_map(|hash| [false, true].map(|session| Algorithm { hash, session }))
    }

    /// A number below 6 that stands for it.
    pub(crate) fn number(self) -> u8 {
        let hash = match self.hash {
            Hash::Md5 => 0,
            Hash::Sha256 => 1,
            Hash::Sha512t256 => 2,
        };
        hash * 2 + u8::from(self.session)
    }

    /// The algorithm of a number.
    pub(crate) fn from_number(number: u8) -> Option<Algorithm> {
        Algorithm::all().nth(usize::from(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back() {
        for algorithm in Algorithm::all() {
            assert_eq!(Algorithm::from_name(algorithm.name().to_lowercase().as_bytes()), Some(algorithm));
            assert_eq!(Algorithm::from_number(algorithm.number()), Some(algorithm));
        }
        assert_eq!(Algorithm::from_name(b"MD5-session"), None);
        assert_eq!(Algorithm::from_number(6), None);
    }

    #[test]
    fn hashes_are_those_of_their_standards() {
        let check = |hash: Hash, expected: &str| {
            assert_eq!(hash.digest(&[b"a", b"bc"]).as_bytes(), expected.as_bytes());
            assert_eq!(hash.digits(), expected.len());
        };
        check(Hash::Md5, "900150983cd24fb0d6963f7d28e17f72");
        check(Hash::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let long = [b'a'; 200];
        assert_eq!(Hash::Md5.digest(&[&long, &long]).as_bytes(), b"f4347bb35af679911623327c74b7d732");
        check(Hash::Sha512t256, "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23");
    }
}
