//! The scanner: one pass over the bytes, line by line. It finds where things stand and nothing more;
//! what a value means is for the typed views, whether a message is acceptable for [`validate`](crate::validate).

use memchr::memrchr;

use crate::{
    ascii,
    habit::{Behind, Habit, Habits},
    lanes,
    limits::{MAX_HEAD_BYTES, MAX_HEADERS, MAX_MESSAGE_BYTES, MAX_METHOD_BYTES},
    message::{ABSENT, BadRequest, Field, Framing, Kind, Message, ScanError, StartLine},
    method::Method,
    name::Name,
    span::Span,
    swar,
};

/// Fills in everything but the bytes. Expects the other fields in their empty state.
pub(crate) fn scan(
    message: &mut Message,
    framing: Framing,
    habits: Option<&mut Habits>,
) -> Result<(), ScanError> {
    let Message { bytes, start, headers, first, repeated, head_end, flaw, .. } = message;
    let bytes = bytes.as_slice();
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(ScanError::TooLarge);
    }
    // Line breaks before the start line are ignored (RFC 3261 §7.5).
    let begin = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).ok_or(ScanError::Empty)?;
    let habit = habits.map(|habits| habits.of(bytes));
    let (line_end, headers_start) = line_end(bytes, begin, begin, flaw);
    *start = match plain_start_line(bytes, begin, line_end) {
        Some(plain) => plain,
        None => start_line(bytes, begin, line_end, flaw).ok_or_else(|| not_a_start_line(bytes))?,
    };
    let mut fields = Fields { headers, first, repeated };
    let headers_end = header_section(bytes, headers_start, &mut fields, habit, flaw);
    *head_end = headers_end as u32;
    if headers_end - begin > MAX_HEAD_BYTES {
        return Err(ScanError::TooLarge);
    }
    let body_start = after_empty_line(bytes, headers_end, flaw);
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
    let at = find_control(bytes, from);
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
                at = find_control(bytes, at + 1);
                continue;
            }
            [b'\r' | b'\0', ..] => {
                note(flaw, BadRequest::ControlCharacter);
                at = find_control(bytes, at + 1);
                continue;
            }
            // HTAB is a blank; other control characters cannot be taken for a delimiter by anybody.
            _ => {
                at = find_control(bytes, at + 1);
                continue;
            }
        };
        if !matches!(bytes.get(next), Some(b' ' | b'\t')) {
            return (at, next);
        }
        at = find_control(bytes, next + 1);
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

/// Splits the first line if it is written as nearly all are: a known method, or a status code in range, single blanks, and
/// SIP/2.0. `None` is no verdict.
#[inline]
fn plain_start_line(bytes: &[u8], begin: usize, end: usize) -> Option<StartLine> {
    const FIRST: usize = b"SIP/2.0".len();
    let line = bytes.get(begin..end)?;
    let start = StartLine { line: Span::between(begin, end), ..StartLine::default() };
    if let Some(status_line) = line.strip_prefix(b"SIP/2.0 ") {
        let &[hundreds @ b'1'..=b'6', tens @ b'0'..=b'9', ones @ b'0'..=b'9', b' '] =
            status_line.first_chunk()?
        else {
            return None;
        };
        let digit = |byte: u8| u16::from(byte - b'0');
        return Some(StartLine {
            kind: Kind::Response,
            status: 100 * digit(hundreds) + 10 * digit(tens) + digit(ones),
            first: Span::between(begin, begin + FIRST),
            middle: Span::between(begin + FIRST + 1, begin + FIRST + 4),
            last: Span::between(begin + FIRST + 5, end),
            ..start
        });
    }
    let request_line = line.strip_suffix(b" SIP/2.0")?;
    let method_len = swar::find_in_words(&swar::first_words(line)?, b' ')?;
    let (method, rest) = request_line.split_at_checked(method_len)?;
    let method = Method::from_bytes(method);
    let [b' ', uri @ ..] = rest else { return None };
    if method == Method::Other || *uri.first()? <= b' ' || *uri.last()? <= b' ' {
        return None;
    }
    let uri_end = end - FIRST - 1;
    Some(StartLine {
        kind: Kind::Request,
        method,
        first: Span::between(begin, begin + method_len),
        middle: Span::between(begin + method_len + 1, uri_end),
        last: Span::between(uri_end + 1, end),
        ..start
    })
}

/// Splits the first line. `None` if it is neither a request line nor a status line.
#[inline(never)]
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
    let version_start = begin + memrchr(b' ', bytes.get(begin..trimmed_end)?)? + 1;
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

/// Records the header fields from `at` on; gives the position of the empty line after them.
#[inline]
fn header_section(
    bytes: &[u8],
    mut at: usize,
    fields: &mut Fields<'_>,
    mut habit: Option<&mut Habit>,
    flaw: &mut Option<BadRequest>,
) -> usize {
    let mut behind = Behind::START_LINE;
    loop {
        if let Some(habit) = habit.as_deref_mut() {
            (behind, at) = habit.take(behind, bytes, at, fields);
        }
        match bytes.get(at) {
            None | Some(b'\r' | b'\n') => return at,
            Some(_) if fields.room() == 0 => return at,
            Some(_) => (behind, at) = other_field(bytes, at, behind, habit.as_deref_mut(), fields, flaw),
        }
    }
}

