//! Open databases. Nothing is opened before the first query, and a database that fails is tried again by the next one.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use crate::cell::Cell;
use crate::embedded::Embedded;
use crate::error::StorageError;
use crate::identifier::Identifier;
use crate::limits::ANSWER_MARGIN;
use crate::pool::{Pool, Statement};
use crate::schema;
use crate::select::Select;
use crate::url::{DatabaseUrl, Kind};

/// How a database is opened and asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    /// How long a statement waits for another process that has locked a SQLite file.
    pub busy_timeout_ms: u32,
    /// Settings of SQLite for each connection: name and value.
    pub pragmas: Vec<(String, String)>,
    /// How long a server may take to be connected to, and to answer.
    pub timeout_ms: u32,
    /// How often a query is tried when the connection to a server breaks; at least once.
    pub tries: u32,
    /// Whether connections to a server are encrypted if it can, where the URL does not say.
    pub use_tls: bool,
    /// Queries that take longer are logged; none with 0.
    pub slow_us: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            busy_timeout_ms: 500,
            pragmas: Vec::new(),
            timeout_ms: 5000,
            tries: 2,
            use_tls: false,
            slow_us: 0,
        }
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
    pool: OnceCell<Pool>,
    /// The SQLite file as its only server has it, once the location table is used.
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

    pub(crate) async fn pool(&self) -> Result<&Pool, StorageError> {
        self.0.pool.get_or_try_init(|| Pool::connect(&self.0.url, &self.0.options)).await
    }

    /// The SQLite file, taken for this process.
    pub(crate) async fn embedded(&self, path: &Path) -> Result<&Embedded, StorageError> {
        let open = async || {
            // Makes the file if there is none.
            self.pool().await?;
            let (path, options) = (path.to_owned(), self.0.options.clone());
            let opened = tokio::task::spawn_blocking(move || Embedded::open(&path, &options)).await;
            opened.map_err(|error| StorageError::Unreachable(error.to_string()))?
        };
        self.0.embedded.get_or_try_init(open).await
    }

    /// Waits for an answer of a server as long as it may take, and logs one that took long.
    pub(crate) async fn timed<T>(
        &self,
        work: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        let began = Instant::now();
        let result = if self.0.url.kind() == Kind::Sqlite {
            work.await
        } else {
            let limit = Duration::from_millis(u64::from(self.0.options.timeout_ms)) + ANSWER_MARGIN;
            let late = || StorageError::Unreachable(format!("no answer in {} s", limit.as_secs_f32()));
            tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(late()))
        };
        let slow = Duration::from_micros(u64::from(self.0.options.slow_us));
        if !slow.is_zero() && began.elapsed() > slow {
            tracing::warn!("{}: a query took {} ms", self.0.url, began.elapsed().as_millis());
        }
        result
    }

    /// Runs a look-up. `values` are those of its keys, in order.
    ///
    /// # Errors
    /// The database fails, or has no such table or column.
    pub async fn select(&self, select: &Select, values: &[Cell]) -> Result<Vec<Vec<Cell>>, StorageError> {
        self.rows(select.sql(), values).await
    }

    /// Runs a query; again when the connection breaks meanwhile.
    pub(crate) async fn rows(&self, sql: &str, values: &[Cell]) -> Result<Vec<Vec<Cell>>, StorageError> {
        let mut tries = self.0.options.tries.max(1);
        loop {
            let result = self.timed(async { self.pool().await?.rows(sql, values).await }).await;
            tries -= 1;
            match result {
                Err(StorageError::Unreachable(_)) if tries > 0 => {}
                result => return result,
            }
        }
    }

    /// Runs a statement; gives how many rows it changed.
    pub(crate) async fn execute(&self, sql: &str, values: &[Cell]) -> Result<u64, StorageError> {
        self.change(&[Statement { sql: sql.to_owned(), values: values.to_vec() }]).await
    }

    /// Runs statements in one transaction, all or none; gives how many rows they changed.
    pub(crate) async fn change(&self, statements: &[Statement]) -> Result<u64, StorageError> {
        let pool = self.timed(self.pool()).await?;
        // What is late may have been done.
        self.timed(pool.change(statements)).await.map_err(|error| match error {
            StorageError::Unreachable(text) if text.starts_with("no answer") => StorageError::Unknown(text),
            other => other,
        })
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
