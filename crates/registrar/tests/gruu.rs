//! GRUUs of bindings (registrar 1.1.2, behaviour §4, RFC 5627).

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on fails

mod common;

use std::sync::Arc;

use common::Registrar;
use seawall_registrar::{Found, Gruu, Policy};
use seawall_sip::Method;

const PHONE: &str = "Contact: <sip:alice@10.0.0.1>;+sip.instance=\"<urn:uuid:1>\"";
const OTHER: &str = "Contact: <sip:alice@10.0.0.2>;+sip.instance=\"<urn:uuid:2>\"";
const PUBLIC: &str = "sip:alice@example.com;gr=urn:uuid:1";

fn registrar() -> Registrar {
    with(Policy { gruu: Some(Arc::new(Gruu::new(b"secret", false))), ..Policy::default() })
}

fn with(policy: Policy) -> Registrar {
    Registrar::new(policy)
}

/// Registers with `Supported: gruu`; gives the reply's header fields.
#[track_caller]
fn register(registrar: &mut Registrar, lines: &str) -> String {
    let message = common::message(&format!("Supported: gruu\n{lines}"));
    let (outcome, headers) = registrar.serve("", None, &message);
    assert_eq!(outcome.status, 200, "{lines}: {headers}");
    headers
}

/// The temporary GRUU of the contact whose URI begins so.
#[track_caller]
fn temporary(headers: &str, contact: &str) -> String {
    let of_contact = headers.split(", <").find(|one| one.contains(contact)).expect("the contact");
    let value = of_contact.split("temp-gruu=\"").nth(1).expect("a temporary GRUU");
    value.split('"').next().unwrap().to_owned()
}

#[track_caller]
fn check_lookup(registrar: &Registrar, uri: &str, expected: Result<&[&str], Found>) {
    let found = registrar.lookup("", Method::Invite, uri);
    let expected = expected.map(|uris| uris.iter().map(|uri| (*uri).to_owned()).collect::<Vec<_>>());
    assert_eq!(found, expected, "{uri}");
}

#[test]
fn the_reply_has_both_for_who_supports_them() {
    let mut registrar = registrar();
    let headers = register(&mut registrar, PHONE);
    let gruu = temporary(&headers, "alice@10.0.0.1");
    assert!(gruu.starts_with("sip:tgruu.") && gruu.ends_with("@192.0.2.1:5060;gr"), "{gruu}");
    let expected = format!(
        "Contact: <sip:alice@10.0.0.1>;expires=3600;pub-gruu=\"{PUBLIC}\";temp-gruu=\"{gruu}\";\
         +sip.instance=\"<urn:uuid:1>\"\r\n"
    );
    assert_eq!(headers, expected);
}

#[test]
fn nobody_else_gets_any() {
    let plain = "200 | Contact: <sip:alice@10.0.0.1>;expires=3600;+sip.instance=\"<urn:uuid:1>\"";
    registrar().check("", PHONE, plain);
    registrar().check("", &format!("Supported: path, outbound\n{PHONE}"), plain);
    let lines = "Supported: gruu\nContact: <sip:alice@10.0.0.1>";
    registrar().check("", lines, "200 | Contact: <sip:alice@10.0.0.1>;expires=3600");
    Registrar::default().check("", &format!("Supported: gruu\n{PHONE}"), plain);
}

#[test]
fn without_domains_a_public_one_is_at_the_socket() {
    let gruu = Some(Arc::new(Gruu::new(b"secret", false)));
    let mut registrar = with(Policy { gruu, use_domain: false, ..Policy::default() });
    let headers = register(&mut registrar, PHONE);
    assert!(headers.contains("pub-gruu=\"sip:alice@192.0.2.1:5060;gr=urn:uuid:1\""), "{headers}");
    check_lookup(&registrar, "sip:alice@192.0.2.1:5060;gr=urn:uuid:1", Ok(&["sip:alice@10.0.0.1"]));
}

#[test]
fn a_look_up_finds_the_one_contact_and_no_other() {
    let mut registrar = registrar();
    register(&mut registrar, PHONE);
    let headers = register(&mut registrar, &format!("Call-ID: b\n{OTHER}"));
    let (first, second) = (temporary(&headers, "alice@10.0.0.1"), temporary(&headers, "alice@10.0.0.2"));
    check_lookup(&registrar, PUBLIC, Ok(&["sip:alice@10.0.0.1"]));
    check_lookup(&registrar, "sip:alice@example.com;gr=urn:uuid:2", Ok(&["sip:alice@10.0.0.2"]));
    check_lookup(&registrar, &first, Ok(&["sip:alice@10.0.0.1"]));
    check_lookup(&registrar, &second, Ok(&["sip:alice@10.0.0.2"]));
    check_lookup(&registrar, "sip:alice@example.com;gr=urn:uuid:3", Err(Found::Nothing));
    check_lookup(&registrar, "sip:alice@example.com", Ok(&["sip:alice@10.0.0.1", "sip:alice@10.0.0.2"]));
}

#[test]
fn with_gruu_off_the_parameter_means_nothing() {
    let mut registrar = Registrar::default();
    register(&mut registrar, PHONE);
    register(&mut registrar, &format!("Call-ID: b\n{OTHER}"));
    check_lookup(&registrar, PUBLIC, Ok(&["sip:alice@10.0.0.1", "sip:alice@10.0.0.2"]));
}

