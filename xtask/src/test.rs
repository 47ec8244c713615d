//! `cargo xtask test`: the project's one test command.

use crate::process::{cargo, run as run_command, run_lines};
use crate::{Outcome, budget, setup, tidy};
use std::time::Instant;

/// How many tests ran, summed over the result lines of all test binaries.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

/// Sets up the tools, then format, lints, all tests (unit, property, documentation, end to end), the
/// instruction budgets and tidy. Goes on
/// after a failure, so that one run tells everything, and ends with one summary line.
pub fn run(_arguments: &[String]) -> Outcome {
    let began = Instant::now();
    let mut tally = Tally::default();
    let mut failed: Vec<String> = Vec::new();
    let mut step = |name: &str, outcome: Outcome| {
        println!("== {name}: {}", if outcome.is_ok() { "passed" } else { "FAILED" });
        if let Err(message) = outcome {
            println!("   {message}");
            failed.push(name.to_owned());
        }
    };

    step("setup", setup::run(&[]));
    step("format", run_command(cargo().args(["fmt", "--all", "--check"])));
    step(
        "lints",
        run_command(cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ])),
    );
    step("tests", run_lines(cargo().args(["test", "--workspace", "--no-fail-fast"]), |line| tally.add(line)));
    step("budgets", budget::run(&[]));
    step("tidy", tidy::run(&[]));

    let seconds = began.elapsed().as_secs();
    let Tally { passed, failed: broken, ignored } = tally;
    println!("== {passed} tests passed, {broken} failed, {ignored} ignored, {seconds} s");
    if !failed.is_empty() {
        return Err(format!("failed: {}", failed.join(", ")));
    }
    println!("== all passed");
    Ok(())
}

impl Tally {
    /// Adds one line of cargo's output when it is a result line.
    fn add(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else { return };
        for part in counts.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(Ok(count)), Some(what)) = (words.next().map(str::parse::<u64>), words.next()) else {
                continue;
            };
            match what {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.ignored += count,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &[&str], expected: (u64, u64, u64)) {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.add(line));
        assert_eq!((tally.passed, tally.failed, tally.ignored), expected);
    }

    #[test]
    fn result_lines_of_all_binaries_are_summed() {
        check(
            &[
                "test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
                "test a::b ... ok",
                "test result: FAILED. 1 passed; 2 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            ],
            (8, 2, 3),
        );
    }
}
