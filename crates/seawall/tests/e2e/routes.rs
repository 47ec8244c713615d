//! Routes that nobody calls (startup, event, error, failure), scripts that wait, accounting lines, double
//! Record-Route, and reload while phones go on.

use crate::harness::call::{establish, invite};
use crate::harness::scripts::{EXCHANGE, MODULES, exchange};
use crate::harness::{Message, Phone, Request, Server, mi, unique};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};

/// An exchange with some text in front of its relaying.
fn before_relay(statements: &str, routes: &str) -> Server {
    let routing = EXCHANGE.replacen("if (!t_relay())", &format!("{statements} if (!t_relay())"), 2);
    assert!(routing.contains(statements));
    Server::start(&format!("{MODULES}{routing}{routes}"))
}

#[test]
fn every_change_of_a_binding_raises_its_event() {
    let events = [
        ("E_UL_AOR_INSERT", "aor+ $param(domain) $param(aor)"),
        (
            "E_UL_CONTACT_INSERT",
            "contact+ $param(aor) $param(uri) $param(callid) $param(cseq) $param(user_agent)",
        ),
        ("E_UL_CONTACT_UPDATE", "contact= $param(uri) $param(cseq)"),
        ("E_UL_CONTACT_DELETE", "contact- $param(uri)"),
        ("E_UL_AOR_DELETE", "aor- $param(aor)"),
    ];
    let routes: Vec<String> = events
        .iter()
        .map(|(name, text)| format!("event_route[{name}] {{ xlog(\"L_ERR\", \"{text}.\\n\"); }}\n"))
        .collect();
    let server = Server::start(&format!(
        "{MODULES}modparam(\"registrar\", \"min_expires\", 1)\n{EXCHANGE}{}",
        routes.concat()
    ));
    let mut alice = Phone::udp(&server, "alice");
    let first = alice.register_for(600).with("User-Agent: Test/1.0");
    assert_eq!(alice.ask(&first).status(), 200);
    server.wait_for_log("aor+ location alice@127.0.0.1.");
    server.wait_for_log(&format!(
        "contact+ alice@127.0.0.1 {} {} 1 Test/1.0.",
        alice.contact(),
        first.call_id
    ));
    // A refresh that runs out in a second: the deletion comes by time alone.
    let mut second = first.next();
    second.headers = vec![format!("Contact: <{}>;expires=1", alice.contact())];
    assert_eq!(alice.ask(&second).status(), 200);
    server.wait_for_log(&format!("contact= {} 2.", alice.contact()));
    server.wait_for_log(&format!("contact- {}.", alice.contact()));
    server.wait_for_log("aor- alice@127.0.0.1.");
    let lines = server.log();
    let at = |text: &str| lines.find(text).unwrap_or_else(|| panic!("no {text} in {lines}"));
    assert!(at("aor+") < at("contact+") && at("contact-") < at("aor-"), "{lines}");
    assert_eq!(mi::statistic(&server, "usrloc:location-expires"), 1);
}

#[test]
fn a_binding_removed_over_mi_raises_its_event() {
    let route = "event_route[E_UL_CONTACT_DELETE] { xlog(\"L_ERR\", \"removed $param(uri)\\n\"); }\n";
    let server = Server::start(&format!("{MODULES}{EXCHANGE}{route}"));
    let mut alice = Phone::udp(&server, "alice");
    alice.register();
    mi::result(&server, "ul_rm", json!({"table_name": "location", "aor": "alice@127.0.0.1"}));
    server.wait_for_log(&format!("removed {}", alice.contact()));
}

#[test]
fn a_route_that_no_message_is_behind_sees_none() {
    let message = "$rm,$fU,$ci,$hdr(Contact)";
    let routes = format!(
        "event_route[E_UL_CONTACT_DELETE] {{ xlog(\"L_ERR\", \"event $param(uri) [{message}]\\n\"); }}\n\
         timer_route[look, 1] {{ xlog(\"L_ERR\", \"timer [{message}]\\n\"); }}\n"
    );
    let server = Server::start(&format!("{MODULES}udp_workers=1\n{EXCHANGE}{routes}"));
    let mut alice = Phone::udp(&server, "alice");
    alice.register();
    // What the only worker has received last is that REGISTER.
    mi::result(&server, "ul_rm", json!({"table_name": "location", "aor": "alice@127.0.0.1"}));
    let nothing = "[<null>,<null>,<null>,<null>]";
    server.wait_for_log(&format!("event {} {nothing}", alice.contact()));
    alice.register();
    server.wait_for_log(&format!("timer {nothing}"));
    let lines = server.log();
    assert!(
        lines.lines().filter(|line| line.contains("timer [")).all(|line| line.ends_with(nothing)),
        "{lines}"
    );
}

