//! CSeq (RFC 3261 §20.16) and the plain number header fields.

use crate::{
    ascii::{self, Class, NumberError},
    cursor::Cursor,
    limits::{MAX_CSEQ, MAX_MAX_FORWARDS},
    message::Message,
    method::Method,
    name::Name,
    span::Span,
};

/// A CSeq value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// The sequence number, below 2^31.
    pub number: u32,
    /// The method as it was written.
    pub method: &'a [u8],
}

impl<'a> CSeq<'a> {
    /// Reads `number method`.
    ///
    /// # Errors
    /// [`NumberError::OutOfRange`] from 2^31 on (RFC 3261 §8.1.1.5), [`NumberError::NotANumber`] for any other fault.
    #[inline]
    pub fn parse(value: &'a [u8]) -> Result<CSeq<'a>, NumberError> {
        CSeqSpans::take(&mut Cursor::new(ascii::trim(value))).map(|cseq| cseq.view(ascii::trim(value)))
    }

    /// The CSeq of a message.
    ///
    /// # Errors
    /// It is absent ([`NumberError::NotANumber`]) or malformed.
    #[inline]
    pub fn of(message: &'a Message) -> Result<CSeq<'a>, NumberError> {
        message.essentials.cseq.map(|cseq| cseq.view(message.bytes()))
    }

    /// The method.
    #[inline]
    #[must_use]
    pub fn method_id(&self) -> Method {
        Method::from_bytes(self.method)
    }
}

/// A CSeq value by its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CSeqSpans {
    number: u32,
    method: Span,
}

impl CSeqSpans {
    /// Takes a CSeq value that is all that is left.
    #[inline]
    pub(crate) fn take(cursor: &mut Cursor<'_>) -> Result<CSeqSpans, NumberError> {
        let digits = cursor.run(Class::DIGIT);
        let number = ascii::parse_u32(cursor.slice(digits))?;
        let separated = cursor.skip_lws();
        // All that is left: whether it is a token is asked of so few bytes faster than where a token ends.
        let (start, rest) = (cursor.position(), cursor.rest());
        let method = Span { start: start as u32, len: rest.len() as u32 };
        if !separated || !ascii::is_token(rest) {
            return Err(NumberError::NotANumber);
        }
        if number > MAX_CSEQ { Err(NumberError::OutOfRange) } else { Ok(CSeqSpans { number, method }) }
    }

    /// The digits of a value in which one blank stands between number and method. `None` is no verdict.
    pub(crate) fn plain_number(&self, value: Span) -> Option<Span> {
        let len = self.method.start.checked_sub(value.start)?.checked_sub(1).filter(|len| *len > 0)?;
        (self.method.end() == value.end()).then_some(Span { len, ..value })
    }

    /// The same method at the end of another value, behind another number.
    #[inline]
    pub(crate) fn moved(&self, value: Span, number: u32) -> CSeqSpans {
        let len = self.method.len;
        CSeqSpans { number, method: Span { start: value.end().wrapping_sub(len), len } }
    }

    #[inline]
    pub(crate) fn view<'a>(&self, text: &'a [u8]) -> CSeq<'a> {
        CSeq { number: self.number, method: self.method.of(text) }
    }
}

/// The value of a header field that is one number, such as Expires, Min-Expires or RSeq; `None` if it is absent.
///
/// # Errors
/// It is no number, or does not fit 32 bits.
#[inline]
pub fn number(message: &Message, name: Name) -> Result<Option<u32>, NumberError> {
    message.value(name).map(ascii::parse_u32).transpose()
}

/// The Expires header field in seconds; `None` if it is absent (RFC 3261 §20.19).
///
/// # Errors
/// It is no number (RFC 2543 allowed a date), or does not fit 32 bits.
#[inline]
pub fn expires(message: &Message) -> Result<Option<u32>, NumberError> {
    number(message, Name::Expires)
}

/// The Max-Forwards header field; `None` if it is absent (RFC 3261 §20.22).
///
/// # Errors
/// It is no number from 0 to 255.
#[inline]
pub fn max_forwards(message: &Message) -> Result<Option<u8>, NumberError> {
    match number(message, Name::MaxForwards)? {
        Some(hops) if hops > MAX_MAX_FORWARDS => Err(NumberError::OutOfRange),
        hops => Ok(hops.map(|hops| hops as u8)),
    }
}

/// The Retry-After header field in seconds, without its comment and parameters; `None` if it is absent
/// (RFC 3261 §20.33).
///
/// # Errors
/// It does not start with a number, or with one that does not fit 32 bits.
pub fn retry_after(message: &Message) -> Result<Option<u32>, NumberError> {
    message
        .value(Name::RetryAfter)
        .map(|value| {
            let end = value.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(value.len());
            ascii::parse_u32(value.get(..end).unwrap_or_default())
        })
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, expected: Result<(u32, &str), NumberError>) {
        let found = CSeq::parse(value.as_bytes());
        assert_eq!(
            found.map(|cseq| (cseq.number, std::str::from_utf8(cseq.method).unwrap())),
            expected,
            "{value:?}"
        );
    }

    #[test]
    fn cseq_is_a_number_below_two_to_the_31_and_a_method() {
        check("1 REGISTER", Ok((1, "REGISTER")));
        check("0009\r\n  INVITE", Ok((9, "INVITE")));
        check("2147483647 ACK", Ok((2_147_483_647, "ACK")));
        check("2147483648 ACK", Err(NumberError::OutOfRange));
        check("36893488147419103232 REGISTER", Err(NumberError::OutOfRange));
        check("1", Err(NumberError::NotANumber));
        check("1REGISTER", Err(NumberError::NotANumber));
        check("-1 REGISTER", Err(NumberError::NotANumber));
        check("1 REG ISTER", Err(NumberError::NotANumber));
        check("", Err(NumberError::NotANumber));
    }
}
