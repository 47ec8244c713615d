//! The expression of `ua-filtering` (registrar 1.4.4): a POSIX basic regular expression, or an extended one with
//! `extended-regexp`.

use regex::bytes::Regex;
use seawall_registrar::UserAgentFilter;

/// Compiles the expression of a filter.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn compile(filter: &UserAgentFilter) -> Result<Regex, String> {
    let pattern = filter.pattern.as_bytes();
    let compiled = if filter.extended {
        seawall_script::regexes::compile(pattern, filter.case_insensitive)
    } else {
        seawall_script::regexes::compile(&extended(pattern), filter.case_insensitive)
    };
    compiled.map_err(|error| format!("the expression cannot be used: {error}"))
}

/// A basic expression as an extended one: groups, counts and alternatives are written with a backslash there, and without
/// one they are characters. `*` and the anchors are characters where they cannot mean anything else.
fn extended(pattern: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    let mut at_start = true;
    while let [first, tail @ ..] = rest {
        let (was_start, mut after) = (std::mem::take(&mut at_start), tail);
        match (first, tail) {
            (b'\\', [operator @ (b'(' | b')' | b'{' | b'}' | b'|' | b'+' | b'?'), ..]) => {
                out.push(*operator);
                at_start = matches!(operator, b'(' | b'|');
                after = tail.get(1..).unwrap_or_default();
            }
            (b'\\', [escaped, ..]) => {
                out.extend_from_slice(&[b'\\', *escaped]);
                after = tail.get(1..).unwrap_or_default();
            }
            (b'[', _) => {
                let len = bracket_len(rest);
                out.extend_from_slice(rest.get(..len).unwrap_or(rest));
                after = rest.get(len..).unwrap_or_default();
            }
            (b'^', _) if was_start => {
                out.push(b'^');
                at_start = true;
            }
            (b'$', [] | [b'\\', b')' | b'|', ..]) => out.push(b'$'),
            (b'*', _) if !was_start => out.push(b'*'),
            (b'(' | b')' | b'{' | b'}' | b'|' | b'+' | b'?' | b'^' | b'$' | b'*', _) => {
                out.extend_from_slice(&[b'\\', *first]);
            }
            _ => out.push(*first),
        }
        rest = after;
    }
    out
}

/// The length of the bracket expression at the start; all that is left if it does not end, which the compiler reports.
fn bracket_len(text: &[u8]) -> usize {
    let mut at = 1;
    if text.get(at) == Some(&b'^') {
        at += 1;
    }
    // A `]` in first place stands for itself, and so does one inside `[:…:]`.
    if text.get(at) == Some(&b']') {
        at += 1;
    }
    while let Some(byte) = text.get(at) {
        match (byte, text.get(at + 1)) {
            (b']', _) => return at + 1,
            (b'[', Some(kind @ (b':' | b'.' | b'='))) => {
                let inner = text.get(at + 2..).unwrap_or_default();
                let end = inner.windows(2).position(|pair| pair == [*kind, b']']);
                at = end.map_or(text.len(), |end| at + 2 + end + 2);
            }
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on fails
mod tests {
    use super::*;

    fn check(pattern: &str, extended: bool, agent: &str, expected: bool) {
        let filter = UserAgentFilter { pattern: pattern.to_owned(), case_insensitive: false, extended };
        let found = compile(&filter).unwrap().is_match(agent.as_bytes());
        assert_eq!(found, expected, "{pattern} {agent}");
    }

    #[test]
    fn a_basic_expression_takes_operators_with_a_backslash() {
        for (pattern, agent) in [
            (r"^Phone (2)$", "Phone (2)"),
            (r"C++|{1}?", "C++|{1}?"),
            (r"\(Desk\|Wall\) Phone [0-9]\{2\}", "Wall Phone 42"),
            (r"ab*c\+d\?$", "acc"),
            (r"*x", "a*x"),
            (r"\(*x\)", "*x"),
            (r"a^b$c", "a^b$c"),
            (r"\(^a\|b$\)", "ab"),
            (r"[]^*(]x", "(x"),
            (r"[[:digit:]]*]", "12]"),
            (r"1\.0", "1.0"),
        ] {
            check(pattern, false, agent, true);
        }
        check(r"(Desk|Wall)", false, "Desk", false);
        check(r"1\.0", false, "120", false);
        check(r"^b", false, "ab", false);
    }

    #[test]
    fn an_extended_expression_takes_them_without() {
        check(r"^(Desk|Wall) Phone [0-9]{2}$", true, "Wall Phone 42", true);
        check(r"Phone (2)", true, "Phone (2)", false);
        check(r"Phone \(2\)", true, "Phone (2)", true);
    }

    #[test]
    fn what_cannot_be_compiled_is_an_error() {
        for (pattern, extended) in [(r"\(", false), ("[", false), ("(", true), (r"a\", false)] {
            let filter = UserAgentFilter { pattern: pattern.to_owned(), case_insensitive: false, extended };
            assert!(compile(&filter).is_err(), "{pattern}");
        }
    }
}
