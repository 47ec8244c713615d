//! What the transaction layer asks for: sending, failure routes, accounting.

use std::sync::Arc;

use seawall_modules::acc;
use seawall_modules::context::{Context, Failure, Target, nowhere};
use seawall_modules::mid_registrar;
use seawall_modules::originate::Ended;
use seawall_modules::registrar::waking;
use seawall_modules::tm::relay;
use seawall_modules::tm::state::TransactionState;
use seawall_net::{Io, Transport};
use seawall_script::RouteKind;
use seawall_sip::Method;
use seawall_transaction::{Effect, Request, TransactionId};

use crate::limits::OWN_REQUESTS_AT_ONCE;
use crate::worker::{Worker, WorkerEffect};

/// Who holds the state of a transaction that is answered and rests: the effects that tell of its answer and of its end.
const LAST_OWNERS: usize = 2;

impl Worker {
    /// Carries out all effects that wait, and those that follow from them.
    #[inline(always)]
    pub(crate) fn carry_out(&mut self, io: &mut Io) {
        let is_quiet = self.effects.is_empty()
            && self.own_requests.is_empty()
            && self.refused_requests.is_empty()
            && !self.node.watchers.is_due(io.now_ms());
        if !is_quiet {
            self.carry_out_all(io);
        }
    }

    #[inline(never)]
    fn carry_out_all(&mut self, io: &mut Io) {
        // An effect may lead to others (a failure route forwards again), which are appended: walk until none is left.
        if self.node.watchers.is_due(io.now_ms()) {
            self.notify_watchers(io);
        }
        // Our own requests follow what was said before: a NOTIFY comes behind the reply to its SUBSCRIBE.
        for sent in 0..=OWN_REQUESTS_AT_ONCE {
            while !self.effects.is_empty() {
                let mut batch = std::mem::take(&mut self.effects);
                for effect in batch.drain(..) {
                    self.effect(io, effect);
                }
                if self.effects.is_empty() {
                    self.effects = batch;
                }
            }
            if sent == OWN_REQUESTS_AT_ONCE || !self.send_next_own_request(io) {
                return;
            }
        }
    }

    fn effect(&mut self, io: &mut Io, effect: WorkerEffect) {
        match effect {
            Effect::Send { to, bytes, .. } => {
                self.send(io, to, &bytes);
                if let Some(spares) = &mut self.spares {
                    spares.give_text(bytes);
                }
            }
            Effect::Failure { id, code, branch, context } => {
                self.failure(io, id, &context, Failure { code, branch });
            }
            Effect::Completed { code, local, request, context, .. } => {
                self.completed(io, request.as_deref(), (code, local), &context);
                if let (Some(request), Some(spares)) = (request, &mut self.spares) {
                    spares.give_request(request);
                }
            }
            Effect::Result { code, response, context, .. } => {
                self.own_request_ended(io, &context, &Ended { code, response });
            }
            Effect::Ended { request, context, .. } => {
                self.forgotten(io, &context);
                if let Some(spares) = &mut self.spares {
                    spares.give_state(context, &self.configuration);
                    if let Some(request) = request {
                        spares.give_request(request);
                    }
                }
            }
            Effect::Spare { bytes } => {
                if let Some(spares) = &mut self.spares {
                    spares.give_text(bytes);
                }
            }
        }
    }

    fn send(&mut self, io: &mut Io, to: Target, bytes: &[u8]) {
        if to.transport == Transport::Udp {
            io.datagram_slot(to.socket, to.peer).extend_from_slice(bytes);
        } else {
            self.transmit_on_stream(io, to, bytes);
        }
    }

