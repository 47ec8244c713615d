//! Contacts that are woken by pushes (RFC 8599; registrar 1.1.3, behaviour §5).

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

mod common;

use std::sync::Arc;

use common::{Registrar, canonical, message, text};
use seawall_location::PUSH_FLAG;
use seawall_registrar::push::{MatchParams, PURR_LEN, read_purr};
use seawall_registrar::{Found, Lookup, LookupFlags, Policy, Push, Targets};
use seawall_sip::Method;

const A: &str = "sip:a@192.0.2.7:1111;pn-provider=fcm;pn-param=p;pn-prid=T1";
const B: &str = "sip:a@192.0.2.8:2222;pn-provider=fcm;pn-param=p;pn-prid=T2";
const CAPS: &str = "Feature-Caps: *;+sip.pns=\"fcm\";+sip.pnsreg=\"130\"";

fn push() -> Push {
    Push { providers: [&b"apns"[..], b"fcm"].map(Box::from).into(), ..Push::default() }
}

fn with(push: Push) -> Registrar {
    Registrar::new(Policy { push: Some(Arc::new(push)), ..Policy::default() })
}

/// What is stored for alice: the contact with a `*` in front where it is woken by pushes.
fn stored(registrar: &Registrar) -> Vec<String> {
    let entry = registrar.domain.lock(b"alice@example.com", registrar.now_s);
    let shown = |(_, binding): (usize, seawall_location::Binding<'_>)| {
        let mark = if binding.numbers.cflags & PUSH_FLAG != 0 { "*" } else { "" };
        format!("{mark}{}", text(binding.contact))
    };
    entry.valid().map(shown).collect()
}

/// What a lookup finds: the result, the targets, and those to be woken.
fn looked_up(registrar: &Registrar, flags: &str) -> (Found, Vec<String>, Vec<String>) {
    let flags = LookupFlags::parse(flags).unwrap();
    let lookup = Lookup {
        now_s: registrar.now_s,
        policy: &registrar.policy,
        flags: &flags,
        domain: &registrar.domain,
        method: Method::Invite,
        user_agent: None,
    };
    let mut targets = Targets::default();
    let found = lookup.run(&canonical(&registrar.policy, "sip:alice@example.com"), &mut targets);
    let uris = targets.iter().map(|target| text(target.uri)).collect();
    let sleepers = targets.sleepers().map(|sleeper| text(sleeper.uri)).collect();
    (found, uris, sleepers)
}

#[track_caller]
fn check_lookup(registrar: &Registrar, flags: &str, found: Found, targets: &[&str], sleepers: &[&str]) {
    let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    assert_eq!(looked_up(registrar, flags), (found, own(targets), own(sleepers)));
}

#[test]
fn a_complete_contact_is_marked_and_told_how_it_is_woken() {
    let mut registrar = with(push());
    registrar.check("", &format!("Contact: <{A}>"), &format!("200 | Contact: <{A}>;expires=3600 | {CAPS}"));
    assert_eq!(stored(&registrar), [format!("*{A}")]);
    // The second contact of a request is looked at as well as the first.
    let mut registrar = with(push());
    let lines = format!("Contact: <sip:plain@h>, <{B}>");
    let listed = format!("Contact: <sip:plain@h>;expires=3600, <{B}>;expires=3600");
    registrar.check("", &lines, &format!("200 | {listed} | {CAPS}"));
    assert_eq!(stored(&registrar), ["sip:plain@h".to_owned(), format!("*{B}")]);
}

#[test]
fn without_pn_enable_the_parameters_mean_nothing() {
    let mut registrar = Registrar::default();
    registrar.check("", &format!("Contact: <{A}>"), &format!("200 | Contact: <{A}>;expires=3600"));
    assert_eq!(stored(&registrar), [A]);
    check_lookup(&registrar, "", Found::Contacts(1), &[A], &[]);
    let odd = "sip:a@h;pn-provider=none;pn-prid=";
    registrar.check(
        "",
        &format!("Call-ID: b\nContact: <{odd}>"),
        &format!("200 | Contact: <{A}>;expires=3600, <{odd}>;expires=3600"),
    );
}

