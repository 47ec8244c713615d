//! A response on its way: matching, reply routes, and the way back.

use std::net::SocketAddr;
use std::sync::Arc;

use seawall_modules::context::{Context, Failure, Target};
use seawall_modules::mid_registrar::{self, Answered, Journey};
use seawall_modules::statistics::Stat;
use seawall_modules::store::granted;
use seawall_modules::tm::relay;
use seawall_modules::tm::state::TransactionState;
use seawall_net::{Io, Transport};
use seawall_script::{Outcome, RouteId, RouteKind};
use seawall_sip::{Message, Name, NameAddr, validate};
use seawall_transaction::proxy::reply;
use seawall_transaction::{BranchToken, Bytes, OwnBranch, Relay, ResponseMatch};

use crate::worker::Worker;

impl Worker {
    /// Handles a response that was scanned.
    pub(crate) fn response(&mut self, io: &mut Io, context: Box<Context>) {
        self.node.counters.bump(self.index, Stat::RcvReplies);
        if validate::response(context.message()).is_err() {
            self.node.counters.bump(self.index, Stat::ErrReplies);
            self.recycle(context);
            return;
        }
        match self.node.keys.response_branch(context.message()) {
            Some(OwnBranch::Transaction(token)) => self.transaction_response(io, context, token),
            Some(OwnBranch::Stateless) => self.stateless_response(io, context),
            Some(OwnBranch::Ping(token)) => self.pong(io, context, token),
            // RFC 3261 section 16.7 step 3: the topmost Via is not ours, so the response is not for us to relay.
            None => self.discard(context),
        }
    }

    fn discard(&mut self, context: Box<Context>) {
        self.node.counters.bump(self.index, Stat::DropReplies);
        self.recycle(context);
    }

    /// Takes a response that none waits for: one that came again, or came too late.
    fn take_repeated(&mut self, context: Box<Context>, token: BranchToken) {
        let shard = self.node.shard(token.id.shard);
        if shard.is_some_and(|shard| shard.lock().absorb_response(token)) {
            return self.recycle(context);
        }
        // RFC 6026 section 8.9: a response whose transaction is over is not forwarded.
        self.discard(context);
    }

    fn transaction_response(&mut self, io: &mut Io, mut context: Box<Context>, token: BranchToken) {
        let node = Arc::clone(&self.node);
        let matched = node
            .shard(token.id.shard)
            .and_then(|shard| shard.lock().match_response(token, context.message()));
        let Some(matched) = matched else { return self.take_repeated(context, token) };
        let status = context.message().status();
        let known = Known::of(&matched);
        if known.holds_answer {
            // The one before it waits for the store.
            return self.discard(context);
        }
        let mut relay = Relay::AsReceived;
        if matched.fresh {
            if known.has_routes {
                relay = self.reply_routes(io, &mut context, &matched);
            }
            if let Some(journey) = known.journey.filter(|_| status >= 200) {
                relay = self.registration_answered(io, &mut context, &matched, &journey, relay);
            }
        }
        if relay == Relay::Drop && status < 200 {
            self.node.counters.bump(self.index, Stat::DropReplies);
        }
        if status >= 200 {
            if known.is_accounted || known.has_routes {
                remember_final(&matched.context, context.message());
            }
        } else if matched.fresh {
            self.account_early_media(&context, &matched);
        }
        if context.rare.drafted.is_some()
            && let Some(drafted) = context.rare.drafted.take().filter(granted::has_to_wait)
        {
            return self.hold_answer(io, context, (token, matched.context), relay, drafted);
        }
        self.answer_arrives(&context, token, relay);
        self.finish_quietly(io, context);
    }

    /// A response reaches its transaction.
    pub(crate) fn answer_arrives(&mut self, context: &Context, token: BranchToken, relay: Relay) {
        let node = Arc::clone(&self.node);
        if let Some(shard) = node.shard(token.id.shard) {
            shard.lock().response(context.now_ms, token, context.message(), relay, &mut self.effects);
        }
    }

