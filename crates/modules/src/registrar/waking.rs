//! Requests that wait for phones to wake (registrar 1.1.3).
//!
//! A lookup that finds contacts which sleep leaves them in the context ([`note`]). When the route has ended and what it
//! decided stands in its transaction, [`carry_out`] lets the transaction wait, subscribes to the registration of each
//! phone, looks once more whether it has registered meanwhile, and only then wakes it: no registration is missed. When it
//! registers, whichever worker sees that, [`arrived`] adds its contact as a branch, once. A request that has its final
//! answer waits no longer ([`forget`]), and a push that was not sent by then is not sent any more.

use std::sync::{Arc, Weak};

use seawall_location::{Binding, Domain};
use seawall_registrar::push::is_same_phone;
use seawall_registrar::{Found, Push, Sleeper};
use seawall_script::{Flow, RouteKind};
use seawall_sip::{Message, Name, NameAddr, ascii, name_addr};
use seawall_transaction::TransactionId;

use super::outstanding::Begun;
use crate::context::{Context, EventParameters};
use crate::core::MAX_BRANCHES;
use crate::event_routing::{Phone, Subscription, Then, Wanted};
use crate::events;
use crate::node::Node;
use crate::push::{Wake, wake};
use crate::tm::inject::{self, Injection};
use crate::tm::relay::{self, Created};
use crate::tm::state::TransactionState;

/// A phone that has to be woken.
#[derive(Clone)]
pub struct Asleep {
    /// The table that it is registered in.
    pub domain: Arc<Domain>,
    /// The parameters.
    pub push: Arc<Push>,
    /// Who it is.
    pub phone: Phone,
    /// Call-ID, CSeq and second of its last REGISTER, as it was seen.
    pub seen: (Box<[u8]>, u32, u32),
}

/// A request that waits for a phone.
#[derive(Debug)]
pub struct Wait {
    transaction: TransactionId,
    /// Weak, because the state holds the wait.
    state: Weak<TransactionState>,
    subscription: parking_lot::Mutex<Option<u64>>,
    outstanding: parking_lot::Mutex<Option<u64>>,
}

/// What came of an attempt to wake a phone.
pub(super) enum Woken {
    /// It is pushed to, or was already; the number of the attempt.
    Waits(Option<u64>),
    /// It has registered since it was seen; what that said.
    Awake(EventParameters),
    /// It is not registered any more.
    Gone,
}

impl Asleep {
    /// A phone of a lookup.
    fn new(domain: &Arc<Domain>, push: &Arc<Push>, sleeper: &Sleeper<'_>) -> Asleep {
        Asleep {
            domain: Arc::clone(domain),
            push: Arc::clone(push),
            phone: Phone {
                domain: domain.name().into(),
                aor: sleeper.aor.into(),
                uri: sleeper.uri.into(),
                instance: sleeper.instance.into(),
                contact_id: sleeper.contact_id,
            },
            seen: (sleeper.callid.into(), sleeper.cseq, sleeper.last_modified_s),
        }
    }

    /// The phone of a binding.
    pub(super) fn of(domain: &Arc<Domain>, push: &Arc<Push>, aor: &[u8], binding: &Binding<'_>) -> Asleep {
        let numbers = &binding.numbers;
        let sleeper = Sleeper {
            aor,
            uri: binding.contact,
            instance: binding.instance,
            callid: binding.callid,
            contact_id: numbers.contact_id,
            cseq: numbers.cseq,
            last_modified_s: numbers.last_modified_s,
        };
        Asleep::new(domain, push, &sleeper)
    }

    fn is_it(&self, binding: &Binding<'_>) -> bool {
        binding.numbers.contact_id == self.phone.contact_id
            || is_same_phone((&self.phone.uri, &self.phone.instance), (binding.contact, binding.instance))
    }

    fn was_seen(&self, binding: &Binding<'_>) -> bool {
        let (callid, cseq, last_modified_s) = &self.seen;
        let numbers = &binding.numbers;
        *binding.callid == **callid && (numbers.cseq, numbers.last_modified_s) == (*cseq, *last_modified_s)
    }

