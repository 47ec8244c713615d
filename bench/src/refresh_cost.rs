//! Instructions of one refresh under callgrind, in all threads of a Seawall: the difference of a longer and a shorter run, so
//! that what a start and a stop take is not counted.

use std::time::Duration;

use crate::error::Error;
use crate::load::{self, Generator, Operation, Options, Pace, Work};
use crate::pinned::Pinned;
use crate::server::{Contender, Server, Setup, apart};

/// Refreshes of the shorter run.
const FEWER: u64 = 1_000;
/// Refreshes of the longer run.
const MORE: u64 = 4_000;
/// Users, with a phone each.
const USERS: u32 = 1_000;
/// How long a slow server is waited for under callgrind: nothing should be sent twice.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where it is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct RefreshCostArgs {
    /// Where.
    #[command(flatten)]
    pub pinned: Pinned,
}

/// Instructions of one refresh, with lines in front of the script and parameters of contacts.
///
/// # Errors
/// [`Error::Server`] when the server does not start or requests were lost, [`Error::System`] when the machine refuses
/// something.
pub fn each(args: &RefreshCostArgs, lines: &'static str, params: &str) -> Result<f64, Error> {
    let (fewer, more) = (total(args, lines, params, FEWER)?, total(args, lines, params, MORE)?);
    Ok(more.saturating_sub(fewer) as f64 / (MORE - FEWER) as f64)
}

/// Instructions from start to end, with so many refreshes between.
fn total(args: &RefreshCostArgs, lines: &'static str, params: &str, count: u64) -> Result<u64, Error> {
    let programs = args.pinned.programs();
    let setup = Setup {
        cpu: Some(args.pinned.server_cpu),
        lines,
        count_instructions: true,
        ..Setup::new(Contender::Seawall)
    };
    let server = Server::start(&setup, &programs, load::probe_request)?;
    let options = Options {
        cpu: Some(args.pinned.generator_cpu),
        contact_params: params.to_owned(),
        ..Options::new(server.address())
    };
    apart("Seawall", || refresh(options, count))?;
    Ok(server.stop()?.all())
}

fn refresh(options: Options, count: u64) -> Result<(), Error> {
    let mut generator = Generator::open(options)?;
    for count in [USERS.into(), count] {
        let work = Work {
            count,
            patience: PATIENCE,
            pace: Pace::Closed { window: 8 },
            ..Work::once(Operation::Register, USERS)
        };
        let report = generator.run(&work)?;
        if !report.is_clean() {
            return Err(lost(&format!("requests were lost or refused under callgrind\n{report}")));
        }
    }
    Ok(())
}

fn lost(reason: &str) -> Error {
    Error::Server { server: "Seawall", reason: reason.to_owned() }
}
