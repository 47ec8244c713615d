//! What a REGISTER costs with several workers against one, where the generator does not compete with them, and what
//! shedding one costs.
//!
//! A burst is sent while the server stands still; it waits in the kernel. Then the generator sleeps and the server goes on,
//! with all processors for itself, until it has nothing left to do. So each worker is as busy as it can be, on a machine that
//! has no processor to spare for the generator.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::compare::{median, warn_of_company};
use crate::error::Error;
use crate::load::{self, Burst, Generator, Operation, Options, Work};
use crate::process;
use crate::server::{Contender, Programs, Server, Setup};
use crate::socket;

/// What comes in the bursts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Refreshes of users who are registered.
    Refresh,
    /// New users.
    Fresh,
    /// New users who are shed before the script and left unanswered (`overload_early`, `overload` "drop").
    Shed,
    /// New users who are refused by `save()` (`overload` "reply").
    Refused,
}

/// `seawall-bench workers`: processor time of a REGISTER with different numbers of workers, in bursts that are served while
/// the generator sleeps.
#[derive(Clone, Debug, clap::Args)]
pub struct WorkersArgs {
    /// Numbers of workers; the first is what the others are set against.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    pub workers: Vec<usize>,
    /// What comes.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["refresh", "fresh"])]
    pub kinds: Vec<Kind>,
    /// Rounds; medians over them are printed.
    #[arg(long, default_value_t = 5)]
    pub repetitions: usize,
    /// Bursts in each round.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub bursts: u32,
    /// Requests of a burst for each worker: no more than its receive buffer holds.
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u32).range(64..=6000))]
    pub size: u32,
    /// Users who are registered.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=5_000_000))]
    pub users: u32,
    /// Source sockets.
    #[arg(long, default_value_t = 16)]
    pub sockets: usize,
    /// The Seawall to measure.
    #[arg(long, default_value = "target/release/seawall")]
    pub seawall: PathBuf,
}

/// What one round has shown.
#[derive(Clone, Copy, Debug)]
struct Round {
    cpu_us: f64,
    per_s: f64,
    /// Answered 2xx, and otherwise, of a hundred.
    accepted_percent: f64,
    refused_percent: f64,
}

/// How often the server is looked at while it works, and how long it may do nothing before it counts as done.
const LOOK_EVERY: Duration = Duration::from_micros(500);
const DONE_AFTER: Duration = Duration::from_millis(8);
/// The longest that a burst may take.
const LONGEST_BURST: Duration = Duration::from_secs(10);
/// What an idle server takes for its timers between two looks at most, nanoseconds.
const IDLE_NS: u64 = 60_000;

/// Measures and prints a table.
///
/// # Errors
/// [`Error::Server`] when the server does not start or does not end a burst, [`Error::System`] when the machine refuses
/// something.
pub fn cli(args: &WorkersArgs) -> Result<(), Error> {
    warn_of_company();
    println!("| REGISTER | workers | CPU us | × | per second | × | accepted, refused % |");
    println!("|---|--:|--:|--:|--:|--:|--:|");
    for &kind in &args.kinds {
        let mut rounds: Vec<Vec<Round>> = vec![Vec::new(); args.workers.len()];
        for _ in 0..args.repetitions.max(1) {
            for (workers, rounds) in args.workers.iter().zip(&mut rounds) {
                rounds.push(round(args, kind, *workers)?);
            }
        }
        let middle = |rounds: &[Round], value: fn(&Round) -> f64| median(rounds.iter().map(value).collect());
        let base = rounds.first().cloned().unwrap_or_default();
        for (workers, rounds) in args.workers.iter().zip(&rounds) {
            // Ratios within a round, as whatever else the machine does meets all numbers of workers alike.
            let ratio = |value: fn(&Round) -> f64| {
                median(rounds.iter().zip(&base).map(|(round, base)| value(round) / value(base)).collect())
            };
            println!(
                "| {kind:?} | {workers} | {:.2} | {:.2} | {:.0} | {:.2} | {:.1}, {:.1} |",
                middle(rounds, |round| round.cpu_us),
                ratio(|round| round.cpu_us),
                middle(rounds, |round| round.per_s),
                ratio(|round| round.per_s),
                middle(rounds, |round| round.accepted_percent),
                middle(rounds, |round| round.refused_percent),
            );
        }
    }
    Ok(())
}

