//! `uptime`, `version`, `ps`, `which`, `log_level`, `reload`.

use std::sync::Arc;

use serde_json::json;

use crate::calendar;
use crate::command::{Command, MiParameter, ParameterKind, Params, Reply};
use crate::commands::WHICH;
use crate::error::MiError;
use crate::server::Server;

/// The log levels of the script language: -3 alerts only, 4 debug.
const LOG_LEVELS: std::ops::RangeInclusive<i64> = -3..=4;

/// The commands of this file.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "uptime",
        aliases: &[],
        recipes: &[&[]],
        doc: "The present time, the time of the start (both UTC) and the seconds between them.",
        section: "core MI: uptime",
        run: uptime,
    },
    Command {
        name: "version",
        aliases: &[],
        recipes: &[&[]],
        doc: "The server's name and version.",
        section: "core MI: version",
        run: version,
    },
    Command {
        name: "ps",
        aliases: &[],
        recipes: &[&[]],
        doc: "The server's workers and threads with their ids.",
        section: "core MI: ps",
        run: processes,
    },
    Command {
        name: WHICH,
        aliases: &[],
        recipes: &[&[MiParameter::optional(
            "command",
            ParameterKind::Str,
            "A family, such as `usrloc`, whose commands are to be listed.",
        )]],
        doc: "The names of all commands.",
        section: "core MI: which",
        run: which,
    },
    Command {
        name: "log_level",
        aliases: &[],
        recipes: &[&[
            MiParameter::optional(
                "level",
                ParameterKind::Int,
                "The new level: -3 (alerts only) to 4 (debug).",
            ),
            MiParameter::optional(
                "pid",
                ParameterKind::Int,
                "A process id as `ps` lists it. The level is one for the whole server, whichever is named.",
            ),
        ]],
        doc: "Shows or sets the log level.",
        section: "core MI: log_level",
        run: log_level,
    },
    Command {
        name: "reload",
        aliases: &["reload_routes"],
        recipes: &[&[]],
        doc: "Loads the script anew. When it has no errors it takes the place of the running one; no transaction \
              and no binding is dropped. Otherwise the error says why not.",
        section: "core MI: reload_routes",
        run: reload,
    },
];

fn uptime(server: &Arc<dyn Server>, _: &Params) -> Result<Reply, MiError> {
    let (now_s, started_s) = (server.now_s(), server.started_s());
    Ok(Reply::Value(json!({
        "Now": calendar::date_time(now_s),
        "Up since": calendar::date_time(started_s),
        "Up time": format!("{} [sec]", now_s.saturating_sub(started_s)),
    })))
}

fn version(server: &Arc<dyn Server>, _: &Params) -> Result<Reply, MiError> {
    Ok(Reply::Value(json!({ "Server": server.version() })))
}

fn processes(server: &Arc<dyn Server>, _: &Params) -> Result<Reply, MiError> {
    let listed: Vec<_> = server
        .processes()
        .into_iter()
        .map(|process| json!({ "ID": process.id, "PID": process.pid, "Type": process.kind }))
        .collect();
    Ok(Reply::Value(json!({ "Processes": listed })))
}

/// Never called: the dispatcher answers `which` from its table.
fn which(_: &Arc<dyn Server>, _: &Params) -> Result<Reply, MiError> {
    Ok(Reply::Value(json!([])))
}

fn log_level(server: &Arc<dyn Server>, params: &Params) -> Result<Reply, MiError> {
    let processes = server.processes();
    if let Some(pid) = params.int("pid")
        && !processes.iter().any(|process| i64::from(process.pid) == pid)
    {
        return Err(MiError::new(404, "Bad PID"));
    }
    let Some(wanted) = params.int("level") else {
        let level = server.log_level();
        let listed: Vec<_> = processes
            .into_iter()
            .map(|process| json!({ "PID": process.pid, "Log level": level, "Type": process.kind }))
            .collect();
        return Ok(Reply::Value(json!({ "Log level": level, "Processes": listed })));
    };
    let level = i8::try_from(wanted).ok().filter(|_| LOG_LEVELS.contains(&wanted));
    let Some(level) = level else {
        return Err(MiError::invalid_params("parameter `level` must be from -3 to 4"));
    };
    server.set_log_level(level);
    // Both names: with and without a process id the documented replies differ in it.
    Ok(Reply::Value(json!({ "New global log level": level, "Log level": level })))
}

fn reload(server: &Arc<dyn Server>, _: &Params) -> Result<Reply, MiError> {
    match server.reload() {
        Ok(done) => Ok(Reply::Value(json!(done))),
        Err(reason) => Err(MiError { data: Some(reason), ..MiError::new(500, "The script was not loaded") }),
    }
}
