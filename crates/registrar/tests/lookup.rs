//! What `lookup()` and the questions about registrations answer (behaviour §3; registrar 1.4.2–1.4.7).

mod common;

use common::{Registrar, ip, message};
use seawall_location::Removal;
use seawall_registrar::{
    Filter, Found, Lookup, LookupFlags, NextHop, Targets, is_contact_registered, is_ip_registered,
    is_registered, remove, remove_ip_port, unresolved,
};
use seawall_sip::Method;

const ALICE: &str = "sip:alice@example.com";

fn with(requests: &[&str]) -> Registrar {
    let mut registrar = Registrar::default();
    for lines in requests {
        let (outcome, _) = registrar.serve("path-off,path-received", None, &message(lines));
        assert_eq!(outcome.status, 200, "{lines}");
        registrar.now_s += 1;
    }
    registrar
}

fn check(registrar: &Registrar, flags: &str, method: Method, expected: Result<&[&str], Found>) {
    let found = registrar.lookup(flags, method, ALICE);
    let expected =
        expected.map(|contacts| contacts.iter().map(|contact| contact.to_string()).collect::<Vec<_>>());
    assert_eq!(found, expected, "{flags}");
}

#[test]
fn contacts_come_highest_q_first_and_only_unexpired_ones() {
    let mut registrar = with(&["Contact: <sip:a@h>;q=0.1;expires=100, <sip:b@h>;q=0.9, <sip:c@h>;q=0.9"]);
    check(&registrar, "", Method::Invite, Ok(&["sip:b@h", "sip:c@h", "sip:a@h"]));
    check(&registrar, "no-branches", Method::Invite, Ok(&["sip:b@h"]));
    registrar.now_s += 100;
    check(&registrar, "", Method::Invite, Ok(&["sip:b@h", "sip:c@h"]));
    registrar.now_s += 4000;
    check(&registrar, "", Method::Invite, Err(Found::Nothing));
    assert_eq!(registrar.lookup("", Method::Invite, "sip:nobody@example.com"), Err(Found::Nothing));
}

#[test]
fn the_address_of_record_is_found_in_any_spelling() {
    let registrar = with(&["Contact: <sip:a@h>"]);
    for uri in ["sip:alice@EXAMPLE.com:5090;x", "sips:%61lice@example.com"] {
        assert_eq!(registrar.lookup("", Method::Invite, uri), Ok(vec!["sip:a@h".to_owned()]));
    }
}

#[test]
fn method_filtering_goes_by_allow() {
    let registrar = with(&[
        "Contact: <sip:a@h>\nAllow: INVITE, ACK, BYE",
        "Call-ID: b\nContact: <sip:b@h>;methods=\"MESSAGE\"\nAllow: INVITE",
    ]);
    check(&registrar, "method-filtering", Method::Invite, Ok(&["sip:a@h"]));
    check(&registrar, "m", Method::Message, Ok(&["sip:b@h"]));
    check(&registrar, "m", Method::Subscribe, Err(Found::NoMethod));
    check(&registrar, "", Method::Subscribe, Ok(&["sip:a@h", "sip:b@h"]));
    let all = with(&["Contact: <sip:a@h>"]);
    check(&all, "m", Method::Publish, Ok(&["sip:a@h"]));
}

#[test]
fn user_agents_are_filtered() {
    let registrar = with(&[
        "Contact: <sip:a@h>\nUser-Agent: Desk/1",
        "Call-ID: b\nContact: <sip:b@h>\nUser-Agent: Soft/2",
    ]);
    check(&registrar, "ua-filtering=/Soft/", Method::Invite, Ok(&["sip:b@h"]));
    check(&registrar, "u/Other/", Method::Invite, Err(Found::Nothing));
}

#[test]
fn latency_filters_and_sorts() {
    let registrar = with(&["Contact: <sip:a@h>, <sip:b@h>, <sip:c@h>"]);
    let mut entry = registrar.domain.lock(b"alice@example.com", registrar.now_s);
    for (position, latency_us) in [(0, 900), (1, 300)] {
        let mut numbers = entry.binding(position).unwrap().numbers;
        numbers.latency_us = latency_us;
        entry.set_numbers(position, &numbers, &mut ()).unwrap();
    }
    drop(entry);
    check(&registrar, "max-ping-latency=500", Method::Invite, Ok(&["sip:b@h", "sip:c@h"]));
    check(&registrar, "sort-by-latency", Method::Invite, Ok(&["sip:b@h", "sip:a@h", "sip:c@h"]));
}

