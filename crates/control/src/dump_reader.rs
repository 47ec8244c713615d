//! Reads the reply of `ul_dump` record by record, without ever holding the whole.

use std::fmt;
use std::io::Read;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::client::{ClientError, WireError};
use crate::error::MiError;

/// A record as `ul_dump` and `ul_show_contact` show it.
#[derive(Debug, Deserialize)]
pub(crate) struct Record {
    #[serde(rename = "AOR", default)]
    pub(crate) aor: String,
    #[serde(rename = "Contacts", default)]
    pub(crate) contacts: Vec<Binding>,
}

/// A binding as they show it: its members by name. Other versions have other members.
pub(crate) type Binding = serde_json::Map<String, Value>;

/// Takes each record with the name of its table. An error ends the reading.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(&str, Record) -> std::io::Result<()>;

/// Reads a whole reply.
///
/// # Errors
/// The connection broke, the sink failed, or the reply is an error or no dump.
pub(crate) fn read(body: impl Read, sink: Sink<'_>) -> Result<(), ClientError> {
    let mut failure = None;
    let mut watched = |table: &str, record: Record| {
        sink(table, record).map_err(|error| failure.insert(error).kind().into())
    };
    let mut text = serde_json::Deserializer::from_reader(body);
    let outcome = Envelope(&mut watched).deserialize(&mut text);
    match (failure, outcome) {
        (Some(error), _) => Err(ClientError::Io(error)),
        (None, Ok(Some(error))) => Err(ClientError::Mi(error)),
        (None, Ok(None)) => Ok(()),
        (None, Err(error)) if error.is_io() => Err(ClientError::Io(error.into())),
        (None, Err(error)) => Err(ClientError::Reply(error.to_string())),
    }
}

/// The JSON-RPC reply; gives its error, if it is one.
struct Envelope<'a>(Sink<'a>);
/// Its `result`.
struct Dump<'a>(Sink<'a>);
/// The list of tables.
struct Tables<'a>(Sink<'a>);
/// One table.
struct Table<'a>(Sink<'a>);
/// The records of the table of that name.
struct Records<'a>(&'a str, Sink<'a>);

impl<'de> DeserializeSeed<'de> for Envelope<'_> {
    type Value = Option<MiError>;
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Envelope<'_> {
    type Value = Option<MiError>;
    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON-RPC reply")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut error = None;
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "result" => members.next_value_seed(Dump(&mut *self.0))?,
                "error" => error = members.next_value::<Option<WireError>>()?.map(MiError::from),
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(error)
    }
}

/// A seed whose value is an object or an array that goes to the sink.
macro_rules! streamed {
    ($name:ident, $call:ident) => {
        impl<'de> DeserializeSeed<'de> for $name<'_> {
            type Value = ();
            fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
                input.$call(self)
            }
        }
    };
}

streamed!(Dump, deserialize_map);
streamed!(Tables, deserialize_seq);
streamed!(Table, deserialize_map);
streamed!(Records, deserialize_seq);

impl<'de> Visitor<'de> for Dump<'_> {
    type Value = ();
    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object with `Domains`")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "Domains" => members.next_value_seed(Tables(&mut *self.0))?,
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Tables<'_> {
    type Value = ();
    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list of tables")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Table(&mut *self.0))?.is_some() {}
        Ok(())
    }
}

impl<'de> Visitor<'de> for Table<'_> {
    type Value = ();
    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a table with `name` and `AORs`")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut table = String::new();
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "name" => table = members.next_value()?,
                "AORs" => members.next_value_seed(Records(&table, &mut *self.0))?,
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Records<'_> {
    type Value = ();
    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list of records")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(record) = items.next_element()? {
            (self.1)(self.0, record).map_err(serde::de::Error::custom)?;
        }
        Ok(())
    }
}
