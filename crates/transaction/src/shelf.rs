//! What is put away for some seconds: entries of one size, each with a byte string, packed one behind the other in the order in
//! which they came.
//!
//! What comes in thousands must not take a piece of memory each: giving such a piece back means to look at memory that has
//! long left the processor's caches. Here only a count goes down, and the chunk is used again when all that stood in it is
//! gone. Nothing is moved when there is more of it.

use std::collections::VecDeque;

/// Bytes of a chunk: a few dozen responses. A longer string has a chunk of its own.
const CHUNK_BYTES: usize = 16 * 1024;

/// Entries of a chunk, as many as have room with usual strings.
const CHUNK_ITEMS: usize = 48;

/// Empty chunks that are kept for what comes next. Where as much comes as goes one or two are enough.
const SPARE_CHUNKS: usize = 2;

/// The entries of a shard.
///
/// Chunks are given back in the order in which they were begun: one entry that stays longer keeps those behind it. All stay
/// for nearly the same time, so that this is at most what comes within the difference.
#[derive(Debug)]
pub(crate) struct Shelf<E> {
    chunks: VecDeque<Chunk<E>>,
    /// How many chunks were given back before the first of `chunks`; the number starts again from 0 after 2^32.
    gone: u32,
    /// Where the oldest entry stands in the first chunk.
    oldest: usize,
    spare: Vec<Chunk<E>>,
}

#[derive(Debug)]
struct Chunk<E> {
    items: Vec<Item<E>>,
    bytes: Vec<u8>,
    /// Entries in it that are still wanted.
    held: u32,
}

#[derive(Debug)]
struct Item<E> {
    entry: E,
    start: u32,
    len: u32,
    is_held: bool,
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shelved {
    pub chunk: u32,
    pub item: u16,
}

impl<E> Default for Shelf<E> {
    fn default() -> Shelf<E> {
        Shelf { chunks: VecDeque::new(), gone: 0, oldest: 0, spare: Vec::new() }
    }
}

impl<E> Shelf<E> {
    /// Puts an entry and a copy of its string away, until [`remove`](Shelf::remove).
    pub fn put(&mut self, entry: E, bytes: &[u8]) -> Shelved {
        let has_room = |chunk: &Chunk<E>| {
            chunk.items.len() < CHUNK_ITEMS && chunk.bytes.capacity() - chunk.bytes.len() >= bytes.len()
        };
        if !self.chunks.back().is_some_and(has_room) {
            self.begin_chunk(bytes.len());
        }
        let chunk = self.gone.wrapping_add(self.chunks.len().saturating_sub(1) as u32);
        let mut item = 0;
        if let Some(chunk) = self.chunks.back_mut() {
            let (start, len) = (chunk.bytes.len() as u32, bytes.len() as u32);
            chunk.bytes.extend_from_slice(bytes);
            item = chunk.items.len() as u16;
            chunk.items.push(Item { entry, start, len, is_held: true });
            chunk.held += 1;
        }
        Shelved { chunk, item }
    }

    #[cold]
    fn begin_chunk(&mut self, len: usize) {
        let spare = self.spare.pop_if(|_| len <= CHUNK_BYTES);
        self.chunks.push_back(spare.unwrap_or_else(|| Chunk {
            items: Vec::with_capacity(CHUNK_ITEMS),
            bytes: Vec::with_capacity(len.max(CHUNK_BYTES)),
            held: 0,
        }));
    }

    /// The entry that was put there and its string; nothing once it was removed.
    pub fn get(&self, place: Shelved) -> Option<(&E, &[u8])> {
        let chunk = self.chunks.get(place.chunk.wrapping_sub(self.gone) as usize)?;
        let item = chunk.items.get(usize::from(place.item)).filter(|item| item.is_held)?;
        let string = chunk.bytes.get(item.start as usize..)?.get(..item.len as usize)?;
        Some((&item.entry, string))
    }

    /// The one that was put there first of all that are there, and where it stands.
    pub fn oldest(&self) -> Option<(Shelved, &E)> {
        let item = self.chunks.front()?.items.get(self.oldest)?;
        Some((Shelved { chunk: self.gone, item: self.oldest as u16 }, &item.entry))
    }