    /// Runs the failure route of a transaction whose branches have all failed.
    fn failure(&mut self, io: &mut Io, id: TransactionId, state: &Arc<TransactionState>, failure: Failure) {
        let Some(shard) = self.node.shard(id.shard) else { return };
        let received = shard.lock().request_of(id);
        let request = received.or_else(|| state.lock().own_request.clone());
        let route = {
            let mut inner = state.lock();
            inner.is_busy = true;
            inner.armed.failure.take()
        };
        if failure.code == 408 {
            mid_registrar::fell_silent(state);
        }
        let survives = state.lock().journey.as_ref().is_some_and(|journey| journey.may_survive());
        let (Some(request), true) = (request, route.is_some() || survives) else {
            state.lock().is_busy = false;
            shard.lock().finish(io.now_ms(), id, &mut self.effects);
            return;
        };
        let mut context = self.take_context(io, &state.origin, RouteKind::Failure);
        context.configuration = Arc::clone(&state.configuration);
        context.packet.share(request);
        relay::restore(&mut context, id, state, failure);
        self.account_missed(&mut context, state, failure.code);
        let Some(route) = route else {
            self.leave_transaction(&mut context);
            self.follow_up(io, &mut context);
            return self.finish_quietly(io, context);
        };
        let frame = self.take_frame(route);
        self.run(io, context, frame);
    }

    /// A destination that did not answer is logged even if the failure route finds another one that does.
    fn account_missed(&self, context: &mut Context, state: &TransactionState, code: u16) {
        let (accounting, reason) = {
            let mut inner = state.lock();
            let accounting = inner.accounting;
            inner.accounting.forget_missed();
            (accounting, inner.reason.clone())
        };
        context.rare.accounting.forget_missed();
        acc::Report::new(context, accounting).missed(code, &reason);
    }

    /// A forwarded REGISTER has its final reply.
    fn registration_ended(&mut self, io: &mut Io, (code, local): (u16, bool), state: &TransactionState) {
        let mut context = self.take_context(io, &nowhere(), RouteKind::Event);
        mid_registrar::completed(&mut context, state, code, local);
        self.follow_up(io, &mut context);
        self.finish_quietly(io, context);
    }

    /// A transaction is gone. A forwarded REGISTER that has no final reply is not waited for any more.
    fn forgotten(&mut self, io: &mut Io, state: &Arc<TransactionState>) {
        let (waits, has_journey) = {
            let inner = state.lock();
            (!inner.waits.is_empty(), inner.journey.is_some())
        };
        if waits {
            waking::forget(&self.node, state);
        }
        if has_journey {
            let mut context = self.take_context(io, &nowhere(), RouteKind::Event);
            mid_registrar::abandoned(&mut context, state);
            self.finish_quietly(io, context);
        }
    }

    /// The final reply has been sent: accounting, if it was asked for.
    fn completed(
        &mut self,
        io: &mut Io,
        request: Option<&Request<Target>>,
        (code, local): (u16, bool),
        state: &Arc<TransactionState>,
    ) {
        let mut inner = state.lock();
        let (waits, is_open) = (!inner.waits.is_empty(), mid_registrar::is_open(&mut inner));
        if waits || is_open {
            drop(inner);
            if waits {
                waking::forget(&self.node, state);
            }
            if is_open {
                self.registration_ended(io, (code, local), state);
            }
            inner = state.lock();
        }
        // One that rests from now on goes as a whole, with the effect behind this one.
        let is_kept = Arc::strong_count(state) > LAST_OWNERS;
        if is_kept && request.is_none_or(|request| request.message.method_id() != Method::Invite) {
            inner.let_go();
        }
        let accounting = inner.accounting;
        if accounting == acc::Accounting::default() {
            return;
        }
        let (to_tag, reason, avps) = (inner.to_tag.clone(), inner.reason.clone(), inner.avps.clone());
        drop(inner);
        let Some(request) = request else { return };
        let (node, configuration) = (&*self.node, &*state.configuration);
        let (request, now_s) = (&request.message, io.unix_s());
        let report = acc::Report { node, configuration, accounting, avps: &avps, request, now_s };
        report.completed(&to_tag, code, &reason);
        if code >= 300 {
            report.missed(code, &reason);
        }
    }
}
