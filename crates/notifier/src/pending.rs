//! What a subscription has yet to tell: changes of contacts, one for each, or everything.

use std::sync::Arc;

use seawall_location::{Binding, PERMANENT, Q_NONE};

use crate::limits::PENDING_CHANGES;
use crate::reginfo::{Contact, ContactEvent};

/// A contact as it was when it changed; the subscriptions of its address of record share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed {
    pub id: u64,
    pub event: ContactEvent,
    uri: Box<[u8]>,
    call_id: Box<[u8]>,
    instance: Box<[u8]>,
    cseq: u32,
    q: u16,
    expires_s: u32,
}

impl Changed {
    pub(crate) fn new(binding: &Binding<'_>, event: ContactEvent) -> Self {
        Self {
            id: binding.numbers.contact_id,
            event,
            uri: binding.contact.into(),
            call_id: binding.callid.into(),
            instance: binding.instance.into(),
            cseq: binding.numbers.cseq,
            q: binding.numbers.q,
            expires_s: binding.numbers.expires_s,
        }
    }

    pub(crate) fn contact(&self, now_s: u64) -> Contact<'_> {
        Contact {
            id: self.id,
            uri: &self.uri,
            event: self.event,
            expires_s: left_s(self.expires_s, now_s),
            q: Some(self.q).filter(|q| *q != Q_NONE),
            call_id: &self.call_id,
            cseq: self.cseq,
            instance: &self.instance,
        }
    }
}

/// The seconds that a binding has left; `None` if it is permanent.
pub(crate) fn left_s(expires_s: u32, now_s: u64) -> Option<u32> {
    if expires_s == PERMANENT {
        return None;
    }
    Some(u32::try_from(u64::from(expires_s).saturating_sub(now_s)).unwrap_or(u32::MAX))
}

/// What is to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Pending {
    #[default]
    Nothing,
    /// The contacts that changed, in the order in which they first did.
    Changes(Vec<Arc<Changed>>),
    /// Everything.
    Full,
}

impl Pending {
    pub(crate) fn is_nothing(&self) -> bool {
        *self == Pending::Nothing
    }

    /// Adds a change. Of each contact only the last one is told; one that is new to the subscriber stays new.
    pub(crate) fn add(&mut self, change: &Arc<Changed>) {
        let changes = match self {
            Pending::Full => return,
            Pending::Nothing => {
                *self = Pending::Changes(vec![Arc::clone(change)]);
                return;
            }
            Pending::Changes(changes) => changes,
        };
        let room = changes.len() < PENDING_CHANGES;
        match changes.iter_mut().find(|known| known.id == change.id) {
            Some(known) => {
                let is_new = matches!(known.event, ContactEvent::Registered | ContactEvent::Created);
                let stays = matches!(change.event, ContactEvent::Refreshed | ContactEvent::Shortened);
                let event = if is_new && stays { known.event } else { change.event };
                *known = Arc::new(Changed { event, ..Changed::clone(change) });
            }
            None if room => changes.push(Arc::clone(change)),
            None => *self = Pending::Full,
        }
    }
}
