//! The forwarded request (RFC 3261 §16.6).

use seawall_sip::{Edits, Message, Name, Onward, ViaFix, ascii, cseq};

/// Our Via.
#[derive(Clone, Copy, Debug)]
pub struct ViaLine<'a> {
    /// The transport in capitals, such as `UDP`.
    pub transport: &'a [u8],
    /// Host, and port unless it is the default one, as the next hop can reach us.
    pub sent_by: &'a [u8],
    /// The branch parameter, from [`Keys::write_branch`](crate::Keys::write_branch).
    pub branch: &'a [u8],
    /// Whether to ask the next hop for the source port (`add_local_rport`, RFC 3581 §3).
    pub rport: bool,
}

/// What happens to Max-Forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxForwards {
    /// Routing logic sees to it (`mf_process_maxfwd_header`).
    Keep,
    /// One less; a request without it gets 70 (§16.6 step 3).
    Decrement,
    /// This many; a request without it gets none.
    Set(u32),
}

/// What is changed in a request on its way out, besides the edits of routing logic.
#[derive(Clone, Copy, Debug)]
pub struct Forward<'a> {
    /// Our Via, put on top.
    pub via: ViaLine<'a>,
    /// The new Request-URI.
    pub request_uri: Option<&'a [u8]>,
    /// What the Via of the previous hop gets (§18.2.1, RFC 3581 §4).
    pub via_fix: Option<ViaFix>,
    /// What happens to Max-Forwards.
    pub max_forwards: MaxForwards,
    /// Header lines, each with its line break, that follow our Via, such as Record-Route.
    pub first_headers: &'a [u8],
}

impl Forward<'_> {
    /// Appends the request as it goes to the next hop. `edits` holds the changes of routing logic; those of this
    /// function are added to it, so that a caller with several branches gives each a copy. Content-Length is not
    /// touched.
    pub fn write(&self, request: &Message, edits: &mut Edits, out: &mut Vec<u8>) {
        let is_written = edits.is_empty() && self.write_plainly(request, out);
        if !is_written {
            self.write_edited(request, edits, out);
        }
    }

    /// Without a list of edits, where routing logic has made none. False, and nothing is written, where there has to be one.
    fn write_plainly(&self, request: &Message, out: &mut Vec<u8>) -> bool {
        let max_forwards = match self.max_forwards {
            MaxForwards::Keep => None,
            MaxForwards::Set(hops) => Some(hops),
            MaxForwards::Decrement => match cseq::max_forwards(request) {
                Ok(Some(hops @ 1..)) => Some(u32::from(hops) - 1),
                Ok(None) => return false,
                Ok(Some(0)) | Err(_) => None,
            },
        };
        let onward = Onward { request_uri: self.request_uri, via_fix: self.via_fix.as_ref(), max_forwards };
        onward.write(request, out, |out| {
            self.write_via(out);
            out.extend_from_slice(self.first_headers);
        })
    }

    fn write_edited(&self, request: &Message, edits: &mut Edits, out: &mut Vec<u8>) {
        edits.write_first_headers(request, |text| {
            self.write_via(text);
            text.extend_from_slice(self.first_headers);
        });
        if let Some(uri) = self.request_uri {
            edits.set_request_uri(request, uri);
        }
        if let Some(fix) = &self.via_fix {
            edits.fix_top_via(request, fix);
        }
        match self.max_forwards {
            MaxForwards::Keep => {}
            MaxForwards::Decrement => decrement_max_forwards(request, edits),
            MaxForwards::Set(hops) => {
                if let Some(header) = request.header(Name::MaxForwards) {
                    edits.replace_value_with(&header, |text| ascii::write_u32(text, hops));
                }
            }
        }
        edits.write(request, out);
    }

    fn write_via(&self, out: &mut Vec<u8>) {
        let via = &self.via;
        for part in [b"Via: SIP/2.0/", via.transport, b" ", via.sent_by, b";branch=", via.branch] {
            out.extend_from_slice(part);
        }
        out.extend_from_slice(if via.rport { b";rport\r\n" } else { b"\r\n" });
    }
}

