//! What a REGISTER costs Seawall as a registrar, when it is absorbed, and when it is forwarded: processor time in turns, and
//! instructions under callgrind.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::Mode;
use super::front::{Front, FrontSetup};
use super::main_registrar::MainRegistrar;
use crate::error::Error;
use crate::load::{Generator, Operation, Options, Pace, Work};
use crate::server::free_address;
use crate::stages::{self, Counts, Each};

/// The interval that the generator's phones ask for, seconds: so long is every registration where all is forwarded.
const EXPIRES_S: u32 = 3600;
/// Where all is absorbed, the main registrar's interval is so many times as long.
const TIMES: u32 = 20;
/// Requests of the shorter run under callgrind.
const FEWER: u64 = 1_000;
/// Requests of the longer run.
const MORE: u64 = 3_000;
/// Operations in flight at most, where a rate is given.
const MOST_IN_FLIGHT: usize = 1024;
/// Of the refreshes of a round so many go one by one.
const ONE_BY_ONE_PART: u64 = 5;
/// How long a slow server is waited for under callgrind: nothing should be sent twice.
const PATIENCE: Duration = Duration::from_secs(20);

/// `seawall-bench mid-cost`: the cost of refreshes.
#[derive(Clone, Debug, clap::Args)]
pub struct CostArgs {
    /// Rounds; medians over them are printed.
    #[arg(long, default_value_t = 5)]
    pub repetitions: usize,
    /// Users, with a phone each.
    #[arg(long, default_value_t = 10_000)]
    pub users: u32,
    /// Refreshes in each round.
    #[arg(long, default_value_t = 200_000)]
    pub count: u64,
    /// Requests in flight.
    #[arg(long, default_value_t = 64)]
    pub window: usize,
    /// Refreshes a second, the same for all: a server that is not busy wakes up for each request, which costs it more than
    /// the request does. Without it each kind goes as fast as it can, which is slower where a main registrar is waited for.
    #[arg(long)]
    pub rate: Option<f64>,
    /// Also count instructions under callgrind.
    #[arg(long)]
    pub instructions: bool,
    /// Leave processor time out (with --instructions).
    #[arg(long, requires = "instructions")]
    pub only_instructions: bool,
    /// CPU of Seawall.
    #[arg(long, default_value_t = 0)]
    pub server_cpu: usize,
    /// CPU of the generator.
    #[arg(long, default_value_t = 1)]
    pub generator_cpu: usize,
    /// The generator is the main registrar too, and grants at once. A Kamailio takes longer for a REGISTER than Seawall does,
    /// which waits then and is woken for each answer by itself, while plain refreshes come by the dozen.
    #[arg(long)]
    pub own_main: bool,
    /// CPU of the Kamailio behind it: that of the generator if left out, so that Seawall has its own for itself.
    #[arg(long)]
    pub main_cpu: Option<usize>,
    /// The generator sleeps when there is nothing to do, as it does with a Kamailio behind, which shares its CPU: Seawall then
    /// has to wake it for its answers, which costs as much as half a refresh. Without it the generator never sleeps, as in
    /// the comparison of all servers.
    #[arg(long)]
    pub sleeps: bool,
    /// Only these lines of the table, counted from 0, and the first one.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<usize>,
    /// The Seawall to measure.
    #[arg(long, default_value = "target/release/seawall")]
    pub seawall: PathBuf,
    /// The Kamailio behind it.
    #[arg(long, default_value = "/usr/sbin/kamailio")]
    pub kamailio: PathBuf,
}

/// How the refreshes of a run come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrival {
    /// By the dozen, as fast as they are answered or at the rate that was asked for.
    Crowd,
    /// The next when the one before it is answered: Seawall wakes up for each message, whatever becomes of it, and
    /// is as busy with refreshes that it answers as with those that it forwards.
    OneByOne,
}

/// What becomes of the refreshes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Plain,
    Absorbed(Mode),
    Forwarded(Mode),
}

