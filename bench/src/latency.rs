//! How late answers come while a server is busy but not saturated.
//!
//! In each round both servers are started and saturated, in a closed loop. Then they are given a part of the rate that was
//! reached, in an open loop: requests are due on a schedule, whatever the server does, and latency counts from the moment at
//! which each was due, so a stall shows in every request that it delayed. The other one, the echo as a rule, is given two
//! rates: that of the server, and the same part of its own saturation, at which it is as busy as the server is.
//!
//! The paces are kept in short windows that take turns: the server between both paces of the other one. A virtual machine that stands still for some milliseconds several times a second then spoils some windows, of both
//! alike, and the middle one of all windows shows what the servers do. Who has no turn sleeps in a system call. Differences
//! are taken between windows that stand beside each other ([`windows`]).

mod table;
pub mod windows;

use std::time::Duration;

use crate::compare::warn_of_company;
use crate::error::Error;
use crate::load::{self, Generator, Operation, Pace, Work};
use crate::pinned::Beside;
use crate::process;
use crate::server::{Contender, Programs, Server, Setup, apart};
pub use table::render;
use windows::{Accounts, Side, Window};

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
    /// Rounds, in each of which both are started afresh and saturated.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub repetitions: u32,
    /// How long each is measured at each rate, seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub seconds: u64,
    /// How long a window is, milliseconds.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(20..=1000))]
    pub window_ms: u64,
    /// The longest gap between two looks of the generator at the clock in a window that counts as undisturbed, microseconds.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(50..=100_000))]
    pub gap_us: u32,
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
/// How long the pace is kept before what is due counts: the server has slept, and another one has had its caches.
const LEAD: Duration = Duration::from_millis(10);
/// No run lasts longer.
const LONGEST: Duration = Duration::from_secs(120);

/// One round.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// The server.
    pub server: Side,
    /// Who stands beside it, at the server's rate.
    pub same_rate: Side,
    /// The same at that part of its own saturation.
    pub same_load: Side,
}

/// Measures and prints tables.
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
    let (name, beside) = (args.server.name(), args.beside.name());
    let mut rounds = Vec::new();
    for number in 0..args.repetitions {
        eprintln!("round {} of {}: {name} and {beside}", number + 1, args.repetitions);
        let server = start(args, programs, args.server)?;
        let other = start(args, programs, args.beside)?;
        rounds.push(apart(name, || round(args, &server, &other))?);
        server.stop()?;
        other.stop()?;
    }
    Ok(rounds)
}

fn start(args: &LatencyArgs, programs: &Programs, contender: Contender) -> Result<Server, Error> {
    let setup = Setup { cpu: Some(args.conditions.pinned.server_cpu), ..Setup::new(contender) };
    Server::start(&setup, programs, load::probe_request)
}

/// Saturates both, and then lets their windows take turns.
fn round(args: &LatencyArgs, server: &Server, other: &Server) -> Result<Round, Error> {
    let mut server = Subject::saturate(args, server)?;
    let mut other = Subject::saturate(args, other)?;
    let (rate_per_s, own_per_s) = (server.part(args.load), other.part(args.load));
    eprintln!("  {rate_per_s:.0} a second, and {own_per_s:.0}");
    let mut round = Round {
        server: Side::new(server.saturated_per_s, rate_per_s),
        same_rate: Side::new(other.saturated_per_s, rate_per_s),
        same_load: Side::new(other.saturated_per_s, own_per_s),
    };
    // The first turn is not counted.
    let mut warm_up = round.clone();
    for turn in 0..=args.seconds * 1000 / args.window_ms {
        let round = if turn == 0 { &mut warm_up } else { &mut round };
        // The server is between both of the other one's paces, and neither of them always comes before it.
        let Round { same_rate, same_load, .. } = round;
        let (first, last) = if turn % 2 == 0 { (same_load, same_rate) } else { (same_rate, same_load) };
        other.keep(args, first)?;
        server.keep(args, &mut round.server)?;
        other.keep(args, last)?;
    }
    Ok(round)
}

/// A server that runs, and the phones that register there.
struct Subject {
    generator: Generator,
    pids: Vec<u32>,
    saturated_per_s: f64,
}

impl Subject {
    /// Registers everybody, and then takes the rate of refreshes in a closed loop.
    fn saturate(args: &LatencyArgs, server: &Server) -> Result<Self, Error> {
        let mut generator = Generator::open(args.conditions.generator(server))?;
        let saturation = Work {
            duration: LONGEST,
            pace: Pace::Closed { window: args.conditions.window },
            ..Work::once(Operation::Register, args.users)
        };
        generator.run(&saturation)?;
        let saturated = generator.run(&Work { count: (PASSES - 1) * u64::from(args.users), ..saturation })?;
        let pids =
            process::tree(server.pid()).map_err(Error::system("cannot read the server's processes"))?;
        Ok(Subject { generator, pids, saturated_per_s: saturated.rate_per_s() })
    }

    /// So many per cent of its saturation.
    fn part(&self, percent: u32) -> f64 {
        self.saturated_per_s * f64::from(percent) / 100.0
    }

    /// One window. It ends when everything that was due in it is answered, however late that is.
    fn keep(&mut self, args: &LatencyArgs, side: &mut Side) -> Result<(), Error> {
        let rate_per_s = side.rate_per_s;
        let due = LEAD + Duration::from_millis(args.window_ms);
        let work = Work {
            count: ((rate_per_s * due.as_secs_f64()) as u64).max(1),
            duration: LONGEST,
            pace: Pace::Open { rate_per_s, most_in_flight: MOST_IN_FLIGHT },
            lead: LEAD,
            ..Work::once(Operation::Register, args.users)
        };
        let pinned = &args.conditions.pinned;
        let accounts = || Accounts::read(&self.pids, pinned.server_cpu, pinned.generator_cpu);
        let before = accounts();
        let report = self.generator.run(&work)?;
        let window = Window::of(&report, before, accounts());
        side.add(window, &report.latency, f64::from(args.gap_us));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::table::tests::args;

    #[test]
    fn what_would_saturate_or_never_end_is_refused() {
        assert!(args("latency --load 95 --seconds 60 --repetitions 50 --window-ms 20 --gap-us 50").is_some());
        for wrong in [
            "--load 96",
            "--load 0",
            "--seconds 61",
            "--repetitions 51",
            "--users 0",
            "--window-ms 19",
            "--window-ms 1001",
            "--gap-us 49",
        ] {
            assert!(args(&format!("latency {wrong}")).is_none(), "{wrong}");
        }
    }
}
