//! A main registrar that is known not to answer (behaviour §7, `upstream_down`).

use seawall_registrar::mid::{Mode, Trust, UpstreamDown};

use crate::harness::Front;

const ALICE: &str = "Contact: <sip:a@10.0.0.1>;expires=60";

fn cseq(number: u32, lines: &str) -> String {
    format!("CSeq: {number} REGISTER\n{lines}")
}

/// Alice is registered, her registration is due to be forwarded, and the main registrar is down.
fn down(mode: Mode) -> Front {
    let mut front = Front::new(mode);
    front.settings.upstream_down = UpstreamDown::Absorb;
    front.settings.outgoing_expires_s = 60;
    front.register(ALICE);
    front.holds_back = true;
    front.wait(20);
    front
}

#[test]
fn who_is_known_is_answered_at_once_until_the_deadline() {
    for mode in [Mode::Mirror, Mode::Contact, Mode::Aor] {
        let mut front = down(mode);
        front.check(&cseq(2, ALICE), "200 | Contact: <sip:a@10.0.0.1>;expires=40");
        assert_eq!(front.upstream.in_flight(), 0);
        front.wait(39);
        front.check(&cseq(3, ALICE), "200 | Contact: <sip:a@10.0.0.1>;expires=1");
        // Then nobody but the main registrar can say anything.
        front.wait(1);
        assert!(front.send(&cseq(4, ALICE)).starts_with("-> "), "{mode:?}");
    }
}

#[test]
fn who_is_not_known_is_sent_on_as_ever() {
    for mode in [Mode::Mirror, Mode::Contact, Mode::Aor] {
        let mut front = down(mode);
        assert!(front.send("To: <sip:bob@example.com>\nContact: <sip:b@10.0.0.2>").starts_with("-> "));
        front.settings.trust = Trust::Verified;
        front.port = 6666;
        assert!(front.send(&cseq(2, ALICE)).starts_with("-> "), "{mode:?}");
        // With "pass" nothing is held back.
        let mut front = down(mode);
        front.settings.upstream_down = UpstreamDown::Pass;
        assert!(front.send(&cseq(2, ALICE)).starts_with("-> "), "{mode:?}");
    }
}

#[test]
fn who_leaves_is_taken_away_later() {
    for mode in [Mode::Contact, Mode::Aor] {
        let mut front = down(mode);
        front.check(&cseq(2, "Contact: <sip:a@10.0.0.1>;expires=0"), "200");
        assert_eq!(front.due().len(), 1, "{mode:?}");
        front.done(0, 408, "");
        assert!(front.wait(1).is_empty());
        assert_eq!(front.wait(1).len(), 1);
        front.done(1, 408, "");
        // What waits longer and longer is due as soon as the main registrar is back.
        assert!(front.due().is_empty());
        front.hurry();
        assert_eq!(front.due().len(), 1, "{mode:?}");
        front.done(2, 200, "");
        assert_eq!((front.held().len(), front.upstream.waiting()), (0, 0));
    }
}