/// All of them; the first is what the others are set against.
const ALL: [Fate; 5] = [
    Fate::Plain,
    Fate::Absorbed(Mode::Contact),
    Fate::Absorbed(Mode::Aor),
    Fate::Forwarded(Mode::Contact),
    Fate::Forwarded(Mode::Aor),
];

impl Fate {
    fn name(self) -> &'static str {
        match self {
            Fate::Plain => "refresh at a registrar",
            Fate::Absorbed(Mode::Contact) => "absorbed, contact mode",
            Fate::Absorbed(Mode::Aor) => "absorbed, AoR mode",
            Fate::Forwarded(Mode::Contact) => "forwarded, contact mode",
            Fate::Forwarded(Mode::Aor) => "forwarded, AoR mode",
        }
    }

    fn setup(self, args: &CostArgs, count_instructions: bool) -> FrontSetup {
        let (mode, outgoing_s) = match self {
            Fate::Plain => (None, EXPIRES_S),
            Fate::Absorbed(mode) => (Some(mode), EXPIRES_S * TIMES),
            Fate::Forwarded(mode) => (Some(mode), EXPIRES_S),
        };
        FrontSetup {
            seawall: args.seawall.clone(),
            mode,
            outgoing_s,
            timeout_s: 20,
            workers: 1,
            cpu: Some(args.server_cpu),
            count_instructions,
        }
    }
}

/// Measures and prints a table.
///
/// # Errors
/// [`Error::Server`] when a server does not start or requests were lost, [`Error::System`] when the machine refuses
/// something.
pub fn cli(args: &CostArgs) -> Result<(), Error> {
    let is_wanted = |place: &usize| args.only.is_empty() || *place == 0 || args.only.contains(place);
    let wanted: Vec<Fate> =
        (0..ALL.len()).filter(is_wanted).filter_map(|place| ALL.get(place)).copied().collect();
    let main = match args.own_main {
        true => Main::Generator(free_address().map_err(Error::system("cannot find a free port"))?),
        false => {
            let cpu = args.main_cpu.unwrap_or(args.generator_cpu);
            Main::Kamailio(MainRegistrar::start(&args.kamailio, Some(cpu))?)
        }
    };
    if !args.only_instructions {
        let mut rounds: Vec<[Vec<f64>; 2]> = vec![Default::default(); wanted.len()];
        for repetition in 0..args.repetitions.max(1) {
            eprintln!("round {} of {}", repetition + 1, args.repetitions);
            for (fate, all) in wanted.iter().zip(&mut rounds) {
                for (arrival, all) in [Arrival::Crowd, Arrival::OneByOne].into_iter().zip(all) {
                    all.push(processor_us(args, *fate, &main, arrival)?);
                }
            }
        }
        print_times(&wanted, &rounds);
    }
    if args.instructions {
        let mut all: Vec<(&str, Each)> = Vec::new();
        for fate in wanted {
            eprintln!("instructions: {}", fate.name());
            let (fewer, more) =
                (instructions(args, fate, &main, FEWER)?, instructions(args, fate, &main, MORE)?);
            all.push((fate.name(), more.each(&fewer, MORE - FEWER)));
        }
        println!("\n| REGISTER | instructions | against a registrar |\n|---|--:|--:|");
        let plain = all.first().map_or(1.0, |(_, each)| each.all());
        for (name, each) in &all {
            println!("| {name} | {:.0} | {:.2} |", each.all(), each.all() / plain.max(1.0));
        }
        println!("\n{}", stages::table(&all));
    }
    Ok(())
}

