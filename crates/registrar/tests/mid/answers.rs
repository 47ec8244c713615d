//! What the main registrar's answer changes (behaviour §7, "Reply").

use seawall_registrar::mid::{Mode, OnReject, Trust};

use crate::harness::Front;

const ALICE: &str = "Contact: <sip:a@10.0.0.1>;expires=60";
const NOTHING: [&str; 0] = [];

fn cseq(number: u32, lines: &str) -> String {
    format!("CSeq: {number} REGISTER\n{lines}")
}

#[test]
fn nothing_is_stored_before_the_2xx_and_nothing_is_left_by_a_failure() {
    for mode in [Mode::Mirror, Mode::Contact, Mode::Aor] {
        for status in [300, 401, 403, 404, 407, 423, 486, 500, 503, 600] {
            let mut front = Front::new(mode);
            front.send(ALICE);
            assert_eq!((front.bindings().len(), front.upstream.len()), (0, (0, 0)));
            let lines = if status == 423 { "Min-Expires: 1" } else { "" };
            front.check_answer(0, status, lines, &status.to_string());
            assert_eq!((front.bindings().len(), front.upstream.len()), (0, (0, 0)), "{mode:?} {status}");
            assert_eq!(front.upstream.in_flight(), 0, "{mode:?} {status}");
        }
    }
}

#[test]
fn a_2xx_stores_the_clients_interval_and_the_client_is_told_its_own_contact() {
    for mode in [Mode::Mirror, Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.send(ALICE);
        assert_eq!(front.grant(), "200 | Contact: <sip:a@10.0.0.1>;expires=60");
        assert_eq!(front.bindings(), ["sip:a@10.0.0.1 60"]);
    }
}

#[test]
fn the_main_registrar_may_shorten() {
    let mut front = Front::new(Mode::Contact);
    front.send(ALICE);
    let told = "200 | Contact: <sip:a@10.0.0.1>;expires=30";
    front.check_answer(0, 200, "Contact: <sip:a@192.0.2.1:5060;ctid=#1>;expires=30", told);
    assert_eq!((front.bindings(), front.held()), (vec!["sip:a@10.0.0.1 30".into()], vec!["Live 30".into()]));
    // Longer than the client asked for it is not.
    let mut front = Front::new(Mode::Mirror);
    front.send(ALICE);
    let told = "200 | Contact: <sip:a@10.0.0.1>;expires=60";
    front.check_answer(0, 200, "Contact: <sip:a@192.0.2.1:5060;ctid=#1>;expires=90", told);
}

#[test]
fn a_contact_that_the_2xx_lacks_is_not_stored_and_the_others_are() {
    let mut front = Front::new(Mode::Contact);
    let two = "Contact: <sip:a@10.0.0.1>;expires=60, <sip:a@10.0.0.2>;expires=60";
    front.send(two);
    let told = "200 | Contact: <sip:a@10.0.0.2>;expires=60";
    front.check_answer(0, 200, "Contact: <sip:a@192.0.2.1:5060;ctid=#2>;expires=3600", told);
    assert_eq!(front.bindings(), ["sip:a@10.0.0.2 60"]);
    // One that was stored and is refused now goes, and nothing is sent for what the main registrar dropped.
    front.send(&cseq(2, "Contact: <sip:a@10.0.0.1>;expires=60\nCall-ID: b"));
    front.check_answer(1, 200, "", "200 | Contact: <sip:a@10.0.0.2>;expires=60");
    front.wait(61);
    assert_eq!(front.errands.len(), 1, "the other one has run out");
    let mut front = Front::new(Mode::Contact);
    front.settings.outgoing_expires_s = 60;
    front.register(ALICE);
    front.send(&cseq(2, ALICE));
    front.check_answer(1, 200, "", "200");
    assert_eq!((front.bindings(), front.wait(1)), (vec![], vec![]));
}

#[test]
fn aor_mode_stores_nothing_when_the_2xx_lacks_its_contact() {
    let mut front = Front::new(Mode::Aor);
    front.send(ALICE);
    front.check_answer(0, 200, "Contact: <sip:alice%40example.com@198.51.100.7:5060>;expires=60", "200");
    assert_eq!((front.bindings().len(), front.upstream.len()), (0, (0, 0)));
}

#[test]
fn contacts_of_others_in_the_2xx_are_not_looked_at() {
    let mut front = Front::new(Mode::Contact);
    front.send(ALICE);
    let lines = "Contact: <sip:a@203.0.113.9>;expires=5, <sip:a@192.0.2.1:5060;ctid=12345>;expires=6\n\
        Contact: <sip:a@192.0.2.1:5060;ctid=#1>;expires=50, <sip:a@198.51.100.9:5060;ctid=#1>;expires=7";
    front.check_answer(0, 200, lines, "200 | Contact: <sip:a@10.0.0.1>;expires=50");
}

#[test]
fn without_an_interval_in_the_2xx_its_expires_header_counts_and_then_what_was_asked_for() {
    let mut front = Front::new(Mode::Contact);
    front.send(ALICE);
    front.answer(0, 200, "Contact: <sip:a@192.0.2.1:5060;ctid=#1>\nExpires: 500");
    assert_eq!(front.held(), ["Live 500"]);
    let mut front = Front::new(Mode::Contact);
    front.send(ALICE);
    front.answer(0, 200, "Contact: <sip:a@192.0.2.1:5060;ctid=#1>");
    assert_eq!(front.held(), ["Live 3600"]);
}

