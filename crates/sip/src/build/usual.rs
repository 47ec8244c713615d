//! The answer to a request whose lines stand as nearly all write them: three long parts of the request, and what comes between.

use std::net::SocketAddrV4;

use super::{is_plain, usual_runs, write_status_line};
use crate::{
    message::{Kind, Message},
    name::Name,
    via,
};

/// What ends the head of a response without a body.
const END: &[u8; 21] = b"Content-Length: 0\r\n\r\n";

/// Where the lines of a request stand that go into every response, if they are written as nearly all are: a Via that ends in an
/// rport without a value; somewhere behind it From and To, which has no tag; then Call-ID and CSeq, of the two either first.
#[derive(Clone, Copy, Debug)]
pub struct Usual<'a> {
    bytes: &'a [u8],
    via: u32,
    via_end: u32,
    from: u32,
    to_end: u32,
    end: u32,
}

/// Whether these lines of a message stand so. It does not depend on what a mould has gaps for, but for the topmost Via, From, To
/// and CSeq that are no plain ones.
pub(crate) fn is_usual(message: &Message) -> bool {
    let plain = |name: Name| {
        let index = message.first.get(name.index()).copied()?;
        message.headers.get(usize::from(index)).filter(|field| is_plain(message, field))
    };
    let (Some(via_line), Some(to_line)) = (plain(Name::Via), plain(Name::To)) else { return false };
    let ends_in_rport = message.essentials.via.is_ok_and(|via| via.ends_in_rport(via_line.value));
    let lacks_tag = message.essentials.to.is_ok_and(|to| !to.has_tag() && to_line.value.len > 0);
    message.start.kind == Kind::Request
        && message.flaw.is_none()
        && usual_runs(message).is_some()
        && ends_in_rport
        && lacks_tag
}

impl Message {
    /// Where the lines stand that its answer copies, if it is a request that is written as nearly all are. `None` is no verdict.
    #[inline]
    #[must_use]
    pub fn usual(&self) -> Option<Usual<'_>> {
        if !self.is_usual {
            return None;
        }
        let place = |name: Name| self.first.get(name.index()).copied().map(usize::from);
        let via = self.headers.get(place(Name::Via)?)?;
        let [from, to, _, last] = self.headers.get(place(Name::From)?..)?.first_chunk()?;
        let (bytes, to_end) = (self.bytes.as_slice(), to.end - 2);
        Some(Usual { bytes, via: via.start, via_end: via.end, from: from.start, to_end, end: last.end })
    }
}

