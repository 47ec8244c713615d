//! Modules `registrar` and `mid_registrar`: contacts that are woken by pushes (registrar 1.1.3), and what their requests
//! wait for. Where nothing else is said, both modules behave the same.

use seawall_modules::event_routing::{MAX_SUBSCRIPTIONS, Subscription, Then, Wanted};
use seawall_script::Value;

use crate::harness::{
    ALL_MODULES, Request, Run, Server, check_loads, check_refused, check_warned, refused, reply,
};

const CONTACT: &str = "sip:bob@203.0.113.9:5080;pn-provider=fcm;pn-param=p;pn-prid=T1";
const MOVED: &str = "sip:bob@203.0.113.77:7777;pn-provider=fcm;pn-param=p;pn-prid=T1";

const ROUTING: &str = r#"
route {
	if (is_method("REGISTER")) { save("location"); exit; }
	if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
	if (has_totag()) { async(pn_process_purr("location"), resume); exit; }
	record_route();
	lookup("location");
	xlog("lookup $rc");
	if ($rc == 1) t_relay();
	if ($rc < 0) t_reply(404, "Not Found");
}
route[resume] { xlog("purr $rc $ru $du"); t_relay(); }
event_route[E_UL_CONTACT_REFRESH] {
	xlog("refresh $param(domain) $param(aor) $param(uri) $param(received) $param(user_agent) $param(socket) $param(bflags) $param(callid) $param(attr) $param(shtag) $param(reason) $param(req_callid)");
}
"#;

/// A script of a module with these parameters.
fn script(module: &str, parameters: &str, routing: &str) -> String {
    let on = [("pn_enable", "1"), ("pn_providers", "\"apns, fcm\"")];
    let on: String =
        on.iter().map(|(name, value)| format!("modparam(\"{module}\", \"{name}\", {value})\n")).collect();
    let own: String = parameters
        .lines()
        .map(|line| {
            let (of, rest) =
                line.trim().strip_prefix("usrloc ").map_or((module, line.trim()), |rest| ("usrloc", rest));
            format!("modparam(\"{of}\", {rest})\n")
        })
        .collect();
    format!("{ALL_MODULES}{on}{own}{routing}")
}

fn server(parameters: &str) -> Server {
    Server::new(&script("registrar", parameters, ROUTING))
}

/// A mid-registrar in mirror mode whose main registrar is at 203.0.113.1.
fn front(parameters: &str) -> Server {
    let routing = ROUTING
        .replace(
            "save(\"location\"); exit;",
            "if (mid_registrar_save(\"location\") == 1) t_relay(, \"203.0.113.1\"); exit;",
        )
        .replace("lookup(\"location\")", "mid_registrar_lookup(\"location\")");
    Server::new(&script("mid_registrar", parameters, &routing))
}

fn register(number: u32, contact: &str) -> Request {
    Request::register(&[&format!("<{contact}>")])
        .cseq(number)
        .via(&format!("SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK-r{number}"))
}

fn call() -> Request {
    Request::new("INVITE sip:bob@example.com").header("Contact: <sip:alice@198.51.100.7:5070>")
}

fn cancel() -> Request {
    Request::new("CANCEL sip:bob@example.com").via("SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK-INVITE-1")
}

/// A server with bob's phone, asleep.
fn with_bob(parameters: &str) -> Server {
    let mut server = server(parameters);
    assert_eq!(server.receive(&register(1, CONTACT)).only().start(), "SIP/2.0 200 OK");
    server
}

/// The requests of a method that were sent: where to, and for which URI.
fn sent<'a>(run: &'a Run, method: &str) -> Vec<(&'a str, &'a str)> {
    let of_method = run.sent.iter().filter(|packet| packet.start().starts_with(&format!("{method} ")));
    of_method.map(|packet| (packet.to.as_str(), packet.start().split(' ').nth(1).unwrap())).collect()
}

