//! A registrar and proxy of a few lines, on a thread, that can be told to misbehave.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// What the server does with one REGISTER.
#[derive(Clone, Copy)]
pub enum Treatment {
    /// Answer with this status.
    Answer(u16),
    /// Say nothing.
    Ignore,
    /// Answer 200, and again.
    AnswerTwice,
}

/// How the server behaves.
#[derive(Clone, Copy)]
pub struct Behaviour {
    /// Told the number of the REGISTER (from 0, retransmissions count) and how often its bytes were seen before.
    pub register: fn(u64, u64) -> Treatment,
    /// Whether requests that are relayed get a Record-Route.
    pub record_route: bool,
    /// The status with which relayed requests are refused instead.
    pub refuse_relays: Option<u16>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Behaviour { register: |_, _| Treatment::Answer(200), record_route: false, refuse_relays: None }
    }
}

/// The running server. It ends when it is dropped or asked what it saw.
pub struct FakeServer {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<(SocketAddr, String)>>>,
}

impl FakeServer {
    pub fn start(behaviour: Behaviour) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        let address = socket.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut server =
                Serving { socket, address, behaviour, seen: HashMap::new(), log: Vec::new(), callee: None };
            while !stopped.load(Ordering::Relaxed) {
                server.step();
            }
            // What was sent before the question is in the socket already: it counts as seen.
            while server.step() {}
            server.log
        });
        FakeServer { address, stop, thread: Some(thread) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything that it received, with where it came from.
    pub fn seen(mut self) -> Vec<(SocketAddr, String)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

struct Serving {
    socket: UdpSocket,
    address: SocketAddr,
    behaviour: Behaviour,
    seen: HashMap<String, u64>,
    log: Vec<(SocketAddr, String)>,
    callee: Option<SocketAddr>,
}

impl Serving {
    /// Serves the next message. False when none came within the read timeout.
    fn step(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let Ok((length, from)) = self.socket.recv_from(&mut buffer) else { return false };
        let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
        self.log.push((from, message.clone()));
        if message.starts_with("SIP/2.0") {
            self.return_response(&message);
        } else if message.starts_with("REGISTER") {
            self.register(&message, from);
        } else {
            self.relay(&message, from);
        }
        true
    }

    fn register(&mut self, request: &str, from: SocketAddr) {
        let count = self.log.iter().filter(|(_, message)| message.starts_with("REGISTER")).count() as u64 - 1;
        let times = self.seen.entry(request.to_owned()).or_default();
        let treatment = (self.behaviour.register)(count, *times);
        *times += 1;
        if let Some(contact) = line_of(request, "Contact: ") {
            let host = contact.split_once('@').unwrap().1.split_once('>').unwrap().0;
            self.callee = Some(host.parse().unwrap());
        }
        match treatment {
            Treatment::Ignore => {}
            Treatment::Answer(status) => self.answer(request, status, from),
            Treatment::AnswerTwice => {
                self.answer(request, 200, from);
                self.answer(request, 200, from);
            }
        }
    }

    fn answer(&self, request: &str, status: u16, to: SocketAddr) {
        let head = request.split_once("\r\n\r\n").unwrap().0;
        let (_, headers) = head.split_once("\r\n").unwrap();
        let response = format!("SIP/2.0 {status} Whatever\r\n{headers}\r\n\r\n");
        self.socket.send_to(response.as_bytes(), to).unwrap();
    }

    fn relay(&self, request: &str, from: SocketAddr) {
        if let Some(status) = self.behaviour.refuse_relays {
            if !request.starts_with("ACK") {
                self.answer(request, status, from);
            }
            return;
        }
        let (first, rest) = request.split_once("\r\n").unwrap();
        let address = self.address;
        let via = format!("Via: SIP/2.0/UDP {address};branch=z9hG4bKproxy\r\n");
        let route = format!("Record-Route: <sip:{address};lr>\r\n");
        let route = if self.behaviour.record_route { route.as_str() } else { "" };
        let relayed = format!("{first}\r\n{route}{via}{rest}");
        self.socket.send_to(relayed.as_bytes(), self.callee.unwrap()).unwrap();
    }

    /// Takes its own Via off and sends the rest to the next.
    fn return_response(&self, response: &str) {
        let (before, after) = response.split_once("Via: ").unwrap();
        let (_, rest) = after.split_once("\r\n").unwrap();
        let returned = format!("{before}{rest}");
        let via = line_of(&returned, "Via: ").unwrap();
        let to = via.strip_prefix("SIP/2.0/UDP ").unwrap().split_once(';').unwrap().0;
        self.socket.send_to(returned.as_bytes(), to).unwrap();
    }
}

/// The rest of the first line that begins with `start`.
pub fn line_of<'a>(message: &'a str, start: &str) -> Option<&'a str> {
    message.split("\r\n").find_map(|line| line.strip_prefix(start))
}
