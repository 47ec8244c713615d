//! Calls and messages between phones over UDP: relay, fork, cancel, refuse, record the route.

use crate::harness::call::{Call, establish, invite, talk};
use crate::harness::scripts::{EXCHANGE, MODULES, exchange};
use crate::harness::{Phone, Server, unique};

/// A server and two registered phones.
fn exchange_with_two() -> (Server, Phone, Phone) {
    let server = Server::start(&exchange());
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::udp(&server, "bob"));
    alice.register();
    bob.register();
    (server, alice, bob)
}

#[test]
fn a_call_rings_is_answered_and_hung_up() {
    let (_server, mut alice, mut bob) = exchange_with_two();
    talk(&mut alice, &mut bob);
    alice.expect_silence();
    bob.expect_silence();
}

#[test]
fn phones_over_ipv6_call_each_other() {
    let server = Server::start_with(&exchange(), &["-l", "udp:[::1]:0"]);
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::udp(&server, "bob"));
    alice.register();
    bob.register();
    let call = establish(&mut alice, &mut bob);
    assert!(call.received.addresses("Record-Route")[0].contains("[::1]:"), "{:?}", call.received);
    call.hang_up_by_callee(&mut alice, &mut bob);
}

#[test]
fn the_callee_hangs_up() {
    let (_server, mut alice, mut bob) = exchange_with_two();
    let call = establish(&mut alice, &mut bob);
    call.hang_up_by_callee(&mut alice, &mut bob);
}

#[test]
fn the_route_is_recorded_once_and_followed() {
    let (server, mut alice, mut bob) = exchange_with_two();
    let call: Call = establish(&mut alice, &mut bob);
    let routes = call.received.addresses("Record-Route");
    assert_eq!(routes.len(), 1, "{routes:?}");
    assert!(routes[0].contains(&server.udp().to_string()) && routes[0].contains(";lr"), "{routes:?}");
    assert_eq!(call.answer.addresses("Record-Route"), routes);

    let bye = call.within(&alice, "BYE");
    alice.send(&bye.bytes());
    let received = bob.expect_request("BYE");
    assert!(received.header("Route").is_none(), "our own Route goes no further");
    assert_eq!(received.uri(), bob.contact());
}

#[test]
fn a_forwarded_request_has_our_via_on_top_and_one_hop_less() {
    let (server, mut alice, mut bob) = exchange_with_two();
    let request = alice.request("MESSAGE", &bob.aor()).with("X-Unknown:   kept ;; as,it ; is  ");
    alice.send(&request.bytes());
    let received = bob.expect_request("MESSAGE");
    let vias = received.all("Via");
    assert_eq!(vias.len(), 2);
    assert!(vias[0].starts_with(&format!("SIP/2.0/UDP {}", server.udp())), "{vias:?}");
    let branch = received.parameter("Via", "branch").unwrap();
    assert!(branch.starts_with("z9hG4bK") && branch != request.branch);
    // RFC 3581: where the request came from.
    assert!(vias[1].contains(&format!("rport={}", alice.address.port())), "{vias:?}");
    assert!(vias[1].contains("received=127.0.0.1"), "{vias:?}");
    assert_eq!(received.need("Max-Forwards"), "69");
    let verbatim = b"X-Unknown:   kept ;; as,it ; is  \r\n";
    assert!(received.bytes.windows(verbatim.len()).any(|window| window == verbatim));
}

#[test]
fn a_message_is_relayed_with_its_body_byte_for_byte() {
    let (_server, mut alice, mut bob) = exchange_with_two();
    let mut message = alice.request("MESSAGE", &bob.aor()).with("Content-Type: text/plain;charset=UTF-8");
    message.body = "Ahoj – 你好\r\n\r\nsecond part\0end".to_owned();
    alice.send(&message.bytes());
    let received = bob.expect_request("MESSAGE");
    assert_eq!(received.body, message.body.as_bytes());
    bob.send(&received.reply(202, "Accepted", "x", "", ""));
    let answer = alice.answer_to(&message);
    assert_eq!(answer.start, "SIP/2.0 202 Accepted");
    assert_eq!(answer.all("Via").len(), 1);
}

#[test]
fn a_retransmitted_request_reaches_the_callee_once() {
    let (_server, mut alice, mut bob) = exchange_with_two();
    let message = alice.request("MESSAGE", &bob.aor());
    alice.send(&message.bytes());
    let received = bob.expect_request("MESSAGE");
    bob.send(&received.reply(200, "OK", "x", "", ""));
    let first = alice.answer_to(&message);
    alice.send(&message.bytes());
    let second = alice.answer_to(&message);
    assert_eq!(first.bytes, second.bytes);
    bob.expect_silence();
}

