//! Relaying a request: making its transaction, preparing its branches and sending them.

use std::sync::Arc;

use seawall_script::{Flow, Frame, Outcome, RouteId, RouteKind};
use seawall_transaction::proxy::check;
use seawall_transaction::{CreateError, NewBranch, RequestMatch, TransactionId};
use smallvec::SmallVec;

use super::state::{Kept, SentBranch, TransactionState};
use crate::branch::Branch;
use crate::context::{Context, Failure, Target};
use crate::forward::{self, NoTarget};
use crate::reply;

/// By how many bytes a request grows on its way as a rule: our Via, what the Via before it gets, a Record-Route, a longer
/// Contact.
const USUAL_GROWTH: usize = 384;

/// How `t_relay` was called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Whether 477 is sent when no branch could be sent.
    pub auto_477: bool,
    /// A next hop for the branches that have none of their own (`$du`).
    pub proxy: Option<Vec<u8>>,
}

/// What came of making a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// There is one now.
    New,
    /// The request is a retransmission; it was absorbed.
    Absorbed,
    /// There can be none: the request lacks what one is found by, or there are too many.
    Failed,
}

/// Matches the request against the transactions; retransmissions are answered again.
pub fn matching(context: &mut Context) -> RequestMatch {
    let Some(key) = context.server_key() else { return RequestMatch::New };
    let node = &context.node;
    let Some(shard) = node.shard(key.shard(node.shards())) else { return RequestMatch::New };
    shard.lock().request(context.now_ms, &key, context.packet.message(), &mut context.effects)
}

/// As [`matching`], for a REGISTER, of which most have no transaction: that is told without a search as a rule.
#[inline]
pub fn matching_register(context: &mut Context) -> RequestMatch {
    match context.node.keys.mark(context.message()) {
        Some(mark) if !context.node.marks.may_have(mark) => RequestMatch::New,
        _ => matching(context),
    }
}

/// The state of a transaction that is to be made, in the memory of one that has ended if there is such.
fn new_state(context: &mut Context) -> Arc<TransactionState> {
    let spare = context.spares.as_mut().and_then(|spares| spares.state());
    let configuration = &context.configuration;
    let used = spare.and_then(|mut state| {
        let used = Arc::get_mut(&mut state)?;
        used.origin = context.origin;
        if !Arc::ptr_eq(&used.configuration, configuration) {
            used.configuration = Arc::clone(configuration);
        }
        Some(state)
    });
    // It is large: filled in where it stays.
    let mut state =
        used.unwrap_or_else(|| TransactionState::shared(Arc::clone(configuration), context.origin));
    if let Some(inner) = Arc::get_mut(&mut state).map(TransactionState::inner_mut) {
        inner.armed = context.rare.armed;
        inner.flags = context.flags;
        inner.accounting = context.rare.accounting;
        if !context.rare.avps.is_empty() {
            inner.avps.clone_from(&context.rare.avps);
        }
        if !context.rare.reply_headers.is_empty() {
            inner.reply_headers = std::mem::take(&mut context.rare.reply_headers);
        }
        if !context.rare.added_headers.is_empty() {
            inner.added_headers.clone_from(&context.rare.added_headers);
        }
        inner.journey.clone_from(&context.rare.journey);
        inner.is_busy = true;
    }
    state
}

/// Makes the transaction of the context's request.
pub fn create(context: &mut Context) -> Created {
    let Some(key) = context.server_key() else { return Created::Failed };
    let node = Arc::clone(&context.node);
    let Some(shard) = node.shard(key.shard(node.shards())) else { return Created::Failed };
    let request = context.share_packet();
    let state = new_state(context);
    let mut layer = shard.lock();
    match layer.create(context.now_ms, &key, request, Arc::clone(&state), &mut context.effects) {
        Ok(id) => {
            layer.hold_failure(id, context.rare.armed.failure.is_some() || may_survive(context));
            if let Some((first_ms, invite_ms)) = context.rare.timeouts_ms {
                layer.set_timeouts(id, first_ms, invite_ms);
            }
            drop(layer);
            context.transaction = Some((id, state));
            Created::New
        }
        Err(CreateError::Exists(_)) => Created::Absorbed,
        Err(CreateError::Full) => {
            drop(layer);
            reply::stateless(context, 503, b"Service Unavailable", b"Retry-After: 5\r\n");
            Created::Absorbed
        }
    }
}

