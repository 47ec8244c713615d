//! Bytes to tokens. The parser asks for one token at a time and takes over where the language changes: inside variables and
//! behind the `=` of a global.

use crate::diagnostics::Span;
use crate::text::Text;

/// A token.
#[derive(Clone, Debug)]
pub(crate) enum Token {
    End,
    /// A word; its text is the span.
    Word,
    Int(i64),
    /// A number that is too large or malformed.
    BadInt,
    /// An IPv4 address without quotes.
    Address,
    Str(Text),
    /// A string whose quote is missing.
    OpenStr(Text),
    /// The start of a variable: the parser reads on from the source.
    Dollar,
    Symbol(&'static str),
    Unknown(u8),
}

/// The symbols, longer ones before their prefixes.
const SYMBOLS: &[&str] = &[
    "<<=", ">>=", "==", "!=", "=~", "!~", "<=", ">=", "&&", "||", ":=", "+=", "-=", "*=", "/=", "%=", "&=",
    "|=", "^=", "<<", ">>", "{", "}", "(", ")", "[", "]", ";", ",", ":", "=", "<", ">", "!", "+", "-", "*",
    "/", "%", "&", "|", "^", "~", ".",
];

/// Reads tokens from a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lexer<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) file: u16,
}

impl<'a> Lexer<'a> {
    /// The token at or behind `at`, and its span. The second result is the start of a comment that is not closed.
    pub(crate) fn token(&self, at: usize) -> (Token, Span, Option<Span>) {
        let (start, open_comment) = self.skip_space(at);
        let rest = self.bytes.get(start..).unwrap_or_default();
        let (token, len) = match rest {
            [] => (Token::End, 0),
            [b'"' | b'\'', ..] => self.string(start),
            [b'$', ..] => (Token::Dollar, 1),
            [first, ..] if first.is_ascii_digit() => number(rest),
            [first, ..] if is_word_start(*first) => (Token::Word, word_len(rest)),
            [first, ..] => match SYMBOLS.iter().find(|symbol| rest.starts_with(symbol.as_bytes())) {
                Some(symbol) => (Token::Symbol(symbol), symbol.len()),
                None => (Token::Unknown(*first), 1),
            },
        };
        (token, self.span(start, start + len), open_comment)
    }

    /// The span from `start` to `end`.
    pub(crate) fn span(&self, start: usize, end: usize) -> Span {
        let clamp = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span { file: self.file, start: clamp(start), end: clamp(end) }
    }

    /// Where the next token starts, behind white space and comments.
    pub(crate) fn skip_space(&self, mut at: usize) -> (usize, Option<Span>) {
        loop {
            match self.bytes.get(at..).unwrap_or_default() {
                [byte, ..] if byte.is_ascii_whitespace() => at += 1,
                // A no-break space and a byte order mark, which editors and web pages leave behind.
                [0xc2, 0xa0, ..] => at += 2,
                [0xef, 0xbb, 0xbf, ..] => at += 3,
                [b'#', rest @ ..] => at += 1 + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()),
                [b'/', b'*', rest @ ..] => match rest.windows(2).position(|pair| pair == b"*/") {
                    Some(len) => at += 2 + len + 2,
                    None => return (self.bytes.len(), Some(self.span(at, at + 2))),
                },
                _ => return (at, None),
            }
        }
    }

    /// A string with its escapes. An escape that means nothing keeps its backslash, so that `"^\+"` is the pattern that it
    /// looks like.
    fn string(&self, start: usize) -> (Token, usize) {
        let rest = self.bytes.get(start..).unwrap_or_default();
        let quote = rest.first().copied().unwrap_or(b'"');
        let mut text = Text { span: self.span(start, start + 1), ..Text::default() };
        let mut at = 1;
        let mut closed = false;
        while let Some(byte) = rest.get(at).copied() {
            if byte == quote {
                at += 1;
                closed = true;
                break;
            }
            let place = u32::try_from(start + at).unwrap_or(u32::MAX);
            let (bytes, len): (&[u8], usize) = match (byte, rest.get(at + 1)) {
                (b'\\', Some(b'n')) => (b"\n", 2),
                (b'\\', Some(b'r')) => (b"\r", 2),
                (b'\\', Some(b't')) => (b"\t", 2),
                (b'\\', Some(b'a')) => (b"\x07", 2),
                (b'\\', Some(b'\\')) => (b"\\", 2),
                (b'\\', Some(b'"')) => (b"\"", 2),
                (b'\\', Some(b'\'')) => (b"'", 2),
                _ => (rest.get(at..at + 1).unwrap_or_default(), 1),
            };
            for byte in bytes {
                text.bytes.push(*byte);
                text.places.push(place);
            }
            at += len;
        }
        text.span = self.span(start, start + at);
        (if closed { Token::Str(text) } else { Token::OpenStr(text) }, at)
    }
}

/// Whether a word can start with this byte.
pub(crate) fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn word_len(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_').unwrap_or(bytes.len())
}

/// A number: decimal, `0x` hexadecimal or octal with a leading 0; or an IPv4 address.
fn number(bytes: &[u8]) -> (Token, usize) {
    let len = bytes.iter().position(|b| !b.is_ascii_alphanumeric() && *b != b'_').unwrap_or(bytes.len());
    let dotted = bytes.iter().position(|b| !b.is_ascii_digit() && *b != b'.').unwrap_or(bytes.len());
    let dots = bytes.get(..dotted).unwrap_or_default();
    if dots.iter().filter(|b| **b == b'.').count() == 3 && !dots.ends_with(b".") {
        return (Token::Address, dotted);
    }
    let text = std::str::from_utf8(bytes.get(..len).unwrap_or_default()).unwrap_or_default();
    let parsed = if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        i64::from_str_radix(hex, 16)
    } else if text.len() > 1 && text.starts_with('0') {
        i64::from_str_radix(text, 8)
    } else {
        text.parse()
    };
    (parsed.map_or(Token::BadInt, Token::Int), len)
}
