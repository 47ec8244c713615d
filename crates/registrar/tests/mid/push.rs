//! Contacts that are woken by pushes, in front of a main registrar (mid_registrar 1.1.3, behaviour §5).

use std::sync::Arc;

use seawall_registrar::mid::{Mode, Settings};
use seawall_registrar::{Policy, Push};

use crate::harness::{Front, policy};

const CONTACT: &str = "sip:a@10.0.0.1;pn-provider=fcm;pn-param=p;pn-prid=T1";

fn front(mode: Mode) -> Front {
    let push = Push { providers: vec![(*b"fcm").into()], ..Push::default() };
    let policy = Policy { push: Some(Arc::new(push)), ..policy() };
    Front::with(Settings { mode, ..Settings::default() }, policy)
}

#[test]
fn a_phone_that_comes_back_from_elsewhere_is_the_same_contact_in_each_mode() {
    for mode in [Mode::Mirror, Mode::Contact, Mode::Aor] {
        let mut front = front(mode);
        let forwarded = front.send(&format!("Contact: <{CONTACT}>;expires=600"));
        assert!(forwarded.starts_with("-> Contact: <sip:"), "{forwarded}");
        assert!(!forwarded.contains("pn-"), "the main registrar reaches it by this server: {forwarded}");
        let granted = front.grant();
        assert!(
            granted.contains("Feature-Caps: *;+sip.pns=\"fcm\";+sip.pnsreg=\"130\""),
            "{mode:?} {granted}"
        );
        let moved = CONTACT.replace("10.0.0.1", "10.0.0.2:9");
        let answer = front.send(&format!("Call-ID: b\nContact: <{moved}>;expires=600"));
        if answer.starts_with("->") {
            front.grant();
        }
        assert_eq!(front.bindings().len(), 1, "{mode:?} {:?}", front.bindings());
        assert!(front.bindings()[0].contains(&moved), "{:?}", front.bindings());
        assert_eq!(front.held().len(), 1, "{:?}", front.held());
    }
}

#[test]
fn the_main_registrar_is_told_which_pushes_are_sent_from_here() {
    for mode in [Mode::Mirror, Mode::Contact, Mode::Aor] {
        let mut front = front(mode);
        let sent = front.send(&format!("Contact: <{CONTACT}>, <sip:b@10.0.0.1>"));
        assert!(sent.ends_with("| Feature-Caps: *;+sip.pns=\"fcm\""), "{sent}");
        let sent = front.send("Call-ID: b\nContact: <sip:c@10.0.0.1>");
        assert!(sent.starts_with("->") && !sent.contains("Feature-Caps"), "{sent}");
    }
}

#[test]
fn a_strange_provider_is_refused_here() {
    let mut front = front(Mode::Contact);
    let answer = front.send("Contact: <sip:a@10.0.0.1;pn-provider=acme;pn-prid=1;pn-param=p>");
    assert!(answer.starts_with("555"), "{answer}");
    assert!(front.bindings().is_empty());
}
