//! Bindings in a database: what workers see of it.
//!
//! Every change of a location table passes [`Gather`](crate::events::Gather), which drafts it here under the lock of the
//! location shard. The engine's writer commits what has gathered while the last group was on its way to the disk, so
//! that many REGISTERs share one commit; each waits until its own is on disk.
//!
//! What it does NOT do: open databases or run queries. That is the engine's part (`engine/src/store/`).

mod backend;
mod dirty;
mod draft;
pub mod granted;
mod held;
mod journal;
pub mod kv;
pub mod limits;
mod loading;
mod ownership;
mod row;
mod undo;
mod waiting;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use parking_lot::RwLock;
use seawall_location::Domain;

pub use backend::{Backend, Beside, Doing};
pub use dirty::{Dirty, Spare};
pub use draft::{Draft, Drafted, Limit};
pub use held::{Held, Holds};
pub use journal::{Fate, Journal, Operation, Ticket};
pub use loading::{Loading, Taken};
pub use ownership::Ownership;
pub use row::{Corrupt, FlagNames, address_of_record, row, user_and_host, with_binding};
pub use undo::{take_back, take_back_late};
pub(crate) use waiting::{Known, Refused, Saved, lacks, may_lack, refuse, when_kept, when_known};

use crate::usrloc::settings::{StoreSettings, Write};

/// A location table and the table of the database that keeps it.
pub struct StoredTable {
    /// Its number in the journal.
    pub number: u16,
    /// The bindings in memory.
    pub domain: Arc<Domain>,
    /// The table.
    pub backend: Arc<dyn Backend>,
    /// What has been read of it.
    pub loading: Loading,
    /// What is not written yet, under write-back.
    pub dirty: Dirty,
    /// Who works on what, under sql-only.
    pub holds: Holds,
    /// What is kept beside the bindings, if anything is.
    pub beside: OnceLock<Arc<dyn Beside>>,
}

/// What the store has done, for statistics.
#[derive(Debug, Default)]
pub struct Figures {
    /// Groups that were committed.
    pub commits: AtomicU64,
    /// Changes of rows in them.
    pub rows: AtomicU64,
    /// Operations that the database did not take.
    pub failures: AtomicU64,
    /// Groups that had to be tried again, because it was not known what became of them.
    pub replays: AtomicU64,
    /// Rows that were loaded.
    pub loaded: AtomicU64,
    /// Rows that could not be.
    pub broken: AtomicU64,
    /// REGISTERs that were refused because too much waited.
    pub refused: AtomicU64,
}

/// Tells the engine that something has to be written.
type Wake = Box<dyn Fn() + Send + Sync>;

/// Tells the engine of a location table.
type Added = Box<dyn Fn(&Arc<Domain>) + Send + Sync>;

/// The store of a server; off unless the script says otherwise.
#[derive(Default)]
pub struct Store {
    settings: Option<StoreSettings>,
    /// What is on its way.
    pub journal: Journal,
    tables: RwLock<Vec<Arc<StoredTable>>>,
    /// The first of them.
    first: OnceLock<Arc<StoredTable>>,
    flags: ArcSwap<FlagNames>,
    wake: OnceLock<Wake>,
    added: OnceLock<Added>,
    /// How often somebody has asked that everything be written, and up to which of them that is done.
    asked: AtomicU64,
    flushed: AtomicU64,
    /// Something that has ended could not be noted, and has to be swept out of the tables.
    sweep: AtomicBool,
    /// Whether the tables are this server's to write.
    pub ownership: Ownership,
    /// Counters.
    pub figures: Figures,
}

impl Store {
    /// A store with these settings.
    #[must_use]
    pub fn new(settings: Option<StoreSettings>) -> Self {
        Self { settings, ..Self::default() }
    }

    /// How bindings are kept; nothing when they are in memory only.
    #[must_use]
    pub fn settings(&self) -> Option<&StoreSettings> {
        self.settings.as_ref()
    }

