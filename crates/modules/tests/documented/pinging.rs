//! Module `nathelper`: pinging contacts, with the events of `usrloc` and the lookups that go by what pings tell.

use crate::harness::{
    Packet, Request, Run, Server, check_parameters, check_refused, refused, reply, route, row,
};

/// Pings every ten seconds, with requests where the flag SIP is set.
const SIP: &str = "modparam(\"nathelper\", \"natping_interval\", 10)
modparam(\"nathelper\", \"sipping_from\", \"sip:pinger@example.com\")
modparam(\"nathelper\", \"sipping_bflag\", \"SIP\")
modparam(\"nathelper\", \"sipping_latency_flag\", \"LATENCY\")
modparam(\"nathelper\", \"remove_on_timeout_bflag\", \"REMOVE\")
";

/// Pings every ten seconds with keep-alive packets.
const PLAIN: &str = "modparam(\"nathelper\", \"natping_interval\", 10)\n";

/// A server with these parameters that saves contacts after these statements, and routes that follow.
fn server(parameters: &str, statements: &str, routes: &str) -> Server {
    let script = route(&format!(
        "if (is_method(\"REGISTER\")) {{ {statements} save(\"location\", \"path-off\"); exit; }} lookup(\"location\"); t_relay();"
    ));
    Server::new(&format!("{}{routes}\n", script.replacen("route {", &format!("{parameters}\nroute {{"), 1)))
}

fn bob() -> Request {
    Request::register(&["<sip:bob@198.51.100.7:5070>"])
}

/// A server whose bob has registered over UDP from 198.51.100.7:5070.
fn with_bob(parameters: &str, statements: &str) -> Server {
    let mut server = server(parameters, statements, "");
    server.receive(&bob());
    server
}

/// Where keep-alive packets went, by the script's parameters.
#[track_caller]
fn check_keep_alive(parameters: &str, statements: &str, request: &Request, expected: &[(&str, &str)]) {
    let mut server = server(&format!("{PLAIN}{parameters}"), statements, "");
    server.receive(request);
    let sent = server.pass(10).sent;
    let found: Vec<_> = sent.iter().map(|packet| (&*packet.text, &*packet.from, &*packet.to)).collect();
    let expected: Vec<_> = expected.iter().map(|(from, to)| ("\r\n\r\n", *from, *to)).collect();
    assert_eq!(found, expected, "{parameters} {statements}");
}

#[test]
fn natping_interval_says_how_often_a_contact_is_pinged() {
    let count = |parameters: &str, seconds: u64| with_bob(parameters, "").pass(seconds).sent.len();
    assert_eq!(count("", 100), 0);
    assert_eq!(count("modparam(\"nathelper\", \"natping_interval\", 0)", 100), 0);
    assert_eq!(count(PLAIN, 100), 10);
    assert_eq!(count("modparam(\"nathelper\", \"natping_interval\", 25)", 100), 4);
}

#[test]
fn pings_are_spread_evenly_over_the_interval() {
    let mut server = server(PLAIN, "", "");
    server.pass(1);
    for number in 0..1000 {
        let aor = format!("<sip:user{number}@example.com>");
        let contact = format!("<sip:user{number}@198.51.100.7:{}>", 2000 + number);
        server.receive(&Request::register(&[&contact]).to(&aor).call_id(&aor));
    }
    let each_second: Vec<usize> = (0..20).map(|_| server.pass(1).sent.len()).collect();
    assert_eq!(each_second[..10].iter().sum::<usize>(), 1000);
    assert_eq!(each_second[10..].iter().sum::<usize>(), 1000);
    // A hundred a second, give or take what a hash gives: five standard deviations.
    assert!(each_second.iter().all(|count| (50..=150).contains(count)), "{each_second:?}");
}

#[test]
fn a_contact_is_pinged_where_requests_for_it_go() {
    let from = "udp:192.0.2.1:5060";
    check_keep_alive("", "", &bob(), &[(from, "udp:198.51.100.7:5070")]);
    // To the address that the REGISTER came from, and to the first hop of the Path before that.
    let rcv = "modparam(\"nathelper\", \"received_avp\", \"$avp(r)\")\nmodparam(\"registrar\", \"received_avp\", \"$avp(r)\")\n";
    let private = Request::register(&["<sip:bob@10.0.0.1>"]);
    check_keep_alive(rcv, "fix_nated_register();", &private, &[(from, "udp:198.51.100.7:5070")]);
    let path = private.header("Path: <sip:203.0.113.50:5090;lr>");
    check_keep_alive(rcv, "fix_nated_register();", &path, &[(from, "udp:203.0.113.50:5090")]);
}

#[test]
fn nobody_is_pinged_who_cannot_be_or_must_not_be() {
    for contact in
        ["<sip:bob@phone.example>", "<sips:bob@198.51.100.7>", "<sip:bob@198.51.100.7;transport=tls>"]
    {
        check_keep_alive("", "", &Request::register(&[contact]), &[]);
    }
    // maddr leads to one of our own sockets.
    check_keep_alive("", "", &Request::register(&["<sip:bob@198.51.100.7:5060;maddr=192.0.2.1>"]), &[]);
    check_keep_alive("", "", &Request::register(&["<sip:bob@198.51.100.7;maddr=224.0.0.1>"]), &[]);
}

#[test]
fn a_hop_that_is_a_name_is_pinged_once_its_address_is_found() {
    let mut server = server(SIP, "setbflag(SIP); setbflag(LATENCY);", "");
    server.receive(&bob().header("Path: <sip:edge.example:5090;lr>"));
    server.receive(
        &Request::register(&["<sip:carol@nowhere.example>"]).to("<sip:carol@example.com>").call_id("c"),
    );
    let run = server.pass(11);
    let ping = run.only();
    assert_eq!(
        (ping.start(), &*ping.to),
        ("OPTIONS sip:bob@198.51.100.7:5070 SIP/2.0", "udp:203.0.113.60:5090")
    );
    assert_eq!(ping.header("Route"), "<sip:edge.example:5090;lr>");
    let text = ping.text.clone();
    server.now_ms = sent_ms(&server, &text) + 7;
    server.answer(&reply(&text, 200, "OK", ""));
    assert_eq!(latency(&server), 7000);
}

#[test]
fn what_a_pause_has_left_out_is_not_caught_up_at_once() {
    let mut server = with_bob(PLAIN, "");
    for number in 0..100 {
        let aor = format!("<sip:user{number}@example.com>");
        let contact = format!("<sip:user{number}@198.51.100.7:{}>", 2000 + number);
        server.receive(&Request::register(&[&contact]).to(&aor).call_id(&aor));
    }
    server.pass(1);
    server.now_ms += 25_000;
    let sent = server.pass(1).sent.len();
    assert!(sent < 50, "{sent}");
}

#[test]
fn another_interval_in_a_reloaded_script_counts_at_once() {
    let mut server = with_bob(PLAIN, "");
    assert_eq!(server.pass(20).sent.len(), 2);
    let reload = |server: &Server, parameters: &str| {
        let other = self::server(parameters, "", "");
        server.node.configuration.store(other.node.configuration.load_full());
    };
    reload(&server, "modparam(\"nathelper\", \"natping_interval\", 2)");
    assert!((9..=11).contains(&server.pass(20).sent.len()));
    reload(&server, "");
    assert_eq!(server.pass(20).sent.len(), 0);
}

#[test]
fn a_binding_that_ends_is_pinged_no_more() {
    let mut server = with_bob(PLAIN, "");
    assert_eq!(server.pass(10).sent.len(), 1);
    server.receive(&Request::register(&["<sip:bob@198.51.100.7:5070>;expires=0"]).cseq(2));
    assert!(server.pass(30).sent.is_empty());
}

#[test]
fn ping_nated_only_leaves_out_contacts_without_the_flag() {
    let only =
        "modparam(\"nathelper\", \"ping_nated_only\", 1)\nmodparam(\"usrloc\", \"nat_bflag\", \"NAT\")\n";
    check_keep_alive(only, "", &bob(), &[]);
    check_keep_alive(only, "setbflag(NAT);", &bob(), &[("udp:192.0.2.1:5060", "udp:198.51.100.7:5070")]);
    let none = "modparam(\"nathelper\", \"ping_nated_only\", 1)\n";
    check_keep_alive(none, "setbflag(NAT);", &bob(), &[]);
}

#[test]
fn natping_socket_is_where_keep_alive_packets_leave_from() {
    let parameter = "modparam(\"nathelper\", \"natping_socket\", \"192.0.2.2:5062\")\n";
    check_keep_alive(parameter, "", &bob(), &[("udp:192.0.2.2:5062", "udp:198.51.100.7:5070")]);
    let foreign = "modparam(\"nathelper\", \"natping_socket\", \"192.0.2.99:5062\")\n";
    check_keep_alive(foreign, "", &bob(), &[("udp:192.0.2.1:5060", "udp:198.51.100.7:5070")]);
}

#[test]
fn force_socket_is_for_contacts_whose_socket_is_not_known() {
    let from = |parameters: &str, known: bool| {
        let mut server = with_bob(&format!("{PLAIN}{parameters}"), "");
        if !known {
            let domain = server.node.location.domain("location").unwrap();
            let mut entry = domain.lock(b"bob@example.com", server.now_s);
            let numbers = entry.binding(0).unwrap().numbers;
            let numbers = seawall_location::Numbers { socket: seawall_location::NameId::NONE, ..numbers };
            entry.set_numbers(0, &numbers, &mut ()).unwrap();
        }
        server.pass(10).only().from.clone()
    };
    let forced = "modparam(\"nathelper\", \"force_socket\", \"192.0.2.2:5062\")\n";
    assert_eq!(from("", false), "udp:192.0.2.1:5060");
    assert_eq!(from(forced, false), "udp:192.0.2.2:5062");
    assert_eq!(from(forced, true), "udp:192.0.2.1:5060");
}

/// The ping that bob gets within one interval.
#[track_caller]
fn ping(parameters: &str, statements: &str) -> Packet {
    with_bob(&format!("{SIP}{parameters}"), statements).pass(10).only().clone()
}

#[test]
fn sipping_bflag_asks_for_a_request() {
    assert_eq!(ping("", "").text, "\r\n\r\n");
    let ping = ping("", "setbflag(SIP);");
    assert_eq!(ping.start(), "OPTIONS sip:bob@198.51.100.7:5070 SIP/2.0");
    assert_eq!((&*ping.from, &*ping.to), ("udp:192.0.2.1:5060", "udp:198.51.100.7:5070"));
    assert_eq!(ping.header("To"), "<sip:bob@198.51.100.7:5070>");
    assert!(ping.header("From").starts_with("<sip:pinger@example.com>;tag="), "{}", ping.text);
    assert!(ping.header("Via").starts_with("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK"), "{}", ping.text);
    assert_eq!((&*ping.header("CSeq"), &*ping.header("Max-Forwards")), ("1 OPTIONS", "70"));
    assert!(ping.header("Call-ID").ends_with("@192.0.2.1"));
    let scanned = seawall_sip::Message::parse(ping.text.into_bytes()).unwrap();
    assert!(seawall_sip::validate::request(&scanned).is_ok());
}

#[test]
fn without_sipping_from_there_are_keep_alive_packets_only() {
    let parameters = format!("{PLAIN}modparam(\"nathelper\", \"sipping_bflag\", \"SIP\")\n");
    assert_eq!(with_bob(&parameters, "setbflag(SIP);").pass(10).only().text, "\r\n\r\n");
}

#[test]
fn sipping_method_is_the_method_of_the_request() {
    let ping = ping("modparam(\"nathelper\", \"sipping_method\", \"INFO\")\n", "setbflag(SIP);");
    assert_eq!((ping.start(), &*ping.header("CSeq")), ("INFO sip:bob@198.51.100.7:5070 SIP/2.0", "1 INFO"));
}

#[test]
fn a_request_takes_the_path_as_its_route_and_no_headers_of_the_uri() {
    let mut server = server(SIP, "setbflag(SIP);", "");
    server.receive(
        &Request::register(&["<sip:bob@10.0.0.1;x=y?Subject=z>"])
            .header("Path: <sip:203.0.113.50:5090;lr>, <sip:203.0.113.51;lr>"),
    );
    let run = server.pass(10);
    let ping = run.only();
    assert_eq!((ping.start(), &*ping.to), ("OPTIONS sip:bob@10.0.0.1;x=y SIP/2.0", "udp:203.0.113.50:5090"));
    assert_eq!(ping.header("Route"), "<sip:203.0.113.50:5090;lr>,<sip:203.0.113.51;lr>");
}

#[test]
fn no_two_pings_are_the_same_transaction_or_dialog() {
    let mut server = with_bob(SIP, "setbflag(SIP);");
    let run = server.pass(30);
    let mut names: Vec<(String, String)> =
        run.sent.iter().map(|ping| (ping.header("Via"), ping.header("Call-ID"))).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 3);
}

#[test]
fn natping_tcp_pings_over_tcp_with_requests() {
    let sent = |parameters: &str| {
        let mut server = server(&format!("{SIP}{parameters}"), "", "");
        let request = Request::register(&["<sip:bob@198.51.100.7:6000;transport=tcp>"]);
        server.receive_at(1, "198.51.100.7:6000", &request.text());
        server.pass(10).sent
    };
    assert!(sent("").is_empty());
    let pings = sent("modparam(\"nathelper\", \"natping_tcp\", 1)\n");
    assert_eq!(
        (pings.len(), &*pings[0].to, &*pings[0].from),
        (1, "tcp:198.51.100.7:6000", "tcp:192.0.2.1:5060")
    );
    assert!(pings[0].header("Via").starts_with("SIP/2.0/TCP 192.0.2.1:5060;"), "{}", pings[0].text);
}

/// Pings bob once and answers so many milliseconds later; gives what came of the answer.
fn answer(server: &mut Server, after_ms: u64, code: u16) -> Run {
    let run = server.pass(10);
    let ping = run.request("OPTIONS").text.clone();
    // The run ends when the interval does; the ping was sent at some time in it.
    let sent_ms = sent_ms(server, &ping);
    server.now_ms = sent_ms + after_ms;
    server.answer(&reply(&ping, code, "Whatever", ""))
}

/// When a ping was sent, as its branch says.
fn sent_ms(server: &Server, ping: &str) -> u64 {
    let message = seawall_sip::Message::parse(ping.as_bytes().to_vec()).unwrap();
    match server.node.keys.response_branch(&message) {
        Some(seawall_transaction::OwnBranch::Ping(token)) => token.sent_us / 1000,
        other => panic!("{other:?}"),
    }
}

fn latency(server: &Server) -> u32 {
    let domain = server.node.location.domain("location").unwrap();
    let entry = domain.lock(b"bob@example.com", server.now_s);
    entry.binding(0).unwrap().numbers.latency_us
}

#[test]
fn sipping_latency_flag_measures_how_long_an_answer_takes() {
    let mut server = with_bob(SIP, "setbflag(SIP); setbflag(LATENCY);");
    answer(&mut server, 42, 200);
    assert_eq!(latency(&server), 42_000);
    assert_eq!(server.counter("nathelper", "answered_pings"), 1);
    let mut unmeasured = with_bob(SIP, "setbflag(SIP);");
    answer(&mut unmeasured, 42, 200);
    assert_eq!(latency(&unmeasured), 0);
    assert_eq!(unmeasured.counter("nathelper", "answered_pings"), 1);
}

#[test]
fn every_final_answer_counts_but_those_of_sipping_ignore_rpl_codes() {
    let measured = |parameters: &str, code: u16| {
        let mut server = with_bob(&format!("{SIP}{parameters}"), "setbflag(SIP); setbflag(LATENCY);");
        answer(&mut server, 42, code);
        latency(&server)
    };
    for code in [200, 404, 408, 501, 603] {
        assert_eq!(measured("", code), 42_000, "{code}");
    }
    assert_eq!(measured("", 100), 0);
    let ignore = "modparam(\"nathelper\", \"sipping_ignore_rpl_codes\", \"408, 480, 404\")\n";
    assert_eq!([404, 408, 480].map(|code| measured(ignore, code)), [0, 0, 0]);
    assert_eq!(measured(ignore, 200), 42_000);
}

#[test]
fn an_answer_that_nobody_asked_for_changes_nothing() {
    let mut server = with_bob(SIP, "setbflag(SIP); setbflag(LATENCY);");
    let ping = server.pass(10).request("OPTIONS").text.clone();
    let at = ping.find("branch=z9hG4bK").unwrap() + 20;
    let digit = if ping.as_bytes()[at] == b'0' { "1" } else { "0" };
    let forged = format!("{}{digit}{}", &ping[..at], &ping[at + 1..]);
    server.answer(&reply(&forged, 200, "OK", ""));
    assert_eq!(latency(&server), 0);
    // One that is true, and comes for somebody who is gone.
    server.receive(&Request::register(&["<sip:bob@198.51.100.7:5070>;expires=0"]).cseq(2));
    assert!(server.answer(&reply(&ping, 200, "OK", "")).sent.is_empty());
    assert_eq!(server.counter("nathelper", "answered_pings"), 0);
}

#[test]
fn an_answer_after_ping_threshold_is_too_late() {
    let measured = |parameters: &str, after_ms: u64| {
        let mut server = with_bob(&format!("{SIP}{parameters}"), "setbflag(SIP); setbflag(LATENCY);");
        answer(&mut server, after_ms, 200);
        latency(&server)
    };
    assert_eq!(measured("", 3000), 3_000_000);
    assert_eq!(measured("", 3001), 0);
    let longer = "modparam(\"nathelper\", \"ping_threshold\", 5)\n";
    assert_eq!([measured(longer, 5000), measured(longer, 5001)], [5_000_000, 0]);
}

/// After how many seconds, to the next whole one, a silent contact is gone, counted from its first ping.
fn gone_after_s(parameters: &str, statements: &str) -> Option<u64> {
    let mut server = with_bob(&format!("{SIP}{parameters}"), statements);
    let mut first_ms = None;
    for _ in 0..200 {
        let run = server.pass(1);
        if let (None, Some(ping)) = (first_ms, run.sent.first()) {
            first_ms = Some(sent_ms(&server, &ping.text));
        }
        if server.node.location.domain("location").unwrap().statistics().contacts == 0 {
            assert_eq!(server.counter("nathelper", "lost_contacts"), 1);
            return Some((server.now_ms - first_ms.unwrap()).div_ceil(1000));
        }
    }
    None
}

#[test]
fn remove_on_timeout_bflag_removes_a_contact_after_max_pings_lost() {
    // Pings at 0, 10 and 20 s; the third is lost at 23 s, which the next look finds within a second.
    let after = |parameters: &str| gone_after_s(parameters, "setbflag(SIP); setbflag(REMOVE);").unwrap();
    assert!((23..=24).contains(&after("")), "{}", after(""));
    let one = "modparam(\"nathelper\", \"max_pings_lost\", 1)\n";
    assert!((3..=4).contains(&after(one)), "{}", after(one));
    let five =
        "modparam(\"nathelper\", \"max_pings_lost\", 5)\nmodparam(\"nathelper\", \"ping_threshold\", 8)\n";
    assert!((48..=49).contains(&after(five)), "{}", after(five));
    // A threshold over the interval: pings each second from 0 on, of which the third is lost at 2 + 3 s.
    let fast = "modparam(\"nathelper\", \"natping_interval\", 1)\n";
    assert!((5..=6).contains(&after(fast)), "{}", after(fast));
}

#[test]
fn contacts_without_the_flag_or_without_requests_stay() {
    assert_eq!(gone_after_s("", "setbflag(SIP);"), None);
    let mut server = with_bob(SIP, "setbflag(REMOVE);");
    server.pass(200);
    assert_eq!(server.node.location.domain("location").unwrap().statistics().contacts, 1);
}

#[test]
fn a_contact_that_answers_or_registers_again_stays() {
    let mut server = with_bob(SIP, "setbflag(SIP); setbflag(REMOVE);");
    for _ in 0..10 {
        server.pass(10);
        let run = server.pass(10);
        // Every second ping is answered at once.
        let ping = run.request("OPTIONS").text.clone();
        let now_ms = server.now_ms;
        server.now_ms = sent_ms(&server, &ping) + 5;
        server.answer(&reply(&ping, 200, "OK", ""));
        server.now_ms = now_ms;
    }
    let contacts = |server: &Server| server.node.location.domain("location").unwrap().statistics().contacts;
    assert_eq!(contacts(&server), 1);
    for cseq in 2..7 {
        server.pass(20);
        server.receive(&bob().cseq(cseq));
    }
    assert_eq!(contacts(&server), 1);
    server.pass(40);
    assert_eq!(contacts(&server), 0);
}

#[test]
fn a_contact_that_is_removed_for_its_silence_is_told_of() {
    let mut server = server(
        SIP,
        "setbflag(SIP); setbflag(REMOVE);",
        "event_route[E_UL_CONTACT_DELETE] { xlog(\"gone $param(uri)\"); }\nevent_route[E_UL_AOR_DELETE] { xlog(\"gone $param(aor)\"); }",
    );
    server.receive(&bob());
    assert_eq!(server.pass(60).log, ["gone sip:bob@198.51.100.7:5070", "gone bob@example.com"]);
}

#[test]
fn sent_pings_counts_all_of_them() {
    let mut server = with_bob(SIP, "");
    server.pass(30);
    assert_eq!(server.counter("nathelper", "sent_pings"), 3);
    for name in ["answered_pings", "lost_contacts"] {
        assert_eq!(server.counter("nathelper", name), 0);
    }
}

#[test]
fn lookup_goes_by_the_measured_latency() {
    let mut server = server(SIP, "setbflag(SIP); setbflag(LATENCY);", "");
    server.receive(&Request::register(&["<sip:slow@198.51.100.7:5070>", "<sip:quick@198.51.100.7:5071>"]));
    let pings = server.pass(10).sent;
    for ping in pings {
        let after_ms = if ping.start().contains("slow") { 900 } else { 30 };
        server.now_ms = sent_ms(&server, &ping.text) + after_ms;
        server.answer(&reply(&ping.text, 200, "OK", ""));
    }
    let first = |flags: &str| {
        let script = format!("lookup(\"location\", \"{flags}\"); xlog(\"$rU\");");
        let configuration = Server::new(&route(&script));
        server.node.configuration.store(configuration.node.configuration.load_full());
        flags.to_owned()
    };
    first("sort-by-latency");
    assert_eq!(server.receive(&Request::new("INVITE sip:bob@example.com")).log, ["quick"]);
    let limit = |flags: &str| {
        let script = format!("lookup(\"location\", \"{flags}\"); xlog(\"$rU $branch(uri)\");");
        server.node.configuration.store(Server::new(&route(&script)).node.configuration.load_full());
    };
    limit("max-ping-latency=500000");
    let run = server.receive(&Request::new("INVITE sip:bob@example.com").call_id("second"));
    assert_eq!(run.log, ["quick <null>"]);
}

/// A server that logs all parameters of E_UL_LATENCY_UPDATE for a contact whose latency is measured.
fn listening(parameters: &str, text: &str) -> Server {
    let route = format!("event_route[E_UL_LATENCY_UPDATE] {{ xlog(\"{text}\"); }}");
    let mut server = server(&format!("{SIP}{parameters}"), "setbflag(SIP); setbflag(LATENCY);", &route);
    server.receive(&bob());
    server
}

/// The latencies that are told when bob takes so many milliseconds, one ping after the other.
fn told(parameters: &str, taken_ms: &[u64]) -> Vec<String> {
    let mut server = listening(parameters, "$param(latency)");
    let mut log = Vec::new();
    for taken_ms in taken_ms {
        log.extend(answer(&mut server, *taken_ms, 200).log);
    }
    log
}

#[test]
fn e_ul_latency_update_is_raised_for_each_answer_unless_filtered() {
    assert_eq!(told("", &[20, 21, 400]), ["20000", "21000", "400000"]);
    let least = "modparam(\"usrloc\", \"latency_event_min_us\", 400000)\n";
    assert_eq!(told(least, &[399, 400, 20, 500]), ["400000", "500000"]);
    let delta = "modparam(\"usrloc\", \"latency_event_min_us_delta\", 100000)\n";
    assert_eq!(told(delta, &[300, 350, 450, 551, 440]), ["450000", "551000", "440000"]);
    assert_eq!(told(&format!("{least}{delta}"), &[100, 150, 250, 410, 420]), ["250000", "410000", "420000"]);
}

#[test]
fn e_ul_latency_update_describes_the_contact() {
    let names =
        "domain aor uri received path qval user_agent socket bflags expires callid cseq attr latency shtag";
    let text: Vec<String> = names.split(' ').map(|name| format!("$param({name})")).collect();
    let mut server = listening("", &text.join("|"));
    let run = answer(&mut server, 42, 200);
    // SIP and LATENCY are the first two branch flags.
    let expires = server.now_s + 3590;
    let expected = format!(
        "location|bob@example.com|sip:bob@198.51.100.7:5070|||-1||udp:192.0.2.1:5060|3|{expires}|call-1@example.com|1||42000|"
    );
    assert_eq!(run.log, [expected]);
}

#[test]
fn natping_interval_needs_the_location_table() {
    let script =
        "loadmodule \"nathelper.so\"\nmodparam(\"nathelper\", §\"natping_interval\", 10)\nroute { exit; }\n";
    refused(script, &["natping_interval", "needs module `usrloc`"]);
    check_refused("§nh_enable_ping();", &["nh_enable_ping"]);
}

#[test]
fn the_parameters_are_those_of_the_document() {
    const INT: &str = "takes an integer";
    const STR: &str = "takes a string";
    let rows = [
        row("natping_interval", "0", "10", "86401", "up to a day"),
        row("ping_nated_only", "0", "1", "\"no\"", INT),
        row("natping_partitions", "1", "4", "\"x\"", INT),
        row("natping_processes", "1", "3", "\"x\"", INT),
        row("natping_socket", "", "\"192.168.1.1:5006\"", "\"[::1]:5006\"", "IPv4 address with a port"),
        row("received_avp", "", "\"$avp(received)\"", "1", STR),
        row("force_socket", "", "\"localhost:33333\"", "\"localhost\"", "a host with a port"),
        row("sipping_bflag", "", "\"SIPPING_ENABLE\"", "3", STR),
        row("remove_on_timeout_bflag", "", "\"SIPPING_RTO\"", "3", STR),
        row("sipping_latency_flag", "", "\"SIPPING_CALC_LATENCY\"", "3", STR),
        row("sipping_ignore_rpl_codes", "", "\"408, 480, 404\"", "\"408, x\"", "\"x\" is no code of a reply"),
        row("sipping_from", "", "\"sip:pinger@siphub.net\"", "\"pinger\"", "SIP URI"),
        row("sipping_method", "OPTIONS", "\"INFO\"", "\"INVITE\"", "no request that stands alone"),
        row(
            "nortpproxy_str",
            "a=nortpproxy:yes",
            "\"a=sdpmangled:yes\\r\\n\"",
            "\"no line\"",
            "line of a session description",
        ),
        row("natping_tcp", "0", "1", "\"no\"", INT),
        row("oldip_skip", "", "\"oc\"", "\"x\"", "letters o and c"),
        row("ping_threshold", "3", "10", "0", "from 1 to 100"),
        row("max_pings_lost", "3", "5", "101", "from 1 to 100"),
        row("cluster_id", "0", "9", "\"x\"", INT),
        row("cluster_sharing_tag", "", "\"vip\"", "1", STR),
    ];
    check_parameters("nathelper", &rows);
}
