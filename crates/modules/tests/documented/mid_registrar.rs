//! Module `mid_registrar`: a registrar in front of a main registrar.

use crate::harness::{
    Packet, Request, Run, Server, check_loads, check_parameters, check_quiet, check_refused, check_value,
    check_warned, reply, route, row,
};

const PHONE: &str = "<sip:bob@198.51.100.7:5070>;expires=60";
const MAIN: &str = "udp:203.0.113.3:5070";

/// A server with these parameters, whose `route{}` is that of examples 1.34 and 1.35; `flags` are further arguments of
/// `mid_registrar_save()`.
fn front(parameters: &str, arguments: &str) -> Server {
    with_script(
        parameters,
        &format!(
            "if (is_method(\"REGISTER\")) {{
                $avp(rcv) = \"sip:198.51.100.7:5070\";
                mid_registrar_save(\"location\"{arguments});
                $var(rc) = $rc;
                xlog(\"$var(rc)\");
                switch ($var(rc)) {{
                case 1:
                    $ru = \"sip:203.0.113.3:5070\";
                    if (!t_relay()) {{
                        send_reply(500, \"Server Internal Error 1\");
                    }}
                    break;
                case 2:
                    break;
                default:
                    exit;
                }}
                exit;
            }}
            mid_registrar_lookup(\"location\"); xlog(\"$rc $ru\");"
        ),
        "",
    )
}

fn with_script(parameters: &str, statements: &str, routes: &str) -> Server {
    let parameters: String =
        parameters.lines().map(|line| format!("modparam(\"mid_registrar\", {})\n", line.trim())).collect();
    Server::new(&format!(
        "{}{routes}",
        route(statements).replacen("route {", &format!("{parameters}\nroute {{"), 1)
    ))
}

/// A REGISTER of bob with this CSeq.
fn register(cseq: u32, contact: &str) -> Request {
    let via = format!("SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK-r-{cseq}");
    Request::register(&[contact]).via(&via).cseq(cseq)
}

/// An answer of the main registrar that grants all that was asked for.
fn granted(sent: &Packet) -> String {
    let general = sent.header("Expires");
    let grant = |contact: &str| {
        let uri = contact.split('>').next()?.split('<').nth(1)?;
        let asked = contact.split(";expires=").nth(1).unwrap_or(&general);
        (asked != "0").then(|| format!("Contact: <{uri}>;expires={asked}\r\n"))
    };
    sent.header("Contact").split(", ").filter_map(grant).collect()
}

/// Registers, and lets the main registrar grant it: what was sent to it, and what the client got.
#[track_caller]
fn registered(server: &mut Server, request: &Request) -> (Packet, Run) {
    let run = server.receive(request);
    let sent = run.request("REGISTER").clone();
    assert_eq!(sent.to, MAIN);
    let told = server.answer(&reply(&sent.text, 200, "OK", &granted(&sent)));
    (sent, told)
}

/// What the main registrar gets for a first registration.
#[track_caller]
fn sent(parameters: &str, arguments: &str, contact: &str) -> String {
    let mut server = front(parameters, arguments);
    let run = server.receive(&register(1, contact));
    without_id(&run.request("REGISTER").header("Contact"))
}

/// A text with `N` for every contact id.
fn without_id(text: &str) -> String {
    let is_id = |word: &str| word.len() > 12 && word.bytes().all(|byte| byte.is_ascii_digit());
    let mut shown = String::new();
    for word in text.split_inclusive(|character: char| !character.is_ascii_digit()) {
        let digits = word.trim_end_matches(|character: char| !character.is_ascii_digit());
        shown.push_str(if is_id(digits) { "N" } else { digits });
        shown.push_str(&word[digits.len()..]);
    }
    shown
}

/// The value of a statistic that is worked out when it is asked for.
fn gauge(server: &Server, name: &str) -> u64 {
    let gauges = seawall_modules::mid_registrar::gauges(&server.node);
    gauges.into_iter().find(|(known, _)| *known == name).unwrap().1
}

/// Where a request of the main registrar for this URI goes.
fn found(server: &mut Server, uri: &str) -> String {
    let via = format!("SIP/2.0/UDP 203.0.113.3:5070;branch=z9hG4bK-{}{}", server.now_ms, uri.len());
    let invite = Request::new(&format!("INVITE {uri}")).via(&via);
    server.receive_at(0, "203.0.113.3:5070", &invite.text()).log.join("")
}

/// The URI of a forwarded contact.
fn uri_of(sent: &Packet) -> String {
    sent.header("Contact").split('>').next().unwrap().split('<').nth(1).unwrap().to_owned()
}

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
fn contact_id_insertion_and_contact_id_param_say_where_the_id_stands() {
    for value in ["\"ct-param\"", "0"] {
        let parameters = format!("\"mode\", 1\n\"contact_id_insertion\", {value}");
        assert_eq!(sent(&parameters, "", PHONE), "<sip:bob@192.0.2.1:5060;ctid=N>;expires=3600");
    }
    for value in ["\"ct-username\"", "1"] {
        let parameters = format!("\"mode\", 1\n\"contact_id_insertion\", {value}");
        assert_eq!(sent(&parameters, "", PHONE), "<sip:N@192.0.2.1:5060>;expires=3600");
        let mut server = front(&parameters, "");
        let (sent, _) = registered(&mut server, &register(1, PHONE));
        assert_eq!(found(&mut server, &uri_of(&sent)), "1 sip:bob@198.51.100.7:5070");
    }
    let parameters = "\"mode\", 1\n\"contact_id_param\", \"cid\"";
    assert_eq!(sent(parameters, "", PHONE), "<sip:bob@192.0.2.1:5060;cid=N>;expires=3600");
    let mut server = front(parameters, "");
    let (sent, _) = registered(&mut server, &register(1, PHONE));
    assert_eq!(found(&mut server, &uri_of(&sent)), "1 sip:bob@198.51.100.7:5070");
    assert_eq!(
        found(&mut server, &uri_of(&sent).replace("cid", "ctid")),
        "-1 sip:bob@192.0.2.1:5060;ctid=".to_owned() + uri_of(&sent).split('=').nth(1).unwrap()
    );
}

#[test]
fn at_escape_str_stands_for_the_at_sign() {
    let parameters = "\"mode\", 2\n\"at_escape_str\", \"___\"";
    assert_eq!(sent(parameters, "", PHONE), "<sip:bob___example.com@192.0.2.1:5060>;expires=3600");
    let mut server = front(parameters, "");
    registered(&mut server, &register(1, PHONE));
    assert_eq!(found(&mut server, "sip:bob___example.com@192.0.2.1:5060"), "1 sip:bob@198.51.100.7:5070");
}

#[test]
fn outgoing_expires_is_the_least_that_is_asked_for() {
    let own = |expires: &str| format!("<sip:bob@192.0.2.1:5060;ctid=N>;expires={expires}");
    assert_eq!(sent("\"mode\", 1\n\"outgoing_expires\", 900", "", PHONE), own("900"));
    assert_eq!(sent("\"mode\", 1\n\"outgoing_expires\", 30", "", PHONE), own("60"));
    assert_eq!(sent("\"mode\", 1\n\"outgoing_expires\", 900", ", , , 1200", PHONE), own("1200"));
    assert_eq!(sent("\"mode\", 0\n\"outgoing_expires\", 900", ", , , 1200", PHONE), own("60"));
}

#[test]
fn extra_contact_params_avp_is_added_to_every_contact() {
    let with = |value: &str, mode: u8| {
        let script = format!(
            "$avp(extra) = \"{value}\"; mid_registrar_save(\"location\"); $ru = \"sip:203.0.113.3:5070\"; t_relay();"
        );
        let parameters = format!("\"mode\", {mode}\n\"extra_contact_params_avp\", \"$avp(extra)\"");
        let run = with_script(&parameters, &script, "").receive(&register(1, PHONE));
        without_id(&run.request("REGISTER").header("Contact"))
    };
    assert_eq!(with(";transport=tls", 1), "<sip:bob@192.0.2.1:5060;ctid=N;transport=tls>;expires=3600");
    assert_eq!(with(";x=y", 2), "<sip:bob%40example.com@192.0.2.1:5060;x=y>;expires=3600");
    assert_eq!(with(">;x", 1), "<sip:bob@192.0.2.1:5060;ctid=N>;expires=3600");
}

#[test]
fn received_avp_received_param_and_attr_avp_belong_to_the_contact() {
    let script = "if (is_method(\"REGISTER\")) {
            $avp(rcv) = \"sip:9.9.9.9:5099\"; $avp(attr) = \"contact_info\";
            if (mid_registrar_save(\"location\") == 1) { $ru = \"sip:203.0.113.3:5070\"; t_relay(); }
            exit;
        }
        mid_registrar_lookup(\"location\"); xlog(\"$rc $ru $du $(msg.branch.attr(attr)[0])\");";
    let parameters = "\"mode\", 1\n\"received_avp\", \"$avp(rcv)\"\n\"received_param\", \"rcv\"\n\"attr_avp\", \"$avp(attr)\"";
    let mut server = with_script(parameters, script, "");
    let (sent, told) = registered(&mut server, &register(1, PHONE));
    assert_eq!(told.only().header("Contact"), format!("{PHONE};rcv=\"sip:9.9.9.9:5099\""));
    let found = found(&mut server, &uri_of(&sent));
    assert_eq!(found, "1 sip:bob@198.51.100.7:5070 sip:9.9.9.9:5099 contact_info");
}

#[test]
fn min_expires_default_expires_max_expires_and_default_q_bound_what_the_client_gets() {
    let told = |parameters: &str, contact: &str| {
        let mut server = front(&format!("\"mode\", 1\n{parameters}"), "");
        registered(&mut server, &register(1, contact)).1.only().header("Contact")
    };
    let bob = "<sip:bob@198.51.100.7:5070>";
    assert_eq!(told("", &format!("{bob};expires=5")), format!("{bob};expires=10"));
    assert_eq!(told("\"min_expires\", 600", PHONE), format!("{bob};expires=600"));
    assert_eq!(told("", bob), format!("{bob};expires=3600"));
    assert_eq!(told("\"default_expires\", 1800", bob), format!("{bob};expires=1800"));
    assert_eq!(told("", &format!("{bob};expires=9999")), format!("{bob};expires=3600"));
    assert_eq!(told("\"max_expires\", 7200", &format!("{bob};expires=9999")), format!("{bob};expires=7200"));
    assert_eq!(told("\"default_q\", 380", PHONE), format!("{bob};q=0.38;expires=60"));
}

#[test]
fn expires_max_deviation_spreads_lifetimes() {
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let mut server = front("\"mode\", 1\n\"expires_max_deviation\", 20", "");
        let told = registered(&mut server, &register(1, PHONE)).1.only().header("Contact");
        seen.insert(told.split("expires=").nth(1).unwrap().parse::<u32>().unwrap());
    }
    assert!(seen.len() > 5 && seen.iter().all(|expires| (40..=80).contains(expires)), "{seen:?}");
}

#[test]
fn max_contacts_and_retry_after_refuse_with_503() {
    let mut server = front("\"mode\", 2\n\"max_contacts\", 1\n\"retry_after\", 30", "");
    registered(&mut server, &register(1, PHONE));
    let run = server.receive(&register(2, "<sip:bob@198.51.100.8>"));
    let told = run.only();
    assert_eq!((told.start(), &*told.header("Retry-After")), ("SIP/2.0 503 Service Unavailable", "30"));
    assert_eq!(run.log, ["-1"]);
}

#[test]
fn max_username_len_max_domain_len_max_aor_len_and_max_contact_len_are_bounds() {
    let refused = |parameter: &str, contact: &str| {
        let run = front(parameter, "").receive(&register(1, contact));
        (run.log.join(""), run.sent.last().unwrap().header("P-Registrar-Error"))
    };
    for parameter in ["\"max_username_len\", 2", "\"max_domain_len\", 10", "\"max_aor_len\", 10"] {
        assert_eq!(refused(parameter, PHONE), ("-1".to_owned(), "Address Of Record too long".to_owned()));
    }
    let long = refused("\"max_contact_len\", 20", PHONE);
    assert_eq!(long, ("-1".to_owned(), "Contact/received too long".to_owned()));
    assert_eq!(refused("", PHONE).0, "1");
}

#[test]
fn realm_prefix_and_case_sensitive_say_which_aors_are_the_same() {
    let whole = |parameters: &str, to: &str| {
        let mut server = front(&format!("\"mode\", 2\n{parameters}"), "");
        let run = server.receive(&register(1, PHONE).to(to));
        run.request("REGISTER").header("Contact")
    };
    let expected = |aor: &str| format!("<sip:{aor}@192.0.2.1:5060>;expires=3600");
    assert_eq!(whole("", "<sip:Bob@sip.example.com>"), expected("Bob%40sip.example.com"));
    assert_eq!(
        whole("\"realm_prefix\", \"sip.\"", "<sip:Bob@sip.example.com>"),
        expected("Bob%40example.com")
    );
    assert_eq!(whole("\"case_sensitive\", 0", "<sip:Bob@example.com>"), expected("bob%40example.com"));
}

#[test]
fn disable_gruu_and_gruu_secret_give_out_gruus() {
    let with = "\"mode\", 1\n\"disable_gruu\", 0\n\"gruu_secret\", \"my_secret\"";
    let phone = format!("{PHONE};+sip.instance=\"<urn:uuid:7>\"");
    for (parameters, gives) in [(with, true), ("\"mode\", 1", false)] {
        let mut server = front(parameters, "");
        let (_, told) = registered(&mut server, &register(1, &phone).header("Supported: gruu"));
        let contact = told.only().header("Contact");
        assert_eq!(contact.contains("pub-gruu=\"sip:bob@example.com;gr=urn:uuid:7\""), gives, "{contact}");
        if gives {
            assert_eq!(
                found(&mut server, "sip:bob@example.com;gr=urn:uuid:7"),
                "1 sip:bob@198.51.100.7:5070"
            );
        }
    }
}

#[test]
fn tcp_persistent_flag_keeps_the_connection_as_long_as_the_contact() {
    let script = "setflag(\"KEEP\"); if (mid_registrar_save(\"location\") == 1) { $ru = \"sip:203.0.113.3:5070\"; t_relay(, ); }";
    let script = script.replace("t_relay(, )", "t_relay()");
    let contact = "<sip:bob@198.51.100.7:5070;transport=tcp>;expires=60";
    for (parameters, keeps) in
        [("\"mode\", 1\n\"tcp_persistent_flag\", \"KEEP\"", true), ("\"mode\", 1", false)]
    {
        let mut server = with_script(parameters, &script, "");
        let text = |cseq| {
            let via = format!("SIP/2.0/TCP 198.51.100.7:5070;branch=z9hG4bK-t-{cseq}");
            register(cseq, contact).via(&via).text()
        };
        let run = server.receive_at(1, "198.51.100.7:5070", &text(1));
        let sent = run.request("REGISTER").clone();
        let told = server.answer(&reply(&sent.text, 200, "OK", &granted(&sent)));
        assert_eq!(told.keep_connection_s.len(), usize::from(keeps));
        server.pass(10);
        let run = server.receive_at(1, "198.51.100.7:5070", &text(2));
        let expected: Vec<u64> = if keeps { vec![server.now_s + 65] } else { Vec::new() };
        assert_eq!(run.keep_connection_s, expected);
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
            assert_eq!((gone.header("Contact"), gone.header("CSeq")), (contact, "2 REGISTER".to_owned()));
            assert_eq!(
                (gone.header("Call-ID"), gone.header("To")),
                ("call-1@example.com".to_owned(), "<sip:bob@example.com>".to_owned())
            );
            assert_eq!(server.counter("mid_registrar", "sent_deregs"), 1);
            server.answer(&reply(&gone.text, 200, "OK", ""));
            assert_eq!(server.counter("mid_registrar", "acknowledged_deregs"), 1);
            assert_eq!(gauge(&server, "pending_deregs"), 0);
            assert_eq!(server.pass(100).sent.len(), 0);
        }
    }
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
    let with = |flags: &str, supported: bool| {
        let mut server = front("\"mode\", 1", &format!(", \"{flags}\""));
        let request = if supported { request(1).header("Supported: path") } else { request(1) };
        let (sent, told) = registered(&mut server, &request);
        assert_eq!(sent.header("Path"), "");
        told.only().header("Path")
    };
    assert_eq!((with("path-off", true), with("p0", true)), (String::new(), String::new()));
    assert_eq!((with("path-lazy", true), with("p1", false)), (path.to_owned(), String::new()));
    assert_eq!(with("path-strict", true), path);
    let run = front("\"mode\", 1", ", \"p2\"").receive(&request(1));
    let told = run.only();
    assert_eq!((told.start(), &*told.header("Unsupported")), ("SIP/2.0 420 Bad Extension", "path"));
    assert_eq!(run.log, ["-1"]);
    for flags in ["p0,path-received", "p0v"] {
        let mut server = front("\"mode\", 1", &format!(", \"{flags}\""));
        let (_, told) = registered(&mut server, &request(1));
        assert_eq!(
            told.only().header("Contact"),
            format!("{PHONE};received=\"sip:9.9.9.9:5099\""),
            "{flags}"
        );
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
fn mid_registrar_lookup_finds_what_a_request_of_the_main_registrar_is_for() {
    for mode in [0, 1] {
        let mut server = front(&format!("\"mode\", {mode}"), "");
        let (sent, _) = registered(&mut server, &register(1, PHONE));
        let uri = uri_of(&sent);
        assert_eq!(found(&mut server, &uri), "1 sip:bob@198.51.100.7:5070");
        let own = if mode == 0 { "1 sip:bob@198.51.100.7:5070" } else { "-1 sip:bob@example.com" };
        assert_eq!(found(&mut server, "sip:bob@example.com"), own);
        let nobody = format!("{}1", uri.trim_end_matches(|c: char| c.is_ascii_digit()));
        assert_eq!(found(&mut server, &nobody), format!("-1 {nobody}"));
    }
    let mut server = front("\"mode\", 2", "");
    registered(&mut server, &register(1, PHONE));
    server.receive(&register(2, "<sip:bob@198.51.100.8>;q=0.9;expires=60"));
    assert_eq!(found(&mut server, "sip:bob%40example.com@192.0.2.1:5060"), "1 sip:bob@198.51.100.8");
    assert_eq!(
        found(&mut server, "sip:carol%40example.com@192.0.2.1:5060"),
        "-1 sip:carol%40example.com@192.0.2.1:5060"
    );
    assert_eq!(found(&mut server, "tel:+4930"), "-3 tel:+4930");
}

#[test]
fn the_flags_of_mid_registrar_lookup_work_in_every_mode() {
    // Both phones can be called, but only one of them takes a MESSAGE.
    let first = "<sip:bob@198.51.100.7:5070>;q=0.1;expires=60;methods=\"INVITE\"";
    let second = "<sip:bob@198.51.100.8:5070>;q=0.9;expires=60";
    let run = |mode: u8, flags: &str, start: &str| {
        let script = format!(
            "if (is_method(\"REGISTER\")) {{ if (mid_registrar_save(\"location\") == 1) {{ $ru = \"sip:203.0.113.3:5070\"; t_relay(); }} exit; }}
             mid_registrar_lookup(\"location\", \"{flags}\"); xlog(\"$rc $ru $(branch(uri)[*])\");"
        );
        let mut server = with_script(&format!("\"mode\", {mode}"), &script, "");
        let (sent, _) = registered(&mut server, &register(1, first).header("User-Agent: Desk/1"));
        let second = register(2, second).header("User-Agent: Soft/2");
        if mode == 2 {
            server.receive(&second);
        } else {
            registered(&mut server, &second);
        }
        let uri = if mode == 0 { "sip:bob@example.com".to_owned() } else { uri_of(&sent) };
        let request =
            Request::new(&format!("{start} {uri}")).via("SIP/2.0/UDP 203.0.113.3:5070;branch=z9hG4bK-l");
        server
            .receive_at(0, "203.0.113.3:5070", &request.text())
            .log
            .join("")
            .replace(" <null>", "")
            .replace(&uri, "URI")
    };
    let (one, two) = ("sip:bob@198.51.100.7:5070", "sip:bob@198.51.100.8:5070");
    for mode in [0, 2] {
        assert_eq!(run(mode, "", "INVITE"), format!("1 {two} {one}"), "{mode}");
        for flags in ["no-branches", "b"] {
            assert!(run(mode, flags, "INVITE").starts_with(&format!("1 {two}")), "{mode} {flags}");
        }
        assert_eq!(run(mode, "B", "INVITE"), run(mode, "to-branches-only", "INVITE"));
        assert!(run(mode, "to-branches-only", "INVITE").starts_with("1 URI "), "{mode}");
        assert!(run(mode, "method-filtering", "MESSAGE").starts_with(&format!("1 {two}")), "{mode}");
        assert!(
            run(mode, "ua-filtering=/^desk/,case-insensitive,extended-regexp", "INVITE")
                .starts_with(&format!("1 {one}"))
        );
        assert!(
            run(mode, "ua-filtering=/^Soft/,sort-by-latency,max-ping-latency=5,branch", "INVITE")
                .starts_with(&format!("1 {two}"))
        );
    }
    assert!(run(1, "", "INVITE").starts_with(&format!("1 {one}")));
    for flags in ["method-filtering", "m"] {
        assert_eq!(run(1, flags, "MESSAGE"), "-2 URI", "{flags}");
    }
    for flags in ["ua-filtering=/^Soft/", "u/^Soft/"] {
        assert_eq!(run(1, flags, "INVITE"), "-1 URI", "{flags}");
    }
    assert!(run(1, "to-branches-only", "INVITE").starts_with(&format!("1 URI {one}")));
    check_loads("mid_registrar_lookup(\"location\", \"global\");");
    check_loads("mid_registrar_lookup(\"location\", \"no-branches\", \"sip:a@b\");");
}

#[test]
fn wrong_arguments_are_refused_where_they_stand() {
    check_refused(
        "§mid_registrar_save();",
        &["mid_registrar_save(domain[, flags[, aor[, outgoing_expires[, ownership_tag]]]])"],
    );
    check_refused("mid_registrar_save(§\"a b\");", &["letters, digits and _"]);
    check_refused("mid_registrar_save(\"location\", §\"no-replay\");", &["no-reply"]);
    check_refused("mid_registrar_save(\"location\", §\"socket-header\");", &["save() only"]);
    check_refused("mid_registrar_save(\"location\", §\"min-expires=5\");", &["save() only"]);
    check_refused("mid_registrar_save(\"location\", , , §-1);", &["must not be negative"]);
    check_refused("mid_registrar_save(\"location\", , , , §\"a b\");", &["sharing tag"]);
    check_refused("§mid_registrar_lookup();", &["mid_registrar_lookup(domain[, flags[, aor]])"]);
    check_refused("mid_registrar_lookup(§\"a b\");", &["letters, digits and _"]);
    check_refused("mid_registrar_lookup(\"location\", §\"metod-filtering\");", &["method-filtering"]);
}

#[test]
fn the_parameters_are_those_of_the_document_and_three_more() {
    let negative = "must not be negative";
    let seconds = |name, default| row(name, default, "5", "-1", negative);
    check_parameters(
        "mid_registrar",
        &[
            row("mode", "0", "2", "3", "AoR throttling"),
            row("contact_id_insertion", "ct-param", "\"ct-username\"", "\"ct-user\"", "ct-username"),
            row("contact_id_param", "ctid", "\"id\"", "\"a b\"", "name of a parameter"),
            row("at_escape_str", "%40", "\"___\"", "\"@\"", "user part"),
            seconds("outgoing_expires", "3600"),
            row("received_avp", "", "\"$avp(rcv)\"", "1", "takes a string"),
            row("received_param", "received", "\"rcv\"", "\"a b\"", "name of a parameter"),
            row("extra_contact_params_avp", "", "\"$avp(extra)\"", "1", "takes a string"),
            row("attr_avp", "", "\"$avp(attr)\"", "1", "takes a string"),
            seconds("min_expires", "10"),
            seconds("default_expires", "3600"),
            seconds("max_expires", "3600"),
            row("default_q", "0", "380", "1001", "from 0 to 1000"),
            row("tcp_persistent_flag", "", "\"KEEP\"", "3", "flag"),
            row("realm_prefix", "", "\"sip.\"", "3", "string"),
            row("case_sensitive", "1", "0", "\"x\"", ""),
            seconds("expires_max_deviation", "0"),
            seconds("max_contacts", "0"),
            seconds("max_username_len", "64"),
            seconds("max_domain_len", "64"),
            seconds("max_aor_len", "256"),
            seconds("max_contact_len", "512"),
            seconds("retry_after", "0"),
            row("disable_gruu", "1", "0", "2", "0 or 1"),
            row("gruu_secret", "0p3nS1pS", "\"s\"", "\"\"", "must not be empty"),
            row("pn_enable", "0", "false", "\"maybe\"", "integer"),
            row("pn_providers", "", "\"apns\"", "3", "string"),
            row(
                "pn_ct_match_params",
                "pn-provider, pn-prid, pn-param",
                "\"pn-prid\"",
                "\"pn-param\"",
                "pn-prid",
            ),
            seconds("pn_pnsreg_interval", "130"),
            seconds("pn_trigger_interval", "120"),
            seconds("pn_skip_pn_interval", "0"),
            row("pn_refresh_timeout", "6", "10", "181", "from 1 to 180"),
            row("pn_enable_purr", "0", "1", "\"x\"", ""),
            row("absorb", "any", "\"verified\"", "\"some\"", "verified"),
            row("on_reject", "keep", "\"remove\"", "\"drop\"", "remove"),
            row("upstream_down", "pass", "\"absorb\"", "\"hide\"", "absorb"),
        ],
    );
}

#[test]
fn an_open_aor_mode_and_the_known_gruu_secret_are_warned_about() {
    let script = |parameters: &str, statements: &str| {
        route(&format!("mid_registrar_save(\"location\"); {statements}")).replacen(
            "route {",
            &format!("{parameters}\nroute {{"),
            1,
        )
    };
    let open = "modparam(\"mid_registrar\", \"mode\", §2)";
    check_warned(&script(open, ""), &["anybody may add a contact", "verified"]);
    let verified =
        "modparam(\"mid_registrar\", \"mode\", 2)\nmodparam(\"mid_registrar\", \"absorb\", \"verified\")";
    check_quiet(&script(verified, ""));
    let unprotected = "modparam(\"mid_registrar\", \"mode\", 2)";
    check_quiet(&script(unprotected, "if (!pv_www_authorize(\"\")) www_challenge(\"\", \"auth\");"));
    check_quiet(&script("modparam(\"mid_registrar\", \"mode\", 1)", ""));
    let known = "modparam(\"mid_registrar\", \"disable_gruu\", §0)";
    check_warned(&script(known, ""), &["secret that everybody knows"]);
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
