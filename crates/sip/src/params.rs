//! `;name=value` parameters of header fields and URIs.

use thiserror::Error;

use crate::{
    ascii::{self, Class},
    cursor::Cursor,
    span::Span,
    swar,
};

/// Parameters, borrowed, and parsed while they are walked over. In header fields values may be quoted strings and
/// blanks may stand around `;` and `=` (RFC 3261 §25.1, `generic-param`); in URIs neither occurs, because
/// [`Uri::parse`](crate::uri::Uri::parse) refuses the bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Params<'a> {
    /// Everything after the first `;`.
    bytes: &'a [u8],
    present: bool,
}

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// The name as it was written.
    pub name: &'a [u8],
    /// The value as it was written, quotes included; `None` without `=`.
    pub value: Option<&'a [u8]>,
    /// The whole parameter from the name to the end of the value, without the `;` before it.
    pub raw: &'a [u8],
    /// Known to be well-formed, because it was read by the strict path.
    sound: bool,
}

/// Why parameters are malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ParamError {
    /// An empty parameter, or a name that is no token.
    #[error("malformed parameter name")]
    Name,
    /// A value with white space or a delimiter in it, or a quote that is not closed.
    #[error("malformed parameter value")]
    Value,
    /// Something before the first `;`.
    #[error("unexpected text before parameters")]
    Junk,
}

impl<'a> Params<'a> {
    /// The parameters in a text that is empty or starts with `;`, white space before it allowed.
    ///
    /// # Errors
    /// [`ParamError::Junk`] when it starts with something else. Each parameter is looked at by
    /// [`check`](Params::check) only.
    #[inline]
    pub fn after(text: &'a [u8]) -> Result<Params<'a>, ParamError> {
        match ascii::trim_start(text) {
            [] => Ok(Params::default()),
            [b';', rest @ ..] => Ok(Params { bytes: rest, present: true }),
            _ => Err(ParamError::Junk),
        }
    }

    /// The parameters in a text that starts with the name of the first.
    #[inline]
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Params<'a> {
        Params { bytes, present: !bytes.is_empty() }
    }

    /// The text after the first `;`.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether there is no parameter.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.present
    }

    /// The parameters in order. A malformed one is given as far as it can be read.
    #[inline]
    #[must_use]
    pub fn iter(&self) -> ParamIter<'a> {
        ParamIter { rest: self.present.then_some(self.bytes) }
    }

    /// The value of the first parameter of a name: `None` if there is none, `Some(None)` if it has no value.
    #[inline]
    #[must_use]
    pub fn param(&self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        self.find(name).map(|param| param.value)
    }

    /// The value of the first parameter of a name, if it has one.
    #[inline]
    #[must_use]
    pub fn value(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.find(name).and_then(|param| param.value)
    }

    /// Whether there is a parameter of a name.
    #[inline]
    #[must_use]
    pub fn has(&self, name: &[u8]) -> bool {
        self.find(name).is_some()
    }

    /// The first parameter of a name, without regard to case.
    #[inline]
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<Param<'a>> {
        self.iter().find(|param| ascii::eq_ignore_case(param.name, name))
    }

    /// Whether every parameter of a header field is well-formed (RFC 3261 §25.1).
    ///
    /// # Errors
    /// The fault of the first that is not.
    pub fn check(&self) -> Result<(), ParamError> {
        self.iter().try_for_each(|param| param.check())
    }
}

impl Param<'_> {
    /// Whether the parameter is well-formed in a header field (RFC 3261 §25.1).
    ///
    /// # Errors
    /// Its fault.
    #[inline]
    pub fn check(&self) -> Result<(), ParamError> {
        if self.sound {
            return Ok(());
        }
        let legal_value = match self.value {
            None => true,
            Some([b'"', rest @ ..]) => ascii::find_closing_quote(rest) == rest.len().checked_sub(1),
            Some(value) => Class::VALUE.has_all(value),
        };
        match (ascii::is_token(self.name), legal_value) {
            (false, _) => Err(ParamError::Name),
            (true, false) => Err(ParamError::Value),
            (true, true) => Ok(()),
        }
    }
}

