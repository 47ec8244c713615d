//! Every bound of the store, with its reason.

/// Operations that may wait for the database. At 50 000 REGISTERs a second this is a third of a second of a disk that
/// does not answer; beyond it a REGISTER is answered 503 at once and changes nothing. Fewer than scripts that may wait on
/// one worker, so that what is in the journal always has room to wait.
pub const JOURNAL: usize = 16_384;

/// Operations that nobody waits for (expiry) and that are kept beside those, for the same reason. What does not fit is
/// swept out of the table later, because its rows say themselves that they are over.
pub const JOURNAL_OF_NOBODY: usize = 65_536;

/// Changes of rows that share a commit at most. A commit to disk costs a millisecond or some; this many rows cost about
/// ten more, so larger groups would gain nothing but latency.
pub const GROUP: usize = 1_024;

/// Bindings that may differ from the table under write-back; with more of them they are written at once, whatever
/// `timer_interval` says: more than change in a minute, the usual interval, at 30 000 REGISTERs a second, and few enough to
/// be written at a stop within seconds. Each takes some 20 bytes here, and is what a crash may cost.
pub const DIRTY: usize = 2_000_000;

/// From here on it is not noted any more that bindings have ended, while the database does not take anything: their rows
/// say so themselves, and are swept out when it is back.
pub const DIRTY_AT_MOST: usize = 4_000_000;

/// Rows that share a commit when write-back writes beside requests: half a millisecond of work at a time, after which a
/// worker that shares its processor has its turn.
pub const FLUSH: usize = 512;

/// The same when the server stops and nobody is served any more.
pub const LAST_FLUSH: usize = 4_096;

/// Rows that the loader reads at a time: large enough to be quick, small enough that nobody else waits for the
/// database longer than some milliseconds.
pub const PAGE: u32 = 2_000;

/// Addresses of record that are asked for while the table is being loaded, each remembered until its end. Loading takes
/// seconds; what is more waits until it is done.
pub const ASKED_WHILE_LOADING: usize = 500_000;

/// The longest key/value store that scripts fill for an address of record, as text: some headers of a REGISTER. It stands in
/// each of its rows.
pub const KEYS_OF_AOR: usize = 4_096;

/// Records of accounting that wait for a database: some seconds of ten thousand calls a second. What comes beyond is dropped
/// and counted, because no call waits for its record.
pub const ACCOUNTS: usize = 65_536;

/// Records of accounting that are written in one transaction.
pub const ACCOUNTS_AT_ONCE: usize = 256;

/// Rows that cannot be read and are told one by one; of the others the log tells their number.
pub const BROKEN_TOLD: u64 = 20;

/// How long a REGISTER waits for its commit, in milliseconds. Clients give up after 32 s (timer F); a store that takes
/// this long is no store.
pub const PATIENCE_MS: u64 = 8_000;

/// For how long it is certain that a table has not been taken by another server, in milliseconds, after it was looked
/// for: somewhat more than three times what lies between two looks, so that a busy machine is not mistaken for one that stood
/// still.
pub const LEASE_MS: u64 = 3_500;
