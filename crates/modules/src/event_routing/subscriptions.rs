//! Who waits for which events, and who of them an event is for.
//!
//! Most wait for something that happens to one address of record: those stand in an index, so that ten thousand calls
//! that wait cost an event no more than one does. An array of counters tells without a lock that nobody waits for an
//! address of record, so that REGISTERs raise no events for nobody.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use parking_lot::Mutex;
use seawall_registrar::push::is_same_phone;
use seawall_script::{Digits, RouteId};
use seawall_transaction::TransactionId;

use super::pattern::Pattern;
use crate::configuration::Configuration;
use crate::context::EventParameters;
use crate::event_datagram::Destination;
use crate::registrar::waking::Wait;
use crate::tm::state::TransactionState;
use crate::usrloc::event;

/// Most subscriptions at a time. Each call to a phone that sleeps has one for some seconds; at about half a kilobyte each
/// these take a hundred megabytes, and what is more is served as if nobody had to be waited for.
pub const MAX_SUBSCRIPTIONS: usize = 200_000;

/// Counters for addresses of record: with a thousand of them waited for, one REGISTER in four raises an event for nobody.
const COUNTERS: usize = 4096;

/// What a subscriber waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The event of this name.
    Named(Box<str>),
    /// A contact of this phone is inserted or refreshed.
    Phone(Phone),
}

impl Wanted {
    /// The event, where there is only one.
    fn event(&self) -> &str {
        match self {
            Wanted::Named(name) => name,
            Wanted::Phone(_) => "",
        }
    }
}

/// A phone whose registration is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phone {
    /// The location table.
    pub domain: Box<str>,
    /// The address of record.
    pub aor: Box<[u8]>,
    /// The contact as it was.
    pub uri: Box<[u8]>,
    /// `+sip.instance`; empty when there is none.
    pub instance: Box<[u8]>,
    /// The contact id.
    pub contact_id: u64,
}

/// A condition on one attribute of the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The attribute.
    pub key: Box<[u8]>,
    /// What its value has to look like.
    pub pattern: Pattern,
}

impl Filter {
    /// Reads `key=pattern`.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Filter> {
        let at = text.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
        let (key, value) = text.split_at_checked(at)?;
        Some(Filter { key: key.trim_ascii().into(), pattern: Pattern::new(value.get(1..)?) })
    }
}

/// Somebody who waits.
pub struct Subscription {
    /// For what.
    pub wanted: Wanted,
    /// What the event has to be like.
    pub filters: Vec<Filter>,
    /// Until when, in monotonic milliseconds.
    pub until_ms: u64,
    /// What happens then.
    pub then: Then,
}

/// What happens when the event comes.
pub enum Then {
    /// A route runs, each time.
    Route(Arc<Notify>),
    /// A parked script goes on, once.
    Resume {
        /// The worker that has parked it.
        worker: usize,
        /// Its ticket there.
        ticket: u64,
    },
    /// The contact becomes a branch of a transaction, once.
    Inject(Arc<Wait>),
    /// The phone that was to refresh itself has done so: the number of the attempt to wake it.
    Settle(u64),
    /// A program outside is told, each time.
    Datagram(Arc<Destination>),
}

/// The route that an event runs, and what it has of its subscriber.
pub struct Notify {
    /// The route.
    pub route: RouteId,
    /// The script that it belongs to.
    pub configuration: Arc<Configuration>,
    /// The transaction of the subscriber.
    pub transaction: Option<(TransactionId, Arc<TransactionState>)>,
}

/// What is to be done about an event.
pub enum Delivery {
    /// Run a route.
    Route(Arc<Notify>),
    /// Let a parked script go on.
    Resume {
        /// The worker that has parked it.
        worker: usize,
        /// Its ticket there.
        ticket: u64,
    },
    /// Add the contact to a transaction.
    Inject(Arc<Wait>),
    /// Let a transaction wait no longer: the push has failed.
    GiveUp(Arc<Wait>),
    /// End an attempt to wake a phone.
    Settle(u64),
    /// Tell a program outside.
    Datagram(Arc<Destination>),
}

/// The subscriptions of a server.
pub struct Subscriptions {
    count: AtomicUsize,
    /// Those to events of the location table that name no single address of record.
    loose: AtomicUsize,
    counters: Box<[AtomicU32]>,
    hash: RandomState,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    by_id: HashMap<u64, Kept>,
    by_aor: HashMap<Box<[u8]>, Vec<u64>>,
    /// Those that name no single address of record, by their event.
    others: HashMap<Box<str>, BTreeSet<u64>>,
    due: BTreeSet<(u64, u64)>,
    last_id: u64,
}

struct Kept {
    subscription: Subscription,
    /// The address of record that it is found by.
    aor: Option<Box<[u8]>>,
}