#[test]
fn a_request_that_breaks_the_rules_runs_the_error_route() {
    let route = "error_route { xlog(\"L_ERR\", \"refused $si $err.rcode $err.rreason\\n\"); \
                 append_to_reply(\"X-Error: yes\\r\\n\"); send_reply($err.rcode, \"Refused By Route\"); exit; }\n";
    let server = Server::start(&format!("{MODULES}{EXCHANGE}{route}"));
    let mut alice = Phone::udp(&server, "alice");
    let mut request = alice.request("OPTIONS", "sip:127.0.0.1");
    let text = String::from_utf8(request.bytes()).unwrap().replace("CSeq: 1 OPTIONS", "CSeq: one OPTIONS");
    alice.send(text.as_bytes());
    let answer = alice.receive();
    assert_eq!(answer.start, "SIP/2.0 400 Refused By Route");
    assert_eq!(answer.need("X-Error"), "yes");
    server.wait_for_log("refused 127.0.0.1 400");
    request.branch = format!("z9hG4bK{}", unique());
    assert_ne!(alice.ask(&request).start, "SIP/2.0 400 Refused By Route");
}

/// A MESSAGE of alice to bob through `server`; how it ended.
fn message(server: &Server, alice: &mut Phone, bob: &mut Phone) -> Message {
    bob.register();
    let message = alice.request("MESSAGE", &bob.aor());
    alice.send(&message.bytes());
    let received = bob.expect_request("MESSAGE");
    assert_eq!(received.uri(), bob.contact(), "{}", server.log());
    bob.send(&received.reply(200, "OK", "b", "", ""));
    alice.answer_to(&message)
}

#[test]
fn a_host_name_parks_the_script_until_it_is_resolved() {
    let server = before_relay(
        "if (is_method(\"MESSAGE\")) { $du = \"sip:localhost:\" + $rp; $var(kept) = \"kept\"; }",
        "",
    );
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::udp(&server, "bob"));
    assert_eq!(message(&server, &mut alice, &mut bob).status(), 200);
    assert_eq!(mi::statistic(&server, "core:parked"), 1);
    // Meanwhile nothing has to wait, and the name is known now.
    alice.register();
    assert_eq!(message(&server, &mut alice, &mut bob).status(), 200);
}

#[test]
fn a_script_goes_on_behind_the_call_that_waited() {
    // A label of more than 63 characters is in no DNS, so no name server is asked.
    let name = "a".repeat(64);
    let server = before_relay(
        &format!(
            "if (is_method(\"MESSAGE\")) {{ $du = \"sip:{name}.test\"; $var(x) = \"before\"; \
             if (!t_relay()) {{ append_to_reply(\"X-Code: $var(x) $rc\\r\\n\"); send_reply(503, \"No Such Host\"); }} exit; }}"
        ),
        "",
    );
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::udp(&server, "bob"));
    bob.register();
    let answer = alice.ask(&alice.request("MESSAGE", &bob.aor()));
    assert_eq!(answer.start, "SIP/2.0 503 No Such Host");
    assert_eq!(answer.need("X-Code"), "before -4");
    bob.expect_silence();
}

