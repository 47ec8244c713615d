//! What is taken away from the main registrar, and what is registered there again (behaviour §7, "De-REGISTER").

use seawall_registrar::mid::{Mode, State, Trust};

use crate::harness::{Front, START_S};

const ALICE: &str = "CSeq: 7 REGISTER\nContact: \"A\" <sip:a@10.0.0.1>;q=0.5;expires=60";
const BOB: &str = "Call-ID: b\nContact: <sip:b@10.0.0.2>;expires=90";
const NOTHING: [&str; 0] = [];

#[test]
fn contact_mode_takes_each_contact_away_when_it_has_expired() {
    let mut front = Front::new(Mode::Contact);
    front.register(ALICE);
    front.register(BOB);
    assert_eq!(front.wait(59), NOTHING);
    let alice = "Remove \"A\" <sip:a@192.0.2.1:5060;ctid=#1>;q=0.5;expires=0 a 8 to 203.0.113.1:5060";
    assert_eq!(front.wait(1), [alice]);
    assert_eq!(front.wait(29), NOTHING);
    assert_eq!(front.wait(1), ["Remove <sip:b@192.0.2.1:5060;ctid=#2>;expires=0 b 2 to 203.0.113.1:5060"]);
    front.done(0, 200, "");
    front.done(1, 404, "");
    assert!(front.upstream.is_empty());
    assert_eq!(front.wait(100), NOTHING);
}

#[test]
fn aor_mode_takes_the_address_of_record_away_when_the_last_contact_has_expired() {
    let mut front = Front::new(Mode::Aor);
    front.register(ALICE);
    assert!(front.send(BOB).starts_with("200"));
    assert_eq!(front.wait(60), NOTHING);
    let whole = "Remove <sip:alice%40example.com@192.0.2.1:5060>;expires=0 (ours) to 203.0.113.1:5060";
    // The contact belongs to both phones, so neither of their Call-IDs is used.
    assert_eq!(front.wait(30), [whole]);
    front.done(0, 200, "");
    assert!(front.upstream.is_empty());
}

#[test]
fn mirror_mode_takes_nothing_away_because_both_end_together() {
    let mut front = Front::new(Mode::Mirror);
    front.register(ALICE);
    assert_eq!(front.wait(60), NOTHING);
    assert!(front.upstream.is_empty());
}

#[test]
fn what_an_operator_removes_is_taken_away_too() {
    for mode in [Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.register(ALICE);
        front.remove_all();
        assert_eq!(front.due().len(), 1, "{mode:?}");
    }
}

#[test]
fn it_is_tried_again_ever_more_rarely_until_it_is_answered() {
    for status in [408, 503, 401, 403, 500] {
        let mut front = Front::new(Mode::Contact);
        front.register(ALICE);
        let mut sent = Vec::new();
        for second in 60..400 {
            front.now_s = START_S + second - 1;
            for _ in front.wait(1) {
                sent.push(second);
                front.done(sent.len() - 1, status, "");
            }
        }
        assert_eq!(sent, [60, 62, 66, 74, 90, 122, 186, 250, 314, 378], "{status}");
    }
}

#[test]
fn each_attempt_counts_the_cseq_on() {
    let mut front = Front::new(Mode::Contact);
    front.register(ALICE);
    assert!(front.wait(60)[0].contains(" a 8 to "));
    front.done(0, 408, "");
    // The number between them is for the answer to a challenge.
    assert!(front.wait(2)[0].contains(" a 10 to "));
}

#[test]
fn it_is_not_tried_beyond_the_deadline_of_the_main_registrar() {
    let mut front = Front::new(Mode::Contact);
    front.settings.outgoing_expires_s = 100;
    front.register(ALICE);
    for number in 0.. {
        let due = front.wait(if number == 0 { 60 } else { 1 });
        if front.now_s >= START_S + 100 {
            assert_eq!(due, NOTHING);
            break;
        }
        for _ in due {
            front.done(front.errands.len() - 1, 408, "");
        }
    }
    front.wait(64);
    assert!(front.upstream.is_empty());
    assert_eq!((front.errands.len(), front.upstream.waiting()), (5, 0));
}

#[test]
fn it_goes_to_the_main_registrar_that_the_contact_is_registered_at() {
    let mut front = Front::new(Mode::Contact);
    front.register(ALICE);
    let shown = front.upstream.show(b"alice@example.com");
    assert_eq!((shown.len(), &shown[0].main), (1, &front.main(1)));
    assert_eq!((&*shown[0].callid, shown[0].cseq, shown[0].state), (&b"a"[..], 7, State::Live));
}

