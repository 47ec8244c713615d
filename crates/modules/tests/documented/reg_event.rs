//! Module `reg_event`.

use crate::harness::{
    ALL_MODULES, Packet, Request, Run, Server, check_parameters, check_refused, refused, reply, row,
};

const PHONE: &str = "<sip:bob@203.0.113.9:5080>";

fn server(parameters: &str, call: &str) -> Server {
    let modules = format!("{ALL_MODULES}modparam(\"reg_event\", \"notify_interval\", 0)\n{parameters}");
    Server::new(&format!(
        "{modules}route {{ if (is_method(\"REGISTER\")) {{ save(\"location\"); exit; }}\n{call}; xlog(\"$rc\"); }}\n"
    ))
}

fn plain(parameters: &str) -> Server {
    server(parameters, "reg_event_subscribe(\"location\")")
}

/// A SUBSCRIBE of alice to bob.
fn subscribe() -> Request {
    Request::new("SUBSCRIBE sip:bob@example.com")
        .header("Event: reg")
        .header("Contact: <sip:alice@198.51.100.7:5070>")
}

/// A SUBSCRIBE inside the dialog that a 200 made.
fn again(accepted: &Packet, cseq: u32, lines: &str) -> Request {
    let request = Request::new("SUBSCRIBE sip:192.0.2.1:5060").to(&accepted.header("To")).cseq(cseq);
    let request = request.via(&format!("SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK-again-{cseq}"));
    lines.split('|').fold(request.header("Event: reg"), |request, line| request.header(line))
}

/// Subscribes, and answers the first NOTIFY.
fn subscribed(server: &mut Server, request: &Request) -> Run {
    let run = server.receive(request);
    run.reply(200);
    let notify = run.request("NOTIFY").text.clone();
    server.answer(&reply(&notify, 200, "OK", ""));
    run
}

/// Refuses a SUBSCRIBE with these header lines with a code, and leaves nothing behind.
#[track_caller]
fn check_code(parameters: &str, lines: &[&str], code: u16, header: (&str, &str)) {
    let mut server = plain(parameters);
    let request = lines.iter().fold(Request::new("SUBSCRIBE sip:bob@example.com"), |r, line| r.header(line));
    let run = server.receive(&request);
    assert_eq!(run.log, ["-1"], "{lines:?}");
    assert_eq!(run.reply(code).header(header.0), header.1, "{lines:?}");
    assert_eq!(server.counter("reg_event", "rejected_subscribes"), 1);
    assert!(server.node.watchers.lock().is_empty() && run.sent.len() == 1);
}

const EVENT: &str = "Event: reg";
const CONTACT: &str = "Contact: <sip:alice@198.51.100.7>";

#[test]
fn a_subscription_is_answered_with_200_and_a_full_notify() {
    let mut server = plain("");
    server.receive(&Request::register(&[PHONE]).call_id("phone"));
    let run = server.receive(&subscribe().header("Expires: 600"));
    assert_eq!((run.log.as_slice(), run.sent.len()), (&["1".to_owned()][..], 2));
    let accepted = run.reply(200);
    assert_eq!(accepted.header("Expires"), "600");
    assert_eq!(accepted.header("Contact"), "<sip:192.0.2.1:5060>");
    let notify = run.request("NOTIFY");
    assert_eq!(notify.header("From"), accepted.header("To"));
    assert_eq!(notify.header("Event"), "reg");
    assert_eq!(notify.header("Subscription-State"), "active;expires=600");
    assert_eq!(notify.header("Content-Type"), "application/reginfo+xml");
    assert_eq!(notify.header("Contact"), "<sip:192.0.2.1:5060>");
    for part in ["state=\"full\"", "aor=\"sip:bob@example.com\"", "event=\"registered\"", "203.0.113.9:5080"]
    {
        assert!(notify.body().contains(part), "{part} {}", notify.body());
    }
    assert_eq!(server.counter("reg_event", "accepted_subscribes"), 1);
    assert_eq!(server.counter("reg_event", "sent_notifies"), 1);
}

