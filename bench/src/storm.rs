//! Many more requests than a server can serve: what it still accepts, how soon it answers, whom it prefers, and how soon
//! it has recovered.

use std::time::Duration;

use crate::error::Error;
use crate::load::{self, Generator, Operation, Options, Pace, Share, Storm, Wave, Work};
use crate::pinned::Pinned;
use crate::process;
use crate::server::{Contender, Server, Setup, apart};

/// What becomes of new contacts in a storm: the parameter `overload`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Overload {
    /// They are refused.
    Reply,
    /// They are left unanswered.
    Drop,
    /// They are served.
    Off,
}

/// Lines that set `overload` and `overload_early`.
fn lines(overload: Overload, is_early: bool) -> &'static str {
    match (overload, is_early) {
        (Overload::Reply, false) => "modparam(\"registrar\", \"overload\", \"reply\")\n",
        (Overload::Drop, false) => "modparam(\"registrar\", \"overload\", \"drop\")\n",
        (Overload::Off, _) => "modparam(\"registrar\", \"overload\", \"off\")\n",
        (Overload::Reply, true) => {
            "modparam(\"registrar\", \"overload\", \"reply\")\nmodparam(\"registrar\", \"overload_early\", 1)\n"
        }
        (Overload::Drop, true) => {
            "modparam(\"registrar\", \"overload\", \"drop\")\nmodparam(\"registrar\", \"overload_early\", 1)\n"
        }
    }
}

/// `seawall-bench storm`: an open-loop overload of one worker. Its capacity is measured first: refreshes a second in a
/// closed loop.
#[derive(Clone, Debug, clap::Args)]
pub struct StormArgs {
    /// Where.
    #[command(flatten)]
    pub pinned: Pinned,
    /// How many times its capacity the server is offered.
    #[arg(long, default_value_t = 10.0)]
    pub times: f64,
    /// How many of a hundred requests of the storm are refreshes of users who are registered.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(0..=100))]
    pub known: u64,
    /// What becomes of the others.
    #[arg(long, value_enum, default_value = "reply")]
    pub overload: Overload,
    /// Whether they are shed before the script (`overload_early`).
    #[arg(long)]
    pub early: bool,
    /// Turns of a loop that every REGISTER goes round in the script first: it stands for what longer scripts do, and lets
    /// one generator offer many times the capacity.
    #[arg(long, default_value_t = 0)]
    pub turns: u32,
    /// Users who are registered.
    #[arg(long, default_value_t = 20_000)]
    pub users: u32,
    /// Seconds of each part.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=30))]
    pub seconds: u64,
}

/// The part of its capacity that the server is offered when the storm is over.
const AFTERWARDS: f64 = 0.3;
/// How many of a hundred requests are refreshes then.
const KNOWN_AFTERWARDS: u64 = 90;
/// New users at most while it is measured what they take.
const MOST_NEW: u32 = 5_000_000;
/// Requests in flight while the capacity is measured.
const WINDOW: usize = 256;

/// Measures and prints a table.
///
/// # Errors
/// [`Error::Server`] when the server does not start, [`Error::Usage`] for a storm out of bounds, [`Error::System`] when
/// the machine refuses something.
pub fn cli(args: &StormArgs) -> Result<(), Error> {
    let programs = args.pinned.programs();
    let setup = Setup {
        cpu: Some(args.pinned.server_cpu),
        lines: lines(args.overload, args.early),
        turns: args.turns,
        ..Setup::new(Contender::Seawall)
    };
    let server = Server::start(&setup, &programs, load::probe_request)?;
    // It never sleeps in the storm, so it must not sleep before either: two CPUs that share a core share its time, and the
    // calm would be better than it is.
    let options =
        Options { cpu: Some(args.pinned.generator_cpu), busy_poll: true, ..Options::new(server.address()) };
    apart("Seawall", || measure(args, server.pid(), options))?;
    server.stop().map(drop)
}

