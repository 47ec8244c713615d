//! The way in: reading bytes, finding messages in them.

use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use super::connection::{Connection, Phase};
use super::streams::Streams;
use crate::config::Transport;
use crate::endpoint::{ConnectionId, Origin};
use crate::handler::{StreamFrame, StreamFramer};
use crate::limits::{
    BEHIND_PART, CAUGHT_UP_PART, FULL_READS_PER_LOOK, STREAM_BEHIND_MS, STREAM_CAUGHT_UP_MS,
};
use crate::sys::options;

/// What [`Streams::next_step`] has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A message, copied to the given buffer.
    Message(Origin),
    /// Something that is no message.
    Skipped,
    /// Nothing more for now.
    Nothing,
}

impl Streams {
    /// Puts a connection on the list of those to serve.
    pub(crate) fn mark_ready(&mut self, now_ms: u64, id: ConnectionId) {
        if let Some(connection) = self.slab.get_mut(id)
            && !connection.is_ready
        {
            connection.is_ready = true;
            self.ready.push_back((id, now_ms));
        }
    }

    /// Takes the next connection from that list.
    pub(crate) fn next_ready(&mut self, now_ms: u64) -> Option<ConnectionId> {
        loop {
            let (id, since_ms) = self.ready.pop_front()?;
            let bound_ms = if self.waits_long { STREAM_CAUGHT_UP_MS } else { STREAM_BEHIND_MS };
            self.waits_long = now_ms.saturating_sub(since_ms) > bound_ms;
            if let Some(connection) = self.slab.get_mut(id) {
                connection.is_ready = false;
                return Some(id);
            }
        }
    }

    /// How many connections are on it.
    pub(crate) fn ready_count(&self) -> usize {
        self.ready.len()
    }

    /// Whether some connection has more than will soon be served.
    pub(crate) fn is_behind(&self) -> bool {
        self.waits_long || self.behind > 0
    }

    /// Whether this connection does, or all of them have to wait long.
    pub(crate) fn keeps_waiting(&mut self, id: ConnectionId) -> bool {
        self.waits_long || self.slab.get_mut(id).is_some_and(|connection| connection.is_behind)
    }

    /// Takes note of a read, and of what waits behind it.
    fn note_read(&mut self, id: ConnectionId, is_full: bool) {
        let Some(connection) = self.slab.get_mut(id) else { return };
        let was_behind = connection.is_behind;
        connection.full_reads = if is_full { connection.full_reads.wrapping_add(1) } else { 0 };
        if !is_full {
            connection.is_behind = false;
        } else if connection.full_reads.is_multiple_of(FULL_READS_PER_LOOK) {
            // Kernels that do not tell are never behind.
            let part = if was_behind { CAUGHT_UP_PART } else { BEHIND_PART };
            connection.is_behind = options::memory(connection.stream.as_raw_fd())
                .is_ok_and(|memory| memory.received > memory.receive_buffer / part);
        }
        let is_behind = connection.is_behind;
        self.behind = (self.behind + usize::from(is_behind)).saturating_sub(usize::from(was_behind));
    }

