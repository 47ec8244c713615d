//! The management plane: MI (JSON-RPC 2.0) over HTTP, a named pipe and datagrams, and the metrics page.
//!
//! - [`Server`] is what it needs of the running server; the engine implements it.
//! - [`commands`] declares every command once; [`dispatch`] runs them; the transports only carry bytes.
//! - [`serve`] starts the transports that a [`Config`] names.
//! - [`client`] and [`ctl`] are the other side: `seawall ctl`.
//!
//! What this crate does not do: it knows nothing of SIP, keeps no state of its own, and never makes a worker wait.
//! Long replies are made in pieces, at the speed of the client.

mod calendar;
pub mod client;
pub mod command;
pub mod commands;
pub mod config;
pub mod ctl;
mod datagram;
pub mod dispatch;
mod dump_reader;
mod error;
mod execute;
mod fifo;
mod files;
mod http;
pub mod limits;
mod metrics;
mod patient;
pub mod pretty;
pub mod record_json;
mod reference;
mod serve;
pub mod server;
mod tables;
pub mod users;

pub use command::{Command, MiParameter, ParameterKind, Params, Reply};
pub use config::Config;
pub use dispatch::Dispatcher;
pub use error::MiError;
pub use reference::reference_markdown;
pub use serve::{Handle, ServeError, serve, serve_with};
pub use server::Server;
