//! Keyed hashes: where an address of record lives in the table, and the identifier of a contact.
//!
//! A contact id has 62 bits (so that it fits a signed 64-bit column): 40 bits of the keyed hash of its address of
//! record and 22 bits of a MAC over the contact, enciphered by a small Feistel network. It is the same on every node
//! and after every restart that has the same secret, cannot be guessed without it, tells nothing about the hash
//! table, and leads back to its address of record without an index.
//!
//! The network has four rounds. Pseudo-random functions are needed in the two in the middle only; for the first and the
//! last it is enough that they are pairwise independent (Naor and Reingold, "On the construction of pseudo-random
//! permutations: Luby-Rackoff revisited", 1999), which a multiplication is.

use crate::siphash::Start;

const AOR_BITS: u32 = 40;
const MAC_BITS: u32 = 22;
const HALF_BITS: u32 = 31;
const HALF_MASK: u64 = (1 << HALF_BITS) - 1;
const ATTEMPT_BITS: u32 = 8;

/// A SipHash key.
#[derive(Clone, Copy)]
pub(crate) struct Key(u64, u64);

impl Key {
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Key {
        let both = u128::from_le_bytes(bytes);
        Key(both as u64, (both >> 64) as u64)
    }

    /// A key for one purpose, so that no two tables or uses share one.
    pub(crate) fn derive(self, purpose: &[u8], name: &[u8]) -> Key {
        let half = |number: u8| self.hash(&[purpose, &[number], name].concat());
        Key(half(1), half(2))
    }

    pub(crate) fn hash(self, bytes: &[u8]) -> u64 {
        self.start().begin().of_text(bytes)
    }

    /// What hashes by this key begin with.
    fn start(self) -> Start {
        Start::new(self.0, self.1)
    }

    /// A key for a use outside the table, whose secret these bytes are.
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.0) | u128::from(self.1) << 64).to_le_bytes()
    }
}

/// The 40 bits that place an address of record: shard, bucket and wheel entry all come from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AorHash(u64);

impl AorHash {
    pub(crate) fn from_bits(bits: u64) -> AorHash {
        AorHash(bits & ((1 << AOR_BITS) - 1))
    }

    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// The shard among `shards`, a power of two of at most 2^16.
    pub(crate) fn shard(self, shards: usize) -> usize {
        self.0 as usize & shards.wrapping_sub(1)
    }

    /// The hash for the table inside a shard. It takes its bucket from the low bits and its tag from the high ones,
    /// and must not see the shard bits, which are equal for all of its records.
    pub(crate) fn table(self, shards: usize) -> u64 {
        let bucket = self.0 >> shards.trailing_zeros();
        bucket ^ (self.0 << (64 - AOR_BITS))
    }
}

/// A pairwise independent function from a half to a half: the high bits of `factor * half + summand`, both of which are any
/// numbers of 64 bits (Dietzfelbinger, "Universal hashing and k-wise independent random variables via integer arithmetic
/// without primes", 1996).
#[derive(Clone, Copy)]
struct Scatter {
    factor: u64,
    summand: u64,
}

impl Scatter {
    fn new(Key(factor, summand): Key) -> Scatter {
        Scatter { factor, summand }
    }

    #[inline]
    fn of(self, half: u64) -> u64 {
        self.factor.wrapping_mul(half).wrapping_add(self.summand) >> (u64::BITS - HALF_BITS)
    }
}

/// The keys of one domain.
pub(crate) struct Identity {
    table: Start,
    contact: Start,
    cipher: Start,
    first: Scatter,
    last: Scatter,
}

impl Identity {
    pub(crate) fn new(secret: Key, domain: &[u8]) -> Identity {
        Identity {
            table: secret.derive(b"aor", domain).start(),
            contact: secret.derive(b"contact", domain).start(),
            cipher: secret.derive(b"cipher", domain).start(),
            first: Scatter::new(secret.derive(b"first round", domain)),
            last: Scatter::new(secret.derive(b"last round", domain)),
        }
    }

    pub(crate) fn aor(&self, aor: &[u8]) -> AorHash {
        AorHash::from_bits(self.table.begin().of_text(aor))
    }

    /// The id of `contact` (and of `callid`, where the Call-ID tells bindings apart). `attempt` is raised as long as
    /// the id is taken by another contact of the same address of record.
    pub(crate) fn contact_id(&self, aor: AorHash, contact: &[u8], callid: &[u8], attempt: u8) -> u64 {
        // The hash of a word of the address of record (40 bits), the attempt (8) and the length of the contact (16), then the
        // contact. A Call-ID begins with a word of its own, so that all words are whole but the last one.
        let len = (contact.len() as u64) << (AOR_BITS + ATTEMPT_BITS);
        let begun = self.contact.begin().with_word(aor.bits() | u64::from(attempt) << AOR_BITS | len);
        if callid.is_empty() {
            self.encipher(aor, begun.of_text(contact))
        } else {
            self.encipher(aor, begun.with_padded(contact).of_text(callid))
        }
    }

    /// As [`contact_id`](Identity::contact_id) of a first attempt for a contact alone, which nearly all are.
    #[inline(always)]
    pub(crate) fn usual_contact_id(&self, aor: AorHash, contact: &[u8]) -> u64 {
        let len = (contact.len() as u64) << (AOR_BITS + ATTEMPT_BITS);
        let begun = self.contact.begin().with_word(aor.bits() | len);
        self.encipher(aor, begun.of_text(contact))
    }

