//! The pseudo-variables, by what they look at.

pub mod addresses;
pub mod branches;
pub mod headers;
pub mod message;
pub mod transport;
pub mod values;

use seawall_script::{Module, Value, WriteError};
use seawall_sip::Uri;

use crate::context::Context;

macro_rules! table {
    ($name:ident, $group:ident) => {
        /// A part of the core's table.
        pub static $name: Module<Context> = Module {
            variables: $group::VARIABLES,
            ..Module::new("core", "https://docs.opensips.org/manual/devel/script-corevar")
        };
    };
}

table!(ADDRESSES, addresses);
table!(BRANCHES, branches);
table!(HEADERS, headers);
table!(MESSAGE, message);
table!(TRANSPORT, transport);
table!(VALUES, values);

/// A part of a SIP URI, as several variables give it.
#[derive(Clone, Copy)]
enum Part {
    User,
    Host,
    Port,
    Transport,
}

/// Reads a part of a URI; NULL when it is not there or the URI is none.
fn part(uri: &[u8], part: Part) -> Value {
    let Ok(parsed) = Uri::parse(uri) else { return Value::Null };
    match part {
        Part::User => Value::optional(parsed.user.filter(|user| !user.is_empty())),
        Part::Host => Value::optional(Some(parsed.host).filter(|host| !host.is_empty())),
        Part::Port => match parsed.port {
            Some(port) => Value::Int(i64::from(port)),
            None if parsed.is_sip() => Value::Int(default_port(&parsed)),
            None => Value::Null,
        },
        Part::Transport => Value::str(parsed.transport().unwrap_or(default_transport(&parsed))),
    }
}

/// The port that a SIP URI without one means (RFC 3261 section 19.1.2).
fn default_port(uri: &Uri<'_>) -> i64 {
    let secure = uri.scheme == seawall_sip::uri::Scheme::Sips
        || uri.transport().is_some_and(|transport| transport.eq_ignore_ascii_case(b"tls"));
    if secure { 5061 } else { 5060 }
}

fn default_transport(uri: &Uri<'_>) -> &'static [u8] {
    if uri.scheme == seawall_sip::uri::Scheme::Sips { b"tls" } else { b"udp" }
}

/// A value as bytes that may become a URI or a header value.
fn clean_bytes(value: &Value) -> Result<Vec<u8>, WriteError> {
    let mut digits = seawall_script::Digits::default();
    let bytes = value.as_bytes(&mut digits).ok_or(WriteError::BadValue)?;
    if crate::uris::is_clean(bytes) { Ok(bytes.to_vec()) } else { Err(WriteError::BadValue) }
}
