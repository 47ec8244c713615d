//! Phones behind a NAT: reachable by calls, and pinged.

use crate::harness::call::{establish, talk};
use crate::harness::nat::Nat;
use crate::harness::scripts::{MODULES, example};
use crate::harness::{Message, PATIENCE, Phone, Request, Server, mi};
use serde_json::json;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

/// The example with pings every second, lost after one more.
fn example_in_a_hurry() -> String {
    let text = example("nat.cfg");
    let quick = text.replace("\"natping_interval\", 30", "\"natping_interval\", 1");
    let quick = quick.replace(
        "\"max_pings_lost\", 3",
        "\"max_pings_lost\", 2)\nmodparam(\"nathelper\", \"ping_threshold\", 1",
    );
    assert_ne!(text, quick);
    quick
}

/// A registrar that pings every second, with these parameters and statements before `save`.
fn pinging(parameters: &str, statements: &str) -> Server {
    Server::start(&format!(
        "{MODULES}loadmodule \"nathelper.so\"\nmodparam(\"nathelper\", \"natping_interval\", 1)\n\
         modparam(\"nathelper\", \"sipping_from\", \"sip:pinger@127.0.0.1\")\n\
         modparam(\"nathelper\", \"sipping_bflag\", \"PING\")\n\
         modparam(\"nathelper\", \"sipping_latency_flag\", \"LATENCY\")\n\
         modparam(\"nathelper\", \"remove_on_timeout_bflag\", \"REMOVE\")\n\
         modparam(\"nathelper\", \"ping_threshold\", 1)\n{parameters}\n\
         route {{ if (is_method(\"REGISTER\")) {{ {statements} save(\"location\", \"path-off\"); exit; }} send_reply(405, \"No\"); }}\n\
         event_route[E_UL_LATENCY_UPDATE] {{ xlog(\"latency of $param(aor) is $param(latency)\\n\"); }}\n\
         event_route[E_UL_CONTACT_DELETE] {{ xlog(\"$param(uri) is gone\\n\"); }}\n"
    ))
}

/// The next ping with a request.
fn next_ping(phone: &mut Phone) -> Message {
    phone.expect_request("OPTIONS")
}

/// The next keep-alive packet.
fn next_keep_alive(phone: &mut Phone) {
    let message = phone.receive();
    assert_eq!(message.bytes, b"\r\n\r\n");
}

#[test]
fn two_phones_behind_one_nat_call_each_other() {
    let server = Server::start_with(&example("nat.cfg"), &[]);
    let mut nat = Nat::new(&server);
    let mut alice = nat.phone("alice", "10.0.0.5:5060");
    let mut bob = nat.phone("bob", "10.0.0.6:5060");
    let answer = alice.phone.register();
    let received = format!("received=\"sip:{}\"", alice.outside);
    assert!(answer.contacts()[0].contains(&received), "{:?}", answer.contacts());
    bob.phone.register();
    let shown = mi::contacts(&server, "bob@127.0.0.1");
    assert_eq!(shown[0]["Contact"], "sip:bob@10.0.0.6:5060");
    assert_eq!(shown[0]["Received"], format!("sip:{}", bob.outside));
    talk(&mut alice.phone, &mut bob.phone);
    talk(&mut bob.phone, &mut alice.phone);
}

#[test]
fn each_learns_the_outside_address_of_the_other_for_the_call() {
    let server = Server::start_with(&example("nat.cfg"), &[]);
    let mut nat = Nat::new(&server);
    let mut alice = nat.phone("alice", "10.0.0.5:5060");
    let mut bob = nat.phone("bob", "10.0.0.6:5060");
    alice.phone.register();
    bob.phone.register();
    let call = establish(&mut alice.phone, &mut bob.phone);
    assert_eq!(call.received.addresses("Contact"), [format!("sip:alice@{}", alice.outside)]);
    assert_eq!(call.answer.addresses("Contact"), [format!("sip:bob@{}", bob.outside)]);
    // The INVITE has the contact that bob gave as its target, and came through his NAT.
    assert_eq!(call.received.uri(), "sip:bob@10.0.0.6:5060");
    call.hang_up_by_callee(&mut alice.phone, &mut bob.phone);
}

#[test]
fn a_phone_with_a_public_address_and_one_behind_a_nat_call_each_other() {
    let server = Server::start_with(&example("nat.cfg"), &[]);
    let mut nat = Nat::new(&server);
    let mut alice = nat.phone("alice", "10.0.0.5:5060");
    let mut bob = Phone::udp(&server, "bob");
    alice.phone.register();
    let answer = bob.register();
    assert!(!answer.contacts()[0].contains("received"), "{:?}", answer.contacts());
    talk(&mut alice.phone, &mut bob);
    talk(&mut bob, &mut alice.phone);
}

