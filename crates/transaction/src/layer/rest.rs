//! Transactions that only wait for repetitions.
//!
//! Most of its life a transaction other than INVITE has nothing to do but to answer a request that comes again, and to take
//! responses that come again (timers J and K). At ten thousand a second fifty thousand of them stand in memory, so what is
//! kept then is what that takes: the key, the response, where it goes, and how it ended.

use std::sync::Arc;

use super::{Layer, Status};
use crate::{
    effect::{Effect, Effects, Target, TransactionId},
    marks::Mark,
    queue::{Deadline, NEVER},
    shelf::Shelved,
    transaction::{Cancel, ServerState, Transaction},
};

/// What is left of a transaction besides its slot and its response.
#[derive(Debug)]
pub(super) struct Rest<T> {
    reply_to: T,
    ends_ms: u64,
    slot: u32,
    generation: u32,
    mark: Option<Mark>,
    code: u16,
    branches: u16,
    round: u16,
    local: bool,
    cancelled: bool,
}

impl<T> Rest<T> {
    pub fn status(&self) -> Status {
        Status {
            cancelled: self.cancelled,
            answered: true,
            code: self.code,
            local: self.local,
            waiting: false,
            open: false,
            branches: self.branches,
            pending: 0,
            round: self.round,
        }
    }
}

impl<U, T> Transaction<U, T> {
    /// When timers J and K are over, if there is nothing else left to happen.
    fn rests_until_ms(&self) -> Option<u64> {
        if self.invite || self.server.state != ServerState::Completed || self.server.reply.is_none() {
            return None;
        }
        let is_busy = |cancel: &Cancel| matches!(cancel, Cancel::Sent(_));
        if self.branches.iter().any(|branch| branch.is_pending() || is_busy(&branch.cancel)) {
            return None;
        }
        let ends = self.branches.iter().map(|branch| branch.ends_ms).filter(|ends_ms| *ends_ms != NEVER);
        Some(ends.fold(self.server.ends_ms, u64::max))
    }
}

impl<U: Clone, T: Target> Layer<U, T> {
    /// Lets a transaction rest if it has nothing else left to do. Its user hears of its end: nothing will happen any more
    /// that is any of his business.
    pub(super) fn let_rest(&mut self, id: TransactionId, out: &mut Effects<U, T>) {
        let Some(transaction) = self.slab.get(id) else { return };
        let (Some(ends_ms), Some(received)) = (transaction.rests_until_ms(), &transaction.received) else {
            return;
        };
        let server = &transaction.server;
        let rest = Rest {
            reply_to: received.reply_to,
            ends_ms,
            slot: id.slot,
            generation: id.generation,
            mark: received.key.mark,
            code: server.status,
            branches: transaction.branches.len() as u16,
            round: transaction.round,
            local: server.local,
            cancelled: transaction.flags.cancelled,
        };
        if self.shelf.newest().is_some_and(|newest| newest.ends_ms > ends_ms) {
            // Its timers were set shorter meanwhile: its turn comes before that of the others.
            self.queue.push(Deadline { at_ms: ends_ms, slot: id.slot, generation: id.generation });
        }
        let place = self.shelf.put(rest, server.reply.as_deref().map_or(&[], |reply| reply));
        if let Some(context) = self.slab.rest(id, place) {
            out.push(Effect::Ended { id, request: None, context });
        }
    }

    /// The request of a resting transaction came again: the response is repeated. False when it does not rest.
    pub(super) fn repeat_rest(&mut self, id: TransactionId, out: &mut Effects<U, T>) -> bool {
        let Some((rest, reply)) = self.slab.resting(id).and_then(|place| self.shelf.get(place)) else {
            return false;
        };
        let bytes = Arc::new(reply.to_vec());
        out.push(Effect::Send { to: rest.reply_to, bytes, branch: None });
        self.counters.retransmissions += 1;
        true
    }

    /// When the time of the transaction is over that has rested for longest.
    pub(super) fn rested_ms(&self) -> Option<u64> {
        self.shelf.oldest().map(|(_, rest)| rest.ends_ms)
    }

    /// Forgets transactions that have rested for long enough, `most` of them in one call, the oldest first. Gives how many.
    ///
    /// It is not urgent: one that rests for longer answers a request that comes again for longer. So a caller who has other
    /// things to do forgets a few at a time.
    pub fn end_rests(&mut self, now_ms: u64, most: usize) -> usize {
        let mut ended = 0;
        while ended < most
            && let Some((place, rest)) = self.shelf.oldest().filter(|(_, rest)| rest.ends_ms <= now_ms)
        {
            let id = TransactionId { shard: self.shard, slot: rest.slot, generation: rest.generation };
            let mark = rest.mark;
            self.forget_rest(id, place, mark);
            ended += 1;
        }
        ended
    }

    /// Forgets a resting transaction if its time is over. Whether it rests.
    pub(super) fn end_rest(&mut self, now_ms: u64, id: TransactionId) -> bool {
        let Some(place) = self.slab.resting(id) else { return false };
        if let Some((rest, _)) = self.shelf.get(place).filter(|(rest, _)| rest.ends_ms <= now_ms) {
            let mark = rest.mark;
            self.forget_rest(id, place, mark);
        }
        true
    }

    fn forget_rest(&mut self, id: TransactionId, place: Shelved, mark: Option<Mark>) {
        self.slab.remove_resting(id);
        self.remove_mark(mark);
        self.shelf.remove(place);
    }

    /// What is left of a transaction that rests.
    pub(super) fn rest_of(&self, id: TransactionId) -> Option<&Rest<T>> {
        self.shelf.get(self.slab.resting(id)?).map(|(rest, _)| rest)
    }
}
