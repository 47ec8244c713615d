//! baresip, a real phone: two of them register, talk, hang up and unregister; over flows and by GRUU too.

use crate::harness::scripts::{EXCHANGE, MODULES, example};
use crate::harness::server::temporary_folder;
use crate::harness::{PATIENCE, Server, mi};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A configuration without sound devices: a tone goes out, and what comes in goes into a file.
const CONFIG: &str = include_str!("../baresip.config");

/// Starts baresip for a user; it ends by itself after some seconds.
fn baresip(folder: &Path, server: &Server, user: &str, more: &[&str]) -> Child {
    start(folder, &format!("<sip:{user}@{}>;regint=60;answermode=auto\n", server.udp()), "", more)
}

/// Starts a baresip that has an instance, and two flows to the server: over UDP and over TCP.
fn baresip_with_flows(folder: &Path, server: &Server, user: &str, more: &[&str]) -> Child {
    let (udp, tcp) = (server.udp(), server.tcp());
    let account = format!(
        "<sip:{user}@{udp}>;regint=60;answermode=auto;sipnat=outbound;outbound1=\"sip:{udp}\";\
         outbound2=\"sip:{tcp};transport=tcp\"\n"
    );
    start(folder, &account, "module uuid.so\n", more)
}

fn start(folder: &Path, account: &str, modules: &str, more: &[&str]) -> Child {
    fs::create_dir_all(folder).unwrap();
    let config = CONFIG.replace("FOLDER", &folder.display().to_string()) + modules;
    fs::write(folder.join("config"), config).unwrap();
    fs::write(folder.join("accounts"), account).unwrap();
    let log = fs::File::create(folder.join("log")).unwrap();
    let mut command = Command::new("baresip");
    command.arg("-f").arg(folder).args(more).stdin(Stdio::null());
    command.stdout(log.try_clone().unwrap()).stderr(log);
    command.spawn().unwrap_or_else(|error| panic!("baresip: {error}; `cargo xtask setup` installs it"))
}

