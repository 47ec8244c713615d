//! Module `tm`: relaying, transactions, replies and parameters. The routes that it runs stand in `tm_routes.rs`.

use crate::harness::{Request, Run, Server, check_parameters, check_refused, check_value, reply, route, row};

fn with_parameters(parameters: &str, statements: &str) -> String {
    route(statements).replacen("route {", &format!("{parameters}\nroute {{"), 1)
}

fn ack(request: &Request) -> Request {
    let text = request.text();
    assert!(text.starts_with("INVITE"));
    Request::new("ACK sip:bob@203.0.113.9:5080")
        .via("SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK-INVITE-1")
        .to("<sip:bob@example.com>;tag=callee")
}

fn cancel() -> Request {
    Request::new("CANCEL sip:bob@203.0.113.9:5080")
        .via("SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK-INVITE-1")
}

/// A server that relays, and the INVITE that it has sent.
fn calling(script: &str) -> (Server, Run) {
    let mut server = Server::new(script);
    let run = server.receive(&Request::invite());
    (server, run)
}

#[test]
fn t_relay_sends_the_request_to_its_destination() {
    let (_, run) = calling(&route("t_relay(); xlog(\"$rc\");"));
    assert_eq!(run.log, ["1"]);
    assert_eq!(run.starts(), ["SIP/2.0 100 Trying", "INVITE sip:bob@203.0.113.9:5080 SIP/2.0"]);
    let sent = run.request("INVITE");
    assert_eq!((&*sent.to, &*sent.from), ("udp:203.0.113.9:5080", "udp:192.0.2.1:5060"));
    assert!(sent.header("Via").starts_with("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK"), "{}", sent.text);
}

#[test]
fn t_relay_forks_to_all_destinations_at_once() {
    let (_, run) = calling(&route("append_branch(\"sip:carol@203.0.113.10\"); t_relay();"));
    let starts = run.starts();
    assert_eq!(
        starts[1..],
        ["INVITE sip:bob@203.0.113.9:5080 SIP/2.0", "INVITE sip:carol@203.0.113.10 SIP/2.0"]
    );
}

#[test]
fn an_outbound_proxy_is_used_unless_du_is_set() {
    let to = |statements: &str| calling(&route(statements)).1.request("INVITE").to.clone();
    assert_eq!(to("t_relay(, \"tcp:203.0.113.77:5090\");"), "tcp:203.0.113.77:5090");
    assert_eq!(to("t_relay(, \"203.0.113.77\");"), "udp:203.0.113.77:5060");
    assert_eq!(to("$du = \"sip:203.0.113.78\"; t_relay(, \"203.0.113.77\");"), "udp:203.0.113.78:5060");
}

#[test]
fn a_destination_that_cannot_be_used_is_told_by_the_code() {
    check_value("t_relay()", &Request::new("INVITE tel:+49123"), -4);
    check_value("t_relay()", &Request::new("INVITE sip:bob@224.0.0.1"), -4);
    check_value("t_relay()", &Request::new("INVITE sip:bob@203.0.113.9;transport=ws"), -6);
    let script = format!(
        "{}branch_route[none] {{ drop; }}\n",
        route("t_on_branch(\"none\"); t_relay(); xlog(\"$rc\");")
    );
    assert_eq!(calling(&script).1.log, ["-3"]);
}

