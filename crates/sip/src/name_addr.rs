//! `name-addr` and `addr-spec` with parameters: From, To, Contact, Route, Record-Route, Path (RFC 3261 §20.10).

use thiserror::Error;

use crate::{
    ascii::{self, NumberError},
    cursor::Cursor,
    lanes,
    list::TakeItems,
    message::Message,
    name::Name,
    params::{self, ParamError, ParamSpans, Params},
    span::Span,
    swar,
    uri::{Uri, UriError},
};

/// Why a value is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// There is nothing.
    #[error("empty address")]
    Empty,
    /// A quote that is not closed, or a display name with a delimiter that must be quoted.
    #[error("malformed display name")]
    DisplayName,
    /// `<` without `>`, white space inside, or no URI.
    #[error("malformed address")]
    Address,
    /// A URI without brackets that has headers or a comma (RFC 3261 §20: such a URI must be in brackets).
    #[error("address must be in brackets")]
    BracketsMissing,
    /// The parameters are malformed.
    #[error(transparent)]
    Params(#[from] ParamError),
}

/// Why a q value is none (RFC 3261 §25.1, `qvalue`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("q is not a number between 0 and 1")]
pub struct BadQ;

/// An address with its header parameters.
#[derive(Clone, Copy, Debug)]
pub struct NameAddr<'a> {
    /// The whole value.
    pub raw: &'a [u8],
    /// The display name as it was written, quotes included; empty if there is none.
    pub display: &'a [u8],
    /// The URI, without brackets.
    pub uri: &'a [u8],
    /// Whether the URI stands in `<>`.
    pub bracketed: bool,
    /// The header parameters. Without brackets everything after the URI's first `;` is a header parameter
    /// (RFC 3261 §20.10).
    pub params: Params<'a>,
    tag: Option<&'a [u8]>,
}

impl<'a> NameAddr<'a> {
    /// Takes one address apart: a From or To value, or one item of a list.
    ///
    /// Display names may hold any bytes but the delimiters, which is wider than RFC 3261's `*(token LWS)`: phones
    /// send names in UTF-8 and with punctuation, unquoted.
    ///
    /// # Errors
    /// The first fault, parameters included. The URI is not taken apart, see [`parse_uri`](NameAddr::parse_uri).
    #[inline]
    pub fn parse(value: &'a [u8]) -> Result<NameAddr<'a>, AddressError> {
        let mut cursor = Cursor::new(value);
        AddressSpans::take_whole(&mut cursor).map(|address| address.view(value))
    }

    /// The URI, taken apart.
    ///
    /// # Errors
    /// As [`Uri::parse`].
    #[inline]
    pub fn parse_uri(&self) -> Result<Uri<'a>, UriError> {
        Uri::parse(self.uri)
    }

    /// A header parameter: `None` if there is none, `Some(None)` if it has no value.
    #[inline]
    #[must_use]
    pub fn param(&self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        self.params.param(name)
    }

    /// The tag of a From or To.
    #[inline]
    #[must_use]
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.tag
    }

    /// The q value in thousandths, 0 to 1000; `None` if there is none.
    ///
    /// # Errors
    /// The value is no number from 0 to 1 with at most three decimals (RFC 3261 §25.1).
    pub fn q(&self) -> Result<Option<u16>, BadQ> {
        self.param(b"q").map(|value| value.ok_or(BadQ).and_then(parse_q)).transpose()
    }

    /// The `expires` parameter in seconds; `None` if there is none.
    ///
    /// # Errors
    /// The value is missing, no number, or does not fit 32 bits.
    pub fn expires(&self) -> Result<Option<u32>, NumberError> {
        self.param(b"expires")
            .map(|value| {
                value
                    .ok_or(NumberError::NotANumber)
                    .and_then(|value| ascii::parse_u32(ascii::strip_quotes(value)))
            })
            .transpose()
    }
}

/// An address by its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AddressSpans {
    raw: Span,
    display: Span,
    uri: Span,
    bracketed: bool,
    params: Span,
    tag: Option<Span>,
}

