//! The pure crates read no clock, open no socket or file, start no thread and keep no global state.

use super::layers::PURE;
use super::{Report, crate_of, occurrences};
use crate::tree::{Source, line_of};

/// Words that no pure crate has a use for, and what each would bring in.
const FORBIDDEN: &[(&str, &str)] = &[
    ("TcpStream", "a socket"),
    ("TcpListener", "a socket"),
    ("UdpSocket", "a socket"),
    ("UnixStream", "a socket"),
    ("UnixDatagram", "a socket"),
    ("ToSocketAddrs", "name resolution"),
    ("Instant", "a clock"),
    ("SystemTime", "a clock"),
    ("std::thread", "threads"),
    ("thread_local!", "global state"),
    ("std::fs", "files"),
    ("std::io", "input and output"),
    ("std::env", "the environment"),
    ("std::process", "processes"),
    ("tokio", "an async runtime"),
    ("println!", "output"),
    ("eprintln!", "output"),
    ("static mut", "global state"),
    ("lazy_static", "global state"),
    ("RandomState", "the system's randomness"),
    ("unsafe", "unsafe code"),
];

/// Interior mutability that turns a `static` into global state.
const SHARED: &[&str] = &["Atomic", "Mutex", "RwLock", "OnceLock", "LazyLock", "Cell<"];

/// The same modules inside `use std::{…}`.
const GROUPED: &[&str] = &["thread", "fs", "io", "env", "process"];

/// Checks the code of the pure crates; their tests may do as they like.
pub fn check(sources: &[Source], report: &mut Report) {
    for source in sources.iter().filter(|source| is_pure(&source.path)) {
        for (line, what) in objections(&source.code) {
            if source.test.get(line) != Some(&true) {
                let name = crate_of(&source.path);
                report.error(&source.path, line, format!("{name} is pure: no {what}"));
            }
        }
    }
}

fn is_pure(path: &str) -> bool {
    path.starts_with("crates/") && path.contains("/src/") && PURE.contains(&crate_of(path))
}

/// Lines (from 0) that bring in something impure, and what.
fn objections(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (word, what) in FORBIDDEN {
        let there = occurrences(code, word).filter(|&at| !is_write(code, at));
        found.extend(there.map(|at| (line_of(code, at), format!("{what} ({word})"))));
    }
    for at in occurrences(code, "static") {
        let item = code.get(at..).and_then(|rest| rest.split(['=', ';', '{']).next()).unwrap_or_default();
        // The lifetime `'static` is not an item.
        let lifetime = at.checked_sub(1).and_then(|before| code.as_bytes().get(before)) == Some(&b'\'');
        if !lifetime && SHARED.iter().any(|kind| item.contains(kind)) {
            found.push((line_of(code, at), "global state (a static that can change)".to_owned()));
        }
    }
    for at in occurrences(code, "use std::{") {
        let group = code.get(at..).and_then(|rest| rest.split(';').next()).unwrap_or_default();
        for module in GROUPED {
            let inside =
                occurrences(group, module).map(|inside| at + inside).filter(|&at| !is_write(code, at));
            found.extend(inside.map(|at| (line_of(code, at), format!("std::{module}"))));
        }
    }
    found
}

/// `io::Write` is how numbers are written into byte buffers; that is no input or output.
fn is_write(code: &str, at: usize) -> bool {
    code.get(at..).is_some_and(|rest| rest.trim_start_matches("std::").starts_with("io::Write"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::blank;

    fn check(code: &str, expected: usize) {
        assert_eq!(objections(&blank(code)).len(), expected, "{code}");
    }

    #[test]
    fn clocks_sockets_files_and_globals_are_found() {
        check("use std::time::Instant;", 1);
        check("fn f() { std::fs::read(x); }", 1);
        check("use std::{fmt, io};", 1);
        check("static SEEN: AtomicU64 = AtomicU64::new(0);", 1);
        check("unsafe { x }", 1);
    }

    #[test]
    fn what_is_only_named_is_no_objection() {
        check("// an Instant would be a clock\nfn f(now_ms: u64) {}", 0);
        check("static NAMES: &[&str] = &[\"tokio\"];", 0);
        check("fn f(x: &'static Mutex<u8>) {}", 0);
        check("use std::{io::Write, net::IpAddr};", 0);
        check("use std::io::Write;", 0);
        check("struct S { text: OnceLock<u8> }", 0);
    }
}
