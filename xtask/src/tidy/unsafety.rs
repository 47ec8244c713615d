//! `unsafe` stands only where it is allowed, and each one says why it is sound.

use super::{Report, occurrences};
use crate::tree::{Source, line_of};

/// Where `unsafe` may stand: the socket layer, and the load generator's socket calls.
const ALLOWED: &[&str] = &["crates/net/", "bench/src/socket.rs"];

/// How many lines above an `unsafe` its reason may begin.
const REASON_WITHIN_LINES: usize = 8;

/// Checks all sources, tests included.
pub fn check(sources: &[Source], report: &mut Report) {
    for source in sources {
        let lines: Vec<&str> = source.text.lines().collect();
        for at in occurrences(&source.code, "unsafe") {
            let line = line_of(&source.code, at);
            if !ALLOWED.iter().any(|place| source.path.starts_with(place)) {
                report.error(&source.path, line, "unsafe belongs into crates/net only");
            } else if !has_reason(&lines, line) {
                report.error(&source.path, line, "unsafe without a SAFETY line above it");
            }
        }
    }
}

fn has_reason(lines: &[&str], line: usize) -> bool {
    let first = line.saturating_sub(REASON_WITHIN_LINES);
    let above = lines.get(first..=line).unwrap_or_default();
    above.iter().any(|text| text.contains("SAFETY") || text.contains("# Safety"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{File, sources};

    fn check_one(path: &str, text: &str, expected: usize) {
        let mut report = Report::default();
        check(&sources(&[File { path: path.into(), text: text.into() }]), &mut report);
        assert_eq!(report.errors.len(), expected, "{path}: {text}");
    }

    #[test]
    fn only_the_socket_layer_may_and_only_with_a_reason() {
        check_one("crates/net/src/udp.rs", "// SAFETY: the buffer outlives the call.\nunsafe { f() }\n", 0);
        check_one("crates/net/src/udp.rs", "unsafe { f() }\n", 1);
        check_one("crates/sip/src/uri.rs", "// SAFETY: no.\nunsafe { f() }\n", 1);
    }
}
