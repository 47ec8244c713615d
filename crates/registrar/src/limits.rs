//! Every limit of the registrar in one place, each with its reason. The documented parameters are defaults here;
//! the others are fixed.

/// `max_username_len` (registrar 1.3.12).
pub const MAX_USERNAME_LEN: usize = 64;

/// `max_domain_len` (registrar 1.3.13).
pub const MAX_DOMAIN_LEN: usize = 64;

/// `max_aor_len` (registrar 1.3.14).
pub const MAX_AOR_LEN: usize = 256;

/// `max_contact_len`. The document says 255 (registrar 1.3.15), which locks out push phones: their URIs run to 300.
pub const MAX_CONTACT_LEN: usize = 512;

/// `max_reply_percent`: what a forged request may make of itself at another's cost (behaviour §9). A reply to a phone with
/// one contact stays below.
pub const MAX_REPLY_PERCENT: u32 = 150;

/// Longest Call-ID: what the `location` tables of other servers hold.
pub const MAX_CALLID_LEN: usize = 255;

/// Longest received URI, for the same reason.
pub const MAX_RECEIVED_LEN: usize = 255;

/// Longest `+sip.instance`, for the same reason.
pub const MAX_INSTANCE_LEN: usize = 255;

/// Longest joined Path, for the same reason.
pub const MAX_PATH_LEN: usize = 2048;

/// A longer User-Agent is stored as `n/a`, as it has always been.
pub const MAX_USER_AGENT_LEN: usize = 254;

/// Longest `attr`: what the script attaches has to fit into a record.
pub const MAX_ATTR_LEN: usize = seawall_location::limits::MAX_ATTR_LEN;

/// Most contacts in one request. Each is matched against each binding, so a datagram full of contacts would buy
/// work that grows with the square of its size. Real clients send one or two.
pub const MAX_CONTACTS_PER_REQUEST: usize = 64;

/// Most bindings of one address of record, where `max_contacts` sets no limit.
pub const MAX_BINDINGS_PER_AOR: usize = seawall_location::limits::MAX_BINDINGS_PER_AOR;

/// The last second that a binding with an end can have; the one after it means "permanent".
pub const LATEST_EXPIRY_S: u32 = u32::MAX - 1;

/// What the `expires` of a permanent binding says in a reply: many clients read it into a signed 32-bit number.
pub const PERMANENT_EXPIRES_S: u32 = i32::MAX as u32;

/// Longest text of a temporary GRUU that is looked at: what the longest address of record leads to, in the old form
/// too, which holds instance and Call-ID as they are. Decoding and the check of its tag cost time in its length.
pub const MAX_TEMPORARY_GRUU_LEN: usize = 1088;

/// How long, in seconds, somebody new is told to stay away when the server cannot keep up and `retry_after` says nothing:
/// longer than a phone's retransmissions take, shorter than a person's patience.
pub const OVERLOAD_RETRY_AFTER_S: u32 = 10;

/// Over how many seconds more those who were refused at the same time are spread.
pub const OVERLOAD_SPREAD_S: u32 = 20;

/// Retry-After of a REGISTER that the store of bindings did not take, in seconds, where `retry_after` says nothing: a
/// disk or a database server that fails is seldom back sooner.
pub const STORE_RETRY_AFTER_S: u32 = 5;

/// Most names in `pn_ct_match_params`: each is compared with each parameter of a contact, and is a bit of a word. Three are
/// usual.
pub const MAX_MATCH_PARAMS: usize = 16;

/// Lists of methods that one worker remembers: as many as it serves models of phones, or most of them.
pub(crate) const LISTS_REMEMBERED: usize = 8;

/// The longest list of methods that is remembered, in bytes: all methods with blanks between them.
pub(crate) const LONGEST_LIST_REMEMBERED: usize = 192;
