//! One operation of Seawall's pure crates, many times: what `cargo xtask budget` counts the instructions of.
//!
//! ```text
//! seawall-cost OPERATION COUNT
//! valgrind --tool=callgrind --toggle-collect='*measured*' seawall-cost refresh 2000
//! ```
//!
//! Everything that is measured happens in functions whose names begin with `measured`; making the messages does not. No
//! socket, no clock and no random number take part, so the count is the same each time.

mod mid;
mod register;
mod relay;

use std::process::ExitCode;

/// Does one operation so many times.
type Run = fn(u32) -> Result<(), Fault>;

const OPERATIONS: [(&str, Run); 7] = [
    ("fresh", register::fresh),
    ("refresh", register::refresh),
    ("refresh-pushed", register::pushed),
    ("message", relay::message),
    ("invite", relay::invite),
    ("forwarded", mid::forwarded),
    ("forwarded-aor", mid::forwarded_aor),
];

/// Which part of an operation did not go as it should: its cost would be that of something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fault(&'static str);

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_does_what_it_is_measured_for() {
        for (name, run) in OPERATIONS {
            assert_eq!(run(300), Ok(()), "{name}");
        }
    }
}
