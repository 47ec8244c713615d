//! Scripts that ask other servers over HTTP, and pushes: over real sockets, with a gateway of the test's own.

use crate::harness::scripts::MODULES;
use crate::harness::server::temporary_folder;
use crate::harness::web::Web;
use crate::harness::{Phone, Server, mi};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

const CONTACT: &str = "sip:bob@192.0.2.9;pn-provider=acme;pn-param=app;pn-prid=token-1";

fn rest(route: &str, more: &str) -> Server {
    let modules = format!("{MODULES}loadmodule \"rest_client.so\"\n");
    Server::start(&format!("{modules}route {{\n{route}\n}}\n{more}\n"))
}

fn gateway(web: &Web, parameters: &str) -> String {
    format!(
        "{MODULES}loadmodule \"push.so\"\nmodparam(\"push\", \"http_url\", \"{}/wake\")\n\
         modparam(\"push\", \"timeout\", 5)\n{parameters}\n\
         route {{\n\tif (is_method(\"REGISTER\")) {{ save(\"location\"); exit; }}\n\
         \tpush_send(\"{CONTACT}\");\n\tsend_reply(200, \"$rc\");\n}}\n\
         event_route[E_UL_CONTACT_DELETE] {{ xlog(\"gone: $param(uri)\"); }}\n",
        web.url()
    )
}

