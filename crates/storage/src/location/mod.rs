//! The `location` table: bindings as they are kept over a restart.
//!
//! [`LocationTable`] is what a registrar needs of it: a group of changes in one transaction that is on disk when the
//! call returns, the rows of one user, and all rows in pages. Version 1013 of the table, as tools for OpenSIPS know it;
//! every value is bytes as SIP carried them.

pub(crate) mod appender;
mod columns;
pub(crate) mod journal;
mod left;
mod mark;
mod record;

mod read;
mod row;
mod server;
mod sqlite;
pub(crate) mod statements;
mod table;
mod window;

pub use columns::{Column, Columns};
pub use row::{BrokenRow, Page, Row, RowChange};
pub use table::LocationTable;

/// The version of the `location` table that is read and written here.
pub const VERSION: i64 = 1013;
