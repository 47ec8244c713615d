//! RFC 3261 sections 16 and 17 as a state machine without input or output.
//!
//! [`Layer`] is one shard of the transaction layer, with the corrections of RFC 6026: server and client transactions,
//! INVITE and others, forking, the best response, CANCEL and all timers. [`proxy`] holds what a proxy does to a
//! message as functions without state: the checks before forwarding, route processing, what is written into a
//! forwarded request, and the way of a response back.
//!
//! A request is looked up by its [`ServerKey`], a response by the [`BranchToken`] in its topmost Via; [`Keys`] makes
//! and reads both without a lock and so tells which shard to lock. A call into the layer is short and appends
//! [`Effect`]s, which the caller carries out after unlocking:
//!
//! 1. `request`: absorbed, or new. New ones run through routing logic without any lock.
//! 2. `create`, then `reply`, or `next_branch` and `forward`.
//! 3. For a response `match_response`, routing logic, `response`.
//! 4. `timeout` when `poll_timeout` says so.
//!
//! The crate opens no socket, reads no clock, starts no thread and has no global state; it never panics on what came
//! from the network.

mod best;
mod build;
mod cancel;
mod client;
mod counters;
mod effect;
mod expire;
mod hex;
mod keys;
mod layer;
pub mod limits;
mod marks;
pub mod proxy;
mod queue;
mod server;
mod settle;
mod shelf;
mod slab;
mod timers;
mod transaction;

pub use self::{
    counters::Counters,
    effect::{
        BranchSelection, Bytes, CreateError, Effect, Effects, ForwardError, NewBranch, Relay, ReplyError,
        Request, RequestMatch, ResponseMatch, Target, TransactionId,
    },
    keys::{BranchToken, Keys, OwnBranch, PingToken, RequestKind, ServerKey},
    layer::{BranchStatus, Layer, Status},
    marks::{Mark, Marks},
    timers::Timers,
};
