//! The callee's answers and the caller's ACK and BYE: copies of the other side's headers, in the order they came.

use std::net::SocketAddr;

use memchr::memchr;

/// What the callee was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// An INVITE: ring, then accept.
    Invite,
    /// An ACK: nothing to answer.
    Ack,
    /// A REGISTER: grant what it asks for.
    Register,
    /// Any other request: accept.
    Other,
    /// A response or nothing that can be read.
    NoRequest,
}

/// Says what a datagram is.
pub fn classify(message: &[u8]) -> Received {
    match message.iter().position(|byte| *byte == b' ').and_then(|at| message.get(..at)) {
        Some(b"INVITE") => Received::Invite,
        Some(b"ACK") => Received::Ack,
        Some(b"REGISTER") => Received::Register,
        Some(method) if !method.is_empty() && method.iter().all(u8::is_ascii_uppercase) => Received::Other,
        _ => Received::NoRequest,
    }
}

/// The status code of a response; `None` for anything else.
pub fn status_of(message: &[u8]) -> Option<u16> {
    let digits = message.strip_prefix(b"SIP/2.0 ")?.get(..3)?;
    digits
        .iter()
        .try_fold(0_u16, |code, digit| digit.is_ascii_digit().then(|| code * 10 + u16::from(digit - b'0')))
}

/// Writes a response to `request` (RFC 3261 §8.2.6): Via, From, To with a tag, Call-ID, CSeq and Record-Route as they
/// came, and a Contact when the response makes a dialog.
pub fn respond(request: &[u8], status_line: &str, contact: Option<SocketAddr>, out: &mut Vec<u8>) {
    copy(request, status_line, false, out);
    if let Some(contact) = contact {
        out.extend_from_slice(format!("Contact: <sip:callee@{contact}>\r\n").as_bytes());
    }
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
}

/// Writes the 200 to a REGISTER whose contacts are granted as they ask (RFC 3261 §10.3).
pub fn grant(request: &[u8], out: &mut Vec<u8>) {
    copy(request, "200 OK", true, out);
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
}

/// The first line of a response, and what it has of its request.
fn copy(request: &[u8], status_line: &str, grants: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"SIP/2.0 ");
    out.extend_from_slice(status_line.as_bytes());
    out.extend_from_slice(b"\r\n");
    for line in Lines::of(request) {
        match Name::of(line) {
            Name::Via | Name::From | Name::CallId | Name::CSeq | Name::RecordRoute => put_line(line, out),
            Name::To => {
                out.extend_from_slice(line);
                if memchr::memmem::find(line, b";tag=").is_none() {
                    out.extend_from_slice(b";tag=callee");
                }
                out.extend_from_slice(b"\r\n");
            }
            Name::Contact | Name::Expires if grants => put_line(line, out),
            Name::Contact | Name::Expires | Name::Other => {}
        }
    }
}

/// Writes the ACK to a refused INVITE (RFC 3261 §17.1.1.3): the INVITE's URI and Via, the answer's To.
pub fn acknowledge(refusal: &[u8], uri: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("ACK {uri} SIP/2.0\r\nMax-Forwards: 70\r\n").as_bytes());
    for line in Lines::of(refusal) {
        match Name::of(line) {
            Name::Via | Name::From | Name::To | Name::CallId => put_line(line, out),
            Name::CSeq => {
                let number = std::str::from_utf8(value_of(line)).ok().and_then(number_at_start).unwrap_or(1);
                out.extend_from_slice(format!("CSeq: {number} ACK\r\n").as_bytes());
            }
            Name::RecordRoute | Name::Contact | Name::Expires | Name::Other => {}
        }
    }
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
}

/// What the caller needs of the 200 to its INVITE for ACK and BYE.
#[derive(Debug)]
pub struct Dialog<'a> {
    remote_target: &'a [u8],
    /// In the order in which they go out: reversed (RFC 3261 §12.1.2).
    routes: Vec<&'a [u8]>,
    from: &'a [u8],
    to: &'a [u8],
    call_id: &'a [u8],
    cseq: u32,
}

impl<'a> Dialog<'a> {
    /// Reads a 2xx. `None` when it lacks what makes a dialog.
    pub fn of(response: &'a [u8]) -> Option<Self> {
        let (mut target, mut from, mut to, mut call_id, mut cseq) = (None, None, None, None, None);
        let mut routes = Vec::new();
        for line in Lines::of(response) {
            match Name::of(line) {
                Name::From => from = Some(line),
                Name::To => to = Some(line),
                Name::CallId => call_id = Some(line),
                Name::CSeq => cseq = std::str::from_utf8(value_of(line)).ok().and_then(number_at_start),
                Name::Contact => target = within_brackets(value_of(line)),
                Name::RecordRoute => routes.extend(Elements(value_of(line))),
                Name::Via | Name::Expires | Name::Other => {}
            }
        }
        routes.reverse();
        Some(Dialog { remote_target: target?, routes, from: from?, to: to?, call_id: call_id?, cseq: cseq? })
    }

