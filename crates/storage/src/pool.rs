//! Connections to one database of any kind.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::cell::{Cell, Cells, naive};
use crate::database::Options;
use crate::datetime;
use crate::dialect::translate;
use crate::error::StorageError;
use crate::limits::{ACQUIRE, CONNECTIONS, MYSQL_IDLE_S, SERVER_CONNECTIONS};
use crate::schema;
use crate::url::{DatabaseUrl, Kind, Server, Tls};

/// Open connections.
#[derive(Debug)]
pub(crate) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
    Mysql(MySqlPool),
}

/// A statement and its values.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) sql: String,
    pub(crate) values: Vec<Cell>,
}

/// Binds values to a query of any kind; times as that kind takes them. For PostgreSQL NULL stands in the statement.
macro_rules! bind {
    ($query:expr, $values:expr, $kind:expr, $time:expr) => {{
        let mut query = $query;
        for value in $values {
            query = match value {
                Cell::Null if $kind == Kind::Postgres => query,
                Cell::Null => query.bind(None::<i64>),
                Cell::Integer(number) => query.bind(*number),
                Cell::Real(number) => query.bind(*number),
                Cell::Text(text) => query.bind(text.as_str()),
                Cell::Blob(bytes) => query.bind(bytes.as_slice()),
                Cell::Time(unix_s) => query.bind($time(*unix_s)),
            };
        }
        query
    }};
}

impl Pool {
    pub(crate) async fn connect(url: &DatabaseUrl, options: &Options) -> Result<Pool, StorageError> {
        match (url.kind(), url.path(), url.server()) {
            (Kind::Postgres, _, Some(server)) => postgres(server, options).await.map(Pool::Postgres),
            (Kind::Mysql, _, Some(server)) => mysql(server, options).await.map(Pool::Mysql),
            (_, Some(path), _) => sqlite(path, options).await.map(Pool::Sqlite),
            _ => Err(StorageError::Unreachable("no file and no server is named".to_owned())),
        }
    }

    pub(crate) async fn rows(&self, sql: &str, values: &[Cell]) -> Result<Vec<Vec<Cell>>, StorageError> {
        let taken = match self {
            Pool::Sqlite(pool) => {
                let sql = AssertSqlSafe(translate(sql, Kind::Sqlite, values));
                let rows =
                    bind!(sqlx::query(sql), values, Kind::Sqlite, datetime::format).fetch_all(pool).await?;
                rows.iter().map(Cells::cells).collect::<Result<_, _>>()
            }
            Pool::Postgres(pool) => {
                let sql = AssertSqlSafe(translate(sql, Kind::Postgres, values));
                let rows = bind!(sqlx::query(sql), values, Kind::Postgres, naive).fetch_all(pool).await?;
                rows.iter().map(Cells::cells).collect::<Result<_, _>>()
            }
            Pool::Mysql(pool) => {
                let sql = AssertSqlSafe(translate(sql, Kind::Mysql, values));
                let rows = bind!(sqlx::query(sql), values, Kind::Mysql, naive).fetch_all(pool).await?;
                rows.iter().map(Cells::cells).collect::<Result<_, _>>()
            }
        };
        Ok(taken?)
    }

    /// Runs statements in one transaction, all or none; gives how many rows they changed.
    pub(crate) async fn change(&self, statements: &[Statement]) -> Result<u64, StorageError> {
        Ok(self.change_if(None, statements).await?.unwrap_or(0))
    }

    /// The same, if a query at the begin of the transaction gives a row; nothing is done, and none is given, if not.
    pub(crate) async fn change_if(
        &self,
        condition: Option<&Statement>,
        statements: &[Statement],
    ) -> Result<Option<u64>, StorageError> {
        macro_rules! run {
            ($pool:expr, $kind:expr, $time:expr) => {{
                let mut connection = $pool.acquire().await?;
                let mut changed = 0;
                // From here on nobody knows what was done when the connection breaks.
                let lost = StorageError::in_change;
                if let (None, [Statement { sql, values }]) = (condition, statements) {
                    let sql = AssertSqlSafe(translate(sql, $kind, values));
                    let query = bind!(sqlx::query(sql), values, $kind, $time);
                    changed = query.execute(&mut *connection).await.map_err(lost)?.rows_affected();
                } else {
                    let mut transaction = connection.begin().await?;
                    if let Some(Statement { sql, values }) = condition {
                        let sql = AssertSqlSafe(translate(sql, $kind, values));
                        let query = bind!(sqlx::query(sql), values, $kind, $time);
                        if query.fetch_optional(&mut *transaction).await?.is_none() {
                            return Ok(None);
                        }
                    }
                    for Statement { sql, values } in statements {
                        let sql = AssertSqlSafe(translate(sql, $kind, values));
                        let query = bind!(sqlx::query(sql), values, $kind, $time);
                        changed += query.execute(&mut *transaction).await?.rows_affected();
                    }
                    transaction.commit().await.map_err(lost)?;
                }
                Ok(Some(changed))
            }};
        }
        match self {
            Pool::Sqlite(pool) => run!(pool, Kind::Sqlite, datetime::format),
            Pool::Postgres(pool) => run!(pool, Kind::Postgres, naive),
            Pool::Mysql(pool) => run!(pool, Kind::Mysql, naive),
        }
    }
}

