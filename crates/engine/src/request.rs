//! A request on its way: checks, transaction matching, the script, and what follows.

use std::sync::Arc;

use seawall_modules::context::Context;
use seawall_modules::mid_registrar;
use seawall_modules::registrar::waking;
use seawall_modules::reply;
use seawall_modules::statistics::Stat;
use seawall_modules::tm::{inject, relay};
use seawall_net::Io;
use seawall_script::{Frame, Outcome, RouteKind};
use seawall_sip::{Method, Name, name_addr, validate};
use seawall_transaction::RequestMatch;

use crate::worker::Worker;

impl Worker {
    /// Handles a request that was scanned.
    // It and what it calls for a plain request stand in one place, so that a REGISTER takes few calls.
    #[inline(always)]
    pub(crate) fn request(&mut self, io: &mut Io, mut context: Box<Context>) {
        self.node.counters.bump(self.index, Stat::RcvRequests);
        if let Err(objection) = validate::request(context.message()) {
            self.object(io, context, objection);
            return;
        }
        let method = context.message().method_id();
        if method == Method::Other {
            self.node.counters.bump(self.index, Stat::UnsupportedMethods);
        }
        // A REGISTER is answered without a transaction as a rule, and its repetition is recognised by the location
        // table; if a script does relay it, `create` finds the transaction.
        if method != Method::Register && self.absorb(&mut context, method) {
            self.finish_quietly(io, context);
            return;
        }
        let Some(main) = self.configuration.routes.main else {
            self.node.counters.bump(self.index, Stat::DropRequests);
            self.recycle(context);
            return;
        };
        let frame = self.take_frame(main);
        self.run_here(io, context, frame);
    }

    /// Takes what needs no script: retransmissions, and ACKs of replies that were made here.
    fn absorb(&mut self, context: &mut Context, method: Method) -> bool {
        match method {
            Method::Cancel => false,
            Method::Ack => {
                if matches!(relay::matching(context), RequestMatch::AckForFinal(_)) {
                    return true;
                }
                let stateless = is_for_stateless_reply(context);
                if stateless {
                    self.node.counters.bump(self.index, Stat::ReceivedAcks);
                }
                stateless
            }
            _ => matches!(relay::matching(context), RequestMatch::Retransmission(_)),
        }
    }

    /// Answers a request that breaks a rule.
    fn object(&mut self, io: &mut Io, mut context: Box<Context>, objection: validate::Objection) {
        self.node.counters.bump(self.index, Stat::ErrRequests);
        match objection.status {
            416 => self.node.counters.bump(self.index, Stat::BadUris),
            400 => self.node.counters.bump(self.index, Stat::BadHeaders),
            _ => {}
        }
        // Without a Via nobody can be answered.
        let answerable = context.message().header(Name::Via).is_some();
        if let (Some(route), true) = (self.configuration.routes.error, answerable) {
            context.route = RouteKind::Error;
            context.rare.error = Some((objection.status, objection.text));
            let frame = self.take_frame(route);
            self.run(io, context, frame);
            return;
        }
        if answerable {
            let mut headers = Vec::new();
            if context.message().method_id() == Method::Register {
                headers = reply::header_line("P-Registrar-Error", objection.text.as_bytes());
            }
            reply::stateless(&mut context, objection.status, objection.reason, &headers);
        } else {
            self.node.counters.bump(self.index, Stat::DropRequests);
        }
        self.finish_quietly(io, context);
    }

    /// Runs a route and carries out what it decided.
    pub(crate) fn run(&mut self, io: &mut Io, context: Box<Context>, frame: Box<Frame>) {
        self.run_here(io, context, frame);
    }

    #[inline(always)]
    fn run_here(&mut self, io: &mut Io, mut context: Box<Context>, mut frame: Box<Frame>) {
        // Counting the uses of a configuration is dear; a script that waited may have an older one.
        let older;
        let configuration = if Arc::ptr_eq(&context.configuration, &self.configuration) {
            &self.configuration
        } else {
            older = Arc::clone(&context.configuration);
            &older
        };
        let outcome = seawall_script::run(&configuration.program, &mut frame, &mut *context);
        match outcome {
            Outcome::Parked => self.park(io, context, frame),
            outcome => self.finish_here(io, context, frame, outcome),
        }
    }

    /// Carries out what a route decided that has ended.
    pub(crate) fn finish(&mut self, io: &mut Io, context: Box<Context>, frame: Box<Frame>, outcome: Outcome) {
        self.finish_here(io, context, frame, outcome);
    }

