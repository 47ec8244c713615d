//! What a binding consists of: the numbers, and the byte strings it borrows from its record or from a request.

use crate::limits::{
    CLOCK_SLACK_S, MAX_ATTR_LEN, MAX_CONTACT_LEN, MAX_KEYS_LEN, MAX_PATH_LEN, MAX_SHORT_LEN,
};
use crate::names::NameId;

/// `expires_s` of a binding that never expires.
pub const PERMANENT: u32 = u32::MAX;

/// `q` of a binding for which none was given; it sorts behind every other.
pub const Q_NONE: u16 = u16::MAX;

/// `methods` of a contact that named none: all of them.
pub const ALL_METHODS: u32 = u32::MAX;

/// The bit of `cflags` that marks a contact which is woken by a push before requests reach it (registrar 1.1.3).
pub const PUSH_FLAG: u32 = 4;

/// The Call-ID of a binding that an operator made and no REGISTER.
pub const MADE_BY_HAND: &[u8] = b"dfjrewr12386fd6-343@Seawall.mi";

/// The fixed-size part of a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// Identifier, unique in its domain (behaviour §6); 0 before it is inserted.
    pub contact_id: u64,
    /// Unix second at which the binding ends (it no longer counts in that second), or [`PERMANENT`].
    pub expires_s: u32,
    /// Unix second of the last accepted REGISTER.
    pub last_modified_s: u32,
    /// CSeq number of the last accepted REGISTER.
    pub cseq: u32,
    /// Branch flags (`bflags`).
    pub flags: u32,
    /// Internal flags of the server (`Cflags`).
    pub cflags: u32,
    /// Bit mask of the methods that the contact supports, or [`ALL_METHODS`].
    pub methods: u32,
    /// RFC 5626 `reg-id`; 0 when there is none.
    pub reg_id: u32,
    /// Latency of the last answered ping in microseconds; 0 when there is none.
    pub latency_us: u32,
    /// Preference in thousandths (0–1000), or [`Q_NONE`].
    pub q: u16,
    /// Pings in a row that were sent and not answered in time; 255 for more.
    pub unanswered: u8,
    /// The socket that received the REGISTER, as an interned name like `udp:10.0.0.1:5060`.
    pub socket: NameId,
}

impl Default for Numbers {
    fn default() -> Numbers {
        Numbers {
            contact_id: 0,
            expires_s: PERMANENT,
            last_modified_s: 0,
            cseq: 0,
            flags: 0,
            cflags: 0,
            methods: ALL_METHODS,
            reg_id: 0,
            latency_us: 0,
            q: Q_NONE,
            unanswered: 0,
            socket: NameId::NONE,
        }
    }
}

impl Numbers {
    /// When it was refreshed, to compare it with others: more is later. What was refreshed in the future was so before the
    /// clock was set back, and thus before everything since.
    #[inline]
    #[must_use]
    pub fn freshness(&self, now_s: u64) -> u64 {
        let modified_s = u64::from(self.last_modified_s);
        if self.is_of_the_future(now_s) { modified_s } else { modified_s | 1 << 32 }
    }

    /// Whether the clock was set back since it was refreshed.
    #[inline]
    #[must_use]
    pub fn is_of_the_future(&self, now_s: u64) -> bool {
        u64::from(self.last_modified_s) > now_s.saturating_add(CLOCK_SLACK_S)
    }
}

/// One contact of an address of record. Empty byte strings mean "not there".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Binding<'a> {
    /// Everything of a fixed size.
    pub numbers: Numbers,
    /// The Contact URI as the client wrote it, without angle brackets.
    pub contact: &'a [u8],
    /// Call-ID of the last accepted REGISTER.
    pub callid: &'a [u8],
    /// Where requests really have to go (a SIP URI), when that is not the contact.
    pub received: &'a [u8],
    /// The Path values, joined with `,`.
    pub path: &'a [u8],
    /// The value of `+sip.instance`, with its angle brackets and without quotes.
    pub instance: &'a [u8],
    /// The `attr` that the script attached.
    pub attr: &'a [u8],
    /// User-Agent of the last accepted REGISTER.
    pub user_agent: &'a [u8],
    /// The sharing tag that owns the contact (`ownership_tag` of registrar 1.4.1), an interned name.
    pub ownership_tag: NameId,
    /// Its key/value store as text. It is stored with a new binding; a refresh leaves it as it is.
    pub keys: &'a [u8],
    /// The key/value store of its address of record as text, told with each binding. What is stored with one does not
    /// change it; [`Entry::set_keys`](crate::Entry::set_keys) does.
    pub aor_keys: &'a [u8],
}

impl Binding<'_> {
    /// Whether the binding counts at `now_s`: it does until, and not in, the second in which it expires.
    #[inline]
    pub fn is_valid(&self, now_s: u64) -> bool {
        u64::from(self.numbers.expires_s) > now_s || self.numbers.expires_s == PERMANENT
    }

    /// Whether it is woken by a push before requests reach it ([`PUSH_FLAG`]).
    #[inline]
    pub fn is_pushed(&self) -> bool {
        self.numbers.cflags & PUSH_FLAG != 0
    }

    /// Whether it is a flow: a binding of an instance and a `reg-id`, whatever its URI is (RFC 5626 §6).
    #[inline]
    pub fn is_flow(&self) -> bool {
        self.numbers.reg_id != 0 && !self.instance.is_empty()
    }

    /// Whether each part fits into a record.
    #[inline]
    pub fn check(&self) -> Result<(), TooLong> {
        let short = [self.callid, self.received, self.instance, self.user_agent];
        let fit = short.iter().all(|part| part.len() <= MAX_SHORT_LEN)
            && self.contact.len() <= MAX_CONTACT_LEN
            && self.path.len() <= MAX_PATH_LEN
            && self.attr.len() <= MAX_ATTR_LEN
            && self.keys.len() <= MAX_KEYS_LEN;
        if fit { Ok(()) } else { self.what_is_too_long() }
    }

    #[cold]
    fn what_is_too_long(&self) -> Result<(), TooLong> {
        let limits = [
            (self.contact.len(), MAX_CONTACT_LEN, TooLong::Contact),
            (self.callid.len(), MAX_SHORT_LEN, TooLong::CallId),
            (self.received.len(), MAX_SHORT_LEN, TooLong::Received),
            (self.path.len(), MAX_PATH_LEN, TooLong::Path),
            (self.instance.len(), MAX_SHORT_LEN, TooLong::Instance),
            (self.attr.len(), MAX_ATTR_LEN, TooLong::Attr),
            (self.user_agent.len(), MAX_SHORT_LEN, TooLong::UserAgent),
            (self.keys.len(), MAX_KEYS_LEN, TooLong::Keys),
        ];
        limits.iter().find(|(len, most, _)| len > most).map_or(Ok(()), |(_, _, part)| Err(*part))
    }
}

/// The part of a binding that is longer than a record can hold ([`crate::limits`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLong {
    /// The Contact URI.
    #[error("contact too long")]
    Contact,
    /// The Call-ID.
    #[error("Call-ID too long")]
    CallId,
    /// The received URI.
    #[error("received too long")]
    Received,
    /// The joined Path.
    #[error("path too long")]
    Path,
    /// `+sip.instance`.
    #[error("instance too long")]
    Instance,
    /// `attr`.
    #[error("attr too long")]
    Attr,
    /// The User-Agent.
    #[error("user agent too long")]
    UserAgent,
    /// A key/value store.
    #[error("key/value store too long")]
    Keys,
}
