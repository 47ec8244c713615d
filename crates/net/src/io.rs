//! What a handler may do.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::sync::Arc;

use thiserror::Error;

use crate::clock::Clock;
use crate::config::Transport;
use crate::endpoint::{ConnectionId, Origin, SocketId, StreamTarget};
use crate::limits::{SEND_BATCH, SEND_STALL_MS};
use crate::shared::Shared;
use crate::sys::send::SendBatch;
use crate::tcp::Streams;

/// Why a message could not be sent on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SendError {
    /// The connection is closed and there is no fallback.
    #[error("the connection is closed")]
    Closed,
    /// The peer does not read, and its write buffer, or that of all peers together, is full. In the first case the
    /// connection has been closed.
    #[error("the write buffer is full")]
    Full,
    /// The limit on connections is reached.
    #[error("too many connections")]
    TooManyConnections,
    /// The connection could not be opened: no route, no such local address, no descriptors.
    #[error("the connection could not be opened")]
    Connect,
}

/// The world as a [`crate::Handler`] sees it, on its worker.
pub struct Io {
    pub(crate) worker: usize,
    pub(crate) clock: Clock,
    pub(crate) shared: Arc<Shared>,
    pub(crate) sends: SendBatch,
    pub(crate) streams: Streams,
    /// By SocketId: the worker's descriptor of a UDP socket, and whether it is bound to the wildcard address.
    pub(crate) udp: Vec<Option<UdpPort>>,
    /// While a datagram from a wildcard socket is handled: where it came from and the address it was sent to.
    pub(crate) current: Option<(SocketId, SocketAddr, IpAddr)>,
    /// The datagram that is handled comes from a socket in which too many wait.
    pub(crate) is_behind: bool,
    /// Takes what is written for a socket that cannot send datagrams.
    scratch: Vec<u8>,
}

/// What sending by a UDP socket needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UdpPort {
    pub(crate) socket: RawFd,
    pub(crate) wildcard: bool,
}

impl Io {
    pub(crate) fn new(
        worker: usize,
        shared: Arc<Shared>,
        streams: Streams,
        udp: Vec<Option<UdpPort>>,
    ) -> Self {
        Self {
            worker,
            clock: Clock::new(),
            shared,
            sends: SendBatch::new(SEND_BATCH),
            streams,
            udp,
            current: None,
            is_behind: false,
            scratch: Vec::new(),
        }
    }

