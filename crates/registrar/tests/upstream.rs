//! Cached registrations (registrar 1.3.18): what is stored of a request whose answer another registrar gave.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

mod common;

use common::{Registrar, message, text};
use seawall_registrar::{Policy, Reject};
use seawall_sip::Message;

const ALICE: &str = "Contact: <sip:alice@10.0.0.1>;expires=3600";

/// The 2xx of a main registrar with these header lines.
fn accepted(lines: &str) -> Message {
    let head = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:alice@example.com>;tag=1\r\n\
        To: <sip:alice@example.com>;tag=2\r\nCall-ID: a\r\nCSeq: 1 REGISTER\r\n";
    Message::parse(format!("{head}{}\r\n", lines.replace('\n', "\r\n")).into_bytes()).unwrap()
}

/// Caches one request, whose contacts went out as `sent`, and compares what is stored.
#[track_caller]
fn check(registrar: &mut Registrar, request: &str, sent: &[&str], reply: &str, expected: &[&str]) {
    let outcome = registrar.cache("", &message(request), sent, &accepted(reply));
    assert_eq!(outcome.reject, None);
    registrar.check_dump(expected);
}

#[test]
fn the_contact_of_the_request_is_stored_with_the_interval_that_was_granted() {
    let mut registrar = Registrar::default();
    let reply = "Contact: <sip:other@9.9.9.9>;expires=7, <sip:proxy@192.0.2.1:5060;x=1>;expires=\"120\"\n";
    check(
        &mut registrar,
        ALICE,
        &["sip:proxy@192.0.2.1:5060;x=1"],
        reply,
        &["sip:alice@10.0.0.1 120s cseq=1 callid=a"],
    );
    // An equivalent URI is the same contact (RFC 3261 section 19.1.4).
    let reply = "Contact: <sip:%70roxy@192.0.2.1:5060;x=1>;expires=130\n";
    let request = format!("CSeq: 2 REGISTER\n{ALICE}");
    let sent = ["sip:proxy@192.0.2.1:5060;x=1"];
    check(&mut registrar, &request, &sent, reply, &["sip:alice@10.0.0.1 130s cseq=2 callid=a"]);
}

#[test]
fn what_was_granted_is_not_bent_by_the_limits_of_this_server() {
    let policy =
        Policy { min_expires_s: 60, max_expires_s: 90, expires_max_deviation_s: 50, ..Policy::default() };
    for (granted, stored) in [("5", "5s"), ("600", "600s")] {
        let mut registrar = Registrar { random: 12345, ..Registrar::new(policy.clone()) };
        let reply = format!("Contact: <sip:alice@10.0.0.1>;expires={granted}\n");
        let expected = format!("sip:alice@10.0.0.1 {stored} cseq=1 callid=a");
        check(&mut registrar, ALICE, &[], &reply, &[&expected]);
    }
}

#[test]
fn without_a_parameter_the_expires_header_counts_and_then_what_was_asked_for() {
    let mut registrar = Registrar::default();
    let listed = "Contact: <sip:alice@10.0.0.1>\n";
    check(
        &mut registrar,
        ALICE,
        &[],
        &format!("{listed}Expires: 77\n"),
        &["sip:alice@10.0.0.1 77s cseq=1 callid=a"],
    );
    let request = "CSeq: 2 REGISTER\nContact: <sip:alice@10.0.0.1>;expires=88";
    check(&mut registrar, request, &[], listed, &["sip:alice@10.0.0.1 88s cseq=2 callid=a"]);
}

#[test]
fn what_the_reply_lacks_is_not_stored_and_goes_if_it_was() {
    let mut registrar = Registrar::default();
    let two = "Contact: <sip:alice@10.0.0.1>, <sip:alice@10.0.0.2>";
    let both = "Contact: <sip:alice@10.0.0.1>;expires=100, <sip:alice@10.0.0.2>;expires=200\n";
    let first = "sip:alice@10.0.0.1 100s cseq=1 callid=a";
    check(&mut registrar, two, &[], &both.replace("10.0.0.2", "10.0.0.3"), &[first]);
    let stored = ["sip:alice@10.0.0.1 100s cseq=2 callid=a", "sip:alice@10.0.0.2 200s cseq=2 callid=a"];
    check(&mut registrar, &format!("CSeq: 2 REGISTER\n{two}"), &[], both, &stored);
    let gone = "Contact: <sip:alice@10.0.0.1>;expires=0\n";
    check(&mut registrar, &format!("CSeq: 3 REGISTER\n{two}"), &[], gone, &[]);
}

