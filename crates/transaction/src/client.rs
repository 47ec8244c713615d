//! The client branches: sending, responses, retransmission, timeouts (RFC 3261 §17.1, RFC 6026 §7.2).

use std::sync::Arc;

use seawall_sip::{cseq::CSeq, message::Message, method::Method};

use crate::{
    build,
    effect::{Bytes, Effect, NewBranch, Relay, Target},
    proxy::reply,
    queue::NEVER,
    transaction::{Branch, BranchState, Cancel, Step, Transaction, unless_reliable},
};

impl<U: Clone, T: Target> Transaction<U, T> {
    /// Sends the request of a new branch and starts its timers: A and B, or E and F.
    pub(crate) fn start_branch(&mut self, step: &mut Step<'_, U, T>, new: NewBranch<T>) {
        let (fr_timeout_ms, fr_inv_timeout_ms) =
            new.timeouts_ms.unwrap_or((self.timers.fr_timeout_ms, self.timers.fr_inv_timeout_ms));
        let request = new.bytes;
        step.send(new.target, request.clone(), Some(new.index));
        step.counters.uac_transactions += 1;
        let reliable = new.target.is_reliable();
        self.branches.push(Branch {
            target: new.target,
            request: Some(request),
            state: BranchState::Calling,
            status: 0,
            is_received: false,
            reply: None,
            edited: None,
            ack: None,
            retransmit_ms: if reliable { NEVER } else { step.after(self.timers.t1_ms) },
            interval_ms: self.timers.t1_ms,
            ends_ms: step.after(fr_timeout_ms),
            fr_inv_timeout_ms,
            cancel: Cancel::None,
        });
    }

    /// A response has come for a branch.
    pub(crate) fn receive(&mut self, step: &mut Step<'_, U, T>, index: u16, message: &Message, relay: Relay) {
        step.counters.received_replies += 1;
        let invite = self.invite;
        let Some(branch) = self.branches.get_mut(usize::from(index)) else { return };
        if invite && is_for_cancel(message) {
            branch.cancel_answered(step, self.timers.t2_ms, message.status());
            return;
        }
        let status = message.status();
        match (branch.state, status) {
            (BranchState::Calling | BranchState::Proceeding, ..200) => {
                self.receive_provisional(step, index, message, relay);
            }
            (BranchState::Calling | BranchState::Proceeding, _) => {
                self.receive_final(step, index, message, relay);
            }
            // Every 2xx to INVITE goes upstream, also when the branch had been given up: somewhere a phone has
            // been picked up (RFC 3261 §16.7 step 5, RFC 6026 §7.2).
            (_, 200..300) if invite => {
                branch.status = status;
                if branch.state != BranchState::Accepted {
                    branch.enter(step, BranchState::Accepted, self.timers.m_ms);
                }
                branch.is_received = true;
                let bytes = upstream_bytes(message, relay, None);
                self.relay_2xx(step, status, bytes);
            }
            (BranchState::Completed | BranchState::Terminated, 300..) if invite => {
                branch.acknowledge(step, index, message);
            }
            _ => {}
        }
    }

    fn receive_provisional(
        &mut self,
        step: &mut Step<'_, U, T>,
        index: u16,
        message: &Message,
        relay: Relay,
    ) {
        let (invite, timers) = (self.invite, self.timers);
        let Some(branch) = self.branches.get_mut(usize::from(index)) else { return };
        let status = message.status();
        let first = branch.state == BranchState::Calling;
        branch.state = BranchState::Proceeding;
        if invite {
            branch.retransmit_ms = NEVER;
            let restarts = first || (status > 100 && timers.restart_fr_on_each_reply);
            // Once a CANCEL is out, its own patience decides (RFC 3261 §9.1).
            if restarts && !matches!(branch.cancel, Cancel::Sent(_)) {
                branch.ends_ms = step.after(branch.fr_inv_timeout_ms);
            }
        } else if first && branch.retransmit_ms != NEVER {
            branch.interval_ms = timers.t2_ms;
            branch.retransmit_ms = step.after(timers.t2_ms);
        }
        branch.status = status;
        branch.is_received = true;
        if matches!(branch.cancel, Cancel::Wanted) {
            self.send_cancel(step, index);
        }
        // 100 (Trying) is hop by hop (RFC 3261 §16.7 step 5).
        if status > 100 && relay != Relay::Drop && !self.is_answered() {
            // The one before it is not sent again any more.
            let bytes = upstream_bytes(message, relay, self.server.reply.take());
            self.send_provisional(step, status, bytes, false);
        }
    }