#[test]
fn a_target_goes_by_path_then_received_then_its_uri() {
    let registrar = with(&[
        "Contact: <sip:a@h>\nPath: <sip:p1;lr>,<sip:p2;lr>",
        "Call-ID: b\nContact: <sip:b@h>\nPath: <sip:p;lr;received=sip:9.9.9.9>",
        "Call-ID: c\nContact: <sip:c@h>",
    ]);
    let mut targets = Targets::default();
    let flags = LookupFlags::default();
    let lookup = Lookup {
        now_s: registrar.now_s,
        policy: &registrar.policy,
        flags: &flags,
        domain: &registrar.domain,
        method: Method::Invite,
        user_agent: None,
    };
    assert_eq!(lookup.run(b"alice@example.com", &mut targets), Found::Contacts(3));
    let destinations: Vec<_> = targets.iter().map(|target| target.destination().map(common::text)).collect();
    assert_eq!(destinations, [Some("sip:p1;lr".into()), Some("sip:p;lr;received=sip:9.9.9.9".into()), None]);
    let second = targets.iter().nth(1).unwrap();
    assert_eq!(second.received, b"sip:9.9.9.9");
    assert_eq!(registrar.domain.names().name(second.socket), b"udp:192.0.2.1:5060");
    let mut aor = Vec::new();
    assert!(registrar.domain.find_contact(second.contact_id, registrar.now_s, &mut aor));
    // A second lookup appends, as the branch flag needs it.
    assert_eq!(lookup.run(b"alice@example.com", &mut targets), Found::Contacts(3));
    assert_eq!(targets.len(), 6);
}

#[test]
fn registrations_are_asked_about_by_contact_call_id_and_address() {
    let mut registrar = with(&["Contact: <sip:a@10.0.0.1:5062>"]);
    registrar.received = "sip:203.0.113.5:40000";
    registrar.serve("", None, &message("Call-ID: b\nContact: <sip:b@10.0.0.2>"));
    let (domain, now_s) = (&registrar.domain, registrar.now_s);
    let alice = b"alice@example.com";
    assert!(is_registered(domain, now_s, alice));
    assert!(!is_registered(domain, now_s, b"bob@example.com"));
    assert!(!is_registered(domain, now_s + 3600, alice));
    let contact = |contact: Option<&str>, callid: Option<&str>| {
        is_contact_registered(domain, now_s, alice, contact.map(str::as_bytes), callid.map(str::as_bytes))
    };
    assert!(contact(None, None));
    assert!(contact(Some("sip:%61@10.0.0.1:5062"), None));
    assert!(contact(Some("sip:a@10.0.0.1:5062"), Some("a")));
    assert!(!contact(Some("sip:a@10.0.0.1:5062"), Some("b")));
    assert!(!contact(Some("sip:x@10.0.0.1:5062"), None));
    assert!(contact(None, Some("b")));
    let from = |address: &str, port| is_ip_registered(domain, now_s, alice, ip(address), port);
    assert!(from("10.0.0.1", None) && from("10.0.0.1", Some(5062)) && !from("10.0.0.1", Some(5060)));
    assert!(from("203.0.113.5", Some(40000)));
    assert!(!from("10.0.0.2", None), "received counts, not the contact");
}

