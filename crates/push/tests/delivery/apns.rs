use std::time::Duration;

use seawall_push::{ApnsLogin, ApnsOptions, Options, Outcome, Push};

use crate::common::{Fake, PATIENCE, Reply, claims, now_s, push, roots, sender};

pub const TEMPLATE: &str =
    r#"{"aps":{"alert":{"title":"{caller_name}","body":"{caller_number}"}},"call_id":"{call_id}"}"#;

/// APNs with token login; the public point of its key.
pub fn options(fake: &Fake) -> (Options, Vec<u8>) {
    let (key_file, point) = fake.key("apns.p8");
    let login =
        ApnsLogin::Token { key_file, key_id: "KEY1234567".to_owned(), team_id: "TEAM123456".to_owned() };
    let apns = Some(ApnsOptions { url: fake.url(), login, template: TEMPLATE.to_owned() });
    (Options { apns, roots: roots(fake), ..Options::default() }, point)
}

pub fn call() -> Push {
    Push {
        provider: "apns".to_owned(),
        param: "TEAM123456.org.example.phone.voip".to_owned(),
        prid: "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0".to_owned(),
        reason: "ini-INVITE".to_owned(),
        caller_name: "Alice \"A\"".to_owned(),
        caller_number: "+4930123".to_owned(),
        call_id: "call-1@example.net".to_owned(),
        ..Push::default()
    }
}

#[tokio::test]
async fn a_call_goes_to_the_voip_topic_with_a_signed_token() {
    let fake = Fake::start().await;
    let (options, point) = options(&fake);
    assert_eq!(push(&sender(&options), call(), PATIENCE).await, Outcome::Accepted);
    let seen = fake.only();
    assert_eq!(seen.version, "HTTP/2.0");
    assert_eq!(seen.path, format!("/3/device/{}", call().prid));
    assert_eq!(seen.header("apns-topic"), "org.example.phone.voip");
    assert_eq!(seen.header("apns-push-type"), "voip");
    assert_eq!(seen.header("apns-priority"), "10");
    let until_s: u64 = seen.header("apns-expiration").parse().unwrap();
    assert!((now_s()..=now_s() + 20).contains(&until_s), "{until_s}");
    assert_eq!(seen.json()["aps"]["alert"]["title"], "Alice \"A\"");
    assert_eq!(seen.json()["aps"]["alert"]["body"], "+4930123");
    assert_eq!(seen.json()["call_id"], "call-1@example.net");
    let (header, claims) = claims(seen.header("authorization").strip_prefix("bearer ").unwrap(), &point);
    assert_eq!((&header["alg"], &header["kid"]), (&"ES256".into(), &"KEY1234567".into()));
    assert_eq!(claims["iss"], "TEAM123456");
    assert!(now_s() - claims["iat"].as_u64().unwrap() < 10);
}

#[tokio::test]
async fn what_is_no_call_goes_in_the_background_and_a_call_without_pushkit_alerts() {
    let fake = Fake::start().await;
    let (options, _) = options(&fake);
    let sender = sender(&options);
    let both = Push {
        param: "TEAM123456.org.example.phone.voip&remote".to_owned(),
        prid: "aa:remote&bb:voip".to_owned(),
        ..call()
    };
    let refresh = Push { reason: "reg-refresh".to_owned(), ..both.clone() };
    let alert = Push { param: "TEAM123456.org.example.phone".to_owned(), prid: "cc".to_owned(), ..call() };
    let message = Push { reason: "ini-MESSAGE".to_owned(), ..both.clone() };
    for one in [both, refresh, alert, message] {
        assert_eq!(push(&sender, one, PATIENCE).await, Outcome::Accepted);
    }
    let seen = fake.seen();
    let what = |index: usize| {
        let seen = &seen[index];
        (
            seen.path.as_str(),
            seen.header("apns-topic"),
            seen.header("apns-push-type"),
            seen.header("apns-priority"),
        )
    };
    assert_eq!(what(0), ("/3/device/bb", "org.example.phone.voip", "voip", "10"));
    assert_eq!(what(1), ("/3/device/aa", "org.example.phone", "background", "5"));
    assert_eq!(seen[1].json()["aps"]["content-available"], 1);
    assert_eq!(what(2), ("/3/device/cc", "org.example.phone", "alert", "10"));
    assert_eq!(what(3), ("/3/device/aa", "org.example.phone", "alert", "10"), "PushKit is for what rings");
}