#[test]
fn pn_enable_switches_push_on_and_needs_event_routing() {
    // Off: the parameters are part of a URI like any other.
    let mut plain = Server::new(&format!("{ALL_MODULES}{ROUTING}"));
    let run = plain.receive(&register(1, CONTACT));
    assert!(!run.only().text.contains("Feature-Caps"), "{}", run.only().text);
    let run = plain.receive(&call());
    assert_eq!(sent(&run, "INVITE"), [("udp:203.0.113.9:5080", CONTACT)]);
    // On: bob sleeps.
    let mut server = with_bob("");
    let run = server.receive(&call());
    assert_eq!(run.log[0], "lookup 2");
    for module in ["registrar", "mid_registrar"] {
        let whole = script(module, "", ROUTING).replace("\"pn_enable\", 1", "\"pn_enable\", §1");
        let without = whole.replace("loadmodule \"event_routing.so\"\n", "");
        refused(&without, &["event_routing"]);
        let nobody = whole.replace("\"apns, fcm\"", "\"\"");
        check_warned(&nobody, &["without a provider"]);
    }
}

#[test]
fn a_lookup_that_finds_only_sleepers_gives_two_and_the_branch_comes_with_the_registration() {
    // lookup() here, mid_registrar_lookup() in `a_registration_through_the_main_registrar_wakes_the_call_as_well`.
    let mut server = with_bob("");
    let run = server.receive(&call());
    assert_eq!(run.starts(), ["SIP/2.0 100 Trying"]);
    assert_eq!(
        run.log,
        [
            "lookup 2",
            "refresh location bob@example.com sip:bob@203.0.113.9:5080;pn-provider=fcm;pn-param=p;pn-prid=T1   \
             udp:192.0.2.1:5060 0 call-1@example.com   ini-INVITE call-1@example.com"
        ]
    );
    let event = run.events.iter().find(|event| &*event.name == "E_UL_CONTACT_REFRESH").unwrap();
    assert_eq!(event.value("expires"), Some(&Value::Int(i64::try_from(server.now_s).unwrap() + 3600)));
    let names: Vec<&str> = event.values.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, seawall_modules::usrloc::REFRESH_PARAMETERS);
    let run = server.receive(&register(2, MOVED));
    assert_eq!(sent(&run, "INVITE"), [("udp:203.0.113.77:7777", "sip:bob@203.0.113.77:7777")]);
    let invite = run.request("INVITE");
    assert!(invite.header("Record-Route").contains("192.0.2.1"), "{}", invite.text);
    // Once: a further registration changes nothing.
    let invite = invite.text.clone();
    assert!(sent(&server.receive(&register(3, CONTACT)), "INVITE").is_empty());
    let run = server.answer(&reply(&invite, 200, "OK", ""));
    assert_eq!(run.starts(), ["SIP/2.0 200 OK"]);
    assert!(server.node.subscriptions.is_empty() && server.node.outstanding.is_empty());
}

#[test]
fn a_script_that_relays_after_two_does_not_send_the_call_to_itself() {
    let routing =
        ROUTING.replace("if ($rc == 1) t_relay();", "if ($rc > 0) { t_relay(); xlog(\"relay $rc\"); }");
    let mut server = Server::new(&script("registrar", "", &routing));
    server.receive(&register(1, CONTACT));
    let run = server.receive(&call());
    assert_eq!(run.starts(), ["SIP/2.0 100 Trying"]);
    assert_eq!(&run.log[..2], ["lookup 2", "relay 1"]);
    assert_eq!(sent(&server.receive(&register(2, MOVED)), "INVITE").len(), 1);
}

#[test]
fn a_script_that_answers_waits_for_nobody() {
    let routing = ROUTING.replace("if ($rc == 1)", "t_reply(486, \"Busy\"); if ($rc == 1)");
    let mut server = Server::new(&script("registrar", "", &routing));
    server.receive(&register(1, CONTACT));
    let run = server.receive(&call());
    assert_eq!(run.log, ["lookup 2"], "nobody is woken");
    assert_eq!(run.starts().last(), Some(&"SIP/2.0 486 Busy"));
    assert!(server.node.subscriptions.is_empty() && server.node.outstanding.is_empty());
}

