//! The context as the virtual machine sees it: where log lines go and what happens after `launch`.

use seawall_script::{Host, RouteId, Value, level};

use crate::context::Context;

/// Routes that `launch` started and that wait for their turn.
pub const MAX_LAUNCHED: usize = 64;

/// A route to run after the present one.
#[derive(Debug, Clone)]
pub struct Launched {
    /// The route.
    pub route: RouteId,
    /// Its `$param(1)`.
    pub parameter: Option<Value>,
    /// Its `$rc`.
    pub code: i64,
}

impl Host for Context {
    fn log_enabled(&self, level: i8) -> bool {
        self.configuration.logs(level)
    }

    fn log(&mut self, level: i8, text: &[u8]) {
        // Bytes of a message must not look like another line, nor move a terminal's cursor.
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let text = printable(text);
        match level {
            ..=level::ERR => tracing::error!(target: "script", "{text}"),
            0 | level::WARN => tracing::warn!(target: "script", "{text}"),
            level::NOTICE | level::INFO => tracing::info!(target: "script", "{text}"),
            _ => tracing::debug!(target: "script", "{text}"),
        }
    }

    fn launched(&mut self, route: Option<RouteId>, parameter: Option<&Value>, code: i64) {
        if let Some(route) = route
            && self.rare.launched.len() < MAX_LAUNCHED
        {
            self.rare.launched.push(Launched { route, parameter: parameter.cloned(), code });
        }
    }
}

/// A text with its control characters made visible; tabs stay.
fn printable(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    if !text.chars().any(|character| character.is_control() && character != '\t') {
        return text.into_owned();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\t' => out.push('\t'),
            character if character.is_control() => out.extend(character.escape_default()),
            character => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logged_value_stays_on_its_line() {
        assert_eq!(printable(b"a\r\nERROR fake \x1b[2J"), "a\\r\\nERROR fake \\u{1b}[2J");
        assert_eq!(printable("tab\tf\u{fc}r".as_bytes()), "tab\tf\u{fc}r");
    }
}
