//! Where a part of a message stands.

use std::ops::Range;

/// A range of a message's bytes. Positions are 32 bit because a message is far below
/// [`MAX_MESSAGE_BYTES`](crate::limits::MAX_MESSAGE_BYTES); half the size of two `usize`, and spans are stored a lot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Position of the first byte.
    pub start: u32,
    /// Number of bytes.
    pub len: u32,
}

impl Span {
    /// The span from `start` up to, not including, `end`. An end before the start gives an empty span.
    #[inline]
    #[must_use]
    pub fn between(start: usize, end: usize) -> Span {
        Span { start: start as u32, len: end.saturating_sub(start) as u32 }
    }

    /// Position after the last byte.
    #[inline]
    #[must_use]
    pub fn end(self) -> u32 {
        self.start.saturating_add(self.len)
    }

    /// Whether the span holds no byte.
    #[inline]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The span as a range for slicing.
    #[inline]
    #[must_use]
    pub fn range(self) -> Range<usize> {
        // The sum of two 32-bit numbers does not overflow where positions have 64 bits; elsewhere it fails the check
        // of whoever slices with it.
        let start = self.start as usize;
        start..start.wrapping_add(self.len as usize)
    }

    /// The bytes that the span names in `bytes`; empty where the span does not lie inside.
    #[inline]
    #[must_use]
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.range()).unwrap_or_default()
    }

    /// The same number of bytes so much further back, modulo 2^32.
    #[inline]
    pub(crate) fn moved(self, by: u32) -> Span {
        Span { start: self.start.wrapping_add(by), ..self }
    }

    /// So many more bytes, modulo 2^32.
    #[inline]
    pub(crate) fn longer(self, by: u32) -> Span {
        Span { len: self.len.wrapping_add(by), ..self }
    }

    /// Where `part`, a slice of `whole`, stands in it. `None` if it does not lie inside.
    #[must_use]
    pub fn locate(whole: &[u8], part: &[u8]) -> Option<Span> {
        let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
        let end = start.checked_add(part.len())?;
        (end <= whole.len()).then(|| Span::between(start, end))
    }
}
