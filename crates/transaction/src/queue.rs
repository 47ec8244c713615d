//! The deadlines of a shard.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

/// A point in time that never comes.
pub(crate) const NEVER: u64 = u64::MAX;

/// A heap of deadlines, one at a time for each transaction. Nothing is ever removed before its time: a transaction
/// whose deadline moved away is looked at once too early and queued again, one that has ended is skipped. New
/// deadlines mostly lie behind the queued ones, where adding to a heap costs a constant.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<Deadline>>,
    /// Deadlines that are all as far ahead, in their order.
    line: VecDeque<Deadline>,
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

    /// As [`push`](Queue::push), for the first retransmission, which for all is as far ahead, so that each comes behind those
    /// before it: that costs no search.
    pub fn push_behind(&mut self, deadline: Deadline) {
        if self.line.back().is_some_and(|last| last.at_ms > deadline.at_ms) {
            self.push(deadline);
        } else {
            self.line.push_back(deadline);
        }
    }

    /// The earliest deadline; it may turn out to be void.
    pub fn next_ms(&self) -> Option<u64> {
        let first = self.heap.peek().map(|Reverse(deadline)| deadline.at_ms);
        let line = self.line.front().map(|deadline| deadline.at_ms);
        first.into_iter().chain(line).min()
    }

    /// Takes a deadline that has come, earliest first, and says whether it was one of the first retransmission.
    pub fn pop_due(&mut self, now_ms: u64) -> Option<(Deadline, bool)> {
        let next_ms = self.next_ms().filter(|next_ms| *next_ms <= now_ms)?;
        if self.line.front().is_some_and(|deadline| deadline.at_ms == next_ms) {
            return self.line.pop_front().map(|deadline| (deadline, true));
        }
        self.heap.pop().map(|Reverse(deadline)| (deadline, false))
    }
}
