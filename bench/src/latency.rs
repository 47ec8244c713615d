//! How late answers come while a server is busy but not saturated.
//!
//! In each round the server is saturated first, in a closed loop. Then it is given a part of the rate that it reached, in an
//! open loop: requests are due on a schedule, whatever the server does, and latency counts from the moment at which each was
//! due, so a stall shows in every request that it delayed. The other one, the echo as a rule, is saturated too, and then given
//! two rates: that of the server, and the same part of its own saturation, at which it is as busy as the server is. Rounds go
//! over both in turn, differences are taken within a round, and medians are printed.

use std::fmt::Write;
use std::time::Duration;

use crate::compare::{machine, median, warn_of_company};
use crate::error::Error;
use crate::load::{self, Generator, Operation, Pace, Work};
use crate::pinned::Beside;
use crate::process;
use crate::server::{Contender, Programs, Server, Setup, apart};

/// Compare how late answers come at a part of the rate that saturates a server (`cargo xtask compare --latency`).
#[derive(Clone, Debug, clap::Args)]
pub struct LatencyArgs {
    /// The server, whose saturation sets the pace.
    #[arg(long, value_enum, default_value = "seawall")]
    pub server: Contender,
    /// Who is given the same rate, and the same part of its own.
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
    /// Where, and who else.
    #[command(flatten)]
    pub conditions: Beside,
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

/// One round.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Round {
    /// The server.
    pub server: Paced,
    /// Who stands beside it, at the server's rate.
    pub same_rate: Paced,
    /// The same at that part of its own saturation.
    pub same_load: Paced,
}

/// Measures and prints a table.
///
/// # Errors
/// [`Error::Server`] when a server does not start or dies, [`Error::Usage`] for arguments out of bounds, [`Error::System`]
/// when the machine refuses something.
pub fn cli(args: &LatencyArgs) -> Result<(), Error> {
    let programs = args.conditions.programs()?;
    warn_of_company();
    let rounds = rounds(args, &programs)?;
    args.conditions.publish(&render(args, &rounds))
}

/// Measures all rounds.
///
/// # Errors
/// As [`cli`].
pub fn rounds(args: &LatencyArgs, programs: &Programs) -> Result<Vec<Round>, Error> {
    let mut rounds = Vec::new();
    for number in 0..args.repetitions {
        eprintln!("round {} of {}: {}", number + 1, args.repetitions, args.server.name());
        let [server] = turn(args, programs, args.server, [Rate::OfItsOwn])?;
        eprintln!("  {:.0} a second, then {}", server.rate_per_s, args.beside.name());
        let rates = [Rate::Fixed(server.rate_per_s), Rate::OfItsOwn];
        let [same_rate, same_load] = turn(args, programs, args.beside, rates)?;
        rounds.push(Round { server, same_rate, same_load });
    }
    Ok(rounds)
}

/// A pace.
#[derive(Clone, Copy, Debug)]
enum Rate {
    /// So many requests a second.
    Fixed(f64),
    /// The part of its own saturation that was asked for.
    OfItsOwn,
}

/// Starts one of them, saturates it, and keeps one pace after the other.
fn turn<const N: usize>(
    args: &LatencyArgs,
    programs: &Programs,
    contender: Contender,
    rates: [Rate; N],
) -> Result<[Paced; N], Error> {
    let setup = Setup { cpu: Some(args.conditions.pinned.server_cpu), ..Setup::new(contender) };
    let server = Server::start(&setup, programs, load::probe_request)?;
    let paced = apart(contender.name(), || measure(args, &server, rates))?;
    server.stop()?;
    Ok(paced)
}

fn measure<const N: usize>(
    args: &LatencyArgs,
    server: &Server,
    rates: [Rate; N],
) -> Result<[Paced; N], Error> {
    let mut generator = Generator::open(args.conditions.generator(server))?;
    let saturation = Work {
        duration: LONGEST,
        pace: Pace::Closed { window: args.conditions.window },
        ..Work::once(Operation::Register, args.users)
    };
    generator.run(&saturation)?;
    let saturated = generator.run(&Work { count: (PASSES - 1) * u64::from(args.users), ..saturation })?;
    let saturated_per_s = saturated.rate_per_s();
    let mut all = [Paced::default(); N];
    for (paced, rate) in all.iter_mut().zip(rates) {
        let rate_per_s = match rate {
            Rate::Fixed(rate_per_s) => rate_per_s,
            Rate::OfItsOwn => saturated_per_s * f64::from(args.load) / 100.0,
        };
        let pace = Pace::Open { rate_per_s, most_in_flight: MOST_IN_FLIGHT };
        let work = Work { pace, count: crate::limits::MAX_OPERATIONS, ..saturation };
        *paced = Paced { saturated_per_s, rate_per_s, ..keep(args, server, &mut generator, work)? };
    }
    Ok(all)
}

