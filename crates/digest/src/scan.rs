//! Credentials, taken apart in one pass: every authenticated request pays for this. `sip::digest` reads the same grammar
//! for everything else, and a test holds the two together.

use seawall_sip::ascii;

/// The rest of a header value. All methods leave white space behind what they took.
pub(crate) struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    /// Begins with the scheme: whether it is Digest, and what follows it. `None` when there is no scheme.
    pub(crate) fn scheme(value: &'a [u8]) -> Option<(bool, Scan<'a>)> {
        let value = ascii::trim(value);
        let end = value.iter().position(|byte| ascii::is_lws(*byte)).unwrap_or(value.len());
        let (scheme, rest) = value.split_at_checked(end)?;
        if !ascii::is_token(scheme) {
            return None;
        }
        Some((scheme.eq_ignore_ascii_case(b"Digest"), Scan { rest: ascii::trim_start(rest) }))
    }

    /// Whether everything was taken.
    pub(crate) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `name=value`, with the comma behind it. The value is as it was written, quotes included. `None` when
    /// there is something else.
    pub(crate) fn pair(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let end = self.rest.iter().position(|byte| !ascii::is_token_byte(*byte)).filter(|end| *end > 0)?;
        let (name, rest) = self.rest.split_at_checked(end)?;
        self.rest = ascii::trim_start(ascii::trim_start(rest).strip_prefix(b"=")?);
        let len = match self.rest {
            [b'"', inner @ ..] => ascii::find_closing_quote(inner)? + 2,
            plain => {
                plain.iter().position(|byte| *byte == b',' || ascii::is_lws(*byte)).unwrap_or(plain.len())
            }
        };
        let (value, rest) = self.rest.split_at_checked(len)?;
        if value.first() != Some(&b'"') && !value.iter().all(|byte| stands_unquoted(*byte)) {
            return None;
        }
        match ascii::trim_start(rest) {
            [] => self.rest = &[],
            // Behind a comma there is another pair.
            [b',', more @ ..] => {
                self.rest = ascii::trim_start(more);
                if self.rest.is_empty() {
                    return None;
                }
            }
            _ => return None,
        }
        Some((name, value))
    }
}

/// Whether a byte may stand in a value without quotes: whatever cannot be taken for a delimiter.
fn stands_unquoted(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b';') || byte >= 0x80
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
            pairs.push(scan.pair()?);
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
        ] {
            agrees(value.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn it_agrees_about_anything(value in "Digest( |[a-c]|[,=\"\\\\;]|\t){0,24}") {
            agrees(value.as_bytes());
        }
    }
}