#[test]
fn a_script_that_waits_for_a_web_server_holds_nobody_up() {
    let web = Web::start();
    let server = rest(
        &format!(
            "if (is_method(\"OPTIONS\")) {{ send_reply(200, \"Here\"); exit; }}
             $var(rc) = rest_get(\"{}/credit?of=$fU\", $var(body), , $var(code));
             send_reply(200, \"$var(rc) $var(code) $var(body)\");",
            web.url()
        ),
        "",
    );
    let mut waiting: Vec<Phone> = (0..8).map(|number| Phone::udp(&server, &format!("w{number}"))).collect();
    let requests: Vec<_> = waiting.iter().map(|phone| phone.request("MESSAGE", "sip:x@127.0.0.1")).collect();
    for (phone, request) in waiting.iter_mut().zip(&requests) {
        phone.send(&request.bytes());
    }
    let asked: Vec<_> = (0..8).map(|_| web.asked()).collect();
    let mut other = Phone::udp(&server, "other");
    assert_eq!(other.ask(&other.request("OPTIONS", "sip:127.0.0.1")).status(), 200);
    for one in asked {
        let user = one.text.split_once("of=").unwrap().1.split(' ').next().unwrap().to_owned();
        one.answer(200, &format!("for-{user}"));
    }
    for (number, (phone, request)) in waiting.iter_mut().zip(&requests).enumerate() {
        let answer = phone.answer_to(request);
        assert_eq!(answer.start, format!("SIP/2.0 200 1 200 for-w{number}"));
    }
}

#[test]
fn async_gives_up_after_its_own_timeout() {
    let web = Web::start();
    let server = rest(
        &format!("async(rest_get(\"{}/x\", $var(body)), resume, 1);", web.url()),
        "route[resume] { send_reply(200, \"$rc\"); }",
    );
    let mut phone = Phone::udp(&server, "alice");
    let began = Instant::now();
    let answer = phone.ask(&phone.request("MESSAGE", "sip:x@127.0.0.1"));
    assert_eq!(answer.start, "SIP/2.0 200 -3");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn launch_posts_beside_the_script() {
    let web = Web::start();
    let server = rest(
        &format!(
            "launch(rest_post(\"{}/x\", \"{{\\\"caller\\\":\\\"$fU\\\"}}\", \"application/json\", $var(body), , $var(code)),
                    report, \"job-$fU\");
             send_reply(202, \"Launched\");",
            web.url()
        ),
        "route[report] { xlog(\"report $rc $var(code) $var(body) $param(1)\"); }",
    );
    let mut phone = Phone::udp(&server, "alice");
    assert_eq!(phone.ask(&phone.request("MESSAGE", "sip:x@127.0.0.1")).status(), 202);
    let asked = web.asked();
    assert_eq!(asked.body(), r#"{"caller":"alice"}"#);
    asked.answer(201, "noted");
    server.wait_for_log("report 1 201 noted job-alice");
}

/// A server that has bob's sleeping phone.
fn with_bob(script: &str) -> (Server, Phone) {
    let server = Server::start(script);
    let mut bob = Phone::udp(&server, "bob");
    let register = bob.register_request().with(format!("Contact: <{CONTACT}>"));
    assert_eq!(bob.ask(&register).status(), 200);
    (server, bob)
}

fn wake(server: &Server) -> Value {
    mi::result(server, "push_wake", json!(["location", "bob@127.0.0.1", "ini-INVITE"]))
}

#[test]
fn a_phone_that_its_service_calls_gone_loses_its_binding() {
    let web = Web::start();
    let (server, _bob) = with_bob(&gateway(&web, ""));
    assert_eq!(wake(&server), json!({ "Pushes": 1 }));
    let asked = web.asked();
    let body: Value = serde_json::from_str(asked.body()).unwrap();
    assert_eq!((&body["prid"], &body["reason"]), (&json!("token-1"), &json!("ini-INVITE")));
    asked.answer(200, "");
    assert_eq!(wake(&server), json!({ "Pushes": 1 }));
    web.asked().answer(410, "");
    server.wait_for_log(&format!("gone: {CONTACT}"));
    assert_eq!(mi::error(&server, "push_wake", json!(["location", "bob@127.0.0.1"])), 404);
    let status = &mi::result(&server, "push_status", json!({}))["Services"][0];
    assert_eq!((&status["Name"], &status["Held"]), (&json!("http"), &json!(false)));
    assert_eq!((&status["sent"], &status["accepted"], &status["dead"]), (&json!(2), &json!(1), &json!(1)));
    assert_eq!(mi::statistic(&server, "push:dead"), 1);
}

#[test]
fn remove_dead_off_keeps_the_binding() {
    let web = Web::start();
    let (server, _bob) = with_bob(&gateway(&web, "modparam(\"push\", \"remove_dead\", 0)"));
    wake(&server);
    web.asked().answer(410, "");
    let counted = || mi::statistic(&server, "push:dead");
    let began = Instant::now();
    while counted() == 0 && began.elapsed() < Duration::from_secs(10) {
        std::thread::yield_now();
    }
    assert_eq!(counted(), 1);
    assert_eq!(mi::contacts(&server, "bob@127.0.0.1").len(), 1);
}

#[test]
fn a_reload_reads_secrets_anew_and_keeps_counts() {
    let web = Web::start();
    let secret = temporary_folder().join("authorization");
    fs::write(&secret, "Bearer one\n").unwrap();
    let parameters = format!("modparam(\"push\", \"http_authorization_file\", \"{}\")", secret.display());
    let server = Server::start(&gateway(&web, &parameters));
    let mut alice = Phone::udp(&server, "alice");
    let mut push = || {
        let request = alice.request("MESSAGE", "sip:bob@127.0.0.1");
        alice.send(&request.bytes());
        let asked = web.asked();
        let text = asked.text.clone();
        asked.answer(200, "");
        assert_eq!(alice.answer_to(&request).start, "SIP/2.0 200 1");
        text
    };
    assert!(push().contains("authorization: Bearer one\r\n"));
    fs::write(&secret, "Bearer two\n").unwrap();
    mi::result(&server, "reload", json!({}));
    assert!(push().contains("authorization: Bearer two\r\n"));
    assert_eq!(mi::statistic(&server, "push:accepted"), 2);
    assert!(!server.log().contains("Bearer"), "a secret is in the log");
    fs::remove_file(&secret).unwrap();
    assert!(
        mi::call(&server, "reload", json!({})).get("error").is_some(),
        "a secret that is gone refuses the reload"
    );
    assert!(push().contains("authorization: Bearer two\r\n"));
}

#[test]
fn an_event_route_posts_to_a_gateway_of_ones_own() {
    let web = Web::start();
    let server = Server::start(&format!(
        "{MODULES}loadmodule \"rest_client.so\"\nroute {{ save(\"location\"); }}\n\
         event_route[E_UL_CONTACT_INSERT] {{\n\
         \trest_append_hf(\"X-Table: $param(domain)\");\n\
         \t$var(rc) = rest_post(\"{}/wake\", \"uri=$(param(uri){{rest.escape}})\", , $var(body), , $var(code));\n\
         \txlog(\"posted: $var(rc) $var(code)\");\n}}\n",
        web.url()
    ));
    let mut bob = Phone::udp(&server, "bob");
    let register = bob.register_request().with(format!("Contact: <{CONTACT}>"));
    assert_eq!(bob.ask(&register).status(), 200);
    let asked = web.asked();
    assert!(asked.text.contains("x-table: location\r\n"), "{}", asked.text);
    assert_eq!(
        asked.body(),
        "uri=sip%3Abob%40192.0.2.9%3Bpn-provider%3Dacme%3Bpn-param%3Dapp%3Bpn-prid%3Dtoken-1"
    );
    asked.answer(204, "");
    server.wait_for_log("posted: 1 204");
}
