//! Modules `event_routing` and `event_datagram`, and the functions of `tm` and the core that go with them.

use crate::harness::{Request, Run, Server, check_loads, check_refused, reply, route};

const REGISTER: &str = "if (is_method(\"REGISTER\")) { save(\"location\"); exit; }\n\
    if (is_method(\"OPTIONS\")) { $avp(n) = \"group\"; $avp(v) = 1; $avp(n) = \"picker\"; $avp(v) = \"sip:carol@example.com\";\n\
    raise_event(\"E_CALL_PICKUP\", $avp(n), $avp(v)); exit; }\n\
    if (is_method(\"CANCEL\")) { t_relay(); exit; }\n";

fn server(statements: &str, routes: &str) -> Server {
    Server::new(&format!("{}{routes}\n", route(&format!("{REGISTER}{statements}"))))
}

fn register(number: u32, user: &str, contact: &str) -> Request {
    Request::register(&[contact]).to(&format!("<sip:{user}@example.com>")).call_id(user).cseq(number)
}

fn call() -> Request {
    Request::new("INVITE sip:bob@example.com")
}

fn pickup() -> Request {
    Request::new("OPTIONS sip:33@example.com")
}

fn invites(run: &Run) -> Vec<&str> {
    let invites = run.sent.iter().filter(|packet| packet.start().starts_with("INVITE "));
    invites.map(|packet| packet.start().split(' ').nth(1).unwrap()).collect()
}

#[test]
fn notify_on_event_runs_a_route_each_time_until_its_timeout() {
    let mut server = server(
        "$avp(filter) = \"aor=*@example.com\"; $avp(filter) = \"uri=sip:b*\";\n\
         xlog(\"asked $avp(n)\"); notify_on_event(\"E_UL_CONTACT_INSERT\", $avp(filter), \"seen\", 20); xlog(\"$rc\");",
        "route[seen] { xlog(\"seen $avp(aor) $avp(uri) $avp(qval) $avp(filter) $ci\"); }",
    );
    assert_eq!(server.receive(&Request::new("MESSAGE sip:x@example.com")).log, ["asked <null>", "1"]);
    let run = server.receive(&register(1, "bob", "<sip:b@h>;q=0.5"));
    assert_eq!(run.log, ["seen bob@example.com sip:b@h 5 <null> <null>"], "nothing is inherited");
    assert!(server.receive(&register(1, "carol", "<sip:c@h>")).log.is_empty(), "the filter does not pass");
    assert!(server.receive(&register(2, "bob", "<sip:b@h>")).log.is_empty(), "an update is no insert");
    assert_eq!(server.receive(&register(1, "dan", "<sip:b@h>")).log.len(), 1);
    server.pass(20);
    assert!(server.receive(&register(1, "erin", "<sip:b@h>")).log.is_empty());
    assert!(server.node.subscriptions.is_empty());
}

#[test]
fn notify_on_event_hears_what_scripts_raise() {
    let mut server = server(
        "$avp(filter) = \"group=1\"; notify_on_event(\"E_CALL_PICKUP\", $avp(filter), \"picked\", 20);",
        "route[picked] { xlog(\"picked by $avp(picker)\"); }",
    );
    server.receive(&Request::new("MESSAGE sip:x@example.com"));
    assert_eq!(server.receive(&pickup()).log, ["picked by sip:carol@example.com"]);
}

