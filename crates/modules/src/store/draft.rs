//! One operation of the location table as it is being made: its rows are gathered under the lock of the location shard
//! and go into the journal as a whole.

use std::sync::Arc;

use seawall_location::{Change, Image, Names, RecordView, Removal, Updates};
use seawall_storage::location::RowChange;

use super::journal::Ticket;
use super::{Store, limits, row};

/// The operations of one call into the location table.
pub struct Draft<'a> {
    store: &'a Store,
    names: &'a Names,
    /// Whether somebody waits for the operation, and what it was is put back when it fails.
    is_waited_for: bool,
    limit: Limit,
    // Boxed, so that what has none is quickly made and ended: most operations are not written at once.
    open: Option<Box<Open>>,
    last: Option<Drafted>,
}

/// What of a call is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Everything.
    All,
    /// What goes away.
    Removals,
    /// Nothing.
    Nothing,
}

/// An operation that somebody waits for.
#[derive(Clone, Debug)]
pub struct Drafted {
    /// What becomes of it.
    pub ticket: Arc<Ticket>,
    /// Its place in the journal.
    pub sequence: u64,
    /// Its table.
    pub table: u16,
    /// Its address of record.
    pub aor: Box<[u8]>,
}

struct Open {
    sequence: u64,
    table: u16,
    aor: Box<[u8]>,
    changes: Vec<RowChange>,
    image: Option<Image>,
}

impl<'a> Draft<'a> {
    /// Nothing yet.
    #[inline]
    #[must_use]
    pub fn new(store: &'a Store, names: &'a Names) -> Self {
        Self { store, names, is_waited_for: false, limit: Limit::All, open: None, last: None }
    }

    /// Somebody will wait for what comes: it gets a ticket, and is taken back if the database fails.
    pub fn wait_for(&mut self) {
        self.is_waited_for = true;
    }

    /// Not everything of what comes is written.
    pub fn limit(&mut self, limit: Limit) {
        self.limit = limit;
    }

    /// Whether changes are to be told.
    #[inline]
    #[must_use]
    pub fn listens(&self) -> bool {
        self.store.is_on() && self.limit != Limit::Nothing
    }

    /// What is to be told of bindings that are refreshed.
    #[inline]
    #[must_use]
    pub fn updates(&self) -> Updates {
        match self.limit {
            Limit::Nothing => Updates::Nothing,
            _ if !self.store.is_on() => Updates::Nothing,
            // What it is then is read when it is written.
            _ if self.store.is_back() => Updates::Ids,
            _ => Updates::Whole,
        }
    }

    /// Write-back: notes a binding that was refreshed.
    pub fn refreshed(&self, domain: &str, contact_id: u64) {
        if self.limit == Limit::All {
            self.mark(domain, contact_id, None);
        }
    }

    /// Shown what an address of record holds before it changes.
    pub fn before(&mut self, domain: &str, aor: &[u8], record: Option<RecordView<'_>>) {
        if !self.listens() || self.store.is_back() || self.open.as_ref().is_some_and(|open| *open.aor == *aor)
        {
            return;
        }
        self.close();
        let Some(table) = self.store.with_table(domain, |table| table.number) else { return };
        // What ends by itself is not taken back: its rows say themselves that they are over.
        let is_over = !self.is_waited_for;
        if is_over && self.store.journal.len() >= limits::JOURNAL_OF_NOBODY {
            self.store.want_sweep();
            return;
        }
        let image = self.is_waited_for.then(|| record.map_or(Image::NOTHING, Image::from));
        let sequence = self.store.journal.open(table, aor);
        let changes = Vec::new();
        self.open = Some(Box::new(Open { sequence, table, aor: aor.into(), changes, image }));
    }

    /// Takes a change.
    pub fn change(&mut self, domain: &str, aor: &[u8], change: Change<'_>) {
        if self.store.is_back() {
            self.note(domain, change);
            return;
        }
        let Some(open) = self.open.as_mut().filter(|open| *open.aor == *aor) else { return };
        match change {
            Change::AorInsert | Change::AorDelete => {}
            Change::ContactInsert(_) | Change::ContactUpdate(_) | Change::KeysUpdate(_)
                if self.limit == Limit::Removals => {}
            Change::ContactInsert(binding) | Change::ContactUpdate(binding) | Change::KeysUpdate(binding) => {
                let use_domain = self.store.uses_domain();
                let row = row::row(aor, &binding, self.names, &self.store.flags(), use_domain);
                open.changes.push(RowChange::Upsert(Box::new(row)));
            }
            Change::ContactDelete(binding, _) => {
                open.changes.push(RowChange::Delete { contact_id: binding.numbers.contact_id });
            }
        }
    }

    /// Write-back: notes which binding has changed.
    fn note(&self, domain: &str, change: Change<'_>) {
        let (binding, removal) = match change {
            Change::ContactInsert(binding) | Change::ContactUpdate(binding) | Change::KeysUpdate(binding)
                if self.limit == Limit::All =>
            {
                (binding, None)
            }
            Change::ContactDelete(binding, why) if self.limit != Limit::Nothing => (binding, Some(why)),
            _ => return,
        };
        self.mark(domain, binding.numbers.contact_id, removal);
    }

    fn mark(&self, domain: &str, contact_id: u64, removal: Option<Removal>) {
        if self.store.ownership.is_lost() {
            return;
        }
        self.store.with_table(domain, |table| {
            if removal == Some(Removal::Expired) && !table.dirty.has_room(contact_id) {
                self.store.want_sweep();
            } else if table.dirty.mark(contact_id) {
                self.store.wake();
            }
        });
    }

    /// Ends the operation, and gives its ticket if somebody waits and something has changed.
    #[inline]
    pub fn finish(&mut self) -> Option<Drafted> {
        self.close();
        if self.last.is_some() { self.last.take() } else { None }
    }

    #[inline]
    fn close(&mut self) {
        if self.open.is_some() {
            self.close_open();
        }
    }

    fn close_open(&mut self) {
        let Some(open) = self.open.take() else { return };
        let Open { sequence, table, aor, changes, image } = *open;
        let ticket = self.is_waited_for.then(Arc::<Ticket>::default);
        self.last = ticket.clone().map(|ticket| Drafted { ticket, sequence, table, aor });
        self.store.journal.close(sequence, changes, image, ticket);
        self.store.wake();
    }
}

impl Drop for Draft<'_> {
    #[inline]
    fn drop(&mut self) {
        // Also when something has gone wrong in between: an open place would hold up everybody behind it.
        self.close();
    }
}
