//! `db_url` as users write it.

use std::fmt;
use std::path::{Path, PathBuf};

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A file, opened by this process.
    Sqlite,
    /// A PostgreSQL server.
    Postgres,
    /// A MySQL or MariaDB server.
    Mysql,
}

/// Where a database is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DatabaseUrl(Target);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Target {
    File(PathBuf),
    Server(Kind, Server),
}

/// A server, and whom it is asked as. It has no `Debug`: it holds a password.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Server {
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    pub(crate) database: String,
    /// The socket of a server on this machine.
    pub(crate) socket: Option<PathBuf>,
    pub(crate) tls: Option<Tls>,
}

/// How a connection to a server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Tls {
    /// Not at all.
    Disable,
    /// If the server can.
    Prefer,
    /// Always, with whatever certificate the server has.
    Require,
    /// Always, with a certificate for this host from an authority that the system trusts.
    VerifyFull,
}

/// Why a `db_url` is not usable. No part of the URL is told but its kind: the rest may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// It has no `kind://`, or what follows is not what it should be.
    #[error(
        "a database is named as sqlite:///path/of/the/file.db, postgres://user:password@host:port/database or \
         mysql://user:password@host:port/database"
    )]
    Form,
    /// A kind of database that there is not.
    #[error("there are no {0} databases here; there are sqlite, postgres and mysql")]
    Kind(String),
    /// A parameter behind the question mark that there is not.
    #[error("there is no parameter \"{0}\" of a database; there are socket and sslmode")]
    Parameter(String),
    /// `sslmode` with another value.
    #[error("sslmode is disable, prefer, require or verify-full")]
    Tls,
}

impl DatabaseUrl {
    /// Reads a URL: `sqlite:///absolute/path`, `sqlite://relative/path`, or
    /// `postgres://user:password@host:port/database` (`postgresql`, `mysql`, `mariadb`). Parts of the latter may be
    /// percent-encoded; a percent sign that begins no encoding stands for itself, and a password may hold an `@`.
    /// `?socket=/path` names the socket of a server on this machine (of PostgreSQL its folder), `sslmode` says how the
    /// connection is encrypted.
    ///
    /// # Errors
    /// It is no URL, or names another kind of database.
    pub fn parse(text: &str) -> Result<DatabaseUrl, BadUrl> {
        let (kind, rest) = text.split_once("://").ok_or(BadUrl::Form)?;
        if rest.is_empty() || rest.contains('\0') {
            return Err(BadUrl::Form);
        }
        match kind {
            "sqlite" | "sqlite3" => Ok(DatabaseUrl(Target::File(rest.into()))),
            "postgres" | "postgresql" => {
                server(rest).map(|server| DatabaseUrl(Target::Server(Kind::Postgres, server)))
            }
            "mysql" | "mariadb" => {
                server(rest).map(|server| DatabaseUrl(Target::Server(Kind::Mysql, server)))
            }
            other if is_word(other) => Err(BadUrl::Kind(other.to_owned())),
            _ => Err(BadUrl::Form),
        }
    }

    /// What kind of database it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match &self.0 {
            Target::File(_) => Kind::Sqlite,
            Target::Server(kind, _) => *kind,
        }
    }

    /// The file of a SQLite database.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Target::File(path) => Some(path),
            Target::Server(..) => None,
        }
    }

    /// The server of a database that is no file.
    pub(crate) fn server(&self) -> Option<&Server> {
        match &self.0 {
            Target::File(_) => None,
            Target::Server(_, server) => Some(server),
        }
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Reads `user:password@host:port/database?parameters`.
fn server(text: &str) -> Result<Server, BadUrl> {
    // A password may hold an @ or a slash, so that the host begins behind the last @.
    let (login, rest) = text.rsplit_once('@').unwrap_or(("", text));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (rest, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (address, database) = rest.split_once('/').ok_or(BadUrl::Form)?;
    let (host, port) = match address.strip_prefix('[') {
        Some(bracketed) => {
            let (host, port) = bracketed.split_once(']').ok_or(BadUrl::Form)?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(BadUrl::Form)?) })
        }
        None => address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        Some(port) => Some(port.parse::<u16>().ok().filter(|port| *port != 0).ok_or(BadUrl::Form)?),
        None => None,
    };
    let mut server = Server {
        user: decode(user)?,
        password: decode(password)?,
        host: decode(host)?,
        port,
        database: decode(database)?,
        ..Server::default()
    };
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("socket", path)) => server.socket = Some(decode(path)?.into()),
            Some(("sslmode", mode)) => server.tls = Some(tls(mode)?),
            _ => {
                let name = parameter.split('=').next().filter(|name| is_word(name)).unwrap_or("?");
                return Err(BadUrl::Parameter(name.to_owned()));
            }
        }
    }
    let is_complete = !server.database.is_empty() && (!server.host.is_empty() || server.socket.is_some());
    if is_complete { Ok(server) } else { Err(BadUrl::Form) }
}

