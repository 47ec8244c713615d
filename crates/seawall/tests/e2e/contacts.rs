//! Contacts that are unusual and legal: `sips`, URIs with headers and `method`, parameters that nobody here knows.

use crate::harness::scripts::exchange;
use crate::harness::{Message, Phone, Server, mi};

fn register(phone: &mut Phone, contacts: &str) -> Message {
    let answer = phone.ask(&phone.register_request().with(format!("Contact: {contacts}")));
    assert_eq!(answer.status(), 200, "{contacts}");
    answer
}

#[test]
fn a_sips_contact_is_kept_and_matched_and_nothing_is_sent_to_it_without_tls() {
    let server = Server::start(&exchange());
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::udp(&server, "bob"));
    let secure = format!("sips:bob@{}", bob.address);
    assert_eq!(register(&mut bob, &format!("<{secure}>")).contacts(), [format!("<{secure}>;expires=3600")]);
    // The same host and port by sip is another contact.
    let plain = bob.contact();
    assert_eq!(register(&mut bob, &format!("<{plain}>;expires=0")).addresses("Contact"), [&*secure]);

    let refused = alice.ask(&alice.request("MESSAGE", &bob.aor()));
    assert_eq!(refused.status(), 477, "{}", refused.start);
    bob.expect_silence();
    // One that can be reached is, whatever else there is.
    register(&mut bob, &format!("<{plain}>"));
    let message = alice.request("MESSAGE", &bob.aor());
    alice.send(&message.bytes());
    let received = bob.expect_request("MESSAGE");
    assert_eq!(received.uri(), plain);
    bob.send(&received.reply(200, "OK", "x", "", ""));
    assert_eq!(alice.answer_to(&message).status(), 200);

    // An address of record is the same by either scheme.
    let mut request = bob.register_request();
    request.to = format!("<sips:{}>", &bob.aor()[4..]);
    assert_eq!(bob.ask(&request).contacts().len(), 2);
}

#[test]
fn headers_and_method_of_a_contact_are_kept_and_do_not_go_into_a_request_uri() {
    let server = Server::start(&exchange());
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::udp(&server, "bob"));
    let contact = format!("{};method=MESSAGE;x=1?X-Y=z&Route=%3Csip:192.0.2.1%3E", bob.contact());
    assert_eq!(register(&mut bob, &format!("<{contact}>")).addresses("Contact"), [&*contact]);
    assert_eq!(mi::contacts(&server, "bob@127.0.0.1")[0]["Contact"], contact);

    let message = alice.request("MESSAGE", &bob.aor());
    alice.send(&message.bytes());
    let received = bob.expect_request("MESSAGE");
    assert_eq!(received.uri(), format!("{};x=1", bob.contact()));
    assert!(received.header("X-Y").is_none() && received.header("Route").is_none());

    // Other headers make another contact (RFC 3261 §19.1.4).
    let other = format!("<{}?X-Y=other>", bob.contact());
    assert_eq!(register(&mut bob, &other).contacts().len(), 2);
    let removal = format!("<{contact}>;expires=0");
    assert_eq!(register(&mut bob, &removal).contacts().len(), 1);
}

#[test]
fn feature_tags_and_unknown_parameters_of_a_contact_are_understood_and_not_kept() {
    let server = Server::start(&exchange());
    let mut bob = Phone::udp(&server, "bob");
    let uri = bob.contact();
    let parameters =
        ";audio;video=\"FALSE\";+sip.extensions=\"100rel\";methods=\"INVITE,BYE\";q=0.5;unknown=\"a,b;c\"";
    let answer =
        register(&mut bob, &format!("\"Bob, at home\" <{uri}>{parameters};+sip.instance=\"<urn:x:1>\""));
    assert_eq!(answer.contacts(), [format!("<{uri}>;q=0.5;expires=3600;+sip.instance=\"<urn:x:1>\"")]);
    // `methods` is kept, though not told: it says what a look-up with method-filtering finds.
    let kept = &mi::contacts(&server, "bob@127.0.0.1")[0];
    assert_eq!((&kept["Q"], &kept["SIP_instance"]), (&"0.5".into(), &"<urn:x:1>".into()));
    assert!(kept["Methods"].is_u64() || kept["Methods"].is_string(), "{kept}");
}
