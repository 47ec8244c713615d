//! Who wants a connection to be kept, and until when.

use crate::limits::LEASES_PER_CONNECTION;

/// The leases of one connection. It is kept for as long as the longest of them.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    /// Holder and monotonic time, in no order.
    held: Vec<(u64, u64)>,
    /// What holders beyond the limit have asked for: only ever extended.
    common_ms: u64,
    longest_ms: u64,
}

impl Leases {
    /// Sets the lease of a holder in the place of the one that it had; a time that has passed ends it.
    pub(crate) fn set(&mut self, now_ms: u64, holder: u64, until_ms: u64) {
        let place = self.held.iter().position(|(known, _)| *known == holder);
        match place {
            Some(at) if until_ms <= now_ms => {
                self.held.swap_remove(at);
            }
            Some(at) => {
                if let Some(lease) = self.held.get_mut(at) {
                    lease.1 = until_ms;
                }
            }
            None if until_ms <= now_ms => return,
            None => self.add(now_ms, holder, until_ms),
        }
        let longest_ms = self.held.iter().map(|(_, until_ms)| *until_ms).max().unwrap_or(0);
        self.longest_ms = longest_ms.max(self.common_ms);
    }

    fn add(&mut self, now_ms: u64, holder: u64, until_ms: u64) {
        if self.held.len() >= LEASES_PER_CONNECTION {
            self.held.retain(|(_, until_ms)| *until_ms > now_ms);
        }
        if self.held.len() < LEASES_PER_CONNECTION {
            self.held.push((holder, until_ms));
        } else {
            self.common_ms = self.common_ms.max(until_ms);
        }
    }

    /// The end of the longest lease; 0 when there never was one.
    pub(crate) fn longest_ms(&self) -> u64 {
        self.longest_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_lease_counts_and_each_can_be_changed() {
        let mut leases = Leases::default();
        for (holder, until_ms, longest_ms) in [
            (1, 500, 500),
            (2, 900, 900),
            (1, 700, 900),
            (2, 600, 700),
            (1, 0, 600),
            (3, 50, 600),
            (2, 100, 0),
        ] {
            leases.set(100, holder, until_ms);
            assert_eq!(leases.longest_ms(), longest_ms, "{holder} {until_ms}");
        }
    }

    #[test]
    fn holders_beyond_the_limit_can_only_extend() {
        let mut leases = Leases::default();
        for holder in 0..LEASES_PER_CONNECTION as u64 + 1 {
            leases.set(0, holder, 100 + holder);
        }
        let last = LEASES_PER_CONNECTION as u64;
        assert_eq!((leases.longest_ms(), leases.held.len()), (100 + last, LEASES_PER_CONNECTION));
        leases.set(0, last, 0);
        assert_eq!(leases.longest_ms(), 100 + last);
        // Those that are over make room.
        leases.set(200, last + 1, 9_999);
        assert!(leases.held.len() < LEASES_PER_CONNECTION);
    }
}
