//! Every bound of this crate, with its reason.

use std::time::Duration;

/// How many connections to one database are open at most. SQLite reads as fast as its disk with a few.
pub const CONNECTIONS: u32 = 4;

/// How long a query waits for a free connection. Shorter than a parked script waits, so that an overloaded database
/// answers with an error and not with silence.
pub const ACQUIRE: Duration = Duration::from_secs(3);

/// Longest name of a table or a column: what every kind of database takes.
pub const IDENTIFIER_LEN: usize = 63;

/// How many rows of a list are read at once: a list of users is shown in pages.
pub const LIST_ROWS: u32 = 1000;

/// How many connections to one server are open at most: more transactions at a time than a location table, accounting
/// and look-ups of users have under way on two cores, and few enough that a dozen servers share a database that allows a
/// hundred.
pub const SERVER_CONNECTIONS: u32 = 8;

/// After how many seconds MySQL closes a connection that says nothing, and undoes what it has begun; we close it after half of
/// that. Others wait for the locks of a process that stands still for as long.
pub const MYSQL_IDLE_S: u64 = 20;

/// How much longer than the server itself is allowed to take we wait for it: its own "took too long" should arrive.
pub const ANSWER_MARGIN: Duration = Duration::from_millis(500);

/// How many rows one statement for MySQL changes at most: its placeholders are counted in 16 bits, and a row has 19.
pub const STATEMENT_ROWS: usize = 256;

/// How long a journal of a location table in a SQLite file becomes before it goes into the table: at 50 000 REGISTERs a
/// second some seven seconds, so that a phone that registers more often is written once.
pub const JOURNAL_BYTES: u64 = 128 << 20;

/// From which length on a journal that was found at a start goes into the table at once, and not when the server is through
/// with its start: that of a stop with two million bindings unwritten. A server that is killed again and again would let it
/// grow for ever.
pub const LEFT_BYTES: u64 = 8 * JOURNAL_BYTES;

/// By how much a journal file grows at a time: with 3000 rows, in a few milliseconds.
pub const JOURNAL_STEP: u64 = 1 << 20;

/// The longest row in bytes: more than the longest SIP message has.
pub const RECORD_BYTES: usize = 1 << 20;

/// How many changes may go into the table after [`FOLD_SOON`], at little cost; with more it is done after [`FOLD_AFTER`].
pub const FOLD_SOON_ROWS: usize = 2000;

/// When a few changes go into the table: soon enough for somebody who looks into it with another program.
pub const FOLD_SOON: Duration = Duration::from_secs(1);

/// When many changes go into the table, unless their journal is full before.
pub const FOLD_AFTER: Duration = Duration::from_secs(15);

/// When it is tried again after it did not work.
pub const FOLD_RETRY: Duration = Duration::from_secs(1);

/// The niceness of the thread that works on tables while phones register: a tenth of the weight of the others.
pub const BACKGROUND_NICE: i32 = 10;

/// How many rows one transaction puts into the table: some ten milliseconds, in which nothing else can be written.
pub const FOLD_ROWS: usize = 2000;
