//! A REGISTER on its way to the main registrar: what is done to it when it is sent, and to its answer when that comes.
//!
//! `mid_registrar_save()` leaves a [`Journey`] in the context; a relay takes it into the transaction. The answer is
//! handled where it passes, after the reply routes have seen it as the main registrar sent it: nothing has to be
//! scripted.

use std::sync::Arc;

use parking_lot::Mutex;
use seawall_net::ConnectionId;
use seawall_registrar::mid::{Main, Pending, Place, UpstreamDown};
use seawall_sip::edit::Edits;
use seawall_sip::{Message, Name, ascii, cseq};
use seawall_transaction::Request;
use smallvec::SmallVec;

use super::Changes;
use super::fronts::Front;
use super::parameters::MidSettings;
use crate::branch::Branch;
use crate::context::{Context, Target};
use crate::node::Socket;
use crate::reply;
use crate::statistics::Stat;
use crate::tm::state::{Inner, TransactionState};

/// A forwarded REGISTER.
pub struct Journey {
    front: Arc<Front>,
    settings: Arc<MidSettings>,
    /// The connection that lives as long as the contact (`tcp_persistent_flag`).
    connection: Option<ConnectionId>,
    state: Mutex<State>,
}

struct State {
    pending: Box<Pending>,
    /// The request as it came, once it was sent. Its transaction may be gone before its end is told.
    request: Option<Arc<Request<Target>>>,
    /// Where each branch went, by its number.
    sent: SmallVec<[(u16, Main); 1]>,
    sent_ms: u64,
    /// Whether a branch ended without any answer, so that nobody knows what came of it.
    is_silent: bool,
    /// Whether any branch was answered.
    is_heard: bool,
    /// Whether its answer has been dealt with.
    is_over: bool,
}

impl std::fmt::Debug for Journey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Journey").finish_non_exhaustive()
    }
}

impl Journey {
    pub(super) fn new(
        front: Arc<Front>,
        settings: Arc<MidSettings>,
        connection: Option<ConnectionId>,
        pending: Box<Pending>,
    ) -> Journey {
        let state = State {
            pending,
            request: None,
            sent: SmallVec::new(),
            sent_ms: 0,
            is_silent: false,
            is_heard: false,
            is_over: false,
        };
        Journey { front, settings, connection, state: Mutex::new(state) }
    }

    /// Whether a failure may be answered from what is known here.
    #[must_use]
    pub fn may_survive(&self) -> bool {
        self.settings.mid.upstream_down == UpstreamDown::Absorb
    }

    /// The edits that make the request the one for the main registrar.
    pub fn edit(&self, message: &Message, socket: &Socket, edits: &mut Edits) {
        let settings = &self.settings;
        self.state.lock().pending.edit(message, &settings.mid, &settings.policy, place(socket), edits);
    }

    /// A branch is about to be sent.
    pub fn departs(&self, context: &Context, index: u16, branch: &Branch, target: &Target) {
        let mut state = self.state.lock();
        if let Some(request) = context.packet.shared() {
            state.request = Some(Arc::clone(request));
        }
        let uri = if branch.uri.is_empty() { context.message().request_uri() } else { &branch.uri };
        let main =
            Main { socket: context.node.socket_name(target.socket), peer: target.peer, uri: uri.into() };
        state.sent.retain(|(known, _)| *known != index);
        state.sent.push((index, main));
        state.sent_ms = context.now_ms;
        self.front.with(&context.node, &self.settings, context.now_s, |mid| mid.departs(&mut state.pending));
    }
}

/// Where the main registrar reaches us by a socket.
fn place(socket: &Socket) -> Place<'_> {
    Place { host_port: &socket.sent_by, transport: super::transport_in_uri(socket) }
}

/// What becomes of a final answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// It passes.
    Passes,
    /// The context's edits make it the one for the client.
    Edited,
    /// It was a 423, and the request is to be sent to the same destination again, with other intervals.
    Again,
}

/// Deals with the final answer of one branch of a transaction. The context holds the answer, and the edits of the reply routes.
pub fn answered(
    context: &mut Context,
    branch: u16,
    journey: &Journey,
    transaction: &TransactionState,
) -> Answered {
    let status = context.message().status();
    let mut state = journey.state.lock();
    if state.is_over {
        return Answered::Passes;
    }
    state.is_heard = true;
    let (is_silent, waited_ms) = (state.is_silent, context.now_ms.saturating_sub(state.sent_ms));
    state.pending.waited(if is_silent { u64::MAX } else { waited_ms });
    journey.front.silence.heard();
    context.node.fronts.note_latency(context.now_ms.saturating_sub(state.sent_ms));
    if status == 423 {
        let least_s = cseq::number(context.message(), Name::MinExpires).ok().flatten();
        let raised = least_s.is_some_and(|least_s| state.pending.raise(least_s));
        return if raised { Answered::Again } else { Answered::Passes };
    }
    if !(200..300).contains(&status) {
        return Answered::Passes;
    }
    state.is_over = true;
    accept(context, journey, &state, branch, transaction);
    Answered::Edited
}