    /// How long a request waits for it, in milliseconds.
    pub(super) fn patience_ms(&self) -> u64 {
        u64::from(self.push.refresh_timeout_s) * 1000
    }
}

/// Keeps the phones that the last lookup found asleep until the route has ended.
#[inline]
pub(crate) fn note(context: &mut Context, domain: &Arc<Domain>, push: Option<&Arc<Push>>) {
    if let Some(push) = push.filter(|_| context.targets.sleepers().len() > 0) {
        note_sleepers(context, domain, push);
    }
}

/// As [`note`], for the registrar's own settings.
#[inline]
pub(crate) fn note_own(context: &mut Context, domain: &Arc<Domain>) {
    if context.targets.sleepers().len() > 0
        && let Some(push) = context.configuration.settings.registrar.policy.push.clone()
    {
        note_sleepers(context, domain, &push);
    }
}

#[cold]
fn note_sleepers(context: &mut Context, domain: &Arc<Domain>, push: &Arc<Push>) {
    let targets = std::mem::take(&mut context.targets);
    let room = MAX_BRANCHES.saturating_sub(context.rare.wakes.len());
    context
        .rare
        .wakes
        .extend(targets.sleepers().take(room).map(|sleeper| Asleep::new(domain, push, &sleeper)));
    context.targets = targets;
}

/// What a look-up answers to the script (registrar 1.4.4): `found` is nothing when it has failed, `has_more` tells that
/// contacts of further branches were found, `has_woken` that phones are being woken.
pub(crate) fn answer(context: &mut Context, found: Option<Found>, has_more: bool, has_woken: bool) -> Flow {
    match found {
        _ if has_more => Flow::TRUE,
        Some(Found::Contacts(_)) => Flow::TRUE,
        _ if has_woken => {
            note_nobody(context);
            Flow::Value(2)
        }
        Some(Found::Waking | Found::Nothing) => Flow::FALSE,
        Some(Found::NoMethod) => Flow::Value(-2),
        None => Flow::Value(-3),
    }
}

/// Notes that a lookup found nobody who is awake.
pub(crate) fn note_nobody(context: &mut Context) {
    context.rare.asleep_uri = context.request_uri().to_vec();
}

/// Whether the request has no destination yet but phones that sleep.
pub(crate) fn reaches_nobody_else(context: &Context) -> bool {
    !context.rare.asleep_uri.is_empty()
        && context.rare.asleep_uri == context.request_uri()
        && context.target.destination.is_empty()
        && context.rare.branches.is_empty()
}

/// The route has ended: its transaction, which is made if there is none, waits for the phones, and they are woken.
pub fn carry_out(context: &mut Context) {
    let wakes = std::mem::take(&mut context.rare.wakes);
    // Whoever was answered finally does not wait.
    if wakes.is_empty() || context.replied >= 200 {
        return;
    }
    let is_own = matches!(context.route, RouteKind::Request | RouteKind::Failure);
    if context.transaction.is_none() && context.rare.notice.is_none() && is_own {
        match relay::create(context) {
            Created::New => {}
            Created::Absorbed | Created::Failed => return,
        }
    }
    let Some((id, state)) = context.transaction.clone().or_else(|| context.rare.notice.clone()) else {
        return;
    };
    if context.transaction.is_some() {
        relay::keep(context, &state);
    }
    let patience_ms = wakes.iter().map(Asleep::patience_ms).max().unwrap_or(0);
    inject::expect_until(context, id, context.now_ms + patience_ms);
    let request = context.request_of(id);
    for asleep in wakes {
        begin(context, (id, &state), &asleep, request.as_ref());
    }
    let inner = state.lock();
    let waits = !inner.waits.is_empty() || !inner.injections.is_empty() || inner.expects.is_some();
    drop(inner);
    // Of a transaction that is another route's that one knows better.
    if !waits && context.transaction.is_some() {
        inject::expect_no_more(context, id);
    }
}

