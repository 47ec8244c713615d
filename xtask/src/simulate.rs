//! `cargo xtask simulate`: the mid-registrar under disorder, seed by seed.

use crate::Outcome;
use crate::process::{cargo, run as run_command};

/// Runs the simulator of the testkit, optimised, with the arguments as they are.
pub fn run(arguments: &[String]) -> Outcome {
    let mut command = cargo();
    command.args([
        "run",
        "--release",
        "--quiet",
        "--package",
        "seawall-testkit",
        "--example",
        "simulate",
        "--",
    ]);
    run_command(command.args(arguments))
}
