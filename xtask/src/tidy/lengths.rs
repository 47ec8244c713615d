//! Files and functions that have grown: reported from a first size on, refused from a second one on.

use super::Report;
use crate::tree::{Source, closing, line_of};

/// A file past this many lines is looked at for a second idea.
const FILE_NOTICE_LINES: usize = 600;
/// A file of this many lines has one.
const FILE_ERROR_LINES: usize = 1000;
/// A function past this many lines no longer fits a screen.
const FUNCTION_NOTICE_LINES: usize = 70;
/// A function of this many lines cannot be read as one.
const FUNCTION_ERROR_LINES: usize = 150;

/// Measures all sources; functions in tests are not measured.
pub fn check(sources: &[Source], report: &mut Report) {
    for source in sources {
        let lines = source.text.lines().count();
        if lines > FILE_NOTICE_LINES {
            add(report, &source.path, 0, lines > FILE_ERROR_LINES, format!("the file has {lines} lines"));
        }
        for (name, first, lines) in functions(&source.code) {
            if lines > FUNCTION_NOTICE_LINES && source.test.get(first) != Some(&true) {
                let message = format!("the function {name} has {lines} lines");
                add(report, &source.path, first, lines > FUNCTION_ERROR_LINES, message);
            }
        }
    }
}

fn add(report: &mut Report, path: &str, line: usize, refused: bool, message: String) {
    if refused { report.error(path, line, message) } else { report.notice(path, line, message) }
}

/// Each function with a body: its name, its first line (from 0) and how many lines it has.
fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for at in super::occurrences(code, "fn") {
        let Some(rest) = code.get(at + 2..) else { continue };
        let name: String = rest
            .trim_start()
            .chars()
            .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
            .collect();
        if name.is_empty() {
            continue;
        }
        if let Some(open) = body(code, at) {
            let first = line_of(code, at);
            found.push((name, first, line_of(code, closing(code, open)) - first + 1));
        }
    }
    found
}

/// Where the body of the function at `at` opens; none for a declaration.
fn body(code: &str, at: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (place, byte) in code.bytes().enumerate().skip(at) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b';' if depth == 0 => return None,
            b'{' if depth == 0 => return Some(place),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_lengths(code: &str, expected: &[(&str, usize, usize)]) {
        let found = functions(code);
        let found: Vec<(&str, usize, usize)> =
            found.iter().map(|(name, first, lines)| (name.as_str(), *first, *lines)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_function_is_measured_from_its_name_to_its_closing_brace() {
        check_lengths("fn a() {\n x\n}\n\nfn b(f: fn(u8)) -> [u8; 2] { y }\n", &[("a", 0, 3), ("b", 4, 1)]);
        check_lengths("trait T {\n fn c(&self);\n}\n", &[]);
    }
}