/// Subscribes to the registration of one phone, and wakes it.
fn begin(
    context: &mut Context,
    (id, state): (TransactionId, &Arc<TransactionState>),
    asleep: &Asleep,
    request: Option<&Message>,
) {
    let node = Arc::clone(&context.node);
    let wait = Arc::new(Wait {
        transaction: id,
        state: Arc::downgrade(state),
        subscription: parking_lot::Mutex::default(),
        outstanding: parking_lot::Mutex::default(),
    });
    state.lock().waits.push(Arc::clone(&wait));
    let subscription = Subscription {
        wanted: Wanted::Phone(asleep.phone.clone()),
        filters: Vec::new(),
        until_ms: context.now_ms + asleep.patience_ms(),
        then: Then::Inject(Arc::clone(&wait)),
    };
    let Some(number) = node.subscriptions.add(subscription) else {
        state.lock().waits.retain(|known| !Arc::ptr_eq(known, &wait));
        return;
    };
    *wait.subscription.lock() = Some(number);
    let woken = attempt(context, asleep, request);
    match woken {
        Woken::Waits(outstanding) => {
            *wait.outstanding.lock() = outstanding;
            // Another worker may have ended the wait before it could know of the attempt.
            if !state.lock().waits.iter().any(|known| Arc::ptr_eq(known, &wait)) {
                release(&node, &wait);
            }
        }
        // Unless another worker has been told of it already.
        Woken::Awake(event) if node.subscriptions.remove(number) => drop(arrived(context, &wait, &event)),
        Woken::Awake(_) => {}
        Woken::Gone => {
            node.subscriptions.remove(number);
            state.lock().waits.retain(|known| !Arc::ptr_eq(known, &wait));
        }
    }
}

/// Wakes a phone, unless it has registered since it was seen or is being woken already. `request` is the one that waits.
pub(super) fn attempt(context: &mut Context, asleep: &Asleep, request: Option<&Message>) -> Woken {
    let node = Arc::clone(&context.node);
    let (now_ms, now_s) = (context.now_ms, context.now_s);
    let (name, names) = (asleep.domain.name(), asleep.domain.names());
    let (reason, callid) = why(request);
    let event = {
        let entry = asleep.domain.lock(&asleep.phone.aor, now_s);
        let bindings = || entry.valid().map(|(_, binding)| binding);
        let known = bindings().find(|binding| binding.numbers.contact_id == asleep.phone.contact_id);
        match known.filter(|binding| asleep.was_seen(binding)) {
            Some(binding) => {
                events::contact_refresh((name, names), &asleep.phone.aor, &binding, &reason, callid)
            }
            // It has registered with this contact or another one, or it is gone.
            None => match known.or_else(|| bindings().find(|binding| asleep.is_it(binding))) {
                Some(binding) => {
                    let aor = &asleep.phone.aor;
                    return Woken::Awake(events::contact_update(&asleep.domain, aor, &binding));
                }
                None => return Woken::Gone,
            },
        }
    };
    match node.outstanding.begin(&asleep.phone, now_ms, now_ms + asleep.patience_ms()) {
        Begun::Joined(id) => Woken::Waits(Some(id)),
        Begun::Full => Woken::Waits(None),
        Begun::New(id) => {
            settle_when_registered(&node, id, &asleep.phone, now_ms + asleep.patience_ms());
            push(&node, id, &event, request, Some(asleep.patience_ms()));
            context.events.push(event);
            Woken::Waits(Some(id))
        }
    }
}

/// A contact should have refreshed itself by now (`contact_refresh_timer`): wakes it. False when it is being woken.
pub fn refresh(node: &Arc<Node>, now_ms: u64, event: &EventParameters) -> bool {
    let (Some(subject), configuration) = (event.subject.as_deref(), node.configuration.load()) else {
        return true;
    };
    let Some(parameters) = configuration.push() else { return false };
    let phone = Phone {
        domain: String::from_utf8_lossy(event.text("domain")).into(),
        aor: event.text("aor").into(),
        uri: event.text("uri").into(),
        instance: subject.instance.clone(),
        contact_id: subject.contact_id,
    };
    let until_ms = now_ms + u64::from(parameters.refresh_timeout_s) * 1000;
    let Begun::New(id) = node.outstanding.begin(&phone, now_ms, until_ms) else { return false };
    settle_when_registered(node, id, &phone, until_ms);
    push(node, id, event, None, None);
    true
}

