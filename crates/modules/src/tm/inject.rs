//! Branches that come later: a transaction that waits for them, and adding them from routes that have nothing else to do
//! with it (`t_wait_for_new_branches`, `t_inject_branches`, `t_wait_no_more_branches`).
//!
//! Only one route at a time adds branches to a transaction, since their numbers stand in what is sent. While its own
//! request or failure route runs, what is to be added waits with it ([`Inner::injections`](super::state::Inner)), and is
//! added when that route has ended.

use std::sync::Arc;

use seawall_script::{Call, FlagDecl, Flow, Value};
use seawall_transaction::{BranchSelection, TransactionId};

use super::relay::{self, Options};
use super::state::TransactionState;
use crate::branch::{Branch, NO_Q};
use crate::configuration::Configuration;
use crate::context::{Context, EventParameters, Failure};
use crate::core::MAX_BRANCHES;
use crate::forward::{self, NoTarget};
use crate::node::{Node, Socket};
use crate::registrar::waking::Wait;

/// The flags of `t_inject_branches`.
pub(super) const FLAGS: &[FlagDecl] = &[
    FlagDecl::new("cancel", "c", "Cancels the branches that there are."),
    FlagDecl::new("last", "l", "No further branches are waited for."),
];

const CANCEL: usize = 0;
const LAST: usize = 1;

/// Branches for a transaction.
#[derive(Debug, Clone)]
pub struct Injection {
    /// The destinations.
    pub branches: Vec<Branch>,
    /// Whether the branches that there are end.
    pub cancel: bool,
    /// Whether no further ones are waited for.
    pub last: bool,
    /// The phone that was waited for, which they are of.
    pub wait: Option<Arc<Wait>>,
}

/// A transaction, as a route knows it.
pub type Subject = (TransactionId, Arc<TransactionState>);

/// The transaction that a function of this file is about: the route's own, or that of whoever subscribed to the event
/// that the route runs for.
fn subject(context: &Context) -> Option<Subject> {
    context.transaction.clone().or_else(|| context.rare.notice.clone())
}

pub(super) fn wait_for_new_branches(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let most = match call.int(0) {
        None => None,
        Some(most @ 1..=32) => Some(most.unsigned_abs() as usize),
        Some(_) => return Flow::FALSE,
    };
    let Some((id, state)) = context.transaction.clone() else { return Flow::FALSE };
    let timers = context.configuration.settings.tm.timers;
    let timeout_ms = context.rare.timeouts_ms.map_or(timers.fr_inv_timeout_ms, |(_, invite_ms)| invite_ms);
    state.lock().expects = Some(most);
    expect_until(context, id, context.now_ms + u64::from(timeout_ms));
    Flow::TRUE
}

/// Lets a transaction wait for branches up to a time, at least.
pub(crate) fn expect_until(context: &mut Context, id: TransactionId, until_ms: u64) {
    let node = Arc::clone(&context.node);
    if let Some(shard) = node.shard(id.shard) {
        shard.lock().expect_branches(context.now_ms, id, until_ms, &mut context.effects);
    }
}

/// Lets a transaction wait for no further branches.
pub(crate) fn expect_no_more(context: &mut Context, id: TransactionId) {
    let node = Arc::clone(&context.node);
    if let Some(shard) = node.shard(id.shard) {
        shard.lock().expect_no_more_branches(context.now_ms, id, &mut context.effects);
    }
}

pub(super) fn wait_no_more_branches(context: &mut Context, _: &mut Call<'_, Context>) -> Flow {
    let Some((id, state)) = subject(context) else { return Flow::FALSE };
    state.lock().expects = None;
    crate::registrar::waking::forget(&context.node, &state);
    expect_no_more(context, id);
    Flow::TRUE
}

pub(super) fn inject_branches(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(subject) = subject(context) else { return Flow::FALSE };
    let (cancel, last) = call.flags(1).map_or((false, false), |flags| (flags.has(CANCEL), flags.has(LAST)));
    let branches = match call.str(0) {
        Some(b"event") => event_branch(context).into_iter().collect(),
        _ => message_branches(context),
    };
    if branches.is_empty() && !cancel && !last {
        return Flow::FALSE;
    }
    let injection = Injection { branches, cancel, last, wait: None };
    // A route that adds to its own transaction has its turn already.
    if context.transaction.is_some() {
        return inject(context, subject, injection);
    }
    add(context, subject, injection)
}

/// The contact that the event of this route is about.
fn event_branch(context: &Context) -> Option<Branch> {
    let newest = |name: &str| context.rare.avps.value(name.as_bytes(), 0).cloned();
    let is_pushed = context.rare.notice_is_pushed;
    branch_of(&context.node, &context.configuration, &newest, is_pushed)
}

/// The destinations that a route has made.
fn message_branches(context: &Context) -> Vec<Branch> {
    let mut branches = Vec::new();
    let own = Branch { uri: context.request_uri().to_vec(), ..context.target.clone() };
    if !own.uri.is_empty() {
        branches.push(own);
    }
    branches.extend(context.rare.branches.iter().take(MAX_BRANCHES).cloned());
    branches
}