    /// Monotonic time of this turn, in milliseconds.
    #[inline]
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Monotonic time of this turn, in microseconds.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.clock.now_us()
    }

    /// Time of day of this turn, in seconds since 1970.
    #[inline]
    #[must_use]
    pub fn unix_s(&self) -> u64 {
        self.clock.unix_s()
    }

    /// The number of this worker.
    #[must_use]
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// The number of workers.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.shared.workers()
    }

    /// Whether a shutdown is under way: new work should be refused.
    #[must_use]
    pub fn draining(&self) -> bool {
        self.shared.drain.deadline_ms().is_some()
    }

    /// Whether many datagrams wait behind the one that is being handled, a good part of what the kernel can hold: what can
    /// be refused should be.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// The transport and the bound address of a socket.
    #[must_use]
    pub fn socket(&self, socket: SocketId) -> Option<(Transport, SocketAddr)> {
        let bound = self.shared.sockets.get(usize::from(socket))?;
        Some((bound.transport, bound.address))
    }

    /// An empty buffer for a datagram to `peer`, to be written to before the next call. It goes out at the end of the
    /// batch, or when the send batch is full; left empty it is not sent. A socket that does not exist or is not UDP
    /// gives a buffer that goes nowhere, which is counted as a send error.
    ///
    /// By a socket bound to the wildcard address the kernel chooses the source address, except for an answer to the
    /// datagram being handled (same socket, same peer), which leaves from the address that the datagram was sent to.
    /// Later answers: [`Io::datagram_slot_from`].
    #[inline(always)]
    pub fn datagram_slot(&mut self, socket: SocketId, peer: SocketAddr) -> &mut Vec<u8> {
        self.slot(socket, peer, |current| match current {
            Some((current, from, local)) if *current == socket && *from == peer => Some(*local),
            _ => None,
        })
    }

    /// As [`Io::datagram_slot`], leaving from the address `local`: that of the [`Origin`] being answered.
    pub fn datagram_slot_from(&mut self, socket: SocketId, peer: SocketAddr, local: IpAddr) -> &mut Vec<u8> {
        self.slot(socket, peer, |_| Some(local))
    }

    /// Sends a message on a stream. `Ok` means that it is on its way to the kernel, in order behind what was given to
    /// the same connection before; a later failure is told by [`crate::Handler::send_failed`].
    ///
    /// # Errors
    /// See [`SendError`]; nothing of the message has been sent then.
    pub fn send_stream(&mut self, target: StreamTarget, bytes: &[u8]) -> Result<(), SendError> {
        let now_ms = self.clock.now_ms();
        let result = self.streams.send(now_ms, target, bytes);
        let row = self.shared.row(self.worker);
        match result {
            Ok(()) => row.stream_messages_out.add(1),
            Err(_) => row.stream_send_errors.add(1),
        }
        result
    }

    /// Answers on the way that a message came: a datagram from the same socket and local address, or the same
    /// connection, with `fallback` if it is closed by now.
    ///
    /// # Errors
    /// See [`SendError`]; none for datagrams.
    pub fn answer(
        &mut self,
        origin: &Origin,
        fallback: Option<SocketAddr>,
        bytes: &[u8],
    ) -> Result<(), SendError> {
        match origin.connection {
            Some(id) => self.send_stream(StreamTarget::Connection { id, fallback }, bytes),
            None => {
                self.datagram_slot_from(origin.socket, origin.peer, origin.local.ip())
                    .extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// Keeps a connection open, idle or not, until this time of day in seconds since 1970 on behalf of `holder`: a
    /// registered phone behind a NAT can be reached by it alone (`tcp_persistent_flag`). It takes the place of what the
    /// same holder asked for before, so a time that has passed lets go; the holder who wants it longest decides.
    pub fn connection_lifetime(&mut self, connection: ConnectionId, holder: u64, until_s: u64) {
        let left_ms = until_s.saturating_sub(self.clock.unix_s()).saturating_mul(1000);
        let now_ms = self.clock.now_ms();
        self.streams.lease(now_ms, connection, holder, now_ms.saturating_add(left_ms));
    }

    /// Closes a connection after what waits for it has been written.
    pub fn close(&mut self, connection: ConnectionId) {
        let now_ms = self.clock.now_ms();
        self.streams.close_gracefully(now_ms, connection);
    }

    /// `source` is asked for the address to send from where there is a choice.
    #[inline(always)]
    fn slot(
        &mut self,
        socket: SocketId,
        peer: SocketAddr,
        source: impl FnOnce(&Option<(SocketId, SocketAddr, IpAddr)>) -> Option<IpAddr>,
    ) -> &mut Vec<u8> {
        let Some(port) = self.udp.get(usize::from(socket)).copied().flatten() else {
            self.shared.row(self.worker).datagram_send_errors.add(1);
            self.scratch.clear();
            return &mut self.scratch;
        };
        if self.sends.is_full() {
            self.flush_datagrams();
        }
        let source = if port.wildcard { source(&self.current) } else { None };
        match self.sends.slot(port.socket, peer, source) {
            Some(slot) => slot,
            // Not reached: the batch has just been flushed.
            None => &mut self.scratch,
        }
    }

    /// Sends the datagrams that have been written.
    #[inline(never)]
    pub(crate) fn flush_datagrams(&mut self) {
        if self.sends.is_empty() {
            return;
        }
        let flushed = self.sends.flush(SEND_STALL_MS);
        let row = self.shared.row(self.worker);
        row.datagrams_out.add(flushed.sent);
        row.datagram_bytes_out.add(flushed.sent_bytes);
        if flushed.failed > 0 {
            row.datagram_send_errors.add(flushed.failed);
        }
    }

    /// Sends everything that has been written.
    pub(crate) fn flush(&mut self) {
        self.flush_datagrams();
        self.streams.flush(self.clock.now_ms());
    }
}