/// Forwards an ACK of a 2xx, which belongs to no transaction (RFC 3261 section 13.2.2.4).
pub fn acknowledge(context: &mut Context, proxy: Option<&[u8]>) -> Flow {
    if let Some(proxy) = proxy.filter(|_| context.target.destination.is_empty()) {
        context.target.destination = forward::as_uri(proxy);
    }
    forward::stateless_to_target(context)
}

/// Carries out a CANCEL (RFC 3261 section 16.10): its transaction's branches are cancelled; one that matches none is
/// forwarded without state.
pub fn cancel(context: &mut Context) -> Flow {
    let RequestMatch::Cancel(id) = matching(context) else { return forward::stateless_to_target(context) };
    reply::stateless(context, 200, b"canceling", b"");
    let node = Arc::clone(&context.node);
    let Some(shard) = node.shard(id.shard) else { return Flow::FALSE };
    let mut layer = shard.lock();
    let state = layer.context(id);
    let request = layer.request_of(id);
    layer.cancel(context.now_ms, id, context.packet.message(), &mut context.effects);
    drop(layer);
    if let (Some(state), Some(request)) = (state, request)
        && context.configuration.settings.acc.report_cancels
    {
        let (accounting, avps) = {
            let inner = state.lock();
            (inner.accounting, inner.avps.clone())
        };
        let configuration = &state.configuration;
        let (request, now_s) = (&request.message, context.now_s);
        crate::acc::Report { node: &node, configuration, accounting, avps: &avps, request, now_s }
            .cancelled();
    }
    Flow::TRUE
}

/// Relays the request to all destinations of the context.
pub fn relay(context: &mut Context, options: Options) -> Flow {
    if !context.rare.wakes.is_empty() && crate::registrar::waking::reaches_nobody_else(context) {
        // All contacts sleep: each becomes a branch when it has registered (registrar 1.1.3).
        return Flow::TRUE;
    }
    let path = context.node.keys.path_hash(context.message());
    if let Err(objection) = check::check(context.packet.message(), &context.node.keys, path, &[]) {
        let mut lines = Vec::new();
        objection.write_headers(context.packet.message(), &[], &mut lines);
        reply::send(context, objection.status(), objection.reason(), &lines);
        return Flow::Exit;
    }
    let mut branches = SmallVec::<[Branch; 1]>::new();
    // Every branch knows its Request-URI from here on, so that later routes can ask for it.
    let mut first = context.spares.as_mut().map(|spares| spares.branch()).unwrap_or_default();
    first.copy_from(&context.target);
    if first.uri.is_empty() {
        first.uri.extend_from_slice(context.message().request_uri());
    }
    branches.push(first);
    context.rare.branches.iter().for_each(|branch| branches.push(branch.clone()));
    if let Some(proxy) = &options.proxy {
        for branch in branches.iter_mut().filter(|branch| branch.destination.is_empty()) {
            branch.destination = forward::as_uri(proxy);
        }
    }
    let mut targets = SmallVec::new();
    for branch in &branches {
        match forward::target(context, branch) {
            Err(NoTarget::Resolve(host)) => {
                return context.wait_for_host(host, |context| relay(context, options));
            }
            found => targets.push(found.ok()),
        }
    }
    let mut first = None;
    if context.transaction.is_none() {
        match create(context) {
            Created::New => first = Some(0),
            Created::Absorbed => return Flow::Value(0),
            Created::Failed => return Flow::Value(-2),
        }
    }
    send_to(context, branches, (&targets, first), path, &options)
}

/// The next hop of each branch, as far as it is known.
type Targets = SmallVec<[Option<Target>; 2]>;

/// Prepares every branch and gives those that are left to the transaction layer.
pub(super) fn send_branches(
    context: &mut Context,
    branches: impl IntoIterator<Item = Branch>,
    path: u64,
    options: &Options,
) -> Flow {
    send_to(context, branches, (&Targets::new(), None), path, options)
}

