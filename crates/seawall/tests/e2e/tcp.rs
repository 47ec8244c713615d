//! Phones over TCP: registration, calls between transports, framing, keep-alive, limits.

use crate::harness::call::{establish, talk};
use crate::harness::scripts::{EXCHANGE, MODULES, exchange};
use crate::harness::{Phone, Server};
use std::time::Duration;

#[test]
fn a_tcp_phone_registers_and_is_called_on_its_connection() {
    let server = Server::start(&exchange());
    let mut alice = Phone::tcp(&server, "alice");
    let mut bob = Phone::tcp(&server, "bob");
    alice.register();
    bob.register();
    talk(&mut alice, &mut bob);
}

#[test]
fn a_call_from_udp_to_tcp_records_both_legs() {
    let server = Server::start(&exchange());
    let mut alice = Phone::udp(&server, "alice");
    let mut bob = Phone::tcp(&server, "bob");
    alice.register();
    bob.register();
    let call = establish(&mut alice, &mut bob);
    let routes = call.received.addresses("Record-Route");
    assert_eq!(routes.len(), 2, "one for each protocol: {routes:?}");
    assert!(routes[0].contains("transport=tcp"), "{routes:?}");
    assert!(routes.iter().all(|route| route.contains("r2=on")), "{routes:?}");
    call.hang_up(&mut alice, &mut bob);

    let call = establish(&mut bob, &mut alice);
    call.hang_up_by_callee(&mut bob, &mut alice);
}

#[test]
fn messages_in_one_segment_and_in_single_bytes_are_framed_alike() {
    let server = Server::start(&exchange());
    let mut alice = Phone::tcp(&server, "alice");
    let first = alice.register_for(600);
    let second = first.next();
    let joined = [first.bytes(), b"\r\n".to_vec(), second.bytes()].concat();
    alice.send(&joined);
    assert_eq!(alice.answer_to(&first).status(), 200);
    assert_eq!(alice.answer_to(&second).status(), 200);

    let third = second.next();
    for byte in third.bytes() {
        alice.send(&[byte]);
    }
    assert_eq!(alice.answer_to(&third).status(), 200);
}

#[test]
fn requests_of_one_connection_are_answered_in_order() {
    let server = Server::start(&exchange());
    let mut alice = Phone::tcp(&server, "alice");
    let first = alice.register_for(600);
    let requests: Vec<_> = (0..50)
        .scan(first, |last, _| {
            let now = last.clone();
            *last = last.next();
            Some(now)
        })
        .collect();
    let all: Vec<u8> = requests.iter().flat_map(|request| request.bytes()).collect();
    alice.send(&all);
    for request in &requests {
        let answer = alice.receive();
        assert_eq!(answer.need("CSeq"), format!("{} REGISTER", request.cseq));
        assert_eq!(answer.status(), 200);
    }
}

#[test]
fn a_keep_alive_ping_is_answered_with_a_pong() {
    let server = Server::start(&exchange());
    let mut alice = Phone::tcp(&server, "alice");
    alice.send(b"\r\n\r\n");
    assert_eq!(alice.read_raw(2), b"\r\n");
    alice.register();
}

#[test]
fn a_stream_that_cannot_be_framed_is_closed() {
    let server = Server::start(&exchange());
    for bytes in [
        &b"REGISTER sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKa\r\nContent-Length: -1\r\n\r\n"[..],
        b"REGISTER sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKa\r\nContent-Length: 99999999999\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is not SIP\r\n\r\n",
    ] {
        let mut mallory = Phone::tcp(&server, "mallory");
        mallory.send(bytes);
        mallory.expect_closed();
    }
    Phone::tcp(&server, "alice").register();
}

#[test]
fn a_connection_that_ends_in_the_middle_of_a_message_harms_nobody() {
    let server = Server::start(&exchange());
    let mut mallory = Phone::tcp(&server, "mallory");
    let whole = mallory.register_for(600).bytes();
    mallory.send(&whole[..whole.len() / 2]);
    drop(mallory);
    Phone::tcp(&server, "alice").register();
}

#[test]
fn a_phone_whose_connection_is_gone_is_not_waited_for() {
    // What is written just before the end of the connection is seen is lost without a word: then the timer answers.
    let server = Server::start(&format!("{MODULES}modparam(\"tm\", \"fr_timeout\", 2)\n{EXCHANGE}"));
    let mut alice = Phone::udp(&server, "alice");
    let mut bob = Phone::tcp(&server, "bob");
    bob.register();
    let bob_aor = bob.aor();
    drop(bob);
    let answer = alice.ask(&alice.request("MESSAGE", &bob_aor));
    assert!(answer.status() >= 400, "{}", answer.start);
}

#[test]
fn a_phone_that_lost_its_connection_is_called_on_the_new_one() {
    let server = Server::start(&exchange());
    let mut alice = Phone::udp(&server, "alice");
    let mut bob = Phone::tcp(&server, "bob");
    bob.register();
    drop(bob);
    // It comes back from another port, before the old binding has ended: the call forks to both, the old branch fails
    // at once because nobody listens there, and the new one is answered.
    let mut bob = Phone::tcp(&server, "bob");
    let answer = bob.register();
    assert_eq!(answer.contacts().len(), 2, "{:?}", answer.contacts());
    talk(&mut alice, &mut bob);

    // And again after it has replaced its bindings by hand, as a phone does that knows it moved.
    let mut star = bob.register_request().with("Contact: *").with("Expires: 0");
    star.call_id = "moved".to_owned();
    assert_eq!(bob.ask(&star).status(), 200);
    assert_eq!(bob.register().contacts().len(), 1);
    talk(&mut alice, &mut bob);
}

#[test]
fn a_tcp_caller_that_lost_its_connection_hears_the_end_of_its_call() {
    let server = Server::start(&exchange());
    let mut alice = Phone::tcp(&server, "alice");
    let mut bob = Phone::tcp(&server, "bob");
    alice.register();
    bob.register();
    let call = establish(&mut alice, &mut bob);
    let lost = alice;
    let mut alice = Phone::tcp(&server, "alice");
    drop(lost);
    // RFC 3261 section 18.2.2: answers to what comes by the new connection leave by it.
    call.hang_up(&mut alice, &mut bob);
}

#[test]
fn a_request_may_come_in_slowly() {
    let server = Server::start(&exchange());
    let mut alice = Phone::tcp(&server, "alice");
    let request = alice.register_for(600);
    for part in request.bytes().chunks(64) {
        alice.send(part);
        assert!(alice.receive_within(Duration::from_millis(20)).is_none_or(|answer| answer.status() == 200));
    }
    // Nothing was lost: the next one is answered too.
    assert_eq!(alice.ask(&request.next()).status(), 200);
}
