//! All subscriptions, and what happens to them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use seawall_location::{Binding, Change};
use seawall_sip::{Message, cseq::CSeq};

use crate::dialog::{BadSubscribe, Dialog, target};
use crate::filter::Filter;
use crate::notify::{Notify, Standing};
use crate::pending::Pending;
use crate::subscription::{Id, Reason, Subscription};
use crate::watch::{Watch, full, partial};

/// The present time, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Monotonic milliseconds.
    pub ms: u64,
    /// Unix seconds.
    pub s: u64,
}

/// How many subscriptions there may be, and how fast they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In all.
    pub subscriptions: usize,
    /// To one address of record.
    pub per_aor: usize,
    /// From one source.
    pub per_source: usize,
    /// The least time between two NOTIFYs about changes, in milliseconds (RFC 3680 section 4.9).
    pub pace_ms: u64,
}

/// Where a SUBSCRIBE came from, for the limit: an address, of IPv6 the /64 that one customer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source(u64, bool);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Source(u64::from(v4.to_bits()), false),
            IpAddr::V6(v6) => Source((v6.to_bits() >> 64) as u64, true),
        }
    }
}

/// A subscription to be made.
#[derive(Debug)]
pub struct New<'a, F> {
    /// Its dialog.
    pub dialog: Dialog,
    /// The name of the location table.
    pub domain: &'a str,
    /// The address of record, as the table spells it.
    pub aor: &'a [u8],
    /// The address of record as a URI.
    pub aor_uri: &'a [u8],
    /// Whether documents show the public GRUUs of contacts (RFC 5628).
    pub gruus: bool,
    /// For how long, in seconds; 0 asks for one NOTIFY and no more (RFC 6665 section 4.4.3).
    pub expires_s: u32,
    /// Where it came from.
    pub source: Source,
    /// The way to the subscriber, for the caller.
    pub flow: F,
}

/// What a SUBSCRIBE inside a dialog asks for.
#[derive(Debug)]
pub struct Refresh<'a, F> {
    /// The request.
    pub subscribe: &'a Message,
    /// Our tag in its To.
    pub tag: &'a [u8],
    /// For how long from now, in seconds; 0 ends the subscription.
    pub expires_s: u32,
    /// The way to the subscriber as it is now.
    pub flow: F,
}

/// Why a subscription was not made or not refreshed. Nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There are as many as there may be: 503.
    #[error("too many subscriptions")]
    TooMany,
    /// The address of record has as many as one may have: 503.
    #[error("too many subscriptions to one address of record")]
    TooManyForAor,
    /// The source has as many as one may have: 503.
    #[error("too many subscriptions from one source")]
    TooManyForSource,
    /// There is no such subscription: 481.
    #[error("no such subscription")]
    Unknown,
    /// The CSeq number is not higher than the last: 500 (RFC 3261 section 12.2.2).
    #[error("request out of order")]
    OutOfOrder,
    /// The request is malformed.
    #[error(transparent)]
    Bad(#[from] BadSubscribe),
}

/// A subscription that has something to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The subscription.
    pub id: Id,
    /// The name of the location table.
    pub domain: String,
    /// The address of record.
    pub aor: Vec<u8>,
    /// Whether [`Notifier::notify`] needs the bindings.
    pub full: bool,
}

/// A subscription as a list shows it.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// Its number.
    pub id: Id,
    /// The name of the location table.
    pub domain: &'a [u8],
    /// The address of record.
    pub aor: &'a [u8],
    /// The subscriber: the From of its SUBSCRIBE.
    pub subscriber: &'a [u8],
    /// Where NOTIFYs go.
    pub target: &'a [u8],
    /// The Call-ID of the dialog.
    pub call_id: &'a [u8],
    /// How long it has left, in milliseconds.
    pub left_ms: u64,
    /// How many NOTIFYs were made.
    pub notifies: u32,
}

