//! What happens when time passes.

use crate::{
    effect::Target,
    queue::NEVER,
    transaction::{Step, Transaction},
};

impl<U: Clone, T: Target> Transaction<U, T> {
    /// Lets all timers of the transaction run that are due.
    pub(crate) fn expire(&mut self, step: &mut Step<'_, U, T>) {
        if self.trying_ms <= step.now_ms {
            self.trying_ms = NEVER;
            self.send_local(step, 100, b"Trying");
        }
        if self.open_until_ms <= step.now_ms {
            self.open_until_ms = NEVER;
            self.settle(step);
        }
        // Routing logic has forgotten the transaction, or waits for something that does not come.
        if self.guard_ms <= step.now_ms {
            // Further branches may be expected for longer than that.
            self.guard_ms = self.open_until_ms;
            if self.guard_ms == NEVER {
                self.finish(step);
            }
        }
        self.client_timeouts(step);
        self.server_timeout(step);
    }
}
