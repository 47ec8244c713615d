//! What `mid_registrar_save()` forwards and absorbs, and with which flags.

use super::{MAIN, PHONE, found, front, gauge, granted, register, registered, sent, uri_of};
use crate::harness::{Request, Server, check_value, reply, route};

#[test]
fn mid_registrar_save_forwards_and_what_the_main_registrar_grants_holds_here() {
    for mode in 0..3 {
        let mut server = front(&format!("\"mode\", {mode}"), "");
        let run = server.receive(&register(1, PHONE));
        assert_eq!(run.log, ["1"]);
        let sent = run.only().clone();
        assert_eq!((sent.start(), &*sent.to), ("REGISTER sip:203.0.113.3:5070 SIP/2.0", MAIN));
        // Nothing holds before the 2xx.
        assert_eq!(server.node.location.domain("location").unwrap().statistics().contacts, 0);
        server.now_ms += 200;
        let lines =
            format!("{}Date: Sat, 21 Nov 2026 21:26:11 GMT\r\nService-Route: <sip:m;lr>\r\n", granted(&sent));
        let told = server.answer(&reply(&sent.text, 200, "OK", &lines));
        let told = told.only();
        assert_eq!(
            (told.start(), &*told.header("Contact"), &*told.header("Service-Route")),
            ("SIP/2.0 200 OK", PHONE, "<sip:m;lr>"),
            "{mode}"
        );
        assert_eq!(server.node.location.domain("location").unwrap().statistics().contacts, 1);
        let uri = uri_of(&sent);
        assert_eq!(found(&mut server, &uri), "1 sip:bob@198.51.100.7:5070", "{mode}");
        assert_eq!(server.counter("mid_registrar", "forwarded_regs"), 1);
        assert_eq!(server.counter("mid_registrar", "accepted_forwards"), 1);
        assert_eq!(gauge(&server, "upstream_latency"), 200);
    }
}

#[test]
fn mode_says_how_a_registration_is_forwarded_and_what_is_absorbed() {
    let own = "<sip:bob@192.0.2.1:5060;ctid=N>";
    assert_eq!(sent("\"mode\", 0", "", PHONE), format!("{own};expires=60"));
    assert_eq!(sent("\"mode\", 1", "", PHONE), format!("{own};expires=3600"));
    assert_eq!(sent("\"mode\", 2", "", PHONE), "<sip:bob%40example.com@192.0.2.1:5060>;expires=3600");
    for (mode, absorbs) in [(0, false), (1, true), (2, true)] {
        let mut server = front(&format!("\"mode\", {mode}"), "");
        registered(&mut server, &register(1, PHONE));
        let run = server.receive(&register(2, PHONE));
        assert_eq!(run.log, [if absorbs { "2" } else { "1" }], "{mode}");
        if absorbs {
            let told = run.only();
            assert_eq!((told.start(), &*told.header("Contact")), ("SIP/2.0 200 OK", PHONE));
            assert_eq!(told.header("Date"), "Sat, 21 Nov 2026 21:26:11 GMT");
            assert_eq!(server.counter("mid_registrar", "absorbed_regs"), 1);
            assert_eq!(gauge(&server, "absorb_ratio"), 5000);
        }
    }
}

#[test]
fn a_request_that_is_refused_here_gives_minus_one_and_is_not_forwarded() {
    let mut server = front("", "");
    let run = server.receive(&register(1, "*"));
    assert_eq!((run.log.join(""), run.only().start()), ("-1".to_owned(), "SIP/2.0 400 Bad Request"));
    assert_eq!(server.counter("mid_registrar", "refused_regs"), 1);
    let run = server.receive(&Request::new("OPTIONS sip:example.com"));
    assert_eq!(run.log.len(), 1);
    check_value("mid_registrar_save(\"location\")", &Request::new("OPTIONS sip:example.com"), -1);
    let options =
        Server::new(&route("mid_registrar_save(\"location\");")).receive(&Request::new("OPTIONS sip:a"));
    assert_eq!(options.only().start(), "SIP/2.0 501 Not Implemented");
}

#[test]
fn a_retransmission_stops_the_script_and_gets_the_same_answer() {
    let mut server = front("\"mode\", 1", "");
    let first = register(1, PHONE);
    let run = server.receive(&first);
    assert_eq!(run.log, ["1"]);
    // Before the answer of the main registrar nothing is said.
    assert_eq!((server.receive(&first).log.len(), server.receive(&first).sent.len()), (0, 0));
    let sent = run.only().clone();
    let told = server.answer(&reply(&sent.text, 200, "OK", &granted(&sent))).only().text.clone();
    let again = server.receive(&first);
    assert_eq!((again.log.len(), &*again.only().text), (0, &*told));
    // One that was absorbed.
    let second = register(2, PHONE);
    let told = server.receive(&second).only().text.clone();
    let again = server.receive(&second);
    assert_eq!((again.log.len(), &*again.only().text), (0, &*told));
    assert_eq!(server.node.fronts.all()[0].upstream.in_flight(), 0);
}