    /// The one that was put there last, if it is still there.
    pub fn newest(&self) -> Option<&E> {
        self.chunks.back()?.items.last().map(|item| &item.entry)
    }

    /// Lets go of an entry, once.
    pub fn remove(&mut self, place: Shelved) {
        let index = place.chunk.wrapping_sub(self.gone) as usize;
        let Some(chunk) = self.chunks.get_mut(index) else { return };
        if let Some(item) = chunk.items.get_mut(usize::from(place.item)) {
            chunk.held -= u32::from(std::mem::take(&mut item.is_held));
        }
        while let Some(first) = self.chunks.front() {
            if first.held > 0 {
                let gone = |item: &Item<E>| !item.is_held;
                while first.items.get(self.oldest).is_some_and(gone) {
                    self.oldest += 1;
                }
                return;
            }
            self.give_back();
        }
    }

    /// Takes away the first chunk.
    #[cold]
    fn give_back(&mut self) {
        let Some(mut chunk) = self.chunks.pop_front() else { return };
        self.gone = self.gone.wrapping_add(1);
        self.oldest = 0;
        if self.spare.len() < SPARE_CHUNKS && chunk.bytes.capacity() == CHUNK_BYTES {
            chunk.items.clear();
            chunk.bytes.clear();
            self.spare.push(chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stay_until_they_are_removed_and_chunks_are_used_again() {
        let mut shelf = Shelf::default();
        let text = |number: usize| format!("response {number} {}", "x".repeat(number % 700)).into_bytes();
        let mut places = VecDeque::new();
        let mut most = 0;
        for number in 0..5_000 {
            places.push_back((number, shelf.put(number, &text(number))));
            assert_eq!(shelf.newest(), Some(&number));
            if places.len() > 100 {
                // Now and then the second one goes before the first.
                let at = usize::from(number % 7 == 0);
                let (number, place) = places.remove(at).unwrap();
                assert_eq!(shelf.get(place), Some((&number, &*text(number))));
                shelf.remove(place);
                assert_eq!(shelf.get(place), None);
            }
            assert_eq!(shelf.oldest(), places.front().map(|(number, place)| (*place, number)));
            most = most.max(shelf.chunks.len());
        }
        assert!(most <= 100 * 720 / CHUNK_BYTES + 3, "{most} chunks");
        for (number, place) in places {
            assert_eq!(shelf.get(place), Some((&number, &*text(number))));
            shelf.remove(place);
        }
        assert!(shelf.chunks.is_empty() && shelf.spare.len() <= SPARE_CHUNKS && shelf.oldest().is_none());
    }

    #[test]
    fn a_long_string_has_a_chunk_of_its_own_that_is_not_kept() {
        let mut shelf = Shelf::default();
        let short = shelf.put('s', b"short");
        let long = shelf.put('l', &vec![b'l'; 3 * CHUNK_BYTES]);
        let empty = shelf.put('e', b"");
        assert_eq!(shelf.get(long).map(|(_, string)| string.len()), Some(3 * CHUNK_BYTES));
        assert_eq!(shelf.get(short), Some((&'s', &b"short"[..])));
        assert_eq!(shelf.get(empty), Some((&'e', &b""[..])));
        for place in [long, empty, short] {
            shelf.remove(place);
        }
        assert_eq!((shelf.chunks.len(), shelf.spare.len()), (0, 1));
        // Whoever asks too late finds nothing.
        assert_eq!(shelf.get(long), None);
        shelf.remove(long);
    }

    #[test]
    fn a_chunk_has_a_bounded_number_of_entries() {
        let mut shelf = Shelf::default();
        let places: Vec<Shelved> = (0..CHUNK_ITEMS + 1).map(|number| shelf.put(number, b"")).collect();
        assert_eq!(shelf.chunks.len(), 2);
        for (number, place) in places.into_iter().enumerate() {
            assert_eq!(shelf.get(place), Some((&number, &b""[..])));
            shelf.remove(place);
        }
        assert_eq!(shelf.chunks.len(), 0);
    }
}