fn round(args: &WorkersArgs, kind: Kind, workers: usize) -> Result<Round, Error> {
    let programs = Programs { echo: PathBuf::new(), kamailio: PathBuf::new(), seawall: args.seawall.clone() };
    let lines = match kind {
        Kind::Refresh | Kind::Fresh => "modparam(\"registrar\", \"overload\", \"off\")\n",
        Kind::Shed => {
            "modparam(\"registrar\", \"overload\", \"drop\")\nmodparam(\"registrar\", \"overload_early\", 1)\n"
        }
        Kind::Refused => "modparam(\"registrar\", \"overload\", \"reply\")\n",
    };
    let setup = Setup { workers, lines, ..Setup::new(Contender::Seawall) };
    let server = Server::start(&setup, &programs, load::probe_request)?;
    let port = server.address().port();
    let options = Options { sockets: args.sockets, ..Options::new(server.address()) };
    let mut generator = Generator::open(options)?;
    generator.run(&Work::once(Operation::Register, args.users))?;
    let count = args.size.saturating_mul(u32::try_from(workers).unwrap_or(u32::MAX));
    let mut first_user = 0;
    let mut users = args.users;
    if kind != Kind::Refresh {
        (first_user, users) = (args.users, count);
    }
    let (mut cpu_ns, mut took, mut asked) = (0, Duration::ZERO, 0_u64);
    let mut answered = load::Collected::default();
    // The first one is not counted.
    for number in 0..=args.bursts {
        let (burst_ns, burst_took) =
            burst((server.pid(), port), &mut generator, &Burst { first_user, users, count })?;
        let collected = generator.collect()?;
        if kind != Kind::Refresh {
            first_user = first_user.saturating_add(count);
        }
        if number > 0 {
            cpu_ns += burst_ns;
            took += burst_took;
            asked += u64::from(count);
            answered.accepted += collected.accepted;
            answered.refused += collected.refused;
        }
    }
    server.stop()?;
    let asked = asked.max(1) as f64;
    Ok(Round {
        cpu_us: cpu_ns as f64 / 1e3 / asked,
        per_s: asked / took.as_secs_f64().max(1e-9),
        accepted_percent: answered.accepted as f64 / asked * 100.0,
        refused_percent: answered.refused as f64 / asked * 100.0,
    })
}

/// One burst: the processor time that the server took for it, and how long it was busy.
fn burst(
    (server, port): (u32, u16),
    generator: &mut Generator,
    burst: &Burst,
) -> Result<(u64, Duration), Error> {
    let cpu_ns = || process::cpu_ns(server).map_err(Error::system("cannot read /proc"));
    let pause = |stands_still| {
        socket::pause_process(server, stands_still).map_err(Error::system("cannot pause the server"))
    };
    pause(true)?;
    generator.burst(burst);
    let before_ns = cpu_ns()?;
    pause(false)?;
    let began = Instant::now();
    let (mut seen_ns, mut changed) = (before_ns, began);
    while changed.elapsed() < DONE_AFTER {
        if began.elapsed() > LONGEST_BURST {
            return Err(Error::Server { server: "Seawall", reason: "a burst is not served".to_owned() });
        }
        std::thread::sleep(LOOK_EVERY);
        let now_ns = cpu_ns()?;
        let waits = process::udp_queued_bytes(port).map_err(Error::system("cannot read /proc/net/udp"))? > 0;
        if waits || now_ns > seen_ns + IDLE_NS {
            (seen_ns, changed) = (now_ns, Instant::now());
        }
    }
    Ok((seen_ns - before_ns, changed - began))
}
