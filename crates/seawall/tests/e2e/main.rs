//! End-to-end tests: the built command, driven over real sockets on loopback with ports from the kernel.
//!
//! One test program, so that it links once; one module a subject. `harness` holds the server process, the phones
//! and the management clients.

// In a test a panic is the verdict.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
// The fields of the harness say what they are by their names.
#![allow(missing_docs)]

mod harness;

mod baresip;
mod cached;
mod calls;
mod check;
mod contacts;
mod crash;
mod crowd;
mod database_faults;
mod databases;
mod differential;
mod every_database;
mod examples;
mod flags;
mod gruu;
mod hostile;
mod ipv6;
mod many_sleepers;
mod masquerade;
mod mi;
mod mid;
mod mid_ready;
mod mid_restart;
mod mid_wire;
mod nat;
mod operation;
mod overload;
mod path;
mod persistent;
mod push;
mod push_services;
mod reg_event;
mod register;
mod routes;
mod script;
mod sipp;
mod sleeping;
mod sleeping_granted;
mod sleeping_paths;
mod store;
mod store_faults;
mod store_figures;
mod storm;
mod taken_over;
mod tcp;
mod torture;
mod users;
mod workers;
