//! How fast a subject answers, what that costs, and what reaches the disk.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::subject::{Place, Running, Setup, Subject};
use super::{StoreArgs, setup_of};
use crate::compare::median;
use crate::disk::{self, Disk};
use crate::error::Error;
use crate::load::{Generator, Operation, Options, Pace, Report, Work};
use crate::server::apart;
use crate::{limits, management};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Workload {
    /// REGISTERs of users that are not known, as many in flight as there may be.
    Fresh,
    /// The same of users that are.
    Refresh,
    /// Refreshes, so many a second.
    Paced,
}

impl Workload {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Workload::Fresh => "fresh REGISTER",
            Workload::Refresh => "refresh REGISTER",
            Workload::Paced => "refresh REGISTER, paced",
        }
    }
}

/// What one subject did with one workload in one round.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Who.
    pub subject: Subject,
    /// What.
    pub workload: Workload,
    /// Which round.
    pub round: usize,
    /// Addresses of record.
    pub users: u32,
    /// Answered REGISTERs a second.
    pub rate_per_s: f64,
    /// Processor time of the whole process tree for one of them, µs.
    pub cpu_us: f64,
    /// Median latency, ms.
    pub p50_ms: f64,
    /// 99th percentile, ms.
    pub p99_ms: f64,
    /// 99.9th percentile, ms.
    pub p999_ms: f64,
    /// The longest, ms.
    pub longest_ms: f64,
    /// Requests sent again or given up, and operations refused.
    pub troubles: u64,
    /// Groups that were committed, as Seawall counts them.
    pub groups: Groups,
    /// Flushes of the disk a second, by all programs of the machine.
    pub flushes_per_s: Option<f64>,
    /// Bytes written to the disk for one REGISTER, by all programs of the machine.
    pub written: Option<f64>,
}

/// Groups of changes that share a commit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Groups {
    /// A second.
    pub per_s: f64,
    /// Changes in one.
    pub mean: f64,
    /// The same: the median of the means of short intervals.
    pub median: f64,
}

/// Starts a subject on a database of its own and measures all workloads, one after the other.
pub fn take(
    args: &StoreArgs,
    subject: Subject,
    workloads: &[Workload],
    users: u32,
    round: usize,
) -> Result<Vec<Sample>, Error> {
    let place = Place::new(&args.folder, subject)?;
    let setup = setup_of(args, subject, args.interval_s);
    let running = Running::start(&setup, &place)?;
    let samples = apart(subject.name(), || measure(args, &setup, &place, &running, workloads, users, round))?;
    // What it would write at its end is measured elsewhere.
    running.kill();
    Ok(samples)
}

/// The generator as the arguments want it.
pub fn generator(args: &StoreArgs, place: &Place) -> Result<Generator, Error> {
    Generator::open(Options {
        target: place.address(),
        domain: None,
        sockets: args.sockets,
        cpu: args.generator_cpu,
        password: None,
        contact_params: String::new(),
        busy_poll: args.generator_cpu.is_some(),
        registrar: None,
    })
}

fn measure(
    args: &StoreArgs,
    setup: &Setup,
    place: &Place,
    running: &Running,
    workloads: &[Workload],
    users: u32,
    round: usize,
) -> Result<Vec<Sample>, Error> {
    let args = &StoreArgs { window: window(args, setup.subject), ..args.clone() };
    let mut generator = generator(args, place)?;
    let warm_up = (users / 50).clamp(1, 2000);
    let warm = closed(args, warm_up, 4 * u64::from(warm_up), args.seconds);
    generator.run(&Work { first_user: users, ..warm })?;
    let mut known = 0;
    let mut samples = Vec::new();
    for workload in workloads {
        let work = match workload {
            Workload::Fresh => closed(args, users, u64::from(users), args.fresh_seconds()),
            // Who did not get through all of them refreshes those that it knows.
            Workload::Refresh => closed(args, known, u64::from(u32::MAX), args.seconds),
            Workload::Paced => {
                let pace = Pace::Open { rate_per_s: args.rate, most_in_flight: limits::MAX_IN_FLIGHT };
                Work { pace, ..closed(args, known, u64::from(u32::MAX), args.paced_seconds()) }
            }
        };
        if *workload == Workload::Paced {
            // What came before is written, so that every interval has the same to write.
            settle(running);
        }
        let before = Meter::read(args, running);
        let began = Instant::now();
        let (report, means) = run_watched(&mut generator, &work, running)?;
        let elapsed_s = began.elapsed().as_secs_f64();
        let after = Meter::read(args, running);
        let sample = Sample {
            subject: setup.subject,
            workload: *workload,
            round,
            users: work.users,
            ..Sample::new(&report, &before, &after, elapsed_s, &means)
        };
        if sample.troubles > 0 {
            eprintln!("  {}: {} did not go smoothly:\n{report}", workload.name(), sample.troubles);
        }
        if *workload == Workload::Fresh {
            known = u32::try_from(report.started).unwrap_or(users).max(1);
        }
        samples.push(sample);
    }
    Ok(samples)
}

