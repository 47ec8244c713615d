//! A handler for the tests, and what they share. Messages on streams end with a line feed.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use seawall_net::{
    Config, ConnectionId, Handler, Io, Limits, Net, Origin, Running, SocketSpec, StreamFrame, StreamFramer,
    StreamTarget, Transport,
};

/// No test waits longer than this for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What the handler reports to the test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Datagram { worker: usize, origin: Origin, len: usize },
    Message { worker: usize, origin: Origin, bytes: Vec<u8> },
    Closed { connection: ConnectionId, peer: SocketAddr },
    Failed { peer: SocketAddr, bytes: Vec<u8> },
    Sent(Result<(), seawall_net::SendError>),
    Ran(usize),
    Timer,
}

/// What a test may ask of the handler.
pub enum Command {
    /// Send on a stream and report the result.
    Stream(StreamTarget, Vec<u8>),
    /// Send a datagram, so many times.
    Datagram {
        socket: u16,
        peer: SocketAddr,
        bytes: Vec<u8>,
        times: usize,
    },
    /// Report the worker.
    Report,
    /// Block until the other end is dropped.
    Block(Receiver<()>),
    /// Be busy or idle from now on.
    Busy(bool),
    /// Keep a connection on behalf of a holder for that many seconds.
    Keep(ConnectionId, u64, u64),
    Close(ConnectionId),
    /// Call the timer after so many milliseconds.
    TimerIn(u64),
    Panic,
}

/// Echoes, with a few words that make it do something else.
pub struct Echo {
    pub seen: Sender<Seen>,
    pub busy: bool,
    pub deadline_ms: Option<u64>,
}

impl Echo {
    fn report(&self, seen: Seen) {
        let _ = self.seen.send(seen);
    }
}

impl Handler for Echo {
    type Command = Command;

    fn datagram(&mut self, io: &mut Io, origin: &Origin, bytes: &mut Vec<u8>) {
        if bytes.as_slice() == b"panic" {
            io.datagram_slot(origin.socket, origin.peer).extend_from_slice(b"half an ans");
            panic!("asked for by the test");
        }
        io.datagram_slot(origin.socket, origin.peer).extend_from_slice(bytes);
        self.report(Seen::Datagram { worker: io.worker(), origin: *origin, len: bytes.len() });
    }

    fn stream_message(&mut self, io: &mut Io, origin: &Origin, bytes: &mut Vec<u8>) {
        let times = if bytes.starts_with(b"flood") { 2000 } else { 1 };
        if bytes.starts_with(b"panic") {
            panic!("asked for by the test");
        }
        for _ in 0..times {
            if !bytes.starts_with(b"silent") && io.answer(origin, None, bytes).is_err() {
                break;
            }
        }
        self.report(Seen::Message { worker: io.worker(), origin: *origin, bytes: bytes.clone() });
    }

    fn connection_closed(&mut self, _io: &mut Io, connection: ConnectionId, peer: SocketAddr) {
        self.report(Seen::Closed { connection, peer });
    }

    fn send_failed(&mut self, _io: &mut Io, peer: SocketAddr, bytes: &[u8]) {
        self.report(Seen::Failed { peer, bytes: bytes.to_vec() });
    }

    fn command(&mut self, io: &mut Io, command: Command) {
        match command {
            Command::Stream(target, bytes) => {
                let result = io.send_stream(target, &bytes);
                self.report(Seen::Sent(result));
            }
            Command::Datagram { socket, peer, bytes, times } => {
                for _ in 0..times {
                    io.datagram_slot(socket, peer).extend_from_slice(&bytes);
                }
            }
            Command::Report => self.report(Seen::Ran(io.worker())),
            Command::Block(until) => {
                let _ = until.recv();
            }
            Command::Busy(busy) => self.busy = busy,
            Command::Keep(id, holder, seconds) => {
                let until_s = io.unix_s() + seconds;
                io.connection_lifetime(id, holder, until_s);
            }
            Command::Close(id) => io.close(id),
            Command::TimerIn(after_ms) => self.deadline_ms = Some(io.now_ms() + after_ms),
            Command::Panic => panic!("asked for by the test"),
        }
    }

    fn next_deadline_ms(&self) -> Option<u64> {
        self.deadline_ms
    }

    fn timer(&mut self, _io: &mut Io) {
        self.deadline_ms = None;
        self.report(Seen::Timer);
    }

