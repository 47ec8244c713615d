//! `evi:subscribe`, `evi:list`, `evi:subscribers`: programs outside that are told of events; `evi:raise`: raising one.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::command::{Command, MiParameter, ParameterKind, Params, Reply};
use crate::error::MiError;
use crate::limits::EVENT_VALUES;
use crate::server::{EventSubscriber, EventValue, Server};

/// For how long a subscription holds that says nothing about it, in seconds.
const EXPIRE_S: u64 = 3600;

/// The commands of this file.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "event_subscribe",
        aliases: &["evi:subscribe"],
        recipes: &[&[
            MiParameter::new("event", ParameterKind::Str, "The name of the event."),
            MiParameter::new("socket", ParameterKind::Str, "Where to: `udp:ADDRESS:PORT` or `unix:PATH`."),
            MiParameter::optional(
                "expire",
                ParameterKind::Int,
                "For how many seconds, 3600 by default; 0 ends the subscription.",
            ),
        ]],
        doc: "Sends an event to a program outside from now on, each time, as a JSON-RPC notification in a datagram. Needs the \
              module `event_datagram`.",
        section: "core",
        run: subscribe,
    },
    Command {
        name: "events_list",
        aliases: &["evi:list"],
        recipes: &[&[]],
        doc: "The events that the server raises.",
        section: "core",
        run: list,
    },
    Command {
        name: "subscribers_list",
        aliases: &["evi:subscribers"],
        recipes: &[&[
            MiParameter::optional("event", ParameterKind::Str, "Of this event only."),
            MiParameter::optional("socket", ParameterKind::Str, "This socket only."),
        ]],
        doc: "The programs outside that are told of events, and for how many seconds still.",
        section: "core",
        run: subscribers,
    },
    Command {
        name: "raise_event",
        aliases: &["evi:raise"],
        recipes: &[&[
            MiParameter::new("event", ParameterKind::Str, "The name of the event."),
            MiParameter::optional(
                "params",
                ParameterKind::Values,
                "Its values: an array, or an object of names and values (in a string, too).",
            ),
        ]],
        doc: "Raises an event: its event route runs, and whoever subscribed to it is told.",
        section: "core MI: evi:raise",
        run: raise,
    },
];

fn raise(server: &Arc<dyn Server>, params: &Params) -> Result<Reply, MiError> {
    let read = |name: &str, value: &Value| {
        let read = match value {
            Value::String(text) => Some(EventValue::Text(text.clone())),
            value => value.as_i64().map(EventValue::Int),
        };
        read.map(|value| (name.to_owned(), value))
    };
    let values: Option<Vec<_>> = match params.values("params") {
        Some(Value::Object(named)) => named.iter().map(|(name, value)| read(name, value)).collect(),
        Some(Value::Array(items)) => items.iter().map(|value| read("", value)).collect(),
        _ => Some(Vec::new()),
    };
    let values = values.ok_or_else(|| MiError::invalid_params("`params` holds strings and integers"))?;
    if values.len() > EVENT_VALUES {
        return Err(MiError::invalid_params("`params` holds too many values"));
    }
    server.event_raise(params.str("event").unwrap_or_default(), &values)?;
    Ok(Reply::ok())
}

fn subscribe(server: &Arc<dyn Server>, params: &Params) -> Result<Reply, MiError> {
    let expire_s = match params.int("expire") {
        None => EXPIRE_S,
        Some(seconds) => {
            u64::try_from(seconds).map_err(|_| MiError::invalid_params("`expire` must not be negative"))?
        }
    };
    let text = |name: &str| params.str(name).unwrap_or_default();
    server.event_subscribe(text("event"), text("socket"), expire_s)?;
    Ok(Reply::Value(json!("OK")))
}

fn list(server: &Arc<dyn Server>, _: &Params) -> Result<Reply, MiError> {
    let mut events = Vec::new();
    server.events(&mut |name| events.push(json!({ "name": name, "id": events.len() })));
    Ok(Reply::Value(json!({ "Events": events })))
}

fn subscribers(server: &Arc<dyn Server>, params: &Params) -> Result<Reply, MiError> {
    let mut events = Map::new();
    server.event_subscribers(&mut |one| {
        let is_asked = |name: &str, value: &str| params.str(name).is_none_or(|asked| asked == value);
        if is_asked("event", one.event) && is_asked("socket", one.socket) {
            let of_event = events.entry(one.event).or_insert_with(|| json!([]));
            of_event.as_array_mut().into_iter().for_each(|all| all.push(show(one)));
        }
    });
    let shown: Vec<Value> =
        events.into_iter().map(|(name, all)| json!({ "name": name, "subscribers": all })).collect();
    Ok(Reply::Value(json!({ "Events": shown })))
}

fn show(one: &EventSubscriber<'_>) -> Value {
    let expire = one.expires_s.map_or_else(|| json!("never"), |seconds| json!(seconds));
    json!({ "socket": one.socket, "expire": expire })
}
