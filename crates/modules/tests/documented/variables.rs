//! The pseudo-variables.

use crate::harness::{Request, Server, check, check_refused, check_text, program, reply, route};

/// A request with much in it.
fn request() -> Request {
    Request::new("INVITE sip:+49123@example.com:5080;transport=tcp")
        .from("\"Alice A.\" <sip:alice@home.example:5090>;tag=from-tag")
        .to("Bob <sip:bob@example.com>;tag=to-tag")
        .cseq(42)
        .header("Contact: \"A\" <sip:alice@198.51.100.7:5070>;q=0.7;expires=60;methods=\"INVITE\", <sip:a2@198.51.100.7>")
        .header("User-Agent: Phone/1")
        .header("X-A: one")
        .header("X-A: two")
        .header("Refer-To: <sip:r@example.com>")
        .header("P-Asserted-Identity: <sip:pai@example.com>")
        .header("Diversion: <sip:div@example.com>;reason=busy")
        .header("Remote-Party-ID: <sip:rpid@example.com>;party=calling")
        .header("Authorization: Digest username=\"alice@home.example\", realm=\"r\", nonce=\"n\", uri=\"sip:x\", response=\"0123\", opaque=\"o\", algorithm=MD5, qop=auth, nc=00000001, cnonce=\"c\"")
        .body("text/plain", "hello")
}

#[track_caller]
fn reads(format: &str, expected: &str) {
    check_text(format, &request(), expected);
}

#[track_caller]
fn runs(statements: &str, expected: &[&str]) {
    check(statements, &request(), expected);
}

/// Assigns a value that does not fit, and reads the variable again.
#[track_caller]
fn does_not_fit(name: &str, value: &str, still: &str) {
    let run = Server::new(&route(&format!("${name} = {value}; xlog(\"${name}\");"))).receive(&request());
    assert!(run.log[0].contains("the assignment failed: the value does not fit"), "{:?}", run.log);
    assert_eq!(run.log[1..], [still], "{name}");
}

#[test]
fn the_request_uri_and_its_parts() {
    reads("$ru", "sip:+49123@example.com:5080;transport=tcp");
    reads("$rU $rd $rp $rP", "+49123 example.com 5080 tcp");
    reads("$ou", "sip:+49123@example.com:5080;transport=tcp");
    reads("$oU $od $op $oP", "+49123 example.com 5080 tcp");
    reads("$rq $ru_q", "<null> <null>");
    runs("$ru_q = 700; xlog(\"$rq $ru_q\"); $ru_q = NULL; xlog(\"$ru_q\");", &["700 700", "<null>"]);
    does_not_fit("ru_q", "1001", "<null>");
    check_text("$rU $rp $rP", &Request::new("INVITE sip:example.com"), "<null> 5060 udp");
}