#[test]
fn a_hidden_phone_is_pinged_through_its_nat_and_an_open_one_is_not() {
    let server = Server::start_with(&example_in_a_hurry(), &[]);
    let mut nat = Nat::new(&server);
    let mut alice = nat.phone("alice", "10.0.0.5:5060");
    let mut bob = Phone::udp(&server, "bob");
    bob.register();
    alice.phone.register();
    for _ in 0..3 {
        let ping = next_ping(&mut alice.phone);
        assert_eq!(ping.uri(), "sip:alice@10.0.0.5:5060");
        alice.phone.send(&ping.reply(200, "OK", "a", "", ""));
    }
    bob.expect_silence();
    // Silent from now on, it is gone after two pings.
    server.wait_for_log("alice@127.0.0.1 is no longer reachable at sip:alice@10.0.0.5:5060");
    assert!(mi::contacts(&server, "alice@127.0.0.1").is_empty());
    assert_eq!(mi::contacts(&server, "bob@127.0.0.1").len(), 1);
}

#[test]
fn keep_alive_packets_reach_the_phone() {
    let server = pinging("", "");
    let mut phone = Phone::udp(&server, "alice");
    phone.register();
    next_keep_alive(&mut phone);
    next_keep_alive(&mut phone);
    // They are no SIP to the server's own scanner either, should they come back.
    phone.send(b"\r\n\r\n");
    phone.register();
}

#[test]
fn a_ping_finds_the_address_of_a_hop_that_is_a_name() {
    let server = pinging("", "setbflag(PING);");
    let mut phone = Phone::udp(&server, "alice");
    let path = format!("Path: <sip:localhost:{};lr>", phone.address.port());
    assert_eq!(phone.ask(&phone.register_for(60).with(path.clone()).with("Supported: path")).status(), 200);
    assert_eq!(format!("Path: {}", next_ping(&mut phone).need("Route")), path);
}

#[test]
fn an_answered_ping_shows_its_latency_to_mi_and_events() {
    let server = pinging("", "setbflag(PING); setbflag(LATENCY);");
    let mut phone = Phone::udp(&server, "alice");
    phone.register();
    assert!(mi::contacts(&server, "alice@127.0.0.1")[0].get("Ping-Latency").is_none());
    let ping = next_ping(&mut phone);
    let slept = Instant::now();
    std::thread::sleep(Duration::from_millis(30));
    // Whatever the code is: the phone is there.
    phone.send(&ping.reply(501, "Not Implemented", "a", "", ""));
    server.wait_for_log("latency of alice@127.0.0.1 is ");
    let taken = slept.elapsed() + Duration::from_millis(500);
    let latency_us = mi::contacts(&server, "alice@127.0.0.1")[0]["Ping-Latency"].as_u64().unwrap();
    assert!((30_000..taken.as_micros() as u64).contains(&latency_us), "{latency_us}");
    assert!(server.log().contains(&format!("latency of alice@127.0.0.1 is {latency_us}")));
    assert!(mi::statistic(&server, "nathelper:answered_pings") >= 1);
}

#[test]
fn a_silent_phone_is_removed_and_a_speaking_one_stays() {
    let server =
        pinging("modparam(\"nathelper\", \"max_pings_lost\", 2)", "setbflag(PING); setbflag(REMOVE);");
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::udp(&server, "bob"));
    bob.register();
    alice.register();
    let deadline = Instant::now() + PATIENCE;
    while !server.log().contains(&format!("sip:bob@{} is gone", bob.address)) {
        let ping = next_ping(&mut alice);
        alice.send(&ping.reply(200, "OK", "a", "", ""));
        assert!(Instant::now() < deadline, "bob stays:\n{}", server.log());
    }
    assert_eq!(mi::contacts(&server, "alice@127.0.0.1").len(), 1);
    assert_eq!(mi::statistic(&server, "nathelper:lost_contacts"), 1);
}

