//! Where a request goes and how it looks there: next hop, socket, Via, Record-Route, Path (RFC 3261 section 16.6).

use std::net::{IpAddr, SocketAddr};

use seawall_net::Transport;
use seawall_script::{Call, Flow};
use seawall_sip::uri::Scheme;
use seawall_sip::{Edits, Method, Name, NameAddr, Uri};
use seawall_transaction::proxy::forward::{Forward, MaxForwards, ViaLine};
use seawall_transaction::proxy::record_route::{self, Extras, Side};

use crate::branch::Branch;
use crate::context::{Context, Target};
use crate::node::Socket;
use crate::statistics::Stat;

/// Why a destination cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoTarget {
    /// It is not a SIP URI.
    NotSip,
    /// Its transport is not one of ours, or no socket of that transport and address family is there.
    NoSocket,
    /// The host is a name that has to be resolved first.
    Resolve(String),
    /// The host name has no address.
    Unresolved,
    /// It is a multicast, broadcast or unspecified address.
    Forbidden,
}

/// The next hop of a destination: its `destination` URI, else the first of its `path`, else its URI.
///
/// # Errors
/// The destination cannot be used, or not yet.
pub fn target(context: &Context, branch: &Branch) -> Result<Target, NoTarget> {
    let uri: &[u8] = if !branch.destination.is_empty() {
        &branch.destination
    } else if branch.uri.is_empty() {
        context.message().request_uri()
    } else {
        &branch.uri
    };
    if let Some(known) = context.next_hop.find(uri, branch.socket, context.origin.socket) {
        return Ok(known);
    }
    let forced = branch.socket.and_then(|id| context.node.socket(id)).map(|socket| socket.transport);
    let named = match seawall_sip::uri::numeric(uri) {
        Some((address, port)) => Named {
            transport: forced.unwrap_or(Transport::Udp),
            peer: SocketAddr::new(IpAddr::V4(address), port.unwrap_or(5060)),
            is_literal: true,
        },
        None => read(context, uri, forced)?,
    };
    let Named { transport, peer, is_literal } = named;
    if is_forbidden(peer.ip()) || peer.port() == 0 {
        return Err(NoTarget::Forbidden);
    }
    let preferred = branch.socket.unwrap_or(context.origin.socket);
    let socket = context.node.socket_for(transport, peer, preferred).ok_or(NoTarget::NoSocket)?;
    let target = Target { transport, socket: socket.id, peer, connection: None };
    if is_literal && !branch.destination.is_empty() {
        context.next_hop.note(uri, branch.socket, context.origin.socket, target);
    }
    Ok(target)
}

/// What a URI says of the next hop.
struct Named {
    transport: Transport,
    peer: SocketAddr,
    /// Whether the address stands in the URI, so that it comes to the same each time.
    is_literal: bool,
}

/// Takes a URI apart that is more than a user and an IPv4 address.
fn read(context: &Context, uri: &[u8], forced: Option<Transport>) -> Result<Named, NoTarget> {
    let uri = Uri::parse(uri).ok().filter(Uri::is_sip).ok_or(NoTarget::NotSip)?;
    let transport = transport_of(&uri, forced)?;
    let port = uri.port.unwrap_or(if uri.scheme == Scheme::Sips { 5061 } else { 5060 });
    // RFC 3261 section 16.6 step 7: maddr takes the place of the host.
    let host = uri.param(b"maddr").flatten().unwrap_or(uri.host);
    let literal = seawall_sip::uri::host_ip(host);
    let address = match literal {
        Some(address) => address,
        None => resolved(context, host)?,
    };
    Ok(Named { transport, peer: SocketAddr::new(address, port), is_literal: literal.is_some() })
}

/// The transport that a URI asks for; if it names none, that of the socket which was chosen for it, such as the one in
/// a double Record-Route or the one of a binding. `sips` without TLS cannot be served (RFC 3261 section 19.1.4).
fn transport_of(uri: &Uri<'_>, forced: Option<Transport>) -> Result<Transport, NoTarget> {
    if uri.scheme == Scheme::Sips {
        return Err(NoTarget::NoSocket);
    }
    match uri.transport() {
        None => Ok(forced.unwrap_or(Transport::Udp)),
        Some(name) if name.eq_ignore_ascii_case(b"udp") => Ok(Transport::Udp),
        Some(name) if name.eq_ignore_ascii_case(b"tcp") => Ok(Transport::Tcp),
        Some(_) => Err(NoTarget::NoSocket),
    }
}

