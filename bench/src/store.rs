//! Bindings in a database: how fast REGISTERs become durable, what write-back costs, how long a stop and a start take.
//!
//! Seawall and Kamailio do the same work with a SQLite file each, in turns, beside the same without a database and the
//! bare echo. Nothing is left of the files.

mod restart;
mod speed;
mod subject;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::error::Error;
use restart::Restart;
use speed::{Sample, Workload};
use subject::{Setup, Subject};

/// Measure bindings in a SQLite file: write-through, write-back, stop and start.
#[derive(Clone, Debug, Args)]
pub struct StoreArgs {
    /// What is measured.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["through", "back", "restart"])]
    pub parts: Vec<Part>,
    /// Leave Kamailio out.
    #[arg(long)]
    pub only_seawall: bool,
    /// A small run, to see whether everything works. Its figures say nothing.
    #[arg(long)]
    pub quick: bool,
    /// Rounds; medians over them are printed.
    #[arg(long, default_value_t = 3)]
    pub repetitions: usize,
    /// Addresses of record.
    #[arg(long, default_value_t = 100_000)]
    pub users: u32,
    /// Write-through also with a million addresses of record.
    #[arg(long)]
    pub million: bool,
    /// Addresses of record for stop and start.
    #[arg(long, default_value_t = 1_000_000)]
    pub restart_users: u32,
    /// How long REGISTERs are refreshed for one figure, seconds.
    #[arg(long, default_value_t = 20)]
    pub seconds: u64,
    /// REGISTERs in flight.
    #[arg(long, default_value_t = 512)]
    pub window: usize,
    /// Source sockets of the generator.
    #[arg(long, default_value_t = 4)]
    pub sockets: usize,
    /// UDP workers of each server.
    #[arg(long, default_value_t = 1)]
    pub workers: usize,
    /// REGISTERs a second of the paced part.
    #[arg(long, default_value_t = 5_000.0)]
    pub rate: f64,
    /// `timer_interval` of write-back, seconds.
    #[arg(long, default_value_t = 3)]
    pub interval_s: u32,
    /// CPU that servers are pinned to. Threads that write have to share it then.
    #[arg(long)]
    pub server_cpu: Option<usize>,
    /// CPU that the generator is pinned to; it then never sleeps, and takes all of it.
    #[arg(long)]
    pub generator_cpu: Option<usize>,
    /// Where the databases are put: a folder on the disk that matters.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    pub folder: PathBuf,
    /// The Seawall to measure: a release build.
    #[arg(long, default_value = "target/release/seawall")]
    pub seawall: PathBuf,
    /// The Kamailio to measure.
    #[arg(long, default_value = "/usr/sbin/kamailio")]
    pub kamailio: PathBuf,
    /// The program with the `echo` command; left out without one.
    #[arg(skip = std::env::current_exe().ok())]
    pub echo: Option<PathBuf>,
    /// Also write the tables to this file.
    #[arg(long)]
    pub markdown: Option<PathBuf>,
}

/// A part of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// As fast as it goes, written before each answer.
    Through,
    /// Written every interval: as fast as it goes, and paced.
    Back,
    /// Stop with everything unwritten, start, and start after a kill.
    Restart,
}

/// Everything that was measured.
#[derive(Clone, Debug, Default)]
pub struct Results {
    samples: Vec<Sample>,
    restarts: Vec<Restart>,
}

impl StoreArgs {
    /// What a run without arguments does, with a folder and a Seawall, and without the echo.
    pub fn of(folder: impl AsRef<Path>, seawall: impl AsRef<Path>) -> StoreArgs {
        StoreArgs {
            parts: vec![Part::Through, Part::Back, Part::Restart],
            only_seawall: true,
            quick: false,
            repetitions: 3,
            users: 100_000,
            million: false,
            restart_users: 1_000_000,
            seconds: 20,
            window: 512,
            sockets: 4,
            workers: 1,
            rate: 5_000.0,
            interval_s: 3,
            server_cpu: None,
            generator_cpu: None,
            folder: folder.as_ref().to_owned(),
            seawall: seawall.as_ref().to_owned(),
            kamailio: PathBuf::from("/usr/sbin/kamailio"),
            echo: None,
            markdown: None,
        }
    }