/// All subscriptions of a server.
#[derive(Debug)]
pub struct Notifier<F> {
    filter: Arc<Filter>,
    watches: BTreeMap<Box<[u8]>, Watch>,
    subscriptions: BTreeMap<Id, Subscription<F>>,
    /// By our tag.
    dialogs: BTreeMap<Box<[u8]>, Id>,
    sources: BTreeMap<Source, usize>,
    /// When to look at which; each at most once.
    queue: BTreeSet<(u64, Id)>,
    last_id: u64,
}

impl<F> Default for Notifier<F> {
    fn default() -> Self {
        Self {
            filter: Arc::default(),
            watches: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            dialogs: BTreeMap::new(),
            sources: BTreeMap::new(),
            queue: BTreeSet::new(),
            last_id: 0,
        }
    }
}

impl<F: Clone> Notifier<F> {
    /// What tells without a lock whether an address of record may be watched.
    #[must_use]
    pub fn filter(&self) -> Arc<Filter> {
        Arc::clone(&self.filter)
    }

    /// How many subscriptions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.subscriptions.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.subscriptions.is_empty()
    }

    /// Makes a subscription. Its first NOTIFY is due at once.
    ///
    /// # Errors
    /// There are too many.
    pub fn subscribe(&mut self, now: Now, new: New<'_, F>, limits: &Limits) -> Result<Id, Refused> {
        let key = key(new.domain, new.aor);
        if self.subscriptions.len() >= limits.subscriptions {
            return Err(Refused::TooMany);
        }
        if self.watches.get(&key).is_some_and(|watch| watch.subscriptions.len() >= limits.per_aor) {
            return Err(Refused::TooManyForAor);
        }
        if self.sources.get(&new.source).is_some_and(|count| *count >= limits.per_source) {
            return Err(Refused::TooManyForSource);
        }
        if self.dialogs.contains_key(&*new.dialog.local_tag) {
            return Err(Refused::OutOfOrder);
        }
        self.last_id += 1;
        let id = Id(self.last_id);
        self.filter.add(new.aor);
        self.watches.entry(key.clone()).or_default().subscriptions.push(id);
        *self.sources.entry(new.source).or_default() += 1;
        self.dialogs.insert(new.dialog.local_tag.as_slice().into(), id);
        let mut subscription = Subscription {
            dialog: new.dialog,
            flow: new.flow,
            aor_uri: new.aor_uri.into(),
            gruus: new.gruus,
            watch: key,
            source: new.source,
            expires_ms: end_ms(now, new.expires_s),
            version: 0,
            pending: Pending::Full,
            urgent: true,
            in_flight: false,
            last_sent: false,
            paced_ms: 0,
            held_ms: 0,
            ending: None,
            armed_ms: None,
        };
        if new.expires_s == 0 {
            subscription.end(Reason::Timeout);
        }
        self.subscriptions.insert(id, subscription);
        self.arm(id);
        Ok(id)
    }

    /// Refreshes or ends a subscription. A full NOTIFY is due at once.
    ///
    /// # Errors
    /// There is no such subscription, or the request does not fit it.
    pub fn refresh(&mut self, now: Now, refresh: Refresh<'_, F>) -> Result<Id, Refused> {
        let id = *self.dialogs.get(refresh.tag).ok_or(Refused::Unknown)?;
        let subscription = self.subscriptions.get_mut(&id).ok_or(Refused::Unknown)?;
        if !subscription.dialog.is_for(refresh.subscribe) || subscription.ending.is_some() {
            return Err(Refused::Unknown);
        }
        let cseq = CSeq::of(refresh.subscribe).map_err(|_| BadSubscribe::Header("CSeq"))?.number;
        if cseq <= subscription.dialog.remote_cseq {
            return Err(Refused::OutOfOrder);
        }
        // A target refresh request (RFC 6665 section 4.4.1).
        if let Some(target) = target(refresh.subscribe)? {
            subscription.dialog.retarget(target)?;
        }
        subscription.dialog.remote_cseq = cseq;
        subscription.flow = refresh.flow;
        subscription.expires_ms = end_ms(now, refresh.expires_s);
        match refresh.expires_s {
            0 => subscription.end(Reason::Timeout),
            _ => subscription.owe_everything(),
        }
        self.arm(id);
        Ok(id)
    }

    /// Takes a change of the location table. Cheap when nobody watches; the [`Filter`] spares the lock.
    pub fn change(&mut self, domain: &str, aor: &[u8], change: Change<'_>) {
        let Some(watch) = self.watches.get_mut(&key(domain, aor)) else { return };
        let Some(changed) = watch.take(change) else { return };
        let changed = Arc::new(changed);
        for id in watch.subscriptions.clone() {
            if let Some(subscription) = self.subscriptions.get_mut(&id) {
                subscription.pending.add(&changed);
                self.arm(id);
            }
        }
    }

    /// When [`due`](Notifier::due) has something next, in monotonic milliseconds.
    #[must_use]
    pub fn next_due_ms(&self) -> Option<u64> {
        self.queue.first().map(|(at_ms, _)| *at_ms)
    }

    /// The next subscription that has something to send now; [`notify`](Notifier::notify) is to follow.
    pub fn due(&mut self, now: Now) -> Option<Due> {
        loop {
            let (at_ms, id) = *self.queue.first()?;
            if at_ms > now.ms {
                return None;
            }
            self.queue.pop_first();
            let Some(subscription) = self.subscriptions.get_mut(&id) else { continue };
            subscription.armed_ms = None;
            if subscription.come_due(now.ms) {
                let full = subscription.pending == Pending::Full;
                let (domain, aor) = parts(&subscription.watch);
                let domain = String::from_utf8_lossy(domain).into_owned();
                return Some(Due { id, domain, aor: aor.to_vec(), full });
            }
            self.arm(id);
        }
    }

    /// The NOTIFY that a subscription owes. `bindings` are those of its address of record that count now; they are
    /// read under the lock of the address of record, so that no change comes between. `None` when nothing is owed any
    /// more, or when a full document has become due and there are no bindings: it will be due again.
    pub fn notify<'b>(
        &mut self,
        now: Now,
        id: Id,
        bindings: Option<impl Iterator<Item = Binding<'b>>>,
        limits: &Limits,
    ) -> Option<Notify<F>> {
        let subscription = self.subscriptions.get_mut(&id)?;
        let watch = self.watches.get_mut(&subscription.watch)?;
        let wants_full = subscription.pending == Pending::Full;
        if subscription.in_flight || subscription.pending.is_nothing() || wants_full && bindings.is_none() {
            self.arm(id);
            return None;
        }
        let body = match (std::mem::take(&mut subscription.pending), bindings) {
            (Pending::Changes(changes), _) => partial(subscription, watch, &changes, now.s),
            (_, Some(bindings)) => full(subscription, watch, bindings, now.s),
            (_, None) => return None,
        };
        subscription.urgent = false;
        subscription.in_flight = true;
        subscription.last_sent = subscription.ending.is_some();
        subscription.paced_ms = now.ms + limits.pace_ms;
        subscription.version = subscription.version.wrapping_add(1);
        subscription.dialog.local_cseq += 1;
        let standing = match subscription.ending {
            Some(reason) => Standing::Over(reason),
            // To the nearest second: who has granted it may have read the clock a little later than this worker.
            None => Standing::Active((subscription.expires_ms.saturating_sub(now.ms) + 500) / 1000),
        };
        let notify = Notify::new(id, &subscription.dialog, standing, body, subscription.flow.clone());
        self.arm(id);
        Some(notify)
    }

    /// The location table and the address of record of the subscription with our tag.
    #[must_use]
    pub fn watched_by(&self, tag: &[u8]) -> Option<(String, Vec<u8>)> {
        let subscription = self.subscriptions.get(self.dialogs.get(tag)?)?;
        let (domain, aor) = parts(&subscription.watch);
        Some((String::from_utf8_lossy(domain).into_owned(), aor.to_vec()))
    }

    /// A NOTIFY has ended with this code; `retry_after_s` is what the response asked for. False when that ended the
    /// subscription before its time.
    ///
    /// A subscription goes on after a 2xx, and after an error that names a time to try again, unless it is one that
    /// ends the dialog or its use (RFC 6665 section 4.2.2, RFC 5057 section 5.1).
    pub fn answered(&mut self, now: Now, id: Id, code: u16, retry_after_s: Option<u32>) -> bool {
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return true };
        subscription.in_flight = false;
        if subscription.last_sent {
            self.remove(id);
            return true;
        }
        match (code, retry_after_s) {
            (200..300, _) => {}
            (400..700, Some(pause_s)) if !ends_usage(code) => {
                subscription.held_ms = now.ms + u64::from(pause_s) * 1000;
                // The subscriber did not take the last document; versions would have a gap without it.
                subscription.owe_everything();
            }
            _ => {
                self.remove(id);
                return false;
            }
        }
        self.arm(id);
        true
    }

    /// Ends a subscription with a last NOTIFY. False when there is no such.
    pub fn terminate(&mut self, id: Id) -> bool {
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return false };
        if subscription.ending.is_none() {
            subscription.end(Reason::Deactivated);
            self.arm(id);
        }
        true
    }

    /// Shows up to `count` subscriptions whose number is `from` or higher, in the order of their numbers.
    pub fn list(&self, now: Now, from: u64, count: usize, each: &mut dyn FnMut(&Shown<'_>)) {
        for (id, subscription) in self.subscriptions.range(Id(from)..).take(count) {
            let (domain, aor) = parts(&subscription.watch);
            each(&Shown {
                id: *id,
                domain,
                aor,
                subscriber: &subscription.dialog.remote,
                target: &subscription.dialog.target,
                call_id: &subscription.dialog.call_id,
                left_ms: subscription.expires_ms.saturating_sub(now.ms),
                notifies: subscription.version,
            });
        }
    }

    /// Puts a subscription into the queue under the time at which it is due.
    fn arm(&mut self, id: Id) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return };
        let due_ms = subscription.due_ms();
        if subscription.armed_ms == due_ms {
            return;
        }
        if let Some(armed_ms) = std::mem::replace(&mut subscription.armed_ms, due_ms) {
            self.queue.remove(&(armed_ms, id));
        }
        if let Some(due_ms) = due_ms {
            self.queue.insert((due_ms, id));
        }
    }

    fn remove(&mut self, id: Id) {
        let Some(subscription) = self.subscriptions.remove(&id) else { return };
        if let Some(armed_ms) = subscription.armed_ms {
            self.queue.remove(&(armed_ms, id));
        }
        self.dialogs.remove(&*subscription.dialog.local_tag);
        let (_, aor) = parts(&subscription.watch);
        self.filter.remove(aor);
        if let Some(watch) = self.watches.get_mut(&subscription.watch) {
            watch.subscriptions.retain(|other| *other != id);
            if watch.subscriptions.is_empty() {
                self.watches.remove(&subscription.watch);
            }
        }
        if let Some(count) = self.sources.get_mut(&subscription.source) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&subscription.source);
            }
        }
    }
}

/// Whether an error to a NOTIFY ends the dialog or its use, whatever else it says (RFC 5057 section 5.1).
fn ends_usage(code: u16) -> bool {
    matches!(code, 404 | 405 | 408 | 410 | 416 | 480..=485 | 489 | 501 | 502 | 604)
}

fn end_ms(now: Now, expires_s: u32) -> u64 {
    now.ms + u64::from(expires_s) * 1000
}

/// The key of a watch. No table's name has a NUL.
fn key(domain: &str, aor: &[u8]) -> Box<[u8]> {
    [domain.as_bytes(), b"\0", aor].concat().into()
}

fn parts(key: &[u8]) -> (&[u8], &[u8]) {
    let end = key.iter().position(|byte| *byte == 0).unwrap_or(key.len());
    let (domain, rest) = key.split_at_checked(end).unwrap_or((key, &[]));
    (domain, rest.get(1..).unwrap_or_default())
}
