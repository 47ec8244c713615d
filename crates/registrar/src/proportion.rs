//! How long a reply may be to somebody who has not proven who he is (behaviour §9): over UDP the source of a request can be
//! forged, and a list of many contacts would hit the one whose address was used.
//!
//! A 200 that would be longer lists the contacts of the request only: those are hardly longer than the request itself. A
//! request that has none, and so asks for nothing but the list, is refused.

use seawall_sip::{Message, Name};

/// What a reply has besides copies of the request's header fields and what its maker adds: status line (17), Content-Length
/// (21), the tag of To (21), and `received` and `rport` in the topmost Via (36 for an IPv4 address).
const FIXED_LEN: usize = 96;

/// The shortest first line, `REGISTER sip:h SIP/2.0`, with its line end.
const FIRST_LINE_LEN: usize = 24;

/// Whether a reply with `len` bytes of header fields of its own would be longer than `percent` of the request.
#[inline]
pub(crate) fn exceeds(request: &Message, len: usize, percent: u32) -> bool {
    let request_len = request.bytes().len();
    // What is copied is part of the request, and its first line is not copied: up to here nothing has to be counted.
    if percent >= 150 && len + FIXED_LEN <= request_len / 2 + FIRST_LINE_LEN {
        return false;
    }
    let reply_len = FIXED_LEN + copied_len(request) + len;
    reply_len as u64 * 100 > request_len as u64 * u64::from(percent)
}

/// The length of the header fields that every reply copies (RFC 3261 §8.2.6.2).
fn copied_len(request: &Message) -> usize {
    let line = |name: usize, value: &[u8]| name + 2 + value.len() + 2;
    let vias: usize = request.header_all(Name::Via).map(|header| line(header.name.len(), header.value)).sum();
    let once = [Name::From, Name::To, Name::CallId, Name::CSeq].into_iter();
    let once: usize = once
        .filter_map(|name| request.header(name))
        .map(|header| line(header.name.len(), header.value))
        .sum();
    vias + once
}
