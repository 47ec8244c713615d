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
    /// Deadlines in their order, by how far ahead they were; what would not keep it is in the heap.
    lines: [VecDeque<Deadline>; 2],
}

/// How far ahead the deadlines of many are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// The first retransmission.
    T1,
    /// The end of a transaction that rests.
    Rest,
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

    /// As [`push`](Queue::push), for one of many that are all as far ahead, so that each comes behind those before it: that
    /// costs no search.
    pub fn push_behind(&mut self, ahead: Ahead, deadline: Deadline) {
        let [t1, rest] = &mut self.lines;
        let line = if ahead == Ahead::T1 { t1 } else { rest };
        if line.back().is_some_and(|last| last.at_ms > deadline.at_ms) {
            self.push(deadline);
        } else {
            line.push_back(deadline);
        }
    }

    /// The earliest deadline; it may turn out to be void.
    pub fn next_ms(&self) -> Option<u64> {
        let first = self.heap.peek().map(|Reverse(deadline)| deadline.at_ms);
        let lines = self.lines.iter().filter_map(|line| line.front()).map(|deadline| deadline.at_ms);
        first.into_iter().chain(lines).min()
    }

    /// Takes a deadline that has come, earliest first.
    pub fn pop_due(&mut self, now_ms: u64) -> Option<Deadline> {
        let next_ms = self.next_ms().filter(|next_ms| *next_ms <= now_ms)?;
        let is_next =
            |deadline: Option<&Deadline>| deadline.is_some_and(|deadline| deadline.at_ms == next_ms);
        if let Some(line) = self.lines.iter_mut().find(|line| is_next(line.front())) {
            return line.pop_front();
        }
        self.heap.pop().map(|Reverse(deadline)| deadline)
    }
}