impl<'a> IntoIterator for Params<'a> {
    type Item = Param<'a>;
    type IntoIter = ParamIter<'a>;

    fn into_iter(self) -> ParamIter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Params<'a> {
    type Item = Param<'a>;
    type IntoIter = ParamIter<'a>;

    fn into_iter(self) -> ParamIter<'a> {
        self.iter()
    }
}

/// Iterator over parameters.
#[derive(Clone, Debug)]
pub struct ParamIter<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for ParamIter<'a> {
    type Item = Param<'a>;

    #[inline]
    fn next(&mut self) -> Option<Param<'a>> {
        let text = self.rest?;
        let mut cursor = Cursor::new(text);
        if let Ok(param) = take(&mut cursor)
            && cursor.peek() != Some(b',')
        {
            self.rest = text.get(cursor.position() + 1..);
            return Some(param.view(text));
        }
        let (end, equals) = delimit(text);
        let raw = text.get(..end)?;
        self.rest = text.get(end + 1..);
        let (name, value) = match equals {
            None => (raw, None),
            Some(equals) => (raw.get(..equals)?, Some(ascii::trim(raw.get(equals + 1..)?))),
        };
        Some(Param { name: ascii::trim(name), value, raw: ascii::trim(raw), sound: false })
    }
}

/// A well-formed parameter by its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ParamSpans {
    pub name: Span,
    pub value: Option<Span>,
}

impl ParamSpans {
    /// Name and value.
    #[inline]
    pub(crate) fn raw(&self) -> Span {
        let last = self.value.unwrap_or(self.name);
        Span::between(self.name.start as usize, last.end() as usize)
    }

    #[inline]
    fn view<'a>(&self, text: &'a [u8]) -> Param<'a> {
        let value = self.value.map(|value| value.of(text));
        Param { name: self.name.of(text), value, raw: self.raw().of(text), sound: true }
    }
}

/// Takes one well-formed header parameter (RFC 3261 §25.1, `generic-param`) and the white space after it.
#[inline]
fn take(cursor: &mut Cursor<'_>) -> Result<ParamSpans, ParamError> {
    cursor.skip_lws();
    let name = cursor.run(Class::TOKEN);
    if name.is_empty() {
        return Err(ParamError::Name);
    }
    // As nearly all are written: without blanks.
    match cursor.peek() {
        None | Some(b';') => return Ok(ParamSpans { name, value: None }),
        Some(b'=') => {
            let mut ahead = cursor.clone();
            ahead.skip(1);
            let value = match ahead.peek() {
                Some(b'"') => ahead.quoted_string().unwrap_or_default(),
                _ => ahead.run(Class::VALUE),
            };
            if !value.is_empty() && matches!(ahead.peek(), None | Some(b';')) {
                *cursor = ahead;
                return Ok(ParamSpans { name, value: Some(value) });
            }
        }
        Some(_) => {}
    }
    take_unusual_value(cursor, name)
}

/// Takes what follows the name of a parameter where [`take`] has not found the plain form.
fn take_unusual_value(cursor: &mut Cursor<'_>, name: Span) -> Result<ParamSpans, ParamError> {
    let mut value = None;
    cursor.skip_lws();
    if cursor.eat(b'=') {
        cursor.skip_lws();
        value = Some(match cursor.peek() {
            Some(b'"') => cursor.quoted_string().ok_or(ParamError::Value)?,
            _ => cursor.run(Class::VALUE),
        });
        cursor.skip_lws();
    }
    match cursor.peek() {
        None | Some(b';' | b',') => Ok(ParamSpans { name, value }),
        Some(_) if value.is_some() => Err(ParamError::Value),
        Some(_) => Err(ParamError::Name),
    }
}

