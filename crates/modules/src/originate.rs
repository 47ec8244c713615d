//! Requests of the server itself: made here, seen by `local_route`, sent and repeated by the transaction layer.
//!
//! Whoever has a request to send puts an [`OwnRequest`] into [`Context::own_requests`]; the worker takes it from there
//! when the route has ended and what it said has been sent. [`prepare`] makes the message, `local_route` may change it,
//! [`send`] finds the next hop and gives it to the transaction layer. Routes that `local_route` arms run as for a request
//! that is relayed: a failure route may send it elsewhere. How it ended is told by a callback, on whichever
//! worker learns of it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use seawall_net::{ConnectionId, SocketId, Transport};
use seawall_script::Flow;
use seawall_sip::build::Request;
use seawall_sip::{Framing, Message, Method, ascii};
use seawall_transaction::BranchToken;
use smallvec::smallvec;

use crate::branch::Branch;
use crate::context::{Context, nowhere};
use crate::forward::{self, NoTarget};
use crate::tm::relay::{keep, run_branch_route};
use crate::tm::state::{Inner, SentBranch, TransactionState};
use crate::uris;

/// How many hops a request of ours may take (RFC 3261 section 8.1.1.6).
const MAX_FORWARDS: u8 = 70;

/// How a request of the server itself ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The final code: that of the response, 408 when none came in time, 503 when the request could not be sent.
    pub code: u16,
    /// The response, unless the code was made here.
    pub response: Option<Arc<Message>>,
}

/// Who is told how a request ended. It gets an empty context, into which it may put further requests.
pub struct OnAnswer(Box<Tell>);

type Tell = dyn FnOnce(&mut Context, &Ended) + Send;

impl OnAnswer {
    /// Calls this when the request has ended.
    pub fn new(tell: impl FnOnce(&mut Context, &Ended) + Send + 'static) -> Self {
        Self(Box::new(tell))
    }
}

impl fmt::Debug for OnAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OnAnswer")
    }
}

/// A request to be sent by the server itself. All values are as they are to be written.
///
/// Not for INVITE, ACK and CANCEL: nobody here would acknowledge what comes back.
#[derive(Debug)]
pub struct OwnRequest {
    /// The method.
    pub method: Vec<u8>,
    /// The Request-URI.
    pub uri: Vec<u8>,
    /// The From value, with its tag.
    pub from: Vec<u8>,
    /// The To value, with its tag inside a dialog.
    pub to: Vec<u8>,
    /// The Call-ID.
    pub call_id: Vec<u8>,
    /// The CSeq number, below 2^31.
    pub cseq: u32,
    /// Further header lines, each with its line break; Route among them.
    pub headers: Vec<u8>,
    /// The body; its Content-Type is one of the headers.
    pub body: Vec<u8>,
    /// The next hop as a URI: that of the first Route, or where somebody behind a NAT can be reached. Empty for the
    /// Request-URI.
    pub next_hop: Vec<u8>,
    /// The socket to send from; where it decides the transport too if the next hop names none.
    pub socket: Option<SocketId>,
    /// A connection to use while it is open; if it is not, one to the next hop is.
    pub connection: Option<ConnectionId>,
    /// Who is told how it ended.
    pub on_answer: Option<OnAnswer>,
}

/// What is to be known of a request when it is sent, while its `local_route` runs.
#[derive(Debug)]
pub struct Departure {
    on_answer: Option<OnAnswer>,
    connection: Option<ConnectionId>,
    /// The next hop that the connection leads to; a script that changes it does not want the connection.
    next_hop: Vec<u8>,
}

/// What came of an attempt to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way, or its maker was told why not.
    Done,
    /// A host name has to be resolved first: park the context, and send again when it goes on.
    Later,
}

/// Makes the message in an empty context, for `local_route` to run over. False when it would be no message; its maker
/// has been told then.
pub fn prepare(context: &mut Context, request: OwnRequest) -> bool {
    let written = write(context, &request);
    let OwnRequest { next_hop, socket, connection, on_answer, .. } = request;
    let socket = socket.and_then(|id| context.node.socket(id));
    context.origin = nowhere();
    if let Some(socket) = socket {
        (context.origin.socket, context.origin.local) = (socket.id, socket.address);
        context.target.socket = Some(socket.id);
    }
    context.target.destination.clone_from(&next_hop);
    context.rare.own = Some(Box::new(Departure { on_answer, connection, next_hop }));
    if !written {
        tracing::error!("a request of the server itself is no message and is not sent");
        fail(context);
    }
    written
}

