//! One run: start, send, receive, time out, until every operation has ended.

use std::net::SocketAddr;
use std::time::Duration;

use memchr::memmem::Finder;
use socket2::SockAddr;

use super::answer::{self, Dialog, Received};
use super::clock::Clock;
use super::digest::Authorizer;
use super::flight::{Flights, Stage};
use super::message::{self, Branch};
use super::mix::Turns;
use super::report::Report;
use super::template::{Template, Values};
use super::{Generator, Operation, Pace, Work};
use crate::error::Error;
use crate::limits;
use crate::socket::{self, Endpoint, ReceiveBatch, SendBatch};

/// Does `work` with the sockets of `generator`.
pub fn run(generator: &Generator, work: &Work) -> Result<Report, Error> {
    let prefix = generator.identity.branch_prefix();
    let mut run = Run::new(generator, work, &prefix);
    // Buffers are new in the first turn.
    let mut goes_on = run.step()?;
    run.clock.forget_gaps();
    while goes_on {
        goes_on = run.step()?;
    }
    run.report.elapsed = Duration::from_nanos(run.last_end_ns);
    run.report.longest_gap = Duration::from_nanos(run.clock.longest_gap_ns());
    run.report.new_users = run.turns.new;
    Ok(run.report)
}

/// Which socket something came from or goes out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Caller(usize),
    Callee,
    Direct,
}

struct Run<'a> {
    generator: &'a Generator,
    work: &'a Work,
    /// One for each caller's socket: its own address is in the Via.
    templates: Vec<Template>,
    prefix: &'a str,
    finder: Finder<'a>,
    clock: Clock,
    now_ns: u64,
    last_end_ns: u64,
    last_scan_ns: u64,
    next: u64,
    turns: Turns,
    lead_ns: u64,
    flights: Flights,
    authorizer: Option<Authorizer>,
    report: Report,
    received: ReceiveBatch,
    outgoing: SendBatch,
    outgoing_port: Port,
    overdue: Vec<u16>,
}

/// What the final answer to a flight's request asks for.
enum Next {
    Nothing,
    Answer { slot: u16 },
    End { slot: u16 },
    HangUp { slot: u16 },
    Acknowledge { slot: u16, user: u32 },
}

impl<'a> Run<'a> {
    fn new(generator: &'a Generator, work: &'a Work, prefix: &'a str) -> Self {
        let template = |caller: &Endpoint| generator.identity.template(work.operation, caller.address());
        let templates: Vec<Template> = generator.callers.iter().map(template).collect();
        let request_bytes = templates.first().map_or(0, Template::len);
        Run {
            generator,
            work,
            templates,
            prefix,
            finder: Finder::new(prefix),
            clock: Clock::start(),
            now_ns: 0,
            last_end_ns: 0,
            last_scan_ns: 0,
            next: 0,
            turns: Turns::default(),
            lead_ns: work.lead.as_nanos() as u64,
            flights: Flights::new(work.in_flight()),
            authorizer: authorizer(generator, work),
            report: Report::new(work.operation, request_bytes),
            received: ReceiveBatch::default(),
            outgoing: SendBatch::default(),
            outgoing_port: Port::Caller(0),
            overdue: Vec::new(),
        }
    }

    /// One turn of the loop. `false` when the run has ended.
    fn step(&mut self) -> Result<bool, Error> {
        self.tick();
        let may_start = self.may_start();
        if may_start {
            self.start_due();
        } else if self.flights.in_flight() == 0 {
            return Ok(false);
        }
        self.flush();
        let received = self.receive_all()?;
        self.flush();
        if self.now_ns - self.last_scan_ns >= limits::TIMEOUT_SCAN_NS {
            self.last_scan_ns = self.now_ns;
            self.handle_overdue();
        }
        if received == 0 && !self.generator.options.busy_poll {
            let Generator { callers, callee, direct, .. } = self.generator;
            socket::wait_readable(callers.iter().chain([callee, direct]), limits::IDLE_WAIT_MS);
        }
        Ok(true)
    }

    fn tick(&mut self) {
        self.now_ns = self.clock.look();
    }

    fn may_start(&self) -> bool {
        self.next < self.work.count && u128::from(self.now_ns) < self.work.duration.as_nanos()
    }

    /// Starts what the pace asks for and the slots allow.
    fn start_due(&mut self) {
        let mut due = self.flights.room() as u64;
        if let Pace::Open { rate_per_s, .. } = self.work.pace {
            let owed = (self.now_ns as f64 * rate_per_s / 1e9) as u64 + 1;
            due = due.min(owed.saturating_sub(self.next));
        }
        due = due.min(self.work.count - self.next);
        for _ in 0..due {
            let scheduled_ns = match self.work.pace {
                Pace::Closed { .. } => self.now_ns,
                Pace::Open { rate_per_s, .. } => (self.next as f64 / rate_per_s * 1e9) as u64,
            };
            let operation = self.generator.next_operation.wrapping_add(self.next as u32);
            let (user, pass) = self.turns.next(self.work);
            let cseq = self.generator.next_cseq + pass;
            let Some(slot) = self.flights.start(operation, user, cseq, scheduled_ns, self.now_ns) else {
                return;
            };
            self.next += 1;
            self.report.started += 1;
            self.send_first(slot, Values { operation, slot, user, cseq });
        }
    }

