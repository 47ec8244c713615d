//! Copies of repeated requests that the main registrar serves late (behaviour §7: the main registrar's state is exact).
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use seawall_registrar::mid::Mode;

use crate::harness::Front;

const ALICE: &str = "Contact: <sip:a@10.0.0.1>;expires=60";
const GONE: &str = "CSeq: 2 REGISTER\nContact: <sip:a@10.0.0.1>;expires=0";
/// The same phone after a restart; in AoR mode it could as well be another one.
const AGAIN: &str = "Call-ID: z\nContact: <sip:a@10.0.0.1>;expires=60";
const NOTHING: [&str; 0] = [];

/// Sends what is due in so many seconds, and grants it: what that was, with the second in which it was.
fn granted(front: &mut Front, seconds: u64) -> Vec<String> {
    let mut all = Vec::new();
    for second in 0..seconds {
        for line in front.wait(u64::from(second > 0)) {
            let mut words = line.split(' ');
            let (kind, contact) = (words.next().unwrap(), words.next().unwrap());
            let lines = if kind == "Renew" { format!("Contact: {contact}") } else { String::new() };
            front.done(front.errands.len() - 1, 200, &lines);
            let number = line.split_once(contact).unwrap().1.split(" to ").next().unwrap();
            all.push(format!("{second} {kind}{number}"));
        }
    }
    all
}

/// Alice is registered and says goodbye, and the main registrar takes so long to answer that.
fn said_goodbye(mode: Mode, took_ms: u64) -> Front {
    let mut front = Front::new(mode);
    front.register(ALICE);
    assert!(front.send(GONE).starts_with("-> "));
    front.took_ms = took_ms;
    assert_eq!(front.grant(), "200");
    front.took_ms = 0;
    front
}

#[test]
fn who_registers_after_a_goodbye_that_was_repeated_is_registered_again_under_its_number() {
    for mode in [Mode::Mirror, Mode::Contact, Mode::Aor] {
        let mut front = said_goodbye(mode, 700);
        front.register(AGAIN);
        // A copy of the goodbye, `a 2`, has no higher number than what is registered then, and must be refused.
        assert_eq!(granted(&mut front, 50), ["0 Renew a 2"], "{mode:?}");
        assert_eq!(front.bindings(), ["sip:a@10.0.0.1 11"]);
    }
}

#[test]
fn a_goodbye_that_was_answered_at_once_has_no_copies() {
    for mode in [Mode::Mirror, Mode::Contact, Mode::Aor] {
        let mut front = said_goodbye(mode, 100);
        front.register(AGAIN);
        assert!(granted(&mut front, 50).is_empty(), "{mode:?}");
    }
}

#[test]
fn copies_live_for_as_long_as_a_request_is_sent_again() {
    for (seconds, expected) in [(31, 1), (32, 0)] {
        let mut front = said_goodbye(Mode::Contact, 700);
        front.wait(seconds);
        front.register(AGAIN);
        assert_eq!(granted(&mut front, 2).len(), expected, "{seconds}");
    }
    // Those that wait in a main registrar that is silent live as long as that is.
    let mut front = said_goodbye(Mode::Contact, 700);
    front.wait(600);
    front.hurry();
    front.register(AGAIN);
    assert_eq!(granted(&mut front, 2), ["0 Renew a 2"]);
}

#[test]
fn who_goes_on_counting_under_the_same_call_id_needs_no_protection() {
    let mut front = said_goodbye(Mode::Contact, 700);
    front.register("CSeq: 3 REGISTER\nContact: <sip:a@10.0.0.1>;expires=60");
    assert!(granted(&mut front, 50).is_empty());
}

#[test]
fn a_star_may_be_carried_out_whatever_its_number_is() {
    let mut front = Front::new(Mode::Contact);
    front.register(ALICE);
    front.send("CSeq: 2 REGISTER\nContact: *\nExpires: 0");
    front.took_ms = 700;
    front.answer(1, 200, "");
    front.took_ms = 0;
    front.register(AGAIN);
    let due = granted(&mut front, 59);
    assert_eq!(due.first().map(String::as_str), Some("0 Renew a 2"));
    assert_eq!(due.last().map(String::as_str), Some("32 Renew (ours)"), "{due:?}");
}

#[test]
fn a_goodbye_without_an_answer_has_copies_too() {
    for mode in [Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.register(ALICE);
        front.send(GONE);
        front.check_answer(1, 408, "", "408");
        // Alice is still bound here, and counts under that Call-ID: she is registered again under ours.
        let due = granted(&mut front, 40);
        assert!(due.len() > 3 && due.iter().all(|line| line.ends_with(" Renew (ours)")), "{mode:?} {due:?}");
        assert_eq!(due.last().map(String::as_str), Some("32 Renew (ours)"), "{mode:?}");
    }
}

#[test]
fn a_de_register_of_ours_in_aor_mode_has_a_lower_number_than_what_follows_it() {
    let mut front = Front::new(Mode::Aor);
    front.register(ALICE);
    assert_eq!(front.wait(60).len(), 1);
    let gone = front.own_message(0);
    front.done(0, 200, "");
    front.register("Call-ID: b\nContact: <sip:b@10.0.0.2>;expires=60");
    assert_eq!(front.due().len(), 1);
    let again = front.own_message(1);
    let numbers = |message: &seawall_sip::Message| {
        let callid = message.value(seawall_sip::Name::CallId).unwrap().to_vec();
        (callid, seawall_sip::cseq::CSeq::of(message).unwrap().number)
    };
    let ((gone_callid, gone_cseq), (callid, cseq)) = (numbers(&gone), numbers(&again));
    assert_eq!(gone_callid, callid);
    assert!(gone_cseq + 1 < cseq, "the number between them is for the answer to a challenge");
}

#[test]
fn a_contact_that_a_copy_may_bring_back_is_taken_away_again() {
    for mode in [Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.took_ms = 700;
        front.register(ALICE);
        front.took_ms = 0;
        assert!(front.send(GONE).starts_with("-> "));
        assert_eq!(front.grant(), "200");
        assert_eq!(front.bindings(), NOTHING);
        let due = granted(&mut front, 70);
        assert!(due.iter().all(|line| line.contains(" Remove ")), "{mode:?} {due:?}");
        let seconds: Vec<&str> = due.iter().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(seconds, ["0", "2", "6", "14", "30", "32"], "{mode:?}");
        assert!(front.upstream.is_empty());
        // Long after, nobody expects a copy.
        let mut front = Front::new(mode);
        front.took_ms = 700;
        front.register(ALICE);
        front.took_ms = 0;
        front.wait(40);
        front.send(GONE);
        front.grant();
        assert!(front.upstream.is_empty(), "{mode:?}");
    }
}

#[test]
fn who_comes_back_meanwhile_is_not_taken_away() {
    for mode in [Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.took_ms = 700;
        front.register(ALICE);
        front.took_ms = 0;
        front.send(GONE);
        front.grant();
        assert_eq!(front.due().len(), 1);
        front.done(0, 200, "");
        front.register("CSeq: 3 REGISTER\nContact: <sip:a@10.0.0.1>;expires=60");
        let due = granted(&mut front, 59);
        assert!(due.iter().all(|line| line.contains(" Renew ")), "{mode:?} {due:?}");
        assert_eq!(front.bindings(), ["sip:a@10.0.0.1 2"]);
    }
}