/// Takes all parameters up to the end of the text or a comma, which ends an item of a list. Hands the name of each
/// to `visit`, and where it stands; gives the text from the first name on.
///
/// # Errors
/// The fault of the first that is malformed, or [`ParamError::Junk`] where no parameter starts.
#[inline]
pub(crate) fn take_all(
    cursor: &mut Cursor<'_>,
    mut visit: impl FnMut(&[u8], &ParamSpans),
) -> Result<Span, ParamError> {
    cursor.skip_lws();
    let start = cursor.position() + 1;
    while cursor.eat(b';') {
        let param = take(cursor)?;
        visit(cursor.slice(param.name), &param);
    }
    match cursor.peek() {
        None | Some(b',') => Ok(cursor.trimmed_since(start)),
        Some(_) => Err(ParamError::Junk),
    }
}

/// End of the first parameter and position of its `=`. Quoted strings hide delimiters; one that is not closed
/// reaches to the end.
#[inline]
fn delimit(text: &[u8]) -> (usize, Option<usize>) {
    let Some(first) = swar::find3(text, b';', b'=', b'"') else { return (text.len(), None) };
    match text.get(first) {
        Some(b';') => (first, None),
        Some(b'=') => (value_end(text, first + 1), Some(first)),
        _ => (value_end(text, first), None),
    }
}

/// Position of the first `;` from a position on that is outside of quotes.
#[inline]
fn value_end(text: &[u8], mut at: usize) -> usize {
    while let Some(found) = swar::find2(text.get(at..).unwrap_or_default(), b';', b'"') {
        let position = at + found;
        let inner = text.get(position + 1..).unwrap_or_default();
        if text.get(position) == Some(&b';') {
            return position;
        }
        match ascii::find_closing_quote(inner) {
            Some(closing) => at = position + closing + 2,
            None => return text.len(),
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, Option<&str>)]) {
        let params = Params::after(text.as_bytes()).unwrap();
        let found: Vec<_> = params
            .iter()
            .map(|param| {
                let text = |bytes| std::str::from_utf8(bytes).unwrap();
                (text(param.name), param.value.map(text))
            })
            .collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn parameters_are_split_outside_quotes_and_trimmed() {
        check("", &[]);
        check(";lr", &[("lr", None)]);
        check(
            " ;a=1 ; b = \"x;y=\\\"z\" ;\r\n c",
            &[("a", Some("1")), ("b", Some("\"x;y=\\\"z\"")), ("c", None)],
        );
        check(";a=;b", &[("a", Some("")), ("b", None)]);
        check(";a=b=c", &[("a", Some("b=c"))]);
        check(";;", &[("", None), ("", None)]);
        check(";a=\"open;b", &[("a", Some("\"open;b"))]);
    }

    #[test]
    fn malformed_parameters_are_told() {
        let verdict = |text: &str| Params::after(text.as_bytes()).and_then(|params| params.check());
        assert_eq!(verdict(";tag=abc;lr;received=[2001:db8::1]"), Ok(()));
        assert_eq!(verdict(";rport="), Ok(()));
        assert_eq!(verdict(";a=\"q;,\""), Ok(()));
        assert_eq!(verdict(";;"), Err(ParamError::Name));
        assert_eq!(verdict(";"), Err(ParamError::Name));
        assert_eq!(verdict(";,"), Err(ParamError::Name));
        assert_eq!(verdict(";a b"), Err(ParamError::Name));
        assert_eq!(verdict(";a=b c"), Err(ParamError::Value));
        assert_eq!(verdict(";a=\"open"), Err(ParamError::Value));
        assert_eq!(verdict(";a=\"x\"y"), Err(ParamError::Value));
        assert_eq!(verdict("tag=1"), Err(ParamError::Junk));
    }

    #[test]
    fn the_first_parameter_of_a_name_counts_in_any_case() {
        let params = Params::new(b"Expires=60;expires=70;ob");
        assert_eq!(params.param(b"expires"), Some(Some(&b"60"[..])));
        assert_eq!(params.param(b"OB"), Some(None));
        assert_eq!(params.param(b"q"), None);
    }
}
