//! Digest authentication as SIP uses it (RFC 3261 section 22, RFC 7616, RFC 8760): hashes and their comparison, nonces
//! that need no memory, and the refusal of what was used before.
//!
//! Pure: time and message are arguments, passwords and their hashes too. Where they come from, and what a script does with
//! the verdict, is for `modules::auth`.
//!
//! How several workers share it: a [`NonceKey`] is a value that each of them reads. [`Replays`] is one table for all,
//! because a request and its repetition may reach two workers; a shard of it is locked for one look-up. A challenge
//! leaves nothing there. Only a response that proved the knowledge of a password does, so nobody else can fill it.

mod algorithm;
mod answer;
mod challenge;
mod client;
mod hex;
pub mod limits;
mod nonce;
mod replays;
mod scan;

pub use algorithm::{Algorithm, Hash};
pub use answer::{Answer, BadAnswer, Memo, Qop};
pub use challenge::{BadTerms, Qops, Terms, write_challenge};
pub use client::{Challenged, Login, is_stale, respond};
pub use hex::{Ha1, Hex};
pub use nonce::{NONCE_LEN, Nonce, NonceKey};
pub use replays::{Replays, Use};
