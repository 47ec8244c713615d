//! `tcp_persistent_flag`: a connection lives as long as what was registered over it.

use crate::harness::scripts::{exchange, registrar};
use crate::harness::{Message, Phone, Request, Server, mi};
use std::time::{Duration, Instant};

/// A registrar that closes idle connections after a second and keeps those of phones.
fn server() -> Server {
    let parameters = "tcp_connection_lifetime = 1
        modparam(\"registrar\", \"min_expires\", 1)
        modparam(\"registrar\", \"tcp_persistent_flag\", \"TCP_PERSIST\")";
    Server::start(&registrar(parameters, "setflag(TCP_PERSIST); save(\"location\")"))
}

/// Waits until a connection that nobody keeps is closed.
fn idle_ones_are_closed(server: &Server) {
    Phone::tcp(server, "idle").expect_closed();
}

/// Registers a user for so long over the connection of a phone.
fn register(phone: &mut Phone, last: &Request, user: &str, expires_s: u32) -> Message {
    let mut request = last.next();
    request.to = format!("<sip:{user}@127.0.0.1>");
    request.call_id = format!("{user}-{}", phone.address);
    request.headers = vec![format!("Contact: <{}>;expires={expires_s}", phone.contact())];
    let answer = phone.ask(&request);
    assert_eq!(answer.status(), 200);
    answer
}

#[test]
fn a_connection_is_kept_for_the_longest_contact_and_closed_soon_after_the_last() {
    let server = server();
    let mut alice = Phone::tcp(&server, "alice");
    let mut request = alice.register_for(3600);
    register(&mut alice, &request, "alice", 3600);
    request = request.next();
    register(&mut alice, &request, "carol", 3600);
    idle_ones_are_closed(&server);

    // Carol is still there when alice has gone.
    request = request.next();
    register(&mut alice, &request, "alice", 0);
    idle_ones_are_closed(&server);
    request = request.next();
    let shortened = Instant::now();
    register(&mut alice, &request, "carol", 1);
    alice.expect_closed();
    let lasted = shortened.elapsed();
    assert!(lasted > Duration::from_secs(5), "the connection outlives its contact a little: {lasted:?}");
}

#[test]
fn a_connection_whose_contact_is_removed_is_closed_as_any_idle_one() {
    let server = server();
    let mut alice = Phone::tcp(&server, "alice");
    let request = alice.register_for(3600);
    register(&mut alice, &request, "alice", 3600);
    idle_ones_are_closed(&server);
    let removed = Instant::now();
    register(&mut alice, &request.next(), "alice", 0);
    alice.expect_closed();
    assert!(removed.elapsed() < Duration::from_secs(4), "{:?}", removed.elapsed());
}

#[test]
fn remove_finds_a_contact_by_the_name_of_its_next_hop() {
    let script = exchange().replace(
        "if (!lookup(",
        "if (is_method(\"MESSAGE\")) { remove(\"location\", $ru, , \"localhost\"); send_reply(202, \"Gone\"); exit; }
         if (!lookup(",
    );
    let server = Server::start(&script);
    let mut alice = Phone::udp(&server, "alice");
    alice.register();
    let elsewhere = alice.register_request().with("Contact: <sip:alice@192.0.2.9>");
    assert_eq!(alice.ask(&elsewhere).contacts().len(), 2);
    let mut message = alice.request("MESSAGE", &alice.aor());
    message.body = "away".to_owned();
    assert_eq!(alice.ask(&message).status(), 202);
    let left = mi::contacts(&server, "alice@127.0.0.1");
    assert_eq!((left.len(), &left[0]["Contact"]), (1, &"sip:alice@192.0.2.9".into()));
}
