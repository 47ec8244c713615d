//! Module `tm`: branch, reply and failure routes, and what they may ask.

use crate::harness::{Request, Run, Server, check_refused, reply, route};

/// A server with these routes besides `route{}`, and what came of an INVITE.
fn calling(statements: &str, routes: &str) -> (Server, Run) {
    let mut server = Server::new(&format!("{}{routes}\n", route(statements)));
    let run = server.receive(&Request::invite());
    (server, run)
}

fn cancel() -> Request {
    Request::new("CANCEL sip:bob@203.0.113.9:5080")
        .via("SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK-INVITE-1")
}

/// The INVITE to a destination.
fn invite_to<'a>(run: &'a Run, to: &str) -> &'a str {
    let found = run.sent.iter().find(|packet| packet.start().starts_with("INVITE") && packet.to == to);
    &found.unwrap_or_else(|| panic!("nothing to {to} in {:#?}", run.sent)).text
}

#[test]
fn t_on_branch_runs_for_every_branch_and_changes_it_alone() {
    let (_, run) = calling(
        "append_branch(\"sip:carol@203.0.113.10\"); t_on_branch(\"each\"); t_relay();",
        "branch_route[each] { xlog(\"$T_branch_idx $rU $tm.branch.uri\"); append_hf(\"X-For: $rU\\r\\n\"); }",
    );
    assert_eq!(run.log, ["0 bob sip:bob@203.0.113.9:5080", "1 carol sip:carol@203.0.113.10"]);
    assert!(invite_to(&run, "udp:203.0.113.9:5080").contains("X-For: bob\r\n"));
    let second = invite_to(&run, "udp:203.0.113.10:5060");
    assert!(second.contains("X-For: carol\r\n") && !second.contains("X-For: bob"));
}

#[test]
fn a_branch_route_drops_its_branch() {
    let (_, run) = calling(
        "append_branch(\"sip:carol@203.0.113.10\"); t_on_branch(\"each\"); t_relay();",
        "branch_route[each] { if ($rU == \"bob\") drop; }",
    );
    assert_eq!(run.starts(), ["SIP/2.0 100 Trying", "INVITE sip:carol@203.0.113.10 SIP/2.0"]);
}

#[test]
fn t_on_reply_runs_for_every_reply() {
    let (mut server, run) = calling(
        "t_on_reply(\"all\"); t_relay();",
        "onreply_route[all] { xlog(\"$rs $T_reply_code $T_branch_idx\"); append_hf(\"X-Seen: 1\\r\\n\"); }",
    );
    let invite = run.request("INVITE").text.clone();
    let ringing = server.answer(&reply(&invite, 180, "Ringing", ""));
    assert_eq!(
        (ringing.log.join(""), ringing.only().header("X-Seen")),
        ("180 180 0".to_owned(), "1".to_owned())
    );
    assert_eq!(server.answer(&reply(&invite, 200, "OK", "")).log, ["200 200 0"]);
}