#[test]
fn no_auto_477_leaves_the_answer_to_the_script() {
    let request = Request::new("INVITE sip:bob@203.0.113.9;transport=ws");
    let starts = |statements: &str| {
        let run = Server::new(&route(statements)).receive(&request);
        run.starts().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(starts("t_relay();").contains(&"SIP/2.0 477 Send failed (477/TM)".to_owned()));
    assert!(!starts("t_relay(\"no-auto-477\");").iter().any(|start| start.contains("477")));
}

#[test]
fn the_other_flags_of_t_relay_are_accepted_or_refused_by_name() {
    let (_, run) = calling(&route("t_relay(\"no-dns-failover, pass-reason-hdr\");"));
    assert!(run.request("INVITE").start().starts_with("INVITE"));
    check_refused("t_relay(\"§allow-no-cancel\");", &["allow-no-cancel"]);
    check_refused("t_relay(\"§no-auto-478\");", &["no-auto-478", "no-auto-477"]);
    check_refused("t_relay(\"\", \"a\", §\"b\");", &["t_relay([flags[, outbound_proxy]])", "3 given"]);
}

#[test]
fn the_reason_of_a_cancel_is_passed_on() {
    let (mut server, run) = calling(&route("t_relay(\"pass-reason-hdr\");"));
    server.answer(&reply(&run.request("INVITE").text, 180, "Ringing", ""));
    let run = server.receive(&cancel().header("Reason: SIP;cause=200;text=\"Call completed elsewhere\""));
    let sent = run.request("CANCEL");
    assert_eq!(sent.header("Reason"), "SIP;cause=200;text=\"Call completed elsewhere\"");
    assert!(run.starts().iter().any(|start| start.starts_with("SIP/2.0 200 ")), "{:?}", run.starts());
}

#[test]
fn a_host_name_parks_the_script_until_it_is_resolved() {
    let run =
        Server::new(&route("t_relay(); xlog(\"on\");")).receive(&Request::new("INVITE sip:bob@example.org"));
    assert_eq!((run.waiting_for.as_deref(), run.sent.len(), run.log.len()), (Some("example.org"), 0, 0));
}

#[test]
fn t_newtran_makes_a_transaction_that_absorbs_retransmissions() {
    let (mut server, run) =
        calling(&route("t_newtran(); xlog(\"$rc\"); t_newtran(); xlog(\"$rc\"); send_reply(404, \"x\");"));
    assert_eq!(run.log, ["1", "-1"]);
    assert_eq!(run.starts(), ["SIP/2.0 100 Trying", "SIP/2.0 404 x"]);
    let again = server.receive(&Request::invite());
    assert_eq!((again.starts(), again.log.len()), (vec!["SIP/2.0 404 x"], 0));
    check_refused("t_newtran(§1);", &["t_newtran", "no arguments"]);
}

#[test]
fn auto_100trying_can_be_switched_off() {
    let (_, run) = calling(&with_parameters("modparam(\"tm\", \"auto_100trying\", 0)", "t_relay();"));
    assert_eq!(run.starts(), ["INVITE sip:bob@203.0.113.9:5080 SIP/2.0"]);
}

#[test]
fn t_check_trans_knows_what_belongs_to_a_transaction() {
    let statements = "if (is_method(\"INVITE\")) { t_relay(); exit; } t_check_trans(); xlog(\"$rc\");";
    let (mut server, run) = calling(&route(statements));
    assert_eq!(server.receive(&cancel()).log, ["1"]);
    assert_eq!(server.receive(&Request::new("BYE sip:bob@203.0.113.9:5080")).log, ["-1"]);
    let other = cancel().via("SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK-other");
    assert_eq!(server.receive(&other).log, ["-1"]);
    server.answer(&reply(&run.request("INVITE").text, 200, "OK", ""));
    // The ACK of a 2xx that was received goes from end to end.
    let run = server.receive(&ack(&Request::invite()));
    assert_eq!(run.log, ["-2"]);
    check_refused("t_check_trans(§1);", &["t_check_trans", "no arguments"]);
}

#[test]
fn the_ack_of_a_2xx_that_was_made_here_belongs_to_its_transaction() {
    let statements = "if (is_method(\"INVITE\")) { t_newtran(); t_reply(200, \"OK\"); exit; } t_check_trans(); xlog(\"$rc\");";
    let (mut server, run) = calling(&route(statements));
    let to = run.reply(200).header("To");
    assert_eq!(server.receive(&ack(&Request::invite()).to(&to)).log, ["1"]);
}

#[test]
fn t_reply_makes_the_transaction_if_need_be() {
    let (mut server, run) =
        calling(&route("t_reply(480, \"Not $rU\"); xlog(\"$rc\"); t_reply(404, \"x\"); xlog(\"$rc\");"));
    assert_eq!((run.reply(480).start(), &*run.log.join(" ")), ("SIP/2.0 480 Not bob", "1 -1"));
    assert_eq!(server.receive(&Request::invite()).starts(), ["SIP/2.0 480 Not bob"]);
    check_refused("t_reply(§42, \"x\");", &["`t_reply`: a status code is from 100 to 699"]);
    check_refused("§t_reply(404);", &["t_reply(code, reason)"]);
}

#[test]
fn t_reply_with_body_carries_a_body() {
    let statements = "append_to_reply(\"Content-Type: text/plain\\r\\n\"); t_reply_with_body(200, \"OK\", \"hello\"); xlog(\"$rc\");";
    let (_, run) = calling(&route(statements));
    let sent = run.reply(200);
    assert_eq!(
        (&*sent.header("Content-Type"), &*sent.header("Content-Length"), sent.body()),
        ("text/plain", "5", "hello")
    );
    assert_eq!(run.log, ["1"]);
    check_refused("§t_reply_with_body(200, \"OK\");", &["needs its argument `body`"]);
    check_refused("t_reply_with_body(§0, \"OK\", \"b\");", &["from 100 to 699"]);
}

#[test]
fn t_add_hdrs_adds_to_what_the_transaction_sends() {
    let header = |statements: &str| calling(&route(statements)).1.request("INVITE").header("X-origin");
    assert_eq!(header("t_add_hdrs(\"X-origin: $si\\r\\n\"); t_relay();"), "198.51.100.7");
    assert_eq!(header("t_newtran(); t_add_hdrs(\"X-origin: $si\\r\\n\"); t_relay();"), "198.51.100.7");
    check_value("t_add_hdrs(\"X-origin: a\\r\\n\\r\\nb\")", &Request::invite(), -1);
    check_refused("§t_add_hdrs();", &["needs its argument `headers`"]);
}

#[test]
fn fr_timeout_ends_a_request_that_nobody_answers() {
    let gone = |parameters: &str, before_s: u64| {
        let (mut server, _) = calling(&with_parameters(parameters, "t_relay();"));
        let early = server.pass(before_s);
        assert!(!early.starts().iter().any(|start| start.contains("408")), "{:?}", early.starts());
        server.pass(2).starts().iter().any(|start| start.starts_with("SIP/2.0 408"))
    };
    assert!(gone("", 29));
    assert!(gone("modparam(\"tm\", \"fr_timeout\", 5)", 4));
}

#[test]
fn fr_inv_timeout_ends_a_call_that_rings() {
    let cancelled = |parameters: &str, before_s: u64| {
        let (mut server, run) = calling(&with_parameters(parameters, "t_relay();"));
        server.answer(&reply(&run.request("INVITE").text, 180, "Ringing", ""));
        let early = server.pass(before_s);
        assert!(!early.starts().iter().any(|start| start.starts_with("CANCEL")), "{:?}", early.starts());
        server.pass(2).starts().iter().any(|start| start.starts_with("CANCEL"))
    };
    assert!(cancelled("", 119));
    assert!(cancelled("modparam(\"tm\", \"fr_inv_timeout\", 10)", 9));
}

#[test]
fn timeouts_can_be_set_for_one_transaction() {
    for statements in
        ["$T_fr_inv_timeout = 10; t_relay();", "t_newtran(); $T_fr_inv_timeout = 10; t_relay();"]
    {
        let (mut server, run) = calling(&route(statements));
        server.answer(&reply(&run.request("INVITE").text, 180, "Ringing", ""));
        assert!(server.pass(12).starts().iter().any(|start| start.starts_with("CANCEL")), "{statements}");
    }
    let (mut server, _) = calling(&route("$T_fr_timeout = 5; t_relay();"));
    assert!(server.pass(6).starts().iter().any(|start| start.starts_with("SIP/2.0 408")));
    let statements = "xlog(\"$T_fr_timeout $T_fr_inv_timeout\"); $T_fr_timeout = 7; $T_fr_inv_timeout = 70;
        xlog(\"$T_fr_timeout $T_fr_inv_timeout\"); $T_fr_timeout = NULL; $T_fr_inv_timeout = NULL;
        xlog(\"$T_fr_timeout $T_fr_inv_timeout\");";
    assert_eq!(calling(&route(statements)).1.log, ["30 120", "7 70", "30 120"]);
}

#[test]
fn restart_fr_on_each_reply_says_whether_ringing_again_counts() {
    let cancelled = |value: u8| {
        let parameters = format!(
            "modparam(\"tm\", \"fr_inv_timeout\", 10)\nmodparam(\"tm\", \"restart_fr_on_each_reply\", {value})"
        );
        let (mut server, run) = calling(&with_parameters(&parameters, "t_relay();"));
        let ringing = reply(&run.request("INVITE").text, 180, "Ringing", "");
        server.answer(&ringing);
        server.pass(6);
        server.answer(&ringing);
        server.pass(6).starts().iter().any(|start| start.starts_with("CANCEL"))
    };
    assert!(!cancelled(1));
    assert!(cancelled(0));
}

#[test]
fn t1_timer_and_t2_timer_pace_retransmissions() {
    let repeats = |parameters: &str, seconds: u64| {
        let mut server = Server::new(&with_parameters(parameters, "t_relay();"));
        server.receive(&Request::new("OPTIONS sip:bob@203.0.113.9:5080"));
        server.pass(seconds).sent.len()
    };
    assert_eq!(repeats("", 2), 2, "after 500 and 1500 ms");
    assert_eq!(repeats("modparam(\"tm\", \"T1_timer\", 100)", 2), 4, "after 100, 300, 700 and 1500 ms");
    assert_eq!(repeats("modparam(\"tm\", \"T2_timer\", 500)", 2), 4, "every 500 ms");
}

#[test]
fn wt_timer_says_how_long_retransmissions_are_absorbed() {
    let absorbed = |parameters: &str, after_s: u64| {
        let mut server = Server::new(&with_parameters(parameters, "xlog(\"new\"); t_relay();"));
        let options = Request::new("OPTIONS sip:bob@203.0.113.9:5080");
        let run = server.receive(&options);
        server.answer(&reply(&run.request("OPTIONS").text, 200, "OK", ""));
        server.pass(after_s);
        server.receive(&options).log.is_empty()
    };
    assert!(absorbed("", 4));
    assert!(!absorbed("", 6));
    assert!(absorbed("modparam(\"tm\", \"wt_timer\", 10)", 9));
}

#[test]
fn transactions_are_counted() {
    let (mut server, run) = calling(&route("t_relay();"));
    server.answer(&reply(&run.request("INVITE").text, 486, "Busy", ""));
    let mut totals = std::collections::BTreeMap::new();
    for shard in &server.node.transactions {
        for (name, value) in shard.lock().counters().fields_named() {
            *totals.entry(name).or_insert(0) += value;
        }
    }
    let count = |name: &str| totals.get(name).copied();
    for (name, expected) in [
        ("UAS_transactions", 1),
        ("UAC_transactions", 1),
        ("received_replies", 1),
        ("relayed_replies", 1),
        ("local_replies", 1),
        ("2xx_transactions", 0),
        ("3xx_transactions", 0),
        ("4xx_transactions", 1),
        ("5xx_transactions", 0),
        ("6xx_transactions", 0),
    ] {
        assert_eq!(count(name), Some(expected), "{name} in {totals:?}");
    }
    // "inuse_transactions" is not counted but looked up.
    assert_eq!(server.node.transactions.iter().map(|shard| shard.lock().len()).sum::<usize>(), 1);
}

#[test]
fn the_parameters_are_those_of_the_document() {
    const INT: &str = "takes an integer";
    check_parameters(
        "tm",
        &[
            row("fr_timeout", "30", "10", "\"soon\"", INT),
            row("fr_inv_timeout", "120", "60", "\"soon\"", INT),
            row("wt_timer", "5", "10", "\"soon\"", INT),
            row("delete_timer", "2", "5", "\"soon\"", INT),
            row("T1_timer", "500", "700", "\"soon\"", INT),
            row("T2_timer", "4000", "8000", "\"soon\"", INT),
            row("ruri_matching", "1", "0", "\"no\"", INT),
            row("via1_matching", "1", "0", "\"no\"", INT),
            row("unix_tx_timeout", "2", "5", "\"soon\"", INT),
            row("restart_fr_on_each_reply", "1", "0", "\"no\"", INT),
            row("tw_append", "", "\"test: ua=$hdr(User-Agent)\"", "5", "takes a string"),
            row("pass_provisional_replies", "0", "1", "\"no\"", INT),
            row("syn_branch", "1", "0", "\"no\"", INT),
            row("onreply_avp_mode", "0", "1", "\"no\"", INT),
            row("disable_6xx_block", "0", "1", "\"no\"", INT),
            row("enable_stats", "1", "0", "\"no\"", INT),
            row("minor_branch_flag", "", "\"MINOR\"", "3", "takes a string"),
            row("timer_partitions", "1", "4", "\"two\"", INT),
            row("auto_100trying", "1", "0", "\"no\"", INT),
            row("own_timer_proc", "0", "1", "\"no\"", INT),
            row("tm_replication_cluster", "0", "1", "\"one\"", INT),
            row("cluster_param", "cid", "\"tid\"", "1", "takes a string"),
            row("cluster_auto_cancel", "1", "0", "\"no\"", INT),
        ],
    );
}