#[test]
fn wait_for_event_waits_in_line_and_in_async() {
    for (statements, routes) in [
        (
            "$avp(filter) = \"aor=\" + $rU + \"@\" + $rd; wait_for_event(\"E_UL_AOR_INSERT\", $avp(filter), 40);\n\
             xlog(\"$rc $avp(aor)\");",
            "",
        ),
        (
            "$avp(filter) = \"aor=\" + $rU + \"@\" + $rd;\n\
             async(wait_for_event(\"E_UL_AOR_INSERT\", $avp(filter), 40), resume);",
            "route[resume] { xlog(\"$rc $avp(aor)\"); }",
        ),
    ] {
        let mut server = server(statements, routes);
        assert_eq!(server.receive(&Request::new("MESSAGE sip:bob@example.com")).waits, 1);
        assert!(server.receive(&register(1, "carol", "<sip:c@h>")).log.is_empty());
        assert_eq!(server.receive(&register(1, "bob", "<sip:b@h>")).log, ["1 bob@example.com"]);
        assert!(server.receive(&register(1, "dan", "<sip:d@h>")).log.is_empty());
        // In vain.
        server.receive(
            &Request::new("MESSAGE sip:erin@example.com")
                .via("SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK2"),
        );
        assert!(server.pass(39).log.is_empty());
        assert_eq!(server.pass(2).log, ["-2 <null>"]);
    }
}

#[test]
fn what_cannot_be_waited_for_is_minus_one() {
    let mut server = server(
        "$avp(f) = \"no condition\"; notify_on_event(\"E_X\", $avp(f), \"seen\", 20); xlog(\"$rc\");\n\
         $avp(g) = \"a=b\"; notify_on_event(\"E_X\", $avp(g), \"seen\", 0); xlog(\"$rc\");\n\
         wait_for_event(\"E_X\", $avp(g), 86401); xlog(\"$rc\");\n\
         wait_for_event(\"E_X\", $avp(f), 1); xlog(\"$rc\");",
        "route[seen] { exit; }",
    );
    assert_eq!(server.receive(&Request::new("MESSAGE sip:x@example.com")).log, ["-1", "-1", "-1", "-1"]);
    assert!(server.node.subscriptions.is_empty());
}

#[test]
fn wrong_arguments_are_refused() {
    check_refused("§notify_on_event(\"E_X\");", &["needs its argument `filter`"]);
    check_refused("notify_on_event(\"E_X\", $avp(f), §\"nowhere\", 20);", &["nowhere"]);
    check_refused(
        "notify_on_event(\"E_X\", $avp(f), \"seen\", §\"soon\"); } route[seen] { exit;",
        &["integer"],
    );
    check_refused("§wait_for_event(\"E_X\", $avp(f));", &["needs its argument `timeout`"]);
    check_refused("t_inject_branches(§\"me\");", &["it is \"event\" or \"msg\""]);
    check_refused("t_inject_branches(\"msg\", \"§xyz\");", &["xyz"]);
    check_refused("t_wait_for_new_branches(§\"two\");", &["integer"]);
    check_refused("t_wait_no_more_branches(§1);", &["argument"]);
    check_loads("t_inject_branches(\"msg\", \"c\"); t_inject_branches(\"msg\", \"cancel,last\");");
}

const FORKING: &str = "t_newtran(); t_wait_for_new_branches(); $avp(filter) = \"aor=bob@example.com\";\n\
    notify_on_event(\"E_UL_CONTACT_INSERT\", $avp(filter), \"fork_call\", 20);\n\
    record_route(); if (lookup(\"location\")) t_relay();";
const FORK: &str = "route[fork_call] { t_inject_branches(\"event\"); xlog(\"injected $rc\"); }";

