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
    queue::{Ahead, Deadline, NEVER},
    shelf::Shelved,
    transaction::{Cancel, ServerState, Transaction},
};

/// What is left of a transaction.
#[derive(Debug)]
pub(crate) struct Rest<T> {
    /// The value of its server key, and its mark.
    value: u128,
    mark: Option<Mark>,
    reply_to: T,
    reply: Shelved,
    ends_ms: u64,
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
            value: received.key.value,
            mark: received.key.mark,
            reply_to: received.reply_to,
            reply: self.shelf.put(server.reply.as_deref().map_or(&[], |reply| reply)),
            ends_ms,
            code: server.status,
            branches: transaction.branches.len() as u16,
            round: transaction.round,
            local: server.local,
            cancelled: transaction.flags.cancelled,
        };
        let deadline = Deadline { at_ms: ends_ms, slot: id.slot, generation: id.generation };
        self.queue.push_behind(Ahead::Rest, deadline);
        if let Some(before) = self.slab.rest(id, rest) {
            out.push(Effect::Ended { id, context: before.context });
        }
    }

    /// The request of a resting transaction came again: the response is repeated. False when it does not rest.
    pub(super) fn repeat_rest(&mut self, id: TransactionId, out: &mut Effects<U, T>) -> bool {
        let Some(rest) = self.slab.resting(id) else { return false };
        let bytes = Arc::new(self.shelf.get(rest.reply).to_vec());
        out.push(Effect::Send { to: rest.reply_to, bytes, branch: None });
        self.counters.retransmissions += 1;
        true
    }

    /// Forgets a resting transaction whose time is over.
    pub(super) fn end_rest(&mut self, now_ms: u64, id: TransactionId) {
        // An older deadline of it may still have stood in the queue.
        if self.slab.resting(id).is_none_or(|rest| rest.ends_ms > now_ms) {
            return;
        }
        if let Some(rest) = self.slab.remove_resting(id) {
            self.remove_key(rest.value, rest.mark);
            self.shelf.remove(rest.reply);
        }
    }
}
