//! Workers that cannot keep up: who is looked at first, how long refusing may take, and whose turn comes when.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use common::{Lines, PATIENCE, spec, tcp_client, udp_client};
use seawall_net::{Config, Fate, Handler, Io, Net, Origin, Running, StreamFramer, Transport};

/// What became of a message; its first word.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Served(String),
    Refused(String),
    Dropped,
}

/// Does with a message what its first word says.
struct Sorter {
    seen: Sender<Seen>,
    sifts: bool,
    announced: Vec<String>,
    refused: u64,
}

fn word(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).split([' ', '\n']).next().unwrap_or_default().to_owned()
}

impl Sorter {
    fn take(&mut self, io: &Io, bytes: &[u8]) {
        let word = word(bytes);
        if word == "slow" {
            std::thread::sleep(Duration::from_micros(100));
        }
        let is_refused = io.is_behind() && matches!(word.as_str(), "slow" | "new");
        if is_refused {
            std::thread::sleep(Duration::from_millis(1));
            self.refused += 1;
        }
        let _ = self.seen.send(if is_refused { Seen::Refused(word) } else { Seen::Served(word) });
    }
}

impl Handler for Sorter {
    type Command = Receiver<()>;

    fn datagram(&mut self, io: &mut Io, _: &Origin, bytes: &mut Vec<u8>) {
        self.take(io, bytes);
    }

    fn sifts(&self) -> bool {
        self.sifts
    }

    fn expect(&mut self, place: usize, bytes: &[u8]) {
        assert!(place < 64);
        self.announced.resize(64.max(self.announced.len()), String::new());
        self.announced[place] = word(bytes);
    }

    fn sift(&mut self, place: usize, _: u64) -> Fate {
        match self.announced[place].as_str() {
            "drop" => {
                let _ = self.seen.send(Seen::Dropped);
                Fate::Dropped
            }
            "tell" => Fate::Refused,
            _ => Fate::Served,
        }
    }

    fn refuse(&mut self, io: &mut Io, origin: &Origin, bytes: &mut Vec<u8>) {
        self.refused += 1;
        io.datagram_slot(origin.socket, origin.peer).extend_from_slice(b"later");
        let _ = self.seen.send(Seen::Refused(word(bytes)));
    }

    fn refused(&self) -> u64 {
        self.refused
    }

    fn stream_message(&mut self, io: &mut Io, _: &Origin, bytes: &mut Vec<u8>) {
        self.take(io, bytes);
    }

    /// Blocks until the other end is dropped.
    fn command(&mut self, _: &mut Io, until: Receiver<()>) {
        let _ = until.recv();
    }

    fn idle(&self) -> bool {
        true
    }

    fn framer(&self) -> Box<dyn StreamFramer> {
        Box::new(Lines)
    }
}

/// A running worker.
struct Server {
    running: Running<Receiver<()>>,
    seen: Receiver<Seen>,
}

impl Server {
    fn start(sifts: bool) -> Server {
        let sockets = vec![spec("udp:127.0.0.1:0"), spec("tcp:127.0.0.1:0")];
        let bound = Net::bind(Config { workers: 1, sockets, ..Config::default() }).unwrap();
        let (sender, seen) = channel();
        let make = |_| Sorter { seen: sender.clone(), sifts, announced: Vec::new(), refused: 0 };
        Server { running: bound.start(make).unwrap(), seen }
    }

    fn address(&self, transport: Transport) -> SocketAddr {
        let sockets = self.running.sockets();
        sockets.iter().find(|socket| socket.transport == transport).unwrap().address
    }

    /// Lets the worker stand still until the result is dropped.
    fn block(&self) -> Sender<()> {
        let (unblock, blocked) = channel();
        assert!(self.running.send(0, blocked).is_ok());
        unblock
    }

    /// What is seen until a message of this word has been served.
    fn until(&self, last: &str) -> Vec<Seen> {
        let mut seen = Vec::new();
        while seen.last() != Some(&Seen::Served(last.to_owned())) {
            seen.push(self.seen.recv_timeout(PATIENCE).expect("it was never served"));
        }
        seen
    }
}

/// A datagram of a thousand bytes with this first word.
fn datagram(word: &str) -> Vec<u8> {
    let mut bytes = format!("{word} ").into_bytes();
    bytes.resize(1000, b'x');
    bytes
}

/// Whether the kernel keeps as much for us as these tests send, for which a privilege is needed on most systems.
fn is_kept(server: &Server, count: usize) -> bool {
    let client = udp_client(server.address(Transport::Udp));
    let unblock = server.block();
    for _ in 0..count {
        client.send(&datagram("probe")).unwrap();
    }
    client.send(&datagram("end")).unwrap();
    drop(unblock);
    let kept = server.seen.iter().take(count + 1).take_while(|seen| *seen != Seen::Served("end".to_owned()));
    kept.count() == count
}

const FLOOD: usize = 2500;

