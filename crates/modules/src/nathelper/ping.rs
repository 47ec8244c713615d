//! Pings: which contacts get one, how it looks, and what an answer changes.
//!
//! Nothing is kept for a ping that was sent. The branch parameter of a SIP ping names the contact and the time, under a
//! MAC; the binding counts how many pings in a row it has not answered.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use seawall_location::{Binding, Numbers};
use seawall_net::{SocketId, Transport};
use seawall_sip::uri::Scheme;
use seawall_sip::{Uri, ascii};
use seawall_transaction::{Keys, PingToken};

use crate::configuration::Configuration;
use crate::context::{EventParameters, Target};
use crate::events;
use crate::forward::is_forbidden;
use crate::node::{Node, Socket};
use crate::statistics::Stat;

/// What keeps the binding of a NAT alive: two line breaks, which every SIP stack passes over (RFC 5626 section 3.5.1).
pub const KEEP_ALIVE: &[u8] = b"\r\n\r\n";

/// The parameters of `nathelper` and `usrloc` that pinging goes by.
#[derive(Debug, Clone)]
pub struct PingSettings {
    /// `natping_interval`.
    pub interval_ms: u64,
    /// With `ping_nated_only`, the flag `nat_bflag` of `usrloc` as a mask.
    pub only: Option<u32>,
    /// `natping_tcp`.
    pub tcp: bool,
    /// `natping_socket`.
    pub source: Option<SocketAddr>,
    /// `force_socket`.
    pub force: Option<SocketAddr>,
    /// `sipping_bflag` as a mask, 0 for none.
    pub sip_flag: u32,
    /// `remove_on_timeout_bflag` as a mask, 0 for none.
    pub remove_flag: u32,
    /// `sipping_latency_flag` as a mask, 0 for none.
    pub latency_flag: u32,
    /// `sipping_ignore_rpl_codes`.
    pub ignored: Vec<u16>,
    /// `sipping_from`; empty for no SIP pings.
    pub from: Vec<u8>,
    /// `sipping_method`.
    pub method: Vec<u8>,
    /// `ping_threshold`.
    pub threshold: Duration,
    /// `max_pings_lost`.
    pub max_lost: u8,
    /// `latency_event_min_us` of `usrloc`; 0 for no limit.
    pub event_min_us: u32,
    /// `latency_event_min_us_delta` of `usrloc`; 0 for no limit.
    pub event_min_us_delta: u32,
}

/// How a contact is pinged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// With [`KEEP_ALIVE`].
    KeepAlive,
    /// With a request.
    Sip,
}

/// The next hop of a ping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop<'a> {
    /// The transport.
    pub transport: Transport,
    /// An address or a name.
    pub host: &'a [u8],
    /// The port.
    pub port: u16,
    /// The socket to send from, if it fits.
    pub socket: Option<SocketId>,
}

impl Hop<'_> {
    /// The target at an address; none where nothing may be sent, and where nothing of ours leads.
    #[must_use]
    pub fn target(&self, node: &Node, address: IpAddr) -> Option<Target> {
        let peer = SocketAddr::new(address, self.port);
        if is_forbidden(address) || self.port == 0 || socket_at(node, self.transport, peer).is_some() {
            return None;
        }
        let socket = node.socket_for(self.transport, peer, self.socket.unwrap_or(0))?;
        Some(Target { transport: self.transport, socket: socket.id, peer, connection: None })
    }
}

