//! The crowd: thousands of phones that register, refresh, vanish, say goodbye and come back.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use super::agent::{Agent, Ask, Standing, Wish};
use crate::error::Error;
use crate::limits;
use crate::load::local_address_for;
use crate::socket::{Endpoint, ReceiveBatch, SendBatch, wait_readable};

/// First pause before a request is sent again, milliseconds (T1 of RFC 3261); it doubles up to [`T2_MS`].
const T1_MS: u64 = 500;
/// The longest such pause.
const T2_MS: u64 = 4_000;
/// A request without an answer for this long has failed (Timer F).
const GIVE_UP_MS: u64 = 32_000;
/// A phone that was refused tries again after this long.
const TRY_AGAIN_MS: u64 = 1_000;

/// What a crowd is.
#[derive(Clone, Debug)]
pub struct Habits {
    /// Where it registers.
    pub target: SocketAddr,
    /// Users.
    pub users: u32,
    /// Phones of each user.
    pub phones_each: u32,
    /// The interval that phones ask for, seconds.
    pub expires_s: u32,
    /// One of so many refreshes is the last one of a phone's life; 0 for none.
    pub one_leaves_in: u64,
    /// Milliseconds over which all phones come at the start.
    pub arrival_ms: u64,
    /// Seed of what is random.
    pub seed: u64,
}

/// What a crowd has seen.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Requests, without those that were sent again.
    pub sent: u64,
    /// Requests sent again.
    pub sent_again: u64,
    /// 2xx.
    pub accepted: u64,
    /// Other final answers, by status; 0 stands for none.
    pub failed: BTreeMap<u16, u64>,
    /// Failures of phones that refreshed in time, and that the main registrar held for certain.
    pub broken_promises: u64,
    /// 2xx that do not list the contact of the phone.
    pub unlisted: u64,
    /// The first of them.
    pub unlisted_example: Option<String>,
    /// Refreshes that were answered when the registration before them had run out already.
    pub late: u64,
    /// Phones that became registered.
    pub arrivals: u64,
    /// Users who became registered.
    pub user_arrivals: u64,
    /// Goodbyes that were said.
    pub goodbyes: u64,
    /// Goodbyes of a user's last phone.
    pub last_goodbyes: u64,
}

impl Counts {
    /// What was counted since an earlier moment; the statuses of failures from the start.
    #[must_use]
    pub fn since(&self, before: &Counts) -> Counts {
        Counts {
            sent: self.sent - before.sent,
            sent_again: self.sent_again - before.sent_again,
            accepted: self.accepted - before.accepted,
            failed: self.failed.clone(),
            broken_promises: self.broken_promises - before.broken_promises,
            unlisted: self.unlisted - before.unlisted,
            unlisted_example: self.unlisted_example.clone(),
            late: self.late - before.late,
            arrivals: self.arrivals - before.arrivals,
            user_arrivals: self.user_arrivals - before.user_arrivals,
            goodbyes: self.goodbyes - before.goodbyes,
            last_goodbyes: self.last_goodbyes - before.last_goodbyes,
        }
    }
}

/// The crowd.
pub struct Crowd {
    habits: Habits,
    agents: Vec<Agent>,
    endpoints: Vec<Endpoint>,
    outgoing: Vec<SendBatch>,
    incoming: ReceiveBatch,
    /// Timers: when, whose, and which of his.
    timers: BinaryHeap<Reverse<(u64, u32, u32)>>,
    counts: Counts,
    /// Users of phones that have failed while they were registered, and how; nobody has asked for these yet.
    broken: Vec<(u32, String)>,
    random: u64,
}

/// Unix milliseconds.
#[must_use]
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

impl Crowd {
    /// Opens the sockets; nobody has registered yet.
    ///
    /// # Errors
    /// [`Error::Usage`] for too many phones, [`Error::System`] when a socket is refused.
    pub fn open(habits: Habits) -> Result<Crowd, Error> {
        let phones = u64::from(habits.users) * u64::from(habits.phones_each);
        if phones == 0 || phones > limits::MAX_PHONES {
            return Err(Error::Usage(format!("phones: from 1 to {}", limits::MAX_PHONES)));
        }
        let local = local_address_for(habits.target);
        let endpoints: Result<Vec<Endpoint>, _> =
            (0..limits::CROWD_SOCKETS).map(|_| Endpoint::bind(local, Some(habits.target))).collect();
        let endpoints = endpoints.map_err(Error::system("cannot open the sockets of the phones"))?;
        let outgoing = endpoints.iter().map(|_| SendBatch::default()).collect();
        let mut crowd = Crowd {
            agents: Vec::new(),
            endpoints,
            outgoing,
            incoming: ReceiveBatch::default(),
            timers: BinaryHeap::new(),
            counts: Counts::default(),
            broken: Vec::new(),
            random: habits.seed | 1,
            habits,
        };
        let start_ms = now_ms();
        for number in 0..phones as u32 {
            let socket = crowd.pick(crowd.endpoints.len() as u64) as usize;
            crowd.agents.push(Agent::new(socket));
            let comes_ms = start_ms + crowd.pick(crowd.habits.arrival_ms.max(1));
            crowd.wake(number, comes_ms);
        }
        Ok(crowd)
    }

