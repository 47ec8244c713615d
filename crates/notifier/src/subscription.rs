//! One subscription: what it waits for and what it may do next.

use crate::dialog::Dialog;
use crate::pending::Pending;

/// Names a subscription as long as the process lives; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub(crate) u64);

impl Id {
    /// The number, for lists.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}

impl From<u64> for Id {
    fn from(number: u64) -> Self {
        Id(number)
    }
}

/// Why a subscription is over, as the last NOTIFY says it (RFC 6665 section 4.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Its time is over, or its subscriber has ended it.
    Timeout,
    /// An operator has ended it; the subscriber may come back at once.
    Deactivated,
}

impl Reason {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Reason::Timeout => "timeout",
            Reason::Deactivated => "deactivated",
        }
    }
}

/// A subscription.
#[derive(Debug)]
pub(crate) struct Subscription<F> {
    pub dialog: Dialog,
    pub flow: F,
    /// The address of record as a URI, for the documents.
    pub aor_uri: Box<[u8]>,
    /// Whether its documents show public GRUUs.
    pub gruus: bool,
    /// The key of its watch.
    pub watch: Box<[u8]>,
    pub source: super::notifier::Source,
    /// When it ends, in monotonic milliseconds.
    pub expires_ms: u64,
    /// The version of the next document.
    pub version: u32,
    pub pending: Pending,
    /// What is pending is owed now: the answer to a SUBSCRIBE is not paced.
    pub urgent: bool,
    /// A NOTIFY is on its way.
    pub in_flight: bool,
    /// The NOTIFY on its way is the last.
    pub last_sent: bool,
    /// The earliest time for the next NOTIFY about changes.
    pub paced_ms: u64,
    /// The earliest time for any NOTIFY: the subscriber has asked for a pause with Retry-After.
    pub held_ms: u64,
    /// It is over, and one more NOTIFY says so.
    pub ending: Option<Reason>,
    /// Under which time it stands in the queue.
    pub armed_ms: Option<u64>,
}

impl<F> Subscription<F> {
    /// When something has to be done about it; `None` while a NOTIFY is on its way, whose end will tell.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        if self.in_flight {
            return None;
        }
        if self.ending.is_some() {
            return Some(self.held_ms);
        }
        let send_ms = if self.urgent {
            self.held_ms
        } else if self.pending.is_nothing() {
            return Some(self.expires_ms);
        } else {
            self.held_ms.max(self.paced_ms)
        };
        Some(send_ms.min(self.expires_ms))
    }

    /// Lets the end of its time have its effect. Whether a NOTIFY is to be sent now.
    pub(crate) fn come_due(&mut self, now_ms: u64) -> bool {
        if self.ending.is_none() && now_ms >= self.expires_ms {
            self.end(Reason::Timeout);
        }
        let owed = self.ending.is_some() || !self.pending.is_nothing();
        owed && self.due_ms().is_some_and(|due_ms| due_ms <= now_ms)
    }

    /// Ends it with one more, full NOTIFY.
    pub(crate) fn end(&mut self, reason: Reason) {
        self.ending = Some(reason);
        // A pause that the subscriber has asked for cannot outlast the subscription.
        self.held_ms = 0;
        self.owe_everything();
    }

    /// The next NOTIFY comes at once and is a full one.
    pub(crate) fn owe_everything(&mut self) {
        self.pending = Pending::Full;
        self.urgent = true;
    }
}
