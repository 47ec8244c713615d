//! Every limit of the management plane, each with its reason.

use std::time::Duration;

/// Largest HTTP request body in bytes. The largest honest request is a batch of a few thousand commands.
pub const REQUEST_BYTES: usize = 1024 * 1024;

/// Largest HTTP request head in bytes: hyper needs 8 KiB at least, a token and a few headers fit well.
pub const REQUEST_HEAD_BYTES: usize = 16 * 1024;

/// Requests in one JSON-RPC batch: more is a loop gone wrong, and each may answer at length.
pub const BATCH_REQUESTS: usize = 1000;

/// HTTP connections open at once. A console, a scraper and some scripts need far fewer; each costs about 20 KiB.
pub const HTTP_CONNECTIONS: usize = 256;

/// Commands that run at once over all transports; each occupies a thread while it runs.
pub const COMMANDS_AT_ONCE: usize = 16;

/// Replies under way at once on the FIFO: each may wait for a reader that never comes.
pub const FIFO_REPLIES: usize = 32;

/// A request head must be complete within this time, which also closes idle connections when the script sets none.
pub const HTTP_IDLE: Duration = Duration::from_secs(30);

/// A request body must be complete within this time.
pub const HTTP_BODY: Duration = Duration::from_secs(10);

/// A client that takes no byte of a reply for this long is gone.
pub const REPLY_STALLED: Duration = Duration::from_secs(30);

/// How long a FIFO client has to open its reply FIFO, and then to take each piece of the reply.
pub const FIFO_REPLY: Duration = Duration::from_secs(5);

/// An incomplete FIFO request is dropped when its rest has not come by then, so that it cannot eat the next one.
pub const FIFO_PARTIAL: Duration = Duration::from_secs(2);

/// How often the FIFO is looked after, and made again when somebody deleted it (mi_fifo, Overview).
pub const FIFO_CHECK: Duration = Duration::from_secs(30);

/// Largest FIFO request in bytes.
pub const FIFO_REQUEST_BYTES: usize = 64 * 1024;

/// Largest datagram, request or reply, in bytes (mi_datagram, FAQ).
pub const DATAGRAM_BYTES: usize = 65_457;

/// A streamed reply is handed on in pieces of about this size: big enough that a piece costs little, small
/// enough that a dump holds only a few of them.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// Pieces of a reply made ahead of the client.
pub const CHUNKS_AHEAD: usize = 2;

/// Longest table, address-of-record or contact that a command accepts, in bytes. The server's own limits are
/// lower; this one keeps nonsense away from it.
pub const ARGUMENT_BYTES: usize = 4096;

/// Subscriptions in one page of `reg_event_list`: some hundred kilobytes of text, and a lock that is held for less than
/// a millisecond.
pub const SUBSCRIPTIONS_PER_PAGE: usize = 1000;

/// Values of an event that a command raises: those of the server's own events are fifteen.
pub const EVENT_VALUES: usize = 64;
