//! Scripts that wait: their frames and contexts, until an answer or the end of patience.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use seawall_modules::context::Context;
use seawall_modules::statistics::Stat;
use seawall_modules::waiting::{Answer, Errand, Launch, Resume, Wait};
use seawall_modules::{originate, reply};
use seawall_net::Io;
use seawall_script::{Flow, Frame, Outcome, RouteKind};

use crate::limits::{PARKED_PER_WORKER, PATIENCE_MS};
use crate::worker::Worker;

/// The waiting scripts of one worker, by ticket. A ticket is never used twice.
#[derive(Default)]
pub struct Parked {
    waiting: HashMap<u64, Waiting>,
    last_ticket: u64,
    /// Places in the journal of the store, and the tickets of those who wait for them.
    commits: VecDeque<(u64, u64)>,
}

/// What follows when a function that waited has finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Its script goes on.
    GoOn,
    /// The frame, which has not begun, runs with the result in `$rc`.
    Begin,
    /// Nothing.
    End,
}

struct Waiting {
    resume: Resume,
    then: Then,
    frame: Box<Frame>,
    context: Box<Context>,
    until_ms: u64,
}

impl Parked {
    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn ticket(&mut self) -> u64 {
        self.last_ticket += 1;
        self.last_ticket
    }
}

impl Worker {
    /// Parks a script whose function has answered "pending".
    pub(crate) fn park(&mut self, io: &mut Io, mut context: Box<Context>, frame: Box<Frame>) {
        let Some(wait) = context.rare.waiting.take() else {
            // Nothing says when it would go on: end it rather than keep it for ever.
            self.finish(io, context, frame, Outcome::Error { line: 0 });
            return;
        };
        if self.parked.waiting.len() >= PARKED_PER_WORKER {
            self.node.counters.bump(self.index, Stat::ParkedFull);
            if context.rare.own.is_some() {
                originate::fail(&mut context);
            } else {
                reply::send(&mut context, 503, b"Service Unavailable", b"Retry-After: 5\r\n");
            }
            self.finish(io, context, frame, Outcome::Done { exit: true, drop: false, code: 0 });
            return;
        }
        // A message that waits gets a buffer of its own size; the large one goes on receiving.
        context.share_packet();
        self.keep_buffer(context.take_buffer());
        self.take_spares(&mut context);
        self.launch(io, &mut context);
        self.keep(io, context, frame, wait, Then::GoOn);
    }

    fn keep(&mut self, io: &mut Io, mut context: Box<Context>, frame: Box<Frame>, wait: Wait, then: Then) {
        let Wait { errand, resume, patience_ms } = wait;
        self.node.counters.bump(self.index, Stat::Parked);
        let until_ms = context.now_ms.saturating_add(patience_ms.unwrap_or(PATIENCE_MS));
        let ticket = self.parked.ticket();
        let errand = match errand {
            Errand::Event(awaited) => Err(self.wait_for(io, &mut context, ticket, awaited)),
            errand => Ok(errand),
        };
        self.parked.waiting.insert(ticket, Waiting { resume, then, frame, context, until_ms });
        let is_under_way = match errand {
            Err(waits) => waits,
            Ok(Errand::Commit(place)) => {
                self.parked.commits.push_back((place, ticket));
                // The command that would tell may have come before.
                !self.node.store.journal.is_settled(place)
            }
            Ok(errand) => self.links.run(self.index, ticket, errand),
        };
        if !is_under_way {
            self.answered(io, ticket, None);
        }
    }

    /// Lets scripts go on whose place in the journal is decided. Places come nearly in order: who has changed nothing waits
    /// for the last one, which may be behind that of the next.
    pub(crate) fn settled(&mut self, io: &mut Io) {
        while let Some((place, ticket)) = self.parked.commits.front().copied() {
            if !self.node.store.journal.is_settled(place) {
                return;
            }
            self.parked.commits.pop_front();
            self.answered(io, ticket, None);
        }
    }

    /// Starts what `launch` asked for. When too much waits already it is not done, and its route runs with -1.
    pub(crate) fn launch(&mut self, io: &mut Io, context: &mut Context) {
        for Launch { wait, route, parameter } in std::mem::take(&mut context.rare.launches) {
            let Some(frame_route) = route.or(self.configuration.routes.main) else { continue };
            let mut started = self.take_context(io, &context.origin, RouteKind::Request);
            started.configuration = Arc::clone(&context.configuration);
            if let Some(request) = context.packet.shared() {
                started.packet.share(Arc::clone(request));
            }
            let mut frame = self.take_frame(frame_route);
            parameter.into_iter().for_each(|parameter| frame.parameter(parameter));
            let then = if route.is_some() { Then::Begin } else { Then::End };
            if self.parked.waiting.len() < PARKED_PER_WORKER {
                self.keep(io, started, frame, wait, then);
                continue;
            }
            self.node.counters.bump(self.index, Stat::ParkedFull);
            if then == Then::Begin {
                frame.set_return_code(-1);
                self.run(io, started, frame);
            } else {
                self.recycle_frame(frame);
                self.recycle(started);
            }
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
        let Some(Waiting { resume, then, mut frame, mut context, .. }) = self.parked.waiting.remove(&ticket)
        else {
            return;
        };
        context.now_ms = io.now_ms();
        context.now_s = io.unix_s();
        std::mem::swap(&mut context.spares, &mut self.spares);
        let outcome = match resume(&mut context, answer) {
            Flow::Pending => Outcome::Parked,
            Flow::Value(value) if then != Then::GoOn => {
                context.write_outputs(&mut frame);
                return self.begin_launched(io, context, frame, then, value);
            }
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

    /// What was launched is done with `value`: its route, if it has one, runs now.
    fn begin_launched(
        &mut self,
        io: &mut Io,
        context: Box<Context>,
        mut frame: Box<Frame>,
        then: Then,
        value: i64,
    ) {
        if then == Then::Begin {
            frame.set_return_code(value);
            self.run(io, context, frame);
        } else {
            self.recycle_frame(frame);
            self.finish_quietly(io, context);
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
