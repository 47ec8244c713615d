//! Databases in folders of their own.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection, Executor};

static LAST: AtomicU32 = AtomicU32::new(0);

/// A folder with a database in it, removed at the end.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// An empty folder.
    pub fn new() -> Self {
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("seawall-documented-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// A folder whose database has the tables of users, and what these statements put into them.
    pub fn with(statements: &str) -> Self {
        let folder = Self::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let url = seawall_storage::DatabaseUrl::parse(&folder.url()).unwrap();
        let storage = seawall_storage::Storage::default();
        runtime.block_on(storage.database(&url, &seawall_storage::Options::default()).open()).unwrap();
        folder.sql(statements);
        folder
    }

    /// The `db_url` of its database.
    pub fn url(&self) -> String {
        format!("sqlite://{}", self.file().display())
    }

    pub fn file(&self) -> PathBuf {
        self.0.join("users.db")
    }

    /// What another program does to the database.
    pub fn sql(&self, statements: &str) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = sqlx::SqliteConnection::connect(&self.url()).await.unwrap();
            connection.execute(AssertSqlSafe(statements.to_owned())).await.unwrap();
            connection.close().await.unwrap();
        });
    }
}

impl Folder {
    /// Does something while another program is about to write.
    pub fn locked<T>(&self, act: impl FnOnce() -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut connection = runtime.block_on(sqlx::SqliteConnection::connect(&self.url())).unwrap();
        runtime.block_on(connection.execute("BEGIN EXCLUSIVE")).unwrap();
        let result = act();
        runtime.block_on(connection.execute("ROLLBACK")).unwrap();
        result
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
