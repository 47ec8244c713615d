//! What goes into the layer and what comes out of it.

use std::sync::Arc;

use seawall_sip::{ViaFix, message::Message};
use thiserror::Error;

use crate::keys::BranchToken;

/// Where bytes are sent. The layer hands it back as it got it; the only thing that it asks is whether the transport
/// is reliable, which decides about retransmissions.
pub trait Target: Copy {
    /// Whether what is sent arrives or fails visibly: TCP, TLS, WebSocket; not UDP.
    fn is_reliable(&self) -> bool;
}

/// Bytes on their way out, shared with the transaction that may have to send them again.
pub type Bytes = Arc<Vec<u8>>;

/// The effects of one call, in order. The caller keeps one list and drains it, so that it allocates once.
pub type Effects<U, T> = Vec<Effect<U, T>>;

/// Names a transaction from its creation to its end; never a later one in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId {
    /// The shard it lives in.
    pub shard: u16,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl TransactionId {
    /// The token of one of its branches.
    #[must_use]
    pub fn branch(self, branch: u16) -> BranchToken {
        BranchToken { id: self, branch }
    }

    /// The place and its generation as one number, for logs and `$T_id`.
    #[must_use]
    pub fn number(self) -> u64 {
        u64::from(self.slot) << 32 | u64::from(self.generation)
    }
}

/// A request as it was received, with the way back to its sender.
#[derive(Clone, Debug)]
pub struct Request<T> {
    /// The message as it came.
    pub message: Message,
    /// Where responses go (RFC 3261 §18.2.2; [`reply::address`](crate::proxy::reply::address) computes it).
    pub reply_to: T,
    /// What is written into the topmost Via of a response (RFC 3261 §18.2.1, RFC 3581 §4).
    pub via_fix: Option<ViaFix>,
}

/// What a request is, as seen by [`Layer::request`](crate::Layer::request).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestMatch {
    /// No transaction knows it: the routing logic decides. Also an ACK of a 2xx, and a CANCEL that matches nothing.
    New,
    /// Absorbed: it was seen before. The last response, if any, has been sent again.
    Retransmission(TransactionId),
    /// Absorbed: the ACK of a response other than 2xx.
    AckForFinal(TransactionId),
    /// An ACK that carries the branch of an INVITE which was answered 2xx. It goes to the routing logic like any
    /// ACK of a 2xx.
    AckFor2xx(TransactionId),
    /// A CANCEL of this transaction; [`Layer::cancel`](crate::Layer::cancel) carries it out.
    Cancel(TransactionId),
}

/// Something that the caller has to do, or to know.
#[derive(Clone, Debug)]
pub enum Effect<U, T> {
    /// Send these bytes. Failures of a request are reported through
    /// [`Layer::branch_failed`](crate::Layer::branch_failed).
    Send {
        /// The destination as it was given.
        to: T,
        /// One complete message.
        bytes: Bytes,
        /// The client branch of a request; `None` for responses.
        branch: Option<BranchToken>,
    },
    /// All branches have ended, none with a 2xx, and [`Layer::hold_failure`](crate::Layer::hold_failure) asked to be
    /// told. The transaction waits for `forward`, `reply` or `finish`.
    Failure {
        /// The transaction.
        id: TransactionId,
        /// The status code of the best response.
        code: u16,
        /// The branch that it came from.
        branch: u16,
        /// As given to `create`.
        context: U,
    },
    /// The final response of the server transaction has been sent.
    Completed {
        /// The transaction.
        id: TransactionId,
        /// The status code that was sent upstream.
        code: u16,
        /// Whether it was made here and not received.
        local: bool,
        /// What it answered. Over a reliable transport the transaction may be gone when this is read.
        request: Option<Arc<Request<T>>>,
        /// As given to `create`.
        context: U,
    },
    /// The end of a request that was sent by [`Layer::originate`](crate::Layer::originate).
    Result {
        /// The transaction.
        id: TransactionId,
        /// The status code; 408 after a timeout, 503 when it could not be sent.
        code: u16,
        /// The response, unless the code was made here.
        response: Option<Arc<Message>>,
        /// As given to `originate`.
        context: U,
    },
    /// The transaction has nothing left to tell: it is gone, or for some seconds more it only repeats its final response to
    /// a request other than INVITE that comes again.
    Ended {
        /// The transaction.
        id: TransactionId,
        /// The request, if it was kept until now.
        request: Option<Arc<Request<T>>>,
        /// As given to `create`.
        context: U,
    },
    /// Nothing to do: these bytes, which were sent, are not needed any more, and their memory may be used again.
    Spare {
        /// What was sent, perhaps still on its way.
        bytes: Bytes,
    },
}

/// A request to be sent on a client branch.
#[derive(Clone, Debug)]
pub struct NewBranch<T> {
    /// Its number; has to be the next one, see [`Layer::next_branch`](crate::Layer::next_branch).
    pub index: u16,
    /// Where it goes.
    pub target: T,
    /// The complete message, our Via on top with the branch that
    /// [`Keys::write_branch`](crate::Keys::write_branch) made for this number.
    pub bytes: Bytes,
    /// `fr_timeout` and `fr_inv_timeout` of this branch in milliseconds, if they differ from the transaction's.
    pub timeouts_ms: Option<(u32, u32)>,
}

/// A response that belongs to a transaction.
#[derive(Clone, Debug)]
pub struct ResponseMatch<U> {
    /// The transaction.
    pub id: TransactionId,
    /// The branch.
    pub branch: u16,
    /// Whether routing logic should look at it: not a retransmission, not the answer to our CANCEL, not what comes
    /// after the end. The response is to be given to `response` in any case.
    pub fresh: bool,
    /// As given to `create`.
    pub context: U,
}

/// What becomes of a response that is given to [`Layer::response`](crate::Layer::response).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relay {
    /// It goes upstream as it came, less our Via.
    AsReceived,
    /// These bytes go upstream in its place; our Via is already removed.
    Edited(Bytes),
    /// Routing logic wants it dropped. Holds for provisional responses; a final one is passed on as it came, because
    /// the client would otherwise be left without an answer.
    Drop,
}

/// Why no transaction was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CreateError {
    /// The same request has one already: this is a retransmission that overtook its original. It is absorbed.
    #[error("the request has a transaction already")]
    Exists(TransactionId),
    /// The shard is full; the request is answered 503.
    #[error("too many transactions")]
    Full,
}

/// Why a request was not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ForwardError {
    /// The transaction has ended.
    #[error("no such transaction")]
    Gone,
    /// A final response has been sent.
    #[error("the request has been answered")]
    Answered,
    /// The client has cancelled the request.
    #[error("the request has been cancelled")]
    Cancelled,
    /// More than [`MAX_BRANCHES`](crate::limits::MAX_BRANCHES).
    #[error("too many branches")]
    TooMany,
    /// The branch number is not the next one: somebody else forwarded in between.
    #[error("branch number out of order")]
    OutOfOrder,
}

/// Why a response was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReplyError {
    /// The transaction has ended.
    #[error("no such transaction")]
    Gone,
    /// A final response has been sent.
    #[error("the request has been answered")]
    Answered,
}

/// Which branches [`Layer::cancel_branches`](crate::Layer::cancel_branches) cancels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BranchSelection {
    /// This one.
    One(u16),
    /// All but this one.
    Others(u16),
    /// All.
    All,
}
