//! The owned message: its bytes as they came, and where the parts stand.

use std::mem::{swap, take};

use thiserror::Error;

use crate::{
    cseq::CSeq, essentials::Essentials, habit::Habits, method::Method, name::Name, scan, span::Span,
};

/// How the bytes were delimited, which decides what Content-Length means (RFC 3261 §18.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One datagram (or one WebSocket message). Without Content-Length the body reaches to the end; bytes after
    /// the declared body are noise.
    Datagram,
    /// Cut out of a byte stream by [`Framer`](crate::stream::Framer). Without Content-Length there is no body.
    Stream,
}

/// Why bytes cannot be framed as a SIP message. There is nobody to answer: the receiver drops and counts.
///
/// What can be framed but breaks a rule is no scan error. The message is usable as far as it goes, its first fault
/// is in [`Message::flaw`], and [`validate::request`](crate::validate::request) turns it into the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ScanError {
    /// No bytes, or only line breaks, NULs or blanks: the keep-alive of some user agents.
    #[error("empty datagram")]
    Empty,
    /// The first line is neither a request line nor a status line.
    #[error("not a SIP message")]
    NotSip,
    /// Longer than [`MAX_MESSAGE_BYTES`](crate::limits::MAX_MESSAGE_BYTES), or its head longer than
    /// [`MAX_HEAD_BYTES`](crate::limits::MAX_HEAD_BYTES).
    #[error("message too large")]
    TooLarge,
}

/// A fault of the sender in a message that can be framed. To a request the answer is 400, a response is discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadRequest {
    /// Blanks doubled, or at the end, in the start line (RFC 3261 §7.1).
    #[error("Malformed start line")]
    StartLine,
    /// A CR or LF that does not end a line, or a NUL outside a quoted pair.
    #[error("Control character in header")]
    ControlCharacter,
    /// A header line without a colon, or whose name is no token.
    #[error("Malformed header line")]
    HeaderLine,
    /// No empty line after the header section.
    #[error("Header section does not end")]
    NoEmptyLine,
    /// More than [`MAX_HEADERS`](crate::limits::MAX_HEADERS).
    #[error("Too many headers")]
    TooManyHeaders,
    /// A Content-Length that is no number, negative or out of range.
    #[error("Bad Content-Length")]
    ContentLength,
    /// Two Content-Length fields that differ.
    #[error("Content-Length given twice")]
    ContentLengthTwice,
    /// A Content-Length larger than what arrived.
    #[error("Content-Length beyond the message")]
    ContentLengthTooLarge,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    None,
    Request,
    Response,
}

/// The parts of the first line. `middle` is the Request-URI or the status code, `last` the version or the reason.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StartLine {
    pub kind: Kind,
    pub method: Method,
    pub status: u16,
    /// Whether it is known that `validate` would object to nothing in it.
    pub is_checked: bool,
    pub line: Span,
    pub first: Span,
    pub middle: Span,
    pub last: Span,
}

/// One header field as scanned: the line is `start..end`, its line break included. The places are neighbours in memory, to be
/// moved together.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Field {
    pub name: Name,
    pub name_len: u16,
    pub start: u32,
    pub end: u32,
    pub value: Span,
}

pub(crate) const ABSENT: u16 = u16::MAX;

/// An owned SIP message: the bytes as they came, plus spans into them. Nothing is decoded, copied or reordered;
/// typed views are parsed from the spans on demand.
///
/// A message is meant to be reused: swap new bytes into [`buffer_mut`](Message::buffer_mut) and call
/// [`scan_in_place`](Message::scan_in_place), which keeps all allocations.
#[derive(Debug)]
pub struct Message {
    pub(crate) bytes: Vec<u8>,
    pub(crate) start: StartLine,
    pub(crate) headers: Vec<Field>,
    pub(crate) first: [u16; Name::COUNT],
    /// Bit set over names: those that occur more than once.
    pub(crate) repeated: u64,
    /// Position of the empty line that ends the header section.
    pub(crate) head_end: u32,
    pub(crate) body: Span,
    pub(crate) flaw: Option<BadRequest>,
    pub(crate) essentials: Essentials,
    /// Whether it is known that `validate` would object to nothing in the header fields of a request.
    pub(crate) is_sound: bool,
    /// Whether it is known that the lines stand as usual which an answer copies ([`Usual`](crate::build::Usual)).
    pub(crate) is_usual: bool,
    /// Whether nothing but the bytes is there.
    is_blank: bool,
}

