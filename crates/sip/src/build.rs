//! Building responses and requests. One pass, no formatting machinery.

mod usual;

use crate::{
    ascii,
    lines::Places,
    message::{ABSENT, Field, Header, Message},
    name::Name,
    via::{Via, ViaFix},
};

pub use usual::Usual;
pub(crate) use usual::is_usual;

/// A response to a request (RFC 3261 §8.2.6).
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// The status code, 100 to 699.
    pub status: u16,
    /// The reason phrase.
    pub reason: &'a [u8],
    /// The tag to add to To if it has none. Not for a 100.
    pub to_tag: Option<&'a [u8]>,
    /// What the topmost Via gets.
    pub via_fix: Option<ViaFix>,
    /// Whether Record-Route is copied (RFC 3261 §12.1.1: responses that make a dialog).
    pub record_route: bool,
    /// Further header fields: complete lines, each with its line break, from up to three places.
    pub extra_headers: [&'a [u8]; 3],
    /// The body; its Content-Type is one of `extra_headers`.
    pub body: &'a [u8],
}

impl<'a> Response<'a> {
    /// A response without anything that is optional.
    #[must_use]
    pub fn new(status: u16, reason: &'a [u8]) -> Response<'a> {
        Response {
            status,
            reason,
            to_tag: None,
            via_fix: None,
            record_route: false,
            extra_headers: [b""; 3],
            body: b"",
        }
    }

    /// Appends the response to `request`. All Via, and From, To, Call-ID and CSeq are copied in the order in which
    /// the request has them; of the last four the first of each, should there be more. Also the Timestamp into a
    /// 100 (RFC 3261 §8.2.6.1).
    pub fn write(&self, request: &Message, out: &mut Vec<u8>) {
        let extra: usize = self.extra_headers.iter().map(|lines| lines.len()).sum();
        out.reserve(request.bytes().len().min(4096) + extra + self.body.len() + 64);
        write_status_line(self.status, self.reason, out);
        self.copy_headers(request, out);
        for lines in self.extra_headers {
            // Most have one of them.
            if !lines.is_empty() {
                out.extend_from_slice(lines);
            }
        }
        if self.body.is_empty() {
            return out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        }
        out.extend_from_slice(b"Content-Length: ");
        ascii::write_u32(out, self.body.len() as u32);
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(self.body);
    }

    // By itself: the compiler has too few registers for it and what surrounds it.
    #[inline(never)]
    fn copy_headers(&self, request: &Message, out: &mut Vec<u8>) {
        let Some(additions) = self.additions(request) else { return self.copy_one_by_one(request, out) };
        if let Some([via, others]) = usual_runs(request) {
            self.copy_run(request, via, additions, out);
            self.copy_run(request, others, additions, out);
        } else if let Some(places) = Places::of(request, &COPIED) {
            places.for_each(|run| self.copy_run(request, request.extent_of(run), additions, out));
        } else {
            self.copy_one_by_one(request, out);
        }
    }

    /// Where something comes between the lines that are copied; `None` where they cannot be copied as they are.
    #[inline]
    fn additions(&self, request: &Message) -> Option<Additions> {
        let first = |name: Name| {
            let index = request.first.get(name.index()).copied()?;
            request.headers.get(usize::from(index)).filter(|field| is_plain(request, field))
        };
        let copies_more =
            self.status == 100 || self.record_route && request.value_span(Name::RecordRoute).is_some();
        if request.flaw().is_some() || copies_more {
            return None;
        }
        let (to, address) = (first(Name::To)?, request.essentials.to.as_ref().ok()?);
        let mut additions = Additions { via_at: NOWHERE, tag_at: NOWHERE };
        if self.to_tag.is_some() && !address.has_tag() {
            additions.tag_at = to.value.end();
        }
        if self.via_fix.is_some() {
            let line = first(Name::Via).filter(|line| line.start < to.start)?;
            additions.via_at = line.value.start;
        }
        Some(additions)
    }

    /// Copies neighbouring lines at once, with what comes between.
    #[inline]
    fn copy_run(
        &self,
        request: &Message,
        (mut start, end): (u32, u32),
        additions: Additions,
        out: &mut Vec<u8>,
    ) {
        if (start..end).contains(&additions.via_at) {
            start = self.copy_via(request, start, out);
        }
        if (start..end).contains(&additions.tag_at) {
            start = self.copy_to(request, start, additions.tag_at, out);
        }
        copy(request, start, end, out);
    }

    // This and the next are by themselves because they are needed once, in one of the runs.
    /// Copies what stands before the end of the topmost Via, and that as it is to be; gives where the rest begins.
    #[inline(never)]
    fn copy_via(&self, request: &Message, start: u32, out: &mut Vec<u8>) -> u32 {
        let (Some(fix), Ok(via)) = (&self.via_fix, &request.essentials.via) else { return start };
        fix.copy_to_end(start, via, request.bytes(), out);
        // The values after it, if there are more in this line, are copied with its end.
        via.end()
    }

    /// Copies what stands before the end of To, and adds the tag; gives where the rest begins.
    #[inline(never)]
    fn copy_to(&self, request: &Message, start: u32, end: u32, out: &mut Vec<u8>) -> u32 {
        copy(request, start, end, out);
        self.write_tag(out);
        end
    }

    /// As [`copy_headers`](Response::copy_headers), for any request.
    #[inline(never)]
    fn copy_one_by_one(&self, request: &Message, out: &mut Vec<u8>) {
        let mut pending = Pending::default();
        for (index, field) in request.headers.iter().enumerate() {
            self.copy_header(request, index, field, &mut pending, out);
        }
        pending.flush(request, out);
    }

    /// Copies a header field, if it is one of those that are.
    fn copy_header(
        &self,
        request: &Message,
        index: usize,
        field: &Field,
        pending: &mut Pending,
        out: &mut Vec<u8>,
    ) {
        // Neighbouring bytes are copied together. A flawed request is copied value by value instead, so that a
        // stray line break or NUL of the sender never reaches a response of ours.
        let verbatim = request.flaw().is_none();
        let action = self.action(request, field, index);
        match action {
            Action::Skip => {}
            Action::Copy if verbatim => pending.add(field.start, field.end, request, out),
            Action::AddTag if verbatim && is_plain(request, field) => {
                pending.add(field.start, field.value.end(), request, out);
                pending.flush(request, out);
                self.write_tag(out);
                pending.add(field.value.end(), field.end, request, out);
            }
            Action::FixVia if verbatim && is_plain(request, field) => {
                pending.add(field.start, field.value.start, request, out);
                pending.flush(request, out);
                let mut end = field.value.start;
                if let (Some(fix), Ok(via)) = (self.via_fix, &request.essentials.via) {
                    fix.write_spans(via, request.bytes(), out);
                    end = via.end();
                }
                // The values after it, if there are more in this line, are copied with its end.
                pending.add(end, field.end, request, out);
            }
            _ => {
                pending.flush(request, out);
                self.write_line(action, request, &request.view(index, field), out);
            }
        }
    }

    /// Writes a header field anew.
    #[cold]
    fn write_line(&self, action: Action, request: &Message, header: &Header<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(header.name);
        out.extend_from_slice(b": ");
        self.write_value(action, request, header.value, out);
        out.extend_from_slice(b"\r\n");
    }

    #[inline]
    fn action(&self, request: &Message, field: &Field, index: usize) -> Action {
        match field.name {
            Name::Via if self.via_fix.is_some() && request.is_first(field, index) => Action::FixVia,
            Name::Via => Action::Copy,
            Name::To if request.is_first(field, index) => {
                let tagged = self.to_tag.is_none() || has_tag(request);
                if tagged { Action::Copy } else { Action::AddTag }
            }
            Name::From | Name::CallId | Name::CSeq if request.is_first(field, index) => Action::Copy,
            Name::RecordRoute if self.record_route => Action::Copy,
            Name::Timestamp if self.status == 100 => Action::Copy,
            _ => Action::Skip,
        }
    }

    fn write_value(&self, action: Action, request: &Message, value: &[u8], out: &mut Vec<u8>) {
        let verbatim = request.flaw().is_none();
        let copy = |bytes: &[u8], out: &mut Vec<u8>| {
            if verbatim {
                out.extend_from_slice(bytes);
            } else {
                let harmless = |&byte| if matches!(byte, b'\r' | b'\n' | b'\0') { b' ' } else { byte };
                out.extend(bytes.iter().map(harmless));
            }
        };
        match (action, self.via_fix) {
            (Action::FixVia, Some(fix)) => match Via::top(request) {
                Ok(via) if verbatim => {
                    fix.write(&via, out);
                    // The values after it, if there are more in this line.
                    out.extend_from_slice(value.get(via.raw.len()..).unwrap_or_default());
                }
                _ => copy(value, out),
            },
            (Action::AddTag, _) => {
                copy(value, out);
                self.write_tag(out);
            }
            _ => copy(value, out),
        }
    }

    #[inline]
    fn write_tag(&self, out: &mut Vec<u8>) {
        if let Some(tag) = self.to_tag {
            out.extend_from_slice(b";tag=");
            out.extend_from_slice(tag);
        }
    }
}

#[inline]
fn write_status_line(status: u16, reason: &[u8], out: &mut Vec<u8>) {
    if status == 200 && reason == b"OK" {
        return out.extend_from_slice(b"SIP/2.0 200 OK\r\n");
    }
    let digit = |place: u16| b'0' + (status / place % 10) as u8;
    let [hundreds, tens, ones] = [digit(100), digit(10), digit(1)];
    let version = [b'S', b'I', b'P', b'/', b'2', b'.', b'0', b' ', hundreds, tens, ones, b' '];
    out.extend_from_slice(&version);
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// The header fields that every response copies.
const COPIED: [Name; 5] = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];

/// Where the lines that are copied stand in nearly all requests: the only Via, and somewhere behind it From, To, Call-ID and
/// CSeq, of the last two either first.
#[inline]
fn usual_runs(request: &Message) -> Option<[(u32, u32); 2]> {
    let [via, from, to, callid, cseq] =
        COPIED.map(|name| usize::from(request.first.get(name.index()).copied().unwrap_or(ABSENT)));
    let set = COPIED.iter().fold(0_u64, |set, name| set | 1 << name.index());
    let ends = (callid.min(cseq), callid.max(cseq));
    if request.repeated & set != 0 || via >= from || to != from + 1 || ends != (from + 2, from + 3) {
        return None;
    }
    let extent =
        |first: usize, last: usize| Some((request.headers.get(first)?.start, request.headers.get(last)?.end));
    Some([extent(via, via)?, extent(from, from + 3)?])
}

/// Copies a part of a request.
#[inline]
fn copy(request: &Message, start: u32, end: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(request.bytes().get(start as usize..end as usize).unwrap_or_default());
}

/// Where a response adds to lines that it copies. The Via comes first.
#[derive(Clone, Copy)]
struct Additions {
    /// Where the value of the topmost Via begins, which is mended.
    via_at: u32,
    /// Where To ends, which gets a tag.
    tag_at: u32,
}

/// Behind every message.
const NOWHERE: u32 = u32::MAX;

/// Whether a line reads `Name: value` with one blank, and ends in CRLF right after the value, so that it can be
/// copied around its value.
#[inline]
fn is_plain(request: &Message, field: &Field) -> bool {
    let before = field.start + u32::from(field.name_len);
    field.value.start == before + 2
        && field.end == field.value.end() + 2
        && request.bytes().get(before as usize..).is_some_and(|rest| rest.starts_with(b": "))
}

/// A part of the request that is still to be copied: neighbours are copied at once.
#[derive(Default)]
struct Pending {
    start: u32,
    end: u32,
}

impl Pending {
    #[inline]
    fn add(&mut self, start: u32, end: u32, request: &Message, out: &mut Vec<u8>) {
        if self.end != start {
            self.flush(request, out);
            self.start = start;
        }
        self.end = end;
    }

