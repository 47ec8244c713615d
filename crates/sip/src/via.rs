//! Via (RFC 3261 §20.42, RFC 3581).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use thiserror::Error;

use crate::{
    ascii::{self, Class},
    cursor::Cursor,
    list::TakeItems,
    marks::Marks,
    message::Message,
    name::Name,
    params::{self, ParamError, ParamSpans, Params},
    span::Span,
    swar,
    uri::{host, host_ip},
};

/// What a branch starts with that is unique over space and time (RFC 3261 §8.1.1.7).
pub const MAGIC_COOKIE: &[u8] = b"z9hG4bK";

/// Why a value is no Via.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ViaError {
    /// There is no value.
    #[error("Via without a value")]
    Empty,
    /// Not `protocol/version/transport`.
    #[error("malformed protocol in Via")]
    Protocol,
    /// No host, or a malformed host or port.
    #[error("malformed sent-by in Via")]
    SentBy,
    /// The parameters are malformed.
    #[error(transparent)]
    Params(#[from] ParamError),
}

/// One Via value.
#[derive(Clone, Copy, Debug)]
pub struct Via<'a> {
    /// The whole value.
    pub raw: &'a [u8],
    /// The protocol, `SIP`.
    pub protocol: &'a [u8],
    /// The version, `2.0`.
    pub version: &'a [u8],
    /// The transport as it was written, such as `UDP`; unknown ones are legal.
    pub transport: &'a [u8],
    /// Host and port as they were written.
    pub sent_by: &'a [u8],
    /// The host of sent-by, with the brackets of an IPv6 address.
    pub host: &'a [u8],
    /// The port of sent-by, if it is given.
    pub port: Option<u16>,
    /// The parameters.
    pub params: Params<'a>,
    branch: Option<&'a [u8]>,
    received: Option<&'a [u8]>,
    /// The whole rport parameter.
    rport: Option<&'a [u8]>,
}

impl<'a> Via<'a> {
    /// Takes one Via value apart. White space may stand around `/`, `:` and `;` (RFC 4475 §3.1.1.1).
    ///
    /// # Errors
    /// The first fault, parameters included.
    #[inline]
    pub fn parse(value: &'a [u8]) -> Result<Via<'a>, ViaError> {
        let mut cursor = Cursor::new(value);
        let via = ViaSpans::take(&mut cursor)?;
        if cursor.is_at_end() { Ok(via.view(value)) } else { Err(ViaError::Params(ParamError::Junk)) }
    }

    /// The topmost Via of a message.
    ///
    /// # Errors
    /// There is none, or it is malformed.
    #[inline]
    pub fn top(message: &'a Message) -> Result<Via<'a>, ViaError> {
        message.essentials.via.map(|via| via.view(message.bytes()))
    }

    /// The branch parameter of the topmost Via of a message, for less than [`top`](Via::top). `None` where there is none, or no
    /// Via.
    #[inline]
    #[must_use]
    pub fn top_branch(message: &'a Message) -> Option<&'a [u8]> {
        let via = message.essentials.via.as_ref().ok()?;
        via.branch.map(|branch| branch.of(message.bytes()))
    }

    /// The branch parameter.
    #[inline]
    #[must_use]
    pub fn branch(&self) -> Option<&'a [u8]> {
        self.branch
    }

    /// Whether the branch is unique as RFC 3261 §8.1.1.7 has it: the magic cookie and something after it.
    #[inline]
    #[must_use]
    pub fn has_unique_branch(&self) -> bool {
        self.branch()
            .and_then(|branch| branch.strip_prefix(MAGIC_COOKIE))
            .is_some_and(|rest| !rest.is_empty())
    }

    /// The received parameter as it was written; both forms of an IPv6 address are seen (RFC 5118 §4.5).
    #[inline]
    #[must_use]
    pub fn received(&self) -> Option<&'a [u8]> {
        self.received
    }

    /// The received parameter as an address.
    #[must_use]
    pub fn received_ip(&self) -> Option<IpAddr> {
        self.received().and_then(host_ip)
    }

    /// The rport parameter (RFC 3581): `None` if it is absent, `Some(None)` if it asks for a value. One that is no
    /// port counts as without value.
    #[inline]
    #[must_use]
    pub fn rport(&self) -> Option<Option<u16>> {
        self.rport.map(|raw| {
            let digits = raw.get(swar::find(raw, b'=')? + 1..)?;
            ascii::parse_port(ascii::trim(digits)).ok()
        })
    }

    /// Whether there is an rport parameter, with or without a value.
    #[inline]
    #[must_use]
    pub fn has_rport(&self) -> bool {
        self.rport.is_some()
    }

    /// The maddr parameter.
    #[inline]
    #[must_use]
    pub fn maddr(&self) -> Option<&'a [u8]> {
        self.params.value(b"maddr")
    }

