//! The Request-URI, the next hop and where a request is sent: `$ru`, `$du` and their parts.

use seawall_script::{AssignOp, Value, VarRef, Variable, WriteError};
use seawall_sip::Uri;

use super::{Part, clean_bytes, part};
use crate::branch::NO_Q;
use crate::context::Context;
use crate::uris;

/// The variables of this file.
pub const VARIABLES: &[Variable<Context>] =
    &[
        Variable::<Context>::new("ru", "The Request-URI.", |context, _| {
            Value::optional(non_empty(context.request_uri()))
        })
        .write(set_uri),
        Variable::<Context>::new("ou", "The Request-URI as it came.", |context, _| {
            Value::optional(non_empty(context.message().request_uri()))
        }),
        Variable::<Context>::new("rU", "The user part of the Request-URI.", |context, _| {
            part(context.request_uri(), Part::User)
        })
        .write(|context, _, _, value| {
            let user = if value.is_null() { None } else { Some(clean_bytes(&value)?) };
            let uri = uris::with_user(context.request_uri(), user.as_deref());
            store(context, uri)
        }),
        Variable::<Context>::new("oU", "The user part of the Request-URI as it came.", |context, _| {
            part(context.message().request_uri(), Part::User)
        }),
        Variable::<Context>::new("rd", "The host of the Request-URI.", |context, _| {
            part(context.request_uri(), Part::Host)
        })
        .write(|context, _, _, value| {
            let uri = uris::with_host(context.request_uri(), &clean_bytes(&value)?);
            store(context, uri)
        }),
        Variable::<Context>::new("od", "The host of the Request-URI as it came.", |context, _| {
            part(context.message().request_uri(), Part::Host)
        }),
        Variable::<Context>::new("rp", "The port of the Request-URI.", |context, _| {
            part(context.request_uri(), Part::Port)
        })
        .write(|context, _, _, value| {
            let port = port_of(&value)?;
            let uri = uris::with_port(context.request_uri(), port);
            store(context, uri)
        }),
        Variable::<Context>::new("op", "The port of the Request-URI as it came.", |context, _| {
            part(context.message().request_uri(), Part::Port)
        }),
        Variable::<Context>::new("rP", "The transport of the Request-URI.", |context, _| {
            part(context.request_uri(), Part::Transport)
        }),
        Variable::<Context>::new("oP", "The transport of the Request-URI as it came.", |context, _| {
            part(context.message().request_uri(), Part::Transport)
        }),
        Variable::<Context>::new("rq", "The q value of the Request-URI, in thousandths.", |context, _| {
            match context.target.q {
                NO_Q => Value::Null,
                q => Value::Int(i64::from(q)),
            }
        }),
        Variable::<Context>::new("ru_q", "The q value of the Request-URI, in thousandths.", |context, _| {
            match context.target.q {
                NO_Q => Value::Null,
                q => Value::Int(i64::from(q)),
            }
        })
        .write(|context, _, _, value| {
            context.target.q = match value.as_int() {
                None if value.is_null() => NO_Q,
                None => return Err(WriteError::BadValue),
                Some(q) => u16::try_from(q).ok().filter(|q| *q <= 1000).ok_or(WriteError::BadValue)?,
            };
            Ok(())
        }),
        Variable::<Context>::new("du", "The next hop, when it is not the Request-URI.", |context, _| {
            Value::optional(non_empty(&context.target.destination))
        })
        .write(set_destination),
        Variable::<Context>::new("dd", "The host of the next hop.", |context, _| {
            part(&context.target.destination, Part::Host)
        }),
        Variable::<Context>::new("dp", "The port of the next hop.", |context, _| {
            part(&context.target.destination, Part::Port)
        }),
        Variable::<Context>::new("dP", "The transport of the next hop.", |context, _| {
            if context.target.destination.is_empty() {
                Value::Null
            } else {
                part(&context.target.destination, Part::Transport)
            }
        }),
        Variable::<Context>::new("duri", "The next hop; the same as $du.", |context, _| {
            Value::optional(non_empty(&context.target.destination))
        })
        .write(set_destination),
        Variable::<Context>::new("fs", "The socket to send from, proto:address:port.", |context, _| {
            match context.target.socket.and_then(|socket| context.node.socket(socket)) {
                Some(socket) => Value::from(socket.description.as_str()),
                None => Value::Null,
            }
        })
        .write(set_socket),
    ];

fn non_empty(bytes: &[u8]) -> Option<&[u8]> {
    Some(bytes).filter(|bytes| !bytes.is_empty())
}

fn port_of(value: &Value) -> Result<Option<u16>, WriteError> {
    if value.is_null() {
        return Ok(None);
    }
    let port = value.as_int().and_then(|port| u16::try_from(port).ok());
    port.filter(|port| *port != 0).map(Some).ok_or(WriteError::BadValue)
}

fn store(context: &mut Context, uri: Option<Vec<u8>>) -> Result<(), WriteError> {
    context.target.uri = uri.ok_or(WriteError::BadValue)?;
    Ok(())
}

/// Sets `$ru`. NULL brings back the Request-URI as it came.
fn set_uri(context: &mut Context, _: &VarRef<'_>, _: AssignOp, value: Value) -> Result<(), WriteError> {
    if value.is_null() {
        context.target.uri.clear();
        return Ok(());
    }
    let uri = clean_bytes(&value)?;
    let usable =
        !uri.iter().any(|byte| matches!(byte, b' ' | b'\t' | b'<' | b'>')) && Uri::parse(&uri).is_ok();
    store(context, usable.then_some(uri))
}

/// Sets `$du`. NULL takes it away.
fn set_destination(
    context: &mut Context,
    _: &VarRef<'_>,
    _: AssignOp,
    value: Value,
) -> Result<(), WriteError> {
    if value.is_null() {
        context.target.destination.clear();
        return Ok(());
    }
    let mut digits = seawall_script::Digits::default();
    let uri = value.as_bytes(&mut digits).ok_or(WriteError::BadValue)?;
    let is_sip = |uri: &[u8]| uris::is_clean(uri) && Uri::parse(uri).is_ok_and(|uri| uri.is_sip());
    if !(context.next_hop.knows(uri) || is_sip(uri)) {
        return Err(WriteError::BadValue);
    }
    context.target.destination.clear();
    context.target.destination.extend_from_slice(uri);
    Ok(())
}

/// Sets `$fs`. NULL lets the server choose again.
fn set_socket(context: &mut Context, _: &VarRef<'_>, _: AssignOp, value: Value) -> Result<(), WriteError> {
    if value.is_null() {
        context.target.socket = None;
        return Ok(());
    }
    let text = clean_bytes(&value)?;
    let socket = super::transport::parse_socket(context, &text).ok_or(WriteError::BadValue)?;
    context.target.socket = Some(socket);
    Ok(())
}
