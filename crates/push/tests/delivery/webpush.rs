use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use seawall_push::{Options, Outcome, Push, WebPushOptions};
use seawall_testkit::push_service::Subscription;

use crate::common::{Fake, PATIENCE, Reply, claims, now_s, push, roots, sender};

fn options(fake: &Fake, hosts: &[String]) -> (Options, Vec<u8>) {
    let (key_file, point) = fake.key("vapid.pem");
    let webpush = WebPushOptions {
        key_file,
        contact: "mailto:ops@example.net".to_owned(),
        hosts: hosts.to_vec(),
        template: r#"{"from":"{caller_name}","number":"{caller_number}"}"#.to_owned(),
    };
    (Options { webpush: Some(webpush), roots: roots(fake), ..Options::default() }, point)
}

fn host(fake: &Fake) -> String {
    format!("localhost:{}", fake.port)
}

fn call(resource: String, param: String) -> Push {
    Push {
        provider: "webpush".to_owned(),
        param,
        prid: resource,
        reason: "ini-INVITE".to_owned(),
        caller_name: "Carol".to_owned(),
        caller_number: "300".to_owned(),
        ..Push::default()
    }
}

#[tokio::test]
async fn only_the_phone_can_read_it_and_the_service_sees_who_sends() {
    let fake = Fake::start().await;
    fake.always(Reply::status(201, ""));
    let (options, key) = options(&fake, &[host(&fake)]);
    let phone = Subscription::default();
    let resource = format!("{}/push/one?x=1", fake.url());
    assert_eq!(push(&sender(&options), call(resource, phone.param()), PATIENCE).await, Outcome::Accepted);

    let seen = fake.only();
    assert_eq!(seen.path, "/push/one?x=1");
    assert_eq!(seen.header("content-encoding"), "aes128gcm");
    assert_eq!(seen.header("urgency"), "high");
    assert!((1..=20).contains(&seen.header("ttl").parse::<u64>().unwrap()));
    let plain = phone.decrypt(&seen.body);
    assert_eq!(plain, br#"{"from":"Carol","number":"300"}"#);
    let login = seen.header("authorization").strip_prefix("vapid t=").unwrap();
    let (token, shown) = login.split_once(", k=").unwrap();
    assert_eq!(URL_SAFE_NO_PAD.decode(shown).unwrap(), key);
    let (_, claims) = claims(token, &key);
    assert_eq!(claims["aud"], fake.url());
    assert_eq!(claims["sub"], "mailto:ops@example.net");
    let lasts_s = claims["exp"].as_u64().unwrap() - now_s();
    assert!((3600..=24 * 3600).contains(&lasts_s), "{lasts_s}");
}

#[tokio::test]
async fn without_keys_of_a_subscription_the_push_is_empty() {
    let fake = Fake::start().await;
    let (options, _) = options(&fake, &[host(&fake)]);
    let resource = format!("{}/p", fake.url());
    assert_eq!(push(&sender(&options), call(resource, String::new()), PATIENCE).await, Outcome::Accepted);
    let seen = fake.only();
    assert_eq!((seen.body.len(), seen.header("content-encoding")), (0, ""));
}

#[tokio::test]
async fn a_subscription_that_ended_is_dead() {
    let fake = Fake::start().await;
    let (options, _) = options(&fake, &[host(&fake)]);
    let sender = sender(&options);
    for status in [404, 410] {
        fake.script([Reply::status(status, "")]);
        let resource = format!("{}/p", fake.url());
        assert_eq!(push(&sender, call(resource, String::new()), PATIENCE).await, Outcome::Dead, "{status}");
    }
}

#[tokio::test]
async fn a_phone_cannot_make_us_ask_servers_that_are_not_listed() {
    let fake = Fake::start().await;
    let listed = ["push.example.net".to_owned(), "*.push.example.org".to_owned()];
    let (options, _) = options(&fake, &listed);
    let sender = sender(&options);
    let here = format!("{}/p", fake.url());
    let resources = [
        here.as_str(),
        "http://push.example.net/p",
        "https://push.example.net@localhost/p",
        "https://push.example.net:22/p",
        "https://evilpush.example.org/p",
        "https://push.example.net",
        "file:///etc/passwd",
        "https://push.example.net /p",
    ];
    for resource in resources {
        let outcome = push(&sender, call(resource.to_owned(), String::new()), PATIENCE).await;
        assert!(matches!(outcome, Outcome::Refused(_)), "{resource}: {outcome:?}");
    }
    assert_eq!(fake.connections(), 0);
}
