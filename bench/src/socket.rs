//! Sockets in batches, waiting, and pinning: the only file of this crate with `unsafe`.

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};

use crate::limits;

/// A non-blocking UDP socket and the address that the kernel gave it.
#[derive(Debug)]
pub struct Endpoint {
    socket: UdpSocket,
    address: SocketAddr,
}

impl Endpoint {
    /// Binds to a port of the kernel's choice on `local`. With a `peer` the socket is connected: it hears the peer
    /// only, and sending is cheaper.
    ///
    /// # Errors
    /// Whatever the system answers to `socket`, `bind` and `connect`.
    pub fn bind(local: IpAddr, peer: Option<SocketAddr>) -> io::Result<Self> {
        Endpoint::bind_to(SocketAddr::new(local, 0), peer)
    }

    /// As [`bind`](Endpoint::bind), with a port that was chosen already.
    ///
    /// # Errors
    /// The same.
    pub fn bind_to(address: SocketAddr, peer: Option<SocketAddr>) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        // The kernel may cap what is asked for; a smaller buffer is no reason to refuse.
        let _ = seawall_net::set_receive_buffer(&socket, limits::SOCKET_BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(limits::SOCKET_BUFFER_BYTES);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        if let Some(peer) = peer {
            socket.connect(&peer.into())?;
        }
        let socket = UdpSocket::from(socket);
        let address = socket.local_addr()?;
        Ok(Endpoint { socket, address })
    }