    /// Reads once, unless messages that have arrived before still wait: a peer cannot make us buffer more than one
    /// message and one read.
    pub(crate) fn fill(&mut self, now_ms: u64, id: ConnectionId) {
        let Some(connection) = self.slab.get_mut(id) else { return };
        let discards = matches!(connection.phase, Phase::Closing | Phase::Lingering);
        if !connection.readable || !(connection.wants_bytes || discards) {
            return;
        }
        match connection.stream.read(&mut self.chunk) {
            Ok(0) => {
                connection.readable = false;
                connection.read_closed = true;
                connection.active_ms = now_ms;
                let (peer, is_over) = (connection.peer, connection.phase == Phase::Lingering);
                // What is sent to this peer from now on needs another connection.
                self.shared.peers.remove(peer, id);
                if is_over {
                    self.close(id);
                }
            }
            Ok(count) => {
                connection.readable = count == self.chunk.len() || connection.hangup;
                connection.active_ms = now_ms;
                if !discards {
                    let bytes = self.chunk.get(..count).unwrap_or_default();
                    if connection.inbox.capacity() == 0 {
                        connection.inbox = self.pool.take();
                    }
                    connection.inbox.drain(..connection.consumed);
                    connection.consumed = 0;
                    connection.inbox.extend_from_slice(bytes);
                    connection.wants_bytes = false;
                }
                let is_full = count == self.chunk.len();
                if is_full || connection.full_reads > 0 {
                    self.note_read(id, is_full);
                }
                self.row().stream_bytes_in.add(count as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => connection.readable = false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.close(id),
        }
    }

    /// Looks for the next message among the bytes that have arrived.
    pub(crate) fn next_step(
        &mut self,
        now_ms: u64,
        id: ConnectionId,
        message: &mut Vec<u8>,
        make_framer: impl FnOnce() -> Box<dyn StreamFramer>,
    ) -> Step {
        let row = self.shared.row(self.worker);
        let Some(connection) = self.slab.get_mut(id).filter(|found| found.phase == Phase::Open) else {
            return Step::Nothing;
        };
        if connection.buffered().is_empty() {
            connection.empty_inbox(&mut self.pool);
            self.hold(id, 0);
            return Step::Nothing;
        }
        let frame = connection.frame(make_framer).unwrap_or_else(|| {
            row.panics.add(1);
            StreamFrame::Invalid { reply: None }
        });
        self.follow(now_ms, id, frame, message)
    }

    /// Does what the framer has found.
    fn follow(&mut self, now_ms: u64, id: ConnectionId, frame: StreamFrame, message: &mut Vec<u8>) -> Step {
        let max = self.shared.limits.max_message_bytes;
        let row = self.shared.row(self.worker);
        let Some(connection) = self.slab.get_mut(id) else { return Step::Nothing };
        let buffered = connection.buffered().len();
        match frame {
            StreamFrame::Incomplete if buffered < max => self.expect_more(now_ms, id, buffered),
            StreamFrame::Message { len } if (1..=buffered.min(max)).contains(&len) => {
                message.clear();
                message.extend_from_slice(connection.buffered().get(..len).unwrap_or_default());
                connection.consume(len);
                connection.messages_in += 1;
                row.stream_messages_in.add(1);
                return Step::Message(connection.origin(id));
            }
            StreamFrame::Skip { len, reply } if (1..=buffered).contains(&len) => {
                connection.consume(len);
                row.stream_skipped.add(1);
                if let Some(reply) = reply {
                    // An error closes the connection, which the next step sees.
                    let _ = self.push(now_ms, id, reply, false);
                }
                return Step::Skipped;
            }
            StreamFrame::Invalid { reply } => {
                row.stream_invalid.add(1);
                if let Some(reply) = reply {
                    // As above.
                    let _ = self.push(now_ms, id, &reply, false);
                }
                self.close_gracefully(now_ms, id);
            }
            StreamFrame::Incomplete | StreamFrame::Message { len: 1.. } if buffered >= max => {
                row.stream_oversized.add(1);
                self.close(id);
            }
            StreamFrame::Incomplete | StreamFrame::Message { .. } | StreamFrame::Skip { .. } => {
                tracing::error!(?frame, buffered, "a framer has found more bytes than there are, or none");
                row.stream_invalid.add(1);
                self.close(id);
            }
        }
        Step::Nothing
    }

    /// The message that has begun needs more bytes.
    fn expect_more(&mut self, now_ms: u64, id: ConnectionId, buffered: usize) {
        if let Some(connection) = self.slab.get_mut(id) {
            connection.message_since_ms.get_or_insert(now_ms);
            connection.wants_bytes = true;
        }
        if self.hold(id, buffered) {
            self.rearm(id);
        } else {
            self.row().stream_oversized.add(1);
            self.close(id);
        }
    }

    /// Counts the bytes of an unfinished message which the connection holds from now on; `false` when all connections
    /// together hold too many.
    fn hold(&mut self, id: ConnectionId, bytes: usize) -> bool {
        let Some(connection) = self.slab.get_mut(id).filter(|connection| connection.held != bytes) else {
            return true;
        };
        let all = &self.shared.unfinished_bytes;
        all.fetch_sub(connection.held, Ordering::Relaxed);
        connection.held = bytes;
        let held = all.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        bytes == 0 || held <= self.shared.limits.tcp_read_buffers_total_bytes
    }

    /// To be called when there was nothing more: decides how the connection goes on.
    pub(crate) fn settle(&mut self, now_ms: u64, id: ConnectionId) {
        let Some(connection) = self.slab.get_mut(id) else { return };
        let discards = matches!(connection.phase, Phase::Closing | Phase::Lingering);
        if connection.readable && (connection.wants_bytes || discards) {
            self.mark_ready(now_ms, id);
            return;
        }
        if !connection.read_closed {
            return;
        }
        // A message that has begun will never be complete.
        connection.message_since_ms = None;
        connection.consumed = connection.inbox.len();
        connection.empty_inbox(&mut self.pool);
        let is_over = connection.is_done() && connection.phase == Phase::Open;
        self.hold(id, 0);
        if is_over {
            self.close(id);
        } else {
            self.rearm(id);
        }
    }
}

impl Connection {
    /// Asks the framer; `None` if it panicked.
    fn frame(&mut self, make_framer: impl FnOnce() -> Box<dyn StreamFramer>) -> Option<StreamFrame> {
        let buffered = self.inbox.get(self.consumed..).unwrap_or_default();
        let framer = &mut self.framer;
        catch_unwind(AssertUnwindSafe(|| framer.get_or_insert_with(make_framer).frame(buffered))).ok()
    }

    fn consume(&mut self, len: usize) {
        self.consumed = (self.consumed + len).min(self.inbox.len());
        self.message_since_ms = None;
    }

    fn empty_inbox(&mut self, pool: &mut super::pool::Pool) {
        pool.give(std::mem::take(&mut self.inbox));
        self.consumed = 0;
        self.wants_bytes = true;
    }

    fn origin(&self, id: ConnectionId) -> Origin {
        Origin {
            transport: Transport::Tcp,
            socket: self.socket,
            local: self.local,
            peer: self.peer,
            connection: Some(id),
        }
    }
}
