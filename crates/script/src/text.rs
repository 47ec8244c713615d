//! Pieces of source text that remember where each byte stood.

use crate::diagnostics::Span;

/// The content of a string literal after its escapes, with the place of each byte in the source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Text {
    pub(crate) bytes: Vec<u8>,
    pub(crate) places: Vec<u32>,
    pub(crate) span: Span,
}

impl Text {
    /// A piece of a file as it stands there.
    pub(crate) fn verbatim(bytes: &[u8], span: Span) -> Text {
        let places = (span.start..).take(bytes.len()).collect();
        Text { bytes: bytes.to_vec(), places, span }
    }

    /// The bytes from `start` to `end`.
    pub(crate) fn part(&self, start: usize, end: usize) -> Text {
        let bytes = self.bytes.get(start..end).unwrap_or_default().to_vec();
        let places = self.places.get(start..end).unwrap_or_default().to_vec();
        Text { bytes, places, span: self.place(start, end) }
    }

    /// Where the bytes from `start` to `end` stand in the source.
    pub(crate) fn place(&self, start: usize, end: usize) -> Span {
        let behind = self.places.last().map_or(self.span.start, |last| last + 1);
        let at = |index: usize| self.places.get(index).copied().unwrap_or(behind);
        let start_at = at(start);
        let end_at = if end > start { at(end - 1) + 1 } else { start_at };
        Span { file: self.span.file, start: start_at, end: end_at.max(start_at) }
    }

    /// Without the white space at both ends.
    pub(crate) fn trim(&self) -> Text {
        let start = self.bytes.iter().position(|byte| !byte.is_ascii_whitespace());
        let end = self.bytes.iter().rposition(|byte| !byte.is_ascii_whitespace());
        match (start, end) {
            (Some(start), Some(end)) => self.part(start, end + 1),
            _ => self.part(0, 0),
        }
    }

    /// The text for a message or a look-up.
    pub(crate) fn to_string_lossy(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}
