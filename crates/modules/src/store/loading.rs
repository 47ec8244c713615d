//! What has been read of a table since the start: all of it, or the addresses of record that somebody asked for.
//!
//! Rows come in the order of their keys, which have no order, so an address of record is complete only when all rows
//! were read. Whoever needs one before reads its rows alone; from then on memory is right about it, and the loader leaves
//! it alone: a row that it read a moment earlier must not bring back what was removed since.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use seawall_location::{Binding, Entry, Numbers};
use seawall_storage::location::{Row, RowChange};

use super::{Corrupt, Store, StoredTable, address_of_record, limits, row, with_binding};

/// The state of loading.
#[derive(Debug, Default)]
pub struct Loading {
    is_done: AtomicBool,
    /// Addresses of record that were read because somebody asked for them.
    asked: Mutex<HashSet<Box<[u8]>>>,
}

impl Loading {
    /// Of a table that needs no loading.
    #[must_use]
    pub fn done() -> Self {
        Self { is_done: AtomicBool::new(true), asked: Mutex::default() }
    }

    /// Whether everything was read.
    #[inline]
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.is_done.load(Ordering::Acquire)
    }

    /// Everything was read.
    pub fn finish(&self) {
        self.is_done.store(true, Ordering::Release);
        *self.asked.lock() = HashSet::new();
    }

    /// Whether memory knows all about an address of record.
    #[must_use]
    pub fn knows(&self, aor: &[u8]) -> bool {
        self.is_done() || self.asked.lock().contains(aor)
    }

    /// Whether another address of record may be read out of turn.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.asked.lock().len() < limits::ASKED_WHILE_LOADING
    }
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is in memory now.
    Yes,
    /// Memory knows better, or it is over.
    No,
    /// It is no binding.
    Broken(Corrupt),
}

impl Store {
    /// Takes everything that a table has about an address of record, unless that was done before.
    pub fn take_all(&self, table: &StoredTable, aor: &[u8], rows: &[Row], now_s: u64) {
        let mut entry = table.domain.lock(aor, now_s);
        // Under the lock of the shard, so that the loader and others who ask see all or nothing.
        let is_first = if self.is_sql_only() {
            table.holds.read(aor)
        } else {
            !table.loading.is_done() && table.loading.asked.lock().insert(aor.into())
        };
        if !is_first {
            return;
        }
        for row in rows {
            self.take(table, &mut entry, row, now_s);
        }
    }

    /// Takes a row of the loader's.
    pub fn take_one(&self, table: &StoredTable, row: &Row, now_s: u64) -> Taken {
        let aor = address_of_record(row, self.uses_domain());
        let mut entry = table.domain.lock(&aor, now_s);
        if table.loading.asked.lock().contains(&*aor) {
            return Taken::No;
        }
        self.take(table, &mut entry, row, now_s)
    }

    fn take(&self, table: &StoredTable, entry: &mut Entry<'_>, row: &Row, now_s: u64) -> Taken {
        let (flags, names) = (self.flags(), table.domain.names());
        let taken = with_binding(row, names, &flags, self.uses_domain(), |aor, binding| {
            // Some databases take upper and lower case for one.
            let is_here = aor == entry.aor();
            let is_new = entry.bindings().all(|known| known.numbers.contact_id != binding.numbers.contact_id);
            if !is_here || !is_new || !binding.is_valid(now_s) {
                return Taken::No;
            }
            if table.domain.leads_to(binding.numbers.contact_id, aor) {
                let is_taken = entry.insert(binding, &mut ()).is_ok();
                take_keys(entry, binding);
                return if is_taken { Taken::Yes } else { Taken::No };
            }
            self.rename(table, entry, binding)
        });
        taken.unwrap_or_else(|why| {
            self.report_broken(table, row.contact_id, &why);
            Taken::Broken(why)
        })
    }

    /// Takes a binding whose contact id another server made, under an id that leads to its address of record.
    fn rename(&self, table: &StoredTable, entry: &mut Entry<'_>, binding: &Binding<'_>) -> Taken {
        let contact_id = entry.fresh_contact_id(binding.contact, &[]);
        let named = Binding { numbers: Numbers { contact_id, ..binding.numbers }, ..*binding };
        if entry.insert(&named, &mut ()).is_err() {
            return Taken::No;
        }
        take_keys(entry, binding);
        if self.is_back() {
            table.dirty.mark(binding.numbers.contact_id);
            table.dirty.mark(contact_id);
        } else if self.is_on() {
            let named = Binding { aor_keys: entry.keys(), ..named };
            let row = row(entry.aor(), &named, table.domain.names(), &self.flags(), self.uses_domain());
            let sequence = self.journal.open(table.number, entry.aor());
            let changes = vec![
                RowChange::Delete { contact_id: binding.numbers.contact_id },
                RowChange::Upsert(Box::new(row)),
            ];
            self.journal.close(sequence, changes, None, None);
            self.wake();
        }
        Taken::Yes
    }

    /// Tells the log of a row that is no binding. It stays where it is.
    pub fn report_broken(&self, table: &StoredTable, contact_id: u64, why: &dyn std::fmt::Display) {
        let told = self.figures.broken.fetch_add(1, Ordering::Relaxed);
        if told < limits::BROKEN_TOLD {
            tracing::error!(
                "{}: the row with contact_id {contact_id} is left out: {why}",
                table.domain.name()
            );
        } else if told == limits::BROKEN_TOLD {
            tracing::error!(
                "{}: more rows are left out; the statistic broken_rows counts them",
                table.domain.name()
            );
        }
    }
}

/// The key/value store of an address of record stands in each of its rows; the first that has it gives it.
fn take_keys(entry: &mut Entry<'_>, binding: &Binding<'_>) {
    if !binding.aor_keys.is_empty() && entry.keys().is_empty() {
        // It came out of a column, so it cannot be too long; and without a binding there is nobody whose it is.
        let _ = entry.set_keys(binding.aor_keys, &mut ());
    }
}
