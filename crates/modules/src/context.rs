//! What a script function works on: one message and everything that the script has decided about it so far.
//!
//! A worker keeps a few contexts and reuses them, so that a plain REGISTER allocates nothing. A context is a
//! plain value: it can be parked together with the frame of the script and go on later.

mod rare;
mod touched;

use std::net::SocketAddr;
use std::sync::Arc;

use seawall_net::{ConnectionId, Origin, SocketId, Transport};
use seawall_script::RouteKind;
use seawall_sip::{Message, ViaFix};
use seawall_transaction::{Bytes, Effects, Request, ServerKey, TransactionId};

use crate::branch::Branch;
use crate::configuration::Configuration;
use crate::node::Node;
use crate::outbox::Outbox;
use crate::tm::state::TransactionState;

pub use rare::Rare;
pub use touched::Touched;

/// The message that a route works on: the worker's own, or one that a transaction keeps too. The buffer of the own one stays
/// where it is meanwhile, and goes on receiving after the route.
#[derive(Debug)]
pub struct Packet {
    own: Message,
    shared: Option<Arc<Request<Target>>>,
}

impl Packet {
    /// The message itself.
    #[must_use]
    pub fn message(&self) -> &Message {
        self.shared.as_ref().map_or(&self.own, |request| &request.message)
    }

    /// The message as a transaction keeps it, if one does.
    #[must_use]
    pub fn shared(&self) -> Option<&Arc<Request<Target>>> {
        self.shared.as_ref()
    }

    /// The message, if no transaction keeps it.
    #[must_use]
    pub fn own(&self) -> Option<&Message> {
        self.shared.is_none().then_some(&self.own)
    }

    /// The same, to receive into.
    pub fn own_mut(&mut self) -> Option<&mut Message> {
        self.shared.is_none().then_some(&mut self.own)
    }

    /// Puts the message of a transaction in its place.
    pub fn share(&mut self, request: Arc<Request<Target>>) {
        self.shared = Some(request);
    }
}

impl From<Message> for Packet {
    fn from(own: Message) -> Self {
        Packet { own, shared: None }
    }
}

impl Default for Packet {
    fn default() -> Self {
        Message::empty().into()
    }
}

/// The parameters of the event that an `event_route` handles, as `$param(name)` reads them.
#[derive(Debug, Clone, Default)]
pub struct EventParameters {
    /// The event, `E_UL_CONTACT_INSERT`.
    pub name: Box<str>,
    /// Names and values in the order of the event's declaration.
    pub values: Vec<(Box<str>, seawall_script::Value)>,
    /// What else is known of the contact that it is about, if it is about one.
    pub subject: Option<Box<EventSubject>>,
}

/// What an event does not tell about its contact.
#[derive(Debug, Clone, Default)]
pub struct EventSubject {
    /// The contact id.
    pub contact_id: u64,
    /// `+sip.instance`; empty when there is none.
    pub instance: Box<[u8]>,
    /// Whether it is woken by pushes.
    pub is_pushed: bool,
    /// Its preference in thousandths, or [`Q_NONE`](seawall_location::Q_NONE).
    pub q: u16,
}

impl EventParameters {
    /// The value of this name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&seawall_script::Value> {
        self.values.iter().find(|(known, _)| **known == *name).map(|(_, value)| value)
    }

    /// The text of this name; nothing for one that is not there, and for a number.
    #[must_use]
    pub fn text(&self, name: &str) -> &[u8] {
        match self.value(name) {
            Some(seawall_script::Value::Str(text)) => text,
            _ => b"",
        }
    }
}

/// What a `failure_route` was called for.
#[derive(Debug, Clone, Copy)]
pub struct Failure {
    /// The code of the best reply.
    pub code: u16,
    /// The branch that gave it.
    pub branch: u16,
}

/// The length of a Date header line in the years of four digits. A length that is known is copied without a call.
const DATE_LINE_BYTES: usize = b"Date: Sat, 21 Nov 2026 21:26:11 GMT\r\n".len();