    /// Lets the kernel cut what is sent by [`send_all`](Endpoint::send_all) into datagrams of so many bytes; 0: it leaves as it is.
    ///
    /// # Errors
    /// What the system answers: `ENOPROTOOPT` before Linux 4.18, which cannot do this.
    pub fn cut_into(&self, bytes: u16) -> io::Result<()> {
        let bytes = libc::c_int::from(bytes);
        // SAFETY: `bytes` is valid for reads of its own size, and the kernel only reads it.
        let answer = unsafe {
            libc::setsockopt(
                self.descriptor(),
                libc::SOL_UDP,
                libc::UDP_SEGMENT,
                std::ptr::from_ref(&bytes).cast(),
                mem::size_of_val(&bytes) as libc::socklen_t,
            )
        };
        if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Sends up to [`limits::SEGMENTS`] datagrams that stand one behind the other, all but the last as long as
    /// [`cut_into`](Endpoint::cut_into) was told, in one call, which takes the kernel a fourth of the time. What cannot be sent is
    /// lost, as on a network.
    pub fn send_all(&self, datagrams: &[u8]) {
        let _ = self.socket.send(datagrams);
    }

    /// The address that others send to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Buffers for one `recvmmsg`.
#[derive(Debug)]
pub struct ReceiveBatch {
    storage: Vec<u8>,
    lengths: Vec<usize>,
    sources: Vec<libc::sockaddr_storage>,
    source_lengths: Vec<libc::socklen_t>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

impl Default for ReceiveBatch {
    fn default() -> Self {
        ReceiveBatch {
            storage: vec![0; limits::BATCH * limits::DATAGRAM_BYTES],
            lengths: Vec::with_capacity(limits::BATCH),
            sources: vec![empty_address(); limits::BATCH],
            source_lengths: Vec::with_capacity(limits::BATCH),
            vectors: Vec::with_capacity(limits::BATCH),
            headers: Vec::with_capacity(limits::BATCH),
        }
    }
}

impl ReceiveBatch {
    /// Takes what waits in `endpoint`, at most `most` datagrams and at most [`limits::BATCH`], without waiting.
    /// Returns how many; they replace those of the call before.
    ///
    /// # Errors
    /// What the system answers, except "nothing there", which is 0.
    pub fn receive(&mut self, endpoint: &Endpoint, most: usize) -> io::Result<usize> {
        let wanted = most.min(limits::BATCH);
        self.lengths.clear();
        self.source_lengths.clear();
        self.vectors.clear();
        self.headers.clear();
        for chunk in self.storage.chunks_exact_mut(limits::DATAGRAM_BYTES).take(wanted) {
            self.vectors.push(libc::iovec { iov_base: chunk.as_mut_ptr().cast(), iov_len: chunk.len() });
        }
        for (vector, source) in self.vectors.iter_mut().zip(&mut self.sources) {
            self.headers.push(header(vector, source));
        }
        // SAFETY: every header points at one iovec of `vectors` and one address of `sources`, every iovec at its own
        // chunk of `storage`; none of these is touched or moved before the call returns, and the count is the number
        // of headers that were pushed.
        let received = unsafe {
            libc::recvmmsg(
                endpoint.descriptor(),
                self.headers.as_mut_ptr(),
                self.headers.len() as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let received = match usize::try_from(received) {
            Ok(received) => received,
            Err(_) => {
                self.headers.clear();
                return nothing_there(io::Error::last_os_error());
            }
        };
        for header in self.headers.iter().take(received) {
            self.lengths.push((header.msg_len as usize).min(limits::DATAGRAM_BYTES));
            self.source_lengths.push(header.msg_hdr.msg_namelen);
        }
        Ok(received)
    }

    /// The datagram number `index` of the last [`ReceiveBatch::receive`].
    pub fn datagram(&self, index: usize) -> Option<&[u8]> {
        let start = index * limits::DATAGRAM_BYTES;
        self.storage.get(start..start + self.lengths.get(index)?)
    }

    /// Who sent the datagram number `index`.
    pub fn source(&self, index: usize) -> Option<SockAddr> {
        let (written, length) = (self.sources.get(index)?, self.source_lengths.get(index)?);
        let mut storage = SockAddrStorage::zeroed();
        // SAFETY: SockAddrStorage is a transparent wrapper of sockaddr_storage; the kernel wrote the address and its
        // length in `receive`.
        Some(unsafe {
            *storage.view_as::<libc::sockaddr_storage>() = *written;
            SockAddr::new(storage, *length)
        })
    }
}

/// Datagrams that wait for one `sendmmsg`. The buffers are kept and used again.
#[derive(Debug, Default)]
pub struct SendBatch {
    buffers: Vec<Vec<u8>>,
    destinations: Vec<Option<SockAddr>>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

impl SendBatch {
    /// Whether the next [`SendBatch::push`] needs a [`SendBatch::flush`] before it.
    pub fn is_full(&self) -> bool {
        self.destinations.len() >= limits::BATCH
    }

    /// How many datagrams wait.
    pub fn len(&self) -> usize {
        self.destinations.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.destinations.is_empty()
    }

    /// Adds one datagram: `fill` writes it into an empty buffer. `to` is where it goes; `None` is for a connected
    /// socket.
    pub fn push(&mut self, to: Option<SockAddr>, fill: impl FnOnce(&mut Vec<u8>)) {
        let index = self.destinations.len();
        if index == self.buffers.len() {
            self.buffers.push(Vec::with_capacity(limits::DATAGRAM_BYTES));
        }
        if let Some(buffer) = self.buffers.get_mut(index) {
            buffer.clear();
            fill(buffer);
        }
        self.destinations.push(to);
    }

    /// Sends everything that waits from `endpoint`. Returns how many could not be sent; the batch is empty afterwards.
    ///
    /// A full socket buffer is tried again a bounded number of times, and an error on one datagram (an ICMP message
    /// that waited, an unreachable host) costs that datagram only: the generator's timeouts count both as losses.
    pub fn flush(&mut self, endpoint: &Endpoint) -> usize {
        self.vectors.clear();
        self.headers.clear();
        for buffer in self.buffers.iter_mut().take(self.destinations.len()) {
            self.vectors.push(libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() });
        }
        for (vector, to) in self.vectors.iter_mut().zip(&self.destinations) {
            self.headers.push(header_to(vector, to.as_ref()));
        }
        let mut retries = limits::SEND_RETRIES;
        let mut lost = 0;
        let mut rest = self.headers.as_mut_slice();
        while !rest.is_empty() {
            // SAFETY: `rest` is a part of `headers`, whose entries point at `vectors`, `buffers` and `destinations`;
            // none of them changes before the loop ends, and the count is the length of `rest`.
            let sent = unsafe {
                libc::sendmmsg(endpoint.descriptor(), rest.as_mut_ptr(), rest.len() as libc::c_uint, 0)
            };
            let advance = match usize::try_from(sent) {
                Ok(sent) => sent,
                Err(_) if retries > 0 && is_transient(&io::Error::last_os_error()) => {
                    retries -= 1;
                    std::hint::spin_loop();
                    0
                }
                Err(_) => {
                    lost += 1;
                    1
                }
            };
            rest = rest.get_mut(advance..).unwrap_or_default();
        }
        self.headers.clear();
        self.vectors.clear();
        self.destinations.clear();
        lost
    }
}

/// Waits until one of `endpoints` can be read, at most `timeout_ms` milliseconds.
pub fn wait_readable<'a>(endpoints: impl Iterator<Item = &'a Endpoint>, timeout_ms: i32) {
    let mut polled: Vec<libc::pollfd> =
        endpoints.map(|e| libc::pollfd { fd: e.descriptor(), events: libc::POLLIN, revents: 0 }).collect();
    // SAFETY: the pointer and the count describe `polled`, which lives until the call returns. What the call answers
    // is of no interest: the caller looks at every socket anyway.
    unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, timeout_ms) };
}

/// Pins the calling thread, and every process it starts from now on, to one CPU.
///
/// # Errors
/// `EINVAL` when there is no such CPU or it is not allowed to this process.
pub fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: a cpu_set_t is plain bits, for which all zeroes is the empty set; `cpu` was checked against its size;
    // the size passed is that of the set passed; 0 means the calling thread.
    let answer = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, mem::size_of::<libc::cpu_set_t>(), &set)
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Asks a process of ours to end (SIGTERM), or makes it end (SIGKILL).
///
/// # Errors
/// `ESRCH` when it has ended already.
pub fn end_process(pid: u32, forcibly: bool) -> io::Result<()> {
    signal(pid, if forcibly { libc::SIGKILL } else { libc::SIGTERM })
}

/// Makes a process of ours stand still (SIGSTOP), or go on (SIGCONT).
///
/// # Errors
/// `ESRCH` when it has ended already.
pub fn pause_process(pid: u32, stands_still: bool) -> io::Result<()> {
    signal(pid, if stands_still { libc::SIGSTOP } else { libc::SIGCONT })
}

fn signal(pid: u32, signal: libc::c_int) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: kill has no memory arguments.
    let answer = unsafe { libc::kill(pid, signal) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The processor time of the calling thread, nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the call to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Clock ticks a second in /proc/PID/stat.
pub fn ticks_per_second() -> u64 {
    // SAFETY: sysconf has no memory arguments.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(ticks).unwrap_or(100).max(1)
}

/// Sends `request` once from a socket of its own and waits for any answer. Used to see whether a server has started.
pub fn probe(target: SocketAddr, request: &[u8], wait: Duration) -> bool {
    let attempt = || -> io::Result<usize> {
        let local = crate::load::local_address_for(target);
        let socket = UdpSocket::bind(SocketAddr::new(local, 0))?;
        socket.connect(target)?;
        socket.set_read_timeout(Some(wait))?;
        socket.send(request)?;
        socket.recv(&mut [0; limits::DATAGRAM_BYTES])
    };
    attempt().is_ok()
}

fn header(vector: &mut libc::iovec, source: &mut libc::sockaddr_storage) -> libc::mmsghdr {
    let mut header = empty_header();
    header.msg_hdr.msg_name = std::ptr::from_mut(source).cast();
    header.msg_hdr.msg_namelen = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    header.msg_hdr.msg_iov = vector;
    header.msg_hdr.msg_iovlen = 1;
    header
}

fn header_to(vector: &mut libc::iovec, to: Option<&SockAddr>) -> libc::mmsghdr {
    let mut header = empty_header();
    if let Some(to) = to {
        // sendmmsg reads the address and never writes it.
        header.msg_hdr.msg_name = to.as_ptr().cast_mut().cast();
        header.msg_hdr.msg_namelen = to.len();
    }
    header.msg_hdr.msg_iov = vector;
    header.msg_hdr.msg_iovlen = 1;
    header
}

fn empty_header() -> libc::mmsghdr {
    // SAFETY: an mmsghdr is integers and pointers, for which all zeroes means "none".
    unsafe { mem::zeroed() }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOBUFS | libc::EINTR | libc::ECONNREFUSED))
}

/// "Nothing there" is no error, and neither is an ICMP "port unreachable" for something sent earlier.
fn nothing_there(error: io::Error) -> io::Result<usize> {
    if is_transient(&error) { Ok(0) } else { Err(error) }
}

fn empty_address() -> libc::sockaddr_storage {
    // SAFETY: a sockaddr_storage is integers, for which all zeroes is "unspecified".
    unsafe { mem::zeroed() }
}
