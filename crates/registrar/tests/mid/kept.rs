//! Registrations that outlive the process.

use crate::harness::Front;
use seawall_registrar::mid::{Kept, Mode, Settings, Trust};

const NOTHING: [&str; 0] = [];
const ALICE: &str = "CSeq: 7 REGISTER\nContact: <sip:a@10.0.0.1>;expires=60";
const AOR: &str = "alice@example.com";

fn changed(front: &Front) -> Vec<Kept> {
    let mut kept = Vec::new();
    while front.upstream.take_changed(1000, &mut kept) {}
    kept
}

fn keeping(settings: Settings) -> Front {
    let front = Front::with(settings, crate::harness::policy());
    front.upstream.keep();
    front
}

/// Another process with the same bindings; without them when they have all ended meanwhile.
fn restarted(before: &Front, with_bindings: bool, settings: Settings) -> Front {
    let mut after = keeping(settings);
    for kept in changed(before) {
        after.upstream.restore(&kept, || false);
    }
    after.now_s = before.now_s;
    if with_bindings {
        after.domain = before.domain.clone();
    }
    after.resume(AOR);
    after
}

#[test]
fn nothing_is_noted_for_nobody() {
    let mut front = Front::new(Mode::Contact);
    front.register(ALICE);
    assert!(!front.upstream.has_changed());
    assert_eq!(changed(&front), []);
}

#[test]
fn what_changes_is_taken_once_and_absorbing_changes_nothing() {
    let mut front = keeping(Settings { mode: Mode::Contact, ..Settings::default() });
    front.register(ALICE);
    assert!(front.upstream.has_changed());
    let kept = changed(&front);
    assert_eq!((kept.len(), kept[0].registrations.len(), kept[0].gone.len()), (1, 1, 0));
    assert_eq!(&*kept[0].aor, AOR.as_bytes());
    assert!(front.send("CSeq: 8 REGISTER\nContact: <sip:a@10.0.0.1>;expires=60").starts_with("200"));
    assert!(!front.upstream.has_changed());
    // A store that fails is told again.
    front.upstream.note_again(&kept[0]);
    assert_eq!(changed(&front), kept);
    // What is gone is named until the store knows it.
    let id = kept[0].registrations[0].contact_id;
    assert_eq!(front.wait(61).len(), 1);
    assert!(changed(&front)[0].gone.is_empty());
    front.done(0, 200, "");
    let last = changed(&front);
    assert_eq!((last[0].registrations.len(), &*last[0].gone), (0, &[id][..]));
    front.upstream.note_again(&last[0]);
    front.register("CSeq: 9 REGISTER\nContact: <sip:a@10.0.0.1>;expires=60");
    let again = changed(&front);
    assert_eq!((again[0].registrations.len(), again[0].gone.len()), (1, 0));
}

#[test]
fn absorbing_goes_on_after_a_restart() {
    for mode in [Mode::Contact, Mode::Aor] {
        let settings = Settings { mode, trust: Trust::Verified, ..Settings::default() };
        let mut before = keeping(settings.clone());
        before.register(ALICE);
        let shown = before.upstream.show(AOR.as_bytes());
        let mut after = restarted(&before, true, settings);
        assert_eq!(after.upstream.show(AOR.as_bytes()), shown);
        assert_eq!(after.due(), NOTHING);
        assert!(
            after.send("CSeq: 8 REGISTER\nContact: <sip:a@10.0.0.1>;expires=60").starts_with("200"),
            "{mode:?}"
        );
        assert_eq!(after.wait(60).len(), 1, "{mode:?}");
    }
}

#[test]
fn a_contact_that_has_gone_meanwhile_is_taken_away() {
    for mode in [Mode::Contact, Mode::Aor] {
        let settings = Settings { mode, ..Settings::default() };
        let mut before = keeping(settings.clone());
        before.register(ALICE);
        let mut after = restarted(&before, false, settings);
        let due = after.due();
        assert!(due.len() == 1 && due[0].starts_with("Remove "), "{mode:?} {due:?}");
        after.done(0, 200, "");
        assert!(after.upstream.is_empty());
        assert_eq!(changed(&after)[0].gone.len(), 1, "{mode:?}");
    }
    // In mirror mode both end together.
    let settings = Settings { mode: Mode::Mirror, ..Settings::default() };
    let mut before = keeping(settings.clone());
    before.register(ALICE);
    let mut after = restarted(&before, false, settings);
    assert_eq!(after.due(), NOTHING);
    assert!(after.upstream.is_empty());
}

#[test]
fn a_removal_that_was_under_way_goes_on_with_a_number_of_its_own() {
    let settings = Settings { mode: Mode::Contact, ..Settings::default() };
    let mut before = keeping(settings.clone());
    before.register(ALICE);
    let first = before.wait(61);
    assert!(first.len() == 1 && first[0].starts_with("Remove "), "{first:?}");
    let mut after = restarted(&before, true, settings.clone());
    let second = after.due();
    assert!(
        second.len() == 1 && second[0].starts_with("Remove ") && second[0] != first[0],
        "{first:?} {second:?}"
    );
    after.done(0, 408, "");
    let mut third = restarted(&after, true, settings);
    let due = third.due();
    assert!(due.len() == 1 && due[0] != second[0] && due[0] != first[0], "{due:?}");
}

#[test]
fn what_the_main_registrar_may_have_dropped_is_made_sure_of() {
    let settings = Settings { mode: Mode::Contact, ..Settings::default() };
    let mut before = keeping(settings.clone());
    before.register(ALICE);
    // The de-REGISTER is on its way, and the process ends; the binding is there again in the database.
    assert_eq!(before.resync(None), 1);
    let mut after = restarted(&before, true, settings);
    let due = after.due();
    assert!(due.len() == 1 && due[0].starts_with("Renew "), "{due:?}");
}

#[test]
fn a_registration_that_was_made_since_is_not_overwritten() {
    let settings = Settings { mode: Mode::Contact, ..Settings::default() };
    let mut before = keeping(settings.clone());
    before.register(ALICE);
    let old = changed(&before);
    let mut after = keeping(settings);
    after.register("CSeq: 70 REGISTER\nContact: <sip:a@10.0.0.1>;expires=60");
    let shown = after.upstream.show(AOR.as_bytes());
    after.upstream.restore(&old[0], || false);
    assert_eq!(after.upstream.show(AOR.as_bytes()), shown);
    let known = Front::new(Mode::Contact);
    known.upstream.restore(&old[0], || true);
    assert!(known.upstream.is_empty());
}
