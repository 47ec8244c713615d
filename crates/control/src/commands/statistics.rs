//! `get_statistics`, `list_statistics`, `reset_statistics`.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::command::{Command, MiParameter, ParameterKind, Params, Reply};
use crate::error::MiError;
use crate::server::{Server, Statistic, StatisticKind};

const SELECTION: &str = "What to show: `all`, a group with a colon (`usrloc:`), a name (`rcv_requests`), or both \
                         (`core:rcv_requests`).";

/// The commands of this file.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "get_statistics",
        aliases: &["statistics:get"],
        recipes: &[&[MiParameter::new("statistics", ParameterKind::StrArray, SELECTION)]],
        doc: "Values of statistics.",
        section: "core MI: get_statistics",
        run: get,
    },
    Command {
        name: "list_statistics",
        aliases: &["statistics:list"],
        recipes: &[&[MiParameter::optional("statistics", ParameterKind::StrArray, SELECTION)]],
        doc: "Names of statistics and whether each only grows (`incremental`, can be reset) or not.",
        section: "core MI: list_statistics",
        run: list,
    },
    Command {
        name: "reset_statistics",
        aliases: &["statistics:reset"],
        recipes: &[&[MiParameter::new("statistics", ParameterKind::StrArray, SELECTION)]],
        doc: "Sets statistics to 0. Those that cannot be reset stay as they are.",
        section: "core MI: reset_statistics",
        run: reset,
    },
];

/// Whether one selector names a statistic.
fn selects(selector: &str, statistic: &Statistic<'_>) -> bool {
    match selector.split_once(':') {
        None => selector == "all" || selector == statistic.name,
        Some((group, name)) => group == statistic.group && (name.is_empty() || name == statistic.name),
    }
}

/// Shows every selected statistic to `each`.
fn select(
    server: &Arc<dyn Server>,
    selectors: &[String],
    mut each: impl FnMut(&Statistic<'_>),
) -> Result<(), MiError> {
    let mut found = false;
    server.statistics(&mut |statistic| {
        if selectors.iter().any(|selector| selects(selector, statistic)) {
            found = true;
            each(statistic);
        }
    });
    if found { Ok(()) } else { Err(MiError::new(404, "Statistics Not Found")) }
}

fn full_name(statistic: &Statistic<'_>) -> String {
    format!("{}:{}", statistic.group, statistic.name)
}

fn get(server: &Arc<dyn Server>, params: &Params) -> Result<Reply, MiError> {
    let mut values = Map::new();
    select(server, params.list("statistics"), |statistic| {
        values.insert(full_name(statistic), Value::from(statistic.value));
    })?;
    Ok(Reply::Value(Value::Object(values)))
}

fn list(server: &Arc<dyn Server>, params: &Params) -> Result<Reply, MiError> {
    let everything = ["all".to_owned()];
    let given = params.list("statistics");
    let selectors = if given.is_empty() { everything.as_slice() } else { given };
    let mut kinds = Map::new();
    select(server, selectors, |statistic| {
        let kind = match statistic.kind {
            StatisticKind::Counter => "incremental",
            StatisticKind::Gauge => "non-incremental",
        };
        kinds.insert(full_name(statistic), Value::from(kind));
    })?;
    Ok(Reply::Value(Value::Object(kinds)))
}

fn reset(server: &Arc<dyn Server>, params: &Params) -> Result<Reply, MiError> {
    // Collected first: the server may hold something while it shows its statistics.
    let mut chosen = Vec::new();
    select(server, params.list("statistics"), |statistic| {
        if statistic.kind == StatisticKind::Counter {
            chosen.push((statistic.group.to_owned(), statistic.name.to_owned()));
        }
    })?;
    for (group, name) in chosen {
        server.reset_statistic(&group, &name);
    }
    Ok(Reply::ok())
}
