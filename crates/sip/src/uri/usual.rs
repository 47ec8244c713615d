//! A short way for URIs as phones write them.

use wide::u8x16;

use super::{Scheme, Uri};
use crate::{
    ascii::{self, Class},
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

/// The places of bytes that are neither letters nor digits nor one of `-._`, found sixteen at a time. All parts of a URI may
/// consist of these; whether they may have another byte in them is looked up for each.
struct Marks<'a> {
    text: &'a [u8],
    /// Where the bytes begin that `found` is about.
    block: usize,
    /// A bit for each such byte that was not given yet, the first one lowest.
    found: u32,
}

/// Bytes that are looked at together.
const BLOCK: usize = 16;

impl<'a> Marks<'a> {
    #[inline]
    fn new(text: &'a [u8], start: usize) -> Marks<'a> {
        let block = start - start % BLOCK;
        let found = marks_of(text, block) & (u32::MAX << (start % BLOCK));
        Marks { text, block, found }
    }

    /// The next place; the end of the text is the last.
    #[inline]
    fn next(&mut self) -> usize {
        while self.found == 0 {
            self.block += BLOCK;
            if self.block > self.text.len() {
                return self.text.len();
            }
            self.found = marks_of(self.text, self.block);
        }
        let place = self.block + self.found.trailing_zeros() as usize;
        self.found &= self.found - 1;
        place
    }

    /// The next place whose byte is not of this class.
    #[inline]
    fn next_outside(&mut self, class: Class) -> usize {
        loop {
            let place = self.next();
            if !self.text.get(place).is_some_and(|byte| class.has(*byte)) {
                return place;
            }
        }
    }
}

/// The marks of a block. The end of the text has one, what is behind it may have.
#[inline]
fn marks_of(text: &[u8], block: usize) -> u32 {
    let rest = text.get(block..).unwrap_or_default();
    if let Some(bytes) = rest.first_chunk::<BLOCK>() {
        return marks(bytes);
    }
    let end = 1 << rest.len();
    match text.last_chunk::<BLOCK>() {
        Some(bytes) => marks(bytes) >> (BLOCK - rest.len()) | end,
        None => marks_of_few(rest) | end,
    }
}

/// The marks of a text that is shorter than a block.
#[inline(never)]
fn marks_of_few(text: &[u8]) -> u32 {
    let mut padded = [0; BLOCK];
    if let Some(place) = padded.get_mut(..text.len()) {
        place.copy_from_slice(text);
    }
    marks(&padded)
}

#[inline]
fn marks(bytes: &[u8; BLOCK]) -> u32 {
    let bytes = u8x16::new(*bytes);
    let splat = u8x16::splat;
    let is_at_most = |bytes: u8x16, most: u8| bytes.min(splat(most)).simd_eq(bytes);
    let letters = is_at_most((bytes | splat(0x20)) - splat(b'a'), 25);
    // From the hyphen over the full stop and the slash to the nine.
    let digits = is_at_most(bytes - splat(b'-'), b'9' - b'-');
    let slash = bytes.simd_eq(splat(b'/'));
    let underscore = bytes.simd_eq(splat(b'_'));
    let plain = (letters | digits | underscore).to_bitmask() & !slash.to_bitmask();
    !plain & 0xffff
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

        #[test]
        fn what_is_not_plain_is_marked(text in "[ -~é\\x00-\\xff]{0,50}", start in 0usize..20) {
            let text = text.as_bytes();
            let start = start.min(text.len());
            let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
            let mut marks = Marks::new(text, start);
            for place in (start..text.len()).filter(|place| !is_plain(&text[*place])) {
                prop_assert_eq!(marks.next(), place);
            }
            prop_assert_eq!(marks.next(), text.len());
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