#[test]
fn a_star_removes_all_and_a_fetch_nothing() {
    let mut registrar = Registrar::default();
    let listed = "Contact: <sip:alice@10.0.0.1>;expires=100\n";
    check(&mut registrar, ALICE, &[], listed, &["sip:alice@10.0.0.1 100s cseq=1 callid=a"]);
    check(&mut registrar, "CSeq: 2 REGISTER", &[], "", &["sip:alice@10.0.0.1 100s cseq=1 callid=a"]);
    check(&mut registrar, "CSeq: 3 REGISTER\nContact: *\nExpires: 0", &[], "", &[]);
}

#[test]
fn an_answer_that_comes_after_that_of_a_later_request_changes_nothing() {
    let mut registrar = Registrar::default();
    let listed = "Contact: <sip:alice@10.0.0.1>;expires=100\n";
    let later = format!("CSeq: 9 REGISTER\n{ALICE}");
    check(&mut registrar, &later, &[], listed, &["sip:alice@10.0.0.1 100s cseq=9 callid=a"]);
    let outcome = registrar.cache("", &message(ALICE), &[], &accepted("\n"));
    assert_eq!(outcome.reject, Some(Reject::InvalidCSeq));
    registrar.check_dump(&["sip:alice@10.0.0.1 100s cseq=9 callid=a"]);
}

#[test]
fn flags_rule_what_is_stored_and_a_malformed_reply_stores_nothing() {
    let two = message("Contact: <sip:alice@10.0.0.1>, <sip:alice@10.0.0.2>");
    let both = "Contact: <sip:alice@10.0.0.1>;expires=100, <sip:alice@10.0.0.2>;expires=200\n";
    let mut registrar = Registrar::default();
    let outcome = registrar.cache("max-contacts=1", &two, &[], &accepted(both));
    assert_eq!(outcome.reject, Some(Reject::TooManyContacts));
    let outcome = registrar.cache("", &two, &[], &accepted("Contact: <sip:alice@10.0.0.1;expires=1\n"));
    assert_eq!(outcome.reject, Some(Reject::ContactParse));
    registrar.check_dump(&[]);

    let path = message(&format!("{ALICE}\nPath: <sip:edge@10.9.9.9;lr>"));
    let one = accepted("Contact: <sip:alice@10.0.0.1>;expires=100\n");
    assert_eq!(registrar.cache("path-strict", &path, &[], &one).reject, Some(Reject::PathUnsupported));
    registrar.cache("path-lazy", &path, &[], &one);
    let entry = registrar.domain.lock(b"alice@example.com", registrar.now_s);
    let stored: Vec<String> = entry.valid().map(|(_, binding)| text(binding.path)).collect();
    assert_eq!(stored, ["<sip:edge@10.9.9.9;lr>"]);
}

#[test]
fn what_the_request_insists_on_is_for_the_main_registrar_to_judge() {
    let mut registrar = Registrar::default();
    let listed = "Contact: <sip:alice@10.0.0.1>;expires=100\n";
    let stored = ["sip:alice@10.0.0.1 100s cseq=1 callid=a"];
    check(&mut registrar, &format!("{ALICE}\nRequire: sec-agree"), &[], listed, &stored);
    let flow = "CSeq: 2 REGISTER\nVia: SIP/2.0/UDP proxy;branch=z9hG4bK2\nSupported: outbound\n\
                Contact: <sip:alice@10.0.0.1>;reg-id=1;+sip.instance=\"<urn:uuid:1>\"";
    let outcome = registrar.cache("", &message(flow), &[], &accepted(listed));
    assert_eq!(outcome.reject, None);
}