#[test]
fn a_new_call_id_ends_earlier_temporary_ones_and_a_refresh_does_not() {
    let mut registrar = registrar();
    let first = temporary(&register(&mut registrar, PHONE), "alice@10.0.0.1");
    registrar.now_s += 60;
    let second =
        temporary(&register(&mut registrar, &format!("CSeq: 2 REGISTER\n{PHONE}")), "alice@10.0.0.1");
    assert_ne!(first, second);
    for gruu in [&first, &second] {
        check_lookup(&registrar, gruu, Ok(&["sip:alice@10.0.0.1"]));
    }
    let third = temporary(&register(&mut registrar, &format!("Call-ID: new\n{PHONE}")), "alice@10.0.0.1");
    for gruu in [&first, &second] {
        check_lookup(&registrar, gruu, Err(Found::Nothing));
    }
    check_lookup(&registrar, &third, Ok(&["sip:alice@10.0.0.1"]));
    check_lookup(&registrar, PUBLIC, Ok(&["sip:alice@10.0.0.1"]));
}

#[test]
fn they_end_with_the_binding() {
    let mut registrar = registrar();
    let gruu = temporary(&register(&mut registrar, PHONE), "alice@10.0.0.1");
    registrar.now_s += 3600;
    check_lookup(&registrar, &gruu, Err(Found::Nothing));
    check_lookup(&registrar, PUBLIC, Err(Found::Nothing));
}

#[test]
fn a_temporary_one_outlives_a_restart_with_the_same_secret() {
    let gruu = temporary(&register(&mut registrar(), PHONE), "alice@10.0.0.1");
    let mut restarted = registrar();
    check_lookup(&restarted, &gruu, Err(Found::Nothing));
    restarted.now_s += 30;
    register(&mut restarted, &format!("CSeq: 9 REGISTER\n{PHONE}"));
    check_lookup(&restarted, &gruu, Ok(&["sip:alice@10.0.0.1"]));
    let other = Some(Arc::new(Gruu::new(b"other secret", false)));
    let mut other = with(Policy { gruu: other, ..Policy::default() });
    register(&mut other, PHONE);
    check_lookup(&other, &gruu, Err(Found::Nothing));
}

#[test]
fn of_several_flows_of_one_phone_the_last_one_refreshed_is_found() {
    let mut registrar = registrar();
    let flow = |number| format!("Call-ID: {number}\nContact: <sip:alice@10.0.0.{number}>;reg-id={number}");
    let flow = |number| flow(number) + ";+sip.instance=\"<urn:uuid:1>\"";
    register(&mut registrar, &flow(1));
    registrar.now_s += 5;
    register(&mut registrar, &flow(2));
    check_lookup(&registrar, PUBLIC, Ok(&["sip:alice@10.0.0.2"]));
    registrar.now_s += 5;
    register(&mut registrar, &format!("CSeq: 2 REGISTER\n{}", flow(1)));
    check_lookup(&registrar, PUBLIC, Ok(&["sip:alice@10.0.0.1"]));
}

#[test]
fn the_flags_of_a_look_up_hold_for_a_gruu_too() {
    let mut registrar = registrar();
    let lines = format!("User-Agent: Phone/1\nAllow: MESSAGE\n{PHONE}");
    let gruu = temporary(&register(&mut registrar, &lines), "alice@10.0.0.1");
    for uri in [PUBLIC, &gruu] {
        assert_eq!(registrar.lookup("method-filtering", Method::Invite, uri), Err(Found::NoMethod));
        assert!(registrar.lookup("method-filtering", Method::Message, uri).is_ok());
        assert_eq!(registrar.lookup("ua-filtering=/Other/", Method::Message, uri), Err(Found::Nothing));
        assert!(registrar.lookup("ua-filtering=/Phone/", Method::Message, uri).is_ok());
    }
}

#[test]
fn a_contact_that_is_a_gruu_of_the_same_address_of_record_is_refused() {
    const FORBIDDEN: &str = "403 | P-Registrar-Error: Contact not allowed";
    let mut registrar = registrar();
    let gruu = temporary(&register(&mut registrar, PHONE), "alice@10.0.0.1");
    let dump = registrar.dump();
    // The temporary one at an address that is not known as ours: what counts is what it means.
    let elsewhere = gruu.replace("192.0.2.1:5060", "sip.example.net");
    for uri in [PUBLIC, &gruu, &elsewhere, "sip:alice@EXAMPLE.com;gr=urn:uuid:2"] {
        let contact = format!("<{uri}>;+sip.instance=\"<urn:uuid:1>\"");
        registrar.check("", &format!("Supported: gruu\nCSeq: 2 REGISTER\nContact: {contact}"), FORBIDDEN);
        registrar.check("", &format!("CSeq: 2 REGISTER\nContact: {contact}"), FORBIDDEN);
        assert_eq!(registrar.dump(), dump);
    }
    // That of somebody else is a contact like any other.
    registrar.check(
        "",
        "Call-ID: c\nContact: <sip:bob@example.com;gr=urn:uuid:7>;expires=60\nCSeq: 2 REGISTER",
        "200 | Contact: <sip:alice@10.0.0.1>;expires=3600;+sip.instance=\"<urn:uuid:1>\", \
         <sip:bob@example.com;gr=urn:uuid:7>;expires=60",
    );
}

#[test]
fn require_gruu_is_served_where_they_are_on() {
    let lines = format!("Require: gruu\nSupported: gruu\n{PHONE}");
    assert!(register(&mut registrar(), &lines).contains("pub-gruu="));
    Registrar::default().check(
        "",
        &lines,
        "420 | P-Registrar-Error: Required extension not supported | Unsupported: gruu",
    );
}
