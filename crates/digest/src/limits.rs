//! Every bound of this crate, with its reason.

/// How many nonces the table of used ones holds in one shard. All shards together hold a million, about 40 MB at
/// worst. Whoever fills it knows passwords; what it then costs is that older nonces count as stale.
pub const USED_NONCES_PER_SHARD: usize = 16 * 1024;

/// How many shards the table of used nonces has: many more than workers, so that two of them seldom meet.
pub const REPLAY_SHARDS: usize = 64;

/// How many nonce counts behind the highest are remembered. Requests over UDP overtake each other by a few; a client
/// with more than this on the way sees one of them challenged again.
pub const NONCE_COUNT_WINDOW: u32 = 64;

/// How long, in seconds, the very same bytes count as a retransmission and not as a replay: a client that missed the answer
/// sends again after at most 4 s (RFC 3261 section 17.1.2.2, timer E).
pub const RETRANSMISSION_S: u64 = 5;

/// Realms whose challenges one of our own requests answers: the registrar's, and those of a few proxies before it.
pub const ANSWERED_REALMS: usize = 4;
