//! What is wrong with a script, where, and what would be right.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::limits;

/// A piece of a source file: byte offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Which file, as an index into the sources.
    pub file: u16,
    /// The first byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

impl Span {
    /// The piece from the start of this one to the end of another one.
    pub fn to(self, other: Span) -> Span {
        if self.file == other.file { Span { end: other.end.max(self.start), ..self } } else { self }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The script cannot run.
    Error,
    /// It runs, and may not do what its author thinks.
    Warning,
}

/// One thing to say about a script.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// Where.
    pub span: Span,
    /// A word next to the caret; may be empty.
    pub label: String,
    /// What would be right, if we know.
    pub help: Option<String>,
}

/// A source file.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: Vec<u8>,
}

/// The line and column of a place, both counted from 1; the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// Everything that there is to say about a script.
#[derive(Debug, Default)]
pub struct Diagnostics {
    pub(crate) sources: Vec<Source>,
    list: Vec<Diagnostic>,
    left_out: usize,
}

impl Diagnostics {
    /// The errors.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter().filter(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// The warnings.
    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter().filter(|diagnostic| diagnostic.severity == Severity::Warning)
    }

    /// Whether the script cannot run.
    pub fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The name of the file of a place.
    pub fn file(&self, span: Span) -> &str {
        self.sources.get(usize::from(span.file)).map_or("", |source| &source.name)
    }

    /// The line and column of a place.
    pub fn position(&self, span: Span) -> Position {
        let text = self.sources.get(usize::from(span.file)).map_or(&[][..], |source| &source.text);
        let before = text.get(..span.start as usize).unwrap_or(text);
        let line = before.iter().filter(|byte| **byte == b'\n').count();
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let column = String::from_utf8_lossy(before.get(start..).unwrap_or_default()).chars().count();
        Position {
            line: u32::try_from(line + 1).unwrap_or(u32::MAX),
            column: u32::try_from(column + 1).unwrap_or(u32::MAX),
        }
    }

    /// Adds an error; the help text can be empty.
    pub fn error(&mut self, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Error, span, message.into())
    }

    /// Adds a warning.
    pub fn warning(&mut self, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Warning, span, message.into())
    }

    fn add(&mut self, severity: Severity, span: Span, message: String) -> &mut Diagnostic {
        // What comes after the limit overwrites the last one: it is counted and not shown.
        if self.list.len() >= limits::DIAGNOSTICS {
            self.left_out += 1;
            self.list.pop();
        }
        self.list.push(Diagnostic { severity, message, span, label: String::new(), help: None });
        let last = self.list.len() - 1;
        // The list is not empty: an element was just pushed.
        #[allow(clippy::indexing_slicing)]
        &mut self.list[last]
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Forgets all but the first ones.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.list.truncate(len);
    }

    /// Puts the diagnostics in the order of the source, errors and warnings mixed.
    pub(crate) fn sort(&mut self) {
        self.list.sort_by_key(|diagnostic| (diagnostic.span.file, diagnostic.span.start));
        self.list.dedup_by(|a, b| a.span == b.span && a.message == b.message);
    }

    /// The whole report as text for a terminal: each problem with file, line, column, a caret and, if known, what would be
    /// right; then a line that counts them.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let texts: Vec<Shown> = self.sources.iter().map(|source| Shown::new(&source.text)).collect();
        let mut report = String::new();
        for diagnostic in &self.list {
            let name = self.file(diagnostic.span);
            let shown = texts.get(usize::from(diagnostic.span.file));
            report.push_str(&render_one(&renderer, diagnostic, name, shown));
            report.push_str("\n\n");
        }
        let (errors, warnings) = (self.errors().count() + self.left_out, self.warnings().count());
        if errors + warnings > 0 {
            let _ = writeln!(report, "{} and {}", count(errors, "error"), count(warnings, "warning"));
        }
        report
    }
}

impl Diagnostic {
    /// Adds what would be right.
    pub fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    /// Adds a word next to the caret.
    pub fn label(&mut self, label: impl Into<String>) -> &mut Self {
        self.label = label.into();
        self
    }

    /// Adds "did you mean …" when there is a suggestion.
    pub(crate) fn suggest(&mut self, suggestion: Option<impl std::fmt::Display>) -> &mut Self {
        if let Some(suggestion) = suggestion {
            self.help = Some(format!("did you mean `{suggestion}`?"));
        }
        self
    }
}

fn count(number: usize, word: &str) -> String {
    match number {
        0 => format!("no {word}s"),
        1 => format!("1 {word}"),
        _ => format!("{number} {word}s"),
    }
}

/// A source as text: bytes that are not UTF-8 are shown as `?`, one for one, so that offsets stay what they are.
struct Shown {
    text: String,
}

impl Shown {
    fn new(bytes: &[u8]) -> Self {
        let mut text = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            text.extend(chunk.invalid().iter().map(|_| '?'));
        }
        // A tab would make the caret's column depend on the terminal.
        Shown { text: without_passwords(&text.replace(['\t', '\r'], " ")) }
    }

    fn floor(&self, mut at: usize) -> usize {
        at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

/// The text with the passwords of URLs (`scheme://user:password@host`) as stars, one for a byte: a report is copied to people
/// who must not know them.
fn without_passwords(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        rest = after;
        let end = after.find(|next: char| next.is_whitespace() || matches!(next, '"' | '\''));
        let url = after.get(..end.unwrap_or(after.len())).unwrap_or_default();
        // A password may contain any of the delimiters, an address none of them.
        if let Some((user, more)) = url.split_once(':')
            && let Some((password, _)) = more.rsplit_once('@')
        {
            shown.push_str(user);
            shown.push(':');
            shown.extend(password.bytes().map(|_| '*'));
            rest = after.get(user.len() + 1 + password.len()..).unwrap_or_default();
        }
    }
    shown.push_str(rest);
    shown
}

fn render_one(renderer: &Renderer, diagnostic: &Diagnostic, name: &str, shown: Option<&Shown>) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group: Group<'_> = Group::with_title(level.primary_title(&diagnostic.message));
    if let Some(shown) = shown {
        let start = shown.floor(diagnostic.span.start as usize);
        let mut end = shown.floor(diagnostic.span.end as usize).max(start);
        // Only the first line of a long construct is worth showing.
        if let Some(line_end) = shown.text.get(start..end).and_then(|text| text.find('\n')) {
            end = start + line_end.max(1);
        }
        let mut annotation = AnnotationKind::Primary.span(start..end);
        if !diagnostic.label.is_empty() {
            annotation = annotation.label(&diagnostic.label);
        }
        group = group.element(Snippet::source(&shown.text).path(name).annotation(annotation));
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    renderer.render(&[group])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = without_passwords(text);
        assert_eq!(shown, expected);
        assert_eq!(shown.len(), text.len(), "carets stay where they are");
    }

    #[test]
    fn passwords_in_urls_are_not_shown() {
        check("\"mysql://u:s\u{e9}cret@h/db\")", "\"mysql://u:*******@h/db\")");
        check("a://u:p@:/x@h b://u@h:1 'c://:x@h'", "a://u:*****@h b://u@h:1 'c://:*@h'");
        check(
            "\"sqlite:///var/x.db\" \"http://h:80/a\" \"x@y\"",
            "\"sqlite:///var/x.db\" \"http://h:80/a\" \"x@y\"",
        );
        check("://", "://");
    }
}
