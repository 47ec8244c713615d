//! What the main registrar answers, or does not.

use super::{MAIN, PHONE, front, gauge, granted, register, registered, uri_of, with_script, without_id};
use crate::harness::{Packet, reply};

#[test]
fn on_reject_says_what_a_403_does_to_the_contact() {
    for (on_reject, left) in [("keep", 1), ("remove", 0)] {
        let mut server = front(&format!("\"mode\", 0\n\"on_reject\", \"{on_reject}\""), "");
        registered(&mut server, &register(1, PHONE));
        let sent = server.receive(&register(2, PHONE)).request("REGISTER").text.clone();
        let told = server.answer(&reply(&sent, 403, "Forbidden", ""));
        assert_eq!(told.only().start(), "SIP/2.0 403 Forbidden");
        let contacts = server.node.location.domain("location").unwrap().statistics().contacts;
        assert_eq!(contacts, left, "{on_reject}");
        assert_eq!(server.counter("mid_registrar", "rejected_forwards"), 1);
    }
}

#[test]
fn upstream_down_says_how_clients_are_answered_meanwhile() {
    for (upstream_down, code) in [("pass", "SIP/2.0 408 "), ("absorb", "SIP/2.0 200 OK")] {
        let parameters =
            format!("\"mode\", 1\n\"outgoing_expires\", 100\n\"upstream_down\", \"{upstream_down}\"");
        let mut server = front(&parameters, "");
        let server = &mut server;
        registered(server, &register(1, PHONE));
        server.pass(45);
        assert_eq!(server.receive(&register(2, PHONE)).log, ["1"]);
        let run = server.pass(31);
        let told = run.sent.iter().find(|packet| packet.to.ends_with("198.51.100.7:5070"));
        let start = told.map_or("", Packet::start);
        assert!(
            start.starts_with(code) || (code.contains("408") && start.is_empty()),
            "{upstream_down} {start}"
        );
        let contacts = server.node.location.domain("location").unwrap().statistics().contacts;
        assert_eq!(contacts, u64::from(upstream_down == "absorb"));
        assert_eq!(server.counter("mid_registrar", "survived_forwards"), contacts);
    }
}

#[test]
fn upstream_down_absorb_holds_for_a_5xx_and_for_a_destination_that_cannot_be_used() {
    let parameters = "\"mode\", 1\n\"outgoing_expires\", 100\n\"upstream_down\", \"absorb\"";
    let mut server = front(parameters, "");
    registered(&mut server, &register(1, PHONE));
    server.pass(45);
    let sent = server.receive(&register(2, PHONE)).request("REGISTER").text.clone();
    assert_eq!(server.answer(&reply(&sent, 503, "Busy", "")).only().start(), "SIP/2.0 200 OK");
    // A failure route comes first; what it leaves is answered here.
    let script = "mid_registrar_save(\"location\"); if ($rc == 1) { $ru = \"sip:203.0.113.3:5070\"; t_on_failure(\"next\"); t_relay(); }";
    let mut server = with_script(parameters, script, "failure_route[next] { xlog(\"failed\"); }\n");
    registered(&mut server, &register(1, PHONE));
    server.pass(45);
    let sent = server.receive(&register(2, PHONE)).request("REGISTER").text.clone();
    let run = server.answer(&reply(&sent, 500, "Broken", ""));
    assert_eq!((run.log.join(""), run.only().start()), ("failed".to_owned(), "SIP/2.0 200 OK"));
    // Nothing can be sent.
    let script = "mid_registrar_save(\"location\"); if ($rc == 1) { $ru = $hdr(X-Main); t_relay(\"no-auto-477\"); xlog(\"$rc\"); }";
    let mut server = with_script(parameters, script, "");
    registered(&mut server, &register(1, PHONE).header("X-Main: sip:203.0.113.3:5070"));
    server.pass(45);
    let run = server.receive(&register(2, PHONE).header("X-Main: sip:203.0.113.3:5070;transport=tls"));
    assert_eq!((run.log.join(""), run.only().start()), ("1".to_owned(), "SIP/2.0 200 OK"));
}

#[test]
fn a_423_is_tried_again_with_what_the_main_registrar_asks_for() {
    let mut server = front("\"mode\", 1", "");
    let sent = server.receive(&register(1, PHONE)).request("REGISTER").text.clone();
    let run = server.answer(&reply(&sent, 423, "Interval Too Brief", "Min-Expires: 7200\r\n"));
    let again = run.only().clone();
    assert_eq!(without_id(&again.header("Contact")), "<sip:bob@192.0.2.1:5060;ctid=N>;expires=7200");
    let told = server.answer(&reply(&again.text, 200, "OK", &granted(&again)));
    assert_eq!((told.only().start(), &*told.only().header("Contact")), ("SIP/2.0 200 OK", PHONE));
    // In mirror mode it is the client's business.
    let mut server = front("\"mode\", 0", "");
    let sent = server.receive(&register(1, PHONE)).request("REGISTER").text.clone();
    let run = server.answer(&reply(&sent, 423, "Interval Too Brief", "Min-Expires: 7200\r\n"));
    assert_eq!(run.only().start(), "SIP/2.0 423 Interval Too Brief");
}

