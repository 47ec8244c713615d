//! The way from an event of the location table to a push, and back when a phone is gone.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use seawall_push::{Cancel, Outcome, Push, Sender};
use seawall_sip::Uri;

use crate::node::Node;

/// A contact that a push was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedContact {
    /// The location table.
    pub domain: String,
    /// The address of record as the table has it.
    pub aor: Vec<u8>,
    /// The contact as the table has it.
    pub contact: Vec<u8>,
}

/// What the node knows of push. Empty in a server whose control side does not run.
#[derive(Default)]
pub struct Link {
    /// The senders; without any service until a script configures one.
    pub sender: OnceLock<Sender>,
    /// Removes the binding of a phone that its service calls gone; called on the control side.
    pub on_dead: OnceLock<Box<dyn Fn(PushedContact) + Send + Sync>>,
    /// Tells that a push for which requests wait has failed: they wait in vain (RFC 8599 section 5.6.2). Called on the
    /// control side.
    pub on_failure: OnceLock<Box<dyn Fn(PushedContact) + Send + Sync>>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Link")
    }
}

/// A contact that is to be woken: what `E_UL_CONTACT_REFRESH` tells. Bytes are as SIP has them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wake<'a> {
    /// The location table.
    pub domain: &'a str,
    /// The address of record as the table has it.
    pub aor: &'a [u8],
    /// The contact's URI as the table has it, with its pn- parameters.
    pub contact: &'a [u8],
    /// `reg-refresh`, `ini-INVITE`, `mid-BYE` and so on.
    pub reason: &'a [u8],
    /// The caller's display name, without quotes.
    pub caller_name: &'a [u8],
    /// The caller's URI.
    pub caller_uri: &'a [u8],
    /// The Call-ID of the request that waits.
    pub call_id: &'a [u8],
    /// After how many milliseconds the push is of no use; the parameter `timeout` if nothing.
    pub patience_ms: Option<u64>,
}

/// Pushes to a contact, if the module is loaded, takes events and has a sender for its `pn-provider`. It returns at once.
/// A phone that is gone is removed from the table. The answer stops the push when its caller gives up; nothing if there
/// is nothing to do.
pub fn wake(node: &Arc<Node>, wake: &Wake<'_>) -> Option<Cancel> {
    let configuration = node.configuration.load();
    let settings = configuration.settings.push.as_ref()?;
    let sender = node.push.sender.get().filter(|_| settings.on_refresh)?;
    let push = push(wake)?;
    if !sender.takes(&push.provider) {
        return None;
    }
    let patience = wake.patience_ms.map_or(settings.patience, Duration::from_millis);
    let contact = PushedContact {
        domain: wake.domain.to_owned(),
        aor: wake.aor.to_vec(),
        contact: wake.contact.to_vec(),
    };
    let (removes_dead, is_waited_for) = (settings.remove_dead, wake.patience_ms.is_some());
    let node = Arc::clone(node);
    let done = move |_: &Push, outcome: &Outcome| {
        if let (true, Some(on_failure)) = (is_waited_for && has_failed(outcome), node.push.on_failure.get()) {
            on_failure(contact.clone());
        }
        if let (Outcome::Dead, true, Some(on_dead)) = (outcome, removes_dead, node.push.on_dead.get()) {
            on_dead(contact);
        }
    };
    Some(sender.push(push, patience, Box::new(done)))
}

/// Whether the phone is not going to wake by this push.
fn has_failed(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Dead | Outcome::Refused(_) | Outcome::Failed(_) | Outcome::Late | Outcome::Full => true,
        Outcome::Accepted | Outcome::Cancelled | Outcome::NoSender => false,
    }
}

/// The push for a contact; nothing if its URI does not say how to push.
pub(super) fn push(wake: &Wake<'_>) -> Option<Push> {
    let uri = Uri::parse(wake.contact).ok()?;
    let parameter = |name: &[u8]| uri.param(name).map(|value| unescape(value.unwrap_or_default()));
    let (provider, prid) = (parameter(b"pn-provider")?, parameter(b"pn-prid")?);
    if provider.is_empty() || prid.is_empty() {
        return None;
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let caller_number = Uri::parse(wake.caller_uri).ok().and_then(|uri| uri.user).map(unescape);
    Some(Push {
        provider,
        param: parameter(b"pn-param").unwrap_or_default(),
        prid,
        reason: text(wake.reason),
        aor: text(wake.aor),
        contact: text(wake.contact),
        caller_name: text(wake.caller_name),
        caller_number: caller_number.unwrap_or_default(),
        caller_uri: text(wake.caller_uri),
        call_id: text(wake.call_id),
    })
}

/// A part of a URI without its percent-escapes (RFC 3261 section 19.1.2).
fn unescape(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.filter(|_| byte == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(escaped) => {
                out.push(escaped);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
