//! A row of any database, column by column.

use rusqlite::types::ValueRef;

use crate::datetime;
use crate::location::row::{BrokenRow, Page, Row};

/// The columns of a row, in the order of [`crate::location::columns::ALL`], and what is to be undone of its texts.
pub(super) struct Read<V, D> {
    pub(super) value: V,
    pub(super) decode: D,
}

/// Adds a row to a page, among the good or the broken.
pub(super) fn add<'a, V, D>(page: &mut Page, contact_id: u64, columns: &Read<V, D>)
where
    V: Fn(usize) -> Option<ValueRef<'a>>,
    D: Fn(Vec<u8>) -> Vec<u8>,
{
    match columns.row(contact_id) {
        Ok(row) => page.rows.push(row),
        Err(column) => {
            let name = super::columns::ALL.get(column).map_or("?", |(_, name)| *name);
            let reason = format!("{name} is empty, or of another kind, or out of range");
            page.broken.push(BrokenRow { contact_id, reason });
        }
    }
}

/// An error is the index of the column that cannot be read.
impl<'a, V, D> Read<V, D>
where
    V: Fn(usize) -> Option<ValueRef<'a>>,
    D: Fn(Vec<u8>) -> Vec<u8>,
{
    fn row(&self, contact_id: u64) -> Result<Row, usize> {
        let row = Row {
            contact_id,
            username: self.text(1)?,
            domain: self.text(2)?,
            contact: self.text(3)?,
            received: self.text(4)?,
            path: self.text(5)?,
            expires: self.integer(6)?,
            q: self.real(7)?,
            callid: self.text(8)?,
            cseq: u32::try_from(self.integer(9)?).map_err(|_| 9_usize)?,
            last_modified: self.date(10)?,
            flags: self.bits(11)?.unwrap_or(0),
            cflags: self.text(12)?,
            user_agent: self.text(13)?,
            socket: self.text(14)?,
            methods: self.bits(15)?,
            sip_instance: self.text(16)?,
            kv_store: self.text(17)?,
            attr: self.text(18)?,
        };
        if row.contact.is_empty() { Err(3) } else { Ok(row) }
    }

    fn value(&self, index: usize) -> Result<ValueRef<'a>, usize> {
        (self.value)(index).ok_or(index)
    }

    /// Text or bytes; that of a number, since SQLite keeps what was put in whatever its column is called.
    fn text(&self, index: usize) -> Result<Vec<u8>, usize> {
        Ok(match self.value(index)? {
            ValueRef::Null => Vec::new(),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => (self.decode)(bytes.to_vec()),
            ValueRef::Integer(number) => number.to_string().into_bytes(),
            ValueRef::Real(number) => number.to_string().into_bytes(),
        })
    }

    fn integer(&self, index: usize) -> Result<i64, usize> {
        match self.value(index)? {
            ValueRef::Integer(number) => Ok(number),
            ValueRef::Text(text) => number(text).ok_or(index),
            _ => Err(index),
        }
    }

    /// A number of 32 bits, whatever its sign was taken to be.
    fn bits(&self, index: usize) -> Result<Option<u32>, usize> {
        if self.value(index)? == ValueRef::Null {
            return Ok(None);
        }
        let number = self.integer(index)?;
        let bits = u32::try_from(number).ok().or_else(|| i32::try_from(number).ok().map(i32::cast_unsigned));
        bits.map(Some).ok_or(index)
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "q has three digits")]
    fn real(&self, index: usize) -> Result<f32, usize> {
        match self.value(index)? {
            ValueRef::Real(number) => Ok(number as f32),
            ValueRef::Integer(number) => Ok(number as f32),
            ValueRef::Text(text) => number(text).ok_or(index),
            _ => Err(index),
        }
    }

    /// A date as text or as Unix seconds. It decides nothing but the order, so that one that makes no sense is 0.
    fn date(&self, index: usize) -> Result<i64, usize> {
        Ok(match self.value(index)? {
            ValueRef::Integer(unix_s) => unix_s,
            ValueRef::Text(text) => std::str::from_utf8(text).ok().and_then(datetime::parse).unwrap_or(0),
            _ => 0,
        })
    }
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}