#[test]
fn a_failure_route_can_take_the_next_main_registrar() {
    let script = "mid_registrar_save(\"location\"); if ($rc == 1) { $ru = \"sip:203.0.113.3:5070\"; t_on_failure(\"next\"); t_relay(); }";
    let next = "failure_route[next] { $ru = \"sip:203.0.113.4:5070\"; t_relay(); }\n";
    let mut server = with_script("\"mode\", 1", script, next);
    let sent = server.receive(&register(1, PHONE)).request("REGISTER").text.clone();
    let run = server.answer(&reply(&sent, 503, "Busy", ""));
    let second = run.only().clone();
    assert_eq!(
        (second.to.as_str(), second.start()),
        ("udp:203.0.113.4:5070", "REGISTER sip:203.0.113.4:5070 SIP/2.0")
    );
    assert_eq!(
        server.answer(&reply(&second.text, 200, "OK", &granted(&second))).only().start(),
        "SIP/2.0 200 OK"
    );
    // It is taken away from where it was registered.
    let run = server.pass(61);
    assert_eq!(
        (run.sent[0].to.as_str(), run.sent[0].start()),
        ("udp:203.0.113.4:5070", "REGISTER sip:203.0.113.4:5070 SIP/2.0")
    );
}

#[test]
fn a_contact_that_expires_is_taken_away_from_the_main_registrar() {
    for (mode, deregisters) in [(0, false), (1, true), (2, true)] {
        let mut server = front(&format!("\"mode\", {mode}"), "");
        let (sent, _) = registered(&mut server, &register(1, PHONE));
        assert_eq!(server.pass(59).sent.len(), 0);
        let run = server.pass(2);
        assert_eq!(!run.sent.is_empty(), deregisters, "{mode}");
        if deregisters {
            let gone = &run.sent[0];
            assert_eq!(
                (gone.to.as_str(), &*gone.from, gone.start()),
                (MAIN, "udp:192.0.2.1:5060", "REGISTER sip:203.0.113.3:5070 SIP/2.0")
            );
            let contact = format!("<{}>;expires=0", uri_of(&sent));
            assert_eq!((gone.header("Contact"), &*gone.header("To")), (contact, "<sip:bob@example.com>"));
            // The Call-ID of the phone, counted on; in AoR mode one of ours, for the contact is that of all its phones.
            let is_kept =
                gone.header("Call-ID") == "call-1@example.com" && gone.header("CSeq") == "2 REGISTER";
            assert_eq!(is_kept, mode == 1, "{}", gone.text);
            assert_eq!(server.counter("mid_registrar", "sent_deregs"), 1);
            server.answer(&reply(&gone.text, 200, "OK", ""));
            assert_eq!(server.counter("mid_registrar", "acknowledged_deregs"), 1);
            assert_eq!(gauge(&server, "pending_deregs"), 0);
            assert_eq!(server.pass(100).sent.len(), 0);
        }
    }
}

#[test]
fn a_main_registrar_that_is_known_to_be_silent_is_not_waited_for() {
    for mode in 0..3 {
        let parameters =
            format!("\"mode\", {mode}\n\"upstream_down\", \"absorb\"\n\"outgoing_expires\", 100");
        let mut server = front(&parameters, "");
        let of = |user: u32, cseq: u32| {
            let contact = format!("<sip:u{user}@198.51.100.7:5070>;expires=100");
            register(cseq, &contact).to(&format!("<sip:u{user}@example.com>")).call_id(&format!("c{user}"))
        };
        for user in 1..6 {
            registered(&mut server, &of(user, user));
        }
        // It falls silent. The first ones wait for it, and are answered here then.
        server.pass(20);
        for user in 1..4 {
            assert_eq!(server.receive(&of(user, 10 + user)).log, ["1"], "{mode}");
        }
        assert_eq!(gauge(&server, "upstream_silent"), 0);
        server.pass(31);
        assert_eq!(gauge(&server, "upstream_silent"), 1, "{mode}");
        assert_eq!(server.counter("mid_registrar", "survived_forwards"), 3);
        // One in a second is sent there to see whether it is back, the others are answered at once.
        assert_eq!(server.receive(&of(4, 21)).log, ["1"], "{mode}");
        let run = server.receive(&of(5, 22));
        assert_eq!((run.log.join(""), run.only().start()), ("2".to_owned(), "SIP/2.0 200 OK"));
        // Who is not known is sent there as ever.
        assert_eq!(server.receive(&of(9, 23)).log, ["1"]);
        server.pass(2);
        let run = server.receive(&of(1, 24));
        assert_eq!(run.log, ["1"], "{mode}");
        let sent = run.request("REGISTER").clone();
        server.answer(&reply(&sent.text, 200, "OK", &granted(&sent)));
        assert_eq!(gauge(&server, "upstream_silent"), 0);
        assert_eq!(server.receive(&of(2, 25)).log, ["1"], "{mode}");
    }
}
