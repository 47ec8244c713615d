//! The load generator and the comparison with other servers.
//!
//! - [`load`] sends SIP requests to a server over UDP and counts what comes back. It is built to cost far less than
//!   the server that it measures: messages are rendered once and patched in place, and move in batches.
//! - [`echo`] is the yardstick: the cheapest thing that can answer a datagram. Every figure is also given as a ratio
//!   to it, because absolute figures of a virtual machine wander and ratios of one run do not.
//! - [`compare`] runs the echo, Kamailio and Seawall side by side, pinned, in turns, and prints medians.
//! - [`latency`] tells how late answers come below saturation, by an open loop.
//! - [`mid`] lets a crowd of phones register at a Seawall in front of a Kamailio, and compares what that one holds with
//!   who is there.
//! - [`store`] measures bindings in a database: how fast they are durable, and how long a stop and a start take.
//! - [`phones`] takes pings and tells how evenly they come.
//! - [`pure`] serves REGISTERs without a network: what Seawall itself adds to what the kernel costs.
//! - [`push_cost`] counts what push notifications cost a refresh.
//! - [`storm`] offers a server many times what it can serve.
//! - [`workers`] tells what a REGISTER costs with several workers, and what shedding one does.
//! - [`connections`] opens thousands of TCP connections and tells what each takes.
//! - [`cli`] is what `seawall bench` mounts.
//!
//! What this crate does not do: it is no conformance test (a reply counts by its status and its branch alone), it
//! speaks UDP only but for [`connections`], and it writes nothing outside a temporary folder unless a file is named.
//!
//! `unsafe` stands in [`socket`] only: the system calls for batches of datagrams and for pinning.

pub mod cli;
pub mod compare;
pub mod connections;
pub mod disk;
pub mod echo;
pub mod error;
pub mod histogram;
pub mod latency;
pub mod limits;
pub mod load;
pub mod management;
pub mod mid;
pub mod phones;
pub mod pinned;
pub mod process;
pub mod pure;
pub mod push_cost;
pub mod refresh_cost;
pub mod server;
pub mod socket;
pub mod stages;
pub mod store;
pub mod store_cost;
pub mod storm;
pub mod workers;

pub use error::Error;