    /// The main registrar has answered a forwarded REGISTER.
    fn registration_answered(
        &mut self,
        io: &mut Io,
        context: &mut Context,
        matched: &ResponseMatch<Arc<TransactionState>>,
        journey: &Journey,
        relay: Relay,
    ) -> Relay {
        let answered = mid_registrar::answered(context, matched.branch, journey, &matched.context);
        let events = std::mem::take(&mut context.events);
        if !events.is_empty() {
            self.raise(io, events);
        }
        match answered {
            Answered::Passes => relay,
            Answered::Edited => Relay::Edited(edited_text(context)),
            Answered::Again => {
                self.register_again(io, matched);
                relay
            }
        }
    }

    /// Sends a REGISTER to the destination of one of its branches again, with other intervals.
    fn register_again(&mut self, io: &mut Io, matched: &ResponseMatch<Arc<TransactionState>>) {
        let state = &matched.context;
        let request = self.node.shard(matched.id.shard).and_then(|shard| shard.lock().request_of(matched.id));
        let Some(request) = request else { return };
        let mut context = self.take_context(io, &state.origin, RouteKind::Failure);
        context.configuration = Arc::clone(&state.configuration);
        context.packet.share(request);
        let failure = Failure { code: 423, branch: matched.branch };
        relay::restore(&mut context, matched.id, state, failure);
        let _ = relay::again(&mut context);
        self.leave_transaction(&mut context);
        self.finish_quietly(io, context);
    }

    /// Logs early media where `acc` is asked to.
    fn account_early_media(&self, context: &Context, matched: &ResponseMatch<Arc<TransactionState>>) {
        if !matched.context.configuration.settings.acc.early_media {
            return;
        }
        let (accounting, avps) = {
            let inner = matched.context.lock();
            (inner.accounting, inner.avps.clone())
        };
        let request = self.node.shard(matched.id.shard).and_then(|shard| shard.lock().request_of(matched.id));
        if let Some(request) = request {
            let (node, configuration) = (&*self.node, &*matched.context.configuration);
            let (request, now_s) = (&request.message, context.now_s);
            let report =
                seawall_modules::acc::Report { node, configuration, accounting, avps: &avps, request, now_s };
            report.early_media(context.message());
        }
    }

    /// Runs `onreply_route{}` and the one that was armed. What they leave is what goes upstream.
    fn reply_routes(
        &mut self,
        io: &mut Io,
        context: &mut Context,
        matched: &ResponseMatch<Arc<TransactionState>>,
    ) -> Relay {
        let state = &matched.context;
        let general = state.configuration.routes.reply;
        let (armed, branch) = {
            let inner = state.lock();
            let sent = inner.branches.get(usize::from(matched.branch));
            let armed = sent.and_then(|sent| sent.reply_route).or(inner.armed.reply);
            if general.is_none() && armed.is_none() {
                return Relay::AsReceived;
            }
            (armed, sent.map(|sent| sent.branch.clone()))
        };
        context.configuration = Arc::clone(&state.configuration);
        context.route = RouteKind::Reply;
        context.transaction = Some((matched.id, Arc::clone(state)));
        context.rare.branch_index = matched.branch;
        *context.target = branch.unwrap_or_default();
        let shares_values = context.configuration.settings.tm.onreply_avp_mode;
        if shares_values {
            context.rare.avps = std::mem::take(&mut state.lock().avps);
        }
        context.flags = state.lock().flags;
        let kept = [general, armed].into_iter().flatten().all(|route| self.reply_route(io, context, route));
        if shares_values {
            let mut inner = state.lock();
            inner.avps = std::mem::take(&mut context.rare.avps);
            inner.flags = context.flags;
        }
        context.transaction = None;
        if !kept {
            return Relay::Drop;
        }
        if context.rare.edits.is_empty() {
            return Relay::AsReceived;
        }
        Relay::Edited(edited_text(context))
    }

