//! The comparison: every server does the same work, pinned to one CPU, in turns, and medians are printed.
//!
//! A turn starts a server afresh, warms it up with users that are not measured, and then measures one workload after
//! the other. Repetitions go round all servers, so that whatever else the machine does meets all of them alike, and
//! every figure is set against the echo of the same repetition.

mod instructions;
mod table;
mod turn;

use std::fs;
use std::time::Duration;

use clap::Args;

pub(crate) use table::{machine, median};

use crate::error::Error;
use crate::pinned::Beside;
use crate::server::{Contender, Programs};
use crate::stages::Each;

/// Compare server CPU, rate, latency and memory of Seawall, Kamailio and a bare UDP echo on this machine.
#[derive(Clone, Debug, Args)]
pub struct CompareArgs {
    /// Who takes part; those that are not installed are left out, and it is said.
    #[arg(long, value_enum, value_delimiter = ',',
        default_values = ["echo", "kamailio", "kamailio-default", "seawall"])]
    pub servers: Vec<Contender>,
    /// Rounds; medians over them are printed.
    #[arg(long, default_value_t = 5)]
    pub repetitions: usize,
    /// Addresses of record.
    #[arg(long, default_value_t = 100_000)]
    pub users: u32,
    /// MESSAGE and INVITE operations in each round.
    #[arg(long, default_value_t = 50_000)]
    pub relays: u64,
    /// Also with a million addresses of record (one round takes about a minute).
    #[arg(long)]
    pub million: bool,
    /// Also whole calls through the server: Record-Route, ACK and BYE.
    #[arg(long)]
    pub calls: bool,
    /// Also user instructions for each request, under callgrind.
    #[arg(long)]
    pub instructions: bool,
    /// Leave out rates and times (with --instructions).
    #[arg(long, requires = "instructions")]
    pub only_instructions: bool,
    /// UDP workers of each server. With more than one the servers are not pinned.
    #[arg(long, default_value_t = 1)]
    pub workers: usize,
    /// Where, and who else.
    #[command(flatten)]
    pub beside: Beside,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Workload {
    /// REGISTER of users that the server does not know.
    Fresh,
    /// REGISTER of users that it knows.
    Refresh,
    /// Look-up and stateful relay of a MESSAGE.
    Message,
    /// Look-up and stateful relay of an INVITE with its 100, 180 and 200.
    Invite,
    /// As [`Workload::Invite`], and ACK and BYE along the recorded route.
    Call,
}

impl Workload {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Workload::Fresh => "fresh REGISTER",
            Workload::Refresh => "refresh REGISTER",
            Workload::Message => "MESSAGE relayed",
            Workload::Invite => "INVITE relayed (100, 180, 200)",
            Workload::Call => "call with Record-Route (INVITE, ACK, BYE)",
        }
    }
}

/// What one server did with one workload in one repetition.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Which round.
    pub repetition: usize,
    /// Who.
    pub contender: Contender,
    /// What.
    pub workload: Workload,
    /// Addresses of record in this stage.
    pub users: u32,
    /// Server CPU, user and system, of the whole process tree for one answered operation, µs.
    pub cpu_us: f64,
    /// Answered operations a second.
    pub rate_per_s: f64,
    /// Median latency, µs.
    pub p50_us: f64,
    /// 99th percentile of the latency, µs.
    pub p99_us: f64,
    /// Requests sent again or given up, and operations refused.
    pub troubles: u64,
}

/// What registering the users added to a server's memory in one repetition.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Who.
    pub contender: Contender,
    /// Addresses of record, one binding each.
    pub users: u32,
    /// Growth of the resident memory for one binding.
    pub bytes_a_binding: f64,
}

/// Everything that was measured.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// Rates and times.
    pub samples: Vec<Sample>,
    /// Memory.
    pub memory: Vec<Memory>,
    /// Who, what, and the user instructions of one operation.
    pub instructions: Vec<(&'static str, Workload, f64)>,
    /// Where those of Seawall go.
    pub stages: Vec<(&'static str, Each)>,
}

/// One size of the location table and what is done with it.
#[derive(Clone, Debug)]
struct Stage {
    users: u32,
    /// In this order, on one running server.
    workloads: Vec<Workload>,
    repetitions: usize,
}

impl Stage {
    /// An echo can do nothing but answer REGISTERs.
    fn concerns(&self, contender: Contender) -> bool {
        contender != Contender::Echo || self.workloads.contains(&Workload::Refresh)
    }
}

/// Runs the comparison, prints its progress to standard error and its tables to standard output.
///
/// # Errors
/// [`Error::Usage`] when the arguments leave nothing to measure, [`Error::Server`] when a contender dies or does not
/// answer, [`Error::System`] when the machine refuses something, for instance the two CPUs.
pub fn run(args: &CompareArgs) -> Result<(), Error> {
    let programs = args.beside.programs()?;
    let contenders = present(args, &programs)?;
    if !args.only_instructions {
        warn_of_company();
    }
    let mut results = Results::default();
    if !args.only_instructions {
        for stage in stages(args) {
            for repetition in 0..stage.repetitions {
                for contender in contenders.iter().filter(|contender| stage.concerns(**contender)) {
                    eprintln!(
                        "round {} of {}, {} users: {}",
                        repetition + 1,
                        stage.repetitions,
                        stage.users,
                        contender.name()
                    );
                    turn::take(args, &programs, *contender, &stage, repetition, &mut results)?;
                }
            }
        }
    }
    if args.instructions {
        instructions::count(args, &programs, &contenders, &mut results)?;
    }
    args.beside.publish(&table::render(args, &results))
}

/// On a machine that has other things to do, rates and latencies say little; CPU times suffer less.
pub(crate) fn warn_of_company() {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_ascii_whitespace().next().and_then(|load| load.parse::<f64>().ok()).unwrap_or(0.0);
    if load > BUSY_LOAD {
        eprintln!("this machine is busy (load {load}): do not quote rates and latencies of this run");
    }
}

/// The load average above which the comparison warns: less than one other program that runs all the time.
const BUSY_LOAD: f64 = 0.7;

/// The contenders whose programs are there.
fn present(args: &CompareArgs, programs: &Programs) -> Result<Vec<Contender>, Error> {
    let mut contenders = Vec::new();
    for contender in &args.servers {
        let program = programs.of(*contender);
        if program.exists() {
            contenders.push(*contender);
        } else {
            eprintln!("{} is left out: there is no {}", contender.name(), program.display());
        }
    }
    if contenders.is_empty() {
        return Err(Error::Usage("none of the servers is there".to_owned()));
    }
    Ok(contenders)
}

fn stages(args: &CompareArgs) -> Vec<Stage> {
    let mut workloads = vec![Workload::Fresh, Workload::Refresh, Workload::Message, Workload::Invite];
    if args.relays == 0 {
        workloads.truncate(2);
    }
    let mut stages = vec![Stage { users: args.users, workloads, repetitions: args.repetitions }];
    if args.calls {
        stages.push(Stage {
            users: args.users.min(10_000),
            workloads: vec![Workload::Call],
            repetitions: args.repetitions,
        });
    }
    if args.million {
        stages.push(Stage {
            users: 1_000_000,
            workloads: vec![Workload::Fresh, Workload::Refresh],
            repetitions: args.repetitions.min(3),
        });
    }
    stages
}

/// No workload of the comparison lasts longer.
const LONGEST_WORKLOAD: Duration = Duration::from_secs(120);