    /// The address of record that a contact id of this domain was made for. Any number gives some hash; only a
    /// record that holds the id proves it.
    pub(crate) fn aor_of(&self, contact_id: u64) -> AorHash {
        AorHash::from_bits(self.decipher(contact_id) >> MAC_BITS)
    }

    /// The id that these bits of a MAC make, of which it takes the lowest.
    #[inline(always)]
    fn encipher(&self, aor: AorHash, mac: u64) -> u64 {
        let plain = aor.bits() << MAC_BITS | mac & ((1 << MAC_BITS) - 1);
        let (left, right) = (plain >> HALF_BITS & HALF_MASK, plain & HALF_MASK);
        let left = left ^ self.first.of(right);
        let right = right ^ self.round(0, left);
        let left = left ^ self.round(1, right);
        let right = right ^ self.last.of(left);
        left << HALF_BITS | right
    }

    fn decipher(&self, cipher: u64) -> u64 {
        let (left, right) = (cipher >> HALF_BITS & HALF_MASK, cipher & HALF_MASK);
        let right = right ^ self.last.of(left);
        let left = left ^ self.round(1, right);
        let right = right ^ self.round(0, left);
        let left = left ^ self.first.of(right);
        left << HALF_BITS | right
    }

    /// A round in the middle, of which there are two: the number takes the bit that a half leaves of four bytes.
    #[inline]
    fn round(&self, number: u32, half: u64) -> u64 {
        self.cipher.begin().of_number(half as u32 | number << HALF_BITS) & HALF_MASK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(domain: &[u8]) -> Identity {
        Identity::new(Key::from_bytes([3; 16]), domain)
    }

    #[test]
    fn an_id_leads_back_to_its_address_of_record() {
        let identity = identity(b"location");
        for number in 0..2000 {
            let aor = identity.aor(format!("user{number}").as_bytes());
            let id = identity.contact_id(aor, b"sip:a@b", b"", 0);
            assert_eq!(identity.aor_of(id), aor);
            assert!(id < 1 << 62);
        }
    }

    fn library_hash(Key(key0, key1): Key, bytes: &[u8]) -> u64 {
        siphasher::sip::SipHasher13::new_with_keys(key0, key1).hash(bytes)
    }

    /// Those of a database that another version has written have to fit.
    #[test]
    fn ids_stay_what_they_are() {
        let identity = identity(b"location");
        let secret = Key::from_bytes([3; 16]);
        let aor = AorHash::from_bits(0x12_3456_789a);
        let half = |half: u128| half & 0x7fff_ffff;
        let scatter = |purpose: &[u8], input: u128| {
            let Key(factor, summand) = secret.derive(purpose, b"location");
            half((u128::from(factor) * input + u128::from(summand)) % (1 << 64) / (1 << 33))
        };
        let round = |number: u32, input: u128| {
            let block = (input as u32 + number * 0x8000_0000).to_le_bytes();
            half(u128::from(library_hash(secret.derive(b"cipher", b"location"), &block)))
        };
        for len in [0, 1, 3, 4, 7, 8, 100, 400] {
            let contact = vec![b'c'; len];
            for callid in [&b""[..], b"call", b"a longer call"] {
                let head = [&aor.bits().to_le_bytes()[..5], &[2], &(len as u16).to_le_bytes()].concat();
                let padding = if callid.is_empty() { 0 } else { contact.len().next_multiple_of(8) - len };
                let whole = [&head, &contact[..], &vec![0; padding], callid].concat();
                let mac = library_hash(secret.derive(b"contact", b"location"), &whole) % (1 << 22);
                let plain = u128::from(aor.bits() << 22 | mac);
                let (mut left, mut right) = (plain >> 31, half(plain));
                left ^= scatter(b"first round", right);
                right ^= round(0, left);
                left ^= round(1, right);
                right ^= scatter(b"last round", left);
                let expected = (left << 31 | right) as u64;
                assert_eq!(identity.contact_id(aor, &contact, callid, 2), expected, "{len:?}");
                assert_eq!(
                    identity.usual_contact_id(aor, &contact),
                    identity.contact_id(aor, &contact, b"", 0)
                );
            }
        }
        assert_eq!(identity.contact_id(aor, b"sip:a@b", b"", 0), 1_938_295_550_145_310_815);
    }

    #[test]
    fn ids_depend_on_domain_contact_callid_and_attempt() {
        let (one, other) = (identity(b"location"), identity(b"aliases"));
        let aor = AorHash::from_bits(5);
        let id = one.contact_id(aor, b"sip:a@b", b"", 0);
        assert_eq!(id, identity(b"location").contact_id(aor, b"sip:a@b", b"", 0));
        assert_ne!(id, other.contact_id(aor, b"sip:a@b", b"", 0));
        assert_ne!(id, one.contact_id(aor, b"sip:a@c", b"", 0));
        assert_ne!(id, one.contact_id(aor, b"sip:a@b", b"x", 0));
        assert_ne!(id, one.contact_id(aor, b"sip:a@b", b"", 1));
    }
}
