//! Text to tree. The parser never fails: it reports what it cannot read, skips to where it can read on, and gives a tree of the
//! rest.

mod expressions;
mod items;
pub(crate) mod lexer;
mod statements;
pub(crate) mod variables;

use std::io;

use crate::ast::{Item, Word};
use crate::diagnostics::{Diagnostics, Source, Span};
use crate::limits;
use crate::text::Text;
use lexer::{Lexer, Token};

/// Reads the files that a script names.
pub(crate) type Includes<'a> = &'a dyn Fn(&str) -> io::Result<Vec<u8>>;

/// Parses a script and what it includes.
pub(crate) fn parse(
    name: &str,
    bytes: &[u8],
    includes: Includes<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<Item> {
    let mut items = Vec::new();
    parse_file(name, bytes, includes, diagnostics, &mut items, 0);
    items
}

fn parse_file(
    name: &str,
    bytes: &[u8],
    includes: Includes<'_>,
    diagnostics: &mut Diagnostics,
    items: &mut Vec<Item>,
    depth: usize,
) {
    let file = u16::try_from(diagnostics.sources.len()).unwrap_or(u16::MAX);
    let kept = bytes.get(..limits::SOURCE_BYTES).unwrap_or(bytes);
    diagnostics.sources.push(Source { name: name.to_string(), text: kept.to_vec() });
    if bytes.len() > limits::SOURCE_BYTES {
        let span = Span { file, start: 0, end: 0 };
        diagnostics.error(span, format!("the file is larger than {} bytes", limits::SOURCE_BYTES));
    }
    let lexer = Lexer { bytes: kept, file };
    let whole = Text::verbatim(kept, lexer.span(0, kept.len()));
    let mut parser = Parser {
        lexer,
        whole: &whole,
        token: Token::End,
        span: Span { file, start: 0, end: 0 },
        last: Span { file, start: 0, end: 0 },
        diagnostics,
        includes,
        depth,
        nesting: 0,
        switches: 0,
        long_string: None,
        cut: None,
    };
    parser.advance_to(0);
    parser.items(items);
    if let Some(kept) = parser.cut {
        parser.diagnostics.truncate(kept);
    }
}

/// The state of reading one file.
pub(crate) struct Parser<'a> {
    lexer: Lexer<'a>,
    whole: &'a Text,
    token: Token,
    span: Span,
    /// The span of the token before.
    last: Span,
    diagnostics: &'a mut Diagnostics,
    includes: Includes<'a>,
    /// How many files this one is included through.
    depth: usize,
    /// How many blocks and parentheses are open.
    nesting: usize,
    /// Whether a `case` can stand here.
    switches: usize,
    /// The first string that goes over several lines: where its quote is missing, the error shows up much later.
    long_string: Option<Span>,
    /// How many diagnostics are worth keeping of this file, once a string swallowed its end.
    cut: Option<usize>,
}

impl<'a> Parser<'a> {
    /// Moves to the next token.
    fn bump(&mut self) {
        self.last = self.span;
        self.advance_to(self.span.end as usize);
    }

    /// Moves to the token at or behind `at`.
    fn advance_to(&mut self, at: usize) {
        let (token, span, open_comment) = self.lexer.token(at);
        if let Some(open) = open_comment {
            self.diagnostics.error(open, "this comment is not closed").help("close it with `*/`");
        }
        if let Token::Unknown(byte) = token {
            return self.odd_character(byte, span);
        }
        if let Token::OpenStr(text) = token {
            let quote = Span { end: span.start + 1, ..span };
            let long = self.long_string.map(|long| self.diagnostics.position(long).line);
            let error = self.diagnostics.error(quote, "this string is not closed");
            if let Some(line) = long {
                error.help(format!(
                    "the quote that is missing may be on line {line}, where a string goes on for lines"
                ));
            }
            // The rest of the file is in this string: what is said after this is a consequence.
            self.cut = Some(self.diagnostics.len());
            self.token = Token::Str(text);
        } else if let Token::BadInt = token {
            self.diagnostics.error(span, "this is not a number that fits into 64 bits");
            self.token = Token::Int(0);
        } else {
            self.token = token;
            let is_string = matches!(self.token, Token::Str(_));
            if is_string && self.long_string.is_none() && self.bytes_of(span).contains(&b'\n') {
                self.long_string = Some(span);
            }
        }
        self.span = span;
    }

