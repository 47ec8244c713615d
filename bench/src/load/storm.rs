//! A storm: REGISTERs leave on their schedule whatever becomes of them, none is sent again, and the answers are counted by
//! who asked, a known user or a new one.

use std::time::{Duration, Instant};

use memchr::memmem::Finder;

use super::message::Branch;
use super::mix;
use super::template::{Template, Values};
use super::{Generator, Operation, answer};
use crate::error::Error;
use crate::histogram::Histogram;
use crate::limits;
use crate::socket::{self, Endpoint, ReceiveBatch};

/// What a storm is like.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// Users who are registered, from number 0 on; they refresh in turns.
    pub users: u32,
    /// The number of the first user who is not; each of them comes once.
    pub first_new_user: u32,
    /// How many of a hundred requests are of known users.
    pub known_percent: u64,
    /// Requests a second; as many as can be sent if they are fewer.
    pub rate_per_s: f64,
    /// How long.
    pub duration: Duration,
}

/// What came of the requests of known users, or of new ones.
#[derive(Clone, Debug, Default)]
pub struct Share {
    /// Requests sent.
    pub sent: u64,
    /// Answered 2xx.
    pub accepted: u64,
    /// Answered otherwise.
    pub refused: u64,
    /// From sending to the 2xx.
    pub latency: Histogram,
    /// From sending to another answer.
    pub refusal: Histogram,
}

/// Requests that were sent in one tenth of a second, and how many of them were accepted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slice {
    /// Requests sent.
    pub sent: u64,
    /// Answered 2xx.
    pub accepted: u64,
}

/// How long a slice is, microseconds.
pub const SLICE_US: u32 = 100_000;

/// What came of a storm.
#[derive(Clone, Debug, Default)]
pub struct Wave {
    /// Of known users.
    pub known: Share,
    /// Of new users.
    pub new: Share,
    /// The same by time.
    pub slices: Vec<Slice>,
    /// From the first request to the last.
    pub elapsed: Duration,
    /// From the first request to the last 2xx, and not less than [`elapsed`](Wave::elapsed): what waited in a socket when the
    /// storm ended is served after it.
    pub answered: Duration,
}

impl Wave {
    /// A number of requests in the storm as a rate.
    pub fn per_s(&self, count: u64) -> f64 {
        count as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// All requests sent.
    pub fn sent(&self) -> u64 {
        self.known.sent + self.new.sent
    }
}

impl Generator {
    /// Sends a storm from the first of the callers' sockets.
    ///
    /// # Errors
    /// [`Error::Usage`] for more requests than [`limits::MAX_STORM`], [`Error::System`] when pinning or a socket fails, or the
    /// kernel cannot cut datagrams (before Linux 4.18).
    pub fn storm(&mut self, storm: &Storm) -> Result<Wave, Error> {
        let most = storm.rate_per_s * storm.duration.as_secs_f64();
        if !(most >= 1.0 && most <= limits::MAX_STORM as f64) || storm.known_percent > 100 || storm.users == 0
        {
            return Err(Error::Usage(format!("a storm has 1 to {} requests", limits::MAX_STORM)));
        }
        if let Some(cpu) = self.options.cpu {
            socket::pin_to_cpu(cpu)
                .map_err(Error::system(format!("cannot pin the generator to CPU {cpu}")))?;
        }
        let Some(endpoint) = self.callers.first() else { return Ok(Wave::default()) };
        let run = Run::new(self, endpoint, storm, most as usize);
        let segment_bytes = u16::try_from(run.template.len()).unwrap_or(u16::MAX);
        endpoint.cut_into(segment_bytes).map_err(Error::system("the kernel cannot cut datagrams"))?;
        let wave = run.go();
        endpoint.cut_into(0).map_err(Error::system("the kernel cannot leave datagrams whole"))?;
        let wave = wave?;
        let passes = wave.known.sent.div_ceil(u64::from(storm.users)) + 1;
        self.next_cseq = self.next_cseq.saturating_add(u32::try_from(passes).unwrap_or(u32::MAX));
        self.next_operation = self.next_operation.wrapping_add(wave.sent() as u32);
        Ok(wave)
    }
}

struct Run<'a> {
    generator: &'a Generator,
    endpoint: &'a Endpoint,
    template: Template,
    storm: &'a Storm,
    began: Instant,
    /// When each request was sent, microseconds from the beginning; [`ANSWERED`] from its answer on.
    sent_us: Vec<u32>,
    most: usize,
    wave: Wave,
    received: ReceiveBatch,
    outgoing: Vec<u8>,
}

/// In place of the time of a request that was answered.
const ANSWERED: u32 = u32::MAX;

