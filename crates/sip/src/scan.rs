//! The scanner: one pass over the bytes, line by line. It finds where things stand and nothing more;
//! what a value means is for the typed views, whether a message is acceptable for [`validate`](crate::validate).

use memchr::memrchr;

use crate::{
    ascii,
    limits::{MAX_HEAD_BYTES, MAX_HEADERS, MAX_MESSAGE_BYTES, MAX_METHOD_BYTES},
    message::{ABSENT, BadRequest, Field, Framing, Kind, Message, ScanError, StartLine},
    method::Method,
    name::Name,
    span::Span,
    swar,
};

/// Fills in everything but the bytes. Expects the other fields in their empty state.
pub(crate) fn scan(message: &mut Message, framing: Framing) -> Result<(), ScanError> {
    let Message { bytes, flaw, .. } = message;
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(ScanError::TooLarge);
    }
    // Line breaks before the start line are ignored (RFC 3261 §7.5).
    let begin = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).ok_or(ScanError::Empty)?;
    let (line_end, headers_start) = line_end(bytes, begin, begin, flaw);
    message.start = start_line(bytes, begin, line_end, flaw).ok_or_else(|| not_a_start_line(bytes))?;
    let body_start = header_section(message, headers_start);
    if message.head_end as usize - begin > MAX_HEAD_BYTES {
        return Err(ScanError::TooLarge);
    }
    message.body = body(message, body_start, framing);
    Ok(())
}

#[cold]
fn not_a_start_line(bytes: &[u8]) -> ScanError {
    let idle = bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | b'\0' | b' '));
    if idle { ScanError::Empty } else { ScanError::NotSip }
}

/// The first fault is the one that is reported.
#[cold]
fn note(flaw: &mut Option<BadRequest>, found: BadRequest) {
    flaw.get_or_insert(found);
}

/// Where the line that starts at `start` ends, without and with its line break. Lines that fold into it
/// (RFC 3261 §7.3.1) belong to it. Up to `from` there is no control character in it.
#[inline]
fn line_end(bytes: &[u8], start: usize, from: usize, flaw: &mut Option<BadRequest>) -> (usize, usize) {
    let at = swar::find_control(bytes, from);
    match bytes.get(at..) {
        Some([b'\r', b'\n', next, ..]) if !matches!(next, b' ' | b'\t') => (at, at + 2),
        _ => unusual_line_end(bytes, start, at, flaw),
    }
}

/// As [`line_end`], for folded lines, stray control characters and the end of the message. `at` is the first
/// control character.
#[inline(never)]
fn unusual_line_end(
    bytes: &[u8],
    start: usize,
    mut at: usize,
    flaw: &mut Option<BadRequest>,
) -> (usize, usize) {
    loop {
        let next = match bytes.get(at..).unwrap_or_default() {
            [] => return (bytes.len(), bytes.len()),
            [b'\r', b'\n', ..] => at + 2,
            // A bare LF ends the line, so that the rest of the head is found, but it is refused later: an element
            // behind this one that does not see a line end there would read other headers than this one did.
            [b'\n', ..] => {
                note(flaw, BadRequest::ControlCharacter);
                at + 1
            }
            [b'\0', ..] if is_quoted_pair(bytes, start, at) => {
                at = swar::find_control(bytes, at + 1);
                continue;
            }
            [b'\r' | b'\0', ..] => {
                note(flaw, BadRequest::ControlCharacter);
                at = swar::find_control(bytes, at + 1);
                continue;
            }
            // HTAB is a blank; other control characters cannot be taken for a delimiter by anybody.
            _ => {
                at = swar::find_control(bytes, at + 1);
                continue;
            }
        };
        if !matches!(bytes.get(next), Some(b' ' | b'\t')) {
            return (at, next);
        }
        at = swar::find_control(bytes, next + 1);
    }
}

/// Whether the byte at `at` is the second of a quoted pair inside a quoted string: the one place where NUL is
/// allowed (RFC 3261 §25.1, RFC 4475 §3.1.1.2).
#[cold]
fn is_quoted_pair(bytes: &[u8], line_start: usize, at: usize) -> bool {
    let mut quoted = false;
    let mut escaped = false;
    for &byte in bytes.get(line_start..at).unwrap_or_default() {
        if escaped {
            escaped = false;
        } else if quoted && byte == b'\\' {
            escaped = true;
        } else if byte == b'"' {
            quoted = !quoted;
        }
    }
    quoted && escaped
}

