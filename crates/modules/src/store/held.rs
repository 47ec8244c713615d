//! sql-only: addresses of record that are in memory because somebody works on them, and for as long only.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use seawall_location::Removal;

use super::StoredTable;

/// How many work on each address of record, and whether its rows were read.
#[derive(Debug, Default)]
pub struct Holds(Mutex<HashMap<Box<[u8]>, Hold>>);

#[derive(Debug, Default)]
struct Hold {
    count: usize,
    is_read: bool,
}

impl Holds {
    /// Whether the rows of an address of record were read.
    pub(super) fn is_read(&self, aor: &[u8]) -> bool {
        self.0.lock().get(aor).is_some_and(|hold| hold.is_read)
    }

    /// Notes that they are read now. False when they were before. Called under the lock of the location shard.
    pub(super) fn read(&self, aor: &[u8]) -> bool {
        let mut holds = self.0.lock();
        holds.get_mut(aor).is_some_and(|hold| !std::mem::replace(&mut hold.is_read, true))
    }
}

/// Keeps an address of record in memory; it is forgotten when nobody holds it any more.
pub struct Held {
    table: Arc<StoredTable>,
    aor: Box<[u8]>,
}

impl Held {
    /// Holds an address of record of a table.
    #[must_use]
    pub fn new(table: &Arc<StoredTable>, aor: &[u8]) -> Self {
        table.holds.0.lock().entry(aor.into()).or_default().count += 1;
        Self { table: Arc::clone(table), aor: aor.into() }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Under the lock of the shard, so that nobody finds the half of it.
        let mut entry = self.table.domain.lock(&self.aor, 0);
        let mut holds = self.table.holds.0.lock();
        let is_last = match holds.get_mut(&self.aor) {
            Some(hold) => {
                hold.count = hold.count.saturating_sub(1);
                hold.count == 0
            }
            None => false,
        };
        if is_last {
            holds.remove(&self.aor);
            entry.remove(&mut (), |_, _| Some(Removal::Administrative));
        }
    }
}