    /// Whether changes are written to a database.
    #[inline]
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.settings.as_ref().is_some_and(|settings| settings.write != Write::Never)
    }

    /// Whether a reply waits for its commit.
    #[must_use]
    pub fn is_through(&self) -> bool {
        self.settings.as_ref().is_some_and(|settings| settings.write == Write::Through)
    }

    /// `use_domain`: whether the host belongs to the address of record.
    #[must_use]
    pub fn uses_domain(&self) -> bool {
        self.settings.as_ref().is_some_and(|settings| settings.use_domain)
    }

    /// Whether memory holds what somebody works on, and nothing else.
    #[must_use]
    pub fn is_sql_only(&self) -> bool {
        self.settings.as_ref().is_some_and(|settings| settings.is_sql_only)
    }

    /// Whether changes are written every `timer_interval`.
    #[must_use]
    pub fn is_back(&self) -> bool {
        self.settings.as_ref().is_some_and(|settings| settings.write == Write::Back)
    }

    /// How many changes are not in the database.
    #[must_use]
    pub fn unwritten(&self) -> usize {
        self.journal.len() + self.tables.read().iter().map(|table| table.dirty.len()).sum::<usize>()
    }

    /// Asks that everything be written soon, and gives a number for [`Store::is_flushed`].
    #[must_use]
    pub fn ask_flush(&self) -> u64 {
        let number = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        self.wake();
        number
    }

    /// The number of the last who has asked.
    #[must_use]
    pub fn flush_asked(&self) -> u64 {
        self.asked.load(Ordering::Acquire)
    }

    /// Everything that was changed before the number was given is written.
    pub fn note_flushed(&self, number: u64) {
        self.flushed.fetch_max(number, Ordering::AcqRel);
    }

    /// Whether that is so.
    #[must_use]
    pub fn is_flushed(&self, number: u64) -> bool {
        self.flushed.load(Ordering::Acquire) >= number
    }

    /// Adds a table; the engine does so before anybody uses it.
    pub fn add(&self, domain: Arc<Domain>, backend: Arc<dyn Backend>, loading: Loading) -> Arc<StoredTable> {
        let mut tables = self.tables.write();
        let number = u16::try_from(tables.len()).unwrap_or(u16::MAX);
        let table = Arc::new(StoredTable {
            number,
            domain,
            backend,
            loading,
            dirty: Dirty::default(),
            holds: Holds::default(),
            beside: OnceLock::new(),
        });
        tables.push(Arc::clone(&table));
        let _ = self.first.set(Arc::clone(&table));
        table
    }

    /// Does something with the stored table of a domain, if it has one. A lock is taken only if that is not the first, which
    /// nearly always is the only one.
    #[inline]
    pub fn with_table<R>(&self, domain: &str, act: impl FnOnce(&Arc<StoredTable>) -> R) -> Option<R> {
        match self.first.get().filter(|first| first.domain.name() == domain) {
            Some(first) => Some(act(first)),
            None => self.table(domain).map(|table| act(&table)),
        }
    }

    /// The stored table of a domain.
    #[must_use]
    pub fn table(&self, domain: &str) -> Option<Arc<StoredTable>> {
        self.tables.read().iter().find(|table| table.domain.name() == domain).cloned()
    }

    /// The table with this number.
    #[must_use]
    pub fn table_number(&self, number: u16) -> Option<Arc<StoredTable>> {
        self.tables.read().get(usize::from(number)).cloned()
    }

    /// Whether a table may hold addresses of record that memory does not know of: it is being read, or never is.
    #[must_use]
    pub fn may_hold_more(&self, domain: &Domain) -> bool {
        self.settings().is_some()
            && (self.is_sql_only() || self.table(domain.name()).is_some_and(|table| !table.loading.is_done()))
    }

    /// All tables.
    #[must_use]
    pub fn tables(&self) -> Vec<Arc<StoredTable>> {
        self.tables.read().clone()
    }

    /// Sets what is called when something has to be written.
    pub fn on_work(&self, wake: impl Fn() + Send + Sync + 'static) {
        let _ = self.wake.set(Box::new(wake));
    }

    /// Sets what is called with a location table that a script uses for the first time.
    pub fn on_table(&self, added: impl Fn(&Arc<Domain>) + Send + Sync + 'static) {
        let _ = self.added.set(Box::new(added));
    }

    /// Has a location table kept in the database from now on.
    pub(crate) fn attach(&self, domain: &Arc<Domain>) {
        if let Some(added) = self.added.get().filter(|_| self.table(domain.name()).is_none()) {
            added(domain);
        }
    }

    pub(crate) fn wake(&self) {
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }

    /// The names of branch flags, which a reload may change.
    pub fn set_flags(&self, flags: FlagNames) {
        self.flags.store(Arc::new(flags));
    }

    /// The names of branch flags.
    #[must_use]
    pub fn flags(&self) -> Arc<FlagNames> {
        self.flags.load_full()
    }

    /// Whether a REGISTER has room.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.journal.len() < limits::JOURNAL
    }

    /// What has ended must be swept out of the tables, since there was no room for it in the journal.
    pub(crate) fn want_sweep(&self) {
        self.sweep.store(true, Ordering::Release);
    }

    /// Whether that is so; it is not any more after the answer.
    #[must_use]
    pub fn takes_sweep(&self) -> bool {
        self.sweep.swap(false, Ordering::AcqRel)
    }
}
