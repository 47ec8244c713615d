//! What can go wrong with a database.

use std::path::PathBuf;

/// Why a database did not do what it was asked for. No value of a query is part of the text.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StorageError {
    /// The file cannot be made or opened.
    #[error("cannot open the database {path}: {reason}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system or SQLite said.
        reason: String,
    },
    /// The server cannot be reached, does not answer in time, or closed the connection before anything was changed.
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    /// The connection broke when the change was under way: it is done or not done as a whole. Do it again.
    #[error("the database went away in the middle of a change: {0}")]
    Unknown(String),
    /// Another process holds a lock for longer than is waited.
    #[error("the database is locked by another process")]
    Busy,
    /// Another server works on the same SQLite file.
    #[error(
        "{path} belongs to another running server{owner}; two on one file would undo each other's changes"
    )]
    Owned {
        /// The file.
        path: PathBuf,
        /// Who it is, as far as is known.
        owner: String,
    },
    /// Another server has taken a location table that this one had in memory; this one may not write it any more.
    #[error("the table `{table}` was taken over by {by}")]
    TakenOver {
        /// The table.
        table: String,
        /// Who it is, as far as is known.
        by: String,
    },
    /// There is no more room, on the disk or as the database allows.
    #[error("the database is full")]
    Full,
    /// The database, its file or this user of it may not be written.
    #[error("the database may only be read")]
    ReadOnly,
    /// A row with this key is there already.
    #[error("there is such a row already")]
    Duplicate,
    /// The database does not take a value: too long, out of range, not of its character set.
    #[error("the database does not take a value: {0}")]
    Data(String),
    /// A table or column is missing, or is not what it should be.
    #[error("the tables are not as they should be: {0}")]
    Schema(String),
    /// Something of the file on disk is damaged.
    #[error("the database file is damaged: {0}")]
    Damaged(String),
    /// A query failed for another reason.
    #[error("the database fails: {0}")]
    Query(String),
    /// The `version` table says nothing about a table.
    #[error("the table `version` has no row for `{table}`; skip_version_check=1 uses it all the same")]
    NoVersion {
        /// The table.
        table: String,
    },
    /// A table has another version than the one that is known.
    #[error(
        "the table `{table}` has version {found}, and {known} is needed; skip_version_check=1 uses it all the same"
    )]
    Version {
        /// The table.
        table: String,
        /// What the `version` table says.
        found: i64,
        /// What is known here.
        known: i64,
    },
}

