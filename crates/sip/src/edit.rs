//! Edits: what to change in a message when it is written out. Everything else stays byte for byte.

use crate::{
    ascii,
    list::Items,
    message::{Header, Message},
    name::Name,
    span::Span,
    via::{Via, ViaFix},
};

/// One edit: the source bytes `start..end` are left out and `text` stands in their place. An insertion has an empty
/// range.
#[derive(Clone, Copy, Debug)]
struct Edit {
    start: u32,
    end: u32,
    inserts: bool,
    text: Span,
}

impl Edit {
    /// The order in which edits take effect: by position; at one position insertions stand before replacements,
    /// and the longer of two replacements before the shorter one that it swallows.
    fn rank(&self) -> (u32, bool, u32) {
        (self.start, !self.inserts, u32::MAX - self.end)
    }
}

/// A list of edits to one message, by positions in its original bytes. Reusable: [`clear`](Edits::clear) keeps the
/// allocations.
///
/// What happens when edits meet does not depend on the order of the calls, but for the two cases that say so:
/// - Insertions at the same position stand in the order of the calls.
/// - Of two replacements of exactly the same bytes the last call counts; a deletion is a replacement by nothing.
/// - A removed range swallows every edit that starts inside it, after its first byte: the text of such an edit is
///   not written, the bytes that it removes are still removed.
/// - Insertions at the first byte of a removed range stand before its replacement, those at its end after it.
/// - Edits outside the message proper (see [`Message::extent`]) are not written.
///
/// Bytes are written as they are given. That they hold no stray line break is for the caller to see to.
#[derive(Debug, Default)]
pub struct Edits {
    edits: Vec<Edit>,
    text: Vec<u8>,
}

impl Clone for Edits {
    fn clone(&self) -> Edits {
        Edits { edits: self.edits.clone(), text: self.text.clone() }
    }

    /// Keeps the memory: who forwards one message after the other makes no allocation for the edits.
    fn clone_from(&mut self, source: &Edits) {
        self.edits.clone_from(&source.edits);
        self.text.clone_from(&source.text);
    }
}

impl Edits {
    /// No edits.
    #[must_use]
    pub fn new() -> Edits {
        Edits::default()
    }

