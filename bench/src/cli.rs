//! `seawall bench`: the load generator for anybody's server.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::error::Error;
use crate::load::{self, Generator, Operation, Options, Pace, Report, Work};
use crate::{limits, socket};

/// Send SIP load to a server over UDP and report rate, latency and losses.
///
/// Users u00000000, u00000001, … of the domain register with contacts on this machine. For `message` and `invite` they
/// are registered first, and this program answers for them. Use it on servers of your own only.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  seawall bench register 127.0.0.1:5060 -n 100000       how many fresh registrations a second
  seawall bench refresh  127.0.0.1:5060 -n 500000 --users 100000 --window 64
  seawall bench message  127.0.0.1:5060 --rate 2000 --duration 30   latency at 2000 messages a second
  seawall bench invite   192.0.2.7 --sockets 16 --window 256        calls from 16 source ports")]
pub struct BenchArgs {
    /// What to measure.
    #[arg(value_enum)]
    pub operation: BenchOperation,
    /// The server: host or host:port (5060 when left out).
    #[arg(default_value = "127.0.0.1:5060")]
    pub target: String,
    /// Operations to do; fewer when --duration ends first.
    #[arg(short = 'n', long, default_value_t = 10_000)]
    pub count: u64,
    /// Different users; as many as --count when not given (for refresh, message and invite at most 100 000).
    #[arg(long)]
    pub users: Option<u32>,
    /// Source sockets.
    #[arg(long, default_value_t = 1)]
    pub sockets: usize,
    /// Operations in flight: all the time, or at most when --rate is given.
    #[arg(short, long, default_value_t = 64)]
    pub window: usize,
    /// Start this many operations a second, whatever the server does (open loop).
    #[arg(short, long)]
    pub rate: Option<f64>,
    /// Start nothing after this many seconds.
    #[arg(short, long, default_value_t = 60)]
    pub duration: u64,
    /// Domain of the users; the server's IP address when not given.
    #[arg(long)]
    pub domain: Option<String>,
    /// Password of every user (u00000000 and so on), for register and refresh where the server wants one.
    #[arg(long)]
    pub password: Option<String>,
    /// Put this behind every contact URI, {user} being the user's number: ";pn-provider=fcm;pn-param=p;pn-prid={user}".
    #[arg(long)]
    pub contact_params: Option<String>,
    /// Pin the generator to this CPU.
    #[arg(long)]
    pub cpu: Option<usize>,
    /// Never sleep: finer latencies for a whole CPU.
    #[arg(long)]
    pub busy_poll: bool,
    /// Leave the users registered at the end.
    #[arg(long)]
    pub keep: bool,
}

/// Requests sent to see whether there is a server at all.
const PROBES: u32 = 4;
/// How long each of them waits for an answer.
const PROBE_WAIT: Duration = Duration::from_millis(500);

/// What `seawall bench` can measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BenchOperation {
    /// REGISTER of users that were not registered.
    Register,
    /// REGISTER of users that are registered already.
    Refresh,
    /// MESSAGE to registered users, answered by them.
    Message,
    /// Calls to registered users: INVITE, 180, 200, ACK, BYE.
    Invite,
}

