//! `push_status` and `push_wake`: what the senders of push notifications do, and a push by hand. Not in OpenSIPS.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::command::{Command, MiParameter, ParameterKind, Params, Reply};
use crate::error::MiError;
use crate::server::{PushService, Server};

/// The commands of this file.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "push_status",
        aliases: &["push:status"],
        recipes: &[&[]],
        doc: "The push services that are configured: whether pushes are held back, and their counters. Times are in \
              microseconds.",
        section: "push",
        run: status,
    },
    Command {
        name: "push_wake",
        aliases: &["push:wake"],
        recipes: &[&[
            MiParameter::new("table_name", ParameterKind::Str, "The location table: `location`."),
            MiParameter::new("aor", ParameterKind::Str, "The address-of-record."),
            MiParameter::optional(
                "reason",
                ParameterKind::Str,
                "What the phone is told; `reg-refresh` by default.",
            ),
        ]],
        doc: "Pushes to the contacts of an address-of-record, as an event would. `Pushes` is how many there are to push \
              to; what becomes of them shows in `push_status`.",
        section: "push",
        run: wake,
    },
];

fn status(server: &Arc<dyn Server>, _: &Params) -> Result<Reply, MiError> {
    let mut services = Vec::new();
    server.push_services(&mut |service| services.push(show(service)));
    let mut reply = Map::new();
    reply.insert("Services".to_owned(), services.into());
    Ok(Reply::Value(Value::Object(reply)))
}

fn wake(server: &Arc<dyn Server>, params: &Params) -> Result<Reply, MiError> {
    let text = |name: &str| params.str(name).unwrap_or_default();
    let reason = params.str("reason").filter(|reason| !reason.is_empty()).unwrap_or("reg-refresh");
    let pushes = server.push_wake(text("table_name"), text("aor").as_bytes(), reason.as_bytes())?;
    let mut reply = Map::new();
    reply.insert("Pushes".to_owned(), pushes.into());
    Ok(Reply::Value(Value::Object(reply)))
}

fn show(service: &PushService<'_>) -> Value {
    let mut shown = Map::new();
    shown.insert("Name".to_owned(), service.name.into());
    shown.insert("Held".to_owned(), service.held.into());
    for (name, value) in service.counters {
        shown.insert((*name).to_owned(), (*value).into());
    }
    shown.into()
}
