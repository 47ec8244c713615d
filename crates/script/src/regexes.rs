//! Regular expressions: POSIX extended syntax as scripts write it, run by an engine whose time is linear.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use regex::bytes::{Regex, RegexBuilder};

use crate::limits;

/// Compiles a POSIX extended expression for a whole string: `^` and `$` match only at its ends, and `.` matches anything.
/// `ignore_case` is what `=~` uses. The error is one line for a person.
pub fn compile(pattern: &[u8], ignore_case: bool) -> Result<Regex, String> {
    build(pattern, ignore_case, false)
}

/// Compiles a POSIX extended expression for text of several lines: `^` and `$` match at every line, and `.` matches no line
/// feed.
pub fn compile_for_lines(pattern: &[u8], ignore_case: bool) -> Result<Regex, String> {
    build(pattern, ignore_case, true)
}

fn build(pattern: &[u8], ignore_case: bool, lines: bool) -> Result<Regex, String> {
    let pattern = translate(pattern)?;
    RegexBuilder::new(&pattern)
        .case_insensitive(ignore_case)
        .unicode(false)
        .multi_line(lines)
        .dot_matches_new_line(!lines)
        .size_limit(limits::REGEX_BYTES)
        .build()
        .map_err(|error| last_line(&error.to_string()))
}

/// The engine explains itself over several lines with a caret of its own; the last one says what is wrong.
fn last_line(text: &str) -> String {
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or(text);
    line.trim().trim_start_matches("error: ").to_string()
}

/// Rewrites what POSIX and the engine read differently.
///
/// In a POSIX bracket expression a backslash and a `[` stand for themselves and `]` does so in first place, and outside of
/// one `\<` and `\>` are word boundaries and a backslash before any other character stands for that character.
fn translate(pattern: &[u8]) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'[' => rest = bracket(rest, &mut out)?,
            b'\\' => {
                let [escaped, tail @ ..] = rest else { return Err("a backslash at the end".into()) };
                rest = tail;
                match escaped {
                    b'<' | b'>' => out.push_str("\\b"),
                    b'n' | b'r' | b't' | b'w' | b'W' | b's' | b'S' | b'b' | b'B' | b'd' | b'D' => {
                        out.push('\\');
                        out.push(char::from(*escaped));
                    }
                    other => literal(*other, &mut out),
                }
            }
            b'{' => rest = brace(rest, &mut out),
            b'*' | b'+' | b'?' | b'.' | b'(' | b')' | b'|' | b'^' | b'$' => out.push(char::from(*first)),
            other => literal(*other, &mut out),
        }
    }
    Ok(out)
}

/// Copies a repetition count whose `{` has been read; a brace that opens none is a character. Gives what follows.
fn brace<'a>(rest: &'a [u8], out: &mut String) -> &'a [u8] {
    let end = rest.iter().position(|byte| *byte == b'}').unwrap_or(0);
    let inner = rest.get(..end).unwrap_or_default();
    let counts = inner.first().is_some_and(u8::is_ascii_digit)
        && inner.iter().all(|byte| byte.is_ascii_digit() || *byte == b',');
    if !counts {
        out.push_str("\\{");
        return rest;
    }
    out.push('{');
    out.extend(inner.iter().map(|byte| char::from(*byte)));
    out.push('}');
    rest.get(end + 1..).unwrap_or_default()
}

fn literal(byte: u8, out: &mut String) {
    if byte.is_ascii_alphanumeric() || byte == b' ' {
        out.push(char::from(byte));
    } else {
        out.push_str(&format!("\\x{byte:02x}"));
    }
}

