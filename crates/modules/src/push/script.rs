//! `push_send()`.

use std::time::Duration;

use seawall_push::{Cancel, Outcome};
use seawall_script::{Call, Flow};
use seawall_sip::{Name, NameAddr, ascii};

use super::link::{self, Wake};
use crate::context::Context;
use crate::waiting::{Answer, Errand};

/// How much longer than its timeout a script waits for a push, in milliseconds: the outcome has to find its worker.
const MARGIN_MS: u64 = 500;

/// The longest timeout, in seconds: no caller waits as long.
const MOST_S: i64 = 3600;

const NO_CONTACT: Flow = Flow::Value(-1);
const NO_SENDER: Flow = Flow::Value(-2);

pub(super) fn send(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let configuration = std::sync::Arc::clone(&context.configuration);
    let Some(settings) = &configuration.settings.push else { return NO_SENDER };
    let Some(sender) = context.node.push.sender.get().cloned() else { return NO_SENDER };
    let patience = match call.int(2) {
        None => settings.patience,
        Some(seconds @ 1..=MOST_S) => Duration::from_secs(seconds.unsigned_abs()),
        Some(_) => return NO_CONTACT,
    };
    let Some(push) = push(context, call) else { return NO_CONTACT };
    if !sender.takes(&push.provider) {
        return NO_SENDER;
    }
    let delivery = sender.deliver(push, patience, Cancel::default());
    let task = async move {
        let answer: Answer = Box::new(delivery.await);
        answer
    };
    let patience_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX).saturating_add(MARGIN_MS);
    context.wait_or_launch(call, Errand::Task(Box::pin(task)), patience_ms, |_, answer| {
        let outcome = answer.and_then(|answer| answer.downcast::<Outcome>().ok());
        Flow::Value(match outcome.as_deref() {
            Some(Outcome::Accepted) => 1,
            Some(Outcome::NoSender) => -2,
            Some(Outcome::Dead) => -3,
            Some(Outcome::Refused(_)) => -4,
            _ => -5,
        })
    })
}

fn push(context: &Context, call: &Call<'_, Context>) -> Option<seawall_push::Push> {
    let message = context.message();
    let is_request =
        message.is_request() && context.rare.event.is_none() && !message.request_uri().is_empty();
    let from = message.value(Name::From).filter(|_| is_request).and_then(|from| NameAddr::parse(from).ok());
    let reason = match call.str(1) {
        Some(reason) => reason.to_vec(),
        None if is_request => [b"ini-", message.method()].concat(),
        None => b"reg-refresh".to_vec(),
    };
    let aor = message.value(Name::To).filter(|_| is_request).and_then(|to| NameAddr::parse(to).ok());
    let name = from.as_ref().map(|from| unquoted(from.display)).unwrap_or_default();
    link::push(&Wake {
        domain: "",
        aor: aor.as_ref().map_or(b"".as_slice(), |to| to.uri),
        contact: call.str(0)?,
        reason: &reason,
        caller_name: &name,
        caller_uri: from.as_ref().map_or(b"".as_slice(), |from| from.uri),
        call_id: if is_request { message.value(Name::CallId).unwrap_or_default() } else { b"" },
        patience_ms: None,
    })
}

/// A display name without its quotes and backslashes.
fn unquoted(display: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(display.len());
    ascii::unquote_into(display, &mut name);
    name
}
