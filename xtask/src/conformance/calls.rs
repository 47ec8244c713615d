//! Calls through a server that runs somebody else's script: with the SIPp scenarios of the end-to-end tests, and with
//! baresip.

use super::baresip;
use crate::Outcome;
use crate::process::{program, root, run as run_command};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Where the stock scripts listen.
pub const SERVER: &str = "127.0.0.1:5060";

/// How many calls are made.
const CALLS: &str = "20";

/// Runs the script, registers phones, calls them and unregisters them. The server's log goes into the file `log`.
pub fn serve(binary: &Path, script: &Path, log: &Path) -> Outcome {
    let kept = File::create(log).map_err(|error| format!("cannot write {}: {error}", log.display()))?;
    let mut server = Command::new(binary)
        .args(["run", "-f"])
        .arg(script)
        .args(["-l", &format!("tcp:{SERVER}")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(kept)
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", binary.display()))?;
    let outcome = ready(&mut server).and_then(|()| calls()).and_then(|()| baresip::talk());
    // It may have ended by itself; the outcome above has told so.
    let _ = server.kill();
    let _ = server.wait();
    outcome.map_err(|error| format!("{error}\nthe log of the server is {}", log.display()))
}

fn ready(server: &mut Child) -> Outcome {
    let output = server.stdout.take().ok_or("the server has no output")?;
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    if lines.any(|line| line == "seawall is ready") {
        Ok(())
    } else {
        Err("the server did not start".to_owned())
    }
}

fn calls() -> Outcome {
    let register = |expires: &str| {
        let mut sipp = sipp("register", "5079", "1");
        sipp.args(["-s", "callee", "-key", "expires", expires, "-key", "contact_ip", "127.0.0.1"]);
        run_command(sipp.args(["-key", "contact_port", "5078"]))
    };
    register("600")?;
    let mut callee =
        sipp("callee", "5078", CALLS).spawn().map_err(|error| format!("cannot start sipp: {error}"))?;
    let called = run_command(sipp("caller", "5077", CALLS).args(["-s", "callee", "-r", "10"]));
    if called.is_err() {
        // It would wait for calls that nobody makes.
        let _ = callee.kill();
    }
    let answered = callee.wait().map_err(|error| format!("cannot wait for sipp: {error}"))?;
    called?;
    if !answered.success() {
        return Err(format!("the callee ended with {answered}"));
    }
    register("0")
}

fn sipp(scenario: &str, port: &str, count: &str) -> Command {
    let mut sipp = program("sipp");
    sipp.arg("-sf").arg(root().join(format!("crates/seawall/tests/sipp/{scenario}.xml")));
    sipp.args([
        "-i",
        "127.0.0.1",
        "-nostdin",
        "-timeout",
        "25s",
        "-timeout_error",
        "-p",
        port,
        "-m",
        count,
        SERVER,
    ]);
    sipp.stdout(Stdio::null());
    sipp
}