impl Clone for Message {
    fn clone(&self) -> Message {
        Message { bytes: self.bytes.clone(), headers: self.headers.clone(), ..*self }
    }

    /// Keeps the memory.
    fn clone_from(&mut self, source: &Message) {
        let (mut bytes, mut headers) = (take(&mut self.bytes), take(&mut self.headers));
        bytes.clone_from(&source.bytes);
        headers.clone_from(&source.headers);
        *self = Message { bytes, headers, ..*source };
    }
}

impl Default for Message {
    fn default() -> Message {
        Message::empty()
    }
}

/// One header field of a message, borrowed from its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// Which known header field it is.
    pub name_id: Name,
    /// The name as it was written, without blanks.
    pub name: &'a [u8],
    /// The value without white space at both ends. It may contain folding and bytes that are not UTF-8.
    pub value: &'a [u8],
    /// The whole line or folded lines, with the line break that ends them.
    pub span: Span,
    /// Where the value stands.
    pub value_span: Span,
    /// Position among the headers of the message, from 0.
    pub index: usize,
}

impl Message {
    /// A message without bytes, to be filled through [`buffer_mut`](Message::buffer_mut).
    #[must_use]
    pub fn empty() -> Message {
        Message {
            bytes: Vec::new(),
            start: StartLine::default(),
            headers: Vec::new(),
            first: [ABSENT; Name::COUNT],
            repeated: 0,
            head_end: 0,
            body: Span::default(),
            flaw: None,
            essentials: Essentials::ABSENT,
            is_sound: false,
            is_usual: false,
            is_blank: true,
        }
    }

    /// Scans the bytes of one datagram.
    ///
    /// # Errors
    /// Gives the bytes back with the reason why they cannot be framed.
    pub fn parse(bytes: Vec<u8>) -> Result<Message, (Vec<u8>, ScanError)> {
        let mut message = Message { bytes, ..Message::empty() };
        match message.scan_in_place(Framing::Datagram) {
            Ok(()) => Ok(message),
            Err(error) => Err((message.bytes, error)),
        }
    }

    /// Scans what is in the buffer: one pass, no allocation once the header list has grown to its working size.
    ///
    /// # Errors
    /// The bytes cannot be framed; the message then reads as empty. `Ok` does not mean that the message is correct,
    /// see [`flaw`](Message::flaw).
    #[inline]
    pub fn scan_in_place(&mut self, framing: Framing) -> Result<(), ScanError> {
        self.scan(framing, None)
    }

    /// As [`scan_in_place`](Message::scan_in_place), faster when the lines stand as they did in the messages that the same
    /// habits were shown before.
    ///
    /// # Errors
    /// As `scan_in_place`.
    #[inline]
    pub fn scan_by_habit(&mut self, framing: Framing, habits: &mut Habits) -> Result<(), ScanError> {
        self.scan(framing, Some(habits))
    }

    /// As [`scan_by_habit`](Message::scan_by_habit) for the bytes in `bytes`, in place of which the buffer that was here is left.
    ///
    /// # Errors
    /// As `scan_in_place`.
    #[inline]
    pub fn receive(
        &mut self,
        bytes: &mut Vec<u8>,
        framing: Framing,
        habits: &mut Habits,
    ) -> Result<(), ScanError> {
        swap(&mut self.bytes, bytes);
        self.scan(framing, Some(habits))
    }

