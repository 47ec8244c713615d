//! `reg_event_list`, `reg_event_end`: subscriptions to registrations (RFC 3680). Not in OpenSIPS.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::command::{Command, MiParameter, ParameterKind, Params, Reply};
use crate::error::MiError;
use crate::limits::SUBSCRIPTIONS_PER_PAGE;
use crate::server::{Server, Subscription};

/// The commands of this file.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "reg_event_list",
        aliases: &["reg_event:list"],
        recipes: &[&[
            MiParameter::optional(
                "aor",
                ParameterKind::Str,
                "Only the subscriptions to this address-of-record; empty for all.",
            ),
            MiParameter::optional(
                "from",
                ParameterKind::Int,
                "The number of the subscription to begin with: the `Next` of the page before.",
            ),
        ]],
        doc: "Subscriptions to registrations, in pages. `Next` is there when there may be more.",
        section: "reg_event",
        run: list,
    },
    Command {
        name: "reg_event_end",
        aliases: &["reg_event:end"],
        recipes: &[&[MiParameter::new("id", ParameterKind::Int, "The `ID` of the subscription.")]],
        doc: "Ends a subscription to a registration; its subscriber is told by a last NOTIFY (deactivated).",
        section: "reg_event",
        run: end,
    },
];

fn list(server: &Arc<dyn Server>, params: &Params) -> Result<Reply, MiError> {
    let aor = params.str("aor").filter(|aor| !aor.is_empty());
    let mut from = match params.int("from") {
        None => 0,
        Some(from) => number(from)?,
    };
    let mut listed = Vec::new();
    let mut next = None;
    loop {
        let (mut seen, mut last) = (0, 0);
        server.subscriptions(from, SUBSCRIPTIONS_PER_PAGE, &mut |subscription| {
            (seen, last) = (seen + 1, subscription.id);
            if aor.is_none_or(|aor| aor.as_bytes() == subscription.aor) {
                listed.push(show(subscription));
            }
        });
        if seen < SUBSCRIPTIONS_PER_PAGE {
            break;
        }
        from = last + 1;
        // A page of all is a full one; one of a single address-of-record is looked for in further pages.
        if listed.len() >= SUBSCRIPTIONS_PER_PAGE {
            next = Some(from);
            break;
        }
    }
    let mut reply = Map::new();
    reply.insert("Subscriptions".to_owned(), listed.into());
    if let Some(next) = next {
        reply.insert("Next".to_owned(), next.into());
    }
    Ok(Reply::Value(Value::Object(reply)))
}

fn end(server: &Arc<dyn Server>, params: &Params) -> Result<Reply, MiError> {
    if server.end_subscription(number(params.int("id").unwrap_or(0))?) {
        Ok(Reply::Value(json!("OK")))
    } else {
        Err(MiError::new(404, "Subscription not found"))
    }
}

fn number(given: i64) -> Result<u64, MiError> {
    u64::try_from(given).map_err(|_| MiError::invalid_params("the number of a subscription is not negative"))
}

fn show(subscription: &Subscription<'_>) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    json!({
        "ID": subscription.id,
        "Table": text(subscription.domain),
        "AOR": text(subscription.aor),
        "Subscriber": text(subscription.subscriber),
        "Contact": text(subscription.target),
        "Callid": text(subscription.call_id),
        "Expires": subscription.expires_s,
        "Notifies": subscription.notifies,
    })
}
