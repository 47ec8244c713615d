//! Where bindings are kept: a file, or a server of the test's own.

use super::server::{run, temporary_folder};
use std::path::PathBuf;

#[path = "../../../../storage/tests/servers/mod.rs"]
pub mod servers;

/// A database of any kind with its tables, gone when the test ends.
pub enum Place {
    File(PathBuf),
    Server(servers::Server),
}

impl Place {
    /// A new one of the kind that `db_url` begins with.
    pub fn new(kind: &str) -> Place {
        let server = match kind {
            "sqlite" => return Place::File(temporary_folder()),
            "postgres" => servers::Server::start(servers::Kind::Postgres),
            "mysql" => servers::Server::start(servers::Kind::Mysql),
            other => panic!("there are sqlite, postgres and mysql, and no {other}"),
        };
        let made = run(&["ctl", "db-init", &server.url()]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Place::Server(server)
    }

    pub fn url(&self) -> String {
        match self {
            Place::File(folder) => format!("sqlite://{}/location.db", folder.display()),
            Place::Server(server) => server.url(),
        }
    }

    /// The server of a database that is no file.
    pub fn server(&mut self) -> &mut servers::Server {
        match self {
            Place::File(_) => panic!("a file has no server"),
            Place::Server(server) => server,
        }
    }

    /// Runs a statement as another program.
    pub fn execute(&self, statement: &str) {
        match self {
            Place::File(folder) => {
                let file = rusqlite::Connection::open(folder.join("location.db")).unwrap();
                file.execute_batch(statement).unwrap();
            }
            Place::Server(server) => drop(server.sql(statement)),
        }
    }

    /// The first column of the rows that a query finds, as another program sees them.
    pub fn column(&self, query: &str) -> Vec<String> {
        match self {
            Place::File(folder) => {
                let file = rusqlite::Connection::open(folder.join("location.db")).unwrap();
                let mut statement = file.prepare(query).unwrap();
                let text = |row: &rusqlite::Row<'_>| {
                    Ok(match row.get_ref(0)? {
                        rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                        other => String::from_utf8_lossy(other.as_bytes()?).into_owned(),
                    })
                };
                statement.query_map([], text).unwrap().map(Result::unwrap).collect()
            }
            Place::Server(server) => server.sql(query).lines().map(str::to_owned).collect(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Place::File(folder) = self {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// Keeps everybody else from writing a table until it is dropped.
pub struct Hold {
    _file: Option<rusqlite::Connection>,
    _lock: Option<servers::Lock>,
}

impl Hold {
    pub fn new(place: &Place, table: &str) -> Hold {
        match place {
            Place::File(folder) => {
                let file = rusqlite::Connection::open(folder.join("location.db")).unwrap();
                file.execute_batch("BEGIN IMMEDIATE").unwrap();
                Hold { _file: Some(file), _lock: None }
            }
            Place::Server(server) => Hold { _file: None, _lock: Some(server.lock(table)) },
        }
    }
}
