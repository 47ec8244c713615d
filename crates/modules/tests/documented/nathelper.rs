//! Module `nathelper`: what it does to messages.

use crate::harness::{
    Packet, Request, Server, check_loads, check_refused, check_value, refused, reply, route,
};

/// Requests come from 198.51.100.7:5070.
const PUBLIC: &str = "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n";
const PRIVATE: &str = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n";

fn with_contact(value: &str) -> Request {
    Request::new("INVITE sip:bob@203.0.113.9:5080").header(&format!("Contact: {value}"))
}

fn with_sdp(text: &str) -> Request {
    Request::invite().body("application/sdp", text)
}

fn with_via(sent_by: &str) -> Request {
    Request::invite().via(&format!("SIP/2.0/UDP {sent_by};branch=z9hG4bK1;rport"))
}

/// The value of one test, by name and by number, in quotes and without.
#[track_caller]
fn check_test(name: &str, number: u32, request: &Request, expected: bool) {
    for flags in [format!("\"{name}\""), format!("\"{number}\""), number.to_string()] {
        check_value(&format!("nat_uac_test({flags})"), request, if expected { 1 } else { -1 });
    }
}

#[test]
fn nat_uac_test_looks_for_private_addresses_in_contact() {
    let check = |contact: &str, expected| check_test("private-contact", 1, &with_contact(contact), expected);
    check("<sip:a@10.0.0.1:5070>", true);
    check("<sip:a@172.31.0.1>", true);
    check("<sip:a@192.168.1.1>", true);
    check("<sip:a@100.64.0.1>", true);
    check("<sip:a@198.51.100.7>, <sip:a@10.0.0.1>", true);
    check("<sip:a@198.51.100.7>", false);
    check("<sip:a@192.0.0.1>", false);
    check("<sip:a@phone.example>", false);
    check_test("private-contact", 1, &Request::new("OPTIONS sip:bob@203.0.113.9"), false);
}

#[test]
fn nat_uac_test_compares_the_address_of_the_via() {
    check_test("diff-ip-src-via", 2, &with_via("198.51.100.7"), false);
    check_test("diff-ip-src-via", 2, &with_via("198.51.100.8"), true);
    check_test("diff-ip-src-via", 2, &with_via("phone.example"), true);
}

#[test]
fn nat_uac_test_looks_for_a_private_address_in_the_topmost_via() {
    check_test("private-via", 4, &with_via("10.0.0.1"), true);
    let second = with_via("198.51.100.7").header("Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK2");
    check_test("private-via", 4, &second, false);
}

#[test]
fn nat_uac_test_looks_for_private_addresses_in_sdp() {
    check_test("private-sdp", 8, &with_sdp(PRIVATE), true);
    check_test("private-sdp", 8, &with_sdp(PUBLIC), false);
    check_test("private-sdp", 8, &Request::invite().body("text/plain", PRIVATE), false);
    let parts = format!("--x\r\nContent-Type: application/sdp\r\n\r\n{PRIVATE}\r\n--x--\r\n");
    check_test("private-sdp", 8, &Request::invite().body("multipart/mixed;boundary=x", &parts), true);
    check_test("private-sdp", 8, &Request::invite(), false);
}

#[test]
fn nat_uac_test_compares_the_port_of_the_via() {
    check_test("diff-port-src-via", 16, &with_via("198.51.100.7:5070"), false);
    check_test("diff-port-src-via", 16, &with_via("198.51.100.7:5071"), true);
    check_test("diff-port-src-via", 16, &with_via("198.51.100.7"), true);
}

#[test]
fn nat_uac_test_compares_address_and_port_of_the_contact() {
    check_test("diff-ip-src-contact", 32, &with_contact("<sip:a@198.51.100.7>"), false);
    check_test("diff-ip-src-contact", 32, &with_contact("<sip:a@198.51.100.8>"), true);
    check_test("diff-ip-src-contact", 32, &with_contact("<sip:a@phone.example>"), true);
    check_test("diff-port-src-contact", 64, &with_contact("<sip:a@198.51.100.7:5070>"), false);
    check_test("diff-port-src-contact", 64, &with_contact("<sip:a@198.51.100.7>"), true);
    check_test("diff-port-src-contact", 64, &Request::register(&["*"]), false);
}

