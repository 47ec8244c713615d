//! The header fields that every element looks at, taken apart once: the topmost Via, From, To and CSeq. Validation,
//! transaction matching, routing and the response all need them, and parsing them anew each time costs more than
//! the rest of the scan.

use crate::{
    ascii::NumberError,
    cseq::CSeqSpans,
    cursor::Cursor,
    message::Message,
    name::Name,
    name_addr::{AddressError, AddressSpans},
    via::{ViaError, ViaSpans},
};

/// Kept by their places, because a message cannot hold borrows of its own bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Essentials {
    pub via: Result<ViaSpans, ViaError>,
    pub from: Result<AddressSpans, AddressError>,
    pub to: Result<AddressSpans, AddressError>,
    pub cseq: Result<CSeqSpans, NumberError>,
}

impl Essentials {
    /// What a message has whose header fields are absent.
    pub(crate) const ABSENT: Essentials = Essentials {
        via: Err(ViaError::Empty),
        from: Err(AddressError::Empty),
        to: Err(AddressError::Empty),
        cseq: Err(NumberError::NotANumber),
    };

    /// Takes the first header field of each kind apart. Expects the message to have none so far.
    #[inline]
    pub(crate) fn read(message: &mut Message) {
        if let Some(span) = message.value_span(Name::Via) {
            message.essentials.via = ViaSpans::take(&mut Cursor::within(&message.bytes, span));
        }
        if let Some(span) = message.value_span(Name::From) {
            message.essentials.from = AddressSpans::take_whole(&mut Cursor::within(&message.bytes, span));
        }
        if let Some(span) = message.value_span(Name::To) {
            // A REGISTER names the same address twice.
            let as_from = message.essentials.from.ok().and_then(|from| from.again(&message.bytes, span));
            message.essentials.to = match as_from {
                Some(address) => Ok(address),
                None => AddressSpans::take_whole(&mut Cursor::within(&message.bytes, span)),
            };
        }
        if let Some(span) = message.value_span(Name::CSeq) {
            message.essentials.cseq = CSeqSpans::take(&mut Cursor::within(&message.bytes, span));
        }
    }
}