    /// The ttl parameter, 0 to 255; `None` where it is absent or out of range.
    #[must_use]
    pub fn ttl(&self) -> Option<u8> {
        let value = ascii::parse_u32(self.params.value(b"ttl")?).ok()?;
        u8::try_from(value).ok()
    }

    /// The host of sent-by as an IP address, if it is one.
    #[must_use]
    pub fn host_ip(&self) -> Option<IpAddr> {
        host_ip(self.host)
    }
}

/// One Via value by its place.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ViaSpans {
    pub(crate) raw: Span,
    protocol: Span,
    version: Span,
    transport: Span,
    sent_by: Span,
    host: Span,
    port: Option<u16>,
    params: Span,
    branch: Option<Span>,
    received: Option<Span>,
    /// Name and value.
    rport: Option<Span>,
}

/// Bytes before the host as nearly all write them.
const PLAIN_PROTOCOL: usize = b"SIP/2.0/UDP ".len();

impl ViaSpans {
    /// Takes a Via value up to the end of the text or a comma.
    #[inline]
    pub(crate) fn take(cursor: &mut Cursor<'_>) -> Result<ViaSpans, ViaError> {
        if let Some(plain) = ViaSpans::take_plain(cursor.text(), cursor.position()) {
            cursor.skip(plain.raw.len as usize);
            return Ok(plain);
        }
        ViaSpans::take_any(cursor)
    }

    /// As [`take`](ViaSpans::take), however it is written.
    #[inline(never)]
    fn take_any(cursor: &mut Cursor<'_>) -> Result<ViaSpans, ViaError> {
        cursor.skip_lws();
        if cursor.is_at_end() {
            return Err(ViaError::Empty);
        }
        let start = cursor.position();
        let mut via = ViaSpans::default();
        via.take_protocol(cursor).ok_or(ViaError::Protocol)?;
        via.take_sent_by(cursor)?;
        cursor.skip_lws();
        let params_start = cursor.position() + 1;
        params::take_all(cursor, |name, param| via.note(name, param))?;
        via.params = cursor.trimmed_since(params_start);
        via.raw = cursor.trimmed_since(start);
        Ok(via)
    }

    /// `protocol "/" version "/" transport LWS`.
    #[inline]
    fn take_protocol(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        let start = cursor.position();
        let mut slashes = true;
        if cursor.rest().starts_with(b"SIP/2.0/") {
            // As nearly all begin.
            self.protocol = Span::between(start, start + 3);
            self.version = Span::between(start + 4, start + 7);
            cursor.skip(8);
        } else {
            self.protocol = cursor.run(Class::TOKEN);
            cursor.skip_lws();
            slashes &= cursor.eat(b'/');
            cursor.skip_lws();
            self.version = cursor.run(Class::TOKEN);
            cursor.skip_lws();
            slashes &= cursor.eat(b'/');
        }
        cursor.skip_lws();
        if let [b'U', b'D', b'P', b' ', ..] | [b'T', b'C', b'P', b' ', ..] = cursor.rest() {
            self.transport = Span { start: cursor.position() as u32, len: 3 };
            cursor.skip(3);
        } else {
            self.transport = cursor.run(Class::TOKEN);
        }
        let complete = slashes && cursor.skip_lws();
        let empty = self.protocol.is_empty() || self.version.is_empty() || self.transport.is_empty();
        (complete && !empty).then_some(())
    }

    /// `host [ ":" port ]`; white space may stand around the colon, which it may not in a URI.
    #[inline]
    fn take_sent_by(&mut self, cursor: &mut Cursor<'_>) -> Result<(), ViaError> {
        self.host = host(cursor).ok_or(ViaError::SentBy)?;
        self.sent_by = self.host;
        cursor.skip_lws();
        if !cursor.eat(b':') {
            return Ok(());
        }
        cursor.skip_lws();
        let digits = cursor.run(Class::DIGIT);
        self.port = Some(ascii::parse_port(cursor.slice(digits)).map_err(|_| ViaError::SentBy)?);
        self.sent_by = cursor.since(self.host.start as usize);
        Ok(())
    }

