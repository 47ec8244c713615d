//! What the kinds of databases write differently.
//!
//! Statements are made with question marks for values and backquotes around names, which is what SQLite and MySQL take.

use std::fmt::Write;

use crate::cell::Cell;
use crate::url::Kind;

/// A statement as a kind of database takes it. For PostgreSQL a `?` whose value is NULL becomes `NULL`: it wants to know
/// of which kind a value is, and nobody can say that of none.
///
/// Statements hold no texts, only names, so that a `?` or a backquote in it is always one of ours.
pub(crate) fn translate(sql: &str, kind: Kind, values: &[Cell]) -> String {
    let mut translated = String::with_capacity(sql.len() + 16);
    let (mut values, mut place) = (values.iter(), 0);
    for character in sql.chars() {
        match (character, kind) {
            ('?', Kind::Postgres) if values.next() == Some(&Cell::Null) => translated.push_str("NULL"),
            ('?', Kind::Postgres) => {
                place += 1;
                // Writing into a String cannot fail.
                let _ = write!(translated, "${place}");
            }
            ('`', Kind::Postgres) => translated.push('"'),
            (other, _) => translated.push(other),
        }
    }
    translated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_names_are_written_as_the_database_takes_them() {
        let values = [Cell::Integer(1), Cell::Null, Cell::from("x")];
        let check = |kind: Kind, expected: &str| {
            assert_eq!(translate("INSERT INTO `t` (`a`) VALUES (?, ?, ?)", kind, &values), expected);
        };
        check(Kind::Sqlite, "INSERT INTO `t` (`a`) VALUES (?, ?, ?)");
        check(Kind::Mysql, "INSERT INTO `t` (`a`) VALUES (?, ?, ?)");
        check(Kind::Postgres, "INSERT INTO \"t\" (\"a\") VALUES ($1, NULL, $2)");
    }
}
