//! The phones and their callers: what they say, and say again until they are heard.

use std::collections::{HashMap, VecDeque};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::times::{Moment, Times};

pub const HERE: &str = "127.0.0.1";

/// What a phone says of its pushes, by its number.
pub type Params = fn(usize) -> String;

/// How long anybody waits before he says a thing again: datagrams get lost under load (T1 of RFC 3261).
const AGAIN: Duration = Duration::from_millis(500);

/// What is asked for of the kernel for what waits to be read, in bytes: thousands of phones share a socket here, each of
/// which would have one of its own.
const RECEIVE_BUFFER: usize = 4 << 20;

/// A socket of many phones, or of many callers.
pub fn socket(patience_s: u64) -> UdpSocket {
    let socket = UdpSocket::bind((HERE, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(patience_s))).unwrap();
    SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER).unwrap();
    socket
}

/// How many datagrams the kernel has dropped because nobody read them from the socket at this port in time.
pub fn dropped(port: u16) -> u64 {
    let table = std::fs::read_to_string("/proc/net/udp").unwrap_or_default();
    let local = format!(":{port:04X}");
    let line = table
        .lines()
        .find(|line| line.split_ascii_whitespace().nth(1).is_some_and(|address| address.ends_with(&local)));
    line.and_then(|line| line.split_ascii_whitespace().last()?.parse().ok()).unwrap_or(0)
}

pub fn register(params: Params, phone: usize, cseq: u32, from: SocketAddr) -> Vec<u8> {
    let params = params(phone);
    let aor = format!("sip:u{phone}@{HERE}");
    format!(
        "REGISTER sip:{HERE} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK-r{phone}-{cseq};rport\r\nMax-Forwards: 70\r\n\
         From: <{aor}>;tag=r{phone}\r\nTo: <{aor}>\r\nCall-ID: r{phone}\r\nCSeq: {cseq} REGISTER\r\n\
         Contact: <sip:u{phone}@{from};{params}>;expires=3600\r\n\
         Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

pub fn invite(phone: usize, from: SocketAddr) -> Vec<u8> {
    format!(
        "INVITE sip:u{phone}@{HERE} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK-i{phone};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:caller@{HERE}>;tag=c{phone}\r\nTo: <sip:u{phone}@{HERE}>\r\nCall-ID: c{phone}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:caller@{from}>\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

/// The ACK of a 200: to its Contact, along the route that was recorded (RFC 3261 §13.2.2.4).
pub fn acknowledge(phone: usize, from: SocketAddr, answer: &str) -> Vec<u8> {
    let target = header(answer, "Contact").next().expect("a Contact");
    let target = target.trim_start_matches('<').trim_end_matches('>');
    let routes: Vec<&str> = header(answer, "Record-Route").collect();
    let routes: String = routes.iter().rev().map(|route| format!("Route: {route}\r\n")).collect();
    format!(
        "ACK {target} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK-a{phone};rport\r\nMax-Forwards: 70\r\n{routes}\
         From: <sip:caller@{HERE}>;tag=c{phone}\r\nTo: <sip:u{phone}@{HERE}>;tag=p{phone}\r\nCall-ID: c{phone}\r\n\
         CSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

fn header<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    lines.filter(move |(known, _)| *known == name).map(|(_, value)| value)
}

/// The number behind a prefix of the Call-ID.
pub fn call_id(text: &str, prefix: char) -> Option<usize> {
    header(text, "Call-ID").next()?.trim().strip_prefix(prefix)?.parse().ok()
}

/// What was said and has to be said again until it is heard, by the number of the call.
#[derive(Default)]
pub struct Repeated {
    waiting: Mutex<Waiting>,
    /// How often something was said again.
    pub repeats: AtomicUsize,
}

#[derive(Default)]
struct Waiting {
    /// Words, and to whom.
    said: HashMap<usize, (Vec<u8>, SocketAddr)>,
    /// When each is due, in that order: all wait equally long. What was heard stays here until then.
    due: VecDeque<(Instant, usize)>,
}

impl Repeated {
    /// Says something, and goes on until it is [`heard`](Repeated::heard).
    pub fn say(&self, socket: &UdpSocket, call: usize, bytes: Vec<u8>, to: SocketAddr) {
        // Before it is said: the answer may be quick.
        let mut waiting = self.waiting.lock().unwrap();
        waiting.due.push_back((Instant::now() + AGAIN, call));
        waiting.said.insert(call, (bytes.clone(), to));
        drop(waiting);
        socket.send_to(&bytes, to).unwrap();
    }

    pub fn heard(&self, call: usize) {
        self.waiting.lock().unwrap().said.remove(&call);
    }

    /// Says again what is due.
    pub fn again(&self, socket: &UdpSocket) {
        let now = Instant::now();
        let mut waiting = self.waiting.lock().unwrap();
        while let Some((at, call)) = waiting.due.front().copied()
            && at <= now
        {
            waiting.due.pop_front();
            let Some((bytes, to)) = waiting.said.get(&call) else { continue };
            socket.send_to(bytes, to).unwrap();
            waiting.due.push_back((now + AGAIN, call));
            self.repeats.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The phones that have woken: one socket for all.
pub struct Awake {
    pub params: Params,
    pub socket: UdpSocket,
    pub registers: Repeated,
    pub answers: Repeated,
    /// How often each was called.
    pub invited: Vec<AtomicUsize>,
    pub times: Arc<Times>,
}

impl Awake {
    /// A phone wakes: it registers from an address that it did not have before.
    pub fn wake(&self, phone: usize, server: SocketAddr) {
        let own = self.socket.local_addr().unwrap();
        self.registers.say(&self.socket, phone, register(self.params, phone, 2, own), server);
    }

    /// Answers what comes, until nothing does any more.
    pub fn run(&self) {
        let mut buffer = [0; 8192];
        while let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]);
            if let Some(phone) = call_id(&text, 'r') {
                assert!(text.starts_with("SIP/2.0 200 "), "{text}");
                self.times.note(phone, Moment::Registered);
                self.registers.heard(phone);
            } else if text.starts_with("ACK ") {
                self.answers.heard(call_id(&text, 'c').unwrap());
            } else if text.starts_with("INVITE ") {
                self.take(&text, from);
            }
        }
    }

    fn take(&self, text: &str, from: SocketAddr) {
        let call = call_id(text, 'c').unwrap();
        self.times.note(call, Moment::Invited);
        if self.invited[call].fetch_add(1, Ordering::Relaxed) > 0 {
            return;
        }
        let mut reply = String::from("SIP/2.0 200 OK\r\n");
        for line in text.lines() {
            match line.split(':').next().unwrap() {
                "Via" | "From" | "Call-ID" | "CSeq" | "Record-Route" => {
                    reply.push_str(line);
                    reply.push_str("\r\n");
                }
                "To" => reply.push_str(&format!("{line};tag=p{call}\r\n")),
                _ => {}
            }
        }
        let own = self.socket.local_addr().unwrap();
        reply.push_str(&format!("Contact: <sip:u{call}@{own}>\r\nContent-Length: 0\r\n\r\n"));
        self.answers.say(&self.socket, call, reply.into_bytes(), from);
    }

    /// How often a phone was sent its INVITE again.
    pub fn invited_again(&self) -> usize {
        let more = |calls: &AtomicUsize| calls.load(Ordering::Relaxed).saturating_sub(1);
        self.invited.iter().map(more).sum()
    }
}
