//! Values of SQL.

use sqlx::sqlite::{SqliteRow, SqliteValueRef};
use sqlx::{Row, TypeInfo, ValueRef};

/// A value that is bound to a statement or read from a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// NULL.
    Null,
    /// An integer.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl Cell {
    /// The text; that of a number too, since SQLite keeps what was put in whatever its column is called. Nothing for
    /// NULL.
    #[must_use]
    pub fn into_text(self) -> Option<String> {
        match self {
            Cell::Null => None,
            Cell::Integer(number) => Some(number.to_string()),
            Cell::Real(number) => Some(number.to_string()),
            Cell::Text(text) => Some(text),
            Cell::Blob(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// The integer, also where it is written as a text.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Cell::Integer(number) => Some(*number),
            Cell::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(text.to_owned())
    }
}

/// Takes a row apart.
pub(crate) fn cells(row: &SqliteRow) -> Result<Vec<Cell>, sqlx::Error> {
    (0..row.len()).map(|index| row.try_get_raw(index).and_then(read)).collect()
}

fn read(value: SqliteValueRef<'_>) -> Result<Cell, sqlx::Error> {
    use sqlx::{Decode, Sqlite};
    let wrong = sqlx::Error::Decode;
    if value.is_null() {
        return Ok(Cell::Null);
    }
    let kind = value.type_info().name().to_owned();
    match kind.as_str() {
        "INTEGER" | "BOOLEAN" | "INT4" | "INT8" => {
            <i64 as Decode<'_, Sqlite>>::decode(value).map(Cell::Integer).map_err(wrong)
        }
        "REAL" => <f64 as Decode<'_, Sqlite>>::decode(value).map(Cell::Real).map_err(wrong),
        _ => {
            let bytes = <&[u8] as Decode<'_, Sqlite>>::decode(value).map_err(wrong)?.to_vec();
            if kind == "BLOB" {
                return Ok(Cell::Blob(bytes));
            }
            Ok(Cell::Text(String::from_utf8_lossy(&bytes).into_owned()))
        }
    }
}
