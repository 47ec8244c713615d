//! `cargo xtask sleepers`: how long it takes until thousands of phones that sleep have taken their calls.

use crate::Outcome;
use crate::process::{cargo, run as run_command};

/// Runs the end-to-end test of many sleeping phones, optimised: how many phones (10000), and how many calls are begun in a
/// second (1800).
pub fn run(arguments: &[String]) -> Outcome {
    let number =
        |place: usize, usual: &str| arguments.get(place).cloned().unwrap_or_else(|| usual.to_owned());
    let mut command = cargo();
    command.env("SEAWALL_SLEEPERS", number(0, "10000")).env("SEAWALL_SLEEPERS_RATE", number(1, "1800"));
    command.args(["test", "--release", "--quiet", "--package", "seawall", "--test", "e2e", "--"]);
    // One after the other: each wants the whole machine.
    run_command(command.args(["many_sleepers", "--nocapture", "--test-threads=1"]))
}
