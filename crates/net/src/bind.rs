//! Opening the sockets and starting the workers.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use mio::net::TcpListener;
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

use crate::config::{Config, SocketSpec, Transport};
use crate::counters::Counters;
use crate::handler::Handler;
use crate::limits::{LISTEN_BACKLOG, Limits, MAX_WORKERS, POST_BYTES, POST_ITEMS};
use crate::mailbox::{Doorbell, Queue};
use crate::running::{CommandSender, Running};
use crate::shared::{Drain, Shared};
use crate::sys::{address, options};
use crate::tcp::{Admission, Peers};
use crate::worker::{self, WAKER};

/// The entrance.
#[derive(Debug)]
pub struct Net;

/// Open sockets, before the workers run.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    sockets: Vec<BoundSocket>,
    workers: Vec<Prepared>,
}

/// A socket that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoundSocket {
    /// The transport.
    pub transport: Transport,
    /// The bound address, with the port that the kernel chose if it was asked to.
    pub address: SocketAddr,
}

/// Why the sockets could not be opened.
#[derive(Debug, Error)]
pub enum BindError {
    /// A socket could not be opened.
    #[error("{spec}: {source}")]
    Socket {
        /// Which one.
        spec: SocketSpec,
        /// Why.
        source: io::Error,
    },
    /// The workers' event queues could not be made.
    #[error("the event queue of a worker could not be made: {0}")]
    Poll(#[source] io::Error),
    /// More sockets than a [`crate::SocketId`] can name.
    #[error("too many sockets")]
    TooManySockets,
}

/// What one worker starts with.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) poll: mio::Poll,
    /// By SocketId; `None` for TCP.
    pub(crate) udp: Vec<Option<Arc<UdpSocket>>>,
    /// The listeners which this worker serves.
    pub(crate) listeners: Vec<(crate::SocketId, TcpListener)>,
}

impl Net {
    /// Opens all sockets of the configuration.
    ///
    /// # Errors
    /// The first socket that cannot be opened, with its description; none stays open then.
    pub fn bind(config: Config) -> Result<Bound, BindError> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let count = if config.workers == 0 { cores() } else { config.workers }.min(MAX_WORKERS);
        if crate::SocketId::try_from(config.sockets.len()).is_err() {
            return Err(BindError::TooManySockets);
        }
        let mut workers = Vec::with_capacity(count);
        for _ in 0..count {
            let poll = mio::Poll::new().map_err(BindError::Poll)?;
            workers.push(Prepared { poll, udp: Vec::new(), listeners: Vec::new() });
        }
        let mut sockets = Vec::with_capacity(config.sockets.len());
        for (index, &spec) in config.sockets.iter().enumerate() {
            let address = match spec.transport {
                Transport::Udp => bind_udp(&mut workers, spec.address, &config),
                Transport::Tcp => bind_tcp(&mut workers, index, spec.address, &config.limits),
            }
            .map_err(|source| BindError::Socket { spec, source })?;
            sockets.push(BoundSocket { transport: spec.transport, address });
        }
        Ok(Bound { config, sockets, workers })
    }
}

impl Bound {
    /// The open sockets, by [`crate::SocketId`].
    #[must_use]
    pub fn sockets(&self) -> &[BoundSocket] {
        &self.sockets
    }

    /// The number of workers there will be.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Starts the workers; `make` gives each one its handler.
    ///
    /// # Errors
    /// [`BindError::Poll`] when a thread or its event queue cannot be made; the workers started before end again.
    pub fn start<H: Handler>(
        self,
        mut make: impl FnMut(usize) -> H,
    ) -> Result<Running<H::Command>, BindError> {
        let count = self.workers.len();
        let limits: Limits = self.config.limits.clone();
        let mut doorbells = Vec::with_capacity(count);
        for worker in &self.workers {
            doorbells.push(Doorbell::new(worker.poll.registry(), WAKER).map_err(BindError::Poll)?);
        }
        let queues: Arc<[Queue<H::Command>]> =
            (0..count).map(|_| Queue::new(limits.command_queue, usize::MAX)).collect();
        let shared = Arc::new(Shared {
            sockets: self.sockets,
            counters: Arc::new(Counters::new(count)),
            doorbells,
            posts: (0..count).map(|_| Queue::new(POST_ITEMS, POST_BYTES)).collect(),
            peers: Peers::default(),
            admission: Arc::new(Admission::new(&limits)),
            unsent_bytes: AtomicUsize::new(0),
            unfinished_bytes: AtomicUsize::new(0),
            drain: Drain::new(count),
            limits,
        });
        let mut running = Running {
            sender: CommandSender { shared: Arc::clone(&shared), queues: Arc::clone(&queues) },
            threads: Vec::with_capacity(count),
        };
        for (index, prepared) in self.workers.into_iter().enumerate() {
            let (handler, shared, queues) = (make(index), Arc::clone(&shared), Arc::clone(&queues));
            let affinity = self.config.cpu_affinity;
            let spawned = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                if affinity && let Err(error) = options::pin_to_core(index) {
                    tracing::warn!(worker = index, %error, "the worker could not be pinned to a core");
                }
                worker::run(index, prepared, handler, shared, queues);
            });
            match spawned {
                Ok(thread) => running.threads.push(thread),
                Err(error) => {
                    running.shutdown(0);
                    return Err(BindError::Poll(error));
                }
            }
        }
        Ok(running)
    }
}