impl PingSettings {
    /// Whether and how a binding is pinged, and where to. None where it is not to be.
    #[must_use]
    pub fn plan<'a>(&self, node: &Node, binding: &Binding<'a>) -> Option<(Kind, Hop<'a>)> {
        let flags = binding.numbers.flags;
        if self.only.is_some_and(|wanted| flags & wanted == 0) {
            return None;
        }
        let mut hop = self.hop(node, binding)?;
        let is_sip = !self.from.is_empty() && flags & self.sip_flag != 0;
        match hop.transport {
            Transport::Udp if is_sip => Some((Kind::Sip, hop)),
            Transport::Udp => {
                let source = self.source.and_then(|address| socket_at(node, Transport::Udp, address));
                hop.socket = source.or(hop.socket);
                Some((Kind::KeepAlive, hop))
            }
            _ if self.tcp && !self.from.is_empty() => Some((Kind::Sip, hop)),
            _ => None,
        }
    }

    /// Where requests for a binding go: its first Path URI, else its received URI, else its contact.
    fn hop<'a>(&self, node: &Node, binding: &Binding<'a>) -> Option<Hop<'a>> {
        let first = seawall_registrar::first_uri(binding.path);
        let received = Some(binding.received).filter(|uri| !uri.is_empty());
        let uri = Uri::parse(first.or(received).unwrap_or(binding.contact)).ok()?;
        if uri.scheme != Scheme::Sip {
            return None;
        }
        let own = node.socket_by_name(binding.numbers.socket);
        let transport = match uri.transport() {
            None => own.and_then(|id| node.socket(id)).map_or(Transport::Udp, |socket| socket.transport),
            Some(name) if name.eq_ignore_ascii_case(b"udp") => Transport::Udp,
            Some(name) if name.eq_ignore_ascii_case(b"tcp") => Transport::Tcp,
            Some(_) => return None,
        };
        let forced = || self.force.and_then(|address| socket_at(node, transport, address));
        Some(Hop {
            transport,
            host: uri.param(b"maddr").flatten().unwrap_or(uri.host),
            port: uri.port.unwrap_or(5060),
            socket: own.or_else(forced),
        })
    }

    /// Whether pings of a contact are counted, so that it is removed when it does not answer them.
    #[must_use]
    pub fn removes(&self, numbers: &Numbers) -> bool {
        numbers.flags & self.remove_flag != 0
    }

    /// Whether a contact has lost too many pings, asked just when `ping_threshold` has passed since one of them. Those
    /// that were sent since then are not lost yet.
    #[must_use]
    pub fn is_lost(&self, numbers: &Numbers) -> bool {
        let threshold_ms = u64::try_from(self.threshold.as_millis()).unwrap_or(u64::MAX);
        let later = threshold_ms.div_ceil(self.interval_ms.max(1)).saturating_sub(1);
        self.removes(numbers) && u64::from(numbers.unanswered) >= later + u64::from(self.max_lost)
    }

    /// The sockets that parameters name and that are none of ours.
    pub fn unknown_sockets<'a>(
        &'a self,
        node: &'a Node,
    ) -> impl Iterator<Item = (&'static str, SocketAddr)> + 'a {
        let named = [("natping_socket", self.source), ("force_socket", self.force)];
        named
            .into_iter()
            .filter_map(|(name, address)| Some((name, address?)))
            .filter(|(_, address)| !node.sockets.iter().any(|socket| socket.address == *address))
    }
}

fn socket_at(node: &Node, transport: Transport, address: SocketAddr) -> Option<SocketId> {
    let is_it = |socket: &&Socket| socket.transport == transport && socket.address == address;
    node.sockets.iter().find(is_it).map(|socket| socket.id)
}