#[test]
fn a_registration_through_the_main_registrar_wakes_the_call_as_well() {
    for mode in 0..3 {
        let mut server = front(&format!("\"mode\", {mode}"));
        let forwarded = server.receive(&register(1, CONTACT));
        let sent_register = forwarded.request("REGISTER").clone();
        assert_eq!(sent_register.header("Feature-Caps"), "*;+sip.pns=\"fcm\"", "{mode}");
        let contact = sent_register.header("Contact");
        assert!(!contact.contains("pn-"), "{contact}");
        let granted = |contact: &str| {
            format!("Contact: {}\r\n", contact.replace(";expires=3600", "") + ";expires=3600")
        };
        let run = server.answer(&reply(&sent_register.text, 200, "OK", &granted(&contact)));
        assert!(run.only().header("Feature-Caps").contains("+sip.pns=\"fcm\""), "{}", run.only().text);
        // A call of the main registrar, to what it was told.
        let uri = contact.split('<').nth(1).unwrap().split('>').next().unwrap();
        let run = server.receive(&Request::new(&format!("INVITE {uri}")));
        assert_eq!((&*run.log[0], run.starts()), ("lookup 2", vec!["SIP/2.0 100 Trying"]), "{mode}");
        let mut run = server.receive(&register(2, MOVED));
        if let Some(again) = run.sent.iter().find(|packet| packet.start().starts_with("REGISTER")).cloned() {
            assert!(sent(&run, "INVITE").is_empty(), "not before the main registrar has granted it");
            run = server.answer(&reply(&again.text, 200, "OK", &granted(&again.header("Contact"))));
        }
        assert_eq!(sent(&run, "INVITE"), [("udp:203.0.113.77:7777", "sip:bob@203.0.113.77:7777")], "{mode}");
    }
}

#[test]
fn pn_providers_says_who_is_woken_and_who_is_refused() {
    for mut server in [server(""), front("")] {
        let run = server.receive(&register(1, "sip:bob@h;pn-provider=acme;pn-param=p;pn-prid=1"));
        let refused = run.only();
        assert_eq!(refused.start(), "SIP/2.0 555 Push Notification Service Not Supported");
        assert!(
            refused
                .text
                .contains("Feature-Caps: *;+sip.pns=\"apns\"\r\nFeature-Caps: *;+sip.pns=\"fcm\"\r\n")
        );
        let run = server.receive(&register(2, "sip:bob@h;pn-provider=fcm;pn-param=p;pn-prid="));
        assert_eq!(run.only().start(), "SIP/2.0 400 Bad Request");
    }
    let mut server = server("");
    let run = server.receive(&register(3, "sip:bob@203.0.113.9;pn-provider"));
    assert!(
        run.only().text.contains("Feature-Caps: *;+sip.pns=\"apns\"\r\nFeature-Caps: *;+sip.pns=\"fcm\"\r\n")
    );
    let run = server.receive(&call());
    assert_eq!(run.log, ["lookup 1"], "who only asks is not woken");
}

#[test]
fn registrars_behind_are_told_what_is_pushed_from_here_also_of_phones_that_only_ask() {
    let both = vec!["*;+sip.pns=\"apns\"", "*;+sip.pns=\"fcm\""];
    for (contact, told) in [
        ("sip:bob@h;pn-provider", both),
        ("sip:bob@h;pn-provider=FCM", vec!["*;+sip.pns=\"fcm\""]),
        (CONTACT, vec!["*;+sip.pns=\"fcm\""]),
        ("sip:bob@h", vec![]),
    ] {
        let run = front("").receive(&register(1, contact));
        let forwarded = run.request("REGISTER").text.clone();
        let lines = forwarded.lines().filter_map(|line| line.strip_prefix("Feature-Caps: "));
        assert_eq!(lines.collect::<Vec<_>>(), told, "{contact}");
    }
    // What another proxy says that it pushes for is forwarded, and not refused.
    let of_acme = register(1, "sip:bob@h;pn-provider=acme;pn-param=p;pn-prid=1");
    let run = front("").receive(&of_acme.header("Feature-Caps: *;+sip.pns=\"acme\""));
    assert_eq!(run.request("REGISTER").header("Feature-Caps"), "*;+sip.pns=\"acme\"");
}

