//! Every limit of the mid-registrar in one place, each with its reason.

/// Shards of [`Upstream`](super::Upstream); a power of two. At a million registrations a shard has 4000, and each of
/// its locks is held for one request.
pub const SHARDS: usize = 256;

/// Main registrars that are kept in shared form. A server has a handful; more only cost their own memory.
pub const MAINS: usize = 64;

/// Longest margin in seconds between the last moment for which a refresh is absorbed and the deadline of the main
/// registrar: whole seconds are compared, answers take their time, and a lost REGISTER is sent again.
pub const MARGIN_S: u32 = 10;

/// The margin is this part of what was granted, where that is less than [`MARGIN_S`].
pub const MARGIN_PART: u32 = 32;

/// A refresh is forwarded early by a random time of up to this part of the time for which it could be absorbed.
/// Forwards that fell together once (a mass restart of phones) drift apart with it, at the price of a sixteenth more
/// of them on average.
pub const EARLY_PART: u32 = 8;

/// A registration that is new is forwarded early by a random time of up to all of the time but one local interval, and of
/// this part at least: new ones come in bursts, and a crowd that came together has spread over the whole time with its
/// first renewal. It costs half a forward more for each that is new.
pub const EARLY_PART_NEW: u32 = 2;

/// How long in seconds a challenged client is known as such: a client answers a challenge at once, a person who has to
/// type a password first does so in a minute.
pub const CHALLENGED_S: u32 = 64;

/// Challenged clients of one shard. A forgotten one is served by the other rules.
pub const CHALLENGED_PER_SHARD: usize = 64;

/// The longest pause in seconds between two attempts of a request of our own.
pub const LONGEST_PAUSE_S: u32 = 64;

/// Own requests that one shard hands out in one call: an outage leaves many, and they must not come out at once.
pub const ERRANDS_PER_CALL: usize = 32;

/// How long in seconds copies of a request may live after the last one was sent: 64*T1, for which a request is sent again
/// at most, and a main registrar with transactions remembers it (RFC 3261 §17.1.2.2 and §17.2.2).
pub const ECHO_S: u32 = 32;

/// An answer that took so many milliseconds is one to a request that was sent again meanwhile (T1).
pub const REPEATED_MS: u64 = 500;

/// The longest silence of a main registrar in seconds over which copies are remembered. Whoever is silent for longer has
/// lost what was in its socket.
pub const ECHO_LONGEST_S: u32 = 3600;

/// De-REGISTERs of one shard of which copies may live. They are there after a stall only; one that is forgotten costs a
/// contact that is missed until its next forwarded refresh, if a copy of it lives at all.
pub const ECHOES_PER_SHARD: usize = 256;

/// Attempts of a renewal that no REGISTER of a client asked for. The client's own refresh comes anyway.
pub const RENEWAL_ATTEMPTS: u8 = 6;

/// Longest header lines of a 2xx that are kept for the answers given here (Service-Route, P-Associated-URI). A registration
/// with longer ones is forwarded each time, because an answer without them would say something else.
pub const MAX_PASSED_LEN: usize = 2048;

/// Longest Contact value of a registration in bytes, without what a script adds. It holds what a datagram does.
pub const MAX_CONTACT_VALUE_LEN: usize = 8192;

/// Attempts to take away a contact of which nobody knows whether the main registrar holds it, because the answer to its
/// first REGISTER was lost.
pub const GUESS_ATTEMPTS: u8 = 6;

/// Such contacts at a time. Whoever makes them has an outage or an attack; the main registrar forgets the others by
/// itself.
pub const GUESSES: usize = 20_000;
