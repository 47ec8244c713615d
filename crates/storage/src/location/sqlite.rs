//! The location table in a SQLite file.

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{CachedStatement, Connection, OptionalExtension, ToSql, TransactionBehavior};

use crate::datetime;
use crate::error::StorageError;
use crate::limits::FOLD_ROWS;
use crate::location::VERSION;
use crate::location::columns::COUNT;
use crate::location::journal::{Entry, Journal};
use crate::location::read::{Read, add};
use crate::location::record::{self, Change, View};
use crate::location::row::{Page, Row, RowChange};
use crate::location::statements::Statements;
use crate::schema;
use crate::url::Kind;

/// Makes the tables that are missing and checks the version of the one that is there.
pub(super) fn prepare(connection: &mut Connection, statements: &Statements) -> Result<(), StorageError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let table = statements.table.as_str();
    let exists = |name: &str| {
        let sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1";
        transaction.query_row(sql, [name], |_| Ok(())).optional().map(|found| found.is_some())
    };
    if !exists("version")? {
        transaction.execute_batch(&schema::create_version(Kind::Sqlite).join(";"))?;
    }
    if !exists("seawall_state")? {
        transaction.execute_batch(&schema::create_state(Kind::Sqlite).join(";"))?;
    }
    if exists(table)? {
        let sql = "SELECT table_version FROM version WHERE table_name = ?1";
        let found = transaction.query_row(sql, [table], |row| row.get::<_, i64>(0)).optional()?;
        super::table::check_version(table, found)?;
        transaction.prepare(&statements.first_page)?;
    } else {
        transaction.execute_batch(&statements.create.join(";"))?;
        let sql = "INSERT OR REPLACE INTO version (table_name, table_version) VALUES (?1, ?2)";
        transaction.execute(sql, (table, VERSION))?;
    }
    Ok(transaction.commit()?)
}

/// Whether the table can be written, before anybody is told that something is kept for it.
pub(super) fn check_writable(connection: &Connection, statements: &Statements) -> Result<(), StorageError> {
    connection.prepare_cached(&statements.upsert)?;
    let query_only: bool = connection.query_row("PRAGMA query_only", [], |row| row.get(0))?;
    if query_only || connection.is_readonly("main")? { Err(StorageError::ReadOnly) } else { Ok(()) }
}

/// A journal on its way into the table: the last change of each row, by primary key, so that a page that several rows
/// are on is touched once.
#[derive(Debug)]
pub(super) struct Fold {
    order: Vec<Entry>,
    done: usize,
    buffer: Vec<u8>,
    date: Date,
}

impl Fold {
    pub(super) fn new(journal: &Journal) -> Fold {
        let mut order: Vec<Entry> = journal.entries().collect();
        order.sort_by_key(|entry| entry.key);
        // Of the changes of one row the last.
        order.reverse();
        order.dedup_by_key(|entry| entry.key);
        order.reverse();
        Fold { order, done: 0, buffer: Vec::new(), date: (0, datetime::format(0)) }
    }

    /// Puts the next part into the table; whether there is more. When there is not, all of it is on disk.
    pub(super) fn step(
        &mut self,
        connection: &mut Connection,
        statements: &Statements,
        journal: &Journal,
    ) -> Result<bool, StorageError> {
        let part = self.order.get(self.done..).unwrap_or_default();
        let is_last = part.len() <= FOLD_ROWS;
        let part = part.get(..FOLD_ROWS).unwrap_or(part).to_vec();
        // The journal holds everything until the end; syncing the log then syncs all parts.
        let level = if is_last { "FULL" } else { "NORMAL" };
        connection.execute_batch(&format!("PRAGMA synchronous = {level}"))?;
        let result = self.write(connection, statements, journal, &part);
        connection.execute_batch("PRAGMA synchronous = FULL")?;
        result?;
        self.done += part.len();
        Ok(!is_last)
    }

    fn write(
        &mut self,
        connection: &mut Connection,
        statements: &Statements,
        journal: &Journal,
        part: &[Entry],
    ) -> Result<(), StorageError> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut upsert = transaction.prepare_cached(&statements.upsert)?;
            let mut delete = transaction.prepare_cached(&statements.delete)?;
            for entry in part {
                journal.read(entry, &mut self.buffer)?;
                put(&mut upsert, &mut delete, entry.key, &self.buffer, &mut self.date)?;
            }
        }
        Ok(transaction.commit()?)
    }
}

/// A date that was written last: most rows of a group have the same.
type Date = (i64, String);

/// Puts one change into the table.
fn put(
    upsert: &mut CachedStatement<'_>,
    delete: &mut CachedStatement<'_>,
    key: i64,
    change: &[u8],
    date: &mut Date,
) -> Result<(), StorageError> {
    match record::decode(change) {
        Some(Change::Upsert(row)) => {
            if date.0 != row.last_modified {
                *date = (row.last_modified, datetime::format(row.last_modified));
            }
            bind(upsert, key, &row, &date.1)?;
            if upsert.raw_execute()? == 0 {
                // The row was another user's.
                delete.execute([key])?;
                upsert.raw_execute()?;
            }
        }
        Some(Change::Delete) => {
            delete.execute([key])?;
        }
        None => return Err(StorageError::Damaged("a change in the journal".to_owned())),
    }
    Ok(())
}