    /// Whatever was found in other bytes is replaced.
    #[inline]
    fn scan(&mut self, framing: Framing, habits: Option<&mut Habits>) -> Result<(), ScanError> {
        let Some(habits) = habits else { return self.scan_lines(framing, None) };
        if habits.moulds.fit(self, framing) {
            self.is_blank = false;
            return Ok(());
        }
        self.scan_lines(framing, Some(&mut *habits))?;
        habits.moulds.learn(self);
        Ok(())
    }

    #[inline]
    fn scan_lines(&mut self, framing: Framing, habits: Option<&mut Habits>) -> Result<(), ScanError> {
        self.forget();
        self.is_blank = false;
        let result = scan::scan(self, framing, habits);
        match result {
            Ok(()) => Essentials::read(self),
            Err(_) => self.forget(),
        }
        result
    }

    /// The buffer, to be filled or swapped. The message reads as empty until it is scanned again.
    pub fn buffer_mut(&mut self) -> &mut Vec<u8> {
        self.forget();
        &mut self.bytes
    }

    #[inline]
    fn forget(&mut self) {
        if !self.is_blank {
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.start = StartLine::default();
        self.headers.clear();
        self.first = [ABSENT; Name::COUNT];
        self.repeated = 0;
        self.head_end = 0;
        self.body = Span::default();
        self.flaw = None;
        self.essentials = Essentials::ABSENT;
        self.is_sound = false;
        self.is_usual = false;
        self.is_blank = true;
    }

    /// All bytes that are in the buffer, including noise before the start line and after the body.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives up the buffer.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The span of the message proper: from the start line to the end of the body.
    #[inline]
    #[must_use]
    pub fn extent(&self) -> Span {
        Span::between(self.start.line.start as usize, self.body.end() as usize)
    }

    /// The message proper, without the noise around it.
    #[inline]
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        self.extent().of(&self.bytes)
    }

    /// The first fault that the scan met, if any.
    #[inline]
    #[must_use]
    pub fn flaw(&self) -> Option<BadRequest> {
        self.flaw
    }

    /// Whether it is a request.
    #[inline]
    #[must_use]
    pub fn is_request(&self) -> bool {
        self.start.kind == Kind::Request
    }

    /// Whether it is a response.
    #[inline]
    #[must_use]
    pub fn is_response(&self) -> bool {
        self.start.kind == Kind::Response
    }

    /// The method of the request line; empty on a response.
    #[inline]
    #[must_use]
    pub fn method(&self) -> &[u8] {
        if self.is_request() { self.start.first.of(&self.bytes) } else { b"" }
    }

    /// The method; of a response the one that its CSeq names.
    #[inline]
    #[must_use]
    pub fn method_id(&self) -> Method {
        if self.is_request() {
            return self.start.method;
        }
        CSeq::of(self).map_or(Method::Other, |cseq| cseq.method_id())
    }

    /// The Request-URI as it was written; empty on a response.
    #[inline]
    #[must_use]
    pub fn request_uri(&self) -> &[u8] {
        self.request_uri_span().of(&self.bytes)
    }

    /// Where the Request-URI stands; empty on a response.
    #[inline]
    #[must_use]
    pub fn request_uri_span(&self) -> Span {
        if self.is_request() { self.start.middle } else { Span::default() }
    }

    /// The status code, 100 to 699; 0 on a request and where the code is none.
    #[inline]
    #[must_use]
    pub fn status(&self) -> u16 {
        self.start.status
    }

