//! Who may depend on whom: a crate only on those below it, a pure crate only on libraries that are pure too.

use super::Report;
use crate::process::{cargo, output};
use crate::tree::File;
use serde_json::Value;

/// The house, top floor first, as docs/ARCHITECTURE.md draws it.
const HOUSE: &[&str] = &[
    "seawall",
    "engine",
    "control",
    "modules",
    "script",
    "storage",
    "push",
    "http",
    "resolve",
    "registrar",
    "notifier",
    "location",
    "transaction",
    "digest",
    "sip",
    "net",
    "testkit",
];

/// Crates without sockets, clocks, threads and global state.
pub const PURE: &[&str] = &["registrar", "notifier", "location", "transaction", "digest", "sip"];

/// What a pure crate may use from outside: data structures, hashing, searching, error types.
const PURE_LIBRARIES: &[&str] = &[
    "aes-gcm-siv",
    "base64",
    "foldhash",
    "hashbrown",
    "hkdf",
    "hmac",
    "md-5",
    "memchr",
    "parking_lot",
    "sha2",
    "siphasher",
    "smallvec",
    "subtle",
    "thiserror",
    "wide",
];

/// Not in the house, and free to use it: the load generator, what is counted of the pure crates, and the chores.
const BESIDE: &[&str] = &["bench", "cost", "xtask"];

/// Checks the manifests, and that docs/ARCHITECTURE.md draws the same house.
pub fn check(files: &[File], report: &mut Report) -> Result<(), String> {
    let raw = output(cargo().args(["metadata", "--format-version", "1", "--no-deps", "--offline"]))?;
    let metadata: Value = serde_json::from_slice(&raw).map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = metadata.get("packages").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut present = Vec::new();
    for package in &packages {
        let name = short(text(package, "name"));
        present.push(name.to_owned());
        let path = match name {
            "cost" => "bench/cost/Cargo.toml".to_owned(),
            _ if BESIDE.contains(&name) => format!("{name}/Cargo.toml"),
            _ => format!("crates/{name}/Cargo.toml"),
        };
        if floor(name).is_none() && !BESIDE.contains(&name) {
            report.error(&path, 0, format!("the crate {name} has no place in the house"));
        }
        let dependencies = package.get("dependencies").and_then(Value::as_array).cloned().unwrap_or_default();
        // Development dependencies do not reach the product.
        for dependency in dependencies.iter().filter(|dependency| text(dependency, "kind").is_empty()) {
            if let Some(problem) = objection(name, text(dependency, "name"), dependency.get("path").is_some())
            {
                report.error(&path, 0, problem);
            }
        }
    }
    drawn(files, &present, report);
    Ok(())
}

/// Why crate `name` may not depend on `dependency`, if it may not.
fn objection(name: &str, dependency: &str, in_workspace: bool) -> Option<String> {
    let on = short(dependency);
    if !in_workspace {
        let refused = PURE.contains(&name) && !PURE_LIBRARIES.contains(&dependency);
        return refused.then(|| format!("{name} is pure and may not depend on {dependency}"));
    }
    match (floor(name), floor(on)) {
        (None, _) => None,
        (Some(from), Some(to)) if to > from && on != "testkit" => None,
        // Tests of any crate may use the testkit, which has to speak of messages itself.
        (Some(_), Some(_)) if name == "testkit" && PURE.contains(&on) => None,
        (Some(0), None) if BESIDE.contains(&on) => None,
        _ => Some(format!("{name} may not depend on {on}: only on crates below it in docs/ARCHITECTURE.md")),
    }
}

/// docs/ARCHITECTURE.md lists the crates that exist, in the order of the house.
fn drawn(files: &[File], present: &[String], report: &mut Report) {
    let path = "docs/ARCHITECTURE.md";
    let Some(file) = files.iter().find(|file| file.path == path) else {
        report.error(path, 0, "is missing");
        return;
    };
    let mut last = 0;
    for name in HOUSE.iter().filter(|name| present.iter().any(|there| there == *name)) {
        let listed = format!("{name}/ ");
        match file.text.lines().position(|line| line.trim_start().starts_with(&listed)) {
            None => report.error(path, 0, format!("does not list {name}/")),
            Some(line) if line < last => report.error(path, line, format!("{name}/ stands too high")),
            Some(line) => last = line,
        }
    }
}

fn floor(name: &str) -> Option<usize> {
    HOUSE.iter().position(|there| *there == name)
}

fn short(name: &str) -> &str {
    name.strip_prefix("seawall-").unwrap_or(name)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, dependency: &str, in_workspace: bool, allowed: bool) {
        assert_eq!(objection(name, dependency, in_workspace).is_none(), allowed, "{name} on {dependency}");
    }

    #[test]
    fn a_crate_depends_only_on_those_below() {
        check("registrar", "seawall-location", true, true);
        check("location", "seawall-registrar", true, false);
        check("net", "seawall-sip", true, false);
        check("seawall", "seawall-bench", true, true);
        check("control", "seawall-bench", true, false);
        check("modules", "seawall-testkit", true, false);
    }

    #[test]
    fn a_pure_crate_uses_only_pure_libraries() {
        check("sip", "memchr", false, true);
        check("sip", "tokio", false, false);
        check("net", "libc", false, true);
    }
}
