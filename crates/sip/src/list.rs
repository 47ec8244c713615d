//! Comma separated header values.

use crate::{ascii, cursor::Cursor, message::Message, name::Name, swar};

/// The items of one header value, split at the commas outside of quoted strings and `<>`, and trimmed. Empty items
/// are given, too: whether they are allowed depends on the header field. An empty value has no items.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Items<'a> {
    /// The items of a header value.
    #[inline]
    #[must_use]
    pub fn new(value: &'a [u8]) -> Items<'a> {
        Items { rest: (!value.is_empty()).then_some(value) }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let end = item_end(rest);
        self.rest = rest.get(end + 1..);
        Some(ascii::trim(rest.get(..end)?))
    }
}

/// Position of the comma after the first item, or the length. A quote or bracket that is not closed hides all
/// commas after it; the parser of the item objects to it.
#[inline]
fn item_end(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = swar::find3(text.get(at..).unwrap_or_default(), b',', b'"', b'<') {
        let position = at + found;
        let inner = text.get(position + 1..).unwrap_or_default();
        let closing = match text.get(position) {
            Some(b'"') => ascii::find_closing_quote(inner),
            Some(b'<') => swar::find(inner, b'>'),
            _ => return position,
        };
        match closing {
            Some(closing) => at = position + 1 + closing + 1,
            None => return text.len(),
        }
    }
    text.len()
}

/// Walks over a comma separated list whose items find their own ends, which saves looking for the commas first.
#[derive(Clone, Debug)]
pub(crate) struct TakeItems<'a> {
    rest: Option<Cursor<'a>>,
}

impl<'a> TakeItems<'a> {
    #[inline]
    pub(crate) fn new(value: &'a [u8]) -> TakeItems<'a> {
        TakeItems { rest: Some(Cursor::new(value)) }
    }

    /// The next item. `take` has to stop at the end of the text or at a comma; after an error the rest of the item
    /// is passed over.
    #[inline]
    pub(crate) fn next<T, E>(
        &mut self,
        take: impl FnOnce(&mut Cursor<'a>) -> Result<T, E>,
    ) -> Option<Result<T, E>> {
        let mut cursor = self.rest.take()?;
        let start = cursor.position();
        let item = take(&mut cursor);
        if item.is_err() {
            cursor = Cursor::new(cursor.text());
            cursor.skip(start);
            cursor.skip(item_end(cursor.rest()));
        }
        self.rest = cursor.eat(b',').then_some(cursor);
        Some(item)
    }
}

/// The items of all header fields of a name, in order.
pub fn items(message: &Message, name: Name) -> impl Iterator<Item = &[u8]> + Clone {
    message.header_all(name).flat_map(|header| Items::new(header.value))
}

/// The tokens of all header fields of a name, such as the option tags of Supported and Require or the methods of
/// Allow, in order and without empty items.
pub fn tokens(message: &Message, name: Name) -> impl Iterator<Item = &[u8]> + Clone {
    items(message, name).filter(|item| !item.is_empty())
}

/// Whether one of the header fields of a name lists a token, without regard to case. Meant for option tags;
/// methods are case-sensitive.
#[inline]
#[must_use]
pub fn lists(message: &Message, name: Name, token: &[u8]) -> bool {
    let Some(first) = message.value(name) else { return false };
    let is_listed = |value| Items::new(value).any(|item| ascii::eq_ignore_case(item, token));
    if message.is_repeated(name) {
        return message.header_all(name).any(|header| is_listed(header.value));
    }
    ascii::eq_ignore_case(first, token) || is_listed(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, expected: &[&str]) {
        let found: Vec<_> =
            Items::new(value.as_bytes()).map(|item| std::str::from_utf8(item).unwrap()).collect();
        assert_eq!(found, expected, "{value:?}");
    }

    #[test]
    fn commas_split_outside_quotes_and_brackets() {
        check("", &[]);
        check("path", &["path"]);
        check("path, outbound ,\r\n gruu", &["path", "outbound", "gruu"]);
        check("\"a, b\" <sip:a,b@c>;x=\"y,z\", <sip:d>", &["\"a, b\" <sip:a,b@c>;x=\"y,z\"", "<sip:d>"]);
        check("\"a \\\", b\" <sip:c>,d", &["\"a \\\", b\" <sip:c>", "d"]);
        check("a,,b,", &["a", "", "b", ""]);
        check("\"open, <a>, b", &["\"open, <a>, b"]);
        check("<open, b", &["<open, b"]);
    }
}