#[test]
fn every_change_is_told() {
    let mut server = plain("");
    subscribed(&mut server, &subscribe());
    for (cseq, contact, event) in [
        (1, format!("{PHONE};expires=100"), "registered"),
        (2, format!("{PHONE};expires=200"), "refreshed"),
        (3, format!("{PHONE};expires=60"), "shortened"),
        (4, format!("{PHONE};expires=0"), "unregistered"),
    ] {
        let run = server.receive(&Request::register(&[&contact]).call_id("phone").cseq(cseq));
        let notify = run.request("NOTIFY");
        assert!(notify.body().contains(&format!("event=\"{event}\"")), "{event} {}", notify.body());
        assert!(notify.body().contains(&format!("version=\"{cseq}\" state=\"partial\"")));
        server.answer(&reply(&notify.text.clone(), 200, "OK", ""));
    }
    server.receive(&Request::register(&[&format!("{PHONE};expires=60")]).call_id("phone").cseq(5));
    assert_eq!(server.counter("reg_event", "failed_notifies"), 0);
}

#[test]
fn expiry_is_told_and_the_registration_ends() {
    let mut server = plain("");
    server.receive(&Request::register(&[&format!("{PHONE};expires=60")]).call_id("phone"));
    subscribed(&mut server, &subscribe());
    let run = server.pass(61);
    let body = run.request("NOTIFY").body();
    assert!(
        body.contains("state=\"terminated\" event=\"expired\"")
            && body.contains("id=\"r\" state=\"terminated\"")
    );
}

#[test]
fn the_address_of_record_is_the_request_uri_or_the_argument() {
    let mut server = server("", "reg_event_subscribe(\"location\", \"sip:Carol@Example.COM:5090;x=y\")");
    let run = server.receive(&subscribe());
    assert!(run.request("NOTIFY").body().contains("aor=\"sip:Carol@example.com\""));
    let mut other = plain("");
    let nobody = Request::new("SUBSCRIBE sip:example.com").header(EVENT).header(CONTACT);
    other.receive(&nobody).reply(404);
}

#[test]
fn public_gruus_are_shown_when_the_registrar_gives_them() {
    let of = |parameters: &str| {
        let mut server = plain(parameters);
        let contact = format!("{PHONE};+sip.instance=\"<urn:uuid:7>\"");
        server.receive(&Request::register(&[&contact]).call_id("phone").header("Supported: gruu"));
        server.receive(&subscribe()).request("NOTIFY").body().to_owned()
    };
    let on =
        "modparam(\"registrar\", \"disable_gruu\", 0)\nmodparam(\"registrar\", \"gruu_secret\", \"x\")\n";
    assert!(of(on).contains("<gr:pub-gruu uri=\"sip:bob@example.com;gr=urn:uuid:7\"/>"), "{}", of(on));
    assert!(!of("").contains("gruu"));
    let without_domain = format!("{on}modparam(\"usrloc\", \"use_domain\", 0)\n");
    assert!(!of(&without_domain).contains("pub-gruu"));
}

#[test]
fn notifies_go_where_the_script_says() {
    let mut server = server("", "reg_event_subscribe(\"location\", , \"sip:$si:$sp\")");
    let request =
        Request::new("SUBSCRIBE sip:bob@example.com").header(EVENT).header("Contact: <sip:alice@10.0.0.1>");
    let run = server.receive(&request);
    let notify = run.request("NOTIFY");
    assert_eq!(
        (notify.start(), notify.to.as_str()),
        ("NOTIFY sip:alice@10.0.0.1 SIP/2.0", "udp:198.51.100.7:5070")
    );
    let mut wrong = self::server("", "reg_event_subscribe(\"location\", , \"$ua>\")");
    wrong.receive(&subscribe().header("User-Agent: a b")).reply(500);
}

#[test]
fn notifies_follow_the_route_set() {
    let routed = subscribe().header("Record-Route: <sip:203.0.113.1;lr>, <sip:203.0.113.2;lr>");
    let mut server = plain("");
    let run = server.receive(&routed);
    assert_eq!(run.reply(200).header("Record-Route"), "<sip:203.0.113.1;lr>, <sip:203.0.113.2;lr>");
    let notify = run.request("NOTIFY");
    assert_eq!(notify.to, "udp:203.0.113.1:5060");
    assert_eq!(notify.header("Route"), "<sip:203.0.113.1;lr> | <sip:203.0.113.2;lr>");
}

#[test]
fn a_subscription_over_tcp_is_told_over_its_connection() {
    let mut server = plain("");
    let run =
        server.receive_at(1, "198.51.100.7:40000", &subscribe().text().replace("SIP/2.0/UDP", "SIP/2.0/TCP"));
    assert_eq!(run.reply(200).header("Contact"), "<sip:192.0.2.1:5060;transport=tcp>");
    let notify = run.request("NOTIFY");
    assert_eq!((notify.to.as_str(), notify.from.as_str()), ("tcp:198.51.100.7:5070", "tcp:192.0.2.1:5060"));
    assert!(notify.header("Via").starts_with("SIP/2.0/TCP "));
}

