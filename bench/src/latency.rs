//! How late answers come while a server is busy but not saturated.
//!
//! In each round the server is saturated first, in a closed loop. Then it is given a part of the rate that it reached, in an
//! open loop: requests are due on a schedule, whatever the server does, and latency counts from the moment at which each was
//! due, so a stall shows in every request that it delayed. The other one, the echo as a rule, is given the same rate. Rounds go over both in
//! turn, differences are taken within a round, and medians are printed.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::compare::{machine, median, warn_of_company};
use crate::error::Error;
use crate::load::{self, Generator, Operation, Options, Pace, Report, Work};
use crate::pinned::Pinned;
use crate::process;
use crate::server::{Contender, Programs, Server, Setup, apart};

/// Compare how late answers come at a part of the rate that saturates a server (`cargo xtask compare --latency`).
#[derive(Clone, Debug, clap::Args)]
pub struct LatencyArgs {
    /// The server, whose saturation sets the pace.
    #[arg(long, value_enum, default_value = "seawall")]
    pub server: Contender,
    /// Who is given the same rate.
    #[arg(long, value_enum, default_value = "echo")]
    pub beside: Contender,
    /// The part of the server's rate at saturation, in per cent.
    #[arg(long, default_value_t = 80, value_parser = clap::value_parser!(u32).range(1..=95))]
    pub load: u32,
    /// Rounds; medians over them are printed.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub repetitions: u32,
    /// How long each is measured at that rate, seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub seconds: u64,
    /// Addresses of record.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=5_000_000))]
    pub users: u32,
    /// Requests in flight at saturation.
    #[arg(long, default_value_t = 64)]
    pub window: usize,
    /// Source sockets of the generator.
    #[arg(long, default_value_t = 1)]
    pub sockets: usize,
    /// Where.
    #[command(flatten)]
    pub pinned: Pinned,
    /// The Kamailio to measure.
    #[arg(long, default_value = "/usr/sbin/kamailio")]
    pub kamailio: PathBuf,
    /// Also write the table to this file.
    #[arg(long)]
    pub markdown: Option<PathBuf>,
}

/// Requests under way at most. Who has this many is some 20 ms late at 200 000 a second; what is due then starts late, and
/// its latency says so.
const MOST_IN_FLIGHT: usize = 4096;
/// Requests of the saturation, for each user: the first registers him.
const PASSES: u64 = 3;
/// How long the pace is kept before it is measured.
const WARM_UP: Duration = Duration::from_millis(500);
/// No part of a turn lasts longer.
const LONGEST: Duration = Duration::from_secs(120);

/// What one of the two showed in a round. Times are microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Paced {
    /// Requests a second at saturation, in a closed loop.
    pub saturated_per_s: f64,
    /// Requests a second that were due.
    pub rate_per_s: f64,
    /// The part of its CPU that it took at that rate, in per cent.
    pub busy_percent: f64,
    /// Median latency.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p999_us: f64,
    /// The longest.
    pub longest_us: f64,
    /// Requests sent again or given up, and operations refused.
    pub troubles: u64,
}

/// One round: the server, and who stands beside it.
pub type Round = (Paced, Paced);

/// Measures and prints a table.
///
/// # Errors
/// [`Error::Server`] when a server does not start or dies, [`Error::Usage`] for arguments out of bounds, [`Error::System`]
/// when the machine refuses something.
pub fn cli(args: &LatencyArgs) -> Result<(), Error> {
    let programs = Programs {
        echo: std::env::current_exe().map_err(Error::system("cannot find this program"))?,
        kamailio: args.kamailio.clone(),
        seawall: args.pinned.seawall.clone(),
    };
    warn_of_company();
    let rounds = rounds(args, &programs)?;
    let text = render(args, &rounds);
    print!("{text}");
    if let Some(path) = &args.markdown {
        fs::write(path, &text).map_err(Error::system(format!("cannot write {}", path.display())))?;
    }
    Ok(())
}

/// Measures all rounds.
///
/// # Errors
/// As [`cli`].
pub fn rounds(args: &LatencyArgs, programs: &Programs) -> Result<Vec<Round>, Error> {
    let mut rounds = Vec::new();
    for number in 0..args.repetitions {
        eprintln!("round {} of {}: {}", number + 1, args.repetitions, args.server.name());
        let server = turn(args, programs, args.server, None)?;
        eprintln!("  {:.0} a second, then {}", server.rate_per_s, args.beside.name());
        let beside = turn(args, programs, args.beside, Some(server.rate_per_s))?;
        rounds.push((server, beside));
    }
    Ok(rounds)
}

/// Starts one of them, saturates it, and keeps the pace: `rate_per_s`, or the part of its own saturation.
fn turn(
    args: &LatencyArgs,
    programs: &Programs,
    contender: Contender,
    rate_per_s: Option<f64>,
) -> Result<Paced, Error> {
    let setup = Setup { cpu: Some(args.pinned.server_cpu), ..Setup::new(contender) };
    let server = Server::start(&setup, programs, load::probe_request)?;
    let paced = apart(contender.name(), || measure(args, &server, rate_per_s))?;
    server.stop()?;
    Ok(paced)
}

