//! A position in a text that moves forward: what the parsers of header values and URIs are made of.

use crate::{
    ascii::{self, Class},
    span::Span,
};

#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(crate) fn new(text: &'a [u8]) -> Cursor<'a> {
        Cursor { text, at: 0 }
    }

    /// A cursor that stands at the start of a part of a text and ends with it. Positions are those of the text.
    #[inline]
    pub(crate) fn within(text: &'a [u8], part: Span) -> Cursor<'a> {
        Cursor { text: text.get(..part.end() as usize).unwrap_or_default(), at: part.start as usize }
    }

    #[inline]
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// The next byte; `None` at the end.
    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline]
    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    /// Everything that is left.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The whole text.
    #[inline]
    pub(crate) fn text(&self) -> &'a [u8] {
        self.text
    }

    /// What stands between an earlier position and this one.
    #[inline]
    pub(crate) fn since(&self, start: usize) -> Span {
        Span::between(start, self.at)
    }

    /// As [`since`](Cursor::since), without white space at the end.
    #[inline]
    pub(crate) fn trimmed_since(&self, start: usize) -> Span {
        let whole = self.text.get(start..self.at).unwrap_or_default();
        Span { start: start as u32, len: ascii::trim_end(whole).len() as u32 }
    }

    /// The bytes of a span.
    #[inline]
    pub(crate) fn slice(&self, span: Span) -> &'a [u8] {
        span.of(self.text)
    }

    /// Moves on, at most to the end.
    #[inline]
    pub(crate) fn skip(&mut self, count: usize) {
        self.at = self.text.len().min(self.at + count);
    }

    /// Takes the next byte if it is this one.
    #[inline]
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Takes the bytes of a class.
    #[inline]
    pub(crate) fn run(&mut self, class: Class) -> Span {
        let len = class.run_len(self.rest());
        let start = self.at;
        self.at += len;
        Span { start: start as u32, len: len as u32 }
    }

    /// Takes linear white space; tells whether there was any.
    #[inline]
    pub(crate) fn skip_lws(&mut self) -> bool {
        let start = self.at;
        while let Some(byte) = self.peek()
            && ascii::is_lws(byte)
        {
            self.at += 1;
        }
        self.at > start
    }

    /// Takes a quoted string with its quotes; `None` if none starts here or it does not end.
    #[inline]
    pub(crate) fn quoted_string(&mut self) -> Option<Span> {
        let start = self.at;
        let inner = self.rest().strip_prefix(b"\"")?;
        self.at = start + ascii::find_closing_quote(inner)? + 2;
        Some(self.since(start))
    }

    /// Takes `%HH`; `false` if that is not what comes next.
    #[inline]
    pub(crate) fn escape(&mut self) -> bool {
        let legal =
            matches!(self.rest(), [b'%', high, low, ..] if Class::HEX.has(*high) && Class::HEX.has(*low));
        self.at += 3 * usize::from(legal);
        legal
    }
}