    fn idle(&self) -> bool {
        !self.busy
    }

    fn framer(&self) -> Box<dyn StreamFramer> {
        Box::new(Lines)
    }
}

/// Lines; a double CRLF is a keep-alive; a line that starts with `!` is no message.
pub struct Lines;

impl StreamFramer for Lines {
    fn frame(&mut self, buffered: &[u8]) -> StreamFrame {
        match buffered {
            [b'\r', b'\n', b'\r', b'\n', ..] => StreamFrame::Skip { len: 4, reply: Some(b"\r\n") },
            [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => StreamFrame::Incomplete,
            [b'!', ..] => StreamFrame::Invalid { reply: Some(b"what?\n".to_vec()) },
            [b'?', ..] => panic!("asked for by the test"),
            _ => match buffered.iter().position(|&byte| byte == b'\n') {
                Some(end) => StreamFrame::Message { len: end + 1 },
                None => StreamFrame::Incomplete,
            },
        }
    }
}

/// Running workers and what their handlers report.
pub struct Server {
    pub running: Running<Command>,
    pub seen: Receiver<Seen>,
}

/// Starts workers on these sockets, such as `udp:127.0.0.1:0`.
pub fn start(workers: usize, sockets: &[&str], limits: Limits) -> Server {
    try_start(workers, sockets, limits).unwrap()
}

pub fn try_start(workers: usize, sockets: &[&str], limits: Limits) -> Result<Server, seawall_net::BindError> {
    let sockets = sockets.iter().map(|text| spec(text)).collect();
    start_with(Config { workers, sockets, limits, ..Config::default() })
}

pub fn start_with(config: Config) -> Result<Server, seawall_net::BindError> {
    let bound = Net::bind(config)?;
    let (sender, seen) = channel();
    let running = bound.start(|_| Echo { seen: sender.clone(), busy: false, deadline_ms: None })?;
    Ok(Server { running, seen })
}

pub fn spec(text: &str) -> SocketSpec {
    let (transport, address) = text.split_once(':').unwrap();
    let transport = if transport == "udp" { Transport::Udp } else { Transport::Tcp };
    SocketSpec { transport, address: address.parse().unwrap() }
}

impl Server {
    pub fn address(&self, socket: usize) -> SocketAddr {
        self.running.sockets()[socket].address
    }

    pub fn command(&self, worker: usize, command: Command) {
        assert!(self.running.send(worker, command).is_ok(), "a command was refused");
    }

    /// The next report.
    pub fn next(&self) -> Seen {
        self.seen.recv_timeout(PATIENCE).expect("the handler reports nothing")
    }

    /// The next report that `wanted` accepts; others are passed over.
    pub fn expect<T>(&self, mut wanted: impl FnMut(Seen) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.next()) {
                return found;
            }
        }
    }

    /// Waits for a message on a stream; gives the worker, its origin and its bytes.
    pub fn message(&self) -> (usize, Origin, Vec<u8>) {
        self.expect(|seen| match seen {
            Seen::Message { worker, origin, bytes } => Some((worker, origin, bytes)),
            _ => None,
        })
    }

    /// Waits for the result of [`Command::Stream`].
    pub fn sent(&self) -> Result<(), seawall_net::SendError> {
        self.expect(|seen| match seen {
            Seen::Sent(result) => Some(result),
            _ => None,
        })
    }

    pub fn closed(&self) -> SocketAddr {
        self.expect(|seen| match seen {
            Seen::Closed { peer, .. } => Some(peer),
            _ => None,
        })
    }

    pub fn stop(self) -> seawall_net::Stats {
        let stats = self.running.shutdown(5_000);
        assert!(stats.idle_in_time);
        assert_eq!(stats.workers_lost, 0);
        stats
    }
}

/// A UDP client on loopback, connected.
pub fn udp_client(server: SocketAddr) -> UdpSocket {
    let own = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let socket = UdpSocket::bind(own).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// A TCP client.
pub fn tcp_client(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends and expects exactly this back.
pub fn exchange(stream: &mut TcpStream, send: &[u8], expected: &[u8]) {
    stream.write_all(send).unwrap();
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, expected);
}

/// Expects the peer to close, by an end of stream or a reset; gives what came before.
pub fn read_to_close(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut chunk = vec![0; 65_536];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return all,
            Ok(count) => all.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return all,
            Err(error) => panic!("the peer does not close: {error}"),
        }
    }
}
