//! Clocks. A worker reads the time once per turn of its loop, everything in the turn happens at that time.

use crate::sys;

/// Monotonic time in milliseconds, from the same clock as [`crate::Io::now_ms`]. Usable from any thread.
#[must_use]
pub fn monotonic_ms() -> u64 {
    monotonic_us() / 1000
}

/// Monotonic time in microseconds.
#[must_use]
pub fn monotonic_us() -> u64 {
    sys::clock::monotonic_us()
}

/// The time of day in seconds since 1970.
#[must_use]
pub fn unix_s() -> u64 {
    sys::clock::unix_us() / 1_000_000
}

/// How often the time of day is compared with the monotonic clock, in microseconds: a clock that was set is followed
/// after at most this long, and a turn costs one clock reading instead of two.
const COMPARE_EVERY_US: u64 = 500_000;

/// A worker's view of the time.
#[derive(Debug)]
pub(crate) struct Clock {
    now_us: u64,
    /// Time of day minus monotonic time.
    offset_us: u64,
    compared_us: u64,
    /// The time in the units in which every message asks for it.
    now_ms: u64,
    unix_s: u64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let mut clock = Self { now_us: 0, offset_us: 0, compared_us: 0, now_ms: 0, unix_s: 0 };
        clock.compare(monotonic_us());
        clock.refresh_from(monotonic_us());
        clock
    }

    /// Reads the clock.
    pub(crate) fn refresh(&mut self) {
        self.refresh_from(monotonic_us());
    }

    fn refresh_from(&mut self, now_us: u64) {
        if now_us.saturating_sub(self.compared_us) >= COMPARE_EVERY_US {
            self.compare(now_us);
        }
        self.now_us = now_us;
        self.now_ms = now_us / 1000;
        self.unix_s = (now_us + self.offset_us) / 1_000_000;
    }

    fn compare(&mut self, now_us: u64) {
        self.compared_us = now_us;
        self.offset_us = sys::clock::unix_us().saturating_sub(now_us);
    }

    pub(crate) fn now_us(&self) -> u64 {
        self.now_us
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    pub(crate) fn unix_s(&self) -> u64 {
        self.unix_s
    }
}
