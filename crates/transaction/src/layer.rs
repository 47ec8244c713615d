//! One shard of the transaction layer.

mod client;
mod rest;
mod server;
mod status;

use std::sync::Arc;

use self::rest::Rest;
pub use self::status::{BranchStatus, Status};
use crate::{
    counters::Counters,
    effect::{Bytes, Effect, Effects, Target, TransactionId},
    keys::{Keys, ServerKey},
    limits::MAX_TRANSACTIONS_PER_SHARD,
    marks::{Mark, Marks},
    queue::{Deadline, NEVER, Queue},
    shelf::Shelf,
    slab::Slab,
    timers::Timers,
    transaction::{Step, Transaction},
};

/// How far ahead a deadline is queued at most, in milliseconds; later ones are queued again when this has passed. It
/// bounds how long the queue remembers a transaction that has ended, and lies above `wt_timer` so that most
/// transactions end at the deadline that was queued. A new transaction is looked at after T1: when it is forwarded
/// meanwhile, as nearly all are, that is the deadline which it needs then.
const HORIZON_MS: u64 = 8_000;

/// One shard: all transactions whose key, or branch parameter, names it. It does no input or output and reads no
/// clock: every call takes the time and what has happened, and appends what has to be done.
///
/// Invariants:
/// - Every transaction that is stored has a deadline in the queue, so each comes to its end.
/// - A server transaction sends one final response; after it only further 2xx to an INVITE pass.
/// - Nothing is sent for a transaction after its `Ended`, but its final response to a request that comes again.
///
/// It does not look at To or dialogs, resolves no names, does not repeat 2xx that were made here (their maker does,
/// RFC 6026 §7.1), and never drops a final response.
///
/// `U` is what the user wants to find again with a transaction, cheap to clone; `T` says where bytes go.
#[derive(Debug)]
pub struct Layer<U, T> {
    shard: u16,
    keys: Keys,
    timers: Timers,
    reply_headers: Box<[u8]>,
    slab: Slab<U, T>,
    /// Transactions that rest, with their responses.
    shelf: Shelf<Rest<T>>,
    queue: Queue,
    counters: Counters,
    capacity: usize,
    marks: Option<Arc<Marks>>,
    /// The memory of a request that was accepted, for the next response that is made here.
    spare: Option<Bytes>,
}

impl<U: Clone, T: Target> Layer<U, T> {
    /// An empty shard. All shards of a server have the same keys and different numbers.
    #[must_use]
    pub fn new(shard: u16, keys: Keys, timers: Timers) -> Layer<U, T> {
        Layer {
            shard,
            keys,
            timers,
            reply_headers: Box::default(),
            slab: Slab::new(shard),
            shelf: Shelf::default(),
            queue: Queue::default(),
            counters: Counters::default(),
            capacity: MAX_TRANSACTIONS_PER_SHARD,
            marks: None,
            spare: None,
        }
    }

    /// The timers of transactions that are created from now on.
    pub fn set_timers(&mut self, timers: Timers) {
        self.timers = timers;
    }

    /// Header lines, each with its line break, for every response that is made here; such as `Server`.
    pub fn set_reply_headers(&mut self, lines: &[u8]) {
        self.reply_headers = lines.into();
    }

    /// The most transactions at a time; at first [`MAX_TRANSACTIONS_PER_SHARD`].
    pub fn set_capacity(&mut self, transactions: usize) {
        self.capacity = transactions;
    }

    /// What tells which REGISTERs have transactions: the same for all shards of a server, and set before the first one
    /// comes.
    pub fn set_marks(&mut self, marks: Arc<Marks>) {
        self.marks = Some(marks);
    }

    /// The number of this shard.
    #[must_use]
    pub fn shard(&self) -> u16 {
        self.shard
    }

