//! Bounded queues into a worker, and the doorbell that wakes it.
//!
//! There are many producers (control threads, other workers) and their number is not known beforehand, so a queue is a
//! short list behind a lock rather than a ring for each pair. The worker takes the whole list at once: one lock and no
//! copy for any number of items.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// A queue with a bound on items and on bytes.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    items: Mutex<Items<T>>,
    max_items: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct Items<T> {
    list: VecDeque<T>,
    bytes: usize,
    closed: bool,
}

impl<T> Queue<T> {
    pub(crate) fn new(max_items: usize, max_bytes: usize) -> Self {
        let items = Items { list: VecDeque::new(), bytes: 0, closed: false };
        Self { items: Mutex::new(items), max_items, max_bytes }
    }

    /// Appends; gives the item back when the queue is full or closed. `bytes` is the item's weight.
    pub(crate) fn push(&self, item: T, bytes: usize) -> Result<(), T> {
        let mut items = self.items.lock();
        let full = items.list.len() >= self.max_items || items.bytes.saturating_add(bytes) > self.max_bytes;
        if full || items.closed {
            return Err(item);
        }
        items.bytes = items.bytes.saturating_add(bytes);
        items.list.push_back(item);
        Ok(())
    }

    /// Moves everything to the end of `into`.
    pub(crate) fn take(&self, into: &mut VecDeque<T>) {
        let mut items = self.items.lock();
        items.bytes = 0;
        if into.is_empty() {
            std::mem::swap(&mut items.list, into);
        } else {
            into.append(&mut items.list);
        }
    }

    /// Refuses everything from now on, and gives what is left.
    pub(crate) fn close(&self) -> VecDeque<T> {
        let mut items = self.items.lock();
        items.closed = true;
        items.bytes = 0;
        std::mem::take(&mut items.list)
    }
}

/// Wakes one worker, with a system call only if it sleeps. Away from those of the others in memory: a worker writes its own
/// at each turn.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Doorbell {
    waker: mio::Waker,
    /// Something has been put into a queue since the worker last looked.
    pending: AtomicBool,
    /// The worker is about to sleep, or sleeps.
    sleeping: AtomicBool,
}

impl Doorbell {
    pub(crate) fn new(registry: &mio::Registry, token: mio::Token) -> io::Result<Self> {
        let waker = mio::Waker::new(registry, token)?;
        Ok(Self { waker, pending: AtomicBool::new(false), sleeping: AtomicBool::new(false) })
    }

    /// To be called after something was put into a queue. Either the worker sees `pending` before it sleeps, or this
    /// sees `sleeping`: both sides write their own flag first and read the other's second, sequentially consistent.
    pub(crate) fn ring(&self) {
        if !self.pending.swap(true, Ordering::SeqCst) && self.sleeping.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    /// Wakes the worker in any case.
    pub(crate) fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "a worker could not be woken");
        }
    }

    /// Announces the sleep. `false`: something is pending, so do not sleep.
    pub(crate) fn may_sleep(&self) -> bool {
        self.sleeping.store(true, Ordering::SeqCst);
        !self.pending.load(Ordering::SeqCst)
    }

    /// The sleep is over.
    pub(crate) fn awake(&self) {
        self.sleeping.store(false, Ordering::SeqCst);
    }

    /// Whether something has been put into a queue. Does not forget it.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.load(Ordering::SeqCst)
    }

    /// To be called before the queues are looked at.
    pub(crate) fn clear(&self) {
        self.pending.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes the weights; expects this many to be taken in.
    fn check(max_items: usize, max_bytes: usize, weights: &[usize], accepted: usize) {
        let queue = Queue::new(max_items, max_bytes);
        let count = weights.iter().filter(|&&bytes| queue.push((), bytes).is_ok()).count();
        assert_eq!(count, accepted);
    }

    #[test]
    fn a_queue_is_bounded_by_items_and_by_bytes() {
        check(2, 100, &[1, 1, 1], 2);
        check(10, 100, &[60, 60, 40], 2);
        check(10, usize::MAX, &[usize::MAX, 1], 2);
        check(10, usize::MAX - 1, &[usize::MAX - 1, 1], 1);
    }

    #[test]
    fn a_closed_queue_gives_items_back() {
        let queue = Queue::new(4, 100);
        queue.push(1, 0).unwrap();
        assert_eq!(queue.close().into_iter().collect::<Vec<_>>(), [1]);
        assert_eq!(queue.push(2, 0), Err(2));
    }

    #[test]
    fn taking_keeps_the_order_behind_what_is_left_over() {
        let queue = Queue::new(4, 100);
        let mut left = VecDeque::from([1]);
        queue.push(2, 0).unwrap();
        queue.take(&mut left);
        assert_eq!(left, [1, 2]);
    }
}