    /// Numbers of addresses of record.
    fn sizes(&self) -> Vec<u32> {
        if self.million { vec![self.users, 1_000_000] } else { vec![self.users] }
    }

    /// Everybody registers once, unless that takes longer.
    fn fresh_seconds(&self) -> u64 {
        self.seconds.max(1) * 3
    }

    /// Some intervals.
    fn paced_seconds(&self) -> u64 {
        self.seconds.max(u64::from(self.interval_s) * 5).min(if self.quick { 3 } else { u64::MAX })
    }

    /// The same on a small scale.
    fn small(&self) -> StoreArgs {
        StoreArgs {
            repetitions: 1,
            users: 1_000,
            million: false,
            restart_users: 5_000,
            seconds: 1,
            window: 64,
            rate: 500.0,
            interval_s: 1,
            ..self.clone()
        }
    }
}

/// Runs the measurement, prints its progress to standard error and its tables to standard output.
///
/// # Errors
/// [`Error::Usage`] when the arguments leave nothing to measure, [`Error::Server`] when somebody dies or does not answer,
/// [`Error::System`] when the machine refuses something.
pub fn run(args: &StoreArgs) -> Result<(), Error> {
    let text = tables(args)?;
    print!("{text}");
    if let Some(path) = &args.markdown {
        fs::write(path, &text).map_err(Error::system(format!("cannot write {}", path.display())))?;
    }
    Ok(())
}

/// Runs the measurement and gives its tables.
///
/// # Errors
/// As [`run`].
pub fn tables(args: &StoreArgs) -> Result<String, Error> {
    let small;
    let args = if args.quick {
        small = args.small();
        &small
    } else {
        crate::compare::warn_of_company();
        args
    };
    Ok(table::render(args, &measure(args)?))
}

fn measure(args: &StoreArgs) -> Result<Results, Error> {
    if !args.seawall.exists() {
        return Err(Error::Usage(format!("there is no {}", args.seawall.display())));
    }
    let mut results = Results::default();
    if args.parts.contains(&Part::Through) {
        let subjects = [
            Subject::Echo,
            Subject::Memory,
            Subject::Through,
            Subject::KamailioMemory,
            Subject::KamailioThrough,
        ];
        for users in args.sizes() {
            let workloads = [Workload::Fresh, Workload::Refresh];
            rounds(args, &subjects, &workloads, (users, 0), &mut results)?;
        }
    }
    if args.parts.contains(&Part::Back) {
        let subjects = [Subject::Memory, Subject::Back, Subject::KamailioMemory, Subject::KamailioBack];
        let workloads = [Workload::Fresh, Workload::Refresh, Workload::Paced];
        // Rounds of their own: ratios are taken within a round.
        rounds(args, &subjects, &workloads, (args.users, args.repetitions), &mut results)?;
    }
    if args.parts.contains(&Part::Restart) {
        for subject in [Subject::Back, Subject::KamailioBack] {
            if is_present(args, subject) {
                eprintln!("stop and start: {}", subject.name());
                results.restarts.extend(restart::take(args, subject)?);
            }
        }
    }
    Ok(results)
}

fn rounds(
    args: &StoreArgs,
    subjects: &[Subject],
    workloads: &[Workload],
    (users, first_round): (u32, usize),
    results: &mut Results,
) -> Result<(), Error> {
    for round in 0..args.repetitions {
        for subject in subjects.iter().filter(|subject| is_present(args, **subject)) {
            eprintln!("round {} of {}, {users} users: {}", round + 1, args.repetitions, subject.name());
            results.samples.extend(speed::take(args, *subject, workloads, users, first_round + round)?);
        }
    }
    Ok(())
}

/// Whether a subject takes part.
fn is_present(args: &StoreArgs, subject: Subject) -> bool {
    match subject {
        Subject::Echo => args.echo.is_some(),
        subject if subject.is_kamailio() => {
            !args.only_seawall && args.kamailio.exists() && subject::has_kamailio_tables()
        }
        _ => true,
    }
}

fn setup_of(args: &StoreArgs, subject: Subject, interval_s: u32) -> Setup {
    let program = match subject {
        Subject::Echo => args.echo.clone().unwrap_or_default(),
        subject if subject.is_kamailio() => args.kamailio.clone(),
        _ => args.seawall.clone(),
    };
    Setup { subject, program, workers: args.workers, cpu: args.server_cpu, interval_s }
}
