//! A server without sockets, messages to feed it with, and the comparisons that all tests are made of.

mod client;
mod database;
mod load;
mod log;
mod message;
mod parameters;
mod server;
mod web;

pub use client::{Client, hash};
pub use database::Folder;
pub use load::{check_loads, check_quiet, check_refused, check_warned, program, refused};
pub use message::{Request, reply};
pub use parameters::{check_parameters, row};
pub use server::{Packet, Run, Server};
pub use web::{Web, answer_text, full_port};

/// Every module that a script can load.
pub const ALL_MODULES: &str = "\
loadmodule \"signaling.so\"
loadmodule \"sl.so\"
loadmodule \"tm.so\"
loadmodule \"event_routing.so\"
loadmodule \"event_datagram.so\"
loadmodule \"rr.so\"
loadmodule \"path.so\"
loadmodule \"options.so\"
loadmodule \"maxfwd.so\"
loadmodule \"sipmsgops.so\"
loadmodule \"usrloc.so\"
loadmodule \"registrar.so\"
loadmodule \"mid_registrar.so\"
loadmodule \"nathelper.so\"
loadmodule \"acc.so\"
loadmodule \"auth.so\"
loadmodule \"auth_db.so\"
loadmodule \"db_sqlite.so\"
loadmodule \"db_mysql.so\"
loadmodule \"db_postgres.so\"
loadmodule \"domain.so\"
loadmodule \"push.so\"
loadmodule \"rest_client.so\"
loadmodule \"reg_event.so\"
loadmodule \"httpd.so\"
loadmodule \"mi_http.so\"
loadmodule \"mi_fifo.so\"
loadmodule \"mi_datagram.so\"
loadmodule \"proto_udp.so\"
loadmodule \"proto_tcp.so\"
";

/// A script whose `route{}` consists of these statements.
pub fn route(statements: &str) -> String {
    format!("{ALL_MODULES}route {{\n{statements}\n}}\n")
}

/// Runs statements as `route{}` on a request, and compares the lines that they log.
#[track_caller]
pub fn check(statements: &str, request: &Request, expected: &[&str]) {
    let run = Server::new(&route(statements)).receive(request);
    assert_eq!(run.log, expected, "{statements}");
}

/// Runs one call on a request, and compares its value.
#[track_caller]
pub fn check_value(call: &str, request: &Request, expected: i64) {
    check(&format!("{call};\nxlog(\"$rc\");"), request, &[&expected.to_string()]);
}

/// Expands a format on a request, and compares the text.
#[track_caller]
pub fn check_text(format: &str, request: &Request, expected: &str) {
    check(&format!("xlog(\"{format}\");"), request, &[expected]);
}
