//! SipHash-1-3 of whole words and of a text that is at hand in one piece.
//!
//! It gives what the crate `siphasher` gives, which a property test compares. That one takes its input in pieces of any length,
//! and pays for it with each; a first REGISTER needs four hashes of one piece, a refresh one.

/// What a key begins with, made once.
#[derive(Clone, Copy)]
pub(crate) struct Start([u64; 4]);

impl Start {
    pub(crate) const fn new(key0: u64, key1: u64) -> Start {
        Start([
            key0 ^ 0x736f_6d65_7073_6575,
            key1 ^ 0x646f_7261_6e64_6f6d,
            key0 ^ 0x6c79_6765_6e65_7261,
            key1 ^ 0x7465_6462_7974_6573,
        ])
    }

    /// A hash by this key, of nothing so far.
    #[inline(always)]
    pub(crate) fn begin(self) -> SipHash {
        let Start([v0, v1, v2, v3]) = self;
        SipHash { v0, v1, v2, v3, taken: 0 }
    }
}

/// A hash under way, all of whose input so far was whole words.
#[derive(Clone, Copy)]
pub(crate) struct SipHash {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
    /// How many bytes were taken, which the compiler knows as a rule.
    taken: u64,
}

impl SipHash {
    /// Takes the eight bytes of a number, the lowest first.
    #[inline(always)]
    #[must_use]
    pub(crate) fn with_word(mut self, word: u64) -> SipHash {
        self.take(word);
        self.taken += 8;
        self
    }

    /// Takes a text, and zero bytes behind it until its words are whole.
    #[must_use]
    pub(crate) fn with_padded(mut self, text: &[u8]) -> SipHash {
        let (words, rest) = text.as_chunks::<8>();
        for word in words {
            self = self.with_word(u64::from_le_bytes(*word));
        }
        if rest.is_empty() { self } else { self.with_word(last_word(text, rest)) }
    }

    /// The hash with a text behind what was taken.
    #[inline(always)]
    pub(crate) fn of_text(mut self, text: &[u8]) -> u64 {
        let (words, rest) = text.as_chunks::<8>();
        for word in words {
            self.take(u64::from_le_bytes(*word));
        }
        self.finish(last_word(text, rest), text.len() as u64)
    }

    /// The hash with the four bytes of a number behind what was taken.
    #[inline(always)]
    pub(crate) fn of_number(self, number: u32) -> u64 {
        self.finish(u64::from(number), 4)
    }

    /// The last word has what is left of the input, and the length of all of it in its highest byte.
    #[inline(always)]
    fn finish(mut self, last: u64, len: u64) -> u64 {
        self.take(last | (self.taken + len) << 56);
        self.v2 ^= 0xff;
        self.round();
        self.round();
        self.round();
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }

    #[inline(always)]
    fn take(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.v0 ^= word;
    }

    #[inline(always)]
    fn round(&mut self) {
        let SipHash { v0, v1, v2, v3, .. } = self;
        *v0 = v0.wrapping_add(*v1);
        *v2 = v2.wrapping_add(*v3);
        *v1 = v1.rotate_left(13) ^ *v0;
        *v3 = v3.rotate_left(16) ^ *v2;
        *v0 = v0.rotate_left(32).wrapping_add(*v3);
        *v2 = v2.wrapping_add(*v1);
        *v1 = v1.rotate_left(17) ^ *v2;
        *v3 = v3.rotate_left(21) ^ *v0;
        *v2 = v2.rotate_left(32);
    }
}

/// The up to seven bytes behind the whole words of a text, padded with zero bytes.
#[inline(always)]
fn last_word(text: &[u8], rest: &[u8]) -> u64 {
    match text.last_chunk::<8>() {
        // Shifted in two steps, since none of the eight may be wanted.
        Some(last) => u64::from_le_bytes(*last) >> 1 >> (63 - 8 * (rest.len() & 7)),
        None => short_word(rest),
    }
}

#[cold]
fn short_word(text: &[u8]) -> u64 {
    text.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher;

    use proptest::prelude::*;
    use siphasher::sip::SipHasher13;

    use super::*;

    proptest! {
        #[test]
        fn it_gives_what_the_library_gives(
            key: (u64, u64),
            words in prop::collection::vec(any::<u64>(), 0..3),
            padded in prop::collection::vec(any::<u8>(), 0..40),
            text in prop::collection::vec(any::<u8>(), 0..300),
            number: u32,
        ) {
            let mut hash = Start::new(key.0, key.1).begin();
            let mut other = SipHasher13::new_with_keys(key.0, key.1);
            for word in words {
                hash = hash.with_word(word);
                other.write(&word.to_le_bytes());
            }
            hash = hash.with_padded(&padded);
            other.write(&padded);
            other.write(&vec![0; padded.len().next_multiple_of(8) - padded.len()]);
            prop_assert_eq!(hash.of_text(&text), other.hash(&text));
            prop_assert_eq!(hash.of_number(number), other.hash(&number.to_le_bytes()));
        }
    }
}