#[test]
fn carrier_grade_nat_widens_the_other_tests() {
    let contact = with_contact("<sip:a@192.0.0.2>");
    check_test("carrier-grade-nat", 128, &contact, false);
    check_test("private-contact,carrier-grade-nat", 129, &contact, true);
    check_test("private-via,carrier-grade-nat", 132, &with_via("192.0.0.2"), true);
    check_test(
        "private-sdp, carrier-grade-nat",
        136,
        &with_sdp(&PRIVATE.replace("10.0.0.1", "192.0.0.2")),
        true,
    );
}

#[test]
fn any_of_several_tests_is_enough() {
    check_test("private-contact,private-sdp", 9, &with_sdp(PRIVATE), true);
    check_test("private-contact,private-sdp", 9, &with_contact("<sip:a@10.0.0.1>"), true);
    check_test("private-contact,private-sdp", 9, &with_via("10.0.0.1"), false);
    check_value("$var(f) = \"private-via\"; nat_uac_test($var(f))", &with_via("10.0.0.1"), 1);
    check_value("$var(f) = \"nothing\"; nat_uac_test($var(f))", &with_via("10.0.0.1"), -1);
}

#[test]
fn nat_uac_test_refuses_what_is_no_test() {
    check_refused("§nat_uac_test();", &["nat_uac_test", "needs its argument `flags`"]);
    check_refused("nat_uac_test(§256);", &["255 at most"]);
    check_refused("nat_uac_test(§\"private-contct\");", &["did you mean \"private-contact\""]);
    check_refused("nat_uac_test(1, §2);", &["takes 1 argument, 2 given"]);
}

/// The INVITE that leaves after these statements.
#[track_caller]
fn relayed(parameters: &str, statements: &str, request: &Request) -> Packet {
    let script = route(&format!("{statements}; t_relay();")).replacen(
        "route {",
        &format!("{parameters}\nroute {{"),
        1,
    );
    Server::new(&script).receive(request).request("INVITE").clone()
}

#[track_caller]
fn check_contact(statements: &str, contact: &str, expected: &str) {
    assert_eq!(relayed("", statements, &with_contact(contact)).header("Contact"), expected, "{statements}");
}

#[test]
fn fix_nated_contact_writes_the_source_into_contact() {
    check_contact("fix_nated_contact()", "<sip:a@10.0.0.1;x=y>;p=q", "<sip:a@198.51.100.7:5070;x=y>;p=q");
    check_contact("fix_nated_contact()", "\"A, B\" <sip:a@10.0.0.1>", "\"A, B\" <sip:a@198.51.100.7:5070>");
    check_contact("fix_nated_contact()", "sip:a@10.0.0.1;p=q", "<sip:a@198.51.100.7:5070>;p=q");
    check_contact("fix_nated_contact()", "<sip:a@10.0.0.1;maddr=10.0.0.2>", "<sip:a@198.51.100.7:5070>");
    check_contact(
        "fix_nated_contact(\";ata=cisco\")",
        "<sip:a@10.0.0.1>",
        "<sip:a@198.51.100.7:5070;ata=cisco>",
    );
    check_contact("fix_nated_contact(\"ata\")", "<sip:a@10.0.0.1>", "<sip:a@198.51.100.7:5070;ata>");
    check_contact(
        "fix_nated_contact()",
        "<sip:a@10.0.0.1>, <sip:b@10.0.0.2>",
        "<sip:a@198.51.100.7:5070>, <sip:b@198.51.100.7:5070>",
    );
}

#[test]
fn fix_nated_contact_changes_nothing_that_it_cannot_read() {
    for contact in ["<tel:+1>", "<sip:a@10.0.0.1>, <sip:>"] {
        check_contact("fix_nated_contact()", contact, contact);
        check_value("fix_nated_contact()", &with_contact(contact), -1);
    }
    check_contact("fix_nated_contact(\">\")", "<sip:a@10.0.0.1>", "<sip:a@10.0.0.1>");
    check_value("fix_nated_contact()", &Request::new("OPTIONS sip:bob@203.0.113.9"), -1);
    check_value("fix_nated_contact()", &Request::register(&["*"]), -1);
    check_value("fix_nated_contact()", &with_contact("<sip:a@10.0.0.1>"), 1);
}

