//! CANCEL: of the whole transaction by its client, of single branches by us (RFC 3261 §9, §16.10).

use std::sync::Arc;

use crate::{
    build,
    effect::{BranchSelection, Target},
    queue::NEVER,
    transaction::{Branch, Cancel, CancelSent, Step, Transaction},
};

impl<U: Clone, T: Target> Transaction<U, T> {
    /// The client has given up. After a final response this has no effect; before one all pending branches are
    /// cancelled, and without any branch the answer is 487 at once (RFC 3261 §9.2).
    pub(crate) fn cancel(&mut self, step: &mut Step<'_, U, T>, headers: &[u8]) {
        if self.is_answered() || !self.invite {
            return;
        }
        self.flags.cancelled = true;
        self.open_until_ms = NEVER;
        if !headers.is_empty() && self.cancel_headers.is_none() {
            self.cancel_headers = Some(headers.into());
        }
        if self.branches.is_empty() {
            self.send_local(step, 487, b"Request Terminated");
            return;
        }
        self.cancel_branches(step, BranchSelection::All);
        // Nothing may be pending because the wait was for further branches only.
        self.settle(step);
    }

    /// Cancels the pending ones of the selected branches. Only INVITE can be cancelled.
    pub(crate) fn cancel_branches(&mut self, step: &mut Step<'_, U, T>, selection: BranchSelection) {
        if !self.invite {
            return;
        }
        for index in 0..self.branches.len() as u16 {
            let selected = match selection {
                BranchSelection::One(one) => index == one,
                BranchSelection::Others(one) => index != one,
                BranchSelection::All => true,
            };
            if selected {
                self.cancel_branch(step, index);
            }
        }
    }

    fn cancel_branch(&mut self, step: &mut Step<'_, U, T>, index: u16) {
        let Some(branch) = self.branches.get_mut(usize::from(index)) else { return };
        if !branch.is_pending() || !matches!(branch.cancel, Cancel::None) {
            return;
        }
        // Without a provisional response the CANCEL might overtake its INVITE (RFC 3261 §9.1).
        branch.cancel = Cancel::Wanted;
        if branch.status > 0 {
            self.send_cancel(step, index);
        }
    }

    /// Sends the CANCEL of a branch, as a client transaction of its own.
    pub(crate) fn send_cancel(&mut self, step: &mut Step<'_, U, T>, index: u16) {
        let timers = self.timers;
        let headers = self.cancel_headers.as_deref().unwrap_or_default();
        let Some(branch) = self.branches.get_mut(usize::from(index)) else { return };
        let bytes = branch.request.as_ref().and_then(|invite| build::cancel(invite, headers));
        let Some(bytes) = bytes.map(Arc::new) else {
            branch.cancel = Cancel::Ended;
            return;
        };
        step.send(branch.target, bytes.clone(), Some(index));
        let ends_ms = step.now_ms + timers.patience_ms();
        let retransmit_ms = if branch.target.is_reliable() { NEVER } else { step.after(timers.t1_ms) };
        branch.cancel =
            Cancel::Sent(Box::new(CancelSent { bytes, retransmit_ms, interval_ms: timers.t1_ms, ends_ms }));
        branch.ends_ms = ends_ms;
    }
}

impl<T: Target> Branch<T> {
    /// Timers E and F of the CANCEL.
    pub(crate) fn cancel_timeout<U>(&mut self, step: &mut Step<'_, U, T>, index: u16, t2_ms: u32) {
        let Cancel::Sent(cancel) = &mut self.cancel else { return };
        if cancel.ends_ms <= step.now_ms {
            self.cancel = Cancel::Ended;
        } else if cancel.retransmit_ms <= step.now_ms {
            step.send(self.target, cancel.bytes.clone(), Some(index));
            step.counters.retransmissions += 1;
            cancel.interval_ms = (cancel.interval_ms * 2).min(t2_ms);
            cancel.retransmit_ms = step.after(cancel.interval_ms);
        }
    }

    /// A response to the CANCEL. It says only that the CANCEL has arrived; how the INVITE ends comes separately.
    pub(crate) fn cancel_answered<U>(&mut self, step: &Step<'_, U, T>, t2_ms: u32, status: u16) {
        let Cancel::Sent(cancel) = &mut self.cancel else { return };
        if status >= 200 {
            self.cancel = Cancel::Ended;
        } else if cancel.retransmit_ms != NEVER {
            cancel.interval_ms = t2_ms;
            cancel.retransmit_ms = step.after(t2_ms);
        }
    }
}
