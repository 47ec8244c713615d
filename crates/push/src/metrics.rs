//! What the senders count.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::message::{Outcome, Provider};

macro_rules! counters {
    ($($name:ident $doc:literal,)*) => {
        /// The counters of one service.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub $name: AtomicU64,)* }

        /// The counters of one service, read at one moment.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Lane { $(#[doc = $doc] pub $name: u64,)* }

        impl Counters {
            pub fn read(&self) -> Lane {
                Lane { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }

        impl Lane {
            /// All counters with their names and what they count.
            #[must_use]
            pub fn all(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), $doc.trim_ascii(), self.$name),)*]
            }
        }
    };
}

counters! {
    sent "Requests to the service, repeated ones included.",
    accepted "Pushes that the service took.",
    dead "Pushes to phones that are gone for good.",
    refused "Pushes that the service will never take.",
    failed "Pushes that the service did not take in time.",
    late "Pushes that had no turn before their deadline.",
    cancelled "Pushes whose caller gave up first.",
    latency_us "Time from the call to the answer, of all pushes that were taken, in microseconds.",
    latency_most_us "The longest of these times.",
}

/// What a sender does at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// The service.
    pub provider: Provider,
    /// Whether it is configured.
    pub configured: bool,
    /// Whether pushes are held back, because the service failed or asked for it.
    pub held: bool,
    /// Its counters.
    pub lane: Lane,
}

impl Counters {
    pub fn outcome(&self, outcome: &Outcome, took_us: u64) {
        let counter = match outcome {
            Outcome::Accepted => {
                self.latency_us.fetch_add(took_us, Ordering::Relaxed);
                self.latency_most_us.fetch_max(took_us, Ordering::Relaxed);
                &self.accepted
            }
            Outcome::Dead => &self.dead,
            Outcome::Refused(_) => &self.refused,
            Outcome::Failed(_) => &self.failed,
            Outcome::Late => &self.late,
            Outcome::Cancelled => &self.cancelled,
            Outcome::Full | Outcome::NoSender => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
