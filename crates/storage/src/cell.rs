//! Values of SQL.

use std::borrow::Cow;

use rusqlite::types::ValueRef as Plain;
use sqlx::mysql::MySqlRow;
use sqlx::postgres::PgRow;
use sqlx::sqlite::{SqliteRow, SqliteValueRef};
use sqlx::types::chrono::NaiveDateTime;
use sqlx::{Row, TypeInfo, ValueRef};

use crate::datetime;
use crate::text;

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
    /// A date and time, in Unix seconds; stored in UTC.
    Time(i64),
}

impl Cell {
    /// Bytes from the network as the text that every kind of database takes.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Cell {
        Cell::Text(text::encode(bytes).into_owned())
    }

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
            Cell::Time(unix_s) => Some(datetime::format(unix_s)),
        }
    }

    /// The integer, also where it is written as a text.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Cell::Integer(number) | Cell::Time(number) => Some(*number),
            Cell::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// The value as SQLite has it.
    pub(crate) fn plain(&self) -> Plain<'_> {
        match self {
            Cell::Null => Plain::Null,
            Cell::Integer(number) | Cell::Time(number) => Plain::Integer(*number),
            Cell::Real(number) => Plain::Real(*number),
            Cell::Text(text) => Plain::Text(text.as_bytes()),
            Cell::Blob(bytes) => Plain::Blob(bytes),
        }
    }

    /// Text of which it is not known whether it is UTF-8.
    fn of_text(bytes: Vec<u8>) -> Cell {
        String::from_utf8(bytes).map_or_else(|error| Cell::Blob(error.into_bytes()), Cell::Text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(text.to_owned())
    }
}

/// A row of one kind of database.
pub(crate) trait Cells {
    /// Takes the row apart.
    fn cells(&self) -> Result<Vec<Cell>, sqlx::Error>;
}

impl Cells for SqliteRow {
    fn cells(&self) -> Result<Vec<Cell>, sqlx::Error> {
        (0..self.len()).map(|index| self.try_get_raw(index).and_then(read_sqlite)).collect()
    }
}

fn read_sqlite(value: SqliteValueRef<'_>) -> Result<Cell, sqlx::Error> {
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

impl Cells for PgRow {
    fn cells(&self) -> Result<Vec<Cell>, sqlx::Error> {
        let read = |index: usize| {
            let value = self.try_get_raw(index)?;
            if value.is_null() {
                return Ok(Cell::Null);
            }
            let kind: Cow<'_, str> = value.type_info().name().to_owned().into();
            Ok(match kind.as_ref() {
                "INT2" => Cell::Integer(self.try_get::<i16, _>(index)?.into()),
                "INT4" => Cell::Integer(self.try_get::<i32, _>(index)?.into()),
                "INT8" => Cell::Integer(self.try_get(index)?),
                "BOOL" => Cell::Integer(self.try_get::<bool, _>(index)?.into()),
                "FLOAT4" => Cell::Real(self.try_get::<f32, _>(index)?.into()),
                "FLOAT8" => Cell::Real(self.try_get(index)?),
                "TIMESTAMP" => Cell::Time(unix_s(self.try_get::<NaiveDateTime, _>(index)?)),
                "BYTEA" => Cell::Blob(self.try_get(index)?),
                // A column of fixed length is padded with blanks.
                "CHAR" => Cell::Text(self.try_get::<String, _>(index)?.trim_end_matches(' ').to_owned()),
                _ => Cell::Text(self.try_get(index)?),
            })
        };
        (0..self.len()).map(read).collect()
    }
}

impl Cells for MySqlRow {
    fn cells(&self) -> Result<Vec<Cell>, sqlx::Error> {
        let read = |index: usize| {
            let value = self.try_get_raw(index)?;
            if value.is_null() {
                return Ok(Cell::Null);
            }
            let kind = value.type_info().name().to_owned();
            Ok(match kind.as_str() {
                "BOOLEAN" | "TINYINT" | "SMALLINT" | "INT" | "MEDIUMINT" | "BIGINT" => {
                    Cell::Integer(self.try_get_unchecked(index)?)
                }
                "TINYINT UNSIGNED" | "SMALLINT UNSIGNED" | "INT UNSIGNED" | "MEDIUMINT UNSIGNED"
                | "BIGINT UNSIGNED" => Cell::Integer(self.try_get_unchecked::<u64, _>(index)?.cast_signed()),
                "FLOAT" => Cell::Real(self.try_get_unchecked::<f32, _>(index)?.into()),
                "DOUBLE" => Cell::Real(self.try_get_unchecked(index)?),
                "DATETIME" | "TIMESTAMP" => Cell::Time(unix_s(self.try_get_unchecked(index)?)),
                "TINYBLOB" | "BLOB" | "MEDIUMBLOB" | "LONGBLOB" | "BINARY" | "VARBINARY" => {
                    Cell::Blob(self.try_get_unchecked(index)?)
                }
                // Text of any character set, as its bytes are.
                _ => Cell::of_text(self.try_get_unchecked(index)?),
            })
        };
        (0..self.len()).map(read).collect()
    }
}

fn unix_s(time: NaiveDateTime) -> i64 {
    time.and_utc().timestamp()
}

/// A time as the drivers take it. None where their calendars end.
pub(crate) fn naive(unix_s: i64) -> Option<NaiveDateTime> {
    sqlx::types::chrono::DateTime::from_timestamp(unix_s, 0).map(|time| time.naive_utc())
}
