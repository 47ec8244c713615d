//! Whether the tables in the database are still this server's to write.
//!
//! A server that stood still, or that the network cut off from its database, may have been replaced meanwhile. The database refuses
//! what such a server writes (`LocationTable::owned`); here it is known from then on, so that no REGISTER is
//! answered as if it were kept. A server that has lost its tables never has them again: what it has in memory is old.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Store, limits};

/// Until when changes may be made, in monotonic milliseconds.
#[derive(Debug)]
pub struct Ownership(AtomicU64);

/// The tables are lost.
const LOST: u64 = 0;

/// Nobody has to look, because each write is checked, or no other server can have the tables.
const FOR_EVER: u64 = u64::MAX;

impl Default for Ownership {
    fn default() -> Self {
        Self(AtomicU64::new(FOR_EVER))
    }
}

impl Ownership {
    /// Whether another server has the tables now.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.0.load(Ordering::Relaxed) == LOST
    }

    /// Whether a change that is answered before it is written had better not be made: the tables are lost, or nobody has
    /// looked for so long that this process must have stood still.
    #[inline]
    #[must_use]
    pub fn is_doubtful(&self, now_ms: u64) -> bool {
        now_ms > self.0.load(Ordering::Relaxed)
    }

    /// Somebody has looked, and began to at this time; he looks again before the lease is over.
    pub fn looked(&self, began_ms: u64) {
        let until = began_ms.saturating_add(limits::LEASE_MS);
        let _ =
            self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now != LOST).then_some(until));
    }

    /// The tables are lost. True for the first who says so.
    pub fn lose(&self) -> bool {
        self.0.swap(LOST, Ordering::Relaxed) != LOST
    }
}

impl Store {
    /// Another server has taken a table: from now on this one changes nothing any more. Gives how many changes of
    /// write-back are lost by that, the first time.
    pub fn lose(&self) -> Option<usize> {
        let is_first = self.ownership.lose();
        let mut lost = 0;
        for table in self.tables() {
            lost += table.dirty.clear();
        }
        is_first.then_some(lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_stays_lost_and_who_has_not_looked_is_in_doubt() {
        let ownership = Ownership::default();
        assert!(!ownership.is_doubtful(u64::MAX - 1) && !ownership.is_lost());
        ownership.looked(1_000);
        assert!(!ownership.is_doubtful(1_000 + limits::LEASE_MS));
        assert!(ownership.is_doubtful(1_001 + limits::LEASE_MS) && !ownership.is_lost());
        ownership.looked(2_000 + limits::LEASE_MS);
        assert!(!ownership.is_doubtful(1_001 + limits::LEASE_MS));
        assert!(ownership.lose() && !ownership.lose());
        ownership.looked(u64::MAX);
        assert!(ownership.is_lost() && ownership.is_doubtful(1));
    }
}
