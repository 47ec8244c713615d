//! More comes in than can be served: who is known is served before somebody new is forwarded (`overload`).

use seawall_registrar::mid::Mode;

use crate::harness::{Front, START_S};

const ALICE: &str = "Contact: <sip:a@10.0.0.1>;expires=60";
const OTHER: &str = "Contact: <sip:a@10.0.0.2>;expires=60";
const ABSORBED: &str = "200 | Contact: <sip:a@10.0.0.1>;expires=60";

fn cseq(number: u32, lines: &str) -> String {
    format!("CSeq: {number} REGISTER\n{lines}")
}

/// Refreshes every ten seconds. The seconds after which the first refresh was forwarded, and those after which it would have
/// been without a crowd.
fn forwarded_after_s(mode: Mode, is_behind: bool) -> (u32, u32) {
    let mut front = Front::new(mode);
    front.settings.outgoing_expires_s = 600;
    front.random = 300 << 8;
    front.register(ALICE);
    let shown = front.upstream.show(b"alice@example.com");
    let limit_s = shown.first().map_or(0, |held| held.limit_s) - START_S as u32;
    let usual_s = (limit_s - 60) / 10 * 10 + 10;
    front.is_behind = is_behind;
    for step in 1..100 {
        front.wait(10);
        let answer = front.send(&cseq(1 + step, ALICE));
        if answer.starts_with("-> ") {
            return (step * 10, usual_s);
        }
        assert_eq!(answer, ABSORBED);
    }
    (u32::MAX, usual_s)
}

#[test]
fn in_a_crowd_a_refresh_is_absorbed_up_to_the_deadline_itself() {
    for mode in [Mode::Contact, Mode::Aor] {
        // The main registrar holds it for 600 s, and nobody is promised more than 599 s.
        let (after_s, usual_s) = forwarded_after_s(mode, true);
        assert_eq!(after_s, 540);
        assert!(usual_s < 540, "{usual_s}");
        assert_eq!(forwarded_after_s(mode, false), (usual_s, usual_s));
    }
}

#[test]
fn in_a_crowd_nobody_new_is_forwarded() {
    for mode in [Mode::Mirror, Mode::Contact, Mode::Aor] {
        let mut front = Front::new(mode);
        front.is_behind = true;
        assert!(front.send(ALICE).starts_with("503"), "{mode:?}");
        assert!((front.upstream.is_empty(), front.upstream.in_flight()) == (true, 0));
        front.is_behind = false;
        front.register(&cseq(2, ALICE));
        front.is_behind = true;
        let new = front.send(&cseq(3, OTHER));
        // What costs the main registrar nothing is served: in AoR mode a further contact is.
        assert!(new.starts_with(if mode == Mode::Aor { "200" } else { "503" }), "{mode:?} {new}");
        let gone = front.send(&cseq(4, "Contact: *\nExpires: 0"));
        assert!(gone.starts_with("-> "), "{mode:?} {gone}");
    }
}

#[test]
fn in_a_crowd_known_contacts_are_forwarded_where_they_have_to_be() {
    let mut front = Front::new(Mode::Mirror);
    front.register(ALICE);
    front.is_behind = true;
    assert!(front.send(&cseq(2, ALICE)).starts_with("-> "));
    front.grant();
    assert_eq!(front.bindings(), ["sip:a@10.0.0.1 60"]);
    let mut front = Front::new(Mode::Contact);
    front.register(ALICE);
    front.is_behind = true;
    let goodbye = front.send(&cseq(2, "Contact: <sip:a@10.0.0.1>;expires=0"));
    assert!(goodbye.starts_with("-> "), "{goodbye}");
}

#[test]
fn in_a_crowd_somebody_who_was_asked_for_a_password_may_give_it() {
    let mut front = Front::new(Mode::Contact);
    front.send(ALICE);
    front.answer(0, 401, "");
    front.is_behind = true;
    let with = format!("{ALICE}\nAuthorization: Digest username=\"alice\"");
    assert!(front.send(&cseq(2, &with)).starts_with("-> "));
    assert!(front.send(&cseq(3, ALICE)).starts_with("503"));
}

#[test]
fn what_was_forwarded_before_the_crowd_came_is_granted() {
    let mut front = Front::new(Mode::Contact);
    front.send(ALICE);
    front.is_behind = true;
    front.grant();
    assert_eq!(front.bindings(), ["sip:a@10.0.0.1 60"]);
}
