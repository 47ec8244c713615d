//! The first contact of somebody takes a way of its own, which ends where that of several contacts does.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

mod common;

use std::sync::Arc;

use proptest::prelude::*;
use seawall_registrar::{Gruu, MinExpiresMode, Policy};

use common::{Registrar, answer, message};

/// What is left of a REGISTER with these header lines at a registrar that has nothing yet.
fn served(policy: &Policy, received: &'static str, flags: &str, lines: &str) -> [String; 4] {
    let mut registrar = Registrar { received, familiar: None, ..Registrar::new(policy.clone()) };
    let (outcome, headers) = registrar.serve(flags, None, &message(lines));
    let entry = registrar.domain.lock(b"alice@example.com", registrar.now_s);
    let held: Vec<_> = entry.bindings().collect();
    [answer(&outcome, &headers), format!("{outcome:?}"), format!("{held:?}"), registrar.log.0.join(" ")]
}

/// Said twice, a contact means what it does when it is said once, and is served as one of several; but there is one flow at
/// most in a request. With a display name it is read by the way for all contacts.
#[track_caller]
fn check(policy: &Policy, received: &'static str, flags: &str, contact: &str, lines: &str) -> [String; 4] {
    let once = served(policy, received, flags, &format!("Contact: {contact}\r\n{lines}"));
    if !contact.contains("reg-id") {
        let twice = served(policy, received, flags, &format!("Contact: {contact}, {contact}\r\n{lines}"));
        assert_eq!(once, twice, "{contact} {lines}");
    }
    if contact.starts_with('<') {
        let named = served(policy, received, flags, &format!("Contact: A {contact}\r\n{lines}"));
        assert_eq!(once, named, "{contact} {lines}");
    }
    once
}

fn policy() -> impl Strategy<Value = Policy> {
    (any::<bool>(), any::<bool>(), any::<bool>(), prop_oneof![Just(0), Just(500), Just(2000)]).prop_map(
        |(has_gruu, refuses, is_long, default_q)| Policy {
            gruu: has_gruu.then(|| Arc::new(Gruu::new(b"a secret of some length", false))),
            min_expires_mode: if refuses { MinExpiresMode::Refuse } else { MinExpiresMode::Raise },
            max_contact_len: if is_long { 30 } else { 400 },
            default_q,
            ..Policy::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn the_first_contact_is_stored_as_one_of_several_is(
        policy in policy(),
        received in prop::sample::select(&["", "", "sip:192.0.2.44:5", "nonsense"][..]),
        flags in prop::sample::select(&[
            "", "", "max-contacts=1", "max-contacts=1,force-registration", "only-request-contacts", "matching-mode=1",
            "path-lazy,path-received", "min-expires=100,max-expires=1000", "no-reply",
        ][..]),
        contact in prop_oneof![
            4 => "<sip:[a-c1-]{1,3}@192\\.0\\.2\\.[1-9](:50[67]0)?(;x=[a-z]{0,30}|;ob)?>",
            1 => "<sip:(a|%61|a:b)@(224\\.0\\.0\\.1|0\\.0\\.0\\.0|\\[::1\\]|h_1|h)(:[0-9]{1,6})?(;x=[a/:]{1,2}|;|;=)?>",
            1 => "\"A\" <sips?:a@h>|sip:a@h|<tel:1>|<sip:a@h|<sip:a@h>x",
        ],
        params in prop::collection::vec(prop_oneof![
            5 => prop::sample::select(&[
                ";expires=60", ";expires=0", ";expires=30", ";expires=90", ";q=0.5", ";q=1", ";reg-id=1", ";reg-id=0",
                ";+sip.instance=\"<urn:u:1>\"", ";+sip.instance=\"<urn:uuid:1a2b3c4d-0000-1000-8000-0000>\"",
            ][..]),
            1 => prop::sample::select(&[
                ";expires=4294967295", ";expires=4294967296", ";expires=", ";expires=x", ";EXPIRES=90", ";expires=7x",
                ";expires=70 ", ";expires=\"60\"", ";q=2", ";q=", ";q", ";reg-id=x", ";reg-id=", ";x", ";+sip.instance=\"\"",
                ";+sip.instance=\"a\\\"b\"", ";+sip.instance=\"a", ";+sip.instance=a", ";+sip.instance=\"a\"b", ";",
                " ;expires=70", ";+SIP.instance=\"b\"", ";received=\"sip:h\"", ";methods=\"BYE\"",
            ][..]),
        ], 0..4).prop_map(|params| params.concat()),
        supported in prop::sample::select(&["", "Supported: outbound\r\n"][..]),
        lines in prop::sample::select(&[
            "", "", "Expires: 300\r\n", "Expires: 0\r\n", "Expires: \r\n", "Supported: path, gruu\r\n",
            "Path: <sip:p@192.0.2.3;lr>\r\nSupported: path\r\n", "User-Agent: A\r\nAllow: INVITE\r\n",
        ][..]),
    ) {
        check(&policy, received, flags, &format!("{contact}{params}"), &format!("{lines}{supported}"));
    }
}

#[test]
fn an_instance_that_is_too_long_is_refused() {
    for (len, status) in [(255, "200"), (256, "400")] {
        let contact = format!("<sip:a@192.0.2.9>;+sip.instance=\"{}\"", "i".repeat(len));
        let [reply, ..] = check(&Policy::default(), "", "", &contact, "");
        assert!(reply.starts_with(status), "{len} {reply}");
    }
}

#[test]
fn what_is_stored_and_said_of_it() {
    let [reply, _, held, log] =
        check(&Policy::default(), "", "", "<sip:a@192.0.2.9:5062>;expires=120", "User-Agent: A\r\n");
    assert_eq!(reply, "200 | Contact: <sip:a@192.0.2.9:5062>;expires=120");
    assert!(held.contains("expires_s: 1800000120"), "{held}");
    assert_eq!(log, "+aor +sip:a@192.0.2.9:5062");
}