/// Does what the arguments say and prints the report.
///
/// # Errors
/// [`Error::Usage`] for arguments out of bounds or a server that answers nothing at all, [`Error::System`] when the
/// system refuses a socket or a CPU.
pub fn run(args: BenchArgs) -> Result<(), Error> {
    let target = resolve(&args.target)?;
    if args.password.is_some()
        && !matches!(args.operation, BenchOperation::Register | BenchOperation::Refresh)
    {
        return Err(Error::Usage("--password is for register and refresh".to_owned()));
    }
    let users = users_of(&args)?;
    let answers = || socket::probe(target, &load::probe_request(target), PROBE_WAIT);
    if !(0..PROBES).any(|_| answers()) {
        return Err(Error::Usage(format!(
            "{target} does not answer: is a SIP server listening on UDP there?"
        )));
    }
    let mut generator = Generator::open(Options {
        target,
        domain: args.domain,
        sockets: args.sockets,
        cpu: args.cpu,
        password: args.password,
        contact_params: args.contact_params.unwrap_or_default(),
        busy_poll: args.busy_poll,
        registrar: None,
    })?;
    let prepare =
        Work { pace: Pace::Closed { window: args.window.min(64) }, ..once(Operation::Register, users) };
    let operation = match args.operation {
        BenchOperation::Register | BenchOperation::Refresh => Operation::Register,
        BenchOperation::Message => Operation::Message,
        BenchOperation::Invite => Operation::Invite,
    };
    if args.operation != BenchOperation::Register {
        eprintln!("registering {users} users at {target} …");
        let report = generator.run(&prepare)?;
        complain(&report, target)?;
    }
    let pace = match args.rate {
        None => Pace::Closed { window: args.window },
        Some(rate_per_s) => Pace::Open { rate_per_s, most_in_flight: args.window.max(1024) },
    };
    // Who is registered a second time is refreshed: that is the other operation.
    let fresh_only = args.operation == BenchOperation::Register;
    let count = if fresh_only { args.count.min(users.into()) } else { args.count };
    let duration = Duration::from_secs(args.duration);
    let report = generator.run(&Work { count, duration, pace, ..Work::once(operation, users) })?;
    println!("{:?} at {target}\n{report}", args.operation);
    if !args.keep && report.succeeded > 0 {
        generator.run(&Work { operation: Operation::Unregister, ..prepare })?;
    }
    complain(&report, target)
}

/// As many users as operations, within reason, unless the arguments say otherwise.
fn users_of(args: &BenchArgs) -> Result<u32, Error> {
    let most = match args.operation {
        BenchOperation::Register => u64::from(limits::MAX_USERS),
        BenchOperation::Refresh | BenchOperation::Message | BenchOperation::Invite => 100_000,
    };
    let users = args.users.map_or(args.count.clamp(1, most), u64::from);
    u32::try_from(users).map_err(|_| Error::Usage(format!("users: at most {}", limits::MAX_USERS)))
}

/// Every user once, however long it takes within an hour.
fn once(operation: Operation, users: u32) -> Work {
    Work { duration: Duration::from_secs(limits::MAX_DURATION_S), ..Work::once(operation, users) }
}

/// A server that answered nothing, or refused everything, was not measured: say why that may be.
fn complain(report: &Report, target: SocketAddr) -> Result<(), Error> {
    if report.started == 0 || report.succeeded > 0 {
        return Ok(());
    }
    let operation = report.operation.name();
    Err(Error::Usage(match report.refused.first_key_value() {
        None => format!("{target} answered no {operation} at all"),
        Some((status, _)) => format!(
            "{target} refused every {operation}, first with {status}: does it know the domain (--domain), and does it \
             serve this address without authentication, or with the password given by --password?"
        ),
    }))
}

fn resolve(target: &str) -> Result<SocketAddr, Error> {
    let resolved =
        target.to_socket_addrs().or_else(|_| (target.trim_matches(['[', ']']), 5060).to_socket_addrs());
    resolved
        .map_err(Error::system(format!("cannot resolve {target}")))?
        .next()
        .ok_or_else(|| Error::Usage(format!("{target} has no address")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: BenchArgs,
    }

    /// Parses a command line and gives the target and the number of users.
    fn check(line: &str, expected: (&str, u32)) {
        let args = Line::try_parse_from(format!("bench {line}").split(' ')).unwrap().args;
        let target = resolve(&args.target).unwrap().to_string();
        assert_eq!((target.as_str(), users_of(&args).unwrap()), expected, "{line}");
    }

    #[test]
    fn a_port_may_be_left_out() {
        check("register 127.0.0.2 -n 7", ("127.0.0.2:5060", 7));
        check("register [::1] -n 7", ("[::1]:5060", 7));
        check("register [::1]:5070 -n 7", ("[::1]:5070", 7));
        check("register", ("127.0.0.1:5060", 10_000));
    }

    #[test]
    fn there_are_as_many_users_as_operations_within_reason() {
        check("register 127.0.0.1 -n 300000", ("127.0.0.1:5060", 300_000));
        check("message 127.0.0.1 -n 300000", ("127.0.0.1:5060", 100_000));
        check("message 127.0.0.1 -n 300000 --users 5", ("127.0.0.1:5060", 5));
    }

    #[test]
    fn an_operation_that_does_not_exist_is_refused() {
        assert!(Line::try_parse_from(["bench", "subscribe"]).is_err());
    }
}