/// Bob registers at a front, alice at the main registrar behind it; she calls him, they talk, and both say goodbye. `held`
/// tells how many contacts the main registrar holds for a user.
pub(crate) fn talk_through(front: &Server, main: SocketAddr, held: &dyn Fn(&str) -> usize) {
    let folder: PathBuf = temporary_folder();
    let (at_bob, at_alice) = (folder.join("bob"), folder.join("alice"));
    let mut bob = baresip(&at_bob, front, "bob", &["-t", "12"]);
    let wait_for = |user: &str, count: usize, at: &Path| {
        let deadline = Instant::now() + PATIENCE;
        while held(user) != count {
            assert!(Instant::now() < deadline, "{user} does not have {count} contacts:\n{}", log(at));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    wait_for("bob", 1, &at_bob);
    let account = format!("<sip:alice@{main}>;regint=60;answermode=auto\n");
    let mut alice = start(&at_alice, &account, "", &["-t", "5", "-e", &format!("/dial sip:bob@{main}")]);
    assert!(alice.wait().unwrap().success(), "{}", log(&at_alice));
    assert!(log(&at_alice).contains("Call established"), "{}\n{}", log(&at_alice), log(&at_bob));
    assert!(bob.wait().unwrap().success(), "{}", log(&at_bob));
    wait_for("bob", 0, &at_bob);
    fs::remove_dir_all(folder).unwrap();
}

fn log(folder: &Path) -> String {
    String::from_utf8_lossy(&fs::read(folder.join("log")).unwrap()).into_owned()
}

/// Waits until a user has that many bindings.
fn wait_for_bindings(server: &Server, user: &str, count: usize, folder: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while mi::contacts(server, &format!("{user}@127.0.0.1")).len() != count {
        assert!(Instant::now() < deadline, "{user} does not have {count} bindings:\n{}", log(folder));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn two_phones_register_talk_hang_up_and_unregister() {
    let traced = EXCHANGE.replacen("route {", "route {\n\txlog(\"L_ERR\", \"saw $rm\\n\");", 1);
    let server = Server::start(&format!("{MODULES}{traced}"));
    let folder: PathBuf = temporary_folder();
    let (at_bob, at_alice) = (folder.join("bob"), folder.join("alice"));

    let mut bob = baresip(&at_bob, &server, "bob", &["-t", "7"]);
    wait_for_bindings(&server, "bob", 1, &at_bob);
    let dial = format!("/dial sip:bob@{}", server.udp());
    let mut alice = baresip(&at_alice, &server, "alice", &["-t", "3", "-e", &dial]);

    server.wait_for_log("saw INVITE");
    server.wait_for_log("saw ACK");
    assert!(alice.wait().unwrap().success(), "{}", log(&at_alice));
    assert!(log(&at_alice).contains("Call established"), "{}", log(&at_alice));
    server.wait_for_log("saw BYE");
    assert!(bob.wait().unwrap().success(), "{}", log(&at_bob));
    wait_for_bindings(&server, "alice", 0, &at_alice);
    wait_for_bindings(&server, "bob", 0, &at_bob);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn phones_log_in_and_call_with_their_passwords() {
    let server = Server::start_default(&["-l", "udp:127.0.0.1:0", "--mi", "127.0.0.1:0"]);
    server.add_user("alice", "wonder");
    server.add_user("bob", "builder");
    let folder: PathBuf = temporary_folder();
    let (at_bob, at_alice, at_mallory) = (folder.join("bob"), folder.join("alice"), folder.join("mallory"));
    let account = |user: &str, password: &str| {
        format!("<sip:{user}@{}>;auth_pass={password};regint=60;answermode=auto\n", server.udp())
    };

    let mut bob = start(&at_bob, &account("bob", "builder"), "", &["-t", "9"]);
    wait_for_bindings(&server, "bob", 1, &at_bob);
    let mut mallory = start(&at_mallory, &account("alice", "builder"), "", &["-t", "2"]);
    mallory.wait().unwrap();
    assert!(log(&at_mallory).contains("401 Unauthorized"), "{}", log(&at_mallory));
    assert_eq!(mi::contacts(&server, "alice@127.0.0.1").len(), 0);
    let dial = format!("/dial sip:bob@{}", server.udp());
    let mut alice = start(&at_alice, &account("alice", "wonder"), "", &["-t", "3", "-e", &dial]);
    assert!(alice.wait().unwrap().success(), "{}", log(&at_alice));
    assert!(log(&at_alice).contains("Call established"), "{}", log(&at_alice));
    assert!(bob.wait().unwrap().success(), "{}", log(&at_bob));
    wait_for_bindings(&server, "bob", 0, &at_bob);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn phones_with_two_flows_and_a_gruu_talk_and_hang_up() {
    let trace = "route {\n\txlog(\"L_ERR\", \"saw $rm $ru by $proto of $ua $hdr(Supported)\\n\");";
    let server = Server::start_with(&example("gruu.cfg").replacen("route {", trace, 1), &[]);
    let folder: PathBuf = temporary_folder();
    let (at_bob, at_alice) = (folder.join("bob"), folder.join("alice"));

    let mut bob = baresip_with_flows(&at_bob, &server, "bob", &["-t", "7"]);
    wait_for_bindings(&server, "bob", 2, &at_bob);
    let bindings = mi::contacts(&server, "bob@127.0.0.1");
    let instance = bindings[0]["SIP_instance"].as_str().unwrap();
    assert!(instance.starts_with("<urn:uuid:"), "{bindings:?}");
    assert_eq!(bindings[1]["SIP_instance"], instance);
    // Each flow goes back to the address and transport that it came from.
    let received = |index: usize| bindings[index]["Received"].as_str().unwrap_or_default().to_owned();
    assert!(received(0).contains(";transport=tcp") != received(1).contains(";transport=tcp"), "{bindings:?}");

    let dial = format!("/dial sip:bob@{}", server.udp());
    let mut alice = baresip_with_flows(&at_alice, &server, "alice", &["-t", "4", "-e", &dial]);
    server.wait_for_log("saw INVITE");
    server.wait_for_log("saw ACK");
    assert!(alice.wait().unwrap().success(), "{}", log(&at_alice));
    assert!(log(&at_alice).contains("Call established"), "{}", log(&at_alice));
    // Inside the call bob is meant by his GRUU.
    server.wait_for_log(&format!(";gr={}", instance.trim_matches(['<', '>'])));
    server.wait_for_log("saw BYE");
    assert!(bob.wait().unwrap().success(), "{}", log(&at_bob));
    wait_for_bindings(&server, "alice", 0, &at_alice);
    wait_for_bindings(&server, "bob", 0, &at_bob);
    fs::remove_dir_all(folder).unwrap();
}
