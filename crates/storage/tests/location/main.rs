//! The location table in real databases.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;
mod journal;
mod mysql;
mod owner;
mod postgres;
mod server;
#[path = "../servers/mod.rs"]
mod servers;
mod sqlite;