#[test]
fn fix_nated_contact_preserves_the_uri_and_restore_nated_ruri_brings_it_back() {
    for flags in ["\"preserve-uri\"", "\"1\"", "1"] {
        let statements = format!("fix_nated_contact(, {flags})");
        check_contact(
            &statements,
            "<sip:a@10.0.0.1:5090>",
            "<sip:a@198.51.100.7:5070;org=MTAuMC4wLjE6NTA5MA>",
        );
    }
    let request = Request::new("INVITE sip:a@203.0.113.9:4444;org=MTAuMC4wLjE6NTA5MA;x=y");
    let packet = relayed("", "restore_nated_ruri()", &request);
    assert_eq!(
        (packet.start(), &*packet.to),
        ("INVITE sip:a@10.0.0.1:5090;x=y SIP/2.0", "udp:203.0.113.9:4444")
    );
    check_value("restore_nated_ruri()", &Request::invite(), -1);
    check_value("restore_nated_ruri()", &Request::new("INVITE sip:a@203.0.113.9;org=A"), -1);
    check_refused("fix_nated_contact(, §\"preserve\");", &["preserve-uri"]);
}

#[test]
fn fix_nated_contact_changes_replies_and_single_branches() {
    let script = format!(
        "{}onreply_route {{ fix_nated_contact(); }}\nbranch_route[b] {{ fix_nated_contact(\"b\"); }}\n",
        route("t_on_branch(\"b\"); t_relay();")
    );
    let mut server = Server::new(&script);
    let invite = server.receive(&with_contact("<sip:a@10.0.0.1>")).request("INVITE").clone();
    assert_eq!(invite.header("Contact"), "<sip:a@198.51.100.7:5070;b>");
    let run = server.answer(&reply(&invite.text, 200, "OK", "Contact: <sip:bob@10.0.0.9>\r\n"));
    assert_eq!(run.reply(200).header("Contact"), "<sip:bob@198.51.100.7:5070>");
}

#[test]
fn fix_nated_sdp_rewrites_addresses_and_keeps_the_old_ones() {
    let check = |parameters: &str, call: &str, expected: &str| {
        let packet = relayed(parameters, call, &with_sdp(PRIVATE));
        assert_eq!(packet.body(), expected, "{call}");
        assert_eq!(packet.header("Content-Length"), expected.len().to_string());
    };
    let media = PRIVATE.replace("c=IN IP4 10.0.0.1", "c=IN IP4 198.51.100.7");
    let origin = PRIVATE.replace("1 1 IN IP4 10.0.0.1", "1 1 IN IP4 198.51.100.7");
    let old_media = "a=oldcip:10.0.0.1\r\n";
    let old_origin = "a=oldoip:10.0.0.1\r\n";
    for flags in ["\"rewrite-media-ip\"", "\"2\"", "2"] {
        check("", &format!("fix_nated_sdp({flags})"), &format!("{media}{old_media}"));
    }
    for flags in ["\"rewrite-origin-ip\"", "\"8\"", "8"] {
        check("", &format!("fix_nated_sdp({flags})"), &format!("{origin}{old_origin}"));
    }
    check("modparam(\"nathelper\", \"oldip_skip\", \"c\")", "fix_nated_sdp(2)", &media);
    check(
        "modparam(\"nathelper\", \"oldip_skip\", \"o\")",
        "fix_nated_sdp(2)",
        &format!("{media}{old_media}"),
    );
    check("modparam(\"nathelper\", \"oldip_skip\", \"oc\")", "fix_nated_sdp(8)", &origin);
    check(
        "modparam(\"nathelper\", \"oldip_skip\", \"oc\")",
        "fix_nated_sdp(2, \"203.0.113.77\")",
        &PRIVATE.replace("c=IN IP4 10.0.0.1", "c=IN IP4 203.0.113.77"),
    );
}

#[test]
fn fix_nated_sdp_adds_lines() {
    let check = |parameters: &str, call: &str, added: &str| {
        assert_eq!(
            relayed(parameters, call, &with_sdp(PRIVATE)).body(),
            format!("{PRIVATE}{added}"),
            "{call}"
        );
    };
    for flags in ["\"add-dir-active\"", "1"] {
        check("", &format!("fix_nated_sdp({flags})"), "a=direction:active\r\n");
    }
    for flags in ["\"add-no-rtpproxy\"", "4"] {
        check("", &format!("fix_nated_sdp({flags})"), "a=nortpproxy:yes\r\n");
    }
    let mangled = "modparam(\"nathelper\", \"nortpproxy_str\", \"a=sdpmangled:yes\\r\\n\")";
    check(mangled, "fix_nated_sdp(4)", "a=sdpmangled:yes\r\n");
    check("", "fix_nated_sdp(0, , \"\\r\\na=x-attr1\\r\\na=x-attr2\")", "a=x-attr1\r\na=x-attr2\r\n");
    // What one call has changed the next one sees.
    check("", "fix_nated_sdp(1); fix_nated_sdp(0, , \"\\r\\na=x\")", "a=direction:active\r\na=x\r\n");
}

