//! Where the message came from and which sockets there are: `$si`, `$socket_in(…)` and the like.

use seawall_net::SocketId;
use seawall_script::{Value, VarRef, Variable, VariableArguments};

use crate::context::Context;
use crate::node::Socket;

/// The variables of this file.
pub const VARIABLES: &[Variable<Context>] = &[
    Variable::<Context>::new("si", "The address that the message came from.", |context, _| {
        Value::from(context.origin.peer.ip().to_canonical().to_string().as_str())
    }),
    Variable::<Context>::new("sp", "The port that the message came from.", |context, _| {
        Value::Int(i64::from(context.origin.peer.port()))
    }),
    Variable::<Context>::new("Ri", "The address that the message came to.", |context, _| {
        Value::from(context.origin.local.ip().to_canonical().to_string().as_str())
    }),
    Variable::<Context>::new("Rp", "The port that the message came to.", |context, _| {
        Value::Int(i64::from(context.origin.local.port()))
    }),
    Variable::<Context>::new("pr", "The transport that the message came by.", protocol),
    Variable::<Context>::new("proto", "The transport that the message came by.", protocol),
    Variable::<Context>::new(
        "socket_in",
        "The socket that the message came to; a part of it by name: proto, ip, port, advertised_ip, \
         advertised_port, tag, anycast, af.",
        |context, reference| described(context.node.socket(context.origin.socket), reference),
    )
    .arguments(VariableArguments::Optional)
    .prepare(check_part),
    Variable::<Context>::new(
        "socket_out",
        "The socket that the message leaves from, if it was chosen; parts as in $socket_in.",
        |context, reference| {
            described(context.target.socket.and_then(|socket| context.node.socket(socket)), reference)
        },
    )
    .arguments(VariableArguments::Optional)
    .prepare(check_part),
    Variable::<Context>::new("af", "The address family of the message: INET or INET6.", |context, _| {
        family(context.origin.peer.is_ipv4())
    }),
];

/// The parts of a socket that can be asked for.
const PARTS: &[&str] = &["proto", "ip", "port", "advertised_ip", "advertised_port", "tag", "anycast", "af"];

fn check_part(name: &str) -> Result<seawall_script::Prepared, String> {
    if name.is_empty() || PARTS.contains(&name) {
        Ok(seawall_script::Prepared::new(()))
    } else {
        Err(format!("a socket has no part \"{name}\"; it has {}", PARTS.join(", ")))
    }
}

fn protocol(context: &Context, _: &VarRef<'_>) -> Value {
    Value::from(context.origin.transport.to_string().as_str())
}

fn family(v4: bool) -> Value {
    Value::from(if v4 { "INET" } else { "INET6" })
}

fn described(socket: Option<&Socket>, reference: &VarRef<'_>) -> Value {
    let Some(socket) = socket else { return Value::Null };
    match reference.name {
        b"" => Value::from(socket.description.as_str()),
        b"proto" => Value::from(socket.transport.to_string().as_str()),
        b"ip" => Value::from(socket.address.ip().to_string().as_str()),
        b"port" => Value::Int(i64::from(socket.address.port())),
        b"advertised_ip" => Value::str(&socket.host),
        b"advertised_port" => Value::Int(i64::from(socket.port)),
        b"tag" => socket.tag.as_deref().map_or(Value::Null, Value::from),
        b"anycast" => Value::Int(0),
        b"af" => family(socket.address.is_ipv4()),
        _ => Value::Null,
    }
}

/// Finds one of our sockets by `proto:address:port`, `proto:address`, `address:port` or its tag.
#[must_use]
pub fn parse_socket(context: &Context, text: &[u8]) -> Option<SocketId> {
    let text = std::str::from_utf8(text).ok()?;
    if let Some(socket) = context.node.sockets.iter().find(|socket| socket.tag.as_deref() == Some(text)) {
        return Some(socket.id);
    }
    let (protocol, rest) = match text.split_once(':') {
        Some((word @ ("udp" | "tcp" | "tls" | "ws" | "wss"), rest)) => (Some(word), rest),
        _ => (None, text),
    };
    let (host, port) = seawall_sip::uri::split_host_port(rest.as_bytes()).ok()?;
    let host = seawall_sip::uri::host_ip(host)?;
    let fits = |socket: &&Socket| {
        protocol.is_none_or(|protocol| socket.transport.to_string() == protocol)
            && socket.address.ip() == host
            && port.is_none_or(|port| socket.address.port() == port)
    };
    context.node.sockets.iter().find(fits).map(|socket| socket.id)
}
