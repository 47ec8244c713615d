//! The table, whatever database it is in.

use std::sync::Arc;

use rusqlite::Connection;

use crate::database::Database;
use crate::embedded::Embedded;
use crate::error::StorageError;
use crate::identifier::Identifier;
use crate::location::columns::Columns;
use crate::location::left::{Left, Seen};
use crate::location::mark::Mark;
use crate::location::row::{Page, Row, RowChange};
use crate::location::statements::Statements;
use crate::location::{VERSION, server, sqlite};

/// A location table of a database. Clones are the same table.
///
/// Over SQLite the first use takes the file for this process until the last clone of the database is gone.
#[derive(Clone, Debug)]
pub struct LocationTable {
    database: Database,
    statements: Arc<Statements>,
    is_shared: bool,
    mark: Option<Arc<Mark>>,
}

impl LocationTable {
    /// A table of a database. Nothing is opened yet.
    #[must_use]
    pub fn new(database: Database, table: &Identifier, columns: &Columns) -> LocationTable {
        LocationTable {
            database,
            statements: Arc::new(Statements::new(table, columns)),
            is_shared: false,
            mark: None,
        }
    }

    /// The same table, for a server that answers nobody because of what is written (write-back): all others have the
    /// processor before the thread of a SQLite file's journal.
    #[must_use]
    pub fn unhurried(mut self) -> LocationTable {
        if let Some(statements) = Arc::get_mut(&mut self.statements) {
            statements.is_unhurried = true;
        }
        self
    }

    /// The same table, for a server that has it in memory, so that it must be the only one to write it. On a server of
    /// databases it has to [`take`](LocationTable::take) it before it reads or writes, and can write until another one takes
    /// it. A SQLite file is its process's in any case, and this changes nothing.
    #[must_use]
    pub fn owned(self) -> LocationTable {
        let is_file = self.database.url().path().is_some();
        let mark = (!is_file).then(|| Arc::new(Mark::new(&self.statements.table)));
        LocationTable { mark, ..self }
    }

    /// The same table, which goes with another one: whoever takes that one has taken both.
    #[must_use]
    pub fn owned_with(self, other: &LocationTable) -> LocationTable {
        LocationTable { mark: other.mark.clone(), ..self }
    }

    /// Whether another server could take it from this one.
    #[must_use]
    pub fn can_be_taken(&self) -> bool {
        self.mark.is_some()
    }

    /// Takes an owned table, once: what its owner before has written is there, and he writes nothing from now on.
    ///
    /// # Errors
    /// The database fails, or the owner before is in the middle of a change and does not come to an end.
    pub async fn take(&self) -> Result<(), StorageError> {
        match &self.mark {
            Some(mark) => mark.take(&self.database).await,
            None => Ok(()),
        }
    }

    /// Looks whether an owned table that was taken has still not been taken by another server.
    ///
    /// # Errors
    /// [`StorageError::TakenOver`], or the database fails.
    pub async fn check_owner(&self) -> Result<(), StorageError> {
        match &self.mark {
            Some(mark) => mark.check(&self.database).await,
            None => Ok(()),
        }
    }

    /// The same table, for a server that shares it with other programs: changes are in the table itself when they are
    /// applied, and not in the journal of a SQLite file for a while. That is slower by an order of magnitude there.
    #[must_use]
    pub fn shared(self) -> LocationTable {
        LocationTable { is_shared: true, ..self }
    }