impl Usual<'_> {
    /// Appends a response without a body, as [`Response`](super::Response) does: the topmost Via gets the source of the request,
    /// and To this tag. `extra_headers` are complete lines. Not for a 100, nor where Record-Route is to be copied.
    #[inline]
    pub fn answer(
        &self,
        (status, reason): (u16, &[u8]),
        source: SocketAddrV4,
        tag: &[u8; 16],
        extra_headers: [&[u8]; 3],
        out: &mut Vec<u8>,
    ) {
        let copy = |start: u32, end: u32, out: &mut Vec<u8>| {
            out.extend_from_slice(self.bytes.get(start as usize..end as usize).unwrap_or_default());
        };
        let extra: usize = extra_headers.iter().map(|lines| lines.len()).sum();
        out.reserve(self.end as usize + extra + reason.len() + 128);
        write_status_line(status, reason, out);
        // Without its last parameter, which is written anew.
        copy(self.via, self.via_end - via::LAST_RPORT, out);
        via::write_source_line(*source.ip(), source.port(), out);
        copy(self.from, self.to_end, out);
        let mut text = *b";tag=0123456789abcdef";
        if let Some(place) = text.last_chunk_mut() {
            *place = *tag;
        }
        out.extend_from_slice(&text);
        copy(self.to_end, self.end, out);
        for lines in extra_headers {
            // Most have one of them.
            if !lines.is_empty() {
                out.extend_from_slice(lines);
            }
        }
        out.extend_from_slice(END);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Response;
    use super::*;
    use crate::{Framing, Habits, ViaFix};

    /// Gives a message twice to somebody who has seen one of its kind, and says whether it is a usual one then.
    fn scanned(before: &str, text: &str) -> Message {
        let (mut habits, mut message) = (Habits::default(), Message::empty());
        for text in [before, text, text] {
            let mut bytes = text.as_bytes().to_vec();
            let _ = message.receive(&mut bytes, Framing::Datagram, &mut habits);
        }
        message
    }

    const LINES: [&str; 14] = [
        "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK@;rport",
        "Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK@",
        "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK@;rport=5060",
        "v: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK@;rport",
        "Via: SIP/2.0/UDP h;branch=z9hG4bK@;rport, SIP/2.0/UDP h",
        "Via:  SIP/2.0/UDP h;branch=z9hG4bK@;rport ",
        "From: <sip:a@@h>;tag=@",
        "To: <sip:a@@h>",
        "To: <sip:@a@h>;tag=a@",
        "To: \"B\" <sip:b@h>",
        "To: <sip:a@@h>\r\n ",
        "Call-ID: @",
        "CSeq: 1 OPTIONS",
        "X-@: a",
    ];

    proptest! {
        #[test]
        fn it_is_what_the_general_way_makes(
            places in prop_oneof![
                prop::collection::vec(0..LINES.len(), 0..9),
                // The usual order, and two of its lines exchanged.
                (0..6_usize, 0..6_usize, 0..6_usize, 7..11_usize).prop_map(|(one, other, via, to)| {
                    let mut places = vec![via, 13, 6, to, 11, 12];
                    places.swap(one, other);
                    places
                }),
            ],
            values in ["[a-z0-9]{1,12}", "[a-z0-9]{1,12}"],
            source: [u8; 4], port: u16, status in 101_u16..700, digits: u128,
            extra in ["(X: y\r\n|)", "(Server: z\r\n|)"],
        ) {
            let lines: String = places.iter().map(|place| format!("{}\r\n", LINES[*place])).collect();
            let [before, text] = values.map(|value| format!("OPTIONS sip:h SIP/2.0\r\n{lines}\r\n").replace('@', &value));
            let request = scanned(&before, &text);
            let Some(usual) = request.usual() else { return Ok(()) };
            let tag = digits.to_le_bytes();
            let source = SocketAddrV4::new(source.into(), port);
            let response = Response {
                to_tag: Some(&tag),
                via_fix: Some(ViaFix::to_source(source.into())),
                extra_headers: [extra[0].as_bytes(), b"", extra[1].as_bytes()],
                ..Response::new(status, b"Reason")
            };
            let (mut found, mut expected) = (Vec::new(), Vec::new());
            usual.answer((status, b"Reason"), source, &tag, response.extra_headers, &mut found);
            response.write(&request, &mut expected);
            prop_assert_eq!(found.escape_ascii().to_string(), expected.escape_ascii().to_string());
        }
    }

    #[track_caller]
    fn check(lines: &[&str], expected: bool) {
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let text = |value| format!("REGISTER sip:h SIP/2.0\r\n{lines}\r\n").replace('@', value);
        assert_eq!(scanned(&text("1"), &text("another")).usual().is_some(), expected, "{lines}");
    }

    #[test]
    fn what_phones_send_is_usual() {
        let [via, from, to] = [LINES[0], LINES[6], LINES[7]];
        let (call_id, cseq) = ("Call-ID: @", "CSeq: 1 REGISTER");
        check(&[via, from, to, call_id, cseq], true);
        check(&[via, "Max-Forwards: 70", from, to, cseq, call_id, "X: y"], true);
        check(&[from, via, to, call_id, cseq], false);
        check(&[via, from, to, call_id, "X: y", cseq], false);
        check(&[via, via, from, to, call_id, cseq], false);
        check(&[via, from, LINES[8], call_id, cseq], false);
        for (place, other) in (1..).zip(&LINES[1..6]) {
            // Short names of header fields are as good.
            check(&[other, from, to, call_id, cseq], place == 3);
        }
    }

    #[test]
    fn a_request_that_fits_no_mould_is_not_known_to_be_usual() {
        let mut request =
            scanned("", &format!("REGISTER sip:h SIP/2.0\r\n{}\r\n\r\n", LINES[..].join("\r\n")));
        assert!(request.usual().is_none());
        request.buffer_mut().clear();
        assert!(request.usual().is_none());
    }
}
