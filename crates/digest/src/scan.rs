//! Credentials, taken apart in one pass: every authenticated request pays for this. `sip::digest` reads the same grammar
//! for everything else, and a test holds the two together.

use memchr::memchr;
use seawall_sip::ascii;

/// The rest of a header value. All methods leave white space behind what they took.
pub(crate) struct Scan<'a> {
    rest: &'a [u8],
    /// Whether there is a backslash anywhere, as there is in next to none.
    has_backslash: bool,
}

impl<'a> Scan<'a> {
    fn new(rest: &'a [u8]) -> Scan<'a> {
        Scan { rest, has_backslash: memchr(b'\\', rest).is_some() }
    }

    /// Begins with the scheme: whether it is Digest, and what follows it. `None` when there is no scheme.
    pub(crate) fn scheme(value: &'a [u8]) -> Option<(bool, Scan<'a>)> {
        let value = ascii::trim(value);
        if let Some(rest) = value.strip_prefix(b"Digest ") {
            // As nearly everybody writes it.
            return Some((true, Scan::new(skip_space(rest))));
        }
        let end = value.iter().position(|byte| ascii::is_lws(*byte)).unwrap_or(value.len());
        let (scheme, rest) = value.split_at_checked(end)?;
        if !ascii::is_token(scheme) {
            return None;
        }
        Some((scheme.eq_ignore_ascii_case(b"Digest"), Scan::new(ascii::trim_start(rest))))
    }

    /// Whether everything was taken.
    pub(crate) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `name=value`, with the comma behind it. `None` when there is something else.
    #[inline]
    pub(crate) fn pair(&mut self) -> Option<Pair<'a>> {
        let (name, key, rest) = self.name()?;
        let rest = skip_space(skip_space(rest).strip_prefix(b"=")?);
        let mut is_escaped = false;
        let len = match rest {
            [b'"', inner @ ..] => {
                let len = if self.has_backslash {
                    let len = ascii::find_closing_quote(inner)?;
                    is_escaped = inner.get(..len)?.contains(&b'\\');
                    len
                } else {
                    quote(inner)?
                };
                len + 2
            }
            plain => plain.iter().position(|byte| class(*byte) & VALUE == 0).unwrap_or(plain.len()),
        };
        let (value, rest) = rest.split_at_checked(len)?;
        match skip_space(rest) {
            [] => self.rest = &[],
            // Behind a comma there is another pair.
            [b',', more @ ..] => {
                self.rest = skip_space(more.strip_prefix(b" ").unwrap_or(more));
                if self.rest.is_empty() {
                    return None;
                }
            }
            _ => return None,
        }
        Some(Pair { name, key, value, is_escaped })
    }
}

impl<'a> Scan<'a> {
    /// The name of the next parameter, its key, and what follows it.
    #[inline]
    fn name(&self) -> Option<(&'a [u8], u64, &'a [u8])> {
        // As nearly all are written: at most eight letters, and the equals sign at once. Eight bytes at a time.
        if let Some(first) = self.rest.first_chunk::<8>() {
            let word = u64::from_be_bytes(*first);
            let marks = zeros(word ^ (LOW * b'=' as u64));
            let len = if marks == 0 { 8 } else { marks.leading_zeros() / 8 };
            // Setting the bit that makes letters small makes no other byte a letter.
            let key = (word | (LOW * 0x20)).checked_shr(64 - 8 * len).unwrap_or(0);
            let (name, rest) = self.rest.split_at_checked(len as usize)?;
            if is_letters(key, len) && rest.first() == Some(&b'=') {
                return Some((name, key, rest));
            }
        }
        self.any_name()
    }

    #[inline(never)]
    fn any_name(&self) -> Option<(&'a [u8], u64, &'a [u8])> {
        let mut key = 0;
        let mut len = 0;
        for byte in self.rest {
            let small = class(*byte) & NAME;
            if small == 0 {
                break;
            }
            key = key << 8 | u64::from(small);
            len += 1;
        }
        let (name, rest) = self.rest.split_at_checked(len).filter(|(name, _)| !name.is_empty())?;
        Some((name, key, rest))
    }
}

/// A parameter.
pub(crate) struct Pair<'a> {
    /// Its name as it was written.
    pub(crate) name: &'a [u8],
    /// The last eight characters of the name in lower case, the last one lowest.
    pub(crate) key: u64,
    /// Its value as it was written, quotes included.
    pub(crate) value: &'a [u8],
    /// Whether there is a backslash between the quotes.
    pub(crate) is_escaped: bool,
}

/// What the key of a name in lower case is; of a longer one than eight characters, its last eight.
pub(crate) const fn key(name: &[u8]) -> u64 {
    let (mut key, mut rest) = (0, name);
    while let [first, more @ ..] = rest {
        key = key << 8 | *first as u64;
        rest = more;
    }
    key
}

/// One in each byte.
const LOW: u64 = 0x0101_0101_0101_0101;

