//! Nonces that carry what has to be known about them: when they were made, for what, and a proof that we did.
//!
//! 16 bytes as 22 characters of URL-safe base64: seconds (4), serial number and terms (4), keyed hash (8). Nobody without
//! the key can make one: each try has to ask the server. Making one leaves nothing behind: a flood of unauthenticated
//! requests fills no memory. It is no longer than that because every response is a hash over it: with a cnonce of up
//! to 16 characters two blocks of MD5.

use std::fmt;
use std::hash::Hasher;

use siphasher::sip::SipHasher24;
use siphasher::sip128::{Hasher128, SipHasher24 as Derive};
use subtle::ConstantTimeEq;

use crate::algorithm::Algorithm;
use crate::challenge::Qops;

/// How many characters a nonce has.
pub const NONCE_LEN: usize = 22;

/// How many bits of the second word are the terms; the others are the serial number.
const TERMS_BITS: u32 = 5;

/// How far the clock of another server with the same secret may be ahead, in seconds.
const SKEW_S: u64 = 5;

const ALPHABET: [u8; 64] = *b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What makes and recognises nonces.
#[derive(Clone, Copy)]
pub struct NonceKey {
    hasher: SipHasher24,
    fingerprint: [u64; 2],
}

/// A nonce that was made with the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce {
    /// When, in Unix seconds.
    pub issued_s: u32,
    /// Tells apart those of one second: 27 bits.
    pub serial: u32,
    /// The algorithm that it was offered for.
    pub algorithm: Algorithm,
    /// The qualities of protection that were offered with it.
    pub qops: Qops,
}

impl fmt::Debug for NonceKey {
    /// Says nothing: whoever reads a log must not learn the key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("NonceKey")
    }
}

impl NonceKey {
    /// A key from a secret that is random and stays inside the server.
    #[must_use]
    pub fn new(secret: [u8; 16]) -> NonceKey {
        let derive = |label: u8| {
            let mut hasher = Derive::new_with_key(&secret);
            hasher.write_u8(label);
            hasher.finish128().as_bytes()
        };
        NonceKey {
            hasher: SipHasher24::new_with_key(&derive(1)),
            fingerprint: {
                let secret = derive(2);
                [word(secret.first_chunk()), word(secret.last_chunk())]
            },
        }
    }

    /// A key from a phrase of any length, for servers that take each other's nonces.
    #[must_use]
    pub fn from_phrase(phrase: &[u8]) -> NonceKey {
        use sha2::{Digest, Sha256};
        let digest = Sha256::digest(phrase);
        let mut key = [0; 16];
        key.iter_mut().zip(&digest).for_each(|(to, from)| *to = *from);
        NonceKey::new(key)
    }

    /// Makes a nonce. `serial` is another number each time; its low 27 bits are used.
    #[must_use]
    pub fn write(&self, algorithm: Algorithm, qops: Qops, now_s: u64, serial: u32) -> [u8; NONCE_LEN] {
        let issued_s = u32::try_from(now_s).unwrap_or(u32::MAX);
        let terms = algorithm.number() | u8::from(qops.auth) << 3 | u8::from(qops.auth_int) << 4;
        let content = u64::from(issued_s) << 32 | u64::from(serial << TERMS_BITS | u32::from(terms));
        encode(u128::from(content) << 64 | u128::from(self.proof(content)))
    }

    /// Reads a nonce. `None` when it was not made with this key.
    #[must_use]
    pub fn read(&self, text: &[u8]) -> Option<Nonce> {
        let nonce = decode(text)?;
        let (content, given) = ((nonce >> 64) as u64, nonce as u64);
        if !bool::from((self.proof(content) ^ given).ct_eq(&0)) {
            return None;
        }
        let second = content as u32;
        Some(Nonce {
            issued_s: (content >> 32) as u32,
            serial: second >> TERMS_BITS,
            algorithm: Algorithm::from_number(second as u8 & 7)?,
            qops: Qops { auth: second & 8 != 0, auth_int: second & 16 != 0 },
        })
    }

    /// A number that stands for the bytes of parts, one behind the other; nobody can aim at one without the key, and no
    /// number leaves the server. Folded multiplications, since a whole message goes through this for each request.
    #[must_use]
    pub fn fingerprint(&self, parts: &[&[u8]]) -> u64 {
        let [first, second] = self.fingerprint;
        // Two chains, since a multiplication waits for the one before it.
        let (mut state, mut other) = (first, second);
        for part in parts {
            let (blocks, _) = part.as_chunks::<32>();
            for block in blocks {
                let &[a, b, c, d] = block.as_chunks::<8>().0 else { continue };
                state = fold(u64::from_le_bytes(a) ^ state, u64::from_le_bytes(b) ^ second);
                other = fold(u64::from_le_bytes(c) ^ other, u64::from_le_bytes(d) ^ first);
            }
            // What is left, and what comes before it, up to a block; the length tells how much of it is new.
            let mut padded = [0; 32];
            let last = part.last_chunk().unwrap_or_else(|| {
                if let Some(start) = padded.get_mut(..part.len()) {
                    start.copy_from_slice(part);
                }
                &padded
            });
            let &[a, b, c, d] = last.as_chunks::<8>().0 else { continue };
            let len = u64::try_from(part.len()).unwrap_or(u64::MAX).rotate_left(48);
            state = fold(u64::from_le_bytes(a) ^ state, u64::from_le_bytes(b) ^ second ^ len);
            if part.len() > 16 {
                other = fold(u64::from_le_bytes(c) ^ other, u64::from_le_bytes(d) ^ first ^ len);
            }
        }
        fold(state ^ second, other ^ first)
    }

    fn proof(&self, content: u64) -> u64 {
        self.hasher.hash(&content.to_be_bytes())
    }
}

