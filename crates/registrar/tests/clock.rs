//! A clock that is set back: what was registered since is newer than what was registered before, whatever the hour says.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

mod common;

use common::{Registrar, message, text};
use seawall_location::{Order, PUSH_FLAG};
use seawall_registrar::{Policy, Push};
use seawall_sip::Method;
use std::sync::Arc;

const HOUR_S: u64 = 3600;

/// Registers contacts one after the other, a second apart, each with a Call-ID of its own.
fn register(registrar: &mut Registrar, flags: &str, contacts: &[&str]) {
    for contact in contacts {
        registrar.now_s += 1;
        let lines = format!("Call-ID: {contact}-{}\nContact: {contact};expires=7200", registrar.now_s);
        assert_eq!(registrar.serve(flags, None, &message(&lines)).0.status, 200, "{lines}");
    }
}

#[test]
fn the_least_recently_refreshed_go_first() {
    let mut registrar = Registrar::new(Policy { max_contacts: 3, ..Policy::default() });
    register(&mut registrar, "", &["<sip:a@h>", "<sip:b@h>", "<sip:c@h>"]);
    registrar.now_s -= HOUR_S;
    register(&mut registrar, "", &["<sip:a@h>"]);
    registrar.log.0.clear();
    register(&mut registrar, "force-registration", &["<sip:d@h>", "<sip:e@h>", "<sip:f@h>"]);
    let gone: Vec<&String> = registrar.log.0.iter().filter(|change| change.starts_with('-')).collect();
    assert_eq!(gone, ["-sip:b@h Evicted", "-sip:c@h Evicted", "-sip:a@h Evicted"]);
}

#[test]
fn a_request_goes_over_the_flow_that_was_refreshed_last() {
    let mut registrar = Registrar::default();
    let flow =
        |reg_id: u32| format!("<sip:alice@10.0.0.{reg_id}>;+sip.instance=\"<urn:uuid:1>\";reg-id={reg_id}");
    let found =
        |registrar: &Registrar| registrar.lookup("", Method::Invite, "sip:alice@example.com").unwrap();
    register(&mut registrar, "", &[&flow(2)]);
    registrar.now_s -= HOUR_S;
    register(&mut registrar, "", &[&flow(1)]);
    assert_eq!(found(&registrar), ["sip:alice@10.0.0.1"]);
    // Some seconds are no setting of the clock: others look at theirs a moment later.
    let mut registrar = Registrar::default();
    register(&mut registrar, "", &[&flow(1), &flow(2)]);
    registrar.now_s -= 2;
    assert_eq!(found(&registrar), ["sip:alice@10.0.0.2"]);
}

#[test]
fn the_newest_come_first() {
    let mut registrar = Registrar::new(Policy { order: Order::NewestFirst, ..Policy::default() });
    register(&mut registrar, "", &["<sip:a@h>", "<sip:b@h>"]);
    registrar.now_s -= HOUR_S;
    register(&mut registrar, "", &["<sip:c@h>", "<sip:d@h>"]);
    let found = registrar.lookup("", Method::Invite, "sip:alice@example.com").unwrap();
    assert_eq!(found, ["sip:d@h", "sip:c@h", "sip:b@h", "sip:a@h"]);
}

#[test]
fn a_phone_of_which_nobody_knows_when_it_was_awake_is_woken() {
    let providers = [Box::from(&b"fcm"[..])].into();
    let push = Push { providers, skip_interval_s: 60, ..Push::default() };
    let mut registrar = Registrar::new(Policy { push: Some(Arc::new(push)), ..Policy::default() });
    register(&mut registrar, "", &["<sip:a@192.0.2.7;pn-provider=fcm;pn-param=p;pn-prid=T1>"]);
    let is_asleep = |registrar: &Registrar| {
        let push = registrar.policy.push.as_deref().unwrap();
        let entry = registrar.domain.lock(b"alice@example.com", registrar.now_s);
        let (_, binding) = entry.valid().next().unwrap();
        assert!(binding.numbers.cflags & PUSH_FLAG != 0, "{}", text(binding.contact));
        push.is_asleep(&binding, registrar.now_s)
    };
    assert!(!is_asleep(&registrar));
    registrar.now_s -= 5;
    assert!(!is_asleep(&registrar));
    registrar.now_s -= HOUR_S;
    assert!(is_asleep(&registrar));
}

#[test]
fn a_repetition_is_one_and_a_refresh_is_accepted() {
    let mut registrar = Registrar::default();
    let lines = "CSeq: 5 REGISTER\nContact: <sip:a@h>;expires=100";
    registrar.check("", lines, "200 | Contact: <sip:a@h>;expires=100");
    registrar.now_s -= HOUR_S;
    registrar.log.0.clear();
    assert_eq!(registrar.serve("", None, &message(lines)).0.status, 200);
    assert_eq!(registrar.log.0, [""; 0]);
    registrar.check(
        "",
        "CSeq: 6 REGISTER\nContact: <sip:a@h>;expires=100",
        "200 | Contact: <sip:a@h>;expires=100",
    );
    registrar.check_dump(&["sip:a@h 100s cseq=6 callid=a"]);
}