/// The destination that the attributes of an event of a contact make, without the parameters that are for pushes alone if
/// it is woken by pushes.
pub(crate) fn branch_of(
    node: &Node,
    configuration: &Configuration,
    attribute: &dyn Fn(&str) -> Option<Value>,
    is_pushed: bool,
) -> Option<Branch> {
    let text = |name: &str| attribute(name).and_then(Value::into_bytes).map(|text| text.to_vec());
    let number = |name: &str| attribute(name).and_then(|value| value.as_int());
    let contact = text("uri").filter(|uri| !uri.is_empty())?;
    let mut uri = Vec::with_capacity(contact.len());
    match configuration.push().filter(|_| is_pushed) {
        Some(push) => push.strip(&contact, &mut uri),
        None => uri = contact,
    }
    let path = text("path").unwrap_or_default();
    let received = text("received").unwrap_or_default();
    let socket = text("socket").unwrap_or_default();
    let is_it = |known: &&Socket| known.description.as_bytes() == socket;
    let mut branch = Branch {
        uri,
        destination: seawall_registrar::first_uri(&path).map_or(received, <[u8]>::to_vec),
        path,
        socket: node.sockets.iter().find(is_it).map(|socket| socket.id),
        // Tenths become thousandths.
        q: number("qval").and_then(|q| u16::try_from(q).ok()).filter(|q| *q <= 10).map_or(NO_Q, |q| q * 100),
        flags: number("bflags").and_then(|flags| u32::try_from(flags).ok()).unwrap_or(0),
        ..Branch::default()
    };
    let name = &configuration.settings.registrar.attribute_name;
    if let Some(attr) = text("attr").filter(|attr| !attr.is_empty() && !name.is_empty()) {
        branch.set_attribute(name, Value::str(attr));
    }
    Some(branch)
}

/// The destination that an event of a contact makes.
pub(crate) fn registered_branch(
    context: &Context,
    configuration: &Configuration,
    event: &EventParameters,
) -> Option<Branch> {
    let subject = event.subject.as_deref();
    let is_pushed = subject.is_some_and(|subject| subject.is_pushed);
    let branch = branch_of(&context.node, configuration, &|name| event.value(name).cloned(), is_pushed)?;
    // As exactly as the binding has it.
    let q = subject.map(|subject| subject.q).filter(|q| *q <= 1000).unwrap_or(NO_Q);
    Some(Branch { q, ..branch })
}

/// Adds branches to a transaction as soon as no other route works on it.
pub(crate) fn add(context: &mut Context, subject: Subject, injection: Injection) -> Flow {
    {
        // In one step: whoever looks at the transaction sees the wait, or what has come of it.
        let mut inner = subject.1.lock();
        if let Some(wait) = &injection.wait {
            let Some(place) = inner.waits.iter().position(|known| Arc::ptr_eq(known, wait)) else {
                return Flow::FALSE;
            };
            inner.waits.remove(place);
        }
        if inner.is_busy {
            if inner.injections.len() >= MAX_BRANCHES {
                return Flow::FALSE;
            }
            inner.injections.push(injection);
            return Flow::TRUE;
        }
        inner.is_busy = true;
    }
    let flow = inject(context, subject.clone(), injection);
    if flow != Flow::Pending {
        give_up_turn(context, &subject);
    }
    flow
}

/// A route has done with its transaction: adds what was to be added meanwhile.
pub fn give_up_turn(context: &mut Context, subject: &Subject) {
    loop {
        let next = {
            let mut inner = subject.1.lock();
            if inner.injections.is_empty() {
                inner.is_busy = false;
                return;
            }
            inner.injections.remove(0)
        };
        if inject(context, subject.clone(), next) == Flow::Pending {
            // It goes on when its next hop is resolved; whoever ran before has nothing left to wait for.
            return;
        }
    }
}

/// Adds branches to a transaction. The caller has its turn.
fn inject(context: &mut Context, subject: Subject, injection: Injection) -> Flow {
    let (id, state) = subject.clone();
    let node = Arc::clone(&context.node);
    let Some(shard) = node.shard(id.shard) else { return Flow::FALSE };
    let request = shard.lock().request_of(id);
    let Some(request) = request else { return Flow::FALSE };
    let mut other = Context::new(Arc::clone(&node), context.worker);
    other.configuration = Arc::clone(&state.configuration);
    (other.now_ms, other.now_s, other.route) = (context.now_ms, context.now_s, context.route);
    other.origin = state.origin;
    other.packet.share(request);
    other.rare.resolved.clone_from(&context.rare.resolved);
    for branch in &injection.branches {
        if let Err(NoTarget::Resolve(host)) = forward::target(&other, branch) {
            return context.wait_for_host(host, move |context| {
                let flow = inject(context, subject.clone(), injection);
                if flow != Flow::Pending && context.transaction.is_none() {
                    give_up_turn(context, &subject);
                }
                flow
            });
        }
    }
    if injection.cancel {
        shard.lock().cancel_branches(context.now_ms, id, BranchSelection::All, &mut context.effects);
    }
    let count = injection.branches.len();
    let sent = count == 0 || {
        relay::restore(&mut other, id, &state, Failure { code: 0, branch: u16::MAX });
        (other.rare.failure, other.rare.branch_index) = (None, 0);
        let path = node.keys.path_hash(other.message());
        let flow = relay::send_branches(
            &mut other,
            injection.branches,
            path,
            &Options { auto_477: false, proxy: None },
        );
        // What the branch routes have changed is the transaction's.
        state.lock().avps = std::mem::take(&mut other.rare.avps);
        context.effects.append(&mut other.effects);
        context.events.append(&mut other.events);
        flow == Flow::TRUE
    };
    if injection.last || was_last(&state, if sent { count } else { 0 }) {
        expect_no_more(context, id);
    }
    Flow::bool(sent)
}

/// Counts branches that were added; whether they were the last ones that are waited for.
fn was_last(state: &TransactionState, count: usize) -> bool {
    let mut inner = state.lock();
    match &mut inner.expects {
        Some(Some(left)) => {
            *left = left.saturating_sub(count);
            *left == 0
        }
        Some(None) => false,
        // The script does not wait: the phones that are being woken are all that is waited for.
        None => inner.waits.is_empty() && inner.injections.is_empty(),
    }
}