    /// Takes a text from `start` to its end that is one Via value as nearly all are written: one of the usual transports, a host
    /// and a port, a branch and rport and nothing else. `None` is no verdict.
    #[inline]
    fn take_plain(text: &[u8], start: usize) -> Option<ViaSpans> {
        let span = |at: usize, len: usize| Span { start: (start + at) as u32, len: len as u32 };
        let value = text.get(start..)?;
        let (protocol, _) = value.split_first_chunk::<PLAIN_PROTOCOL>()?;
        if !matches!(protocol, b"SIP/2.0/UDP " | b"SIP/2.0/TCP " | b"SIP/2.0/TLS ") {
            return None;
        }
        // Host names consist of what is no mark.
        let mut marks = Marks::new(text, start + PLAIN_PROTOCOL);
        let host_end = marks.next();
        let host = Span::between(start + PLAIN_PROTOCOL, host_end);
        let (mut at, mut port) = (host_end, None);
        if text.get(at) == Some(&b':') {
            at = marks.next();
            port = Some(ascii::parse_port(text.get(host_end + 1..at)?).ok()?);
        }
        if host.is_empty() {
            return None;
        }
        let mut via = ViaSpans {
            raw: Span::between(start, text.len()),
            protocol: span(0, 3),
            version: span(4, 3),
            transport: span(8, 3),
            sent_by: Span::between(start + PLAIN_PROTOCOL, at),
            host,
            port,
            params: Span::between(at + 1, text.len()),
            ..ViaSpans::default()
        };
        while at < text.len() {
            let param = at + 1;
            match text.get(at..)? {
                [b';', b'b', b'r', b'a', b'n', b'c', b'h', b'=', ..] if via.branch.is_none() => {
                    let branch = marks.next() + 1;
                    at = marks.next_outside(Class::VALUE);
                    via.branch = Some(Span::between(branch, at)).filter(|branch| !branch.is_empty());
                    via.branch?;
                }
                [b';', b'r', b'p', b'o', b'r', b't', ..] if via.rport.is_none() => {
                    at = marks.next();
                    via.rport = Some(Span::between(param, at)).filter(|rport| rport.len == 5);
                    via.rport?;
                }
                _ => return None,
            }
        }
        Some(via)
    }

    /// Host, port and branch of a value that is written as nearly all are, each where it is there: what differs from one message
    /// of a sender to the next. `None` is no verdict.
    pub(crate) fn plain_parts(&self, text: &[u8], value: Span) -> Option<[Option<Span>; 3]> {
        let via = ViaSpans::take_plain(text.get(..value.end() as usize)?, value.start as usize)?;
        let port = via.port.map(|_| Span::between(via.host.end() as usize + 1, via.sent_by.end() as usize));
        Some([Some(via.host), port, via.branch])
    }

    /// The same Via, one with [`plain_parts`](ViaSpans::plain_parts), at another place, where host, port and branch are longer by
    /// so much. The port is another one.
    #[inline]
    pub(crate) fn moved(&self, start: u32, [host, port, branch]: [u32; 3], number: Option<u16>) -> ViaSpans {
        let by = start.wrapping_sub(self.raw.start);
        let sent_by = host.wrapping_add(port);
        let behind_port = by.wrapping_add(sent_by);
        let is_behind = |span: &Span| self.branch.is_some_and(|branch| branch.start < span.start);
        let behind_branch =
            |span: &Span| if is_behind(span) { behind_port.wrapping_add(branch) } else { behind_port };
        let at = |place: usize, len: u32| Span { start: start.wrapping_add(place as u32), len };
        ViaSpans {
            raw: Span { start, len: self.raw.len.wrapping_add(sent_by).wrapping_add(branch) },
            protocol: at(0, 3),
            version: at(4, 3),
            transport: at(8, 3),
            sent_by: at(PLAIN_PROTOCOL, self.sent_by.len.wrapping_add(sent_by)),
            host: at(PLAIN_PROTOCOL, self.host.len.wrapping_add(host)),
            port: number,
            params: self.params.moved(behind_port).longer(branch),
            branch: self.branch.map(|span| span.moved(behind_port).longer(branch)),
            received: None,
            rport: self.rport.map(|span| span.moved(behind_branch(&span))),
        }
    }