/// The first address of a host name that was resolved for this message.
fn resolved(context: &Context, host: &[u8]) -> Result<IpAddr, NoTarget> {
    let host = std::str::from_utf8(host).map_err(|_| NoTarget::NotSip)?;
    match context.rare.resolved.iter().find(|(name, _)| name.eq_ignore_ascii_case(host)) {
        Some((_, addresses)) => {
            let usable = |address: &&IpAddr| {
                context.node.sockets.iter().any(|socket| socket.address.is_ipv4() == address.is_ipv4())
            };
            addresses.iter().find(usable).copied().ok_or(NoTarget::Unresolved)
        }
        None => Err(NoTarget::Resolve(host.to_owned())),
    }
}

/// Addresses that no request is ever sent to.
pub(crate) fn is_forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_multicast() || v6.is_unspecified(),
    }
}

/// What [`write_with`] works in. Whoever keeps it makes no allocations for it again.
#[derive(Debug, Default)]
pub struct Workspace {
    edits: Edits,
    first_headers: Vec<u8>,
}

/// Writes the request as it goes to one destination. `via_branch` is the branch parameter of our Via.
pub fn write(context: &mut Context, branch: &Branch, target: &Target, via_branch: &[u8], out: &mut Vec<u8>) {
    let mut workspace = std::mem::take(&mut context.workspace);
    write_with(&mut workspace, context, branch, target, via_branch, out);
    context.workspace = workspace;
}

/// As [`write`], in a workspace that the caller gives.
pub fn write_with(
    workspace: &mut Workspace,
    context: &Context,
    branch: &Branch,
    target: &Target,
    via_branch: &[u8],
    out: &mut Vec<u8>,
) {
    let Some(socket) = context.node.socket(target.socket) else { return };
    let Workspace { edits, first_headers } = workspace;
    edits.clear();
    if !context.rare.edits.is_empty() {
        edits.clone_from(&context.rare.edits);
    }
    first_headers.clear();
    let message = context.message();
    write_record_route(context, socket, first_headers);
    crate::path::write_header(context, socket, first_headers);
    if !branch.path.is_empty() {
        write_path(message, &branch.path, edits);
    }
    if message.header(Name::MaxForwards).is_none() && context.rare.max_forwards.is_none() {
        // RFC 3261 section 16.6 step 3: a request without the header gets one, whatever the script does.
        edits.append_header(message, b"Max-Forwards: 70\r\n");
    }
    if !context.rare.added_headers.is_empty() {
        for line in context.rare.added_headers.split_inclusive(|byte| *byte == b'\n') {
            edits.append_header(message, line);
        }
    }
    if let Some(journey) = &context.rare.journey {
        journey.edit(message, socket, edits);
    }
    // A transaction has worked out already what the Via of the previous hop gets.
    let via_fix = match context.packet.shared() {
        Some(request) => request.via_fix,
        None => crate::reply::way_back(context).1,
    };
    let transport: &[u8] = match socket.transport {
        Transport::Udp => b"UDP",
        _ => b"TCP",
    };
    let request_uri = crate::uris::as_request_uri(&branch.uri);
    let request_uri = request_uri.as_deref().unwrap_or(&branch.uri);
    // What stands there need not be put in its place; what the script has put there is replaced.
    let stays =
        request_uri.is_empty() || context.rare.edits.is_empty() && request_uri == message.request_uri();
    Forward {
        via: ViaLine {
            transport,
            sent_by: &socket.sent_by,
            branch: via_branch,
            rport: context.rare.add_local_rport,
        },
        request_uri: (!stays).then_some(request_uri),
        via_fix,
        max_forwards: context.rare.max_forwards.map_or(MaxForwards::Keep, MaxForwards::Set),
        first_headers,
    }
    .write(message, edits, out);
}

/// Puts the Path of a binding in front of the Route headers (RFC 3327 section 5.1).
fn write_path(message: &seawall_sip::Message, path: &[u8], edits: &mut Edits) {
    let line = [b"Route: ", path].concat();
    match message.header(Name::Route) {
        Some(route) => edits.insert_header_before(&route, &line),
        None => match message.header_all(Name::Via).last() {
            Some(via) => edits.insert_header_after(&via, &line),
            None => edits.insert_header_first(message, &line),
        },
    }
}