#[test]
fn nobody_can_answer_for_another_phone() {
    let server =
        pinging("modparam(\"nathelper\", \"max_pings_lost\", 2)", "setbflag(PING); setbflag(REMOVE);");
    let (mut alice, bob) = (Phone::udp(&server, "alice"), Phone::udp(&server, "bob"));
    alice.register();
    // Bob's phone is dead; alice says that it is not, in the form of her own pings.
    let mut register = alice.register_request().with(format!("Contact: <{}>", bob.contact()));
    register.to = format!("<{}>", bob.aor());
    assert_eq!(alice.ask(&register).status(), 200);
    let deadline = Instant::now() + PATIENCE;
    while !server.log().contains(&format!("{} is gone", bob.contact())) {
        let ping = next_ping(&mut alice);
        alice.send(&ping.reply(200, "OK", "a", "", ""));
        let text = String::from_utf8(ping.reply(200, "OK", "a", "", "")).unwrap();
        let at = text.find("branch=z9hG4bK").unwrap() + 14 + 16;
        let other = if text.as_bytes()[at] == b'0' { "1" } else { "0" };
        alice.send(format!("{}{other}{}", &text[..at], &text[at + 1..]).as_bytes());
        assert!(Instant::now() < deadline, "bob stays:\n{}", server.log());
    }
}

#[test]
fn phones_over_tcp_are_pinged_over_their_open_connection_only() {
    let parameters =
        "modparam(\"nathelper\", \"natping_tcp\", 1)\nmodparam(\"nathelper\", \"max_pings_lost\", 2)";
    let server = pinging(parameters, "setbflag(REMOVE);");
    let mut phone = Phone::tcp(&server, "alice");
    phone.register();
    let ping = next_ping(&mut phone);
    assert!(ping.need("Via").starts_with(&format!("SIP/2.0/TCP {}", server.tcp())), "{ping:?}");
    phone.send(&ping.reply(200, "OK", "a", "", ""));
    let contact = phone.contact();
    drop(phone);
    let opened = mi::statistic(&server, "net:tcp_opened");
    server.wait_for_log(&format!("{contact} is gone"));
    assert_eq!(mi::statistic(&server, "net:tcp_opened"), opened);
}

#[test]
fn nh_enable_ping_switches_pinging_off_and_on() {
    let server = pinging("", "");
    let mut phone = Phone::udp(&server, "alice");
    phone.register();
    next_keep_alive(&mut phone);
    assert_eq!(mi::result(&server, "nh_enable_ping", json!({})), json!({ "Status": 1 }));
    assert_eq!(mi::result(&server, "nh_enable_ping", json!({ "status": 0 })), "OK");
    assert_eq!(mi::result(&server, "nathelper:nh_enable_ping", json!({})), json!({ "Status": 0 }));
    // What was on its way may still come.
    while phone.receive_within(Duration::from_millis(500)).is_some() {}
    assert!(phone.receive_within(Duration::from_millis(1500)).is_none());
    assert_eq!(mi::result(&server, "nh_enable_ping", json!([1])), "OK");
    next_keep_alive(&mut phone);
}

#[test]
fn pinging_that_the_script_does_not_ask_for_cannot_be_switched_on() {
    let server = Server::start(&format!("{MODULES}route {{ exit; }}"));
    assert_eq!(mi::error(&server, "nh_enable_ping", json!([1])), 400);
    assert_eq!(mi::result(&server, "nh_enable_ping", json!([])), json!({ "Status": 0 }));
}

#[test]
fn many_pings_do_not_come_at_once() {
    const CONTACTS: usize = 1000;
    let server = pinging("modparam(\"nathelper\", \"natping_interval\", 4)", "");
    let sink = UdpSocket::bind("127.0.0.1:0").unwrap();
    sink.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut phone = Phone::udp(&server, "alice");
    for number in 0..CONTACTS {
        let aor = format!("sip:user{number}@127.0.0.1");
        let contact = format!("sip:user{number}@{}", sink.local_addr().unwrap());
        let request = Request { to: format!("<{aor}>"), ..phone.register_request() };
        assert_eq!(phone.ask(&request.with(format!("Contact: <{contact}>"))).status(), 200);
    }
    // What has come by now belongs to an interval that began before all of them were there.
    let start = Instant::now();
    let mut in_window = [0; 40];
    let mut packet = [0; 64];
    while let Some(window) = in_window.get_mut(start.elapsed().as_millis() as usize / 100) {
        let length = sink.recv(&mut packet).unwrap();
        assert_eq!(&packet[..length], b"\r\n\r\n");
        *window += 1;
    }
    let all: usize = in_window.iter().sum();
    assert!((CONTACTS / 2..=2 * CONTACTS).contains(&all), "{all}");
    // 25 on average in 100 ms. The machine of the test may stall, but nothing that sends them all together passes.
    assert!(in_window.iter().skip(1).all(|count| *count < CONTACTS / 3), "{in_window:?}");
}
