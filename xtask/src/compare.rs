//! `cargo xtask compare`: builds Seawall and the comparison for release and runs the latter.
//!
//! `cargo xtask compare --mid` lets a crowd of phones register at Seawall in front of a Kamailio.
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
    // The crowd in front of a main registrar is a comparison of its own.
    let is_crowd = arguments.iter().any(|argument| argument == "--mid");
    comparison.arg(if is_crowd { "mid" } else { "compare" });
    if !arguments.iter().any(|argument| argument.starts_with("--seawall")) {
        comparison.arg("--seawall").arg(release.join("seawall"));
    }
    process::run(comparison.args(arguments.iter().filter(|argument| *argument != "--mid")))
}