#[test]
fn the_flags_of_mid_registrar_save_do_what_they_do_for_save() {
    // no-reply: an absorbed request is answered by the script.
    for flags in ["no-reply", "r"] {
        let mut server = front("\"mode\", 1", &format!(", \"{flags}\""));
        registered(&mut server, &register(1, PHONE));
        let run = server.receive(&register(2, PHONE));
        assert_eq!((run.sent.len(), run.log.join("")), (0, "2".to_owned()), "{flags}");
    }
    for flags in ["memory-only", "m", "max-contacts=2", "c2"] {
        registered(&mut front("", &format!(", \"{flags}\"")), &register(1, PHONE));
    }
    let other = "<sip:bob@198.51.100.8>;expires=60";
    for flags in ["max-contacts=1,force-registration", "c1f"] {
        let mut server = front("\"mode\", 2", &format!(", \"{flags}\""));
        registered(&mut server, &register(1, PHONE));
        server.pass(1);
        let run = server.receive(&register(2, other));
        assert_eq!(run.only().header("Contact"), other, "{flags}");
    }
    for (flags, same) in [("matching-mode=rinstance", true), ("matching-mode=0", false), ("M1", false)] {
        let mut server = front("\"mode\", 2", &format!(", \"{flags}\""));
        registered(&mut server, &register(1, "<sip:bob@198.51.100.7;rinstance=1>;expires=60"));
        let run = server.receive(&register(2, "<sip:bob@198.51.100.8;rinstance=1>;expires=60"));
        let contacts = run.only().header("Contact").matches("expires=").count();
        assert_eq!(contacts, if same { 1 } else { 2 }, "{flags}");
    }
    for (flags, listed) in [("only-request-contacts", 1), ("o", 1), ("", 2)] {
        let mut server = front("\"mode\", 2", &format!(", \"{flags}\""));
        registered(&mut server, &register(1, PHONE));
        let run = server.receive(&register(2, other));
        assert_eq!(run.only().header("Contact").matches("expires=").count(), listed, "{flags}");
    }
}

#[test]
fn the_path_is_kept_here_and_not_shown_to_the_main_registrar() {
    let path = "<sip:edge@198.51.100.9;lr;received=sip:9.9.9.9:5099>";
    let request = |cseq| register(cseq, PHONE).header(&format!("Path: {path}"));
    for mode in 0..3 {
        let mode = format!("\"mode\", {mode}");
        let with = |flags: &str, supported: bool| {
            let mut server = front(&mode, &format!(", \"{flags}\""));
            let request = if supported { request(1).header("Supported: path") } else { request(1) };
            let (sent, told) = registered(&mut server, &request);
            assert_eq!(sent.header("Path"), "", "{mode}");
            // Calls reach the phone in each way of answering it.
            assert_eq!(found(&mut server, &uri_of(&sent)), "1 sip:bob@198.51.100.7:5070", "{mode} {flags}");
            told.only().header("Path")
        };
        assert_eq!((with("path-off", true), with("p0", true)), (String::new(), String::new()));
        assert_eq!((with("path-lazy", true), with("p1", false)), (path.to_owned(), String::new()));
        assert_eq!(with("path-strict", true), path, "{mode}");
        let run = front(&mode, ", \"p2\"").receive(&request(1));
        let told = run.only();
        assert_eq!((told.start(), &*told.header("Unsupported")), ("SIP/2.0 420 Bad Extension", "path"));
        assert_eq!(run.log, ["-1"], "{mode}");
        for flags in ["p0,path-received", "p0v"] {
            let mut server = front(&mode, &format!(", \"{flags}\""));
            let (_, told) = registered(&mut server, &request(1));
            let expected = format!("{PHONE};received=\"sip:9.9.9.9:5099\"");
            assert_eq!(told.only().header("Contact"), expected, "{mode} {flags}");
        }
    }
}

#[test]
fn the_aor_and_the_ownership_tag_can_be_given() {
    let mut server = front("\"mode\", 2", ", , \"sip:carol@example.com\", 600, \"vip\"");
    let (sent, _) = registered(&mut server, &register(1, PHONE));
    assert_eq!(sent.header("Contact"), "<sip:carol%40example.com@192.0.2.1:5060>;expires=600");
    let domain = server.node.location.domain("location").unwrap();
    let entry = domain.lock(b"carol@example.com", server.now_s);
    let tags: Vec<&[u8]> =
        entry.valid().map(|(_, binding)| domain.names().name(binding.ownership_tag)).collect();
    assert_eq!(tags, [b"vip"]);
}

#[test]
fn service_route_and_p_associated_uri_of_the_last_2xx_are_told_again() {
    for mode in [1, 2] {
        let mut server = front(&format!("\"mode\", {mode}"), "");
        let run = server.receive(&register(1, PHONE));
        let sent = run.only().clone();
        let lines = format!(
            "{}Service-Route: <sip:m;lr>\r\nP-Associated-URI: <sip:bob@example.com>\r\n",
            granted(&sent)
        );
        server.answer(&reply(&sent.text, 200, "OK", &lines));
        // Long enough for its answer to be (`max_reply_percent`).
        let refresh = register(2, PHONE).header(&format!("User-Agent: {}", "x".repeat(300)));
        let run = server.receive(&refresh);
        let told = run.only();
        assert_eq!(
            (&*told.header("Service-Route"), &*told.header("P-Associated-URI"), &*told.header("Contact")),
            ("<sip:m;lr>", "<sip:bob@example.com>", PHONE),
            "{mode}"
        );
        assert_eq!(server.counter("mid_registrar", "absorbed_regs"), 1);
    }
}

#[test]
fn absorb_verified_answers_only_the_source_that_was_accepted() {
    for mode in [1, 2] {
        for (absorb, log) in [("any", "2"), ("verified", "1")] {
            let mut server = front(&format!("\"mode\", {mode}\n\"absorb\", \"{absorb}\""), "");
            registered(&mut server, &register(1, PHONE));
            assert_eq!(server.receive(&register(2, PHONE)).log, ["2"], "{absorb}");
            // An attacker who knows everything that the phone says.
            let run = server.receive_at(0, "198.51.100.66:5070", &register(3, PHONE).text());
            assert_eq!(run.log, [log], "{mode} {absorb}");
        }
    }
}
