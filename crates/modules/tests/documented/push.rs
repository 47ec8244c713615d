//! Module `push`: what scripts and events do with the senders. What the senders do is proven with them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use seawall_modules::push::{PushedContact, Wake, wake};
use seawall_push::{Provider, Sender};
use seawall_script::Value;

use crate::harness::{Request, Server, Web, answer_text, check_refused, program, refused, route};

const CONTACT: &str = "sip:bob@198.51.100.7;pn-provider=acme;pn-param=app%2e1;pn-prid=tok%3A1";

/// A script with these parameters of the module.
fn script(parameters: &str, statements: &str) -> String {
    route(statements).replacen("route {", &format!("{parameters}\nroute {{"), 1)
}

fn gateway(web: &Web) -> String {
    format!("modparam(\"push\", \"http_url\", \"{}/wake\")\nmodparam(\"push\", \"timeout\", 2)\n", web.url())
}

/// A server whose senders run.
fn server(script: &str) -> Server {
    let server = Server::new(script);
    let settings = server.node.configuration.load().settings.push.clone().expect("the module is loaded");
    let sender = Sender::new(Default::default(), server.runtime());
    sender.replace(settings.services);
    assert!(server.node.push.sender.set(sender).is_ok());
    server
}

fn accepted(server: &Server) -> u64 {
    server.node.push.sender.get().unwrap().status()[Provider::Gateway.index()].lane.accepted
}

fn send(web: &Web, parameters: &str, call: &str) -> String {
    let statements = format!("$var(rc) = {call}; xlog(\"$var(rc)\");");
    let mut server = server(&script(&format!("{}{parameters}", gateway(web)), &statements));
    server.receive(&invite()).log.concat()
}

fn invite() -> Request {
    Request::invite().from("\"Alice \\\"A\\\"\" <sip:+4930@example.com>;tag=a").call_id("call-7@example.com")
}

#[test]
fn push_send_tells_the_service_who_calls() {
    let web = Web::start(&[&answer_text(200, "text/plain", "")]);
    assert_eq!(send(&web, "", &format!("push_send(\"{CONTACT}\")")), "1");
    let seen = web.only();
    assert!(seen.starts_with("POST /wake HTTP/1.1\r\n"), "{seen}");
    let body = seen.split_once("\r\n\r\n").unwrap().1;
    for member in [
        r#""provider":"acme""#,
        r#""param":"app.1""#,
        r#""prid":"tok:1""#,
        r#""reason":"ini-INVITE""#,
        r#""caller_name":"Alice \"A\"""#,
        r#""caller_number":"+4930""#,
        r#""caller_uri":"sip:+4930@example.com""#,
        r#""call_id":"call-7@example.com""#,
    ] {
        assert!(body.contains(member), "{member} in {body}");
    }
}