    fn receive_final(&mut self, step: &mut Step<'_, U, T>, index: u16, message: &Message, relay: Relay) {
        let (invite, timers) = (self.invite, self.timers);
        let (is_own, is_answered) = (self.received.is_none(), self.is_answered());
        let Some(branch) = self.branches.get_mut(usize::from(index)) else { return };
        let status = message.status();
        branch.status = status;
        branch.is_received = true;
        // A 2xx goes upstream at once; any other may be chosen later, and whoever made the request reads all of them.
        branch.reply = (status >= 300 || is_own).then(|| Arc::new(message.clone()));
        if matches!(branch.cancel, Cancel::Wanted) {
            branch.cancel = Cancel::Ended;
        }
        let mut spare = None;
        if !invite {
            spare = branch.request.take();
            branch.enter(step, BranchState::Completed, unless_reliable(&branch.target, timers.k_ms));
        } else if status < 300 {
            // What is accepted is neither sent again nor cancelled, and its ACK is not ours.
            spare = branch.request.take();
            branch.enter(step, BranchState::Accepted, timers.m_ms);
            if !is_answered && let Some(provisional) = self.server.reply.take() {
                // Neither is the provisional response sent again.
                *step.spare = spare.replace(provisional);
            }
        } else {
            branch.acknowledge(step, index, message);
            branch.enter(step, BranchState::Completed, unless_reliable(&branch.target, timers.d_ms));
        }
        if status < 300 {
            if matches!(relay, Relay::Edited(_)) {
                step.out.extend(spare.take().map(|bytes| Effect::Spare { bytes }));
            }
            let bytes = upstream_bytes(message, relay, spare);
            self.relay_2xx(step, status, bytes);
        } else {
            if let Relay::Edited(bytes) = relay {
                branch.edited = Some(bytes);
            }
            self.branch_ended(step, status);
        }
    }

    /// A branch ends without a response: it timed out, or could not be sent.
    pub(crate) fn fail_branch(&mut self, step: &mut Step<'_, U, T>, index: u16, status: u16) {
        let (invite, d_ms) = (self.invite, self.timers.d_ms);
        let Some(branch) = self.branches.get_mut(usize::from(index)) else { return };
        if !branch.is_pending() {
            return;
        }
        branch.status = status;
        branch.is_received = false;
        branch.reply = None;
        branch.edited = None;
        if matches!(branch.cancel, Cancel::Wanted) {
            branch.cancel = Cancel::Ended;
        }
        // A late response to INVITE still wants its ACK, or its way upstream.
        let linger_ms = if invite { unless_reliable(&branch.target, d_ms) } else { 0 };
        branch.enter(step, BranchState::Completed, linger_ms);
        self.branch_ended(step, status);
    }

    /// Timers A to F, K and M of all branches, and those of their CANCELs.
    pub(crate) fn client_timeouts(&mut self, step: &mut Step<'_, U, T>) {
        for index in 0..self.branches.len() as u16 {
            let (invite, timers) = (self.invite, self.timers);
            let Some(branch) = self.branches.get_mut(usize::from(index)) else { return };
            branch.cancel_timeout(step, index, timers.t2_ms);
            if branch.ends_ms <= step.now_ms {
                self.branch_timeout(step, index);
            } else if branch.retransmit_ms <= step.now_ms {
                if let Some(request) = &branch.request {
                    step.send(branch.target, request.clone(), Some(index));
                    step.counters.retransmissions += 1;
                }
                // Timer A doubles without end, timer E up to T2.
                let longest_ms = if invite { u32::MAX } else { timers.t2_ms };
                branch.interval_ms = branch.interval_ms.saturating_mul(2).min(longest_ms);
                branch.retransmit_ms = step.after(branch.interval_ms);
            }
        }
    }

    fn branch_timeout(&mut self, step: &mut Step<'_, U, T>, index: u16) {
        let Some(branch) = self.branches.get_mut(usize::from(index)) else { return };
        match branch.state {
            BranchState::Completed | BranchState::Accepted | BranchState::Terminated => {
                branch.enter(step, BranchState::Completed, 0);
            }
            // Timer C: the phone rings on, so it has to be told (RFC 3261 §16.8). The client need not wait for that.
            BranchState::Proceeding if self.invite && matches!(branch.cancel, Cancel::None) => {
                self.send_cancel(step, index);
                self.fail_branch(step, index, 408);
            }
            // A CANCEL without effect (RFC 3261 §9.1), or timers B and F.
            _ => self.fail_branch(step, index, if self.flags.cancelled { 487 } else { 408 }),
        }
    }
}

impl<T: Target> Branch<T> {
    /// Goes to a state after the final response for so long, or straight to Terminated.
    fn enter<U>(&mut self, step: &Step<'_, U, T>, state: BranchState, delay_ms: u32) {
        self.retransmit_ms = NEVER;
        (self.state, self.ends_ms) =
            if delay_ms == 0 { (BranchState::Terminated, NEVER) } else { (state, step.after(delay_ms)) };
    }

    /// Sends the ACK that belongs to this hop (RFC 3261 §17.1.1.3), for the first response as for its repetitions.
    fn acknowledge<U>(&mut self, step: &mut Step<'_, U, T>, index: u16, response: &Message) {
        if self.ack.is_none() {
            self.ack = self.request.as_ref().and_then(|invite| build::ack(invite, response)).map(Arc::new);
        }
        if let Some(ack) = &self.ack {
            step.send(self.target, ack.clone(), Some(index));
        }
    }
}

/// What goes upstream for a response. It is written into `spare` if nobody else reads that.
pub(crate) fn upstream_bytes(message: &Message, relay: Relay, spare: Option<Bytes>) -> Bytes {
    if let Relay::Edited(bytes) = relay {
        return bytes;
    }
    if let Some(mut bytes) = spare
        && let Some(text) = Arc::get_mut(&mut bytes)
    {
        text.clear();
        reply::strip_via(message, text);
        return bytes;
    }
    let mut text = Vec::with_capacity(message.bytes().len());
    reply::strip_via(message, &mut text);
    Arc::new(text)
}

/// Whether a response answers the CANCEL of a branch and not its INVITE: they share the branch parameter.
pub(crate) fn is_for_cancel(response: &Message) -> bool {
    CSeq::of(response).is_ok_and(|cseq| cseq.method_id() == Method::Cancel)
}
