//! Why a REGISTER is refused, and the answer (behaviour §1).

use seawall_sip::{Message, Name, ascii, validate};

use crate::limits::{OVERLOAD_RETRY_AFTER_S, OVERLOAD_SPREAD_S, STORE_RETRY_AFTER_S};
use crate::policy::Policy;

/// The extensions that a REGISTER may insist on with Require.
#[must_use]
pub fn supported(policy: &Policy) -> &'static [&'static [u8]] {
    match (policy.outbound, policy.gruu.is_some()) {
        (true, true) => &[b"path", b"outbound", b"gruu"],
        (true, false) => &[b"path", b"outbound"],
        (false, true) => &[b"path", b"gruu"],
        (false, false) => &[b"path"],
    }
}

/// Why a REGISTER is refused. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// The message has a flaw that the scanner noticed.
    MessageParse,
    /// There is no To.
    NoTo,
    /// There is no Call-ID.
    NoCallId,
    /// There is no CSeq.
    NoCSeq,
    /// CSeq is no number below 2^31, or not higher than before under the same Call-ID.
    InvalidCSeq,
    /// Call-ID over its limit.
    CallIdTooLong,
    /// The To URI has no user.
    NoUsername,
    /// The To URI, or the given address of record, is no SIP URI.
    AorParse,
    /// The user has a `%` without two hexadecimal digits.
    Unescape,
    /// The address of record or a part of it is over its limit.
    AorTooLong,
    /// Expires is empty.
    ExpiresParse,
    /// A Contact is malformed.
    ContactParse,
    /// The `expires` of a contact is empty.
    InvalidExpires,
    /// The `q` of a contact is no number from 0 to 1.
    InvalidQ,
    /// `*` without `Expires: 0`.
    StarExpires,
    /// `*` and another contact.
    StarContacts,
    /// A flow (`reg-id`) and another contact to bind (RFC 5626 §6).
    FlowContacts,
    /// A flow through a proxy that does not support outbound (RFC 5626 §6).
    FirstHopLacksOutbound,
    /// A contact, or what is stored with it, is over its limit.
    ContactTooLong,
    /// A Path is malformed, over its limit, or its first URI lacks `;lr`.
    PathParse,
    /// A Path, but no `Supported: path` (`path-strict`).
    PathUnsupported,
    /// A Require that this server does not know.
    RequireUnsupported,
    /// A contact points at this server, or at no single host.
    ContactForbidden,
    /// An interval below the minimum, which is told.
    IntervalTooBrief(u32),
    /// More contacts than the address of record may have.
    TooManyContacts,
    /// A `pn-` parameter without its value (RFC 8599).
    PushParamEmpty,
    /// A push provider that is not supported (RFC 8599 §5.6.1 and §8.1).
    PushUnsupported,
    /// A list of contacts that is too long for somebody who has not proven who he is (`max_reply_percent`).
    ReplyTooLong,
    /// A new binding while the server cannot keep up; it may be asked for again after so many seconds.
    Overloaded(u32),
    /// The store of bindings did not take the change.
    StoreFailed,
    /// The store of bindings has more to do than it can.
    StoreFull,
}

impl Reject {
    /// The refusal of somebody new while the server cannot keep up. Those who are refused at the same time do not come back
    /// at the same time: `random` spreads them.
    #[cold]
    #[must_use]
    pub fn overloaded(policy: &Policy, random: u64) -> Reject {
        Reject::Overloaded(match policy.retry_after_s {
            0 => OVERLOAD_RETRY_AFTER_S + (random % u64::from(OVERLOAD_SPREAD_S)) as u32,
            given_s => given_s,
        })
    }

