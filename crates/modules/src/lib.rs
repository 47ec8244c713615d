//! The OpenSIPS modules that Seawall provides, each declared once in a table.
//!
//! A module is one file with one table: its parameters, functions, statistics and events, each with its default, the
//! section of the document that it comes from, and the function that does it. The check at load, the generated
//! reference and the parity tests read these tables; nothing is declared a second time.
//!
//! Functions see a [`Context`](context::Context): one message and what the script has decided about it. What they send
//! goes into its outbox and effects; the engine carries that out when the route has ended. No function waits: one that
//! has to answers "pending", and its script is parked.

pub mod acc;
pub mod auth;
pub mod auth_db;
pub mod avps;
pub mod branch;
pub mod calendar;
pub mod configuration;
pub mod context;
pub mod core;
pub mod databases;
pub mod db_mysql;
pub mod db_postgres;
pub mod db_sqlite;
pub mod domain;
pub mod event_datagram;
pub mod event_routing;
pub mod events;
pub mod forward;
pub mod host;
pub mod management;
pub mod maxfwd;
pub mod mid_registrar;
pub mod nathelper;
pub mod next_hop;
pub mod node;
pub mod options;
pub mod originate;
pub mod outbox;
pub mod path;
pub mod protocols;
pub mod push;
pub mod reg_event;
pub mod registrar;
pub mod reply;
pub mod rest_client;
pub mod rewriting;
pub mod rr;
pub mod serial;
pub mod signaling;
pub mod sipmsgops;
pub mod sl;
pub mod spares;
pub mod statistics;
pub mod store;
pub mod tm;
pub mod uac_auth;
pub mod uris;
pub mod usrloc;
pub mod variables;
pub mod waiting;

mod later;

use seawall_script::{Catalog, Module};

use crate::context::Context;

/// Every module that is provided.
pub static MODULES: &[&Module<Context>] = &[
    &core::MODULE,
    &rewriting::MODULE,
    &variables::ADDRESSES,
    &variables::BRANCHES,
    &variables::HEADERS,
    &variables::MESSAGE,
    &variables::TRANSPORT,
    &variables::VALUES,
    &acc::MODULE,
    &auth::MODULE,
    &auth_db::MODULE,
    &db_mysql::MODULE,
    &db_postgres::MODULE,
    &db_sqlite::MODULE,
    &domain::MODULE,
    &event_datagram::MODULE,
    &event_routing::MODULE,
    &management::HTTPD,
    &management::MI_DATAGRAM,
    &management::MI_FIFO,
    &management::MI_HTTP,
    &maxfwd::MODULE,
    &mid_registrar::MODULE,
    &options::MODULE,
    &path::MODULE,
    &nathelper::MODULE,
    &protocols::TCP,
    &protocols::UDP,
    &reg_event::MODULE,
    &push::MODULE,
    &registrar::MODULE,
    &rest_client::MODULE,
    &rr::MODULE,
    &signaling::MODULE,
    &sipmsgops::MODULE,
    &sl::MODULE,
    &tm::MODULE,
    &uac_auth::MODULE,
    &usrloc::MODULE,
];

/// What a script can use, for loading it.
#[must_use]
pub fn catalog() -> Catalog<'static, Context> {
    Catalog { modules: MODULES, later: later::MODULES }
}
