//! The deadlines of a shard.

use std::{cmp::Reverse, collections::BinaryHeap};

/// A point in time that never comes.
pub(crate) const NEVER: u64 = u64::MAX;

/// A heap of deadlines, one at a time for each transaction. Nothing is ever removed before its time: a transaction
/// whose deadline moved away is looked at once too early and queued again, one that has ended is skipped. New
/// deadlines mostly lie behind the queued ones, where adding to a heap costs a constant.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<Deadline>>,
}

/// When a slot wants to be looked at. Ordered by time first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline {
    pub at_ms: u64,
    pub slot: u32,
    pub generation: u32,
}

impl Queue {
    pub fn push(&mut self, deadline: Deadline) {
        self.heap.push(Reverse(deadline));
    }

    /// The earliest deadline; it may turn out to be void.
    pub fn next_ms(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(deadline)| deadline.at_ms)
    }

    /// Takes a deadline that has come, earliest first.
    pub fn pop_due(&mut self, now_ms: u64) -> Option<Deadline> {
        if self.next_ms()? > now_ms {
            return None;
        }
        self.heap.pop().map(|Reverse(deadline)| deadline)
    }
}
