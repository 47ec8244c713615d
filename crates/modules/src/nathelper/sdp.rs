//! Session descriptions behind a NAT: the addresses in them, and what `fix_nated_sdp` changes (RFC 4566).
//!
//! Works on bytes alone. What is not changed stays as it came, line ends included.

use std::net::IpAddr;
use std::ops::Range;

/// What to change in a description.
#[derive(Debug, Clone, Copy)]
pub struct Fix<'a> {
    /// The address to write.
    pub address: IpAddr,
    /// Whether `c=` lines get it.
    pub media: bool,
    /// Whether the `o=` line gets it.
    pub origin: bool,
    /// Whether addresses that say "none" (0.0.0.0, `::`) are replaced too.
    pub null: bool,
    /// Whether `a=direction:active` is added.
    pub direction_active: bool,
    /// Whether the address that a `c=` line had is kept as `a=oldcip`.
    pub keep_media: bool,
    /// Whether the address that the `o=` line had is kept as `a=oldoip`.
    pub keep_origin: bool,
    /// A line that marks the description as changed, without its line break; empty for none.
    pub marker: &'a [u8],
    /// Further lines, each with CR LF in front of it; empty for none.
    pub fields: &'a [u8],
}

/// Where the session description stands in a body: all of it, or one part of a multipart body (RFC 2046 section 5.1).
/// Parts inside of parts are not looked into.
#[must_use]
pub fn locate(content_type: &[u8], body: &[u8]) -> Option<Range<usize>> {
    if is_type(content_type, b"application/sdp") {
        return (!body.is_empty()).then_some(0..body.len());
    }
    if !content_type.get(..10)?.eq_ignore_ascii_case(b"multipart/") {
        return None;
    }
    let boundary = boundary(content_type)?;
    let mut start = None;
    for line in lines(body, 0) {
        let text = body.get(line.clone())?;
        let Some(rest) = text.strip_prefix(b"--").and_then(|text| text.strip_prefix(boundary)) else {
            continue;
        };
        if let Some(found) = start.and_then(|start| part(body, start, line.start)) {
            return Some(found);
        }
        // "--boundary--" is the last delimiter.
        start = (!rest.starts_with(b"--")).then_some(line.end);
    }
    None
}

/// The part between two delimiters, if it is a session description; the line break before the second delimiter
/// belongs to that.
fn part(body: &[u8], start: usize, delimiter: usize) -> Option<Range<usize>> {
    let mut is_description = false;
    for line in lines(body, start) {
        let text = body.get(line.clone())?.trim_ascii();
        if text.is_empty() {
            let part = body.get(line.end..delimiter)?;
            let end = part.strip_suffix(b"\n").map_or(part, |part| part.strip_suffix(b"\r").unwrap_or(part));
            return (is_description && !end.is_empty()).then_some(line.end..line.end + end.len());
        }
        let name = text.get(..13).is_some_and(|name| name.eq_ignore_ascii_case(b"Content-Type:"));
        is_description |= name && is_type(text.get(13..)?.trim_ascii(), b"application/sdp");
    }
    None
}