#[test]
fn a_contact_that_asks_is_told_the_providers_and_is_stored_as_ever() {
    let (apns, fcm) = ("Feature-Caps: *;+sip.pns=\"apns\"", "Feature-Caps: *;+sip.pns=\"fcm\"");
    for (contact, caps) in [
        ("sip:a@h;pn-provider", format!("{apns} | {fcm}")),
        ("sip:a@h;PN-Provider", format!("{apns} | {fcm}")),
        ("sip:a@h;pn-provider=FCM", fcm.to_owned()),
        ("sip:a@h;pn-provider=apns;pn-param=x", apns.to_owned()),
    ] {
        let mut registrar = with(push());
        let expected = format!("200 | Contact: <{contact}>;expires=3600 | {caps}");
        registrar.check("", &format!("Contact: <{contact}>"), &expected);
        assert_eq!(stored(&registrar), [contact]);
        check_lookup(&registrar, "", Found::Contacts(1), &[contact], &[]);
    }
}

#[test]
fn empty_values_are_refused_with_400_and_strange_providers_with_555() {
    let empty = "400 | P-Registrar-Error: Empty pn- param in contact";
    let mut registrar = with(push());
    registrar.check("", "Contact: <sip:ok@h>", "200 | Contact: <sip:ok@h>;expires=3600");
    for contact in [
        "sip:a@h;pn-provider=;pn-prid=1;pn-param=x",
        "sip:a@h;pn-provider=fcm;pn-prid=;pn-param=x",
        "sip:a@h;pn-provider=fcm;pn-prid;pn-param=x",
        "sip:a@h;pn-provider=fcm;pn-prid=1;pn-param=",
    ] {
        registrar.check("", &format!("Call-ID: b\nContact: <sip:other@h>, <{contact}>"), empty);
    }
    let lines = "Feature-Caps: *;+sip.pns=\"apns\" | Feature-Caps: *;+sip.pns=\"fcm\"";
    let unsupported = format!("555 | P-Registrar-Error: Push provider not supported | {lines}");
    registrar.check("", "Call-ID: b\nContact: <sip:a@h;pn-provider=acme;pn-prid=1;pn-param=x>", &unsupported);
    let (outcome, _) = registrar.serve("", None, &message("Call-ID: b\nContact: <sip:a@h;pn-provider=acme>"));
    assert_eq!((outcome.status, outcome.reason), (555, "Push Notification Service Not Supported"));
    assert_eq!(stored(&registrar), ["sip:ok@h"], "one bad contact and nothing changes");
    // Taking away needs no support.
    registrar.check(
        "",
        "Call-ID: b\nContact: <sip:a@h;pn-provider=acme;pn-prid=1;pn-param=x>;expires=0",
        "200 | Contact: <sip:ok@h>;expires=3600",
    );
    registrar.policy.retry_after_s = 7;
    let (_, headers) = registrar.serve("", None, &message("Call-ID: b\nContact: <sip:a@h;pn-provider=acme>"));
    assert!(headers.contains("Retry-After: 7\r\n"), "{headers}");
}

#[test]
fn a_complete_contact_is_matched_by_its_parameters_alone() {
    let mut registrar = with(push());
    registrar.serve("", None, &message(&format!("Contact: <{A}>")));
    let moved = "sip:other@198.51.100.9:9999;ob;pn-param=p;pn-prid=T1;pn-provider=fcm;transport=tcp";
    registrar.check(
        "",
        &format!("Call-ID: b\nContact: <{moved}>"),
        &format!("200 | Contact: <{moved}>;expires=3600 | {CAPS}"),
    );
    assert_eq!(stored(&registrar), [format!("*{moved}")]);
    // Another token is another phone, and one that lacks a parameter is matched as ever.
    registrar.serve("", None, &message(&format!("Call-ID: b\nCSeq: 2 REGISTER\nContact: <{B}>")));
    let partial = "sip:other@198.51.100.9:9999;pn-prid=T1;pn-provider=fcm";
    registrar.serve("", None, &message(&format!("Call-ID: c\nContact: <{partial}>")));
    assert_eq!(stored(&registrar), [format!("*{moved}"), format!("*{B}"), partial.to_owned()]);
    // It goes by its parameters, too.
    registrar.serve("", None, &message(&format!("Call-ID: d\nContact: <{A}>;expires=0")));
    assert_eq!(stored(&registrar), [format!("*{B}"), partial.to_owned()]);
}