    /// Whether it is all of a value, has no received, and ends in an rport without a value.
    pub(crate) fn ends_in_rport(&self, value: Span) -> bool {
        let is_last = |rport: Span| rport.len == 5 && rport.end() == value.end();
        self.raw == value && self.received.is_none() && self.rport.is_some_and(is_last)
    }

    /// The port of sent-by, if it is given.
    #[inline]
    pub(crate) fn port(&self) -> Option<u16> {
        self.port
    }

    /// Keeps the parameters that nearly every message is asked for.
    #[inline]
    fn note(&mut self, name: &[u8], param: &ParamSpans) {
        match name.len() {
            5 if self.rport.is_none() && ascii::eq_ignore_case(name, b"rport") => {
                self.rport = Some(param.raw());
            }
            6 if self.branch.is_none() && ascii::eq_ignore_case(name, b"branch") => self.branch = param.value,
            8 if self.received.is_none() && ascii::eq_ignore_case(name, b"received") => {
                self.received = param.value;
            }
            _ => {}
        }
    }

    /// Where the value ends.
    #[inline]
    pub(crate) fn end(&self) -> u32 {
        self.raw.end()
    }

    #[inline]
    pub(crate) fn view<'a>(&self, text: &'a [u8]) -> Via<'a> {
        let part = |span: Span| span.of(text);
        Via {
            raw: part(self.raw),
            protocol: part(self.protocol),
            version: part(self.version),
            transport: part(self.transport),
            sent_by: part(self.sent_by),
            host: part(self.host),
            port: self.port,
            params: Params::new(part(self.params)),
            branch: self.branch.map(part),
            received: self.received.map(part),
            rport: self.rport.map(part),
        }
    }
}

/// The Via values of one header value.
#[derive(Clone, Debug)]
pub struct Vias<'a> {
    items: TakeItems<'a>,
}

impl<'a> Vias<'a> {
    /// The values of a Via header field; an empty one gives an error.
    #[inline]
    #[must_use]
    pub fn new(value: &'a [u8]) -> Vias<'a> {
        Vias { items: TakeItems::new(value) }
    }
}

impl<'a> Iterator for Vias<'a> {
    type Item = Result<Via<'a>, ViaError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.items.next(|cursor| ViaSpans::take(cursor).map(|via| via.view(cursor.text())))
    }
}

/// The Via values of a message, topmost first, over all header fields and commas.
#[inline]
pub fn vias(message: &Message) -> impl Iterator<Item = Result<Via<'_>, ViaError>> + Clone {
    message.header_all(Name::Via).flat_map(|header| Vias::new(header.value))
}

/// What the topmost Via of a request says about the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WayBack {
    /// What the Via lacks ([`ViaFix::for_source`]).
    pub fix: Option<ViaFix>,
    /// The port of sent-by, if it is given.
    pub port: Option<u16>,
    /// Whether there is an rport parameter, with or without a value.
    pub has_rport: bool,
}

impl WayBack {
    /// That of a request which came from this address; `None` if it has no Via that is one.
    // As large as a call of it: who asks for every request takes it apart at once.
    #[inline(always)]
    #[must_use]
    pub fn of(message: &Message, source: SocketAddr) -> Option<WayBack> {
        let via = message.essentials.via.as_ref().ok()?;
        let has_rport = via.rport.is_some();
        let fix = if has_rport {
            // As nearly all ask, and then nothing else of it matters.
            Some(ViaFix::to_source(source))
        } else {
            ViaFix::for_source(&via.view(message.bytes()), source)
        };
        Some(WayBack { fix, port: via.port, has_rport })
    }
}

/// What a server adds to the topmost Via of a request that it received (RFC 3261 §18.2.1, RFC 3581 §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ViaFix {
    /// The source address, to be written as `received`.
    pub received: Option<IpAddr>,
    /// The source port, to be written into the client's `rport`.
    pub rport: Option<u16>,
}

