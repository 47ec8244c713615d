//! Open databases. Nothing is opened before the first query, and a database that fails is tried again by the next one.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Executor};
use tokio::sync::OnceCell;

use crate::cell::{Cell, cells};
use crate::embedded::Embedded;
use crate::error::StorageError;
use crate::identifier::Identifier;
use crate::limits::{ACQUIRE, CONNECTIONS};
use crate::schema;
use crate::select::Select;
use crate::url::DatabaseUrl;

/// How a database is opened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    /// How long a statement waits for another process that has locked the file.
    pub busy_timeout_ms: u32,
    /// Settings of SQLite for each connection: name and value.
    pub pragmas: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Options { busy_timeout_ms: 500, pragmas: Vec::new() }
    }
}

/// The databases of a server, each opened once.
#[derive(Debug, Default)]
pub struct Storage {
    // A handful: one for each `db_url` that a script has named since the start.
    open: Mutex<HashMap<(DatabaseUrl, Options), Database>>,
}

impl Storage {
    /// The database of a URL. Nothing is opened yet.
    #[must_use]
    pub fn database(&self, url: &DatabaseUrl, options: &Options) -> Database {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Database(Arc::new(Shared::new(url.clone(), options.clone())));
        open.entry((url.clone(), options.clone())).or_insert_with(new).clone()
    }
}

/// A database. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Database(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    url: DatabaseUrl,
    options: Options,
    pool: OnceCell<SqlitePool>,
    /// The file as its only server has it, once the location table is used.
    embedded: OnceCell<Embedded>,
    /// Tables whose version was found right.
    checked: Mutex<Vec<String>>,
}

impl Shared {
    fn new(url: DatabaseUrl, options: Options) -> Self {
        Shared { url, options, pool: OnceCell::new(), embedded: OnceCell::new(), checked: Mutex::default() }
    }
}

impl Database {
    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &DatabaseUrl {
        &self.0.url
    }

    /// Opens it. A SQLite file that is missing is made, with the tables of users in it and for its owner only.
    ///
    /// # Errors
    /// It cannot be opened or made.
    pub async fn open(&self) -> Result<(), StorageError> {
        self.pool().await.map(drop)
    }

    async fn pool(&self) -> Result<&SqlitePool, StorageError> {
        self.0.pool.get_or_try_init(|| self.connect()).await
    }

    /// The file, taken for this process.
    pub(crate) async fn embedded(&self) -> Result<&Embedded, StorageError> {
        let open = async || {
            // Makes the file if there is none.
            self.pool().await?;
            let (path, options) = (self.0.url.path().to_owned(), self.0.options.clone());
            let opened = tokio::task::spawn_blocking(move || Embedded::open(&path, &options)).await;
            opened.map_err(|error| StorageError::Unreachable(error.to_string()))?
        };
        self.0.embedded.get_or_try_init(open).await
    }

    async fn connect(&self) -> Result<SqlitePool, StorageError> {
        let path = self.0.url.path();
        let failed = |error: sqlx::Error| match StorageError::from(error) {
            StorageError::Unreachable(reason) | StorageError::Query(reason) => {
                StorageError::Open { path: path.to_owned(), reason }
            }
            other => other,
        };
        let is_new = make_file(path).map_err(|error| failed(sqlx::Error::Io(error)))?;
        let mut options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(Duration::from_millis(u64::from(self.0.options.busy_timeout_ms)));
        if is_new {
            options = options.journal_mode(SqliteJournalMode::Wal);
        }
        for (name, value) in &self.0.options.pragmas {
            options = options.pragma(name.clone(), value.clone());
        }
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE)
            .connect_with(options)
            .await
            .map_err(failed)?;
        if is_new {
            // All or nothing: a crash in between leaves a file without tables, which is filled at the next start.
            let mut transaction = pool.begin().await.map_err(failed)?;
            for statement in schema::NEW_FILE {
                transaction.execute(*statement).await.map_err(failed)?;
            }
            transaction.commit().await.map_err(failed)?;
            tracing::warn!("{}: there was no database; it was made, with no users in it", path.display());
        }
        Ok(pool)
    }

    /// Runs a look-up. `values` are those of its keys, in order.
    ///
    /// # Errors
    /// The database fails, or has no such table or column.
    pub async fn select(&self, select: &Select, values: &[Cell]) -> Result<Vec<Vec<Cell>>, StorageError> {
        self.rows(select.sql(), values).await
    }

    pub(crate) async fn rows(&self, sql: &str, values: &[Cell]) -> Result<Vec<Vec<Cell>>, StorageError> {
        let query = bound(sql, values);
        let rows = query.fetch_all(self.pool().await?).await?;
        Ok(rows.iter().map(cells).collect::<Result<_, _>>()?)
    }

    /// Runs a statement; gives how many rows it changed.
    pub(crate) async fn execute(&self, sql: &str, values: &[Cell]) -> Result<u64, StorageError> {
        Ok(bound(sql, values).execute(self.pool().await?).await?.rows_affected())
    }

    /// Whether a table has the version that is known here. Asked once; a wrong version is asked for again.
    ///
    /// # Errors
    /// It has another, or the database fails.
    pub async fn check_version(&self, table: &Identifier) -> Result<(), StorageError> {
        let name = table.as_str();
        {
            let checked = self.0.checked.lock().unwrap_or_else(PoisonError::into_inner);
            if checked.iter().any(|known| known == name) {
                return Ok(());
            }
        }
        let sql = "SELECT table_version FROM version WHERE table_name = ?";
        let rows = self.rows(sql, &[Cell::from(name)]).await?;
        let found = rows.first().and_then(|row| row.first()).and_then(Cell::as_integer);
        let known = schema::known_version(name);
        match found {
            Some(found) if found == known => {
                let mut checked = self.0.checked.lock().unwrap_or_else(PoisonError::into_inner);
                checked.push(name.to_owned());
                Ok(())
            }
            Some(found) => Err(StorageError::Version { table: name.to_owned(), found, known }),
            None => Err(StorageError::NoVersion { table: name.to_owned() }),
        }
    }
}

/// Makes the file if there is none; whether there was none. Hashes of passwords are for the owner only.
fn make_file(path: &Path) -> std::io::Result<bool> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(true),
        // Somebody else's file of no bytes is as good as none.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(std::fs::metadata(path)?.len() == 0),
        Err(error) => Err(error),
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

fn bound<'q>(sql: &str, values: &'q [Cell]) -> Query<'q> {
    // Made of Identifiers and question marks only.
    let mut query = sqlx::query(AssertSqlSafe(sql.to_owned()));
    for value in values {
        query = match value {
            Cell::Null => query.bind(None::<i64>),
            Cell::Integer(number) => query.bind(*number),
            Cell::Real(number) => query.bind(*number),
            Cell::Text(text) => query.bind(text.as_str()),
            Cell::Blob(bytes) => query.bind(bytes.as_slice()),
        };
    }
    query
}
