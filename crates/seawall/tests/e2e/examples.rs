//! Each script in examples/ passes the check, and does what its first lines promise.

use crate::harness::call::{self, talk};
use crate::harness::digest;
use crate::harness::scripts::example;
use crate::harness::server::{run, seawall, temporary_folder};
use crate::harness::{Phone, Server, mi};
use std::collections::BTreeSet;
use std::fs;

/// The examples that the tests below drive, and those in `cached.rs`, `gruu.rs`, `mid_ready.rs`, `nat.rs`, `path.rs`
/// and `sleeping.rs`.
const DRIVEN: &[&str] = &[
    "authenticated.cfg",
    "cache.cfg",
    "edge.cfg",
    "gruu.cfg",
    "mid-aor.cfg",
    "mid-contact.cfg",
    "mid-mirror.cfg",
    "minimal.cfg",
    "nat.cfg",
    "push-gateway.cfg",
    "push.cfg",
    "reg-event.cfg",
    "registrar.cfg",
    "residential.cfg",
];

fn start(name: &str) -> Server {
    Server::start_with(&example(name), &[])
}

#[test]
fn every_example_is_driven_and_passes_the_check_without_a_warning() {
    let folder = format!("{}/../../examples", env!("CARGO_MANIFEST_DIR"));
    let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: BTreeSet<String> = names.filter(|name| name.ends_with(".cfg")).collect();
    assert_eq!(names, DRIVEN.iter().map(|name| (*name).to_owned()).collect());
    for name in names {
        let output = run(&["check", &format!("{folder}/{name}")]);
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success() && text.contains("fine, no warnings"), "{name}:\n{text}");
    }
}

#[test]
fn minimal_lets_two_phones_talk() {
    let server = start("minimal.cfg");
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::udp(&server, "bob"));
    alice.register();
    bob.register();
    talk(&mut alice, &mut bob);
    assert_eq!(alice.ask(&alice.request("MESSAGE", "sip:nobody@127.0.0.1")).status(), 404);
}

#[test]
fn registrar_keeps_five_contacts_of_its_own_domains_and_routes_nothing() {
    let server = start("registrar.cfg");
    let mut alice = Phone::udp(&server, "alice");
    for host in 1..=6 {
        let answer =
            alice.ask(&alice.register_request().with(format!("Contact: <sip:alice@192.0.2.{host}>")));
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(mi::contacts(&server, "alice@127.0.0.1").len(), 5);
    server.wait_for_log("alice@127.0.0.1 is now reachable at sip:alice@192.0.2.1");
    server.wait_for_log("alice@127.0.0.1 is no longer reachable at sip:alice@192.0.2.1");

    let mut foreign = alice.register_for(600);
    foreign.to = "<sip:alice@elsewhere.test>".to_owned();
    assert_eq!(alice.ask(&foreign).status(), 403);
    let mut named = alice.register_for(600);
    named.to = "<sip:alice@example.test>".to_owned();
    assert_eq!(alice.ask(&named).status(), 200);
    let answer = alice.ask(&alice.request("OPTIONS", "sip:127.0.0.1"));
    assert_eq!(
        (answer.status(), answer.need("Allow"), answer.need("Supported")),
        (200, "REGISTER, OPTIONS", "outbound")
    );
    let asks = alice.request("OPTIONS", "sip:127.0.0.1").with("Require: 100rel");
    let answer = alice.ask(&asks);
    assert_eq!((answer.status(), answer.need("Unsupported")), (420, "100rel"));
    assert_eq!(alice.ask(&alice.request("OPTIONS", "sip:alice@127.0.0.1")).status(), 404);
    assert_eq!(alice.ask(&alice.request("MESSAGE", "sip:alice@127.0.0.1")).status(), 405);
}

#[test]
fn reg_event_tells_a_phone_of_its_own_registrations_and_nobody_else() {
    let server = start("reg-event.cfg");
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::udp(&server, "bob"));
    let subscribe = |phone: &Phone, uri: &str| {
        phone.request("SUBSCRIBE", uri).with("Event: reg").with(format!("Contact: <{}>", phone.contact()))
    };
    assert_eq!(alice.ask(&subscribe(&alice, "sip:alice@127.0.0.1")).start, "SIP/2.0 403 Register First");
    alice.register();
    bob.register();
    assert_eq!(bob.ask(&subscribe(&bob, "sip:alice@127.0.0.1")).status(), 403);
    let request = subscribe(&alice, "sip:alice@127.0.0.1");
    let accepted = alice.ask(&request);
    assert_eq!(accepted.status(), 200);
    let notify = alice.expect_request("NOTIFY");
    assert_eq!(notify.need("X-Notifier"), "registrar");
    alice.send(&notify.reply(200, "OK", "", "", ""));
    // Inside the dialog nobody has to prove anything any more.
    let mut end = crate::harness::Request { to: accepted.need("To").to_owned(), ..request.next() };
    end.uri = accepted.addresses("Contact").remove(0);
    assert_eq!(alice.ask(&end.with("Expires: 0")).status(), 200);
    assert!(alice.expect_request("NOTIFY").need("Subscription-State").starts_with("terminated"));
    assert_eq!(bob.ask(&bob.request("MESSAGE", "sip:alice@127.0.0.1")).status(), 405);
}

