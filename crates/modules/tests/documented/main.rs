//! The script's side by its documented meaning: every module's functions, flags, parameters, variables and statistics.
//! The server here has no sockets and no clock: messages are handed in as text, what it sends is looked at, and time is
//! an argument.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod harness;

mod acc;
mod auth;
mod auth_db;
mod cached;
mod completeness;
mod core;
mod databases;
mod domain;
mod event_routing;
mod examples;
mod gruu;
mod lookup;
mod management;
mod maxfwd;
mod mid_examples;
mod mid_registrar;
mod nathelper;
mod options;
mod originate;
mod parity;
mod path;
mod pinging;
mod push;
mod reg_event;
mod registrar;
mod rest_client;
mod rr;
mod save;
mod serial;
mod signaling;
mod sipmsgops;
mod sl;
mod tm;
mod tm_routes;
mod uac_auth;
mod usrloc;
mod variables;
mod waking;
