//! What a REGISTER over UDP does, by behaviour: bindings, expiry, star, order, refusals.

use crate::harness::scripts::{exchange, registrar};
use crate::harness::{Phone, Server, mi};

/// The expiry that a 200 names for a contact.
fn expires_of(contacts: &[String], uri: &str) -> u64 {
    let contact = contacts.iter().find(|contact| contact.contains(uri));
    let contact = contact.unwrap_or_else(|| panic!("no {uri} in {contacts:?}"));
    let value = contact.split("expires=").nth(1).unwrap_or_else(|| panic!("no expires in {contact}"));
    value.split([';', ',']).next().unwrap().trim().parse().unwrap()
}

#[test]
fn a_phone_registers_refreshes_fetches_and_unregisters() {
    let server = Server::start(&exchange());
    let mut alice = Phone::udp(&server, "alice");

    let request = alice.register_for(600);
    let answer = alice.ask(&request);
    assert_eq!(answer.status(), 200);
    assert_eq!(expires_of(&answer.contacts(), &alice.contact()), 600);
    assert!(answer.header("Date").is_some());
    assert!(answer.header("Expires").is_none());
    assert!(answer.parameter("To", "tag").is_some());

    let mut refresh = request.next();
    refresh.headers = vec![format!("Contact: <{}>;expires=1200", alice.contact())];
    let answer = alice.ask(&refresh);
    assert_eq!(answer.contacts().len(), 1);
    assert_eq!(expires_of(&answer.contacts(), &alice.contact()), 1200);

    let mut fetch = refresh.next();
    fetch.headers.clear();
    let answer = alice.ask(&fetch);
    assert_eq!(answer.contacts().len(), 1);
    assert!(expires_of(&answer.contacts(), &alice.contact()) > 1190);

    let mut remove = fetch.next();
    remove.headers = vec![format!("Contact: <{}>;expires=0", alice.contact())];
    let answer = alice.ask(&remove);
    assert_eq!(answer.status(), 200);
    assert!(answer.contacts().is_empty());
    assert!(mi::contacts(&server, "alice@127.0.0.1").is_empty());
}

#[test]
fn a_star_with_expires_0_removes_every_binding() {
    let server = Server::start(&exchange());
    let mut alice = Phone::udp(&server, "alice");
    let first = alice.register_request().with("Contact: <sip:a@192.0.2.1>, <sip:a@192.0.2.2>;q=0.5");
    assert_eq!(alice.ask(&first).contacts().len(), 2);

    let mut star = first.next();
    star.headers = vec!["Contact: *".into(), "Expires: 0".into()];
    let answer = alice.ask(&star);
    assert_eq!(answer.status(), 200);
    assert!(answer.contacts().is_empty());
}

#[test]
fn a_star_that_does_not_remove_is_refused_and_changes_nothing() {
    let server = Server::start(&exchange());
    let mut alice = Phone::udp(&server, "alice");
    let contact = alice.contact();
    alice.register();
    for headers in [
        vec!["Contact: *".to_owned(), "Expires: 60".to_owned()],
        vec!["Contact: *".to_owned(), format!("Contact: <{contact}>"), "Expires: 0".to_owned()],
    ] {
        let mut star = alice.register_request();
        star.headers = headers;
        let answer = alice.ask(&star);
        assert_eq!(answer.status(), 400);
        assert!(answer.need("P-Registrar-Error").starts_with("* used in contact and"));
    }
    assert_eq!(mi::contacts(&server, "alice@127.0.0.1").len(), 1);
}

#[test]
fn contacts_are_listed_by_q_then_by_arrival() {
    let server = Server::start(&exchange());
    let mut alice = Phone::udp(&server, "alice");
    let request = alice
        .register_request()
        .with("Contact: <sip:low@192.0.2.1>;q=0.1, \"One, Two\" <sip:high@192.0.2.2>;q=0.9")
        .with("Contact: <sip:also-low@192.0.2.3>;q=0.1");
    let answer = alice.ask(&request);
    let users: Vec<String> = answer.addresses("Contact");
    assert_eq!(users, ["sip:high@192.0.2.2", "sip:low@192.0.2.1", "sip:also-low@192.0.2.3"]);
}