    #[inline]
    fn flush(&mut self, request: &Message, out: &mut Vec<u8>) {
        let part = request.bytes().get(self.start as usize..self.end as usize);
        out.extend_from_slice(part.unwrap_or_default());
        self.start = self.end;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Skip,
    Copy,
    FixVia,
    AddTag,
}

/// Whether To has a tag. Of a malformed value it is only known that adding one would be wrong where it has one
/// already.
#[inline]
fn has_tag(request: &Message) -> bool {
    match &request.essentials.to {
        Ok(to) => to.has_tag(),
        Err(_) => {
            let value = request.value(Name::To).unwrap_or_default();
            value.windows(5).any(|window| window.eq_ignore_ascii_case(b";tag="))
        }
    }
}

/// Appends a response without a body to `out`. See [`Response`] for what is copied from the request.
/// `extra_headers` are complete lines, each with its line break.
pub fn response_into(
    out: &mut Vec<u8>,
    request: &Message,
    status: u16,
    reason: &[u8],
    to_tag: Option<&[u8]>,
    via_fix: Option<ViaFix>,
    extra_headers: &[u8],
) {
    Response { to_tag, via_fix, extra_headers: [extra_headers, b"", b""], ..Response::new(status, reason) }
        .write(request, out);
}

/// A request of our own: CANCEL, ACK, OPTIONS, REGISTER. All values are given as they are to be written.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a [u8],
    /// The Request-URI.
    pub uri: &'a [u8],
    /// The Via value; empty for a request that gets its Via when it is sent.
    pub via: &'a [u8],
    /// The From value, with its tag.
    pub from: &'a [u8],
    /// The To value, with its tag inside a dialog.
    pub to: &'a [u8],
    /// The Call-ID.
    pub call_id: &'a [u8],
    /// The CSeq number, below 2^31.
    pub cseq: u32,
    /// How many hops it may take; 70 is recommended (RFC 3261 §8.1.1.6).
    pub max_forwards: u8,
    /// Further header fields, Route among them: complete lines, each with its line break.
    pub extra_headers: &'a [u8],
    /// The body; its Content-Type is one of `extra_headers`.
    pub body: &'a [u8],
}

impl Request<'_> {
    /// Appends the request to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut line = |parts: &[&[u8]]| parts.iter().for_each(|part| out.extend_from_slice(part));
        line(&[self.method, b" ", self.uri, b" SIP/2.0\r\n"]);
        if !self.via.is_empty() {
            line(&[b"Via: ", self.via, b"\r\n"]);
        }
        line(&[b"From: ", self.from, b"\r\nTo: ", self.to, b"\r\nCall-ID: ", self.call_id, b"\r\nCSeq: "]);
        ascii::write_u32(out, self.cseq);
        out.push(b' ');
        out.extend_from_slice(self.method);
        out.extend_from_slice(b"\r\nMax-Forwards: ");
        ascii::write_u32(out, u32::from(self.max_forwards));
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(self.extra_headers);
        out.extend_from_slice(b"Content-Length: ");
        ascii::write_u32(out, self.body.len() as u32);
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(self.body);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINES: [&str; 12] = [
        "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa;rport\r\n",
        "v : SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKb , SIP/2.0/TCP h\r\n",
        "Via: SIP/2.0/UDP 192.0.2.1;received=192.0.2.3;branch=z9hG4bKa\r\n",
        "From: <sip:a@h>;tag=1\r\n",
        "To: <sip:a@h>\r\n",
        "t:  <sip:b@h>;tag=2\r\n",
        "To: <sip:a@h>\r\n ;x\r\n",
        "Call-ID: 1\r\n",
        "CSeq: 1 OPTIONS\r\n",
        "Record-Route:  <sip:p;lr>\r\n",
        "Timestamp: 1\r\n",
        "X: y\r\n",
    ];

