//! How a REGISTER looks to the main registrar (behaviour §7, "Forwarded form").

use seawall_registrar::mid::{Insertion, Mode, Settings};

use crate::harness::{Front, policy};

#[test]
fn mirror_mode_rewrites_each_contact_and_keeps_the_clients_interval() {
    let mut front = Front::new(Mode::Mirror);
    front.check(
        "Contact: \"Alice A\" <sip:alice@10.0.0.1:5070;transport=udp>;q=0.5;expires=120;+sip.instance=\"<urn:uuid:1>\";reg-id=1;methods=\"INVITE\"",
        "-> Contact: \"Alice A\" <sip:alice@192.0.2.1:5060;ctid=#1>;q=0.5;+sip.instance=\"<urn:uuid:1>\";reg-id=1;methods=\"INVITE\";expires=120",
    );
    // One interval for all, and none where the client gave none.
    front.check(
        "Contact: <sip:alice@10.0.0.1>\nExpires: 5",
        "-> Contact: <sip:alice@192.0.2.1:5060;ctid=#2>;expires=5 | Expires: 5",
    );
    front.check("Contact: sip:10.0.0.1", "-> Contact: <sip:192.0.2.1:5060;ctid=#3>");
}

#[test]
fn contact_mode_asks_for_the_larger_of_outgoing_expires_and_the_clients_interval() {
    let mut front = Front::new(Mode::Contact);
    front.settings.outgoing_expires_s = 600;
    front.check(
        "Contact: <sip:a@10.0.0.1>;expires=60",
        "-> Contact: <sip:a@192.0.2.1:5060;ctid=#1>;expires=600",
    );
    front.check(
        "Contact: <sip:a@10.0.0.1>;expires=900",
        "-> Contact: <sip:a@192.0.2.1:5060;ctid=#1>;expires=900",
    );
    front.check(
        "Contact: <sip:a@10.0.0.1>\nExpires: 60",
        "-> Contact: <sip:a@192.0.2.1:5060;ctid=#1>;expires=600 | Expires: 600",
    );
    front.outgoing_s = Some(700);
    front.check(
        "Contact: <sip:a@10.0.0.1>;expires=60",
        "-> Contact: <sip:a@192.0.2.1:5060;ctid=#1>;expires=700",
    );
}

#[test]
fn an_interval_of_zero_stays_zero() {
    let mut front = Front::new(Mode::Contact);
    front.check(
        "Contact: <sip:a@10.0.0.1>;expires=0, <sip:a@10.0.0.2>;expires=60",
        "-> Contact: <sip:a@192.0.2.1:5060;ctid=#1>;expires=0, <sip:a@192.0.2.1:5060;ctid=#2>;expires=3600",
    );
    front.check(
        "Contact: <sip:a@10.0.0.1>\nExpires: 0",
        "-> Contact: <sip:a@192.0.2.1:5060;ctid=#1>;expires=0 | Expires: 0",
    );
}

#[test]
fn contacts_of_several_header_fields_become_one_list_and_the_later_of_two_equal_ones_counts() {
    let mut front = Front::new(Mode::Contact);
    front.check(
        "Contact: <sip:a@10.0.0.1>;expires=60\nExpires: 30\nContact: <sip:a@10.0.0.2>",
        "-> Contact: <sip:a@192.0.2.1:5060;ctid=#1>;expires=3600, <sip:a@192.0.2.1:5060;ctid=#2>;expires=3600 | Expires: 3600",
    );
    front.check(
        "Contact: <sip:a@10.0.0.1>;q=0.1, <sip:a@10.0.0.1>;q=0.2",
        "-> Contact: <sip:a@192.0.2.1:5060;ctid=#1>;q=0.2;expires=3600",
    );
}

#[test]
fn ct_username_puts_the_id_in_the_place_of_the_user() {
    let settings = Settings { mode: Mode::Contact, insertion: Insertion::Username, ..Settings::default() };
    let mut front = Front::with(settings, policy());
    front.extra = ";x=y";
    front.check("Contact: <sip:a@10.0.0.1>", "-> Contact: <sip:#1@192.0.2.1:5060;x=y>;expires=3600");
}

