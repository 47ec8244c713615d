//! `cargo xtask compare`: builds Seawall and the comparison for release and runs the latter.
//!
//! `cargo xtask compare --mid` lets a crowd of phones register at Seawall in front of a Kamailio; `--store` measures
//! bindings in a database, `--latency` how late answers come at 80 % of what saturates it.
//!
//! The generator has to be a release build too, which this program is not: so it is a program of its own, in `bench/`.

use std::path::PathBuf;

use crate::{Outcome, process};

/// Hands `arguments` to the comparison as they are; `--help` lists them.
pub fn run(arguments: &[String]) -> Outcome {
    let packages = ["--package", "seawall", "--package", "seawall-bench"];
    process::run(process::cargo().args(["build", "--release"]).args(packages))?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| process::root().join("target"), PathBuf::from);
    let release = target.join("release");
    let mut comparison = process::program(&release.join("seawall-bench").to_string_lossy());
    // Each of these is a comparison of its own.
    let of_its_own = [("--mid", "mid"), ("--store", "store"), ("--latency", "latency")];
    let wanted = of_its_own.iter().find(|(word, _)| arguments.iter().any(|argument| argument == word));
    comparison.arg(wanted.map_or("compare", |(_, command)| command));
    if !arguments.iter().any(|argument| argument.starts_with("--seawall")) {
        comparison.arg("--seawall").arg(release.join("seawall"));
    }
    let word = wanted.map(|(word, _)| *word);
    process::run(comparison.args(arguments.iter().filter(|argument| Some(argument.as_str()) != word)))
}
