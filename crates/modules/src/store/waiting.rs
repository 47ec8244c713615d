//! Scripts that wait for the store: until an address of record is read, and until a change is on disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use seawall_location::Domain;
use seawall_registrar::{Aor, Reject};
use seawall_script::{Flow, RouteKind};
use seawall_storage::location::Row;

use super::draft::Drafted;
use super::journal::Fate;
use super::{Held, Store, StoredTable, limits, row, undo};
use crate::context::Context;
use crate::waiting::{Answer, Errand};

/// Why the store does not let a request change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Too much waits for it.
    Full,
    /// It fails.
    Failed,
}

impl Refused {
    /// As the registrar answers it.
    pub(crate) fn reject(self) -> Reject {
        match self {
            Refused::Full => Reject::StoreFull,
            Refused::Failed => Reject::StoreFailed,
        }
    }
}

/// What a function waits for that is about to answer.
pub(crate) enum Saved {
    /// A change of its own.
    Change(Drafted),
    /// It has changed nothing, but what it tells may rest on changes of others that are not on disk: all up to a place.
    Others {
        /// The last place that was taken when it looked.
        sequence: u64,
        /// Up to where all was decided then.
        settled: u64,
    },
}

impl Saved {
    /// After a look at the table, which has changed it or not.
    pub(crate) fn new(context: &Context, drafted: Option<Drafted>) -> Self {
        let journal = &context.node.store.journal;
        match drafted {
            Some(drafted) => Saved::Change(drafted),
            None => Saved::Others { sequence: journal.last(), settled: journal.settled() },
        }
    }

    /// Whether that is not on disk yet, and the script can wait for it.
    pub(crate) fn has_to_wait(&self, context: &Context) -> bool {
        let is_kept = match self {
            Saved::Change(drafted) => drafted.ticket.fate() == Fate::Kept,
            Saved::Others { sequence, .. } => context.node.store.journal.is_settled(*sequence),
        };
        !is_kept && may_wait(context)
    }

    fn sequence(&self) -> u64 {
        match self {
            Saved::Change(drafted) => drafted.sequence,
            Saved::Others { sequence, .. } => *sequence,
        }
    }
}

/// Whether a route can wait: of a request, and not of a reply or a branch.
fn may_wait(context: &Context) -> bool {
    matches!(context.route, RouteKind::Request | RouteKind::Failure)
}

/// Whether a REGISTER has to be refused before it changes anything.
pub(crate) fn refuse(context: &Context) -> Option<Refused> {
    let store = &context.node.store;
    if store.is_on() && store.ownership.is_doubtful(context.now_ms) {
        return Some(Refused::Failed);
    }
    if !store.is_through() || store.has_room() {
        return None;
    }
    store.figures.refused.fetch_add(1, Ordering::Relaxed);
    Some(Refused::Full)
}

/// Whether the database has to be asked about addresses of record before memory is right about them. No as a rule, at the
/// cost of a look at a setting.
#[inline]
pub(crate) fn may_lack(context: &Context, domain: &Domain) -> bool {
    context.node.store.settings().is_some() && is_loading(context, domain)
}

fn is_loading(context: &Context, domain: &Domain) -> bool {
    let store = &context.node.store;
    let is_cached = !store.is_sql_only();
    let is_loading = |table: &Arc<StoredTable>| !(is_cached && table.loading.is_done());
    store.with_table(domain.name(), is_loading).unwrap_or(false) && may_wait(context)
}

/// Whether the database has to be asked about this one.
pub(crate) fn lacks(context: &Context, domain: &Domain, aor: &[u8]) -> bool {
    let store = &context.node.store;
    may_lack(context, domain)
        && (store.is_sql_only() || store.table(domain.name()).is_some_and(|table| !table.loading.knows(aor)))
}

/// What the database has said about an address of record.
pub(crate) enum Known {
    /// All of it is in memory, under sql-only for as long as this is kept.
    Yes(Option<Held>),
    /// It fails.
    Failed,
}

