//! Loading scripts, and what is said about those that are wrong.

use seawall_modules::context::Context;
use seawall_script::{Diagnostic, Diagnostics, Program};

use super::route;

/// Shows in a test where a message has to point at: it is taken out before the script is loaded.
const MARK: char = '§';

/// A script and the place that was marked in it.
pub struct Marked {
    pub text: String,
    pub line: u32,
    pub column: u32,
}

impl Marked {
    /// Takes the mark out of a script.
    pub fn new(script: &str) -> Self {
        let at = script.find(MARK).expect("a mark in the script");
        let before = &script[..at];
        let line = u32::try_from(before.matches('\n').count()).unwrap() + 1;
        let column = u32::try_from(before.rsplit('\n').next().unwrap().chars().count()).unwrap() + 1;
        Self { text: script.replacen(MARK, "", 1), line, column }
    }

    /// Fails unless one of the messages stands at the mark and has these words.
    #[track_caller]
    pub fn check<'a>(
        &self,
        all: &Diagnostics,
        mut said: impl Iterator<Item = &'a Diagnostic>,
        words: &[&str],
    ) {
        let found = said.any(|diagnostic| {
            let position = all.position(diagnostic.span);
            let text = format!("{}\n{}", diagnostic.message, diagnostic.help.clone().unwrap_or_default());
            (position.line, position.column) == (self.line, self.column)
                && words.iter().all(|word| text.contains(word))
        });
        assert!(
            found,
            "nothing with {words:?} at {}:{} in\n{}\n{}",
            self.line,
            self.column,
            self.text,
            all.render(false)
        );
    }
}

/// Loads a script.
fn load(script: &str) -> (Option<Program<Context>>, Diagnostics) {
    let none = |_: &str| Err(std::io::Error::from(std::io::ErrorKind::NotFound));
    let loaded = seawall_script::load("test.cfg", script.as_bytes(), &seawall_modules::catalog(), &none);
    (loaded.program, loaded.diagnostics)
}

/// Loads a script that has no errors.
#[track_caller]
pub fn program(script: &str) -> Program<Context> {
    let (program, diagnostics) = load(script);
    program.unwrap_or_else(|| panic!("{}", diagnostics.render(false)))
}

/// Fails unless statements of a `route{}` are accepted.
#[track_caller]
pub fn check_loads(statements: &str) {
    program(&route(statements));
}

/// Fails unless a whole script is refused with these words at its mark.
#[track_caller]
pub fn refused(script: &str, words: &[&str]) {
    let marked = Marked::new(script);
    let (program, diagnostics) = load(&marked.text);
    assert!(program.is_none(), "accepted:\n{script}");
    marked.check(&diagnostics, diagnostics.errors(), words);
}

/// Fails unless statements of a `route{}` are refused with these words at their mark.
#[track_caller]
pub fn check_refused(statements: &str, words: &[&str]) {
    refused(&route(statements), words);
}

/// Fails unless a whole script is accepted with a warning that has these words at its mark.
#[track_caller]
pub fn check_warned(script: &str, words: &[&str]) {
    let marked = Marked::new(script);
    let (program, diagnostics) = load(&marked.text);
    assert!(program.is_some(), "{}", diagnostics.render(false));
    marked.check(&diagnostics, diagnostics.warnings(), words);
}

/// Fails unless a whole script is accepted and nothing is said about it.
#[track_caller]
pub fn check_quiet(script: &str) {
    let (program, diagnostics) = load(script);
    assert!(program.is_some() && diagnostics.is_empty(), "{}", diagnostics.render(false));
}