#[test]
fn pn_ct_match_params_matches_and_strips() {
    let other_param = MOVED.replace("pn-param=p", "pn-param=q");
    for (parameters, moved, bindings) in [
        ("", MOVED, 1),
        ("", &*other_param, 2),
        ("\"pn_ct_match_params\", \"pn-provider, pn-prid\"", &*other_param, 1),
    ] {
        let parameters = format!("\"pn_skip_pn_interval\", 60\n{parameters}");
        let mut server = with_bob(parameters.trim_end());
        server.receive(&register(2, moved));
        let domain = server.node.location.domain("location").unwrap();
        assert_eq!(domain.lock(b"bob@example.com", server.now_s).len(), bindings, "{parameters}");
        let run = server.receive(&call());
        let stripped = if parameters.contains("match") {
            "sip:bob@203.0.113.77:7777;pn-param=q"
        } else {
            "sip:bob@203.0.113.77:7777"
        };
        assert!(sent(&run, "INVITE").contains(&("udp:203.0.113.77:7777", stripped)), "{:?}", run.starts());
    }
}

#[test]
fn pn_pnsreg_interval_is_told_to_phones() {
    for (parameters, told) in [("", "130"), ("\"pn_pnsreg_interval\", 140", "140")] {
        let run = server(parameters).receive(&register(1, CONTACT));
        let caps = format!("*;+sip.pns=\"fcm\";+sip.pnsreg=\"{told}\"");
        assert_eq!(run.only().header("Feature-Caps"), caps);
    }
}

#[test]
fn pn_trigger_interval_raises_the_event_before_the_end() {
    // usrloc's "contact_refresh_timer" switches it on.
    let parameters = "\"pn_trigger_interval\", 30\nusrloc \"contact_refresh_timer\", 1";
    let refreshes = |run: &Run| {
        let of_refresh = run.log.iter().filter(|line| line.starts_with("refresh "));
        of_refresh.map(|line| line.rsplit(' ').nth(1).unwrap().to_owned()).collect::<Vec<_>>()
    };
    let mut server = server(parameters);
    server.receive(&Request::register(&[&format!("<{CONTACT}>;expires=100")]));
    assert!(refreshes(&server.pass(69)).is_empty());
    assert_eq!(refreshes(&server.pass(2)), ["reg-refresh"]);
    assert!(refreshes(&server.pass(20)).is_empty(), "once");
    // It has registered: the time starts anew.
    server.receive(&Request::register(&[&format!("<{CONTACT}>;expires=100")]).cseq(2));
    assert!(refreshes(&server.pass(69)).is_empty());
    assert_eq!(refreshes(&server.pass(2)), ["reg-refresh"]);
    // A phone that refreshes itself in time is left alone, and so is everybody without the timer.
    for (parameters, early) in [(parameters, true), ("\"pn_trigger_interval\", 30", false)] {
        let mut server = super::waking::server(parameters);
        server.receive(&Request::register(&[&format!("<{CONTACT}>;expires=100")]));
        if early {
            server.pass(60);
            server.receive(&Request::register(&[&format!("<{CONTACT}>;expires=100")]).cseq(2));
        }
        assert!(refreshes(&server.pass(60)).is_empty(), "{parameters}");
    }
}

