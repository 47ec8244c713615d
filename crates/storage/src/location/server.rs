//! The location table of a PostgreSQL or MySQL server.

use sqlx::postgres::PgPool;
use sqlx::types::chrono::NaiveDateTime;
use sqlx::{AssertSqlSafe, Connection, Row as _};

use crate::cell::{Cell, naive};
use crate::database::Database;
use crate::error::StorageError;
use crate::identifier::Identifier;
use crate::limits::STATEMENT_ROWS;
use crate::location::VERSION;
use crate::location::columns::{COUNT, Column};
use crate::location::mark::Mark;
use crate::location::read::{Read, add};
use crate::location::row::{Page, Row, RowChange};
use crate::location::statements::Statements;
use crate::pool::{Pool, Statement};
use crate::schema;
use crate::text;
use crate::url::Kind;

/// Says how tables are made, with what is wrong.
fn with_advice(error: StorageError, database: &Database) -> StorageError {
    match error {
        StorageError::Schema(text) => {
            StorageError::Schema(format!("{text}; `seawall ctl db-init {}` makes the tables", database.url()))
        }
        other => other,
    }
}

/// Looks whether the tables are there and as they should be.
pub(super) async fn prepare(database: &Database, statements: &Statements) -> Result<(), StorageError> {
    let check = async {
        let table = statements.table.as_str();
        let sql = "SELECT table_version FROM version WHERE table_name = ?";
        let rows = database.rows(sql, &[Cell::from(table)]).await?;
        let found = rows.first().and_then(|row| row.first()).and_then(Cell::as_integer);
        super::table::check_version(table, found)?;
        database.rows(&statements.nothing, &[]).await?;
        database.rows("SELECT name FROM seawall_state WHERE name = ''", &[]).await
    };
    check.await.map(drop).map_err(|error| with_advice(error, database))
}

/// Makes the table in the form of a location table, if there is none.
pub(super) async fn make(database: &Database, statements: &Statements) -> Result<(), StorageError> {
    match prepare(database, statements).await {
        Err(StorageError::Schema(_)) => {}
        other => return other,
    }
    let name = Identifier::new(&statements.table)
        .map_err(|_| StorageError::Schema("the name of a table is no name".to_owned()))?;
    let mut steps = schema::create_location(database.url().kind(), &name, &[]);
    steps.push(schema::set_version(&statements.table, VERSION));
    let mut failed = None;
    for sql in steps {
        // Another server may make it at the same time; whether it is right in the end is asked below.
        if let Err(error) = database.execute(&sql, &[]).await {
            failed.get_or_insert(error);
        }
    }
    // Whoever may not make tables is told so, and not that one is missing.
    prepare(database, statements).await.map_err(|error| match failed {
        Some(why) => StorageError::Schema(format!("the table `{}` cannot be made: {why}", statements.table)),
        None => error,
    })
}

/// The last change of each row, by primary key: those that are written and those that are deleted. Every change says
/// what the row is from then on, so that those before it do not matter.
fn settled(changes: &[RowChange]) -> (Vec<&Row>, Vec<u64>) {
    let mut order: Vec<&RowChange> = changes.iter().collect();
    order.sort_by_key(|change| change.contact_id());
    let (mut written, mut deleted) = (Vec::with_capacity(order.len()), Vec::new());
    for (index, change) in order.iter().enumerate() {
        let next = order.get(index + 1).map(|next| next.contact_id());
        if next == Some(change.contact_id()) {
            continue;
        }
        match change {
            RowChange::Upsert(row) => written.push(&**row),
            RowChange::Delete { contact_id } => deleted.push(*contact_id),
        }
    }
    (written, deleted)
}

/// Applies changes in one transaction: one round trip of PostgreSQL, one for 256 rows of MySQL. With a mark only if the table
/// is this process's.
pub(super) async fn apply(
    database: &Database,
    statements: &Statements,
    mark: Option<&Mark>,
    changes: &[RowChange],
) -> Result<(), StorageError> {
    if changes.is_empty() {
        return Ok(());
    }
    let (written, deleted) = settled(changes);
    let pool = database.timed(database.pool()).await?;
    let change = async {
        if let Pool::Postgres(pool) = pool {
            return postgres(pool, statements, mark, &written, deleted).await;
        }
        let mut parts = Vec::new();
        for rows in Groups(&written) {
            let values = rows.iter().flat_map(|row| cells(row)).collect();
            parts.push(Statement { sql: statements.many(rows.len()), values });
        }
        for contact_id in deleted {
            let values = vec![Cell::Integer(contact_id.cast_signed())];
            parts.push(Statement { sql: statements.delete_one.clone(), values });
        }
        let hold = mark.map(Mark::hold);
        pool.change_if(hold.as_ref(), &parts).await.map(|changed| changed.is_some())
    };
    let is_done = database.timed(change).await.map_err(|error| match error {
        // Too late: the server may do it yet.
        StorageError::Unreachable(text) if text.starts_with("no answer") => StorageError::Unknown(text),
        other => other,
    })?;
    match mark {
        Some(mark) if !is_done => Err(mark.lost(database).await),
        _ => Ok(()),
    }
}