/// Splits the first line. `None` if it is neither a request line nor a status line.
fn start_line(bytes: &[u8], begin: usize, end: usize, flaw: &mut Option<BadRequest>) -> Option<StartLine> {
    let line = bytes.get(begin..end)?;
    let first_end = swar::find(line, b' ')?;
    let first = line.get(..first_end)?;
    let mut start = StartLine {
        line: Span::between(begin, end),
        first: Span::between(begin, begin + first_end),
        ..StartLine::default()
    };
    let after_first = begin + first_end + 1;
    if is_version(first) {
        start.kind = Kind::Response;
        let rest = bytes.get(after_first..end)?;
        let code_end = swar::find(rest, b' ').unwrap_or(rest.len());
        start.middle = Span::between(after_first, after_first + code_end);
        start.last = Span::between((after_first + code_end + 1).min(end), end);
        start.status = match start.middle.of(bytes) {
            code @ [b'1'..=b'6', _, _] => ascii::parse_u32(code).map_or(0, |status| status as u16),
            _ => 0,
        };
        return Some(start);
    }
    if !ascii::is_token(first) {
        return None;
    }
    start.kind = Kind::Request;
    start.method = Method::from_bytes(first);
    // The version is the last word, so that blanks inside the Request-URI stay with the Request-URI, which is
    // where they are refused.
    let trimmed_end = begin + ascii::trim_end(line).len();
    let version_start = match line {
        // As nearly all end.
        [.., b' ', b'S', b'I', b'P', b'/', b'2', b'.', b'0'] => trimmed_end - 7,
        _ => begin + memrchr(b' ', bytes.get(begin..trimmed_end)?)? + 1,
    };
    let uri_end = version_start.saturating_sub(1);
    if uri_end < after_first || !is_version(bytes.get(version_start..trimmed_end)?) {
        return None;
    }
    let uri = bytes.get(after_first..uri_end)?;
    let trimmed = ascii::trim(uri);
    if trimmed.len() != uri.len()
        || trimmed_end != end
        || trimmed.is_empty()
        || first.len() > MAX_METHOD_BYTES
    {
        note(flaw, BadRequest::StartLine);
    }
    let uri_start = after_first + (uri.len() - ascii::trim_start(uri).len());
    start.middle = Span::between(uri_start, uri_start + trimmed.len());
    start.last = Span::between(version_start, trimmed_end);
    Some(start)
}

#[inline]
fn is_version(word: &[u8]) -> bool {
    word.get(..4).is_some_and(|protocol| protocol == b"SIP/" || protocol.eq_ignore_ascii_case(b"SIP/"))
}

/// Records the header fields from `at` on; gives the position where the body starts.
#[inline]
fn header_section(message: &mut Message, mut at: usize) -> usize {
    let Message { bytes, headers, first, repeated, flaw, head_end, .. } = message;
    while let Some(byte) = bytes.get(at)
        && !matches!(byte, b'\r' | b'\n')
        && headers.len() < MAX_HEADERS
    {
        // As nearly all are written: a known name, the colon, one blank and a value without blanks around it.
        if let Some((name, colon)) = known_name(bytes, at) {
            let after_colon = at + usize::from(colon) + 1;
            let (content_end, next) = line_end(bytes, at, after_colon, flaw);
            if let Some(value) = plain_value(bytes, after_colon, content_end) {
                let field = Field { name, name_len: colon, start: at as u32, end: next as u32, value };
                record(field, headers, first, repeated);
                at = next;
                continue;
            }
        }
        at = unusual_field(bytes, at, headers, first, repeated, flaw);
    }
    *head_end = at as u32;
    match bytes.get(at..).unwrap_or_default() {
        [b'\r', b'\n', ..] => at + 2,
        [] => {
            note(flaw, BadRequest::NoEmptyLine);
            at
        }
        [b'\r' | b'\n', ..] => {
            note(flaw, BadRequest::ControlCharacter);
            at + 1
        }
        _ => {
            note(flaw, BadRequest::TooManyHeaders);
            bytes.len()
        }
    }
}

