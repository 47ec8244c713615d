//! What the transaction layer asks for: sending, failure routes, accounting.

use std::sync::Arc;

use seawall_modules::acc;
use seawall_modules::context::{Context, Failure, Packet, Target};
use seawall_modules::tm::state::TransactionState;
use seawall_net::{Io, Transport};
use seawall_script::RouteKind;
use seawall_transaction::{Effect, TransactionId};

use crate::worker::{Worker, WorkerEffect};

impl Worker {
    /// Carries out all effects that wait, and those that follow from them.
    pub(crate) fn carry_out(&mut self, io: &mut Io) {
        // An effect may lead to others (a failure route forwards again), which are appended: walk until none is left.
        while !self.effects.is_empty() {
            let mut batch = std::mem::take(&mut self.effects);
            for effect in batch.drain(..) {
                self.effect(io, effect);
            }
            if self.effects.is_empty() {
                self.effects = batch;
            }
        }
    }

    fn effect(&mut self, io: &mut Io, effect: WorkerEffect) {
        match effect {
            Effect::Send { to, bytes, .. } => self.send(io, to, &bytes),
            Effect::Failure { id, code, branch, context } => {
                self.failure(io, id, &context, Failure { code, branch });
            }
            Effect::Completed { id, code, context, .. } => self.completed(io, id, code, &context),
            // No request is made here without a client yet, so there is no result to tell.
            Effect::Result { .. } | Effect::Ended { .. } => {}
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
        let request = shard.lock().request_of(id);
        let route = state.lock().armed.failure.take();
        let (Some(request), Some(route)) = (request, route) else {
            shard.lock().finish(io.now_ms(), id, &mut self.effects);
            return;
        };
        let mut context = self.take_context(io, &state.origin, RouteKind::Failure);
        context.configuration = Arc::clone(&state.configuration);
        context.packet = Packet::Shared(request);
        restore(&mut context, id, state);
        context.failure = Some(failure);
        context.branch_index = failure.branch;
        let frame = self.take_frame(route);
        self.run(io, context, frame);
    }

    /// The final reply has been sent: accounting, if it was asked for.
    fn completed(&mut self, io: &mut Io, id: TransactionId, code: u16, state: &Arc<TransactionState>) {
        let (accounting, to_tag, reason) = {
            let inner = state.lock();
            (inner.accounting, inner.to_tag.clone(), inner.reason.clone())
        };
        if accounting == acc::Accounting::default() {
            return;
        }
        let Some(request) = self.node.shard(id.shard).and_then(|shard| shard.lock().request_of(id)) else {
            return;
        };
        let now_s = io.unix_s();
        acc::completed(accounting, &request.message, &to_tag, code, &reason, now_s);
        if code >= 300 {
            acc::missed(accounting, &request.message, code, &reason, now_s);
        }
    }
}

/// Gives a route of a transaction what the request route left behind.
pub(crate) fn restore(context: &mut Context, id: TransactionId, state: &Arc<TransactionState>) {
    let mut inner = state.lock();
    context.armed = inner.armed;
    context.flags = inner.flags;
    context.accounting = inner.accounting;
    context.avps = std::mem::take(&mut inner.avps);
    context.target = inner.kept.target.clone();
    context.edits = inner.kept.edits.clone();
    context.record_route = inner.kept.record_route.clone();
    context.loose_route = inner.kept.loose_route.clone();
    context.max_forwards = inner.kept.max_forwards;
    context.add_local_rport = inner.kept.add_local_rport;
    context.force_rport = inner.kept.force_rport;
    context.added_headers = inner.added_headers.clone();
    drop(inner);
    context.transaction = Some((id, Arc::clone(state)));
}
