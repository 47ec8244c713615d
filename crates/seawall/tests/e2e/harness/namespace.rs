//! Network namespaces: machines of their own, with a real NAT of the kernel between them.
//!
//! Making them needs root. Where that is not to be had, the tests that need them fail and say so, unless the environment
//! variable [`WITHOUT`] leaves them out.

use super::unique;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

/// Set to leave out the tests that need network namespaces, on a machine without root.
const WITHOUT: &str = "SEAWALL_WITHOUT_NAMESPACES";

/// A network namespace, removed when the test ends.
pub struct Namespace {
    name: String,
}

/// Whether these tests are to run. Fails where they are to and cannot.
pub fn wanted() -> bool {
    if std::env::var_os(WITHOUT).is_some() {
        eprintln!("left out, because {WITHOUT} is set");
        return false;
    }
    let name = format!("seawall-{}", unique());
    let made = Command::new("ip").args(["netns", "add", &name]).output();
    let possible = made.as_ref().is_ok_and(|output| output.status.success());
    assert!(
        possible,
        "this test makes network namespaces, which needs root and iproute2 ({made:?}); run the tests as root, or set \
         {WITHOUT}=1 to leave it out"
    );
    run("ip", &["netns", "delete", &name], "");
    true
}

impl Namespace {
    /// A new namespace with its loopback up.
    pub fn new() -> Namespace {
        let namespace = Namespace { name: format!("seawall-{}", unique()) };
        run("ip", &["netns", "add", &namespace.name], "");
        namespace.ip("link set lo up");
        namespace
    }

    /// Runs `ip` with these words inside.
    pub fn ip(&self, words: &str) {
        let words: Vec<&str> = ["-n", &self.name].into_iter().chain(words.split(' ')).collect();
        run("ip", &words, "");
    }

    /// A cable to another namespace, with the names of its ends and their addresses with prefix length.
    pub fn connect(&self, (own, address): (&str, &str), other: &Namespace, (far, far_address): (&str, &str)) {
        self.ip(&format!("link add {own} type veth peer name {far} netns {}", other.name));
        for (namespace, name, address) in [(self, own, address), (other, far, far_address)] {
            namespace.ip(&format!("address add {address} dev {name}"));
            namespace.ip(&format!("link set {name} up"));
        }
    }

    /// Makes it a router that hides everybody behind its address on one interface, on ports of its own choice, and lets
    /// nobody in from there who was not asked.
    pub fn masquerade(&self, interface: &str) {
        run("ip", &["netns", "exec", &self.name, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1"], "");
        let rules = [
            "table ip nat {",
            "chain out {",
            "type nat hook postrouting priority 100",
            &format!("oifname {interface} masquerade random"),
            "}",
            "}",
            "table ip filter {",
            "chain through {",
            "type filter hook forward priority 0",
            &format!("iifname {interface} ct state != {{ established, related }} drop"),
            "}",
            "}",
        ];
        let rules = rules.map(|line| format!("{line}\n")).concat();
        run("ip", &["netns", "exec", &self.name, "nft", "-f", "-"], &rules);
    }

    /// Does something inside. Sockets and processes that it makes stay there.
    pub fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let file = File::open(format!("/run/netns/{}", self.name)).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let kind = Some(rustix::thread::LinkNameSpaceType::Network);
                rustix::thread::move_into_link_name_space(file.as_fd(), kind).unwrap();
                act()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // A test that has failed has other things to say.
        drop(Command::new("ip").args(["netns", "delete", &self.name]).output());
    }
}

/// Runs a program to its end, which must be a good one.
fn run(program: &str, arguments: &[&str], input: &str) {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let what = format!("{program} {}", arguments.join(" "));
    let mut child =
        command.spawn().unwrap_or_else(|error| panic!("{what}: {error}; `cargo xtask setup` installs it"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{what}\n{input}\n{}", String::from_utf8_lossy(&output.stderr));
}
