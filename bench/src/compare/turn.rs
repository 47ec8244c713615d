//! One server's turn: start, warm up, measure, stop.

use super::{CompareArgs, LONGEST_WORKLOAD, Memory, Results, Sample, Stage, Workload};
use crate::error::Error;
use crate::load::{self, Generator, Operation, Pace, Report, Work};
use crate::process;
use crate::server::{Contender, Programs, Server, Setup, apart};

/// Users that only warm a server up; their numbers come after those of the measured ones.
const WARM_UP_USERS: u32 = 2_000;

/// Measures one server once and adds what was seen to `results`.
pub fn take(
    args: &CompareArgs,
    programs: &Programs,
    contender: Contender,
    stage: &Stage,
    repetition: usize,
    results: &mut Results,
) -> Result<(), Error> {
    let setup = Setup {
        cpu: (args.workers == 1).then_some(args.beside.pinned.server_cpu),
        workers: args.workers,
        record_route: stage.workloads.contains(&Workload::Call),
        ..Setup::new(contender)
    };
    let server = Server::start(&setup, programs, load::probe_request)?;
    let (samples, memory) = apart(contender.name(), || measure(args, contender, stage, repetition, &server))?;
    results.samples.extend(samples);
    results.memory.extend(memory);
    server.stop()?;
    Ok(())
}

fn measure(
    args: &CompareArgs,
    contender: Contender,
    stage: &Stage,
    repetition: usize,
    server: &Server,
) -> Result<(Vec<Sample>, Option<Memory>), Error> {
    let mut generator = Generator::open(args.beside.generator(server))?;
    let warm_up = Work {
        first_user: stage.users,
        ..work(args.beside.window, Operation::Register, WARM_UP_USERS, 2 * u64::from(WARM_UP_USERS))
    };
    generator.run(&warm_up)?;
    let mut samples = Vec::new();
    let mut memory = None;
    if stage.workloads.first() == Some(&Workload::Call) {
        generator.run(&work(args.beside.window, Operation::Register, stage.users, stage.users.into()))?;
    }
    for workload in &stage.workloads {
        let Some(work) = work_of(args, *workload, contender, stage.users) else { continue };
        let memory_before = process_memory(server)?;
        let cpu_before_ns = cpu_ns(server)?;
        let report = generator.run(&work)?;
        let cpu_ns = cpu_ns(server)?.saturating_sub(cpu_before_ns);
        if *workload == Workload::Fresh && contender != Contender::Echo {
            let growth = process_memory(server)?.saturating_sub(memory_before);
            let bytes_a_binding = growth as f64 / report.answered().max(1) as f64;
            memory = Some(Memory { contender, users: stage.users, bytes_a_binding });
        }
        let sample = sample(repetition, contender, *workload, stage.users, cpu_ns, &report);
        if sample.troubles > 0 {
            eprintln!("  {}: {} did not go smoothly:\n{report}", workload.name(), sample.troubles);
        }
        samples.push(sample);
    }
    Ok((samples, memory))
}

pub(super) fn work(window: usize, operation: Operation, users: u32, count: u64) -> Work {
    let pace = Pace::Closed { window };
    Work { count, duration: LONGEST_WORKLOAD, pace, ..Work::once(operation, users) }
}

/// What a workload is for the generator. An echo knows no bindings and relays nothing: it gets refreshes only.
fn work_of(args: &CompareArgs, workload: Workload, contender: Contender, users: u32) -> Option<Work> {
    let each = u64::from(users);
    let (operation, count) = match workload {
        Workload::Refresh => (Operation::Register, 2 * each),
        _ if contender == Contender::Echo => return None,
        Workload::Fresh => (Operation::Register, each),
        Workload::Message => (Operation::Message, args.relays),
        Workload::Invite | Workload::Call => (Operation::Invite, args.relays),
    };
    Some(work(args.beside.window, operation, users, count))
}

fn sample(
    repetition: usize,
    contender: Contender,
    workload: Workload,
    users: u32,
    cpu_ns: u64,
    report: &Report,
) -> Sample {
    Sample {
        repetition,
        contender,
        workload,
        users,
        cpu_us: cpu_ns as f64 / 1e3 / report.answered().max(1) as f64,
        rate_per_s: report.rate_per_s(),
        p50_us: report.latency.percentile_ns(50.0) as f64 / 1e3,
        p99_us: report.latency.percentile_ns(99.0) as f64 / 1e3,
        troubles: report.troubles(),
    }
}

fn cpu_ns(server: &Server) -> Result<u64, Error> {
    process::cpu_ns(server.pid()).map_err(Error::system("cannot read the server's processor time"))
}

fn process_memory(server: &Server) -> Result<u64, Error> {
    process::memory_bytes(server.pid()).map_err(Error::system("cannot read the server's memory"))
}
