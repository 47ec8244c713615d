//! The time of a run, and how long its thread stood still.

use std::time::Instant;

/// The time since the beginning, and the longest gap between two looks at it. Who never sleeps looks every few
/// microseconds; a long gap is a moment in which his CPU did something else.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
    looked_ns: u64,
    longest_gap_ns: u64,
}

impl Clock {
    /// Begins now.
    pub fn start() -> Self {
        Clock { began: Instant::now(), looked_ns: 0, longest_gap_ns: 0 }
    }

    /// Nanoseconds since the beginning.
    pub fn look(&mut self) -> u64 {
        let now_ns = self.began.elapsed().as_nanos() as u64;
        self.seen(now_ns);
        now_ns
    }

    /// Forgets the gaps until now: memory was asked for in them.
    pub fn forget_gaps(&mut self) {
        self.look();
        self.longest_gap_ns = 0;
    }

    /// The longest gap between two looks.
    pub fn longest_gap_ns(&self) -> u64 {
        self.longest_gap_ns
    }

    fn seen(&mut self, now_ns: u64) {
        self.longest_gap_ns = self.longest_gap_ns.max(now_ns.saturating_sub(self.looked_ns));
        self.looked_ns = now_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_between_two_looks_is_kept() {
        let mut clock = Clock { began: Instant::now(), looked_ns: 0, longest_gap_ns: 0 };
        for now_ns in [10, 25, 75, 80, 100] {
            clock.seen(now_ns);
        }
        assert_eq!(clock.longest_gap_ns(), 50);
    }
}
