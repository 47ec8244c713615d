//! Module `sipmsgops`.

use crate::harness::{Packet, Request, Server, check, check_refused, check_value, reply, route};

/// The INVITE that is relayed after these statements.
fn relayed(statements: &str, request: &Request) -> Packet {
    let run = Server::new(&route(&format!("{statements} t_relay();"))).receive(request);
    run.request("INVITE").clone()
}

/// The reply that is sent after these statements.
fn replied(statements: &str) -> Packet {
    let run = Server::new(&route(&format!("{statements} sl_send_reply(404, \"Not Found\");")))
        .receive(&Request::invite());
    run.only().clone()
}

/// The names of the headers, in order.
fn names(packet: &Packet) -> Vec<&str> {
    let head = packet.text.split("\r\n\r\n").next().unwrap();
    head.split("\r\n").skip(1).map(|line| line.split(':').next().unwrap()).collect()
}

fn sdp(direction: &str) -> Request {
    let body = format!("v=0\r\nc=IN IP4 192.0.2.9\r\nm=audio 4000 RTP/AVP 0\r\na={direction}\r\n");
    Request::invite().body("application/sdp", &body)
}

#[test]
fn is_method_compares_with_a_list() {
    let invite = Request::invite();
    check_value("is_method(\"INVITE\")", &invite, 1);
    check_value("is_method(\"BYE|INVITE\")", &invite, 1);
    check_value("is_method(\"invite\")", &invite, 1);
    check_value("is_method(\"BYE|ACK\")", &invite, -1);
    check_value("$var(m) = \"INVITE\"; is_method($var(m))", &invite, 1);
    check_value("is_method(\"DANCE\")", &Request::new("DANCE sip:bob@example.com"), 1);
    check_value("is_method(\"SING|DANCE\")", &Request::new("dance sip:bob@example.com"), 1);
    check_refused("is_method(§\"IN VITE\");", &["`is_method`", "\"IN VITE\" is no method"]);
    check_refused("§is_method();", &["needs its argument `methods`"]);
}

#[test]
fn is_method_of_a_reply_is_that_of_cseq() {
    let script =
        format!("{}onreply_route {{ is_method(\"INVITE\"); xlog(\"$rc\"); }}\n", route("t_relay();"));
    let mut server = Server::new(&script);
    let sent = server.receive(&Request::invite());
    let run = server.answer(&reply(&sent.request("INVITE").text, 180, "Ringing", ""));
    assert_eq!(run.log, ["1"]);
}

#[test]
fn has_totag_tells_a_dialog() {
    check_value("has_totag()", &Request::invite(), -1);
    check_value("has_totag()", &Request::invite().to("<sip:bob@example.com>;tag=x"), 1);
    check_value("has_totag()", &Request::invite().to("<sip:bob@example.com;tag=x>"), -1);
    check_refused("has_totag(§1);", &["has_totag", "no arguments"]);
}

#[test]
fn append_hf_adds_behind_the_last_header_or_the_first_of_a_name() {
    let sent = relayed("append_hf(\"P-hint: $fU\\r\\n\");", &Request::invite());
    assert_eq!(sent.header("P-hint"), "alice");
    let request = Request::invite().header("X-A: 1").header("X-A: 2");
    let sent = relayed("append_hf(\"P-hint: x\\r\\n\", \"X-A\");", &request);
    let names = names(&sent);
    let hint = names.iter().position(|name| *name == "P-hint").unwrap();
    assert_eq!((names[hint - 1], names[hint + 1]), ("X-A", "X-A"));
    check_value("append_hf(\"P-hint: x\\r\\n\", \"X-None\")", &request, -1);
    check_value("append_hf(\"P-hint x\\r\\n\")", &request, -1);
    check_value("append_hf(\"P-hint: x\\r\\n\\r\\nbody\")", &request, -1);
    check_refused("§append_hf();", &["append_hf(line[, after])"]);
}

