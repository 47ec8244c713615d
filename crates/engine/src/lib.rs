//! The running server: workers that take messages from the net through transactions and the script and back.
//!
//! [`Engine::start`] loads a script, opens its sockets, starts the workers and the management plane. From then on
//! every worker is a loop of its own: a message comes in, is scanned, matched against transactions, handed to a route
//! of the script, and what the route decided is carried out. What workers share stands in one
//! [`Node`](seawall_modules::node::Node); what a reload replaces, in one
//! [`Configuration`](seawall_modules::configuration::Configuration).
//!
//! Invariants:
//! - A worker never waits. A script that has to wait is parked with its context and resumed by a command.
//! - A lock is held for one call into a pure crate, never while a route runs.
//! - Everything that is kept on behalf of a peer is bounded, see [`limits`].

mod accounts;
mod effects;
mod errands;
mod events;
mod framer;
mod granted;
pub mod limits;
mod management;
mod notices;
mod originate;
mod parked;
mod pinging;
mod pool;
mod push;
mod reload;
mod request;
mod resolver;
mod response;
mod script;
mod sockets;
mod stand_back;
mod start;
mod store;
mod transaction_timers;
mod worker;

pub use script::{ScriptError, Source, check};
pub use start::{Engine, Options, StartError};
