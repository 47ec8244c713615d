//! Module `event_datagram`: events for programs outside, as JSON-RPC notifications in datagrams over UDP or a Unix socket.
//!
//! Whoever subscribes (`evi:subscribe`, `subscribe_event()`) is one more [`Subscription`] of
//! [`event_routing`](crate::event_routing). Sending never waits: what the system does not take at once is lost, as a
//! datagram may be anyway.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use seawall_script::{Call, Flow, Module, Value};

use crate::context::{Context, EventParameters};
use crate::event_routing::{Subscription, Subscriptions, Then, Wanted};

/// Most programs that are told of events, counted by event: each is a datagram for each of them.
pub const MAX_SUBSCRIBERS: usize = 1024;

/// The longest datagram, as documented.
const MAX_DATAGRAM: usize = 65_457;

/// The longest name of an event.
const MAX_NAME_LEN: usize = 64;

/// The module's table.
pub static MODULE: Module<Context> =
    Module { ..Module::new("event_datagram", "https://docs.opensips.org/modules/devel/event_datagram/") };

/// Where datagrams go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// `udp:ADDRESS:PORT`.
    Udp(SocketAddr),
    /// `unix:PATH`.
    Unix(PathBuf),
}

impl Destination {
    /// Reads `udp:ADDRESS:PORT` or `unix:PATH`; without a word in front it is a path.
    #[must_use]
    pub fn parse(text: &str) -> Option<Destination> {
        if let Some(address) = text.strip_prefix("udp:") {
            return address
                .parse()
                .ok()
                .filter(|address: &SocketAddr| address.port() != 0)
                .map(Destination::Udp);
        }
        let path = Path::new(text.strip_prefix("unix:").unwrap_or(text));
        path.is_absolute().then(|| Destination::Unix(path.to_owned()))
    }
}

impl std::fmt::Display for Destination {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Destination::Udp(address) => write!(formatter, "udp:{address}"),
            Destination::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

/// Why somebody cannot be told of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The name is none of an event.
    Event,
    /// The socket cannot be read.
    Socket,
    /// There are too many.
    Full,
}

/// Whether a text may be the name of an event.
#[must_use]
pub fn is_event_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=MAX_NAME_LEN).contains(&text.len()) && text.bytes().all(is_part)
}

/// Tells a program of an event from now on for `expires_s` seconds, for ever without it, and no more with 0. Once more for
/// the same event and socket takes the place of what was.
///
/// # Errors
/// Nothing has changed.
pub fn subscribe(
    subscriptions: &Subscriptions,
    (event, socket): (&str, &str),
    expires_s: Option<u64>,
    now_ms: u64,
) -> Result<(), Refused> {
    if !is_event_name(event) {
        return Err(Refused::Event);
    }
    let to = Destination::parse(socket).ok_or(Refused::Socket)?;
    let (known, count) = subscriptions.outside(event, &to);
    if count >= MAX_SUBSCRIBERS && known.is_none() {
        return Err(Refused::Full);
    }
    if let Some(id) = known {
        subscriptions.remove(id);
    }
    if expires_s == Some(0) {
        return Ok(());
    }
    let subscription = Subscription {
        wanted: Wanted::Named(event.into()),
        filters: Vec::new(),
        until_ms: expires_s.map_or(u64::MAX, |seconds| now_ms.saturating_add(seconds.saturating_mul(1000))),
        then: Then::Datagram(Arc::new(to)),
    };
    subscriptions.add(subscription).map(drop).ok_or(Refused::Full)
}

/// `subscribe_event(event, socket[, expire])`.
pub(crate) fn subscribe_event(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let text =
        |argument| call.str(argument).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
    let expires_s = match call.int(2).map(u64::try_from) {
        None => None,
        Some(Ok(seconds)) => Some(seconds),
        Some(Err(_)) => return Flow::FALSE,
    };
    if !context.configuration.program.is_loaded("event_datagram") {
        tracing::error!("line {}: subscribe_event: the module event_datagram is not loaded", call.line());
        return Flow::FALSE;
    }
    let subscribed = subscribe(&context.node.subscriptions, (text(0), text(1)), expires_s, context.now_ms);
    Flow::bool(subscribed.is_ok())
}

/// The sockets that datagrams leave by, opened when they are needed.
#[derive(Default)]
pub struct Datagrams {
    v4: OnceLock<Option<UdpSocket>>,
    v6: OnceLock<Option<UdpSocket>>,
    unix: OnceLock<Option<UnixDatagram>>,
}