#[test]
fn a_call_is_cancelled_while_it_rings() {
    let (_server, mut alice, mut bob) = exchange_with_two();
    let call = invite(&alice, &bob.aor());
    alice.send(&call.bytes());
    let received = bob.expect_request("INVITE");
    bob.send(&received.reply(180, "Ringing", "b", "", ""));
    while alice.answer_to(&call).status() != 180 {}

    let mut cancel = call.clone();
    cancel.method = "CANCEL".to_owned();
    cancel.headers.clear();
    cancel.body.clear();
    alice.send(&cancel.bytes());
    assert_eq!(alice.answer_to(&cancel).status(), 200);

    let cancelled = bob.expect_request("CANCEL");
    assert_eq!(cancelled.parameter("Via", "branch"), received.parameter("Via", "branch"));
    assert_eq!(cancelled.uri(), received.uri());
    bob.send(&cancelled.reply(200, "OK", "b", "", ""));
    bob.send(&received.reply(487, "Request Terminated", "b", "", ""));
    assert_eq!(bob.expect_request("ACK").need("CSeq"), "1 ACK");
    let answer = alice.answer_to(&call);
    assert_eq!(answer.status(), 487);
    acknowledge(&mut alice, &call, &answer);
    alice.expect_silence();
}

#[test]
fn a_cancel_that_matches_nothing_is_not_relayed() {
    let (_server, mut alice, mut bob) = exchange_with_two();
    let cancel = alice.request("CANCEL", &bob.aor());
    alice.send(&cancel.bytes());
    bob.expect_silence();
}

#[test]
fn a_call_forks_to_every_phone_and_the_losers_are_cancelled() {
    let server = Server::start(&exchange());
    let mut alice = Phone::udp(&server, "alice");
    let mut desk = Phone::udp(&server, "bob");
    let mut pocket = Phone::udp(&server, "bob");
    desk.register();
    pocket.register();

    let call = invite(&alice, &desk.aor());
    alice.send(&call.bytes());
    let at_desk = desk.expect_request("INVITE");
    let at_pocket = pocket.expect_request("INVITE");
    assert_ne!(at_desk.parameter("Via", "branch"), at_pocket.parameter("Via", "branch"));
    assert_eq!((at_desk.uri(), at_pocket.uri()), (desk.contact().as_str(), pocket.contact().as_str()));
    desk.send(&at_desk.reply(180, "Ringing", "desk", "", ""));
    pocket.send(&at_pocket.reply(180, "Ringing", "pocket", "", ""));
    let contact = format!("Contact: <{}>\r\n", pocket.contact());
    pocket.send(&at_pocket.reply(200, "OK", "pocket", &contact, ""));

    let cancelled = desk.expect_request("CANCEL");
    desk.send(&cancelled.reply(200, "OK", "desk", "", ""));
    desk.send(&at_desk.reply(487, "Request Terminated", "desk", "", ""));
    desk.expect_request("ACK");

    let answer = loop {
        let answer = alice.answer_to(&call);
        if answer.status() >= 200 {
            break answer;
        }
    };
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.parameter("To", "tag").unwrap(), "pocket");
}

#[test]
fn of_several_refusals_the_best_one_is_passed_on() {
    let server = Server::start(&exchange());
    let mut alice = Phone::udp(&server, "alice");
    let (mut desk, mut pocket) = (Phone::udp(&server, "bob"), Phone::udp(&server, "bob"));
    desk.register();
    pocket.register();
    let call = invite(&alice, &desk.aor());
    alice.send(&call.bytes());
    let at_desk = desk.expect_request("INVITE");
    desk.send(&at_desk.reply(503, "Service Unavailable", "desk", "", ""));
    let at_pocket = pocket.expect_request("INVITE");
    pocket.send(&at_pocket.reply(486, "Busy Here", "pocket", "", ""));
    let answer = loop {
        let answer = alice.answer_to(&call);
        if answer.status() >= 200 {
            break answer;
        }
    };
    assert_eq!(answer.status(), 486);
    acknowledge(&mut alice, &call, &answer);
    desk.expect_request("ACK");
    pocket.expect_request("ACK");
}

#[test]
fn a_busy_phone_is_acknowledged_by_the_server() {
    let (_server, mut alice, mut bob) = exchange_with_two();
    let call = invite(&alice, &bob.aor());
    alice.send(&call.bytes());
    let received = bob.expect_request("INVITE");
    bob.send(&received.reply(486, "Busy Here", "b", "", ""));
    let ack = bob.expect_request("ACK");
    assert_eq!(ack.parameter("Via", "branch"), received.parameter("Via", "branch"));
    assert_eq!(ack.parameter("To", "tag").as_deref(), Some("b"));
    while alice.answer_to(&call).status() != 486 {}
}

#[test]
fn a_call_to_nobody_is_answered_404() {
    let (_server, mut alice, _bob) = exchange_with_two();
    let call = invite(&alice, "sip:nobody@127.0.0.1");
    let answer = alice.ask(&call);
    assert_eq!(answer.status(), 404);
    acknowledge(&mut alice, &call, &answer);
    alice.expect_silence();
}