#[test]
fn a_client_that_comes_back_in_time_is_not_taken_away() {
    for mode in [Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.register(ALICE);
        front.remove_all();
        // The de-REGISTER is due but not sent yet.
        front.register("CSeq: 9 REGISTER\nContact: <sip:a@10.0.0.1>;expires=60");
        assert_eq!(front.wait(1), NOTHING, "{mode:?}");
        assert_eq!(front.held(), ["Live 3599"], "{mode:?}");
    }
}

#[test]
fn a_resync_registers_everything_again_under_call_ids_of_its_own() {
    for mode in [Mode::Mirror, Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.register(ALICE);
        front.register("To: <sip:bob@example.com>\nContact: <sip:b@10.0.0.2>;expires=60");
        assert_eq!(front.resync(None), 2);
        let due = front.due();
        assert!(due.len() == 2 && due.iter().all(|line| line.starts_with("Renew ")), "{due:?}");
        for (number, line) in due.iter().enumerate() {
            let contact = line.rsplit_once(" (ours) ").unwrap().0.trim_start_matches("Renew ").to_owned();
            front.done(number, 200, &format!("Contact: {contact}"));
        }
        assert_eq!(front.due(), NOTHING);
        assert_eq!(front.held(), [if mode == Mode::Mirror { "Live 60" } else { "Live 3600" }]);
        // The Call-ID that the main registrar knows now is the one that it is taken away under.
        if mode == Mode::Contact {
            let gone = front.wait(60);
            assert!(gone.iter().all(|line| line.contains(" (ours) to ")), "{gone:?}");
        }
    }
}

#[test]
fn a_resync_of_one_address_of_record_leaves_the_others_alone() {
    let mut front = Front::new(Mode::Contact);
    front.register(ALICE);
    front.register("To: <sip:bob@example.com>\nContact: <sip:b@10.0.0.2>;expires=60");
    assert_eq!(front.resync(Some("bob@example.com")), 1);
    assert_eq!(front.resync(Some("nobody@example.com")), 0);
    assert_eq!(front.due().len(), 1);
}

#[test]
fn a_renewal_that_is_refused_leaves_it_to_the_clients_next_refresh() {
    let mut front = Front::new(Mode::Contact);
    front.register(ALICE);
    front.resync(None);
    front.due();
    front.done(0, 403, "");
    assert_eq!(front.wait(10), NOTHING);
    assert!(front.send("CSeq: 8 REGISTER\nContact: <sip:a@10.0.0.1>;expires=60").starts_with("-> "));
}

#[test]
fn an_address_of_record_that_is_shortened_below_its_contacts_is_renewed_in_time() {
    let mut front = Front::new(Mode::Aor);
    front.register("Contact: <sip:a@10.0.0.1>;expires=600");
    front.send("CSeq: 2 REGISTER\nContact: <sip:b@10.0.0.2>;expires=3600");
    let lines = "Contact: <sip:alice%40example.com@192.0.2.1:5060>;expires=100";
    front.check_answer(
        1,
        200,
        lines,
        "200 | Contact: <sip:a@10.0.0.1>;expires=600, <sip:b@10.0.0.2>;expires=100",
    );
    assert_eq!(front.wait(80), NOTHING);
    let due = front.wait(18);
    assert!(due.len() == 1 && due[0].starts_with("Renew "), "{due:?}");
}

#[test]
fn a_first_registration_whose_answer_was_lost_leaves_no_binding_and_is_taken_away() {
    for mode in [Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.send(ALICE);
        front.check_answer(0, 408, "", "408");
        assert_eq!(front.bindings(), NOTHING);
        let due = front.due();
        let number = if mode == Mode::Aor { " (ours) to " } else { " a 8 to " };
        assert!(due.len() == 1 && due[0].starts_with("Remove ") && due[0].contains(number), "{due:?}");
        front.done(0, 200, "");
        // A copy of the REGISTER may come still: it is taken away again, ever more rarely.
        let mut seconds = Vec::new();
        for second in 1..80 {
            for _ in front.wait(1) {
                seconds.push(second);
                front.done(front.errands.len() - 1, 200, "");
            }
        }
        assert_eq!(seconds, [2, 6, 14, 30, 32], "{mode:?}");
        assert!(front.upstream.is_empty(), "{mode:?}");
        // A client that tries again and is accepted keeps its contact.
        let mut front = Front::new(mode);
        front.send("CSeq: 9 REGISTER\nContact: <sip:a@10.0.0.1>;expires=60");
        front.check_answer(0, 408, "", "408");
        front.register("CSeq: 10 REGISTER\nContact: <sip:a@10.0.0.1>;expires=60");
        assert_eq!(front.wait(1), NOTHING, "{mode:?}");
    }
    let mut front = Front::new(Mode::Mirror);
    front.send(ALICE);
    front.check_answer(0, 408, "", "408");
    assert!(front.upstream.is_empty());
}