#[test]
fn bindings_are_removed_by_filter() {
    let fresh = || {
        let mut registrar = with(&[
            "Contact: <sip:a@10.0.0.1>;+sip.instance=\"<urn:uuid:1>\"",
            "Call-ID: b\nContact: <sip:b@10.0.0.2>\nPath: <sip:proxy.example.com;lr>",
        ]);
        registrar.flags = 4;
        registrar.serve("", None, &message("Call-ID: c\nContact: <sip:c@10.0.0.3>"));
        registrar.log.0.clear();
        registrar
    };
    let check = |filter: Filter<'_>, expected: &[&str]| {
        let mut registrar = fresh();
        let count =
            remove(&registrar.domain, registrar.now_s, b"alice@example.com", &filter, &mut registrar.log);
        assert_eq!(count, expected.len(), "{filter:?}");
        let deleted = registrar.log.0.iter().filter(|line| *line != "-aor");
        let expected = expected.iter().map(|contact| format!("-{contact} {:?}", Removal::Administrative));
        assert!(deleted.cloned().eq(expected), "{:?}", registrar.log.0);
    };
    check(Filter::default(), &["sip:a@10.0.0.1", "sip:b@10.0.0.2", "sip:c@10.0.0.3"]);
    check(Filter { contact: Some(b"sip:%61@10.0.0.1"), ..Filter::default() }, &["sip:a@10.0.0.1"]);
    check(Filter { instance: Some(b"<urn:uuid:1>"), ..Filter::default() }, &["sip:a@10.0.0.1"]);
    check(Filter { flag: Some(4), ..Filter::default() }, &["sip:c@10.0.0.3"]);
    let behind = |host: &'static str, resolved: &[(String, Vec<std::net::IpAddr>)], expected: &[&str]| {
        let next_hop = Some(NextHop { host: host.as_bytes(), resolved });
        check(Filter { next_hop, ..Filter::default() }, expected);
    };
    behind("10.0.0.3", &[], &["sip:c@10.0.0.3"]);
    behind("::ffff:10.0.0.3", &[], &["sip:c@10.0.0.3"]);
    behind("Proxy.Example.com", &[], &["sip:b@10.0.0.2"]);
    // The Path counts, not the contact.
    behind("10.0.0.2", &[], &[]);
    let names = [
        ("PROXY.example.com".to_owned(), vec![ip("2001:db8::1"), ip("10.9.9.9")]),
        ("edge.example.com".to_owned(), vec![ip("10.9.9.9")]),
        ("phone.example.com".to_owned(), vec![ip("10.0.0.1"), ip("10.0.0.3")]),
        ("gone.example.com".to_owned(), vec![]),
    ];
    behind("10.9.9.9", &names, &["sip:b@10.0.0.2"]);
    behind("edge.example.com", &names, &["sip:b@10.0.0.2"]);
    behind("phone.example.com", &names, &["sip:a@10.0.0.1", "sip:c@10.0.0.3"]);
    behind("gone.example.com", &names, &[]);
}

#[test]
fn names_are_asked_for_only_where_they_can_decide() {
    let registrar = with(&[
        "Contact: <sip:a@10.0.0.1>",
        "Call-ID: b\nContact: <sip:b@10.0.0.2>\nPath: <sip:proxy.example.com;lr>",
    ]);
    let check =
        |contact: Option<&'static str>, host: &'static str, known: &[&str], expected: Option<&str>| {
            let resolved: Vec<_> = known.iter().map(|name| ((*name).to_owned(), Vec::new())).collect();
            let next_hop = Some(NextHop { host: host.as_bytes(), resolved: &resolved });
            let filter = Filter { contact: contact.map(str::as_bytes), next_hop, ..Filter::default() };
            let asked = unresolved(&registrar.domain, registrar.now_s, b"alice@example.com", &filter);
            assert_eq!(asked.as_deref(), expected, "{filter:?}");
        };
    check(None, "10.0.0.1", &[], Some("proxy.example.com"));
    check(None, "10.0.0.1", &["Proxy.example.com"], None);
    check(None, "edge.example.com", &[], Some("edge.example.com"));
    check(None, "edge.example.com", &["edge.example.com"], Some("proxy.example.com"));
    check(Some("sip:a@10.0.0.1"), "10.0.0.1", &[], None);
    check(Some("sip:b@10.0.0.2"), "proxy.example.com", &[], None);
    check(Some("sip:nobody@10.0.0.9"), "edge.example.com", &[], None);
    let none = Filter::default();
    assert_eq!(unresolved(&registrar.domain, registrar.now_s, b"alice@example.com", &none), None);
}

#[test]
fn bindings_are_removed_by_address_and_port_everywhere() {
    let mut registrar = with(&[
        "Contact: <sip:a@10.0.0.1:5062>, <sip:b@10.0.0.1>",
        "To: <sip:bob@example.com>\nContact: <sip:c@10.0.0.1:5062>",
    ]);
    let (domain, now_s) = (registrar.domain.clone(), registrar.now_s);
    let place = (ip("10.0.0.1"), 5062);
    let alice = Some(&b"alice@example.com"[..]);
    assert_eq!(remove_ip_port(&domain, now_s, alice, place, &mut registrar.log), 1);
    assert_eq!(remove_ip_port(&domain, now_s, None, place, &mut registrar.log), 1);
    assert_eq!(remove_ip_port(&domain, now_s, None, (ip("10.0.0.1"), 5060), &mut registrar.log), 1);
    assert_eq!(domain.statistics().users, 0);
}
