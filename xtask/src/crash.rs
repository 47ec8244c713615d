//! `cargo xtask crash`: the crash test of the bindings' database, for longer than the tests run it.

use crate::Outcome;
use crate::process::{cargo, run as run_command};

/// Kills by default, and answers between two of them: a million in all.
const KILLS: &str = "50";
const ANSWERS: &str = "20000";

/// Runs `e2e/crash.rs`, optimised.
pub fn run(arguments: &[String]) -> Outcome {
    let (mut kills, mut answers) = (KILLS, ANSWERS);
    let (mut database, mut mode) = ("sqlite", "write-through");
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        match word.as_str() {
            "--kills" => kills = number(word, value)?,
            "--answers" => answers = number(word, value)?,
            "--database" => database = one_of(word, value, &["sqlite", "postgres", "mysql"])?,
            "--mode" => mode = one_of(word, value, &["write-through", "write-back"])?,
            _ => return Err(format!("{word}: there are --kills, --answers, --database and --mode")),
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
        "crash::nothing_that_was_answered_is_lost_by_a_kill",
        "--",
        "--nocapture",
    ]);
    command.env("SEAWALL_KILLS", kills).env("SEAWALL_ANSWERS", answers);
    run_command(command.env("SEAWALL_DATABASE", database).env("SEAWALL_MODE", mode))
}

fn number<'a>(word: &str, value: &'a str) -> Result<&'a str, String> {
    value.parse::<u64>().map(|_| value).map_err(|_| format!("{word} {value}: this is no number"))
}

fn one_of<'a>(word: &str, value: &'a str, known: &[&str]) -> Result<&'a str, String> {
    if known.contains(&value) {
        Ok(value)
    } else {
        Err(format!("{word} {value}: there are {}", known.join(", ")))
    }
}
