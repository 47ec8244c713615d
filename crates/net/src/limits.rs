//! Every bound of this crate, with its reason. What an operator may want to change is in [`Limits`].

/// The bounds which an operator may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest message on either transport. A UDP datagram cannot be larger; one size for both keeps a message that
    /// came over TCP forwardable.
    pub max_message_bytes: usize,
    /// TCP connections in all, accepted and opened (`tcp_max_connections`, 2048 as OpenSIPS has it).
    pub tcp_max_connections: usize,
    /// Accepted TCP connections of one source address (IPv6: of one /64), so that one host cannot use up the total.
    /// High enough for many phones behind one NAT.
    pub tcp_max_connections_per_source: usize,
    /// How long a connect may take. Nothing waits for it but the messages queued on that connection.
    pub tcp_connect_timeout_ms: u64,
    /// Idle time after which a connection is closed (`tcp_connection_lifetime`, 120 s as OpenSIPS has it).
    pub tcp_connection_lifetime_s: u64,
    /// Time that a message may take from its first byte to its last: ends slow senders, allows 1-byte segments.
    pub tcp_message_timeout_ms: u64,
    /// Time that a peer may take no bytes while some wait for it: ends slow readers.
    pub tcp_write_timeout_ms: u64,
    /// Bytes that may wait for one peer; past it the connection is closed.
    pub tcp_write_buffer_bytes: usize,
    /// Bytes that may wait for all peers together: many slow readers must not add up to the machine's memory.
    pub tcp_write_buffers_total_bytes: usize,
    /// Bytes of unfinished messages that may be held for all peers together; past it the connection that wants more is
    /// closed.
    pub tcp_read_buffers_total_bytes: usize,
    /// Kernel receive buffer of a TCP connection, in bytes: some hundred requests, which bounds how long the last of them
    /// waits; enough for a trunk of a few thousand requests a second over a long way. Without a bound the kernel lets it
    /// grow to megabytes.
    pub tcp_receive_buffer_bytes: usize,
    /// How long a connection whose peer has closed its side is kept for answers still to come.
    pub tcp_half_closed_ms: u64,
    /// Commands from other threads which may wait for one worker.
    pub command_queue: usize,
    /// Kernel receive buffer of a UDP socket, in bytes: a burst that arrives while the worker is busy waits here.
    pub udp_receive_buffer_bytes: usize,
    /// Kernel send buffer of a UDP socket, in bytes: holds a few full send batches.
    pub udp_send_buffer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_bytes: 65_535,
            tcp_max_connections: 2048,
            tcp_max_connections_per_source: 1024,
            tcp_connect_timeout_ms: 5_000,
            tcp_connection_lifetime_s: 120,
            tcp_message_timeout_ms: 10_000,
            tcp_write_timeout_ms: 10_000,
            tcp_write_buffer_bytes: 256 << 10,
            tcp_write_buffers_total_bytes: 64 << 20,
            tcp_read_buffers_total_bytes: 64 << 20,
            tcp_receive_buffer_bytes: 128 << 10,
            tcp_half_closed_ms: 10_000,
            command_queue: 16_384,
            udp_receive_buffer_bytes: 4 << 20,
            udp_send_buffer_bytes: 2 << 20,
        }
    }
}

/// Workers at most: the worker's number is one byte of a [`crate::ConnectionId`].
pub(crate) const MAX_WORKERS: usize = 255;

/// The largest payload that IP can carry in one datagram; a receive buffer of this size never cuts one short.
pub(crate) const DATAGRAM_BYTES: usize = 65_535;

/// Extra capacity of a receive buffer. Buffers of exactly 64 KiB would start at the same cache sets, and a batch of
/// them would evict one another; this offset spreads them.
pub(crate) const RECEIVE_STAGGER_BYTES: usize = 512;

/// Datagrams in one receive call: enough to make the cost of the call small, few enough to stay in the L2 cache.
pub(crate) const RECEIVE_BATCH: usize = 64;

/// How long a worker reads datagrams without asking the kernel what else there is, microseconds: so much later an event of
/// a connection may be seen, and one call in a thousand microseconds costs nothing.
pub(crate) const ASK_EVERY_US: u64 = 1_000;

/// Full batches in a row from one socket after which its worker asks the kernel how full the receive buffer is: a system
/// call for some five hundred datagrams.
pub(crate) const FULL_BATCHES_PER_LOOK: u32 = 8;

/// A worker is behind when more than one part in so many of a receive buffer is taken: with the buffer's usual size what
/// is at its end waits for some ten milliseconds then, and the rest of it is still there for bursts.
pub(crate) const BEHIND_PART: u32 = 4;

/// How long what waits for a worker that is behind may wait at most, microseconds: an answer that comes within this time is
/// there before the client says its request again (T1 of RFC 3261 is 500 ms), with time to spare for the network. The
/// receive buffer of a slow worker is cut accordingly.
pub(crate) const LONGEST_WAIT_US: u64 = 200_000;

