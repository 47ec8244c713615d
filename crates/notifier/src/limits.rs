//! Every bound of the subscriptions, with its reason.

/// Most bytes that one dialog may keep: tags, Call-ID, addresses and the route set. Real ones take some hundred; a
/// SUBSCRIBE that fills a datagram with Record-Route is refused.
pub const DIALOG_BYTES: usize = 4096;

/// Changes that wait for one subscription. An address of record has a handful of bindings as a rule; when more have
/// changed than this, the next document is a full one, which is no larger than they.
pub const PENDING_CHANGES: usize = 64;

/// Cells of the filter over watched addresses of record: 16 KiB. With a hundred thousand of them most registrations
/// pass a cell that is taken and one lock more, which they can afford.
pub const FILTER_CELLS: usize = 4096;

/// Longest body of a NOTIFY in bytes. It has to fit into a datagram with its headers (RFC 3261 section 18.1.1 would
/// have it go over TCP from 1300 bytes on, where the subscriber can take it); what does not fit is left out, the
/// bindings of the highest position first.
pub const BODY_BYTES: usize = 60_000;

/// Longest `id` parameter of Event in bytes.
pub const EVENT_ID_BYTES: usize = 128;
