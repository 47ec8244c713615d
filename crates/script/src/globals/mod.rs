//! The global settings of a script.

pub(crate) mod socket;
mod table;

use std::collections::BTreeMap;

use crate::diagnostics::Span;
use crate::value::{Bytes, Value};
pub use table::{GLOBALS, Global, GlobalKind, find};

/// A socket that the script wants to listen on: `socket=udp:10.0.0.1:5060 as 1.2.3.4:5060 use_workers 4 tag inside`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketDefinition {
    /// The protocol in lower case: `udp`, `tcp`, `tls`, `ws`, `wss` or another word that the script gave.
    pub protocol: String,
    /// The address, `*` or `0.0.0.0` for all, the name of an interface or of a host; without the brackets of IPv6.
    pub host: String,
    /// The port, if given.
    pub port: Option<u16>,
    /// The host to advertise instead.
    pub advertised_host: Option<String>,
    /// The port to advertise instead.
    pub advertised_port: Option<u16>,
    /// How many workers read from it, if given.
    pub use_workers: Option<u32>,
    /// The tag, if given.
    pub tag: Option<String>,
    /// Whether `anycast` was given.
    pub anycast: bool,
    /// Whether `reuse_port` was given.
    pub reuse_port: bool,
    /// `tos` value, if given.
    pub tos: Option<Bytes>,
    /// Where it stands in the script.
    pub span: Span,
}

/// A name under which the server is itself: `alias=udp:example.com:5060`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The protocol, if given.
    pub protocol: Option<String>,
    /// The host.
    pub host: String,
    /// The port, if given.
    pub port: Option<u16>,
    /// Where it stands in the script.
    pub span: Span,
}

/// The global settings, with the defaults of the table.
#[derive(Clone, Debug, Default)]
pub struct Globals {
    /// The sockets, in order.
    pub sockets: Vec<SocketDefinition>,
    /// The aliases, in order.
    pub aliases: Vec<Alias>,
    pub(crate) set: BTreeMap<&'static str, (Value, Span)>,
}

impl Globals {
    /// Whether the script sets it.
    pub fn is_set(&self, name: &str) -> bool {
        self.set.contains_key(name)
    }

    /// The value that the script gives, or the declared default, or NULL.
    pub fn value(&self, name: &str) -> Value {
        match self.set.get(name) {
            Some((value, _)) => value.clone(),
            None => find(name).map_or(Value::Null, default),
        }
    }

    /// An integer; 0 if there is neither a value nor a default.
    pub fn int(&self, name: &str) -> i64 {
        self.value(name).as_int().unwrap_or(0)
    }

    /// A condition.
    pub fn bool(&self, name: &str) -> bool {
        self.int(name) != 0
    }

    /// A string.
    pub fn str(&self, name: &str) -> Option<String> {
        let text = self.value(name).into_bytes()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    }
}

/// The declared default of a setting.
fn default(global: &Global) -> Value {
    match global.kind {
        _ if global.default.is_empty() => Value::Null,
        GlobalKind::Int | GlobalKind::Bool => word_number(global.default).map_or(Value::Null, Value::Int),
        _ => Value::from(global.default),
    }
}

/// The integer that a word stands for: a number in decimal, octal or hexadecimal, or a condition.
pub(crate) fn word_number(word: &str) -> Option<i64> {
    let negative = word.starts_with('-');
    let digits = word.trim_start_matches('-');
    let number = match digits {
        "yes" | "true" | "on" | "enable" => 1,
        "no" | "false" | "off" | "disable" => 0,
        _ => match digits.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16).ok()?,
            None if digits.len() > 1 && digits.starts_with('0') => i64::from_str_radix(digits, 8).ok()?,
            None => digits.parse().ok()?,
        },
    };
    Some(if negative { -number } else { number })
}
