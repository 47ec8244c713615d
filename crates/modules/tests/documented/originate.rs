//! Requests of the server itself and `local_route`, shown on the NOTIFYs of `reg_event`.

use crate::harness::{ALL_MODULES, Request, Run, Server, reply};

fn server(top: &str, local: &str) -> Server {
    Server::new(&format!(
        "{top}{ALL_MODULES}route {{ reg_event_subscribe(\"location\"); }}\n\
         onreply_route {{ xlog(\"reply $rs\"); }}\n{local}\n"
    ))
}

fn subscribe() -> Request {
    Request::new("SUBSCRIBE sip:bob@example.com")
        .header("Event: reg")
        .header("Contact: <sip:alice@198.51.100.7:5070>")
}

fn with_local_route(statements: &str) -> Run {
    server("", &format!("local_route {{ {statements} }}")).receive(&subscribe())
}

#[test]
fn a_request_has_what_every_request_must_have() {
    let run = with_local_route("");
    let notify = run.request("NOTIFY");
    assert_eq!(notify.start(), "NOTIFY sip:alice@198.51.100.7:5070 SIP/2.0");
    assert_eq!((notify.to.as_str(), notify.from.as_str()), ("udp:198.51.100.7:5070", "udp:192.0.2.1:5060"));
    assert!(notify.header("Via").starts_with("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK"));
    assert_eq!(notify.header("Max-Forwards"), "70");
    assert_eq!(notify.header("To"), "\"Alice\" <sip:alice@example.com>;tag=from-tag");
    assert_eq!(notify.header("Content-Length"), notify.body().len().to_string());
    assert_eq!(notify.header("User-Agent"), "Seawall");
}

#[test]
fn the_user_agent_is_that_of_the_script() {
    let of = |top: &str| {
        let run = server(top, "").receive(&subscribe());
        run.request("NOTIFY").header("User-Agent")
    };
    assert_eq!(of("user_agent_header=\"User-Agent: Exchange (1)\"\n"), "Exchange (1)");
    assert_eq!(of("user_agent_header=\"Exchange\"\n"), "Exchange");
    assert_eq!(of("server_signature=no\n"), "");
}

#[test]
fn local_route_sees_the_request() {
    let run = with_local_route("xlog(\"$rm $ru $du $hdr(Event) $ci\");");
    assert_eq!(run.log, ["NOTIFY sip:alice@198.51.100.7:5070 <null> reg call-1@example.com"]);
}

#[test]
fn local_route_changes_headers() {
    let run = with_local_route("append_hf(\"X-Seen: yes\\r\\n\"); remove_hf(\"User-Agent\");");
    let notify = run.request("NOTIFY");
    assert_eq!((notify.header("X-Seen").as_str(), notify.header("User-Agent").as_str()), ("yes", ""));
}

#[test]
fn local_route_changes_where_it_goes() {
    let run = with_local_route("$du = \"sip:203.0.113.5:5088\";");
    assert_eq!(run.request("NOTIFY").to, "udp:203.0.113.5:5088");
    let run = with_local_route("$ru = \"sip:x@203.0.113.6\";");
    assert_eq!(run.request("NOTIFY").start(), "NOTIFY sip:x@203.0.113.6 SIP/2.0");
    assert_eq!(run.request("NOTIFY").to, "udp:203.0.113.6:5060");
}

#[test]
fn a_request_that_local_route_drops_is_not_sent_and_its_maker_is_told() {
    let run = with_local_route("drop;");
    assert_eq!(run.starts(), ["SIP/2.0 200 OK"]);
    let mut server = server("", "local_route { drop; }");
    server.receive(&subscribe());
    assert_eq!(server.counter("reg_event", "failed_notifies"), 1);
    assert!(server.node.watchers.lock().is_empty());
}

#[test]
fn a_next_hop_that_cannot_be_reached_is_told() {
    for uri in ["sip:alice@224.0.0.1", "sips:alice@198.51.100.7", "sip:alice@198.51.100.7;transport=sctp"] {
        let mut server = server("", "");
        let request = Request::new("SUBSCRIBE sip:bob@example.com")
            .header("Event: reg")
            .header(&format!("Contact: <{uri}>"));
        assert_eq!(server.receive(&request).starts(), ["SIP/2.0 200 OK"], "{uri}");
        assert_eq!(server.counter("reg_event", "failed_notifies"), 1);
        assert!(server.node.watchers.lock().is_empty());
    }
}