/// Applies changes to the table itself, in one transaction that is on disk when this returns.
pub(super) fn apply(
    connection: &mut Connection,
    statements: &Statements,
    changes: &[RowChange],
) -> Result<(), StorageError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut upsert = transaction.prepare_cached(&statements.upsert)?;
        let mut delete = transaction.prepare_cached(&statements.delete)?;
        let (mut buffer, mut date) = (Vec::new(), (0, datetime::format(0)));
        for change in changes {
            buffer.clear();
            record::encode(change, &mut buffer);
            put(&mut upsert, &mut delete, key(change.contact_id()), &buffer, &mut date)?;
        }
    }
    transaction.commit().map_err(|error| match StorageError::from(error) {
        // The write or its sync failed: what is on the disk is known when the file is opened next time.
        StorageError::Unreachable(text) => StorageError::Unknown(text),
        other => other,
    })
}

/// SQLite's integers are signed; the bits stay.
pub(super) fn key(contact_id: u64) -> i64 {
    contact_id.cast_signed()
}

/// Bytes that are bound as text without a look at them: SQLite stores what it gets.
struct Text<'a>(&'a [u8]);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

/// The same, with NULL for nothing.
struct TextOrNull<'a>(&'a [u8]);

impl ToSql for TextOrNull<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let value = if self.0.is_empty() { ValueRef::Null } else { ValueRef::Text(self.0) };
        Ok(ToSqlOutput::Borrowed(value))
    }
}

fn bind(
    statement: &mut CachedStatement<'_>,
    key: i64,
    row: &View<'_>,
    modified: &str,
) -> Result<(), StorageError> {
    let [
        username,
        domain,
        contact,
        received,
        path,
        callid,
        cflags,
        user_agent,
        socket,
        instance,
        kv_store,
        attr,
    ] = row.texts;
    let values: [&dyn ToSql; COUNT] = [
        &key,
        &Text(username),
        &TextOrNull(domain),
        &Text(contact),
        &TextOrNull(received),
        &TextOrNull(path),
        &row.expires,
        &f64::from(row.q),
        &Text(callid),
        &row.cseq,
        &modified,
        &row.flags,
        &TextOrNull(cflags),
        &Text(user_agent),
        &TextOrNull(socket),
        &row.methods,
        &TextOrNull(instance),
        &TextOrNull(kv_store),
        &TextOrNull(attr),
    ];
    for (index, value) in values.into_iter().enumerate() {
        statement.raw_bind_parameter(index + 1, value)?;
    }
    Ok(())
}

/// The rows of one user.
pub(super) fn rows_of(
    connection: &Connection,
    statements: &Statements,
    username: &[u8],
    domain: Option<&[u8]>,
) -> Result<Vec<Row>, StorageError> {
    let sql = if domain.is_some() { &statements.of_user_and_domain } else { &statements.of_user };
    let mut statement = connection.prepare_cached(sql)?;
    statement.raw_bind_parameter(1, Text(username))?;
    if let Some(domain) = domain {
        statement.raw_bind_parameter(2, Text(domain))?;
    }
    let mut rows = statement.raw_query();
    let mut page = Page::default();
    while let Some(row) = rows.next()? {
        read(row, &mut page)?;
    }
    page.warn(&statements.table);
    Ok(page.rows)
}

/// The next rows in the order of the primary key.
pub(super) fn page(
    connection: &Connection,
    statements: &Statements,
    after: Option<u64>,
    rows: u32,
) -> Result<Page, StorageError> {
    let sql = if after.is_some() { &statements.next_page } else { &statements.first_page };
    let mut statement = connection.prepare_cached(sql)?;
    statement.raw_bind_parameter(1, rows)?;
    if let Some(after) = after {
        statement.raw_bind_parameter(2, key(after))?;
    }
    let mut found = statement.raw_query();
    let mut page = Page::default();
    let (mut last, mut count) = (None, 0_u32);
    while let Some(row) = found.next()? {
        last = Some(read(row, &mut page)?);
        count += 1;
    }
    page.last = last.filter(|_| count >= rows.max(1));
    Ok(page)
}

/// Reads a row into the page, among the good or the broken; gives its key.
fn read(row: &rusqlite::Row<'_>, page: &mut Page) -> Result<u64, StorageError> {
    let contact_id = row.get::<_, i64>(0)?.cast_unsigned();
    add(page, contact_id, &Read { value: |index| row.get_ref(index).ok(), decode: |bytes| bytes });
    Ok(contact_id)
}

/// How many rows there are.
pub(super) fn count(connection: &Connection, statements: &Statements) -> Result<u64, StorageError> {
    let count: i64 = connection.prepare_cached(&statements.count)?.query_row([], |row| row.get(0))?;
    Ok(count.cast_unsigned())
}

/// Deletes the rows that ended before a time; how many.
pub(super) fn delete_expired(
    connection: &Connection,
    statements: &Statements,
    before_s: i64,
) -> Result<u64, StorageError> {
    let deleted = connection.prepare_cached(&statements.delete_expired)?.execute([before_s])?;
    Ok(u64::try_from(deleted).unwrap_or(0))
}

/// A value of the state table.
pub(super) fn state_get(connection: &Connection, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
    let mut statement = connection.prepare_cached("SELECT value FROM seawall_state WHERE name = ?1")?;
    let value = statement.query_row([name], |row| row.get::<_, Value>(0)).optional()?;
    Ok(match value {
        None | Some(Value::Null) => None,
        Some(Value::Blob(bytes)) => Some(bytes),
        Some(Value::Text(text)) => Some(text.into_bytes()),
        Some(_) => return Err(StorageError::Schema("seawall_state.value is no blob".to_owned())),
    })
}

/// Sets a value of the state table.
pub(super) fn state_put(connection: &Connection, name: &str, value: &[u8]) -> Result<(), StorageError> {
    let sql = "INSERT INTO seawall_state (name, value) VALUES (?1, ?2)
        ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    connection.prepare_cached(sql)?.execute((name, value))?;
    Ok(())
}
