//! Tells without a lock that a REGISTER certainly has no transaction.
//!
//! Most REGISTERs are answered without a transaction, and those that are forwarded have one which has to be found when they
//! come again. To look for it means to make the key of the request and to lock a shard, which costs more than most of
//! what is done to a REGISTER besides; so there is a count for each value of a cheap hash of the branch parameter. Where it is 0
//! nothing has to be looked for. Where it is not, another request may have the same: it only costs the search.

use std::sync::atomic::{AtomicU16, Ordering};

/// The cheap hash of a REGISTER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u16);

impl Mark {
    /// The hash of a branch parameter; `key` is secret, so that no client can see to it that others are looked for.
    pub(crate) fn of(branch: &[u8], key: u64) -> Mark {
        let (words, rest) = branch.as_chunks::<8>();
        let mut last = [0; 8];
        last.iter_mut().zip(rest).for_each(|(place, byte)| *place = *byte);
        let mix = |hash: u64, word: &[u8; 8]| {
            let mixed = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            mixed ^ mixed >> 29
        };
        Mark((words.iter().chain([&last]).fold(key, mix).wrapping_mul(key | 1) >> 48) as u16)
    }
}

/// How many REGISTERs of each mark have a transaction, for all shards of a server.
///
/// A count cannot overflow: all shards together hold a million transactions, and nobody can aim at a mark.
#[derive(Debug)]
pub struct Marks(Box<[AtomicU16]>);

impl Default for Marks {
    fn default() -> Marks {
        Marks((0..=u16::MAX).map(|_| AtomicU16::new(0)).collect())
    }
}

impl Marks {
    /// Whether a REGISTER with this mark may have a transaction. One that is being made by another thread at this moment may
    /// be missed; [`Layer::create`](crate::Layer::create) finds it.
    #[inline]
    #[must_use]
    pub fn may_have(&self, mark: Mark) -> bool {
        self.count(mark).is_none_or(|count| count.load(Ordering::Acquire) != 0)
    }

    pub(crate) fn add(&self, mark: Mark) {
        if let Some(count) = self.count(mark) {
            count.fetch_add(1, Ordering::Release);
        }
    }

    pub(crate) fn remove(&self, mark: Mark) {
        if let Some(count) = self.count(mark) {
            count.fetch_sub(1, Ordering::Release);
        }
    }

    fn count(&self, Mark(mark): Mark) -> Option<&AtomicU16> {
        self.0.get(usize::from(mark))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn marks_of_branches_that_look_alike_are_spread() {
        let branch = |number: u32| format!("z9hG4bK-524287-1---{number:08x}");
        for key in [0, 1, 0x0123_4567_89AB_CDEF] {
            let marks: HashSet<u16> =
                (0..10_000).map(|number| Mark::of(branch(number).as_bytes(), key).0).collect();
            // Of 10 000 balls in 65 536 urns some 9 280 are in different ones.
            assert!(marks.len() > 9_000, "{} different marks with {key}", marks.len());
        }
        assert_ne!(Mark::of(b"z9hG4bKa", 7), Mark::of(b"z9hG4bKa", 8));
    }

    #[test]
    fn a_mark_is_there_as_long_as_one_of_its_requests_is() {
        let (marks, mark) = (Marks::default(), Mark::of(b"z9hG4bK1", 1));
        assert!(!marks.may_have(mark));
        marks.add(mark);
        marks.add(mark);
        marks.remove(mark);
        assert!(marks.may_have(mark));
        marks.remove(mark);
        assert!(!marks.may_have(mark));
    }
}