/// What shows while a pace is kept.
fn keep(args: &LatencyArgs, server: &Server, generator: &mut Generator, work: Work) -> Result<Paced, Error> {
    let cpu_ns =
        || process::cpu_ns(server.pid()).map_err(Error::system("cannot read the server's processor time"));
    generator.run(&Work { duration: WARM_UP, ..work })?;
    let before_ns = cpu_ns()?;
    let report = generator.run(&Work { duration: Duration::from_secs(args.seconds), ..work })?;
    let took_ns = cpu_ns()?.saturating_sub(before_ns);
    let us = |percent: f64| report.latency.percentile_ns(percent) as f64 / 1e3;
    Ok(Paced {
        busy_percent: took_ns as f64 / report.elapsed.as_nanos().max(1) as f64 * 100.0,
        p50_us: us(50.0),
        p99_us: us(99.0),
        p999_us: us(99.9),
        longest_us: report.latency.max_ns() as f64 / 1e3,
        troubles: report.troubles(),
        ..Paced::default()
    })
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
        args.conditions.pinned.server_cpu,
        args.conditions.pinned.generator_cpu,
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
    let same_rate = format!("{beside}, the same rate");
    let same_load = format!("{beside}, {} % of its own", args.load);
    let sides: [(&str, Side); 3] = [
        (&same_rate, |round| round.same_rate),
        (&same_load, |round| round.same_load),
        (server, |round| round.server),
    ];
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
    let others = [(same_rate.as_str(), sides[0].1), (same_load.as_str(), sides[1].1)];
    for (name, side) in others {
        let shown = |figure: fn(&Paced) -> f64| format!("{:+.0}", median(above(rounds, side, figure)));
        writeln!(
            text,
            "| {server} above {name}, within a round | | | | {} | {} | {} | {} | |",
            shown(|paced| paced.p50_us),
            shown(|paced| paced.p99_us),
            shown(|paced| paced.p999_us),
            shown(|paced| paced.longest_us),
        )?;
    }
    for (name, side) in others {
        let each = above(rounds, side, |paced| paced.p999_us);
        let each: Vec<String> = each.iter().map(|us| format!("{us:+.0}")).collect();
        write!(text, "\np99.9 of {server} above that of {name}, round by round, µs: {}.\n", each.join(", "))?;
    }
    writeln!(text)
}

type Side = fn(&Round) -> Paced;

/// How much a figure of the server is above that of another one, round by round.
fn above(rounds: &[Round], other: Side, figure: fn(&Paced) -> f64) -> Vec<f64> {
    rounds.iter().map(|round| figure(&round.server) - figure(&other(round))).collect()
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
        let rounds = [(300.0, 200.0, 250.0), (5300.0, 5250.0, 5290.0), (320.0, 200.0, 251.0)].map(
            |(server, same_rate, same_load)| Round {
                server: paced(server),
                same_rate: paced(same_rate),
                same_load: paced(same_load),
            },
        );
        let text = render(&args("latency").unwrap(), &rounds);
        assert!(
            text.contains("| UDP echo, the same rate | 0 | 1000 | 0 | 100 | 200 | 200 | 0 | 3 |"),
            "{text}"
        );
        assert!(text.contains("| Seawall | 0 | 1000 | 0 | 100 | 200 | 320 | 0 | 3 |"), "{text}");
        assert!(
            text.contains("| UDP echo, 80 % of its own | 0 | 1000 | 0 | 100 | 200 | 251 | 0 | 3 |"),
            "{text}"
        );
        for (name, middle, each) in
            [("the same rate", "+100", "+100, +50, +120"), ("80 % of its own", "+50", "+50, +10, +69")]
        {
            let above = format!(
                "| Seawall above UDP echo, {name}, within a round | | | | +0 | +0 | {middle} | +0 | |"
            );
            assert!(text.contains(&above), "{text}");
            let each = format!("above that of UDP echo, {name}, round by round, µs: {each}.");
            assert!(text.contains(&each), "{text}");
        }
    }

    #[test]
    fn what_would_saturate_or_never_end_is_refused() {
        assert!(args("latency --load 95 --seconds 60 --repetitions 50").is_some());
        for wrong in ["--load 96", "--load 0", "--seconds 61", "--repetitions 51", "--users 0"] {
            assert!(args(&format!("latency {wrong}")).is_none(), "{wrong}");
        }
    }
}