impl AddressSpans {
    /// Takes the only address of a text.
    #[inline]
    pub(crate) fn take_whole(cursor: &mut Cursor<'_>) -> Result<AddressSpans, AddressError> {
        cursor.skip_lws();
        let start = cursor.position();
        let (display, uri, bracketed) = take_uri(cursor)?;
        if bracketed && let Some((params, tag)) = plain_tag(cursor) {
            return Ok(AddressSpans { raw: cursor.since(start), display, uri, bracketed, params, tag });
        }
        let address = AddressSpans { display, uri, bracketed, ..AddressSpans::default() };
        let address = address.with_params(cursor, start, |_, _| {})?;
        match (cursor.is_at_end(), bracketed) {
            (true, _) => Ok(address),
            (false, true) => Err(AddressError::Params(ParamError::Junk)),
            (false, false) => Err(AddressError::BracketsMissing),
        }
    }

    /// Takes an address up to the end of the text or a comma.
    #[inline]
    fn take(cursor: &mut Cursor<'_>) -> Result<AddressSpans, AddressError> {
        AddressSpans::take_with(cursor, |_, _| {})
    }

    /// As [`take`](AddressSpans::take); hands each header parameter and its name to `visit`.
    #[inline]
    fn take_with(
        cursor: &mut Cursor<'_>,
        visit: impl FnMut(&[u8], &ParamSpans),
    ) -> Result<AddressSpans, AddressError> {
        cursor.skip_lws();
        let start = cursor.position();
        let (display, uri, bracketed) = take_uri(cursor)?;
        let address = AddressSpans { display, uri, bracketed, ..AddressSpans::default() };
        address.with_params(cursor, start, visit)
    }

    /// Takes what comes after the URI of an address that began at `start`.
    #[inline]
    fn with_params(
        self,
        cursor: &mut Cursor<'_>,
        start: usize,
        mut visit: impl FnMut(&[u8], &ParamSpans),
    ) -> Result<AddressSpans, AddressError> {
        let mut tag = None;
        let params = params::take_all(cursor, |name, param| {
            if tag.is_none() && name.len() == 3 && ascii::eq_ignore_case(name, b"tag") {
                tag = param.value;
            }
            visit(name, param);
        })?;
        Ok(AddressSpans { raw: cursor.trimmed_since(start), params, tag, ..self })
    }

    /// What [`take_whole`](AddressSpans::take_whole) makes of this value of the same text, if it is the address of this one to
    /// the last byte, and has no parameters. `None` is no verdict.
    #[inline]
    pub(crate) fn again(&self, text: &[u8], value: Span) -> Option<AddressSpans> {
        let AddressSpans { raw, display, uri, bracketed, .. } = *self;
        let len = uri.end() + 1 - raw.start;
        if !bracketed || value.len != len || value.of(text) != (Span { len, ..raw }).of(text) {
            return None;
        }
        let moved = |part: Span| Span { start: part.start - raw.start + value.start, ..part };
        let display = if display.is_empty() { display } else { moved(display) };
        let params = Span { start: value.end() + 1, len: 0 };
        Some(AddressSpans { raw: value, display, uri: moved(uri), bracketed, params, tag: None })
    }

    /// URI and tag of a value that is nothing but a URI in brackets and at most a tag: what differs from one message of a sender
    /// to the next. `None` is no verdict.
    pub(crate) fn plain_parts(&self, value: Span) -> Option<(Span, Option<Span>)> {
        self.as_plain(value).map(|_| (self.uri, self.tag))
    }

    /// The address of a value that is nothing but a URI in brackets and at most a tag. `None` is no verdict.
    pub(crate) fn as_plain(&self, value: Span) -> Option<PlainAddress> {
        let plain = PlainAddress { uri_len: self.uri.len, tag_len: self.tag.map_or(0, |tag| tag.len) };
        (self.raw == value && plain.at(value.start) == *self).then_some(plain)
    }

