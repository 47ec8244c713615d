//! Write-back: which bindings may differ from their rows. Only their ids are kept; what is written is what memory holds
//! when it is written, so that a binding which changes ten times is written once.
//!
//! A worker that notes an id waits for nobody longer than another one takes to note his: the flusher takes all ids of a part
//! at once, by putting an empty set in their place.

use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashTable;
use parking_lot::Mutex;

use super::limits;

/// Many more than workers, so that two of them seldom meet.
const PARTS: usize = 64;

/// Of how many places for ids one is used at least, so that a burst does not keep its memory for ever.
const SPARSE: usize = 8;

/// The ids of bindings that were changed or removed since they were written.
#[derive(Debug)]
pub struct Dirty {
    parts: Vec<Part>,
    /// Ids that were taken and are not written yet.
    taken: AtomicUsize,
}

#[derive(Debug, Default)]
struct Part {
    ids: Mutex<HashTable<u64>>,
    /// As many as there are in it, for who does not want to lock it.
    len: AtomicUsize,
}

/// A set to be put in the place of another one. Keeps its memory for the next one.
#[derive(Debug, Default)]
pub struct Spare(HashTable<u64>);

impl Default for Dirty {
    fn default() -> Self {
        Self { parts: (0..PARTS).map(|_| Part::default()).collect(), taken: AtomicUsize::new(0) }
    }
}

/// Ids are nobody's choice: they are made with a secret. Their bits are mixed, because parts and places want different ones.
#[inline]
fn mixed(contact_id: u64) -> u64 {
    let product = contact_id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ product >> 32
}

impl Dirty {
    #[inline]
    fn part(&self, hash: u64) -> Option<&Part> {
        // Bits that neither choose a place in the set nor tell apart who shares one.
        self.parts.get((hash >> 40) as usize % PARTS)
    }

    /// Notes that a binding has changed. True when so many have now that they had better be written: [`limits::DIRTY`] in
    /// all, as far as one part can tell.
    #[inline]
    pub fn mark(&self, contact_id: u64) -> bool {
        let hash = mixed(contact_id);
        let Some(part) = self.part(hash) else { return false };
        let mut ids = part.ids.lock();
        let hashbrown::hash_table::Entry::Vacant(vacant) =
            ids.entry(hash, |known| *known == contact_id, |known| mixed(*known))
        else {
            return false;
        };
        vacant.insert(contact_id);
        let len = ids.len();
        part.len.store(len, Ordering::Relaxed);
        len == limits::DIRTY / PARTS
    }

    /// Whether there is room for a binding that has ended, of which its row tells itself: there is for
    /// [`limits::DIRTY_AT_MOST`] in all.
    #[must_use]
    pub fn has_room(&self, contact_id: u64) -> bool {
        self.part(mixed(contact_id))
            .is_some_and(|part| part.len.load(Ordering::Relaxed) < limits::DIRTY_AT_MOST / PARTS)
    }

    /// Takes all ids of one part away, before what they stand for is read: what changes after that is noted again. They
    /// count until they are [`written`](Dirty::written) or [`put_back`](Dirty::put_back).
    pub fn take(&self, part: usize, spare: &mut Spare, into: &mut Vec<u64>) {
        let Some(part) = self.parts.get(part) else { return };
        {
            let mut ids = part.ids.lock();
            self.taken.fetch_add(ids.len(), Ordering::Relaxed);
            part.len.store(0, Ordering::Relaxed);
            std::mem::swap(&mut *ids, &mut spare.0);
        }
        if spare.0.capacity() > SPARSE * spare.0.len() {
            into.extend(std::mem::take(&mut spare.0));
        } else {
            into.extend(spare.0.drain());
        }
    }

    /// So many of those that were taken are written.
    pub fn written(&self, count: usize) {
        self.taken.fetch_sub(count, Ordering::Relaxed);
    }

    /// Notes again what was taken and is not written.
    pub fn put_back(&self, ids: &[u64]) {
        for id in ids {
            self.mark(*id);
        }
        self.written(ids.len());
    }

    /// Forgets all that were not taken; gives how many they were.
    pub fn clear(&self) -> usize {
        let mut forgotten = 0;
        for part in &self.parts {
            let mut ids = part.ids.lock();
            forgotten += ids.len();
            *ids = HashTable::new();
            part.len.store(0, Ordering::Relaxed);
        }
        forgotten
    }

    /// How many parts there are.
    #[must_use]
    pub fn parts(&self) -> usize {
        PARTS
    }

    /// How many bindings are not written.
    #[must_use]
    pub fn len(&self) -> usize {
        let noted: usize = self.parts.iter().map(|part| part.len.load(Ordering::Relaxed)).sum();
        noted + self.taken.load(Ordering::Relaxed)
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_noted_once_and_taken_once() {
        let (dirty, mut spare) = (Dirty::default(), Spare::default());
        for id in (0..10_000).chain(0..10_000) {
            dirty.mark(id << 20);
        }
        assert_eq!(dirty.len(), 10_000);
        let mut taken = Vec::new();
        for part in 0..dirty.parts() {
            let before = taken.len();
            dirty.take(part, &mut spare, &mut taken);
            // They are spread.
            assert!((50..500).contains(&(taken.len() - before)), "{}", taken.len() - before);
            dirty.take(part, &mut spare, &mut taken);
        }
        // Until they are written they count.
        assert_eq!(dirty.len(), 10_000);
        dirty.mark(7);
        dirty.written(9_000);
        assert_eq!(dirty.len(), 1_001);
        let (written, rest) = taken.split_at(9_000);
        dirty.put_back(rest);
        assert_eq!(dirty.len(), 1_001);
        dirty.mark(rest[0]);
        assert_eq!(dirty.len(), 1_001);
        dirty.mark(written[0]);
        assert_eq!(dirty.len(), 1_002);
        taken.sort_unstable();
        assert_eq!(taken, (0..10_000).map(|id| id << 20).collect::<Vec<_>>());
        assert_eq!((dirty.clear(), dirty.len(), dirty.clear()), (1_002, 0, 0));
        assert!(!dirty.mark(7) && dirty.len() == 1);
    }

    #[test]
    fn many_are_told_once_and_too_many_have_no_room() {
        let dirty = Dirty::default();
        let is_of =
            |part: usize, id: u64| std::ptr::eq(dirty.part(mixed(id)).unwrap(), &raw const dirty.parts[part]);
        let of_first: Vec<u64> =
            (0..).filter(|id| is_of(0, *id)).take(limits::DIRTY_AT_MOST / PARTS).collect();
        assert!(of_first.iter().all(|id| dirty.has_room(*id)));
        let told: Vec<bool> = of_first.iter().map(|id| dirty.mark(*id)).collect();
        assert_eq!(told.iter().position(|told| *told), Some(limits::DIRTY / PARTS - 1));
        assert_eq!(told.iter().filter(|told| **told).count(), 1);
        assert!(of_first.iter().all(|id| !dirty.has_room(*id)));
        let other = (0..).find(|id| is_of(1, *id)).unwrap();
        assert!(dirty.has_room(other));
    }
}
