//! `cargo xtask tidy`: the rules of docs/ARCHITECTURE.md that the compiler cannot hold, checked from manifests and
//! sources. They run as a test of this crate too.

mod layers;
mod lengths;
mod purity;
mod reference;
mod unsafety;
mod words;

use crate::process::root;
use crate::{Outcome, budget, tree};
use std::path::Path;

/// Something that breaks a rule, or (as a notice) comes near to it.
#[derive(Debug)]
pub struct Finding {
    path: String,
    /// Counted from 1; 0 when it concerns the whole file.
    line: usize,
    message: String,
}

/// What all rules found.
#[derive(Default)]
pub struct Report {
    /// Rules that are broken.
    errors: Vec<Finding>,
    /// Worth a look: long files and functions.
    notices: Vec<Finding>,
}

impl Report {
    /// Adds a broken rule; `line` counts from 0 as the sources are searched.
    pub fn error(&mut self, path: &str, line: usize, message: impl Into<String>) {
        self.errors.push(Finding { path: path.to_owned(), line: line + 1, message: message.into() });
    }

    /// Adds something worth a look; `line` counts from 0.
    pub fn notice(&mut self, path: &str, line: usize, message: impl Into<String>) {
        self.notices.push(Finding { path: path.to_owned(), line: line + 1, message: message.into() });
    }
}

/// Checks the tree, that docs/reference is what the declaration tables give, and that docs/performance.md shows the budgets.
pub fn run(_arguments: &[String]) -> Outcome {
    let report = check(&root())?;
    for notice in &report.notices {
        println!("note: {}", shown(notice));
    }
    for error in &report.errors {
        println!("error: {}", shown(error));
    }
    if !report.errors.is_empty() {
        return Err(format!("{} rules broken", report.errors.len()));
    }
    budget::check_table()?;
    reference::check(&root())
}

/// Checks everything that can be told from the files alone.
fn check(root: &Path) -> Result<Report, String> {
    let files = tree::files(root)?;
    let sources = tree::sources(&files);
    let mut report = Report::default();
    layers::check(&files, &mut report)?;
    purity::check(&sources, &mut report);
    unsafety::check(&sources, &mut report);
    lengths::check(&sources, &mut report);
    words::check(&files, &sources, &mut report);
    Ok(report)
}

fn shown(finding: &Finding) -> String {
    format!("{}:{}: {}", finding.path, finding.line, finding.message)
}

/// The crate that a path belongs to: `sip` for `crates/sip/src/uri.rs`, `bench` for `bench/src/lib.rs`.
fn crate_of(path: &str) -> &str {
    let inside = path.strip_prefix("crates/").unwrap_or(path);
    inside.split('/').next().unwrap_or_default()
}

/// The places (byte offsets) where `word` stands in `code`, not as a part of a longer word.
fn occurrences<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let begins = is_word(word.as_bytes().first());
    let ends = is_word(word.as_bytes().last());
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = at.checked_sub(1).and_then(|before| code.as_bytes().get(before));
        let after = code.as_bytes().get(at + word.len());
        !((begins && is_word(before)) || (ends && is_word(after)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let report = check(&root()).unwrap();
        let errors: Vec<String> = report.errors.iter().map(shown).collect();
        assert!(errors.is_empty(), "{} rules broken:\n{}", errors.len(), errors.join("\n"));
    }

    #[test]
    fn a_word_inside_a_longer_one_does_not_count() {
        let places: Vec<usize> = occurrences("unsafe_code unsafe { not_unsafe }", "unsafe").collect();
        assert_eq!(places, [12]);
    }
}