    /// The database that it is in.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Opens the database and looks whether the table is as it should be. In a SQLite file it is made when it is missing,
    /// and so is the file.
    ///
    /// # Errors
    /// The database cannot be opened, belongs to another server, or has another version of the table.
    pub async fn prepare(&self) -> Result<(), StorageError> {
        let Some(file) = self.file().await? else {
            return server::prepare(&self.database, &self.statements).await;
        };
        let statements = Arc::clone(&self.statements);
        file.writer.run(move |connection| sqlite::prepare(connection, &statements)).await?;
        // A file that may only be read can be looked at.
        match file.journal(&self.statements).await {
            Ok(_) | Err(StorageError::ReadOnly) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether a prepared table in a SQLite file may be written; a server says so when it is.
    ///
    /// # Errors
    /// [`StorageError::ReadOnly`], and those of [`prepare`](LocationTable::prepare).
    pub async fn check_writable(&self) -> Result<(), StorageError> {
        match self.file().await? {
            Some(file) => file.journal(&self.statements).await.map(drop),
            None => Ok(()),
        }
    }

    /// As [`prepare`](LocationTable::prepare), for a table that is this server's alone and has the usual columns: it is made
    /// on a server too when it is missing.
    ///
    /// # Errors
    /// As there; or it cannot be made.
    pub async fn prepare_own(&self) -> Result<(), StorageError> {
        if self.file().await?.is_none() {
            return server::make(&self.database, &self.statements).await;
        }
        self.prepare().await
    }

    /// Waits until everything that was applied is in the table itself, where other programs see it. Over SQLite that takes
    /// about a second by itself, and 15 under load; nothing is lost without it. For a stop, and before a backup.
    ///
    /// # Errors
    /// The database fails.
    pub async fn settle(&self) -> Result<(), StorageError> {
        match self.file().await? {
            Some(file) => self.settled(file, None).await,
            None => Ok(()),
        }
    }

    /// The server is about to end: what is applied from now on stays in the journal of a SQLite file, on disk, and goes into
    /// the table at the next start, unless [`settle_few`](LocationTable::settle_few) finds that there is little of it.
    ///
    /// # Errors
    /// The database fails.
    pub async fn end(&self) -> Result<(), StorageError> {
        match self.file().await? {
            Some(file) if !self.is_shared => match file.journal(&self.statements).await {
                Ok(journal) => journal.end().await,
                Err(StorageError::ReadOnly) => Ok(()),
                Err(error) => Err(error),
            },
            _ => Ok(()),
        }
    }

    /// As [`settle`](LocationTable::settle) if at most `changes` wait; otherwise it does nothing. Whether none waits then.
    ///
    /// # Errors
    /// The database fails.
    pub async fn settle_few(&self, changes: usize) -> Result<bool, StorageError> {
        let Some(file) = self.file().await? else { return Ok(true) };
        match file.journal(&self.statements).await {
            Ok(journal) if journal.waiting().await? > changes => Ok(false),
            Ok(journal) => journal.settle(None).await.map(|()| true),
            Err(StorageError::ReadOnly) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Waits until what was applied is in the table of a SQLite file; with a user only if something of the user's is not.
    async fn settled(&self, file: &Embedded, user: Option<&[u8]>) -> Result<(), StorageError> {
        match file.journal(&self.statements).await {
            Ok(journal) => journal.settle(user).await,
            Err(StorageError::ReadOnly) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Applies changes in the order given, in one transaction: all of them or none. They are on disk when this returns.
    /// Gives the vector back, with what was in it, for the next group.
    ///
    /// # Errors
    /// Nothing was changed; but with [`StorageError::Unknown`] all or nothing was, and doing the same again makes it
    /// sure. [`StorageError::TakenOver`] comes from now on when another server has taken an owned table.
    pub async fn apply(&self, changes: Vec<RowChange>) -> Result<Vec<RowChange>, StorageError> {
        let changes = Arc::new(changes);
        self.apply_shared(Arc::clone(&changes)).await?;
        Ok(Arc::unwrap_or_clone(changes))
    }

    /// As [`apply`](LocationTable::apply), for who has to keep the changes in case they fail.
    ///
    /// # Errors
    /// As there.
    pub async fn apply_shared(&self, changes: Arc<Vec<RowChange>>) -> Result<(), StorageError> {
        let Some(file) = self.file().await? else {
            return server::apply(&self.database, &self.statements, self.mark.as_deref(), &changes).await;
        };
        if self.is_shared {
            // What a journal has left of another time goes first.
            self.settled(file, None).await?;
            let statements = Arc::clone(&self.statements);
            let job = move |connection: &mut _| sqlite::apply(connection, &statements, &changes);
            return file.writer.run(job).await;
        }
        file.journal(&self.statements).await?.append(changes).await
    }

    /// The rows of a user, with `domain` those of the user in that domain only. Rows that cannot be read are left out
    /// and logged.
    ///
    /// A contact id belongs to one user for ever. Should a row be given to another one, the former may be shown it until the
    /// journal is in the table.
    ///
    /// # Errors
    /// The database fails.
    pub async fn rows_of(&self, username: &[u8], domain: Option<&[u8]>) -> Result<Vec<Row>, StorageError> {
        let Some(file) = self.file().await? else {
            return server::rows_of(&self.database, &self.statements, username, domain).await;
        };
        self.settled(file, Some(username)).await?;
        loop {
            let (_, before) = self.deleted(file, Vec::new()).await?;
            let mut rows = self.read_rows_of(file, username, domain).await?;
            if rows.is_empty() {
                return Ok(rows);
            }
            let keys = rows.iter().map(|row| sqlite::key(row.contact_id)).collect();
            let (deleted, after) = self.deleted(file, keys).await?;
            if after == before {
                rows.retain(|row| !deleted.contains(&sqlite::key(row.contact_id)));
                return Ok(rows);
            }
        }
    }

    /// Which of these rows are deleted in the journal, and how often that has gone into the table.
    async fn deleted(&self, file: &Embedded, keys: Vec<i64>) -> Result<(Vec<i64>, u64), StorageError> {
        match file.journal(&self.statements).await {
            Ok(journal) => journal.deleted(keys).await,
            Err(StorageError::ReadOnly) => Ok((Vec::new(), 0)),
            Err(error) => Err(error),
        }
    }

    async fn read_rows_of(
        &self,
        file: &Embedded,
        username: &[u8],
        domain: Option<&[u8]>,
    ) -> Result<Vec<Row>, StorageError> {
        let left = self.left(file).await?;
        let statements = Arc::clone(&self.statements);
        let (username, domain) = (username.to_vec(), domain.map(<[u8]>::to_vec));
        let job = move |connection: &mut Connection| {
            over(
                left.as_deref(),
                || sqlite::rows_of(connection, &statements, &username, domain.as_deref()),
                |left, rows, seen| left.over_user(rows, &username, domain.as_deref(), seen),
            )
        };
        file.reader.run(job).await
    }

    /// At most `rows` rows in the order of the primary key as the database has it, from the first on or from that after
    /// [`Page::last`] of the page before.
    ///
    /// # Errors
    /// The database fails. A row that cannot be read is part of the page.
    pub async fn page(&self, after_contact_id: Option<u64>, rows: u32) -> Result<Page, StorageError> {
        let Some(file) = self.file().await? else {
            return server::page(&self.database, &self.statements, after_contact_id, rows).await;
        };
        self.settled(file, None).await?;
        let statements = Arc::clone(&self.statements);
        let job = move |connection: &mut _| sqlite::page(connection, &statements, after_contact_id, rows);
        file.reader.run(job).await
    }

    /// As [`page`](LocationTable::page), for who reads everything at a start and need not wait until the journal of a SQLite
    /// file is in the table: what was applied since this table was prepared may be missing. Up to twice as many rows, in no
    /// order.
    ///
    /// # Errors
    /// As there.
    pub async fn page_at_start(
        &self,
        after_contact_id: Option<u64>,
        rows: u32,
    ) -> Result<Page, StorageError> {
        let Some(file) = self.file().await? else { return self.page(after_contact_id, rows).await };
        // Before the table is read: what leaves the journal meanwhile is in the table.
        let left = self.left(file).await?;
        if let Some(left) = &left {
            left.indexed().await;
        }
        let statements = Arc::clone(&self.statements);
        let job = move |connection: &mut Connection| {
            over(
                left.as_deref(),
                || sqlite::page(connection, &statements, after_contact_id, rows),
                |left, page, seen| left.over_page(page, after_contact_id, rows, seen),
            )
        };
        file.reader.run(job).await
    }

    /// What a process before this one has left in the journal of a SQLite file.
    async fn left(&self, file: &Embedded) -> Result<Option<Arc<Left>>, StorageError> {
        if self.is_shared {
            // Others write the table too, and it has to be right for them.
            self.settled(file, None).await?;
        }
        match file.journal(&self.statements).await {
            Ok(journal) => Ok(journal.left()),
            Err(StorageError::ReadOnly) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How many rows there are.
    ///
    /// # Errors
    /// The database fails.
    pub async fn count(&self) -> Result<u64, StorageError> {
        let Some(file) = self.file().await? else {
            return server::count(&self.database, &self.statements).await;
        };
        self.settled(file, None).await?;
        let statements = Arc::clone(&self.statements);
        file.reader.run(move |connection| sqlite::count(connection, &statements)).await
    }

    /// Deletes the rows that ended before a time in Unix seconds; how many there were. Those that do not end stay.
    ///
    /// # Errors
    /// The database fails.
    pub async fn delete_expired(&self, before_s: i64) -> Result<u64, StorageError> {
        let Some(file) = self.file().await? else {
            return server::delete_expired(&self.database, &self.statements, before_s).await;
        };
        self.settled(file, None).await?;
        let statements = Arc::clone(&self.statements);
        let job = move |connection: &mut _| sqlite::delete_expired(connection, &statements, before_s);
        file.writer.run(job).await
    }

    /// What was kept under a name in the table `seawall_state` of the same database.
    ///
    /// # Errors
    /// The database fails.
    pub async fn state_get(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let Some(file) = self.file().await? else {
            return server::state_get(&self.database, name).await;
        };
        let name = name.to_owned();
        file.reader.run(move |connection| sqlite::state_get(connection, &name)).await
    }

    /// Keeps a value under a name of at most 64 letters in the table `seawall_state`. It is on disk when this returns.
    ///
    /// # Errors
    /// The database fails.
    pub async fn state_put(&self, name: &str, value: &[u8]) -> Result<(), StorageError> {
        let Some(file) = self.file().await? else {
            return server::state_put(&self.database, name, value).await;
        };
        let (name, value) = (name.to_owned(), value.to_vec());
        let job = move |connection: &mut _| sqlite::state_put(connection, &name, &value);
        file.writer.run(job).await
    }

    /// The SQLite file that the table is in, if it is in one.
    async fn file(&self) -> Result<Option<&Embedded>, StorageError> {
        match self.database.url().path() {
            Some(path) => self.database.embedded(path).await.map(Some),
            None => Ok(None),
        }
    }
}

/// Reads from the table and lays over it what is left in the journal; again, when that has gone into the table meanwhile.
fn over<T>(
    left: Option<&Left>,
    mut read: impl FnMut() -> Result<T, StorageError>,
    mut lay: impl FnMut(&Left, T, Seen) -> Result<Option<T>, StorageError>,
) -> Result<T, StorageError> {
    let Some(left) = left else { return read() };
    loop {
        let seen = left.seen();
        let found = read()?;
        if let Some(whole) = lay(left, found, seen)? {
            return Ok(whole);
        }
    }
}

/// Whether the version that was found for a table is the one that is known here.
pub(super) fn check_version(table: &str, found: Option<i64>) -> Result<(), StorageError> {
    match found {
        Some(VERSION) => Ok(()),
        Some(found) => Err(StorageError::Schema(format!(
            "the table `{table}` has version {found}, and {VERSION} is needed"
        ))),
        None => Err(StorageError::Schema(format!(
            "the table `version` has no row for `{table}`, which must have version {VERSION}"
        ))),
    }
}