/// The state of one run of a route.
pub struct Context {
    /// The server.
    pub node: Arc<Node>,
    /// The script and the parameters that were in force when this message came.
    pub configuration: Arc<Configuration>,
    /// The number of the worker that runs the route.
    pub worker: usize,
    /// Monotonic time in milliseconds.
    pub now_ms: u64,
    /// Seconds since the Unix epoch.
    pub now_s: u64,
    /// Whether many messages wait behind this one, more than the worker will soon get through.
    pub is_behind: bool,
    /// The kind of route that runs.
    pub route: RouteKind,
    /// The message.
    pub packet: Packet,
    /// The key of the message's transaction, once somebody has asked for it.
    server_key: std::cell::Cell<Option<ServerKey>>,
    /// Where it came from.
    pub origin: Origin,
    /// What few messages need.
    pub rare: Touched<Rare>,
    /// The first destination: the Request-URI and what belongs to it.
    pub target: Touched<Branch>,
    /// Message flags (`setflag`).
    pub flags: u32,
    /// The transaction, once there is one.
    pub transaction: Option<(TransactionId, Arc<TransactionState>)>,
    /// What the digests of requests have in common. It stays when the context serves the next message.
    pub digest_memo: std::cell::Cell<seawall_digest::Memo>,
    /// Packets to send when the route has ended.
    pub outbox: Outbox,
    /// What the transaction layer asked for and the worker has yet to do.
    pub effects: Effects<Arc<TransactionState>, Target>,
    /// Location changes that event routes wait for.
    pub events: Vec<EventParameters>,
    /// Requests of the server itself, to be sent when the route has ended.
    pub own_requests: Vec<crate::originate::OwnRequest>,
    /// Connections to keep, or to let go (`tcp_persistent_flag`).
    pub keep_connection: Vec<crate::registrar::Lease>,
    /// Whether the next reply leaves out Server, because it must not be long.
    pub brief_reply: bool,
    /// The code that the last local reply had, 0 for none; `$rs` in a request route and the statistics use it.
    pub replied: u16,
    /// Contacts that the last lookup found.
    pub targets: seawall_registrar::Targets,
    /// A second, and the Date header line of it.
    date: (u64, [u8; DATE_LINE_BYTES]),
    /// State of the random numbers; seeded from the system at the start of the worker.
    random: u64,
    /// Scratch space for output, kept for its capacity.
    pub scratch: Vec<u8>,
    /// The lists of methods that phones sent lately.
    pub allow: seawall_registrar::methods::Memo,
    /// What a forwarded message is made in, kept for its capacity.
    pub workspace: crate::forward::Workspace,
    /// Where the last message was sent to.
    pub next_hop: crate::next_hop::NextHop,
    /// Memory of transactions that have ended; the worker's, while the context serves a message.
    pub spares: Option<Box<crate::spares::Spares>>,
}

impl Context {
    /// A context for the given worker, with nothing in it.
    #[must_use]
    pub fn new(node: Arc<Node>, worker: usize) -> Self {
        let configuration = node.configuration.load_full();
        Self {
            node,
            configuration,
            worker,
            now_ms: 0,
            now_s: 0,
            is_behind: false,
            route: RouteKind::Request,
            packet: Packet::default(),
            server_key: std::cell::Cell::new(None),
            origin: nowhere(),
            rare: Touched::default(),
            target: Touched::default(),
            flags: 0,
            transaction: None,
            digest_memo: std::cell::Cell::default(),
            outbox: Outbox::default(),
            effects: Effects::default(),
            events: Vec::new(),
            own_requests: Vec::new(),
            keep_connection: Vec::new(),
            brief_reply: false,
            replied: 0,
            targets: seawall_registrar::Targets::default(),
            date: (u64::MAX, [0; DATE_LINE_BYTES]),
            random: seed(),
            scratch: Vec::new(),
            allow: seawall_registrar::methods::Memo::default(),
            workspace: crate::forward::Workspace::default(),
            next_hop: crate::next_hop::NextHop::default(),
            spares: None,
        }
    }

    /// Forgets everything about the last message; allocations stay.
    #[inline(always)]
    pub fn reset(&mut self) {
        self.packet.shared = None;
        self.server_key.set(None);
        self.rare.renew(Rare::empty);
        self.target.renew(Branch::clear);
        self.flags = 0;
        self.transaction = None;
        self.keep_connection.clear();
        self.brief_reply = false;
        self.replied = 0;
    }

    /// Appends a Date header line. The text is made once a second.
    #[inline(always)]
    pub fn push_date(&mut self, out: &mut Vec<u8>) {
        match &self.date {
            (second, line) if *second == self.now_s => out.extend_from_slice(line),
            _ => self.push_new_date(out),
        }
    }

    #[inline(never)]
    fn push_new_date(&mut self, out: &mut Vec<u8>) {
        let line = format!("Date: {}\r\n", crate::calendar::sip_date(self.now_s));
        if let Ok(line) = line.as_bytes().try_into() {
            self.date = (self.now_s, line);
        }
        out.extend_from_slice(line.as_bytes());
    }

