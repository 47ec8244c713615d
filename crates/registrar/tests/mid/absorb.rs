//! Which REGISTERs are answered without the main registrar (behaviour §7, "Absorb" and "Who may be absorbed").

use seawall_registrar::mid::{Mode, Trust, UpstreamDown};

use crate::harness::{Front, START_S};

const ALICE: &str = "Contact: <sip:a@10.0.0.1>;expires=60";

fn cseq(number: u32, lines: &str) -> String {
    format!("CSeq: {number} REGISTER\n{lines}")
}

#[test]
fn mirror_mode_absorbs_nothing() {
    let mut front = Front::new(Mode::Mirror);
    front.register(ALICE);
    assert!(front.send(&cseq(2, ALICE)).starts_with("-> "));
}

#[test]
fn a_refresh_is_absorbed_until_it_would_pass_the_deadline_less_a_margin() {
    let mut front = Front::new(Mode::Contact);
    front.settings.outgoing_expires_s = 600;
    front.register(ALICE);
    let mut number = 1;
    let mut refresh = |front: &mut Front, after_s: u64| {
        front.wait(after_s);
        number += 1;
        front.send(&cseq(number, ALICE))
    };
    // The deadline is 600 s after the 2xx, the margin 10 s, and a new registration is forwarded early by up to all of the
    // time but twice the client's own 60 s.
    let limit_s = u64::from(front.upstream.show(b"alice@example.com")[0].limit_s) - START_S;
    assert!((120..=590).contains(&limit_s), "{limit_s}");
    let absorbed = "200 | Contact: <sip:a@10.0.0.1>;expires=60";
    for _ in 0..(limit_s - 60) / 50 {
        assert_eq!(refresh(&mut front, 50), absorbed);
    }
    assert_eq!(refresh(&mut front, (limit_s - 60) % 50), absorbed);
    assert!(refresh(&mut front, 1).starts_with("-> "));
}

#[test]
fn the_deadline_counts_from_the_answer_and_not_from_the_request() {
    let mut front = Front::new(Mode::Contact);
    front.settings.outgoing_expires_s = 600;
    front.send(ALICE);
    front.wait(20);
    front.grant();
    assert_eq!(front.held(), ["Live 600"]);
    assert_eq!(front.bindings(), ["sip:a@10.0.0.1 60"]);
}

#[test]
fn forwards_are_spread_over_time_by_early_refreshes() {
    // Phones that all registered in the same second are forwarded again at different times.
    let mut firsts = Vec::new();
    for phone in 0..40u64 {
        let mut front = Front::new(Mode::Contact);
        front.settings.outgoing_expires_s = 600;
        front.random = phone.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        front.register(ALICE);
        let first = (1..20).find(|round| {
            front.wait(50);
            front.send(&cseq(round + 1, ALICE)).starts_with("-> ")
        });
        firsts.push(first.unwrap());
    }
    firsts.sort_unstable();
    let (early, late) = (firsts[2], firsts[37]);
    assert!(early >= 2 && late <= 11 && late - early >= 6, "{firsts:?}");
    let before = |round| firsts.iter().filter(|first| **first < round).count();
    assert!((5..20).contains(&before(5)) && (20..35).contains(&before(8)), "evenly: {firsts:?}");
}

#[test]
fn a_refresh_that_says_the_same_again_changes_nothing_but_times() {
    for mode in [Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        // So long that what is drawn from the contact's id does not have it forwarded while this goes on.
        front.settings.outgoing_expires_s = 36_000_000;
        front.register(ALICE);
        for number in 2..6 {
            front.wait(30);
            assert_eq!(front.send(&cseq(number, ALICE)), "200 | Contact: <sip:a@10.0.0.1>;expires=60");
            assert_eq!(front.bindings(), ["sip:a@10.0.0.1 60"]);
        }
        // One that is not newer is no refresh.
        front.wait(30);
        assert!(front.send(&cseq(5, ALICE)).starts_with("400"));
        assert_eq!(front.bindings(), ["sip:a@10.0.0.1 30"]);
        // What it asks for now is not what it asked for.
        assert!(front.send(&cseq(7, "Contact: <sip:a@10.0.0.1>;expires=61")).starts_with("200"));
        assert_eq!(front.bindings(), ["sip:a@10.0.0.1 61"]);
    }
}

