//! The location table: addresses of record and their bindings, ordering, limits, expiry and change events.
//!
//! A [`Location`] holds domains by name; a [`Domain`] is sharded by a keyed hash of the address of record, with one
//! lock a shard. [`Domain::lock`] gives the [`Entry`] of one address of record: reading and changing it takes one
//! hash, one lock and, on a plain refresh, no allocation. Expired bindings are found by a wheel in each shard
//! ([`Domain::expire`]), never by scanning the table. Dumps copy one shard at a time ([`Domain::snapshot`]).
//!
//! What it does NOT do: parse messages, apply policy (that is the `registrar` crate), read a clock, or store
//! anything outside memory. Times are unix seconds given by the caller.

mod binding;
mod change;
mod domain;
mod entry;
mod identity;
mod image;
pub mod limits;
mod matching;
mod names;
mod order;
mod packing;
mod record;
mod refresh;
mod siphash;
mod table;
mod visit;
mod wheel;

pub use binding::{ALL_METHODS, Binding, MADE_BY_HAND, Numbers, PERMANENT, PUSH_FLAG, Q_NONE, TooLong};
pub use change::{Change, Removal, Sink, Updates};
pub use domain::{Approach, Domain, Location, Place, Settings, Snapshot, Statistics};
pub use entry::{Entry, Refused};
pub use image::Image;
pub use matching::{Candidate, Matching};
pub use names::{NameId, Names};
pub use order::{Order, ordered};
pub use packing::Stored;
pub use record::{Bindings, RecordView};
pub use visit::{Part, Step, Visited};