/// Takes one hop off Max-Forwards; a request without it gets 70. One that is malformed, or 0, stays as it is.
pub fn decrement_max_forwards(request: &Message, edits: &mut Edits) {
    match (request.header(Name::MaxForwards), cseq::max_forwards(request)) {
        (None, _) => edits.append_header(request, b"Max-Forwards: 70"),
        (Some(header), Ok(Some(hops @ 1..))) => {
            let left = hops - 1;
            let digits = [b'0' + left / 100, b'0' + left / 10 % 10, b'0' + left % 10];
            let zeros = if left < 10 { 2 } else { usize::from(left < 100) };
            edits.replace_value(&header, digits.get(zeros..).unwrap_or_default());
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIA: ViaLine<'_> =
        ViaLine { transport: b"UDP", sent_by: b"192.0.2.1:5060", branch: b"z9hG4bKours", rport: false };
    const PLAIN: Forward<'_> = Forward {
        via: VIA,
        request_uri: None,
        via_fix: None,
        max_forwards: MaxForwards::Keep,
        first_headers: b"",
    };

    fn check(forward: &Forward<'_>, request: &str, expected: &str) {
        let request = Message::parse(request.as_bytes().to_vec()).expect("a request");
        let mut out = Vec::new();
        forward.write(&request, &mut Edits::new(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
        let mut edited = Vec::new();
        forward.write_edited(&request, &mut Edits::new(), &mut edited);
        assert_eq!(String::from_utf8_lossy(&edited), expected, "by edits");
    }

    #[test]
    fn our_via_goes_on_top_and_the_rest_is_byte_exact() {
        check(
            &PLAIN,
            "MESSAGE sip:b@c SIP/2.0\r\nX-A :  odd \r\n folded\r\nv: SIP/2.0/UDP a;branch=1\r\nl: 2\r\n\r\nhi",
            "MESSAGE sip:b@c SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKours\r\n\
             X-A :  odd \r\n folded\r\nv: SIP/2.0/UDP a;branch=1\r\nl: 2\r\n\r\nhi",
        );
    }

    #[test]
    fn request_uri_received_and_record_route_are_written() {
        let fix = ViaFix { received: Some([192, 0, 2, 9].into()), rport: Some(4000) };
        check(
            &Forward {
                request_uri: Some(b"sip:b@192.0.2.7"),
                via_fix: Some(fix),
                first_headers: b"Record-Route: <sip:192.0.2.1;lr>\r\n",
                via: ViaLine { rport: true, ..VIA },
                ..PLAIN
            },
            "MESSAGE sip:b@c SIP/2.0\r\nVia: SIP/2.0/UDP a;rport;branch=1\r\n\r\n",
            "MESSAGE sip:b@192.0.2.7 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKours;rport\r\n\
             Record-Route: <sip:192.0.2.1;lr>\r\n\
             Via: SIP/2.0/UDP a;rport=4000;branch=1;received=192.0.2.9\r\n\r\n",
        );
    }

    #[test]
    fn the_previous_via_gets_received_and_rport_whether_it_asked_or_not() {
        let fix = ViaFix { received: Some([192, 0, 2, 9].into()), rport: Some(4000) };
        let forward = Forward { via_fix: Some(fix), ..PLAIN };
        let via = "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKours";
        for (old, new) in [
            ("a:1;rport;branch=1", "a:1;rport=4000;branch=1;received=192.0.2.9"),
            ("a:1;branch=1;RPORT=7", "a:1;branch=1;rport=4000;received=192.0.2.9"),
            ("a:1;branch=1", "a:1;branch=1;received=192.0.2.9;rport=4000"),
            ("a", "a;received=192.0.2.9;rport=4000"),
            ("a;received=10.0.0.1;branch=1", "a;branch=1;received=192.0.2.9;rport=4000"),
            ("a;branch=1;x=\"y\"", "a;branch=1;x=\"y\";received=192.0.2.9;rport=4000"),
        ] {
            check(
                &forward,
                &format!("M sip:b SIP/2.0\r\nVia: SIP/2.0/UDP {old},SIP/2.0/TCP b;rport\r\n\r\n"),
                &format!("M sip:b SIP/2.0\r\n{via}\r\nVia: SIP/2.0/UDP {new},SIP/2.0/TCP b;rport\r\n\r\n"),
            );
        }
    }

    #[test]
    fn max_forwards_may_be_set_and_stand_anywhere() {
        let fix = ViaFix { received: Some([192, 0, 2, 9].into()), rport: Some(4000) };
        let forward = Forward { max_forwards: MaxForwards::Set(8), via_fix: Some(fix), ..PLAIN };
        let top = "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKours\r\n";
        let via = |value: &str| format!("Via: SIP/2.0/UDP a;{value}\r\n");
        let (old, new) = (via("rport;branch=1"), via("rport=4000;branch=1;received=192.0.2.9"));
        for (request, expected) in [
            (format!("Max-Forwards: 70\r\n{old}"), format!("{top}Max-Forwards: 8\r\n{new}")),
            (format!("{old}A: b\r\nMax-Forwards: 9\r\n"), format!("{top}{new}A: b\r\nMax-Forwards: 8\r\n")),
            (format!("{old}Max-Forwards:\r\n"), format!("{top}{new}Max-Forwards: 8\r\n")),
            (old, format!("{top}{new}")),
        ] {
            let line = "M sip:b SIP/2.0\r\n";
            check(&forward, &format!("{line}{request}\r\nbody"), &format!("{line}{expected}\r\nbody"));
        }
    }

    #[test]
    fn what_has_no_header_fields_is_forwarded_too() {
        check(
            &PLAIN,
            "M sip:b SIP/2.0\r\n\r\n",
            "M sip:b SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKours\r\n\r\n",
        );
    }

    #[test]
    fn max_forwards_goes_down_or_starts_at_70() {
        let forward = Forward { max_forwards: MaxForwards::Decrement, ..PLAIN };
        let via = "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKours\r\n";
        let line = |value: &str| format!("M sip:b SIP/2.0\r\nMax-Forwards: {value}\r\n\r\n");
        let with_via = |value: &str| format!("M sip:b SIP/2.0\r\n{via}Max-Forwards: {value}\r\n\r\n");
        check(&forward, &line("70"), &with_via("69"));
        check(&forward, &line("1"), &with_via("0"));
        check(&forward, &line("0"), &with_via("0"));
        check(
            &forward,
            "M sip:b SIP/2.0\r\nA: b\r\n\r\n",
            &format!("M sip:b SIP/2.0\r\n{via}A: b\r\nMax-Forwards: 70\r\n\r\n"),
        );
    }
}
