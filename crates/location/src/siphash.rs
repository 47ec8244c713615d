//! SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF") for texts of some dozen bytes. Six of them are
//! hashed for a new binding, so the library's hasher, which is not inlined and takes parts through a buffer, was a tenth of
//! what one costs.

/// A hasher with its key, before the first byte.
#[derive(Clone, Copy)]
pub(crate) struct SipHash([u64; 4]);

impl SipHash {
    pub(crate) fn new(key: (u64, u64)) -> SipHash {
        SipHash([
            key.0 ^ 0x736f_6d65_7073_6575,
            key.1 ^ 0x646f_7261_6e64_6f6d,
            key.0 ^ 0x6c79_6765_6e65_7261,
            key.1 ^ 0x7465_6462_7974_6573,
        ])
    }

    /// The hash of a text.
    #[inline]
    pub(crate) fn hash(self, text: &[u8]) -> u64 {
        let mut state = self;
        let rest = state.take_words(0, 0, text);
        state.finish(rest, text.len())
    }

    /// The hash of a number's eight bytes, the lowest first.
    #[inline]
    pub(crate) fn hash_word(self, word: u64) -> u64 {
        let mut state = self;
        state.take(word);
        state.finish(0, 8)
    }

    /// The hash of twenty bytes, the lowest first, and a text behind them.
    #[inline]
    pub(crate) fn hash_behind(self, (head, last): (u128, u32), text: &[u8]) -> u64 {
        let mut state = self;
        state.take(head as u64);
        state.take((head >> u64::BITS) as u64);
        let rest = state.take_words(u64::from(last), u32::BITS, text);
        state.finish(rest, 20 + text.len())
    }

    /// Takes the words of a text that begins behind `bits` bits, fewer than 64, of a word begun. Gives the last one, which is
    /// not full.
    #[inline]
    fn take_words(&mut self, mut begun: u64, bits: u32, text: &[u8]) -> u64 {
        let (words, rest) = text.as_chunks::<8>();
        for word in words {
            let word = u64::from_le_bytes(*word);
            self.take(begun | word << bits);
            // In two steps, because nothing may be left of it.
            begun = word >> 1 >> (u64::BITS - 1 - bits);
        }
        let last = last_word(text, rest);
        if bits as usize + 8 * rest.len() < u64::BITS as usize {
            return begun | last << bits;
        }
        self.take(begun | last << bits);
        last >> 1 >> (u64::BITS - 1 - bits)
    }

    #[inline]
    fn take(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.0[0] ^= word;
    }

    #[inline]
    fn finish(mut self, rest: u64, len: usize) -> u64 {
        self.take(rest | (len as u64) << 56);
        self.0[2] ^= 0xff;
        self.round();
        self.round();
        self.round();
        let [a, b, c, d] = self.0;
        a ^ b ^ c ^ d
    }

    #[inline]
    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.0;
        a = a.wrapping_add(b);
        c = c.wrapping_add(d);
        b = b.rotate_left(13) ^ a;
        d = d.rotate_left(16) ^ c;
        a = a.rotate_left(32).wrapping_add(d);
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        d = d.rotate_left(21) ^ a;
        c = c.rotate_left(32);
        self.0 = [a, b, c, d];
    }
}

/// The up to seven last bytes of a text as a number.
#[inline]
fn last_word(text: &[u8], rest: &[u8]) -> u64 {
    match text.last_chunk::<8>() {
        // They are the end of the last eight, and in two steps, because there may be none.
        Some(last) => u64::from_le_bytes(*last) >> 1 >> (63 - 8 * rest.len() as u32),
        None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use siphasher::sip::SipHasher13;

    use super::*;

    proptest! {
        /// Tables and the contact ids in databases are of the library's hasher.
        #[test]
        fn it_hashes_as_the_library_does(
            key: (u64, u64), head: u128, last: u32, text in prop::collection::vec(any::<u8>(), 0..90),
        ) {
            let (own, library) = (SipHash::new(key), SipHasher13::new_with_keys(key.0, key.1));
            prop_assert_eq!(own.hash(&text), library.hash(&text));
            let whole = [&head.to_le_bytes()[..], &last.to_le_bytes(), &text].concat();
            prop_assert_eq!(own.hash_behind((head, last), &text), library.hash(&whole));
            prop_assert_eq!(own.hash_word(head as u64), library.hash(&(head as u64).to_le_bytes()));
        }
    }
}