#[test]
fn a_reply_route_armed_in_a_branch_route_is_for_that_branch() {
    let (mut server, run) = calling(
        "append_branch(\"sip:carol@203.0.113.10\"); t_on_branch(\"each\"); t_on_reply(\"all\"); t_relay();",
        "branch_route[each] { if ($rU == \"carol\") t_on_reply(\"hers\"); }
         onreply_route[all] { xlog(\"all\"); } onreply_route[hers] { xlog(\"hers\"); }",
    );
    let (bob, carol) = (invite_to(&run, "udp:203.0.113.9:5080"), invite_to(&run, "udp:203.0.113.10:5060"));
    assert_eq!(server.answer(&reply(bob, 180, "Ringing", "")).log, ["all"]);
    assert_eq!(server.answer(&reply(carol, 180, "Ringing", "")).log, ["hers"]);
}

#[test]
fn drop_in_a_reply_route_stops_a_provisional_reply() {
    let (mut server, run) = calling("t_on_reply(\"all\"); t_relay();", "onreply_route[all] { drop; }");
    let invite = run.request("INVITE").text.clone();
    assert!(server.answer(&reply(&invite, 183, "Progress", "")).sent.is_empty());
    assert!(!server.answer(&reply(&invite, 486, "Busy", "")).sent.is_empty());
}

#[test]
fn onreply_avp_mode_shares_the_values_of_the_transaction() {
    let log = |parameter: &str| {
        let script = route("$avp(who) = \"alice\"; t_on_reply(\"all\"); t_relay();");
        let script = script.replacen("route {", &format!("{parameter}\nroute {{"), 1);
        let mut server = Server::new(&format!("{script}onreply_route[all] {{ xlog(\"$avp(who)\"); }}\n"));
        let run = server.receive(&Request::invite());
        server.answer(&reply(&run.request("INVITE").text, 180, "Ringing", "")).log
    };
    assert_eq!(log(""), ["<null>"]);
    assert_eq!(log("modparam(\"tm\", \"onreply_avp_mode\", 1)"), ["alice"]);
}

#[test]
fn t_on_failure_runs_when_all_branches_have_failed() {
    let (mut server, run) = calling(
        "append_branch(\"sip:carol@203.0.113.10\"); setflag(F); $avp(a) = 7; t_on_failure(\"next\"); t_relay();",
        "failure_route[next] {
             isflagset(F); xlog(\"$rc $avp(a) $T_reply_code\");
             t_check_status(\"(486)|(408)\"); xlog(\"$rc\"); t_check_status(\"5[0-9][0-9]\"); xlog(\"$rc\");
             $ru = \"sip:mailbox@203.0.113.20\"; t_relay(); xlog(\"$rc\");
         }",
    );
    let (bob, carol) = (invite_to(&run, "udp:203.0.113.9:5080"), invite_to(&run, "udp:203.0.113.10:5060"));
    assert!(server.answer(&reply(bob, 486, "Busy", "")).log.is_empty(), "one is still ringing");
    let run = server.answer(&reply(carol, 503, "Unavailable", ""));
    assert_eq!(run.log, ["1 7 486", "1", "-1", "1"]);
    assert!(invite_to(&run, "udp:203.0.113.20:5060").starts_with("INVITE sip:mailbox@203.0.113.20"));
}

#[test]
fn a_failure_route_starts_from_the_destination_whose_reply_won() {
    let (mut server, run) = calling(
        "append_branch(\"sip:carol@203.0.113.10\"); t_on_failure(\"next\"); t_relay();",
        "failure_route[next] { xlog(\"$T_reply_code $ru\"); }",
    );
    let (bob, carol) = (invite_to(&run, "udp:203.0.113.9:5080"), invite_to(&run, "udp:203.0.113.10:5060"));
    server.answer(&reply(bob, 503, "Unavailable", ""));
    assert_eq!(server.answer(&reply(carol, 486, "Busy", "")).log, ["486 sip:carol@203.0.113.10"]);
}

#[test]
fn a_failure_route_may_answer_itself() {
    let (mut server, run) =
        calling("t_on_failure(\"last\"); t_relay();", "failure_route[last] { t_reply(480, \"Later\"); }");
    let run = server.answer(&reply(&run.request("INVITE").text, 486, "Busy", ""));
    assert_eq!(run.reply(480).start(), "SIP/2.0 480 Later");
    assert!(!run.starts().contains(&"SIP/2.0 486 Busy"));
}

#[test]
fn a_failure_route_that_does_nothing_passes_the_best_reply_on() {
    let (mut server, run) = calling("t_on_failure(\"last\"); t_relay();", "failure_route[last] { exit; }");
    let run = server.answer(&reply(&run.request("INVITE").text, 486, "Busy", ""));
    assert_eq!(run.reply(486).start(), "SIP/2.0 486 Busy");
}

#[test]
fn t_check_status_asks_for_the_last_reply_sent_or_the_one_received() {
    let (mut server, run) = calling(
        "t_newtran(); t_reply(183, \"x\"); t_check_status(\"183\"); xlog(\"$rc\"); t_on_reply(\"all\"); t_relay();",
        "onreply_route[all] { t_check_status(\"180\"); xlog(\"$rc\"); t_check_status(\"^2\"); xlog(\"$rc\"); }",
    );
    assert_eq!(run.log, ["1"]);
    assert_eq!(server.answer(&reply(&run.request("INVITE").text, 180, "Ringing", "")).log, ["1", "-1"]);
    check_refused("t_check_status(§\"(486\");", &["no regular expression"]);
    check_refused("§t_check_status();", &["needs its argument `codes`"]);
}

#[test]
fn t_was_cancelled_tells_that_the_caller_gave_up() {
    let routes = "failure_route[last] { t_was_cancelled(); xlog(\"$rc\"); }";
    let (mut server, run) =
        calling("if (is_method(\"CANCEL\")) { t_relay(); exit; } t_on_failure(\"last\"); t_relay();", routes);
    let invite = run.request("INVITE").text.clone();
    server.answer(&reply(&invite, 180, "Ringing", ""));
    let run = server.receive(&cancel());
    assert!(run.request("CANCEL").to == "udp:203.0.113.9:5080");
    assert_eq!(server.answer(&reply(&invite, 487, "Request Terminated", "")).log, ["1"]);
    let (mut server, run) = calling("t_on_failure(\"last\"); t_relay();", routes);
    assert_eq!(server.answer(&reply(&run.request("INVITE").text, 486, "Busy", "")).log, ["-1"]);
    check_refused("§t_was_cancelled();", &["t_was_cancelled", "route"]);
}

#[test]
fn t_local_replied_tells_who_made_the_replies() {
    let routes = "failure_route[last] {
        t_local_replied(\"all\"); xlog(\"$rc\"); t_local_replied(\"last\"); xlog(\"$rc\");
        t_local_replied(\"branch\"); xlog(\"$rc\");
    }";
    let (mut server, _) = calling("t_on_failure(\"last\"); t_relay();", routes);
    assert_eq!(server.pass(32).log, ["1", "1", "1"], "nobody answered");
    let (mut server, run) = calling("t_on_failure(\"last\"); t_relay();", routes);
    assert_eq!(server.answer(&reply(&run.request("INVITE").text, 486, "Busy", "")).log, ["-1", "-1", "-1"]);
    check_refused("t_local_replied(§\"some\");", &["\"all\", \"branch\" or \"last\""]);
    check_refused("§t_local_replied();", &["needs its argument `which`"]);
}

#[test]
fn t_cancel_branch_cancels_this_branch_the_others_or_all() {
    let cancelled = |flags: &str| {
        let (mut server, run) = calling(
            "append_branch(\"sip:carol@203.0.113.10\"); t_on_reply(\"all\"); t_relay();",
            &format!("onreply_route[all] {{ if ($rs == 183) t_cancel_branch({flags}); }}"),
        );
        let (bob, carol) =
            (invite_to(&run, "udp:203.0.113.9:5080"), invite_to(&run, "udp:203.0.113.10:5060"));
        server.answer(&reply(carol, 180, "Ringing", ""));
        let run = server.answer(&reply(bob, 183, "Progress", ""));
        let cancels = run.sent.iter().filter(|packet| packet.start().starts_with("CANCEL"));
        cancels.map(|packet| packet.start().split('@').nth(1).unwrap()[..12].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(cancelled("\"o\""), ["203.0.113.10"]);
    assert_eq!(cancelled("\"a\"").len(), 2);
    assert_eq!(cancelled(""), ["203.0.113.9:"]);
    check_refused("§t_cancel_branch();", &["t_cancel_branch", "route"]);
}

#[test]
fn the_flags_of_t_cancel_branch_are_checked() {
    let script = format!("{}onreply_route {{ t_cancel_branch(\"§x\"); }}\n", route("exit;"));
    crate::harness::refused(&script, &["x"]);
}

#[test]
fn a_route_that_is_not_there_is_refused() {
    for (function, kind) in
        [("t_on_branch", "branch_route"), ("t_on_reply", "onreply_route"), ("t_on_failure", "failure_route")]
    {
        check_refused(&format!("{function}(§\"nowhere\");"), &[&format!("there is no `{kind}[nowhere]`")]);
        check_refused(&format!("§{function}();"), &[function, "needs its argument `route`"]);
    }
}