    /// The phones, by number. Those of user `u` are `u * phones_each` and the following.
    pub fn agents(&self) -> &[Agent] {
        &self.agents
    }

    /// The phones, to note what the main registrar holds.
    pub fn agents_mut(&mut self) -> &mut [Agent] {
        &mut self.agents
    }

    /// What was seen so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Takes what is known of phones that have failed while they were registered: user, and what has happened.
    pub fn take_broken(&mut self) -> Vec<(u32, String)> {
        std::mem::take(&mut self.broken)
    }

    /// Phones that hold a registration, and users of whom one does.
    pub fn live(&self) -> (u64, u64) {
        let is_live = |agent: &Agent| matches!(agent.standing, Standing::Held { .. });
        let phones = self.agents.iter().filter(|agent| is_live(agent)).count();
        let each = self.habits.phones_each.max(1) as usize;
        let users = self.agents.chunks(each).filter(|phones| phones.iter().any(is_live)).count();
        (phones as u64, users as u64)
    }

    /// Receives what has come, does what is due, and waits a millisecond if that was nothing.
    pub fn step(&mut self) {
        let received = self.receive();
        let now_ms = now_ms();
        let mut due = 0;
        while let Some(Reverse((due_ms, number, serial))) = self.timers.peek().copied() {
            if due_ms > now_ms || due >= limits::BATCH {
                break;
            }
            self.timers.pop();
            due += 1;
            if self.agents.get(number as usize).is_some_and(|agent| agent.serial == serial) {
                self.act(number, now_ms);
            }
        }
        for (batch, endpoint) in self.outgoing.iter_mut().zip(&self.endpoints) {
            if !batch.is_empty() {
                batch.flush(endpoint);
            }
        }
        if received == 0 && due == 0 {
            wait_readable(self.endpoints.iter(), limits::IDLE_WAIT_MS);
        }
    }

    /// A timer of a phone has come.
    fn act(&mut self, number: u32, now_ms: u64) {
        let Some(agent) = self.agents.get_mut(number as usize) else { return };
        if let Some(ask) = &mut agent.ask {
            if now_ms.saturating_sub(ask.first_ms) >= GIVE_UP_MS {
                return self.failed(number, 0, now_ms);
            }
            ask.attempts = ask.attempts.saturating_add(1);
            self.counts.sent_again += 1;
            return self.send(number, now_ms);
        }
        let is_live = matches!(agent.standing, Standing::Held { .. });
        if is_live && self.habits.one_leaves_in > 0 && self.pick(self.habits.one_leaves_in) == 0 {
            return self.leave(number, now_ms);
        }
        let socket = self.pick(self.endpoints.len() as u64) as usize;
        let Some(agent) = self.agents.get_mut(number as usize) else { return };
        match agent.standing {
            Standing::Gone { since_ms: 0 } => agent.standing = Standing::Unsure,
            Standing::Gone { .. } => agent.come_back(socket, now_ms),
            Standing::Held { .. } | Standing::Unsure => {}
        }
        self.ask(number, Wish::Register, now_ms);
    }

    /// The end of a life: every other phone says goodbye, the others vanish.
    fn leave(&mut self, number: u32, now_ms: u64) {
        let vanishes = self.pick(2) == 0;
        let expires_s = self.habits.expires_s;
        let is_last = !self.others_live(number);
        let Some(agent) = self.agents.get_mut(number as usize) else { return };
        if vanishes {
            agent.vanish(now_ms, expires_s);
            return self.rest(number, now_ms);
        }
        agent.standing = Standing::Unsure;
        self.counts.goodbyes += 1;
        self.counts.last_goodbyes += u64::from(is_last);
        self.ask(number, Wish::Goodbye, now_ms);
    }

