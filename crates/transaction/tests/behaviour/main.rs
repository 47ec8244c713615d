//! The transaction layer under a virtual clock: each test is a table of what happens and what comes of it.

// What helps a test fails it by panicking.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cancel;
mod disorder;
mod forking;
mod harness;
mod invite_client;
mod invite_server;
mod limits;
mod lossy;
mod matching;
mod non_invite;
mod own_requests;
mod routing_logic;
