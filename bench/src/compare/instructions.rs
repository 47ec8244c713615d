//! User instructions for one request, counted by callgrind: a figure that holds on a noisy machine.
//!
//! Each server runs twice, with fewer and with more requests of one kind; the difference of the counts belongs to the
//! difference of the requests, and whatever starting and stopping cost falls out.

use std::time::Duration;

use super::turn::work;
use super::{CompareArgs, Results, Workload};
use crate::error::Error;
use crate::load::{self, Generator, Operation, Work};
use crate::server::{Contender, Programs, Server, Setup, apart, instructions_of};
use crate::stages::Counts;

/// Requests of the shorter run.
const FEWER: u64 = 1_000;
/// Requests of the longer run.
const MORE: u64 = 3_000;
/// Users that are registered before anything but [`Workload::Fresh`] is counted.
const USERS: u32 = 1_000;
/// Requests in flight: under callgrind a server is some fifty times slower, and its own timers should not fire.
const WINDOW: usize = 8;
/// How long a slow server is waited for: nothing should be sent twice.
const PATIENCE: Duration = Duration::from_secs(20);

/// The row of Seawall's crates `sip`, `registrar` and `location` alone.
const WITHOUT_NETWORK: &str = "Seawall, without script and network";

/// Counts every workload for every contender and adds what was found to `results`.
pub fn count(
    args: &CompareArgs,
    programs: &Programs,
    contenders: &[Contender],
    results: &mut Results,
) -> Result<(), Error> {
    // Kamailio's default allocator searches long lists: under callgrind it takes 30 ms for a request, and times out.
    for contender in contenders.iter().filter(|contender| **contender != Contender::KamailioDefault) {
        for workload in [Workload::Fresh, Workload::Refresh, Workload::Message, Workload::Invite] {
            let echo = *contender == Contender::Echo;
            if echo && workload != Workload::Refresh {
                continue;
            }
            eprintln!("instructions, {}: {}", workload.name(), contender.name());
            let fewer = total(args, programs, *contender, workload, FEWER)?;
            let more = total(args, programs, *contender, workload, MORE)?;
            let each = more.each(&fewer, MORE - FEWER);
            results.instructions.push((contender.name(), workload, each.all()));
            if *contender == Contender::Seawall {
                results.stages.push((workload.name(), each));
            }
        }
    }
    pure(programs, results)
}

/// The same for REGISTERs without a network. What writing the requests costs is counted too, and taken off.
fn pure(programs: &Programs, results: &mut Results) -> Result<(), Error> {
    eprintln!("instructions of REGISTERs without a network");
    let users = MORE.to_string();
    let served = |passes: &str| -> Result<u64, Error> {
        let arguments = ["pure", "--users", &users, "--passes", passes];
        let dry = [arguments.as_slice(), &["--dry"]].concat();
        let all = instructions_of(&programs.echo, &arguments)?;
        Ok(all.saturating_sub(instructions_of(&programs.echo, &dry)?))
    };
    let (once, twice) = (served("1")?, served("2")?);
    let each = |total: u64| total as f64 / MORE as f64;
    results.instructions.push((WITHOUT_NETWORK, Workload::Fresh, each(once)));
    results.instructions.push((WITHOUT_NETWORK, Workload::Refresh, each(twice.saturating_sub(once))));
    Ok(())
}

/// Instructions of a server from start to end, with `requests` of one workload between.
fn total(
    args: &CompareArgs,
    programs: &Programs,
    contender: Contender,
    workload: Workload,
    requests: u64,
) -> Result<Counts, Error> {
    let setup =
        Setup { cpu: Some(args.beside.pinned.server_cpu), count_instructions: true, ..Setup::new(contender) };
    let server = Server::start(&setup, programs, load::probe_request)?;
    apart(contender.name(), || {
        let mut generator = Generator::open(args.beside.generator(&server))?;
        let (operation, users) = match workload {
            Workload::Fresh => (Operation::Register, requests as u32),
            Workload::Refresh => (Operation::Register, USERS),
            Workload::Message => (Operation::Message, USERS),
            Workload::Invite | Workload::Call => (Operation::Invite, USERS),
        };
        if workload != Workload::Fresh {
            generator.run(&work(WINDOW, Operation::Register, USERS, USERS.into()))?;
        }
        let work = Work { patience: PATIENCE, ..work(WINDOW, operation, users, requests) };
        let report = generator.run(&work)?;
        if report.is_clean() {
            return Ok(());
        }
        let reason = format!("requests were lost or refused under callgrind\n{report}");
        Err(Error::Server { server: contender.name(), reason })
    })?;
    server.stop()
}
