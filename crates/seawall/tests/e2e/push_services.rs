//! Phones that are woken by nothing but a push through a real protocol: the built-in senders against services that are as
//! strict as the real ones (`testkit`), from the caller's INVITE to the answer at the phone's new address.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use seawall_testkit::push_service::tokens::SERVICE_ACCOUNT;
use seawall_testkit::push_service::{Apns, Fcm, PushService, Reply, Seen, Subscription, WebPush};

use crate::harness::call::invite;
use crate::harness::sleeper::{ROUTING, Sleeper, answer, base, call, cancel, final_answer};
use crate::harness::{Phone, Request, Server, mi};

const TEAM: &str = "TEAM123456";
const TOPIC: &str = "org.example.phone";
const DEVICE: &str = "00fc13adff785122b4ad28809a342098";
const VOIP_DEVICE: &str = "77aa13adff785122b4ad28809a342098";

fn start(service: &PushService, parameters: &str) -> Server {
    let authority = format!("modparam(\"push\", \"ca_path\", \"{}\")\n", service.authority().display());
    let gone = "event_route[E_UL_CONTACT_DELETE] { xlog(\"gone: $param(aor)\\n\"); }\n";
    // Long enough that no call ends because its time is over.
    let patience = "modparam(\"registrar\", \"pn_refresh_timeout\", 60)\n";
    Server::start(&format!("{}{ROUTING}{gone}", base(&format!("{patience}{authority}{parameters}"))))
}

/// Lines that set parameters of `push`.
fn push(parameters: &[(&str, &str)]) -> String {
    parameters.iter().map(|(name, value)| format!("modparam(\"push\", \"{name}\", \"{value}\")\n")).collect()
}

/// APNs, which lets us in by a key, and a server that has it.
fn apns(parameters: &str) -> (PushService, Arc<Apns>, Server) {
    let service = PushService::start_apart(false);
    let (file, point) = service.key("AuthKey.p8");
    let rules = Arc::new(Apns {
        team: TEAM.to_owned(),
        key: Some(("KEY1234567".to_owned(), point)),
        topics: vec![TOPIC.to_owned(), format!("{TOPIC}.voip")],
        ..Apns::default()
    });
    let judge = Arc::clone(&rules);
    service.judge(move |seen| judge.judge(seen));
    let own = push(&[
        ("apns_url", &service.url()),
        ("apns_key_file", &file.display().to_string()),
        ("apns_key_id", "KEY1234567"),
        ("apns_team_id", TEAM),
    ]);
    let server = start(&service, &format!("{own}{parameters}"));
    (service, rules, server)
}

/// FCM, with the exchange of tokens, and a server that has the service account.
fn fcm() -> (PushService, Arc<Fcm>, Server) {
    let service = PushService::start_apart(false);
    let token_url = format!("{}/token", service.url());
    let rules = Arc::new(Fcm::new(token_url.clone()));
    let judge = Arc::clone(&rules);
    service.judge(move |seen| judge.judge(seen));
    let account = service.file("account.json", SERVICE_ACCOUNT);
    let own = push(&[
        ("fcm_url", &service.url()),
        ("fcm_token_url", &token_url),
        ("fcm_service_account_file", &account.display().to_string()),
    ]);
    let server = start(&service, &own);
    (service, rules, server)
}

/// A Web Push service, and a server that has the key which it knows.
fn web_push() -> (PushService, Arc<WebPush>, Server) {
    let service = PushService::start_apart(false);
    let (file, point) = service.key("vapid.pem");
    let rules = Arc::new(WebPush { origin: service.url(), point, ..WebPush::default() });
    let judge = Arc::clone(&rules);
    service.judge(move |seen| judge.judge(seen));
    let own = push(&[
        ("webpush_vapid_key_file", &file.display().to_string()),
        ("webpush_contact", "mailto:ops@example.net"),
        ("webpush_hosts", &format!("localhost:{}", service.port)),
    ]);
    let server = start(&service, &own);
    (service, rules, server)
}

/// The parameters of an Apple device with one token.
fn apple(services: &str, prid: &str) -> String {
    format!("pn-provider=apns;pn-param={TEAM}.{TOPIC}{services};pn-prid={prid}")
}

/// The parameters of a browser.
fn browser(service: &PushService, path: &str) -> String {
    let resource =
        format!("{}{path}", service.url()).replace(':', "%3A").replace('/', "%2F").replace('?', "%3F");
    format!("pn-provider=webpush;pn-prid={}", resource.replace('=', "%3D"))
}

