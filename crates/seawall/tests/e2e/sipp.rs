//! SIPp, a foreign implementation, registers, calls many times, and unregisters.

use crate::harness::scripts::exchange;
use crate::harness::server::temporary_folder;
use crate::harness::{Server, mi};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// How many calls are made, twenty a second.
const CALLS: &str = "40";

/// Starts SIPp with one of the scenarios beside the tests.
pub(crate) fn sipp(scenario: &str, folder: &Path, server: SocketAddr, arguments: &[&str]) -> Child {
    let file = format!("{}/tests/sipp/{scenario}.xml", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("sipp");
    command.args(["-sf", &file, "-i", "127.0.0.1", "-nostdin", "-timeout", "25s", "-timeout_error"]);
    command.args(arguments).arg(server.to_string()).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap_or_else(|error| panic!("sipp: {error}; `cargo xtask setup` installs it"))
}

pub(crate) fn must_pass(child: Child, what: &str) {
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{what}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A UDP port that nobody uses at the moment.
pub(crate) fn free_port() -> String {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

#[test]
fn sipp_registers_calls_and_unregisters() {
    let server = Server::start(&exchange());
    let folder = temporary_folder();
    let (port, other, caller) = (free_port(), free_port(), free_port());
    let register = |expires: &str| {
        let keys =
            ["-key", "expires", expires, "-key", "contact_ip", "127.0.0.1", "-key", "contact_port", &port];
        let more = ["-s", "callee", "-m", "1", "-p", &other];
        must_pass(sipp("register", &folder, server.udp(), &[&keys[..], &more[..]].concat()), "register");
    };

    register("600");
    assert_eq!(mi::contacts(&server, "callee@127.0.0.1").len(), 1);

    let callee = sipp("callee", &folder, server.udp(), &["-p", &port, "-m", CALLS]);
    let calls =
        sipp("caller", &folder, server.udp(), &["-s", "callee", "-p", &caller, "-m", CALLS, "-r", "20"]);
    must_pass(calls, "caller");
    must_pass(callee, "callee");

    register("0");
    assert!(mi::contacts(&server, "callee@127.0.0.1").is_empty());
    std::fs::remove_dir_all(folder).unwrap();
}