#[test]
fn the_request_uri_can_be_changed_and_the_original_stays() {
    runs(
        "$rU = \"carol\"; xlog(\"$ru\"); $rd = \"h.example\"; xlog(\"$ru\"); $rp = 5099; xlog(\"$ru\");
         $rp = NULL; xlog(\"$ru\"); $ru = \"sip:x@y\"; xlog(\"$ru $ou\"); $ru = NULL; xlog(\"$rU\");",
        &[
            "sip:carol@example.com:5080;transport=tcp",
            "sip:carol@h.example:5080;transport=tcp",
            "sip:carol@h.example:5099;transport=tcp",
            "sip:carol@h.example;transport=tcp",
            "sip:x@y sip:+49123@example.com:5080;transport=tcp",
            "+49123",
        ],
    );
    does_not_fit("ru", "\"sip:a b\"", "sip:+49123@example.com:5080;transport=tcp");
    does_not_fit("rU", "\"a b>\"", "+49123");
    does_not_fit("rd", "\"a b\"", "example.com");
    does_not_fit("rp", "70000", "5080");
}

#[test]
fn the_next_hop_and_its_parts() {
    reads("[$du] [$dd] [$dp] [$dP]", "[<null>] [<null>] [<null>] [<null>]");
    runs(
        "$du = \"sip:192.0.2.77:5099;transport=tcp\"; xlog(\"$du $dd $dp $dP $duri\"); $du = NULL; xlog(\"$du\");",
        &[
            "sip:192.0.2.77:5099;transport=tcp 192.0.2.77 5099 tcp sip:192.0.2.77:5099;transport=tcp",
            "<null>",
        ],
    );
    does_not_fit("du", "\"nonsense\"", "<null>");
    runs("$duri = \"sip:a\"; xlog(\"$du\");", &["sip:a"]);
}

#[test]
fn from_to_and_the_identifiers_of_a_dialog() {
    reads("$fu|$fU|$fd|$fn|$ft", "sip:alice@home.example:5090|alice|home.example|\"Alice A.\"|from-tag");
    reads("$tu|$tU|$td|$tn|$tt", "sip:bob@example.com|bob|example.com|Bob|to-tag");
    reads("$from", "\"Alice A.\" <sip:alice@home.example:5090>;tag=from-tag");
    reads("$to", "Bob <sip:bob@example.com>;tag=to-tag");
    reads("$ci $cs", "call-1@example.com 42");
    check_text("$tt $tn", &Request::invite(), "<null> <null>");
}

#[test]
fn headers_by_their_own_variables() {
    reads("$ua $cT $cl", "Phone/1 text/plain 5");
    reads("$dir $dip", "busy <null>");
    let preferred =
        request().header("P-Preferred-Identity: \"P\" <sip:pref@p.example>").header("Path: <sip:p;lr>");
    check_text("$pu $pU $pd $pn $path", &preferred, "sip:pref@p.example pref p.example \"P\" <sip:p;lr>");
    check_text("$pu $pU $pd $pn $path", &Request::invite(), "<null> <null> <null> <null> <null>");
    reads(
        "$rt $ai $di $re",
        "sip:r@example.com sip:pai@example.com sip:div@example.com sip:rpid@example.com",
    );
    check_text("$ua $cT $rt $ai $di $re", &Request::invite(), "<null> <null> <null> <null> <null> <null>");
}

#[test]
fn contacts_one_by_one_and_in_parts() {
    reads("$ct", "\"A\" <sip:alice@198.51.100.7:5070>;q=0.7;expires=60;methods=\"INVITE\"");
    reads("$(ct[1]) $(ct[-1]) $(ct[2])", "<sip:a2@198.51.100.7> <sip:a2@198.51.100.7> <null>");
    reads(
        "$ct.fields(uri) $ct.fields(name) $ct.fields(q) $ct.fields(expires) $ct.fields(methods) $ct.fields(received)",
        "sip:alice@198.51.100.7:5070 \"A\" 0.7 60 INVITE <null>",
    );
    reads(
        "$(ct.fields(uri)[1]) $ct.fields(params)",
        "sip:a2@198.51.100.7 q=0.7;expires=60;methods=\"INVITE\"",
    );
    check_text("$ct.fields(uri)", &Request::register(&["*"]), "*");
    check_refused("xlog(\"$ct.fields(§color)\");", &["a contact has no part \"color\""]);
}

#[test]
fn any_header_by_its_name() {
    reads("$hdr(X-A) $(hdr(X-A)[1]) $(hdr(x-a)[-1]) $hdr(X-B)", "one two two <null>");
    reads("$hdrcnt(X-A) $hdrcnt(X-B)", "2 0");
    reads("$(hdr_name[0]) $(hdr_name[2])", "Via From");
    runs("for ($var(v) in $(hdr(X-A)[*])) xlog(\"$var(v)\");", &["one", "two"]);
}

#[test]
fn credentials() {
    reads("$ar $au $aU $ad $an", "r alice alice@home.example home.example n");
    reads("$adu $auth.cnonce $auth.nc", "sip:x c 00000001");
    reads("$auth.nonce $auth.resp $auth.opaque $auth.alg $auth.qop", "n 0123 o MD5 auth");
    check_text("$ar $au $ad $auth.resp", &Request::invite(), "<null> <null> <null> <null>");
}

#[test]
fn the_message_as_a_whole() {
    reads("$rm $rv $rT [$rs] [$rr]", "INVITE SIP/2.0 request [<null>] [<null>]");
    reads("$rb $bs", "hello 5");
    reads("$msg.is_request $msg.type", "1 request");
    let text = request().text();
    reads("$ml", &text.len().to_string());
    let run = Server::new(&route("xlog(\"$mb\");")).receive(&request());
    assert_eq!(run.log[0].replace("\\r\\n", "\r\n"), text);
}

#[test]
fn flags_as_numbers() {
    runs(
        "setflag(A); setflag(B); resetflag(A); setbflag(C); xlog(\"$mf $bf\"); xlog(\"$msg.flag(A) $msg.flag(B)\");",
        &["2 1", "0 1"],
    );
}

#[test]
fn a_reply_has_a_status() {
    let script =
        format!("{}onreply_route {{ xlog(\"$rs $rr $rm $rT $T_reply_code $si\"); }}\n", route("t_relay();"));
    let mut server = Server::new(&script);
    let run = server.receive(&Request::invite());
    let run = server.answer(&reply(&run.request("INVITE").text, 183, "Session Progress", ""));
    assert_eq!(run.log, ["183 Session Progress INVITE reply 183 198.51.100.7"]);
}

#[test]
fn the_transaction_has_a_number() {
    let log = Server::new(&route(
        "xlog(\"$T_id\"); t_newtran(); xlog(\"$T_id\"); xlog(\"$T_ruri $T_branch_idx\");",
    ))
    .receive(&Request::invite())
    .log;
    assert_eq!((&*log[0], &*log[2]), ("<null>", "sip:bob@203.0.113.9:5080 <null>"));
    assert!(log[1].contains(':'), "{log:?}");
}

#[test]
fn errors_are_described_in_the_error_route() {
    let script = format!(
        "{}error_route {{ xlog(\"$err.class $err.level $err.rcode $err.info|$err.rreason\"); }}\n",
        route("xlog(\"$err.class $err.level $err.rcode $err.info $err.rreason\");")
    );
    let mut server = Server::new(&script);
    assert_eq!(server.receive(&Request::invite()).log, ["<null> <null> <null> <null> <null>"]);
    assert_eq!(server.fault(&Request::invite(), 400, "Bad To").log, ["4 -1 400 Bad To|Bad To"]);
}

#[test]
fn statistics_by_name() {
    let statements =
        "send_reply(404, \"x\"); xlog(\"$stat(4xx_replies) $stat(sl:sent_replies) $stat(nothing)\");";
    check(statements, &Request::invite(), &["1 1 <null>"]);
}

#[test]
fn where_a_message_came_from() {
    reads("$si $sp $Ri $Rp $pr $proto $af", "198.51.100.7 5070 192.0.2.1 5060 udp udp INET");
    reads("$socket_in", "udp:192.0.2.1:5060");
    reads("$socket_in(proto) $socket_in(ip) $socket_in(port) $socket_in(tag)", "udp 192.0.2.1 5060 main");
    reads(
        "$socket_in(advertised_ip) $socket_in(advertised_port) $socket_in(anycast) $socket_in(af)",
        "192.0.2.1 5060 0 INET",
    );
    let run = Server::new(&route("xlog(\"$pr $socket_in(tag)\");")).receive_at(
        1,
        "198.51.100.7:5070",
        &request().text(),
    );
    assert_eq!(run.log, ["tcp <null>"]);
    check_refused("xlog(\"$socket_in(§color)\");", &["a socket has no part \"color\""]);
}

#[test]
fn the_socket_that_a_message_leaves_from() {
    reads("$socket_out $fs", "<null> <null>");
    runs(
        "$fs = \"udp:192.0.2.2:5062\"; xlog(\"$fs $socket_out(advertised_ip) $socket_out(advertised_port)\");
         $fs = NULL; xlog(\"$fs\");",
        &["udp:192.0.2.2:5062 sip.example.net 5070", "<null>"],
    );
    does_not_fit("fs", "\"udp:192.0.2.99\"", "<null>");
}

#[test]
fn destinations_of_the_message() {
    runs(
        "append_branch(\"sip:carol@203.0.113.10\", 500); $branch = \"sip:dave@203.0.113.11\"; setbflag(NAT, 1);
         xlog(\"$(branch[0]) $(branch(q)[0]) $(branch[1]) $(branch[-1]) $(branch[2])\");
         xlog(\"$(br[0]) $(msg.branch.uri[0]) $(msg.branch.uri[1]) $msg.branch.last_idx\");
         xlog(\"$(msg.branch.q[1]) $(msg.branch.flags[1]) $(msg.branch.flag(NAT)[1]) $(msg.branch.flag(NAT)[2])\");
         $(msg.branch.duri[1]) = \"sip:192.0.2.50\"; $(msg.branch.path[1]) = \"<sip:p;lr>\"; $(msg.branch.q[2]) = 100;
         $(msg.branch.attr(x)[1]) = \"y\"; $(msg.branch.uri[2]) = \"sip:erin@203.0.113.12\";
         xlog(\"$(msg.branch.duri[1]) $(msg.branch.path[1]) $(msg.branch.q[2]) $(msg.branch.attr(x)[1]) $(msg.branch.uri[2])\");
$(msg.branch.socket[1]) = \"udp:192.0.2.2:5062\"; xlog(\"$(msg.branch.socket[1]) $(branch(socket)[0])\");
         $(branch(socket)[0]) = NULL; xlog(\"$(msg.branch.socket[1])\"); $(branch[0]) = NULL; xlog(\"$(branch[0]) $msg.branch.last_idx\");",
        &[
            "sip:carol@203.0.113.10 500 sip:dave@203.0.113.11 sip:dave@203.0.113.11 <null>",
            "sip:carol@203.0.113.10 sip:+49123@example.com:5080;transport=tcp sip:carol@203.0.113.10 2",
            "500 NAT 1 0",
            "sip:192.0.2.50 <sip:p;lr> 100 y sip:erin@203.0.113.12",
            "udp:192.0.2.2:5062 udp:192.0.2.2:5062",
            "<null>",
            "sip:erin@203.0.113.12 1",
        ],
    );
    check_refused("xlog(\"$(branch(§color)[0])\");", &["a branch has no part \"color\""]);
}

#[test]
fn destinations_of_the_transaction() {
    let script = format!(
        "{}onreply_route {{
            xlog(\"$tm.branch.uri $tm.branch.duri $tm.branch.q $tm.branch.path $tm.branch.flags $tm.branch.flag(NAT)\");
            xlog(\"$tm.branch.attr(x) $tm.branch.socket $(tm.branch.uri[1]) $tm.branch.last_received\");
        }}\n",
        route(
            "$ru = \"sip:bob@203.0.113.9\"; $du = \"sip:203.0.113.9:5080\"; setbflag(NAT); $msg.branch.attr(x) = \"y\";
             $msg.branch.q = 300; $fs = \"udp:192.0.2.2:5062\"; append_branch(\"sip:carol@203.0.113.10\"); t_relay();"
        )
    );
    let mut server = Server::new(&script);
    let run = server.receive(&request());
    let run = server.answer(&reply(&run.request("INVITE").text, 180, "Ringing", ""));
    assert_eq!(
        run.log,
        [
            "sip:bob@203.0.113.9 sip:203.0.113.9:5080 300 <null> NAT 1",
            "y udp:192.0.2.2:5062 sip:carol@203.0.113.10 0"
        ]
    );
}

#[test]
fn avps_hold_several_values_the_newest_first() {
    runs(
        "$avp(a) = 1; $avp(a) = \"two\"; $avp(a) = 3; xlog(\"$avp(a) $(avp(a)[1]) $(avp(a)[-1]) $(avp(a)[3])\");
         $(avp(a)[1]) = 2; xlog(\"$(avp(a)[1])\"); $avp(a) = NULL; xlog(\"$avp(a)\");
         $avp(a) := 9; xlog(\"$avp(a) $(avp(a)[1])\"); $(avp(a)[*]) = NULL; xlog(\"$avp(a)\");",
        &["3 two 1 <null>", "2", "2", "9 <null>", "<null>"],
    );
}

#[test]
fn the_clock() {
    reads("$Ts $TS $Tsm", "1795296371 1795296371 0");
    let mut server = Server::new(&route("xlog(\"$Ts $TS\");"));
    server.pass(60);
    assert_eq!(server.receive(&request()).log, ["1795296431 1795296371"], "now, and when it was started");
    reads("$Tf", "Sat Nov 21 21:26:11 2026");
    reads("$time(%Y-%m-%d %H:%M:%S)|$time", "2026-11-21 21:26:11|Sat Nov 21 21:26:11 2026");
}

#[test]
fn levels_of_the_log_can_be_changed() {
    runs(
        "xlog(\"$log_level $xlog_level\"); xlog(\"L_DBG\", \"hidden\"); $xlog_level = 4; xlog(\"L_DBG\", \"shown\");
         $log_level = 3; xlog(\"$log_level\");",
        &["2 2", "shown", "3"],
    );
    does_not_fit("log_level", "9", "2");
    does_not_fit("xlog_level", "\"high\"", "2");
}

#[test]
fn the_process_has_a_number() {
    reads("$pp", &std::process::id().to_string());
}

#[test]
fn variables_that_cannot_be_written_are_refused() {
    for name in ["ou", "fu", "tu", "ci", "si", "rm", "Ts", "hdr(X)", "ct", "T_id", "socket_in"] {
        check_refused(&format!("§${name} = \"x\";"), &[name.split('(').next().unwrap()]);
    }
}

#[test]
fn an_unknown_variable_is_refused_with_the_nearest_one() {
    check_refused("xlog(\"$§sokcet_in\");", &["sokcet_in", "socket_in"]);
}

#[test]
fn the_variables_of_the_language_work_everywhere() {
    program(
        "route { $var(a) = 1; xlog(\"$var(a) $rc $retcode $cfg_line $cfg_file $route $return(0)\"); exit; }",
    );
}