impl ViaFix {
    /// What the topmost Via lacks, given the address that the request came from; `None` if nothing. received is
    /// added when sent-by is not the source address, and always together with rport.
    #[must_use]
    pub fn for_source(via: &Via<'_>, source: SocketAddr) -> Option<ViaFix> {
        if via.rport.is_some() {
            return Some(ViaFix::to_source(source));
        }
        let ip = source.ip().to_canonical();
        let honest = via.host_ip().map(|host| host.to_canonical()) == Some(ip) && via.received().is_none();
        (!honest).then_some(ViaFix { received: Some(ip), rport: None })
    }

    /// The source address and its port, whatever the Via says.
    #[inline]
    #[must_use]
    pub fn to_source(source: SocketAddr) -> ViaFix {
        ViaFix { received: Some(source.ip().to_canonical()), rport: Some(source.port()) }
    }

    /// Appends the Via value with the fix applied. A `received` that the client wrote itself is replaced, and an
    /// `rport` that it did not write is added.
    pub fn write(&self, via: &Via<'_>, out: &mut Vec<u8>) {
        if self.received.is_some() && via.received.is_some() {
            self.write_params(via, out);
        } else {
            let rport = via.rport.and_then(|param| Span::locate(via.raw, param));
            self.write_plain(via.raw, rport, out);
        }
        self.write_additions(via.rport.is_some(), out);
    }

    /// Copies the bytes of a message from `start` to the end of its topmost Via, with the fix applied.
    #[inline]
    pub(crate) fn copy_to_end(&self, start: u32, via: &ViaSpans, message: &[u8], out: &mut Vec<u8>) {
        let copy = |end: u32, out: &mut Vec<u8>| {
            out.extend_from_slice(message.get(start as usize..end as usize).unwrap_or_default());
        };
        // As nearly all ask for it.
        if let (Some(IpAddr::V4(address)), Some(port), Some(asked)) = (self.received, self.rport, via.rport)
            && via.received.is_none()
            && asked.end() == via.end()
        {
            copy(asked.start, out);
            write_source(address, port, out);
        } else {
            copy(via.raw.start, out);
            self.write_spans(via, message, out);
        }
    }

    /// As [`write`](ViaFix::write), for the topmost Via of a message by its place in the bytes of the message.
    pub(crate) fn write_spans(&self, via: &ViaSpans, message: &[u8], out: &mut Vec<u8>) {
        if self.received.is_some() && via.received.is_some() {
            return self.write(&via.view(message), out);
        }
        let rport = via.rport.map(|param| Span { start: param.start - via.raw.start, ..param });
        self.write_plain(via.raw.of(message), rport, out);
        self.write_additions(rport.is_some(), out);
    }

    /// The value as it is, but for its rport, which stands at `rport` in it.
    #[inline]
    fn write_plain(&self, value: &[u8], rport: Option<Span>, out: &mut Vec<u8>) {
        let (Some(port), Some(span)) = (self.rport, rport) else { return out.extend_from_slice(value) };
        out.extend_from_slice(value.get(..span.start as usize).unwrap_or_default());
        write_rport(port, out);
        out.extend_from_slice(value.get(span.end() as usize..).unwrap_or_default());
    }

    /// What comes after the value.
    #[inline]
    fn write_additions(&self, asks_for_rport: bool, out: &mut Vec<u8>) {
        if let Some(received) = self.received {
            out.extend_from_slice(b";received=");
            ascii::write_ip(out, received);
        }
        // The client did not ask, but the script wants the source port to be used (`force_rport`).
        if let (Some(port), false) = (self.rport, asks_for_rport) {
            out.push(b';');
            write_rport(port, out);
        }
    }

    /// The value parameter by parameter, without received.
    fn write_params(&self, via: &Via<'_>, out: &mut Vec<u8>) {
        let head = Span::locate(via.raw, via.sent_by).map_or(via.raw.len(), |span| span.end() as usize);
        out.extend_from_slice(via.raw.get(..head).unwrap_or_default());
        for param in via.params {
            if ascii::eq_ignore_case(param.name, b"received") {
                continue;
            }
            out.push(b';');
            match self.rport {
                Some(port) if ascii::eq_ignore_case(param.name, b"rport") => write_rport(port, out),
                _ => out.extend_from_slice(param.raw),
            }
        }
    }
}

/// The length of an rport without a value and of the line break behind it.
pub(crate) const LAST_RPORT: u32 = b"rport\r\n".len() as u32;