#[test]
fn a_request_without_hops_left_is_answered_483() {
    let (_server, mut alice, mut bob) = exchange_with_two();
    let mut message = alice.request("MESSAGE", &bob.aor());
    message.max_forwards = 0;
    assert_eq!(alice.ask(&message).status(), 483);
    bob.expect_silence();
}

#[test]
fn a_phone_that_does_not_offer_the_method_is_not_asked() {
    let script = EXCHANGE.replace("lookup(\"location\")", "lookup(\"location\", \"method-filtering\")");
    let server = Server::start(&format!("{MODULES}{script}"));
    let mut alice = Phone::udp(&server, "alice");
    let mut bob = Phone::udp(&server, "bob");
    bob.ask(&bob.register_for(600).with("Allow: INVITE, ACK, BYE, CANCEL"));
    assert_eq!(alice.ask(&alice.request("MESSAGE", &bob.aor())).status(), 404);
    bob.expect_silence();
    alice.send(&invite(&alice, &bob.aor()).bytes());
    bob.expect_request("INVITE");
}

#[test]
fn a_silent_phone_leads_to_408_and_the_failure_route() {
    let routing = EXCHANGE.replace("if (!t_relay())", "t_on_failure(\"late\"); if (!t_relay())");
    let late = "failure_route[late] { if (t_check_status(\"408\")) t_reply(480, \"Nobody Home\"); }";
    let quick = "modparam(\"tm\", \"fr_timeout\", 1)";
    let server = Server::start(&format!("{MODULES}{quick}\n{routing}\n{late}\n"));
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::udp(&server, "bob"));
    bob.register();
    let message = alice.request("MESSAGE", &bob.aor());
    assert_eq!(alice.ask(&message).start, "SIP/2.0 480 Nobody Home");
}

#[test]
fn the_failure_route_tries_another_destination() {
    let routing = EXCHANGE.replace("if (!t_relay())", "t_on_failure(\"next\"); if (!t_relay())");
    let next = "failure_route[next] { if (t_was_cancelled()) exit; if (t_check_status(\"486\")) \
                { $ru = \"sip:voicemail@127.0.0.1\"; if (lookup(\"location\")) t_relay(); } }";
    let server = Server::start(&format!("{MODULES}{routing}\n{next}\n"));
    let mut alice = Phone::udp(&server, "alice");
    let (mut bob, mut voicemail) = (Phone::udp(&server, "bob"), Phone::udp(&server, "voicemail"));
    bob.register();
    voicemail.register();
    let call = invite(&alice, &bob.aor());
    alice.send(&call.bytes());
    let received = bob.expect_request("INVITE");
    bob.send(&received.reply(486, "Busy Here", "b", "", ""));
    bob.expect_request("ACK");
    let recorded = voicemail.expect_request("INVITE");
    assert_eq!(recorded.uri(), voicemail.contact());
    voicemail.send(&recorded.reply(200, "OK", "v", &format!("Contact: <{}>\r\n", voicemail.contact()), ""));
    while alice.answer_to(&call).status() != 200 {}
}

#[test]
fn a_request_that_loops_is_stopped() {
    let script = "route { if (!mf_process_maxfwd_header(10)) { send_reply(483, \"Too Many Hops\"); exit; } \
                  $du = \"sip:127.0.0.1:\" + $Rp; if (!t_relay()) send_reply(500, \"Relay Failed\"); }";
    let server = Server::start(&format!("{MODULES}{script}\n"));
    let mut alice = Phone::udp(&server, "alice");
    let answer = alice.ask(&alice.request("MESSAGE", "sip:round@127.0.0.1"));
    assert!(matches!(answer.status(), 482 | 483), "{}", answer.start);
}

#[test]
fn a_reply_that_belongs_to_nothing_goes_nowhere() {
    let (server, mut alice, mut bob) = exchange_with_two();
    let stray = format!(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {};branch=z9hG4bK{}\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKx\r\n\
         From: <sip:a@b>;tag=1\r\nTo: <sip:b@b>;tag=2\r\nCall-ID: stray\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n",
        server.udp(),
        unique(),
        bob.address,
    );
    alice.send(stray.as_bytes());
    alice.expect_silence();
    alice.register();
    // A stateless element may pass on a reply with its own Via on top; a second Via that names a registered phone
    // proves nothing, so nothing but silence or that very reply is right.
    if let Some(message) = bob.receive_within(crate::harness::SILENCE) {
        assert_eq!(message.all("Via").len(), 1);
    }
}

/// The ACK of the caller for a refusal: hop by hop, in the INVITE's transaction.
fn acknowledge(caller: &mut Phone, call: &crate::harness::Request, answer: &crate::harness::Message) {
    let mut ack = call.clone();
    ack.method = "ACK".to_owned();
    ack.to = answer.need("To").to_owned();
    ack.headers.clear();
    ack.body.clear();
    caller.send(&ack.bytes());
}
