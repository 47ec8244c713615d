//! The SQL of a location table, made once.

use crate::identifier::Identifier;
use crate::location::columns::{ALL, COUNT, Column, Columns};
use crate::schema;
use crate::url::Kind;

/// The statements of one table: of a SQLite file, where values have numbers, of PostgreSQL, and for any database with
/// question marks.
#[derive(Debug)]
pub(crate) struct Statements {
    pub(crate) table: String,
    /// Whether nobody waits for what is written.
    pub(crate) is_unhurried: bool,
    /// What makes it in a SQLite file.
    pub(crate) create: Vec<String>,
    pub(crate) upsert: String,
    pub(crate) delete: String,
    pub(crate) of_user: String,
    pub(crate) of_user_and_domain: String,
    pub(crate) first_page: String,
    pub(crate) next_page: String,
    pub(crate) count: String,
    pub(crate) delete_expired: String,
    /// Rows as arrays of columns.
    pub(crate) upsert_arrays: String,
    pub(crate) delete_array: String,
    /// Both in one, for PostgreSQL, if a row of `seawall_state` holds a value; how many do.
    pub(crate) change_marked: String,
    /// What stands before and behind the rows of a statement for MySQL.
    many: (String, String),
    pub(crate) delete_one: String,
    pub(crate) nothing: String,
    pub(crate) of_user_anywhere: String,
    pub(crate) first_page_anywhere: String,
    pub(crate) next_page_anywhere: String,
    pub(crate) delete_expired_anywhere: String,
}

impl Statements {
    pub(crate) fn new(table: &Identifier, columns: &Columns) -> Statements {
        let name = |column: Column| format!("`{}`", columns.name(column));
        let names: Vec<String> = columns.names().map(|name| format!("`{name}`")).collect();
        let places: Vec<String> = (1..=COUNT).map(|place| format!("?{place}")).collect();
        let assignments: Vec<String> =
            names.iter().skip(1).map(|name| format!("{name} = excluded.{name}")).collect();
        let (id, user, domain, expires) =
            (name(Column::ContactId), name(Column::Username), name(Column::Domain), name(Column::Expires));
        let list = names.join(", ");
        let in_postgres = |text: String| text.replace('`', "\"");
        let arrays: Vec<String> =
            ALL.iter().zip(1..).map(|((column, _), place)| format!("${place}::{}", column.array())).collect();
        let values: Vec<String> =
            names.iter().skip(1).map(|name| format!("{name} = VALUES({name})")).collect();
        let select = format!("SELECT {} FROM {table}", list);
        Statements {
            table: table.as_str().to_owned(),
            is_unhurried: false,
            create: schema::create_location(Kind::Sqlite, table, &columns.names().collect::<Vec<_>>()),
            upsert: format!(
                "INSERT INTO {table} ({list}) VALUES ({}) ON CONFLICT ({id}) DO UPDATE SET {} WHERE {user} = excluded.{user}",
                places.join(", "),
                // Names of columns that an index is on are not set: that would write the index's page too.
                assignments.iter().skip(1).map(String::as_str).collect::<Vec<_>>().join(", ")
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
            upsert_arrays: in_postgres(format!(
                "INSERT INTO {table} ({list}) SELECT * FROM UNNEST({}) ON CONFLICT ({id}) DO UPDATE SET {}",
                arrays.join(", "),
                assignments.join(", ")
            )),
            change_marked: in_postgres(format!(
                "WITH mark AS (SELECT 1 FROM seawall_state WHERE name = ${} AND value = ${} FOR SHARE), \
                 written AS (INSERT INTO {table} ({list}) SELECT changed.* FROM mark, UNNEST({}) AS changed \
                 ON CONFLICT ({id}) DO UPDATE SET {}), \
                 removed AS (DELETE FROM {table} WHERE {id} = ANY(${}) AND EXISTS (SELECT 1 FROM mark)) \
                 SELECT count(*) FROM mark",
                COUNT + 2,
                COUNT + 3,
                arrays.join(", "),
                assignments.join(", "),
                COUNT + 1
            )),
            delete_array: in_postgres(format!("DELETE FROM {table} WHERE {id} = ANY($1)")),
            many: (
                format!("INSERT INTO {table} ({list}) VALUES "),
                format!(" ON DUPLICATE KEY UPDATE {}", values.join(", ")),
            ),
            delete_one: format!("DELETE FROM {table} WHERE {id} = ?"),
            nothing: format!("{select} WHERE {id} = 0 AND {id} = 1"),
            of_user_anywhere: format!("{select} WHERE {user} = ? ORDER BY {id}"),
            first_page_anywhere: format!("{select} ORDER BY {id} LIMIT ?"),
            next_page_anywhere: format!("{select} WHERE {id} > ? ORDER BY {id} LIMIT ?"),
            delete_expired_anywhere: format!("DELETE FROM {table} WHERE {expires} <> 0 AND {expires} < ?"),
        }
    }

    /// An upsert of a number of rows, for MySQL.
    pub(crate) fn many(&self, rows: usize) -> String {
        let (before, behind) = &self.many;
        let row = format!("({})", vec!["?"; COUNT].join(", "));
        format!("{before}{}{behind}", vec![row.as_str(); rows].join(", "))
    }
}
