//! The SQL of a location table in a SQLite file, made once.

use crate::identifier::Identifier;
use crate::location::columns::{ALL, COUNT, Column, Columns};

/// The statements of one table.
#[derive(Debug)]
pub(crate) struct Statements {
    pub(crate) table: String,
    pub(crate) create: String,
    pub(crate) index: String,
    pub(crate) upsert: String,
    pub(crate) delete: String,
    pub(crate) of_user: String,
    pub(crate) of_user_and_domain: String,
    pub(crate) first_page: String,
    pub(crate) next_page: String,
    pub(crate) count: String,
    pub(crate) delete_expired: String,
}

/// What a column is made as. Those of OpenSIPS; SQLite takes any length.
fn definition(column: Column) -> &'static str {
    match column {
        Column::ContactId => "INTEGER PRIMARY KEY NOT NULL",
        Column::Username => "CHAR(64) DEFAULT '' NOT NULL",
        Column::Domain | Column::Socket => "CHAR(64) DEFAULT NULL",
        Column::Contact => "TEXT NOT NULL",
        Column::Expires => "INTEGER NOT NULL",
        Column::Q => "FLOAT(10,2) DEFAULT 1.0 NOT NULL",
        Column::Callid => "CHAR(255) DEFAULT 'Default-Call-ID' NOT NULL",
        Column::Cseq => "INTEGER DEFAULT 13 NOT NULL",
        Column::LastModified => "DATETIME DEFAULT '1900-01-01 00:00:01' NOT NULL",
        Column::Flags => "INTEGER DEFAULT 0 NOT NULL",
        Column::UserAgent => "CHAR(255) DEFAULT '' NOT NULL",
        Column::Methods => "INTEGER DEFAULT NULL",
        Column::KvStore => "TEXT DEFAULT NULL",
        Column::Received | Column::Path | Column::Cflags | Column::SipInstance | Column::Attr => {
            "CHAR(255) DEFAULT NULL"
        }
    }
}

impl Statements {
    pub(crate) fn new(table: &Identifier, columns: &Columns) -> Statements {
        let name = |column: Column| format!("`{}`", columns.name(column));
        let names: Vec<String> = columns.names().map(|name| format!("`{name}`")).collect();
        let places: Vec<String> = (1..=COUNT).map(|place| format!("?{place}")).collect();
        let definitions: Vec<String> =
            ALL.iter().map(|(column, _)| format!("{} {}", name(*column), definition(*column))).collect();
        let assignments: Vec<String> =
            names.iter().skip(1).map(|name| format!("{name} = excluded.{name}")).collect();
        let (id, user, domain, expires) =
            (name(Column::ContactId), name(Column::Username), name(Column::Domain), name(Column::Expires));
        let select = format!("SELECT {} FROM {table}", names.join(", "));
        Statements {
            table: table.as_str().to_owned(),
            create: format!("CREATE TABLE IF NOT EXISTS {table} ({})", definitions.join(", ")),
            index: format!(
                "CREATE INDEX IF NOT EXISTS `{}_username_idx` ON {table} ({user})",
                table.as_str()
            ),
            upsert: format!(
                "INSERT INTO {table} ({}) VALUES ({}) ON CONFLICT ({id}) DO UPDATE SET {}",
                names.join(", "),
                places.join(", "),
                assignments.join(", ")
            ),
            delete: format!("DELETE FROM {table} WHERE {id} = ?1"),
            of_user: format!("{select} WHERE {user} = ?1 ORDER BY {id}"),
            of_user_and_domain: format!(
                "{select} WHERE {user} = ?1 AND coalesce({domain}, '') = ?2 ORDER BY {id}"
            ),
            first_page: format!("{select} ORDER BY {id} LIMIT ?1"),
            next_page: format!("{select} WHERE {id} > ?2 ORDER BY {id} LIMIT ?1"),
            count: format!("SELECT count(*) FROM {table}"),
            delete_expired: format!("DELETE FROM {table} WHERE {expires} != 0 AND {expires} < ?1"),
        }
    }
}