#[tokio::test]
async fn one_connection_and_one_token_serve_many_pushes() {
    let fake = Fake::start().await;
    let (options, _) = options(&fake);
    let sender = sender(&options);
    for _ in 0..20 {
        assert_eq!(push(&sender, call(), PATIENCE).await, Outcome::Accepted);
    }
    let tokens: std::collections::HashSet<String> =
        fake.seen().iter().map(|seen| seen.header("authorization").to_owned()).collect();
    assert_eq!((fake.connections(), tokens.len()), (1, 1));
}

#[tokio::test]
async fn a_certificate_proves_who_we_are_instead_of_a_token() {
    let fake = Fake::with_clients(true).await;
    let login = ApnsLogin::Certificate {
        certificate_file: fake.folder.join("client.pem"),
        key_file: fake.folder.join("client.key"),
    };
    let apns = Some(ApnsOptions { url: fake.url(), login, template: TEMPLATE.to_owned() });
    let options = Options { apns, roots: roots(&fake), ..Options::default() };
    assert_eq!(push(&sender(&options), call(), PATIENCE).await, Outcome::Accepted);
    assert_eq!(fake.only().header("authorization"), "");

    let (without, _) = self::options(&fake);
    let outcome = push(&sender(&without), call(), Duration::from_millis(500)).await;
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
}

#[tokio::test]
async fn a_phone_that_is_gone_is_reported_dead() {
    let fake = Fake::start().await;
    fake.script([Reply::status(410, r#"{"reason":"Unregistered","timestamp":1795296371000}"#)]);
    let (options, _) = options(&fake);
    let sender = sender(&options);
    assert_eq!(push(&sender, call(), PATIENCE).await, Outcome::Dead);
    let lane = sender.status()[0].lane;
    assert_eq!((lane.sent, lane.accepted, lane.dead), (1, 0, 1));
}

#[tokio::test]
async fn a_token_that_apns_does_not_accept_is_made_anew_once() {
    let fake = Fake::start().await;
    let refused = || Reply::status(403, r#"{"reason":"ExpiredProviderToken"}"#);
    fake.script([refused()]);
    let (options, _) = options(&fake);
    let sender = sender(&options);
    assert_eq!(push(&sender, call(), PATIENCE).await, Outcome::Accepted);
    let seen = fake.seen();
    assert_eq!(seen.len(), 2);
    assert_ne!(seen[0].header("authorization"), seen[1].header("authorization"));
    fake.script([refused(), refused()]);
    let outcome = push(&sender, call(), PATIENCE).await;
    assert_eq!(outcome, Outcome::Refused("403 ExpiredProviderToken".to_owned()));
}

#[tokio::test]
async fn what_apns_or_we_never_take_is_refused_at_once() {
    let fake = Fake::start().await;
    let (options, _) = options(&fake);
    let sender = sender(&options);
    fake.script([Reply::status(400, r#"{"reason":"BadDeviceToken"}"#)]);
    assert_eq!(push(&sender, call(), PATIENCE).await, Outcome::Refused("400 BadDeviceToken".to_owned()));
    let other_team = Push { param: "OTHER.org.example.phone".to_owned(), ..call() };
    assert_eq!(
        push(&sender, other_team, PATIENCE).await,
        Outcome::Refused("no key of team OTHER".to_owned())
    );
    let path = Push { prid: "../../x".to_owned(), ..call() };
    assert_eq!(
        push(&sender, path, PATIENCE).await,
        Outcome::Refused("pn-prid is no device token".to_owned())
    );
    assert_eq!(fake.seen().len(), 1, "what cannot be right is not sent");
}
