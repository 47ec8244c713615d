//! One deadline for each connection, cheap to move: a heap entry is looked at again when it fires, so activity, which
//! only moves deadlines away, touches nothing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::endpoint::ConnectionId;

/// Deadlines, earliest first. An entry that is not its connection's armed one any more is stale and is dropped when it
/// fires.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(u64, ConnectionId)>>,
}

impl Timers {
    /// Adds an entry.
    pub(crate) fn arm(&mut self, deadline_ms: u64, id: ConnectionId) {
        self.heap.push(Reverse((deadline_ms, id)));
    }

    /// The earliest deadline.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((deadline_ms, _))| *deadline_ms)
    }

    /// The next entry that is due.
    pub(crate) fn fire(&mut self, now_ms: u64) -> Option<(u64, ConnectionId)> {
        if self.next_ms()? > now_ms {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}
