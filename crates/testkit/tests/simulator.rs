//! The mid-registrar under disorder: a few hundred seeds, and a proof that the simulator sees mistakes.
//! `cargo xtask simulate` runs as many seeds as one likes.

// In a test a panic is the verdict.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use seawall_registrar::mid::Mode;
use seawall_testkit::simulator::{Deed, Fault, Kind, Script, Stall, check, happen};

#[test]
fn nothing_is_broken_in_two_hundred_runs() {
    let (mut absorbed, mut forwarded, mut own, mut holds) = (0, 0, 0, 0);
    for seed in 0..200 {
        match check(&Script::new(seed), Fault::None) {
            Ok(summary) => {
                absorbed += summary.counts.absorbed;
                forwarded += summary.counts.forwarded;
                own += summary.counts.own;
                holds += summary.holds;
            }
            Err(failure) => panic!("{failure}"),
        }
    }
    // A world in which nothing happens would break nothing either.
    assert!(
        absorbed > 1000 && forwarded > 1000 && own > 200 && holds > 100,
        "{absorbed} {forwarded} {own} {holds}"
    );
}

/// Phones that come and go around times in which the main registrar stands still; then it serves every copy of what has
/// waited, in any order.
fn stalls(seed: u64) -> Script {
    let mut script = Script::new(seed);
    script.settings.mode = if seed.is_multiple_of(2) { Mode::Aor } else { Mode::Contact };
    script.deeds = (0..script.phones).map(|phone| (1000 + phone as u64, Deed::Register(phone))).collect();
    for round in 0..4 {
        let at_ms = 50_000 + 60_000 * round;
        let stall = Stall { for_ms: 700 + (seed * 1931 + round * 977) % 20_000, spread_ms: 3000 };
        script.deeds.push((at_ms, Deed::MainStalls(stall)));
        for phone in 0..script.phones {
            let chance = seed.wrapping_mul(0x9e37_79b9).wrapping_add(round * 31 + phone as u64) >> 3;
            let goes_ms = at_ms - 300 + chance % 1000;
            let goes = if chance.is_multiple_of(3) { Deed::Vanish(phone) } else { Deed::Unregister(phone) };
            script.deeds.push((goes_ms, goes));
            let comes = if chance.is_multiple_of(5) { Deed::Register(phone) } else { Deed::Reboot(phone) };
            script.deeds.push((goes_ms + 200 + chance % 25_000, comes));
        }
    }
    script.deeds.sort_by_key(|(at_ms, _)| *at_ms);
    script
}

#[test]
fn copies_that_a_main_registrar_serves_late_and_in_any_order_leave_nothing_wrong() {
    let mut own = 0;
    for seed in 0..40 {
        match check(&stalls(seed), Fault::None) {
            Ok(summary) => own += summary.counts.own,
            Err(failure) => panic!("{failure}"),
        }
    }
    assert!(own > 100, "{own}");
}

#[test]
fn copies_that_nobody_expects_are_noticed() {
    let noticed = (0..100).find_map(|seed| happen(&stalls(seed), Fault::ForgetsCopies).err());
    let violation = noticed.expect("copies are noticed");
    assert!(matches!(violation.kind, Kind::Stale | Kind::Unreachable), "{violation}");
}

/// Some run notices the fault, and by this invariant.
#[track_caller]
fn is_noticed(fault: Fault, kinds: &[Kind]) {
    let noticed = (0..200).find_map(|seed| happen(&Script::new(seed), fault).err());
    let violation = noticed.unwrap_or_else(|| panic!("{fault:?} is not noticed"));
    assert!(kinds.contains(&violation.kind), "{violation}");
}

#[test]
fn a_script_that_fails_is_made_short_and_fails_in_the_same_way() {
    let failure = (0..20).find_map(|seed| check(&Script::new(seed), Fault::NeverTakesAway).err()).unwrap();
    assert!(failure.script.deeds.len() < failure.deeds_before, "{failure}");
    let again = happen(&failure.script, Fault::NeverTakesAway).unwrap_err();
    assert_eq!(again, failure.violation);
    assert!(failure.to_string().contains(&format!("seed {}", failure.script.seed)));
}

#[test]
fn a_binding_made_before_the_2xx_is_noticed() {
    is_noticed(Fault::CommitsOnForward, &[Kind::Unreachable, Kind::Stale, Kind::Contradiction]);
}

#[test]
fn a_deadline_that_counts_from_the_forwarding_is_noticed() {
    is_noticed(Fault::ProlongsOnForward, &[Kind::Unreachable, Kind::Stale, Kind::Contradiction]);
}

#[test]
fn an_interval_that_was_not_granted_is_noticed() {
    is_noticed(Fault::IgnoresWhatIsGranted, &[Kind::Unreachable]);
}

#[test]
fn contacts_that_nobody_is_told_of_are_noticed() {
    is_noticed(Fault::ForgetsWhatIsGone, &[Kind::Stale]);
}

#[test]
fn a_forgotten_deregister_is_noticed() {
    is_noticed(Fault::NeverTakesAway, &[Kind::Stale]);
}

#[test]
fn a_lost_answer_that_is_taken_for_nothing_is_noticed() {
    is_noticed(Fault::ForgetsSilence, &[Kind::Stale, Kind::Unreachable]);
}

#[test]
fn requests_that_are_not_counted_are_noticed() {
    is_noticed(Fault::CountsForwardsBadly, &[Kind::Miscounted]);
}

#[test]
fn the_same_seed_takes_the_same_course() {
    let run = || format!("{:?}", check(&Script::new(7), Fault::None));
    assert_eq!(run(), run());
}
