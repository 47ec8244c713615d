//! A short way for URIs as phones write them.

use super::{Scheme, Uri};
use crate::{
    ascii::{self, Class},
    marks::{self, Marks},
    params::Params,
    swar,
};

/// Takes apart `sip:user@host`, with a port or without, and with parameters or without, none of them with an escape: nearly
/// every Contact and Request-URI. It takes a third of what [`Uri::parse`] does, which takes each of them too. `None` is no
/// verdict.
#[inline]
pub(super) fn read(raw: &[u8]) -> Option<Uri<'_>> {
    let (parts, end) = find(raw, 0)?;
    if end == raw.len() { parts.of(raw) } else { None }
}

/// As [`read`], for a URI in brackets with which a text begins. Gives the URI, its parts, and what is behind the brackets.
#[inline]
pub(super) fn read_bracketed(text: &[u8]) -> Option<(&[u8], Usual, &[u8])> {
    if text.first() != Some(&b'<') {
        return None;
    }
    let (parts, end) = find(text, 1)?;
    match text.get(end..) {
        Some([b'>', behind @ ..]) => Some((text.get(1..end)?, parts, behind)),
        _ => None,
    }
}

/// Where the parts of a usual URI are: a tenth of what a [`Uri`] is, to be kept instead of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usual {
    /// The `@`.
    at: u32,
    host_end: u32,
    /// Behind the first `;`, or behind the end.
    params: u32,
    port: Option<u16>,
}

impl Usual {
    /// The URI, given the text that it was read from.
    #[inline]
    #[must_use]
    pub fn of(self, raw: &[u8]) -> Option<Uri<'_>> {
        let (at, host_end) = (self.at as usize, self.host_end as usize);
        Some(Uri {
            raw,
            scheme: Scheme::Sip,
            scheme_name: raw.get(..3)?,
            user: Some(raw.get(SCHEME_LEN..at)?),
            password: None,
            host: raw.get(at + 1..host_end)?,
            port: self.port,
            params: Params::new(raw.get(self.params as usize..).unwrap_or_default()),
            headers: None,
            opaque: b"",
        })
    }
}

/// The length of `sip:`.
const SCHEME_LEN: usize = 4;

/// Finds the parts of the URI that begins at a place, as far as it goes, and where it ends.
fn find(text: &[u8], start: usize) -> Option<(Usual, usize)> {
    let from_user = start + SCHEME_LEN;
    if text.get(start..from_user)? != b"sip:" {
        return None;
    }
    // Most URIs end within so many bytes, which are looked at together.
    if let Some(mut marks) = Window::new(text, from_user) {
        let found = parts(text, start, &mut marks);
        if !marks.is_over {
            return found;
        }
    }
    parts_of_long(text, start)
}

#[inline(never)]
fn parts_of_long(text: &[u8], start: usize) -> Option<(Usual, usize)> {
    parts(text, start, &mut Marks::new(text, start + SCHEME_LEN))
}

/// The parts of a URI whose marks behind the scheme these are.
#[inline(always)]
fn parts(text: &[u8], start: usize, marks: &mut impl Places) -> Option<(Usual, usize)> {
    let from_user = start + SCHEME_LEN;
    let at = marks.next_outside(text, Class::USER)?;
    let host_end = marks.next()?;
    if text.get(at) != Some(&b'@') || at == from_user || host_end == at + 1 {
        return None;
    }
    let (mut end, mut port) = (host_end, None);
    if text.get(end) == Some(&b':') {
        let digits_start = end + 1;
        end = marks.next()?;
        port = Some(port_of(text, digits_start, end)?);
    }
    let params = end + 1;
    while text.get(end) == Some(&b';') {
        let name_start = end + 1;
        end = marks.next_outside(text, Class::URI_PARAM)?;
        // No name.
        if end == name_start {
            return None;
        }
        if text.get(end) == Some(&b'=') {
            end = marks.next_outside(text, Class::URI_PARAM)?;
        }
    }
    let from_start = |place: usize| (place - start) as u32;
    let usual =
        Usual { at: from_start(at), host_end: from_start(host_end), params: from_start(params), port };
    Some((usual, end))
}

/// The port that stands between two places.
#[inline(always)]
fn port_of(text: &[u8], start: usize, end: usize) -> Option<u16> {
    match swar::leading_number(text.get(start..)?) {
        Some((port, len)) if len == end - start => u16::try_from(port).ok(),
        _ => ascii::parse_port(text.get(start..end)?).ok(),
    }
}

/// The places of marks, one after the other. The end of the text is the last.
trait Places {
    /// The next one; `None` where it is not known.
    fn next(&mut self) -> Option<usize>;

    /// The next one whose byte is not of this class.
    #[inline(always)]
    fn next_outside(&mut self, text: &[u8], class: Class) -> Option<usize> {
        loop {
            let place = self.next()?;
            if !text.get(place).is_some_and(|byte| class.has(*byte)) {
                return Some(place);
            }
        }
    }
}

impl Places for Marks<'_> {
    #[inline]
    fn next(&mut self) -> Option<usize> {
        Some(Marks::next(self))
    }
}

/// Those of the first bytes of a text, which are found at once.
struct Window {
    /// A bit for each that was not given yet, the first one lowest.
    found: u64,
    /// Whether another was asked for than are known.
    is_over: bool,
}

impl Window {
    /// Those from `start` on. `None` where the text is too short for it.
    #[inline(always)]
    fn new(text: &[u8], start: usize) -> Option<Window> {
        let found = match text.first_chunk() {
            Some(bytes) => marks::marks_of_many(bytes),
            None => marks::marks_and_upper_case(text)?.0 | 1 << text.len(),
        };
        Some(Window { found: found & u64::MAX << start, is_over: false })
    }
}

impl Places for Window {
    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        if self.found == 0 {
            self.is_over = true;
            return None;
        }
        let place = self.found.trailing_zeros() as usize;
        self.found &= self.found - 1;
        Some(place)
    }
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
            let found = read_bracketed(text.as_bytes()).map(|(raw, usual, behind)| {
                format!("{:?} {behind:?}", usual.of(raw).unwrap())
            });
            let expected = read(uri.as_bytes()).map(|uri| format!("{uri:?} {:?}", behind.as_bytes()));
            prop_assert_eq!(found, expected);
        }
    }

    /// What stands where no mark is known any more is not read.
    #[test]
    fn what_is_looked_at_together_may_end_anywhere() {
        for len in 0..80 {
            for behind in [";", ";;", ";a=;b", ";x;y=z>", "=;", ":5060>", "@h;x>", ">", ">;expires=60"] {
                for before in ["<sip:", "<sip:u@", "<sip:u@h;x=", "<sip:u@h:5060;", "<sip:u;x=y@h;"] {
                    let text = format!("{before}{}{behind}", "a".repeat(len));
                    let whole = parts(text.as_bytes(), 1, &mut Marks::new(text.as_bytes(), 1 + SCHEME_LEN));
                    assert_eq!(find(text.as_bytes(), 1), whole, "{text}");
                }
            }
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