#[test]
fn insert_hf_adds_before_the_first_header_or_the_first_of_a_name() {
    let request = Request::invite().header("X-A: 1").header("X-A: 2");
    let sent = relayed("insert_hf(\"P-hint: x\\r\\n\", \"X-A\");", &request);
    let all = names(&sent);
    let hint = all.iter().position(|name| *name == "P-hint").unwrap();
    assert_eq!(all[hint + 1..hint + 3], ["X-A", "X-A"]);
    let sent = relayed("insert_hf(\"P-hint: x\\r\\n\");", &request);
    assert!(names(&sent).iter().position(|name| *name == "P-hint").unwrap() <= 1, "{}", sent.text);
    check_value("insert_hf(\"P-hint: x\\r\\n\", \"X-None\")", &request, -1);
    check_refused("insert_hf(\"a\", \"b\", §\"c\");", &["insert_hf", "3 given"]);
}

#[test]
fn remove_hf_removes_all_headers_of_a_name() {
    let request = Request::invite().header("X-A: 1").header("x-a: 2").header("Subject: s");
    assert_eq!(relayed("remove_hf(\"X-A\");", &request).header("X-A"), "");
    // The long name stands for the compact one too.
    let compact = Request::invite().header("s: call me");
    assert_eq!(relayed("remove_hf(\"Subject\");", &compact).header("s"), "");
    check_value("remove_hf(\"X-A\")", &request, 1);
    check_value("remove_hf(\"X-B\")", &request, -1);
    check_refused("§remove_hf();", &["needs its argument `name`"]);
}

#[test]
fn remove_hf_re_removes_by_an_expression() {
    let request = Request::invite().header("X-g1: 1").header("X-good2: 2").header("X-h3: 3");
    let sent = relayed("remove_hf_re(\"^X-g.*[0-9]\"); xlog(\"$rc\");", &request);
    let left = ["X-g1", "X-good2", "X-h3"].map(|name| sent.header(name));
    assert_eq!(left, ["", "", "3"]);
    check_value("remove_hf_re(\"^Y\")", &request, -1);
    check_refused("remove_hf_re(§\"[\");", &["no regular expression"]);
    check_refused("§remove_hf_re();", &["needs its argument `expression`"]);
}

#[test]
fn remove_hf_glob_removes_by_a_pattern() {
    let request = Request::invite().header("X-Billing-A: 1").header("x-billing-rate: 2").header("X-Other: 3");
    let sent = relayed("remove_hf_glob(\"X-Billing*\");", &request);
    let left = ["X-Billing-A", "x-billing-rate", "X-Other"].map(|name| sent.header(name));
    assert_eq!(left, ["", "", "3"]);
    check_value("remove_hf_glob(\"X-*-?\")", &request, 1);
    check_value("remove_hf_glob(\"X-?\")", &request, -1);
    check_value("remove_hf_glob(\"*-Z*\")", &request, -1);
    check_refused("§remove_hf_glob();", &["needs its argument `pattern`"]);
}

#[test]
fn is_present_hf_knows_compact_names() {
    let request = Request::invite().header("s: call me").header("X-A:");
    check_value("is_present_hf(\"Subject\")", &request, 1);
    check_value("is_present_hf(\"f\")", &request, 1);
    check_value("is_present_hf(\"x-a\")", &request, 1);
    check_value("is_present_hf(\"X-B\")", &request, -1);
    check_refused("§is_present_hf();", &["needs its argument `name`"]);
}

#[test]
fn append_to_reply_adds_to_replies_made_here() {
    assert_eq!(replied("append_to_reply(\"Foo: $rm\\r\\n\");").header("Foo"), "INVITE");
    let run = Server::new(&route("t_newtran(); append_to_reply(\"Foo: bar\\r\\n\"); t_reply(404, \"x\");"))
        .receive(&Request::invite());
    assert_eq!(run.reply(404).header("Foo"), "bar");
    check_value("append_to_reply(\"Foo\\r\\n\")", &Request::invite(), -1);
    check_value("append_to_reply(\"Foo: bar\\r\\n\\r\\nbody\")", &Request::invite(), -1);
    check_refused("§append_to_reply();", &["needs its argument `line`"]);
}