/// Position of the first control character at `from` or after it; the length of the text if there is none.
#[inline]
fn find_control(bytes: &[u8], from: usize) -> usize {
    from + bytes.get(from..).map_or(0, lanes::find_control)
}

/// The position where the body starts, given that of the empty line.
#[inline]
fn after_empty_line(bytes: &[u8], at: usize, flaw: &mut Option<BadRequest>) -> usize {
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

/// Where header fields are recorded.
pub(crate) struct Fields<'m> {
    headers: &'m mut Vec<Field>,
    first: &'m mut [u16; Name::COUNT],
    repeated: &'m mut u64,
}

impl Fields<'_> {
    /// How many more may be recorded.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        MAX_HEADERS.saturating_sub(self.headers.len())
    }

    #[inline]
    pub(crate) fn record(&mut self, field: Field) {
        if let Some(slot) = self.first.get_mut(field.name.index()) {
            if *slot == ABSENT {
                *slot = self.headers.len() as u16;
            } else {
                *self.repeated |= 1 << field.name.index();
            }
        }
        self.headers.push(field);
    }
}

/// Records a header line that is not written in the usual way, given where it ends without and with its line break.
#[inline(never)]
fn unusual_field(
    bytes: &[u8],
    at: usize,
    (content_end, next): (usize, usize),
    fields: &mut Fields<'_>,
    flaw: &mut Option<BadRequest>,
) {
    match field(bytes, at, content_end, next) {
        Some(field) => fields.record(field),
        None => note(flaw, BadRequest::HeaderLine),
    }
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

/// The header field in the line from `at` to `end`, if it is written as nearly all are: a known name, the colon, one
/// blank, and a value without blanks around it. `None` is no verdict.
#[inline]
fn plain_field(bytes: &[u8], at: usize, end: usize) -> Option<Field> {
    let rest = bytes.get(at..)?;
    let words = swar::first_words(rest).or_else(|| last_words(rest))?;
    let colon = swar::find_in_words(&words, b':')?;
    let name = Name::from_words(&words, colon);
    let value = rest.get(colon + 1..end - at)?;
    let (&[blank, first], last) = (value.first_chunk()?, value.last()?);
    if name == Name::Other || blank != b' ' || first <= b' ' || *last <= b' ' {
        return None;
    }
    Some(Field {
        name,
        name_len: colon as u16,
        start: at as u32,
        end: end as u32 + 2,
        value: Span { start: (at + colon) as u32 + 2, len: value.len() as u32 - 1 },
    })
}

/// Records the header field in a line that nobody has guessed, so that it is guessed the next time. Gives where the
/// next line begins, and what that is guessed by.
#[inline(never)]
fn other_field(
    bytes: &[u8],
    at: usize,
    behind: Behind,
    habit: Option<&mut Habit>,
    fields: &mut Fields<'_>,
    flaw: &mut Option<BadRequest>,
) -> (Behind, usize) {
    let (end, next) = line_end(bytes, at, at, flaw);
    // A line break of two bytes, and none within it.
    if next == end + 2
        && find_control(bytes, at) == end
        && let Some(field) = plain_field(bytes, at, end)
    {
        if let Some(habit) = habit {
            habit.learn(behind, bytes, &field);
        }
        fields.record(field);
        return (behind.then(field.name), next);
    }
    unusual_field(bytes, at, (end, next), fields, flaw);
    (behind.then(Name::Other), next)
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
pub(crate) fn body(message: &mut Message, start: usize, framing: Framing) -> Span {
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
    if !message.is_repeated(Name::ContentLength) {
        let value = message.value(Name::ContentLength);
        return value.map(ascii::parse_u32).transpose().map_err(|_| BadRequest::ContentLength);
    }
    agreed_content_length(message)
}

/// What all Content-Length fields say.
#[cold]
fn agreed_content_length(message: &Message) -> Result<Option<u32>, BadRequest> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_plain_start_line_is_what_the_general_way_makes_of_it(
            line in prop_oneof![
                "(REGISTER|INVITE|register|FOO|SIP/2.0) [ -~]{0,30}( SIP/2.0| sip/2.0|)",
                "SIP/2.0 [0-9 ]{0,5}[ -~]{0,20}",
                "[ -~]{0,40}",
            ],
            noise in "[\r\n]{0,3}",
        ) {
            let text = format!("{noise}{line}\r\n");
            let (begin, end) = (noise.len(), noise.len() + line.len());
            if let Some(plain) = plain_start_line(text.as_bytes(), begin, end) {
                let mut flaw = None;
                let general = start_line(text.as_bytes(), begin, end, &mut flaw);
                prop_assert_eq!(format!("{:?}", Some(plain)), format!("{general:?}"));
                prop_assert_eq!(flaw, None);
            }
        }
    }
}
