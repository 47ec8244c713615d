//! Every limit of this crate, each with its reason. Reaching one is an error that the caller answers and counts.

/// Most transactions in one shard. 64 shards hold a million, which at 5 s of absorbing time each is 200 000 new
/// transactions a second; at about 3 kB each they take 3 GB, the most that one server may spend on them. One that is
/// answered and is no INVITE takes some 150 bytes and its response.
pub const MAX_TRANSACTIONS_PER_SHARD: usize = 16_384;

/// Most client branches of one transaction, serial forking included. OpenSIPS allows 12; an address-of-record with
/// more phones than that is rare, while every branch multiplies one request into many (RFC 5393 §3).
pub const MAX_BRANCHES: usize = 32;

/// Length of the branch parameters that we write, in bytes: the magic cookie and 28 bytes as digits. One of another
/// length is foreign and not decoded.
pub const BRANCH_BYTES: usize = 7 + 2 * 28;

/// Most headers of challenges that are added to a 401 or 407 that goes upstream (RFC 3261 §16.7 step 7), in bytes,
/// so that one request cannot collect an answer that no datagram holds.
pub const MAX_AGGREGATED_CHALLENGES_BYTES: usize = 4096;

/// Most Route values that are looked at: a route set grows by one for each proxy, and Max-Forwards starts at 70.
pub const MAX_ROUTES: usize = 70;

/// Most Via values that loop detection looks at: each costs a keyed hash, and Max-Forwards starts at 70.
pub const MAX_VIAS: usize = 70;

/// Largest header text that a CANCEL copies from the one that asked for it (`Reason`, RFC 3326), in bytes.
pub const MAX_REASON_BYTES: usize = 512;