/// As [`send_branches`], for branches of which the next hops were found already, and perhaps the number of the first one.
fn send_to(
    context: &mut Context,
    branches: impl IntoIterator<Item = Branch>,
    (targets, first): (&Targets, Option<u16>),
    path: u64,
    options: &Options,
) -> Flow {
    let Some((id, state)) = context.transaction.clone() else { return Flow::FALSE };
    let node = Arc::clone(&context.node);
    let Some(shard) = node.shard(id.shard) else { return Flow::FALSE };
    let first = match first {
        Some(first) => first,
        None => match shard.lock().next_branch(id) {
            Ok(first) => first,
            Err(_) => return Flow::FALSE,
        },
    };
    keep(context, &state);
    let mut unusable = None;
    let mut new = SmallVec::<[NewBranch<Target>; 2]>::new();
    for (place, mut branch) in branches.into_iter().enumerate() {
        let index = first.saturating_add(u16::try_from(new.len()).unwrap_or(u16::MAX));
        match prepare(context, &mut branch, targets.get(place).copied().flatten(), index, path) {
            Ok((message, reply_route)) => {
                let mut inner = state.lock();
                inner.branches.truncate(usize::from(index));
                inner.branches.push(SentBranch { branch, reply_route });
                new.push(message);
            }
            Err(Some(fault)) => unusable = Some(fault),
            // The branch route dropped it.
            Err(None) => {}
        }
    }
    if new.is_empty() {
        if unusable.is_some() && crate::mid_registrar::survive(context, 503) {
            return Flow::TRUE;
        }
        return match unusable {
            Some(NoTarget::Unresolved | NoTarget::NotSip | NoTarget::Forbidden) => Flow::Value(-4),
            Some(NoTarget::NoSocket) => {
                if options.auto_477 {
                    reply::send(context, 477, b"Send failed (477/TM)", b"");
                }
                Flow::Value(-6)
            }
            _ => Flow::Value(-3),
        };
    }
    let survives = may_survive(context);
    let mut layer = shard.lock();
    if survives {
        // What the main registrar does not answer is answered here, whether or not the script waits for it.
        layer.hold_failure(id, true);
    }
    let forwarded = layer.forward(context.now_ms, id, new, &mut context.effects);
    drop(layer);
    if forwarded.is_err() {
        state.lock().branches.truncate(usize::from(first));
    }
    Flow::bool(forwarded.is_ok())
}

/// Gives a failure route what the request route left behind. It starts from the destination whose reply won, so that
/// `$ru` and the branch's attributes are those.
pub fn restore(context: &mut Context, id: TransactionId, state: &Arc<TransactionState>, failure: Failure) {
    let mut inner = state.lock();
    context.rare.armed = inner.armed;
    context.flags = inner.flags;
    context.rare.accounting = inner.accounting;
    context.rare.avps = std::mem::take(&mut inner.avps);
    *context.target = match inner.branches.get(usize::from(failure.branch)) {
        Some(sent) => sent.branch.clone(),
        None => inner.kept.target.clone(),
    };
    context.rare.edits = inner.kept.edits.clone();
    context.rare.record_route = inner.kept.record_route.clone();
    context.rare.path_header = inner.kept.path_header.clone();
    context.rare.loose_route = inner.kept.loose_route.clone();
    context.rare.max_forwards = inner.kept.max_forwards;
    context.rare.add_local_rport = inner.kept.add_local_rport;
    context.rare.force_rport = inner.kept.force_rport;
    context.rare.serial = inner.kept.serial.clone();
    context.rare.added_headers = inner.added_headers.clone();
    context.rare.journey = inner.journey.clone();
    drop(inner);
    context.transaction = Some((id, Arc::clone(state)));
    context.rare.failure = Some(failure);
    context.rare.branch_index = failure.branch;
}

/// Whether a forwarded REGISTER may be answered here when it fails.
fn may_survive(context: &Context) -> bool {
    context.rare.journey.as_ref().is_some_and(|journey| journey.may_survive())
}

/// Sends the request to the destination of one of its branches again, as the context's edits have it now. The context
/// was filled by [`restore`].
pub fn again(context: &mut Context) -> Flow {
    let path = context.node.keys.path_hash(context.message());
    let branch = context.target.clone();
    send_branches(context, [branch], path, &Options { auto_477: false, proxy: None })
}

