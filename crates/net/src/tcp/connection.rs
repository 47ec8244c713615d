//! The state of one connection.

use std::net::SocketAddr;

use mio::net::TcpStream;

use super::admission::Permit;
use super::leases::Leases;
use super::outbox::Outbox;
use crate::endpoint::SocketId;
use crate::handler::StreamFramer;
use crate::limits::{LINGER_MS, Limits};

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// We have asked for it; the peer has not answered yet.
    Connecting,
    /// Both sides may send (unless the peer has stopped: `read_closed`).
    Open,
    /// We have decided to close: what waits is written, what comes is thrown away.
    Closing,
    /// All is written and our side is shut; waiting for the peer to read it, as closing at once could make the kernel
    /// throw it away (RFC 1122 §4.2.2.13).
    Lingering,
}

/// One connection.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) phase: Phase,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) socket: SocketId,
    /// Made when the first byte arrives.
    pub(crate) framer: Option<Box<dyn StreamFramer>>,
    /// Bytes that have arrived; those before `consumed` are done with.
    pub(crate) inbox: Vec<u8>,
    pub(crate) consumed: usize,
    /// How many of them count as held in `Shared::unfinished_bytes`.
    pub(crate) held: usize,
    pub(crate) outbox: Outbox,
    /// The kernel may have more bytes for us.
    pub(crate) readable: bool,
    /// Reads in a row that were as long as can be.
    pub(crate) full_reads: u8,
    /// Much waits in the kernel behind what was read.
    pub(crate) is_behind: bool,
    /// The kernel has said that the peer will send no more, so a short read is not the last one.
    pub(crate) hangup: bool,
    /// The framer has seen all that is buffered and wants more.
    pub(crate) wants_bytes: bool,
    /// The peer has shut its side.
    pub(crate) read_closed: bool,
    /// In the list of connections to serve.
    pub(crate) is_ready: bool,
    /// In the list of connections to write to.
    pub(crate) is_dirty: bool,
    /// The handler knows of it: it has been open.
    pub(crate) was_open: bool,
    pub(crate) messages_in: u64,
    pub(crate) messages_out: u64,
    /// Start of the phase, where the phase has a deadline.
    pub(crate) phase_since_ms: u64,
    /// When the message began that has not arrived in full.
    pub(crate) message_since_ms: Option<u64>,
    /// When the peer last took bytes, or the first of those that wait were queued.
    pub(crate) progress_ms: u64,
    /// When the last byte came or went.
    pub(crate) active_ms: u64,
    /// Who wants it not to be closed for idleness, and until when.
    pub(crate) leases: Leases,
    /// The timer entry that counts.
    pub(crate) armed_ms: Option<u64>,
    /// Held for as long as the connection lives.
    pub(crate) _permit: Permit,
}

/// Why a deadline closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// The peer did not answer to our connect.
    Connect,
    /// A message took too long to arrive.
    SlowSender,
    /// The peer did not read.
    SlowReader,
    /// Nothing happened, or nothing is left to be done.
    Idle,
}

impl Connection {
    pub(crate) fn new(
        stream: TcpStream,
        phase: Phase,
        (peer, local): (SocketAddr, SocketAddr),
        socket: SocketId,
        permit: Permit,
        now_ms: u64,
    ) -> Self {
        Self {
            stream,
            phase,
            peer,
            local,
            socket,
            framer: None,
            inbox: Vec::new(),
            consumed: 0,
            held: 0,
            outbox: Outbox::default(),
            readable: false,
            full_reads: 0,
            is_behind: false,
            hangup: false,
            wants_bytes: true,
            read_closed: false,
            is_ready: false,
            is_dirty: false,
            was_open: phase == Phase::Open,
            messages_in: 0,
            messages_out: 0,
            phase_since_ms: now_ms,
            message_since_ms: None,
            progress_ms: now_ms,
            active_ms: now_ms,
            leases: Leases::default(),
            armed_ms: None,
            _permit: permit,
        }
    }

    /// The bytes that are not consumed.
    pub(crate) fn buffered(&self) -> &[u8] {
        self.inbox.get(self.consumed..).unwrap_or_default()
    }

    /// Whether messages may be queued on it.
    pub(crate) fn takes_messages(&self) -> bool {
        matches!(self.phase, Phase::Connecting | Phase::Open)
    }

    /// Whether the peer has stopped sending and has got at least as many messages as it sent: most likely all its
    /// answers. Some may still come for a peer which was called over this connection; for those it is kept until
    /// `tcp_half_closed_ms`.
    pub(crate) fn is_done(&self) -> bool {
        self.read_closed && self.outbox.is_empty() && self.messages_out >= self.messages_in
    }

    /// When to close it, and why, if nothing happens until then.
    pub(crate) fn deadline(&self, limits: &Limits) -> (u64, Overdue) {
        let phase_ms = |ms| self.phase_since_ms.saturating_add(ms);
        let (mut deadline_ms, mut why) = match self.phase {
            Phase::Connecting => return (phase_ms(limits.tcp_connect_timeout_ms), Overdue::Connect),
            Phase::Lingering => return (phase_ms(LINGER_MS), Overdue::Idle),
            Phase::Open if self.read_closed => {
                (self.active_ms.saturating_add(limits.tcp_half_closed_ms), Overdue::Idle)
            }
            Phase::Open => {
                let lifetime_ms = limits.tcp_connection_lifetime_s.saturating_mul(1000);
                (self.active_ms.saturating_add(lifetime_ms).max(self.leases.longest_ms()), Overdue::Idle)
            }
            Phase::Closing => (u64::MAX, Overdue::Idle),
        };
        if let Some(since_ms) = self.message_since_ms {
            let slow_ms = since_ms.saturating_add(limits.tcp_message_timeout_ms);
            if slow_ms < deadline_ms {
                (deadline_ms, why) = (slow_ms, Overdue::SlowSender);
            }
        }
        if !self.outbox.is_empty() {
            let slow_ms = self.progress_ms.saturating_add(limits.tcp_write_timeout_ms);
            if slow_ms < deadline_ms {
                (deadline_ms, why) = (slow_ms, Overdue::SlowReader);
            }
        }
        (deadline_ms, why)
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.peer)
            .field("phase", &self.phase)
            .field("unsent", &self.outbox.len())
            .finish_non_exhaustive()
    }
}