    /// Number of transactions (`inuse_transactions`).
    #[must_use]
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether there is no transaction.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether all that is left are transactions that only wait for repetitions.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        self.slab.live() == 0
    }

    /// What has been counted since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Sets the counter of this name to 0; false when there is none.
    pub fn reset_counter(&mut self, name: &str) -> bool {
        self.counters.reset(name)
    }

    /// Whether every client has its final response: a shutdown need not wait for what is left.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.slab.iter().all(|transaction| transaction.received.is_none() || transaction.is_answered())
    }

    /// Sets all counters to 0.
    pub fn reset_counters(&mut self) {
        self.counters = Counters::default();
    }

    /// When [`timeout`](Layer::timeout) has to be called next, in the time of the other calls; `None` when there is
    /// nothing to wait for. It may name a time at which nothing happens, never one that is too late.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        self.queue.next_ms().into_iter().chain(self.rested_ms()).min()
    }

    /// Lets the timers run that are due, and forgets all transactions that have rested for long enough.
    pub fn timeout(&mut self, now_ms: u64, out: &mut Effects<U, T>) {
        self.run_timers(now_ms, out);
        self.end_rests(now_ms, usize::MAX);
    }

    /// Lets the timers run that are due. Transactions that rest are for [`end_rests`](Layer::end_rests).
    pub fn run_timers(&mut self, now_ms: u64, out: &mut Effects<U, T>) {
        while let Some((deadline, is_first)) = self.queue.pop_due(now_ms) {
            let Deadline { slot, generation, .. } = deadline;
            let id = TransactionId { shard: self.shard, slot, generation };
            // One that rests does not wait for the first retransmission any more, as nearly all of those have it.
            if !is_first && self.end_rest(now_ms, id) {
                continue;
            }
            self.with(now_ms, id, out, |transaction, step| {
                // An older entry may still stand in the queue; only the earliest one counts.
                if transaction.armed_ms == deadline.at_ms {
                    transaction.armed_ms = NEVER;
                }
                transaction.expire(step);
            });
            self.let_rest(id, out);
        }
    }

    /// Lets a transaction take one step, then queues its next deadline or removes it. `None` if it is gone.
    fn with<R>(
        &mut self,
        now_ms: u64,
        id: TransactionId,
        out: &mut Effects<U, T>,
        act: impl FnOnce(&mut Transaction<U, T>, &mut Step<'_, U, T>) -> R,
    ) -> Option<R> {
        let transaction = self.slab.get_mut(id)?;
        let (keys, reply_headers, counters) = (&self.keys, &*self.reply_headers, &mut self.counters);
        let spare = &mut self.spare;
        let mut step = Step { now_ms, id, keys, reply_headers, counters, spare, out };
        let result = act(transaction, &mut step);
        if transaction.is_over() {
            self.remove(id, out);
            return Some(result);
        }
        let horizon_ms =
            if transaction.branches.is_empty() { transaction.timers.t1_ms.into() } else { HORIZON_MS };
        debug_assert!(transaction.due_ms() != NEVER, "a transaction that waits for nothing never ends");
        let at_ms = transaction.due_ms().min(now_ms + horizon_ms.max(1));
        if at_ms < transaction.armed_ms {
            transaction.armed_ms = at_ms;
            let deadline = Deadline { at_ms, slot: id.slot, generation: id.generation };
            if at_ms == now_ms + u64::from(transaction.timers.t1_ms) {
                self.queue.push_behind(deadline);
            } else {
                self.queue.push(deadline);
            }
        }
        Some(result)
    }

    fn remove(&mut self, id: TransactionId, out: &mut Effects<U, T>) {
        let Some(transaction) = self.slab.remove(id) else { return };
        if let Some(received) = &transaction.received {
            self.remove_mark(received.key.mark);
        }
        let request = transaction.received.and_then(|received| received.request);
        out.push(Effect::Ended { id, request, context: transaction.context });
    }

    fn lookup(&self, key: &ServerKey) -> Option<TransactionId> {
        self.slab.find(key.value)
    }

    fn remove_mark(&mut self, mark: Option<Mark>) {
        if let (Some(marks), Some(mark)) = (&self.marks, mark) {
            marks.remove(mark);
        }
    }

    fn add_mark(&mut self, mark: Option<Mark>) {
        if let (Some(marks), Some(mark)) = (&self.marks, mark) {
            marks.add(mark);
        }
    }
}