#[test]
fn accounting_lines_tell_who_called_and_how_it_ended() {
    let server = before_relay(
        "if (is_method(\"INVITE\")) do_accounting(\"log\", \"missed|failed\"); \
         if (is_method(\"MESSAGE\")) acc_log_request(\"202 noted\");",
        "modparam(\"acc\", \"early_media\", 1)\n",
    );
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::udp(&server, "bob"));
    bob.register();
    establish(&mut alice, &mut bob);
    let mut call = invite(&alice, &bob.aor());
    call.from = format!("<{}>;tag=a;b", alice.aor());
    alice.send(&call.bytes());
    let received = bob.expect_request("INVITE");
    bob.send(&received.reply(183, "Progress", "b", "Content-Type: application/sdp\r\n", "v=0\r\n"));
    server.wait_for_log("ACC: early media");
    bob.send(&received.reply(486, "Busy; Here", "b", "", ""));
    assert_eq!(message(&server, &mut alice, &mut bob).status(), 200);

    server.wait_for_log("ACC: request accounted");
    server.wait_for_log("ACC: call missed");
    let log = server.log();
    let line = |text: &str| {
        log.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("no {text} in\n{log}"))
    };
    let answered = line("ACC: transaction answered");
    assert!(answered.contains(";method=INVITE;") && answered.contains(";code=200;reason=OK"), "{answered}");
    let early = line("ACC: early media");
    assert!(early.contains(";to_tag=b;") && early.contains(";code=183;reason=Progress"), "{early}");
    assert_eq!(log.matches("ACC: early media").count(), 1, "a 180 without a body carries no media");
    let missed = line("ACC: call missed");
    assert!(
        missed.contains(&format!(";call_id={};", call.call_id)) && missed.contains(";code=486;"),
        "{missed}"
    );
    assert!(missed.ends_with("reason=Busy%3B Here"), "nothing in a value ends its field: {missed}");
    let noted = line("ACC: request accounted");
    assert!(noted.contains(";method=MESSAGE;") && noted.contains(";code=202;reason=noted"), "{noted}");
}

#[test]
fn a_failure_route_rejects_redirects_and_leaves_cancelled_calls_alone() {
    let server = before_relay(
        "t_on_failure(\"ended\");",
        "failure_route[ended] { if (t_was_cancelled()) { xlog(\"L_ERR\", \"was cancelled\\n\"); exit; }\n\
         if (t_check_status(\"3[0-9][0-9]\")) t_reply(480, \"Not Redirected\"); }\n",
    );
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::udp(&server, "bob"));
    bob.register();
    let redirected = alice.request("MESSAGE", &bob.aor());
    alice.send(&redirected.bytes());
    let received = bob.expect_request("MESSAGE");
    bob.send(&received.reply(302, "Moved", "b", "Contact: <sip:elsewhere@192.0.2.1>\r\n", ""));
    assert_eq!(alice.answer_to(&redirected).start, "SIP/2.0 480 Not Redirected");

    let call = invite(&alice, &bob.aor());
    alice.send(&call.bytes());
    let received = bob.expect_request("INVITE");
    bob.send(&received.reply(180, "Ringing", "b", "", ""));
    while alice.answer_to(&call).status() != 180 {}
    let cancel =
        Request { method: "CANCEL".to_owned(), headers: Vec::new(), body: String::new(), ..call.clone() };
    alice.send(&cancel.bytes());
    assert_eq!(alice.answer_to(&cancel).status(), 200);
    let cancelled = bob.expect_request("CANCEL");
    bob.send(&cancelled.reply(200, "OK", "b", "", ""));
    bob.send(&received.reply(487, "Request Terminated", "b", "", ""));
    assert_eq!(alice.answer_to(&call).status(), 487);
    server.wait_for_log("was cancelled");
}