impl Datagrams {
    /// Sends an event. What cannot be sent at once is lost.
    pub fn send(&self, to: &Destination, event: &EventParameters) {
        let bytes = notification(event);
        if bytes.len() > MAX_DATAGRAM {
            tracing::warn!("{} is too long for a datagram", event.name);
            return;
        }
        let sent = match to {
            Destination::Udp(address) => {
                let socket = if address.is_ipv4() {
                    self.v4.get_or_init(|| udp((Ipv4Addr::UNSPECIFIED, 0).into()))
                } else {
                    self.v6.get_or_init(|| udp((Ipv6Addr::UNSPECIFIED, 0).into()))
                };
                socket.as_ref().and_then(|socket| socket.send_to(&bytes, address).ok())
            }
            Destination::Unix(path) => {
                let socket = self.unix.get_or_init(|| {
                    let socket = UnixDatagram::unbound().ok()?;
                    socket.set_nonblocking(true).ok()?;
                    Some(socket)
                });
                socket.as_ref().and_then(|socket| socket.send_to(&bytes, path).ok())
            }
        };
        if sent.is_none() {
            tracing::debug!("{} was not sent to {to}", event.name);
        }
    }
}

fn udp(own: SocketAddr) -> Option<UdpSocket> {
    let socket = UdpSocket::bind(own).ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

/// `{"jsonrpc":"2.0","method":EVENT,"params":{…}}`, with `[…]` where no value has a name.
fn notification(event: &EventParameters) -> Vec<u8> {
    let mut out = b"{\"jsonrpc\":\"2.0\",\"method\":".to_vec();
    string(event.name.as_bytes(), &mut out);
    let is_list = !event.values.is_empty() && event.values.iter().all(|(name, _)| name.is_empty());
    let (open, close) = if is_list { ("[", "]}") } else { ("{", "}}") };
    out.extend_from_slice(b",\"params\":");
    out.extend_from_slice(open.as_bytes());
    for (number, (name, value)) in event.values.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        if !is_list {
            string(name.as_bytes(), &mut out);
            out.push(b':');
        }
        match value {
            Value::Null => string(b"", &mut out),
            Value::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Value::Str(text) => string(text, &mut out),
        }
    }
    out.extend_from_slice(close.as_bytes());
    out
}

/// Appends a JSON string. Bytes that are not UTF-8 become U+FFFD.
fn string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for character in String::from_utf8_lossy(text).chars() {
        match character {
            '"' | '\\' => out.extend_from_slice(&[b'\\', character as u8]),
            character if character.is_control() => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(character)).as_bytes());
            }
            character => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_udp_or_a_path() {
        let check = |text: &str, expected: Option<&str>| {
            let found = Destination::parse(text).map(|to| to.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("udp:127.0.0.1:8081", Some("udp:127.0.0.1:8081"));
        check("udp:[::1]:8081", Some("udp:[::1]:8081"));
        check("unix:/tmp/event.sock", Some("unix:/tmp/event.sock"));
        check("/tmp/event.sock", Some("unix:/tmp/event.sock"));
        for bad in ["udp:127.0.0.1", "udp:127.0.0.1:0", "udp:host:1", "tcp:127.0.0.1:1", "event.sock", ""] {
            check(bad, None);
        }
    }

    #[test]
    fn what_a_client_sends_cannot_break_out_of_the_notification() {
        let values = vec![
            ("uri".into(), Value::str(b"sip:a\"\\\r\n\xff\x7f")),
            ("expires".into(), Value::Int(-5)),
            ("attr".into(), Value::Null),
        ];
        let event = EventParameters { name: "E_X".into(), values, subject: None };
        let expected = "{\"jsonrpc\":\"2.0\",\"method\":\"E_X\",\"params\":{\"uri\":\"sip:a\\\"\\\\\\u000d\\u000a\u{fffd}\\u007f\",\
             \"expires\":-5,\"attr\":\"\"}}";
        assert_eq!(String::from_utf8(notification(&event)).unwrap(), expected);
        let values = vec![("".into(), Value::Int(1)), ("".into(), Value::str("2"))];
        let event = EventParameters { name: "E_X".into(), values, subject: None };
        let expected = "{\"jsonrpc\":\"2.0\",\"method\":\"E_X\",\"params\":[1,\"2\"]}";
        assert_eq!(String::from_utf8(notification(&event)).unwrap(), expected);
    }
}
