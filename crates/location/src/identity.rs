//! Keyed hashes: where an address of record lives in the table, and the identifier of a contact.
//!
//! A contact id has 62 bits (so that it fits a signed 64-bit column): 40 bits of the keyed hash of its address of
//! record and 22 bits of a MAC over the contact, enciphered by a small Feistel network. It is the same on every node
//! and after every restart that has the same secret, cannot be guessed without it, tells nothing about the hash
//! table, and leads back to its address of record without an index.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

const AOR_BITS: u32 = 40;
const MAC_BITS: u32 = 22;
const HALF_BITS: u32 = 31;
const HALF_MASK: u64 = (1 << HALF_BITS) - 1;
const ROUNDS: u8 = 4;

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
        self.hasher().hash(bytes)
    }

    /// A hasher that has taken nothing, made where it is used: the compiler leaves out what depends on how much it has taken.
    #[inline]
    fn hasher(self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
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

/// The keys of one domain.
pub(crate) struct Identity {
    table: Key,
    contact: Key,
    cipher: Key,
}

impl Identity {
    pub(crate) fn new(secret: Key, domain: &[u8]) -> Identity {
        Identity {
            table: secret.derive(b"aor", domain),
            contact: secret.derive(b"contact", domain),
            cipher: secret.derive(b"cipher", domain),
        }
    }

    pub(crate) fn aor(&self, aor: &[u8]) -> AorHash {
        AorHash::from_bits(self.table.hash(aor))
    }

    /// The id of `contact` (and of `callid`, where the Call-ID tells bindings apart). `attempt` is raised as long as
    /// the id is taken by another contact of the same address of record.
    pub(crate) fn contact_id(&self, aor: AorHash, contact: &[u8], callid: &[u8], attempt: u32) -> u64 {
        let mac = self.contact_mac(aor, contact, callid, attempt) & ((1 << MAC_BITS) - 1);
        self.encipher(aor.bits() << MAC_BITS | mac)
    }

    /// The hash of 8 bytes of the address of record, 4 of the attempt, 8 of the length of the contact, the contact, and the
    /// Call-ID.
    #[inline]
    fn contact_mac(&self, aor: AorHash, contact: &[u8], callid: &[u8], attempt: u32) -> u64 {
        let mut hasher = self.contact.hasher();
        hasher.write_u64(aor.bits());
        hasher.write_u32(attempt);
        hasher.write_u64(contact.len() as u64);
        hasher.write(contact);
        if !callid.is_empty() {
            hasher.write(callid);
        }
        hasher.finish()
    }

    /// The address of record that a contact id of this domain was made for. Any number gives some hash; only a
    /// record that holds the id proves it.
    pub(crate) fn aor_of(&self, contact_id: u64) -> AorHash {
        AorHash::from_bits(self.decipher(contact_id) >> MAC_BITS)
    }

    fn encipher(&self, plain: u64) -> u64 {
        let (mut left, mut right) = (plain >> HALF_BITS & HALF_MASK, plain & HALF_MASK);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ self.round(round, right));
        }
        left << HALF_BITS | right
    }

    fn decipher(&self, cipher: u64) -> u64 {
        let (mut left, mut right) = (cipher >> HALF_BITS & HALF_MASK, cipher & HALF_MASK);
        for round in (0..ROUNDS).rev() {
            (left, right) = (right ^ self.round(round, left), left);
        }
        left << HALF_BITS | right
    }

    fn round(&self, round: u8, half: u64) -> u64 {
        let mut hasher = self.cipher.hasher();
        hasher.write_u64(half << 8 | u64::from(round));
        hasher.finish() & HALF_MASK
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

    /// Those of a database that another version has written have to fit.
    #[test]
    fn ids_stay_what_they_are() {
        let identity = identity(b"location");
        let aor = AorHash::from_bits(5);
        for len in [0, 1, 3, 4, 7, 100, 400] {
            let contact = vec![b'c'; len];
            for callid in [&b""[..], b"call"] {
                let (bits, len) = (aor.bits().to_le_bytes(), (len as u64).to_le_bytes());
                let whole = [&bits[..], &2_u32.to_le_bytes(), &len, &contact, callid].concat();
                let mac = identity.contact.hash(&whole) & ((1 << MAC_BITS) - 1);
                let expected = identity.encipher(aor.bits() << MAC_BITS | mac);
                assert_eq!(identity.contact_id(aor, &contact, callid, 2), expected, "{len:?}");
            }
        }
        let block = (77_u64 << 8 | 3).to_le_bytes();
        assert_eq!(identity.round(3, 77), identity.cipher.hash(&block) & HALF_MASK);
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
