//! `cargo xtask simulate [--seeds N] [--from S] [--phones N] [--watch SEED]`: the mid-registrar under disorder, seed by
//! seed, or all packets of one seed.

use std::process::ExitCode;
use std::time::Instant;

use seawall_testkit::simulator::{Fault, Script, check, watch};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (mut seeds, mut from, mut phones) = (10_000u64, 0u64, None);
    for pair in arguments.chunks(2) {
        let value = pair.get(1).and_then(|value| value.parse::<u64>().ok());
        match (pair.first().map(String::as_str), value) {
            (Some("--seeds"), Some(value)) => seeds = value,
            (Some("--from"), Some(value)) => from = value,
            (Some("--phones"), Some(value)) => phones = usize::try_from(value).ok(),
            (Some("--watch"), Some(value)) => {
                let outcome = watch(&Script::new(value), &mut |line| println!("{line}\n"));
                return ExitCode::from(u8::from(outcome.inspect_err(|broken| println!("{broken}")).is_err()));
            }
            _ => {
                eprintln!("usage: simulate [--seeds N] [--from S] [--phones N] [--watch SEED]");
                return ExitCode::from(2);
            }
        }
    }
    let began = Instant::now();
    let (mut requests, mut absorbed, mut steps, mut failed) = (0, 0, 0, 0u32);
    for seed in from..from.saturating_add(seeds) {
        let script = phones.map_or_else(|| Script::new(seed), |phones| Script::populous(seed, phones));
        match check(&script, Fault::None) {
            Ok(summary) => {
                requests += summary.counts.received;
                absorbed += summary.counts.absorbed;
                steps += summary.steps;
            }
            Err(failure) => {
                println!("{failure}");
                failed += 1;
            }
        }
        if failed >= 5 {
            break;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{seeds} seeds from {from}: {failed} failed; {requests} REGISTERs, {absorbed} absorbed, {steps} steps, {seconds:.1} s"
    );
    ExitCode::from(u8::from(failed > 0))
}
