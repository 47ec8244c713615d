//! Scripts that wait: their frames and contexts, until an answer or the end of patience.

use std::collections::HashMap;
use std::sync::Arc;

use seawall_modules::context::Context;
use seawall_modules::statistics::Stat;
use seawall_modules::waiting::{Answer, Resume, Wait};
use seawall_modules::{originate, reply};
use seawall_net::Io;
use seawall_script::{Flow, Frame, Outcome};

use crate::limits::{PARKED_PER_WORKER, PATIENCE_MS};
use crate::worker::Worker;

/// The waiting scripts of one worker, by ticket. A ticket is never used twice.
#[derive(Default)]
pub struct Parked {
    waiting: HashMap<u64, Waiting>,
    last_ticket: u64,
}

struct Waiting {
    resume: Resume,
    frame: Frame,
    context: Box<Context>,
    until_ms: u64,
}

impl Parked {
    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn add(&mut self, resume: Resume, frame: Frame, context: Box<Context>) -> u64 {
        self.last_ticket += 1;
        let until_ms = context.now_ms + PATIENCE_MS;
        self.waiting.insert(self.last_ticket, Waiting { resume, frame, context, until_ms });
        self.last_ticket
    }
}

impl Worker {
    /// Parks a script whose function has answered "pending".
    pub(crate) fn park(&mut self, io: &mut Io, mut context: Box<Context>, frame: Frame) {
        let Some(Wait { errand, resume }) = context.waiting.take() else {
            // Nothing says when it would go on: end it rather than keep it for ever.
            self.finish(io, context, frame, Outcome::Error { line: 0 });
            return;
        };
        if self.parked.waiting.len() >= PARKED_PER_WORKER {
            self.node.counters.bump(self.index, Stat::ParkedFull);
            if context.own.is_some() {
                originate::fail(&mut context);
            } else {
                reply::send(&mut context, 503, b"Service Unavailable", b"Retry-After: 5\r\n");
            }
            self.finish(io, context, frame, Outcome::Done { exit: true, drop: false, code: 0 });
            return;
        }
        // A message that waits gets a buffer of its own size; the large one goes on receiving.
        context.share_packet();
        self.node.counters.bump(self.index, Stat::Parked);
        let ticket = self.parked.add(resume, frame, context);
        if !self.links.run(self.index, ticket, errand) {
            self.answered(io, ticket, None);
        }
    }

    /// Parks a request of our own whose next hop has to be resolved; no route waits.
    pub(crate) fn park_without_frame(&mut self, io: &mut Io, mut context: Box<Context>) {
        let routes = &self.configuration.routes;
        match routes.local.or(routes.main) {
            // The frame never runs: what waits ends when it has its answer.
            Some(route) => {
                let frame = self.take_frame(route);
                self.park(io, context, frame);
            }
            None => {
                originate::fail(&mut context);
                self.finish_quietly(io, context);
            }
        }
    }

    /// An errand is done, or given up: its script goes on.
    pub(crate) fn answered(&mut self, io: &mut Io, ticket: u64, answer: Option<Answer>) {
        let Some(Waiting { resume, mut frame, mut context, .. }) = self.parked.waiting.remove(&ticket) else {
            return;
        };
        context.now_ms = io.now_ms();
        context.now_s = io.unix_s();
        let outcome = match resume(&mut context, answer) {
            Flow::Pending => Outcome::Parked,
            Flow::Value(value) => {
                context.write_outputs(&mut frame);
                let configuration = Arc::clone(&context.configuration);
                seawall_script::resume(&configuration.program, &mut frame, &mut *context, value)
            }
            Flow::Exit => Outcome::Done { exit: true, drop: false, code: 0 },
            Flow::Drop => Outcome::Done { exit: true, drop: true, code: 0 },
            Flow::Error => Outcome::Error { line: 0 },
        };
        if matches!(outcome, Outcome::Parked) {
            self.park(io, context, frame);
        } else {
            self.finish(io, context, frame, outcome);
        }
    }

    /// Lets scripts go on that have waited long enough, without an answer.
    pub(crate) fn give_up_waiting(&mut self, io: &mut Io) {
        if self.parked.is_empty() {
            return;
        }
        let now_ms = io.now_ms();
        let waiting = self.parked.waiting.iter();
        let late: Vec<u64> =
            waiting.filter(|(_, waiting)| waiting.until_ms <= now_ms).map(|(ticket, _)| *ticket).collect();
        for ticket in late {
            self.answered(io, ticket, None);
        }
    }
}