#[test]
fn fix_nated_sdp_leaves_alone_what_is_marked() {
    let marked = with_sdp(&format!("{PRIVATE}a=nortpproxy:yes\r\n"));
    check_value("fix_nated_sdp(2)", &marked, -1);
    let none =
        "modparam(\"nathelper\", \"nortpproxy_str\", \"\")\nmodparam(\"nathelper\", \"oldip_skip\", \"c\")";
    let packet = relayed(none, "fix_nated_sdp(\"rewrite-media-ip,add-no-rtpproxy\")", &marked);
    let expected = PRIVATE.replace("c=IN IP4 10.0.0.1", "c=IN IP4 198.51.100.7");
    assert_eq!(packet.body(), format!("{expected}a=nortpproxy:yes\r\n"));
}

#[test]
fn null_addresses_are_rewritten_on_demand_only() {
    let held = with_sdp(&PRIVATE.replace("c=IN IP4 10.0.0.1", "c=IN IP4 0.0.0.0"));
    check_value("fix_nated_sdp(2)", &held, -1);
    for flags in ["\"rewrite-media-ip,rewrite-null-ips\"", "18"] {
        let packet = relayed("", &format!("fix_nated_sdp({flags})"), &held);
        assert!(packet.body().contains("c=IN IP4 198.51.100.7\r\n"), "{}", packet.body());
    }
}

#[test]
fn fix_nated_sdp_finds_the_description_among_parts_and_nowhere_else() {
    let body = format!(
        "--x\r\nContent-Type: application/sdp\r\n\r\n{PRIVATE}\r\n--x\r\nContent-Type: text/plain\r\n\r\nhello\r\n--x--\r\n"
    );
    let request = Request::invite().body("multipart/mixed;boundary=x", &body);
    let packet = relayed("modparam(\"nathelper\", \"oldip_skip\", \"c\")", "fix_nated_sdp(2)", &request);
    assert_eq!(packet.body(), body.replace("c=IN IP4 10.0.0.1", "c=IN IP4 198.51.100.7"));
    check_value("fix_nated_sdp(2)", &Request::invite(), -1);
    check_value("fix_nated_sdp(2)", &Request::invite().body("text/plain", PRIVATE), -1);
    check_value("$var(a) = \"nowhere\"; fix_nated_sdp(2, $var(a))", &with_sdp(PRIVATE), -1);
    check_value("$var(f) = \"a=x\"; fix_nated_sdp(2, , $var(f))", &with_sdp(PRIVATE), -1);
}

#[test]
fn fix_nated_sdp_refuses_wrong_arguments() {
    check_refused("§fix_nated_sdp();", &["fix_nated_sdp", "needs its argument `flags`"]);
    check_refused("fix_nated_sdp(§32);", &["31 at most"]);
    check_refused("fix_nated_sdp(§\"rewrite\");", &["there is no flag"]);
    check_refused("fix_nated_sdp(2, §\"nowhere\");", &["no IP address"]);
    check_refused("fix_nated_sdp(2, , §\"a=x\");", &["\\r\\n in front"]);
}

#[test]
fn add_rcv_param_names_the_source_in_header_or_uri() {
    let header = "<sip:a@10.0.0.1>;p=q;received=\"sip:198.51.100.7:5070\"";
    check_contact("add_rcv_param()", "<sip:a@10.0.0.1>;p=q", header);
    check_contact("add_rcv_param(0)", "<sip:a@10.0.0.1>;p=q", header);
    check_contact(
        "add_rcv_param(1)",
        "<sip:a@10.0.0.1>;p=q",
        "<sip:a@10.0.0.1;received=sip:198.51.100.7:5070>;p=q",
    );
    check_contact("add_rcv_param()", "sip:a@10.0.0.1", "<sip:a@10.0.0.1>;received=\"sip:198.51.100.7:5070\"");
    // Both together, whichever comes first.
    let both = "<sip:a@198.51.100.7:5070>;received=\"sip:198.51.100.7:5070\"";
    check_contact("add_rcv_param(); fix_nated_contact()", "<sip:a@10.0.0.1>", both);
    check_contact("fix_nated_contact(); add_rcv_param()", "<sip:a@10.0.0.1>", both);
    check_value("add_rcv_param()", &Request::register(&["*"]), -1);
    check_refused("add_rcv_param(§\"x\");", &["is an integer"]);
}