impl StorageError {
    /// Whether the same request may succeed later: nothing is wrong with it.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            StorageError::Unreachable(_) | StorageError::Unknown(_) | StorageError::Busy | StorageError::Full
        )
    }

    /// The same of a statement that was under way: a connection that breaks then leaves open what was done.
    pub(crate) fn in_change(error: sqlx::Error) -> StorageError {
        match StorageError::from(error) {
            StorageError::Unreachable(text) => StorageError::Unknown(text),
            other => other,
        }
    }

    /// What an error of PostgreSQL means, by its SQLSTATE (PostgreSQL's manual, appendix A). Its message names columns and
    /// constraints; values stand in its details, which are left out.
    fn of_postgres(code: &str, text: &str) -> StorageError {
        match code {
            "23505" => StorageError::Duplicate,
            "25006" | "42501" => StorageError::ReadOnly,
            "53100" => StorageError::Full,
            "40001" | "40P01" | "55P03" | "57014" => StorageError::Busy,
            "42P01" | "42703" | "42804" | "42P10" | "3F000" | "3D000" => {
                StorageError::Schema(text.to_owned())
            }
            // "invalid input syntax for type integer" and the like end in the value.
            "22P02" | "22007" | "22008" => StorageError::Data("it is not of the column's kind".to_owned()),
            _ if code.starts_with("22") || code.starts_with("23") => StorageError::Data(text.to_owned()),
            // A login that is refused, a server that is full, starts or stops.
            _ if ["08", "28", "53", "57"].iter().any(|class| code.starts_with(class)) => {
                StorageError::Unreachable(text.to_owned())
            }
            _ => StorageError::Query(format!("{text} ({code})")),
        }
    }

    /// What an error of MySQL or MariaDB means, by its number. Its messages hold values.
    fn of_mysql(number: u16, text: &str) -> StorageError {
        match number {
            1062 | 1586 => StorageError::Duplicate,
            1044 | 1142 | 1143 | 1290 | 1792 | 1836 => StorageError::ReadOnly,
            1021 | 1041 | 1114 | 1026 => StorageError::Full,
            1205 | 1213 => StorageError::Busy,
            1048 | 1364 => StorageError::Data("a column that must have one gets none".to_owned()),
            1264 => StorageError::Data("it is out of the column's range".to_owned()),
            1406 | 1265 => StorageError::Data("it is longer than the column".to_owned()),
            1292 | 1366 | 1367 | 3988 => StorageError::Data("it is not of the column's kind".to_owned()),
            1451 | 1452 | 3819 | 4025 => StorageError::Data("it breaks a constraint".to_owned()),
            1049 | 1051 | 1054 | 1136 | 1146 | 1305 => StorageError::Schema(text.to_owned()),
            // A login that is refused, a server that is full or stops, a connection that was ended by somebody.
            1040 | 1045 | 1053 | 1129 | 1130 | 1152..=1161 | 1203 | 1226 | 1698 | 1927 => {
                StorageError::Unreachable(text.to_owned())
            }
            _ => StorageError::Query(format!("error {number}")),
        }
    }

    /// What a result code of SQLite means.
    fn of_sqlite(code: i32, text: &str) -> StorageError {
        use rusqlite::ffi;
        match code & 0xff {
            ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => StorageError::Busy,
            ffi::SQLITE_FULL => StorageError::Full,
            ffi::SQLITE_READONLY | ffi::SQLITE_PERM | ffi::SQLITE_AUTH => StorageError::ReadOnly,
            ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB => StorageError::Damaged(text.to_owned()),
            ffi::SQLITE_CONSTRAINT
                if matches!(code, ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY) =>
            {
                StorageError::Duplicate
            }
            // Texts of constraints name columns, not values.
            ffi::SQLITE_CONSTRAINT | ffi::SQLITE_MISMATCH | ffi::SQLITE_TOOBIG => {
                StorageError::Data(text.to_owned())
            }
            ffi::SQLITE_ERROR if text.contains("no such ") || text.contains("has no column") => {
                StorageError::Schema(text.to_owned())
            }
            ffi::SQLITE_CANTOPEN | ffi::SQLITE_IOERR => StorageError::Unreachable(text.to_owned()),
            _ => StorageError::Query(text.to_owned()),
        }
    }
}

impl From<rusqlite::Error> for StorageError {
    fn from(error: rusqlite::Error) -> Self {
        match &error {
            rusqlite::Error::SqliteFailure(code, text) => {
                StorageError::of_sqlite(code.extended_code, &text.clone().unwrap_or_else(|| code.to_string()))
            }
            rusqlite::Error::SqlInputError { error, msg, .. } => {
                StorageError::of_sqlite(error.extended_code, msg)
            }
            _ => StorageError::Query(error.to_string()),
        }
    }
}

impl From<sqlx::Error> for StorageError {
    fn from(error: sqlx::Error) -> Self {
        let text = error.to_string();
        match error {
            sqlx::Error::Database(database) => {
                if database.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
                    let code = database.code().and_then(|code| code.parse().ok()).unwrap_or(0);
                    return StorageError::of_sqlite(code, database.message());
                }
                if let Some(mysql) = database.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
                    return StorageError::of_mysql(mysql.number(), database.message());
                }
                StorageError::of_postgres(&database.code().unwrap_or_default(), database.message())
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => StorageError::Unreachable(text),
            // The driver says this of an answer that breaks off.
            sqlx::Error::Protocol(_) => StorageError::Unreachable(text),
            sqlx::Error::ColumnNotFound(_) | sqlx::Error::ColumnDecode { .. } => StorageError::Schema(text),
            _ => StorageError::Query(text),
        }
    }
}
