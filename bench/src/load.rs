//! The load generator: what to send, how fast, and what came of it.

mod answer;
mod burst;
mod clock;
mod digest;
mod flight;
mod message;
mod mix;
mod report;
mod run;
mod storm;
mod template;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

pub use burst::{Burst, Collected};
pub use message::{REGISTER_EXPIRES_S, RegisterTexts};
pub use mix::Mix;
pub use report::Report;
pub use storm::{SLICE_US, Share, Slice, Storm, Wave};

use crate::error::Error;
use crate::limits;
use crate::socket::{self, Endpoint};
use template::Values;

/// What one operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A REGISTER with one contact; user after user, again from the first one when all had their turn. A user's first
    /// REGISTER is a fresh one, the next is a refresh: same Call-ID, higher CSeq.
    Register,
    /// A REGISTER that removes the contact.
    Unregister,
    /// A MESSAGE to a registered user. The generator plays that user too and answers 200.
    Message,
    /// A call to a registered user: INVITE, 180 and 200 from the callee, ACK, BYE and its 200. ACK and BYE take the way
    /// that Record-Route asks for; without it they pass the server by. Its latency is that of INVITE to 200.
    Invite,
}

impl Operation {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Register => "register",
            Operation::Unregister => "unregister",
            Operation::Message => "message",
            Operation::Invite => "invite",
        }
    }
}

/// When operations start.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Closed loop: always this many in flight; the next starts when one ends. Measures capacity.
    Closed {
        /// Operations in flight, 1 to [`limits::MAX_IN_FLIGHT`].
        window: usize,
    },
    /// Open loop: on a schedule, whatever the server does. Latency counts from the scheduled moment, so a stall shows
    /// in every operation that it delayed.
    Open {
        /// Operations started a second.
        rate_per_s: f64,
        /// Most in flight; beyond it starts are late (and their latency says so).
        most_in_flight: usize,
    },
}

/// What a generator keeps from run to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server.
    pub target: SocketAddr,
    /// The domain of the addresses of record; the server's IP address when `None`.
    pub domain: Option<String>,
    /// Source sockets, 1 to [`limits::MAX_SOCKETS`].
    pub sockets: usize,
    /// The CPU that the generator is pinned to.
    pub cpu: Option<usize>,
    /// The password of every user, where the server wants one; only REGISTERs are answered for.
    pub password: Option<String>,
    /// What stands behind every contact URI, `{user}` being the user's number: `;pn-provider=fcm;pn-prid={user}`.
    pub contact_params: String,
    /// Never sleep. Gives the finest latencies and takes a whole CPU.
    pub busy_poll: bool,
    /// Where the callee's socket is to be, because the server relays REGISTERs there: it grants them as they ask.
    pub registrar: Option<SocketAddr>,
}

impl Options {
    /// One source socket, not pinned, not busy-polling.
    pub fn new(target: SocketAddr) -> Self {
        let contact_params = String::new();
        Options {
            target,
            domain: None,
            sockets: 1,
            cpu: None,
            password: None,
            contact_params,
            busy_poll: false,
            registrar: None,
        }
    }
}

/// One run: what, for whom, how much, how fast.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// What one operation is.
    pub operation: Operation,
    /// The number of the first user.
    pub first_user: u32,
    /// How many users take turns.
    pub users: u32,
    /// New users between them.
    pub mix: Option<Mix>,
    /// No operation starts after this many.
    pub count: u64,
    /// No operation starts after this long.
    pub duration: Duration,
    /// When operations start.
    pub pace: Pace,
    /// What is due before this is done like all else, but its latency is not counted: server and caches come to life in it.
    pub lead: Duration,
    /// A request without an answer for this long is sent again and counted as lost.
    pub patience: Duration,
}

impl Work {
    /// Every one of `users` once, 64 in flight, for a minute at most.
    pub fn once(operation: Operation, users: u32) -> Self {
        Work {
            operation,
            first_user: 0,
            users,
            mix: None,
            count: u64::from(users),
            duration: Duration::from_secs(60),
            pace: Pace::Closed { window: 64 },
            lead: Duration::ZERO,
            patience: Duration::from_nanos(limits::RETRANSMIT_AFTER_NS),
        }
    }

    /// Most operations in flight. Never more than there are users: two requests of one user under way at once could
    /// overtake each other, and the server would rightly refuse the one with the lower CSeq.
    fn in_flight(&self) -> usize {
        let asked = match self.pace {
            Pace::Closed { window } => window,
            Pace::Open { most_in_flight, .. } => most_in_flight,
        };
        asked.min(self.users as usize)
    }

    fn check(&self) -> Result<(), Error> {
        let in_flight = self.in_flight();
        let last_user = u64::from(self.first_user) + u64::from(self.users);
        let problem = if self.users == 0 || last_user > u64::from(limits::MAX_USERS) {
            format!("users: 1 to {} are possible", limits::MAX_USERS)
        } else if self.count > limits::MAX_OPERATIONS {
            format!("count: at most {} operations in one run", limits::MAX_OPERATIONS)
        } else if self.duration > Duration::from_secs(limits::MAX_DURATION_S) {
            format!("duration: at most {} s", limits::MAX_DURATION_S)
        } else if self.patience > Duration::from_nanos(limits::MAX_PATIENCE_NS) {
            "patience: at most a minute".to_owned()
        } else if self
            .mix
            .is_some_and(|mix| mix.known_percent > 100 || u64::from(mix.first_new_user) < last_user)
        {
            "mix: up to 100 % of known users, and new ones beyond them".to_owned()
        } else if in_flight == 0 || in_flight > limits::MAX_IN_FLIGHT {
            format!("window: 1 to {} operations in flight are possible", limits::MAX_IN_FLIGHT)
        } else if matches!(self.pace, Pace::Open { rate_per_s, .. } if !(rate_per_s > 0.0 && rate_per_s < 1e8))
        {
            "rate: a positive number of operations a second".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::Usage(problem))
    }
}

