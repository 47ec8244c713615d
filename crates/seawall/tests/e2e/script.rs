//! The routing language as a whole server runs it: what variables and transformations say about a real request,
//! routes that nobody calls, header functions, limits, and the constructs of scripts in the field.

use crate::harness::call::talk;
use crate::harness::scripts::{EXCHANGE, MODULES, exchange};
use crate::harness::{Message, Phone, Server, mi};

/// Runs statements for an OPTIONS of alice and gives the answer; `$var(r)` comes back as its X-R header.
fn run(statements: &str) -> Message {
    let script = format!(
        "{MODULES}route {{\n{statements}\nappend_to_reply(\"X-R: $var(r)\\r\\n\");\nsend_reply(200, \"OK\");\n}}\n"
    );
    let server = Server::start(&script);
    let mut alice = Phone::udp(&server, "alice");
    let mut request = alice
        .request("OPTIONS", "sip:bob@127.0.0.1:5099;transport=udp;y=%41")
        .with("X-One: first")
        .with("X-One: second")
        .with("User-Agent: Test/1.0");
    request.to = "\"Bob B.\" <sip:bob@example.test>".to_owned();
    alice.ask(&request)
}

#[test]
fn variables_and_transformations_tell_about_the_request() {
    let table = [
        ("$rm", "OPTIONS"),
        ("$ru", "sip:bob@127.0.0.1:5099;transport=udp;y=%41"),
        ("$rU", "bob"),
        ("$rd", "127.0.0.1"),
        ("$rp", "5099"),
        ("$rP", "udp"),
        ("$fU", "alice"),
        ("$fu", "sip:alice@127.0.0.1"),
        ("$tu", "sip:bob@example.test"),
        ("$td", "example.test"),
        ("$tn", "\"Bob B.\""),
        ("$cs", "1"),
        ("$si", "127.0.0.1"),
        ("$proto", "udp"),
        ("$ua", "Test/1.0"),
        ("$hdr(X-One)", "first"),
        ("$(hdr(X-One)[1])", "second"),
        ("$(hdr(X-One)[-1])", "second"),
        ("$hdrcnt(X-One)", "2"),
        ("$(ru{uri.user})", "bob"),
        ("$(ru{uri.param,y})", "%41"),
        ("$(tu{uri.host}{s.toupper})", "EXAMPLE.TEST"),
        ("$(tu{s.len})", "20"),
        ("$(tu{s.substr,4,3})", "bob"),
        ("$(tu{s.select,1,@})", "example.test"),
        ("$(fU{s.md5})", "6384e2b2184bcbf58eccf10ca7a6563c"),
        ("$(hdr(Via){via.transport})", "UDP"),
    ];
    let lines: Vec<String> = table
        .iter()
        .enumerate()
        .map(|(n, (expression, _))| format!("append_to_reply(\"X-{n}: {expression}\\r\\n\");"))
        .collect();
    let answer = run(&format!("{}\n$var(r) = \"end\";", lines.join("\n")));
    for (n, (expression, expected)) in table.iter().enumerate() {
        assert_eq!(answer.need(&format!("X-{n}")), *expected, "{expression}");
    }
    assert_eq!(answer.need("X-R"), "end");
}

/// Runs statements that leave their result in `$var(r)`.
#[track_caller]
fn check(statements: &str, expected: &str) {
    assert_eq!(run(statements).need("X-R"), expected, "{statements}");
}

#[test]
fn statements_and_expressions_do_what_they_say() {
    check("$var(i) = 0; while ($var(i) < 5) { $var(i) += 2; } $var(r) = $var(i);", "6");
    check(
        "switch ($rm) { case \"INVITE\": $var(r) = 1; break; case \"OPTIONS\": $var(r) = 2; break; default: $var(r) = 3; }",
        "2",
    );
    check(
        "$var(r) = \"\"; for ($var(h) in $(hdr(X-One)[*])) $var(r) = $var(r) + $var(h) + \".\";",
        "first.second.",
    );
    check("if ($ua =~ \"^test/[0-9]\" && !($rU == NULL)) $var(r) = \"yes\"; else $var(r) = \"no\";", "yes");
    check("$avp(x) = \"a\"; $avp(x) = \"b\"; $var(r) = \"$(avp(x)[0])$(avp(x)[1])\";", "ba");
    check(
        "setflag(SEEN); if (isflagset(SEEN)) $var(r) = 1; resetflag(SEEN); if (!isflagset(SEEN)) $var(r) += 1;",
        "2",
    );
    check("$var(r) = (7 & 3) + (1 << 4) - 10 / 2 % 3;", "17");
}

#[test]
fn routes_call_each_other_with_parameters_and_results() {
    let script = format!(
        "{MODULES}route {{ route(twice, \"ab\"); append_to_reply(\"X-R: $rc $return(0)\\r\\n\"); send_reply(200, \"OK\"); }}\n\
         route[twice] {{ return(5, \"$param(1)$param(1)\"); }}\n"
    );
    let server = Server::start(&script);
    let mut alice = Phone::udp(&server, "alice");
    assert_eq!(alice.ask(&alice.request("OPTIONS", "sip:127.0.0.1")).need("X-R"), "5 abab");
}

