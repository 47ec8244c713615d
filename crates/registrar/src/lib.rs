//! What a REGISTER means: save, lookup and the replies they lead to.
//!
//! [`Save`] serves a REGISTER: it reads and checks the message ([`Register`]), locks the address of record, works
//! out a plan, and applies it only when nothing objects, so that a request changes everything or nothing.
//! [`Lookup`] copies the contacts of an address of record into [`Targets`].
//!
//! What it does NOT do: open sockets, read a clock, send replies, or know of scripts. Time, random numbers and the
//! facts about the sender are arguments; the header fields of the reply are appended to the caller's buffer.

pub mod aor;

mod familiar;
mod first;
mod flags;
pub mod gruu;
pub mod limits;
mod lookup;
pub mod methods;
pub mod mid;
mod path;
mod plan;
mod policy;
mod proportion;
pub mod push;
mod reading;
mod registered;
mod reject;
mod reply;
mod request;
mod save;
mod upstream;

pub use aor::Aor;
pub use familiar::Familiar;
pub use flags::{FlagError, LookupFlags, PathMode, SaveFlags, UserAgentFilter};
pub use gruu::Gruu;
pub use lookup::{Found, Lookup, Sleeper, Target, Targets, UserAgentTest};
pub use path::{Path, first_uri};
pub use policy::{MatchingMode, MinExpiresMode, Policy};
pub use push::Push;
pub use registered::{
    Filter, NextHop, attribute, is_contact_registered, is_ip_registered, is_registered, remove,
    remove_ip_port, unresolved,
};
pub use reject::{Reject, supported};
pub use reply::write_q;
pub use request::{Asked, Register, Wish};
pub use save::{Added, Outcome, Save, Source};
