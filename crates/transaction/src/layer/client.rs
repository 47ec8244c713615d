//! The calls about requests that are sent, and their responses.

use std::sync::Arc;

use seawall_sip::message::Message;

use super::Layer;
use crate::{
    client::is_for_cancel,
    effect::{
        BranchSelection, CreateError, Effects, ForwardError, NewBranch, Relay, ResponseMatch, Target,
        TransactionId,
    },
    keys::BranchToken,
    limits::MAX_BRANCHES,
    queue::NEVER,
    transaction::{BranchState, Transaction},
};

impl<U: Clone, T: Target> Layer<U, T> {
    /// The number of the next branch: it goes into the branch parameter of the request that is to be forwarded.
    ///
    /// # Errors
    /// The transaction cannot be forwarded (any more).
    pub fn next_branch(&self, id: TransactionId) -> Result<u16, ForwardError> {
        let transaction = self.slab.get(id).ok_or_else(|| self.cannot_forward(id))?;
        transaction.may_forward()?;
        if transaction.branches.len() >= MAX_BRANCHES {
            return Err(ForwardError::TooMany);
        }
        Ok(transaction.branches.len() as u16)
    }

    /// Sends the request on further branches, all at the same time (`t_relay`, `t_inject_branches`). Gives how many
    /// were sent.
    ///
    /// # Errors
    /// Nothing was sent, for the reason given. When only the last ones of several are too many, the others are sent.
    pub fn forward(
        &mut self,
        now_ms: u64,
        id: TransactionId,
        branches: impl IntoIterator<Item = NewBranch<T>>,
        out: &mut Effects<U, T>,
    ) -> Result<usize, ForwardError> {
        self.with(now_ms, id, out, |transaction, step| {
            transaction.may_forward()?;
            let before = transaction.branches.len();
            let mut fault = None;
            for new in branches {
                if transaction.branches.len() >= MAX_BRANCHES {
                    fault = Some(ForwardError::TooMany);
                    break;
                }
                if usize::from(new.index) != transaction.branches.len() {
                    fault = Some(ForwardError::OutOfOrder);
                    break;
                }
                transaction.start_branch(step, new);
            }
            let sent = transaction.branches.len() - before;
            if sent > 0 {
                if std::mem::take(&mut transaction.flags.waiting) {
                    transaction.round = before as u16;
                }
                transaction.guard_ms = NEVER;
            }
            fault.filter(|_| sent == 0).map_or(Ok(sent), Err)
        })
        .unwrap_or_else(|| Err(self.cannot_forward(id)))
    }

    /// Why a transaction that is not there is not forwarded.
    fn cannot_forward(&self, id: TransactionId) -> ForwardError {
        if self.slab.resting(id).is_some() { ForwardError::Answered } else { ForwardError::Gone }
    }

    /// Sends a request of our own. Its end is told by [`Result`](crate::Effect::Result).
    /// `message` gets the identifier for the branch parameter, number 0, and makes the bytes.
    ///
    /// # Errors
    /// [`CreateError::Full`].
    pub fn originate(
        &mut self,
        now_ms: u64,
        invite: bool,
        context: U,
        target: T,
        message: impl FnOnce(BranchToken) -> Vec<u8>,
        out: &mut Effects<U, T>,
    ) -> Result<TransactionId, CreateError> {
        let id = self.insert(now_ms, None, invite, context)?;
        let bytes = Arc::new(message(id.branch(0)));
        self.with(now_ms, id, out, |transaction, step| {
            transaction.guard_ms = NEVER;
            transaction.start_branch(step, NewBranch { index: 0, target, bytes, timeouts_ms: None });
        });
        Ok(id)
    }

    /// Finds what a response belongs to. `token` is what [`Keys::response_branch`](crate::Keys::response_branch) read
    /// from it. `None` means that the transaction is over, or that all of it is but
    /// [`absorb_response`](Layer::absorb_response): the response is dropped (RFC 6026 §8.9).
    #[must_use]
    pub fn match_response(&self, token: BranchToken, message: &Message) -> Option<ResponseMatch<U>> {
        let transaction = self.slab.get(token.id)?;
        let branch = transaction.branches.get(usize::from(token.branch))?;
        let accepted = transaction.invite && (200..300).contains(&message.status());
        let fresh = if transaction.invite && is_for_cancel(message) {
            false
        } else {
            branch.is_pending() || (accepted && branch.state != BranchState::Terminated)
        };
        Some(ResponseMatch {
            id: token.id,
            branch: token.branch,
            fresh,
            context: transaction.context.clone(),
        })
    }

    /// Absorbs a response of which [`match_response`](Layer::match_response) knows nothing, if its transaction rests: it
    /// was answered before, and this one came again (RFC 3261 §17.1.2.2).
    pub fn absorb_response(&mut self, token: BranchToken) -> bool {
        let rests = self.slab.resting(token.id).is_some();
        self.counters.received_replies += u64::from(rests);
        rests
    }

    /// A response has come, and routing logic has seen it: moves the branch on, acknowledges, passes it upstream or
    /// keeps a copy for the choice of the best (RFC 3261 §16.7).
    pub fn response(
        &mut self,
        now_ms: u64,
        token: BranchToken,
        message: &Message,
        relay: Relay,
        out: &mut Effects<U, T>,
    ) {
        self.with(now_ms, token.id, out, |transaction, step| {
            transaction.receive(step, token.branch, message, relay);
        });
        self.let_rest(token.id, out);
    }

    /// The final response of a branch is there, and its user gives it to [`response`](Layer::response) later, by `until_ms`:
    /// until then nothing is sent again and no patience ends, as if it were still on its way (timers B and F are those of
    /// a next hop that does not answer). No effect once the branch has a final response.
    pub fn keep_response(&mut self, now_ms: u64, token: BranchToken, until_ms: u64, out: &mut Effects<U, T>) {
        self.with(now_ms, token.id, out, |transaction, _| {
            let branch = transaction.branches.get_mut(usize::from(token.branch));
            if let Some(branch) = branch.filter(|branch| branch.is_pending()) {
                branch.retransmit_ms = NEVER;
                branch.ends_ms = branch.ends_ms.max(until_ms);
            }
        });
    }

    /// A request could not be sent, or its connection broke before the response: the branch ends with 503 as if it
    /// had been received (RFC 3261 §16.9). No effect once there is a final response. Whoever has another address to
    /// try (RFC 3263 §4.3) forwards to it first and reports the failure after that.
    pub fn branch_failed(&mut self, now_ms: u64, token: BranchToken, out: &mut Effects<U, T>) {
        self.with(now_ms, token.id, out, |transaction, step| {
            transaction.fail_branch(step, token.branch, 503)
        });
    }

    /// Cancels single branches (`t_cancel_branch`). Their 487 counts like any other final response.
    pub fn cancel_branches(
        &mut self,
        now_ms: u64,
        id: TransactionId,
        selection: BranchSelection,
        out: &mut Effects<U, T>,
    ) {
        self.with(now_ms, id, out, |transaction, step| transaction.cancel_branches(step, selection));
    }
}

impl<U, T> Transaction<U, T> {
    fn may_forward(&self) -> Result<(), ForwardError> {
        if self.is_answered() {
            Err(ForwardError::Answered)
        } else if self.flags.cancelled {
            Err(ForwardError::Cancelled)
        } else {
            Ok(())
        }
    }
}
