//! Every bound of the engine, with its reason.

/// Runs of the script that may wait on one worker. Each keeps its message, so this is a hundred megabytes at most;
/// a name server that is down parks this many requests, and the next are answered 503. More than the store's journal has
/// room for, so that who is in it can wait for it.
pub const PARKED_PER_WORKER: usize = 20_000;

/// How long a script waits for anything, in milliseconds, before it goes on without. Longer than any name server that
/// will ever answer, shorter than timer B.
pub const PATIENCE_MS: u64 = 10_000;

/// How often an answer is offered to a worker whose queue is full, and after how many milliseconds again: together
/// as long as its script has patience.
pub const ANSWER_TRIES: u32 = 1_000;

/// See [`ANSWER_TRIES`].
pub const ANSWER_AGAIN_MS: u64 = 10;

/// Contexts that a worker keeps for reuse. A worker runs one route at a time, but where REGISTERs wait for their commit a
/// thousand come and go together. Each takes some kilobytes, without the receive buffer.
pub const SPARE_CONTEXTS: usize = 1_024;

/// Receive buffers that a worker keeps from contexts that wait: more than one only when contexts with a buffer of their own
/// came first.
pub const SPARE_BUFFERS: usize = 8;

/// Event and launched routes that may follow from one message, so that an event route which raises its own event
/// ends.
pub const FOLLOWING_ROUTES: usize = 4096;

/// Requests of our own that wait on one worker, before those in transactions. One registration may be watched by many,
/// and a restart of a network changes many at once; what is more is told that it could not be sent.
pub const OWN_REQUESTS: usize = 10_000;

/// Requests of our own that are sent before the worker looks at the network again; a millisecond or two of work.
pub const OWN_REQUESTS_AT_ONCE: usize = 256;

/// How often a worker with transactions looks at their timers, in milliseconds. The shortest timer of RFC 3261 is
/// T1 = 500 ms, which this keeps to a few per cent.
pub const TICK_MS: u64 = 10;

/// How often a worker without transactions does so: another worker may have made one in a shard that this one
/// watches.
pub const IDLE_TICK_MS: u64 = 100;

/// Transactions that have rested for long enough and are forgotten in one turn of a worker, in a tenth of a millisecond. At a
/// hundred thousand requests a second a thousand end in a tick; what is left goes in the next turn, a millisecond later.
pub const RESTS_PER_TURN: usize = 512;

/// Steps of the expiry wheel in one shard of the location table for each tick. A worker has some hundred shards, so
/// this is about two thousand bindings, less than a millisecond of work: a million that end in the same second do not
/// hold up requests, and their events fit into [`FOLLOWING_ROUTES`].
pub const EXPIRE_BUDGET: usize = 8;

/// Host names that are being resolved at a time. Each takes a thread for as long as the name server takes.
pub const RESOLVING: usize = 64;

/// Host names whose addresses are remembered.
pub const RESOLVED_NAMES: usize = 4096;

/// For how long the addresses of a name are used again, in seconds. The system's resolver gives no time to live.
pub const RESOLVED_FOR_S: u64 = 30;

/// How long a shutdown waits for transactions to end, in milliseconds.
pub const SHUTDOWN_GRACE_MS: u64 = 5_000;

/// Workers at most. More than any machine has cores that one network card could feed.
pub const MAX_WORKERS: usize = 64;

/// How many changes a stop puts from the journal into the table, at a hundred thousand a second or less. With more it would
/// not be done in time, and what is done by half is done again after the start.
pub const SETTLE_CHANGES: usize = 200_000;

/// How many changes write-back puts from the journal into the table behind each interval: some ten milliseconds of work.
/// With more, bindings that are refreshed in each interval would be put there each time.
pub const SETTLE_AT_ONCE: usize = 2_000;

/// How soon a table that could not be loaded is asked for again, in milliseconds.
pub const LOAD_AGAIN_MS: u64 = 1_000;

/// After how many rows the log tells how far loading has come.
pub const LOAD_TOLD_EVERY: u64 = 100_000;

/// How soon a group of changes is written again when the connection broke in the middle of it, in milliseconds; twice as
/// long each time.
pub const REPLAY_AFTER_MS: u64 = 50;

/// How long that takes at most, in milliseconds: who waits should not wait for long when the database is back.
pub const REPLAY_AT_MOST_MS: u64 = 1_000;

/// How long write-back pauses between two commits, in milliseconds, so that writing a million rows takes a few seconds and
/// no request notices.
pub const FLUSH_PAUSE_MS: u64 = 2;

/// How often write-back tries to write what is left when the server stops.
pub const LAST_FLUSHES: u32 = 3;

/// Of so many REGISTERs that are shed before the script, one is told so with 503 (`overload_early`): an answer costs about as
/// much as eight that get none, and whoever gets none asks again.
pub const ANSWERED_OF_SHED: u32 = 8;

/// How often it is looked whether another server has taken the tables, in milliseconds: a query a second is nothing to a database,
/// and no longer than that are REGISTERs answered by a server that has been replaced while it ran.
pub const LOOK_FOR_OWNER_MS: u64 = 1_000;

/// How long that may take, in milliseconds; with the pause it stays below the lease (`modules::store::limits::LEASE_MS`).
pub const OWNER_WITHIN_MS: u64 = 1_000;

/// How much longer than the store's patience a transaction waits for an answer that is held, in milliseconds: whoever holds it lets
/// it go with a tick, and its transaction must not have answered before.
pub const HELD_TOO_LONG_MS: u64 = 2_000;

/// Open files beside those of TCP connections: sockets for each worker and address, databases, MI, push services.
pub const FILES_BESIDE_CONNECTIONS: u64 = 1_024;
