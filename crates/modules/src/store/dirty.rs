//! Write-back: which bindings may differ from their rows. Only their ids are kept; what is written is what memory holds
//! when it is written, so that a binding which changes ten times is written once.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Many more than workers, so that two of them seldom meet.
const SHARDS: usize = 64;

/// The ids of bindings that were changed or removed since they were written.
#[derive(Debug)]
pub struct Dirty {
    shards: Vec<Mutex<HashSet<u64>>>,
    len: AtomicUsize,
}

impl Default for Dirty {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), len: AtomicUsize::new(0) }
    }
}

impl Dirty {
    /// Notes that a binding has changed. Gives how many have.
    pub fn mark(&self, contact_id: u64) -> usize {
        let index = usize::try_from(contact_id).unwrap_or(0) % SHARDS;
        let is_new = self.shards.get(index).is_some_and(|shard| shard.lock().insert(contact_id));
        self.len.fetch_add(usize::from(is_new), Ordering::Relaxed) + usize::from(is_new)
    }

    /// Takes at most `most` ids of one part away, before what they stand for is read: what changes after that is noted
    /// again. Nothing when the part has none.
    pub fn take(&self, part: usize, most: usize, into: &mut Vec<u64>) {
        let Some(shard) = self.shards.get(part) else { return };
        let mut shard = shard.lock();
        let start = into.len();
        if shard.len() <= most {
            into.extend(shard.drain());
            // A burst must not keep its memory for ever.
            if shard.capacity() > 4 * most {
                *shard = HashSet::new();
            }
        } else {
            into.extend(shard.iter().take(most).copied());
            for id in into.get(start..).unwrap_or_default() {
                shard.remove(id);
            }
        }
        self.len.fetch_sub(into.len() - start, Ordering::Relaxed);
    }

    /// Forgets all; gives how many they were.
    pub fn clear(&self) -> usize {
        let mut forgotten = 0;
        for shard in &self.shards {
            forgotten += std::mem::take(&mut *shard.lock()).len();
        }
        self.len.fetch_sub(forgotten, Ordering::Relaxed);
        forgotten
    }

    /// How many parts there are.
    #[must_use]
    pub fn parts(&self) -> usize {
        SHARDS
    }

    /// How many bindings are noted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
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
        let dirty = Dirty::default();
        for id in (0..1000).chain(0..1000) {
            dirty.mark(id);
        }
        assert_eq!(dirty.len(), 1000);
        let mut taken = Vec::new();
        for part in 0..dirty.parts() {
            for _ in 0..20 {
                let before = taken.len();
                dirty.take(part, 3, &mut taken);
                assert!(taken.len() - before <= 3);
            }
        }
        assert!(dirty.is_empty());
        taken.sort_unstable();
        assert_eq!(taken, (0..1000).collect::<Vec<_>>());
        assert_eq!(dirty.mark(7), 1);
        dirty.mark(8);
        assert_eq!((dirty.clear(), dirty.len(), dirty.clear()), (2, 0, 0));
        assert_eq!(dirty.mark(7), 1);
    }
}
