//! A phone: registers, refreshes, answers challenges, sends again until it is answered, and tries again when refused.

use std::net::SocketAddr;

use seawall_sip::{Message, Name, cseq};

use super::outbox::{Outbox, Retry, Ring, Wake};
use super::text::{self, Register};
use crate::network::Packet;
use crate::random::Random;

const NEVER_MS: u64 = u64::MAX;

/// What a request of a phone is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Register,
    Unregister,
    Star,
}

/// A phone.
#[derive(Debug)]
pub struct Phone {
    /// The user of its address of record.
    pub user: String,
    /// Where its packets come from.
    pub source: SocketAddr,
    index: usize,
    contacts: u64,
    host: u64,
    expires_s: u32,
    life: u64,
    cseq: u32,
    sent: u64,
    keeps_credentials: bool,
    has_credentials: bool,
    waits: Option<(u64, Purpose, Vec<u8>, Retry)>,
    due_ms: u64,
    random: Random,
}

impl Phone {
    /// A phone that is switched off.
    pub fn new(index: usize, aors: usize, seed: u64) -> Phone {
        let mut random = Random::new(seed ^ (index as u64).wrapping_mul(0x9e37_79b9));
        let mut phone = Phone {
            user: format!("u{}", index % aors.max(1)),
            source: ([127, 0, 0, 1], 0).into(),
            index,
            contacts: 1 + u64::from(random.chance(200)),
            host: 0,
            expires_s: 15 + random.below(46) as u32,
            life: 0,
            cseq: 0,
            sent: 0,
            keeps_credentials: random.chance(500),
            has_credentials: false,
            waits: None,
            due_ms: NEVER_MS,
            random,
        };
        phone.moves();
        phone
    }

    /// The number of a phone by where its packets come from.
    pub fn index_of(source: SocketAddr) -> Option<usize> {
        match source {
            SocketAddr::V4(v4) => {
                let [ten, high, middle, low] = v4.ip().octets();
                (ten == 10)
                    .then(|| (usize::from(high & 63) << 16) | usize::from(middle) << 8 | usize::from(low))
            }
            SocketAddr::V6(_) => None,
        }
    }

    fn host(&self) -> [u8; 4] {
        [
            10,
            ((self.index >> 16) as u8) | (self.host as u8 % 4) << 6,
            (self.index >> 8) as u8,
            self.index as u8,
        ]
    }

    /// Gets another address.
    pub fn moves(&mut self) {
        self.host += 1;
        self.source = (self.host(), 5060).into();
    }

    /// Its NAT gives it another port.
    pub fn rebind(&mut self) {
        self.source.set_port(self.source.port() + 1);
    }

    /// Loses its power.
    pub fn vanish(&mut self) {
        self.waits = None;
        self.due_ms = NEVER_MS;
    }

    /// Starts over under another Call-ID.
    pub fn reboot(&mut self) {
        self.vanish();
        self.life += 1;
        self.cseq = 0;
        self.has_credentials = false;
    }

    /// Registers or refreshes, unless it waits for an answer.
    pub fn register(&mut self, now_ms: u64, out: &mut Outbox) {
        if self.waits.is_none() {
            self.send(now_ms, Purpose::Register, out);
        } else {
            self.due_ms = now_ms;
        }
    }

    /// Takes its contacts away. A request that waits is given up, as a phone that is switched off does.
    pub fn unregister(&mut self, now_ms: u64, out: &mut Outbox) {
        self.due_ms = NEVER_MS;
        self.send(now_ms, Purpose::Unregister, out);
    }

    /// Takes everything away.
    pub fn star(&mut self, now_ms: u64, out: &mut Outbox) {
        self.due_ms = NEVER_MS;
        self.send(now_ms, Purpose::Star, out);
    }