    /// Forgets all edits and keeps the memory.
    pub fn clear(&mut self) {
        self.edits.clear();
        self.text.clear();
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// How many bytes the edits put in at most.
    #[must_use]
    pub fn text_len(&self) -> usize {
        self.text.len()
    }

    /// Leaves out the bytes of a span.
    pub fn delete(&mut self, span: Span) {
        self.replace(span, b"");
    }

    /// Puts `bytes` in the place of a span. An empty span makes it an insertion.
    pub fn replace(&mut self, span: Span, bytes: &[u8]) {
        let text = self.keep(bytes);
        self.replace_by(span, text);
    }

    /// Puts what stands at `text` in the place of a span.
    fn replace_by(&mut self, span: Span, text: Span) {
        let edit = Edit { start: span.start, end: span.end(), inserts: span.is_empty(), text };
        let same = |known: &&mut Edit| !known.inserts && (known.start, known.end) == (edit.start, edit.end);
        if !edit.inserts
            && let Some(known) = self.edits.iter_mut().find(same)
        {
            known.text = text;
            return;
        }
        self.record(edit);
    }

    /// Inserts `bytes` before the byte at a position.
    pub fn insert_before(&mut self, position: u32, bytes: &[u8]) {
        let text = self.keep(bytes);
        self.record(Edit { start: position, end: position, inserts: true, text });
    }

    /// Inserts `bytes` after a span.
    pub fn insert_after(&mut self, span: Span, bytes: &[u8]) {
        self.insert_before(span.end(), bytes);
    }

    /// Removes a header field with its line break.
    pub fn remove_header(&mut self, header: &Header<'_>) {
        self.delete(header.span);
    }

    /// Replaces the value of a header field.
    pub fn replace_value(&mut self, header: &Header<'_>, value: &[u8]) {
        self.replace_value_with(header, |text| text.extend_from_slice(value));
    }

    /// As [`replace_value`](Edits::replace_value), with a value that `write` appends: it is made where it stays.
    pub fn replace_value_with(&mut self, header: &Header<'_>, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.text.len();
        let is_absent = header.value_span.is_empty();
        if is_absent {
            // Directly after a colon a blank is customary, and "Name:value" trips some parsers.
            self.text.push(b' ');
        }
        write(&mut self.text);
        let text = Span::between(start, self.text.len());
        if is_absent {
            let start = header.value_span.start;
            self.record(Edit { start, end: start, inserts: true, text });
        } else {
            self.replace_by(header.value_span, text);
        }
    }

    /// The value that a header field will have: what it was replaced by, else its own. Empty when it was removed.
    #[must_use]
    pub fn value<'a>(&'a self, header: &Header<'a>) -> &'a [u8] {
        let of = |span: Span| {
            let mut edits = self.edits.iter().filter(|edit| !edit.inserts);
            edits.find(|edit| (edit.start, edit.end) == (span.start, span.end())).map(|edit| edit.text)
        };
        match of(header.span).or_else(|| of(header.value_span)) {
            Some(text) => text.of(&self.text),
            None => header.value,
        }
    }

    /// The body that the message will have: what it was replaced by, else its own.
    #[must_use]
    pub fn body<'a>(&'a self, message: &'a Message) -> &'a [u8] {
        let span = message.body_span();
        let mut edits = self.edits.iter().filter(|edit| !edit.inserts);
        match edits.find(|edit| (edit.start, edit.end) == (span.start, span.end())) {
            Some(edit) => edit.text.of(&self.text),
            None => message.body(),
        }
    }

    /// Appends a header field, given as `Name: value`, after the last one. The line break is added if it is missing.
    pub fn append_header(&mut self, message: &Message, line: &[u8]) {
        self.insert_line(message.head_end(), line);
    }

    /// Appends complete header lines, each with its line break, after the last one.
    pub fn append_lines(&mut self, message: &Message, lines: &[u8]) {
        if !lines.is_empty() {
            let text = self.keep(lines);
            let position = message.head_end();
            self.record(Edit { start: position, end: position, inserts: true, text });
        }
    }

    /// Inserts a header field, given as `Name: value`, before the first one: where Via and Record-Route go.
    pub fn insert_header_first(&mut self, message: &Message, line: &[u8]) {
        let position = message.header_at(0).map_or(message.head_end(), |header| header.span.start);
        self.insert_line(position, line);
    }

    /// Inserts complete header lines before the first one. `write` appends them, so that they are made where they stay.
    pub fn write_first_headers(&mut self, message: &Message, write: impl FnOnce(&mut Vec<u8>)) {
        let position = message.header_at(0).map_or(message.head_end(), |header| header.span.start);
        let start = self.text.len();
        write(&mut self.text);
        let text = Span::between(start, self.text.len());
        self.record(Edit { start: position, end: position, inserts: true, text });
    }

    /// Inserts a header field, given as `Name: value`, before another.
    pub fn insert_header_before(&mut self, header: &Header<'_>, line: &[u8]) {
        self.insert_line(header.span.start, line);
    }

    /// Inserts a header field, given as `Name: value`, after another.
    pub fn insert_header_after(&mut self, header: &Header<'_>, line: &[u8]) {
        self.insert_line(header.span.end(), line);
    }

    /// Replaces the Request-URI. Without effect on a response.
    pub fn set_request_uri(&mut self, message: &Message, uri: &[u8]) {
        if message.is_request() {
            self.replace(message.request_uri_span(), uri);
        }
    }

    /// Replaces the body and corrects Content-Length; a message without one gets it.
    pub fn replace_body(&mut self, message: &Message, body: &[u8]) {
        self.replace(message.body_span(), body);
        let mut digits = Vec::with_capacity(10);
        ascii::write_u32(&mut digits, body.len() as u32);
        for header in message.header_all(Name::ContentLength) {
            self.replace_value(&header, &digits);
        }
        if message.header(Name::ContentLength).is_none() {
            let line = self.keep_parts(&[b"Content-Length: ", &digits, b"\r\n"]);
            let position = message.head_end();
            self.record(Edit { start: position, end: position, inserts: true, text: line });
        }
    }

    /// Removes the first `count` values of a header field that is a list, over all its lines: the topmost Routes of
    /// a request, the topmost Vias of a response. Lines that lose all values disappear.
    pub fn remove_first_values(&mut self, message: &Message, name: Name, count: usize) {
        let mut left = count;
        for header in message.header_all(name) {
            if left == 0 {
                return;
            }
            let removed = Items::new(header.value).take(left).count();
            match Items::new(header.value).nth(removed).and_then(|item| message.span_of(item)) {
                None => self.remove_header(&header),
                Some(kept) => {
                    self.delete(Span::between(header.value_span.start as usize, kept.start as usize));
                }
            }
            left -= removed.min(left);
        }
    }

    /// Adds received and rport to the topmost Via (RFC 3261 §18.2.1, RFC 3581 §4). Without effect where the topmost
    /// Via is malformed.
    pub fn fix_top_via(&mut self, message: &Message, fix: &ViaFix) {
        let Ok(via) = Via::top(message) else { return };
        let Some(span) = message.span_of(via.raw) else { return };
        let start = self.text.len();
        fix.write(&via, &mut self.text);
        self.replace_by(span, Span::between(start, self.text.len()));
    }

    /// Appends the edited message to `out`.
    pub fn write(&self, message: &Message, out: &mut Vec<u8>) {
        let extent = message.extent();
        out.reserve(extent.len as usize + self.text.len());
        let mut written = extent.start;
        for edit in &self.edits {
            if edit.start > extent.end() {
                break;
            }
            if edit.start >= written {
                out.extend_from_slice(message.slice(Span::between(written as usize, edit.start as usize)));
                out.extend_from_slice(edit.text.of(&self.text));
                written = edit.start;
            }
            written = written.max(edit.end);
        }
        out.extend_from_slice(message.slice(Span::between(written as usize, extent.end() as usize)));
    }

    fn insert_line(&mut self, position: u32, line: &[u8]) {
        let line_break: &[u8] = if line.ends_with(b"\r\n") { b"" } else { b"\r\n" };
        let text = self.keep_parts(&[line, line_break]);
        self.record(Edit { start: position, end: position, inserts: true, text });
    }

    fn keep(&mut self, bytes: &[u8]) -> Span {
        self.keep_parts(&[bytes])
    }

    fn keep_parts(&mut self, parts: &[&[u8]]) -> Span {
        let start = self.text.len();
        for part in parts {
            self.text.extend_from_slice(part);
        }
        Span::between(start, self.text.len())
    }

    /// The list is kept in the order of writing. Edits mostly come in that order, so the place is near the end.
    fn record(&mut self, edit: Edit) {
        let after =
            self.edits.iter().rposition(|known| known.rank() <= edit.rank()).map_or(0, |index| index + 1);
        self.edits.insert(after, edit);
    }
}
