//! What callers and phones can make grow, and how long things may take.

use std::time::Duration;

/// Pushes that wait for their turn or for an answer. Each holds about a kilobyte; more than these would wait longer than
/// any caller does.
pub const WAITING: usize = 100_000;

/// The longest text of a caller (name, number, URI) that goes into a payload, in characters: APNs takes 4096 bytes in
/// all, and a caller chooses these texts.
pub const FIELD_CHARACTERS: usize = 128;

/// The longest payload: what APNs and Web Push take (RFC 8291 section 4: one record of 4096 bytes, less its header,
/// padding delimiter and tag).
pub const PAYLOAD_BYTES: usize = 3993;

/// The longest token or push resource of a phone.
pub const PRID_BYTES: usize = 2048;

/// How long one attempt may take. APNs and FCM answer within a second; whoever takes longer is asked again.
pub const ATTEMPT: Duration = Duration::from_secs(5);

/// The first pause between two attempts in milliseconds; it doubles with each, up to `BACK_OFF_MOST_MS`.
pub const BACK_OFF_MS: u64 = 200;

/// The longest pause between two attempts, in milliseconds.
pub const BACK_OFF_MOST_MS: u64 = 5_000;

/// How often a push is tried at most, whatever its deadline.
pub const ATTEMPTS: u32 = 8;

/// Failures in a row after which a service is left alone for a while.
pub const BREAKER_FAILURES: u32 = 10;

/// How long a service is left alone then, in milliseconds, before one push tries it.
pub const BREAKER_MS: u64 = 2_000;

/// The longest that an answer of a push service may be: they say a few words.
pub const ANSWER_BYTES: usize = 64 << 10;

/// How long a token that we sign for APNs is used, in seconds. APNs refuses those older than an hour, and refuses new
/// ones more often than every 20 minutes.
pub const APNS_TOKEN_S: u64 = 50 * 60;

/// How long a token that we sign for a Web Push service is valid, in seconds (RFC 8292 section 2: a day at most).
pub const VAPID_TOKEN_S: u64 = 12 * 3600;

/// Web Push services whose tokens are kept; they are few, and their names pass the list of hosts.
pub const VAPID_TOKENS: usize = 64;

/// How long before its end an access token of FCM is replaced, in seconds.
pub const FCM_TOKEN_MARGIN_S: u64 = 300;

/// Requests that one service is asked at a time. Over HTTP/1.1 each has a connection of its own, and a crowd that is called
/// at once must not take every descriptor of the process; a gateway that takes a tenth of a second still gets five
/// thousand pushes in one.
pub const REQUESTS_AT_ONCE: usize = 512;
