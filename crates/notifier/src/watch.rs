//! A watched address of record: which changes are told, and the documents about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use seawall_location::{Binding, Change, MADE_BY_HAND, Q_NONE};

use crate::limits::BODY_BYTES;
use crate::pending::{Changed, left_s};
use crate::reginfo::{Contact, ContactEvent, Document, Head, RegistrationState};
use crate::subscription::{Id, Subscription};

/// What is known of a watched address of record.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub subscriptions: Vec<Id>,
    /// Whether it has a binding.
    active: bool,
    /// What was last said of each binding, by contact id, so that a change which shows nowhere is not told.
    seen: BTreeMap<u64, Seen>,
}

/// What a document shows of a binding that a refresh may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    expires_s: u32,
    last_modified_s: u32,
    cseq: u32,
    q: u16,
}

impl Seen {
    fn of(binding: &Binding<'_>) -> Self {
        let numbers = &binding.numbers;
        Seen {
            expires_s: numbers.expires_s,
            last_modified_s: numbers.last_modified_s,
            cseq: numbers.cseq,
            q: numbers.q,
        }
    }
}

impl Watch {
    /// Takes a change. `None` when it shows in no document.
    pub(crate) fn take(&mut self, change: Change<'_>) -> Option<Changed> {
        match change {
            Change::AorInsert | Change::KeysUpdate(_) => None,
            Change::AorDelete => {
                self.active = false;
                None
            }
            Change::ContactInsert(binding) => {
                self.active = true;
                self.seen.insert(binding.numbers.contact_id, Seen::of(&binding));
                Some(Changed::new(&binding, first_event(&binding)))
            }
            Change::ContactUpdate(binding) => {
                self.active = true;
                let now = Seen::of(&binding);
                let event = match self.seen.insert(binding.numbers.contact_id, now) {
                    None => first_event(&binding),
                    Some(before) if before == now => return None,
                    Some(before) if now.expires_s < before.expires_s => ContactEvent::Shortened,
                    Some(_) => ContactEvent::Refreshed,
                };
                Some(Changed::new(&binding, event))
            }
            Change::ContactDelete(binding, why) => {
                self.seen.remove(&binding.numbers.contact_id);
                Some(Changed::new(&binding, ContactEvent::of(why)))
            }
        }
    }
}

/// How a binding came to be: by a REGISTER, or without one.
fn first_event(binding: &Binding<'_>) -> ContactEvent {
    if binding.callid == MADE_BY_HAND { ContactEvent::Created } else { ContactEvent::Registered }
}

/// The document that lists every binding.
pub(crate) fn full<'b, F>(
    subscription: &Subscription<F>,
    watch: &mut Watch,
    bindings: impl Iterator<Item = Binding<'b>>,
    now_s: u64,
) -> Vec<u8> {
    let mut bindings = bindings.peekable();
    watch.active = bindings.peek().is_some();
    watch.seen.clear();
    let state = if watch.active { RegistrationState::Active } else { RegistrationState::Init };
    let mut document = Document::new(head(subscription, true, state), BODY_BYTES);
    for binding in bindings {
        watch.seen.insert(binding.numbers.contact_id, Seen::of(&binding));
        document.contact(&Contact {
            id: binding.numbers.contact_id,
            uri: binding.contact,
            event: first_event(&binding),
            expires_s: left_s(binding.numbers.expires_s, now_s),
            q: Some(binding.numbers.q).filter(|q| *q != Q_NONE),
            call_id: binding.callid,
            cseq: binding.numbers.cseq,
            instance: binding.instance,
        });
    }
    document.finish()
}

/// The document that lists what changed.
pub(crate) fn partial<F>(
    subscription: &Subscription<F>,
    watch: &Watch,
    changes: &[Arc<Changed>],
    now_s: u64,
) -> Vec<u8> {
    let state = if watch.active { RegistrationState::Active } else { RegistrationState::Terminated };
    let mut document = Document::new(head(subscription, false, state), BODY_BYTES);
    for change in changes {
        document.contact(&change.contact(now_s));
    }
    document.finish()
}

fn head<F>(subscription: &Subscription<F>, full: bool, state: RegistrationState) -> Head<'_> {
    Head { version: subscription.version, full, aor: &subscription.aor_uri, state, gruus: subscription.gruus }
}