/// A call from the reception: with a name.
fn reception_calls(alice: &mut Phone) -> Request {
    let mut call = invite(alice, "sip:bob@127.0.0.1");
    call.from = format!("\"The \\\"Front\\\" Desk\" {}", call.from);
    alice.send(&call.bytes());
    assert_eq!(alice.answer_to(&call).status(), 100);
    call
}

/// What a payload has to say about such a call.
fn check_caller(payload: &Value, call: &Request) {
    let text = |name: &str| payload[name].as_str().unwrap_or_default().to_owned();
    assert_eq!(text("caller_name"), "The \"Front\" Desk", "{payload}");
    assert_eq!((text("caller_number"), text("reason")), ("alice".to_owned(), "ini-INVITE".to_owned()));
    assert_eq!(text("call_id"), call.call_id);
}

/// The phone wakes and takes the call; the services have taken each push.
fn wakes(server: &Server, bob: &mut Sleeper, alice: &mut Phone, call: &Request) {
    let (mut phone, _) = bob.wake(server);
    answer(alice, call, &mut phone);
}

#[test]
fn apns_wakes_a_phone_by_pushkit_with_a_token() {
    let (service, _, server) = apns("");
    let mut alice = Phone::udp(&server, "alice");
    let (mut bob, _) = Sleeper::told(&server, "bob", &apple(".voip", DEVICE));
    let call = reception_calls(&mut alice);
    let seen = service.asked();
    assert_eq!(seen.path, format!("/3/device/{DEVICE}"));
    assert_eq!(
        (seen.header("apns-topic"), seen.header("apns-push-type")),
        ("org.example.phone.voip", "voip")
    );
    check_caller(&seen.json(), &call);
    wakes(&server, &mut bob, &mut alice, &call);
    mi::wait_for_statistic(&server, "push:accepted", 1);
    assert_eq!(mi::statistic(&server, "push:sent"), 1);
}

#[test]
fn apns_lets_us_in_by_a_certificate_as_well() {
    let service = PushService::start_apart(true);
    let rules = Apns { team: TEAM.to_owned(), topics: vec![TOPIC.to_owned()], ..Apns::default() };
    service.judge(move |seen| rules.judge(seen));
    let own = push(&[
        ("apns_url", &service.url()),
        ("apns_certificate_file", &service.folder.join("client.pem").display().to_string()),
        ("apns_certificate_key_file", &service.folder.join("client.key").display().to_string()),
    ]);
    let server = start(&service, &own);
    let mut alice = Phone::udp(&server, "alice");
    let (mut bob, _) = Sleeper::told(&server, "bob", &apple("", DEVICE));
    let call = reception_calls(&mut alice);
    let seen = service.asked();
    assert_eq!((seen.header("apns-push-type"), seen.header("authorization")), ("alert", ""));
    check_caller(&seen.json(), &call);
    wakes(&server, &mut bob, &mut alice, &call);
    mi::wait_for_statistic(&server, "push:accepted", 1);
}

#[test]
fn a_device_with_two_tokens_is_called_by_pushkit_and_told_everything_else_by_the_other() {
    let (service, _, server) = apns("");
    let mut alice = Phone::udp(&server, "alice");
    let prid = format!("{DEVICE}:remote&{VOIP_DEVICE}:voip");
    let (mut bob, _) = Sleeper::told(&server, "bob", &apple(".voip&remote", &prid));
    let path_and_kind = |seen: &Seen| (seen.path.clone(), seen.header("apns-push-type").to_owned());
    let first = call(&mut alice, "bob");
    let seen = service.asked();
    assert_eq!(path_and_kind(&seen), (format!("/3/device/{VOIP_DEVICE}"), "voip".to_owned()));
    wakes(&server, &mut bob, &mut alice, &first);
    // A message rings nowhere: PushKit is for calls.
    let message = alice.request("MESSAGE", "sip:bob@127.0.0.1");
    alice.send(&message.bytes());
    let seen = service.asked();
    assert_eq!(path_and_kind(&seen), (format!("/3/device/{DEVICE}"), "alert".to_owned()));
    let (mut phone, _) = bob.wake(&server);
    let received = phone.expect_request("MESSAGE");
    phone.send(&received.reply(200, "OK", "b", "", ""));
    final_answer(&mut alice, &message, 200);
    // A registration that is to be refreshed is nothing that anybody is to see.
    mi::result(&server, "push_wake", json!(["location", "bob@127.0.0.1", "reg-refresh"]));
    let seen = service.asked();
    assert_eq!(path_and_kind(&seen), (format!("/3/device/{DEVICE}"), "background".to_owned()));
    mi::wait_for_statistic(&server, "push:accepted", 3);
}

