//! Many more requests than a server can serve: what it still accepts, how soon it answers, whom it prefers, and how soon
//! it has recovered.

mod measure;
mod report;

use crate::compare::warn_of_company;
use crate::error::Error;
use crate::load::{self, Options};
use crate::pinned::Pinned;
use crate::server::{Contender, Programs, Server, Setup, apart};
use measure::Outcome;
use report::Row;

/// Over whom the storm goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Stormed {
    /// Seawall.
    Seawall,
    /// The bare UDP echo, which answers everything that it gets: what the kernel alone loses.
    Echo,
}

impl Stormed {
    fn contender(self) -> Contender {
        match self {
            Stormed::Seawall => Contender::Seawall,
            Stormed::Echo => Contender::Echo,
        }
    }
}

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
/// closed loop, and requests of the very mix that the storm has.
#[derive(Clone, Debug, clap::Args)]
pub struct StormArgs {
    /// Where.
    #[command(flatten)]
    pub pinned: Pinned,
    /// Over whom it goes; with several of them they take turns in each round, and are set against the echo.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "seawall")]
    pub server: Vec<Stormed>,
    /// Rounds, each with a server started afresh; medians and ranges over them are printed at the end.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub repetitions: u32,
    /// How many times its capacity the server is offered.
    #[arg(long, default_value_t = 10.0, value_parser = times)]
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
    /// What every datagram takes of the echo's time besides, microseconds: so that one generator can offer it many times its
    /// capacity too.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub echo_work_us: u32,
    /// Users who are registered.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=5_000_000))]
    pub users: u32,
    /// Seconds of each part.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=30))]
    pub seconds: u64,
}

/// A number of capacities.
fn times(text: &str) -> Result<f64, String> {
    let times: f64 = text.parse().map_err(|_| "a number".to_owned())?;
    if times > 0.0 && times <= 1000.0 { Ok(times) } else { Err("above 0, and up to 1000".to_owned()) }
}

/// Measures and prints tables.
///
/// # Errors
/// [`Error::Server`] when a server does not start, [`Error::Usage`] for a storm out of bounds, [`Error::System`] when
/// the machine refuses something.
pub fn cli(args: &StormArgs) -> Result<(), Error> {
    let echo = std::env::current_exe().map_err(Error::system("cannot find this program"))?;
    let programs = Programs { echo, ..args.pinned.programs() };
    warn_of_company();
    let mut rows: Vec<Row> =
        args.server.iter().map(|&stormed| Row { stormed, outcomes: Vec::new() }).collect();
    for number in 0..args.repetitions {
        for row in &mut rows {
            println!("round {} of {}", number + 1, args.repetitions);
            row.outcomes.push(round(args, &programs, row.stormed)?);
        }
    }
    print!("{}", report::render(args, &rows));
    Ok(())
}

fn round(args: &StormArgs, programs: &Programs, stormed: Stormed) -> Result<Outcome, Error> {
    let setup = Setup {
        cpu: Some(args.pinned.server_cpu),
        lines: lines(args.overload, args.early),
        turns: args.turns,
        echo_work_us: args.echo_work_us,
        ..Setup::new(stormed.contender())
    };
    let server = Server::start(&setup, programs, load::probe_request)?;
    // It never sleeps in the storm, so it must not sleep before either: two CPUs that share a core share its time, and the
    // calm would be better than it is.
    let options =
        Options { cpu: Some(args.pinned.generator_cpu), busy_poll: true, ..Options::new(server.address()) };
    let name = stormed.contender().name();
    let outcome = apart(name, || measure::measure(args, stormed, server.pid(), options))?;
    server.stop()?;
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        args: StormArgs,
    }

    /// Parses arguments; `None` when they are refused.
    pub fn args(line: &str) -> Option<StormArgs> {
        Program::try_parse_from(line.split(' ')).ok().map(|program| program.args)
    }

    #[test]
    fn several_servers_take_turns() {
        assert_eq!(args("storm").unwrap().server, [Stormed::Seawall]);
        assert_eq!(args("storm --server seawall,echo").unwrap().server, [Stormed::Seawall, Stormed::Echo]);
    }

    #[test]
    fn what_is_no_storm_is_refused() {
        assert!(
            args("storm --times 0.5 --known 0 --repetitions 50 --seconds 30 --echo-work-us 1000").is_some()
        );
        for wrong in [
            "--times 0",
            "--times -1",
            "--times NaN",
            "--times 1001",
            "--known 101",
            "--repetitions 0",
            "--repetitions 51",
            "--seconds 31",
            "--users 0",
            "--server kamailio",
            "--echo-work-us 1001",
        ] {
            assert!(args(&format!("storm {wrong}")).is_none(), "{wrong}");
        }
    }
}
