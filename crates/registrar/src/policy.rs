//! What the module parameters of `registrar` and `usrloc` say about REGISTER requests.

use std::sync::Arc;

use seawall_location::{Matching, Order};

use crate::gruu::Gruu;
use crate::limits;
use crate::push::Push;

/// The parameters, each with its documented default. Times are seconds.
#[derive(Clone, Debug)]
pub struct Policy {
    /// `default_expires` (registrar 1.3.1).
    pub default_expires_s: u32,
    /// `min_expires` (registrar 1.3.2); 0 sets no limit.
    pub min_expires_s: u32,
    /// `max_expires` (registrar 1.3.3); 0 sets no limit.
    pub max_expires_s: u32,
    /// `min_expires_mode` (behaviour §1): what happens to an interval below `min_expires`.
    pub min_expires_mode: MinExpiresMode,
    /// `default_q` in thousandths (registrar 1.3.4); with 0 a contact without q is stored without q.
    pub default_q: u16,
    /// `expires_max_deviation` (registrar 1.3.10).
    pub expires_max_deviation_s: u32,
    /// `max_contacts` (registrar 1.3.11); 0 sets no limit but the fixed one.
    pub max_contacts: u32,
    /// `retry_after` of 5xx replies (registrar 1.3.16); 0 adds none.
    pub retry_after_s: u32,
    /// `realm_prefix` (registrar 1.3.6); empty strips nothing.
    pub realm_prefix: Box<[u8]>,
    /// `case_sensitive` (registrar 1.3.7): whether user names differ by case.
    pub case_sensitive: bool,
    /// `use_domain` of usrloc (behaviour §2): whether the host is part of an address of record.
    pub use_domain: bool,
    /// `received_param` (registrar 1.3.9): the parameter of replies that tells the received URI.
    pub received_param: Box<[u8]>,
    /// `trust_contact_received` (behaviour §2): whether a client may name its own received URI.
    pub trust_contact_received: bool,
    /// `matching_mode` of usrloc, unless the `matching-mode` flag says otherwise.
    pub matching: MatchingMode,
    /// `cseq_delay` of usrloc: for how long an equal CSeq is a retransmission.
    pub cseq_delay_s: u32,
    /// The order of contacts: `desc_time_order` of usrloc.
    pub order: Order,
    /// The branch flag that `path-received` sets (`nat_bflag` of usrloc) as a bit mask; 0 sets none.
    pub nat_flag: u32,
    /// `sock_hdr_name` (registrar 1.3.17), used with the `socket-header` flag; empty for none.
    pub socket_header: Box<[u8]>,
    /// `max_username_len` (registrar 1.3.12).
    pub max_username_len: usize,
    /// `max_domain_len` (registrar 1.3.13).
    pub max_domain_len: usize,
    /// `max_aor_len` (registrar 1.3.14).
    pub max_aor_len: usize,
    /// `max_reply_percent` (behaviour §9): how long a 200 over UDP may be without authentication, in percent of the request;
    /// 0 sets no limit.
    pub max_reply_percent: u32,
    /// `max_contact_len` (registrar 1.3.15; the default is ours, see [`limits::MAX_CONTACT_LEN`]).
    pub max_contact_len: usize,
    /// `outbound_mode` (behaviour §2): whether flows are served as RFC 5626 §6 says, 439 included.
    pub outbound: bool,
    /// The keys of GRUUs (registrar 1.1.2); `None` with `disable_gruu` (1.3.21), and then `gr` means nothing.
    pub gruu: Option<Arc<Gruu>>,
    /// The parameters of push notifications (registrar 1.1.3); `None` without `pn_enable` (1.3.22), and then `pn-` parameters
    /// mean nothing.
    pub push: Option<Arc<Push>>,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            default_expires_s: 3600,
            min_expires_s: 60,
            max_expires_s: 0,
            min_expires_mode: MinExpiresMode::Raise,
            default_q: 0,
            expires_max_deviation_s: 0,
            max_contacts: 0,
            retry_after_s: 0,
            realm_prefix: Box::default(),
            case_sensitive: true,
            use_domain: true,
            received_param: (*b"received").into(),
            trust_contact_received: false,
            matching: MatchingMode::Uri,
            cseq_delay_s: 20,
            order: Order::Preference,
            nat_flag: 0,
            socket_header: Box::default(),
            max_username_len: limits::MAX_USERNAME_LEN,
            max_domain_len: limits::MAX_DOMAIN_LEN,
            max_aor_len: limits::MAX_AOR_LEN,
            max_contact_len: limits::MAX_CONTACT_LEN,
            outbound: true,
            max_reply_percent: limits::MAX_REPLY_PERCENT,
            gruu: None,
            push: None,
        }
    }
}

/// What happens to an interval below `min_expires`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinExpiresMode {
    /// It is raised to the minimum (`min_expires_mode=0`, as documented).
    #[default]
    Raise,
    /// The request is refused with 423 and Min-Expires (`min_expires_mode=1`, RFC 3261 §10.3 step 7).
    Refuse,
}

/// How contacts are matched with bindings: [`Matching`], owned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum MatchingMode {
    /// By Contact URI.
    #[default]
    Uri,
    /// By Contact URI and Call-ID.
    UriAndCallId,
    /// By the value of one URI parameter.
    Param(Box<[u8]>),
}

impl MatchingMode {
    /// The mode, borrowed.
    #[inline]
    pub fn matching(&self) -> Matching<'_> {
        match self {
            MatchingMode::Uri => Matching::Uri,
            MatchingMode::UriAndCallId => Matching::UriAndCallId,
            MatchingMode::Param(name) => Matching::Param(name),
        }
    }
}
