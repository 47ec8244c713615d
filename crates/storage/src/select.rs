//! Look-ups by equality, the only kind that modules need.

use std::fmt::Write;

use crate::identifier::Identifier;

/// Columns of the rows of a table in which other columns have given values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Select {
    sql: String,
    keys: usize,
}

impl Select {
    /// Prepares the statement: `columns` of `table` where each of `keys` has its value; at most `rows`.
    #[must_use]
    pub fn new(table: &Identifier, columns: &[&Identifier], keys: &[&Identifier], rows: u32) -> Select {
        let mut sql = "SELECT ".to_owned();
        for (index, column) in columns.iter().enumerate() {
            // Writing into a String cannot fail.
            let _ = write!(sql, "{}{column}", if index == 0 { "" } else { ", " });
        }
        if columns.is_empty() {
            sql.push('1');
        }
        let _ = write!(sql, " FROM {table}");
        for (index, key) in keys.iter().enumerate() {
            let _ = write!(sql, " {} {key} = ?", if index == 0 { "WHERE" } else { "AND" });
        }
        let _ = write!(sql, " LIMIT {rows}");
        Select { sql, keys: keys.len() }
    }

    /// The statement.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// How many values it takes.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_values_are_left_to_be_bound() {
        let name = |text: &str| Identifier::new(text).unwrap();
        let (table, a, b) = (name("t"), name("a"), name("b"));
        let check = |select: Select, sql: &str, keys: usize| {
            assert_eq!((select.sql(), select.keys()), (sql, keys));
        };
        check(
            Select::new(&table, &[&a, &b], &[&a, &b], 1),
            "SELECT `a`, `b` FROM `t` WHERE `a` = ? AND `b` = ? LIMIT 1",
            2,
        );
        check(Select::new(&table, &[], &[&a], 1), "SELECT 1 FROM `t` WHERE `a` = ? LIMIT 1", 1);
    }
}
