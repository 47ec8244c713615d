//! The location table in a SQLite file.

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{CachedStatement, Connection, OptionalExtension, ToSql, TransactionBehavior};

use crate::error::StorageError;
use crate::location::columns::COUNT;
use crate::location::row::{BrokenRow, Page, Row, RowChange};
use crate::location::statements::Statements;
use crate::location::{VERSION, datetime};

/// The key/value table of our own.
const STATE: &str = "CREATE TABLE IF NOT EXISTS seawall_state (
    name CHAR(64) PRIMARY KEY NOT NULL,
    value BLOB NOT NULL) WITHOUT ROWID";

/// Makes the tables that are missing and checks the version of the one that is there.
pub(super) fn prepare(connection: &mut Connection, statements: &Statements) -> Result<(), StorageError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let table = statements.table.as_str();
    let exists = |name: &str| {
        let sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1";
        transaction.query_row(sql, [name], |_| Ok(())).optional().map(|found| found.is_some())
    };
    if !exists("version")? {
        transaction.execute_batch(crate::schema::VERSION_TABLE)?;
    }
    if !exists("seawall_state")? {
        transaction.execute_batch(STATE)?;
    }
    if exists(table)? {
        let sql = "SELECT table_version FROM version WHERE table_name = ?1";
        let found = transaction.query_row(sql, [table], |row| row.get::<_, i64>(0)).optional()?;
        super::table::check_version(table, found)?;
        transaction.prepare(&statements.first_page)?;
    } else {
        transaction.execute_batch(&statements.create)?;
        transaction.execute_batch(&statements.index)?;
        let sql = "INSERT OR REPLACE INTO version (table_name, table_version) VALUES (?1, ?2)";
        transaction.execute(sql, (table, VERSION))?;
    }
    Ok(transaction.commit()?)
}

/// Applies changes in one transaction, which is on disk when this returns.
pub(super) fn apply(
    connection: &mut Connection,
    statements: &Statements,
    changes: &[RowChange],
) -> Result<(), StorageError> {
    if changes.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut upsert = transaction.prepare_cached(&statements.upsert)?;
        let mut delete = transaction.prepare_cached(&statements.delete)?;
        // By primary key, a page that several rows are on is touched once. The order of changes of one row stays.
        let mut order: Vec<&RowChange> = changes.iter().collect();
        order.sort_by_key(|change| key(change.contact_id()));
        for change in order {
            match change {
                RowChange::Upsert(row) => write(&mut upsert, row)?,
                RowChange::Delete { contact_id } => {
                    delete.execute([key(*contact_id)])?;
                }
            }
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

fn write(statement: &mut CachedStatement<'_>, row: &Row) -> Result<(), StorageError> {
    let modified = datetime::format(row.last_modified);
    let values: [&dyn ToSql; COUNT] = [
        &key(row.contact_id),
        &Text(&row.username),
        &TextOrNull(&row.domain),
        &Text(&row.contact),
        &TextOrNull(&row.received),
        &TextOrNull(&row.path),
        &row.expires,
        &f64::from(row.q),
        &Text(&row.callid),
        &row.cseq,
        &modified,
        &row.flags,
        &TextOrNull(&row.cflags),
        &Text(&row.user_agent),
        &TextOrNull(&row.socket),
        &row.methods,
        &TextOrNull(&row.sip_instance),
        &TextOrNull(&row.kv_store),
        &TextOrNull(&row.attr),
    ];
    for (index, value) in values.into_iter().enumerate() {
        statement.raw_bind_parameter(index + 1, value)?;
    }
    statement.raw_execute()?;
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
    for broken in &page.broken {
        tracing::error!("{}: row {} is not used: {}", statements.table, broken.contact_id, broken.reason);
    }
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
    match Reader(row).row(contact_id) {
        Ok(row) => page.rows.push(row),
        Err(column) => page.broken.push(BrokenRow {
            contact_id,
            reason: format!("column {} is empty, or of another kind, or out of range", column + 1),
        }),
    }
    Ok(contact_id)
}

/// Reads the columns of a row; an error is the index of the column that cannot be read.
struct Reader<'a>(&'a rusqlite::Row<'a>);

impl Reader<'_> {
    fn row(&self, contact_id: u64) -> Result<Row, usize> {
        let row = Row {
            contact_id,
            username: self.text(1)?,
            domain: self.text(2)?,
            contact: self.text(3)?,
            received: self.text(4)?,
            path: self.text(5)?,
            expires: self.integer(6)?,
            q: self.real(7)?,
            callid: self.text(8)?,
            cseq: u32::try_from(self.integer(9)?).map_err(|_| 9_usize)?,
            last_modified: self.date(10)?,
            flags: self.bits(11)?.unwrap_or(0),
            cflags: self.text(12)?,
            user_agent: self.text(13)?,
            socket: self.text(14)?,
            methods: self.bits(15)?,
            sip_instance: self.text(16)?,
            kv_store: self.text(17)?,
            attr: self.text(18)?,
        };
        if row.contact.is_empty() {
            return Err(3);
        }
        Ok(row)
    }

    fn value(&self, index: usize) -> Result<ValueRef<'_>, usize> {
        self.0.get_ref(index).map_err(|_| index)
    }

    /// Text or bytes; that of a number, since SQLite keeps what was put in whatever its column is called.
    fn text(&self, index: usize) -> Result<Vec<u8>, usize> {
        Ok(match self.value(index)? {
            ValueRef::Null => Vec::new(),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.to_vec(),
            ValueRef::Integer(number) => number.to_string().into_bytes(),
            ValueRef::Real(number) => number.to_string().into_bytes(),
        })
    }

    fn integer(&self, index: usize) -> Result<i64, usize> {
        match self.value(index)? {
            ValueRef::Integer(number) => Ok(number),
            ValueRef::Text(text) => {
                std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok()).ok_or(index)
            }
            _ => Err(index),
        }
    }

    /// A number of 32 bits, whatever its sign was taken to be.
    fn bits(&self, index: usize) -> Result<Option<u32>, usize> {
        if self.value(index)? == ValueRef::Null {
            return Ok(None);
        }
        let number = self.integer(index)?;
        let bits = u32::try_from(number).ok().or_else(|| i32::try_from(number).ok().map(i32::cast_unsigned));
        bits.map(Some).ok_or(index)
    }

    fn real(&self, index: usize) -> Result<f32, usize> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "q has three digits"
        )]
        match self.value(index)? {
            ValueRef::Real(number) => Ok(number as f32),
            ValueRef::Integer(number) => Ok(number as f32),
            ValueRef::Text(text) => {
                std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok()).ok_or(index)
            }
            _ => Err(index),
        }
    }

    /// A date as text or as Unix seconds. It decides nothing but the order, so that one that makes no sense is 0.
    fn date(&self, index: usize) -> Result<i64, usize> {
        Ok(match self.value(index)? {
            ValueRef::Integer(unix_s) => unix_s,
            ValueRef::Text(text) => std::str::from_utf8(text).ok().and_then(datetime::parse).unwrap_or(0),
            _ => 0,
        })
    }
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
