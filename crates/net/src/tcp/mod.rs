//! Connections: who may have one, who owns it, what waits in it.

mod admission;
mod connection;
mod leases;
mod outbox;
mod peers;
mod pool;
mod post;
mod reading;
mod slab;
mod streams;
mod timers;

pub(crate) use admission::Admission;
pub(crate) use peers::Peers;
pub(crate) use post::Post;
pub(crate) use reading::Step;
pub(crate) use streams::{StreamEvent, Streams};