#[test]
fn add_rcv_param_escapes_the_transport_in_a_uri() {
    let mut server = Server::new(&route("add_rcv_param(1); t_relay();"));
    let run = server.receive_at(1, "198.51.100.7:6000", &with_contact("<sip:a@10.0.0.1>").text());
    let expected = "<sip:a@10.0.0.1;received=sip:198.51.100.7:6000%3Btransport%3Dtcp>";
    assert_eq!(run.request("INVITE").header("Contact"), expected);
}

const AVP: &str = "modparam(\"nathelper\", \"received_avp\", \"$avp(rcv)\")\nmodparam(\"registrar\", \"received_avp\", \"$avp(rcv)\")";

fn registering(statements: &str) -> String {
    route(&format!("if (is_method(\"REGISTER\")) {{ {statements} save(\"location\"); exit; }} lookup(\"location\"); t_relay();"))
        .replacen("route {", &format!("{AVP}\nroute {{"), 1)
}

#[test]
fn fix_nated_register_lets_the_registrar_know_the_source() {
    let mut server = Server::new(&registering("fix_nated_register(); fix_nated_register();"));
    let run = server.receive(&Request::register(&["<sip:bob@10.0.0.1:5090>"]));
    let contact = run.reply(200).header("Contact");
    assert_eq!(contact, "<sip:bob@10.0.0.1:5090>;expires=3600;received=\"sip:198.51.100.7:5070\"");
    let run = server.receive(&Request::new("INVITE sip:bob@example.com"));
    let packet = run.request("INVITE");
    assert_eq!(
        (packet.start(), &*packet.to),
        ("INVITE sip:bob@10.0.0.1:5090 SIP/2.0", "udp:198.51.100.7:5070")
    );
}

#[test]
fn fix_nated_register_tells_the_transport() {
    let mut server = Server::new(&registering("fix_nated_register(); xlog(\"$avp(rcv)\");"));
    let request = Request::register(&["<sip:bob@10.0.0.1:5090;transport=tcp>"]);
    let run = server.receive_at(1, "198.51.100.7:6000", &request.text());
    assert_eq!(run.log, ["sip:198.51.100.7:6000;transport=tcp"]);
    let request = request.call_id("second").cseq(2);
    assert_eq!(server.receive(&request).log, ["sip:198.51.100.7:5070"]);
}

#[test]
fn fix_nated_register_needs_its_variable() {
    check_refused(
        "§fix_nated_register();",
        &["fix_nated_register", "needs the parameter `received_avp`", "modparam"],
    );
    let script = route("fix_nated_register(§1);").replacen("route {", &format!("{AVP}\nroute {{"), 1);
    refused(&script, &["takes no arguments"]);
}

#[test]
fn the_functions_are_for_the_routes_of_the_document() {
    let in_route = |kind: &str, call: &str| format!("}}\n{kind} {{ {call}");
    for (kind, call) in [
        ("onreply_route", "fix_nated_contact();"),
        ("onreply_route", "nat_uac_test(1); fix_nated_sdp(1);"),
        ("failure_route[f]", "nat_uac_test(1); fix_nated_sdp(1);"),
        ("branch_route[b]", "nat_uac_test(1); fix_nated_sdp(1); fix_nated_contact(); restore_nated_ruri();"),
    ] {
        check_loads(&in_route(kind, call));
    }
    check_refused(
        &in_route("failure_route[f]", "§fix_nated_contact();"),
        &["cannot be called in a `failure_route`"],
    );
    check_refused(
        &in_route("onreply_route", "§add_rcv_param();"),
        &["cannot be called in an `onreply_route`"],
    );
    check_refused(
        &in_route("onreply_route", "§restore_nated_ruri();"),
        &["cannot be called in an `onreply_route`"],
    );
}
