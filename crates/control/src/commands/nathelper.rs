//! `nh_enable_ping`.

use std::sync::Arc;

use serde_json::json;

use crate::command::{Command, MiParameter, ParameterKind, Params, Reply};
use crate::error::MiError;
use crate::server::Server;

/// The commands of this file.
pub static COMMANDS: &[Command] = &[Command {
    name: "nh_enable_ping",
    aliases: &["nathelper:nh_enable_ping", "nathelper:enable_ping"],
    recipes: &[&[MiParameter::optional(
        "status",
        ParameterKind::Int,
        "Above 0: contacts are pinged from now on; 0: no more.",
    )]],
    doc: "Shows or sets whether contacts are pinged. A reload of the script does not change it.",
    section: "nathelper 1.6.1",
    run: enable_ping,
}];

fn enable_ping(server: &Arc<dyn Server>, params: &Params) -> Result<Reply, MiError> {
    let Some(status) = params.int("status") else {
        return Ok(Reply::Value(json!({ "Status": i32::from(server.pinging()) })));
    };
    if status < 0 {
        return Err(MiError::invalid_params("parameter `status` must not be negative"));
    }
    if !server.set_pinging(status > 0) {
        return Err(MiError::new(400, "Pinging is off in the script"));
    }
    Ok(Reply::ok())
}
