//! The state of one transaction: a server side, and the client branches that it was forwarded to.

use std::sync::Arc;

use seawall_sip::message::Message;
use smallvec::SmallVec;

use crate::{
    counters::Counters,
    effect::{Bytes, Effect, Effects, Request, Target, TransactionId},
    keys::{Keys, ServerKey},
    queue::NEVER,
    timers::Timers,
};

/// What a step of the state machine works with besides the transaction itself.
pub(crate) struct Step<'a, U, T> {
    pub now_ms: u64,
    pub id: TransactionId,
    pub keys: &'a Keys,
    /// Header lines for every response that is made here.
    pub reply_headers: &'a [u8],
    pub counters: &'a mut Counters,
    /// A text that was sent and is not needed any more, for the next one that is made here.
    pub spare: &'a mut Option<Bytes>,
    pub out: &'a mut Effects<U, T>,
}

impl<U, T> Step<'_, U, T> {
    /// The point in time so many milliseconds from now; never now itself, so that a timer that is set to 0 does not
    /// go off for ever.
    pub fn after(&self, delay_ms: u32) -> u64 {
        self.now_ms + u64::from(delay_ms.max(1))
    }

    pub fn send(&mut self, to: T, bytes: Bytes, branch: Option<u16>) {
        self.out.push(Effect::Send { to, bytes, branch: branch.map(|branch| self.id.branch(branch)) });
    }
}

/// One transaction in the sense of a proxy (RFC 3261 §16.2): the response context.
#[derive(Debug)]
pub(crate) struct Transaction<U, T> {
    pub context: U,
    /// `None` for a request that was made here: there is no server side then.
    pub received: Option<Received<T>>,
    pub invite: bool,
    pub timers: Timers,
    pub created_ms: u64,
    pub server: Server,
    pub branches: SmallVec<[Branch<T>; 1]>,
    /// Branches before this one belong to a round that failed, and no longer count for the best response.
    pub round: u16,
    pub flags: Flags,
    /// When 100 (Trying) is due.
    pub trying_ms: u64,
    /// When a transaction that waits for its user is finished without it.
    pub guard_ms: u64,
    /// Until when further branches are expected, so that the end of all branches is not the end.
    pub open_until_ms: u64,
    /// Header lines that a CANCEL takes along.
    pub cancel_headers: Option<Box<[u8]>>,
    /// The earliest deadline that stands in the queue.
    pub armed_ms: u64,
}