    #[inline]
    pub(crate) fn view<'a>(&self, text: &'a [u8]) -> NameAddr<'a> {
        NameAddr {
            raw: self.raw.of(text),
            display: self.display.of(text),
            uri: self.uri.of(text),
            bracketed: self.bracketed,
            params: Params::new(self.params.of(text)),
            tag: self.tag.map(|tag| tag.of(text)),
        }
    }

    #[inline]
    pub(crate) fn has_tag(&self) -> bool {
        self.tag.is_some()
    }
}

/// An address that is nothing but a URI in brackets and at most a tag: `<uri>` or `<uri>;tag=token`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PlainAddress {
    pub(crate) uri_len: u32,
    /// 0 without a tag.
    pub(crate) tag_len: u32,
}

impl PlainAddress {
    /// What an address takes besides URI and tag.
    const BRACKETS: u32 = 2;
    const BEFORE_TAG: u32 = b";tag=".len() as u32;

    /// The parts of the address that stands there.
    #[inline]
    pub(crate) fn at(self, start: u32) -> AddressSpans {
        let uri = Span { start: start + 1, len: self.uri_len };
        let end = start + PlainAddress::BRACKETS + self.uri_len;
        let len = if self.tag_len == 0 { 0 } else { PlainAddress::BEFORE_TAG + self.tag_len };
        let tag = Span { start: end + PlainAddress::BEFORE_TAG, len: self.tag_len };
        AddressSpans {
            raw: Span { start, len: end - start + len },
            display: Span::default(),
            uri,
            bracketed: true,
            params: Span { start: end + 1, len: len.saturating_sub(1) },
            tag: (self.tag_len != 0).then_some(tag),
        }
    }
}

/// Takes display name and URI, and whether that is in brackets; the cursor stands at the first byte.
#[inline]
fn take_uri(cursor: &mut Cursor<'_>) -> Result<(Span, Span, bool), AddressError> {
    match cursor.peek() {
        None | Some(b',') => Err(AddressError::Empty),
        Some(b'<') => Ok((Span::default(), bracketed_uri(cursor)?, true)),
        Some(b'"') => {
            let display = cursor.quoted_string().ok_or(AddressError::DisplayName)?;
            cursor.skip_lws();
            if cursor.peek() != Some(b'<') {
                return Err(AddressError::DisplayName);
            }
            Ok((display, bracketed_uri(cursor)?, true))
        }
        Some(_) => unquoted(cursor),
    }
}

/// The parameters of nearly every From and To, and the tag among them: there are none, or a tag alone that is a token. The
/// cursor stands behind the URI and goes to the end; it stays where it is when there is something else, `None`.
#[inline]
fn plain_tag(cursor: &mut Cursor<'_>) -> Option<(Span, Option<Span>)> {
    let start = cursor.position();
    let rest = cursor.rest();
    if rest.is_empty() {
        return Some((Span { start: start as u32 + 1, len: 0 }, None));
    }
    let tag = rest.strip_prefix(b";tag=").filter(|tag| ascii::is_token(tag))?;
    cursor.skip(rest.len());
    let end = cursor.position();
    Some((Span::between(start + 1, end), Some(Span::between(end - tag.len(), end))))
}

/// Takes `<uri>`; the cursor stands at `<`.
#[inline]
fn bracketed_uri(cursor: &mut Cursor<'_>) -> Result<Span, AddressError> {
    cursor.skip(1);
    let start = cursor.position();
    cursor.skip(lanes::find_bracket_end(cursor.rest()));
    let uri = cursor.since(start);
    if cursor.eat(b'>') && !uri.is_empty() { Ok(uri) } else { Err(AddressError::Address) }
}