#[test]
fn residential_serves_calls_between_transports_and_relays_nowhere_else() {
    let server = start("residential.cfg");
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::tcp(&server, "bob"));
    alice.register();
    bob.register();
    talk(&mut alice, &mut bob);
    talk(&mut bob, &mut alice);
    let ask = |phone: &mut Phone, uri: &str| phone.ask(&phone.request("MESSAGE", uri)).start;
    assert_eq!(ask(&mut alice, "sip:x@192.0.2.1"), "SIP/2.0 403 Relaying Is Not Offered");
    assert_eq!(ask(&mut alice, "sip:127.0.0.1"), "SIP/2.0 484 Address Incomplete");
    assert_eq!(ask(&mut alice, "sip:nobody@127.0.0.1"), "SIP/2.0 404 Not Registered");
    let preset = alice
        .request("MESSAGE", "sip:bob@127.0.0.1")
        .with(format!("Route: <sip:{};lr>, <sip:192.0.2.1;lr>", server.udp()));
    assert_eq!(alice.ask(&preset).status(), 403);
}

#[test]
fn the_embedded_default_tells_what_it_can_do() {
    let server = Server::start_default(&["-l", "udp:127.0.0.1:0", "--mi", "127.0.0.1:0"]);
    let mut alice = Phone::udp(&server, "alice");
    let answer = alice.ask(&alice.request("OPTIONS", "sip:127.0.0.1"));
    assert_eq!(
        (answer.status(), answer.need("Accept"), answer.need("Supported")),
        (200, "application/sdp", "outbound")
    );
    assert!(answer.need("Allow").contains("INVITE"), "{}", answer.need("Allow"));
}

#[test]
fn authenticated_lets_users_be_themselves_and_nobody_else() {
    let folder = temporary_folder();
    let script = example("authenticated.cfg").replace("/var/lib/seawall", &folder.display().to_string());
    let server = Server::start_with(&script, &[]);
    server.add_user("alice@127.0.0.1", "wonder");
    server.add_user("bob@127.0.0.1", "builder");
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::tcp(&server, "bob"));

    // Both algorithms are offered, the strong one first; a password alone is not enough for another's address.
    let register = alice.register_for(600);
    let challenged = alice.ask(&register);
    let offers: Vec<_> = challenged.all("WWW-Authenticate").into_iter().map(str::to_owned).collect();
    assert!(offers.len() == 2 && offers[0].contains("SHA-256") && offers[1].contains("MD5"), "{offers:?}");
    assert_eq!(digest::ask_as(&mut alice, &register, "bob", "builder").status(), 403);
    server.wait_for_log("bob tried to register sip:alice@127.0.0.1");
    assert_eq!(digest::ask_as(&mut alice, &register, "alice", "builder").status(), 401);
    assert_eq!(digest::ask(&mut alice, &register, "wonder").status(), 200);
    let theirs = bob.register_for(600);
    assert_eq!(digest::ask(&mut bob, &theirs, "builder").status(), 200);
    let mut foreign = alice.register_for(600);
    foreign.to = "<sip:alice@elsewhere.test>".to_owned();
    assert_eq!(alice.ask(&foreign).status(), 403);

    // A call: challenged, proven, and free of credentials behind the proxy.
    let first = call::invite(&alice, &bob.aor());
    let challenged = alice.ask(&first);
    assert_eq!(challenged.status(), 407);
    let mut ack = first.clone();
    (ack.method, ack.to) = ("ACK".to_owned(), challenged.need("To").to_owned());
    alice.send(&ack.bytes());
    let proven = digest::answered(&challenged, &first, "alice", "wonder");
    let call = call::establish_with(&mut alice, &mut bob, proven);
    assert_eq!(call.received.header("Proxy-Authorization"), None);
    call.hang_up(&mut alice, &mut bob);

    // Calling under another's name, and strangers.
    let message = alice.request("MESSAGE", "sip:bob@127.0.0.1");
    assert_eq!(digest::ask_as(&mut alice, &message, "bob", "builder").status(), 403);
    let mut stranger = alice.request("MESSAGE", "sip:x@192.0.2.1");
    stranger.from = "<sip:x@elsewhere.test>;tag=1".to_owned();
    assert_eq!(alice.ask(&stranger).status(), 403);
    let mut visitor = alice.request("MESSAGE", "sip:bob@127.0.0.1");
    visitor.from = "<sip:x@elsewhere.test>;tag=1".to_owned();
    alice.send(&visitor.bytes());
    let received = bob.expect_request("MESSAGE");
    bob.send(&received.reply(200, "OK", "t", "", ""));
    assert_eq!(alice.answer_to(&visitor).status(), 200);
    drop(server);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_embedded_default_passes_its_own_check() {
    let folder = temporary_folder();
    let output = seawall().args(["check", "--default"]).current_dir(&folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::remove_dir_all(folder).unwrap();
}
