//! Which phones are being woken at this moment: a phone that was pushed to is not pushed to again before it has registered
//! or the time for that is over, however many calls wait for it (behaviour §5).

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};

use parking_lot::Mutex;
use seawall_push::Cancel;
use seawall_sip::Uri;

use crate::event_routing::{MAX_SUBSCRIPTIONS, Phone};

/// Phones that are being woken.
#[derive(Default)]
pub struct Outstanding {
    hash: RandomState,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By what tells phones apart: keyed hashes of its token and of its instance.
    by_key: HashMap<u64, u64>,
    by_id: HashMap<u64, Woken>,
    due: BTreeSet<(u64, u64)>,
    last_id: u64,
}

struct Woken {
    keys: [Option<u64>; 2],
    until_ms: u64,
    /// How many wait for it.
    waiting: usize,
    cancel: Option<Cancel>,
    /// The subscription that ends it when the phone has registered.
    subscription: Option<u64>,
}

/// Whether a push has to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// Yes.
    New(u64),
    /// No: one is on its way.
    Joined(u64),
    /// No: too many phones are being woken.
    Full,
}

impl Outstanding {
    /// Somebody wants a phone to be woken until `until_ms`.
    pub fn begin(&self, phone: &Phone, now_ms: u64, until_ms: u64) -> Begun {
        let keys = self.keys(phone);
        let mut inner = self.inner.lock();
        inner.expire(now_ms);
        let known = keys.iter().flatten().find_map(|key| inner.by_key.get(key)).copied();
        if let Some(id) = known
            && let Some(woken) = inner.by_id.get_mut(&id)
        {
            woken.waiting += 1;
            return Begun::Joined(id);
        }
        if inner.by_id.len() >= MAX_SUBSCRIPTIONS {
            return Begun::Full;
        }
        inner.last_id += 1;
        let id = inner.last_id;
        for key in keys.iter().flatten() {
            inner.by_key.insert(*key, id);
        }
        inner.due.insert((until_ms, id));
        inner.by_id.insert(id, Woken { keys, until_ms, waiting: 1, cancel: None, subscription: None });
        Begun::New(id)
    }

    /// The push that was sent, to be stopped when nobody waits any more.
    pub fn sent(&self, id: u64, cancel: Cancel) {
        if let Some(woken) = self.inner.lock().by_id.get_mut(&id) {
            woken.cancel = Some(cancel);
        }
    }

    /// The subscription that ends it when the phone has registered.
    pub fn settled_by(&self, id: u64, subscription: u64) {
        if let Some(woken) = self.inner.lock().by_id.get_mut(&id) {
            woken.subscription = Some(subscription);
        }
    }

    /// One of those who wait has given up. The last one stops the push, if it has not been sent yet; the subscription of
    /// [`settled_by`](Outstanding::settled_by) is of no use then, and given.
    pub fn release(&self, id: u64) -> Option<u64> {
        let mut inner = self.inner.lock();
        let woken = inner.by_id.get_mut(&id)?;
        woken.waiting = woken.waiting.saturating_sub(1);
        if woken.waiting > 0 {
            return None;
        }
        let woken = inner.remove(id)?;
        woken.cancel.iter().for_each(Cancel::cancel);
        woken.subscription
    }

    /// The phone has registered.
    pub fn finish(&self, id: u64) {
        self.inner.lock().remove(id);
    }

    /// How many phones are being woken.
    pub fn len(&self) -> usize {
        self.inner.lock().by_id.len()
    }

    /// Whether no phone is being woken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn keys(&self, phone: &Phone) -> [Option<u64>; 2] {
        let place = (&phone.domain, &phone.aor);
        let token = Uri::parse(&phone.uri).ok().and_then(|uri| {
            let (provider, prid) = (uri.param(b"pn-provider").flatten()?, uri.param(b"pn-prid").flatten()?);
            Some(self.hash.hash_one((place, b"token", provider, prid)))
        });
        let instance = phone.instance.to_ascii_lowercase();
        let instance = (!instance.is_empty()).then(|| self.hash.hash_one((place, b"instance", instance)));
        [token, instance]
    }
}

impl Inner {
    fn expire(&mut self, now_ms: u64) {
        while let Some((until_ms, id)) = self.due.first().copied()
            && until_ms <= now_ms
        {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: u64) -> Option<Woken> {
        let woken = self.by_id.remove(&id)?;
        self.due.remove(&(woken.until_ms, id));
        for key in woken.keys.iter().flatten() {
            if self.by_key.get(key) == Some(&id) {
                self.by_key.remove(key);
            }
        }
        Some(woken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phone(aor: &str, prid: &str, instance: &str) -> Phone {
        Phone {
            domain: "location".into(),
            aor: aor.as_bytes().into(),
            uri: format!("sip:a@h;pn-provider=fcm;pn-prid={prid}").into_bytes().into(),
            instance: instance.as_bytes().into(),
            contact_id: 1,
        }
    }

    #[test]
    fn a_phone_is_woken_once_by_its_token_or_its_instance() {
        let outstanding = Outstanding::default();
        let begin = |phone: &Phone, now_ms| outstanding.begin(phone, now_ms, now_ms + 6000);
        assert_eq!(begin(&phone("alice", "1", "<X>"), 0), Begun::New(1));
        assert_eq!(begin(&phone("alice", "1", ""), 1), Begun::Joined(1));
        assert_eq!(begin(&phone("alice", "2", "<x>"), 1), Begun::Joined(1));
        assert_eq!(begin(&phone("alice", "2", "<y>"), 1), Begun::New(2));
        assert_eq!(begin(&phone("bob", "1", "<x>"), 1), Begun::New(3), "another account of the same phone");
        // It has registered: the next call wakes it anew.
        outstanding.finish(1);
        assert_eq!(begin(&phone("alice", "1", "<X>"), 2), Begun::New(4));
        // The time for it is over.
        assert_eq!(begin(&phone("alice", "1", "<X>"), 6002), Begun::New(5));
        assert_eq!(outstanding.len(), 1, "what is over is not kept");
    }

    #[test]
    fn the_last_who_gives_up_stops_the_push() {
        let outstanding = Outstanding::default();
        let alice = phone("alice", "1", "");
        assert_eq!(outstanding.begin(&alice, 0, 6000), Begun::New(1));
        assert_eq!(outstanding.begin(&alice, 0, 6000), Begun::Joined(1));
        outstanding.sent(1, Cancel::default());
        outstanding.settled_by(1, 77);
        assert_eq!(outstanding.release(1), None);
        assert_eq!(outstanding.begin(&alice, 0, 6000), Begun::Joined(1));
        assert_eq!(outstanding.release(1), None);
        assert_eq!(outstanding.release(1), Some(77));
        assert!(outstanding.is_empty());
        assert_eq!(outstanding.release(1), None);
    }
}