/// Prints medians over the rounds; ratios are taken within a round first.
fn print_times(wanted: &[Fate], rounds: &[[Vec<f64>; 2]]) {
    println!(
        "| REGISTER | CPU us (user and system) | against a registrar | one by one, CPU us | against a registrar |\n\
         |---|--:|--:|--:|--:|"
    );
    let plain = rounds.first().cloned().unwrap_or_default();
    for (fate, all) in wanted.iter().zip(rounds) {
        let cells = all.iter().zip(&plain).map(|(all, plain)| {
            let ratios = all.iter().zip(plain).map(|(each, plain)| each / plain).collect();
            format!(" {:.2} | {:.2} |", median(all.clone()), median(ratios))
        });
        println!("| {} |{}", fate.name(), cells.collect::<String>());
    }
}

/// Who grants what is forwarded.
enum Main {
    Kamailio(MainRegistrar),
    Generator(SocketAddr),
}

impl Main {
    fn address(&self) -> SocketAddr {
        match self {
            Main::Kamailio(main) => main.address(),
            Main::Generator(address) => *address,
        }
    }
}

/// Processor time of one refresh, microseconds.
fn processor_us(args: &CostArgs, fate: Fate, main: &Main, arrival: Arrival) -> Result<f64, Error> {
    let front = Front::start(&fate.setup(args, false), main.address())?;
    let work = |count| Work {
        count,
        pace: Pace::Closed { window: args.window },
        ..Work::once(Operation::Register, args.users)
    };
    let (pace, count) = match (arrival, args.rate) {
        (Arrival::OneByOne, _) => (Pace::Closed { window: 1 }, args.count.div_ceil(ONE_BY_ONE_PART)),
        (Arrival::Crowd, Some(rate_per_s)) => {
            (Pace::Open { rate_per_s, most_in_flight: MOST_IN_FLIGHT }, args.count)
        }
        (Arrival::Crowd, None) => (Pace::Closed { window: args.window }, args.count),
    };
    let mut used_ns = 0;
    drive(args, &front, main, &mut |generator| {
        settle(generator, &work(args.users.into()))?;
        // The same once before, so that everything has grown to its size: what was forwarded rests for seconds.
        settle(generator, &Work { pace, ..work(count) })?;
        let before_ns = front.cpu_ns()?;
        settle(generator, &Work { pace, ..work(count) })?;
        used_ns = front.cpu_ns()?.saturating_sub(before_ns);
        Ok(())
    })?;
    Ok(used_ns as f64 / 1e3 / count.max(1) as f64)
}

/// Instructions from start to end, with so many refreshes between.
fn instructions(args: &CostArgs, fate: Fate, main: &Main, count: u64) -> Result<Counts, Error> {
    let front = Front::start(&fate.setup(args, true), main.address())?;
    let users = FEWER as u32;
    let work = |count| Work {
        count,
        patience: PATIENCE,
        pace: Pace::Closed { window: 8 },
        ..Work::once(Operation::Register, users)
    };
    drive(args, &front, main, &mut |generator| {
        settle(generator, &work(users.into()))?;
        settle(generator, &work(count))
    })?;
    Ok(front.stop())
}

/// Runs a generator on its CPU, in a thread of its own that is pinned to it.
fn drive(
    args: &CostArgs,
    front: &Front,
    main: &Main,
    act: &mut (dyn FnMut(&mut Generator) -> Result<(), Error> + Send),
) -> Result<(), Error> {
    let registrar = match main {
        Main::Generator(address) => Some(*address),
        Main::Kamailio(_) => None,
    };
    let options = Options {
        cpu: Some(args.generator_cpu),
        busy_poll: args.own_main && !args.sleeps,
        registrar,
        ..Options::new(front.address())
    };
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| act(&mut Generator::open(options)?));
        thread.join().unwrap_or_else(|_| {
            Err(Error::Server { server: "the generator", reason: "it panicked".to_owned() })
        })
    })
}

/// Runs a piece of work; nothing of it may be lost.
fn settle(generator: &mut Generator, work: &Work) -> Result<(), Error> {
    let report = generator.run(work)?;
    if report.succeeded >= report.started && report.started > 0 {
        return Ok(());
    }
    Err(Error::Server { server: "Seawall", reason: format!("REGISTERs were lost or refused\n{report}") })
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(0.0)
}
