//! The algorithms of RFC 7616 section 6.1 and RFC 8760.

use md5::{Digest, Md5};
use sha2::{Sha256, Sha512_256};

use crate::hex::Hex;

/// How many blocks MD5 hashes at once: what is hashed for a response fits nearly always.
const SHORT_BLOCKS: usize = 4;

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
            parts.iter().for_each(|part| digest.update(part));
            Hex::of(&digest.finalize())
        }
        match self {
            Hash::Md5 => short_md5(parts).unwrap_or_else(|| run::<Md5>(parts)),
            Hash::Sha256 => run::<Sha256>(parts),
            Hash::Sha512t256 => run::<Sha512_256>(parts),
        }
    }
}

/// The MD5 of parts that are short, joined and padded in one place (RFC 1321 section 3): feeding a hasher with nine parts
/// costs as much as hashing them. `None` when they are longer.
fn short_md5(parts: &[&[u8]]) -> Option<Hex> {
    const LENGTH_LEN: usize = 8;
    let mut blocks = [[0; 64]; SHORT_BLOCKS];
    let joined = blocks.as_flattened_mut();
    let mut len = 0;
    for part in parts {
        joined.get_mut(len..)?.get_mut(..part.len())?.copy_from_slice(part);
        len += part.len();
    }
    *joined.get_mut(len)? = 0x80;
    let used = blocks.get_mut(..(len + 1 + LENGTH_LEN).div_ceil(64))?;
    let bits = u64::try_from(len).ok()? * 8;
    *used.as_flattened_mut().last_chunk_mut::<LENGTH_LEN>()? = bits.to_le_bytes();
    let mut state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476_u32];
    md5::block_api::compress(&mut state, used);
    let mut digest = [0; 16];
    digest.as_chunks_mut::<4>().0.iter_mut().zip(state).for_each(|(to, word)| *to = word.to_le_bytes());
    Some(Hex::of(&digest))
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
        if name == b"MD5" {
            // What nearly everybody writes.
            return Some(Algorithm::MD5);
        }
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
        let hash = match number >> 1 {
            0 => Hash::Md5,
            1 => Hash::Sha256,
            2 => Hash::Sha512t256,
            _ => return None,
        };
        Some(Algorithm { hash, session: number & 1 != 0 })
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
    fn md5_of_any_length_is_that_of_the_hasher() {
        let text: Vec<u8> = (0..=255).chain(0..=255).collect();
        for len in 0..300 {
            let (first, second) = text[..len].split_at(len / 3);
            let expected = Hex::of(&Md5::digest(&text[..len]));
            assert_eq!(Hash::Md5.digest(&[first, second]).as_bytes(), expected.as_bytes(), "{len}");
            assert_eq!(short_md5(&[first, b"", second]).is_some(), len <= 64 * SHORT_BLOCKS - 9, "{len}");
        }
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
