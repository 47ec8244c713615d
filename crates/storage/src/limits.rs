//! Every bound of this crate, with its reason.

use std::time::Duration;

/// How many connections to one database are open at most. SQLite reads as fast as its disk with a few.
pub const CONNECTIONS: u32 = 4;

/// How long a query waits for a free connection. Shorter than a parked script waits, so that an overloaded database
/// answers with an error and not with silence.
pub const ACQUIRE: Duration = Duration::from_secs(3);

/// Longest name of a table or a column: what every kind of database takes.
pub const IDENTIFIER_LEN: usize = 63;

/// How many rows of a list are read at once: a list of users is shown in pages.
pub const LIST_ROWS: u32 = 1000;
