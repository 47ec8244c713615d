//! When the next push may go to a service: a rate limit, and a breaker that leaves an ailing service alone.

use crate::limits::{BREAKER_FAILURES, BREAKER_MS};

/// When a push may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// At once.
    Now,
    /// To be asked again at this time, in milliseconds.
    At(u64),
}

/// The pace of one service. Time is monotonic, in milliseconds.
#[derive(Debug, Default)]
pub struct Pace {
    /// The time between two pushes in microseconds; 0 for no limit.
    interval_us: u64,
    /// When the next slot is free, in microseconds.
    next_us: u64,
    /// Nobody is tried before this time: the service said so, or it failed too often.
    closed_until_ms: u64,
    failures: u32,
    /// One push is out to see whether the service is well again.
    probing: bool,
}

impl Pace {
    /// Sets how many pushes may go in a second; 0 for no limit.
    pub fn set_rate(&mut self, per_s: u32) {
        self.interval_us = 1_000_000u64.checked_div(u64::from(per_s)).unwrap_or(0);
    }

    /// Takes the next slot of the rate limit and gives its time, which is now or later. Nothing is taken when it is not
    /// before the deadline. Up to a second's worth may go at once after a pause.
    pub fn slot(&mut self, now_ms: u64, deadline_ms: u64) -> Option<u64> {
        if self.interval_us == 0 {
            return Some(now_ms);
        }
        let now_us = now_ms.saturating_mul(1000);
        let earliest_us = now_us.saturating_sub(1_000_000);
        let slot_us = self.next_us.max(earliest_us);
        let at_ms = (slot_us / 1000).max(now_ms);
        if at_ms >= deadline_ms {
            return None;
        }
        self.next_us = slot_us + self.interval_us;
        Some(at_ms)
    }

    /// Whether the breaker lets a push pass.
    pub fn turn(&mut self, now_ms: u64) -> Turn {
        if now_ms < self.closed_until_ms {
            return Turn::At(self.closed_until_ms);
        }
        if self.failures < BREAKER_FAILURES {
            return Turn::Now;
        }
        if self.probing {
            return Turn::At(now_ms + BREAKER_MS / 10);
        }
        self.probing = true;
        Turn::Now
    }

    /// The service answered, whatever it said.
    pub fn answered(&mut self) {
        self.failures = 0;
        self.probing = false;
    }

    /// The service did not answer, or said that it is ill.
    pub fn failed(&mut self, now_ms: u64) {
        self.failures = self.failures.saturating_add(1);
        self.probing = false;
        if self.failures >= BREAKER_FAILURES {
            self.closed_until_ms = self.closed_until_ms.max(now_ms + BREAKER_MS);
        }
    }

    /// The push that was let pass ended without having asked.
    pub fn not_tried(&mut self) {
        self.probing = false;
    }

    /// The service wants to be left alone until this time.
    pub fn hold(&mut self, until_ms: u64) {
        self.closed_until_ms = self.closed_until_ms.max(until_ms);
    }

    /// Whether pushes are held back at this time.
    pub fn is_closed(&self, now_ms: u64) -> bool {
        now_ms < self.closed_until_ms || self.failures >= BREAKER_FAILURES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_keep_the_rate_after_a_burst_of_one_second() {
        let mut pace = Pace::default();
        pace.set_rate(10);
        let now_ms = 50_000;
        let slots: Vec<u64> = (0..13).filter_map(|_| pace.slot(now_ms, 60_000)).collect();
        assert_eq!(slots.iter().filter(|slot| **slot == now_ms).count(), 11);
        assert_eq!(slots.last(), Some(&(now_ms + 200)));
        assert_eq!(pace.slot(now_ms, now_ms + 250), None, "the slot is after the deadline");
        assert_eq!(pace.slot(now_ms, now_ms + 350), Some(now_ms + 300), "and was not taken");
    }

    #[test]
    fn no_rate_is_no_limit() {
        let mut pace = Pace::default();
        assert!((0..100_000).all(|_| pace.slot(5, 6) == Some(5)));
    }

    #[test]
    fn failures_in_a_row_close_it_and_one_probe_opens_it() {
        let mut pace = Pace::default();
        for _ in 1..BREAKER_FAILURES {
            pace.failed(1000);
            assert_eq!(pace.turn(1000), Turn::Now);
        }
        pace.failed(1000);
        assert!(pace.is_closed(1000));
        assert_eq!(pace.turn(1000), Turn::At(1000 + BREAKER_MS));
        assert_eq!(pace.turn(1000 + BREAKER_MS), Turn::Now, "the probe");
        assert!(matches!(pace.turn(1000 + BREAKER_MS), Turn::At(_)), "only one");
        pace.failed(1000 + BREAKER_MS);
        assert_eq!(pace.turn(1000 + BREAKER_MS), Turn::At(1000 + 2 * BREAKER_MS));
        assert_eq!(pace.turn(1000 + 2 * BREAKER_MS), Turn::Now);
        pace.answered();
        assert_eq!(pace.turn(1000 + 2 * BREAKER_MS), Turn::Now);
        assert!(!pace.is_closed(1000 + 2 * BREAKER_MS));
    }

    #[test]
    fn a_probe_that_was_not_sent_gives_its_place_to_the_next() {
        let mut pace = Pace::default();
        (0..BREAKER_FAILURES).for_each(|_| pace.failed(0));
        assert_eq!(pace.turn(BREAKER_MS), Turn::Now);
        pace.not_tried();
        assert_eq!(pace.turn(BREAKER_MS), Turn::Now);
    }

    #[test]
    fn a_service_that_asks_for_time_gets_it() {
        let mut pace = Pace::default();
        pace.hold(7000);
        assert_eq!(pace.turn(1000), Turn::At(7000));
        pace.hold(2000);
        assert_eq!(pace.turn(1000), Turn::At(7000), "a shorter wish does not shorten it");
        assert_eq!(pace.turn(7000), Turn::Now);
    }
}
