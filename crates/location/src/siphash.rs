//! SipHash-1-3 (Aumasson, Bernstein) of texts and of numbers. All that is hashed here is short: an address of record, a name,
//! a contact. What a general hasher does around such a text takes as long as hashing it.

use crate::identity::Key;

/// The state between two words.
#[derive(Clone, Copy)]
pub(crate) struct SipState {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl SipState {
    /// Nothing is hashed yet.
    #[inline]
    pub(crate) fn new(Key(k0, k1): Key) -> SipState {
        SipState {
            v0: k0 ^ 0x736f_6d65_7073_6575,
            v1: k1 ^ 0x646f_7261_6e64_6f6d,
            v2: k0 ^ 0x6c79_6765_6e65_7261,
            v3: k1 ^ 0x7465_6462_7974_6573,
        }
    }

    #[inline]
    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.rotate_left(32);
    }

    /// Takes the next eight bytes, the first one lowest.
    #[inline]
    pub(crate) fn word(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.v0 ^= word;
    }

    /// Takes the rest of a text of `whole_len` bytes, which is all of it that the words before do not hold, and ends.
    #[inline]
    pub(crate) fn end(mut self, rest: &[u8], whole_len: usize) -> u64 {
        let (words, tail) = rest.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        let tail = match rest.last_chunk::<8>() {
            // The tail is the end of the last eight bytes; in two steps, as it may have none.
            Some(last) => u64::from_le_bytes(*last) >> (4 * (8 - tail.len())) >> (4 * (8 - tail.len())),
            None => tail.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        self.word((whole_len as u64) << 56 | tail);
        self.v2 ^= 0xff;
        self.round();
        self.round();
        self.round();
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use siphasher::sip::SipHasher13;

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_others_take_for_siphash(key in any::<[u8; 16]>(), text in prop::collection::vec(any::<u8>(), 0..300)) {
            let expected = SipHasher13::new_with_key(&key).hash(&text);
            let state = SipState::new(Key::from_bytes(key));
            prop_assert_eq!(state.end(&text, text.len()), expected);
            // The same with its first words one by one.
            let (words, _) = text.as_chunks::<8>();
            for taken in 0..=words.len().min(3) {
                let mut state = state;
                words[..taken].iter().for_each(|word| state.word(u64::from_le_bytes(*word)));
                prop_assert_eq!(state.end(&text[8 * taken..], text.len()), expected);
            }
        }
    }
}