/// Leaves with the transaction what its failure route will find.
pub fn keep(context: &Context, state: &TransactionState) {
    let mut inner = state.lock();
    inner.armed = context.rare.armed;
    inner.flags = context.flags;
    if !(context.rare.avps.is_empty() && inner.avps.is_empty()) {
        inner.avps.clone_from(&context.rare.avps);
    }
    inner.accounting = context.rare.accounting;
    inner.journey.clone_from(&context.rare.journey);
    let Kept {
        target,
        edits,
        record_route,
        path_header,
        loose_route,
        max_forwards,
        add_local_rport,
        force_rport,
        serial,
    } = &mut inner.kept;
    target.copy_from(&context.target);
    if !(edits.is_empty() && context.rare.edits.is_empty()) {
        edits.clone_from(&context.rare.edits);
    }
    record_route.clone_from(&context.rare.record_route);
    path_header.clone_from(&context.rare.path_header);
    loose_route.clone_from(&context.rare.loose_route);
    if !(serial.is_empty() && context.rare.serial.is_empty()) {
        serial.clone_from(&context.rare.serial);
    }
    *max_forwards = context.rare.max_forwards;
    *add_local_rport = context.rare.add_local_rport;
    *force_rport = context.rare.force_rport;
}

/// Runs the branch route and writes the message of one branch; gives it, and the reply route that was armed for this branch
/// alone. An error without a fault: the route dropped it.
fn prepare(
    context: &mut Context,
    branch: &mut Branch,
    target: Option<Target>,
    index: u16,
    path: u64,
) -> Result<(NewBranch<Target>, Option<RouteId>), Option<NoTarget>> {
    let Some((id, _)) = context.transaction else { return Err(None) };
    let Some(route) = context.rare.armed.branch else {
        return Ok((written(context, branch, target, id, index, path)?, None));
    };
    let edits = context.rare.edits.clone();
    let armed = context.rare.armed;
    std::mem::swap(&mut *context.target, branch);
    let kept = run_branch_route(context, route, index);
    std::mem::swap(&mut *context.target, branch);
    let result = if kept { written(context, branch, None, id, index, path) } else { Err(None) };
    let reply_route = (context.rare.armed.reply != armed.reply).then_some(context.rare.armed.reply).flatten();
    context.rare.edits = edits;
    context.rare.armed = armed;
    result.map(|new| (new, reply_route))
}

fn written(
    context: &mut Context,
    branch: &Branch,
    target: Option<Target>,
    id: TransactionId,
    index: u16,
    path: u64,
) -> Result<NewBranch<Target>, Option<NoTarget>> {
    let target = match target {
        Some(known) => known,
        None => forward::target(context, branch).map_err(Some)?,
    };
    if let Some(journey) = &context.rare.journey {
        journey.departs(context, index, branch, &target);
    }
    let mut via_branch = std::mem::take(&mut context.scratch);
    via_branch.clear();
    context.node.keys.write_branch(id.branch(index), path, &mut via_branch);
    let mut bytes = context.spare_text(context.message().bytes().len() + USUAL_GROWTH);
    if let Some(text) = Arc::get_mut(&mut bytes) {
        forward::write(context, branch, &target, &via_branch, text);
    }
    context.scratch = via_branch;
    Ok(NewBranch { index, target, bytes, timeouts_ms: None })
}

/// Runs a branch route for the branch that is `context.target` now. False when the route dropped the branch.
pub(crate) fn run_branch_route(context: &mut Context, route: seawall_script::RouteId, index: u16) -> bool {
    let configuration = Arc::clone(&context.configuration);
    let (kind, branch_index) = (context.route, context.rare.branch_index);
    context.route = RouteKind::Branch;
    context.rare.branch_index = index;
    let mut frame = Frame::new(route);
    let outcome = seawall_script::run(&configuration.program, &mut frame, context);
    context.route = kind;
    context.rare.branch_index = branch_index;
    match outcome {
        Outcome::Done { drop, .. } => !drop,
        // Nothing in a branch route can wait: the branches of a request leave together.
        Outcome::Parked | Outcome::StepLimit { .. } | Outcome::Error { .. } => false,
    }
}
