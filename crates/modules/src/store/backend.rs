//! What the server needs of a table in a database. A trait, so that tests can have one that is slow, full, or gone.

use std::pin::Pin;
use std::sync::Arc;

use seawall_storage::StorageError;
use seawall_storage::location::{LocationTable, Page, Row, RowChange};

/// Something that a database does.
pub type Doing<'a, T> = Pin<Box<dyn Future<Output = Result<T, StorageError>> + Send + 'a>>;

/// A table of bindings. The meaning of each function is that of [`LocationTable`].
pub trait Backend: Send + Sync {
    /// Makes it usable, or says why it is not.
    fn prepare(&self) -> Doing<'_, ()>;
    /// Makes all changes in one transaction, or none of them; they are on disk then.
    fn apply(&self, changes: Vec<RowChange>) -> Doing<'_, Vec<RowChange>>;
    /// The same, for who keeps the changes in case they fail.
    fn apply_shared(&self, changes: Arc<Vec<RowChange>>) -> Doing<'_, ()> {
        Box::pin(async move { self.apply((*changes).clone()).await.map(drop) })
    }
    /// The rows of one address of record.
    fn rows_of<'a>(&'a self, username: &'a [u8], domain: Option<&'a [u8]>) -> Doing<'a, Vec<Row>>;
    /// The next rows of all, for the loader ([`LocationTable::page_at_start`]).
    fn page(&self, after_contact_id: Option<u64>, rows: u32) -> Doing<'_, Page>;
    /// How many rows there are.
    fn count(&self) -> Doing<'_, u64>;
    /// Removes what was over before a second.
    fn delete_expired(&self, before_s: i64) -> Doing<'_, u64>;
    /// Lets other programs see in the table what is on disk.
    fn settle(&self) -> Doing<'_, ()>;
    /// The same if at most so many changes are not there; whether all are then.
    fn settle_few(&self, _changes: usize) -> Doing<'_, bool> {
        Box::pin(async move { self.settle().await.map(|()| true) })
    }
    /// Whether another server could take it from this one, so that somebody has to look.
    fn can_be_taken(&self) -> bool {
        false
    }
    /// Looks whether another server has; an error then.
    fn check_owner(&self) -> Doing<'_, ()> {
        Box::pin(async { Ok(()) })
    }
    /// The server is about to end: changes have to be on disk, and need not be where other programs see them.
    fn end(&self) -> Doing<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// What is kept beside the bindings of a table, and has to be there before they are used.
pub trait Beside: Send + Sync {
    /// Reads what belongs to an address of record, unless it is there.
    fn read<'a>(&'a self, aor: &'a [u8]) -> Doing<'a, ()>;
    /// The bindings of that address of record are in memory now.
    fn resume(&self, aor: &[u8]);
    /// Reads everything that is not there yet.
    fn load(&self) -> Doing<'_, ()>;
    /// All bindings are in memory now.
    fn resume_all(&self);
    /// Writes everything that has changed so far.
    fn flush(&self) -> Doing<'_, ()>;
}

impl Backend for LocationTable {
    fn prepare(&self) -> Doing<'_, ()> {
        Box::pin(self.prepare())
    }

    fn apply(&self, changes: Vec<RowChange>) -> Doing<'_, Vec<RowChange>> {
        Box::pin(self.apply(changes))
    }

    fn apply_shared(&self, changes: Arc<Vec<RowChange>>) -> Doing<'_, ()> {
        Box::pin(self.apply_shared(changes))
    }

    fn rows_of<'a>(&'a self, username: &'a [u8], domain: Option<&'a [u8]>) -> Doing<'a, Vec<Row>> {
        Box::pin(self.rows_of(username, domain))
    }

    fn page(&self, after_contact_id: Option<u64>, rows: u32) -> Doing<'_, Page> {
        Box::pin(self.page_at_start(after_contact_id, rows))
    }

    fn count(&self) -> Doing<'_, u64> {
        Box::pin(self.count())
    }

    fn delete_expired(&self, before_s: i64) -> Doing<'_, u64> {
        Box::pin(self.delete_expired(before_s))
    }

    fn settle(&self) -> Doing<'_, ()> {
        Box::pin(self.settle())
    }

    fn settle_few(&self, changes: usize) -> Doing<'_, bool> {
        Box::pin(self.settle_few(changes))
    }

    fn end(&self) -> Doing<'_, ()> {
        Box::pin(self.end())
    }
}
