//! Which addresses of record may be watched, to be asked without a lock for every change of a binding.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::limits::FILTER_CELLS;

/// Counts the watched addresses of record by a hash. A cell that is 0 is proof that nobody watches; one that is not is
/// worth a look.
///
/// Who counts an address of record in before it reads the bindings, and asks under the lock under which bindings
/// change, misses no change.
#[derive(Debug)]
pub struct Filter {
    cells: Box<[AtomicU32]>,
    all: AtomicUsize,
}

impl Default for Filter {
    fn default() -> Self {
        Self { cells: (0..FILTER_CELLS).map(|_| AtomicU32::new(0)).collect(), all: AtomicUsize::new(0) }
    }
}

impl Filter {
    /// Whether nobody watches anything.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.load(Ordering::Relaxed) == 0
    }

    /// Whether somebody may watch this address of record.
    #[must_use]
    pub fn may_have(&self, aor: &[u8]) -> bool {
        self.cell(aor).is_some_and(|cell| cell.load(Ordering::Relaxed) > 0)
    }

    pub(crate) fn add(&self, aor: &[u8]) {
        self.all.fetch_add(1, Ordering::Relaxed);
        if let Some(cell) = self.cell(aor) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn remove(&self, aor: &[u8]) {
        self.all.fetch_sub(1, Ordering::Relaxed);
        if let Some(cell) = self.cell(aor) {
            cell.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// FNV-1a. Who aims at a cell gains that his changes take a lock.
    fn cell(&self, aor: &[u8]) -> Option<&AtomicU32> {
        let hash = aor.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        self.cells.get((hash ^ (hash >> 32)) as usize % FILTER_CELLS)
    }
}