/// Writes the request that pings a contact (RFC 3261 section 11). Nothing is written for a contact that is no SIP URI.
pub fn write_request(
    settings: &PingSettings,
    keys: &Keys,
    socket: &Socket,
    token: PingToken,
    (contact, path): (&[u8], &[u8]),
    out: &mut Vec<u8>,
) {
    let Ok(uri) = Uri::parse(contact) else { return };
    // Headers of a URI have no place in a Request-URI (RFC 3261 section 19.1.1).
    let headers = uri.headers.map_or(0, |headers| headers.len() + 1);
    let target = contact.get(..contact.len() - headers).unwrap_or(contact);
    let mut branch = Vec::with_capacity(80);
    keys.write_ping_branch(token, &mut branch);
    // The digits behind the cookie differ for every ping: the first half names the dialog, the MAC is the tag.
    let name = branch.get(7..31).unwrap_or_default();
    let tag = branch.get(31..47).unwrap_or_default();
    let transport: &[u8] = if socket.transport == Transport::Udp { b"UDP" } else { b"TCP" };
    let route: [&[u8]; 3] = if path.is_empty() { [b"", b"", b""] } else { [b"Route: ", path, b"\r\n"] };
    let mut sent = Vec::with_capacity(20);
    ascii::write_u32(&mut sent, (token.sent_us >> 32) as u32);
    ascii::write_u32(&mut sent, token.sent_us as u32);
    let parts: &[&[u8]] = &[
        &settings.method,
        b" ",
        target,
        b" SIP/2.0\r\nVia: SIP/2.0/",
        transport,
        b" ",
        &socket.sent_by,
        b";branch=",
        &branch,
        b";rport\r\n",
        &route.concat(),
        b"From: <",
        &settings.from,
        b">;tag=",
        tag,
        b"\r\nTo: <",
        target,
        b">\r\nCall-ID: ",
        name,
        &sent,
        b"@",
        &socket.host,
        b"\r\nCSeq: 1 ",
        &settings.method,
        b"\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
    ];
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// An answer to a ping of ours.
#[derive(Debug, Clone, Copy)]
pub struct Pong {
    /// What its branch says.
    pub token: PingToken,
    /// Its status.
    pub status: u16,
    /// The time, in monotonic microseconds.
    pub now_us: u64,
    /// The time of day.
    pub now_s: u64,
}

/// Takes an answer to a ping: the contact is there, and how long it took is noted and told, where its flags ask for
/// that. A provisional answer says nothing about the phone, and one that comes after `ping_threshold` is too late.
/// Gives whether the answer counts.
pub fn answered(
    node: &Node,
    worker: usize,
    configuration: &Configuration,
    pong: Pong,
    events: &mut Vec<EventParameters>,
) -> bool {
    let Some(settings) = configuration.settings.nat.ping.as_deref() else { return false };
    let taken = Duration::from_micros(pong.now_us.saturating_sub(pong.token.sent_us));
    if pong.status < 200 || settings.ignored.contains(&pong.status) || taken > settings.threshold {
        return false;
    }
    let domains = node.location.domains();
    let Some(domain) = domains.get(usize::from(pong.token.domain)) else { return false };
    // 0 stands for "not measured".
    let latency_us = u32::try_from(taken.as_micros()).unwrap_or(u32::MAX).max(1);
    let listens = configuration.routes.latency_events
        || node.subscriptions.wants_event(crate::usrloc::event::LATENCY_UPDATE);
    let known = domain.answered(pong.token.contact_id, pong.now_s, |aor, binding| {
        if binding.numbers.flags & settings.latency_flag == 0 {
            return None;
        }
        if listens && settings.is_news(binding.numbers.latency_us, latency_us) {
            let numbers = Numbers { latency_us, ..binding.numbers };
            let binding = Binding { numbers, ..*binding };
            events.push(events::latency_update(domain, aor, &binding));
        }
        Some(latency_us)
    });
    if known {
        node.counters.bump(worker, Stat::AnsweredPings);
    }
    known
}

impl PingSettings {
    /// Whether a latency is told: every one, or those from a limit on, or those that differ by so much from the last.
    fn is_news(&self, old_us: u32, new_us: u32) -> bool {
        let (min_us, delta_us) = (self.event_min_us, self.event_min_us_delta);
        (min_us == 0 && delta_us == 0)
            || (min_us != 0 && new_us >= min_us)
            || (delta_us != 0 && old_us != 0 && new_us.abs_diff(old_us) >= delta_us)
    }
}