#[test]
fn append_urihf_writes_the_uri_as_it_came() {
    let statements = "$ru = \"sip:carol@203.0.113.77\"; append_urihf(\"CC-Diversion: <\", \">\\r\\n\");";
    let sent = relayed(statements, &Request::invite());
    assert_eq!(sent.header("CC-Diversion"), "<sip:bob@203.0.113.9:5080>");
    check_value("append_urihf(\"no colon \", \"\\r\\n\")", &Request::invite(), -1);
    check_refused("§append_urihf(\"CC: \");", &["needs its argument `suffix`"]);
}

#[test]
fn append_time_dates_the_reply_and_append_time_to_request_the_request() {
    let date = "Sat, 21 Nov 2026 21:26:11 GMT";
    assert_eq!(replied("append_time();").header("Date"), date);
    assert_eq!(relayed("append_time_to_request();", &Request::invite()).header("Date"), date);
    check_refused("append_time(§1);", &["append_time", "no arguments"]);
    check_refused("append_time_to_request(§1);", &["append_time_to_request", "no arguments"]);
}

#[test]
fn has_body_may_ask_for_a_type() {
    let request = Request::invite().body("application/sdp;x=y", "v=0\r\n");
    check_value("has_body()", &request, 1);
    check_value("has_body(\"application/sdp\")", &request, 1);
    check_value("has_body(\"Application/SDP\")", &request, 1);
    check_value("has_body(\"text/plain\")", &request, -1);
    check_value("has_body()", &Request::invite(), -1);
    check_refused("has_body(\"a\", §\"b\");", &["has_body", "2 given"]);
}

#[test]
fn has_body_part_looks_into_a_multipart_body() {
    let parts = "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b\r\ncontent-type: text/plain;x=y\r\n\r\nhi\r\n--b--\r\n";
    let request = Request::invite().body("multipart/mixed;boundary=b", parts);
    check_value("has_body_part()", &request, 1);
    check_value("has_body_part(\"application/sdp\")", &request, 1);
    check_value("has_body_part(\"text/plain\")", &request, 1);
    check_value("has_body_part(\"multipart/mixed\")", &request, 1);
    check_value("has_body_part(\"application/isup\")", &request, -1);
    check_value("has_body_part(\"application/sdp\")", &sdp("sendrecv"), 1);
    check_value("has_body_part()", &Request::invite(), -1);
    check_refused("has_body_part(\"a\", §\"b\");", &["has_body_part", "2 given"]);
}

#[test]
fn is_privacy_reads_the_privacy_header() {
    let request = Request::invite().header("Privacy: header;id");
    check_value("is_privacy(\"id\")", &request, 1);
    check_value("is_privacy(\"user\")", &request, -1);
    check_value("is_privacy(\"id\")", &Request::invite(), -1);
    check_refused("§is_privacy();", &["needs its argument `privacy_type`"]);
}

#[test]
fn is_audio_on_hold_reads_the_sdp() {
    check_value("is_audio_on_hold()", &sdp("sendonly"), 1);
    check_value("is_audio_on_hold()", &sdp("inactive"), 1);
    check_value("is_audio_on_hold()", &sdp("sendrecv"), -1);
    check_value("is_audio_on_hold()", &Request::invite(), -1);
    check_refused("is_audio_on_hold(§1);", &["is_audio_on_hold", "no arguments"]);
}

