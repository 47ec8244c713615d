//! Header field names: the known ones, their compact forms, and the lookup from bytes.

use crate::swar;

macro_rules! names {
    ($($variant:ident $full:literal $compact:literal,)*) => {
        /// A header field name that this crate knows. Both the full and the compact form (RFC 3261 §7.3.3) give it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)] // as the length beside it in a field, so that both are copied at once
        #[allow(missing_docs)] // each variant is the header field of its name
        pub enum Name {
            $($variant,)*
            /// A header field without a variant of its own.
            Other,
        }

        const KNOWN: &[(Name, &[u8], &[u8])] = &[
            $((Name::$variant, $full.as_bytes(), $compact.as_bytes()),)*
        ];

        impl Name {
            /// The full form as the RFCs write it; empty for [`Name::Other`].
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Name::$variant => $full,)*
                    Name::Other => "",
                }
            }
        }
    };
}

names! {
    Via "Via" "v",
    From "From" "f",
    To "To" "t",
    CallId "Call-ID" "i",
    CSeq "CSeq" "",
    Contact "Contact" "m",
    Route "Route" "",
    RecordRoute "Record-Route" "",
    Path "Path" "",
    ServiceRoute "Service-Route" "",
    Expires "Expires" "",
    MinExpires "Min-Expires" "",
    MaxForwards "Max-Forwards" "",
    Supported "Supported" "k",
    Require "Require" "",
    ProxyRequire "Proxy-Require" "",
    Unsupported "Unsupported" "",
    Allow "Allow" "",
    Accept "Accept" "",
    AcceptEncoding "Accept-Encoding" "",
    AcceptLanguage "Accept-Language" "",
    ContentLength "Content-Length" "l",
    ContentType "Content-Type" "c",
    ContentEncoding "Content-Encoding" "e",
    ContentDisposition "Content-Disposition" "",
    UserAgent "User-Agent" "",
    Server "Server" "",
    Authorization "Authorization" "",
    ProxyAuthorization "Proxy-Authorization" "",
    WwwAuthenticate "WWW-Authenticate" "",
    ProxyAuthenticate "Proxy-Authenticate" "",
    FeatureCaps "Feature-Caps" "",
    Date "Date" "",
    Event "Event" "o",
    AllowEvents "Allow-Events" "u",
    SubscriptionState "Subscription-State" "",
    Subject "Subject" "s",
    ReferTo "Refer-To" "r",
    ReferredBy "Referred-By" "b",
    RetryAfter "Retry-After" "",
    PAssertedIdentity "P-Asserted-Identity" "",
    PPreferredIdentity "P-Preferred-Identity" "",
    Privacy "Privacy" "",
    Diversion "Diversion" "",
    HistoryInfo "History-Info" "",
    Reason "Reason" "",
    SessionExpires "Session-Expires" "x",
    MinSe "Min-SE" "",
    RSeq "RSeq" "",
    RAck "RAck" "",
    SipEtag "SIP-ETag" "",
    SipIfMatch "SIP-If-Match" "",
    AcceptContact "Accept-Contact" "a",
    RejectContact "Reject-Contact" "j",
    RequestDisposition "Request-Disposition" "d",
    Identity "Identity" "y",
    Warning "Warning" "",
    Timestamp "Timestamp" "",
    Organization "Organization" "",
    Priority "Priority" "",
}

/// A spelling of a known name, in lower case, padded with zero bytes. Names that are longer than three words are
/// not looked up; none is.
#[derive(Clone, Copy)]
struct Spelling {
    name: Name,
    len: usize,
    words: [u64; 3],
    /// 0x20 at every letter: a byte of either case, with this bit set, is the lower case letter, and no other is.
    case: [u64; 3],
}

/// The table is keyed by a hash that is free of collisions over the known spellings, so a lookup is one hash and
/// one comparison. `build_table` refuses to compile when a new name collides; then look for another factor.
const FACTOR: u64 = 0x1eec_d98d_ff05_caf5;
const LOWER: u64 = 0x2020_2020_2020_2020;
const SLOTS: usize = 256;
const EMPTY: Spelling = Spelling { name: Name::Other, len: usize::MAX, words: [0; 3], case: [0; 3] };
static TABLE: [Spelling; SLOTS] = build_table();

