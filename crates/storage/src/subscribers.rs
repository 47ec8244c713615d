//! Users: the `subscriber` table, with names of columns as a script may have changed them.

use crate::cell::Cell;
use crate::database::Database;
use crate::error::StorageError;
use crate::identifier::Identifier;
use crate::limits::LIST_ROWS;

/// The columns that a table of users has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Of the user name.
    pub user: Identifier,
    /// Of the domain.
    pub domain: Identifier,
}

/// What is stored of a password, by column.
#[derive(Clone)]
pub struct Secrets(Vec<(Identifier, String)>);

impl Secrets {
    /// Texts and the columns that they go into.
    #[must_use]
    pub fn new(texts: Vec<(Identifier, String)>) -> Secrets {
        Secrets(texts)
    }
}

/// A table of users, to be changed. Look-ups of single users are [`crate::Select`]s.
#[derive(Clone, Debug)]
pub struct Subscribers {
    database: Database,
    table: Identifier,
    columns: Columns,
}

impl Subscribers {
    /// A table of a database.
    #[must_use]
    pub fn new(database: Database, table: Identifier, columns: Columns) -> Subscribers {
        Subscribers { database, table, columns }
    }

    /// Adds a user. False when there is one with that name and domain.
    ///
    /// # Errors
    /// The database fails.
    pub async fn add(&self, user: &str, domain: &str, secrets: &Secrets) -> Result<bool, StorageError> {
        if self.exists(user, domain).await? {
            return Ok(false);
        }
        let Columns { user: user_column, domain: domain_column } = &self.columns;
        let mut names = format!("{user_column}, {domain_column}");
        let mut places = "?, ?".to_owned();
        let mut values = vec![Cell::from(user), Cell::from(domain)];
        for (column, text) in &secrets.0 {
            names.push_str(&format!(", {column}"));
            places.push_str(", ?");
            values.push(Cell::from(text.as_str()));
        }
        let sql = format!("INSERT INTO {} ({names}) VALUES ({places})", self.table);
        match self.database.execute(&sql, &values).await {
            Ok(_) => Ok(true),
            // Somebody else was quicker.
            Err(StorageError::Duplicate) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Changes a user's password. False when there is no such user.
    ///
    /// # Errors
    /// The database fails.
    pub async fn change(&self, user: &str, domain: &str, secrets: &Secrets) -> Result<bool, StorageError> {
        let assignments: Vec<String> = secrets.0.iter().map(|(column, _)| format!("{column} = ?")).collect();
        let Columns { user: user_column, domain: domain_column } = &self.columns;
        let sql = format!(
            "UPDATE {} SET {} WHERE {user_column} = ? AND {domain_column} = ?",
            self.table,
            assignments.join(", ")
        );
        let mut values: Vec<Cell> = secrets.0.iter().map(|(_, text)| Cell::from(text.as_str())).collect();
        values.extend([Cell::from(user), Cell::from(domain)]);
        Ok(self.database.execute(&sql, &values).await? > 0)
    }

    /// Removes a user. False when there is no such user.
    ///
    /// # Errors
    /// The database fails.
    pub async fn remove(&self, user: &str, domain: &str) -> Result<bool, StorageError> {
        let Columns { user: user_column, domain: domain_column } = &self.columns;
        let sql = format!("DELETE FROM {} WHERE {user_column} = ? AND {domain_column} = ?", self.table);
        Ok(self.database.execute(&sql, &[Cell::from(user), Cell::from(domain)]).await? > 0)
    }

    /// Users in the order of their names, from the one at position `from` on: name and domain.
    ///
    /// # Errors
    /// The database fails.
    pub async fn list(&self, from: u32) -> Result<Vec<(String, String)>, StorageError> {
        let Columns { user, domain } = &self.columns;
        let sql = format!(
            "SELECT {user}, {domain} FROM {} ORDER BY {user}, {domain} LIMIT {LIST_ROWS} OFFSET {from}",
            self.table
        );
        let rows = self.database.rows(&sql, &[]).await?;
        Ok(rows
            .into_iter()
            .filter_map(|row| {
                let mut texts = row.into_iter().map(|cell| cell.into_text().unwrap_or_default());
                Some((texts.next()?, texts.next()?))
            })
            .collect())
    }

    async fn exists(&self, user: &str, domain: &str) -> Result<bool, StorageError> {
        let keys = [&self.columns.user, &self.columns.domain];
        let select = crate::Select::new(&self.table, &[], &keys, 1);
        Ok(!self.database.select(&select, &[Cell::from(user), Cell::from(domain)]).await?.is_empty())
    }
}
