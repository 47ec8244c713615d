//! What all end-to-end tests drive the server with.

pub mod call;
pub mod digest;
pub mod kamailio;
pub mod message;
pub mod mi;
pub mod namespace;
pub mod nat;
pub mod phone;
pub mod place;
pub mod scripts;
pub mod server;
pub mod sleeper;
pub mod web;

pub use message::{Message, Request};
pub use phone::Phone;
pub use place::Place;
pub use server::Server;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long anything may take that must happen. Generous: the machine may be busy; nothing waits this long when
/// all is well.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How long silence is listened to before it counts as silence.
pub const SILENCE: Duration = Duration::from_millis(300);

/// A number that this test process has not used before.
pub fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
