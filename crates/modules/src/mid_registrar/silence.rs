//! Whether the main registrars of a table answer at all.
//!
//! With `upstream_down=absorb` a client that is known here is answered here when the main registrar is silent. While it is
//! known to be silent, waiting for it each time would cost a transaction and its timeout for every REGISTER: so only a
//! few are sent there to see whether it is back, and the others are answered at once. What cannot be answered here
//! is sent there as ever.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Forwarded REGISTERs in a row to which no main registrar has said anything, until it counts as silent: one or two may
/// be lost on the way.
const MISSES: u32 = 3;

/// While it is silent, one REGISTER in so many milliseconds is sent there to see whether it is back.
const PROBE_MS: u64 = 1000;

/// What was heard of the main registrars of one table.
#[derive(Debug, Default)]
pub struct Silence {
    /// Requests in a row without an answer.
    misses: AtomicU32,
    /// When the last request was sent to see whether it is back.
    probed_ms: AtomicU64,
    /// It was silent, and what was put off meanwhile has not been made up for.
    has_returned: AtomicBool,
}

impl Silence {
    /// A main registrar has answered, whatever it said.
    pub fn heard(&self) {
        if self.misses.load(Ordering::Relaxed) != 0 && self.misses.swap(0, Ordering::Relaxed) >= MISSES {
            self.has_returned.store(true, Ordering::Relaxed);
        }
    }

    /// A request has ended without any answer.
    pub fn missed(&self) {
        // The number stands still before it could overflow.
        if self.misses.load(Ordering::Relaxed) < MISSES {
            self.misses.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether they are silent.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.misses.load(Ordering::Relaxed) >= MISSES
    }

    /// Whether a REGISTER need not be sent there: they are silent, and another one finds out whether they are back.
    #[must_use]
    pub fn holds_back(&self, now_ms: u64) -> bool {
        if !self.is_down() {
            return false;
        }
        let probed_ms = self.probed_ms.load(Ordering::Relaxed);
        if now_ms.saturating_sub(probed_ms) < PROBE_MS {
            return true;
        }
        // Of several workers that see it due one sends it.
        let won = self.probed_ms.compare_exchange(probed_ms, now_ms, Ordering::Relaxed, Ordering::Relaxed);
        won.is_err()
    }

    /// Whether they have come back since this was asked last.
    #[must_use]
    pub fn take_return(&self) -> bool {
        self.has_returned.load(Ordering::Relaxed) && self.has_returned.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_as_silent_after_some_misses_and_is_tried_once_a_second() {
        let silence = Silence::default();
        silence.missed();
        silence.missed();
        silence.heard();
        silence.missed();
        silence.missed();
        assert!(!silence.is_down() && !silence.holds_back(5_000) && !silence.take_return());
        silence.missed();
        assert!(silence.is_down());
        let held: Vec<bool> = [5_000, 5_001, 5_999, 6_000, 6_001]
            .into_iter()
            .map(|now_ms| silence.holds_back(now_ms))
            .collect();
        assert_eq!(held, [false, true, true, false, true]);
        (0..5).for_each(|_| silence.missed());
        silence.heard();
        assert!(!silence.is_down() && !silence.holds_back(6_002));
        assert!(silence.take_return() && !silence.take_return());
    }
}