    /// A random number for spreading expiries, not for secrets (wyrand: each request takes one).
    #[inline]
    pub fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0xa076_1d64_78bd_642f);
        let product = u128::from(self.random) * u128::from(self.random ^ 0xe703_7ed1_a0b4_28db);
        (product >> 64) as u64 ^ product as u64
    }

    /// The message that the route works on.
    #[must_use]
    pub fn message(&self) -> &Message {
        self.packet.message()
    }

    /// The key by which the transaction of the message is found; nothing without a usable Via. It is worked out once.
    #[must_use]
    pub fn server_key(&self) -> Option<ServerKey> {
        if let known @ Some(_) = self.server_key.get() {
            return known;
        }
        let key = self.node.keys.server_key(self.message());
        self.server_key.set(key);
        key
    }

    /// The Request-URI as the script has set it, else as it came.
    #[must_use]
    pub fn request_uri(&self) -> &[u8] {
        if self.target.uri.is_empty() { self.message().request_uri() } else { &self.target.uri }
    }

    /// The request of a transaction: the context's own, or the one that the transaction layer keeps.
    #[must_use]
    pub fn request_of(&self, id: TransactionId) -> Option<Message> {
        if self.message().is_request() && self.rare.notice.is_none() {
            return Some(self.message().clone());
        }
        let request = self.node.shard(id.shard)?.lock().request_of(id)?;
        Some(request.message.clone())
    }

    /// Gives the message to a transaction: from now on it is shared with the transaction layer.
    pub fn share_packet(&mut self) -> Arc<Request<Target>> {
        if let Some(request) = self.packet.shared() {
            return Arc::clone(request);
        }
        let (reply_to, via_fix) = crate::reply::way_back(self);
        // The copy has the size of the message; the buffer that it was received into goes on receiving.
        let spare = self.spares.as_mut().and_then(|spares| spares.request());
        let request = refilled(spare, &self.packet.own, reply_to, via_fix)
            .unwrap_or_else(|| Arc::new(Request { message: self.packet.own.clone(), reply_to, via_fix }));
        self.packet.share(Arc::clone(&request));
        request
    }

    /// A text that nobody else has a hold of, empty and with room for so many bytes at least.
    #[must_use]
    pub fn spare_text(&mut self, room: usize) -> Bytes {
        if let Some(mut spare) = self.spares.as_mut().and_then(|spares| spares.text())
            && let Some(text) = Arc::get_mut(&mut spare)
        {
            text.clear();
            text.reserve(room);
            return spare;
        }
        Arc::new(Vec::with_capacity(room))
    }

    /// Takes away the receive buffer of a context whose packet is shared: many of them may wait, each with a buffer for the
    /// longest message otherwise. Without room when there is none.
    pub fn take_buffer(&mut self) -> Vec<u8> {
        if self.packet.shared.is_none() {
            return Vec::new();
        }
        std::mem::take(self.packet.own.buffer_mut())
    }
}

/// The message in the memory of a request that nobody else has a hold of.
fn refilled(
    spare: Option<Arc<Request<Target>>>,
    message: &Message,
    reply_to: Target,
    via_fix: Option<ViaFix>,
) -> Option<Arc<Request<Target>>> {
    let mut spare = spare?;
    let request = Arc::get_mut(&mut spare)?;
    request.message.clone_from(message);
    (request.reply_to, request.via_fix) = (reply_to, via_fix);
    Some(spare)
}

/// A start for the random numbers of a context, or a number that nobody else knows.
pub(crate) fn seed() -> u64 {
    let mut bytes = [0; 8];
    // Without a system source the numbers are still usable for what they are for.
    let _ = getrandom::fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

/// An origin that stands for "not from the network", for timer and event routes.
#[must_use]
pub fn nowhere() -> Origin {
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
    Origin { transport: Transport::Udp, socket: 0, local: unspecified, peer: unspecified, connection: None }
}

/// Where packets go: the transport address of the next hop and the socket to send from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The transport.
    pub transport: Transport,
    /// The socket to send from.
    pub socket: SocketId,
    /// The next hop.
    pub peer: SocketAddr,
    /// The connection to use while it is open.
    pub connection: Option<ConnectionId>,
}

impl seawall_transaction::Target for Target {
    fn is_reliable(&self) -> bool {
        self.transport != Transport::Udp
    }
}
