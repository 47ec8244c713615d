//! The checks that every element makes before it acts on a message (RFC 3261 §8.2, §16.3, §18.1.2).
//!
//! What depends on the role of the element is not here: whether the method is known (405, 501), whether an AoR is
//! SIP (400 by the registrar), Contact syntax, authentication, Max-Forwards reaching 0 (483).

use thiserror::Error;

use crate::{
    ascii::NumberError,
    cseq::{self, CSeq},
    list,
    message::{BadRequest, Kind, Message, StartLine},
    name::Name,
    uri::{Plain, Scheme, Uri},
};

/// Why a request is refused, and the answer. The answer can be sent if the request has a Via; without one nobody
/// can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Objection {
    /// The status code of the answer.
    pub status: u16,
    /// The reason phrase of the answer.
    pub reason: &'static [u8],
    /// What is wrong, in words for a log line or an error header field.
    pub text: &'static str,
}

impl Objection {
    const fn bad_request(text: &'static str) -> Objection {
        Objection { status: 400, reason: b"Bad Request", text }
    }
}

/// Header fields that every message has once.
const MANDATORY: [(Name, &str); 5] = [
    (Name::Via, "Via header not found"),
    (Name::From, "From header not found"),
    (Name::To, "To header not found"),
    (Name::CallId, "Call-ID header not found"),
    (Name::CSeq, "CSeq header not found"),
];

/// Header fields that must not occur twice. Content-Length is among the scanner's faults where two differ.
const SINGLE: [(Name, &str); 5] = [
    (Name::From, "More than one From header"),
    (Name::To, "More than one To header"),
    (Name::CallId, "More than one Call-ID header"),
    (Name::CSeq, "More than one CSeq header"),
    (Name::MaxForwards, "More than one Max-Forwards header"),
];

/// Checks a request.
///
/// # Errors
/// The answer to give: 505 for another version of SIP, 416 for a Request-URI of an unknown scheme, 400 for the rest.
#[inline]
pub fn request(message: &Message) -> Result<(), Objection> {
    let is_known = message.is_sound && message.start.is_checked && message.flaw.is_none();
    if is_known { Ok(()) } else { look_at(message) }
}

/// As [`request`], for what is not known.
fn look_at(message: &Message) -> Result<(), Objection> {
    let is_checked = message.start.is_checked;
    if !is_checked && !is_version_2(message) {
        return Err(Objection { status: 505, reason: b"Version Not Supported", text: "Not SIP/2.0" });
    }
    if let Some(flaw) = message.flaw() {
        return Err(Objection::bad_request(flaw_text(flaw)));
    }
    if !message.is_sound {
        headers(message)?;
    }
    if is_checked {
        return Ok(());
    }
    let uri = message.request_uri();
    if is_plain_uri(uri) { Ok(()) } else { request_uri(uri) }
}

/// Whether there is nothing to object to in a start line that was read from these bytes, as far as a short look tells.
pub(crate) fn is_plain_start(start: &StartLine, bytes: &[u8]) -> bool {
    start.kind == Kind::Request && start.last.of(bytes) == b"SIP/2.0" && is_plain_uri(start.middle.of(bytes))
}

#[inline]
fn is_plain_uri(uri: &[u8]) -> bool {
    Plain::read(uri).is_some()
}

#[inline]
fn is_version_2(message: &Message) -> bool {
    message.version() == b"SIP/2.0" || message.version().eq_ignore_ascii_case(b"SIP/2.0")
}

/// The names of [`SINGLE`] as a bit set.
const SINGLE_SET: u64 = single_set();

const fn single_set() -> u64 {
    let mut set = 0;
    let mut rest: &[(Name, &str)] = &SINGLE;
    while let [(name, _), tail @ ..] = rest {
        set |= 1 << name.index();
        rest = tail;
    }
    set
}

/// Whether there is nothing to object to in the header fields of a request that is well formed.
pub(crate) fn has_sound_headers(message: &Message) -> bool {
    message.is_request() && headers(message).is_ok()
}

#[inline]
fn headers(message: &Message) -> Result<(), Objection> {
    // What is absent or empty could not be taken apart by the scan.
    let essentials = &message.essentials;
    let is_sound = message.repeated & SINGLE_SET == 0
        && (essentials.via.is_ok() && essentials.from.is_ok() && essentials.to.is_ok())
        && CSeq::of(message).is_ok_and(|cseq| cseq.method == message.method())
        && message.value_span(Name::CallId).is_some_and(|call_id| !call_id.is_empty())
        && cseq::max_forwards(message).is_ok();
    if is_sound { Ok(()) } else { objection_to_headers(message) }
}