    fn send_first(&mut self, slot: u16, values: Values) {
        let caller = usize::from(slot) % self.templates.len().max(1);
        self.select(Port::Caller(caller));
        if let Some(template) = self.templates.get(caller) {
            let authorizer = &mut self.authorizer;
            self.outgoing.push(None, |out| {
                let start = out.len();
                template.render(values, out);
                if let Some(authorizer) = authorizer {
                    authorizer.authorize(slot, values.user, start, out);
                }
            });
        }
    }

    /// Makes room in the outgoing batch for a datagram that leaves by `port`.
    fn select(&mut self, port: Port) {
        if self.outgoing_port != port || self.outgoing.is_full() {
            self.flush();
            self.outgoing_port = port;
        }
    }

    fn flush(&mut self) {
        if !self.outgoing.is_empty()
            && let Some(endpoint) = endpoint(self.generator, self.outgoing_port)
        {
            // What could not be sent will time out and be counted there.
            self.outgoing.flush(endpoint);
            // Looked at after each call: many of them in a row are not a moment in which nothing was done.
            self.clock.look();
        }
    }

    fn receive_all(&mut self) -> Result<usize, Error> {
        let mut total = 0;
        for caller in 0..self.generator.callers.len() {
            total += self.receive(Port::Caller(caller))?;
        }
        let is_called = matches!(self.work.operation, Operation::Message | Operation::Invite);
        if is_called || self.generator.options.registrar.is_some() {
            self.flush();
            total += self.receive(Port::Callee)?;
        }
        if self.work.operation == Operation::Invite {
            self.flush();
            total += self.receive(Port::Direct)?;
        }
        Ok(total)
    }

    fn receive(&mut self, port: Port) -> Result<usize, Error> {
        let Some(endpoint) = endpoint(self.generator, port) else { return Ok(0) };
        // The buffers leave `self` while they are read, so that handling may change the rest of it.
        let mut batch = std::mem::take(&mut self.received);
        let received = batch.receive(endpoint, limits::BATCH).map_err(Error::system("cannot receive"));
        if let Ok(received @ 1..) = received {
            self.tick();
            for index in 0..received {
                let Some(datagram) = batch.datagram(index) else { continue };
                match port {
                    Port::Callee => self.be_called(datagram, batch.source(index)),
                    Port::Caller(_) | Port::Direct => self.be_answered(datagram),
                }
            }
        }
        self.received = batch;
        received
    }

    /// The callee's side: accept whatever the server relays.
    fn be_called(&mut self, request: &[u8], source: Option<SockAddr>) {
        let contact = Some(self.generator.callee.address());
        let mut respond = |status_line: &str, contact: Option<SocketAddr>| {
            self.select(Port::Callee);
            self.outgoing.push(source.clone(), |out| answer::respond(request, status_line, contact, out));
        };
        match answer::classify(request) {
            Received::Invite => {
                respond("180 Ringing", contact);
                respond("200 OK", contact);
            }
            Received::Register => {
                self.select(Port::Callee);
                self.outgoing.push(source, |out| answer::grant(request, out));
            }
            Received::Other => respond("200 OK", None),
            Received::Ack => {}
            Received::NoRequest => {
                self.report.unexpected += 1;
                return;
            }
        }
        self.report.relayed += 1;
    }

    /// The caller's side: an answer, or a request that an echo sent back (which ends the operation as a 200 would).
    fn be_answered(&mut self, message: &[u8]) {
        let status = answer::status_of(message).unwrap_or(200);
        match self.settle(message, status) {
            Some(Next::Nothing) => {}
            Some(Next::Answer { slot }) => self.answer_challenge(slot, message),
            Some(Next::End { slot }) => self.flights.end(slot),
            Some(Next::HangUp { slot }) => self.hang_up(slot, message),
            Some(Next::Acknowledge { slot, user }) => {
                let uri = self.generator.identity.uri_of(user);
                self.select(self.port_in_dialog(slot, false));
                self.outgoing.push(None, |out| answer::acknowledge(message, &uri, out));
                self.flights.end(slot);
            }
            None => self.report.unexpected += 1,
        }
    }

