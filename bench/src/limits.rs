//! Every bound of the load generator, with its reason.

/// Datagrams moved by one `recvmmsg` or `sendmmsg`. Beyond 64 the saving for each datagram is no longer measurable.
pub const BATCH: usize = 64;

/// Datagrams that the kernel makes of one buffer: it takes 64, and 64 KB. More than 32 at once save nothing more.
pub const SEGMENTS: usize = 32;

/// Room for one datagram, bytes. A relayed INVITE with Via, Record-Route and SDP stays well under it.
pub const DATAGRAM_BYTES: usize = 4096;

/// Source sockets of one generator. More would outgrow a usual `ulimit -n` together with what a process has open.
pub const MAX_SOCKETS: usize = 512;

/// Operations in flight. A slot number has four hexadecimal digits in the branch; a quarter of that is ample.
pub const MAX_IN_FLIGHT: usize = 16_384;

/// Operations of one run: the operation's number has eight hexadecimal digits in the branch.
pub const MAX_OPERATIONS: u64 = u32::MAX as u64;

/// Addresses of record: a user's number has eight decimal digits in a message.
pub const MAX_USERS: u32 = 100_000_000;

/// Longest run, seconds: nobody waits longer than an hour for one figure.
pub const MAX_DURATION_S: u64 = 3600;

/// A request without an answer for this long is sent again and counted as lost, unless the run says otherwise: the T1
/// of RFC 3261, nanoseconds.
pub const RETRANSMIT_AFTER_NS: u64 = 500_000_000;

/// The longest such time, nanoseconds: with all attempts a run still ends some minutes after its last start.
pub const MAX_PATIENCE_NS: u64 = 60_000_000_000;

/// Times one request is sent before it counts as failed.
pub const MAX_ATTEMPTS: u8 = 4;

/// An INVITE that got a provisional answer is not sent again; it fails after this long, nanoseconds.
pub const INVITE_GIVE_UP_NS: u64 = 8_000_000_000;

/// How often timeouts are looked for, nanoseconds: fine enough for a timeout of 500 ms.
pub const TIMEOUT_SCAN_NS: u64 = 5_000_000;

/// Socket buffers asked for, bytes. The kernel's default holds some 200 requests; an open loop can owe thousands.
pub const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// How often a send into a full socket buffer is tried again before the datagram counts as lost.
pub const SEND_RETRIES: u32 = 1000;

/// Longest idle wait of a generator that does not busy-poll, milliseconds: keeps an open loop's schedule fine.
pub const IDLE_WAIT_MS: i32 = 1;

/// How long a server may take until it answers its first request, milliseconds. Under valgrind a start takes seconds.
pub const START_TIMEOUT_MS: u64 = 30_000;

/// How long a server may take to stop before it is killed, milliseconds. Under valgrind writing the profile is slow.
pub const STOP_TIMEOUT_MS: u64 = 20_000;

/// Passes of the run without a network: more show nothing new.
pub const MAX_PASSES: u32 = 1_000;

/// Phones of a crowd: each costs some hundred bytes, and their numbers have eight digits.
pub const MAX_PHONES: u64 = 1_000_000;

/// Source sockets of a crowd: enough addresses to come back from, and few enough to look at each a thousand times a
/// second.
pub const CROWD_SOCKETS: usize = 16;

/// How long one reading of the main registrar's table may take, milliseconds: some megabytes on a busy machine.
pub const DUMP_TIMEOUT_MS: u64 = 20_000;

/// The longest table that is read, bytes: a million contacts take some 800 each.
pub const MAX_DUMP_BYTES: usize = 1 << 30;

/// Phones whose failure is explained: the first ones say why, and each costs a question to the server under test.
pub const BROKEN_EXPLAINED: usize = 20;

/// How long a server may take to write a million bindings at its end, or to read them at its start, milliseconds: there
/// are some that need more than a minute.
pub const LONGEST_STOP_MS: u64 = 300_000;

/// How long a server that starts may answer with an error, milliseconds: longer than it takes to load.
pub const LONGEST_REFUSAL_MS: u64 = 60_000;

/// How soon a server that starts is asked again, milliseconds: a small part of what a good start takes.
pub const ASK_AGAIN_MS: u64 = 5;

/// A `timer_interval` in which nothing is written by itself, seconds.
pub const NO_INTERVAL_S: u32 = 86_400;

/// How often the counters of a server's groups are looked at, milliseconds: some groups each time, and no load.
pub const WATCH_EVERY_MS: u64 = 50;

/// Requests of one storm: the time of each is kept, four bytes.
pub const MAX_STORM: usize = 30_000_000;

/// How long the answers to the last requests of a storm are waited for, milliseconds: longer than any receive buffer
/// takes to be emptied.
pub const AFTER_STORM_MS: u64 = 1_000;

/// TCP connections of one run: more than the ports and the memory of a usual machine allow.
pub const MAX_CONNECTIONS: u32 = 100_000;

/// TCP connections from one loopback address: a server has a limit for each, 1024 at Seawall.
pub const CONNECTIONS_PER_ADDRESS: u32 = 1_000;

/// Connections over which something is said before the answers are read: no more than all parties have room for.
pub const CONNECTIONS_AT_ONCE: usize = 64;

/// How long an answer over TCP is waited for, milliseconds.
pub const CONNECTION_PATIENCE_MS: u64 = 20_000;

/// The longest answer over TCP, bytes: a 200 with one contact has some 500.
pub const CONNECTION_ANSWER_BYTES: usize = 4096;

/// Files that a process needs open besides its connections.
pub const FILES_BESIDE_CONNECTIONS: u64 = 200;
