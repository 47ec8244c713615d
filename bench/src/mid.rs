//! A crowd of phones in front of a main registrar: what share of their REGISTERs a Seawall absorbs, how evenly it
//! forwards the rest, and whether the main registrar holds exactly who is there.
//!
//! - [`crowd`] is the phones: they register, refresh, vanish, say goodbye and come back from another address.
//! - [`main_registrar`] is a Kamailio whose table is read; it can stand still for a while, or lose everything.
//! - [`front`] is the Seawall between them.
//! - [`check`] compares the table with the phones, [`shares`] counts.
//! - [`cost`] sets what a REGISTER costs the front against what it costs a registrar.
//!
//! Time is scaled by short intervals: 2 s and 120 s stand for 60 s and 3600 s.

pub mod agent;
pub mod check;
pub mod cost;
pub mod crowd;
pub mod front;
pub mod main_registrar;
mod report;
pub mod shares;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use self::check::{Found, Sample};
use self::crowd::{Counts, Crowd, Habits, now_ms};
use self::front::{Front, FrontSetup, Statistics};
use self::main_registrar::{MainRegistrar, Reader};
use self::shares::Measured;
use crate::error::Error;
use crate::{limits, socket};

/// How a Seawall registers at its main registrar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Each phone for itself.
    Contact,
    /// One contact for each user.
    Aor,
}

/// What happens to the main registrar in the middle of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Trouble {
    /// Nothing.
    None,
    /// It stands still and answers nobody, then goes on.
    Outage,
    /// It is killed, and comes back with an empty table, which is filled by `mid_reg_resync`.
    Loss,
}

/// `seawall-bench mid`: a crowd at a Seawall in front of a Kamailio.
#[derive(Clone, Debug, clap::Args)]
pub struct MidArgs {
    /// How Seawall registers at the main registrar.
    #[arg(long, value_enum, default_value = "contact")]
    pub mode: Mode,
    /// Users.
    #[arg(long, default_value_t = 5_000)]
    pub users: u32,
    /// Phones of each user.
    #[arg(long, default_value_t = 2)]
    pub phones_each: u32,
    /// The interval that phones ask for, in seconds; they refresh after 0.4 to 0.5 of it.
    #[arg(long, default_value_t = 2)]
    pub expires_s: u32,
    /// The interval at the main registrar, in seconds.
    #[arg(long, default_value_t = 120)]
    pub outgoing_s: u32,
    /// Seconds before anything is measured.
    #[arg(long, default_value_t = 150)]
    pub warm_up_s: u64,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 240)]
    pub duration_s: u64,
    /// Seconds between two comparisons with the main registrar's table.
    #[arg(long, default_value_t = 10)]
    pub sample_s: u64,
    /// One of so many refreshes is the last one of a phone, which vanishes or says goodbye, and comes back; 0 for none.
    #[arg(long, default_value_t = 3_000)]
    pub one_leaves_in: u64,
    /// What happens to the main registrar after a third of the measurement.
    #[arg(long, value_enum, default_value = "none")]
    pub trouble: Trouble,
    /// How long that lasts, in seconds.
    #[arg(long, default_value_t = 20)]
    pub trouble_s: u64,
    /// Seconds for which Seawall waits for the main registrar (`fr_timeout`).
    #[arg(long, default_value_t = 1)]
    pub timeout_s: u32,
    /// Milliseconds by which a contact may be gone later than it must, on a busy machine.
    #[arg(long, default_value_t = 1_000)]
    pub slack_ms: u64,
    /// CPU of Seawall.
    #[arg(long)]
    pub server_cpu: Option<usize>,
    /// CPU of the phones.
    #[arg(long)]
    pub generator_cpu: Option<usize>,
    /// UDP workers of Seawall.
    #[arg(long, default_value_t = 1)]
    pub workers: usize,
    /// Seed of what is random about the phones.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The Seawall to measure.
    #[arg(long, default_value = "target/release/seawall")]
    pub seawall: PathBuf,
    /// The Kamailio behind it.
    #[arg(long, default_value = "/usr/sbin/kamailio")]
    pub kamailio: PathBuf,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// During the measurement.
    pub measured: Measured,
    /// From the start.
    pub phones: Counts,
    /// When the measurement began and ended, Unix milliseconds.
    pub span_ms: (u64, u64),
    /// Statistics of the front, by Unix millisecond.
    pub readings: Vec<(u64, Statistics)>,
    /// Comparisons.
    pub found: Vec<Found>,
    /// Processor time of the front during the measurement, nanoseconds.
    pub cpu_ns: u64,
}

impl Outcome {
    /// Inconsistencies of all comparisons.
    pub fn wrong(&self) -> u64 {
        self.found.iter().map(Found::wrong).sum()
    }
}

