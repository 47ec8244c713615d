//! Words that mark unfinished work, calls that can panic on what a peer sent, and paths of somebody's machine.

use super::{Report, occurrences};
use crate::tree::{File, Source, line_of};

/// Marks of unfinished work. Put together from halves so that this file passes its own check.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("#[ig", "nore"),
];

/// Calls that end the process instead of answering. An `.expect(` counts with a message only, and not on `self`:
/// parsers have a method of that name. (Clippy, which knows types, forbids them as well.)
const PANICKING: &[&str] =
    &[".unwrap()", ".expect(\"", ".unwrap_err()", ".expect_err(\"", "panic!(", "unreachable!("];

/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// Checks every file for marks and paths, and the product's code for calls that panic.
pub fn check(files: &[File], sources: &[Source], report: &mut Report) {
    for file in files.iter().filter(|file| file.path != "Cargo.lock") {
        for word in UNFINISHED {
            places(&file.text, word)
                .for_each(|line| report.error(&file.path, line, format!("unfinished: {word}")));
        }
        for prefix in MACHINE_PATHS {
            for line in places(&file.text, prefix) {
                report.error(&file.path, line, format!("a path of one machine: {prefix}"));
            }
        }
    }
    for source in sources.iter().filter(|source| is_product(&source.path)) {
        for call in PANICKING {
            // In the blanked code the message is blank, so its quote is looked for in the text.
            let bare = call.trim_end_matches('"');
            let there = occurrences(&source.code, bare)
                .filter(|&at| source.text.get(at..).is_some_and(|rest| rest.starts_with(call)))
                .filter(|&at| !source.code.get(..at).is_some_and(|before| before.ends_with("self")))
                .map(|at| line_of(&source.code, at));
            for line in there.filter(|line| source.test.get(*line) != Some(&true)) {
                report.error(&source.path, line, format!("{bare} can end the process"));
            }
        }
    }
}

fn places<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    occurrences(text, word).map(|at| line_of(text, at))
}

/// What runs in a deployment: the crates of the house.
fn is_product(path: &str) -> bool {
    path.starts_with("crates/") && path.contains("/src/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::sources;

    fn check_one(path: &str, text: &str, expected: usize) {
        let files = [File { path: path.into(), text: text.into() }];
        let mut report = Report::default();
        check(&files, &sources(&files), &mut report);
        assert_eq!(report.errors.len(), expected, "{path}: {text}");
    }

    #[test]
    fn unfinished_work_is_found_anywhere() {
        check_one("docs/x.md", concat!("TO", "DO: write"), 1);
        check_one("crates/x/tests/a.rs", concat!("#[ig", "nore]\nfn a() {}"), 1);
        check_one("docs/x.md", "sip:XXXX@example.com", 0);
    }

    #[test]
    fn panicking_calls_are_found_outside_tests_only() {
        check_one("crates/x/src/lib.rs", "fn a() { b().unwrap(); }", 1);
        check_one("crates/x/src/lib.rs", "fn a() { b().expect(\"there\"); }", 1);
        check_one("crates/x/src/lib.rs", "fn a() { b().unwrap_or(0); }", 0);
        check_one("crates/x/src/lib.rs", "fn a() { parser.expect(Token::Comma); self.expect(\",\"); }", 0);
        check_one("crates/x/src/lib.rs", "#[cfg(test)]\nmod tests { fn a() { b().unwrap(); } }", 0);
        check_one("crates/x/src/lib.rs", "// never .unwrap() here\n", 0);
    }
}
