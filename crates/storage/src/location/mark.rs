//! Which process may write a location table of a database server: the one that has taken it last.
//!
//! Who has a table in memory must be the only one that writes it. A SQLite file has a lock that goes with its process, but a
//! server of a database cannot tell a process that stands still, or whose network is cut, from one that has ended. So each
//! that begins puts a mark of its own into `seawall_state`, under the name of the table, and changes rows only in a
//! transaction that holds the row of its mark. Who takes the table waits for such a transaction, and sees all it has
//! done; from then on the one before changes nothing.
//!
//! Other programs, OpenSIPS for one, know nothing of marks and are not kept from anything.

use std::hash::{BuildHasher, Hasher, RandomState};

use tokio::sync::OnceCell;

use crate::cell::Cell;
use crate::database::Database;
use crate::error::StorageError;
use crate::location::server::{state_get, state_put};
use crate::pool::Statement;

/// How many letters of a mark are chance; what follows says whose it is.
const CHANCE: usize = 32;

/// The mark of this process on one table.
#[derive(Debug)]
pub(super) struct Mark {
    table: String,
    /// The name of its row: never longer than a name may be, and none that is used for anything else.
    pub(super) name: String,
    pub(super) value: Vec<u8>,
    taken: OnceCell<()>,
}

impl Mark {
    /// A mark that nobody else has; nothing is written yet.
    pub(super) fn new(table: &str) -> Mark {
        // Each has keys of the system's random source.
        let chance = || RandomState::new().build_hasher().finish();
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let value =
            format!("{:016x}{:016x}process {} on {}", chance(), chance(), std::process::id(), host.trim());
        Mark {
            table: table.to_owned(),
            name: format!("@{table}"),
            value: value.into(),
            taken: OnceCell::new(),
        }
    }

    /// Takes the table, once: whoever had it before writes nothing from now on. Waits for what he is writing just now, as
    /// long as a statement may wait.
    pub(super) async fn take(&self, database: &Database) -> Result<(), StorageError> {
        let take = async || {
            if let Some(before) = state_get(database, &self.name).await? {
                tracing::info!("the table `{}` was last taken by {}", self.table, whose(&before));
            }
            state_put(database, &self.name, &self.value).await
        };
        self.taken.get_or_try_init(take).await.map(drop)
    }

    /// Whether the table is still this process's, if it has taken it.
    pub(super) async fn check(&self, database: &Database) -> Result<(), StorageError> {
        if self.taken.initialized() && state_get(database, &self.name).await?.as_ref() != Some(&self.value) {
            return Err(self.lost(database).await);
        }
        Ok(())
    }

    /// A query that gives a row if the table is this process's, and keeps it so until the end of the transaction.
    pub(super) fn hold(&self) -> Statement {
        Statement {
            sql: "SELECT 1 FROM seawall_state WHERE name = ? AND value = ? LOCK IN SHARE MODE".to_owned(),
            values: vec![Cell::Text(self.name.clone()), Cell::Blob(self.value.clone())],
        }
    }

    /// That another process has taken the table.
    pub(super) async fn lost(&self, database: &Database) -> StorageError {
        let now = state_get(database, &self.name).await;
        let by = match now {
            Ok(Some(now)) => whose(&now),
            Ok(None) => format!("nobody: its row \"{}\" in `seawall_state` is gone", self.name),
            Err(_) => "another server".to_owned(),
        };
        StorageError::TakenOver { table: self.table.clone(), by }
    }
}

/// The part of a mark that is for people. Somebody else may have written it.
fn whose(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value.get(CHANCE..).unwrap_or_default());
    let text: String = text.chars().filter(|letter| !letter.is_control()).take(120).collect();
    if text.is_empty() { "another server".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_nobody_elses_and_says_whose_it_is() {
        let marks = [Mark::new("location"), Mark::new("location")];
        assert_ne!(marks[0].value, marks[1].value);
        assert_eq!(marks[0].name, "@location");
        let whose_it_is = format!("process {} on ", std::process::id());
        assert!(whose(&marks[0].value).starts_with(&whose_it_is), "{}", whose(&marks[0].value));
        let check = |value: &[u8], expected: &str| assert_eq!(whose(value), expected);
        check(b"", "another server");
        check(&[b'x'; CHANCE], "another server");
        check(&[&[b'0'; CHANCE][..], b"a\r\nb\xff"].concat(), "ab\u{fffd}");
    }
}