#[test]
fn a_refresh_is_answered_by_everything() {
    let mut server = plain("");
    let accepted = subscribed(&mut server, &subscribe());
    let run = server.receive(&again(accepted.reply(200), 2, "Expires: 120|Contact: <sip:new@198.51.100.8>"));
    assert_eq!(run.reply(200).header("Expires"), "120");
    let notify = run.request("NOTIFY");
    assert_eq!(notify.start(), "NOTIFY sip:new@198.51.100.8 SIP/2.0");
    assert_eq!((notify.header("CSeq").as_str(), notify.body().contains("full")), ("2 NOTIFY", true));
    assert_eq!(notify.header("Subscription-State"), "active;expires=120");
}

#[test]
fn an_unsubscribe_ends_it_with_a_last_notify() {
    let mut server = plain("");
    let accepted = subscribed(&mut server, &subscribe());
    let run = server.receive(&again(accepted.reply(200), 2, "Expires: 0"));
    assert_eq!(run.reply(200).header("Expires"), "0");
    let notify = run.request("NOTIFY");
    assert_eq!(notify.header("Subscription-State"), "terminated;reason=timeout");
    server.answer(&reply(&notify.text.clone(), 200, "OK", ""));
    assert!(server.node.watchers.lock().is_empty());
    server.receive(&again(accepted.reply(200), 3, "Expires: 60")).reply(481);
}

#[test]
fn a_fetch_leaves_nothing_behind() {
    let mut server = plain("");
    let run = subscribed(&mut server, &subscribe().header("Expires: 0"));
    assert_eq!(run.request("NOTIFY").header("Subscription-State"), "terminated;reason=timeout");
    assert!(server.node.watchers.lock().is_empty());
}

#[test]
fn a_repeated_subscribe_gets_the_same_answer_and_makes_no_second_subscription() {
    let mut server = plain("");
    let first = server.receive(&subscribe());
    let second = server.receive(&subscribe());
    assert_eq!((second.sent.len(), second.log.len()), (1, 0));
    assert_eq!(first.reply(200).text, second.reply(200).text);
    assert_eq!(server.node.watchers.lock().len(), 1);
}

#[test]
fn a_transaction_of_the_script_is_used() {
    let mut server = server("", "t_newtran(); reg_event_subscribe(\"location\")");
    let run = server.receive(&subscribe());
    assert_eq!((run.log.as_slice(), run.sent.len()), (&["1".to_owned()][..], 2));
}

#[test]
fn only_a_subscribe_is_served() {
    let mut server = plain("");
    let run = server.receive(&Request::invite());
    assert_eq!((run.log.as_slice(), run.sent.len()), (&["-2".to_owned()][..], 0));
}

#[test]
fn what_is_wrong_is_answered() {
    check_code("", &[CONTACT], 489, ("Allow-Events", "reg"));
    check_code("", &["Event: presence", CONTACT], 489, ("Allow-Events", "reg"));
    check_code("", &[EVENT, CONTACT, "Expires: 59"], 423, ("Min-Expires", "60"));
    check_code("", &[EVENT, CONTACT, "Expires: x"], 400, ("Min-Expires", ""));
    check_code("", &[EVENT, CONTACT, "Accept: text/plain"], 406, ("Accept", "application/reginfo+xml"));
    check_code("", &[EVENT, CONTACT, "Require: eventlist, foo"], 420, ("Unsupported", "eventlist, foo"));
    check_code("", &[EVENT], 400, ("Warning", "399 seawall \"Contact missing or malformed\""));
    let long = format!("Record-Route: <sip:{};lr>", "a".repeat(5000));
    check_code("", &[EVENT, CONTACT, &long], 513, ("Warning", ""));
    for accept in ["*/*", "application/*;q=0.5", "text/plain, application/reginfo+xml"] {
        plain("").receive(&subscribe().header(&format!("Accept: {accept}"))).reply(200);
    }
}

#[test]
fn a_refresh_of_what_is_not_there_is_481_and_one_out_of_order_500() {
    let mut server = plain("");
    let accepted = subscribed(&mut server, &subscribe());
    server
        .receive(&again(accepted.reply(200), 1, "Expires: 60").via("SIP/2.0/UDP a;branch=z9hG4bKx"))
        .reply(500);
    server.receive(&again(accepted.reply(200), 2, "Expires: 60").call_id("other")).reply(481);
    server
        .receive(
            &subscribe().to("<sip:bob@example.com>;tag=guess").via("SIP/2.0/UDP a;branch=z9hG4bKz").cseq(3),
        )
        .reply(481);
}

