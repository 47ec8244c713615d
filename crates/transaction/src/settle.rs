//! How a transaction comes to its answer: 2xx at once, everything else when all branches have ended (RFC 3261
//! §16.7).

use std::sync::Arc;

use crate::{
    best::{self, Candidate},
    client::upstream_bytes,
    effect::{BranchSelection, Bytes, Effect, Relay, Target},
    queue::NEVER,
    transaction::{Branch, ServerState, Step, Transaction},
};

impl<U: Clone, T: Target> Transaction<U, T> {
    /// A 2xx goes upstream at once; the first one to an INVITE ends the other branches (RFC 3261 §16.7 steps 5, 10).
    pub(crate) fn relay_2xx(&mut self, step: &mut Step<'_, U, T>, status: u16, bytes: Bytes) {
        if self.received.is_none() {
            self.report(step);
        } else if !self.is_answered() {
            self.send_final(step, status, bytes, false);
        } else if self.invite {
            self.send_further_2xx(step, bytes);
        }
        self.cancel_branches(step, BranchSelection::All);
    }

    /// A branch has ended without a 2xx.
    pub(crate) fn branch_ended(&mut self, step: &mut Step<'_, U, T>, status: u16) {
        // A 6xx speaks for all phones of the user (RFC 3261 §16.7 step 5).
        if status >= 600 {
            self.cancel_branches(step, BranchSelection::All);
            self.open_until_ms = NEVER;
        }
        self.settle(step);
    }

    /// Answers when there is nothing left to wait for.
    pub(crate) fn settle(&mut self, step: &mut Step<'_, U, T>) {
        let open = self.open_until_ms != NEVER;
        if self.is_answered() || self.flags.waiting || open || self.has_pending_branches() {
            return;
        }
        if !self.flags.held {
            self.finish(step);
            return;
        }
        // Routing logic has to ask again for the next round, as with t_on_failure().
        self.flags.held = false;
        self.flags.waiting = true;
        self.guard_ms = step.now_ms + u64::from(self.timers.fr_inv_timeout_ms);
        let (branch, code) = self.best().map_or((0, 408), |best| (best.branch, best.status));
        step.out.push(Effect::Failure { id: step.id, code, branch, context: self.context.clone() });
    }

    /// Sends the best response, or one of our own if there is none. Does nothing while branches are pending or expected.
    pub(crate) fn finish(&mut self, step: &mut Step<'_, U, T>) {
        if self.is_answered() || self.has_pending_branches() {
            return;
        }
        self.flags.waiting = false;
        if self.open_until_ms != NEVER {
            return;
        }
        if self.received.is_none() {
            self.report(step);
            return;
        }
        match self.best() {
            Some(best) if best.received => self.relay_branch(step, best),
            Some(best) => self.send_made_up(step, best.status),
            None => self.send_made_up(step, 408),
        }
    }

    /// The best response of this round.
    pub(crate) fn best(&self) -> Option<Candidate> {
        let candidates = self.branches.iter().enumerate().skip(usize::from(self.round));
        best::choose(candidates.filter(|(_, branch)| !branch.is_pending()).map(|(index, branch)| Candidate {
            branch: index as u16,
            status: branch.status,
            received: branch.is_received,
        }))
    }

    fn relay_branch(&mut self, step: &mut Step<'_, U, T>, best: Candidate) {
        let Some(branch) = self.branches.get(usize::from(best.branch)) else { return };
        let bytes = branch.final_bytes();
        let (status, bytes) = match best.status {
            401 | 407 => {
                let others = self.branches.iter().enumerate().skip(usize::from(self.round));
                let others = others.filter(|(index, _)| *index != usize::from(best.branch));
                let replies = others.filter_map(|(_, branch)| branch.reply.as_deref());
                (best.status, best::with_challenges(bytes, replies))
            }
            503 => (500, best::as_500(bytes)),
            status => (status, bytes),
        };
        self.send_final(step, status, bytes, false);
    }

    fn send_made_up(&mut self, step: &mut Step<'_, U, T>, status: u16) {
        let (status, reason): (u16, &[u8]) = match status {
            408 if self.flags.cancelled => (487, b"Request Terminated"),
            487 => (487, b"Request Terminated"),
            503 => (500, b"Server Internal Error"),
            408 => (408, b"Request Timeout"),
            status => (status, b"Request Failed"),
        };
        // When the client of a request other than INVITE has given up by itself, a 408 is no news to it but load
        // for every hop on the way; RFC 4320 §4.2 forbids it. Earlier it is what lets the client try elsewhere
        // in time, and what routing scripts with a short fr_timeout rely on, so it is sent.
        let patience_ms = self.timers.patience_ms() - u64::from(self.timers.t1_ms);
        if status == 408 && !self.invite && step.now_ms >= self.created_ms + patience_ms {
            self.complete_silently(step, status);
        } else {
            self.send_local(step, status, reason);
        }
    }

    /// Tells the maker of a request how it ended.
    fn report(&mut self, step: &mut Step<'_, U, T>) {
        if self.is_answered() {
            return;
        }
        self.server.state = ServerState::Terminated;
        self.guard_ms = NEVER;
        let accepted = self.branches.iter().find(|branch| (200..300).contains(&branch.status));
        let chosen = accepted.or_else(|| self.branches.get(usize::from(self.best()?.branch)));
        let (code, response) = chosen.map_or((408, None), |branch| (branch.status, branch.reply.clone()));
        self.server.status = code;
        step.out.push(Effect::Result { id: step.id, code, response, context: self.context.clone() });
    }
}

impl<T> Branch<T> {
    /// What goes upstream if the final response of this branch is chosen.
    fn final_bytes(&self) -> Bytes {
        match (&self.edited, &self.reply) {
            (Some(bytes), _) => bytes.clone(),
            (None, Some(message)) => upstream_bytes(message, Relay::AsReceived, None),
            (None, None) => Arc::default(),
        }
    }
}