    /// Counts an answer. `None` when it answers nothing that is under way.
    fn settle(&mut self, message: &[u8], status: u16) -> Option<Next> {
        let branch = Branch::find(message, &self.finder)?;
        let flight = self.flights.find(branch.slot, branch.operation)?;
        let slot = branch.slot;
        let waits_for = match flight.stage {
            Stage::First | Stage::Proceeding => message::FIRST,
            Stage::Bye { .. } => message::BYE,
            Stage::Free => return None,
        };
        if branch.letter != waits_for {
            return None;
        }
        if status < 200 {
            self.report.provisional += 1;
            if waits_for == message::FIRST && self.work.operation == Operation::Invite {
                flight.stage = Stage::Proceeding;
            }
            return Some(Next::Nothing);
        }
        if status == 401 && self.authorizer.is_some() && !flight.challenged {
            return Some(Next::Answer { slot });
        }
        self.last_end_ns = self.now_ns;
        if status >= 300 {
            *self.report.refused.entry(status).or_default() += 1;
            if waits_for == message::FIRST && self.work.operation == Operation::Invite {
                return Some(Next::Acknowledge { slot, user: flight.user });
            }
            return Some(Next::End { slot });
        }
        if waits_for == message::FIRST {
            if flight.scheduled_ns >= self.lead_ns {
                self.report.latency.record(self.now_ns.saturating_sub(flight.scheduled_ns));
            }
            if self.work.operation == Operation::Invite {
                return Some(Next::HangUp { slot });
            }
        }
        self.report.succeeded += 1;
        Some(Next::End { slot })
    }

    /// Sends a REGISTER again with credentials. CSeq and branch stay: a registrar that challenged has kept nothing.
    fn answer_challenge(&mut self, slot: u16, response: &[u8]) {
        let learnt = self.authorizer.as_mut().is_some_and(|authorizer| authorizer.learn(slot, response));
        let Some(flight) = self.flights.at(slot) else { return };
        flight.challenged = true;
        flight.sent_ns = self.now_ns;
        let (operation, user, cseq) = (flight.operation, flight.user, flight.cseq);
        if learnt {
            self.report.challenged += 1;
            return self.send_first(slot, Values { operation, slot, user, cseq });
        }
        *self.report.refused.entry(401).or_default() += 1;
        self.flights.end(slot);
    }

    /// ACK and BYE after the 200 to an INVITE.
    fn hang_up(&mut self, slot: u16, response: &[u8]) {
        let Some(branch) = Branch::find(response, &self.finder) else { return };
        let Some(dialog) = Dialog::of(response) else {
            // Nothing can be said within a dialog that the 200 does not describe.
            self.report.failed += 1;
            self.flights.end(slot);
            return;
        };
        let direct = !dialog.is_routed();
        let port = self.port_in_dialog(slot, direct);
        let via = endpoint(self.generator, port).map_or(self.generator.callee.address(), Endpoint::address);
        let to = direct.then(|| SockAddr::from(self.generator.callee.address()));
        let ack = Branch { letter: message::ACK, ..branch }.write(self.prefix);
        let bye = Branch { letter: message::BYE, ..branch }.write(self.prefix);
        self.select(port);
        self.outgoing.push(to.clone(), |out| dialog.request("ACK", via, &ack, out));
        self.select(port);
        let Some(flight) = self.flights.find(slot, branch.operation) else { return };
        flight.bye.clear();
        dialog.request("BYE", via, &bye, &mut flight.bye);
        flight.stage = Stage::Bye { direct };
        flight.attempts = 1;
        flight.sent_ns = self.now_ns;
        let bye = &flight.bye;
        self.outgoing.push(to, |out| out.extend_from_slice(bye));
    }

    fn port_in_dialog(&self, slot: u16, direct: bool) -> Port {
        if direct {
            Port::Direct
        } else {
            Port::Caller(usize::from(slot) % self.generator.callers.len().max(1))
        }
    }

    /// Sends again what got no answer, and gives up what was sent often enough.
    fn handle_overdue(&mut self) {
        let mut overdue = std::mem::take(&mut self.overdue);
        self.flights.overdue(self.now_ns, self.work.patience.as_nanos() as u64, &mut overdue);
        for slot in overdue.drain(..) {
            self.report.lost += 1;
            self.send_again(slot);
        }
        self.overdue = overdue;
        self.flush();
    }

    fn send_again(&mut self, slot: u16) {
        let Some(flight) = self.flights.at(slot) else { return };
        if flight.stage == Stage::Proceeding || flight.attempts >= limits::MAX_ATTEMPTS {
            self.report.failed += 1;
            self.last_end_ns = self.now_ns;
            self.flights.end(slot);
            return;
        }
        flight.attempts += 1;
        flight.sent_ns = self.now_ns;
        let (operation, user, cseq) = (flight.operation, flight.user, flight.cseq);
        let Stage::Bye { direct } = flight.stage else {
            return self.send_first(slot, Values { operation, slot, user, cseq });
        };
        let bye = flight.bye.clone();
        let to = direct.then(|| SockAddr::from(self.generator.callee.address()));
        self.select(self.port_in_dialog(slot, direct));
        self.outgoing.push(to, |out| out.extend_from_slice(&bye));
    }
}

/// What answers challenges, where there is a password and the requests are REGISTERs.
fn authorizer(generator: &Generator, work: &Work) -> Option<Authorizer> {
    let password = generator.options.password.clone()?;
    let registers = matches!(work.operation, Operation::Register | Operation::Unregister);
    registers.then(|| Authorizer::new(password, generator.identity.domain(), work.in_flight()))
}

fn endpoint(generator: &Generator, port: Port) -> Option<&Endpoint> {
    match port {
        Port::Caller(index) => generator.callers.get(index),
        Port::Callee => Some(&generator.callee),
        Port::Direct => Some(&generator.direct),
    }
}
