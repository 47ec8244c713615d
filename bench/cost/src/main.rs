//! Does one operation of the pure crates many times.
//!
//! ```text
//! seawall-cost OPERATION COUNT
//! valgrind --tool=callgrind --toggle-collect='*measured*' seawall-cost refresh 2000
//! ```

use std::process::ExitCode;

use seawall_cost::{Fault, OPERATIONS};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let operation = arguments.next().unwrap_or_default();
    let count = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(1000);
    let Some((_, run)) = OPERATIONS.iter().find(|(name, _)| *name == operation) else {
        let names = OPERATIONS.map(|(name, _)| name).join("|");
        eprintln!("usage: seawall-cost {names} COUNT");
        return ExitCode::from(2);
    };
    match run(count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Fault(what)) => {
            eprintln!("seawall-cost: {operation}: {what}");
            ExitCode::FAILURE
        }
    }
}