impl Nonce {
    /// Whether it may still be used, `lifetime_s` after it was made.
    #[must_use]
    pub fn is_fresh(&self, now_s: u64, lifetime_s: u64) -> bool {
        let issued_s = u64::from(self.issued_s);
        issued_s <= now_s.saturating_add(SKEW_S) && now_s <= issued_s.saturating_add(lifetime_s)
    }
}

fn word(bytes: Option<&[u8; 8]>) -> u64 {
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Both halves of a product, mixed.
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product >> 64) as u64 ^ product as u64
}

fn encode(number: u128) -> [u8; NONCE_LEN] {
    let mut text = [b'A'; NONCE_LEN];
    for (place, to) in text.iter_mut().enumerate() {
        // The last digit has two bits of the number and four zeros behind them.
        let bits = if place + 1 < NONCE_LEN { number >> (122 - 6 * place) } else { number << 4 };
        *to = ALPHABET.get(bits as usize & 63).copied().unwrap_or(b'A');
    }
    text
}

fn decode(text: &[u8]) -> Option<u128> {
    let text: &[u8; NONCE_LEN] = text.try_into().ok()?;
    let (most, &[before, last]) = (text.first_chunk::<20>()?, text.last_chunk::<2>()?);
    let mut all = 0;
    let mut digits = |digits: &[u8]| {
        digits.iter().fold(0, |number: u64, digit| {
            let value = value(*digit);
            all |= value;
            number << 6 | value
        })
    };
    let (high, low) = most.split_at(10);
    let (high, low, end) = (digits(high), digits(low), digits(&[before, last]));
    let is_one = all & NO_DIGIT == 0 && end & 15 == 0;
    is_one.then_some(u128::from(high) << 68 | u128::from(low) << 8 | u128::from(end >> 4))
}

/// What stands for a character that is no digit: more than a digit can be.
const NO_DIGIT: u64 = 0x80;

/// The value of each character as a digit.
static VALUES: [u8; 256] = values();

#[allow(clippy::indexing_slicing)] // evaluated by the compiler only
const fn values() -> [u8; 256] {
    let mut table = [NO_DIGIT as u8; 256];
    let mut digit = 0;
    while digit < ALPHABET.len() {
        table[ALPHABET[digit] as usize] = digit as u8;
        digit += 1;
    }
    table
}

#[inline]
fn value(digit: u8) -> u64 {
    VALUES.get(usize::from(digit)).map_or(NO_DIGIT, |value| u64::from(*value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: [u8; 16] = [7; 16];

    proptest! {
        #[test]
        fn a_nonce_says_what_it_was_made_for(now_s: u32, serial: u32, number in 0u8..6, auth: bool, auth_int: bool) {
            let (algorithm, qops) = (Algorithm::from_number(number).unwrap(), Qops { auth, auth_int });
            let text = NonceKey::new(KEY).write(algorithm, qops, u64::from(now_s), serial);
            let serial_bits = serial << TERMS_BITS >> TERMS_BITS;
            let expected = Nonce { issued_s: now_s, serial: serial_bits, algorithm, qops };
            prop_assert_eq!(NonceKey::new(KEY).read(&text), Some(expected));
            prop_assert_eq!(NonceKey::new([8; 16]).read(&text), None);
        }

        #[test]
        fn one_changed_character_unmasks_a_forgery(at in 0usize..NONCE_LEN, digit in 0usize..64) {
            let key = NonceKey::new(KEY);
            let text = key.write(Algorithm::MD5, Qops::default(), 1_795_296_371, 1);
            let mut forged = text;
            forged[at] = ALPHABET[digit];
            prop_assert_eq!(key.read(&forged).is_some(), forged == text);
        }

        #[test]
        fn no_text_is_too_strange(text in proptest::collection::vec(any::<u8>(), 0..70)) {
            prop_assert_eq!(NonceKey::new(KEY).read(&text), None);
        }
    }

    #[test]
    fn a_nonce_lives_as_long_as_it_is_told() {
        let check = |age_s: i64, expected: bool| {
            let nonce = Nonce { issued_s: 1000, serial: 0, algorithm: Algorithm::MD5, qops: Qops::default() };
            assert_eq!(nonce.is_fresh(u64::try_from(1000 + age_s).unwrap(), 30), expected, "{age_s}");
        };
        check(0, true);
        check(30, true);
        check(31, false);
        check(-5, true);
        check(-6, false);
    }

    #[test]
    fn fingerprints_tell_parts_and_keys_apart() {
        let (key, other) = (NonceKey::new(KEY), NonceKey::new([8; 16]));
        let long = [b'x'; 100];
        let mut changed = long;
        changed[77] = b'y';
        let all: Vec<u64> = [
            key.fingerprint(&[&long]),
            other.fingerprint(&[&long]),
            key.fingerprint(&[&changed]),
            key.fingerprint(&[&long[..99]]),
            key.fingerprint(&[&long[..50], &long[50..]]),
            key.fingerprint(&[b"", &long]),
            key.fingerprint(&[b"a\0"]),
            key.fingerprint(&[b"a"]),
            key.fingerprint(&[]),
        ]
        .to_vec();
        let different: std::collections::BTreeSet<u64> = all.iter().copied().collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(all[0], NonceKey::new(KEY).fingerprint(&[&long]));
    }

    #[test]
    fn one_phrase_makes_one_key() {
        let nonce = NonceKey::from_phrase(b"phrase").write(Algorithm::MD5, Qops::default(), 1, 1);
        assert!(NonceKey::from_phrase(b"phrase").read(&nonce).is_some());
        assert!(NonceKey::from_phrase(b"phrases").read(&nonce).is_none());
    }
}