fn measure(args: &LatencyArgs, server: &Server, rate_per_s: Option<f64>) -> Result<Paced, Error> {
    let cpu_ns =
        || process::cpu_ns(server.pid()).map_err(Error::system("cannot read the server's processor time"));
    let mut generator = Generator::open(Options {
        sockets: args.sockets,
        cpu: Some(args.pinned.generator_cpu),
        busy_poll: true,
        ..Options::new(server.address())
    })?;
    let saturation = Work {
        duration: LONGEST,
        pace: Pace::Closed { window: args.window },
        ..Work::once(Operation::Register, args.users)
    };
    generator.run(&saturation)?;
    let saturated = generator.run(&Work { count: (PASSES - 1) * u64::from(args.users), ..saturation })?;
    let saturated_per_s = saturated.rate_per_s();
    let rate_per_s = rate_per_s.unwrap_or(saturated_per_s * f64::from(args.load) / 100.0);
    let pace = Pace::Open { rate_per_s, most_in_flight: MOST_IN_FLIGHT };
    let paced = Work { pace, duration: WARM_UP, count: crate::limits::MAX_OPERATIONS, ..saturation };
    generator.run(&paced)?;
    let before_ns = cpu_ns()?;
    let report = generator.run(&Work { duration: Duration::from_secs(args.seconds), ..paced })?;
    let took_ns = cpu_ns()?.saturating_sub(before_ns);
    let us = |percent: f64| report.latency.percentile_ns(percent) as f64 / 1e3;
    Ok(Paced {
        saturated_per_s,
        rate_per_s,
        busy_percent: took_ns as f64 / report.elapsed.as_nanos().max(1) as f64 * 100.0,
        p50_us: us(50.0),
        p99_us: us(99.0),
        p999_us: us(99.9),
        longest_us: report.latency.max_ns() as f64 / 1e3,
        troubles: troubles(&report),
    })
}

fn troubles(report: &Report) -> u64 {
    report.lost + report.started - report.succeeded.min(report.started)
}

/// The table as Markdown.
pub fn render(args: &LatencyArgs, rounds: &[Round]) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_table(args, rounds, &mut text);
    text
}

fn write_table(args: &LatencyArgs, rounds: &[Round], text: &mut String) -> std::fmt::Result {
    let (server, beside) = (args.server.name(), args.beside.name());
    writeln!(
        text,
        "{}; server on CPU {}, busy-polling generator on CPU {}; {} % of what {server} reached at saturation in the same \
         round, open loop, {} s; refresh REGISTER, {} AoRs; latency from the moment at which a request was due; medians of {} \
         rounds.\n",
        machine(),
        args.pinned.server_cpu,
        args.pinned.generator_cpu,
        args.load,
        args.seconds,
        args.users,
        rounds.len(),
    )?;
    writeln!(
        text,
        "| server | at saturation /s | offered /s | busy % | p50 µs | p99 µs | p99.9 µs | longest µs | troubles |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|"
    )?;
    type Side = fn(&Round) -> Paced;
    let sides: [(&str, Side); 2] = [(beside, |round| round.1), (server, |round| round.0)];
    for (name, side) in sides {
        let middle =
            |figure: fn(&Paced) -> f64| median(rounds.iter().map(|round| figure(&side(round))).collect());
        writeln!(
            text,
            "| {name} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {} |",
            middle(|paced| paced.saturated_per_s),
            middle(|paced| paced.rate_per_s),
            middle(|paced| paced.busy_percent),
            middle(|paced| paced.p50_us),
            middle(|paced| paced.p99_us),
            middle(|paced| paced.p999_us),
            middle(|paced| paced.longest_us),
            rounds.iter().map(|round| side(round).troubles).sum::<u64>(),
        )?;
    }
    let above = |figure: fn(&Paced) -> f64| -> Vec<f64> {
        rounds.iter().map(|(server, beside)| figure(server) - figure(beside)).collect()
    };
    let shown = |figure: fn(&Paced) -> f64| format!("{:+.0}", median(above(figure)));
    writeln!(
        text,
        "| difference within a round | | | | {} | {} | {} | {} | |\n",
        shown(|paced| paced.p50_us),
        shown(|paced| paced.p99_us),
        shown(|paced| paced.p999_us),
        shown(|paced| paced.longest_us),
    )?;
    let each: Vec<String> = above(|paced| paced.p999_us).iter().map(|us| format!("{us:+.0}")).collect();
    writeln!(text, "p99.9 of {server} above that of {beside}, round by round, µs: {}.\n", each.join(", "))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        args: LatencyArgs,
    }

    /// Parses arguments; `None` when they are refused.
    fn args(line: &str) -> Option<LatencyArgs> {
        Program::try_parse_from(line.split(' ')).ok().map(|program| program.args)
    }

    fn paced(p999_us: f64) -> Paced {
        Paced { rate_per_s: 1000.0, p50_us: 100.0, p99_us: 200.0, p999_us, troubles: 1, ..Paced::default() }
    }

    #[test]
    fn differences_are_taken_within_a_round() {
        // The machine is slow in the second round, for both alike.
        let rounds = [(300.0, 200.0), (5300.0, 5250.0), (320.0, 200.0)]
            .map(|(server, beside)| (paced(server), paced(beside)));
        let text = render(&args("latency").unwrap(), &rounds);
        assert!(text.contains("| UDP echo | 0 | 1000 | 0 | 100 | 200 | 200 | 0 | 3 |"), "{text}");
        assert!(text.contains("| Seawall | 0 | 1000 | 0 | 100 | 200 | 320 | 0 | 3 |"), "{text}");
        assert!(text.contains("| difference within a round | | | | +0 | +0 | +100 | +0 | |"), "{text}");
        assert!(text.contains("round by round, µs: +100, +50, +120."), "{text}");
    }

    #[test]
    fn what_would_saturate_or_never_end_is_refused() {
        assert!(args("latency --load 95 --seconds 60 --repetitions 50").is_some());
        for wrong in ["--load 96", "--load 0", "--seconds 61", "--repetitions 51", "--users 0"] {
            assert!(args(&format!("latency {wrong}")).is_none(), "{wrong}");
        }
    }
}