#[test]
fn pn_ct_match_params_says_which_parameters_count() {
    let params = [&b"pn-provider"[..], b"pn-prid"].map(Box::from).into();
    let mut registrar = with(Push { match_params: MatchParams::new(params), ..push() });
    registrar.serve("", None, &message("Contact: <sip:a@h;pn-provider=fcm;pn-prid=1;pn-param=x>"));
    let moved = "sip:a@g;pn-provider=fcm;pn-prid=1;pn-param=y";
    registrar.serve("", None, &message(&format!("Call-ID: b\nContact: <{moved}>")));
    assert_eq!(stored(&registrar), [format!("*{moved}")]);
    registrar.now_s += 1;
    check_lookup(&registrar, "", Found::Waking, &[], &[moved]);
}

#[test]
fn a_contact_of_web_push_needs_no_pn_param() {
    let mut registrar = with(Push { providers: [&b"webpush"[..], b"fcm"].map(Box::from).into(), ..push() });
    let (browser, moved) = ("sip:a@h;pn-provider=WebPush;pn-prid=1", "sip:b@g;pn-prid=1;pn-provider=WebPush");
    registrar.serve("", None, &message(&format!("Contact: <{browser}>")));
    assert_eq!(stored(&registrar), [format!("*{browser}")]);
    registrar.serve("", None, &message(&format!("Call-ID: b\nContact: <{moved}>")));
    assert_eq!(stored(&registrar), [format!("*{moved}")]);
    // With one, that one counts; another provider needs it as ever.
    let keyed = format!("{moved};pn-param=k");
    registrar.serve("", None, &message(&format!("Call-ID: c\nContact: <{keyed}>")));
    assert_eq!(stored(&registrar), [format!("*{moved}"), format!("*{keyed}")]);
    let partial = "sip:a@h;pn-provider=fcm;pn-prid=1";
    registrar.serve("", None, &message(&format!("Call-ID: d\nContact: <{partial}>")));
    assert!(stored(&registrar).contains(&partial.to_owned()), "it is not marked");
}

#[test]
fn what_a_proxy_before_this_server_pushes_for_is_matched_and_no_more() {
    let mut registrar = with(push());
    let caps = "Feature-Caps: *;+sip.pns=\"fcm\";+sip.pnsreg=\"121\"";
    registrar.check("", &format!("{caps}\nContact: <{A}>"), &format!("200 | Contact: <{A}>;expires=3600"));
    assert_eq!(stored(&registrar), [A]);
    check_lookup(&registrar, "", Found::Contacts(1), &[A], &[]);
    let moved = A.replace("1111", "3333");
    registrar.serve("", None, &message(&format!("{caps}\nCall-ID: b\nContact: <{moved}>")));
    assert_eq!(stored(&registrar), [moved.as_str()]);
    // What this server does not support need not be, where that proxy does.
    let acme = "sip:z@h;pn-provider=acme;pn-prid=1;pn-param=x";
    let of_acme = "Feature-Caps: *;+sip.pns=\"acme\"";
    let mut registrar_of_others = with(push());
    let answer = format!("200 | Contact: <{acme}>;expires=3600");
    registrar_of_others.check("", &format!("{of_acme}\nContact: <{acme}>"), &answer);
    let asks = "sip:z@h;pn-provider=acme";
    let (outcome, headers) =
        registrar_of_others.serve("", None, &message(&format!("{of_acme}\nCall-ID: b\nContact: <{asks}>")));
    assert_eq!((outcome.status, headers.contains("Feature-Caps")), (200, false), "{headers}");
    assert_eq!(stored(&registrar_of_others), [acme, asks]);
    // Another provider is none of that proxy's business.
    let caps = "Feature-Caps: *;+sip.pns=\"apns\"";
    registrar.serve("", None, &message(&format!("{caps}\nCall-ID: c\nContact: <{moved}>")));
    assert_eq!(stored(&registrar), [format!("*{moved}")]);
}

