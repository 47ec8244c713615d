//! Replies made here: stateless, or by the transaction of the request.

use std::net::SocketAddr;
use std::sync::Arc;

use seawall_net::{Origin, Transport};
use seawall_sip::build::Response;
use seawall_sip::via::WayBack;
use seawall_sip::{Method, ViaFix, name_addr};

use crate::configuration::Configuration;
use crate::context::{Context, Target};
use crate::uris;

/// The port of a Via that names none (RFC 3261 section 18.2.2).
const DEFAULT_PORT: u16 = 5060;

/// Where replies to the context's request go, and what its topmost Via gets (RFC 3261 section 18.2, RFC 3581).
///
/// A reply over UDP always goes to the address that the request came from; `maddr` of the Via is not followed,
/// because it would let anybody point replies at anybody.
#[inline(always)]
#[must_use]
pub fn way_back(context: &Context) -> (Target, Option<ViaFix>) {
    let origin = &context.origin;
    // Made in the place where it is given back.
    let mut back = (origin_of(origin), None);
    if let Some(way) = WayBack::of(context.message(), origin.peer) {
        back.1 = if context.rare.force_rport { Some(ViaFix::to_source(origin.peer)) } else { way.fix };
        if origin.transport == Transport::Udp && !(way.has_rport || context.rare.force_rport) {
            back.0.peer.set_port(way.port.unwrap_or(DEFAULT_PORT));
        }
    }
    back
}

/// Back to where a message came from.
#[inline(always)]
fn origin_of(origin: &Origin) -> Target {
    Target {
        transport: origin.transport,
        socket: origin.socket,
        peer: origin.peer,
        connection: origin.connection,
    }
}

/// Sends a reply: by the transaction when there is one, stateless otherwise. False when none can be sent.
#[inline(always)]
pub fn send(context: &mut Context, code: u16, reason: &[u8], extra_headers: &[u8]) -> bool {
    if context.transaction.is_some() {
        context.rare.reply_headers.extend_from_slice(extra_headers);
        stateful(context, code, reason, b"")
    } else {
        stateless(context, code, reason, extra_headers)
    }
}

/// Sends a reply without a transaction (RFC 3261 section 8.2.7). False for an ACK, which nobody answers.
pub fn stateless(context: &mut Context, code: u16, reason: &[u8], extra_headers: &[u8]) -> bool {
    if answer_usual(context, (code, reason), extra_headers).is_none() {
        if context.message().method_id() == Method::Ack || !context.message().is_request() {
            return false;
        }
        answer_any(context, (code, reason), extra_headers);
    }
    context.node.counters.stateless_reply(context.worker, code);
    context.replied = code;
    true
}

/// Queues the reply to a REGISTER that is written as nearly all are, over IPv4. `None` is no verdict.
#[inline(always)]
fn answer_usual(context: &mut Context, status_line: (u16, &[u8]), extra_headers: &[u8]) -> Option<()> {
    let message = context.packet.message();
    let SocketAddr::V4(source) = context.origin.peer else { return None };
    // With an rport, so it goes to where the request came from.
    let usual = message.usual()?;
    if message.method_id() != Method::Register || context.transaction.is_some() || status_line.0 == 100 {
        return None;
    }
    let tag = context.node.keys.stateless_tag(message)?;
    let server = server_header(&context.configuration, context.brief_reply);
    let extra_headers = [&context.rare.reply_headers, extra_headers, server];
    let out = context.outbox.packet(origin_of(&context.origin));
    usual.answer(status_line, source, &tag, extra_headers, out);
    Some(())
}

/// Queues the reply to any request.
#[inline(never)]
fn answer_any(context: &mut Context, (code, reason): (u16, &[u8]), extra_headers: &[u8]) {
    let (target, via_fix) = way_back(context);
    let mut bytes = context.outbox.buffer();
    write(context, code, reason, extra_headers, b"", via_fix, &mut bytes);
    context.outbox.push(target, bytes);
}

/// Sends a reply by the context's transaction. False when it has ended or is answered already.
pub fn stateful(context: &mut Context, code: u16, reason: &[u8], body: &[u8]) -> bool {
    let Some((id, state)) = context.transaction.clone() else { return false };
    if state.lock().is_own {
        return false;
    }
    let via_fix = context.share_packet().via_fix;
    let node = Arc::clone(&context.node);
    let Some(shard) = node.shard(id.shard) else { return false };
    let mut bytes = Vec::new();
    let kept = std::mem::take(&mut state.lock().reply_headers);
    write(context, code, reason, &kept, body, via_fix, &mut bytes);
    let sent = shard.lock().reply(context.now_ms, id, code, bytes, &mut context.effects).is_ok();
    if sent {
        context.replied = code;
        let mut inner = state.lock();
        inner.reason = reason.to_vec();
        inner.to_tag.clear();
    }
    sent
}

/// Appends the reply to `out`.
#[inline(always)]
fn write(
    context: &Context,
    code: u16,
    reason: &[u8],
    extra_headers: &[u8],
    body: &[u8],
    via_fix: Option<ViaFix>,
    out: &mut Vec<u8>,
) {
    let message = context.message();
    let to_tag = if code == 100 { None } else { tag_of(context) };
    // RFC 3261 section 12.1.1: replies that can make a dialog carry the route set.
    let record_route = (101..300).contains(&code)
        && matches!(message.method_id(), Method::Invite | Method::Subscribe | Method::Refer);
    let server = server_header(&context.configuration, context.brief_reply);
    let response = Response {
        status: code,
        reason,
        to_tag: to_tag.as_ref().map(<[u8; 16]>::as_slice),
        via_fix,
        record_route,
        extra_headers: [&context.rare.reply_headers, extra_headers, server],
        body,
    };
    response.write(message, out);
}

/// The Server line of a reply, if it has one.
#[inline(always)]
fn server_header(configuration: &Configuration, is_brief: bool) -> &[u8] {
    let server = configuration.settings.server_header.as_deref().unwrap_or_default();
    if is_brief { b"" } else { server }
}

/// The tag for the To of a reply made here: the same for every reply to this request and its retransmissions
/// (RFC 3261 section 8.2.7), and not to be guessed. None when the request has a To tag.
#[inline]
pub(crate) fn tag_of(context: &Context) -> Option<[u8; 16]> {
    let message = context.message();
    if name_addr::to_tag(message).ok()?.is_some() {
        return None;
    }
    // Nobody looks for the transaction of a REGISTER as a rule, and where one is looked for in vain the tag is the same.
    if message.method_id() == Method::Register
        && context.transaction.is_none()
        && let tag @ Some(_) = context.node.keys.stateless_tag(message)
    {
        return tag;
    }
    let key = context.server_key()?;
    Some(context.node.keys.tag(&key))
}

/// A reply header line for a text that must not end the line.
#[must_use]
pub fn header_line(name: &str, value: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(name.len() + value.len() + 4);
    line.extend_from_slice(name.as_bytes());
    line.extend_from_slice(b": ");
    uris::push_clean(&mut line, value);
    line.extend_from_slice(b"\r\n");
    line
}