/// Rows in groups of a few sizes only, so that the statements for them are prepared once.
struct Groups<'a, 'b>(&'a [&'b Row]);

impl<'a, 'b> Iterator for Groups<'a, 'b> {
    type Item = &'a [&'b Row];

    fn next(&mut self) -> Option<Self::Item> {
        let sizes = [STATEMENT_ROWS, 64, 16, 4, 1];
        let size = sizes.into_iter().find(|size| *size <= self.0.len())?;
        let (group, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(group)
    }
}

/// The values of a row for MySQL. Texts are bound as bytes, so that a column of any character set gets what we have.
fn cells(row: &Row) -> [Cell; COUNT] {
    let text = |bytes: &[u8]| Cell::Blob(text::encode(bytes).into_owned().into_bytes());
    let or_null = |bytes: &[u8]| if bytes.is_empty() { Cell::Null } else { text(bytes) };
    [
        Cell::Integer(row.contact_id.cast_signed()),
        text(&row.username),
        or_null(&row.domain),
        text(&row.contact),
        or_null(&row.received),
        or_null(&row.path),
        Cell::Integer(row.expires),
        Cell::Real(f64::from(row.q)),
        text(&row.callid),
        Cell::Integer(row.cseq.into()),
        Cell::Time(row.last_modified),
        Cell::Integer(row.flags.cast_signed().into()),
        or_null(&row.cflags),
        text(&row.user_agent),
        or_null(&row.socket),
        row.methods.map_or(Cell::Null, |methods| Cell::Integer(methods.cast_signed().into())),
        or_null(&row.sip_instance),
        or_null(&row.kv_store),
        or_null(&row.attr),
    ]
}

/// One column of many rows.
fn column<'a, T>(rows: &[&'a Row], value: impl Fn(&'a Row) -> T) -> Vec<T> {
    rows.iter().map(|row| value(row)).collect()
}

/// A column of texts.
fn texts<'a>(rows: &[&'a Row], value: impl Fn(&'a Row) -> &'a Vec<u8>) -> Vec<String> {
    column(rows, |row| text::encode(value(row)).into_owned())
}

/// A column of texts that may be NULL.
fn texts_or_null<'a>(rows: &[&'a Row], value: impl Fn(&'a Row) -> &'a Vec<u8>) -> Vec<Option<String>> {
    let some = |bytes: &'a Vec<u8>| (!bytes.is_empty()).then(|| text::encode(bytes).into_owned());
    column(rows, |row| some(value(row)))
}

/// A group in one or two statements: columns travel as arrays. With a mark it is one, which does nothing and gives false
/// when the table is not this process's any more.
async fn postgres(
    pool: &PgPool,
    statements: &Statements,
    mark: Option<&Mark>,
    rows: &[&Row],
    deleted: Vec<u64>,
) -> Result<bool, StorageError> {
    let mut connection = pool.acquire().await?;
    let ids: Vec<i64> = deleted.into_iter().map(u64::cast_signed).collect();
    let times: Option<Vec<NaiveDateTime>> = rows.iter().map(|row| naive(row.last_modified)).collect();
    let times = times.ok_or_else(|| StorageError::Data("a time is out of range".to_owned()))?;
    let upsert = |sql: &str| {
        sqlx::query(AssertSqlSafe(sql))
            .bind(column(rows, |row| row.contact_id.cast_signed()))
            .bind(texts(rows, |row| &row.username))
            .bind(texts_or_null(rows, |row| &row.domain))
            .bind(texts(rows, |row| &row.contact))
            .bind(texts_or_null(rows, |row| &row.received))
            .bind(texts_or_null(rows, |row| &row.path))
            .bind(column(rows, |row| row.expires))
            .bind(column(rows, |row| row.q))
            .bind(texts(rows, |row| &row.callid))
            .bind(column(rows, |row| i64::from(row.cseq)))
            .bind(times)
            .bind(column(rows, |row| row.flags.cast_signed()))
            .bind(texts_or_null(rows, |row| &row.cflags))
            .bind(texts(rows, |row| &row.user_agent))
            .bind(texts_or_null(rows, |row| &row.socket))
            .bind(column(rows, |row| row.methods.map(u32::cast_signed)))
            .bind(texts_or_null(rows, |row| &row.sip_instance))
            .bind(texts_or_null(rows, |row| &row.kv_store))
            .bind(texts_or_null(rows, |row| &row.attr))
    };
    let lost = StorageError::in_change;
    if let Some(mark) = mark {
        let change = upsert(&statements.change_marked).bind(ids).bind(&mark.name).bind(&mark.value);
        let marks = change.fetch_one(&mut *connection).await.map_err(lost)?;
        return Ok(marks.try_get::<i64, _>(0)? > 0);
    }
    let delete = || sqlx::query(AssertSqlSafe(statements.delete_array.as_str())).bind(&ids);
    match (rows.is_empty(), ids.is_empty()) {
        (false, true) => {
            upsert(&statements.upsert_arrays).execute(&mut *connection).await.map_err(lost)?;
        }
        (true, false) => {
            delete().execute(&mut *connection).await.map_err(lost)?;
        }
        (false, false) => {
            let mut transaction = connection.begin().await?;
            upsert(&statements.upsert_arrays).execute(&mut *transaction).await?;
            delete().execute(&mut *transaction).await?;
            transaction.commit().await.map_err(lost)?;
        }
        (true, true) => {}
    }
    Ok(true)
}

