//! Who is told of registrations: subscriptions to the event package `reg` (RFC 6665, RFC 3680).
//!
//! A [`Notifier`] holds all subscriptions. [`subscribe`](Notifier::subscribe) and [`refresh`](Notifier::refresh) answer
//! a SUBSCRIBE, [`change`](Notifier::change) takes what changed in the location table, [`due`](Notifier::due) and
//! [`notify`](Notifier::notify) give the NOTIFY that is to be sent next, and [`answered`](Notifier::answered) takes how
//! it ended. [`reginfo`] writes the documents. A [`Filter`] tells without a lock that nobody watches an address of
//! record.
//!
//! Invariants:
//! - At most one NOTIFY of a subscription is on its way; what changes meanwhile goes into the next one.
//! - Document versions of a subscription count up by one, without a gap.
//! - Every subscription ends: by its time, by its subscriber, or by a NOTIFY that failed.
//!
//! What it does NOT do: send anything, read a clock, decide who may subscribe, or keep bindings. Time and the bindings
//! for a full document are arguments. `F` is what the caller wants to know again of the way to the subscriber.

mod dialog;
mod filter;
pub mod limits;
mod notifier;
mod notify;
mod pending;
pub mod reginfo;
mod subscription;
mod watch;

pub use dialog::{BadSubscribe, Dialog};
pub use filter::Filter;
pub use notifier::{Due, Limits, New, Notifier, Now, Refresh, Refused, Shown, Source};
pub use notify::Notify;
pub use subscription::{Id, Reason};
