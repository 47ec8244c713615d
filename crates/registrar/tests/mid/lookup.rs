//! From a request of the main registrar to the client (behaviour §7, `mid_registrar_lookup`).

use seawall_registrar::Found;
use seawall_registrar::mid::{Insertion, Mode};
use seawall_sip::Method;

use crate::harness::Front;

const TWO: &str =
    "Contact: <sip:a@10.0.0.1>;expires=60;methods=\"INVITE\", <sip:b@10.0.0.2>;q=0.5;expires=60";

#[test]
fn modes_0_and_1_find_the_contact_by_its_id() {
    for mode in [Mode::Mirror, Mode::Contact] {
        let mut front = Front::new(mode);
        front.register(TWO);
        let found = front.lookup("", Method::Invite, "sip:a@192.0.2.1:5060;ctid=#1");
        assert_eq!(found, Ok(vec!["sip:a@10.0.0.1".into()]), "{mode:?}");
        let found = front.lookup("", Method::Invite, "sip:whoever@192.0.2.1:5060;ctid=#2");
        assert_eq!(found, Ok(vec!["sip:b@10.0.0.2".into()]), "{mode:?}");
        let found = front.lookup("", Method::Invite, "sip:a@192.0.2.1:5060;ctid=12345678901234");
        assert_eq!(found, Err(Found::Nothing));
        let found = front.lookup("method-filtering", Method::Message, "sip:a@192.0.2.1:5060;ctid=#1");
        assert_eq!(found, Err(Found::NoMethod), "{mode:?}");
        front.wait(60);
        assert_eq!(front.lookup("", Method::Invite, "sip:a@192.0.2.1:5060;ctid=#1"), Err(Found::Nothing));
    }
}

#[test]
fn ct_username_finds_the_contact_by_the_user() {
    let mut front = Front::new(Mode::Contact);
    front.settings.insertion = Insertion::Username;
    front.register(TWO);
    assert_eq!(front.lookup("", Method::Invite, "sip:#2@192.0.2.1:5060"), Ok(vec!["sip:b@10.0.0.2".into()]));
}

#[test]
fn without_an_id_mode_0_looks_up_the_address_of_record_and_mode_1_finds_nothing() {
    let mut front = Front::new(Mode::Mirror);
    front.register(TWO);
    let both = Ok(vec!["sip:b@10.0.0.2".into(), "sip:a@10.0.0.1".into()]);
    assert_eq!(front.lookup("", Method::Invite, "sip:alice@example.com"), both);
    assert_eq!(
        front.lookup("no-branches", Method::Invite, "sip:alice@example.com"),
        Ok(vec!["sip:b@10.0.0.2".into()])
    );
    let mut front = Front::new(Mode::Contact);
    front.register(TWO);
    assert_eq!(front.lookup("", Method::Invite, "sip:alice@example.com"), Err(Found::Nothing));
}

#[test]
fn mode_2_reads_the_address_of_record_out_of_the_user() {
    let mut front = Front::new(Mode::Aor);
    front.register(TWO);
    let both = Ok(vec!["sip:b@10.0.0.2".into(), "sip:a@10.0.0.1".into()]);
    assert_eq!(front.lookup("", Method::Invite, "sip:alice%40example.com@192.0.2.1:5060"), both);
    assert_eq!(front.lookup("", Method::Invite, "sip:bob%40example.com@192.0.2.1:5060"), Err(Found::Nothing));
    assert_eq!(
        front.lookup("method-filtering", Method::Message, "sip:alice%40example.com@192.0.2.1:5060"),
        Ok(vec!["sip:b@10.0.0.2".into()])
    );
    front.settings.at_escape = (*b"___").into();
    assert_eq!(front.lookup("", Method::Invite, "sip:alice___example.com@192.0.2.1:5060"), both);
}