    /// Whether the server asked to stay on the path.
    pub fn is_routed(&self) -> bool {
        !self.routes.is_empty()
    }

    /// Writes an ACK (with the INVITE's CSeq) or a BYE (with the next). `branch` is the whole value of the parameter.
    pub fn request(&self, method: &str, via: SocketAddr, branch: &str, out: &mut Vec<u8>) {
        let cseq = if method == "ACK" { self.cseq } else { self.cseq.saturating_add(1) };
        out.extend_from_slice(method.as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.remote_target);
        let via = format!(" SIP/2.0\r\nVia: SIP/2.0/UDP {via};branch={branch};rport\r\nMax-Forwards: 70\r\n");
        out.extend_from_slice(via.as_bytes());
        for route in &self.routes {
            out.extend_from_slice(b"Route: ");
            put_line(route, out);
        }
        for line in [self.from, self.to, self.call_id] {
            put_line(line, out);
        }
        out.extend_from_slice(format!("CSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n").as_bytes());
    }
}

fn put_line(line: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(line);
    out.extend_from_slice(b"\r\n");
}

/// The header lines of a message, without the first line and without line ends. Folded lines are not expected: both
/// ends of every exchange are this generator, and no server folds what came unfolded.
struct Lines<'a>(&'a [u8]);

impl<'a> Lines<'a> {
    fn of(message: &'a [u8]) -> Self {
        let mut lines = Lines(message);
        lines.next();
        lines
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = memchr(b'\n', self.0)?;
        let line = self.0.get(..end)?;
        self.0 = self.0.get(end + 1..)?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() { None } else { Some(line) }
    }
}

/// The headers that matter to a generator.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Via,
    From,
    To,
    CallId,
    CSeq,
    RecordRoute,
    Contact,
    Expires,
    Other,
}

impl Name {
    fn of(line: &[u8]) -> Self {
        let colon = memchr(b':', line).unwrap_or(line.len());
        let name = line.get(..colon).unwrap_or_default().trim_ascii_end();
        let is = |long: &str, short: &str| {
            name.eq_ignore_ascii_case(long.as_bytes()) || name.eq_ignore_ascii_case(short.as_bytes())
        };
        match name.first().map(u8::to_ascii_lowercase) {
            Some(b'v') if is("Via", "v") => Name::Via,
            Some(b'f') if is("From", "f") => Name::From,
            Some(b't') if is("To", "t") => Name::To,
            Some(b'c' | b'i' | b'm') if is("Call-ID", "i") => Name::CallId,
            Some(b'c' | b'm') if is("Contact", "m") => Name::Contact,
            Some(b'c') if is("CSeq", "CSeq") => Name::CSeq,
            Some(b'r') if is("Record-Route", "Record-Route") => Name::RecordRoute,
            Some(b'e') if is("Expires", "Expires") => Name::Expires,
            _ => Name::Other,
        }
    }
}

fn value_of(line: &[u8]) -> &[u8] {
    memchr(b':', line).and_then(|colon| line.get(colon + 1..)).unwrap_or_default().trim_ascii()
}

fn number_at_start(value: &str) -> Option<u32> {
    value.split_ascii_whitespace().next()?.parse().ok()
}

fn within_brackets(value: &[u8]) -> Option<&[u8]> {
    let inside = value.get(memchr(b'<', value)? + 1..)?;
    inside.get(..memchr(b'>', inside)?)
}

