//! The two parts of the topmost Via that transactions are found by.

use memchr::{memchr, memchr3};
use seawall_sip::{Message, Name, Via};

/// What identifies the sender of a request, or the branch of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TopVia<'a> {
    /// Host and port as they were written.
    pub sent_by: &'a [u8],
    /// The branch parameter.
    pub branch: Option<&'a [u8]>,
}

impl<'a> TopVia<'a> {
    /// Reads it from a message. This runs for every message, so the form in which nearly all software writes a Via
    /// is read without taking everything apart; any other form goes through [`Via`].
    pub fn of(message: &'a Message) -> Option<TopVia<'a>> {
        plain(message.value(Name::Via)?).or_else(|| {
            let via = Via::top(message).ok()?;
            Some(TopVia { sent_by: via.sent_by, branch: via.branch() })
        })
    }
}

fn plain(value: &[u8]) -> Option<TopVia<'_>> {
    let mut fields = plain_fields(value)?;
    let sent_by = fields.next().filter(|sent_by| !sent_by.is_empty())?;
    let branch = fields.find_map(|field| value_of(field, b"branch="));
    Some(TopVia { sent_by, branch })
}

/// The value of a field that starts with this name and `=`.
pub(crate) fn value_of<'a>(field: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = field.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(value)
}

/// sent-by and the parameters of `SIP/2.0/UDP host:port;name=value;…` without blanks and quotes, the first of a list
/// or alone; `None` for any other form.
pub(crate) fn plain_fields(value: &[u8]) -> Option<Fields<'_>> {
    let rest = value.strip_prefix(b"SIP/2.0/")?;
    let mut rest = rest.get(memchr(b' ', rest)? + 1..)?;
    if let Some(end) = memchr3(b',', b' ', b'"', rest) {
        if rest.get(end) != Some(&b',') {
            return None;
        }
        rest = rest.get(..end)?;
    }
    // Folded lines. What else stands below the blank was refused by the scanner.
    memchr3(b'\t', b'\r', b'\n', rest).is_none().then_some(Fields { rest: Some(rest) })
}

/// The parts between semicolons.
#[derive(Clone)]
pub(crate) struct Fields<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let end = memchr(b';', rest).unwrap_or(rest.len());
        self.rest = rest.get(end + 1..);
        rest.get(..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(via: &str, expected: Option<(&str, Option<&str>)>) {
        let message =
            Message::parse(format!("M sip:a SIP/2.0\r\nv: {via}\r\n\r\n").into_bytes()).expect("a request");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let found = TopVia::of(&message).map(|via| (text(via.sent_by), via.branch.map(text)));
        let expected = expected.map(|(sent_by, branch)| (sent_by.to_owned(), branch.map(str::to_owned)));
        assert_eq!(found, expected, "{via}");
    }

    #[test]
    fn plain_and_odd_forms_give_the_same() {
        let expected = Some(("192.0.2.1:5070", Some("z9hG4bKx")));
        check("SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bKx", expected);
        check("SIP/2.0/UDP 192.0.2.1:5070;rport;Branch=z9hG4bKx;x=y", expected);
        check("SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bKx,SIP/2.0/UDP b;branch=other", expected);
        check("SIP/2.0/UDP 192.0.2.1:5070 ;\r\n branch = z9hG4bKx , SIP/2.0/UDP b;branch=other", expected);
        check("SIP / 2.0 / UDP  192.0.2.1:5070;x=\"a;branch=no\";branch=z9hG4bKx", expected);
    }

    #[test]
    fn parts_that_are_missing_are_missing() {
        check("SIP/2.0/TCP [2001:db8::1]", Some(("[2001:db8::1]", None)));
        check("SIP/2.0/UDP a;branch=", Some(("a", Some(""))));
        check("SIP/2.0/UDP ;branch=x", None);
        check("garbage", None);
        check("", None);
    }
}