/// Lets the script wait until the database has said what it knows about an address of record.
pub(crate) fn when_known(
    context: &mut Context,
    domain: &Arc<Domain>,
    aor: Aor,
    then: impl FnOnce(&mut Context, Known) -> Flow + Send + 'static,
) -> Flow {
    let (node, domain, now_s) = (Arc::clone(&context.node), Arc::clone(domain), context.now_s);
    let held = node.store.hold(&domain, &aor);
    let task = async move { Box::new(node.store.read(&domain, &aor, now_s).await) as Answer };
    context.wait(Errand::Task(Box::pin(task)), move |context, answer| {
        let known = answer.and_then(|answer| answer.downcast::<bool>().ok()).is_some_and(|known| *known);
        then(context, if known { Known::Yes(held) } else { Known::Failed })
    })
}

impl Store {
    /// Holds an address of record in memory, where only what is held is there.
    #[must_use]
    pub fn hold(&self, domain: &Domain, aor: &[u8]) -> Option<Held> {
        self.is_sql_only().then(|| self.table(domain.name())).flatten().map(|table| Held::new(&table, aor))
    }

    /// Reads the rows of an address of record into memory, unless it is known there. False when the database fails.
    pub async fn read(&self, domain: &Domain, aor: &[u8], now_s: u64) -> bool {
        let Some(table) = self.table(domain.name()) else { return true };
        let is_known = if self.is_sql_only() { table.holds.is_read(aor) } else { table.loading.knows(aor) };
        if is_known {
            return true;
        }
        if !table.loading.has_room() {
            return false;
        }
        let use_domain = self.uses_domain();
        let (user, host) = row::user_and_host(aor, use_domain);
        match table.backend.rows_of(user, use_domain.then_some(host)).await {
            Ok(rows) => self.take_with_beside(&table, aor, &rows, now_s).await,
            Err(error) => {
                tracing::error!("usrloc: {}: {error}", domain.name());
                false
            }
        }
    }

    async fn take_with_beside(&self, table: &StoredTable, aor: &[u8], rows: &[Row], now_s: u64) -> bool {
        let Some(beside) = table.beside.get() else {
            self.take_all(table, aor, rows, now_s);
            return true;
        };
        if let Err(error) = beside.read(aor).await {
            tracing::error!("{}: {error}", table.domain.name());
            return false;
        }
        self.take_all(table, aor, rows, now_s);
        beside.resume(aor);
        true
    }

    /// Reads the address of record of a contact into memory, unless all is there. False when the database fails.
    pub async fn read_contact(&self, domain: &Domain, contact_id: u64, now_s: u64) -> bool {
        let Some(table) = self.table(domain.name()).filter(|table| !table.loading.is_done()) else {
            return true;
        };
        // The next row by its key is the one that is sought, if it is there.
        match table.backend.page(contact_id.checked_sub(1), 1).await {
            Ok(page) => match page.rows.first().filter(|row| row.contact_id == contact_id) {
                Some(found) => {
                    let aor = row::address_of_record(found, self.uses_domain());
                    self.read(domain, &aor, now_s).await
                }
                None => true,
            },
            Err(error) => {
                tracing::error!("usrloc: {}: {error}", domain.name());
                false
            }
        }
    }
}

/// Lets the script wait until a change is on disk. `then` is told whether it is kept; when not, it was taken back.
pub(crate) fn when_kept(
    context: &mut Context,
    saved: Saved,
    then: impl FnOnce(&mut Context, bool) -> Flow + Send + 'static,
) -> Flow {
    let flow = context.wait(Errand::Commit(saved.sequence()), move |context, _| {
        let kept = outcome(context, &saved);
        then(context, kept)
    });
    if let Some(wait) = &mut context.rare.waiting {
        wait.patience_ms = Some(limits::PATIENCE_MS);
    }
    flow
}

/// What became of it, when the wait is over.
fn outcome(context: &Context, saved: &Saved) -> bool {
    let store = &context.node.store;
    match saved {
        Saved::Others { sequence, settled } => {
            store.journal.is_settled(*sequence) && !store.journal.has_failed_since(*settled)
        }
        Saved::Change(drafted) => {
            if drafted.ticket.fate() == Fate::Open {
                // Nobody will be told that it was kept, so it had better not be. What is on its way cannot be called back.
                undo::give_up(&context.node, drafted, context.now_s);
            }
            drafted.ticket.fate() == Fate::Kept
        }
    }
}
