//! Requests that are made here and not received.

use seawall_sip::Message;
use seawall_transaction::{Effect, Effects, Keys, Layer, OwnBranch, Relay, Timers};

use crate::harness::{Place, describe, request};

fn check(responses: &[(u64, u16)], expected: &[&str]) {
    let keys = Keys::new([1; 16]);
    let mut layer: Layer<&'static str, Place> = Layer::new(0, keys, Timers::tm());
    let mut out = Effects::new();
    let target = Place { branch: Some(0), reliable: false };
    let mut sent = Vec::new();
    let make = |token| {
        let mut branch = Vec::new();
        keys.write_branch(token, 0, &mut branch);
        sent = request("OPTIONS", &String::from_utf8(branch).expect("text"), "").into_bytes();
        sent.clone()
    };
    layer.originate(0, false, "own", target, make, &mut out).expect("sent");
    let mut log = Vec::new();
    let mut note = |now_ms: u64, out: &mut Effects<&'static str, Place>| {
        log.extend(out.drain(..).map(|effect: Effect<_, _>| format!("{now_ms} {}", describe(&effect))));
    };
    note(0, &mut out);
    let sent = Message::parse(sent).expect("a request");
    for &(at_ms, status) in responses {
        let mut bytes = Vec::new();
        seawall_sip::response_into(&mut bytes, &sent, status, b"Text", Some(b"t"), None, b"");
        let message = Message::parse(bytes).expect("a response");
        let Some(OwnBranch::Transaction(token)) = keys.response_branch(&message) else { panic!("not ours") };
        layer.response(at_ms, token, &message, Relay::AsReceived, &mut out);
        note(at_ms, &mut out);
    }
    while let Some(now_ms) = layer.poll_timeout() {
        layer.timeout(now_ms, &mut out);
        note(now_ms, &mut out);
    }
    assert!(layer.is_empty());
    assert_eq!(log, expected);
}

#[test]
fn the_final_response_is_reported() {
    check(&[(10, 100), (20, 200)], &["0 b0 OPTIONS", "20 result 200 received", "5020 ended"]);
    check(&[(20, 404)], &["0 b0 OPTIONS", "20 result 404 received", "5020 ended"]);
}

#[test]
fn a_timeout_is_reported_as_408() {
    let times = [0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500];
    let mut expected: Vec<String> = times.iter().map(|time| format!("{time} b0 OPTIONS")).collect();
    expected.extend(["30000 result 408".to_owned(), "30000 ended".to_owned()]);
    check(&[], &expected.iter().map(String::as_str).collect::<Vec<_>>());
}
