//! For tests only: a virtual clock, a lossy network and user agents.
//!
//! Everything is driven by one seed and one clock, so that a failure is repeated by repeating the seed. Nothing
//! sleeps and nothing opens a socket, but for `push_service`, which tests of real connections switch on.
//!
//! - [`Random`]: a small generator with a seed.
//! - [`Network`]: carries datagrams between addresses, and loses, doubles, delays and reorders them.
//! - [`Caller`], [`Callee`]: user agents that set up a call and take it down, with the retransmissions of RFC 3261.
//! - `push_service` (a feature): APNs, FCM and Web Push on loopback, as strict as the real ones.
//! - [`simulator`]: the mid-registrar between phones and a main registrar, and what must stay true there.
//! - [`run`]: lets agents talk until nothing is left to happen.

mod agent;
mod callee;
mod caller;
mod network;
#[cfg(feature = "push-service")]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
// in a test a panic is the verdict
pub mod push_service;
mod random;
#[allow(clippy::expect_used)] // a world that cannot be made is no test
pub mod simulator;

pub use self::{
    agent::{Agent, NEVER, Outbox, run},
    callee::{Answer, Callee},
    caller::{Caller, CallerPlan, Outcome},
    network::{Faults, Network, Packet},
    random::Random,
};