#[test]
fn pn_trigger_interval_counts_in_front_of_a_main_registrar_as_well() {
    for mode in 0..3 {
        let parameters =
            format!("\"mode\", {mode}\n\"pn_trigger_interval\", 30\nusrloc \"contact_refresh_timer\", 1");
        let mut server = front(&parameters);
        let forwarded = server.receive(&Request::register(&[&format!("<{CONTACT}>;expires=100")]));
        let sent = forwarded.request("REGISTER").clone();
        let uri = sent.header("Contact").split('>').next().unwrap().to_owned();
        let granted = format!("Contact: {uri}>;expires=100\r\n");
        assert_eq!(
            server.answer(&reply(&sent.text, 200, "OK", &granted)).starts(),
            ["SIP/2.0 200 OK"],
            "{mode}"
        );
        let refreshes = |run: &Run| run.log.iter().filter(|line| line.contains(" reg-refresh ")).count();
        assert_eq!(refreshes(&server.pass(68)), 0, "{mode}");
        assert_eq!(refreshes(&server.pass(3)), 1, "{mode}");
        assert_eq!(refreshes(&server.pass(20)), 0, "once, in mode {mode}");
    }
}

#[test]
fn a_call_joins_the_push_of_a_refresh() {
    let mut server = server("\"pn_trigger_interval\", 30\nusrloc \"contact_refresh_timer\", 1");
    server.receive(&Request::register(&[&format!("<{CONTACT}>;expires=100")]));
    let run = server.pass(71);
    assert_eq!(run.log.len(), 1, "{:?}", run.log);
    // The phone is being woken: it is not pushed to again, and the call waits for it.
    assert_eq!(server.receive(&call()).log, ["lookup 2"]);
    assert_eq!(sent(&server.receive(&register(2, MOVED)), "INVITE").len(), 1);
    assert!(server.node.outstanding.is_empty());
}

#[test]
fn pn_skip_pn_interval_sends_to_who_was_just_here() {
    let mut server = with_bob("\"pn_skip_pn_interval\", 10");
    let run = server.receive(&call());
    assert_eq!((&*run.log[0], sent(&run, "INVITE").len()), ("lookup 1", 1));
    server.pass(10);
    let later = call().call_id("later").via("SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK-later");
    assert_eq!(server.receive(&later).log[0], "lookup 2");
}

#[test]
fn a_call_to_a_phone_that_is_awake_waits_for_nothing() {
    let plain = "sip:bob@203.0.113.9:5080";
    for (parameters, contact) in [("", plain), ("\"pn_skip_pn_interval\", 10", CONTACT)] {
        let mut server = server(parameters);
        server.receive(&register(1, contact));
        let run = server.receive(&call());
        // The INVITE leaves in the same turn, nobody is subscribed to anything, and nothing is raised or pushed.
        assert_eq!(
            (&run.log[..], sent(&run, "INVITE").len()),
            (&["lookup 1".to_owned()][..], 1),
            "{contact}"
        );
        assert!(run.events.is_empty() && server.node.subscriptions.is_empty(), "{contact}");
        assert!(server.node.outstanding.is_empty());
        // The transaction expects no further branches: the answer of the only one is final at once.
        let busy = reply(&run.request("INVITE").text.clone(), 486, "Busy Here", "");
        assert!(server.answer(&busy).starts().contains(&"SIP/2.0 486 Busy Here"), "{contact}");
    }
}

#[test]
fn pn_refresh_timeout_ends_the_wait() {
    for (parameters, seconds) in [("", 6), ("\"pn_refresh_timeout\", 10", 10)] {
        for method in ["INVITE", "MESSAGE"] {
            let mut server = with_bob(parameters);
            server.receive(&Request::new(&format!("{method} sip:bob@example.com")));
            assert!(server.pass(seconds - 1).sent.is_empty());
            let run = server.pass(2);
            assert_eq!(run.starts()[0], "SIP/2.0 408 Request Timeout", "{method}");
            // A registration that comes too late is no branch.
            let run = server.receive(&register(2, MOVED));
            assert!(sent(&run, method).is_empty());
            assert!(server.node.subscriptions.is_empty());
        }
    }
}