#[test]
fn replies_to_it_run_the_reply_route_and_end_it() {
    let mut server =
        server("", "local_route { t_on_reply(\"own\"); }\nonreply_route[own] { xlog(\"own $rs\"); }");
    let run = server.receive(&subscribe());
    let notify = run.request("NOTIFY").text.clone();
    assert_eq!(server.answer(&reply(&notify, 100, "Trying", "")).log, ["reply 100", "own 100"]);
    let run = server.answer(&reply(&notify, 481, "Gone", ""));
    assert_eq!(
        (run.log.as_slice(), run.sent.len()),
        (&["reply 481".to_owned(), "own 481".to_owned()][..], 0)
    );
    assert!(server.node.watchers.lock().is_empty());
}

#[test]
fn it_is_repeated_until_it_is_answered_and_given_up_after_fr_timeout() {
    let mut server = server("", "");
    let first = server.receive(&subscribe()).request("NOTIFY").text.clone();
    let run = server.pass(4);
    assert_eq!(run.sent.iter().filter(|packet| packet.text == first).count(), 3);
    let run = server.pass(30);
    assert!(run.sent.iter().all(|packet| packet.text == first));
    assert_eq!(server.pass(30).sent.len(), 0);
    assert!(server.node.watchers.lock().is_empty());
}

#[test]
fn a_branch_route_sees_it_and_may_drop_it() {
    let armed = |statements: &str| {
        let routes = format!("local_route {{ t_on_branch(\"b\"); }}\nbranch_route[b] {{ {statements} }}");
        server("", &routes).receive(&subscribe())
    };
    let run = armed("xlog(\"branch $ru\"); append_hf(\"X-Branch: yes\\r\\n\");");
    assert_eq!(run.log, ["branch sip:alice@198.51.100.7:5070"]);
    assert_eq!(run.request("NOTIFY").header("X-Branch"), "yes");
    assert_eq!(armed("drop;").starts(), ["SIP/2.0 200 OK"]);
}

#[test]
fn a_failure_route_sends_it_elsewhere() {
    let routes = "local_route { t_on_failure(\"f\"); append_hf(\"X-A: 1\\r\\n\"); }\n\
                  failure_route[f] { xlog(\"failed $T_reply_code $rm $ru\"); $du = \"sip:203.0.113.5\"; \
                  xlog(\"$(rm)\"); t_relay(); }";
    let mut server = server("", routes);
    let first = server.receive(&subscribe()).request("NOTIFY").text.clone();
    let run = server.answer(&reply(&first, 503, "Busy", ""));
    let second = run.request("NOTIFY");
    assert_eq!(second.to, "udp:203.0.113.5:5060");
    assert_eq!((second.header("X-A").as_str(), second.header("CSeq").as_str()), ("1", "1 NOTIFY"));
    assert_eq!(second.header("Via").matches("SIP/2.0/UDP").count(), 1);
    assert_eq!(server.node.watchers.lock().len(), 1);
    server.answer(&reply(&second.text.clone(), 200, "OK", ""));
    assert_eq!(server.counter("reg_event", "failed_notifies"), 0);
    assert_eq!(server.node.watchers.lock().len(), 1);
}

#[test]
fn a_failure_route_that_does_nothing_leaves_the_failure() {
    let routes =
        "local_route { t_on_failure(\"f\"); }\nfailure_route[f] { t_reply(500, \"x\"); xlog(\"$rc\"); }";
    let mut server = server("", routes);
    let first = server.receive(&subscribe()).request("NOTIFY").text.clone();
    let run = server.answer(&reply(&first, 481, "Gone", ""));
    // There is nobody to reply to.
    assert_eq!((run.log.as_slice(), run.sent.len()), (&["reply 481".to_owned(), "-1".to_owned()][..], 0));
    assert!(server.node.watchers.lock().is_empty());
}
