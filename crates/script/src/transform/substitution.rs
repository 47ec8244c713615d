//! `re.subst`: `/pattern/replacement/flags`.

use regex::bytes::{Captures, Regex};

use super::text;
use crate::regexes;
use crate::value::{Bytes, Digits, Value};

/// A substitution, ready to run.
#[derive(Clone, Debug)]
pub(crate) struct Substitution {
    regex: Regex,
    replacement: Vec<Piece>,
    every: bool,
}

/// A piece of the replacement.
#[derive(Clone, Debug)]
enum Piece {
    Text(Vec<u8>),
    /// `\0` is the whole match, `\1` the first group.
    Group(usize),
}

impl Substitution {
    /// Reads `/pattern/replacement/flags`; any character can stand for the slash.
    pub(crate) fn parse(source: &[u8]) -> Result<Self, String> {
        let source = source.trim_ascii();
        let [mark, rest @ ..] = source else { return Err("it is empty".into()) };
        let (pattern, rest) = until(rest, *mark).ok_or("the pattern has no end")?;
        let (replacement, flags) = until(rest, *mark).ok_or("the replacement has no end")?;
        let mut ignore_case = false;
        let mut every = false;
        for flag in flags.trim_ascii() {
            match flag {
                b'i' => ignore_case = true,
                b'g' => every = true,
                // The dot matches a line feed anyway.
                b's' => {}
                other => return Err(format!("`{}` is no flag: i, g or s", char::from(*other))),
            }
        }
        let regex = regexes::compile(&pattern, ignore_case)?;
        let replacement = pieces(&replacement);
        for piece in &replacement {
            if let Piece::Group(group) = piece
                && *group >= regex.captures_len()
            {
                return Err(format!("`\\{group}` names a group that the pattern does not have"));
            }
        }
        Ok(Substitution { regex, replacement, every })
    }

    /// The input with the substitution applied; the input itself if nothing matches.
    pub(crate) fn apply(&self, input: &[u8]) -> Value {
        let limit = usize::from(!self.every);
        let replaced = self.regex.replacen(input, limit, |captures: &Captures<'_>| {
            let mut out = Vec::new();
            for piece in &self.replacement {
                match piece {
                    Piece::Text(text) => out.extend_from_slice(text),
                    Piece::Group(group) => {
                        out.extend_from_slice(captures.get(*group).map_or(&[], |m| m.as_bytes()))
                    }
                }
            }
            out
        });
        Value::Str(Bytes::copy(&replaced))
    }
}

/// The bytes up to an unescaped mark, whose own escapes are removed, and what follows.
fn until(source: &[u8], mark: u8) -> Option<(Vec<u8>, &[u8])> {
    let mut part = Vec::new();
    let mut at = 0;
    while let Some(byte) = source.get(at).copied() {
        if byte == mark {
            return Some((part, source.get(at + 1..).unwrap_or_default()));
        }
        if byte == b'\\' {
            let next = source.get(at + 1).copied()?;
            if next != mark {
                part.push(b'\\');
            }
            part.push(next);
            at += 2;
        } else {
            part.push(byte);
            at += 1;
        }
    }
    None
}

fn pieces(replacement: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut text = Vec::new();
    let mut bytes = replacement.iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'\\' {
            text.push(*byte);
            continue;
        }
        match bytes.next() {
            Some(digit) if digit.is_ascii_digit() => {
                if !text.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                }
                pieces.push(Piece::Group(usize::from(digit - b'0')));
            }
            Some(b'n') => text.push(b'\n'),
            Some(b'r') => text.push(b'\r'),
            Some(b't') => text.push(b'\t'),
            Some(other) => text.push(*other),
            None => text.push(b'\\'),
        }
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    pieces
}

/// A substitution that is only known at run time. One that cannot be read gives NULL.
pub(super) fn apply(input: &[u8], arguments: &[Value]) -> Value {
    let mut digits = Digits::default();
    let source = text(arguments, 0, &mut digits);
    Substitution::parse(source).map_or(Value::Null, |substitution| substitution.apply(input))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, source: &str, expected: &str) {
        let substitution =
            Substitution::parse(source.as_bytes()).unwrap_or_else(|error| panic!("{source}: {error}"));
        assert_eq!(substitution.apply(input.as_bytes()), Value::from(expected), "{source}");
    }

    #[test]
    fn substitutions_apply() {
        check("a;otg=x;b", "/(.*);otg=([^;]*)(.*)/\\1\\3/", "a;b");
        check("aaa", "/a/b/", "baa");
        check("aAa", "/a/b/gi", "bbb");
        check("a/b", "/a\\/b/x/", "x");
        check("a/b", "#a/b#x\\0y#", "xa/by");
        check("none", "/z/y/", "none");
    }

    #[test]
    fn broken_substitutions_say_why() {
        for source in ["", "/a", "/a/b", "/a/b/q", "/(/b/", "/a/\\2/"] {
            assert!(Substitution::parse(source.as_bytes()).is_err(), "{source}");
        }
    }
}
