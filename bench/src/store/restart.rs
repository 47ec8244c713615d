//! How long a stop takes while nothing is written yet, and how soon a start serves.

use std::time::{Duration, Instant};

use super::speed;
use super::subject::{Place, Running, Setup, Subject};
use super::{StoreArgs, setup_of};
use crate::error::Error;
use crate::limits;
use crate::load::{Generator, Operation, Pace, Work};

/// How the process before the start ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By SIGTERM, after so long.
    Stopped(Duration),
    /// By SIGKILL while it was refreshing at full speed.
    Killed,
}

/// One end and the start after it.
#[derive(Clone, Debug)]
pub struct Restart {
    /// Who.
    pub subject: Subject,
    /// How it ended.
    pub end: End,
    /// Bindings in memory before.
    pub users: u32,
    /// Of these, how many were not written.
    pub unwritten: u64,
    /// Rows of the table after the end, and users in them.
    pub rows: (u64, u64),
    /// From the start to the answer to a refresh of somebody known.
    pub register: Option<Duration>,
    /// From the start to the answer to a look-up of somebody known.
    pub lookup: Option<Duration>,
    /// From the start until everything was in memory.
    pub loaded: Option<Duration>,
    /// Bindings in memory then.
    pub bindings: u64,
}

/// Fills a subject that writes nothing by itself, stops it, starts it again; with Seawall also kills it under load in
/// write-through and starts it once more.
pub fn take(args: &StoreArgs, subject: Subject) -> Result<Vec<Restart>, Error> {
    let place = Place::new(&args.folder, subject)?;
    let users = args.restart_users;
    let setup = setup_of(args, subject, limits::NO_INTERVAL_S);
    let running = Running::start(&setup, &place)?;
    let mut generator = speed::generator(&StoreArgs { generator_cpu: None, ..args.clone() }, &place)?;
    let fill = work(args.window, users, u64::from(users), limits::MAX_DURATION_S);
    let report = generator.run(&fill)?;
    if !report.is_clean() {
        eprintln!("  filling did not go smoothly:\n{report}");
    }
    let unwritten = running.statistic("usrloc:store_unwritten");
    let (stopped, status) = running.stop()?;
    if !status.success() {
        eprintln!("  {} ended with {status}", subject.name());
    }
    let rows = place.rows(subject)?;
    let mut restarts = Vec::new();
    let (running, mut first) = start(args, &setup, &place, &mut generator, subject)?;
    first = Restart { end: End::Stopped(stopped), unwritten, rows, ..first };
    restarts.push(first);
    if subject == Subject::Back {
        // The usual start: everything is in the table, since the server had nothing to do before its stop.
        wait_for_rows(&place, subject, users)?;
        let (stopped, _) = running.stop()?;
        let rows = place.rows(subject)?;
        let (running, again) = start(args, &setup, &place, &mut generator, subject)?;
        restarts.push(Restart { end: End::Stopped(stopped), rows, ..again });
        running.stop()?;
        restarts.push(after_kill(args, &place, &mut generator)?);
    } else {
        running.kill();
    }
    Ok(restarts)
}

/// Waits until what the journal holds has gone into the table, for a bounded time.
fn wait_for_rows(place: &Place, subject: Subject, users: u32) -> Result<(), Error> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while place.rows(subject)?.0 < u64::from(users) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

/// Refreshes at full speed in write-through, kills, and starts again.
fn after_kill(args: &StoreArgs, place: &Place, generator: &mut Generator) -> Result<Restart, Error> {
    let setup = setup_of(args, Subject::Through, limits::NO_INTERVAL_S);
    let mut running = Running::start(&setup, place)?;
    running.wait_for_log(LOADED)?;
    let users = args.restart_users;
    generator.run(&work(args.window, users, u64::from(u32::MAX), args.seconds))?;
    let unwritten = running.statistic("usrloc:store_unwritten");
    running.kill();
    let rows = place.rows(Subject::Through)?;
    let (running, restart) = start(args, &setup, place, generator, Subject::Through)?;
    running.kill();
    Ok(Restart { end: End::Killed, unwritten, rows, ..restart })
}

/// What Seawall logs when everything is in memory.
const LOADED: &str = "bindings loaded from";

fn work(window: usize, users: u32, count: u64, seconds: u64) -> Work {
    Work {
        count,
        duration: Duration::from_secs(seconds),
        pace: Pace::Closed { window },
        patience: Duration::from_secs(10),
        ..Work::once(Operation::Register, users)
    }
}

/// Starts, and asks from the first moment on.
fn start(
    args: &StoreArgs,
    setup: &Setup,
    place: &Place,
    generator: &mut Generator,
    subject: Subject,
) -> Result<(Running, Restart), Error> {
    let users = args.restart_users;
    // Who said the same at the start before would repeat himself, and be refused.
    generator.skip_cseq();
    let generator = &*generator;
    let mut running = Running::spawn(setup, place)?;
    let (began, address) = (running.began, place.address());
    let (register, lookup, loaded) = std::thread::scope(|scope| {
        // Users from the middle and from the end: no order that a table may have puts both first.
        let register = scope
            .spawn(|| Running::first_answer(address, began, |from| generator.register_of(users / 2, from)));
        let lookup = scope
            .spawn(|| Running::first_answer(address, began, |from| generator.options_of(users - 1, from)));
        let loaded = subject.is_seawall().then(|| running.wait_for_log(LOADED));
        let (register, lookup) = (register.join().ok().flatten(), lookup.join().ok().flatten());
        (register, lookup, loaded)
    });
    // Kamailio loads before it serves.
    let loaded = match loaded {
        Some(loaded) => Some(loaded?),
        None => lookup,
    };
    let restart = Restart {
        subject,
        end: End::Killed,
        users,
        unwritten: 0,
        rows: (0, 0),
        register,
        lookup,
        loaded,
        bindings: running.statistic("usrloc:location-contacts"),
    };
    Ok((running, restart))
}