fn measure(args: &StormArgs, server: u32, options: Options) -> Result<(), Error> {
    let cpu_s =
        || process::cpu_ns(server).map(|ns| ns as f64 / 1e9).map_err(Error::system("cannot read /proc"));
    let mut generator = Generator::open(options)?;
    let duration = Duration::from_secs(args.seconds);
    let pace = Pace::Closed { window: WINDOW };
    generator.run(&Work { pace, ..Work::once(Operation::Register, args.users) })?;
    let began_s = cpu_s()?;
    // As many as come in the storm, about: a table that grows costs more than one that has room.
    let fresh = generator.run(&Work {
        first_user: args.users,
        duration,
        pace,
        ..Work::once(Operation::Register, MOST_NEW)
    })?;
    let between_s = cpu_s()?;
    let count = crate::limits::MAX_OPERATIONS;
    let calm =
        generator.run(&Work { count, duration, pace, ..Work::once(Operation::Register, args.users) })?;
    let each_fresh_s = (between_s - began_s) / fresh.succeeded.max(1) as f64;
    let each_calm_s = (cpu_s()? - between_s) / calm.succeeded.max(1) as f64;
    let capacity = calm.rate_per_s();
    println!(
        "capacity: {capacity:.0} refreshes/s, p99 {:.1} ms; {:.2} us of processor time a refresh, {:.2} us a new one",
        ms(calm.latency.percentile_ns(99.0)),
        each_calm_s * 1e6,
        each_fresh_s * 1e6,
    );
    let storm = Storm {
        users: args.users,
        first_new_user: args.users.saturating_add(u32::try_from(fresh.started).unwrap_or(u32::MAX)),
        known_percent: args.known,
        rate_per_s: capacity * args.times,
        duration,
    };
    let began_s = cpu_s()?;
    let wave = generator.storm(&storm)?;
    let took_s = cpu_s()? - began_s;
    let of_use_s = wave.known.accepted as f64 * each_calm_s + wave.new.accepted as f64 * each_fresh_s;
    let after = generator.storm(&Storm {
        first_new_user: storm.first_new_user.saturating_add(u32::try_from(wave.new.sent).unwrap_or(u32::MAX)),
        known_percent: KNOWN_AFTERWARDS,
        rate_per_s: capacity * AFTERWARDS,
        ..storm
    })?;
    report("storm", &wave, capacity);
    let new_as_refreshes = each_fresh_s / each_calm_s.max(1e-12);
    let served = wave.known.accepted as f64 + wave.new.accepted as f64 * new_as_refreshes;
    println!(
        "goodput with each new one as the {new_as_refreshes:.2} refreshes that it takes: {:.1} % of the capacity",
        served / wave.elapsed.as_secs_f64() / capacity * 100.0
    );
    println!(
        "of use: {:.1} % of the processor time, by what those who were accepted would have taken in the calm",
        of_use_s / took_s * 100.0
    );
    report("afterwards", &after, capacity);
    println!("recovered: {}", recovery(&after));
    Ok(())
}

fn report(name: &str, wave: &Wave, capacity: f64) {
    let times = wave.per_s(wave.sent()) / capacity;
    let goodput = wave.per_s(wave.known.accepted + wave.new.accepted) / capacity * 100.0;
    println!("{name}: {times:.2} × the capacity offered, goodput {goodput:.1} % of the capacity");
    println!(
        "| users | sent /s | accepted /s | refused /s | p50, p99, most of the accepted ms | p99 of the refused ms |"
    );
    println!("|---|--:|--:|--:|--:|--:|");
    for (name, share) in [("known", &wave.known), ("new", &wave.new)] {
        let Share { sent, accepted, refused, latency, refusal } = share;
        println!(
            "| {name} | {:.0} | {:.0} | {:.0} | {:.1}, {:.1}, {:.1} | {:.1} |",
            wave.per_s(*sent),
            wave.per_s(*accepted),
            wave.per_s(*refused),
            ms(latency.percentile_ns(50.0)),
            ms(latency.percentile_ns(99.0)),
            ms(latency.max_ns()),
            ms(refusal.percentile_ns(99.0)),
        );
    }
}

/// How long after the storm the first tenth of a second began from which on every request was accepted.
fn recovery(after: &Wave) -> String {
    let bad = after.slices.iter().rposition(|slice| slice.accepted < slice.sent);
    match bad.map_or(0, |bad| bad + 1) {
        slices if slices >= after.slices.len() => "not within the time that was looked at".to_owned(),
        slices => format!("{:.1} s after the storm", slices as f64 * f64::from(load::SLICE_US) / 1e6),
    }
}

fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}