#[test]
fn one_bad_contact_and_nothing_changes() {
    let server = Server::start(&exchange());
    let mut alice = Phone::udp(&server, "alice");
    let request = alice.register_request().with("Contact: <sip:a@192.0.2.1>, <sip:a@192.0.2.2>;q=7");
    let answer = alice.ask(&request);
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.need("P-Registrar-Error"), "Invalid q param in contact");
    assert!(mi::contacts(&server, "alice@127.0.0.1").is_empty());
}

#[test]
fn an_old_cseq_under_the_same_call_id_is_refused() {
    let server = Server::start(&exchange());
    let mut alice = Phone::udp(&server, "alice");
    let mut request = alice.register_for(600);
    request.cseq = 10;
    assert_eq!(alice.ask(&request).status(), 200);
    let mut old = request.next();
    old.cseq = 9;
    let answer = alice.ask(&old);
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.need("P-Registrar-Error"), "Invalid CSeq number");
    // The same number again is a retransmission: the same answer.
    let mut again = request.next();
    again.cseq = 10;
    assert_eq!(alice.ask(&again).status(), 200);
}

#[test]
fn expiries_are_clamped_to_the_documented_bounds() {
    let parameters =
        "modparam(\"registrar\", \"max_expires\", 1800)\nmodparam(\"registrar\", \"default_expires\", 900)";
    let server = Server::start(&registrar(parameters, "save(\"location\")"));
    let mut alice = Phone::udp(&server, "alice");
    let mut check = |headers: &[&str], expected: u64| {
        let contact = alice.contact();
        let mut request = alice.register_request();
        request.headers = headers.iter().map(|line| line.replace("URI", &contact)).collect();
        let answer = alice.ask(&request);
        assert_eq!(expires_of(&answer.contacts(), &contact), expected, "{headers:?}");
    };
    check(&["Contact: <URI>;expires=5"], 60);
    check(&["Contact: <URI>;expires=9999"], 1800);
    check(&["Contact: <URI>;expires=300", "Expires: 400"], 300);
    check(&["Contact: <URI>", "Expires: 400"], 400);
    check(&["Contact: <URI>"], 900);
}

#[test]
fn too_many_contacts_are_refused_with_503_and_retry_after() {
    let parameters =
        "modparam(\"registrar\", \"max_contacts\", 2)\nmodparam(\"registrar\", \"retry_after\", 30)";
    let server = Server::start(&registrar(parameters, "save(\"location\")"));
    let mut alice = Phone::udp(&server, "alice");
    let two = alice.register_request().with("Contact: <sip:a@192.0.2.1>, <sip:a@192.0.2.2>");
    assert_eq!(alice.ask(&two).status(), 200);
    let answer = alice.ask(&alice.register_request().with("Contact: <sip:a@192.0.2.3>"));
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.need("P-Registrar-Error"), "Too many registered contacts");
    assert_eq!(answer.need("Retry-After"), "30");
    assert_eq!(mi::statistic(&server, "registrar:accepted_regs"), 1);
    assert_eq!(mi::statistic(&server, "registrar:rejected_regs"), 1);
}

#[test]
fn force_registration_lets_the_oldest_contact_go() {
    let server = Server::start(&registrar("", "save(\"location\", \"max-contacts=1, force-registration\")"));
    let mut alice = Phone::udp(&server, "alice");
    alice.ask(&alice.register_request().with("Contact: <sip:a@192.0.2.1>"));
    let answer = alice.ask(&alice.register_request().with("Contact: <sip:a@192.0.2.2>"));
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.addresses("Contact"), ["sip:a@192.0.2.2"]);
}