#[test]
fn what_an_outage_has_shortened_is_no_pattern_for_later() {
    let mut front = Front::new(Mode::Contact);
    front.settings.outgoing_expires_s = 600;
    front.settings.upstream_down = UpstreamDown::Absorb;
    front.register(ALICE);
    front.holds_back = true;
    front.wait(50);
    let mut number = 2;
    let mut answer = String::new();
    // Until the main registrar's deadline comes nearer than a minute.
    for _ in 0..60 {
        answer = front.send(&cseq(number, ALICE));
        if answer != "200 | Contact: <sip:a@10.0.0.1>;expires=60" {
            break;
        }
        number += 1;
        front.wait(10);
    }
    assert!(answer.starts_with("200 | Contact: <sip:a@10.0.0.1>;expires=5"), "{answer}");
    front.holds_back = false;
    assert!(front.send(&cseq(number + 1, ALICE)).starts_with("-> "));
    front.grant();
    assert_eq!(front.send(&cseq(number + 2, ALICE)), "200 | Contact: <sip:a@10.0.0.1>;expires=60");
}

#[test]
fn every_contact_of_the_request_has_to_be_known_and_valid() {
    let mut front = Front::new(Mode::Contact);
    front.register(ALICE);
    // A new contact, alone or beside a known one.
    let two = "Contact: <sip:a@10.0.0.1>;expires=60, <sip:a@10.0.0.2>;expires=60";
    assert!(front.send(&cseq(2, two)).starts_with("-> "));
    front.grant();
    assert!(front.send(&cseq(3, two)).starts_with("200"));
    // One to remove has to be told.
    assert!(front.send(&cseq(4, "Contact: <sip:a@10.0.0.2>;expires=0")).starts_with("-> "));
    front.answer(2, 500, "");
    // One that has expired is not known any more.
    front.wait(61);
    assert!(front.send(&cseq(5, ALICE)).starts_with("-> "));
}

#[test]
fn a_contact_that_is_being_removed_is_not_absorbed() {
    for (mode, lines) in [
        (Mode::Contact, "Contact: <sip:a@10.0.0.1>;expires=0"),
        (Mode::Contact, "Contact: *\nExpires: 0"),
        (Mode::Aor, "Contact: <sip:a@10.0.0.1>;expires=0"),
        (Mode::Aor, "Contact: *\nExpires: 0"),
    ] {
        for absorbed in [0, 2] {
            let mut front = Front::new(mode);
            front.register(ALICE);
            for number in 0..absorbed {
                assert!(front.send(&cseq(2 + number, ALICE)).starts_with("200"));
            }
            assert!(front.send(&cseq(8, lines)).starts_with("-> "));
            assert!(front.send(&cseq(9, ALICE)).starts_with("-> "), "{mode:?} {lines}");
        }
    }
}

#[test]
fn aor_mode_absorbs_new_contacts_and_the_removal_of_one_of_several() {
    let mut front = Front::new(Mode::Aor);
    front.register(ALICE);
    let second = "Call-ID: b\nContact: <sip:b@10.0.0.2>;expires=60";
    front.check(second, "200 | Contact: <sip:a@10.0.0.1>;expires=60, <sip:b@10.0.0.2>;expires=60");
    front
        .check(&cseq(2, "Contact: <sip:a@10.0.0.1>;expires=0"), "200 | Contact: <sip:b@10.0.0.2>;expires=60");
    assert_eq!(front.held(), ["Live 3600"]);
}

#[test]
fn aor_mode_forwards_the_removal_of_the_last_and_of_all() {
    let mut front = Front::new(Mode::Aor);
    front.register(ALICE);
    let whole = "-> Contact: <sip:alice%40example.com@192.0.2.1:5060>;expires=0";
    front.check(&cseq(2, "Contact: <sip:a@10.0.0.1>;expires=0"), whole);
    assert_eq!(front.bindings(), ["sip:a@10.0.0.1 60"]);
    front.grant();
    assert_eq!((front.bindings().len(), front.held().len()), (0, 0));
    front.register(&cseq(3, ALICE));
    front.check(
        "Call-ID: b\nContact: <sip:b@10.0.0.2>;expires=60",
        "200 | Contact: <sip:a@10.0.0.1>;expires=60, <sip:b@10.0.0.2>;expires=60",
    );
    front.check(&cseq(4, "Contact: <sip:a@10.0.0.1>;expires=0, <sip:b@10.0.0.2>;expires=0"), whole);
}

