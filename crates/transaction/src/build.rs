//! The two requests that a client transaction makes from its INVITE: ACK and CANCEL.

use seawall_sip::{message::Message, name::Name, via::Via};

/// The ACK of a final response other than 2xx (RFC 3261 §17.1.1.3): like the INVITE in Request-URI, Call-ID, From,
/// CSeq number, Route and its topmost Via; with the To of the response. `None` if the INVITE cannot be read.
pub(crate) fn ack(invite: &[u8], response: &Message) -> Option<Vec<u8>> {
    let invite = Message::parse(invite.to_vec()).ok()?;
    let to = response.value(Name::To)?;
    from_invite(&invite, b"ACK", to, b"")
}

/// The CANCEL of an INVITE (RFC 3261 §9.1): like the ACK, but with the To of the INVITE. `headers` are lines to take
/// along, such as the Reason that the client gave.
pub(crate) fn cancel(invite: &[u8], headers: &[u8]) -> Option<Vec<u8>> {
    let invite = Message::parse(invite.to_vec()).ok()?;
    let to = invite.value(Name::To)?;
    from_invite(&invite, b"CANCEL", to, headers)
}

fn from_invite(invite: &Message, method: &[u8], to: &[u8], headers: &[u8]) -> Option<Vec<u8>> {
    let via = Via::top(invite).ok()?;
    let number = invite.value(Name::CSeq)?.split(|byte| !byte.is_ascii_digit()).next()?;
    let mut out = Vec::with_capacity(512);
    let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| out.extend_from_slice(part));
    put(&[method, b" ", invite.request_uri(), b" SIP/2.0\r\nVia: ", via.raw, b"\r\n"]);
    for route in invite.header_all(Name::Route) {
        put(&[b"Route: ", route.value, b"\r\n"]);
    }
    put(&[b"Max-Forwards: 70\r\nFrom: ", invite.value(Name::From)?, b"\r\nTo: ", to]);
    put(&[b"\r\nCall-ID: ", invite.value(Name::CallId)?, b"\r\nCSeq: ", number, b" ", method, b"\r\n"]);
    put(&[headers, b"Content-Length: 0\r\n\r\n"]);
    Some(out)
}