/// Takes an address that begins with neither a quote nor a bracket: display name, URI, and whether that is in
/// brackets.
fn unquoted(cursor: &mut Cursor<'_>) -> Result<(Span, Span, bool), AddressError> {
    let start = cursor.position();
    let rest = cursor.rest();
    cursor.skip(swar::find_address_mark(rest).unwrap_or(rest.len()));
    let span = cursor.trimmed_since(start);
    let text = cursor.slice(span);
    match cursor.peek() {
        Some(b'"') => Err(AddressError::DisplayName),
        Some(b'<') if text.contains(&b'>') => Err(AddressError::DisplayName),
        Some(b'<') => Ok((span, bracketed_uri(cursor)?, true)),
        _ if text.is_empty() || text.iter().any(|&byte| byte <= b' ' || byte == b'>') => {
            Err(AddressError::Address)
        }
        _ if text.contains(&b'?') => Err(AddressError::BracketsMissing),
        _ => Ok((Span::default(), span, false)),
    }
}

/// Reads a q value: `0`, `0.5`, `1.000`; the result is in thousandths.
///
/// # Errors
/// It is no number from 0 to 1, or has more than three decimals.
pub fn parse_q(text: &[u8]) -> Result<u16, BadQ> {
    let (whole, decimals): (u16, &[u8]) = match text {
        [b'0'] => (0, b""),
        [b'1'] => (1000, b""),
        [b'0', b'.', decimals @ ..] => (0, decimals),
        [b'1', b'.', decimals @ ..] => (1000, decimals),
        // Without the leading zero it is not RFC 3261, but it is sent and means one thing only.
        [b'.', decimals @ ..] if !decimals.is_empty() => (0, decimals),
        _ => return Err(BadQ),
    };
    if decimals.len() > 3 || !decimals.iter().all(u8::is_ascii_digit) {
        return Err(BadQ);
    }
    let scales = [100_u16, 10, 1];
    let fraction: u16 =
        decimals.iter().zip(scales).map(|(digit, scale)| u16::from(digit - b'0') * scale).sum();
    if whole + fraction > 1000 { Err(BadQ) } else { Ok(whole + fraction) }
}

/// The addresses of one header value: a comma separated list.
#[derive(Clone, Debug)]
pub struct NameAddrs<'a> {
    items: TakeItems<'a>,
}

impl<'a> NameAddrs<'a> {
    /// The addresses of a header value; an empty one gives an error.
    #[inline]
    #[must_use]
    pub fn new(value: &'a [u8]) -> NameAddrs<'a> {
        NameAddrs { items: TakeItems::new(value) }
    }
}

impl<'a> Iterator for NameAddrs<'a> {
    type Item = Result<NameAddr<'a>, AddressError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.items.next(take_view)
    }
}

#[inline]
fn take_view<'a>(cursor: &mut Cursor<'a>) -> Result<NameAddr<'a>, AddressError> {
    AddressSpans::take(cursor).map(|address| address.view(cursor.text()))
}

/// The addresses of all header fields of a name in order: Route, Record-Route, Path.
pub fn addresses(
    message: &Message,
    name: Name,
) -> impl Iterator<Item = Result<NameAddr<'_>, AddressError>> + Clone {
    message.header_all(name).flat_map(|header| NameAddrs::new(header.value))
}

/// The first header field of a name as one address: From, To.
///
/// # Errors
/// It is absent ([`AddressError::Empty`]) or malformed.
#[inline]
pub fn address(message: &Message, name: Name) -> Result<NameAddr<'_>, AddressError> {
    let spans = match name {
        Name::From => &message.essentials.from,
        Name::To => &message.essentials.to,
        _ => return NameAddr::parse(message.value(name).ok_or(AddressError::Empty)?),
    };
    spans.as_ref().map(|spans| spans.view(message.bytes())).map_err(|error| *error)
}

/// The URI of To, without brackets.
///
/// # Errors
/// It is absent ([`AddressError::Empty`]) or malformed.
#[inline]
pub fn to_uri(message: &Message) -> Result<&[u8], AddressError> {
    let to = message.essentials.to.as_ref();
    to.map(|to| to.uri.of(message.bytes())).map_err(|error| *error)
}