impl<'a> Run<'a> {
    fn new(generator: &'a Generator, endpoint: &'a Endpoint, storm: &'a Storm, most: usize) -> Self {
        Run {
            generator,
            endpoint,
            template: generator.identity.template(Operation::Register, endpoint.address()),
            storm,
            began: Instant::now(),
            sent_us: Vec::with_capacity(most),
            most,
            wave: Wave::default(),
            received: ReceiveBatch::default(),
            outgoing: Vec::new(),
        }
    }

    fn go(mut self) -> Result<Wave, Error> {
        let prefix = self.generator.identity.branch_prefix();
        let finder = Finder::new(&prefix);
        self.began = Instant::now();
        while self.began.elapsed() < self.storm.duration && self.sent_us.len() < self.most {
            self.send_due();
            self.receive(&finder)?;
        }
        self.wave.elapsed = self.began.elapsed();
        // What is still on its way.
        let last = Instant::now();
        while last.elapsed() < Duration::from_millis(limits::AFTER_STORM_MS) {
            if self.receive(&finder)? == 0 {
                socket::wait_readable(std::iter::once(self.endpoint), limits::IDLE_WAIT_MS);
            }
        }
        self.wave.answered = self.wave.answered.max(self.wave.elapsed);
        Ok(self.wave)
    }

    /// Sends what is due, [`limits::SEGMENTS`] at most: the answers want to be read. One call takes them all, without which a
    /// generator could not offer many times what a server serves.
    fn send_due(&mut self) {
        let now_us = self.now_us();
        let owed = (f64::from(now_us) * self.storm.rate_per_s / 1e6) as usize + 1;
        let due = owed.min(self.most).saturating_sub(self.sent_us.len()).min(limits::SEGMENTS);
        if due == 0 {
            return;
        }
        self.outgoing.clear();
        for _ in 0..due {
            let values = self.next_request(now_us);
            self.template.render(values, &mut self.outgoing);
        }
        self.endpoint.send_all(&self.outgoing);
    }

    fn next_request(&mut self, now_us: u32) -> Values {
        let number = self.sent_us.len() as u64;
        self.sent_us.push(now_us);
        let slice = (now_us / SLICE_US) as usize;
        if self.wave.slices.len() <= slice {
            self.wave.slices.resize(slice + 1, Slice::default());
        }
        if let Some(slice) = self.wave.slices.get_mut(slice) {
            slice.sent += 1;
        }
        let operation = self.generator.next_operation.wrapping_add(number as u32);
        let share = if self.is_known(number) { &mut self.wave.known } else { &mut self.wave.new };
        let turn = share.sent;
        share.sent += 1;
        let users = u64::from(self.storm.users);
        let (user, pass) = match self.is_known(number) {
            true => ((turn % users) as u32, (turn / users) as u32),
            false => (self.storm.first_new_user.saturating_add(turn as u32), 0),
        };
        Values { operation, slot: 0, user, cseq: self.generator.next_cseq.saturating_add(pass) }
    }

    /// Whether a request is of a known user.
    fn is_known(&self, number: u64) -> bool {
        mix::is_known(number, self.storm.known_percent)
    }

    fn now_us(&self) -> u32 {
        u32::try_from(self.began.elapsed().as_micros()).unwrap_or(ANSWERED - 1)
    }

    fn receive(&mut self, finder: &Finder<'_>) -> Result<usize, Error> {
        let mut batch = std::mem::take(&mut self.received);
        let received =
            batch.receive(self.endpoint, limits::BATCH).map_err(Error::system("cannot receive"))?;
        let now_us = self.now_us();
        for index in 0..received {
            if let Some(message) = batch.datagram(index) {
                self.answered(message, finder, now_us);
            }
        }
        self.received = batch;
        Ok(received)
    }

    fn answered(&mut self, message: &[u8], finder: &Finder<'_>, now_us: u32) {
        let Some(branch) = Branch::find(message, finder) else { return };
        // A request that an echo sent back counts as a 200.
        let status = answer::status_of(message).unwrap_or(200);
        let number = branch.operation.wrapping_sub(self.generator.next_operation);
        let Some(sent_us) = self.sent_us.get_mut(number as usize).filter(|sent_us| **sent_us != ANSWERED)
        else {
            return;
        };
        let (began_us, took_us) = (*sent_us, now_us.saturating_sub(*sent_us));
        *sent_us = ANSWERED;
        let share = if self.is_known(u64::from(number)) { &mut self.wave.known } else { &mut self.wave.new };
        if (200..300).contains(&status) {
            share.accepted += 1;
            self.wave.answered = Duration::from_micros(now_us.into());
            share.latency.record(u64::from(took_us) * 1000);
            if let Some(slice) = self.wave.slices.get_mut((began_us / SLICE_US) as usize) {
                slice.accepted += 1;
            }
        } else {
            share.refused += 1;
            share.refusal.record(u64::from(took_us) * 1000);
        }
    }
}