#[test]
fn parameters_of_the_request_uri_are_found_added_and_removed() {
    let request = Request::new("INVITE sip:bob@203.0.113.9;user=phone;lr");
    check_value("ruri_has_param(\"user\", \"phone\")", &request, 1);
    check_value("ruri_has_param(\"user\", \"ip\")", &request, -1);
    // Without a value the parameter must have none.
    check_value("ruri_has_param(\"lr\")", &request, 1);
    check_value("ruri_has_param(\"user\")", &request, -1);
    check_value("ruri_has_param(\"nat\")", &request, -1);
    check(
        "ruri_add_param(\"nat=yes\"); xlog(\"$rc $ru\"); ruri_del_param(\"user\"); xlog(\"$rc $ru\");
         ruri_del_param(\"user\"); xlog(\"$rc\"); ruri_add_param(\"a b\"); xlog(\"$rc\");",
        &request,
        &["1 sip:bob@203.0.113.9;user=phone;lr;nat=yes", "1 sip:bob@203.0.113.9;lr;nat=yes", "-1", "-1"],
    );
    check_value("ruri_add_param(\"a=b\")", &Request::new("INVITE tel:+49123"), -1);
    check_refused("§ruri_has_param();", &["ruri_has_param(name[, value])"]);
    check_refused("§ruri_add_param();", &["needs its argument `parameter`"]);
    check_refused("§ruri_del_param();", &["needs its argument `name`"]);
}

#[test]
fn is_uri_user_e164_checks_a_number() {
    let invite = Request::invite();
    check_value("is_uri_user_e164(\"sip:+4930123456@example.com\")", &invite, 1);
    check_value("is_uri_user_e164(\"sip:4930123456@example.com\")", &invite, -1);
    check_value("is_uri_user_e164(\"sip:+49x@example.com\")", &invite, -1);
    check_value("is_uri_user_e164(\"sip:+1234567890123456@example.com\")", &invite, -1);
    check_value("is_uri_user_e164($fu)", &invite, -1);
    check_value("is_uri_user_e164(\"no uri\")", &invite, -1);
    check_refused("§is_uri_user_e164();", &["needs its argument `uri`"]);
}

#[test]
fn options_of_a_list_header_are_found_added_and_removed() {
    let request = Request::invite().header("Supported: path, 100rel").header("Supported: timer");
    check_value("list_hdr_has_option(\"Supported\", \"100rel\")", &request, 1);
    check_value("list_hdr_has_option(\"k\", \"timer\")", &request, 1);
    check_value("list_hdr_has_option(\"Supported\", \"gruu\")", &request, -1);
    check_value("list_hdr_has_option(\"Require\", \"path\")", &request, -1);
    let value = |statements: &str| relayed(statements, &request).header("Supported");
    assert_eq!(value("list_hdr_add_option(\"Supported\", \"gruu\");"), "path, 100rel, gruu | timer");
    assert_eq!(value("list_hdr_remove_option(\"Supported\", \"timer\");"), "path, 100rel");
    // Several changes of one header add up.
    assert_eq!(
        value(
            "list_hdr_remove_option(\"Supported\", \"100rel\"); list_hdr_add_option(\"Supported\", \"x\");"
        ),
        "path, x | timer"
    );
    check_value("list_hdr_add_option(\"Require\", \"path\")", &request, -1);
    check_value("list_hdr_add_option(\"Supported\", \"a b\")", &request, -1);
    check_value("list_hdr_remove_option(\"Supported\", \"gruu\")", &request, -1);
    for function in ["list_hdr_has_option", "list_hdr_add_option", "list_hdr_remove_option"] {
        check_refused(&format!("§{function}(\"Supported\");"), &[function, "needs its argument `option`"]);
    }
}

#[test]
fn change_reply_status_changes_what_goes_upstream() {
    let status = |change: &str, code: u16, reason: &str| {
        let script = format!("{}onreply_route {{ {change} xlog(\"$rc\"); }}\n", route("t_relay();"));
        let mut server = Server::new(&script);
        let sent = server.receive(&Request::invite());
        let run = server.answer(&reply(&sent.request("INVITE").text, code, reason, ""));
        let upstream = run.sent.iter().find(|packet| packet.start().starts_with("SIP/2.0"));
        (upstream.map_or(String::new(), |packet| packet.start().to_owned()), run.log.join(""))
    };
    let check = |change: &str, (code, reason): (u16, &str), expected: (&str, &str)| {
        assert_eq!(status(change, code, reason), (expected.0.to_owned(), expected.1.to_owned()), "{change}");
    };
    check("change_reply_status(404, \"Not Found\");", (603, "Decline"), ("SIP/2.0 404 Not Found", "1"));
    check("change_reply_status(183, \"Progress\");", (180, "Ringing"), ("SIP/2.0 183 Progress", "1"));
    // A refusal does not become a call, nor a call a refusal.
    check("change_reply_status(200, \"OK\");", (486, "Busy"), ("SIP/2.0 486 Busy", "-1"));
    check("change_reply_status(486, \"Busy\");", (200, "OK"), ("SIP/2.0 200 OK", "-1"));
    check_refused("§change_reply_status(404, \"x\");", &["change_reply_status", "route"]);
}
