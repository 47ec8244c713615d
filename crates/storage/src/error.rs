//! What can go wrong with a database.

use std::path::PathBuf;

/// Why a database did not do what it was asked for. No value of a query is part of the text.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The file cannot be made or opened.
    #[error("cannot open the database {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system or SQLite said.
        source: sqlx::Error,
    },
    /// A query failed.
    #[error("the database fails: {0}")]
    Query(#[from] sqlx::Error),
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