/// The request that created the transaction.
#[derive(Debug)]
pub(crate) struct Received<T> {
    pub key: ServerKey,
    /// Where responses go.
    pub reply_to: T,
    /// The message. Let go of with the final response, unless it is an INVITE.
    pub request: Option<Arc<Request<T>>>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags {
    /// The client has sent CANCEL.
    pub cancelled: bool,
    /// The user wants to be told when all branches have failed.
    pub held: bool,
    /// The user has been told and has not answered yet.
    pub waiting: bool,
}

/// The server side (RFC 3261 §17.2, RFC 6026 §7.1).
#[derive(Debug)]
pub(crate) struct Server {
    pub state: ServerState,
    /// Status of the last response sent; 0 before the first.
    pub status: u16,
    /// Whether that response was made here.
    pub local: bool,
    /// What a retransmission of the request is answered with.
    pub reply: Option<Bytes>,
    /// Timer G.
    pub retransmit_ms: u64,
    pub interval_ms: u32,
    /// Timer H, I, J or L.
    pub ends_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerState {
    /// No final response yet; Trying and Proceeding are told apart by `status` alone.
    Proceeding,
    Completed,
    Confirmed,
    Accepted,
    Terminated,
}

/// A client transaction (RFC 3261 §17.1, RFC 6026 §7.2).
#[derive(Debug)]
pub(crate) struct Branch<T> {
    pub target: T,
    /// What was sent; `None` once it can neither be repeated nor acknowledged nor cancelled.
    pub request: Option<Bytes>,
    pub state: BranchState,
    /// Status of the last response; 0 before the first.
    pub status: u16,
    /// Whether that response came from the network; else the status was made here.
    pub is_received: bool,
    /// The final response, while it may still be chosen, and for a request that was made here.
    pub reply: Option<Arc<Message>>,
    /// What goes upstream if the final response is chosen, when it differs from `reply` less our Via.
    pub edited: Option<Bytes>,
    /// The ACK of a final response other than 2xx.
    pub ack: Option<Bytes>,
    /// Timer A or E.
    pub retransmit_ms: u64,
    pub interval_ms: u32,
    /// Timer B, C, D, F, K or M.
    pub ends_ms: u64,
    pub fr_inv_timeout_ms: u32,
    pub cancel: Cancel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BranchState {
    /// Nothing received; Trying when it is no INVITE.
    Calling,
    Proceeding,
    Completed,
    Accepted,
    Terminated,
}

/// Where the cancellation of a branch stands.
#[derive(Debug)]
pub(crate) enum Cancel {
    None,
    /// Asked for, but a CANCEL must not go out before a provisional response has come (RFC 3261 §9.1).
    Wanted,
    /// A client transaction of its own.
    Sent(Box<CancelSent>),
    Ended,
}

#[derive(Debug)]
pub(crate) struct CancelSent {
    pub bytes: Bytes,
    pub retransmit_ms: u64,
    pub interval_ms: u32,
    pub ends_ms: u64,
}

impl<T> Branch<T> {
    /// Whether its final response is still to come.
    pub fn is_pending(&self) -> bool {
        matches!(self.state, BranchState::Calling | BranchState::Proceeding)
    }

    /// Whether nothing will happen to it any more.
    fn is_over(&self) -> bool {
        self.state == BranchState::Terminated && !matches!(self.cancel, Cancel::Sent(_))
    }

    fn due_ms(&self) -> u64 {
        let cancel = match &self.cancel {
            Cancel::Sent(cancel) => cancel.retransmit_ms.min(cancel.ends_ms),
            _ => NEVER,
        };
        self.retransmit_ms.min(self.ends_ms).min(cancel)
    }
}

impl Server {
    pub fn new() -> Server {
        Server {
            state: ServerState::Proceeding,
            status: 0,
            local: false,
            reply: None,
            retransmit_ms: NEVER,
            interval_ms: 0,
            ends_ms: NEVER,
        }
    }
}

impl<U, T> Transaction<U, T> {
    /// Whether the final response has been sent (or, for a request made here, reported).
    pub fn is_answered(&self) -> bool {
        self.server.state != ServerState::Proceeding
    }

    /// Whether it can be forgotten.
    pub fn is_over(&self) -> bool {
        self.server.state == ServerState::Terminated && self.branches.iter().all(Branch::is_over)
    }

    pub fn has_pending_branches(&self) -> bool {
        self.branches.iter().any(Branch::is_pending)
    }

    /// When it has to be looked at next.
    pub fn due_ms(&self) -> u64 {
        let own = [
            self.server.retransmit_ms,
            self.server.ends_ms,
            self.trying_ms,
            self.guard_ms,
            self.open_until_ms,
        ];
        let own = own.into_iter().fold(NEVER, u64::min);
        self.branches.iter().fold(own, |due, branch| due.min(branch.due_ms()))
    }
}

/// The delay of a timer that RFC 3261 sets to 0 over reliable transport.
pub(crate) fn unless_reliable<T: Target>(target: &T, delay_ms: u32) -> u32 {
    if target.is_reliable() { 0 } else { delay_ms }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_transaction_with_one_branch_is_small() {
        // Every one lives for seconds after its end, so this is what memory at high rates is made of.
        let bytes = size_of::<Transaction<Arc<()>, [u64; 8]>>();
        assert!(bytes <= 768, "{bytes} bytes");
    }
}