#[test]
fn who_is_to_stand_back_is_found_before_anybody_is_served() {
    let server = Server::start(true);
    if !is_kept(&server, FLOOD) {
        return;
    }
    let client = udp_client(server.address(Transport::Udp));
    let unblock = server.block();
    for number in 0..FLOOD {
        client.send(&datagram(["drop", "tell", "keep"][number % 3])).unwrap();
    }
    client.send(&datagram("end")).unwrap();
    drop(unblock);
    let seen = server.until("end");
    let count = |wanted: &Seen| seen.iter().filter(|seen| *seen == wanted).count();
    let kept = count(&Seen::Served("keep".to_owned()));
    assert_eq!(kept, FLOOD / 3, "known ones are served");
    let (dropped, told) = (count(&Seen::Dropped), count(&Seen::Refused("tell".to_owned())));
    assert!(dropped > FLOOD / 8 && dropped < FLOOD / 3, "{dropped} dropped, not before it fell behind");
    assert!(told > FLOOD / 8 && told < FLOOD / 3, "{told} told");
    let mut buffer = [0; 16];
    // As many as the client's own buffer holds for sure.
    for _ in 0..100 {
        let len = client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"later");
    }
    // Within a batch of 64 those who are dropped come first.
    let first = seen.iter().position(|seen| *seen == Seen::Dropped).unwrap();
    let together = seen[first..].iter().take_while(|seen| **seen == Seen::Dropped).count();
    assert!((21..=22).contains(&together), "{together}");
    server.running.shutdown(5_000);
}

#[test]
fn refusing_may_take_a_part_of_the_time_and_then_everybody_is_served() {
    let server = Server::start(false);
    if !is_kept(&server, FLOOD) {
        return;
    }
    let client = udp_client(server.address(Transport::Udp));
    let unblock = server.block();
    for _ in 0..FLOOD {
        client.send(&datagram("new")).unwrap();
    }
    client.send(&datagram("end")).unwrap();
    drop(unblock);
    let seen = server.until("end");
    let refused = seen.iter().filter(|seen| **seen == Seen::Refused("new".to_owned())).count();
    // A millisecond each: a hundred at once, and the batch in which that is used up.
    assert!((64..=300).contains(&refused), "{refused} refused");
    assert_eq!(seen.len(), FLOOD + 1);
    server.running.shutdown(5_000);
}

#[test]
fn a_connection_with_much_to_say_leaves_others_and_datagrams_their_turn() {
    let server = Server::start(false);
    let mut flood = tcp_client(server.address(Transport::Tcp));
    let mut other = tcp_client(server.address(Transport::Tcp));
    let client = udp_client(server.address(Transport::Udp));
    for greeting in [&mut flood, &mut other] {
        greeting.write_all(b"hello\n").unwrap();
        server.until("hello");
    }
    let unblock = server.block();
    let line = format!("flood {}\n", "x".repeat(90));
    let lines = line.repeat(100_000);
    let writer = std::thread::spawn(move || flood.write_all(lines.as_bytes()));
    // All three have something before the worker goes on; the first one has more than it may say at once.
    std::thread::sleep(Duration::from_millis(200));
    other.write_all(b"other\n").unwrap();
    client.send(&datagram("datagram")).unwrap();
    drop(unblock);
    for word in ["datagram", "other"] {
        let before = server.until(word).len();
        assert!(before <= 400, "{before} were served before \"{word}\"");
    }
    let served = server.until("flood").len();
    assert!(served > 0);
    drop(server.running);
    let _ = writer.join().unwrap();
}

#[test]
fn datagrams_without_end_leave_connections_their_turn() {
    let server = Server::start(false);
    let mut connection = tcp_client(server.address(Transport::Tcp));
    let client = udp_client(server.address(Transport::Udp));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let _ = client.send(&datagram("slow"));
            }
        });
        server.until("slow");
        connection.write_all(b"other\n").unwrap();
        server.until("other");
        is_over.store(true, Ordering::Relaxed);
    });
    server.running.shutdown(5_000);
}

#[test]
fn a_connection_behind_which_much_waits_counts_as_behind() {
    let server = Server::start(false);
    let mut client = tcp_client(server.address(Transport::Tcp));
    let line = format!("slow {}\n", "x".repeat(90));
    let mut lines = line.repeat(9_000).into_bytes();
    lines.extend_from_slice(b"end\n");
    let writer = std::thread::spawn(move || client.write_all(&lines).map(|()| client));
    let seen = server.until("end");
    let refused = seen.iter().filter(|seen| matches!(seen, Seen::Refused(_))).count();
    assert!((64..=1000).contains(&refused), "{refused} of {} were refused", seen.len());
    // Who has said all is not behind any more.
    let mut client = writer.join().unwrap().unwrap();
    client.write_all(b"new\n").unwrap();
    server.until("new");
    server.running.shutdown(5_000);
}
