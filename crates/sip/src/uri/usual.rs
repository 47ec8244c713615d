//! A short way for URIs as phones write them.

use super::{Scheme, Uri};
use crate::{
    ascii::{self, Class},
    marks::Marks,
    params::Params,
};

/// Takes apart `sip:user@host`, with a port or without, and with parameters or without, none of them with an escape: nearly
/// every Contact and Request-URI. It takes a third of what [`Uri::parse`] does, which takes each of them too. `None` is no
/// verdict.
#[inline]
pub(super) fn read(raw: &[u8]) -> Option<Uri<'_>> {
    let parts = find(raw, 0)?;
    if parts.end == raw.len() { parts.uri(raw) } else { None }
}

/// As [`read`], for a URI in brackets with which a text begins. Gives what is behind them too.
#[inline]
pub(super) fn read_bracketed(text: &[u8]) -> Option<(Uri<'_>, &[u8])> {
    if text.first() != Some(&b'<') {
        return None;
    }
    let parts = find(text, 1)?;
    match text.get(parts.end..) {
        Some([b'>', behind @ ..]) => Some((parts.uri(text)?, behind)),
        _ => None,
    }
}

/// Where the parts of a URI are.
struct Parts {
    start: usize,
    /// The `@`.
    at: usize,
    host_end: usize,
    port: Option<u16>,
    /// Behind the first `;`, or behind the end.
    params: usize,
    end: usize,
}

impl Parts {
    #[inline]
    fn uri<'a>(&self, text: &'a [u8]) -> Option<Uri<'a>> {
        Some(Uri {
            raw: text.get(self.start..self.end)?,
            scheme: Scheme::Sip,
            scheme_name: text.get(self.start..self.start + 3)?,
            user: Some(text.get(self.start + SCHEME_LEN..self.at)?),
            password: None,
            host: text.get(self.at + 1..self.host_end)?,
            port: self.port,
            params: Params::new(text.get(self.params..self.end).unwrap_or_default()),
            headers: None,
            opaque: b"",
        })
    }
}

/// The length of `sip:`.
const SCHEME_LEN: usize = 4;

/// Finds the parts of the URI that begins at a place, as far as it goes.
fn find(text: &[u8], start: usize) -> Option<Parts> {
    let from_user = start + SCHEME_LEN;
    if text.get(start..from_user)? != b"sip:" {
        return None;
    }
    let mut marks = Marks::new(text, from_user);
    let at = marks.next_outside(Class::USER);
    let host_end = marks.next();
    if text.get(at) != Some(&b'@') || at == from_user || host_end == at + 1 {
        return None;
    }
    let (mut end, mut port) = (host_end, None);
    if text.get(end) == Some(&b':') {
        let digits_start = end + 1;
        end = marks.next();
        port = Some(ascii::parse_port(text.get(digits_start..end)?).ok()?);
    }
    let params = end + 1;
    while text.get(end) == Some(&b';') {
        let name_start = end + 1;
        end = marks.next_outside(Class::URI_PARAM);
        // No name.
        if end == name_start {
            return None;
        }
        if text.get(end) == Some(&b'=') {
            end = marks.next_outside(Class::URI_PARAM);
        }
    }
    Some(Parts { start, at, host_end, port, params, end })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_reads_as_the_long_way_does(
            text in "[sS]ip:(([a-c:%;?=/_é-]{0,4}|[a-c]{1,30})@)?[a-c1.\\[_-]{0,20}(:[0-9]{0,6})?(;[a%&-]{0,3}(=[a1=&\\[/:_]{0,20})?){0,3}[;?=@ ]?"
        ) {
            if let Some(uri) = read(text.as_bytes()) {
                let other = Uri::parse_any(text.as_bytes()).map(|other| format!("{other:?}"));
                prop_assert_eq!(Ok(format!("{uri:?}")), other);
            }
        }
    }

    proptest! {
        #[test]
        fn in_brackets_it_reads_the_same(
            uri in "sip:[a-c/]{1,30}@[a-c.]{1,20}(:[0-9]{1,5})?(;[a-c-]{0,3}(=[a1=\\[/:_]{0,20})?){0,3}[;?=@ ]?",
            behind in "[ -~]{0,20}",
        ) {
            let text = format!("<{uri}>{behind}");
            let found = read_bracketed(text.as_bytes()).map(|(uri, behind)| format!("{uri:?} {behind:?}"));
            let expected = read(uri.as_bytes()).map(|uri| format!("{uri:?} {:?}", behind.as_bytes()));
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn what_phones_write_takes_the_short_way() {
        for usual in [
            "sip:u@h",
            "sip:u1@192.0.2.1:5060",
            "sip:u@h;ob",
            "sip:u;x=y?@h.example:1;transport=udp;pn-prid=a:b[c]/$+;lr",
            "sip:u@h;x=",
        ] {
            assert!(read(usual.as_bytes()).is_some(), "{usual}");
        }
        for other in [
            "sip:h",
            "sip:@h",
            "sip:u:p@h",
            "sip:u@[::1]",
            "sip:u@h;",
            "sip:u@h;;x",
            "sip:u@h;=x",
            "sips:u@h",
        ] {
            assert!(read(other.as_bytes()).is_none(), "{other}");
        }
    }
}