async fn sqlite(path: &Path, options: &Options) -> Result<SqlitePool, StorageError> {
    let failed = |error: sqlx::Error| match StorageError::from(error) {
        StorageError::Unreachable(reason) | StorageError::Query(reason) => {
            StorageError::Open { path: path.to_owned(), reason }
        }
        other => other,
    };
    let is_new = make_file(path).map_err(|error| failed(sqlx::Error::Io(error)))?;
    let mut settings = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(Duration::from_millis(u64::from(options.busy_timeout_ms)));
    if is_new {
        settings = settings.journal_mode(SqliteJournalMode::Wal);
    }
    for (name, value) in &options.pragmas {
        settings = settings.pragma(name.clone(), value.clone());
    }
    let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(ACQUIRE);
    let pool = pool.connect_with(settings).await.map_err(failed)?;
    if is_new {
        // All or nothing: a crash in between leaves a file without tables, which is filled at the next start.
        let mut transaction = pool.begin().await.map_err(failed)?;
        for statement in schema::create_file() {
            transaction.execute(AssertSqlSafe(statement)).await.map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)?;
        tracing::warn!("{}: there was no database; an empty one was made", path.display());
    }
    Ok(pool)
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

/// Neither `PGHOST` and its like nor `~/.pgpass` are looked at: what the URL says is all.
async fn postgres(server: &Server, options: &Options) -> Result<PgPool, StorageError> {
    let mut settings = PgConnectOptions::new_without_pgpass()
        .host(&server.host)
        .port(server.port.unwrap_or(5432))
        .username(&server.user)
        .database(&server.database)
        .application_name("seawall")
        .ssl_mode(match tls(server, options) {
            Tls::Disable => PgSslMode::Disable,
            Tls::Prefer => PgSslMode::Prefer,
            Tls::Require => PgSslMode::Require,
            Tls::VerifyFull => PgSslMode::VerifyFull,
        })
        // The server gives up by itself what nobody waits for any more, so that it cannot come after what replaced it.
        .options([
            ("statement_timeout", options.timeout_ms),
            ("lock_timeout", options.timeout_ms),
            ("idle_in_transaction_session_timeout", options.timeout_ms),
        ]);
    if !server.password.is_empty() {
        settings = settings.password(&server.password);
    }
    if let Some(folder) = &server.socket {
        settings = settings.socket(folder);
    }
    let pool = PgPoolOptions::new().max_connections(SERVER_CONNECTIONS).acquire_timeout(acquire(options));
    Ok(pool.connect_with(settings).await?)
}

async fn mysql(server: &Server, options: &Options) -> Result<MySqlPool, StorageError> {
    let mut settings = MySqlConnectOptions::new()
        .host(&server.host)
        .port(server.port.unwrap_or(3306))
        .username(&server.user)
        .database(&server.database)
        .charset("utf8mb4")
        .pipes_as_concat(false)
        .ssl_mode(match tls(server, options) {
            Tls::Disable => MySqlSslMode::Disabled,
            Tls::Prefer => MySqlSslMode::Preferred,
            Tls::Require => MySqlSslMode::Required,
            Tls::VerifyFull => MySqlSslMode::VerifyIdentity,
        });
    if !server.password.is_empty() {
        settings = settings.password(&server.password);
    }
    if let Some(path) = &server.socket {
        settings = settings.socket(path);
    }
    let wait_s = (options.timeout_ms / 1000).max(1);
    // Texts come as the bytes that the table holds, whatever it says of their character set; values that do not fit are
    // an error and are not cut. What is left undone by a process that stands still in the middle of a change is undone, so
    // that who takes its place need not wait for it: MariaDB knows such transactions, MySQL idle connections only.
    let begin = format!(
        "SET character_set_results = NULL, innodb_lock_wait_timeout = {wait_s}, lock_wait_timeout = {wait_s}, \
         sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES') \
         /*M!100300 , idle_transaction_timeout = {wait_s} */ /*!80000 , wait_timeout = {MYSQL_IDLE_S} */"
    );
    let pool = MySqlPoolOptions::new()
        .max_connections(SERVER_CONNECTIONS)
        .idle_timeout(Duration::from_secs(MYSQL_IDLE_S / 2))
        .acquire_timeout(acquire(options))
        .after_connect(move |connection, _| {
            let begin = begin.clone();
            Box::pin(async move { connection.execute(AssertSqlSafe(begin)).await.map(drop) })
        });
    Ok(pool.connect_with(settings).await?)
}

fn tls(server: &Server, options: &Options) -> Tls {
    server.tls.unwrap_or(if options.use_tls { Tls::Prefer } else { Tls::Disable })
}

fn acquire(options: &Options) -> Duration {
    Duration::from_millis(u64::from(options.timeout_ms))
}
