//! Functions of the core.

use seawall_script::RouteKind;

use crate::harness::{
    ALL_MODULES, Request, Server, check, check_loads, check_refused, check_value, refused, route,
};

#[test]
fn a_message_flag_is_set_tested_and_cleared() {
    check(
        "isflagset(NAT); xlog(\"$rc\"); setflag(NAT); xlog(\"$rc\"); isflagset(NAT); xlog(\"$rc\");
         resetflag(\"NAT\"); xlog(\"$rc\"); isflagset(NAT); xlog(\"$rc\");",
        &Request::invite(),
        &["-1", "1", "1", "1", "-1"],
    );
    for function in ["setflag", "resetflag", "isflagset"] {
        check_refused(&format!("§{function}();"), &[function, "needs its argument `flag`"]);
        check_refused(&format!("{function}(A, §B);"), &[function, "takes 1 argument, 2 given"]);
    }
}

#[test]
fn there_are_32_message_flags() {
    let flags: Vec<String> = (0..32).map(|number| format!("setflag(F{number});")).collect();
    check_loads(&flags.join("\n"));
    check_refused(&format!("{}\nsetflag(§F32);", flags.join("\n")), &["more than 32 flags"]);
}

#[test]
fn a_branch_flag_belongs_to_one_destination() {
    check(
        "append_branch(\"sip:carol@203.0.113.10\");
         setbflag(NAT); isbflagset(NAT); xlog(\"$rc\"); isbflagset(NAT, 1); xlog(\"$rc\");
         setbflag(NAT, 1); resetbflag(NAT); isbflagset(NAT); xlog(\"$rc\"); isbflagset(NAT, 1); xlog(\"$rc\");
         resetbflag(NAT, 1); isbflagset(NAT, 1); xlog(\"$rc\");",
        &Request::invite(),
        &["1", "-1", "-1", "1", "-1"],
    );
    // There is no second further destination.
    for function in ["setbflag", "resetbflag", "isbflagset"] {
        check_value(&format!("{function}(NAT, 2)"), &Request::invite(), -1);
        check_refused(&format!("§{function}();"), &[function, "needs its argument `flag`"]);
        check_refused(&format!("{function}(A, §\"first\");"), &["`branch`", "is an integer"]);
    }
}

#[test]
fn force_rport_sends_replies_to_the_source_port() {
    let request = Request::new("OPTIONS sip:bob@example.com").via("SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKx");
    let sent = |statements: &str| {
        let mut server = Server::new(&route(statements));
        let run = server.receive_at(0, "198.51.100.99:6000", &request.text());
        (run.only().to.clone(), run.only().header("Via"))
    };
    let (to, via) = sent("sl_send_reply(200, \"OK\");");
    assert_eq!(to, "udp:198.51.100.99:5060");
    assert!(via.contains("received=198.51.100.99") && !via.contains("rport"), "{via}");
    let (to, via) = sent("force_rport(); sl_send_reply(200, \"OK\");");
    assert_eq!(to, "udp:198.51.100.99:6000");
    assert!(via.contains("received=198.51.100.99") && via.contains("rport=6000"), "{via}");
    check_refused("force_rport(§1);", &["force_rport", "no arguments"]);
}

#[test]
fn add_local_rport_asks_the_next_hop_for_rport() {
    let via = |statements: &str| {
        let run = Server::new(&route(statements)).receive(&Request::new("OPTIONS sip:bob@203.0.113.9"));
        run.request("OPTIONS").header("Via")
    };
    assert!(!via("t_relay();").contains("rport"));
    assert!(via("add_local_rport(); t_relay();").contains(";rport"));
    check_refused("add_local_rport(§1);", &["add_local_rport", "no arguments"]);
}

#[test]
fn is_myself_knows_sockets_advertised_names_and_aliases() {
    let value = |call: &str, expected: &str| {
        let script = format!("alias=home.example:5080\n{}", route(&format!("{call}; xlog(\"$rc\");")));
        assert_eq!(Server::new(&script).receive(&Request::invite()).log, [expected], "{call}");
    };
    value("is_myself(\"192.0.2.1\")", "1");
    value("is_myself(\"192.0.2.1\", 5060)", "1");
    value("is_myself(\"192.0.2.1\", 5061)", "-1");
    value("is_myself(\"SIP.example.net\")", "1");
    value("is_myself(\"home.example\")", "1");
    value("is_myself(\"home.example\", 5080)", "1");
    value("is_myself(\"home.example\", 5060)", "-1");
    value("is_myself(\"sip:bob@192.0.2.1:5060\")", "1");
    value("is_myself($rd)", "-1");
    value("is_myself(\"\")", "-1");
    check_refused("§is_myself();", &["is_myself(host[, port])", "needs its argument `host`"]);
    check_refused("is_myself(\"a\", §\"b\");", &["`port` of `is_myself` is an integer"]);
}

#[test]
fn strip_prefix_and_strip_tail_change_the_user() {
    let request = Request::new("INVITE sip:0049123@example.com;x=1");
    check("strip(2); xlog(\"$rc $ru\");", &request, &["1 sip:49123@example.com;x=1"]);
    check("strip_tail(3); xlog(\"$rc $rU\");", &request, &["1 0049"]);
    check("prefix(\"9\"); xlog(\"$rc $rU\");", &request, &["1 90049123"]);
    check("strip(8); xlog(\"$rc $rU\"); strip_tail(8); xlog(\"$rc\");", &request, &["-1 0049123", "-1"]);
    check("$var(n) = -1; strip($var(n)); xlog(\"$rc\");", &request, &["-1"]);
    check("prefix(\"<\"); xlog(\"$rc $rU\");", &request, &["-1 0049123"]);
    check("strip(1); xlog(\"$rc\");", &Request::new("INVITE sip:example.com"), &["-1"]);
    for function in ["strip", "strip_tail"] {
        check_refused(&format!("§{function}();"), &[function, "needs its argument `count`"]);
        check_refused(&format!("{function}(§\"two\");"), &["`count`", "is an integer"]);
    }
    check_refused("§prefix();", &["prefix", "needs its argument `text`"]);
}

#[test]
fn older_functions_set_the_request_uri() {
    let request = Request::new("INVITE sip:bob@example.com:5080;x=1");
    check(
        "setuser(\"carol\"); xlog(\"$rc $ru\"); sethost(\"h.example\"); xlog(\"$rc $ru\"); setport(5090); xlog(\"$rc $ru\");
         sethostport(\"[2001:db8::1]:5061\"); xlog(\"$rc $ru\"); seturi(\"sip:dave@d.example\"); xlog(\"$rc $ru\");
         revert_uri(); xlog(\"$rc $ru\");",
        &request,
        &[
            "1 sip:carol@example.com:5080;x=1",
            "1 sip:carol@h.example:5080;x=1",
            "1 sip:carol@h.example:5090;x=1",
            "1 sip:carol@[2001:db8::1]:5061;x=1",
            "1 sip:dave@d.example",
            "1 sip:bob@example.com:5080;x=1",
        ],
    );
    for call in [
        "seturi(\"sip:a b\")",
        "setuser(\"a>\")",
        "sethost(\"a b\")",
        "sethostport(\"a:b\")",
        "$var(p) = 70000; setport($var(p))",
        "setdsturi(\"nonsense\")",
    ] {
        check_value(call, &request, -1);
    }
    for function in ["seturi", "setuser", "sethost", "setport", "sethostport", "setdsturi"] {
        check_refused(&format!("§{function}();"), &[function, "needs its argument"]);
    }
    check_refused("setport(§\"sip\");", &["`port` of `setport` is an integer"]);
    check_refused("revert_uri(§1);", &["revert_uri", "no arguments"]);
}

#[test]
fn older_functions_set_the_next_hop() {
    check(
        "isdsturiset(); xlog(\"$rc\"); setdsturi(\"sip:192.0.2.77\"); isdsturiset(); xlog(\"$rc $du\");
         resetdsturi(); isdsturiset(); xlog(\"$rc\");",
        &Request::invite(),
        &["-1", "1 sip:192.0.2.77", "-1"],
    );
    check_refused("isdsturiset(§1);", &["isdsturiset", "no arguments"]);
    check_refused("resetdsturi(§1);", &["resetdsturi", "no arguments"]);
}

#[test]
fn branches_are_added_and_removed() {
    check(
        "append_branch(\"sip:carol@203.0.113.10\", 500); xlog(\"$rc\");
         append_branch(); append_branch(\"sip:dave@203.0.113.11\");
         xlog(\"$(branch[0]) $(branch(q)[0]) $(branch[1]) $(branch[2])\");
         remove_branch(1); xlog(\"$rc $(branch[1])\"); remove_branch(2); xlog(\"$rc\");",
        &Request::invite(),
        &[
            "1",
            "sip:carol@203.0.113.10 500 sip:bob@203.0.113.9:5080 sip:dave@203.0.113.11",
            "1 sip:dave@203.0.113.11",
            "-1",
        ],
    );
    check_value("append_branch(\"no uri\")", &Request::invite(), -1);
    check_value("append_branch(\"sip:a@b\", 1001)", &Request::invite(), -1);
    check_refused("append_branch(\"sip:a@b\", §\"high\");", &["`q` of `append_branch` is an integer"]);
    check_refused("append_branch(\"sip:a@b\", 1, §2);", &["append_branch", "3 given"]);
    check_refused("§remove_branch();", &["remove_branch", "needs its argument `index`"]);
    check_refused("remove_branch(§\"last\");", &["`index` of `remove_branch` is an integer"]);
}

#[test]
fn branches_have_newer_names_too() {
    check(
        "$du = \"sip:192.0.2.77\"; append_msg_branch(\"sip:carol@203.0.113.10\", 500); xlog(\"$rc\");
         append_msg_branch(\"sip:dave@203.0.113.11\", , \"inherite\");
         xlog(\"$(branch(duri)[0]) $(branch(q)[0]) $(branch(duri)[1])\");
         remove_msg_branch(0); xlog(\"$rc $(branch[0])\"); remove_msg_branch(1); xlog(\"$rc\");",
        &Request::invite(),
        &["1", "<null> 500 sip:192.0.2.77", "1 sip:dave@203.0.113.11", "-1"],
    );
    check_refused("§append_msg_branch();", &["needs its argument `uri`"]);
    check_refused("append_msg_branch(\"sip:a@b\", , \"§inherit\");", &["inherite"]);
    check_refused("§remove_msg_branch();", &["needs its argument `index`"]);
}

#[test]
fn a_request_has_at_most_31_further_destinations() {
    check(
        "for ($var(i) in $(avp(none)[*])) { }
         $var(i) = 0; while ($var(i) < 31) { append_branch(\"sip:$var(i)@203.0.113.10\"); $var(i) += 1; }
         xlog(\"$rc\"); append_branch(\"sip:more@203.0.113.10\"); xlog(\"$rc\");",
        &Request::invite(),
        &["1", "-1"],
    );
}

#[test]
fn forward_relays_without_state() {
    let run = Server::new(&route("forward(); xlog(\"$rc\");")).receive(&Request::invite());
    assert_eq!(run.log, ["1"]);
    let sent = run.only();
    assert_eq!(
        (sent.start(), &*sent.to),
        ("INVITE sip:bob@203.0.113.9:5080 SIP/2.0", "udp:203.0.113.9:5080")
    );
    assert_eq!(sent.header("Via").matches("SIP/2.0/UDP").count(), 2);
    let run = Server::new(&route("forward(\"tcp:203.0.113.77:5090\");")).receive(&Request::invite());
    let sent = run.only();
    assert_eq!(
        (sent.start(), &*sent.to),
        ("INVITE sip:bob@203.0.113.9:5080 SIP/2.0", "tcp:203.0.113.77:5090")
    );
    check_value("forward(\"224.0.0.1\")", &Request::invite(), -1);
    check_refused("forward(\"a\", §1);", &["forward", "2 given"]);
}

#[test]
fn send_sends_the_request_as_it_came() {
    let script = route("append_hf(\"X-Ours: 1\\r\\n\"); send(\"203.0.113.77\"); xlog(\"$rc\");");
    let run = Server::new(&script).receive(&Request::invite());
    assert_eq!(
        (run.only().to.as_str(), run.only().text.as_str()),
        ("udp:203.0.113.77:5060", &*Request::invite().text())
    );
    let script = route("send(\"tcp:203.0.113.77:5090\", \"X-A: 1\\r\\nX-B: 2\\r\\n\");");
    let run = Server::new(&script).receive(&Request::invite());
    let sent = run.only();
    assert_eq!(
        (sent.to.as_str(), &*sent.header("X-A"), &*sent.header("X-B")),
        ("tcp:203.0.113.77:5090", "1", "2")
    );
    check_value("send(\"203.0.113.77\", \"X-A: 1\\r\\n\\r\\nbody\")", &Request::invite(), -1);
    check_value("send(\"255.255.255.255\")", &Request::invite(), -1);
    check_refused("§send();", &["send", "needs its argument `destination`"]);
}

#[test]
fn force_send_socket_chooses_the_socket() {
    let request = Request::invite();
    let run = Server::new(&route("force_send_socket(\"udp:192.0.2.2:5062\"); t_relay();")).receive(&request);
    let sent = run.request("INVITE");
    assert_eq!(sent.from, "udp:192.0.2.2:5062");
    assert!(sent.header("Via").starts_with("SIP/2.0/UDP sip.example.net:5070;"), "{}", sent.header("Via"));
    check_value("force_send_socket(\"main\")", &request, 1);
    check_value("force_send_socket(\"udp:192.0.2.9\")", &request, -1);
    check_refused("§force_send_socket();", &["force_send_socket", "needs its argument `socket`"]);
}

#[test]
fn assert_belongs_to_the_language() {
    let script =
        format!("enable_asserts=yes\n{}", route("assert($rm == \"BYE\", \"no BYE\"); xlog(\"on\");"));
    let run = Server::new(&script).receive(&Request::invite());
    assert!(run.log.iter().all(|line| line != "on"), "{:?}", run.log);
    check_refused("§assert();", &["assert"]);
}

#[test]
fn raise_event_runs_the_event_route_with_its_parameters() {
    let script = format!(
        "{}event_route[E_OURS] {{ xlog(\"$param(who) $param(how)\"); }}\n",
        route(
            "$avp(n) = \"who\"; $avp(n) = \"how\"; $avp(v) = $fU; $avp(v) = \"now\";
             raise_event(\"E_OURS\", $avp(n), $avp(v)); xlog(\"$rc\");"
        )
    );
    assert_eq!(Server::new(&script).receive(&Request::invite()).log, ["1", "alice now"]);
    // Values alone are known by their places, and names alone are nothing.
    for (arguments, expected) in [(", , $avp(v)", "[alice] [now]"), (", $avp(n)", "[<null>] [<null>]")] {
        let script = format!(
            "{}event_route[E_OURS] {{ xlog(\"[$param(1)] [$param(2)]\"); }}\n",
            route(&format!(
                "$avp(n) = \"who\"; $avp(v) = $fU; $avp(v) = \"now\"; raise_event(\"E_OURS\"{arguments});"
            ))
        );
        assert_eq!(Server::new(&script).receive(&Request::invite()).log, [expected], "{arguments}");
    }
    check_loads("raise_event(\"E_NOBODY\");");
    check_refused("§raise_event();", &["raise_event", "needs its argument `event`"]);
    check_refused("raise_event(\"E\", §\"names\");", &["`names` of `raise_event` is a variable"]);
}

#[test]
fn functions_are_refused_in_routes_that_cannot_use_them() {
    let wrong = |route: &str, function: &str| {
        refused(&format!("{ALL_MODULES}route {{ exit; }}\n{route}\n"), &[function]);
    };
    wrong("timer_route[t, 10] { §forward(); }", "forward");
    wrong("startup_route { §strip(1); }", "strip");
    wrong("branch_route[b] { §append_branch(\"sip:a@b\"); }", "append_branch");
    wrong("onreply_route { §force_rport(); }", "force_rport");
}

#[test]
fn startup_and_timer_routes_run_without_a_message() {
    let script = format!("{ALL_MODULES}route {{ exit; }}\nstartup_route {{ xlog(\"up [$rm] [$si]\"); }}\n");
    let mut server = Server::new(&script);
    let startup = server.node.configuration.load().routes.startup.unwrap();
    let run = server.start(RouteKind::Startup, startup);
    assert_eq!(run.log.len(), 1);
    assert!(run.log[0].starts_with("up"));
}

#[test]
fn an_unknown_function_is_refused_with_the_nearest_one() {
    check_refused("§setflg(A);", &["there is no function `setflg`", "setflag"]);
    check_refused("§append_brnch();", &["append_branch"]);
}