/// What the server hears when the push to a contact has failed.
fn failed(contact: &str) -> seawall_modules::context::EventParameters {
    seawall_modules::events::push_failed("location", b"bob@example.com", contact.as_bytes())
}

#[test]
fn a_push_that_has_failed_ends_the_wait_for_its_phone() {
    let mut server = with_bob("");
    server.receive(&call());
    assert!(server.hear(failed(&CONTACT.replace("T1", "T9"))).sent.is_empty(), "another phone's");
    assert_eq!(server.hear(failed(CONTACT)).starts(), ["SIP/2.0 408 Request Timeout"]);
    assert!(server.node.subscriptions.is_empty() && server.node.outstanding.is_empty());
    // A phone that wakes all the same has missed the call.
    assert!(sent(&server.receive(&register(2, MOVED)), "INVITE").is_empty());
}

#[test]
fn a_push_that_has_failed_leaves_the_wait_for_other_phones_and_for_requests_inside_a_dialog() {
    let failed = failed(CONTACT);
    // Of two phones the other one is still waited for.
    let mut both = with_bob("");
    let other = CONTACT.replace("T1", "T2");
    both.receive(&Request::register(&[&format!("<{other}>")]).call_id("other"));
    both.receive(&call());
    assert!(both.hear(failed.clone()).sent.is_empty());
    let run = both.receive(&Request::register(&[&format!("<{other}>")]).call_id("other").cseq(2));
    assert_eq!(sent(&run, "INVITE").len(), 1);

    // A request inside a dialog goes on when its time is over.
    let mut server = server("\"pn_enable_purr\", 1");
    let registered = server.receive(&register(1, CONTACT));
    let target = format!("sip:bob@203.0.113.9:5080;pn-purr={}", purr(&registered));
    assert!(server.receive(&bye(&target)).sent.is_empty());
    assert!(server.hear(failed).sent.is_empty());
    let run = server.pass(7);
    assert_eq!(sent(&run, "BYE").first(), Some(&("udp:203.0.113.9:5080", target.as_str())));
}

#[test]
fn the_failure_route_runs_when_the_phone_does_not_wake() {
    let routing = ROUTING.replace("lookup(\"location\");", "t_on_failure(\"late\"); lookup(\"location\");")
        + "failure_route[late] { xlog(\"late $T_reply_code\"); t_reply(480, \"Asleep\"); }";
    let mut server = Server::new(&script("registrar", "", &routing));
    server.receive(&register(1, CONTACT));
    server.receive(&call());
    let run = server.pass(7);
    assert_eq!((run.log.join(""), run.starts()[0]), ("late 408".to_owned(), "SIP/2.0 480 Asleep"));
}

#[test]
fn a_message_waits_like_a_call() {
    let mut server = with_bob("");
    let run = server.receive(&Request::new("MESSAGE sip:bob@example.com").body("text/plain", "hello"));
    assert!(run.sent.is_empty() && run.log[1].contains(" ini-MESSAGE "), "{:?}", run.log);
    let run = server.receive(&register(2, MOVED));
    let message = run.request("MESSAGE");
    assert!(message.text.ends_with("\r\n\r\nhello"), "{}", message.text);
    let run = server.answer(&reply(&message.text.clone(), 200, "OK", ""));
    assert_eq!(run.starts(), ["SIP/2.0 200 OK"]);
}

#[test]
fn a_cancel_ends_the_wait() {
    let mut server = with_bob("");
    server.receive(&call());
    let run = server.receive(&cancel());
    assert_eq!(run.starts(), ["SIP/2.0 200 canceling", "SIP/2.0 487 Request Terminated"]);
    assert!(
        server.node.subscriptions.is_empty() && server.node.outstanding.is_empty(),
        "nobody is waited for"
    );
    let run = server.receive(&register(2, MOVED));
    assert!(sent(&run, "INVITE").is_empty());
}

