//! SQL databases as scripts name them, and the tables of OpenSIPS in them.
//!
//! Everything here is asynchronous and runs on the control side's tokio runtime; a worker never waits for it but parks
//! the script. Values are always bound. Names of tables and columns, which SQL cannot bind, are [`Identifier`]s: letters,
//! digits and underscores. SQLite files, PostgreSQL, MySQL and MariaDB are used alike ([`DatabaseUrl`]).

mod cell;
mod database;
mod datetime;
mod dialect;
mod embedded;
mod error;
mod identifier;
mod init;
mod insert;
pub mod limits;
pub mod location;
mod pool;
mod schema;
mod select;
mod subscribers;
mod text;
mod url;

pub use cell::Cell;
pub use database::{Database, Options, Storage};
pub use error::StorageError;
pub use identifier::{BadIdentifier, Identifier};
pub use select::Select;
pub use subscribers::{Columns, Secrets, Subscribers};
pub use url::{BadUrl, DatabaseUrl, Kind};
