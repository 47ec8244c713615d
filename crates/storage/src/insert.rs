//! New rows of a table, for accounting.

use std::fmt::Write;

use crate::cell::Cell;
use crate::database::Database;
use crate::error::StorageError;
use crate::identifier::Identifier;
use crate::pool::Statement;

impl Database {
    /// Inserts rows in one transaction, all of them or none. Each has a value for each column.
    ///
    /// # Errors
    /// Nothing was inserted; but with [`StorageError::Unknown`] all or nothing was.
    pub async fn insert(
        &self,
        table: &Identifier,
        columns: &[Identifier],
        rows: &[Vec<Cell>],
    ) -> Result<(), StorageError> {
        let mut sql = format!("INSERT INTO {table} (");
        for (index, column) in columns.iter().enumerate() {
            // Writing into a String cannot fail.
            let _ = write!(sql, "{}{column}", if index == 0 { "" } else { ", " });
        }
        let _ = write!(sql, ") VALUES ({})", vec!["?"; columns.len()].join(", "));
        let statements: Vec<Statement> =
            rows.iter().map(|row| Statement { sql: sql.clone(), values: row.clone() }).collect();
        self.change(&statements).await.map(drop)
    }
}