/// How long a subscription lives that asks for `expires`.
#[track_caller]
fn check_expires(parameters: &str, asked: &str, granted: &str) {
    let mut server = plain(parameters);
    let request =
        if asked.is_empty() { subscribe() } else { subscribe().header(&format!("Expires: {asked}")) };
    assert_eq!(server.receive(&request).reply(200).header("Expires"), granted, "{parameters} {asked}");
}

#[test]
fn the_life_of_a_subscription_is_negotiated() {
    let set = |name: &str, value: u32| format!("modparam(\"reg_event\", \"{name}\", {value})\n");
    check_expires("", "", "3761");
    check_expires(&set("default_expires", 600), "", "600");
    check_expires(&(set("default_expires", 10) + &set("min_expires", 20)), "", "20");
    check_expires("", "100000", "86400");
    check_expires(&set("max_expires", 300), "301", "300");
    check_expires("", "4294967295", "86400");
    check_expires(&set("min_expires", 5), "5", "5");
    check_code(&set("min_expires", 100), &[EVENT, CONTACT, "Expires: 99"], 423, ("Min-Expires", "100"));
}

#[test]
fn subscriptions_are_bounded() {
    for (parameters, second) in [
        ("\"max_subscriptions\", 1", "SUBSCRIBE sip:carol@example.com"),
        ("\"max_subscriptions_per_aor\", 1", "SUBSCRIBE sip:bob@example.com"),
        ("\"max_subscriptions_per_source\", 1", "SUBSCRIBE sip:carol@example.com"),
    ] {
        let mut server = plain(&format!("modparam(\"reg_event\", {parameters})\n"));
        subscribed(&mut server, &subscribe());
        let request = Request::new(second).header(EVENT).header(CONTACT).call_id("second");
        let request = request.via("SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK-second");
        let run = server.receive(&request);
        assert_eq!(run.reply(503).header("Retry-After"), "60", "{parameters}");
        assert_eq!(server.node.watchers.lock().len(), 1);
    }
}

#[test]
fn changes_wait_for_notify_interval() {
    let mut server = plain("modparam(\"reg_event\", \"notify_interval\", 3)\n");
    subscribed(&mut server, &subscribe());
    assert_eq!(server.receive(&Request::register(&[PHONE]).call_id("phone")).sent.len(), 1);
    assert_eq!(server.pass(2).sent.len(), 0);
    server.pass(1).request("NOTIFY");
}

#[test]
fn statistics_count() {
    let mut server = plain("");
    subscribed(&mut server, &subscribe());
    server.receive(
        &Request::new("SUBSCRIBE sip:bob@example.com")
            .header(EVENT)
            .call_id("x")
            .via("SIP/2.0/UDP a;branch=z9hG4bKy"),
    );
    let values = ["accepted_subscribes", "rejected_subscribes", "sent_notifies", "failed_notifies"];
    assert_eq!(values.map(|name| server.counter("reg_event", name)), [1, 1, 1, 0]);
    // The gauge "subscriptions" is what the watchers hold.
    assert_eq!(server.node.watchers.lock().len(), 1);
}

#[test]
fn the_parameters_are_checked() {
    check_parameters(
        "reg_event",
        &[
            row("default_expires", "3761", "600", "0", "from 1 to"),
            row("min_expires", "60", "0", "3601", "from 0 to 3600"),
            row("max_expires", "86400", "600", "-1", "from 1 to"),
            row("notify_interval", "5", "0", "3601", "from 0 to 3600"),
            row("max_subscriptions", "100000", "1", "0", "from 1 to"),
            row("max_subscriptions_per_aor", "20", "1", "0", "from 1 to"),
            row("max_subscriptions_per_source", "1000", "1", "0", "from 1 to"),
        ],
    );
}

#[test]
fn wrong_arguments_are_refused() {
    check_refused("§reg_event_subscribe();", &["needs its argument `domain`"]);
    check_refused("reg_event_subscribe(§\"no table\");", &["a location table has a name"]);
    check_refused(
        "reg_event_subscribe(\"location\", \"sip:a@b\", \"sip:c\", §\"more\");",
        &["takes", "3 arguments, 4 given"],
    );
    refused("route {\n§reg_event_subscribe(\"location\");\n}\n", &["needs module `reg_event`"]);
}
