//! One worker's connections: opening, sending, closing, deadlines.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::admission::Permit;
use super::connection::{Connection, Overdue, Phase};
use super::pool::Pool;
use super::post::Post;
use super::slab::Slab;
use super::timers::Timers;
use crate::config::Transport;
use crate::counters::Row;
use crate::endpoint::{ConnectionId, SocketId, StreamTarget};
use crate::io::SendError;
use crate::limits::READ_CHUNK_BYTES;
use crate::shared::Shared;

/// Deadlines looked at before everything else has its turn.
const TIMERS_PER_TURN: usize = 1024;

/// What the handler is to be told.
#[derive(Debug)]
pub(crate) enum StreamEvent {
    /// A connection is closed.
    Closed { id: ConnectionId, peer: SocketAddr },
    /// A message could not be sent in full.
    Failed { peer: SocketAddr, bytes: Vec<u8> },
}

/// The connections of one worker. What happens to them while the handler runs is kept as events and told later, so
/// the handler is never called from within its own call.
pub(crate) struct Streams {
    pub(super) worker: usize,
    pub(super) shared: Arc<Shared>,
    registry: Registry,
    /// The token of slot 0.
    first_token: usize,
    pub(super) slab: Slab,
    /// Connections which may have something to read or to frame, and since when.
    pub(super) ready: VecDeque<(ConnectionId, u64)>,
    /// The last one that had its turn had waited long for it.
    pub(super) waits_long: bool,
    /// Connections behind whose last read much more waits.
    pub(super) behind: usize,
    /// Connections with bytes to write.
    dirty: Vec<ConnectionId>,
    timers: Timers,
    pub(super) pool: Pool,
    pub(super) chunk: Box<[u8]>,
    pub(crate) events: VecDeque<StreamEvent>,
}

impl Streams {
    pub(crate) fn new(worker: usize, shared: Arc<Shared>, registry: Registry, first_token: usize) -> Self {
        Self {
            worker,
            shared,
            registry,
            first_token,
            slab: Slab::new(u8::try_from(worker).unwrap_or(u8::MAX)),
            ready: VecDeque::new(),
            waits_long: false,
            behind: 0,
            dirty: Vec::new(),
            timers: Timers::default(),
            pool: Pool::default(),
            chunk: vec![0; READ_CHUNK_BYTES].into(),
            events: VecDeque::new(),
        }
    }

    pub(super) fn row(&self) -> &Row {
        self.shared.row(self.worker)
    }

    /// See [`crate::Io::send_stream`].
    pub(crate) fn send(&mut self, now_ms: u64, target: StreamTarget, bytes: &[u8]) -> Result<(), SendError> {
        match target {
            StreamTarget::Peer { peer, socket } => self.send_to_peer(now_ms, peer, Some(socket), bytes),
            StreamTarget::Open { peer, socket } => match self.shared.peers.find(peer, Some(socket)) {
                Some(id) if id.worker() == self.worker => self.push(now_ms, id, bytes, true),
                Some(id) => self.post_message(id, None, bytes),
                None => Err(SendError::Closed),
            },
            StreamTarget::Connection { id, fallback } if id.worker() != self.worker => {
                self.post_message(id, fallback.map(|peer| (peer, None)), bytes)
            }
            StreamTarget::Connection { id, fallback } => match (self.push(now_ms, id, bytes, true), fallback)
            {
                (Err(SendError::Closed), Some(peer)) => self.send_to_peer(now_ms, peer, None, bytes),
                (result, _) => result,
            },
        }
    }

    fn send_to_peer(
        &mut self,
        now_ms: u64,
        peer: SocketAddr,
        socket: Option<SocketId>,
        bytes: &[u8],
    ) -> Result<(), SendError> {
        let mut id = match self.shared.peers.find(peer, socket) {
            Some(id) => id,
            None => self.connect(now_ms, peer, socket)?,
        };
        if id.worker() == self.worker && !self.slab.get_mut(id).is_some_and(|found| found.takes_messages()) {
            // Only if an entry has outlived its connection.
            self.shared.peers.remove(peer, id);
            id = self.connect(now_ms, peer, socket)?;
        }
        if id.worker() == self.worker {
            self.push(now_ms, id, bytes, true)
        } else {
            self.post_message(id, Some((peer, socket)), bytes)
        }
    }