/// Ends an attempt as soon as its phone has registered, whoever waits for that: the next request is to wake it anew. To be
/// called before it is pushed to.
fn settle_when_registered(node: &Node, id: u64, phone: &Phone, until_ms: u64) {
    let wanted = Wanted::Phone(phone.clone());
    let subscription = Subscription { wanted, filters: Vec::new(), until_ms, then: Then::Settle(id) };
    if let Some(number) = node.subscriptions.add(subscription) {
        node.outstanding.settled_by(id, number);
    }
}

/// One who waited for an attempt does so no longer.
fn release(node: &Node, wait: &Wait) {
    let id = wait.outstanding.lock().take();
    if let Some(number) = id.and_then(|id| node.outstanding.release(id)) {
        node.subscriptions.remove(number);
    }
}

/// Hands a phone to the built-in senders, where they are configured.
fn push(
    node: &Arc<Node>,
    id: u64,
    event: &EventParameters,
    request: Option<&Message>,
    patience_ms: Option<u64>,
) {
    let from = request.and_then(|request| name_addr::address(request, Name::From).ok());
    let mut caller_name = Vec::new();
    ascii::unquote_into(from.as_ref().map_or(b"", |from| from.display), &mut caller_name);
    let domain = String::from_utf8_lossy(event.text("domain"));
    let cancel = wake(
        node,
        &Wake {
            domain: &domain,
            aor: event.text("aor"),
            contact: event.text("uri"),
            reason: event.text("reason"),
            caller_name: &caller_name,
            caller_uri: from.as_ref().map_or(b"", |from: &NameAddr<'_>| from.uri),
            call_id: event.text("req_callid"),
            patience_ms,
        },
    );
    if let Some(cancel) = cancel {
        node.outstanding.sent(id, cancel);
    }
}

/// The reason of an event, and the Call-ID of the request: `ini-METHOD`, or `mid-METHOD` inside a dialog.
fn why(request: Option<&Message>) -> (Vec<u8>, &[u8]) {
    let Some(request) = request else { return (b"reg-refresh".to_vec(), b"") };
    let has_tag = name_addr::address(request, Name::To).is_ok_and(|to| to.tag().is_some());
    let kind: &[u8] = if has_tag { b"mid-" } else { b"ini-" };
    ([kind, request.method()].concat(), request.value(Name::CallId).unwrap_or_default())
}

/// A phone that a request waits for has registered: its contact becomes a branch.
pub fn arrived(context: &mut Context, wait: &Arc<Wait>, event: &EventParameters) -> Flow {
    let Some(state) = wait.state.upgrade() else { return Flow::FALSE };
    if let Some(id) = wait.outstanding.lock().take() {
        context.node.outstanding.finish(id);
    }
    let branches = inject::registered_branch(context, &state.configuration, event).into_iter().collect();
    let injection = Injection { branches, cancel: false, last: false, wait: Some(Arc::clone(wait)) };
    inject::add(context, (wait.transaction, state), injection)
}

/// The push to a phone that a request waits for has failed: the request waits for the others that are left, and ends when
/// there is none (RFC 8599 section 5.6.2).
pub fn lost(context: &mut Context, wait: &Arc<Wait>) {
    let Some(state) = wait.state.upgrade() else { return };
    if let Some(id) = wait.outstanding.lock().take() {
        context.node.outstanding.finish(id);
    }
    let nobody = Injection { branches: Vec::new(), cancel: false, last: false, wait: Some(Arc::clone(wait)) };
    inject::add(context, (wait.transaction, state), nobody);
}

/// A request waits for no phone any more: it has its final answer, or the script says so.
pub fn forget(node: &Node, state: &TransactionState) {
    let waits = std::mem::take(&mut state.lock().waits);
    for wait in waits {
        if let Some(number) = wait.subscription.lock().take() {
            node.subscriptions.remove(number);
        }
        release(node, &wait);
    }
}