fn write_record_route(context: &Context, outgoing: &Socket, out: &mut Vec<u8>) {
    let Some(wanted) = context.rare.record_route.as_ref().filter(|wanted| wanted.decided) else { return };
    let settings = &context.configuration.settings.rr;
    let from = context.message().value(Name::From).and_then(|from| NameAddr::parse(from).ok());
    let user = context.target_user();
    let extras = Extras {
        user: user.as_deref().filter(|_| settings.add_user),
        from_tag: from.and_then(|from| from.tag()).filter(|_| settings.append_from_tag),
        params: &wanted.params,
    };
    let transport = |socket: &Socket| match socket.transport {
        Transport::Udp => &b"udp"[..],
        _ => b"tcp",
    };
    if !wanted.preset.is_empty() {
        // With two presets the first is the side on which the request leaves.
        let outgoing = Side { host_port: &wanted.preset, transport: b"" };
        let incoming = if wanted.preset_second.is_empty() {
            outgoing
        } else {
            Side { host_port: &wanted.preset_second, transport: b"" }
        };
        record_route::write(incoming, outgoing, &extras, out);
        return;
    }
    let outgoing = Side { host_port: &outgoing.sent_by, transport: transport(outgoing) };
    let incoming = match context.node.socket(context.origin.socket) {
        Some(socket) if settings.double => Side { host_port: &socket.sent_by, transport: transport(socket) },
        _ => outgoing,
    };
    record_route::write(incoming, outgoing, &extras, out);
}

/// `forward()`: sends the request on without a transaction.
pub fn stateless(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    if let Some(destination) = call.str(0).filter(|text| !text.is_empty()) {
        context.target.destination = as_uri(destination);
    }
    stateless_to_target(context)
}

/// Sends the request to its first destination without a transaction.
pub fn stateless_to_target(context: &mut Context) -> Flow {
    let branch = context.target.clone();
    let to = match target(context, &branch) {
        Ok(to) => to,
        Err(NoTarget::Resolve(host)) => {
            return context.wait_for_host(host, stateless_to_target);
        }
        Err(_) => return Flow::FALSE,
    };
    let Some(key) = context.server_key() else { return Flow::FALSE };
    let path = context.node.keys.path_hash(context.message());
    let mut via_branch = Vec::with_capacity(80);
    context.node.keys.write_stateless_branch(&key, 0, path, &mut via_branch);
    let mut bytes = context.outbox.buffer();
    write(context, &branch, &to, &via_branch, &mut bytes);
    context.outbox.push(to, bytes);
    context.node.counters.bump(context.worker, Stat::FwdRequests);
    Flow::TRUE
}

/// `send()`: sends the message as it came to a destination, without a Via of ours.
pub fn send_raw(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(destination) = call.str(0) else { return Flow::FALSE };
    let branch = Branch { destination: as_uri(destination), ..Branch::default() };
    let lines = call.str(1).unwrap_or_default();
    if !lines.is_empty() && !crate::sipmsgops::is_header_block(lines) {
        return Flow::FALSE;
    }
    let Ok(to) = target(context, &branch) else { return Flow::FALSE };
    // The message leaves as it came: changes that the script has made are for the request that it relays.
    let mut edits = Edits::default();
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        edits.append_header(context.packet.message(), line);
    }
    let mut bytes = context.outbox.buffer();
    edits.write(context.packet.message(), &mut bytes);
    context.outbox.push(to, bytes);
    Flow::TRUE
}

/// A destination as a URI: it may be one already, or `host[:port]`, or `proto:host[:port]`.
#[must_use]
pub fn as_uri(text: &[u8]) -> Vec<u8> {
    if text.starts_with(b"sip:") || text.starts_with(b"sips:") {
        return text.to_vec();
    }
    for protocol in [&b"udp"[..], b"tcp"] {
        if let Some(rest) = text.strip_prefix(protocol).and_then(|rest| rest.strip_prefix(b":")) {
            return [b"sip:", rest, b";transport=", protocol].concat();
        }
    }
    [b"sip:", text].concat()
}

impl Context {
    /// The user part of the Request-URI.
    fn target_user(&self) -> Option<Vec<u8>> {
        Uri::parse(self.request_uri()).ok()?.user.map(<[u8]>::to_vec)
    }

    /// Whether the message is an ACK, to which nobody replies.
    #[must_use]
    pub fn is_ack(&self) -> bool {
        self.message().method_id() == Method::Ack
    }
}
