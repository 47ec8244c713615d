//! What a server that answers can make grow, and for how long it can make us wait.

use std::time::Duration;

/// The longest answer of all, whatever the caller asks for: it is held in memory as a whole.
pub const ANSWER_BYTES: usize = 64 << 20;

/// Idle connections that are kept to one host. More requests at a time open more connections, which close afterwards.
pub const IDLE_PER_HOST: usize = 32;

/// How long an idle connection is kept: shorter than what most servers and address translators allow.
pub const IDLE: Duration = Duration::from_secs(60);

/// How often an HTTP/2 connection is tried with a PING while a request waits on it, so that a peer which went away
/// without a word is noticed before the request times out.
pub const PING: Duration = Duration::from_secs(15);

/// How long the answer to a PING may take.
pub const PONG: Duration = Duration::from_secs(5);

/// The longest header section of an answer over HTTP/2, in bytes.
pub const HEADER_BYTES: u32 = 64 << 10;