#[inline]
fn record(field: Field, headers: &mut Vec<Field>, first: &mut [u16; Name::COUNT], repeated: &mut u64) {
    if let Some(slot) = first.get_mut(field.name.index()) {
        if *slot == ABSENT {
            *slot = headers.len() as u16;
        } else {
            *repeated |= 1 << field.name.index();
        }
    }
    headers.push(field);
}

/// Records a header line that is not written in the usual way; gives the position after it.
#[inline(never)]
fn unusual_field(
    bytes: &[u8],
    at: usize,
    headers: &mut Vec<Field>,
    first: &mut [u16; Name::COUNT],
    repeated: &mut u64,
    flaw: &mut Option<BadRequest>,
) -> usize {
    let (content_end, next) = line_end(bytes, at, at, flaw);
    match field(bytes, at, content_end, next) {
        Some(field) => record(field, headers, first, repeated),
        None => note(flaw, BadRequest::HeaderLine),
    }
    next
}

fn field(bytes: &[u8], start: usize, content_end: usize, end: usize) -> Option<Field> {
    let content = bytes.get(start..content_end)?;
    let (name, name_len, colon) = any_name(content)?;
    let value = ascii::trim(content.get(colon + 1..)?);
    let value_start = if value.is_empty() { content_end } else { Span::locate(bytes, value)?.start as usize };
    Some(Field {
        name,
        name_len,
        start: start as u32,
        end: end as u32,
        value: Span::between(value_start, value_start + value.len()),
    })
}

/// The value after one blank, if there are no more around it.
#[inline]
fn plain_value(bytes: &[u8], after_colon: usize, content_end: usize) -> Option<Span> {
    let line = bytes.get(..content_end)?;
    let &[blank, first] = line.get(after_colon..)?.first_chunk::<2>()?;
    let last = *line.last()?;
    (blank == b' ' && first > b' ' && last > b' ').then(|| Span::between(after_colon + 1, content_end))
}

/// The name of a header line as nearly all are: known and directly followed by the colon. Gives its length, too;
/// `None` is no verdict.
#[inline]
fn known_name(bytes: &[u8], start: usize) -> Option<(Name, u16)> {
    let rest = bytes.get(start..)?;
    let words = swar::first_words(rest).or_else(|| last_words(rest))?;
    let colon = swar::find_in_words(&words, b':')?;
    let name = Name::from_words(&words, colon);
    (name != Name::Other).then_some((name, colon as u16))
}

/// As [`swar::first_words`] for the last bytes of a message.
#[inline(never)]
fn last_words(rest: &[u8]) -> Option<[u64; 3]> {
    swar::padded_words(rest)
}

/// The name of any header line; `None` if it is no token or there is no colon.
fn any_name(content: &[u8]) -> Option<(Name, u16, usize)> {
    let colon = swar::find(content, b':')?;
    let written = ascii::trim_end(content.get(..colon)?);
    let name = Name::from_bytes(written);
    if name == Name::Other && !ascii::is_token(written) {
        return None;
    }
    Some((name, u16::try_from(written.len()).ok()?, colon))
}

/// Applies Content-Length to what follows the empty line (RFC 3261 §18.3, §20.14).
#[inline]
fn body(message: &mut Message, start: usize, framing: Framing) -> Span {
    let available = message.bytes.len().saturating_sub(start);
    let len = match content_length(message) {
        Ok(Some(declared)) if declared as usize <= available => declared as usize,
        Ok(Some(_)) => {
            note(&mut message.flaw, BadRequest::ContentLengthTooLarge);
            available
        }
        Ok(None) if framing == Framing::Stream => 0,
        Ok(None) => available,
        Err(found) => {
            note(&mut message.flaw, found);
            available
        }
    };
    Span::between(start, start + len)
}

#[inline]
fn content_length(message: &Message) -> Result<Option<u32>, BadRequest> {
    let mut length = None;
    for header in message.header_all(Name::ContentLength) {
        let value = ascii::parse_u32(header.value).map_err(|_| BadRequest::ContentLength)?;
        if length.is_some_and(|earlier| earlier != value) {
            return Err(BadRequest::ContentLengthTwice);
        }
        length = Some(value);
    }
    Ok(length)
}