fn new_socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind.nonblocking(), Some(protocol))?;
    if address.is_ipv6() {
        // `0.0.0.0` and `[::]` shall both be possible on one port, and IPv4 peers shall look like IPv4 peers.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// One socket for each worker, in a group over which the kernel spreads datagrams at random. The first one is bound
/// without `SO_REUSEPORT`: a port that is in use, even by a server of our own, is an error, and a port that the kernel
/// chooses is a free one. If the group cannot be made, all workers share the first socket.
fn bind_udp(workers: &mut [Prepared], address: SocketAddr, config: &Config) -> io::Result<SocketAddr> {
    let first = new_socket(address, Type::DGRAM, Protocol::UDP)?;
    set_udp_options(&first, address, config)?;
    first.bind(&address.into())?;
    let bound = std_address(&first)?;
    let first = Arc::new(UdpSocket::from(first));
    let group = if workers.len() > 1 && !config.share_udp_sockets {
        bind_group(&first, bound, workers.len(), config).unwrap_or_else(|error| {
            tracing::warn!(%error, address = %bound, "datagrams cannot be spread by the kernel: workers share one socket");
            Vec::new()
        })
    } else {
        Vec::new()
    };
    let mut others = group.into_iter();
    for (index, worker) in workers.iter_mut().enumerate() {
        let own = if index == 0 { None } else { others.next() };
        worker.udp.push(Some(own.map_or_else(|| Arc::clone(&first), Arc::new)));
    }
    Ok(bound)
}

fn bind_group(
    first: &UdpSocket,
    bound: SocketAddr,
    count: usize,
    config: &Config,
) -> io::Result<Vec<UdpSocket>> {
    socket2::SockRef::from(first).set_reuse_port(true)?;
    let mut others = Vec::with_capacity(count);
    for _ in 1..count {
        let socket = new_socket(bound, Type::DGRAM, Protocol::UDP)?;
        socket.set_reuse_port(true)?;
        set_udp_options(&socket, bound, config)?;
        socket.bind(&bound.into())?;
        others.push(UdpSocket::from(socket));
    }
    options::spread_datagrams(first.as_raw_fd(), u32::try_from(count).unwrap_or(1))?;
    Ok(others)
}

fn set_udp_options(socket: &Socket, address: SocketAddr, config: &Config) -> io::Result<()> {
    let fd = socket.as_raw_fd();
    let limits = &config.limits;
    options::set_receive_buffer(socket, limits.udp_receive_buffer_bytes)?;
    if options::force_send_buffer(fd, limits.udp_send_buffer_bytes).is_err() {
        socket.set_send_buffer_size(limits.udp_send_buffer_bytes)?;
    }
    if address::is_wildcard(address.ip()) {
        options::report_local_address(fd, address.is_ipv6())?;
    }
    Ok(())
}

/// One listener, served by one worker, which hands the connections to all in turn: a connection that the kernel has
/// ready at shutdown is then never lost in the queue of a listener that was closed first, and the spreading is even.
fn bind_tcp(
    workers: &mut [Prepared],
    index: usize,
    address: SocketAddr,
    limits: &Limits,
) -> io::Result<SocketAddr> {
    let socket = new_socket(address, Type::STREAM, Protocol::TCP)?;
    socket.set_reuse_address(true)?;
    // Connections inherit it. The kernel caps what is asked for; another buffer is as good.
    let _ = socket.set_recv_buffer_size(limits.tcp_receive_buffer_bytes);
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    let bound = std_address(&socket)?;
    let listener = TcpListener::from_std(std::net::TcpListener::from(socket));
    for worker in workers.iter_mut() {
        worker.udp.push(None);
    }
    let owner = index % workers.len().max(1);
    if let (Some(worker), Ok(id)) = (workers.get_mut(owner), crate::SocketId::try_from(index)) {
        worker.listeners.push((id, listener));
    }
    Ok(bound)
}

fn std_address(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))
}