fn is_type(value: &[u8], wanted: &[u8]) -> bool {
    let kind = value.split(|byte| *byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(wanted)
}

/// The `boundary` parameter of a Content-Type, without its quotes.
fn boundary(content_type: &[u8]) -> Option<&[u8]> {
    let at = content_type.iter().position(|byte| *byte == b';')?;
    let value = seawall_sip::Params::new(content_type.get(at + 1..)?).value(b"boundary")?;
    let inner = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    Some(inner.unwrap_or(value)).filter(|boundary| !boundary.is_empty())
}

/// The lines of a text from a position on, line breaks included.
fn lines(text: &[u8], from: usize) -> impl Iterator<Item = Range<usize>> {
    let mut start = from;
    text.get(from..).unwrap_or_default().split_inclusive(|byte| *byte == b'\n').map(move |line| {
        let range = start..start + line.len();
        start = range.end;
        range
    })
}

/// The addresses to which media are to be sent: those of the `c=` lines.
pub fn media_addresses(description: &[u8]) -> impl Iterator<Item = IpAddr> {
    description
        .split(|byte| *byte == b'\n')
        .filter_map(|line| Connection::read(line).filter(|_| line.starts_with(b"c=")))
        .map(|connection| connection.address)
}

/// Whether the description has this line.
#[must_use]
pub fn has_line(description: &[u8], wanted: &[u8]) -> bool {
    description.split(|byte| *byte == b'\n').any(|line| line.trim_ascii_end() == wanted)
}

/// Appends the description with the changes; false when there was nothing to change.
pub fn write(description: &[u8], fix: &Fix<'_>, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let mut old = Vec::new();
    for line in description.split_inclusive(|byte| *byte == b'\n') {
        let wanted = (line.starts_with(b"c=") && fix.media) || (line.starts_with(b"o=") && fix.origin);
        let connection = wanted
            .then(|| Connection::read(line))
            .flatten()
            .filter(|found| found.address != fix.address && (fix.null || !found.address.is_unspecified()));
        let Some(connection) = connection else {
            out.extend_from_slice(line);
            continue;
        };
        let is_media = line.starts_with(b"c=");
        if if is_media { fix.keep_media } else { fix.keep_origin } {
            let name = if is_media { "oldcip" } else { "oldoip" };
            old.push(format!("a={name}:{}", connection.address).into_bytes());
        }
        connection.write(line, fix.address, out);
    }
    let is_rewritten = out.get(start..) != Some(description);
    old.dedup();
    if fix.direction_active && !has_line(description, b"a=direction:active") {
        old.push(b"a=direction:active".to_vec());
    }
    if !fix.marker.is_empty() {
        old.push(fix.marker.to_vec());
    }
    if old.is_empty() && fix.fields.is_empty() {
        return is_rewritten;
    }
    let end = out.trim_ascii_end().len().max(start);
    out.truncate(end);
    for line in &old {
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(line);
    }
    out.extend_from_slice(fix.fields);
    out.extend_from_slice(b"\r\n");
    true
}

/// Whether a text consists of lines of a description, each with CR LF in front of it.
#[must_use]
pub fn is_fields(text: &[u8]) -> bool {
    let Some(lines) = text.strip_prefix(b"\r\n") else { return text.is_empty() };
    let lines = String::from_utf8_lossy(lines);
    lines.split("\r\n").all(|line| {
        let mut bytes = line.bytes();
        let starts =
            bytes.next().is_some_and(|letter| letter.is_ascii_lowercase()) && bytes.next() == Some(b'=');
        starts && !line.contains(['\r', '\n', '\0'])
    })
}

/// The address of a `c=` or `o=` line: `IN IP4 192.0.2.1`, in an `o=` line behind three other words.
struct Connection {
    /// The address type and what follows, up to the end of the address with its TTL.
    place: Range<usize>,
    address: IpAddr,
}

impl Connection {
    fn read(line: &[u8]) -> Option<Self> {
        let words = if line.starts_with(b"c=") { 0 } else { 3 };
        let mut at = 2;
        for _ in 0..words {
            at += line.get(at..)?.iter().position(|byte| *byte == b' ')? + 1;
        }
        let rest = line.get(at..)?.strip_prefix(b"IN ")?;
        let kind_at = at + 3;
        let value = rest.strip_prefix(b"IP4 ").or_else(|| rest.strip_prefix(b"IP6 "))?;
        let len = value.iter().position(|byte| byte.is_ascii_whitespace()).unwrap_or(value.len());
        let text = value.get(..len)?;
        let host = text.split(|byte| *byte == b'/').next()?;
        let address = seawall_sip::uri::host_ip(host)?;
        Some(Self { place: kind_at..kind_at + 4 + len, address })
    }

    fn write(&self, line: &[u8], address: IpAddr, out: &mut Vec<u8>) {
        let kind = if address.is_ipv4() { "IP4" } else { "IP6" };
        out.extend_from_slice(line.get(..self.place.start).unwrap_or_default());
        out.extend_from_slice(format!("{kind} {address}").as_bytes());
        out.extend_from_slice(line.get(self.place.end..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n\
                         m=audio 4000 RTP/AVP 0\r\nc=IN IP4 10.0.0.2/127\r\nm=video 4002 RTP/AVP 96\r\nc=IN IP4 0.0.0.0\r\n";

    fn fix() -> Fix<'static> {
        Fix {
            address: "203.0.113.5".parse().unwrap(),
            media: false,
            origin: false,
            null: false,
            direction_active: false,
            keep_media: true,
            keep_origin: true,
            marker: b"",
            fields: b"",
        }
    }

    fn check(fix: &Fix<'_>, description: &str, expected: Option<&str>) {
        let mut out = Vec::new();
        let changed = write(description.as_bytes(), fix, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected.unwrap_or(description));
        assert_eq!(changed, expected.is_some());
    }

    #[test]
    fn media_addresses_are_rewritten_and_kept_in_a_line_of_their_own() {
        let expected =
            PLAIN.replace("c=IN IP4 10.0.0.1", "c=IN IP4 203.0.113.5").replace("10.0.0.2/127", "203.0.113.5")
                + "a=oldcip:10.0.0.1\r\na=oldcip:10.0.0.2\r\n";
        check(&Fix { media: true, ..fix() }, PLAIN, Some(&expected));
        let bare = expected.split("a=oldcip").next().unwrap().to_owned();
        check(&Fix { media: true, keep_media: false, ..fix() }, PLAIN, Some(&bare));
        let null = bare.replace("0.0.0.0", "203.0.113.5");
        check(&Fix { media: true, keep_media: false, null: true, ..fix() }, PLAIN, Some(&null));
    }

    #[test]
    fn the_origin_is_rewritten_alone() {
        let expected =
            PLAIN.replace("1 1 IN IP4 10.0.0.1", "1 1 IN IP4 203.0.113.5") + "a=oldoip:10.0.0.1\r\n";
        check(&Fix { origin: true, ..fix() }, PLAIN, Some(&expected));
    }

    #[test]
    fn the_family_of_the_address_is_written_too() {
        let fix = Fix { address: "2001:db8::1".parse().unwrap(), media: true, keep_media: false, ..fix() };
        check(&fix, "v=0\r\nc=IN IP4 10.0.0.1\r\n", Some("v=0\r\nc=IN IP6 2001:db8::1\r\n"));
    }

    #[test]
    fn lines_are_added_behind_the_others() {
        let fix = Fix { direction_active: true, marker: b"a=nortpproxy:yes", fields: b"\r\na=x", ..fix() };
        check(&fix, "v=0\r\ns=-", Some("v=0\r\ns=-\r\na=direction:active\r\na=nortpproxy:yes\r\na=x\r\n"));
        let plain = Fix { direction_active: true, ..self::fix() };
        check(&plain, "v=0\r\na=direction:active\r\n", None);
    }

    #[test]
    fn what_is_there_already_is_no_change() {
        check(&Fix { media: true, ..fix() }, "v=0\r\nc=IN IP4 203.0.113.5\r\n", None);
        check(
            &Fix { media: true, origin: true, ..fix() },
            "c=IN IP4\r\nc=\r\no=a b\r\nc=IN IP4 host.example\r\n",
            None,
        );
    }

    #[test]
    fn the_description_is_found_among_parts() {
        let body = "preamble\r\n--x y\r\nContent-Type: text/plain\r\n\r\nhello\r\n--x y\r\nContent-ID: 1\r\n\
                    content-type: application/sdp;a=b\r\n\r\nv=0\r\nc=IN IP4 10.0.0.1\r\n\r\n--x y--\r\n";
        let find = |kind: &str, body: &str| {
            locate(kind.as_bytes(), body.as_bytes()).map(|range| body[range].to_owned())
        };
        let found = Some("v=0\r\nc=IN IP4 10.0.0.1\r\n".to_owned());
        assert_eq!(find("multipart/mixed; boundary=\"x y\"", body), found);
        assert_eq!(find("multipart/mixed", body), None);
        assert_eq!(find("multipart/mixed;boundary=z", body), None);
        assert_eq!(find("Application/SDP ; x=y", "v=0"), Some("v=0".to_owned()));
        assert_eq!(find("application/sdp", ""), None);
        assert_eq!(find("text/plain", "v=0"), None);
    }

    #[test]
    fn fields_are_lines_with_a_line_break_in_front() {
        for (text, good) in [
            ("", true),
            ("\r\na=x", true),
            ("\r\na=x\r\nb=y", true),
            ("a=x", false),
            ("\r\na=x\r\n", false),
            ("\r\na=x\nb=y", false),
            ("\r\nX: y", false),
        ] {
            assert_eq!(is_fields(text.as_bytes()), good, "{text:?}");
        }
    }
}