/// The elements of a header with commas between them; commas within `<…>` do not separate.
struct Elements<'a>(&'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let mut inside = false;
        let end = self.0.iter().position(|byte| {
            match byte {
                b'<' => inside = true,
                b'>' => inside = false,
                _ => {}
            }
            *byte == b',' && !inside
        });
        let (element, rest) = match end {
            Some(end) => (self.0.get(..end)?, self.0.get(end + 1..)?),
            None => (self.0, Default::default()),
        };
        self.0 = rest;
        Some(element.trim_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELAYED: &str = "INVITE sip:u1@127.0.0.1:9 SIP/2.0\r\nRecord-Route: <sip:p;lr>\r\nVia: a\r\nv: b\r\n\
        From: <sip:c@x>;tag=1\r\nt: <sip:u1@x>\r\nCall-ID: 1\r\nCSeq: 5 INVITE\r\nContact: <sip:c@127.0.0.1:8>\r\n\
        Content-Length: 3\r\n\r\nv=0";

    fn contact() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 9))
    }

    fn check_response(request: &str, expected: &str) {
        let mut out = Vec::new();
        respond(request.as_bytes(), "200 OK", Some(contact()), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    fn check_requests(response: &str, expected_ack: &str) {
        let dialog = Dialog::of(response.as_bytes()).unwrap();
        let mut out = Vec::new();
        dialog.request("ACK", contact(), "z9hG4bK1", &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected_ack);
    }

    #[test]
    fn a_response_copies_what_the_rfc_lists_in_its_order() {
        check_response(
            RELAYED,
            "SIP/2.0 200 OK\r\nRecord-Route: <sip:p;lr>\r\nVia: a\r\nv: b\r\nFrom: <sip:c@x>;tag=1\r\n\
             t: <sip:u1@x>;tag=callee\r\nCall-ID: 1\r\nCSeq: 5 INVITE\r\nContact: <sip:callee@127.0.0.1:9>\r\n\
             Content-Length: 0\r\n\r\n",
        );
    }

    #[test]
    fn a_register_is_granted_what_it_asks_for() {
        let mut out = Vec::new();
        let request = b"REGISTER sip:x SIP/2.0\r\nVia: a\r\nTo: <sip:u@x>\r\nCall-ID: 1\r\nCSeq: 5 REGISTER\r\n\
            Contact: <sip:u@h;ctid=1>;expires=60\r\nExpires: 70\r\nAllow: INVITE\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(classify(request), Received::Register);
        grant(request, &mut out);
        assert_eq!(
            String::from_utf8_lossy(&out),
            "SIP/2.0 200 OK\r\nVia: a\r\nTo: <sip:u@x>;tag=callee\r\nCall-ID: 1\r\nCSeq: 5 REGISTER\r\n\
             Contact: <sip:u@h;ctid=1>;expires=60\r\nExpires: 70\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn a_tag_that_is_there_is_kept() {
        check_response(
            "BYE sip:x SIP/2.0\r\nTo: <sip:u1@x>;tag=callee\r\n\r\n",
            "SIP/2.0 200 OK\r\nTo: <sip:u1@x>;tag=callee\r\nContact: <sip:callee@127.0.0.1:9>\r\n\
             Content-Length: 0\r\n\r\n",
        );
    }

    #[test]
    fn the_ack_to_a_refusal_has_the_invites_uri_and_the_answers_to() {
        let mut out = Vec::new();
        let refusal = b"SIP/2.0 404 Not Found\r\nVia: a\r\nFrom: f\r\nTo: t;tag=2\r\nCall-ID: 1\r\n\
            CSeq: 5 INVITE\r\nServer: s\r\n\r\n";
        acknowledge(refusal, "sip:u@h", &mut out);
        assert_eq!(
            String::from_utf8_lossy(&out),
            "ACK sip:u@h SIP/2.0\r\nMax-Forwards: 70\r\nVia: a\r\nFrom: f\r\nTo: t;tag=2\r\nCall-ID: 1\r\n\
             CSeq: 5 ACK\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn an_ack_takes_the_recorded_routes_backwards() {
        check_requests(
            "SIP/2.0 200 OK\r\nVia: a\r\nRecord-Route: <sip:p,1;lr>, <sip:q;lr>\r\nRecord-Route: <sip:r;lr>\r\n\
             From: f\r\nTo: t;tag=2\r\nCall-ID: 1\r\nCSeq: 5 INVITE\r\nContact: \"x\" <sip:u@h:1>;q=1\r\n\r\n",
            "ACK sip:u@h:1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK1;rport\r\n\
             Max-Forwards: 70\r\nRoute: <sip:r;lr>\r\nRoute: <sip:q;lr>\r\nRoute: <sip:p,1;lr>\r\nFrom: f\r\n\
             To: t;tag=2\r\nCall-ID: 1\r\nCSeq: 5 ACK\r\nContent-Length: 0\r\n\r\n",
        );
    }

    #[test]
    fn a_response_that_makes_no_dialog_gives_none() {
        assert!(Dialog::of(b"SIP/2.0 200 OK\r\nFrom: f\r\n\r\n").is_none());
    }

    #[test]
    fn requests_and_responses_are_told_apart() {
        for (message, expected) in [
            ("INVITE sip:x SIP/2.0\r\n", Received::Invite),
            ("ACK sip:x SIP/2.0\r\n", Received::Ack),
            ("MESSAGE sip:x SIP/2.0\r\n", Received::Other),
            ("REGISTER sip:x SIP/2.0\r\n", Received::Register),
            ("SIP/2.0 200 OK\r\n", Received::NoRequest),
            ("\r\n\r\n", Received::NoRequest),
        ] {
            assert_eq!(classify(message.as_bytes()), expected, "{message}");
        }
    }

    #[test]
    fn a_status_is_read_from_responses_only() {
        for (message, expected) in [
            ("SIP/2.0 404 Not Found\r\n", Some(404)),
            ("SIP/2.0 4x4 ?\r\n", None),
            ("REGISTER sip:x SIP/2.0\r\n", None),
            ("", None),
        ] {
            assert_eq!(status_of(message.as_bytes()), expected, "{message}");
        }
    }
}
