//! What is logged while something runs.

use std::cell::RefCell;
use std::fmt;

use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Level, Metadata, Subscriber};

/// A line that was logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub target: String,
    pub level: Level,
    pub text: String,
}

thread_local! {
    static LINES: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Runs something and gives what this thread logged meanwhile.
pub fn capture<R>(act: impl FnOnce() -> R) -> (R, Vec<Line>) {
    LINES.with_borrow_mut(Vec::clear);
    let result = tracing::subscriber::with_default(Capture, act);
    (result, LINES.with_borrow_mut(std::mem::take))
}

struct Capture;

impl Subscriber for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let metadata = event.metadata();
        let line = Line { target: metadata.target().to_owned(), level: *metadata.level(), text: text.0 };
        LINES.with_borrow_mut(|lines| lines.push(line));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