    proptest! {
        #[test]
        fn lines_are_copied_together_as_one_by_one(
            places in prop_oneof![
                prop::collection::vec(0..LINES.len(), 0..9),
                // The usual order, and two of its lines exchanged.
                (0..6_usize, 0..6_usize, 0..3_usize).prop_map(|(one, other, via)| {
                    let mut places = vec![via, 11, 3, 4, 7, 8];
                    places.swap(one, other);
                    places
                }),
            ],
            switches: [bool; 3],
            status in prop_oneof![Just(100), Just(200)],
        ) {
            let [tag, fix, record_route] = switches;
            let lines: String = places.iter().filter_map(|place| LINES.get(*place).copied()).collect();
            let request = Message::parse(format!("OPTIONS sip:h SIP/2.0\r\n{lines}\r\n").into_bytes()).unwrap();
            let source = "192.0.2.9:5070".parse().unwrap();
            let response = Response {
                to_tag: tag.then_some(&b"t"[..]),
                via_fix: fix.then(|| ViaFix::to_source(source)),
                record_route,
                ..Response::new(status, b"Reason")
            };
            let (mut together, mut one_by_one) = (Vec::new(), Vec::new());
            response.copy_headers(&request, &mut together);
            response.copy_one_by_one(&request, &mut one_by_one);
            prop_assert_eq!(together.escape_ascii().to_string(), one_by_one.escape_ascii().to_string());
        }
    }
}