    /// A phone that is gone comes back after some lives of a registration.
    fn rest(&mut self, number: u32, now_ms: u64) {
        let expires_ms = u64::from(self.habits.expires_s) * 1000;
        let pause_ms = 3 * expires_ms + self.pick(10 * expires_ms);
        self.wake(number, now_ms + pause_ms);
    }

    /// Whether another phone of the same user is registered.
    fn others_live(&self, number: u32) -> bool {
        let each = self.habits.phones_each.max(1);
        let first = number / each * each;
        (first..first + each).filter(|other| *other != number).any(|other| {
            let agent = self.agents.get(other as usize);
            agent.is_some_and(|agent| matches!(agent.standing, Standing::Held { .. }))
        })
    }

    /// Begins a request.
    fn ask(&mut self, number: u32, wish: Wish, now_ms: u64) {
        let Some(agent) = self.agents.get_mut(number as usize) else { return };
        agent.cseq += 1;
        agent.ask = Some(Ask { wish, attempts: 0, first_ms: now_ms });
        self.counts.sent += 1;
        self.send(number, now_ms);
    }

    /// Sends the request under way, and sets the timer for the next time.
    fn send(&mut self, number: u32, now_ms: u64) {
        let user = number / self.habits.phones_each.max(1);
        let expires_s = self.habits.expires_s;
        let seed = self.habits.seed;
        let Some(agent) = self.agents.get(number as usize) else { return };
        let Some(ask) = agent.ask else { return };
        let Some(endpoint) = self.endpoints.get(agent.socket) else { return };
        let Some(batch) = self.outgoing.get_mut(agent.socket) else { return };
        if batch.is_full() {
            batch.flush(endpoint);
        }
        let (own, life, cseq) = (endpoint.address(), agent.life, agent.cseq);
        let expires_s = if ask.wish == Wish::Goodbye { 0 } else { expires_s };
        batch.push(None, |out| {
            // Writing to a Vec cannot fail.
            let _ = write!(
                out,
                "REGISTER sip:mid.example SIP/2.0\r\n\
                 Via: SIP/2.0/UDP {own};branch=z9hG4bKm{number:08}-{cseq:08}\r\n\
                 Max-Forwards: 70\r\n\
                 From: <sip:u{user:08}@mid.example>;tag=m{number}\r\n\
                 To: <sip:u{user:08}@mid.example>\r\n\
                 Call-ID: m{seed:x}-{number}-{life}\r\n\
                 CSeq: {cseq} REGISTER\r\n\
                 Contact: <sip:a{number:08}l{life}@{own}>;expires={expires_s}\r\n\
                 User-Agent: crowd\r\n\
                 Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, NOTIFY\r\n\
                 Content-Length: 0\r\n\r\n"
            );
        });
        let pause_ms = (T1_MS << ask.attempts.min(4)).min(T2_MS);
        self.wake(number, now_ms + pause_ms);
    }

    /// Takes what has come; gives how many answers that were.
    fn receive(&mut self) -> usize {
        let mut total = 0;
        let mut incoming = std::mem::take(&mut self.incoming);
        for index in 0..self.endpoints.len() {
            let Some(endpoint) = self.endpoints.get(index) else { continue };
            let received = incoming.receive(endpoint, limits::BATCH).unwrap_or(0);
            let now_ms = now_ms();
            for datagram in (0..received).filter_map(|at| incoming.datagram(at)) {
                if let Some(answer) = Answer::read(datagram) {
                    self.answered(&answer, now_ms);
                }
            }
            total += received;
        }
        self.incoming = incoming;
        total
    }

    fn answered(&mut self, answer: &Answer<'_>, now_ms: u64) {
        let number = answer.number;
        let Some(agent) = self.agents.get_mut(number as usize) else { return };
        let Some(ask) = agent.ask.filter(|_| agent.cseq == answer.cseq && answer.status >= 200) else {
            return;
        };
        if answer.status >= 300 {
            return self.failed(number, answer.status, now_ms);
        }
        agent.ask = None;
        self.counts.accepted += 1;
        if ask.wish == Wish::Goodbye {
            agent.standing = Standing::Gone { since_ms: now_ms };
            return self.rest(number, now_ms);
        }
        let user = format!("<sip:a{number:08}l{}@", agent.life);
        let Some(granted_s) = answer.granted_s(user.as_bytes()) else {
            self.counts.unlisted += 1;
            let text = || {
                format!(
                    "to {user} after {} sendings: {}",
                    ask.attempts,
                    String::from_utf8_lossy(answer.bytes)
                )
            };
            self.counts.unlisted_example.get_or_insert_with(text);
            return self.wake(number, now_ms + TRY_AGAIN_MS);
        };
        let is_late = matches!(agent.standing, Standing::Held { until_ms, .. } if until_ms <= now_ms);
        self.counts.late += u64::from(is_late);
        if agent.granted(ask.first_ms, now_ms, granted_s) {
            self.counts.arrivals += 1;
            self.counts.user_arrivals += u64::from(!self.others_live(number));
        }
        // A phone refreshes well before the end; the whole seconds of a registrar may cost it one of them.
        let half_ms = u64::from(granted_s) * 400;
        let refresh_ms = now_ms + half_ms + self.pick(half_ms / 4 + 1);
        self.wake(number, refresh_ms);
    }

