//! Makes a failing script short: whatever can be left out without the failure going away is left out.

use super::Fault;
use super::invariants::Violation;
use super::script::Script;
use super::world;

/// Most runs that shortening one script may take.
const MOST_RUNS: usize = 400;

/// The shortest script that was found to break the same invariant, and how it breaks it.
pub fn shrink(script: &Script, fault: Fault, violation: Violation) -> (Script, Violation) {
    let (mut best, mut how) = (script.clone(), violation);
    let mut runs = 0;
    let mut size = best.deeds.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        let mut shorter = false;
        while at < best.deeds.len() && runs < MOST_RUNS {
            let mut candidate = best.clone();
            let end = (at + size).min(candidate.deeds.len());
            candidate.deeds.drain(at..end);
            runs += 1;
            match world::run(&candidate, fault) {
                Err(violation) if violation.kind == how.kind => {
                    (best, how, shorter) = (candidate, violation, true);
                }
                _ => at += size,
            }
        }
        if runs >= MOST_RUNS || size == 1 && !shorter {
            return (best, how);
        }
        size = size.div_ceil(2);
    }
}