#[test]
fn t_inject_branches_adds_the_contact_of_an_event() {
    let mut server = server(FORKING, FORK);
    let run = server.receive(&call());
    assert_eq!(run.starts(), ["SIP/2.0 100 Trying"], "there is nobody, and the transaction waits");
    let run = server.receive(&register(1, "bob", "<sip:bob@203.0.113.9:5080>;q=0.7"));
    assert_eq!((invites(&run), &*run.log[0]), (vec!["sip:bob@203.0.113.9:5080"], "injected 1"));
    assert!(run.request("INVITE").header("Record-Route").contains("192.0.2.1"));
    let first = run.request("INVITE").text.clone();
    // One that fails does not end it: another may come.
    let run = server.answer(&reply(&first, 486, "Busy Here", ""));
    assert_eq!(run.starts(), ["ACK sip:bob@203.0.113.9:5080 SIP/2.0"]);
    let run = server.receive(&Request::register(&["<sip:bob@203.0.113.10>"]).call_id("other"));
    let second = run.request("INVITE").text.clone();
    assert!(server.answer(&reply(&second, 200, "OK", "")).starts().contains(&"SIP/2.0 200 OK"));
    let run = server.receive(&Request::register(&["<sip:bob@203.0.113.11>"]).call_id("third"));
    assert_eq!((invites(&run), &*run.log[0]), (vec![], "injected -1"), "it was answered");
}

#[test]
fn t_wait_for_new_branches_waits_until_fr_inv_timeout_or_for_so_many() {
    let mut server = server(&FORKING.replace("t_newtran();", "$T_fr_inv_timeout = 10; t_newtran();"), FORK);
    server.receive(&call());
    assert!(server.pass(9).sent.is_empty());
    assert_eq!(server.pass(2).starts()[0], "SIP/2.0 408 Request Timeout");
    let mut server = super::event_routing::server(&FORKING.replace("branches()", "branches(1)"), FORK);
    server.receive(&call());
    let run = server.receive(&register(1, "bob", "<sip:bob@203.0.113.9:5080>"));
    let only = run.request("INVITE").text.clone();
    let run = server.answer(&reply(&only, 486, "Busy Here", ""));
    assert!(run.starts().contains(&"SIP/2.0 486 Busy Here"), "{:?}", run.starts());
    // Without a transaction, and for a number that is none.
    let mut server = super::event_routing::server(
        "t_wait_for_new_branches(); xlog(\"$rc\"); t_newtran(); t_wait_for_new_branches(33); xlog(\"$rc\");",
        "",
    );
    assert_eq!(server.receive(&call()).log, ["-1", "-1"]);
}

#[test]
fn t_wait_no_more_branches_ends_the_wait() {
    let statements = "t_newtran(); t_wait_for_new_branches(); t_on_reply(\"r\"); append_branch(\"sip:x@203.0.113.5\"); $ru = \"sip:y@203.0.113.6\"; t_relay();";
    let mut server = server(
        statements,
        "onreply_route[r] { if ($rs == 404) { t_wait_no_more_branches(); xlog(\"$rc\"); } }",
    );
    let run = server.receive(&call());
    let texts: Vec<String> = run
        .sent
        .iter()
        .filter(|packet| packet.start().starts_with("INVITE"))
        .map(|packet| packet.text.clone())
        .collect();
    server.answer(&reply(&texts[0], 486, "Busy Here", ""));
    let run = server.answer(&reply(&texts[1], 404, "Not Found", ""));
    assert_eq!(run.log, ["1"]);
    assert!(run.starts().iter().any(|start| start.starts_with("SIP/2.0 4")), "{:?}", run.starts());
    let mut server = super::event_routing::server("t_wait_no_more_branches(); xlog(\"$rc\");", "");
    assert_eq!(server.receive(&call()).log, ["-1"]);
}

#[test]
fn t_inject_branches_takes_destinations_of_the_route_and_cancels_the_others() {
    let mut server = server(
        "t_newtran(); $avp(filter) = \"group=1\"; notify_on_event(\"E_CALL_PICKUP\", $avp(filter), \"pick\", 20);\n\
         $ru = \"sip:bob@203.0.113.9\"; t_relay();",
        "route[pick] { if (lookup(\"location\", \"\", $avp(picker))) { t_inject_branches(\"msg\", \"cancel,last\"); xlog(\"$rc\"); } }",
    );
    server.receive(&register(1, "carol", "<sip:carol@203.0.113.20>"));
    let run = server.receive(&call());
    let bob = run.request("INVITE").text.clone();
    server.answer(&reply(&bob, 180, "Ringing", ""));
    let run = server.receive(&pickup());
    assert_eq!(run.log, ["1"]);
    assert_eq!(run.starts(), ["CANCEL sip:bob@203.0.113.9 SIP/2.0", "INVITE sip:carol@203.0.113.20 SIP/2.0"]);
    let carol = run.request("INVITE").text.clone();
    server.answer(&reply(&bob, 487, "Request Terminated", ""));
    assert!(server.answer(&reply(&carol, 200, "OK", "")).starts().contains(&"SIP/2.0 200 OK"));
}

