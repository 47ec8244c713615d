use seawall_push::{FcmOptions, Options, Outcome, Push};
use seawall_testkit::push_service::tokens::{SERVICE_ACCOUNT, of_service_account};

use crate::common::{Fake, PATIENCE, Reply, now_s, push, roots, sender};

const TEMPLATE: &str = r#"{"reason":"{reason}","caller":"{caller_name}","number":"{caller_number}"}"#;

fn options(fake: &Fake) -> Options {
    let fcm = FcmOptions {
        url: fake.url(),
        account_files: vec![fake.file("account.json", SERVICE_ACCOUNT)],
        token_url: Some(format!("{}/token", fake.url())),
        template: TEMPLATE.to_owned(),
    };
    Options { fcm: Some(fcm), roots: roots(fake), ..Options::default() }
}

fn call() -> Push {
    Push {
        provider: "fcm".to_owned(),
        param: "phones".to_owned(),
        prid: "device:token_1".to_owned(),
        reason: "ini-INVITE".to_owned(),
        caller_name: "Bob".to_owned(),
        caller_number: "200".to_owned(),
        ..Push::default()
    }
}

fn token(value: &str) -> Reply {
    Reply::status(200, &format!(r#"{{"access_token":"{value}","expires_in":3599,"token_type":"Bearer"}}"#))
}

#[tokio::test]
async fn a_signed_assertion_gets_a_token_and_the_token_sends() {
    let fake = Fake::start().await;
    fake.script([token("first")]);
    let sender = sender(&options(&fake));
    assert_eq!(push(&sender, call(), PATIENCE).await, Outcome::Accepted);
    assert_eq!(push(&sender, call(), PATIENCE).await, Outcome::Accepted);
    let seen = fake.seen();
    assert_eq!(seen.len(), 3, "the token serves both");
    let form = String::from_utf8(seen[0].body.clone()).unwrap();
    let assertion = form
        .strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=")
        .expect("the grant of RFC 7523");
    let (_, claims) = of_service_account(assertion).expect("a good signature");
    assert_eq!(claims["iss"], "push@phones.example");
    assert_eq!(claims["aud"], format!("{}/token", fake.url()));
    assert_eq!(claims["scope"], "https://www.googleapis.com/auth/firebase.messaging");
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3600);
    assert!(now_s() - claims["iat"].as_u64().unwrap() < 10);
    assert_eq!(seen[1].path, "/v1/projects/phones/messages:send");
    assert_eq!(seen[1].header("authorization"), "Bearer first");
    let message = &seen[1].json()["message"];
    assert_eq!(message["token"], "device:token_1");
    assert_eq!(message["data"]["caller"], "Bob");
    assert_eq!(message["data"]["number"], "200");
    assert_eq!(message["android"]["priority"], "HIGH");
}

#[tokio::test]
async fn many_pushes_at_once_fetch_one_token() {
    let fake = Fake::start().await;
    fake.script([token("only")]);
    let sender = sender(&options(&fake));
    let all: Vec<_> = (0..10).map(|_| tokio::spawn(push_of(sender.clone()))).collect();
    for one in all {
        assert_eq!(one.await.unwrap(), Outcome::Accepted);
    }
    let tokens = fake.seen().iter().filter(|seen| seen.path == "/token").count();
    assert_eq!(tokens, 1);
}

async fn push_of(sender: seawall_push::Sender) -> Outcome {
    push(&sender, call(), PATIENCE).await
}

#[tokio::test]
async fn a_phone_that_is_unregistered_is_dead_and_an_unknown_project_is_not() {
    let fake = Fake::start().await;
    let unregistered = r#"{"error":{"code":404,"status":"NOT_FOUND","details":[
        {"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"UNREGISTERED"}]}}"#;
    let not_found = r#"{"error":{"code":404,"status":"NOT_FOUND"}}"#;
    fake.script([token("t"), Reply::status(404, unregistered), Reply::status(404, not_found)]);
    let sender = sender(&options(&fake));
    assert_eq!(push(&sender, call(), PATIENCE).await, Outcome::Dead);
    assert_eq!(push(&sender, call(), PATIENCE).await, Outcome::Refused("404 NOT_FOUND".to_owned()));
    let other = Push { param: "elsewhere".to_owned(), ..call() };
    assert_eq!(
        push(&sender, other, PATIENCE).await,
        Outcome::Refused("no service account for this project".to_owned())
    );
}

#[tokio::test]
async fn a_token_that_fcm_does_not_accept_is_fetched_anew() {
    let fake = Fake::start().await;
    fake.script([token("old"), Reply::status(401, "{}"), token("new")]);
    assert_eq!(push(&sender(&options(&fake)), call(), PATIENCE).await, Outcome::Accepted);
    assert_eq!(fake.seen().last().unwrap().header("authorization"), "Bearer new");
}

#[tokio::test]
async fn an_account_that_google_does_not_know_is_refused_without_its_key_in_the_reason() {
    let fake = Fake::start().await;
    fake.script([Reply::status(400, r#"{"error":"invalid_grant","error_description":"x"}"#)]);
    let outcome = push(&sender(&options(&fake)), call(), PATIENCE).await;
    assert_eq!(outcome, Outcome::Refused("token: 400 invalid_grant".to_owned()));
}