#[test]
fn fcm_wakes_a_phone_with_a_token_that_a_signed_assertion_got() {
    let (service, _, server) = fcm();
    let mut alice = Phone::udp(&server, "alice");
    let params = "pn-provider=fcm;pn-param=phones;pn-prid=device:one_1";
    let (mut bob, _) = Sleeper::told(&server, "bob", params);
    for expected in
        [vec!["/token", "/v1/projects/phones/messages:send"], vec!["/v1/projects/phones/messages:send"]]
    {
        let call = reception_calls(&mut alice);
        let seen: Vec<Seen> = expected.iter().map(|_| service.asked()).collect();
        assert_eq!(seen.iter().map(|seen| &*seen.path).collect::<Vec<_>>(), expected);
        let message = &seen.last().unwrap().json()["message"];
        assert_eq!(
            (&message["token"], &message["android"]["priority"]),
            (&json!("device:one_1"), &json!("HIGH"))
        );
        check_caller(&message["data"], &call);
        wakes(&server, &mut bob, &mut alice, &call);
    }
    mi::wait_for_statistic(&server, "push:accepted", 2);
}

#[test]
fn web_push_wakes_a_browser_that_alone_can_read_it() {
    let (service, _, server) = web_push();
    let mut alice = Phone::udp(&server, "alice");
    let keys = Subscription::default();
    let params = format!("{};pn-param={}", browser(&service, "/push/one?x=1"), keys.param());
    let (mut bob, _) = Sleeper::told(&server, "bob", &params);
    let call = reception_calls(&mut alice);
    let seen = service.asked();
    assert_eq!((&*seen.path, seen.header("urgency")), ("/push/one?x=1", "high"));
    check_caller(&serde_json::from_slice(&keys.decrypt(&seen.body)).unwrap(), &call);
    wakes(&server, &mut bob, &mut alice, &call);
    mi::wait_for_statistic(&server, "push:accepted", 1);
}

#[test]
fn web_push_needs_no_pn_param() {
    let (service, _, server) = web_push();
    let mut alice = Phone::udp(&server, "alice");
    let (mut bob, registered) = Sleeper::told(&server, "bob", &browser(&service, "/push/two"));
    let caps = registered.need("Feature-Caps").to_owned();
    let key = caps.split("+sip.vapid=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(caps, format!("*;+sip.pns=\"webpush\";+sip.vapid=\"{key}\";+sip.pnsreg=\"130\""));
    let call = call(&mut alice, "bob");
    let seen = service.asked();
    assert_eq!((&*seen.path, seen.body.len(), seen.header("content-encoding")), ("/push/two", 0, ""));
    // The push is signed with the key that the phone was told (RFC 8599 section 8.3).
    assert!(
        seen.header("authorization").ends_with(&format!(", k={key}")),
        "{}",
        seen.header("authorization")
    );
    wakes(&server, &mut bob, &mut alice, &call);
    assert_eq!(
        mi::contacts(&server, "bob@127.0.0.1").len(),
        1,
        "its new contact took the place of the old one"
    );
    mi::wait_for_statistic(&server, "push:accepted", 1);
}

/// A phone that its service calls gone: its binding ends, and so do the pushes.
fn check_gone(server: &Server, service: &PushService, params: &str, requests: usize) {
    let mut alice = Phone::udp(server, "alice");
    let (_, _) = Sleeper::told(server, "bob", params);
    let call = call(&mut alice, "bob");
    (0..requests).for_each(|_| drop(service.asked()));
    server.wait_for_log("gone: bob@127.0.0.1");
    assert!(mi::contacts(server, "bob@127.0.0.1").is_empty());
    assert_eq!(mi::statistic(server, "push:dead"), 1);
    // The call ends with the push, though its time is not over (RFC 8599 section 5.6.2).
    final_answer(&mut alice, &call, 408);
    // The next call finds nobody.
    let call = invite(&alice, "sip:bob@127.0.0.1");
    alice.send(&call.bytes());
    final_answer(&mut alice, &call, 404);
    assert_eq!(service.seen().len(), requests);
}