impl Default for Subscriptions {
    fn default() -> Self {
        Self {
            count: AtomicUsize::new(0),
            loose: AtomicUsize::new(0),
            counters: (0..COUNTERS).map(|_| AtomicU32::new(0)).collect(),
            hash: RandomState::new(),
            inner: Mutex::default(),
        }
    }
}

impl Subscriptions {
    /// Adds a subscription, and gives the number to remove it by. `None` when there are too many.
    pub fn add(&self, subscription: Subscription) -> Option<u64> {
        let aor = exact_aor(&subscription);
        let is_loose = aor.is_none() && is_of_location(&subscription.wanted);
        let mut inner = self.inner.lock();
        if inner.by_id.len() >= MAX_SUBSCRIPTIONS {
            return None;
        }
        inner.last_id += 1;
        let id = inner.last_id;
        inner.due.insert((subscription.until_ms, id));
        match &aor {
            Some(aor) => {
                inner.by_aor.entry(aor.clone()).or_default().push(id);
                self.counter(aor).fetch_add(1, Ordering::SeqCst);
            }
            None => drop(inner.others.entry(subscription.wanted.event().into()).or_default().insert(id)),
        }
        self.loose.fetch_add(usize::from(is_loose), Ordering::SeqCst);
        self.count.fetch_add(1, Ordering::SeqCst);
        inner.by_id.insert(id, Kept { subscription, aor });
        Some(id)
    }

    /// Removes a subscription. False when it is gone already.
    pub fn remove(&self, id: u64) -> bool {
        self.take(&mut self.inner.lock(), id).is_some()
    }

    /// Removes those whose time is over.
    pub fn expire(&self, now_ms: u64) {
        if self.is_empty() {
            return;
        }
        let mut inner = self.inner.lock();
        while let Some((until_ms, id)) = inner.due.first().copied()
            && until_ms <= now_ms
        {
            self.take(&mut inner, id);
        }
    }

    /// Whether nobody waits for anything.
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::SeqCst) == 0
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Whether somebody may wait for an event of the location table about an address of record. Asked under the lock of
    /// its shard: who subscribes does so before he looks at the bindings under it.
    #[inline]
    pub fn wants(&self, aor: &[u8]) -> bool {
        !self.is_empty()
            && (self.loose.load(Ordering::SeqCst) > 0 || self.counter(aor).load(Ordering::SeqCst) > 0)
    }

    /// What an event leads to. Those that wait for one event are gone then.
    pub fn deliver(&self, event: &EventParameters, now_ms: u64) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        if self.is_empty() {
            return deliveries;
        }
        let aor = event.text("aor");
        let mut inner = self.inner.lock();
        let near = inner.by_aor.get(aor).into_iter().flatten();
        let others = inner.others.get(&*event.name).into_iter().flatten();
        let found: Vec<u64> = near.chain(others).copied().collect();
        for id in found {
            let Some(kept) = inner.by_id.get(&id).filter(|kept| kept.subscription.is_for(event, now_ms))
            else {
                continue;
            };
            let is_lost = *event.name == *event::PUSH_FAILED;
            deliveries.push(match &kept.subscription.then {
                Then::Inject(wait) if is_lost => Delivery::GiveUp(Arc::clone(wait)),
                Then::Route(notify) => Delivery::Route(Arc::clone(notify)),
                Then::Resume { worker, ticket } => Delivery::Resume { worker: *worker, ticket: *ticket },
                Then::Inject(wait) => Delivery::Inject(Arc::clone(wait)),
                Then::Settle(id) => Delivery::Settle(*id),
                Then::Datagram(to) => Delivery::Datagram(Arc::clone(to)),
            });
            if !matches!(kept.subscription.then, Then::Route(_) | Then::Datagram(_)) {
                self.take(&mut inner, id);
            }
        }
        deliveries
    }

    /// The subscription of a program outside to an event, and how many there are of such.
    pub(crate) fn outside(&self, event: &str, to: &Destination) -> (Option<u64>, usize) {
        let inner = self.inner.lock();
        let is_it = |kept: &Kept| {
            kept.subscription.wanted.event() == event
                && matches!(&kept.subscription.then, Then::Datagram(known) if **known == *to)
        };
        let of_event = inner.others.get(event).into_iter().flatten();
        let known = of_event.copied().find(|id| inner.by_id.get(id).is_some_and(is_it));
        let all = inner.others.values().flatten().filter_map(|id| inner.by_id.get(id));
        (known, all.filter(|kept| matches!(kept.subscription.then, Then::Datagram(_))).count())
    }

    /// The programs outside that are told of events: the event, where to, and until when.
    #[must_use]
    pub fn all_outside(&self) -> Vec<(String, Arc<Destination>, u64)> {
        let inner = self.inner.lock();
        let mut all: Vec<(u64, &Kept)> = inner.by_id.iter().map(|(id, kept)| (*id, kept)).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        let shown = |(_, kept): (u64, &Kept)| match &kept.subscription.then {
            Then::Datagram(to) => {
                let event = kept.subscription.wanted.event().to_owned();
                Some((event, Arc::clone(to), kept.subscription.until_ms))
            }
            _ => None,
        };
        all.into_iter().filter_map(shown).collect()
    }

    /// Whether somebody may wait for an event of this name about no certain address of record.
    #[must_use]
    pub fn wants_event(&self, name: &str) -> bool {
        !self.is_empty() && self.inner.lock().others.contains_key(name)
    }

    fn take(&self, inner: &mut Inner, id: u64) -> Option<Subscription> {
        let Kept { subscription, aor } = inner.by_id.remove(&id)?;
        inner.due.remove(&(subscription.until_ms, id));
        let is_loose = aor.is_none() && is_of_location(&subscription.wanted);
        match aor {
            Some(aor) => {
                self.counter(&aor).fetch_sub(1, Ordering::SeqCst);
                if let Some(ids) = inner.by_aor.get_mut(&aor) {
                    ids.retain(|known| *known != id);
                    if ids.is_empty() {
                        inner.by_aor.remove(&aor);
                    }
                }
            }
            None => {
                let name = subscription.wanted.event();
                if let Some(ids) = inner.others.get_mut(name) {
                    ids.remove(&id);
                    if ids.is_empty() {
                        inner.others.remove(name);
                    }
                }
            }
        }
        self.loose.fetch_sub(usize::from(is_loose), Ordering::SeqCst);
        self.count.fetch_sub(1, Ordering::SeqCst);
        Some(subscription)
    }

    fn counter(&self, aor: &[u8]) -> &AtomicU32 {
        static SPARE: AtomicU32 = AtomicU32::new(1);
        let place = self.hash.hash_one(aor) as usize % COUNTERS;
        // The place is always there: the remainder is smaller than the length.
        self.counters.get(place).unwrap_or(&SPARE)
    }
}