#[test]
fn of_several_phones_those_that_are_awake_ring_at_once() {
    let mut server = with_bob("");
    server.receive(&register(2, "sip:bob@203.0.113.10:5080").call_id("desk"));
    let run = server.receive(&call());
    assert_eq!(run.log[0], "lookup 1");
    assert_eq!(sent(&run, "INVITE"), [("udp:203.0.113.10:5080", "sip:bob@203.0.113.10:5080")]);
    let desk = run.request("INVITE").text.clone();
    // The desk phone is busy, but somebody is still to come.
    assert!(
        server
            .answer(&reply(&desk, 486, "Busy Here", ""))
            .starts()
            .iter()
            .all(|start| !start.contains("486"))
    );
    let run = server.receive(&register(3, MOVED));
    assert_eq!(sent(&run, "INVITE").len(), 1);
    let mobile = run.request("INVITE").text.clone();
    let run = server.answer(&reply(&mobile, 603, "Decline", ""));
    assert!(run.starts().contains(&"SIP/2.0 603 Decline"), "{:?}", run.starts());
}

#[test]
fn an_answer_elsewhere_ends_the_wait() {
    let mut server = with_bob("");
    server.receive(&register(2, "sip:bob@203.0.113.10:5080").call_id("desk"));
    let run = server.receive(&call());
    let desk = run.request("INVITE").text.clone();
    server.answer(&reply(&desk, 200, "OK", ""));
    assert!(server.node.subscriptions.is_empty() && server.node.outstanding.is_empty());
    assert!(sent(&server.receive(&register(3, MOVED)), "INVITE").is_empty());
}

#[test]
fn two_calls_wait_for_one_push_and_each_gets_its_branch() {
    let mut server = with_bob("");
    assert_eq!(server.receive(&call()).log.len(), 2);
    let second = call().call_id("second").via("SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK-second");
    assert_eq!(server.receive(&second).log, ["lookup 2"], "it is pushed to once");
    assert_eq!(sent(&server.receive(&register(2, MOVED)), "INVITE").len(), 2);
}

/// The PURR that bob's phone was told.
fn purr(run: &Run) -> String {
    let caps = run.only().header("Feature-Caps");
    caps.split("+sip.pnspurr=\"").nth(1).expect("a PURR").split('"').next().unwrap().to_owned()
}

fn bye(uri: &str) -> Request {
    Request::new(&format!("BYE {uri}")).to("<sip:bob@example.com>;tag=callee")
}

#[test]
fn pn_enable_purr_and_pn_process_purr_wake_inside_a_dialog() {
    // "pn_process_purr" gives 1 when the phone was woken and 2 when it was not.
    let mut server = server("\"pn_enable_purr\", 1");
    let purr = purr(&server.receive(&register(1, CONTACT)));
    let target = format!("sip:bob@203.0.113.9:5080;pn-purr={purr}");
    let run = server.receive(&bye(&target));
    assert!(run.sent.is_empty() && run.log[0].ends_with(" mid-BYE call-1@example.com"), "{:?}", run.log);
    let run = server.receive(&register(2, MOVED));
    assert_eq!(run.log, [format!("purr 1 {target} sip:bob@203.0.113.77:7777")]);
    assert_eq!(sent(&run, "BYE"), [("udp:203.0.113.77:7777", target.as_str())]);
    assert!(server.node.outstanding.is_empty(), "the next request wakes it anew");
    // In vain: it is sent to where the phone was, all the same.
    let mut again = bye(&target).call_id("again").via("SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK-again");
    assert!(server.receive(&again).sent.is_empty());
    let run = server.pass(7);
    assert_eq!(sent(&run, "BYE").last(), Some(&("udp:203.0.113.9:5080", target.as_str())));
    assert_eq!(run.log, [format!("purr 1 {target} <null>")]);
    // It is sought in the Route, too.
    again = bye("sip:bob@203.0.113.9:5080")
        .header(&format!("Route: <sip:203.0.113.50;lr;pn-purr={purr}>"))
        .via("SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK-route");
    let run = server.receive(&again);
    assert!(run.log[0].contains(" mid-BYE "), "{:?}", run.log);
}