    /// Runs one reply route. False when it dropped the reply.
    fn reply_route(&mut self, io: &mut Io, context: &mut Context, route: RouteId) -> bool {
        let configuration = Arc::clone(&context.configuration);
        let mut frame = self.take_frame(route);
        let outcome = seawall_script::run(&configuration.program, &mut frame, context);
        self.recycle_frame(frame);
        self.start_launched(io, context);
        let events = std::mem::take(&mut context.events);
        if !events.is_empty() {
            self.raise(io, events);
        }
        match outcome {
            Outcome::Done { drop, .. } => !drop,
            // A reply cannot wait: it goes on as if the route had ended.
            Outcome::Parked => true,
            Outcome::StepLimit { line } | Outcome::Error { line } => {
                self.node.counters.bump(self.index, Stat::ScriptErrors);
                tracing::error!("the reply route was stopped at line {line}");
                true
            }
        }
    }

    /// Sends a response back whose request was forwarded without state (RFC 3261 section 16.11).
    fn stateless_response(&mut self, io: &mut Io, mut context: Box<Context>) {
        if let Some(route) = self.configuration.routes.reply {
            context.route = RouteKind::Reply;
            if !self.reply_route(io, &mut context, route) {
                return self.discard(context);
            }
        }
        let Some(target) = self.way_back(&context) else { return self.discard(context) };
        let mut bytes = context.outbox.buffer();
        edited(&mut context, &mut bytes);
        context.outbox.push(target, bytes);
        self.node.counters.bump(self.index, Stat::FwdReplies);
        self.finish_quietly(io, context);
    }

    /// Where a stateless response goes: what the second Via says, over one of our sockets.
    fn way_back(&self, context: &Context) -> Option<Target> {
        let hop = reply::next_hop(context.message())?;
        let transport =
            if hop.transport.eq_ignore_ascii_case(b"UDP") { Transport::Udp } else { Transport::Tcp };
        let address = hop.ip?;
        // RFC 4475 section 3.3.10: never to a broadcast or multicast address.
        let broadcast = matches!(address, std::net::IpAddr::V4(v4) if v4.is_broadcast());
        if address.is_multicast() || address.is_unspecified() || broadcast {
            return None;
        }
        let peer = SocketAddr::new(address, hop.port);
        let socket = self.node.socket_for(transport, peer, context.origin.socket)?;
        Some(Target { transport, socket: socket.id, peer, connection: None })
    }
}

/// What is known of a transaction when a response to it has come, read in one go.
struct Known {
    /// Whether another response waits for the store.
    holds_answer: bool,
    /// Whether any reply route runs for the branch.
    has_routes: bool,
    is_accounted: bool,
    /// The REGISTER on its way to the main registrar.
    journey: Option<Arc<Journey>>,
}

impl Known {
    fn of(matched: &ResponseMatch<Arc<TransactionState>>) -> Known {
        let state = &matched.context;
        let inner = state.lock();
        let sent = inner.branches.get(usize::from(matched.branch));
        let armed = inner.armed.reply.or_else(|| sent.and_then(|sent| sent.reply_route));
        Known {
            holds_answer: inner.holds_answer,
            has_routes: armed.is_some() || state.configuration.routes.reply.is_some(),
            is_accounted: inner.accounting.is_on(),
            journey: inner.journey.clone(),
        }
    }
}

/// Appends the response with the route's changes and without our Via.
fn edited(context: &mut Context, out: &mut Vec<u8>) {
    let Some(message) = context.packet.own() else { return };
    if let Some(via) = reply::top_via_extent(message) {
        context.rare.edits.delete(via);
    }
    context.rare.edits.write(message, out);
}

/// As [`edited`], in a text of its own.
fn edited_text(context: &mut Context) -> Bytes {
    let mut bytes = context.spare_text(context.message().bytes().len() + context.rare.edits.text_len());
    if let Some(text) = Arc::get_mut(&mut bytes) {
        edited(context, text);
    }
    bytes
}

/// Leaves with the transaction what accounting wants to know of its final reply.
fn remember_final(state: &TransactionState, message: &Message) {
    let mut inner = state.lock();
    if !inner.accounting.is_on() {
        return;
    }
    let to = message.value(Name::To).and_then(|to| NameAddr::parse(to).ok());
    inner.to_tag = to.and_then(|to| to.tag()).unwrap_or_default().to_vec();
    inner.reason = message.reason().to_vec();
}