    fn send(&mut self, now_ms: u64, purpose: Purpose, out: &mut Outbox) {
        self.cseq += 1;
        self.sent += 1;
        // Distinct from Seawall's own branches, which have an epoch above this.
        let branch = ((self.index as u64) << 20) | self.sent;
        let [a, b, c, d] = self.host();
        let uri = |number: u64| format!("sip:p{}c{number}@{a}.{b}.{c}.{d}:5060", self.index);
        let expires_s = if purpose == Purpose::Register { self.expires_s } else { 0 };
        let mut lines = String::new();
        if purpose == Purpose::Star {
            lines += "Contact: *\r\n";
        } else {
            let all: Vec<String> = (0..self.contacts).map(|number| format!("<{}>", uri(number))).collect();
            lines += &format!("Contact: {}\r\n", all.join(", "));
        }
        lines += &format!("Expires: {expires_s}\r\n");
        if self.has_credentials {
            lines += "Authorization: Digest username=\"u\", realm=\"example.com\", nonce=\"1\", uri=\"sip:example.com\", response=\"1\"\r\n";
        }
        let bytes = Register {
            sent_by: &format!("{a}.{b}.{c}.{d}:5060"),
            branch,
            user: &self.user,
            callid: &format!("p{}-{}", self.index, self.life),
            cseq: self.cseq,
            lines: &lines,
        }
        .write();
        out.packets.push(self.packet(bytes.clone()));
        let retry = Retry::new(now_ms);
        out.wakes.push((retry.due_ms(), Wake::Phone(self.index)));
        self.waits = Some((branch, purpose, bytes, retry));
    }

    fn packet(&self, bytes: Vec<u8>) -> Packet {
        Packet { from: self.source, to: super::front::ADDRESS.into(), bytes }
    }

    /// Time has passed.
    pub fn wake(&mut self, now_ms: u64, out: &mut Outbox) {
        let source = self.source;
        if let Some((_, purpose, bytes, retry)) = &mut self.waits {
            match retry.ring(now_ms) {
                Ring::No => {}
                Ring::Again => {
                    let bytes = bytes.clone();
                    out.wakes.push((retry.due_ms(), Wake::Phone(self.index)));
                    out.packets.push(Packet { from: source, to: super::front::ADDRESS.into(), bytes });
                }
                Ring::Over => {
                    let purpose = *purpose;
                    self.waits = None;
                    self.later(now_ms, purpose, out);
                }
            }
        } else if self.due_ms <= now_ms {
            self.due_ms = NEVER_MS;
            self.send(now_ms, Purpose::Register, out);
        }
    }

    fn rest(&mut self, now_ms: u64, pause_ms: u64, out: &mut Outbox) {
        self.due_ms = self.due_ms.min(now_ms + pause_ms);
        out.wakes.push((self.due_ms.max(now_ms), Wake::Phone(self.index)));
    }

    /// Tries again later. Who wanted to go is gone.
    fn later(&mut self, now_ms: u64, purpose: Purpose, out: &mut Outbox) {
        if purpose == Purpose::Register {
            let pause_ms = 2000 + self.random.below(15_000);
            self.rest(now_ms, pause_ms, out);
        }
    }

    /// An answer arrives.
    pub fn receive(&mut self, now_ms: u64, response: &Message, out: &mut Outbox) {
        let Some((branch, purpose, ..)) = &self.waits else { return };
        let purpose = *purpose;
        if *branch != text::branch(response) || response.status() < 200 {
            return;
        }
        self.waits = None;
        match response.status() {
            200..=299 if purpose == Purpose::Register => self.registered(now_ms, response, out),
            200..=299 => {}
            401 | 407 if !self.has_credentials => {
                self.has_credentials = true;
                self.send(now_ms, purpose, out);
            }
            423 if purpose == Purpose::Register => {
                let least_s = cseq::number(response, Name::MinExpires).ok().flatten().unwrap_or(60);
                self.expires_s = self.expires_s.max(least_s);
                self.send(now_ms, purpose, out);
            }
            _ => self.later(now_ms, purpose, out),
        }
    }

    fn registered(&mut self, now_ms: u64, response: &Message, out: &mut Outbox) {
        self.has_credentials &= self.keeps_credentials;
        let own = format!("sip:p{}c", self.index);
        let listed = text::listed(response).unwrap_or_default();
        let mine = listed.iter().filter(|(uri, _)| uri.starts_with(own.as_bytes()));
        match mine.map(|(_, expires_s)| u64::from(*expires_s)).min() {
            Some(expires_s) => {
                let part = 500 + self.random.below(400);
                self.rest(now_ms, (expires_s * part).max(500), out);
            }
            None => self.later(now_ms, Purpose::Register, out),
        }
    }
}