/// Requests in flight: as many as the arguments say, but the echo has a small receive buffer and would lose some.
fn window(args: &StoreArgs, subject: Subject) -> usize {
    if subject == Subject::Echo { args.window.min(64) } else { args.window }
}

fn closed(args: &StoreArgs, users: u32, count: u64, seconds: u64) -> Work {
    Work {
        count,
        duration: Duration::from_secs(seconds),
        pace: Pace::Closed { window: args.window },
        // A disk that stands still for a while is a long answer, and not a lost one.
        patience: Duration::from_secs(10),
        ..Work::once(Operation::Register, users)
    }
}

/// Waits until nothing is left to write, for a bounded time.
fn settle(running: &Running) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while running.statistic("usrloc:store_unwritten") > 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Counters at a moment.
struct Meter {
    cpu_ns: u64,
    commits: u64,
    rows: u64,
    disk: Option<disk::Counters>,
}

impl Meter {
    fn read(args: &StoreArgs, running: &Running) -> Meter {
        let disk = Disk::of(&args.folder);
        Meter {
            cpu_ns: running.cpu_ns(),
            commits: running.statistic("usrloc:store_commits"),
            rows: running.statistic("usrloc:store_rows"),
            disk: disk.is_known().then(|| disk.counters()),
        }
    }
}

impl Sample {
    fn new(report: &Report, before: &Meter, after: &Meter, elapsed_s: f64, means: &[f64]) -> Sample {
        let answered = report.answered().max(1) as f64;
        let (commits, rows) = (after.commits - before.commits, after.rows - before.rows);
        let ms = |percent| report.latency.percentile_ns(percent) as f64 / 1e6;
        let disk = after.disk.zip(before.disk).map(|(after, before)| after.since(before));
        Sample {
            subject: Subject::Echo,
            workload: Workload::Fresh,
            round: 0,
            users: 0,
            rate_per_s: report.rate_per_s(),
            cpu_us: after.cpu_ns.saturating_sub(before.cpu_ns) as f64 / 1e3 / answered,
            p50_ms: ms(50.0),
            p99_ms: ms(99.0),
            p999_ms: ms(99.9),
            longest_ms: report.latency.max_ns() as f64 / 1e6,
            troubles: report.lost + report.started - report.succeeded.min(report.started),
            groups: Groups {
                per_s: commits as f64 / elapsed_s,
                mean: if commits == 0 { 0.0 } else { rows as f64 / commits as f64 },
                median: median(means.to_vec()),
            },
            flushes_per_s: disk.map(|disk| disk.flushes as f64 / elapsed_s),
            written: disk.map(|disk| disk.written as f64 / answered),
        }
    }
}

/// Does the work, and looks at the size of groups meanwhile.
fn run_watched(
    generator: &mut Generator,
    work: &Work,
    running: &Running,
) -> Result<(Report, Vec<f64>), Error> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = running.management().map(|address| {
            let is_over = &is_over;
            scope.spawn(move || watch(address, is_over))
        });
        let report = generator.run(work);
        is_over.store(true, Ordering::Release);
        let means = watch.and_then(|watch| watch.join().ok()).unwrap_or_default();
        Ok((report?, means))
    })
}

/// The mean sizes of the groups of short intervals.
fn watch(address: std::net::SocketAddr, is_over: &AtomicBool) -> Vec<f64> {
    let mut means = Vec::new();
    let mut last: Option<(u64, u64)> = None;
    while !is_over.load(Ordering::Acquire) {
        if let Ok(text) = management::statistics(address, "usrloc") {
            let value = |name| management::value(&text, name);
            let now = (value("usrloc:store_commits"), value("usrloc:store_rows"));
            if let Some((commits, rows)) = last
                && now.0 > commits
            {
                means.push((now.1 - rows) as f64 / (now.0 - commits) as f64);
            }
            last = Some(now);
        }
        std::thread::sleep(Duration::from_millis(limits::WATCH_EVERY_MS));
    }
    means
}