    #[inline(always)]
    fn finish_here(&mut self, io: &mut Io, mut context: Box<Context>, frame: Box<Frame>, outcome: Outcome) {
        if let Outcome::StepLimit { line } | Outcome::Error { line } = outcome {
            self.answer_for_stopped_script(&mut context, line, &outcome);
        }
        self.recycle_frame(frame);
        self.leave_transaction(&mut context);
        self.follow_up(io, &mut context);
        if context.rare.own.is_some() {
            let dropped = matches!(outcome, Outcome::Done { drop: true, .. });
            return self.depart(io, context, dropped);
        }
        self.finish_quietly_here(io, context);
    }

    /// A client must not wait for a script that was stopped: it is answered 500 if nothing was said yet.
    #[cold]
    fn answer_for_stopped_script(&mut self, context: &mut Context, line: u32, outcome: &Outcome) {
        self.node.counters.bump(self.index, Stat::ScriptErrors);
        tracing::error!("the script was stopped at line {line}: {}", reason(outcome));
        if context.route == RouteKind::Request && context.replied == 0 {
            reply::send(context, 500, b"Server Internal Error", b"");
        }
    }

    /// Puts back what the route changed in its transaction, and lets go of one that nothing came of.
    #[inline]
    pub(crate) fn leave_transaction(&mut self, context: &mut Context) {
        if context.transaction.is_some() || context.rare.is_touched() {
            self.leave_what_there_is(context);
        }
    }

    fn leave_what_there_is(&mut self, context: &mut Context) {
        if let (Some(failure), true) = (context.rare.failure, context.rare.journey.is_some()) {
            self.survive_failure(context, failure.code);
        }
        if !context.rare.wakes.is_empty() {
            waking::carry_out(context);
        }
        let Some((id, state)) = context.transaction.take() else { return };
        if matches!(context.route, RouteKind::Request | RouteKind::Failure) {
            let mut inner = state.lock();
            if inner.expects.is_some() {
                // What is added later starts from what the route has left.
                drop(inner);
                relay::keep(context, &state);
                inner = state.lock();
            }
            if !(inner.avps.is_empty() && context.rare.avps.is_empty()) {
                inner.avps = std::mem::take(&mut context.rare.avps);
            }
            inner.flags = context.flags;
            inner.accounting = context.rare.accounting;
            let is_forwarded = !inner.branches.is_empty();
            drop(inner);
            let is_failure = context.route == RouteKind::Failure;
            if is_failure && let Some(shard) = self.node.shard(id.shard) {
                shard.lock().finish(context.now_ms, id, &mut context.effects);
            } else if !is_forwarded && let Some(shard) = self.node.shard(id.shard) {
                shard.lock().abandon(id, &mut context.effects);
            }
            inject::give_up_turn(context, &(id, state));
        }
    }

    /// Answers a forwarded REGISTER from what is known here, when its failure route has left it as it was.
    fn survive_failure(&mut self, context: &mut Context, code: u16) {
        let Some((id, _)) = context.transaction else { return };
        let status = self.node.shard(id.shard).and_then(|shard| shard.lock().status(id));
        if status.is_some_and(|status| !status.answered && status.pending == 0) {
            mid_registrar::survive(context, code);
        }
    }

    /// Sends what the context has ready and gives it back.
    pub(crate) fn finish_quietly(&mut self, io: &mut Io, context: Box<Context>) {
        self.finish_quietly_here(io, context);
    }

    #[inline(always)]
    fn finish_quietly_here(&mut self, io: &mut Io, mut context: Box<Context>) {
        if !context.outbox.is_empty() {
            context.outbox.drain(|target, bytes| self.transmit(io, target, bytes));
        }
        if !context.effects.is_empty() {
            self.effects.append(&mut context.effects);
        }
        if !context.own_requests.is_empty() {
            self.take_own_requests(&mut context);
        }
        if !context.keep_connection.is_empty() {
            for lease in context.keep_connection.drain(..) {
                io.connection_lifetime(lease.connection, lease.holder, lease.until_s);
            }
        }
        self.recycle(context);
    }
}

/// Whether an ACK carries the To tag of a stateless reply of ours: it has the branch of its INVITE, from which the tag
/// was made (RFC 3261 section 17.1.1.3).
fn is_for_stateless_reply(context: &Context) -> bool {
    let Some(key) = context.server_key() else { return false };
    let to = name_addr::address(context.message(), Name::To);
    to.is_ok_and(|to| to.tag() == Some(context.node.keys.tag(&key).as_slice()))
}

fn reason(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::StepLimit { .. } => "it ran for too long",
        _ => "a function failed",
    }
}