/// The tag of To, if it has one.
///
/// # Errors
/// It is absent ([`AddressError::Empty`]) or malformed.
#[inline]
pub fn to_tag(message: &Message) -> Result<Option<&[u8]>, AddressError> {
    let to = message.essentials.to.as_ref();
    to.map(|to| to.tag.map(|tag| tag.of(message.bytes()))).map_err(|error| *error)
}

/// One value of a Contact header field.
#[derive(Clone, Copy, Debug)]
pub enum Contact<'a> {
    /// `*`: all bindings (RFC 3261 §10.2.2).
    Star,
    /// An address.
    Address(NameAddr<'a>),
}

impl<'a> Contact<'a> {
    /// Takes one item of a Contact header field apart.
    ///
    /// # Errors
    /// It is neither `*` nor an address.
    #[inline]
    pub fn parse(item: &'a [u8]) -> Result<Contact<'a>, AddressError> {
        match ascii::trim(item) {
            b"*" => Ok(Contact::Star),
            item => NameAddr::parse(item).map(Contact::Address),
        }
    }

    #[inline]
    fn take(
        cursor: &mut Cursor<'a>,
        mut visit: impl FnMut(&'a [u8], Option<&'a [u8]>),
    ) -> Result<Contact<'a>, AddressError> {
        cursor.skip_lws();
        if cursor.peek() != Some(b'*') {
            let text = cursor.text();
            let on_param = |_: &[u8], param: &ParamSpans| {
                visit(param.name.of(text), param.value.map(|value| value.of(text)));
            };
            return AddressSpans::take_with(cursor, on_param)
                .map(|address| Contact::Address(address.view(text)));
        }
        cursor.skip(1);
        cursor.skip_lws();
        if matches!(cursor.peek(), None | Some(b',')) {
            Ok(Contact::Star)
        } else {
            Err(AddressError::Address)
        }
    }
}

/// The contacts of one Contact header value.
#[derive(Clone, Debug)]
pub struct Contacts<'a> {
    items: TakeItems<'a>,
}

impl<'a> Contacts<'a> {
    /// The contacts of a header value; an empty one gives an error.
    #[inline]
    #[must_use]
    pub fn new(value: &'a [u8]) -> Contacts<'a> {
        Contacts { items: TakeItems::new(value) }
    }

    /// As [`next`](Iterator::next), and hands name and value of each header parameter of the contact to `visit`
    /// while it is read, which saves another walk over them. After an error what was visited means nothing.
    #[inline]
    pub fn next_with(
        &mut self,
        visit: impl FnMut(&'a [u8], Option<&'a [u8]>),
    ) -> Option<Result<Contact<'a>, AddressError>> {
        self.items.next(|cursor| Contact::take(cursor, visit))
    }
}

impl<'a> Iterator for Contacts<'a> {
    type Item = Result<Contact<'a>, AddressError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.next_with(|_, _| {})
    }
}

/// The contacts of all Contact header fields, in order. An empty Contact header field gives an error.
#[inline]
pub fn contacts(message: &Message) -> impl Iterator<Item = Result<Contact<'_>, AddressError>> + Clone {
    message.header_all(Name::Contact).flat_map(|header| Contacts::new(header.value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_plain_tag_is_what_the_general_way_makes_of_it(
            address in prop_oneof![
                "(Bob |\"Bob\" |)<sip:[a-z@.]{1,9}>(;tag=[ -~]{0,9}|;[a-z=;\" ]{0,9}|)",
                "sip:[a-z@.;=]{1,20}",
                "[ -~]{0,30}",
            ],
        ) {
            let text = address.as_bytes();
            let mut cursor = Cursor::new(text);
            let general = AddressSpans::take_with(&mut cursor, |_, _| {});
            let ends = cursor.is_at_end();
            match AddressSpans::take_whole(&mut Cursor::new(text)) {
                Ok(address) => {
                    prop_assert!(ends);
                    prop_assert_eq!(format!("{:?}", general), format!("{:?}", Ok::<_, AddressError>(address)));
                }
                Err(error) => prop_assert!(!ends || general.is_err(), "{error}"),
            }
        }
    }
}
