//! The server side: responses, their retransmission, ACK (RFC 3261 §17.2, RFC 6026 §7.1).

use std::sync::Arc;

use seawall_sip::build;

use crate::{
    effect::{Bytes, Effect, Target},
    queue::NEVER,
    transaction::{ServerState, Step, Transaction, unless_reliable},
};

impl<U: Clone, T: Target> Transaction<U, T> {
    /// Sends a provisional response, unless a final one is out already.
    pub(crate) fn send_provisional(
        &mut self,
        step: &mut Step<'_, U, T>,
        status: u16,
        bytes: Bytes,
        local: bool,
    ) {
        let Some(received) = &self.received else { return };
        if self.is_answered() {
            return;
        }
        step.send(received.reply_to, bytes.clone(), None);
        self.server.reply = Some(bytes);
        self.note_sent(step, status, local);
    }

    /// Sends the final response and tells the user. A second one goes nowhere.
    pub(crate) fn send_final(&mut self, step: &mut Step<'_, U, T>, status: u16, bytes: Bytes, local: bool) {
        let Some(received) = &self.received else { return };
        if self.is_answered() {
            return;
        }
        let to = received.reply_to;
        step.send(to, bytes.clone(), None);
        self.note_sent(step, status, local);
        self.enter_final_state(step, &to, status, bytes);
        self.complete(step, status);
    }

    /// A 2xx to INVITE that comes after the final response: another fork has answered, or the 2xx was repeated
    /// (RFC 3261 §16.7 step 5). It is passed on, the state stays as it is.
    pub(crate) fn send_further_2xx(&mut self, step: &mut Step<'_, U, T>, bytes: Bytes) {
        let Some(received) = &self.received else { return };
        step.send(received.reply_to, bytes, None);
        step.counters.relayed_replies += 1;
    }

    /// Ends the server side without a response.
    pub(crate) fn complete_silently(&mut self, step: &mut Step<'_, U, T>, status: u16) {
        self.server.state = ServerState::Terminated;
        self.server.ends_ms = NEVER;
        self.trying_ms = NEVER;
        self.server.status = status;
        self.server.local = true;
        self.complete(step, status);
    }

    /// Makes and sends a response of our own.
    pub(crate) fn send_local(&mut self, step: &mut Step<'_, U, T>, status: u16, reason: &[u8]) {
        let Some(received) = &self.received else { return };
        let Some(request) = &received.request else { return };
        // 100 (Trying) is hop by hop and creates no dialog, so it has no tag of its own (RFC 3261 §8.2.6.2).
        let tag = (status > 100).then(|| step.keys.tag(&received.key));
        let spare = step.spare.take().filter(|spare| Arc::strong_count(spare) == 1);
        let mut bytes = spare.unwrap_or_else(|| Arc::new(Vec::with_capacity(512)));
        let text = Arc::make_mut(&mut bytes);
        text.clear();
        build::response_into(
            text,
            &request.message,
            status,
            reason,
            tag.as_ref().map(<[u8; 16]>::as_slice),
            request.via_fix,
            step.reply_headers,
        );
        if status < 200 {
            self.send_provisional(step, status, bytes, true);
        } else {
            self.send_final(step, status, bytes, true);
        }
    }

    /// The request came again: the last response is repeated, except after a 2xx to INVITE, which its maker repeats
    /// end to end (RFC 6026 §7.1).
    pub(crate) fn repeat_reply(&mut self, step: &mut Step<'_, U, T>) {
        let Some(received) = &self.received else { return };
        if let (ServerState::Proceeding | ServerState::Completed, Some(bytes)) =
            (self.server.state, &self.server.reply)
        {
            step.send(received.reply_to, bytes.clone(), None);
            step.counters.retransmissions += 1;
        }
    }

    /// An ACK for a response other than 2xx: from Completed to Confirmed, where timer I absorbs its repetitions.
    pub(crate) fn acknowledged(&mut self, step: &mut Step<'_, U, T>) {
        let Some(received) = &self.received else { return };
        if self.server.state != ServerState::Completed {
            return;
        }
        self.server.state = ServerState::Confirmed;
        self.server.retransmit_ms = NEVER;
        self.server.reply = None;
        self.end_server_after(step, unless_reliable(&received.reply_to, self.timers.i_ms));
    }

    /// Timers G, H, I, J and L.
    pub(crate) fn server_timeout(&mut self, step: &mut Step<'_, U, T>) {
        let Some(received) = &self.received else { return };
        if self.server.ends_ms <= step.now_ms {
            self.server.state = ServerState::Terminated;
            self.server.ends_ms = NEVER;
            self.server.retransmit_ms = NEVER;
            self.server.reply = None;
            return;
        }
        if self.server.retransmit_ms <= step.now_ms
            && let Some(bytes) = &self.server.reply
        {
            step.send(received.reply_to, bytes.clone(), None);
            step.counters.retransmissions += 1;
            self.server.interval_ms = (self.server.interval_ms * 2).min(self.timers.t2_ms);
            self.server.retransmit_ms = step.after(self.server.interval_ms);
        }
    }

    fn note_sent(&mut self, step: &mut Step<'_, U, T>, status: u16, local: bool) {
        self.server.status = status;
        self.server.local = local;
        self.trying_ms = NEVER;
        if local {
            step.counters.local_replies += 1;
        } else {
            step.counters.relayed_replies += 1;
        }
    }

    fn enter_final_state(&mut self, step: &mut Step<'_, U, T>, to: &T, status: u16, bytes: Bytes) {
        if !self.invite {
            self.server.state = ServerState::Completed;
            self.server.reply = Some(bytes);
            self.end_server_after(step, unless_reliable(to, self.timers.j_ms));
        } else if status < 300 {
            self.server.state = ServerState::Accepted;
            self.server.reply = None;
            self.end_server_after(step, self.timers.l_ms);
        } else {
            self.server.state = ServerState::Completed;
            self.server.reply = Some(bytes);
            if !to.is_reliable() {
                self.server.interval_ms = self.timers.t1_ms;
                self.server.retransmit_ms = step.after(self.timers.t1_ms);
            }
            self.end_server_after(step, self.timers.h_ms);
        }
    }

    fn complete(&mut self, step: &mut Step<'_, U, T>, status: u16) {
        self.guard_ms = NEVER;
        self.open_until_ms = NEVER;
        self.flags.waiting = false;
        step.counters.count_completed(status);
        let (id, local, context) = (step.id, self.server.local, self.context.clone());
        let is_invite = self.invite;
        let request = self.received.as_mut().and_then(|received| match is_invite {
            true => received.request.clone(),
            // What it is absorbed by is the key, for seconds; nobody reads the message any more.
            false => received.request.take(),
        });
        step.out.push(Effect::Completed { id, code: status, local, request, context });
    }

    fn end_server_after(&mut self, step: &Step<'_, U, T>, delay_ms: u32) {
        if delay_ms == 0 {
            self.server.state = ServerState::Terminated;
            self.server.ends_ms = NEVER;
            self.server.reply = None;
        } else {
            self.server.ends_ms = step.after(delay_ms);
        }
    }
}
