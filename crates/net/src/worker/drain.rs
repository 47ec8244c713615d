//! The end of a worker, see [`crate::Running::shutdown`].

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mio::Events;

use super::{EVENTS, Worker};
use crate::clock::monotonic_ms;
use crate::handler::Handler;
use crate::limits::{DRAIN_POLL_MS, LAST_FLUSH_MS};

impl<H: Handler> Worker<H> {
    /// A turn while shutting down; `true` when the worker shall end.
    pub(super) fn drain_step(&mut self, was_busy: bool) -> bool {
        if !self.drain_begun {
            // Looks once at everything that the kernel may have queued before.
            self.drain_begun = true;
            self.expect_input();
            return false;
        }
        // Connections that were ready are accepted by now: no more of them.
        self.listeners.retain(|listener| listener.is_ready);
        let is_waiting = self.timeout() == Some(Duration::ZERO);
        let is_written = self.io.shared.unsent_bytes.load(Ordering::Relaxed) == 0;
        let is_quiet = !was_busy && !is_waiting && is_written && self.handler.idle();
        self.io.shared.drain_step(self.index, is_quiet, self.io.clock.now_ms())
    }

    fn expect_input(&mut self) {
        for socket in &mut self.udp {
            socket.is_ready = true;
        }
        for listener in &mut self.listeners {
            listener.is_ready = true;
        }
    }

    /// The end: handles what has come meanwhile, writes what is to be written, closes.
    pub(super) fn finish(&mut self) {
        let deadline_ms = monotonic_ms().saturating_add(LAST_FLUSH_MS);
        self.expect_input();
        while self.turn() && monotonic_ms() < deadline_ms {
            self.io.clock.refresh();
        }
        self.count_overflows();
        self.listeners.clear();
        let mut events = Events::with_capacity(EVENTS);
        while !self.io.streams.close_written(self.io.clock.now_ms()) {
            let left_ms = deadline_ms.saturating_sub(monotonic_ms());
            if left_ms == 0 {
                break;
            }
            let waited = self.poll.poll(&mut events, Some(Duration::from_millis(left_ms.min(DRAIN_POLL_MS))));
            if waited.is_err_and(|error| error.kind() != io::ErrorKind::Interrupted) {
                break;
            }
            self.io.clock.refresh();
            self.note(&events);
        }
        self.io.streams.close_all();
        self.events_turn();
        self.io.flush_datagrams();
        tracing::debug!(worker = self.index, connections = self.io.streams.len(), "the worker has ended");
    }
}