    fn post_message(
        &mut self,
        id: ConnectionId,
        fallback: Option<(SocketAddr, Option<SocketId>)>,
        bytes: &[u8],
    ) -> Result<(), SendError> {
        let post = Post::Send { id, fallback, bytes: bytes.to_vec() };
        self.shared.post(id.worker(), post).map_err(|_| {
            self.row().queue_full.add(1);
            SendError::Full
        })
    }

    /// Queues a message on a connection of this worker; it is written at the end of the batch.
    pub(super) fn push(
        &mut self,
        now_ms: u64,
        id: ConnectionId,
        bytes: &[u8],
        own: bool,
    ) -> Result<(), SendError> {
        let cap = self.shared.limits.tcp_write_buffer_bytes;
        let is_over = |connection: &Connection| {
            !connection.outbox.is_empty() && connection.outbox.len().saturating_add(bytes.len()) > cap
        };
        if self.slab.get_mut(id).is_some_and(|connection| is_over(connection)) {
            // Much may be queued in one batch: the peer is slow only if the kernel does not take it either.
            self.write(now_ms, id);
            if self.slab.get_mut(id).is_some_and(|connection| is_over(connection)) {
                self.row().tcp_slow_readers.add(1);
                self.close(id);
                return Err(SendError::Full);
            }
        }
        let connection =
            self.slab.get_mut(id).filter(|found| found.takes_messages()).ok_or(SendError::Closed)?;
        let unsent = &self.shared.unsent_bytes;
        let total = unsent.fetch_add(bytes.len(), Ordering::Relaxed).saturating_add(bytes.len());
        if total > self.shared.limits.tcp_write_buffers_total_bytes {
            unsent.fetch_sub(bytes.len(), Ordering::Relaxed);
            return Err(SendError::Full);
        }
        let was_empty = connection.outbox.is_empty();
        connection.outbox.push(&mut self.pool, bytes, own);
        connection.messages_out += u64::from(own);
        if was_empty {
            connection.progress_ms = now_ms;
            self.rearm(id);
        }
        self.mark_dirty(id);
        Ok(())
    }

    /// Opens a connection, or gives the one that another worker has opened meanwhile.
    fn connect(
        &mut self,
        now_ms: u64,
        peer: SocketAddr,
        socket: Option<SocketId>,
    ) -> Result<ConnectionId, SendError> {
        let permit = self.shared.admission.open().ok_or_else(|| {
            self.row().tcp_refused.add(1);
            SendError::TooManyConnections
        })?;
        let socket = socket.or_else(|| self.socket_for(peer)).unwrap_or(0);
        let id = self.slab.reserve();
        if let Some(other) = self.shared.peers.find_or_insert(peer, socket, id) {
            self.slab.release(id);
            return Ok(other);
        }
        match self.start_connect(id, peer, socket) {
            Ok((stream, local)) => {
                let ends = (peer, local);
                let connection = Connection::new(stream, Phase::Connecting, ends, socket, permit, now_ms);
                self.slab.fill(id, connection);
                self.rearm(id);
                Ok(id)
            }
            Err(error) => {
                tracing::debug!(%peer, %error, "the connection could not be opened");
                self.row().tcp_connect_failed.add(1);
                self.shared.peers.remove(peer, id);
                self.slab.release(id);
                Err(SendError::Connect)
            }
        }
    }