/// Rewrites a bracket expression whose `[` has been read; gives what follows it.
fn bracket<'a>(mut rest: &'a [u8], out: &mut String) -> Result<&'a [u8], String> {
    out.push('[');
    if let [b'^', tail @ ..] = rest {
        out.push('^');
        rest = tail;
    }
    let mut first = true;
    while let [byte, tail @ ..] = rest {
        match byte {
            b']' if !first => {
                out.push(']');
                return Ok(tail);
            }
            b'[' if tail.starts_with(b":") => {
                let end = tail.windows(2).position(|pair| pair == b":]");
                let end = end.ok_or("a character class without its `:]`")?;
                let name = tail.get(..end + 2).unwrap_or_default();
                out.push('[');
                out.push_str(&String::from_utf8_lossy(name));
                rest = tail.get(end + 2..).unwrap_or_default();
                first = false;
                continue;
            }
            b'-' => out.push_str(if first || tail.first() == Some(&b']') { "\\-" } else { "-" }),
            // Scripts write `[\s\d]` and `[\.\-]` as other tools read them; a lone backslash is itself.
            b'\\' => match tail.first() {
                Some(class @ (b's' | b'S' | b'd' | b'D' | b'w' | b'W' | b'n' | b'r' | b't')) => {
                    out.push('\\');
                    out.push(char::from(*class));
                    rest = tail.get(1..).unwrap_or_default();
                    first = false;
                    continue;
                }
                Some(punctuation) if punctuation.is_ascii_punctuation() && *punctuation != b']' => {
                    literal(*punctuation, out);
                    rest = tail.get(1..).unwrap_or_default();
                    first = false;
                    continue;
                }
                _ => out.push_str("\\\\"),
            },
            other => literal(*other, out),
        }
        first = false;
        rest = tail;
    }
    Err("a `[` without its `]`".into())
}

/// A pattern, whether it ignores case, and its compiled form.
type Entry = (Arc<[u8]>, bool, Regex);

/// Compiled expressions for patterns that are only known at run time, the most recently used last.
#[derive(Debug, Default)]
pub(crate) struct RegexCache {
    entries: Mutex<VecDeque<Entry>>,
}

impl RegexCache {
    /// The compiled form of a pattern.
    pub(crate) fn get(&self, pattern: &[u8], ignore_case: bool) -> Result<Regex, String> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let found = entries.iter().position(|(known, case, _)| &**known == pattern && *case == ignore_case);
        if let Some(entry) = found.and_then(|at| entries.remove(at)) {
            let regex = entry.2.clone();
            entries.push_back(entry);
            return Ok(regex);
        }
        drop(entries);
        // Compiled outside of the lock: another worker may do the same work, none waits.
        let regex = compile(pattern, ignore_case)?;
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= limits::REGEX_CACHE {
            entries.pop_front();
        }
        entries.push_back((Arc::from(pattern), ignore_case, regex.clone()));
        Ok(regex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, expected: bool) {
        let regex = compile(pattern.as_bytes(), true).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        assert_eq!(regex.is_match(text.as_bytes()), expected, "{pattern} on {text}");
    }

    #[test]
    fn posix_expressions_match_as_documented() {
        check("^\\+[1-9][0-9]+$", "+4012", true);
        check("^[[:digit:]]{3,5}$", "1234", true);
        check("^[[:digit:]]{3,5}$", "12345678", false);
        check("^sip:[^@]+@", "SIP:bob@x", true);
        check("^[]a]$", "]", true);
        check("[^]a]", "]", false);
        check("a{b}", "a{b}", true);
        check("[a-c\\.-]", "-", true);
        check("[+-]", "-", true);
        check("a/b-c,d#e&f~", "a/b-c,d#e&f~", true);
        check("3[0-9][0-9]", "302", true);
        check("\\<word\\>", "a word.", true);
        check("x\\{2\\}", "x{2}", true);
        check("^b$", "a\nb", false);
        check("a.b", "a\nb", true);
        assert!(compile_for_lines(b"^b$", false).is_ok_and(|regex| regex.is_match(b"a\nb")));
    }

    #[test]
    fn broken_expressions_say_why() {
        for pattern in ["(", "[a", "a\\", "[[:alpha]", "a{1000}{1000}{1000}"] {
            assert!(compile(pattern.as_bytes(), true).is_err(), "{pattern}");
        }
    }

    #[test]
    fn the_cache_is_bounded() {
        let cache = RegexCache::default();
        for number in 0..limits::REGEX_CACHE + 10 {
            assert!(cache.get(number.to_string().as_bytes(), true).is_ok());
        }
        assert_eq!(cache.entries.lock().unwrap().len(), limits::REGEX_CACHE);
    }
}
