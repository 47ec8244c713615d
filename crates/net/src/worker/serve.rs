//! The turn of the connections.

use super::{Worker, guard};
use crate::clock::monotonic_us;
use crate::endpoint::ConnectionId;
use crate::handler::Handler;
use crate::limits::{CONNECTIONS_PER_TURN, MESSAGES_PER_READ, STREAM_MESSAGES_PER_TURN};
use crate::refusing::share_us;
use crate::tcp::Step;

impl<H: Handler> Worker<H> {
    /// Serves some of the connections that have something, up to a number of messages, so that those who speak UDP wait no
    /// longer for connections than the other way round.
    pub(super) fn streams_turn(&mut self) -> bool {
        let waiting = self.io.streams.ready_count().min(CONNECTIONS_PER_TURN);
        let began_us = self.io.streams.is_behind().then(monotonic_us);
        let may_refuse = began_us.is_some_and(|now_us| self.allowance.is_left(now_us));
        let refused_before = began_us.map_or(0, |_| self.handler.refused());
        let mut messages = 0;
        for _ in 0..waiting {
            if messages >= STREAM_MESSAGES_PER_TURN {
                break;
            }
            let now_ms = self.io.clock.now_ms();
            let Some(id) = self.io.streams.next_ready(now_ms) else { break };
            messages += self.serve(id, may_refuse);
        }
        self.io.is_behind = false;
        let was_busy = waiting > 0 || !self.io.streams.is_flushed();
        if was_busy {
            self.io.flush();
        }
        if let Some(began_us) = began_us {
            let refused = self.handler.refused().saturating_sub(refused_before);
            let took_us = monotonic_us().saturating_sub(began_us);
            self.allowance.spend(share_us(took_us, refused, messages as u64));
        }
        was_busy
    }

    /// Reads once from a connection and handles the messages in that; gives their number.
    fn serve(&mut self, id: ConnectionId, may_refuse: bool) -> usize {
        let now_ms = self.io.clock.now_ms();
        self.io.streams.fill(now_ms, id);
        self.io.is_behind = may_refuse && self.io.streams.keeps_waiting(id);
        let mut messages = 0;
        for _ in 0..MESSAGES_PER_READ {
            match self.io.streams.next_step(now_ms, id, &mut self.message, || self.handler.framer()) {
                Step::Nothing => {
                    self.io.streams.settle(now_ms, id);
                    return messages;
                }
                Step::Skipped => {}
                Step::Message(origin) => {
                    messages += 1;
                    let used = self.io.sends.used();
                    if !guard(|| self.handler.stream_message(&mut self.io, &origin, &mut self.message)) {
                        self.after_panic("stream_message", used);
                    }
                }
            }
        }
        self.io.streams.mark_ready(now_ms, id);
        messages
    }
}