    fn start_connect(
        &self,
        id: ConnectionId,
        peer: SocketAddr,
        socket: SocketId,
    ) -> io::Result<(TcpStream, SocketAddr)> {
        let new = Socket::new(Domain::for_address(peer), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        new.set_keepalive(true)?;
        new.set_tcp_nodelay(true)?;
        // The kernel caps what is asked for; another buffer is as good.
        let _ = new.set_recv_buffer_size(self.shared.limits.tcp_receive_buffer_bytes);
        let bound = self.shared.sockets.get(usize::from(socket)).map(|bound| bound.address);
        if let Some(bound) =
            bound.filter(|bound| bound.is_ipv4() == peer.is_ipv4() && !bound.ip().is_unspecified())
        {
            new.bind(&SocketAddr::new(bound.ip(), 0).into())?;
        }
        match new.connect(&peer.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        let mut stream = TcpStream::from_std(std::net::TcpStream::from(new));
        let local = stream.local_addr()?;
        self.registry.register(&mut stream, self.token(id), Interest::READABLE | Interest::WRITABLE)?;
        Ok((stream, local))
    }

    /// The socket in whose name to connect to a peer when none is asked for: the first one for TCP of its family.
    fn socket_for(&self, peer: SocketAddr) -> Option<SocketId> {
        let fits = |bound: &crate::BoundSocket| {
            bound.transport == Transport::Tcp && bound.address.is_ipv4() == peer.is_ipv4()
        };
        let index = self.shared.sockets.iter().position(fits)?;
        SocketId::try_from(index).ok()
    }

    /// Takes over an accepted connection.
    pub(crate) fn adopt(
        &mut self,
        now_ms: u64,
        mut stream: TcpStream,
        peer: SocketAddr,
        socket: SocketId,
        permit: Permit,
    ) {
        let id = self.slab.reserve();
        let set_up = || -> io::Result<SocketAddr> {
            stream.set_nodelay(true)?;
            SockRef::from(&stream).set_keepalive(true)?;
            stream.local_addr()
        };
        let token = self.token(id);
        let local = set_up().and_then(|local| {
            self.registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
            Ok(local)
        });
        match local {
            Ok(local) => {
                let connection = Connection::new(stream, Phase::Open, (peer, local), socket, permit, now_ms);
                self.slab.fill(id, connection);
                self.shared.peers.insert(peer, socket, id);
                self.row().tcp_accepted.add(1);
                self.rearm(id);
            }
            // The peer has reset it by now.
            Err(_) => self.slab.release(id),
        }
    }

    fn token(&self, id: ConnectionId) -> Token {
        Token(self.first_token + id.slot as usize)
    }

    /// A message from another worker.
    pub(crate) fn handle_post(&mut self, now_ms: u64, post: Post) {
        match post {
            Post::Accepted { stream, peer, socket, permit } => {
                self.adopt(now_ms, stream, peer, socket, permit)
            }
            Post::Lease { id, holder, until_ms } => self.lease(now_ms, id, holder, until_ms),
            Post::Close { id } => self.close_gracefully(now_ms, id),
            Post::Send { id, fallback, bytes } => {
                let result = match (self.push(now_ms, id, &bytes, true), fallback) {
                    (Err(SendError::Closed), Some((peer, socket))) => {
                        self.send_to_peer(now_ms, peer, socket, &bytes)
                    }
                    (result, _) => result,
                };
                if result.is_err() {
                    self.row().stream_send_errors.add(1);
                    if let Some((peer, _)) = fallback {
                        self.events.push_back(StreamEvent::Failed { peer, bytes });
                    }
                }
            }
        }
    }

    /// See [`crate::Io::connection_lifetime`].
    pub(crate) fn lease(&mut self, now_ms: u64, id: ConnectionId, holder: u64, until_ms: u64) {
        if id.worker() != self.worker {
            if self.shared.post(id.worker(), Post::Lease { id, holder, until_ms }).is_err() {
                self.row().queue_full.add(1);
            }
        } else if let Some(connection) = self.slab.get_mut(id) {
            connection.leases.set(now_ms, holder, until_ms);
            // The end may have come nearer than the entry of the timer is.
            self.rearm(id);
        }
    }

    /// See [`crate::Io::close`].
    pub(crate) fn close_gracefully(&mut self, now_ms: u64, id: ConnectionId) {
        if id.worker() != self.worker {
            if self.shared.post(id.worker(), Post::Close { id }).is_err() {
                self.row().queue_full.add(1);
            }
            return;
        }
        let Some(connection) = self.slab.get_mut(id) else { return };
        match connection.phase {
            Phase::Closing | Phase::Lingering => return,
            Phase::Connecting => return self.close(id),
            Phase::Open => {}
        }
        connection.phase = Phase::Closing;
        connection.phase_since_ms = now_ms;
        connection.message_since_ms = None;
        let peer = connection.peer;
        self.shared.peers.remove(peer, id);
        self.mark_dirty(id);
    }

    pub(super) fn mark_dirty(&mut self, id: ConnectionId) {
        if let Some(connection) = self.slab.get_mut(id)
            && !connection.is_dirty
            && connection.phase != Phase::Connecting
        {
            connection.is_dirty = true;
            self.dirty.push(id);
        }
    }

    /// Whether everything queued so far has been tried to be written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.dirty.is_empty()
    }

    /// Writes what has been queued, as far as the kernel takes it.
    pub(crate) fn flush(&mut self, now_ms: u64) {
        if self.dirty.is_empty() {
            return;
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        for id in dirty.drain(..) {
            if let Some(connection) = self.slab.get_mut(id) {
                connection.is_dirty = false;
                self.write(now_ms, id);
            }
        }
        if self.dirty.is_empty() {
            // Keeps the allocation.
            self.dirty = dirty;
        }
    }

    fn write(&mut self, now_ms: u64, id: ConnectionId) {
        let row = self.shared.row(self.worker);
        let Some(connection) = self.slab.get_mut(id) else { return };
        if connection.phase == Phase::Connecting {
            return;
        }
        let mut is_broken = false;
        while !connection.outbox.is_empty() {
            match connection.stream.write(connection.outbox.pending()) {
                Ok(count) if count > 0 => {
                    row.stream_bytes_out.add(count as u64);
                    self.shared.unsent_bytes.fetch_sub(count, Ordering::Relaxed);
                    connection.outbox.advance(&mut self.pool, count);
                    connection.progress_ms = now_ms;
                    connection.active_ms = now_ms;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => {
                    is_broken = true;
                    break;
                }
            }
        }
        let is_written = connection.outbox.is_empty();
        if is_written && connection.phase == Phase::Closing {
            connection.phase = Phase::Lingering;
            connection.phase_since_ms = now_ms;
            is_broken |= connection.read_closed || connection.stream.shutdown(Shutdown::Write).is_err();
        }
        if is_broken || connection.is_done() {
            self.close(id);
        } else {
            self.rearm(id);
        }
    }

    /// Makes sure that the connection is looked at when its deadline comes.
    pub(super) fn rearm(&mut self, id: ConnectionId) {
        let Some(connection) = self.slab.get_mut(id) else { return };
        let (deadline_ms, _) = connection.deadline(&self.shared.limits);
        let is_earlier = connection.armed_ms.is_none_or(|armed_ms| deadline_ms < armed_ms);
        if is_earlier && deadline_ms != u64::MAX {
            connection.armed_ms = Some(deadline_ms);
            self.timers.arm(deadline_ms, id);
        }
    }

    /// When [`Streams::fire`] is to be called next.
    pub(crate) fn next_deadline_ms(&self) -> Option<u64> {
        self.timers.next_ms()
    }

    /// Closes what is overdue.
    pub(crate) fn fire(&mut self, now_ms: u64) {
        for _ in 0..TIMERS_PER_TURN {
            let Some((deadline_ms, id)) = self.timers.fire(now_ms) else { return };
            let Some(connection) = self.slab.get_mut(id) else { continue };
            if connection.armed_ms != Some(deadline_ms) {
                continue;
            }
            connection.armed_ms = None;
            let (deadline_ms, why) = connection.deadline(&self.shared.limits);
            if deadline_ms > now_ms {
                self.rearm(id);
                continue;
            }
            match why {
                Overdue::Connect => self.row().tcp_connect_failed.add(1),
                Overdue::SlowSender => self.row().tcp_slow_senders.add(1),
                Overdue::SlowReader => self.row().tcp_slow_readers.add(1),
                Overdue::Idle => {}
            }
            self.close(id);
        }
    }

    /// Closes a connection at once.
    pub(super) fn close(&mut self, id: ConnectionId) {
        let Some(mut connection) = self.slab.remove(id) else { return };
        self.behind -= usize::from(connection.is_behind);
        // The only possible error is that it is not registered, which is what is wanted.
        let _ = self.registry.deregister(&mut connection.stream);
        let peer = connection.peer;
        self.shared.peers.remove(peer, id);
        self.shared.unsent_bytes.fetch_sub(connection.outbox.len(), Ordering::Relaxed);
        self.shared.unfinished_bytes.fetch_sub(connection.held, Ordering::Relaxed);
        for message in connection.outbox.unsent() {
            self.row().stream_send_errors.add(1);
            self.events.push_back(StreamEvent::Failed { peer, bytes: message.to_vec() });
        }
        if connection.was_open {
            self.row().tcp_closed.add(1);
            self.events.push_back(StreamEvent::Closed { id, peer });
        }
        self.pool.give(std::mem::take(&mut connection.inbox));
    }

    /// Notes what the kernel tells about the connection in a slot.
    pub(crate) fn note(&mut self, now_ms: u64, slot: usize, event: &mio::event::Event) {
        let Some(id) = self.slab.id_at(slot) else { return };
        if event.is_writable() || event.is_error() {
            self.finish_connect(now_ms, id);
        }
        let Some(connection) = self.slab.get_mut(id) else { return };
        if connection.phase == Phase::Connecting {
            return;
        }
        connection.hangup |= event.is_read_closed() || event.is_error();
        if event.is_readable() || connection.hangup {
            connection.readable = true;
            self.mark_ready(now_ms, id);
        }
        if event.is_writable()
            && self.slab.get_mut(id).is_some_and(|connection| !connection.outbox.is_empty())
        {
            self.mark_dirty(id);
        }
    }

    fn finish_connect(&mut self, now_ms: u64, id: ConnectionId) {
        let Some(connection) = self.slab.get_mut(id) else { return };
        if connection.phase != Phase::Connecting {
            return;
        }
        let stream = &connection.stream;
        let result = match stream.take_error() {
            Ok(None) => stream.peer_addr().and_then(|_| stream.local_addr()),
            Ok(Some(error)) | Err(error) => Err(error),
        };
        match result {
            Ok(local) => {
                connection.local = local;
                connection.phase = Phase::Open;
                connection.was_open = true;
                connection.active_ms = now_ms;
                connection.progress_ms = now_ms;
                connection.armed_ms = None;
                self.row().tcp_opened.add(1);
                self.rearm(id);
                self.mark_dirty(id);
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
            Err(error) => {
                tracing::debug!(peer = %connection.peer, %error, "the connection could not be opened");
                self.row().tcp_connect_failed.add(1);
                self.close(id);
            }
        }
    }

    /// How many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// The last step of a shutdown: closes what has nothing to write; `true` when no connection is left.
    pub(crate) fn close_written(&mut self, now_ms: u64) -> bool {
        for id in self.slab.ids() {
            self.write(now_ms, id);
            if self.slab.get_mut(id).is_some_and(|connection| connection.outbox.is_empty()) {
                self.close(id);
            }
        }
        self.slab.len() == 0
    }

    /// The last resort of a shutdown.
    pub(crate) fn close_all(&mut self) {
        for id in self.slab.ids() {
            self.close(id);
        }
    }
}