/// Writes the request into the context's buffer, without a Via, and scans it. False when it may not be sent.
fn write(context: &mut Context, request: &OwnRequest) -> bool {
    let one_line = [&request.uri, &request.from, &request.to, &request.call_id, &request.next_hop];
    if !ascii::is_token(&request.method) || !one_line.iter().all(|value| uris::is_clean(value)) {
        return false;
    }
    let configuration = Arc::clone(&context.configuration);
    let agent = configuration.settings.user_agent_header.as_deref().unwrap_or_default();
    let headers = [agent, &request.headers].concat();
    let Some(message) = context.packet.own_mut() else { return false };
    let buffer = message.buffer_mut();
    buffer.clear();
    Request {
        method: &request.method,
        uri: &request.uri,
        via: b"",
        from: &request.from,
        to: &request.to,
        call_id: &request.call_id,
        cseq: request.cseq,
        max_forwards: MAX_FORWARDS,
        extra_headers: &headers,
        body: &request.body,
    }
    .write(buffer);
    message.scan_in_place(Framing::Datagram).is_ok()
        && message.flaw().is_none()
        && !matches!(message.method_id(), Method::Invite | Method::Ack | Method::Cancel)
}

/// Sends what [`prepare`] made and `local_route` left of it. Does nothing when it has been sent or given up.
pub fn send(context: &mut Context) -> Sent {
    if context.rare.own.is_none() {
        return Sent::Done;
    }
    if let Some(route) = context.rare.armed.branch.take()
        && !run_branch_route(context, route, 0)
    {
        fail(context);
        return Sent::Done;
    }
    let branch = context.target.clone();
    match forward::target(context, &branch) {
        Ok(mut target) => {
            let own = context.rare.own.as_ref().filter(|own| own.next_hop == branch.destination);
            if target.transport != Transport::Udp {
                target.connection = own.and_then(|own| own.connection);
            }
            if !give_to_layer(context, &branch, target) {
                fail(context);
            }
            Sent::Done
        }
        Err(NoTarget::Resolve(host)) => {
            let flow = context.wait_for_host(host, |_| Flow::Exit);
            debug_assert_eq!(flow, Flow::Pending);
            Sent::Later
        }
        Err(reason) => {
            tracing::debug!("a request of the server itself cannot be sent: {reason:?}");
            fail(context);
            Sent::Done
        }
    }
}

/// Makes the client transaction. False when there are too many.
fn give_to_layer(context: &mut Context, branch: &Branch, target: crate::context::Target) -> bool {
    let on_answer = context.rare.own.as_mut().and_then(|own| own.on_answer.take());
    let holds = context.rare.armed.failure.is_some();
    let uri = context.request_uri().to_vec();
    let inner = Inner {
        on_answer,
        own_request: holds.then(|| context.share_packet()),
        is_own: true,
        branches: smallvec![SentBranch { branch: Branch { uri, ..branch.clone() }, reply_route: None }],
        ..Inner::default()
    };
    let state = Arc::new(TransactionState::new(Arc::clone(&context.configuration), context.origin, inner));
    keep(context, &state);
    let node = Arc::clone(&context.node);
    // A shard whose timers this worker runs: it goes on ticking fast while there is something in one of them.
    let own_shards = node.transactions.iter().skip(context.worker).step_by(node.workers.max(1));
    let pick = context.random() as usize % own_shards.len().max(1);
    let Some(shard) = own_shards.into_iter().nth(pick) else { return false };
    let path = node.keys.path_hash(context.message());
    let mut effects = std::mem::take(&mut context.effects);
    let mut workspace = std::mem::take(&mut context.workspace);
    let seen: &Context = context;
    let message = |token: BranchToken| {
        let mut via_branch = Vec::with_capacity(96);
        node.keys.write_branch(token, path, &mut via_branch);
        let mut bytes = Vec::new();
        forward::write_with(&mut workspace, seen, branch, &target, &via_branch, &mut bytes);
        bytes
    };
    let mut layer = shard.lock();
    let made = layer.originate(seen.now_ms, false, Arc::clone(&state), target, message, &mut effects);
    if let Ok(id) = &made {
        layer.hold_failure(*id, holds);
    }
    drop(layer);
    context.effects = effects;
    context.workspace = workspace;
    match made {
        Ok(_) => context.rare.own = None,
        Err(_) => {
            if let Some(own) = &mut context.rare.own {
                own.on_answer = state.lock().on_answer.take();
            }
        }
    }
    made.is_ok()
}

/// Tells the maker of the context's request that it was not sent.
pub fn fail(context: &mut Context) {
    if let Some(tell) = context.rare.own.take().and_then(|own| own.on_answer) {
        (tell.0)(context, &Ended { code: 503, response: None });
    }
}

/// Tells the maker of a request how it ended. The context is an empty one.
pub fn ended(context: &mut Context, state: &TransactionState, ended: &Ended) {
    let tell = state.lock().on_answer.take();
    if let Some(tell) = tell {
        (tell.0)(context, ended);
    }
}

/// A URI for an address, as a next hop.
#[must_use]
pub fn uri_of(transport: Transport, address: SocketAddr) -> Vec<u8> {
    let transport = if transport == Transport::Udp { "" } else { ";transport=tcp" };
    format!("sip:{address}{transport}").into_bytes()
}