fn tls(mode: &str) -> Result<Tls, BadUrl> {
    match mode {
        "disable" => Ok(Tls::Disable),
        "prefer" => Ok(Tls::Prefer),
        "require" => Ok(Tls::Require),
        "verify-full" => Ok(Tls::VerifyFull),
        _ => Err(BadUrl::Tls),
    }
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Result<String, BadUrl> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let encoded = (first == b'%').then(|| tail.get(..2)).flatten();
        let encoded = encoded.and_then(|digits| std::str::from_utf8(digits).ok());
        let encoded = encoded.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match encoded.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or(BadUrl::Form)
}

impl fmt::Display for DatabaseUrl {
    /// The URL without its password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, server) = match &self.0 {
            Target::File(path) => return write!(formatter, "sqlite://{}", path.display()),
            Target::Server(Kind::Mysql, server) => ("mysql", server),
            Target::Server(_, server) => ("postgres", server),
        };
        write!(formatter, "{kind}://")?;
        if !server.user.is_empty() {
            write!(formatter, "{}@", server.user)?;
        }
        if server.host.contains(':') {
            write!(formatter, "[{}]", server.host)?;
        } else {
            write!(formatter, "{}", server.host)?;
        }
        if let Some(port) = server.port {
            write!(formatter, ":{port}")?;
        }
        write!(formatter, "/{}", server.database)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DatabaseUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_users_write_them() {
        let check = |text: &str, path: &str| {
            let url = DatabaseUrl::parse(text).unwrap();
            assert_eq!((url.path(), url.kind()), (Some(Path::new(path)), Kind::Sqlite));
            assert_eq!(url.to_string(), text);
        };
        check("sqlite:///var/lib/opensips/opensips.db", "/var/lib/opensips/opensips.db");
        check("sqlite://users.db", "users.db");
    }

    #[test]
    fn servers_are_read_as_users_write_them() {
        let check = |text: &str, expected: [&str; 4], port: Option<u16>, shown: &str| {
            let url = DatabaseUrl::parse(text).unwrap();
            let server = url.server().unwrap();
            assert_eq!([&server.user, &server.password, &server.host, &server.database], expected, "{text}");
            assert_eq!((server.port, url.to_string()), (port, shown.to_owned()));
            assert_eq!(format!("{url:?}"), format!("DatabaseUrl({shown})"));
        };
        let (user, password) = ("opensips", "opensipsrw");
        check(
            "mysql://opensips:opensipsrw@localhost/opensips",
            [user, password, "localhost", "opensips"],
            None,
            "mysql://opensips@localhost/opensips",
        );
        check(
            "postgresql://a%40b:p%2Fw%3a@db.example.com:5433/sip%20db?sslmode=require",
            ["a@b", "p/w:", "db.example.com", "sip db"],
            Some(5433),
            "postgres://a@b@db.example.com:5433/sip db",
        );
        check(
            "mysql://u:100%@p@ss@[::1]:33/d",
            ["u", "100%@p@ss", "::1", "d"],
            Some(33),
            "mysql://u@[::1]:33/d",
        );
        check("postgres://h/d", ["", "", "h", "d"], None, "postgres://h/d");
        let url = DatabaseUrl::parse("mysql://u@/d?socket=/run/mysqld.sock&sslmode=verify-full").unwrap();
        let server = url.server().unwrap();
        assert_eq!(server.socket.as_deref(), Some(Path::new("/run/mysqld.sock")));
        assert_eq!((server.tls, url.kind()), (Some(Tls::VerifyFull), Kind::Mysql));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_password() {
        for text in [
            "",
            "users.db",
            "sqlite://",
            "://x",
            "a b://x",
            "mysql://u:secret@host",
            "mysql://u:secret@/d",
            "mysql://u:secret@host/",
            "postgres://u:secret@host:0/d",
            "postgres://u:secret@host:70000/d",
            "postgres://u:secret@[::1/d",
            "postgres://u:secret%00@h/d",
        ] {
            assert_eq!(DatabaseUrl::parse(text), Err(BadUrl::Form), "{text}");
        }
        let refused = |text: &str| DatabaseUrl::parse(text).unwrap_err();
        assert_eq!(refused("oracle://u:secret@h/d"), BadUrl::Kind("oracle".to_owned()));
        assert_eq!(refused("mysql://u:secret@h/d?tls_domain=x"), BadUrl::Parameter("tls_domain".to_owned()));
        assert_eq!(refused("mysql://u:secret@h/d?sslmode=maybe"), BadUrl::Tls);
    }
}