    /// Status, reason phrase and text of the answer.
    pub fn answer(self) -> (u16, &'static str, &'static str) {
        let (status, text) = match self {
            Reject::MessageParse => (400, "Message parse error"),
            Reject::NoTo => (400, "To header not found"),
            Reject::NoCallId => (400, "Call-ID header not found"),
            Reject::NoCSeq => (400, "CSeq header not found"),
            Reject::InvalidCSeq => (400, "Invalid CSeq number"),
            Reject::CallIdTooLong => (400, "Callid too long"),
            Reject::NoUsername => (400, "No username in To URI"),
            Reject::AorParse => (400, "Error while parsing AOR"),
            Reject::Unescape => (400, "Error while unescaping username"),
            Reject::AorTooLong => (500, "Address Of Record too long"),
            Reject::ExpiresParse => (400, "Expires parse error"),
            Reject::ContactParse => (400, "Contact parse error"),
            Reject::InvalidExpires => (400, "Invalid expires param in contact"),
            Reject::InvalidQ => (400, "Invalid q param in contact"),
            Reject::StarExpires => (400, "* used in contact and expires is not zero"),
            Reject::StarContacts => (400, "* used in contact and more than 1 contact"),
            Reject::FlowContacts => (400, "reg-id used in contact and more than 1 contact"),
            Reject::FirstHopLacksOutbound => (439, "First hop lacks outbound support"),
            Reject::ContactTooLong => (400, "Contact/received too long"),
            Reject::PathParse => (400, "Path parse error"),
            Reject::PathUnsupported => (420, "No support for found Path indicated"),
            Reject::RequireUnsupported => (420, "Required extension not supported"),
            Reject::ContactForbidden => (403, "Contact not allowed"),
            Reject::IntervalTooBrief(_) => (423, "Interval too brief"),
            Reject::TooManyContacts => (503, "Too many registered contacts"),
            Reject::StoreFailed => (500, "Location store failed"),
            Reject::StoreFull => (503, "Location store is overloaded"),
            Reject::PushParamEmpty => (400, "Empty pn- param in contact"),
            Reject::PushUnsupported => (555, "Push provider not supported"),
            Reject::Overloaded(_) => (503, "Too many requests, come back later"),
            Reject::ReplyTooLong => (403, "Too many contacts to list without authentication over UDP"),
        };
        let reason = match status {
            400 => "Bad Request",
            403 => "Forbidden",
            420 => "Bad Extension",
            423 => "Interval Too Brief",
            439 => "First Hop Lacks Outbound Support",
            503 => "Service Unavailable",
            555 => "Push Notification Service Not Supported",
            _ => "Server Internal Error",
        };
        (status, reason, text)
    }

    /// Appends the header fields of the answer, each with its line end.
    pub fn write_headers(self, message: &Message, policy: &Policy, out: &mut Vec<u8>) {
        let (status, _, text) = self.answer();
        line(out, b"P-Registrar-Error", text.as_bytes());
        match (self, policy.retry_after_s) {
            (Reject::Overloaded(after_s), _) => number_line(out, b"Retry-After", after_s),
            (Reject::StoreFailed | Reject::StoreFull, 0) => {
                number_line(out, b"Retry-After", STORE_RETRY_AFTER_S);
            }
            (_, after_s @ 1..) if status >= 500 => number_line(out, b"Retry-After", after_s),
            _ => {}
        }
        match self {
            Reject::IntervalTooBrief(min_s) => number_line(out, b"Min-Expires", min_s),
            Reject::PathUnsupported => {
                line(out, b"Unsupported", b"path");
                for path in message.header_all(Name::Path) {
                    line(out, b"Path", path.value);
                }
            }
            Reject::RequireUnsupported => {
                for tag in validate::unsupported(message, Name::Require, supported(policy)) {
                    line(out, b"Unsupported", tag);
                }
            }
            Reject::PushUnsupported => {
                policy.push.iter().for_each(|push| push.write_providers(out));
            }
            _ => {}
        }
    }
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

fn number_line(out: &mut Vec<u8>, name: &[u8], number: u32) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    ascii::write_u32(out, number);
    out.extend_from_slice(b"\r\n");
}