#[test]
fn t_inject_branches_without_a_transaction_or_a_destination_is_minus_one() {
    let mut server = server("t_inject_branches(\"msg\"); xlog(\"$rc\");", "");
    assert_eq!(server.receive(&call()).log, ["-1"]);
    let mut server =
        super::event_routing::server("t_newtran(); t_inject_branches(\"event\"); xlog(\"$rc\");", "");
    assert_eq!(server.receive(&call()).log, ["-1"]);
}

#[test]
fn what_is_injected_while_the_route_runs_waits_for_its_end() {
    let mut server = server(
        "t_newtran(); t_wait_for_new_branches(); $avp(filter) = \"group=1\";\n\
         notify_on_event(\"E_CALL_PICKUP\", $avp(filter), \"pick\", 20);\n\
         $avp(w) = \"aor=carol@example.com\"; wait_for_event(\"E_UL_AOR_INSERT\", $avp(w), 10); append_hf(\"X-Late: 1\\r\\n\");",
        "route[pick] { $ru = \"sip:late@203.0.113.30\"; t_inject_branches(\"msg\"); xlog(\"$rc\"); }",
    );
    server.receive(&call());
    let run = server.receive(&pickup());
    assert_eq!((run.log.join(""), invites(&run)), ("1".to_owned(), vec![]));
    let run = server.receive(&register(1, "carol", "<sip:carol@203.0.113.20>"));
    assert_eq!(invites(&run), ["sip:late@203.0.113.30"]);
    assert_eq!(run.request("INVITE").header("X-Late"), "1");
}

#[test]
fn subscribe_event_tells_a_program_outside_each_time() {
    let outside = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    outside.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let to = outside.local_addr().unwrap();
    let statements = format!(
        "subscribe_event(\"E_UL_CONTACT_INSERT\", \"udp:{to}\", 20); xlog(\"$rc\");\n\
         subscribe_event(\"E_UL_CONTACT_INSERT\", \"tcp:{to}\"); xlog(\"$rc\"); subscribe_event(\"no name\", \"udp:{to}\"); xlog(\"$rc\");"
    );
    let mut server = server(&statements, "");
    assert_eq!(server.receive(&Request::new("MESSAGE sip:x@example.com")).log, ["1", "-1", "-1"]);
    server.receive(&register(1, "bob", "<sip:b@h>;q=0.5"));
    let mut buffer = [0; 4096];
    let length = outside.recv(&mut buffer).unwrap();
    let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
    let start = "{\"jsonrpc\":\"2.0\",\"method\":\"E_UL_CONTACT_INSERT\",\"params\":{\"domain\":\"location\",\"aor\":\"bob@example.com\",\"uri\":\"sip:b@h\"";
    assert!(text.starts_with(start), "{text}");
    server.pass(20);
    assert!(server.node.subscriptions.is_empty());
    let plain = route("subscribe_event(\"E_X\", \"udp:127.0.0.1:9\"); xlog(\"$rc\");");
    let mut without = Server::new(&plain.replace("loadmodule \"event_datagram.so\"\n", ""));
    assert_eq!(without.receive(&Request::new("MESSAGE sip:x@example.com")).log, ["-1"]);
    check_refused("§subscribe_event(\"E_X\");", &["needs its argument `socket`"]);
}