#[test]
fn what_is_only_a_guess_is_given_up_after_some_attempts() {
    let mut front = Front::new(Mode::Contact);
    front.send(ALICE);
    front.answer(0, 408, "");
    for second in 0..200 {
        for _ in front.wait(u64::from(second > 0)) {
            front.done(front.errands.len() - 1, 408, "");
        }
    }
    assert_eq!((front.errands.len(), front.upstream.len()), (6, (0, 0)));
}

#[test]
fn a_refresh_whose_answer_was_lost_may_have_prolonged_what_is_taken_away_later() {
    let mut front = Front::new(Mode::Contact);
    front.settings.outgoing_expires_s = 60;
    front.register(ALICE);
    front.wait(50);
    front.send("CSeq: 8 REGISTER\nContact: <sip:a@10.0.0.1>;expires=60");
    front.answer(1, 408, "");
    // By what is known the main registrar has forgotten the contact in the same second.
    assert_eq!(front.wait(10).len(), 1);
}

#[test]
fn after_a_removal_whose_answer_was_lost_nothing_is_absorbed() {
    for lines in ["Contact: <sip:a@10.0.0.1>;expires=0", "Contact: *\nExpires: 0"] {
        for mode in [Mode::Contact, Mode::Aor] {
            let mut front = Front::new(mode);
            front.register(ALICE);
            front.send(&format!("CSeq: 8 REGISTER\n{lines}"));
            front.check_answer(1, 408, "", "408");
            assert!(front.send("CSeq: 9 REGISTER\nContact: <sip:a@10.0.0.1>;expires=60").starts_with("-> "));
        }
    }
}

#[test]
fn it_counts_on_from_the_highest_number_that_may_have_been_served() {
    // A main registrar refuses a number that it has seen (RFC 3261 section 10.3 step 7).
    let mut front = Front::new(Mode::Contact);
    front.register("CSeq: 7 REGISTER\nContact: <sip:a@10.0.0.1>;expires=60");
    front.settings.outgoing_expires_s = 7200;
    front.wait(50);
    front.port = 5080;
    front.settings.trust = Trust::Verified;
    assert!(front.send("CSeq: 9 REGISTER\nContact: <sip:a@10.0.0.1>;expires=60").starts_with("-> "));
    front.answer(1, 408, "");
    let due = front.wait(10);
    assert!(due.len() == 1 && due[0].contains(" a 10 to "), "{due:?}");
}

#[test]
fn a_renewal_that_is_shortened_below_what_was_promised_is_repeated() {
    for mode in [Mode::Mirror, Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.register("Contact: <sip:a@10.0.0.1>;expires=600");
        front.resync(None);
        let due = front.due();
        let contact = due[0].split(' ').nth(1).unwrap().split(";expires").next().unwrap().to_owned();
        front.done(0, 200, &format!("Contact: {contact};expires=30"));
        assert_eq!(front.held(), ["Renewing 30"], "{mode:?}");
        let due = front.wait(29);
        assert!(due.len() == 1 && due[0].starts_with("Renew "), "{mode:?} {due:?}");
    }
}

#[test]
fn a_void_renewal_that_was_served_late_is_taken_back_while_the_removal_is_under_way() {
    let mut front = Front::new(Mode::Contact);
    front.register("Contact: <sip:a@10.0.0.1>;expires=60");
    front.resync(None);
    let renewal = front.due();
    let contact = renewal[0].split(' ').nth(1).unwrap().to_owned();
    front.remove_all();
    assert!(front.due()[0].starts_with("Remove "));
    // The answer to the renewal comes first; nobody knows which was served first.
    front.done(0, 200, &format!("Contact: {contact}"));
    assert!(front.due()[0].starts_with("Remove "));
    front.done(1, 200, "");
    assert_eq!(front.held().len(), 1, "the removal that counts is the second one");
    front.done(2, 200, "");
    assert!(front.upstream.is_empty());
}

#[test]
fn a_void_removal_without_an_answer_makes_sure_of_who_came_back() {
    for mode in [Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.register("Contact: <sip:a@10.0.0.1>;expires=60");
        assert_eq!(front.wait(60).len(), 1);
        front.register("Call-ID: z\nContact: <sip:a@10.0.0.1>;expires=60");
        // The renewal because of the crossing is answered first, then the removal times out.
        let renewal = front.wait(1);
        let contact = renewal[0].split(' ').nth(1).unwrap().to_owned();
        front.done(1, 200, &format!("Contact: {contact}"));
        front.done(0, 408, "");
        let due = front.wait(1);
        assert!(due.len() == 1 && due[0].starts_with("Renew "), "{mode:?} {due:?}");
    }
}
