//! Every limit of this crate, each with its reason. Reaching one is an answer or a counted drop, never a panic.

/// Largest message, in bytes: no UDP datagram is larger, and a stream peer gains nothing from being allowed more.
pub const MAX_MESSAGE_BYTES: usize = 65_535;

/// Largest start line and header section together, in bytes. The longest of RFC 4475 is 3.5 kB and the largest
/// that are seen in operation (STIR identities, long Record-Route sets) stay below 16 kB.
pub const MAX_HEAD_BYTES: usize = 32_768;

/// Most header fields in a message. Calls over many hops carry about 60; the scanner's memory per message, and
/// every walk over all headers, is bounded by this.
pub const MAX_HEADERS: usize = 256;

/// Most parameters of a URI, and most headers of one, that a comparison looks at. Comparing sets of parameters
/// costs the product of their sizes; beyond this only identical bytes are taken as equal.
pub const MAX_COMPARED_PARAMS: usize = 64;

/// Largest CSeq number (RFC 3261 §8.1.1.5: less than 2^31).
pub const MAX_CSEQ: u32 = (1 << 31) - 1;

/// Largest Max-Forwards (RFC 3261 §20.22).
pub const MAX_MAX_FORWARDS: u32 = 255;

/// Longest request method, in bytes: the longest standard one has 9, RFC 4475's oddest has 46, and it is echoed
/// in log lines, CSeq and Allow.
pub const MAX_METHOD_BYTES: usize = 64;
