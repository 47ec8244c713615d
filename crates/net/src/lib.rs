//! Sockets: UDP batches, TCP connections, worker loops and the queues between them. Knows no SIP.
//!
//! [`Net::bind`] opens the sockets, [`Bound::start`] runs one thread (a *worker*) per core. Each worker owns one
//! [`Handler`] and calls it with what arrives; the handler answers through [`Io`].
//!
//! Invariants:
//! - A worker never waits for anything but its sockets, its queues and its next deadline.
//! - Datagrams are spread over the workers one by one, so that the load of a single source uses all of them.
//! - A TCP connection belongs to one worker for its whole life; messages on it are handed over in order.
//! - Everything that a peer can make grow has a bound in [`Limits`] or in `limits.rs`.
//! - Nothing here looks into a message: where one ends on a stream is asked of a [`StreamFramer`].
//!
//! This is the only crate of the server with `unsafe`; it is confined to `sys/`.

#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]

mod backlog;
mod bind;
mod clock;
mod config;
mod counters;
mod endpoint;
mod handler;
mod io;
mod limits;
mod mailbox;
mod refusing;
mod running;
mod shared;
mod sys;
mod tcp;
mod udp;
mod worker;

pub use bind::{BindError, Bound, BoundSocket, Net};
pub use clock::{monotonic_ms, monotonic_us, unix_s};
pub use config::{Config, SocketSpec, Transport};
pub use counters::{Counters, Snapshot};
pub use endpoint::{ConnectionId, Origin, SocketId, StreamTarget};
pub use handler::{Fate, Handler, StreamFrame, StreamFramer};
pub use io::{Io, SendError};
pub use limits::Limits;
pub use running::{CommandSender, Running, Stats};
pub use sys::files::allow_open_files;
pub use sys::interfaces::local_addresses;
pub use sys::memory::ask_memory;
pub use sys::options::set_receive_buffer;