#[test]
fn a_double_record_route_leads_back_to_the_protocol_of_each_side() {
    let script = "route { if (is_method(\"REGISTER\")) { save(\"location\"); exit; }\n\
                  if (has_totag()) { if (!loose_route()) { send_reply(404, \"Not Here\"); exit; } t_relay(); exit; }\n\
                  record_route(); $du = \"sip:127.0.0.1:\" + $hdr(X-Port) + \";transport=tcp\"; t_relay(); }\n";
    let server = Server::start(&format!("{MODULES}{script}"));
    let mut alice = Phone::udp(&server, "alice");
    let mut bob = Phone::tcp(&server, "bob");
    bob.register();
    // The phone names no transport in its contact: the recorded route alone says that it is to be reached over TCP.
    let plain = format!("sip:bob@{}", bob.address);
    let call = invite(&alice, &plain).with(format!("X-Port: {}", bob.address.port()));
    alice.send(&call.bytes());
    let received = bob.expect_request("INVITE");
    let routes = received.addresses("Record-Route");
    assert_eq!(routes.len(), 2, "{routes:?}");
    assert!(routes[0].contains("transport=tcp") && !routes[1].contains("transport=tcp"), "{routes:?}");
    bob.send(&received.reply(200, "OK", "b", &format!("Contact: <{plain}>\r\n"), ""));
    let answer = loop {
        let answer = alice.answer_to(&call);
        if answer.status() == 200 {
            break answer;
        }
    };
    let inside = |method: &str, cseq: u32| {
        let mut request = alice.request(method, &plain);
        (request.from, request.to) = (call.from.clone(), answer.need("To").to_owned());
        (request.call_id, request.cseq) = (call.call_id.clone(), cseq);
        let routes = answer.addresses("Record-Route");
        request.headers.extend(routes.iter().rev().map(|route| format!("Route: <{route}>")));
        request
    };
    let (ack, bye) = (inside("ACK", 1), inside("BYE", 2));
    alice.send(&ack.bytes());
    assert!(bob.expect_request("ACK").all("Route").is_empty());
    alice.send(&bye.bytes());
    let received = bob.expect_request("BYE");
    assert_eq!(received.uri(), plain);
    bob.send(&received.reply(200, "OK", "", "", ""));
    assert_eq!(alice.answer_to(&bye).status(), 200);
}

#[test]
fn reloading_under_traffic_loses_no_request() {
    let server = Server::start(&exchange());
    let mut bob = Phone::udp(&server, "bob");
    bob.register();
    let (done, all_answered) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let callee = scope.spawn(|| {
            while !all_answered.load(Ordering::Relaxed) {
                let Some(received) = bob.receive_within(crate::harness::SILENCE) else { continue };
                if !received.is_response() {
                    bob.send(&received.reply(200, "OK", "b", "", ""));
                }
            }
        });
        let phones: Vec<_> = (0..3)
            .map(|number| {
                let mut phone = Phone::udp(&server, &format!("phone{number}"));
                let done = &done;
                scope.spawn(move || {
                    let mut asked = 0;
                    while !done.load(Ordering::Relaxed) {
                        phone.register();
                        let answer = phone.ask(&phone.request("MESSAGE", "sip:bob@127.0.0.1"));
                        assert_eq!(answer.status(), 200, "{}", answer.start);
                        asked += 2;
                    }
                    asked
                })
            })
            .collect();
        for round in 0..20 {
            server.rewrite_script(&exchange().replace("Not Found", &format!("Round {round}")));
            mi::result(&server, "reload", json!({}));
        }
        done.store(true, Ordering::Relaxed);
        let asked: u32 = phones.into_iter().map(|phone| phone.join().unwrap()).sum();
        all_answered.store(true, Ordering::Relaxed);
        assert!(asked > 20, "only {asked} requests while the script was swapped");
        callee.join().unwrap();
    });
    let mut alice = Phone::udp(&server, "alice");
    let answer = alice.ask(&alice.request("MESSAGE", "sip:nobody@127.0.0.1"));
    assert_eq!(answer.start, "SIP/2.0 404 Round 19");
}

#[test]
fn a_path_that_was_kept_leads_requests_along_it() {
    let routing = EXCHANGE.replace("save(\"location\")", "save(\"location\", \"path-lazy\")");
    let server = Server::start(&format!("{MODULES}{routing}"));
    // The edge is a phone that does nothing but see what comes.
    let (mut alice, mut edge) = (Phone::udp(&server, "alice"), Phone::udp(&server, "edge"));
    let path = format!("<sip:edge@{};lr>", edge.address);
    let register = Phone::udp(&server, "bob")
        .register_request()
        .with("Contact: <sip:bob@192.0.2.9>")
        .with(format!("Path: {path}"))
        .with("Supported: path");
    edge.send(&register.bytes());
    let answer = edge.answer_to(&register);
    assert_eq!((answer.status(), answer.need("Path")), (200, path.as_str()));
    alice.send(&alice.request("MESSAGE", "sip:bob@127.0.0.1").bytes());
    let received = edge.expect_request("MESSAGE");
    assert_eq!((received.uri(), received.need("Route")), ("sip:bob@192.0.2.9", path.as_str()));
}