/// Takes rows that came as cells apart.
fn read(rows: &[Vec<Cell>]) -> Page {
    let mut page = Page::default();
    for row in rows {
        let contact_id = row.first().and_then(Cell::as_integer).unwrap_or(0).cast_unsigned();
        let value = |index: usize| row.get(index).map(Cell::plain);
        add(&mut page, contact_id, &Read { value, decode: text::decode });
    }
    page
}

/// The rows of one user.
pub(super) async fn rows_of(
    database: &Database,
    statements: &Statements,
    username: &[u8],
    domain: Option<&[u8]>,
) -> Result<Vec<Row>, StorageError> {
    let encoded = text::encode(username).into_owned();
    // Compared as text, MySQL finds it by the index; as bytes it finds what another character set would change.
    let key = if database.url().kind() == Kind::Mysql && !encoded.is_ascii() {
        Cell::Blob(encoded.into_bytes())
    } else {
        Cell::Text(encoded)
    };
    let page = read(&database.rows(&statements.of_user_anywhere, &[key]).await?);
    page.warn(&statements.table);
    // MySQL compares without regard to case.
    let mut rows = page.rows;
    rows.retain(|row| row.username == username && domain.is_none_or(|domain| row.domain == domain));
    Ok(rows)
}

/// The next rows in the order of the primary key.
pub(super) async fn page(
    database: &Database,
    statements: &Statements,
    after: Option<u64>,
    rows: u32,
) -> Result<Page, StorageError> {
    let found = match after {
        Some(after) => {
            let values = [Cell::Integer(after.cast_signed()), Cell::Integer(rows.into())];
            database.rows(&statements.next_page_anywhere, &values).await?
        }
        None => database.rows(&statements.first_page_anywhere, &[Cell::Integer(rows.into())]).await?,
    };
    let mut page = read(&found);
    if found.len() >= usize::try_from(rows.max(1)).unwrap_or(usize::MAX) {
        let last = found.last().and_then(|row| row.first()).and_then(Cell::as_integer);
        page.last = last.map(i64::cast_unsigned);
    }
    Ok(page)
}

/// How many rows there are.
pub(super) async fn count(database: &Database, statements: &Statements) -> Result<u64, StorageError> {
    let rows = database.rows(&statements.count, &[]).await?;
    let count = rows.first().and_then(|row| row.first()).and_then(Cell::as_integer).unwrap_or(0);
    Ok(count.cast_unsigned())
}

/// Deletes the rows that ended before a time; how many.
pub(super) async fn delete_expired(
    database: &Database,
    statements: &Statements,
    before_s: i64,
) -> Result<u64, StorageError> {
    database.execute(&statements.delete_expired_anywhere, &[Cell::Integer(before_s)]).await
}

/// A value of the state table.
pub(super) async fn state_get(database: &Database, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
    let rows = database.rows("SELECT value FROM seawall_state WHERE name = ?", &[Cell::from(name)]).await?;
    Ok(match rows.into_iter().next().and_then(|row| row.into_iter().next()) {
        Some(Cell::Blob(bytes)) => Some(bytes),
        Some(Cell::Text(text)) => Some(text.into_bytes()),
        _ => None,
    })
}

/// Sets a value of the state table.
pub(super) async fn state_put(database: &Database, name: &str, value: &[u8]) -> Result<(), StorageError> {
    let update = match database.url().kind() {
        Kind::Mysql => "ON DUPLICATE KEY UPDATE value = VALUES(value)",
        _ => "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    };
    let sql = format!("INSERT INTO seawall_state (name, value) VALUES (?, ?) {update}");
    database.execute(&sql, &[Cell::from(name), Cell::Blob(value.to_vec())]).await.map(drop)
}

impl Column {
    /// What an array of its values is in PostgreSQL.
    pub(super) fn array(self) -> &'static str {
        match self {
            Column::ContactId | Column::Expires | Column::Cseq => "int8[]",
            Column::Q => "float4[]",
            Column::LastModified => "timestamp[]",
            Column::Flags | Column::Methods => "int4[]",
            _ => "text[]",
        }
    }
}