#[test]
fn contact_id_param_and_the_extra_parameters_are_written() {
    let mut front = Front::new(Mode::Contact);
    front.settings.contact_id_param = (*b"cid").into();
    front.extra = ";transport=tls";
    front.check(
        "Contact: <sip:a@10.0.0.1>",
        "-> Contact: <sip:a@192.0.2.1:5060;cid=#1;transport=tls>;expires=3600",
    );
}

#[test]
fn aor_mode_replaces_all_contacts_by_one_for_the_address_of_record() {
    let mut front = Front::new(Mode::Aor);
    let whole = "<sip:alice%40example.com@192.0.2.1:5060>";
    front.check(
        "Contact: \"A\" <sip:a@10.0.0.1>;q=0.5;expires=60, <sip:b@10.0.0.2>\nContact: <sip:c@10.0.0.3>",
        &format!("-> Contact: {whole};expires=3600"),
    );
    // With an Expires header field that one is rewritten instead.
    front.check("Contact: <sip:a@10.0.0.1>\nExpires: 60", &format!("-> Contact: {whole} | Expires: 3600"));
    front.check("Contact: <sip:a@10.0.0.1>\nExpires: 0", &format!("-> Contact: {whole} | Expires: 0"));
    front.settings.at_escape = (*b"___").into();
    front.extra = ";x=y";
    front.check(
        "Contact: <sip:a@10.0.0.1>;expires=60",
        "-> Contact: <sip:alice___example.com@192.0.2.1:5060;x=y>;expires=3600",
    );
    front.policy.use_domain = false;
    front.check(
        "Contact: <sip:a@10.0.0.1>;expires=60",
        "-> Contact: <sip:alice@192.0.2.1:5060;x=y>;expires=3600",
    );
}

#[test]
fn the_path_is_stripped_towards_the_main_registrar_and_answered_towards_the_client() {
    let mut front = Front::new(Mode::Contact);
    front.flags = "path-lazy";
    let lines = "Contact: <sip:a@10.0.0.1>;expires=60\nSupported: path\nPath: <sip:edge@10.9.9.9;lr>\nPath: <sip:p2;lr>";
    front.check(lines, "-> Contact: <sip:a@192.0.2.1:5060;ctid=#1>;expires=3600");
    let told = "200 | Contact: <sip:a@10.0.0.1>;expires=60 | Path: <sip:edge@10.9.9.9;lr>,<sip:p2;lr>";
    assert_eq!(front.grant(), told);
    // So it is when the refresh is absorbed.
    front.check(&format!("CSeq: 2 REGISTER\n{lines}"), told);
}

#[test]
fn a_star_is_forwarded_as_it_is_in_every_mode() {
    for mode in [Mode::Mirror, Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.check("Contact: *\nExpires: 0", "-> Contact: * | Expires: 0");
    }
}

#[test]
fn a_fetch_is_answered_here_in_every_mode() {
    for mode in [Mode::Mirror, Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.check("", "200");
        front.register("Contact: <sip:a@10.0.0.1>;expires=60");
        front.check("CSeq: 2 REGISTER", "200 | Contact: <sip:a@10.0.0.1>;expires=60");
    }
}

#[test]
fn what_a_registrar_refuses_is_refused_here_and_not_forwarded() {
    let mut front = Front::new(Mode::Contact);
    front.check("Contact: *", "400 | P-Registrar-Error: * used in contact and expires is not zero");
    front.check("Contact: <sip:a@192.0.2.1>", "403 | P-Registrar-Error: Contact not allowed");
    front.check("To: <sip:example.com>", "400 | P-Registrar-Error: No username in To URI");
    front.flags = "max-contacts=1";
    front.check("Contact: <sip:a@h>, <sip:b@h>", "503 | P-Registrar-Error: Too many registered contacts");
    assert!(front.upstream.is_empty());
    assert_eq!(front.bindings(), [] as [&str; 0]);
}
