//! A database is filled with its tables.

use crate::database::Database;
use crate::error::StorageError;
use crate::pool::Statement;
use crate::schema;
use crate::url::Kind;

impl Database {
    /// Makes all tables in an empty database: those of OpenSIPS that are used here, and `seawall_state`. Gives their names.
    /// A SQLite file that is missing is made.
    ///
    /// # Errors
    /// The database fails, or has one of them already; then nothing is changed.
    pub async fn create_tables(&self) -> Result<Vec<&'static str>, StorageError> {
        let names = || ["version"].into_iter().chain(schema::TABLES.iter().map(|table| table.name));
        let is_missing = self.url().path().is_some_and(|path| !path.exists());
        self.open().await?;
        if is_missing {
            // The others were made with the file.
            self.make(schema::create_known_location(self.url().kind())).await?;
            return Ok(names().collect());
        }
        for name in names() {
            match self.rows(&format!("SELECT 1 FROM `{name}` WHERE 1 = 0"), &[]).await {
                Err(StorageError::Schema(_)) => {}
                Err(error) => return Err(error),
                Ok(_) => {
                    return Err(StorageError::Schema(format!(
                        "there is a table `{name}` already; nothing was changed"
                    )));
                }
            }
        }
        self.make(schema::create_all(self.url().kind())).await?;
        Ok(names().collect())
    }

    async fn make(&self, statements: Vec<String>) -> Result<(), StorageError> {
        let statements: Vec<Statement> =
            statements.into_iter().map(|sql| Statement { sql, values: Vec::new() }).collect();
        if self.url().kind() == Kind::Mysql {
            // Each of these statements commits by itself there.
            for statement in &statements {
                self.change(std::slice::from_ref(statement)).await?;
            }
        } else {
            self.change(&statements).await?;
        }
        Ok(())
    }
}