/// What is wrong with the header fields, in the order in which it is to be told.
#[cold]
fn objection_to_headers(message: &Message) -> Result<(), Objection> {
    for (name, text) in MANDATORY {
        if message.value(name).is_none_or(<[u8]>::is_empty) {
            return Err(Objection::bad_request(text));
        }
    }
    for (name, text) in SINGLE {
        if message.is_repeated(name) {
            return Err(Objection::bad_request(text));
        }
    }
    match CSeq::of(message) {
        Ok(cseq) if cseq.method == message.method() => {}
        Ok(_) => return Err(Objection::bad_request("CSeq method differs from the request method")),
        Err(NumberError::OutOfRange | NumberError::NotANumber) => {
            return Err(Objection::bad_request("Invalid CSeq number"));
        }
    }
    if cseq::max_forwards(message).is_err() {
        return Err(Objection::bad_request("Invalid Max-Forwards"));
    }
    if message.essentials.via.is_err() {
        return Err(Objection::bad_request("Malformed Via"));
    }
    if message.essentials.from.is_err() {
        return Err(Objection::bad_request("Malformed From"));
    }
    if message.essentials.to.is_err() {
        return Err(Objection::bad_request("Malformed To"));
    }
    Ok(())
}

#[inline(never)]
fn request_uri(bytes: &[u8]) -> Result<(), Objection> {
    match Uri::parse(bytes) {
        Ok(uri) if uri.scheme == Scheme::Other => Err(Objection {
            status: 416,
            reason: b"Unsupported URI Scheme",
            text: "Unsupported Request-URI scheme",
        }),
        // RFC 3261 §19.1.1, table 1: not allowed in a Request-URI, and never to be copied into a forwarded one.
        Ok(uri) if uri.headers.is_some() => Err(Objection::bad_request("Headers in Request-URI")),
        Ok(_) => Ok(()),
        Err(_) => Err(Objection::bad_request("Malformed Request-URI")),
    }
}

fn flaw_text(flaw: BadRequest) -> &'static str {
    match flaw {
        BadRequest::StartLine => "Malformed start line",
        BadRequest::ControlCharacter => "Control character in header",
        BadRequest::HeaderLine => "Malformed header line",
        BadRequest::NoEmptyLine => "Header section does not end",
        BadRequest::TooManyHeaders => "Too many headers",
        BadRequest::ContentLength => "Invalid Content-Length",
        BadRequest::ContentLengthTwice => "More than one Content-Length",
        BadRequest::ContentLengthTooLarge => "Content-Length beyond the message",
    }
}

/// Checks that the element understands every extension that a request insists on: Require for a user agent server
/// or registrar, Proxy-Require for a proxy (RFC 3261 §8.2.2.3, §16.3).
///
/// # Errors
/// The 420 to answer; its Unsupported header field lists [`unsupported`].
pub fn extensions(message: &Message, name: Name, supported: &[&[u8]]) -> Result<(), Objection> {
    match unsupported(message, name, supported).next() {
        Some(_) => Err(Objection { status: 420, reason: b"Bad Extension", text: "Unsupported extension" }),
        None => Ok(()),
    }
}

/// The option tags under `name` that are not among the supported ones.
pub fn unsupported<'a>(
    message: &'a Message,
    name: Name,
    supported: &'a [&'a [u8]],
) -> impl Iterator<Item = &'a [u8]> + Clone {
    list::tokens(message, name)
        .filter(move |tag| !supported.iter().any(|known| known.eq_ignore_ascii_case(tag)))
}

/// Why a response is thrown away. Nobody is told (RFC 3261 §18.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Discard {
    /// Not SIP/2.0.
    #[error("not SIP/2.0")]
    Version,
    /// The status code is not from 100 to 699.
    #[error("status code out of range")]
    Status,
    /// The scanner met a fault.
    #[error(transparent)]
    Flaw(#[from] BadRequest),
    /// Via, From, To, Call-ID or CSeq is missing, given twice or malformed.
    #[error("malformed header")]
    Header,
}

/// Checks a response.
///
/// # Errors
/// Why it is to be discarded.
pub fn response(message: &Message) -> Result<(), Discard> {
    if !is_version_2(message) {
        return Err(Discard::Version);
    }
    if message.status() == 0 {
        return Err(Discard::Status);
    }
    if let Some(flaw) = message.flaw() {
        return Err(Discard::Flaw(flaw));
    }
    let missing = MANDATORY.iter().any(|(name, _)| message.value(*name).is_none_or(<[u8]>::is_empty));
    let repeated = SINGLE.iter().any(|(name, _)| message.is_repeated(*name));
    if missing || repeated || message.essentials.cseq.is_err() || message.essentials.via.is_err() {
        return Err(Discard::Header);
    }
    let malformed = message.essentials.from.is_err() || message.essentials.to.is_err();
    if malformed { Err(Discard::Header) } else { Ok(()) }
}
