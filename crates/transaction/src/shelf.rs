//! Byte strings that are kept for about the same time each, packed one behind the other.
//!
//! What is put away for seconds and comes in thousands must not take a piece of memory each: giving such a piece back means
//! to look at memory that has long left the processor's caches. Here only a count goes down, and the chunk is used again
//! when all that stood in it is gone.

use std::collections::VecDeque;

/// Bytes of a chunk: a few dozen responses. A longer string has a chunk of its own.
const CHUNK_BYTES: usize = 16 * 1024;

/// Empty chunks that are kept for what comes next. Where as much comes as goes one or two are enough.
const SPARE_CHUNKS: usize = 2;

/// The strings of a shard.
///
/// Chunks are given back in the order in which they were begun: one string that stays longer keeps those behind it. All
/// strings stay for nearly the same time, so that this is at most what comes within the difference.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    chunks: VecDeque<Chunk>,
    /// How many chunks were given back before the first of `chunks`.
    gone: u64,
    spare: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    /// Strings in it that are still wanted.
    held: u32,
}

/// Where a string stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shelved {
    chunk: u64,
    start: u32,
    len: u32,
}

impl Shelf {
    /// Puts a copy away, until [`remove`](Shelf::remove).
    pub fn put(&mut self, bytes: &[u8]) -> Shelved {
        let has_room = |chunk: &Chunk| chunk.bytes.capacity() - chunk.bytes.len() >= bytes.len();
        if !self.chunks.back().is_some_and(has_room) {
            let fits = bytes.len() <= CHUNK_BYTES;
            let spare = self.spare.pop_if(|_| fits);
            let empty = spare.unwrap_or_else(|| Vec::with_capacity(bytes.len().max(CHUNK_BYTES)));
            self.chunks.push_back(Chunk { bytes: empty, held: 0 });
        }
        let number = self.gone + self.chunks.len().saturating_sub(1) as u64;
        let mut start = 0;
        if let Some(chunk) = self.chunks.back_mut() {
            start = chunk.bytes.len() as u32;
            chunk.bytes.extend_from_slice(bytes);
            chunk.held += 1;
        }
        Shelved { chunk: number, start, len: bytes.len() as u32 }
    }

    /// The string that was put there; nothing after it was removed and its chunk given back.
    pub fn get(&self, place: Shelved) -> &[u8] {
        let chunk = place.chunk.checked_sub(self.gone).and_then(|index| self.chunks.get(index as usize));
        let from = chunk.and_then(|chunk| chunk.bytes.get(place.start as usize..));
        from.and_then(|from| from.get(..place.len as usize)).unwrap_or_default()
    }

    /// Lets go of a string, once.
    pub fn remove(&mut self, place: Shelved) {
        let index = place.chunk.checked_sub(self.gone);
        if let Some(chunk) = index.and_then(|index| self.chunks.get_mut(index as usize)) {
            chunk.held = chunk.held.saturating_sub(1);
        }
        while self.chunks.front().is_some_and(|chunk| chunk.held == 0)
            && let Some(Chunk { mut bytes, .. }) = self.chunks.pop_front()
        {
            self.gone += 1;
            if self.spare.len() < SPARE_CHUNKS && bytes.capacity() == CHUNK_BYTES {
                bytes.clear();
                self.spare.push(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_stay_until_they_are_removed_and_chunks_are_used_again() {
        let mut shelf = Shelf::default();
        let text = |number: usize| format!("response {number} {}", "x".repeat(number % 700)).into_bytes();
        let mut places = VecDeque::new();
        let mut most = 0;
        for number in 0..5_000 {
            places.push_back((number, shelf.put(&text(number))));
            if places.len() > 100 {
                // Now and then the second one goes before the first.
                let at = usize::from(number % 7 == 0);
                let (number, place) = places.remove(at).unwrap();
                assert_eq!(shelf.get(place), text(number));
                shelf.remove(place);
            }
            most = most.max(shelf.chunks.len());
        }
        assert!(most <= 100 * 720 / CHUNK_BYTES + 3, "{most} chunks");
        for (number, place) in places {
            assert_eq!(shelf.get(place), text(number));
            shelf.remove(place);
        }
        assert!(shelf.chunks.is_empty() && shelf.spare.len() <= SPARE_CHUNKS);
    }

    #[test]
    fn a_long_string_has_a_chunk_of_its_own_that_is_not_kept() {
        let mut shelf = Shelf::default();
        let short = shelf.put(b"short");
        let long = shelf.put(&vec![b'l'; 3 * CHUNK_BYTES]);
        let empty = shelf.put(b"");
        assert_eq!(shelf.get(long).len(), 3 * CHUNK_BYTES);
        assert_eq!((shelf.get(short), shelf.get(empty)), (&b"short"[..], &b""[..]));
        for place in [long, empty, short] {
            shelf.remove(place);
        }
        assert_eq!((shelf.chunks.len(), shelf.spare.len()), (0, 1));
        // Whoever asks too late finds nothing.
        assert_eq!(shelf.get(long), b"");
        shelf.remove(long);
    }
}