#[test]
fn headers_are_added_put_first_and_removed_on_the_way() {
    let change = "append_hf(\"X-Last: yes\\r\\n\"); insert_hf(\"X-First: yes\\r\\n\"); \
                  if (is_present_hf(\"X-Secret\")) remove_hf(\"X-Secret\"); if (!lookup(\"location\"))";
    let server =
        Server::start(&format!("{MODULES}{}", EXCHANGE.replace("if (!lookup(\"location\"))", change)));
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::udp(&server, "bob"));
    bob.register();
    alice.send(&alice.request("MESSAGE", &bob.aor()).with("X-Secret: 1").with("X-Kept: 2").bytes());
    let received = bob.expect_request("MESSAGE");
    assert_eq!(received.headers.first().unwrap().0, "X-First");
    assert_eq!(received.headers.last().unwrap().0, "X-Last");
    assert!(received.header("X-Secret").is_none());
    assert_eq!(received.need("X-Kept"), "2");
}

#[test]
fn startup_timer_and_event_routes_run_by_themselves() {
    let routes = "startup_route { xlog(\"L_ERR\", \"started once\\n\"); }\n\
                  timer_route[tick, 1] { xlog(\"L_ERR\", \"a second passed\\n\"); }\n\
                  event_route[E_UL_CONTACT_INSERT] { xlog(\"L_ERR\", \"new $param(aor) $param(expires)\\n\"); }\n\
                  event_route[E_UL_AOR_DELETE] { xlog(\"L_ERR\", \"gone $param(aor)\\n\"); }\n";
    let server = Server::start(&format!("{MODULES}{EXCHANGE}{routes}"));
    let mut alice = Phone::udp(&server, "alice");
    alice.register();
    alice.ask(&alice.register_for(0));
    for text in ["started once", "a second passed", "new alice@127.0.0.1", "gone alice@127.0.0.1"] {
        server.wait_for_log(text);
    }
    assert_eq!(server.log().matches("started once").count(), 1);
}

#[test]
fn a_script_without_end_is_stopped_and_the_server_goes_on() {
    let endless = "if (is_method(\"INFO\")) { route(round); }";
    let script = EXCHANGE.replacen("route {", &format!("route {{ {endless}"), 1);
    let server = Server::start(&format!("{MODULES}{script}route[round] {{ route(round); }}\n"));
    let mut alice = Phone::udp(&server, "alice");
    alice.send(&alice.request("INFO", "sip:127.0.0.1").bytes());
    alice.register();
}

#[test]
fn replies_are_seen_and_changed_by_the_reply_routes() {
    let routing =
        EXCHANGE.replace("if (!t_relay())", "t_on_reply(\"seen\"); t_on_branch(\"out\"); if (!t_relay())");
    let routes = "onreply_route[seen] { append_hf(\"X-Seen: $rs\\r\\n\"); }\n\
                  branch_route[out] { append_hf(\"X-Branch: $rU\\r\\n\"); }\n";
    let server = Server::start(&format!("{MODULES}{routing}{routes}"));
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::udp(&server, "bob"));
    bob.register();
    let message = alice.request("MESSAGE", &bob.aor());
    alice.send(&message.bytes());
    let received = bob.expect_request("MESSAGE");
    assert_eq!(received.need("X-Branch"), "bob");
    bob.send(&received.reply(200, "OK", "b", "", ""));
    assert_eq!(alice.answer_to(&message).need("X-Seen"), "200");
}

/// What OpenSIPS administrators have in their scripts, put together by us: module paths, a module folder that does
/// not exist, a FIFO in a folder that may not exist, switches without a meaning here, every kind of comment.
const FROM_THE_FIELD: &str = r#"
#!! not a directive, just a comment
/* a comment
   of two lines */
log_level = 3
xlog_level = 3
log_stdout = no
stderror_enabled = no
syslog_enabled = yes
syslog_facility = LOG_LOCAL1
debug_mode = no
udp_workers = 2
tcp_workers = 2
server_signature = yes
server_header = "Server: Exchange (field)"
dns_try_ipv6 = no
disable_dns_blacklist = yes
auto_aliases = no
mhomed = 0
mpath = "/nowhere/lib/modules/"
loadmodule "signaling/signaling.so"
loadmodule "sl/sl.so"
loadmodule "tm/tm.so"
modparam("tm", "fr_timeout", 5)
modparam("tm", "fr_inv_timeout", 30)
modparam("tm", "restart_fr_on_each_reply", 0)
modparam("tm", "onreply_avp_mode", 1)
loadmodule "rr/rr.so"
modparam("rr", "append_fromtag", 1)
loadmodule "maxfwd/maxfwd.so"
loadmodule "sipmsgops/sipmsgops.so"
loadmodule "mi_fifo/mi_fifo.so"
modparam("mi_fifo", "fifo_name", "FOLDER/not/there/fifo")
modparam("mi_fifo", "fifo_mode", 0666)
loadmodule "usrloc/usrloc.so"
modparam("usrloc", "nat_bflag", "NAT")
modparam("usrloc", "working_mode_preset", "single-instance-no-db")
loadmodule "registrar/registrar.so"
modparam("registrar", "tcp_persistent_flag", "TCP_PERSISTENT")
loadmodule "acc/acc.so"
modparam("acc", "early_media", 0)
modparam("acc", "report_cancels", 0)
modparam("acc", "detect_direction", 0)
loadmodule "proto_udp/proto_udp.so"
loadmodule "proto_tcp/proto_tcp.so"
loadmodule "httpd/httpd.so"
modparam("httpd", "port", 0)
loadmodule "mi_http/mi_http.so"