#[test]
fn push_send_says_what_became_of_it() {
    let answer = |status: u16| answer_text(status, "text/plain", "");
    let web = Web::start(&[&answer(410), &answer(400)]);
    let call = format!("push_send(\"{CONTACT}\", \"mid-BYE\", 1)");
    assert_eq!(send(&web, "", &call), "-3", "gone");
    assert_eq!(send(&web, "", &call), "-4", "refused");
    assert_eq!(send(&web, "", &call), "-5", "silent");
    assert!(web.seen()[0].contains(r#""reason":"mid-BYE""#));
    assert_eq!(send(&web, "", "push_send(\"sip:bob@198.51.100.7\")"), "-1", "nothing says how to push");
    assert_eq!(send(&web, "", "push_send(\"sip:bob@198.51.100.7;pn-provider=acme;pn-prid=\")"), "-1");
    assert_eq!(send(&web, "", &format!("push_send(\"{CONTACT}\", , 0)")), "-1", "no time at all");
    let without = format!("$var(rc) = push_send(\"{CONTACT}\"); xlog(\"$var(rc)\");");
    assert_eq!(server(&script("", &without)).receive(&invite()).log, ["-2"], "no sender");
}

#[test]
fn push_send_runs_in_async_and_launch_and_in_an_event_route() {
    let answer = answer_text(200, "text/plain", "");
    let web = Web::start(&[&answer, &answer, &answer]);
    let statements = format!(
        "launch(push_send(\"{CONTACT}\"), done, \"l\"); async(push_send(\"{CONTACT}\", \"ini-MESSAGE\"), resume);"
    );
    let routes = "route[done] { xlog(\"$rc $param(1)\"); } route[resume] { xlog(\"resumed $rc\"); }";
    let mut server = server(&(script(&gateway(&web), &statements) + routes));
    let mut log = server.receive(&invite()).log;
    log.sort();
    assert_eq!(log, ["1 l", "resumed 1"]);
    assert_eq!(accepted(&server), 2);
    let event = "event_route[E_UL_CONTACT_INSERT] { push_send($param(uri)); xlog(\"woken $rc\"); }";
    let mut server = self::server(&(script(&gateway(&web), "save(\"location\");") + event));
    let register = Request::register(&[&format!("<{CONTACT}>")]);
    assert_eq!(server.receive(&register).log, ["woken 1"]);
    assert!(web.seen()[2].contains(r#""reason":"reg-refresh""#), "{}", web.seen()[2]);
}

const WAKE: Wake<'static> = Wake {
    domain: "location",
    aor: b"bob@example.com",
    contact: CONTACT.as_bytes(),
    reason: b"ini-INVITE",
    caller_name: b"Alice",
    caller_uri: b"sip:100@example.com",
    call_id: b"c1",
    patience_ms: Some(2000),
};

/// Wakes a contact while the service answers, and gives whether there was anything to do, what was reported dead, and for
/// how many contacts it was reported that the push has failed.
fn woken(parameters: &str, status: u16, what: &Wake<'_>) -> (bool, Vec<PushedContact>, usize) {
    let web = Web::start(&[&answer_text(status, "text/plain", "")]);
    let server = server(&script(&format!("{}{parameters}", gateway(&web)), "exit;"));
    let dead = Arc::new(Mutex::new(Vec::new()));
    let reported = Arc::clone(&dead);
    let set = server.node.push.on_dead.set(Box::new(move |contact| reported.lock().unwrap().push(contact)));
    assert!(set.is_ok());
    let failures = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&failures);
    let set = server.node.push.on_failure.set(Box::new(move |_| *counted.lock().unwrap() += 1));
    assert!(set.is_ok());
    let to_do = wake(&server.node, what).is_some();
    let sender = server.node.push.sender.get().unwrap().clone();
    if to_do {
        server.block_on(async {
            while sender.status()[Provider::Gateway.index()].lane.sent == 0 || sender.waiting() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // The callback runs after the count.
            tokio::task::yield_now().await;
        });
    }
    assert_eq!(web.seen().len(), usize::from(to_do));
    let dead = dead.lock().unwrap().clone();
    let failures = *failures.lock().unwrap();
    (to_do, dead, failures)
}

#[test]
fn an_event_wakes_a_phone_and_one_that_is_gone_is_reported() {
    let bob = PushedContact {
        domain: "location".to_owned(),
        aor: b"bob@example.com".to_vec(),
        contact: CONTACT.as_bytes().to_vec(),
    };
    assert_eq!(woken("", 200, &WAKE), (true, vec![], 0));
    assert_eq!(woken("", 410, &WAKE), (true, vec![bob], 1));
    assert_eq!(woken("", 404, &WAKE), (true, vec![], 1));
    assert_eq!(woken("", 404, &Wake { patience_ms: None, ..WAKE }), (true, vec![], 0), "nobody waits");
    assert_eq!(woken("modparam(\"push\", \"remove_dead\", 0)", 410, &WAKE), (true, vec![], 1));
    assert_eq!(woken("modparam(\"push\", \"on_contact_refresh\", 0)", 200, &WAKE), (false, vec![], 0));
    assert_eq!(woken("", 200, &Wake { contact: b"sip:bob@198.51.100.7", ..WAKE }), (false, vec![], 0));
}

#[test]
fn a_caller_who_gives_up_stops_the_push() {
    let web = Web::start(&[]);
    let server = server(&script(&gateway(&web), "exit;"));
    wake(&server.node, &WAKE).expect("a push").cancel();
    let sender = server.node.push.sender.get().unwrap().clone();
    server.block_on(async {
        while sender.status()[Provider::Gateway.index()].lane.cancelled == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(web.seen().is_empty());
}

#[test]
fn the_statistics_are_those_of_the_senders() {
    let declared: Vec<&str> = seawall_modules::push::MODULE.statistics.iter().map(|one| one.name).collect();
    let documented =
        ["sent", "accepted", "dead", "refused", "failed", "late", "cancelled", "latency_us", "waiting"];
    assert_eq!(declared, documented);
    let server = server(&script("", "exit;"));
    let lane = server.node.push.sender.get().unwrap().status()[0].lane;
    let counted: Vec<&str> = lane.all().iter().map(|(name, ..)| *name).collect();
    assert!(documented[..8].iter().all(|name| counted.contains(name)), "{counted:?}");
}

fn set(name: &str, value: &str) -> String {
    format!("modparam(\"push\", \"{name}\", {value})\n")
}

#[track_caller]
fn check_wrong(name: &str, value: &str, words: &str) {
    refused(&script(&set(name, &format!("§{value}")), "exit;"), &[words]);
}

#[test]
fn defaults_and_wrong_values_of_the_parameters() {
    let defaults: [(&str, &str, &str); 12] = [
        ("apns_url", "\"ftp://x\"", "https"),
        ("fcm_url", "\"\"", "https"),
        ("fcm_token_url", "\"nowhere\"", "https"),
        ("http_url", "\"http://a b\"", "https"),
        ("webpush_contact", "\"ops\"", "mailto:"),
        ("apns_template", "\"{\"", "JSON"),
        ("fcm_template", "\"{who}\"", "`{who}` is not known"),
        ("webpush_template", "\"[\"", "JSON"),
        ("http_template", "\"{whom}\"", "`{whom}` is not known"),
        ("rate_limit", "-1", "from 0"),
        ("timeout", "0", "from 1 second"),
        ("on_contact_refresh", "\"maybe\"", ""),
    ];
    for (name, wrong, words) in defaults {
        check_wrong(name, wrong, words);
    }
    check_wrong("remove_dead", "\"maybe\"", "");
    check_wrong("ca_path", "\"/nowhere/at/all\"", "/nowhere/at/all");
    for name in [
        "apns_key_id",
        "apns_team_id",
        "apns_certificate_key_file",
        "webpush_hosts",
        "http_content_type",
        "ca_path",
    ] {
        check_wrong(name, "7", "");
    }
    let parameters = program(&script("", "exit;")).parameters;
    assert_eq!(parameters.str("push", "apns_url"), Some(b"https://api.push.apple.com".as_slice()));
    assert_eq!(parameters.str("push", "fcm_url"), Some(b"https://fcm.googleapis.com".as_slice()));
    assert_eq!(parameters.int("push", "timeout"), 10);
    assert_eq!(parameters.value("push", "rate_limit"), &Value::Int(0));
    assert!(parameters.bool("push", "on_contact_refresh") && parameters.bool("push", "remove_dead"));
}

#[test]
fn what_belongs_together_is_asked_for_as_a_whole() {
    let lone = |name: &str, needed: &str| {
        let text = format!("modparam(\"push\", \"{name}\", §\"/nowhere/file\")\n");
        refused(&script(&text, "exit;"), &[needed]);
    };
    lone("apns_key_file", "`apns_key_id`");
    lone("apns_certificate_file", "`apns_certificate_key_file`");
    lone("webpush_vapid_key_file", "`webpush_contact`");
    lone("fcm_service_account_file", "/nowhere/file");
    let both = "modparam(\"push\", \"apns_key_file\", \"/k\")\nmodparam(\"push\", \"apns_key_id\", \"K\")\n\
                modparam(\"push\", \"apns_team_id\", \"T\")\nmodparam(\"push\", \"apns_certificate_key_file\", \"/c\")\n\
                modparam(\"push\", \"apns_certificate_file\", §\"/c\")\n";
    refused(&script(both, "exit;"), &["not both"]);
    let secret = "modparam(\"push\", \"http_url\", §\"http://127.0.0.1/\")\n\
                  modparam(\"push\", \"http_authorization_file\", \"/nowhere/secret\")\n";
    refused(&script(secret, "exit;"), &["/nowhere/secret"]);
}

#[test]
fn the_gateway_gets_the_type_template_and_authorization_of_the_script() {
    let web = Web::start(&[&answer_text(200, "text/plain", "")]);
    std::fs::write(web.file("authorization"), "Bearer s3cret\n").unwrap();
    let parameters = set("http_content_type", "\"application/x-www-form-urlencoded\"")
        + &set("http_template", "\"token={prid}&from={caller_name}\"")
        + &set("http_authorization_file", &format!("\"{}\"", web.file("authorization")));
    assert_eq!(send(&web, &parameters, &format!("push_send(\"{CONTACT}\")")), "1");
    let seen = web.only();
    assert!(seen.contains("content-type: application/x-www-form-urlencoded\r\n"), "{seen}");
    assert!(seen.contains("authorization: Bearer s3cret\r\n"), "{seen}");
    assert!(seen.ends_with("\r\n\r\ntoken=tok%3A1&from=Alice%20%22A%22"), "{seen}");
}

#[test]
fn wrong_calls_are_refused_where_they_stand() {
    check_refused("§push_send();", &["push_send"]);
    check_refused("push_send(\"sip:a@b\", \"r\", 1, §2);", &["push_send"]);
    check_refused("push_send(\"sip:a@b\", \"r\", §\"soon\");", &["timeout"]);
    refused(
        &(route("exit;") + "onreply_route { §push_send(\"sip:a@b\"); }"),
        &["push_send", "onreply_route"],
    );
}