/// Runs the measurement and prints what it found.
///
/// # Errors
/// As [`measure`], and [`Error::Server`] when anything was inconsistent.
pub fn cli(args: &MidArgs) -> Result<(), Error> {
    let outcome = measure(args)?;
    print!("{}", report::render(args, &outcome));
    let (wrong, broken) = (outcome.wrong(), outcome.phones.broken_promises);
    if wrong == 0 && broken == 0 && !outcome.found.is_empty() {
        return Ok(());
    }
    let reason = format!(
        "{wrong} inconsistencies in {} samples, {broken} failures of registrations that held",
        outcome.found.len()
    );
    Err(Error::Server { server: "Seawall", reason })
}

/// What the watching thread sees.
enum Seen {
    Statistics(u64, Statistics),
    Table(Sample),
    Failed(Error),
}

/// What the watching thread has to know.
#[derive(Default)]
struct Orders {
    stop: AtomicBool,
    /// The table can be read, and what is in it can be relied on.
    compare: AtomicBool,
    /// The table is to be read at once; taken back when that is done.
    compare_now: AtomicBool,
}

/// Runs the measurement.
///
/// # Errors
/// [`Error::Server`] when a server does not start or dies, [`Error::System`] when the machine refuses something.
pub fn measure(args: &MidArgs) -> Result<Outcome, Error> {
    for program in [&args.seawall, &args.kamailio] {
        if !front::is_there(program) {
            return Err(Error::Usage(format!("there is no {}", program.display())));
        }
    }
    let mut main = MainRegistrar::start(&args.kamailio, None)?;
    let setup = FrontSetup {
        seawall: args.seawall.clone(),
        mode: Some(args.mode),
        outgoing_s: args.outgoing_s,
        timeout_s: args.timeout_s,
        workers: args.workers,
        cpu: args.server_cpu,
        count_instructions: false,
    };
    let front = Front::start(&setup, main.address())?;
    let (sender, seen) = channel();
    let orders = Orders { compare: AtomicBool::new(true), ..Orders::default() };
    let (reader, management) = (main.reader(), front.management());
    std::thread::scope(|scope| {
        let (front, main, orders) = (&front, &mut main, &orders);
        scope.spawn(move || watch(&reader, management, args.sample_s, orders, &sender));
        // A thread of its own, because it may be pinned.
        let crowd = scope.spawn(move || drive(args, front, main, orders, &seen));
        let outcome = crowd
            .join()
            .unwrap_or_else(|_| Err(Error::Server { server: "the crowd", reason: "it panicked".to_owned() }));
        orders.stop.store(true, Ordering::Relaxed);
        outcome
    })
}