#[test]
fn only_request_contacts_lists_no_others() {
    let server = Server::start(&registrar("", "save(\"location\", \"only-request-contacts\")"));
    let mut alice = Phone::udp(&server, "alice");
    alice.ask(&alice.register_request().with("Contact: <sip:a@192.0.2.1>"));
    let answer = alice.ask(&alice.register_request().with("Contact: <sip:a@192.0.2.2>"));
    assert_eq!(answer.addresses("Contact"), ["sip:a@192.0.2.2"]);
    assert_eq!(mi::contacts(&server, "alice@127.0.0.1").len(), 2);
}

#[test]
fn no_reply_leaves_the_answer_to_the_script() {
    let save =
        "save(\"location\", \"no-reply\"); append_to_reply(\"X-Own: yes\\r\\n\"); send_reply(200, \"Mine\")";
    let server = Server::start(&registrar("", save));
    let mut alice = Phone::udp(&server, "alice");
    let answer = alice.ask(&alice.register_for(600));
    assert_eq!(answer.start, "SIP/2.0 200 Mine");
    assert_eq!(answer.need("X-Own"), "yes");
    assert_eq!(mi::contacts(&server, "alice@127.0.0.1").len(), 1);
}

#[test]
fn a_contact_that_points_at_the_server_or_at_everybody_is_refused() {
    let server = Server::start(&exchange());
    let mut alice = Phone::udp(&server, "alice");
    let own = server.udp();
    for uri in [
        format!("sip:a@{own}"),
        "sip:a@224.0.0.1".into(),
        "sip:a@255.255.255.255".into(),
        "sip:a@0.0.0.0".into(),
    ] {
        let answer = alice.ask(&alice.register_request().with(format!("Contact: <{uri}>")));
        assert_eq!(answer.status(), 403, "{uri}");
    }
    assert!(mi::contacts(&server, "alice@127.0.0.1").is_empty());
}

#[test]
fn an_unknown_required_extension_is_answered_420() {
    let server = Server::start(&exchange());
    let mut alice = Phone::udp(&server, "alice");
    let answer = alice.ask(&alice.register_for(600).with("Require: nobody-has-this"));
    assert_eq!(answer.status(), 420);
    assert_eq!(answer.need("Unsupported"), "nobody-has-this");
}

#[test]
fn a_path_that_nobody_kept_is_not_stored_and_the_binding_is() {
    let server = Server::start(&exchange());
    let mut alice = Phone::udp(&server, "alice");
    let answer = alice.ask(&alice.register_for(600).with("Path: <sip:192.0.2.9;lr>"));
    assert_eq!(answer.status(), 200);
    let contacts = mi::contacts(&server, "alice@127.0.0.1");
    assert_eq!(contacts.len(), 1);
    assert!(contacts[0].get("Path").is_none());
}

#[test]
fn a_retransmitted_register_is_answered_again() {
    let server = Server::start(&exchange());
    let mut alice = Phone::udp(&server, "alice");
    let request = alice.register_for(600);
    let first = alice.ask(&request);
    let second = alice.ask(&request);
    assert_eq!((first.status(), second.status()), (200, 200));
    assert_eq!(mi::contacts(&server, "alice@127.0.0.1").len(), 1);
}

#[test]
fn no_refusal_over_udp_outgrows_its_request() {
    let server = Server::start(&exchange());
    let mut alice = Phone::udp(&server, "alice");
    for lines in [
        "Contact: *",
        "Contact: <sip:alice@192.0.2.1>;q=7",
        "Require: nonsense, more-nonsense",
        "Path: <sip:192.0.2.1>",
    ] {
        let request = alice.register_request().with(lines.to_owned());
        let bytes = request.bytes();
        alice.send(&bytes);
        let answer = alice.receive();
        assert!(answer.bytes.len() * 2 <= bytes.len() * 3, "{} for {}", answer.bytes.len(), bytes.len());
    }
}