#[test]
fn a_phone_that_apns_calls_unregistered_loses_its_binding() {
    let (service, rules, server) = apns("");
    rules.gone.lock().insert(DEVICE.to_owned());
    check_gone(&server, &service, &apple(".voip", DEVICE), 1);
}

#[test]
fn a_phone_that_fcm_calls_unregistered_loses_its_binding() {
    let (service, rules, server) = fcm();
    rules.gone.lock().insert("device:one_1".to_owned());
    check_gone(&server, &service, "pn-provider=fcm;pn-param=phones;pn-prid=device:one_1", 2);
}

#[test]
fn a_browser_whose_subscription_has_ended_loses_its_binding() {
    let (service, rules, server) = web_push();
    rules.gone.lock().insert("/push/three".to_owned());
    check_gone(&server, &service, &browser(&service, "/push/three"), 1);
}

#[test]
fn a_service_that_wants_time_gets_it_and_the_phone_its_call() {
    let (service, _, server) = apns("modparam(\"registrar\", \"pn_refresh_timeout\", 30)");
    service.script([Reply::status(429, r#"{"reason":"TooManyRequests"}"#).header("retry-after", "1")]);
    let mut alice = Phone::udp(&server, "alice");
    let (mut bob, _) = Sleeper::told(&server, "bob", &apple(".voip", DEVICE));
    let call = call(&mut alice, "bob");
    let (first, second) = (service.asked(), service.asked());
    // It is the server that measures the second, from when it has the answer.
    assert!(second.at.duration_since(first.at) >= Duration::from_millis(990));
    wakes(&server, &mut bob, &mut alice, &call);
    mi::wait_for_statistic(&server, "push:accepted", 1);
}

#[test]
fn a_push_whose_caller_gave_up_is_not_sent() {
    let (service, _, server) = apns("modparam(\"registrar\", \"pn_refresh_timeout\", 30)");
    // The service was asked once, and is to be asked again in three seconds.
    service.script([Reply::status(503, "").header("retry-after", "3")]);
    let mut alice = Phone::udp(&server, "alice");
    let (mut bob, _) = Sleeper::told(&server, "bob", &apple(".voip", DEVICE));
    let call = call(&mut alice, "bob");
    let _ = service.asked();
    let cancel = cancel(&call);
    alice.send(&cancel.bytes());
    final_answer(&mut alice, &call, 487);
    mi::wait_for_statistic(&server, "push:cancelled", 1);
    assert_eq!(service.seen().len(), 1);
    let (mut phone, _) = bob.wake(&server);
    phone.expect_silence();
}

#[test]
fn a_service_that_ails_is_left_alone_and_said_to_be() {
    let (service, _, server) = apns("modparam(\"registrar\", \"pn_refresh_timeout\", 30)");
    service.script([Reply::status(503, "").header("retry-after", "60")]);
    let mut alice = Phone::udp(&server, "alice");
    let (_, _) = Sleeper::told(&server, "bob", &apple(".voip", DEVICE));
    let call = call(&mut alice, "bob");
    let _ = service.asked();
    // There is no time for another try: the caller need not wait for it.
    final_answer(&mut alice, &call, 408);
    mi::wait_for_statistic(&server, "push:failed", 1);
    let held = |server: &Server| mi::result(server, "push_status", json!({}))["Services"][0]["Held"].clone();
    assert_eq!(held(&server), json!(true));
    // The next push is of no use any more when it may be sent: nobody is asked.
    mi::result(&server, "push_wake", json!(["location", "bob@127.0.0.1", "ini-INVITE"]));
    mi::wait_for_statistic(&server, "push:late", 1);
    assert_eq!(service.seen().len(), 1);
}

#[test]
fn secrets_are_in_no_log() {
    let (service, _, server) = apns("");
    let mut alice = Phone::udp(&server, "alice");
    let (mut bob, _) = Sleeper::told(&server, "bob", &apple(".voip", DEVICE));
    // Refused for its token, once: it is signed anew.
    service.script([Reply::status(403, r#"{"reason":"ExpiredProviderToken"}"#)]);
    let call = call(&mut alice, "bob");
    let (first, second) = (service.asked(), service.asked());
    wakes(&server, &mut bob, &mut alice, &call);
    let log = server.log();
    for seen in [first, second] {
        let token = seen.header("authorization").strip_prefix("bearer ").unwrap().to_owned();
        assert!(token.split('.').all(|part| !log.contains(part)), "{log}");
    }
    assert!(!log.contains("PRIVATE KEY"));
}