/// The slot of a name, given its first word with [`LOWER`] in every byte of the name.
#[inline]
const fn slot(first_word: u64, len: usize) -> usize {
    ((first_word ^ len as u64).wrapping_mul(FACTOR) >> 56) as usize
}

/// For a name of every length up to three words, the bits of each word that belong to it.
pub(crate) static KEEP: [[u64; 3]; 25] = keep_table();

#[allow(clippy::indexing_slicing)] // evaluated by the compiler only
const fn keep_table() -> [[u64; 3]; 25] {
    let mut table = [[0; 3]; 25];
    let mut len = 0;
    while len < table.len() {
        let mut at = 0;
        while at < len {
            table[len][at / 8] |= 0xff << (at % 8 * 8);
            at += 1;
        }
        len += 1;
    }
    table
}

#[allow(clippy::indexing_slicing)] // evaluated by the compiler only
const fn spelling(name: Name, bytes: &[u8]) -> Spelling {
    let mut spelling = Spelling { name, len: bytes.len(), words: [0; 3], case: [0; 3] };
    let mut at = 0;
    while at < bytes.len() {
        let shift = at % 8 * 8;
        spelling.words[at / 8] |= (bytes[at].to_ascii_lowercase() as u64) << shift;
        if bytes[at].is_ascii_alphabetic() {
            spelling.case[at / 8] |= 0x20 << shift;
        }
        at += 1;
    }
    spelling
}

#[allow(clippy::indexing_slicing)] // evaluated by the compiler only
const fn build_table() -> [Spelling; SLOTS] {
    let mut table = [EMPTY; SLOTS];
    let mut index = 0;
    while index < KNOWN.len() {
        let (name, full, compact) = KNOWN[index];
        let spellings = [spelling(name, full), spelling(name, compact)];
        let mut form = 0;
        while form < spellings.len() {
            let spelling = spellings[form];
            if spelling.len > 0 {
                let slot = slot(spelling.words[0], spelling.len);
                assert!(table[slot].len == usize::MAX, "two header names share a slot");
                table[slot] = spelling;
            }
            form += 1;
        }
        index += 1;
    }
    table
}

impl Name {
    /// Number of names, [`Name::Other`] included.
    pub const COUNT: usize = KNOWN.len() + 1;

    /// The known name that the bytes are, without regard to case, in full or compact form; [`Name::Other`] if none.
    #[inline]
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Name {
        swar::padded_words(bytes).map_or(Name::Other, |words| Name::from_words(&words, bytes.len()))
    }

    /// As [`from_bytes`](Name::from_bytes) for the first `len` bytes, up to 24, of three words.
    #[inline]
    pub(crate) fn from_words(&[first, second, third]: &[u64; 3], len: usize) -> Name {
        let Some(&[keep_first, keep_second, keep_third]) = KEEP.get(len) else { return Name::Other };
        let first = first & keep_first;
        let Some(known) = TABLE.get(slot(first | LOWER & keep_first, len)) else { return Name::Other };
        let [first_known, second_known, third_known] = known.words;
        let [first_case, second_case, third_case] = known.case;
        let same = known.len == len
            && first | first_case == first_known
            && (len <= 8 || second & keep_second | second_case == second_known)
            && (len <= 16 || third & keep_third | third_case == third_known);
        if same { known.name } else { Name::Other }
    }

    /// Position of the name in tables of [`Name::COUNT`] entries.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

// The bit sets over names are 64 bit wide.
const _: () = assert!(Name::COUNT <= 64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case_and_in_compact_form() {
        for &(name, full, compact) in KNOWN {
            assert_eq!(Name::from_bytes(full), name);
            assert_eq!(Name::from_bytes(&full.to_ascii_uppercase()), name);
            assert_eq!(Name::from_bytes(&full.to_ascii_lowercase()), name);
            assert_eq!(name.as_str().as_bytes(), full);
            if !compact.is_empty() {
                assert_eq!(Name::from_bytes(compact), name);
                assert_eq!(Name::from_bytes(&compact.to_ascii_uppercase()), name);
            }
        }
    }

    #[test]
    fn other_names_are_other() {
        for name in ["", "X-Custom", "Vja", "C%6Fntact", "q", "call\rid", "Contacts", "NewFangledHeader"] {
            assert_eq!(Name::from_bytes(name.as_bytes()), Name::Other, "{name:?}");
        }
    }
}
