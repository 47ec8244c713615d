//! Chores of the project, run as `cargo xtask COMMAND`.
//!
//! `cargo xtask test` is the one command that decides whether a change is good; CI calls it and nothing else.

mod budget;
mod compare;
mod conformance;
mod crash;
mod docs;
mod fuzz;
mod parity;
mod process;
mod setup;
mod simulate;
mod sleepers;
mod test;
mod tidy;
mod tree;

use std::process::ExitCode;

/// What a chore gives back: nothing, or a sentence for the terminal.
pub type Outcome = Result<(), String>;

/// One chore: its name, the line shown by `help`, and what runs it with the remaining arguments.
struct Chore {
    name: &'static str,
    help: &'static str,
    run: fn(&[String]) -> Outcome,
}

const CHORES: &[Chore] = &[
    Chore { name: "test", help: "run everything that decides whether the tree is good", run: test::run },
    Chore {
        name: "setup",
        help: "install the tools that the tests need, where they are missing",
        run: setup::run,
    },
    Chore {
        name: "tidy",
        help: "check purity, layers, unsafe, lengths, words, generated pages",
        run: tidy::run,
    },
    Chore {
        name: "budget",
        help: "count the instructions of the hot paths and compare with bench/cost/budgets.txt; --accept writes it",
        run: budget::run,
    },
    Chore { name: "docs", help: "write docs/reference from the declaration tables", run: docs::run },
    Chore {
        name: "compare",
        help: "measure Seawall beside a bare echo and Kamailio, in one run",
        run: compare::run,
    },
    Chore {
        name: "simulate",
        help: "run the mid-registrar under disorder: --seeds N (10000), --from S, --phones N, --watch SEED",
        run: simulate::run,
    },
    Chore {
        name: "sleepers",
        help: "call phones that sleep, all at nearly the same time: [PHONES (10000) [CALLS A SECOND (1200)]]",
        run: sleepers::run,
    },
    Chore {
        name: "crash",
        help: "kill the server under load and compare: --kills N (50), --answers N between two of them (20000)",
        run: crash::run,
    },
    Chore { name: "fuzz-check", help: "compile the fuzz targets", run: fuzz::run },
    Chore {
        name: "conformance",
        help: "run OpenSIPS's own scripts and SIPssert scenarios from checkouts outside the tree",
        run: conformance::run,
    },
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let Some(chore) = CHORES.iter().find(|chore| chore.name == name) else {
        eprintln!("usage: cargo xtask COMMAND\n");
        for chore in CHORES {
            eprintln!("  {:12} {}", chore.name, chore.help);
        }
        return ExitCode::from(if matches!(name.as_str(), "" | "help" | "-h" | "--help") { 0 } else { 2 });
    };
    match (chore.run)(&rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask {name}: {message}");
            ExitCode::FAILURE
        }
    }
}