    /// The reason phrase; empty on a request.
    #[inline]
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        if self.is_response() { self.start.last.of(&self.bytes) } else { b"" }
    }

    /// The protocol version, such as `SIP/2.0`.
    #[inline]
    #[must_use]
    pub fn version(&self) -> &[u8] {
        match self.start.kind {
            Kind::None => b"",
            Kind::Request => self.start.last.of(&self.bytes),
            Kind::Response => self.start.first.of(&self.bytes),
        }
    }

    /// Where the first line stands, without its line break.
    #[inline]
    #[must_use]
    pub fn start_line_span(&self) -> Span {
        self.start.line
    }

    /// Number of header fields.
    #[inline]
    #[must_use]
    pub fn header_count(&self) -> usize {
        self.headers.len()
    }

    /// All header fields in order.
    pub fn headers(&self) -> impl DoubleEndedIterator<Item = Header<'_>> + Clone {
        self.headers.iter().enumerate().map(|(index, field)| self.view(index, field))
    }

    /// The header field at a position.
    #[must_use]
    pub fn header_at(&self, index: usize) -> Option<Header<'_>> {
        self.headers.get(index).map(|field| self.view(index, field))
    }

    /// The first header field of a known name, found without a search. [`Name::Other`] gives the first that is
    /// not known.
    #[inline]
    #[must_use]
    pub fn header(&self, name: Name) -> Option<Header<'_>> {
        let index = usize::from(*self.first.get(name.index())?);
        self.headers.get(index).map(|field| self.view(index, field))
    }

    /// The value of the first header field of a known name.
    #[inline]
    #[must_use]
    pub fn value(&self, name: Name) -> Option<&[u8]> {
        self.value_span(name).map(|span| span.of(&self.bytes))
    }

    /// Where the value of the first header field of a known name stands.
    #[inline]
    #[must_use]
    pub fn value_span(&self, name: Name) -> Option<Span> {
        let index = usize::from(*self.first.get(name.index())?);
        self.headers.get(index).map(|field| field.value)
    }

    /// All header fields of a known name in order. Where the name occurs once this costs no search.
    pub fn header_all(&self, name: Name) -> impl Iterator<Item = Header<'_>> + Clone {
        let first = self.first.get(name.index()).map_or(usize::MAX, |&index| usize::from(index));
        let end = if self.is_repeated(name) { self.headers.len() } else { first.saturating_add(1) };
        let fields = self.headers.get(first..end).unwrap_or_default();
        fields
            .iter()
            .enumerate()
            .filter(move |(_, field)| field.name == name)
            .map(move |(offset, field)| self.view(first + offset, field))
    }

    /// Whether a name occurs more than once.
    #[inline]
    #[must_use]
    pub fn is_repeated(&self, name: Name) -> bool {
        self.repeated & (1 << name.index()) != 0
    }

    /// All header fields of any name, without regard to case; a compact form and its full form are the same name.
    pub fn header_named<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = Header<'a>> + Clone {
        let id = Name::from_bytes(name);
        self.header_all(id).filter(move |header| id != Name::Other || header.name.eq_ignore_ascii_case(name))
    }

    /// The body; empty if there is none.
    #[inline]
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.body.of(&self.bytes)
    }

    /// Where the body stands.
    #[inline]
    #[must_use]
    pub fn body_span(&self) -> Span {
        self.body
    }

    /// Position of the empty line after the last header field: where a header field is appended.
    #[inline]
    #[must_use]
    pub fn head_end(&self) -> u32 {
        self.head_end
    }

    /// The bytes of a span.
    #[inline]
    #[must_use]
    pub fn slice(&self, span: Span) -> &[u8] {
        span.of(&self.bytes)
    }

    /// Where a part of this message, that one of the views gave, stands in it. `None` for foreign bytes.
    #[inline]
    #[must_use]
    pub fn span_of(&self, part: &[u8]) -> Option<Span> {
        Span::locate(&self.bytes, part)
    }

    /// Whether a field, which stands at `index`, is the first of its name.
    #[inline]
    pub(crate) fn is_first(&self, field: &Field, index: usize) -> bool {
        self.first.get(field.name.index()).is_some_and(|&first| usize::from(first) == index)
    }

    #[inline]
    pub(crate) fn view<'a>(&'a self, index: usize, field: &Field) -> Header<'a> {
        Header {
            name_id: field.name,
            name: Span { start: field.start, len: u32::from(field.name_len) }.of(&self.bytes),
            value: field.value.of(&self.bytes),
            span: Span::between(field.start as usize, field.end as usize),
            value_span: field.value,
            index,
        }
    }
}