/// The high bit of each byte that is zero, and perhaps of one above such a byte that is one.
#[inline]
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(LOW) & !word & (LOW << 7)
}

/// Where the next quote is. Eight bytes at a time, since it is seldom far.
#[inline]
fn quote(inner: &[u8]) -> Option<usize> {
    let (words, _) = inner.as_chunks::<8>();
    for (index, bytes) in words.iter().enumerate() {
        let marks = zeros(u64::from_le_bytes(*bytes) ^ (LOW * b'"' as u64));
        if marks != 0 {
            return Some(8 * index + marks.trailing_zeros() as usize / 8);
        }
    }
    let at = words.as_flattened().len();
    Some(at + inner.get(at..)?.iter().position(|byte| *byte == b'"')?)
}

/// Whether the lowest `len` bytes, one at least, are small letters.
#[inline]
fn is_letters(word: u64, len: u32) -> bool {
    const HIGH: u64 = LOW << 7;
    let Some(high) = HIGH.checked_shr(64 - 8 * len) else { return false };
    // Nothing carries: bytes with a high bit are found by it.
    let low = word & !HIGH;
    let from_a = low + LOW * u64::from(0x80 - b'a');
    let above_z = low + LOW * u64::from(0x7f - b'z');
    word & HIGH == 0 && from_a & !above_z & high == high
}

/// Passes white space, of which there is none in most places.
#[inline]
fn skip_space(bytes: &[u8]) -> &[u8] {
    match bytes.first() {
        Some(byte) if *byte <= b' ' => ascii::trim_start(bytes),
        _ => bytes,
    }
}

/// Of a class: the byte as it stands in a [`key`] when it may stand in a name, else 0.
const NAME: u8 = 0x7f;
/// Of a class: whether the byte may stand in a value without quotes, which is whatever cannot be taken for a delimiter.
const VALUE: u8 = 0x80;

/// What each byte is.
static CLASSES: [u8; 256] = classes();

#[allow(clippy::indexing_slicing)] // evaluated by the compiler only
const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < table.len() {
        let byte = index as u8;
        if byte > b' ' && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b';' | b',' | 0x7f) {
            table[index] = VALUE;
        }
        let is_mark = matches!(byte, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
        if byte.is_ascii_alphanumeric() || is_mark {
            table[index] |= byte.to_ascii_lowercase();
        }
        index += 1;
    }
    table
}

#[inline]
fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use seawall_sip::digest::Credentials;

    use super::*;

    /// All pairs, or nothing when the value is malformed.
    fn pairs(value: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
        let (_, mut scan) = Scan::scheme(value)?;
        let mut pairs = Vec::new();
        while !scan.is_done() {
            let pair = scan.pair()?;
            let inner = ascii::strip_quotes(pair.value);
            assert_eq!(pair.is_escaped, pair.value != inner && inner.contains(&b'\\'));
            let small = pair.name.to_ascii_lowercase();
            assert_eq!(pair.key, key(&small));
            pairs.push((pair.name, pair.value));
        }
        Some(pairs)
    }

    #[track_caller]
    fn agrees(value: &[u8]) {
        let expected = Credentials::parse(value).ok();
        let expected = expected.map(|credentials| credentials.params.iter().collect::<Vec<_>>());
        assert_eq!(pairs(value), expected, "{}", String::from_utf8_lossy(value));
    }

    #[test]
    fn it_reads_what_the_other_parser_reads() {
        for value in [
            "Digest username=\"bob\",realm=\"a, \\\"b\\\"\", nonce=\"n=\" ,uri=\"sip:x\",\r\n response=\"0\", qop=auth",
            "digest a=b",
            "Basic abc",
            "NTLM",
            "",
            "Digest a = \"b\" , c\t=\td",
            "Digest a=",
            "Digest =a",
            "Digest a=b,",
            "Digest a=b,,c=d",
            "Digest a=b c=d",
            "Digest a=\"b",
            "Digest a=\"b\"c",
            "Digest a=b;c",
            "Digest a=<b>",
            "Di\"gest a=b",
            "Digest AlGoRiThM=MD5, user_name=\"long enough\", nonce=\"for words of eight\\\"s\", x=\"y\"",
        ] {
            agrees(value.as_bytes());
        }
    }

    #[test]
    fn a_name_is_a_token() {
        for byte in 0..=255u8 {
            let small = if ascii::is_token_byte(byte) { byte.to_ascii_lowercase() } else { 0 };
            assert_eq!(class(byte) & NAME, small, "{byte}");
            agrees(&[b"Digest a=", &[byte][..]].concat());
            agrees(&[b"Digest a", &[byte][..], b"=\"b\""].concat());
        }
    }

    proptest! {
        #[test]
        fn it_agrees_about_anything(value in "Digest( |[a-c]|[,=\"\\\\;]|\t){0,24}") {
            agrees(value.as_bytes());
        }
    }
}
