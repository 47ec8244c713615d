//! `db_url` as users write it.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DatabaseUrl {
    path: PathBuf,
}

/// Why a `db_url` is not usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// It has no `kind://`.
    #[error("a database is named as sqlite:///path/of/the/file.db")]
    Form,
    /// A kind of database that is not provided yet.
    #[error("{0} databases are not provided yet; sqlite:///path/of/the/file.db is")]
    Kind(String),
}

impl DatabaseUrl {
    /// Reads a URL: `sqlite:///absolute/path` or `sqlite://relative/path`.
    ///
    /// # Errors
    /// It is no URL, or names another kind of database.
    pub fn parse(text: &str) -> Result<DatabaseUrl, BadUrl> {
        let (kind, rest) = text.split_once("://").ok_or(BadUrl::Form)?;
        match kind {
            "sqlite" if !rest.is_empty() && !rest.contains('\0') => Ok(DatabaseUrl { path: rest.into() }),
            "sqlite" => Err(BadUrl::Form),
            other
                if other.is_empty()
                    || !other.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') =>
            {
                Err(BadUrl::Form)
            }
            other => Err(BadUrl::Kind(other.to_owned())),
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "sqlite://{}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_as_users_write_them() {
        let check = |text: &str, path: &str| {
            let url = DatabaseUrl::parse(text).unwrap();
            assert_eq!((url.path(), url.to_string()), (Path::new(path), text.to_owned()));
        };
        check("sqlite:///var/lib/opensips/opensips.db", "/var/lib/opensips/opensips.db");
        check("sqlite://users.db", "users.db");
    }

    #[test]
    fn other_databases_are_refused_by_name() {
        let refused = |text: &str| DatabaseUrl::parse(text).unwrap_err().to_string();
        let mysql = refused("mysql://opensips:opensipsrw@localhost/opensips");
        assert!(mysql.starts_with("mysql databases are not provided yet"), "{mysql}");
        assert!(!mysql.contains("opensipsrw"), "{mysql}");
        for text in ["", "users.db", "sqlite://", "://x", "a b://x"] {
            assert_eq!(DatabaseUrl::parse(text), Err(BadUrl::Form), "{text}");
        }
    }
}