route{
	if (!mf_process_maxfwd_header(10)) { sl_send_reply(483,"Too Many Hops"); exit; }
	if (has_totag()) {
		if ( is_method("ACK") && t_check_trans() ) { t_relay(); exit; }
		if ( !loose_route() ) { sl_send_reply(404,"Not here"); exit; }
		if (is_method("BYE")) do_accounting("log","failed");
		route(relay); exit;
	}
	if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; };
	t_check_trans();
	if (not is_method("REGISTER") and not is_myself("$fd") and not is_myself("$rd")) {
		send_reply(403,"Relay Forbidden"); exit;
	}
	if (!is_method("REGISTER|MESSAGE")) record_route();
	if (is_method("INVITE")) { do_accounting("log"); }
	if (!is_myself("$rd")) { append_hf("P-hint: outbound\r\n"); route(relay); }
	if (is_method("PUBLISH|SUBSCRIBE")) { send_reply(503, 'Service Unavailable'); exit; }
	if (is_method("REGISTER")) {
		if ($proto == "tcp") setflag("TCP_PERSISTENT");
		if (!save("location")) xlog("failed to register AoR $tu\n");
		exit;
	}
	if ($rU==NULL) { send_reply(484,"Address Incomplete"); exit; }
	if (!lookup("location","m")) { t_reply(404, "Not Found"); exit; }
	do_accounting("log","missed");
	route(relay);
}

route[relay] {
	if (is_method("INVITE")) {
		t_on_branch("per_branch"); t_on_reply("replies"); t_on_failure("missed");
	}
	if (!t_relay()) send_reply(500,"Internal Error");
	exit;
}
branch_route[per_branch] { xlog("new branch at $ru\n"); }
onreply_route[replies] { xlog("incoming reply $rs\n"); }
failure_route[missed] { if (t_was_cancelled()) { exit; } }
"#;

#[test]
fn a_script_as_they_stand_in_the_field_serves_calls() {
    let folder = crate::harness::server::temporary_folder();
    let server = Server::start(&FROM_THE_FIELD.replace("FOLDER", &folder.display().to_string()));
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::tcp(&server, "bob"));
    let answer = alice.register();
    assert_eq!(answer.need("Server"), "Exchange (field)");
    bob.register();
    talk(&mut alice, &mut bob);
    assert_eq!(
        alice.ask(&alice.request("SUBSCRIBE", "sip:bob@127.0.0.1")).start,
        "SIP/2.0 503 Service Unavailable"
    );
    assert_eq!(mi::contacts(&server, "bob@127.0.0.1").len(), 1);
    drop(server);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn accounting_writes_a_line_for_a_call_and_for_a_missed_one() {
    let routing = EXCHANGE.replacen(
        "if (!t_relay())",
        "if (is_method(\"INVITE\")) do_accounting(\"log\", \"missed|failed\"); if (!t_relay())",
        1,
    );
    let server = Server::start(&format!("{MODULES}{routing}"));
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::udp(&server, "bob"));
    alice.register();
    bob.register();
    talk(&mut alice, &mut bob);
    server.wait_for_log("ACC: transaction answered");
    let call = crate::harness::call::invite(&alice, &bob.aor());
    alice.send(&call.bytes());
    let received = bob.expect_request("INVITE");
    bob.send(&received.reply(486, "Busy Here", "b", "", ""));
    server.wait_for_log("ACC: call missed");
}

#[test]
fn a_request_over_tcp_is_accounted_although_its_transaction_ends_at_once() {
    let routing = EXCHANGE.replacen(
        "if (!t_relay())",
        "if (is_method(\"MESSAGE\")) do_accounting(\"log\"); if (!t_relay())",
        1,
    );
    let server = Server::start(&format!("{MODULES}{routing}"));
    let (mut alice, mut bob) = (Phone::tcp(&server, "alice"), Phone::udp(&server, "bob"));
    alice.register();
    bob.register();
    let message = alice.request("MESSAGE", &bob.aor());
    alice.send(&message.bytes());
    let received = bob.expect_request("MESSAGE");
    bob.send(&received.reply(200, "OK", "b", "", ""));
    assert_eq!(alice.answer_to(&message).status(), 200);
    server.wait_for_log("method=MESSAGE");
}

#[test]
fn a_plain_exchange_logs_nothing_at_its_level() {
    let server = Server::start(&exchange());
    let mut alice = Phone::udp(&server, "alice");
    alice.register();
    assert!(!server.log().contains("ERR"), "{}", server.log());
}
