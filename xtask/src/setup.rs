//! The tools that the tests need, installed where they are missing.
//!
//! A developer's machine is changed only when something is really absent, and never by a question on the
//! terminal: without root and without a password-free `sudo` the command says what to install and stops.

use crate::Outcome;
use crate::process::{cargo, exists, program, run as run_command};
use std::process::{Command, Stdio};

/// A program and the Debian package that brings it.
pub struct Tool {
    program: &'static str,
    package: &'static str,
}

/// What the end-to-end tests drive Seawall with: SIPp for scenarios, baresip as a real phone, Kamailio as another
/// registrar to compare with, network namespaces with a NAT between them; the database servers that the tests of
/// `storage` start for themselves; and valgrind, which counts instructions for `cargo xtask budget`.
pub const FOR_TESTS: &[Tool] = &[
    Tool { program: "sipp", package: "sip-tester" },
    Tool { program: "baresip", package: "baresip-core" },
    Tool { program: "kamailio", package: "kamailio" },
    // No program, but the tables that `cargo xtask compare --store` gives Kamailio.
    Tool { program: "/usr/share/kamailio/db_sqlite/usrloc-create.sql", package: "kamailio-sqlite-modules" },
    Tool { program: "ip", package: "iproute2" },
    Tool { program: "nft", package: "nftables" },
    Tool { program: "pg_createcluster", package: "postgresql" },
    Tool { program: "psql", package: "postgresql-client" },
    Tool { program: "mariadbd", package: "mariadb-server" },
    Tool { program: "setpriv", package: "util-linux" },
    Tool { program: "unshare", package: "util-linux" },
    Tool { program: "pgrep", package: "procps" },
    Tool { program: "openssl", package: "openssl" },
    Tool { program: "valgrind", package: "valgrind" },
];

/// Debian asks this program before it starts a service that was installed.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// What `cargo xtask conformance` needs on top.
pub const FOR_CONFORMANCE: &[Tool] = &[
    Tool { program: "m4", package: "m4" },
    Tool { program: "sqlite3", package: "sqlite3" },
    Tool { program: "python3", package: "python3" },
];

/// `cargo xtask setup`: the tools of `cargo xtask test`.
pub fn run(_arguments: &[String]) -> Outcome {
    components()?;
    tools(FOR_TESTS)
}

/// rustfmt and clippy, through rustup where the toolchain lacks them.
fn components() -> Outcome {
    let missing: Vec<&str> = [("fmt", "rustfmt"), ("clippy", "clippy")]
        .into_iter()
        .filter(|(subcommand, _)| !answers(cargo().args([subcommand, "--version"])))
        .map(|(_, component)| component)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !exists("rustup") {
        return Err(format!(
            "the toolchain lacks {}, and there is no rustup to add it",
            missing.join(" and ")
        ));
    }
    run_command(program("rustup").args(["component", "add"]).args(&missing))
}

/// Installs the Debian packages of those tools that are not on the path.
pub fn tools(wanted: &[Tool]) -> Outcome {
    let packages: Vec<&str> =
        wanted.iter().filter(|tool| !exists(tool.program)).map(|tool| tool.package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    let by_hand = || format!("please install: apt-get install {}", packages.join(" "));
    if !exists("apt-get") {
        return Err(format!("missing tools and no apt-get; {}", by_hand()));
    }
    println!("installing {}", packages.join(" "));
    let mut update = privileged().ok_or_else(by_hand)?;
    // A stale or partly unreachable list is no reason to stop: the install below tells.
    let _ = run_command(update.args(["apt-get", "-q", "update"]));
    // A test tool is not to become a service that listens on port 5060 from now on.
    let forbidden = forbid_services();
    let mut install = privileged().ok_or_else(by_hand)?;
    install.args(["apt-get", "-q", "install", "-y", "--no-install-recommends"]).args(&packages);
    let installed = run_command(&mut install).map_err(|error| format!("{error}; {}", by_hand()));
    if forbidden && let Some(mut remove) = privileged() {
        run_command(remove.args(["rm", "-f", POLICY]))?;
    }
    installed
}

/// Makes Debian start no service that is installed. False where somebody has a policy of their own already.
fn forbid_services() -> bool {
    if std::path::Path::new(POLICY).exists() {
        return false;
    }
    let script = format!("printf '#!/bin/sh\\nexit 101\\n' > {POLICY} && chmod 755 {POLICY}");
    privileged().is_some_and(|mut command| run_command(command.args(["sh", "-c", &script])).is_ok())
}

/// `env` as root: directly, or through a `sudo` that asks nothing. The program's name is the first argument.
fn privileged() -> Option<Command> {
    let root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0");
    let mut command = if root {
        program("env")
    } else if answers(program("sudo").args(["-n", "true"])) {
        let mut sudo = program("sudo");
        sudo.args(["-n", "env"]);
        sudo
    } else {
        return None;
    };
    command.arg("DEBIAN_FRONTEND=noninteractive");
    Some(command)
}

fn answers(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