/// A set of sockets that stand for any number of phones behind one address.
///
/// All users have the callee's socket as their contact. The callers' sockets send requests. Bindings, Call-IDs and
/// CSeq numbers stay valid from run to run, so a server is first filled, then refreshed, then called.
#[derive(Debug)]
pub struct Generator {
    options: Options,
    callers: Vec<Endpoint>,
    /// Where users are reached: answers what the server relays.
    callee: Endpoint,
    /// For ACK and BYE that go past the server: the callers' sockets are connected to it and would not hear the answer.
    direct: Endpoint,
    identity: message::Identity,
    /// The next CSeq of every user: all users have sent the same number of passes, or skip some.
    next_cseq: u32,
    /// The number of the next operation: goes on from run to run, because a branch must never come twice.
    next_operation: u32,
}

impl Generator {
    /// Opens the sockets.
    ///
    /// # Errors
    /// [`Error::Usage`] for a number of sockets out of bounds, [`Error::System`] when the system gives no socket.
    pub fn open(options: Options) -> Result<Self, Error> {
        if options.sockets == 0 || options.sockets > limits::MAX_SOCKETS {
            return Err(Error::Usage(format!("sockets: 1 to {} are possible", limits::MAX_SOCKETS)));
        }
        let local = local_address_for(options.target);
        let open = |peer| Endpoint::bind(local, peer).map_err(Error::system("cannot open a UDP socket"));
        let callers = (0..options.sockets).map(|_| open(Some(options.target))).collect::<Result<_, _>>()?;
        let callee = match options.registrar {
            Some(address) => {
                Endpoint::bind_to(address, None).map_err(Error::system("cannot open a UDP socket"))?
            }
            None => open(None)?,
        };
        let domain = options.domain.clone().unwrap_or_else(|| host_of(options.target.ip()));
        let mut identity = message::Identity::new(domain, options.target, callee.address());
        identity.contact_params.clone_from(&options.contact_params);
        Ok(Generator {
            options,
            callers,
            callee,
            direct: open(None)?,
            identity,
            next_cseq: message::FIRST_CSEQ,
            next_operation: 0,
        })
    }

    /// Does the work and says what came of it.
    ///
    /// Ends when every operation has ended: at the latest some seconds (see [`limits`]) after the last start.
    ///
    /// # Errors
    /// [`Error::Usage`] when the work is out of bounds, [`Error::System`] when pinning or a socket fails. Losses and
    /// refusals by the server are no errors; they are in the report.
    pub fn run(&mut self, work: &Work) -> Result<Report, Error> {
        work.check()?;
        if let Some(cpu) = self.options.cpu {
            socket::pin_to_cpu(cpu)
                .map_err(Error::system(format!("cannot pin the generator to CPU {cpu}")))?;
        }
        let report = run::run(self, work)?;
        let passes = report.started.div_ceil(u64::from(work.users));
        self.next_cseq = self.next_cseq.saturating_add(u32::try_from(passes).unwrap_or(u32::MAX));
        self.next_operation = self.next_operation.wrapping_add(report.started as u32);
        Ok(report)
    }

    /// The next REGISTER of a user, to be sent from a socket of one's own; it is not counted.
    pub fn register_of(&self, user: u32, from: SocketAddr) -> Vec<u8> {
        let mut request = Vec::new();
        let values = Values { operation: u32::MAX, slot: u16::MAX, user, cseq: self.next_cseq };
        self.identity.template(Operation::Register, from).render(values, &mut request);
        request
    }

    /// What comes from now on is newer than what [`register_of`](Generator::register_of) has made.
    pub fn skip_cseq(&mut self) {
        self.next_cseq = self.next_cseq.saturating_add(1);
    }

    /// An OPTIONS to a user.
    pub fn options_of(&self, user: u32, from: SocketAddr) -> Vec<u8> {
        self.identity.options(user, from)
    }
}

/// A REGISTER without a Contact, which changes nothing: to see whether the server at `target` answers.
pub fn probe_request(target: SocketAddr) -> Vec<u8> {
    message::Identity::new(host_of(target.ip()), target, target).probe()
}

/// The local address from which `target` can be reached: loopback for loopback, else whatever the system chooses.
pub(crate) fn local_address_for(target: SocketAddr) -> IpAddr {
    let unspecified = match target {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    // Connecting a UDP socket sends nothing; it only asks the routing table. A contact has to name a real address.
    let routed = || -> std::io::Result<IpAddr> {
        let socket = std::net::UdpSocket::bind(SocketAddr::new(unspecified, 0))?;
        socket.connect(target)?;
        Ok(socket.local_addr()?.ip())
    };
    routed().unwrap_or(unspecified)
}

/// An IP address as the host of a SIP URI.
fn host_of(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}