/// Appends the last parameters of a Via that asks for its source: rport, and what is added behind it.
#[inline]
fn write_source(address: Ipv4Addr, port: u16, out: &mut Vec<u8>) {
    let (text, end) = source_text(address, port);
    ascii::push_start(out, &text, end);
}

/// As [`write_source`], and the end of the line.
#[inline]
pub(crate) fn write_source_line(address: Ipv4Addr, port: u16, out: &mut Vec<u8>) {
    let (mut text, end) = source_text(address, port);
    ascii::put(&mut text, end, *b"\r\n");
    ascii::push_start(out, &text, end + 2);
}

#[inline]
fn source_text(address: Ipv4Addr, port: u16) -> ([u8; 40], usize) {
    const RPORT: [u8; 6] = *b"rport=";
    const RECEIVED: [u8; 10] = *b";received=";
    // The longest has 36 bytes; addresses are written as if each octet had four.
    let mut text = [0; 40];
    let (digits, len) = ascii::short_digits(u32::from(port));
    ascii::put(&mut text, 0, RPORT);
    ascii::put(&mut text, RPORT.len(), digits);
    let received = RPORT.len() + len;
    ascii::put(&mut text, received, RECEIVED);
    let end = ascii::put_v4(&mut text, received + RECEIVED.len(), address);
    (text, end)
}

fn write_rport(port: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(b"rport=");
    ascii::write_u32(out, u32::from(port));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_plain_value_is_what_the_general_way_makes_of_it(
            start in "(SIP/2.0/(UDP|TCP|TLS|udp|SCTP)|sip/2.0/UDP|SIP / 2.0 / UDP) ? ?",
            sent_by in "(host|192.0.2.1|\\[::1\\]|)( ?: ?[0-9]{0,6})?",
            params in prop::collection::vec(
                "(;| ; |;;)(branch|rport|received|BRANCH|rports|x)(=[a-z0-9.]{0,6}|=\"q;\"|=|)[ ,]?", 0..5
            ),
        ) {
            let value = format!("{start}{sent_by}{}", params.concat());
            let mut cursor = Cursor::new(value.as_bytes());
            let general = ViaSpans::take_any(&mut cursor);
            if let Some(plain) = ViaSpans::take_plain(value.as_bytes(), 0) {
                prop_assert_eq!(format!("{:?}", Ok::<_, ViaError>(plain)), format!("{general:?}"));
                prop_assert!(cursor.is_at_end());
            }
        }
    }

    proptest! {
        #[test]
        fn the_source_of_a_message_is_written_as_that_of_a_value_is(
            params in prop::collection::vec(
                prop::sample::select(&[";rport", ";rport=1", ";branch=z9hG4bKa", ";received=192.0.2.7", ";x"][..]), 0..4
            ),
            behind in prop::sample::select(&["", " , SIP/2.0/TCP h"][..]),
            address in prop_oneof![3 => any::<Ipv4Addr>().prop_map(IpAddr::V4), 1 => any::<std::net::Ipv6Addr>().prop_map(IpAddr::V6)],
            (port, has_received, has_rport) in any::<(u16, bool, bool)>(),
        ) {
            let value = format!("SIP/2.0/UDP h:5060{}", params.concat());
            let text = format!("OPTIONS sip:h SIP/2.0\r\nVia: {value}{behind}\r\n\r\n");
            let message = Message::parse(text.into_bytes()).unwrap();
            let fix = ViaFix { received: has_received.then_some(address), rport: has_rport.then_some(port) };
            let start = message.header(Name::Via).unwrap().span.start;
            let (mut found, mut expected) = (Vec::new(), b"Via: ".to_vec());
            fix.copy_to_end(start, message.essentials.via.as_ref().unwrap(), message.bytes(), &mut found);
            fix.write(&Via::parse(value.as_bytes()).unwrap(), &mut expected);
            prop_assert_eq!(String::from_utf8(found), String::from_utf8(expected));
        }
    }

    #[test]
    fn what_phones_write_is_plain() {
        for usual in [
            "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKnashds8;rport",
            "SIP/2.0/TCP a-host.example;rport;branch=z9hG4bK.x-y_z~1",
            "SIP/2.0/TLS host",
        ] {
            assert!(ViaSpans::take_plain(usual.as_bytes(), 0).is_some(), "{usual}");
        }
    }
}
