//! Requests that are under way at the same time (behaviour §7: a late answer undoes nothing).

use seawall_registrar::mid::{Mode, OnReject};

use crate::harness::Front;

const ALICE: &str = "Contact: <sip:a@10.0.0.1>;expires=60";
const GONE: &str = "Contact: <sip:a@10.0.0.1>;expires=0";
const BOB: &str = "Call-ID: b\nContact: <sip:b@10.0.0.2>;expires=60";
const NOTHING: [&str; 0] = [];

fn cseq(number: u32, lines: &str) -> String {
    format!("CSeq: {number} REGISTER\n{lines}")
}

#[test]
fn two_phones_register_at_the_same_time_and_both_hold_whichever_answer_comes_first() {
    for mode in [Mode::Mirror, Mode::Contact, Mode::Aor] {
        for order in [[0, 1], [1, 0]] {
            let mut front = Front::new(mode);
            front.send(ALICE);
            front.send(BOB);
            for number in order {
                front.grant_to(number);
            }
            let mut bindings = front.bindings();
            bindings.sort();
            assert_eq!(bindings, ["sip:a@10.0.0.1 60", "sip:b@10.0.0.2 60"], "{mode:?} {order:?}");
        }
    }
}

#[test]
fn a_late_2xx_does_not_bring_back_what_a_later_request_removed() {
    for mode in [Mode::Mirror, Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.send(ALICE);
        front.send(&cseq(2, GONE));
        assert_eq!(front.grant_to(1), "200");
        assert_eq!(front.grant_to(0), "200", "{mode:?}");
        assert_eq!(front.bindings(), NOTHING, "{mode:?}");
    }
}

#[test]
fn a_late_2xx_does_not_bring_back_what_a_star_removed() {
    for mode in [Mode::Mirror, Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.send(ALICE);
        front.send(&cseq(2, "Contact: *\nExpires: 0"));
        front.grant_to(1);
        front.grant_to(0);
        assert_eq!(front.bindings(), NOTHING, "{mode:?}");
    }
}

#[test]
fn a_late_star_does_not_remove_what_came_after_it() {
    for mode in [Mode::Mirror, Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.register(ALICE);
        front.send(&cseq(2, "Contact: *\nExpires: 0"));
        front.send(BOB);
        front.grant_to(2);
        front.answer(1, 200, "");
        assert!(front.bindings().contains(&"sip:b@10.0.0.2 60".to_owned()), "{mode:?}");
    }
}

#[test]
fn a_late_2xx_does_not_shorten_what_a_later_one_granted() {
    let mut front = Front::new(Mode::Contact);
    front.send(ALICE);
    front.wait(5);
    front.send(&cseq(2, ALICE));
    front.grant_to(1);
    front.check_answer(
        0,
        200,
        "Contact: <sip:a@192.0.2.1:5060;ctid=#1>;expires=20",
        "200 | Contact: <sip:a@10.0.0.1>;expires=60",
    );
    assert_eq!(
        (front.bindings(), front.held()),
        (vec!["sip:a@10.0.0.1 60".into()], vec!["Live 3600".into()])
    );
}

#[test]
fn in_aor_mode_a_late_2xx_does_not_bring_back_what_was_removed_without_asking() {
    let mut front = Front::new(Mode::Aor);
    front.settings.outgoing_expires_s = 90;
    front.register(BOB);
    assert!(front.send(ALICE).starts_with("200"));
    // The refresh is forwarded, and before its answer the phone removes itself.
    front.wait(30);
    assert!(front.send(&cseq(2, ALICE)).starts_with("-> "));
    front.check(&cseq(3, GONE), "200 | Contact: <sip:b@10.0.0.2>;expires=30");
    front.grant_to(1);
    assert_eq!(front.bindings(), ["sip:b@10.0.0.2 30"]);
}

#[test]
fn when_a_removal_and_a_registration_cross_the_contact_is_registered_again() {
    // In which order they reached the main registrar is not to be known from the order of the answers.
    for mode in [Mode::Contact, Mode::Aor] {
        for order in [[1, 2], [2, 1]] {
            let mut front = Front::new(mode);
            front.register(ALICE);
            front.send(&cseq(2, GONE));
            front.send("Call-ID: z\nContact: <sip:a@10.0.0.1>;expires=60");
            for number in order {
                front.grant_to(number);
            }
            assert_eq!(front.bindings(), ["sip:a@10.0.0.1 60"], "{mode:?} {order:?}");
            let due = front.wait(1);
            assert!(due.len() == 1 && due[0].starts_with("Renew "), "{mode:?} {order:?} {due:?}");
            let contact = due[0].split(' ').nth(1).unwrap().to_owned();
            front.done(0, 200, &format!("Contact: {contact}"));
            assert_eq!(front.held(), ["Live 3600"]);
            assert_eq!(front.wait(1), NOTHING);
        }
    }
}

