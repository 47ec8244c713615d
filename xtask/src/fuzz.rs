//! `cargo xtask fuzz-check`: the fuzz targets compile.

use crate::Outcome;
use crate::process::{cargo, root, run as run_command};

/// Compiles the targets as ordinary programs; running them needs cargo-fuzz and a nightly toolchain.
pub fn run(_arguments: &[String]) -> Outcome {
    run_command(cargo().current_dir(root().join("fuzz")).args(["check", "--all-targets"]))
}