impl Subscription {
    fn is_for(&self, event: &EventParameters, now_ms: u64) -> bool {
        let is_it = match &self.wanted {
            Wanted::Named(name) => **name == *event.name,
            Wanted::Phone(phone) if *event.name == *event::PUSH_FAILED => {
                // A script that waits goes on as if the phone was late, when the time for it is over.
                matches!(self.then, Then::Inject(_) | Then::Settle(_)) && phone.is_lost_by(event)
            }
            Wanted::Phone(phone) => phone.is_registered_by(event),
        };
        let passes = |filter: &Filter| {
            let value = std::str::from_utf8(&filter.key).ok().and_then(|key| event.value(key));
            value.is_some_and(|value| {
                let mut digits = Digits::default();
                filter.pattern.matches(value.as_bytes(&mut digits).unwrap_or_default())
            })
        };
        is_it && self.until_ms > now_ms && self.filters.iter().all(passes)
    }
}

impl Phone {
    /// Whether an event says that the phone has registered: with the contact that is known, or with its token or its
    /// instance in another one.
    fn is_registered_by(&self, event: &EventParameters) -> bool {
        let is_registration = [event::CONTACT_INSERT, event::CONTACT_UPDATE].contains(&&*event.name);
        let Some(subject) = event.subject.as_deref().filter(|_| is_registration) else { return false };
        event.text("domain") == self.domain.as_bytes()
            && *event.text("aor") == *self.aor
            && (subject.contact_id == self.contact_id
                || is_same_phone((&self.uri, &self.instance), (event.text("uri"), &subject.instance)))
    }
}

impl Phone {
    /// Whether an event says that the push to the phone has failed.
    fn is_lost_by(&self, event: &EventParameters) -> bool {
        event.text("domain") == self.domain.as_bytes()
            && *event.text("aor") == *self.aor
            && is_same_phone((&self.uri, b""), (event.text("uri"), b""))
    }
}

/// The one address of record that a subscription is about, if there is one.
fn exact_aor(subscription: &Subscription) -> Option<Box<[u8]>> {
    if let Wanted::Phone(phone) = &subscription.wanted {
        return Some(phone.aor.clone());
    }
    let mut of_aor = subscription.filters.iter().filter(|filter| *filter.key == *b"aor");
    of_aor.find_map(|filter| filter.pattern.literal()).map(Vec::into_boxed_slice)
}

fn is_of_location(wanted: &Wanted) -> bool {
    match wanted {
        Wanted::Named(name) => event::OF_LOCATION.contains(&&**name),
        Wanted::Phone(_) => true,
    }
}