/// Reads statistics each second, and the table each `sample_s` seconds and when it is asked to. The phones cannot wait for
/// that: it takes longer than they have left when they refresh.
fn watch(
    reader: &Reader,
    management: std::net::SocketAddr,
    sample_s: u64,
    orders: &Orders,
    sender: &Sender<Seen>,
) {
    let mut second = 0;
    let mut next_ms = now_ms();
    while !orders.stop.load(Ordering::Relaxed) {
        let statistics = front::statistics(management);
        let told = match statistics {
            Ok(statistics) => sender.send(Seen::Statistics(now_ms(), statistics)),
            Err(error) => sender.send(Seen::Failed(error)),
        };
        second += 1;
        if second % sample_s.max(1) == 0 && orders.compare.load(Ordering::Relaxed) {
            let seen = read_table(reader);
            // What was read while the main registrar went away says nothing.
            if orders.compare.load(Ordering::Relaxed) {
                let _ = sender.send(seen);
            }
        }
        if told.is_err() {
            return;
        }
        next_ms += 1000;
        while now_ms() < next_ms && !orders.stop.load(Ordering::Relaxed) {
            if orders.compare_now.load(Ordering::Acquire) {
                let _ = sender.send(read_table(reader));
                orders.compare_now.store(false, Ordering::Release);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn read_table(reader: &Reader) -> Seen {
    let begun_ms = now_ms();
    let contacts = reader.read();
    contacts
        .map_or_else(Seen::Failed, |contacts| Seen::Table(Sample { begun_ms, ended_ms: now_ms(), contacts }))
}

/// Seconds after a trouble until the table is compared again: what was put off meanwhile is made up for.
const SETTLES_S: u64 = 15;

/// Lets the crowd live, and the main registrar have its trouble.
fn drive(
    args: &MidArgs,
    front: &Front,
    main: &mut MainRegistrar,
    orders: &Orders,
    seen: &Receiver<Seen>,
) -> Result<Outcome, Error> {
    if let Some(cpu) = args.generator_cpu {
        socket::pin_to_cpu(cpu).map_err(Error::system(format!("cannot pin the phones to CPU {cpu}")))?;
    }
    let mut crowd = Crowd::open(Habits {
        target: front.address(),
        users: args.users,
        phones_each: args.phones_each,
        expires_s: args.expires_s,
        one_leaves_in: args.one_leaves_in,
        arrival_ms: u64::from(args.outgoing_s) * 50,
        seed: args.seed,
    })?;
    let start_ms = now_ms();
    let from_ms = start_ms + args.warm_up_s * 1000;
    let until_ms = from_ms + args.duration_s * 1000;
    let mut outcome = Outcome { span_ms: (from_ms, until_ms), ..Outcome::default() };
    let mut troubles = Troubles::new(args, from_ms);
    let mut explained = 0;
    let mut began: Option<Began> = None;
    let mut second_ms = start_ms;
    while now_ms() < until_ms {
        crowd.step();
        explain(front, &mut crowd, &mut explained);
        while let Ok(seen) = seen.try_recv() {
            outcome.take(args, seen, &mut crowd)?;
        }
        if troubles.is_due() {
            troubles.act(args, front, main, orders)?;
        }
        let now_ms = now_ms();
        if now_ms < second_ms {
            continue;
        }
        second_ms += 1000;
        if now_ms >= from_ms {
            if began.is_none() {
                began = Some(Began::new(front, &crowd)?);
            }
            let (phones, users) = crowd.live();
            outcome.measured.phone_s += phones as f64;
            outcome.measured.user_s += users as f64;
        }
    }
    let began = began.ok_or_else(|| Error::Usage("nothing was measured: --duration-s".to_owned()))?;
    outcome.phones = crowd.counts().clone();
    outcome.measured.front = front::statistics(front.management())?.since(&began.front);
    outcome.measured.phones = outcome.phones.since(&began.phones);
    outcome.cpu_ns = front.cpu_ns()?.saturating_sub(began.cpu_ns);
    Ok(outcome)
}

/// The state at the beginning of the measurement.
struct Began {
    front: Statistics,
    phones: Counts,
    cpu_ns: u64,
}

impl Began {
    fn new(front: &Front, crowd: &Crowd) -> Result<Began, Error> {
        Ok(Began {
            front: front::statistics(front.management())?,
            phones: crowd.counts().clone(),
            cpu_ns: front.cpu_ns()?,
        })
    }
}

impl Outcome {
    fn take(&mut self, args: &MidArgs, seen: Seen, crowd: &mut Crowd) -> Result<(), Error> {
        match seen {
            Seen::Statistics(at_ms, statistics) => self.readings.push((at_ms, statistics)),
            Seen::Failed(error) => return Err(error),
            Seen::Table(sample) => self.compare(args, &sample, crowd),
        }
        Ok(())
    }

    /// Compares a reading of the main registrar's table with the phones.
    fn compare(&mut self, args: &MidArgs, sample: &Sample, crowd: &mut Crowd) {
        let (each, slack_ms) = (args.phones_each, args.slack_ms);
        let found = check::compare(args.mode, each, crowd.agents_mut(), sample, slack_ms);
        eprintln!("{} s: {found}", (sample.begun_ms as i64 - self.span_ms.0 as i64) / 1000);
        self.found.push(found);
    }
}

/// Says what the front knows of the first phones that failed while they were registered at the main registrar.
fn explain(front: &Front, crowd: &mut Crowd, explained: &mut usize) {
    for (user, what) in crowd.take_broken() {
        *explained += 1;
        if *explained <= limits::BROKEN_EXPLAINED {
            let shown = front::show(front.management(), &format!("u{user:08}@mid.example"));
            eprintln!("{what}; the front: {}", shown.unwrap_or_else(|error| error.to_string()));
        }
    }
}

/// The trouble of the main registrar, step by step: its table is read, it goes, it comes, it answers, and it can be relied
/// on again.
struct Troubles {
    steps: [u64; 5],
    done: usize,
}

impl Troubles {
    fn new(args: &MidArgs, from_ms: u64) -> Troubles {
        let goes_ms = from_ms + args.duration_s * 1000 / 3;
        let comes_ms = goes_ms + args.trouble_s * 1000;
        let done = if args.trouble == Trouble::None { 5 } else { 0 };
        Troubles { steps: [goes_ms, goes_ms, comes_ms, comes_ms, comes_ms + SETTLES_S * 1000], done }
    }

    fn is_due(&self) -> bool {
        self.steps.get(self.done).is_some_and(|due_ms| now_ms() >= *due_ms)
    }

    /// Takes the next step, unless what has to come before it has not come yet.
    fn act(
        &mut self,
        args: &MidArgs,
        front: &Front,
        main: &mut MainRegistrar,
        orders: &Orders,
    ) -> Result<(), Error> {
        match (self.done, args.trouble) {
            (0, _) => {
                // Until when each phone is registered there is what its failures are judged by.
                orders.compare.store(false, Ordering::Relaxed);
                orders.compare_now.store(true, Ordering::Release);
            }
            (1, _) if orders.compare_now.load(Ordering::Acquire) => return Ok(()),
            (1, trouble) => {
                if trouble == Trouble::Loss {
                    main.kill()
                } else {
                    main.stand_still(true)?
                }
                eprintln!("the main registrar is away");
            }
            (2, Trouble::Loss) => main.spawn()?,
            (2, _) => main.stand_still(false)?,
            (3, trouble) => {
                if !main.is_ready() {
                    return Ok(());
                }
                if trouble == Trouble::Loss {
                    front::resync(front.management())?;
                }
                eprintln!("the main registrar is back");
            }
            (_, _) => orders.compare.store(true, Ordering::Relaxed),
        }
        self.done += 1;
        Ok(())
    }
}