#[test]
fn pn_process_purr_wakes_nobody_for_a_missing_foreign_or_stale_purr() {
    let mut server = server("\"pn_enable_purr\", 1\n\"pn_skip_pn_interval\", 10");
    let purr = purr(&server.receive(&register(1, CONTACT)));
    let check = |server: &mut Server, uri: &str, number: u32| {
        let via = format!("SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK-{number}");
        let run = server.receive(&bye(uri).via(&via));
        assert_eq!(run.log, [format!("purr 2 {uri} <null>")]);
        assert_eq!(sent(&run, "BYE").len(), 1);
    };
    let good = format!("sip:bob@203.0.113.9:5080;pn-purr={purr}");
    check(&mut server, &good, 1); // it is awake
    server.pass(11);
    let mut forged = purr.clone();
    forged.replace_range(0..1, if purr.starts_with('A') { "B" } else { "A" });
    for (number, bad) in [
        "".to_owned(),
        ";pn-purr".to_owned(),
        ";pn-purr=".to_owned(),
        ";pn-purr=x".to_owned(),
        format!(";pn-purr={forged}"),
        format!(";pn-purr={purr}{purr}"),
    ]
    .iter()
    .enumerate()
    {
        check(&mut server, &format!("sip:bob@203.0.113.9:5080{bad}"), 10 + number as u32);
    }
    // The contact is gone.
    server.receive(&register(2, CONTACT).header("Expires: 0"));
    check(&mut server, &good, 30);
    // Without "pn_enable_purr" no phone is told one, and nobody is woken.
    let mut off = super::waking::server("");
    let run = off.receive(&register(1, CONTACT));
    assert!(!run.only().text.contains("pnspurr"));
    check(&mut off, &good, 1);
}

#[test]
fn pn_process_purr_is_minus_one_when_too_much_waits() {
    let mut server = server("\"pn_enable_purr\", 1");
    let purr = purr(&server.receive(&register(1, CONTACT)));
    for number in 0..MAX_SUBSCRIPTIONS as u64 {
        let subscription = Subscription {
            wanted: Wanted::Named("E_NEVER".into()),
            filters: Vec::new(),
            until_ms: u64::MAX,
            then: Then::Settle(number),
        };
        assert!(server.node.subscriptions.add(subscription).is_some());
    }
    let run = server.receive(&bye(&format!("sip:bob@203.0.113.9:5080;pn-purr={purr}")));
    assert!(run.log[0].starts_with("purr -1 "), "{:?}", run.log);
    // A call is served as if nobody had to be waited for: nobody is there.
    let run = server.receive(&call());
    assert_eq!(run.log[0], "lookup 2");
    assert_eq!(run.starts().last(), Some(&"SIP/2.0 408 Request Timeout"));
}

#[test]
fn wrong_arguments_are_refused() {
    check_refused("§pn_process_purr(\"location\");", &["async"]);
    check_refused(
        "async(§pn_process_purr(), resume); } route[resume] { exit;",
        &["needs its argument `domain`"],
    );
    check_refused(
        "async(pn_process_purr(§\"no name\"), resume); } route[resume] { exit;",
        &["a location table has a name"],
    );
    let names: Vec<String> = (0..16).map(|number| format!("x{number}")).collect();
    let many = format!("\"pn_ct_match_params\", §\"pn-prid, {}\"", names.join(", "));
    refused(&script("registrar", &many, ROUTING), &["at most 16"]);
    check_loads("async(pn_process_purr(\"location\"), resume); } route[resume] { exit;");
    check_loads("launch(pn_process_purr(\"location\"));");
}
