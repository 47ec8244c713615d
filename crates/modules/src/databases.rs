//! What modules that use a database share: where it is, and how it is asked.

use seawall_script::{Program, Value};
use seawall_storage::{Database, DatabaseUrl, Kind, Options};

use crate::context::Context;
use crate::node::Node;
use crate::{db_mysql, db_postgres, db_sqlite};

/// A database that a script names, and how it wants it asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    url: DatabaseUrl,
    options: Options,
}

impl Source {
    /// The database of a module: what its `db_url` names, else `db_default_url`; nothing when neither is set.
    #[must_use]
    pub fn new(program: &Program<Context>, module: &str) -> Option<Source> {
        let own = program.parameters.str(module, "db_url").unwrap_or_default();
        let own = Some(String::from_utf8_lossy(own).into_owned()).filter(|url| !url.is_empty());
        let url = own.or_else(|| program.globals.str("db_default_url"))?;
        // It was checked at load.
        Source::of(program, &url)
    }

    /// The database of a URL.
    pub(crate) fn of(program: &Program<Context>, url: &str) -> Option<Source> {
        let url = DatabaseUrl::parse(url).ok()?;
        let options = options(program, &url);
        Some(Source { url, options })
    }

    /// The open database.
    #[must_use]
    pub fn database(&self, node: &Node) -> Database {
        node.storage.database(&self.url, &self.options)
    }
}

/// How a script wants a database asked.
pub(crate) fn options(program: &Program<Context>, url: &DatabaseUrl) -> Options {
    match url.kind() {
        Kind::Sqlite => db_sqlite::options(program),
        Kind::Postgres => db_postgres::options(program),
        Kind::Mysql => db_mysql::options(program),
    }
}

/// Checks a `db_url`.
pub(crate) fn is_url(value: &Value) -> Result<(), String> {
    match value {
        Value::Str(text) if !text.is_empty() => {
            DatabaseUrl::parse(&String::from_utf8_lossy(text)).map(drop).map_err(|error| error.to_string())
        }
        _ => Ok(()),
    }
}

/// Checks a time in microseconds.
pub(crate) fn is_time_us(value: &Value) -> Result<(), String> {
    match value.as_int() {
        Some(0..=60_000_000) => Ok(()),
        _ => Err("it is from 0 microseconds to a minute".to_owned()),
    }
}

/// Checks `max_db_queries`.
pub(crate) fn is_tries(value: &Value) -> Result<(), String> {
    match value.as_int() {
        Some(1..=10) => Ok(()),
        _ => Err("it is from 1 to 10".to_owned()),
    }
}

pub(crate) fn tries(program: &Program<Context>, module: &str) -> u32 {
    u32::try_from(program.parameters.int(module, "max_db_queries")).unwrap_or(2)
}

pub(crate) fn slow_us(program: &Program<Context>, module: &str) -> u32 {
    u32::try_from(program.parameters.int(module, "exec_query_threshold")).unwrap_or(0)
}