/// The shortest that a receive buffer is cut to, bytes as the kernel counts them: it still holds some hundred datagrams.
pub(crate) const LEAST_BUFFER_BYTES: u32 = 256 << 10;

/// What the kernel counts for a datagram beyond its payload, bytes, about: its descriptor, and room that is rounded up.
pub(crate) const DATAGRAM_OVERHEAD_BYTES: u64 = 768;

/// It has caught up when less than one part in so many is taken.
pub(crate) const CAUGHT_UP_PART: u32 = 16;

/// A worker that is behind spends one part in so many of its time on refusing: with what it has saved up
/// ([`REFUSING_AT_ONCE_US`]) who can be served gets more than nine tenths of it, in a storm of a few seconds as well as in a
/// long one.
pub(crate) const REFUSING_PART: u64 = 32;

/// The time for refusals that a worker has saved up at most, microseconds: a flood that is over within a second or so is
/// refused without counting.
pub(crate) const REFUSING_AT_ONCE_US: u64 = 100_000;

/// Datagrams in one send call. A batch that fills up is sent at once.
pub(crate) const SEND_BATCH: usize = 64;

/// First capacity of a send slot: most messages fit, larger ones grow it.
pub(crate) const SEND_SLOT_BYTES: usize = 2048;

/// How long a full kernel send buffer may hold a worker up before the datagrams are dropped, once per flush. A network
/// card drains the buffer in less; SIP retransmits the rest.
pub(crate) const SEND_STALL_MS: i32 = 5;

/// Receive errors in a row on one socket after which its worker goes back to waiting for a new event on it.
pub(crate) const RECEIVE_ERRORS_IN_A_ROW: u32 = 16;

/// Messages that one read of a connection can hold, about: they are handled before the next connection has its turn, so
/// that nothing but the beginning of a message is kept between two turns. Shorter ones than any client sends have to wait.
pub(crate) const MESSAGES_PER_READ: usize = 256;

/// Messages of connections after which datagrams have their turn: as many as in a batch of those.
pub(crate) const STREAM_MESSAGES_PER_TURN: usize = RECEIVE_BATCH;

/// Connections served before datagrams, commands and timers have their turn.
pub(crate) const CONNECTIONS_PER_TURN: usize = 32;

/// Connections accepted before everything else has its turn.
pub(crate) const ACCEPTS_PER_TURN: usize = 64;

/// Commands handled before everything else has its turn.
pub(crate) const COMMANDS_PER_TURN: usize = 256;

/// Bytes read from a connection at once: some thirty requests, so that one that has much to say leaves the others their
/// turn. What is behind them waits in the kernel, and its sender waits when that is full.
pub(crate) const READ_CHUNK_BYTES: usize = 16 << 10;

/// How long a connection that has something may wait for its turn before its worker counts as behind, milliseconds. More
/// than what a machine with other work lets a worker wait now and then; nobody says anything again over a connection, so
/// this is no hurry.
pub(crate) const STREAM_BEHIND_MS: u64 = 100;

/// It has caught up when the next one waits no longer than this.
pub(crate) const STREAM_CAUGHT_UP_MS: u64 = 20;

/// Full reads in a row from one connection after which the kernel is asked how much more waits there.
pub(crate) const FULL_READS_PER_LOOK: u8 = 8;

/// Connections that the kernel may hold ready for us between two turns.
pub(crate) const LISTEN_BACKLOG: i32 = 1024;

/// Pause before accepting again after the process ran out of descriptors.
pub(crate) const ACCEPT_RETRY_MS: u64 = 100;

/// How long a connection that we close waits for the peer to take the last bytes before it is cut.
pub(crate) const LINGER_MS: u64 = 2_000;

/// Byte buffers kept for reuse by one worker, and the largest that is kept: idle connections hold none.
pub(crate) const POOLED_BUFFERS: usize = 64;
/// See [`POOLED_BUFFERS`].
pub(crate) const POOLED_BUFFER_BYTES: usize = 64 << 10;

/// Holders of a lease on one connection that are told apart, sixteen bytes each: a trunk with a thousand users on one
/// connection has a lease for each; beyond that they share one that only grows.
pub(crate) const LEASES_PER_CONNECTION: usize = 1024;

/// Bytes of messages that may wait on their way from worker to worker, per receiving worker.
pub(crate) const POST_BYTES: usize = 16 << 20;

/// Items that may wait on their way from worker to worker, per receiving worker.
pub(crate) const POST_ITEMS: usize = 16_384;

/// Pause of the timer after a panic in it: a deadline that stays in the past must not spin.
pub(crate) const PANIC_PAUSE_MS: u64 = 100;

/// Longest sleep while shutting down: other workers' progress makes no event here.
pub(crate) const DRAIN_POLL_MS: u64 = 10;

/// How often a worker asks the kernel how many datagrams it had to drop.
pub(crate) const OVERFLOW_CHECK_MS: u64 = 1_000;

/// Time for the last reads and writes of a worker after everything is idle or the grace is over.
pub(crate) const LAST_FLUSH_MS: u64 = 500;
