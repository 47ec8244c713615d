use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use seawall_push::limits::REQUESTS_AT_ONCE;
use seawall_push::{Cancel, GatewayOptions, LoadError, Options, Outcome, Push, Services};

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

/// Answers one request over HTTP/1.1 after a pause, and closes.
async fn slow_gateway(stream: tokio::net::TcpStream) {
    let mut read = Vec::new();
    while !read.ends_with(b"hello") {
        stream.readable().await.unwrap();
        let _ = stream.try_read_buf(&mut read);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    stream.writable().await.unwrap();
    let _ = stream.try_write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

#[tokio::test]
async fn a_crowd_does_not_take_a_connection_for_each_of_its_pushes() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = GatewayOptions {
        url: format!("http://{}/", listener.local_addr().unwrap()),
        content_type: "text/plain".to_owned(),
        template: "hello".to_owned(),
        authorization_file: None,
    };
    let sender = sender(&Options { gateway: Some(gateway), ..Options::default() });
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = (Arc::clone(&open), Arc::clone(&most));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (open, most) = (Arc::clone(&counted.0), Arc::clone(&counted.1));
            most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::spawn(async move {
                slow_gateway(stream).await;
                open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    let pushes = 2 * REQUESTS_AT_ONCE + 100;
    let all: Vec<_> =
        (0..pushes).map(|_| tokio::spawn(sender.deliver(call(), 3 * PATIENCE, Cancel::default()))).collect();
    for one in all {
        assert_eq!(one.await.unwrap(), Outcome::Accepted);
    }
    let most = most.load(Ordering::SeqCst);
    assert!((REQUESTS_AT_ONCE / 4..=REQUESTS_AT_ONCE).contains(&most), "{most} connections at a time");
}