    /// Reports a character that starts no token, and moves on behind it.
    fn odd_character(&mut self, byte: u8, span: Span) {
        let start = span.start as usize;
        let chunk = self.bytes(start, start + 4).utf8_chunks().next();
        let (shown, len) = match chunk.and_then(|chunk| chunk.valid().chars().next()) {
            Some(character) if !character.is_control() => (character.to_string(), character.len_utf8()),
            _ => (format!("0x{byte:02x}"), 1),
        };
        let quote = matches!(shown.as_str(), "`" | "\u{201c}" | "\u{201d}" | "\u{2018}" | "\u{2019}");
        let whole = self.lexer.span(start, start + len);
        let error = self.diagnostics.error(whole, format!("unexpected character `{shown}`"));
        if quote {
            error.help("strings stand in straight quotes, \" or '");
        }
        self.advance_to(start + len);
    }

    fn bytes(&self, start: usize, end: usize) -> &'a [u8] {
        let end = end.min(self.lexer.bytes.len());
        self.lexer.bytes.get(start..end).unwrap_or_default()
    }

    fn bytes_of(&self, span: Span) -> &'a [u8] {
        self.bytes(span.start as usize, span.end as usize)
    }

    fn text(&self, span: Span) -> &'a str {
        std::str::from_utf8(self.bytes_of(span)).unwrap_or_default()
    }

    fn at(&self, symbol: &str) -> bool {
        matches!(self.token, Token::Symbol(found) if found == symbol)
    }

    fn at_end(&self) -> bool {
        matches!(self.token, Token::End)
    }

    /// The present word; empty if the token is another one.
    fn word(&self) -> &'a str {
        match self.token {
            Token::Word => self.text(self.span),
            _ => "",
        }
    }

    fn take_word(&mut self) -> Option<Word> {
        if !matches!(self.token, Token::Word) {
            return None;
        }
        let word = Word { text: self.word().to_string(), span: self.span };
        self.bump();
        Some(word)
    }

    fn accept(&mut self, symbol: &str) -> bool {
        let found = self.at(symbol);
        if found {
            self.bump();
        }
        found
    }

    /// Accepts a symbol or says that it is missing. Where it is missing, nothing is skipped.
    fn expect(&mut self, symbol: &str, behind: &str) -> bool {
        if self.accept(symbol) {
            return true;
        }
        let message = format!("expected `{symbol}` {behind}, found {}", self.found());
        // What is missing at the end of a line is shown there and not at the next token, which may be far away.
        let between = self.bytes(self.last.end as usize, self.span.start as usize);
        let span = if between.contains(&b'\n') || self.at_end() {
            Span { start: self.last.end.saturating_sub(1), ..self.last }
        } else {
            self.span
        };
        self.diagnostics.error(span, message);
        false
    }

    /// The present token, for a message.
    fn found(&self) -> String {
        match &self.token {
            Token::End => "the end of the file".into(),
            Token::Str(_) | Token::OpenStr(_) => "a string".into(),
            Token::Dollar => "a variable".into(),
            _ => format!("`{}`", self.text(self.span)),
        }
    }

    fn error_here(&mut self, message: impl Into<String>) -> &mut crate::diagnostics::Diagnostic {
        let span = self.span;
        self.diagnostics.error(span, message)
    }

    /// Counts a level of nesting; false, with an error, when there are too many.
    fn enter(&mut self) -> bool {
        self.nesting += 1;
        if self.nesting == limits::NESTING {
            self.error_here(format!("more than {} blocks or parentheses in each other", limits::NESTING));
        }
        self.nesting < limits::NESTING
    }

    fn leave(&mut self) {
        self.nesting -= 1;
    }

    /// Whether the word at hand opens a route, which only stands at the top of a file.
    fn at_route_definition(&self) -> bool {
        let word = self.word();
        if !items::ROUTE_WORDS.iter().any(|(known, _)| *known == word) {
            return false;
        }
        let (next, _, _) = self.lexer.token(self.span.end as usize);
        matches!(next, Token::Symbol("[" | "{"))
    }
}