#[test]
fn a_client_that_comes_back_while_its_de_register_is_under_way_is_registered_again() {
    for mode in [Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.register(ALICE);
        assert_eq!(front.wait(60).len(), 1, "the de-REGISTER");
        front.register("Call-ID: z\nContact: <sip:a@10.0.0.1>;expires=60");
        front.done(0, 200, "");
        let due = front.wait(1);
        assert!(due.len() == 1 && due[0].starts_with("Renew "), "{mode:?} {due:?}");
        assert_eq!(front.bindings(), ["sip:a@10.0.0.1 59"]);
    }
}

#[test]
fn a_de_register_waits_for_the_answer_to_a_refresh_that_is_under_way() {
    for mode in [Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.settings.outgoing_expires_s = 120;
        front.register(ALICE);
        front.wait(59);
        front.register(&cseq(2, ALICE));
        front.wait(59);
        assert!(front.send(&cseq(3, ALICE)).starts_with("-> "));
        assert_eq!(front.wait(1), NOTHING);
        assert_eq!(front.wait(1), NOTHING);
        front.grant();
        assert_eq!(front.bindings(), ["sip:a@10.0.0.1 60"]);
        assert_eq!(front.wait(2), NOTHING);
        // Had it been refused, the contact would be taken away.
        front.wait(57);
        assert!(front.send(&cseq(4, ALICE)).starts_with("-> "));
        assert_eq!(front.wait(2), NOTHING);
        front.answer(3, 500, "");
        assert_eq!(front.wait(1).len(), 1, "{mode:?}");
    }
}

#[test]
fn of_two_registrations_that_cross_the_shorter_one_is_relied_on() {
    // The first was sent again until the second had been served, and came last.
    let mut front = Front::new(Mode::Aor);
    front.settings.outgoing_expires_s = 40;
    assert!(front.send("Contact: <sip:a@10.0.0.1>;expires=20").starts_with("-> "));
    assert!(front.send("Call-ID: b\nContact: <sip:b@10.0.0.2>;expires=90").starts_with("-> "));
    front.grant_to(1);
    assert_eq!(front.held(), ["Live 90"]);
    front.grant_to(0);
    // Bob was promised 90 seconds, and is registered again before 40 are over.
    assert_eq!(front.bindings(), ["sip:b@10.0.0.2 90", "sip:a@10.0.0.1 20"]);
    let due = front.wait(39);
    assert!(due.len() == 1 && due[0].starts_with("Renew "), "{due:?}");
}

#[test]
fn a_star_that_crossed_a_registration_takes_it_away_once_more() {
    let mut front = Front::new(Mode::Contact);
    assert!(front.send(ALICE).starts_with("-> "));
    assert!(front.send("Call-ID: y\nContact: *\nExpires: 0").starts_with("-> "));
    front.grant_to(0);
    front.answer(1, 200, "");
    assert_eq!(front.bindings(), NOTHING);
    let due = front.wait(1);
    assert!(due.len() == 1 && due[0].starts_with("Remove "), "{due:?}");
}

#[test]
fn a_de_register_that_an_older_refresh_may_have_undone_is_sent_once_more() {
    let mut front = Front::new(Mode::Contact);
    front.register(ALICE);
    // It runs out, and is being taken away when a refresh and then a goodbye come.
    assert_eq!(front.wait(60).len(), 1);
    assert!(front.send(&format!("CSeq: 2 REGISTER\n{ALICE}")).starts_with("-> "));
    assert!(front.send("CSeq: 3 REGISTER\nContact: <sip:a@10.0.0.1>;expires=0").starts_with("-> "));
    front.answer(2, 200, "");
    // The refresh was served last: the main registrar holds the contact again, whatever the de-REGISTER is answered.
    front.grant_to(1);
    front.done(0, 200, "");
    assert!(front.bindings().is_empty());
    assert_eq!(front.wait(1).len(), 1, "{:?}", front.held());
    front.done(1, 200, "");
    assert_eq!((front.held().len(), front.upstream.waiting()), (0, 0));
}

#[test]
fn a_late_rejection_does_not_remove_what_a_later_2xx_has_granted() {
    for mode in [Mode::Mirror, Mode::Contact, Mode::Aor] {
        for status in [403, 404] {
            let mut front = Front::new(mode);
            front.settings.on_reject = OnReject::Remove;
            front.settings.outgoing_expires_s = 60;
            front.register(ALICE);
            front.wait(40);
            assert!(front.send(&cseq(2, ALICE)).starts_with("-> "));
            assert!(front.send(&cseq(3, ALICE)).starts_with("-> "));
            front.grant_to(2);
            front.answer(1, status, "");
            assert_eq!(front.bindings(), ["sip:a@10.0.0.1 60"], "{mode:?} {status}");
            assert_eq!(front.held().len(), 1, "{mode:?} {status}");
        }
    }
}