#[test]
fn a_browser_is_told_the_key_that_its_pushes_are_signed_with() {
    let vapid = Some(Box::from(&b"BKey-_"[..]));
    let providers = [&b"webpush"[..], b"fcm"].map(Box::from).into();
    let mut registrar = with(Push { providers, vapid, ..push() });
    let told = "Feature-Caps: *;+sip.pns=\"webpush\";+sip.vapid=\"BKey-_\"";
    let browser = "sip:a@h;pn-provider=webpush;pn-prid=1";
    registrar.check(
        "",
        &format!("Contact: <{browser}>"),
        &format!("200 | Contact: <{browser}>;expires=3600 | {told};+sip.pnsreg=\"130\""),
    );
    // So are those that ask, and no other provider's phones.
    let (_, headers) = registrar.serve("", None, &message("Call-ID: b\nContact: <sip:b@h;pn-provider>"));
    assert!(headers.contains(&format!("{told}\r\nFeature-Caps: *;+sip.pns=\"fcm\"\r\n")), "{headers}");
    let (_, headers) = registrar.serve("", None, &message(&format!("Call-ID: c\nContact: <{A}>")));
    assert!(!headers.contains("vapid"), "{headers}");
}

#[test]
fn pn_pnsreg_interval_is_told() {
    let mut registrar = with(Push { pnsreg_interval_s: 140, ..push() });
    let (_, headers) = registrar.serve("", None, &message(&format!("Contact: <{A}>")));
    assert!(headers.contains(";+sip.pnsreg=\"140\"\r\n"), "{headers}");
    // What is taken away is told nothing.
    let (_, headers) = registrar.serve("", None, &message(&format!("Call-ID: b\nContact: <{A}>;expires=0")));
    assert!(!headers.contains("Feature-Caps"), "{headers}");
}

#[test]
fn pn_enable_purr_tells_a_reference_to_the_contact() {
    let mut registrar = with(Push { purr: true, ..push() });
    let (_, headers) = registrar.serve("", None, &message(&format!("Contact: <{A}>")));
    let purr = headers.split("+sip.pnspurr=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(purr.len(), PURR_LEN);
    let id = read_purr(&registrar.domain, purr.as_bytes()).unwrap();
    let mut aor = Vec::new();
    assert!(registrar.domain.find_contact(id, registrar.now_s, &mut aor));
    assert_eq!(text(&aor), "alice@example.com");
    // The contact has ended: it leads nowhere.
    assert!(!registrar.domain.find_contact(id, registrar.now_s + 3600, &mut aor));
}

#[test]
fn a_lookup_leaves_out_who_has_to_be_woken_and_strips_the_others() {
    let mut registrar = with(Push { skip_interval_s: 10, ..push() });
    registrar.serve("", None, &message(&format!("Contact: <{A}>;q=0.5, <sip:plain@h>;q=0.4")));
    check_lookup(&registrar, "", Found::Contacts(2), &["sip:a@192.0.2.7:1111", "sip:plain@h"], &[]);
    registrar.now_s += 9;
    check_lookup(&registrar, "", Found::Contacts(2), &["sip:a@192.0.2.7:1111", "sip:plain@h"], &[]);
    registrar.now_s += 1;
    check_lookup(&registrar, "", Found::Contacts(1), &["sip:plain@h"], &[A]);
    check_lookup(&registrar, "no-branches", Found::Waking, &[], &[A]);
    // The default: every contact with pushes is woken.
    registrar.policy.push = Some(Arc::new(push()));
    registrar.now_s -= 10;
    check_lookup(&registrar, "", Found::Contacts(1), &["sip:plain@h"], &[A]);
}

#[test]
fn a_phone_is_woken_once_however_many_contacts_it_has() {
    let mut registrar = with(Push { skip_interval_s: 10, ..push() });
    let instance = "+sip.instance=\"<urn:uuid:1>\"";
    let other_param = A.replace("pn-param=p", "pn-param=q");
    registrar.serve("", None, &message(&format!("Contact: <{A}>, <{other_param}>, <{B}>;{instance}")));
    let third = B.replace("T2", "T3");
    registrar.serve("", None, &message(&format!("Call-ID: b\nContact: <{third}>;{instance}")));
    assert_eq!(stored(&registrar).len(), 4);
    registrar.now_s += 10;
    check_lookup(&registrar, "", Found::Waking, &[], &[A, B]);
    // One of its contacts is awake: nobody has to be woken.
    registrar.serve("", None, &message(&format!("Call-ID: c\nContact: <{third}>;{instance}")));
    check_lookup(&registrar, "", Found::Contacts(1), &["sip:a@192.0.2.8:2222"], &[A]);
}
