use seawall_push::{GatewayOptions, LoadError, Options, Outcome, Push, Services};

use crate::common::{Fake, PATIENCE, Reply, push, roots, sender};

fn options(fake: &Fake, content_type: &str, template: &str) -> Options {
    let gateway = GatewayOptions {
        url: format!("{}/wake", fake.url()),
        content_type: content_type.to_owned(),
        template: template.to_owned(),
        authorization_file: Some(fake.file("authorization", "Bearer secret\n")),
    };
    Options { gateway: Some(gateway), roots: roots(fake), ..Options::default() }
}

fn call() -> Push {
    Push {
        provider: "acme".to_owned(),
        param: "app".to_owned(),
        prid: "t/1".to_owned(),
        reason: "mid-BYE".to_owned(),
        aor: "alice@example.net".to_owned(),
        caller_name: "D & \"E\"".to_owned(),
        ..Push::default()
    }
}

async fn check(content_type: &str, template: &str, expected: &str) {
    let fake = Fake::start().await;
    let sender = sender(&options(&fake, content_type, template));
    assert_eq!(push(&sender, call(), PATIENCE).await, Outcome::Accepted);
    let seen = fake.only();
    assert_eq!(seen.path, "/wake");
    assert_eq!(seen.header("content-type"), content_type);
    assert_eq!(seen.header("authorization"), "Bearer secret");
    assert_eq!(String::from_utf8(seen.body).unwrap(), expected);
}

#[tokio::test]
async fn the_template_is_filled_as_its_type_needs_it() {
    let json = r#"{"who":"{aor}","from":"{caller_name}","why":"{reason}"}"#;
    let filled = r#"{"who":"alice@example.net","from":"D & \"E\"","why":"mid-BYE"}"#;
    check("application/json", json, filled).await;
    check(
        "application/x-www-form-urlencoded",
        "from={caller_name}&t={prid}",
        "from=D%20%26%20%22E%22&t=t%2F1",
    )
    .await;
    check("text/plain", "{provider} {param} {caller_name}", "acme app D & \"E\"").await;
}

#[tokio::test]
async fn a_phone_that_the_gateway_calls_gone_is_dead() {
    let fake = Fake::start().await;
    fake.script([Reply::status(410, ""), Reply::status(404, "")]);
    let sender = sender(&options(&fake, "text/plain", "x"));
    assert_eq!(push(&sender, call(), PATIENCE).await, Outcome::Dead);
    assert_eq!(push(&sender, call(), PATIENCE).await, Outcome::Refused("404".to_owned()));
}

#[tokio::test]
async fn a_provider_without_a_sender_is_told_so() {
    let sender = sender(&Options::default());
    assert_eq!(push(&sender, call(), PATIENCE).await, Outcome::NoSender);
    assert!(!sender.takes("apns"));
}

#[tokio::test]
async fn what_cannot_be_set_up_is_said_at_once_and_shows_no_secret() {
    let fake = Fake::start().await;
    let error = |options: &Options| Services::load(options).unwrap_err();
    let unknown = options(&fake, "application/json", r#"{"a":"{who}"}"#);
    assert!(matches!(error(&unknown), LoadError::Template(text) if text.contains("{who}")));
    let broken = options(&fake, "application/json", r#"{"a":"#);
    assert!(matches!(error(&broken), LoadError::Template(_)));
    let (mut apns, _) = crate::apns::options(&fake);
    fake.file("apns.p8", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0LXNlY3JldA==\n-----END PRIVATE KEY-----\n");
    let text = error(&apns).to_string();
    assert!(text.ends_with("apns.p8: this is not a P-256 key in PKCS#8 PEM"), "{text}");
    std::fs::remove_file(fake.folder.join("apns.p8")).unwrap();
    assert!(matches!(error(&apns), LoadError::Read { .. }));
    apns.apns = None;
    assert!(Services::load(&apns).is_ok());
}