#[test]
fn with_verified_only_the_flow_that_was_accepted_is_absorbed() {
    for mode in [Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.settings.trust = Trust::Verified;
        front.register(ALICE);
        assert!(front.send(&cseq(2, ALICE)).starts_with("200"));
        // From another source it goes to the main registrar, which challenges it.
        front.port = 6666;
        assert!(front.send(&cseq(3, ALICE)).starts_with("-> "), "{mode:?}");
        front.answer(1, 401, "");
        assert!(front.send(&cseq(4, ALICE)).starts_with("-> "), "{mode:?}");
        front.answer(2, 403, "");
        // With "any" it would have been absorbed.
        front.settings.trust = Trust::Any;
        assert!(front.send(&cseq(5, ALICE)).starts_with("200"), "{mode:?}");
    }
}

#[test]
fn with_verified_a_flow_that_the_main_registrar_accepts_takes_over() {
    for mode in [Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.settings.trust = Trust::Verified;
        front.register(ALICE);
        front.port = 6666;
        front.register(&cseq(2, ALICE));
        assert!(front.send(&cseq(3, ALICE)).starts_with("200"), "{mode:?}");
        front.port = 5070;
        assert!(front.send(&cseq(4, ALICE)).starts_with("-> "), "{mode:?}");
    }
}

#[test]
fn with_verified_a_client_that_the_script_authenticated_is_absorbed() {
    for mode in [Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.settings.trust = Trust::Verified;
        front.register(ALICE);
        front.port = 6666;
        front.authenticated = true;
        assert!(front.send(&cseq(2, ALICE)).starts_with("200"), "{mode:?}");
    }
}

#[test]
fn with_verified_aor_mode_forwards_new_contacts_and_removals_from_elsewhere() {
    let mut front = Front::new(Mode::Aor);
    front.settings.trust = Trust::Verified;
    front.register(ALICE);
    let second = "Call-ID: b\nContact: <sip:b@10.0.0.2>;expires=60";
    front.register(second);
    assert_eq!(front.bindings().len(), 2);
    front.port = 6666;
    assert!(front.send(&cseq(2, "Contact: <sip:a@10.0.0.1>;expires=0")).starts_with("-> "));
    assert_eq!(front.bindings().len(), 2);
}

#[test]
fn the_answer_to_a_challenge_is_always_forwarded() {
    let mut front = Front::new(Mode::Aor);
    // Two phones ask; one is challenged, and meanwhile the other is accepted.
    front.send(ALICE);
    front.send("Call-ID: b\nContact: <sip:b@10.0.0.2>;expires=60");
    front.check_answer(0, 401, "", "401");
    front.grant_to(1);
    let with = format!("{ALICE}\nAuthorization: Digest username=\"alice\"");
    assert!(front.send(&cseq(2, &with)).starts_with("-> "));
    // A client that sends the header by habit, and was not challenged, is served like any other.
    front.check(
        "Call-ID: b\nCSeq: 2 REGISTER\nContact: <sip:b@10.0.0.2>;expires=60\nAuthorization: Digest username=\"alice\"",
        "200 | Contact: <sip:b@10.0.0.2>;expires=60",
    );
}

#[test]
fn a_repetition_of_what_was_answered_is_answered_again_and_changes_nothing() {
    for mode in [Mode::Mirror, Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.register(ALICE);
        front.wait(5);
        front.check(ALICE, "200 | Contact: <sip:a@10.0.0.1>;expires=55");
        assert_eq!(front.upstream.in_flight(), 0);
    }
}

#[test]
fn an_outage_is_survived_on_what_is_known_here_until_the_deadline() {
    for mode in [Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.settings.outgoing_expires_s = 600;
        front.settings.upstream_down = UpstreamDown::Absorb;
        front.register(ALICE);
        let mut number = 1;
        let mut refresh = |front: &mut Front, after_s: u64| {
            front.wait(after_s);
            number += 1;
            let told = front.send(&cseq(number, ALICE));
            if told.starts_with("-> ") { front.answer(front.flying.len() - 1, 408, "") } else { told }
        };
        let full = "200 | Contact: <sip:a@10.0.0.1>;expires=60";
        for _ in 0..10 {
            assert_eq!(refresh(&mut front, 54), full);
        }
        // 540 s after the 2xx the interval just fits; later it ends with the deadline.
        assert_eq!(refresh(&mut front, 20), "200 | Contact: <sip:a@10.0.0.1>;expires=40", "{mode:?}");
        assert_eq!(refresh(&mut front, 39), "200 | Contact: <sip:a@10.0.0.1>;expires=1");
        assert_eq!(refresh(&mut front, 1), "408");
    }
}