    /// A request was refused, or not answered at all.
    fn failed(&mut self, number: u32, status: u16, now_ms: u64) {
        let Some(agent) = self.agents.get_mut(number as usize) else { return };
        let ask = agent.ask.take();
        *self.counts.failed.entry(status).or_default() += 1;
        // A second, because the dump has whole seconds, and one more for what the answer took. Who asked when his last 200
        // had run out was gone here, and was perhaps being taken away already.
        let asked_ms = ask.map_or(0, |ask| ask.first_ms);
        let was_held = matches!(agent.standing, Standing::Held { until_ms, .. } if until_ms > asked_ms);
        let is_broken = was_held && agent.upstream_until_ms > now_ms + 2_000;
        if is_broken {
            self.counts.broken_promises += 1;
            let left_ms = agent.upstream_until_ms - now_ms;
            if self.broken.len() < limits::BROKEN_EXPLAINED {
                let user = number / self.habits.phones_each.max(1);
                let took_ms = now_ms - asked_ms;
                let what = format!(
                    "phone {number}, life {}, failed with {status} after {took_ms} ms; registered for {left_ms} ms more, by \
                     its last 200 {:?}",
                    agent.life, agent.standing
                );
                self.broken.push((user, what));
            }
        }
        if ask.is_some_and(|ask| ask.wish == Wish::Goodbye) {
            // Nobody knows: it goes as if it had vanished.
            agent.vanish(now_ms, self.habits.expires_s);
            return self.rest(number, now_ms);
        }
        self.wake(number, now_ms + TRY_AGAIN_MS);
    }

    /// Sets a phone's timer; the one before counts no longer.
    fn wake(&mut self, number: u32, due_ms: u64) {
        if let Some(agent) = self.agents.get_mut(number as usize) {
            agent.serial = agent.serial.wrapping_add(1);
            self.timers.push(Reverse((due_ms, number, agent.serial)));
        }
    }

    /// A random number below `bound` (xorshift64*).
    fn pick(&mut self, bound: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % bound.max(1)
    }
}

/// An answer to a phone.
struct Answer<'a> {
    status: u16,
    number: u32,
    cseq: u32,
    bytes: &'a [u8],
}

impl<'a> Answer<'a> {
    fn read(bytes: &'a [u8]) -> Option<Answer<'a>> {
        let status = digits(bytes.strip_prefix(b"SIP/2.0 ")?)? as u16;
        let at = memchr::memmem::find(bytes, b"branch=z9hG4bKm")? + 15;
        let number = digits(bytes.get(at..)?)?;
        let cseq = digits(bytes.get(at + 9..)?)?;
        Some(Answer { status, number, cseq, bytes })
    }

    /// The interval of the contact whose URI begins so.
    fn granted_s(&self, begin: &[u8]) -> Option<u32> {
        let at = memchr::memmem::find(self.bytes, begin)?;
        let rest = self.bytes.get(at..)?;
        let expires_at = memchr::memmem::find(rest, b";expires=")? + 9;
        digits(rest.get(expires_at..)?)
    }
}

/// The number at the beginning.
pub(super) fn digits(bytes: &[u8]) -> Option<u32> {
    let end = bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len());
    std::str::from_utf8(bytes.get(..end)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_whose_it_is_and_for_how_long() {
        let text = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKm00000017-00000003\r\n\
            Contact: <sip:a00000016l1@h>;expires=1, <sip:a00000017l2@h>;expires=77\r\n\r\n";
        let answer = Answer::read(text).unwrap();
        assert_eq!((answer.status, answer.number, answer.cseq), (200, 17, 3));
        assert_eq!(answer.granted_s(b"<sip:a00000017l2@"), Some(77));
        assert_eq!(answer.granted_s(b"<sip:a00000018l2@"), None);
    }
}
