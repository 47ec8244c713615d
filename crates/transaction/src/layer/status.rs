//! What routing logic may ask about a transaction.

use std::sync::Arc;

use seawall_sip::message::Message;

use super::{Layer, rest::Rest};
use crate::effect::{Request, Target, TransactionId};

/// How a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether its client has cancelled it (`t_was_cancelled`).
    pub cancelled: bool,
    /// Whether the final response has been sent.
    pub answered: bool,
    /// Status of the last response sent; 0 before the first.
    pub code: u16,
    /// Whether the last response sent was made here (`t_local_replied("last")`).
    pub local: bool,
    /// Whether a failure was told and no answer has come yet.
    pub waiting: bool,
    /// Whether further branches are expected.
    pub open: bool,
    /// Number of branches so far.
    pub branches: u16,
    /// Number of branches without a final response.
    pub pending: u16,
    /// First branch of the present round; those before it had failed when routing logic added more.
    pub round: u16,
}

/// How a branch stands.
#[derive(Clone, Debug)]
pub struct BranchStatus<T> {
    /// Status of the last response; 0 before the first.
    pub code: u16,
    /// Whether that response was received; false before the first, and when the status was made here (timeout, not sent).
    pub is_received: bool,
    /// The final response, unless it was a 2xx, which has gone upstream at once.
    pub reply: Option<Arc<Message>>,
    /// Whether the final response is still to come.
    pub pending: bool,
    /// Where it was sent.
    pub target: T,
}

impl<U: Clone, T: Target> Layer<U, T> {
    /// What was given to `create`; `None` once its [`Ended`](crate::Effect::Ended) was told.
    #[must_use]
    pub fn context(&self, id: TransactionId) -> Option<U> {
        self.slab.get(id).map(|transaction| transaction.context.clone())
    }

    /// The request that created the transaction; `None` for one that was made here, and for another than INVITE once its
    /// final response was sent.
    #[must_use]
    pub fn request_of(&self, id: TransactionId) -> Option<Arc<Request<T>>> {
        self.slab.get(id)?.received.as_ref()?.request.clone()
    }

    /// How a transaction stands; `None` if it has ended.
    #[must_use]
    pub fn status(&self, id: TransactionId) -> Option<Status> {
        let Some(transaction) = self.slab.get(id) else { return self.rest_of(id).map(Rest::status) };
        Some(Status {
            cancelled: transaction.flags.cancelled,
            answered: transaction.is_answered(),
            code: transaction.server.status,
            local: transaction.server.local,
            waiting: transaction.flags.waiting,
            open: transaction.open_until_ms != crate::queue::NEVER,
            branches: transaction.branches.len() as u16,
            pending: transaction.branches.iter().filter(|branch| branch.is_pending()).count() as u16,
            round: transaction.round,
        })
    }

    /// How a branch stands.
    #[must_use]
    pub fn branch(&self, id: TransactionId, branch: u16) -> Option<BranchStatus<T>> {
        let branch = self.slab.get(id)?.branches.get(usize::from(branch))?;
        Some(BranchStatus {
            code: branch.status,
            is_received: branch.is_received,
            reply: branch.reply.clone(),
            pending: branch.is_pending(),
            target: branch.target,
        })
    }

    /// The branch with the best final response of the present round, and its status: the one that
    /// [`finish`](Layer::finish) would send.
    #[must_use]
    pub fn best(&self, id: TransactionId) -> Option<(u16, u16)> {
        self.slab.get(id)?.best().map(|best| (best.branch, best.status))
    }

    /// The request as it was sent on a branch; `None` when it is not needed any more, after the final response to
    /// a request other than INVITE, or a 2xx to one.
    #[must_use]
    pub fn sent(&self, id: TransactionId, branch: u16) -> Option<crate::effect::Bytes> {
        self.slab.get(id)?.branches.get(usize::from(branch))?.request.clone()
    }
}