#[test]
fn in_an_outage_what_the_main_registrar_does_not_know_is_refused() {
    let mut front = Front::new(Mode::Contact);
    front.settings.upstream_down = UpstreamDown::Absorb;
    assert!(front.send(ALICE).starts_with("-> "));
    front.check_answer(0, 503, "", "503");
    assert_eq!(front.bindings(), [] as [&str; 0]);
    assert!(front.upstream.is_empty());
}

#[test]
fn in_an_outage_a_removal_holds_here_at_once_and_there_as_soon_as_it_can() {
    for (mode, lines) in [
        (Mode::Contact, "Contact: <sip:a@10.0.0.1>;expires=0"),
        (Mode::Aor, "Contact: <sip:a@10.0.0.1>;expires=0"),
        (Mode::Contact, "Contact: *\nExpires: 0"),
        (Mode::Aor, "Contact: *\nExpires: 0"),
    ] {
        let mut front = Front::new(mode);
        front.settings.upstream_down = UpstreamDown::Absorb;
        front.register(ALICE);
        front.send(&cseq(2, lines));
        front.check_answer(1, 408, "", "200");
        assert_eq!(front.bindings(), [] as [&str; 0]);
        assert_eq!(front.wait(0).len(), 1, "{mode:?} {lines}");
    }
}

#[test]
fn with_pass_an_outage_is_told_and_changes_nothing() {
    let mut front = Front::new(Mode::Contact);
    front.register(ALICE);
    front.send(&cseq(2, "Contact: <sip:a@10.0.0.1>;expires=0"));
    front.check_answer(1, 503, "", "503");
    assert_eq!(front.bindings(), ["sip:a@10.0.0.1 60"]);
    assert_eq!(front.held(), ["Live 3600"]);
}

#[test]
fn a_contact_that_ran_out_while_its_refresh_waited_survives_too() {
    for trust in [Trust::Any, Trust::Verified] {
        for mode in [Mode::Contact, Mode::Aor] {
            let mut front = Front::new(mode);
            front.settings.trust = trust;
            front.settings.outgoing_expires_s = 100;
            front.settings.upstream_down = UpstreamDown::Absorb;
            front.register(ALICE);
            front.wait(50);
            assert!(front.send(&cseq(2, ALICE)).starts_with("-> "));
            front.wait(15);
            assert!(front.wait(15).is_empty(), "nothing is taken away while the refresh waits");
            front.check_answer(1, 408, "", "200 | Contact: <sip:a@10.0.0.1>;expires=20");
            assert!(front.wait(1).is_empty(), "{mode:?}");
            assert_eq!(front.held(), ["Live 19"], "{mode:?}");
        }
    }
}

#[test]
fn what_is_granted_counts_from_when_it_was_asked_for() {
    // The main registrar may have served the request at once, however late its answer comes.
    for mode in [Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.settings.outgoing_expires_s = 100;
        let refresh = |cseq: u32| format!("CSeq: {cseq} REGISTER\nContact: <sip:a@10.0.0.1>;expires=60");
        assert!(front.send(&refresh(1)).starts_with("-> "));
        front.now_s += 30;
        assert!(front.grant().starts_with("200"));
        // It forgets the contact 70 seconds from now for all that is known, not 100.
        front.now_s += 20;
        assert!(front.send(&refresh(2)).starts_with("-> "), "{mode:?}");
    }
}

#[test]
fn an_outage_is_survived_as_long_as_the_main_registrar_holds_the_contact_for_certain() {
    for mode in [Mode::Mirror, Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.settings.outgoing_expires_s = 60;
        front.settings.upstream_down = UpstreamDown::Absorb;
        let refresh = |cseq: u32| format!("CSeq: {cseq} REGISTER\nContact: <sip:a@10.0.0.1>;expires=60");
        front.send(&refresh(1));
        front.now_s += 20;
        front.grant();
        front.now_s += 10;
        front.send(&refresh(2));
        front.check_answer(1, 503, "", "200 | Contact: <sip:a@10.0.0.1>;expires=30");
    }
}

#[test]
fn an_outage_is_not_survived_on_what_a_removal_without_an_answer_may_have_taken_away() {
    for mode in [Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.settings.upstream_down = UpstreamDown::Absorb;
        front.register("Contact: <sip:a@10.0.0.1>;expires=60");
        front.send("Call-ID: z\nContact: *\nExpires: 0");
        front.settings.upstream_down = UpstreamDown::Pass;
        front.check_answer(1, 408, "", "408");
        front.settings.upstream_down = UpstreamDown::Absorb;
        assert!(front.send("CSeq: 2 REGISTER\nContact: <sip:a@10.0.0.1>;expires=60").starts_with("-> "));
        front.check_answer(2, 503, "", "503");
    }
}