/// A 2xx: what it grants holds here too, and the client is told what holds.
fn accept(
    context: &mut Context,
    journey: &Journey,
    state: &State,
    branch: u16,
    transaction: &TransactionState,
) {
    let Context { node, packet, rare, events, keep_connection, scratch, worker, now_s, .. } = context;
    let response = packet.message();
    let Some((_, main)) = state.sent.iter().find(|(index, _)| *index == branch) else { return };
    let Some(request) = &state.request else { return };
    let Some(socket) = node.socket_by_name(main.socket).and_then(|id| node.socket(id)) else { return };
    scratch.clear();
    let listens = transaction.configuration.routes.location_events;
    let changes = Changes { node, events, leases: keep_connection };
    // The answer waits until the database has what it grants.
    ((), rare.drafted) =
        changes.gather_waiting(listens, journey.connection, node.store.is_through(), |sink| {
            journey.front.with(node, &journey.settings, *now_s, |mid| {
                mid.accepted(&request.message, &state.pending, response, main, place(socket), scratch, sink);
            });
        });
    node.counters.bump(*worker, Stat::AcceptedForwards);
    let edits = &mut rare.edits;
    // What the main registrar says about contacts is about ours, not about the client's.
    for name in [Name::Contact, Name::Expires, Name::Path] {
        for header in response.header_all(name) {
            edits.remove_header(&header);
        }
    }
    for header in response.header_all(Name::Require) {
        if ascii::eq_ignore_case(header.value, b"outbound") {
            edits.remove_header(&header);
        }
    }
    edits.append_lines(response, scratch);
}

/// All destinations have failed with `code`, or none could be used: answers the client from what is known here if
/// `upstream_down` says so. True when it was answered. The context is that of the request.
pub fn survive(context: &mut Context, code: u16) -> bool {
    if code != 408 && code < 500 {
        return false;
    }
    let Some(journey) = context.rare.journey.clone().filter(|journey| journey.may_survive()) else {
        return false;
    };
    let node = Arc::clone(&context.node);
    let message = context.message().clone();
    let mut lines = Vec::new();
    let listens = context.configuration.routes.location_events;
    let now_s = context.now_s;
    let outcome = {
        let mut state = journey.state.lock();
        if state.is_over {
            return false;
        }
        state.is_silent |= code == 408;
        unanswered(&node, &journey, &state, now_s);
        state.is_over = true;
        Changes::of(context).gather(listens, journey.connection, |sink| {
            journey.front.with(&node, &journey.settings, now_s, |mid| {
                mid.survive(&message, &state.pending, &mut lines, sink)
            })
        })
    };
    let Some(outcome) = outcome else {
        node.counters.bump(context.worker, Stat::RejectedForwards);
        return false;
    };
    node.counters.bump(context.worker, Stat::SurvivedForwards);
    context.push_date(&mut lines);
    if let Some((_, state)) = context.transaction.clone() {
        state.lock().reply_headers.extend_from_slice(&lines);
        reply::stateful(context, outcome.status, outcome.reason.as_bytes(), b"")
    } else {
        reply::stateless(context, outcome.status, outcome.reason.as_bytes(), &lines)
    }
}

/// Whether a transaction that has its final reply is that of a forwarded REGISTER whose answer was not dealt with, so that
/// [`completed`] has to be called. It lets go of one that was.
#[must_use]
pub fn is_open(inner: &mut Inner) -> bool {
    let Some(journey) = &inner.journey else { return false };
    let is_over = journey.state.lock().is_over;
    if is_over {
        inner.journey = None;
    }
    !is_over
}

/// The transaction of a forwarded REGISTER has its final reply: with `code`, made here (`local`) or received. The context
/// is an empty one.
pub fn completed(context: &mut Context, transaction: &TransactionState, code: u16, local: bool) {
    let Some(journey) = transaction.lock().journey.take() else { return };
    let mut state = journey.state.lock();
    if std::mem::replace(&mut state.is_over, true) {
        return;
    }
    let node = Arc::clone(&context.node);
    node.counters.bump(context.worker, Stat::RejectedForwards);
    state.is_silent |= code == 408;
    if local || code == 408 || (500..600).contains(&code) {
        unanswered(&node, &journey, &state, context.now_s);
        return;
    }
    let Some(request) = state.request.clone() else { return };
    let listens = transaction.configuration.routes.location_events;
    let now_s = context.now_s;
    Changes::of(context).gather(listens, None, |sink| {
        journey.front.with(&node, &journey.settings, now_s, |mid| {
            mid.rejected(&request.message, &state.pending, code, sink);
        });
    });
}

/// The transaction of a forwarded REGISTER is gone without a final reply: nothing was sent, or nobody waits for it.
pub fn abandoned(context: &mut Context, transaction: &TransactionState) {
    let Some(journey) = transaction.lock().journey.take() else { return };
    let mut state = journey.state.lock();
    if !std::mem::replace(&mut state.is_over, true) {
        unanswered(&context.node, &journey, &state, context.now_s);
    }
}

/// A branch has ended without any answer.
pub fn fell_silent(transaction: &TransactionState) {
    if let Some(journey) = &transaction.lock().journey {
        journey.state.lock().is_silent = true;
    }
}

fn unanswered(node: &crate::node::Node, journey: &Journey, state: &State, now_s: u64) {
    // Without a request nothing was sent, and nobody knows of it.
    let Some(request) = &state.request else { return };
    if state.is_silent && !state.is_heard {
        journey.front.silence.missed();
    }
    let last = state.sent.last().filter(|_| state.is_silent).map(|(_, main)| main);
    let sent_to = last.and_then(|main| {
        let socket = node.socket(node.socket_by_name(main.socket)?)?;
        Some((main, place(socket)))
    });
    journey.front.with(node, &journey.settings, now_s, |mid| {
        mid.unanswered(&request.message, &state.pending, sent_to);
    });
}
