//! A request as it goes on to the next hop, where nothing but what every proxy changes is changed: written in one pass.

use crate::{ascii, message::Message, name::Name, span::Span, via::ViaFix};

/// What a proxy changes in a request that it forwards (RFC 3261 §16.6); all else passes byte for byte. It comes to the same as
/// the [`Edits`](crate::Edits) that say so, without a list of them.
#[derive(Clone, Copy, Debug)]
pub struct Onward<'a> {
    /// The new Request-URI.
    pub request_uri: Option<&'a [u8]>,
    /// What the topmost Via gets. Without effect where that is malformed.
    pub via_fix: Option<&'a ViaFix>,
    /// The new value of Max-Forwards. Without effect on a request that has none.
    pub max_forwards: Option<u32>,
}

impl Onward<'_> {
    /// Appends the request to `out`; `first_headers` appends header lines that stand before all others. False, and nothing is
    /// written, for what needs edits: no request, one without header fields, or an empty Max-Forwards.
    pub fn write(
        &self,
        message: &Message,
        out: &mut Vec<u8>,
        first_headers: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let hops = self.max_forwards.and_then(|hops| Some((message.value_span(Name::MaxForwards)?, hops)));
        if !message.is_request() || hops.is_some_and(|(span, _)| span.is_empty()) {
            return false;
        }
        let Some(first) = message.header_at(0) else { return false };
        let via = match (&message.essentials.via, self.via_fix) {
            (Ok(via), Some(fix)) => Some((via, fix)),
            _ => None,
        };
        let mut copy = Copy { message, out, from: message.extent().start };
        if let Some(uri) = self.request_uri {
            copy.until(message.request_uri_span()).extend_from_slice(uri);
        }
        first_headers(copy.until(Span { start: first.span.start, len: 0 }));
        let via_start = via.map_or(u32::MAX, |(via, _)| via.raw.start);
        let (hops, late_hops) =
            if hops.is_some_and(|(span, _)| span.start < via_start) { (hops, None) } else { (None, hops) };
        copy.number(hops);
        if let Some((via, fix)) = via {
            let out = copy.until(via.raw);
            fix.write_spans(via, message.bytes(), out);
        }
        copy.number(late_hops);
        copy.until(Span { start: message.extent().end(), len: 0 });
        true
    }
}

/// Copies a message, up to one place after the other.
struct Copy<'a> {
    message: &'a Message,
    out: &'a mut Vec<u8>,
    from: u32,
}

impl Copy<'_> {
    /// Copies what stands before a span, leaves the span out, and gives what is written to.
    #[inline]
    fn until(&mut self, span: Span) -> &mut Vec<u8> {
        let before = Span::between(self.from as usize, span.start as usize);
        self.from = span.end();
        self.out.extend_from_slice(self.message.slice(before));
        self.out
    }

    /// Puts a number in the place of a span.
    #[inline]
    fn number(&mut self, number: Option<(Span, u32)>) {
        if let Some((span, number)) = number {
            ascii::write_u32(self.until(span), number);
        }
    }
}
