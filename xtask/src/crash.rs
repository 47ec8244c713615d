//! `cargo xtask crash`: the crash test of the bindings' database, for longer than the tests run it.

use crate::Outcome;
use crate::process::{cargo, run as run_command};

/// Kills by default, and answers between two of them: a million in all.
const KILLS: &str = "50";
const ANSWERS: &str = "20000";

/// Runs `e2e/crash.rs`, optimised.
pub fn run(arguments: &[String]) -> Outcome {
    let (mut kills, mut answers) = (KILLS, ANSWERS);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a number"))?;
        value.parse::<u64>().map_err(|_| format!("{word} {value}: this is no number"))?;
        match word.as_str() {
            "--kills" => kills = value,
            "--answers" => answers = value,
            _ => return Err(format!("{word}: there are --kills and --answers")),
        }
    }
    let mut command = cargo();
    command.args([
        "test",
        "--release",
        "--package",
        "seawall",
        "--test",
        "e2e",
        "crash::",
        "--",
        "--nocapture",
    ]);
    run_command(command.env("SEAWALL_KILLS", kills).env("SEAWALL_ANSWERS", answers))
}