#[test]
fn a_423_is_tried_once_more_with_what_it_asks_for_in_the_throttling_modes() {
    let mut front = Front::new(Mode::Contact);
    front.send(ALICE);
    let again = "-> Contact: <sip:a@192.0.2.1:5060;ctid=#1>;expires=7200";
    front.check_answer(0, 423, "Min-Expires: 7200", again);
    front.check_answer(0, 423, "Min-Expires: 9000", "423");
    let mut front = Front::new(Mode::Aor);
    front.send(&format!("{ALICE}\nExpires: 5"));
    let again = "-> Contact: <sip:alice%40example.com@192.0.2.1:5060> | Expires: 7200";
    front.check_answer(0, 423, "Min-Expires: 7200", again);
    assert_eq!(front.grant(), "200 | Contact: <sip:a@10.0.0.1>;expires=60");
    let mut front = Front::new(Mode::Mirror);
    front.send(ALICE);
    front.check_answer(0, 423, "Min-Expires: 7200", "423");
}

#[test]
fn a_403_or_404_to_a_refresh_removes_the_binding_only_when_on_reject_says_so() {
    for (on_reject, left) in [(OnReject::Keep, 1), (OnReject::Remove, 0)] {
        for mode in [Mode::Mirror, Mode::Contact, Mode::Aor] {
            for status in [403, 404] {
                let mut front = Front::new(mode);
                front.settings.on_reject = on_reject;
                front.settings.outgoing_expires_s = 60;
                front.register(ALICE);
                front.send(&cseq(2, ALICE));
                front.check_answer(1, status, "", &status.to_string());
                assert_eq!(front.bindings().len(), left, "{on_reject:?} {mode:?} {status}");
                // What it does not know any more need not be taken away from it.
                let tells = left == 0 && status == 403 && mode != Mode::Mirror;
                assert_eq!(front.wait(0).len(), usize::from(tells), "{on_reject:?} {mode:?} {status}");
            }
        }
    }
}

#[test]
fn with_verified_a_strangers_403_removes_nothing() {
    for mode in [Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.settings.on_reject = OnReject::Remove;
        front.settings.trust = Trust::Verified;
        front.register(ALICE);
        front.port = 6666;
        front.send(&cseq(2, ALICE));
        front.answer(1, 403, "");
        assert_eq!(front.bindings(), ["sip:a@10.0.0.1 60"], "{mode:?}");
    }
}

#[test]
fn another_rejection_leaves_the_binding_to_its_time() {
    let mut front = Front::new(Mode::Contact);
    front.settings.on_reject = OnReject::Remove;
    front.settings.outgoing_expires_s = 60;
    front.register(ALICE);
    front.send(&cseq(2, ALICE));
    front.check_answer(1, 486, "", "486");
    assert_eq!(front.bindings(), ["sip:a@10.0.0.1 60"]);
}

#[test]
fn a_star_removes_everything_here_and_what_is_known_of_the_main_registrar() {
    for mode in [Mode::Mirror, Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.register("Contact: <sip:a@10.0.0.1>;expires=60, <sip:a@10.0.0.2>;expires=60");
        front.send(&cseq(2, "Contact: *\nExpires: 0"));
        assert_eq!(front.bindings().len(), 2);
        front.check_answer(1, 200, "", "200");
        assert_eq!((front.bindings().len(), front.upstream.len()), (0, (0, 0)), "{mode:?}");
        assert_eq!(front.wait(5), NOTHING, "{mode:?}");
    }
}

#[test]
fn only_request_contacts_holds_for_absorbed_and_forwarded_requests() {
    let mut front = Front::new(Mode::Aor);
    front.register(ALICE);
    front.flags = "only-request-contacts";
    front.check(
        "Call-ID: b\nContact: <sip:b@10.0.0.2>;expires=60",
        "200 | Contact: <sip:b@10.0.0.2>;expires=60",
    );
    let mut front = Front::new(Mode::Contact);
    front.register(ALICE);
    front.flags = "only-request-contacts";
    front.send("Call-ID: b\nContact: <sip:b@10.0.0.2>;expires=60");
    assert_eq!(front.grant(), "200 | Contact: <sip:b@10.0.0.2>;expires=60");
}

#[test]
fn a_contact_that_gives_way_to_another_is_taken_away_from_the_main_registrar() {
    let mut front = Front::new(Mode::Contact);
    front.register(ALICE);
    front.wait(1);
    front.flags = "max-contacts=1,force-registration";
    front.send("Call-ID: b\nContact: <sip:b@10.0.0.2>;expires=60");
    assert_eq!(front.bindings(), ["sip:a@10.0.0.1 59"]);
    assert_eq!(front.grant(), "200 | Contact: <sip:b@10.0.0.2>;expires=60");
    let expected = "Remove <sip:a@192.0.2.1:5060;ctid=#1>;expires=0 a 2 to 203.0.113.1:5060";
    assert_eq!(front.due(), [expected]);
}
