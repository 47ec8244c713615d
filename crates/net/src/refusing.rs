//! How much of its time a worker that is behind spends on those whom it refuses.
//!
//! Refusing is not free: what is to be refused has to be read first. A worker that refused everybody new in a long storm of
//! many new ones would do little else, and serve less than one that refuses nobody. So refusing has a share of the time, and
//! when that is used up the next ones are served as they come, old and new, until there is some again.

use crate::limits::{REFUSING_AT_ONCE_US, REFUSING_PART};

/// What is left of the time for refusals. It grows as time passes, up to a bound, and may be overdrawn by one batch.
#[derive(Debug)]
pub(crate) struct Allowance {
    /// In parts of a microsecond, [`REFUSING_PART`] of them.
    left: i64,
    noted_us: u64,
}

/// The most that is ever left.
const MOST: i64 = (REFUSING_AT_ONCE_US * REFUSING_PART) as i64;

impl Allowance {
    pub(crate) fn new() -> Self {
        Self { left: MOST, noted_us: 0 }
    }

    /// Whether somebody may be refused now.
    pub(crate) fn is_left(&mut self, now_us: u64) -> bool {
        let passed = i64::try_from(now_us.saturating_sub(self.noted_us)).unwrap_or(MOST);
        self.noted_us = self.noted_us.max(now_us);
        self.left = self.left.saturating_add(passed).min(MOST);
        self.left > 0
    }

    /// Takes note of what refusing has taken.
    pub(crate) fn spend(&mut self, spent_us: u64) {
        let spent = i64::try_from(spent_us.saturating_mul(REFUSING_PART)).unwrap_or(i64::MAX);
        self.left = self.left.saturating_sub(spent);
    }
}

/// The part of a time that `some` of `all` took.
pub(crate) fn share_us(took_us: u64, some: u64, all: u64) -> u64 {
    took_us.saturating_mul(some).checked_div(all).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Batches that take 100 µs each, of which refusing takes `refusing_us` whenever there is time left for it: the share of
    /// ten seconds that it gets.
    fn check(refusing_us: u64, expected: std::ops::RangeInclusive<f64>) {
        let mut allowance = Allowance::new();
        let (mut spent_us, mut now_us) = (0, 1_000_000_000);
        let end_us = now_us + 10_000_000;
        while now_us < end_us {
            now_us += 100;
            if allowance.is_left(now_us) {
                allowance.spend(refusing_us);
                spent_us += refusing_us;
            }
        }
        let share = spent_us as f64 / 10_000_000.0;
        assert!(expected.contains(&share), "{share} for {refusing_us}");
    }

    #[test]
    fn refusing_has_a_part_of_the_time_in_the_long_run() {
        let part = 1.0 / REFUSING_PART as f64 + REFUSING_AT_ONCE_US as f64 / 1e7;
        check(100, part - 0.002..=part + 0.002);
        check(50, part - 0.002..=part + 0.002);
        // Little is always allowed.
        check(3, 0.03..=0.03);
    }

    #[test]
    fn who_has_just_fallen_behind_may_refuse_for_a_while() {
        let mut allowance = Allowance::new();
        let mut spent_us = 0;
        while allowance.is_left(5) {
            allowance.spend(50);
            spent_us += 50;
        }
        assert_eq!(spent_us, REFUSING_AT_ONCE_US);
        // A clock that stands still or goes back gives nothing.
        assert!(!allowance.is_left(5) && !allowance.is_left(0));
        assert!(allowance.is_left(5 + REFUSING_PART));
    }

    #[test]
    fn a_share_of_nothing_is_nothing() {
        assert_eq!((share_us(100, 1, 4), share_us(100, 0, 4), share_us(100, 1, 0)), (25, 0, 0));
    }
}
