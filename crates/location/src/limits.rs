//! Every limit of the location table in one place, each with its reason.

/// Longest address of record in bytes, as a key of the table. The registrar's own `max_aor_len` (256 unless set)
/// is what a user meets; this one only keeps the packed length fields honest.
pub const MAX_AOR_LEN: usize = 4096;

/// Longest Contact URI in bytes. The registrar refuses earlier (512); a table that is loaded or replicated may hold
/// longer ones, but never one which would not fit into a datagram with the rest of its message.
pub const MAX_CONTACT_LEN: usize = 8192;

/// Longest joined Path in bytes: the documented 2048 with room for what other servers have stored.
pub const MAX_PATH_LEN: usize = 8192;

/// Longest `attr` in bytes.
pub const MAX_ATTR_LEN: usize = 4096;

/// Longest Call-ID, received URI, `+sip.instance` and User-Agent in bytes: their lengths are packed into one byte
/// each, and 255 is the documented limit of the first two.
pub const MAX_SHORT_LEN: usize = 255;

/// Longest key/value store of a contact or an address of record as text: what a TEXT column of MySQL holds. What scripts put
/// there has a smaller bound of its own.
pub const MAX_KEYS_LEN: usize = 65_535;

/// Most bindings under one address of record. A reply lists them all and must fit into one datagram, and matching
/// is linear in them, so an address without `max_contacts` must not grow without end.
pub const MAX_BINDINGS_PER_AOR: usize = 1024;

/// Most different interned names (User-Agents and sockets). Real networks have a few thousand User-Agents; a client
/// which invents new ones fills at most this many places, and later new ones are stored inside their bindings.
pub const MAX_NAMES: usize = 16_384;

/// Most domains (tables). They come from the routing script, so this only stops a script gone wrong.
pub const MAX_DOMAINS: usize = 64;

/// Shards of a domain unless the caller sets another number. At a million bindings a shard holds 2000: copying it
/// for a dump or growing its table holds its lock for a fraction of a millisecond.
pub const DEFAULT_SHARDS: usize = 512;

/// Most shards of a domain.
pub const MAX_SHARDS: usize = 1 << 16;

/// Stale wheel entries that a shard tolerates beyond one for each record before it rebuilds its wheel, so that
/// registering and unregistering in a circle cannot grow the wheel without end.
pub const STALE_WHEEL_ENTRIES: usize = 64;

/// Empty seconds that one call of `expire` walks at most, for a clock that jumped far ahead.
pub const MAX_STEPS_PER_EXPIRE: usize = 8192;

/// By how many seconds the clocks of those who write bindings may differ: workers look at the time once for several messages,
/// and servers that share a table have clocks of their own. What is further in the future is of a clock that was set back since.
pub const CLOCK_SLACK_S: u64 = 10;
