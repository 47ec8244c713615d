//! `user_add`, `user_password`, `user_remove`, `user_list`, `user_flush`: who may log in. None of them is OpenSIPS's.

use std::sync::Arc;

use serde_json::json;

use crate::command::{Command, MiParameter, ParameterKind, Params, Reply};
use crate::error::MiError;
use crate::server::Server;
use crate::users::{UserError, Users};

const USER: MiParameter =
    MiParameter::new("user", ParameterKind::Str, "The user, as `alice` or `alice@example.com`.");

const PASSWORD: MiParameter = MiParameter::new(
    "password",
    ParameterKind::Str,
    "The password. `seawall ctl user` asks for it, so that it stands in no history.",
);

/// The commands of this file.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "user_add",
        aliases: &[],
        recipes: &[&[USER, PASSWORD]],
        doc: "Adds a user to the table that `user_table` of auth_db names.",
        section: "ours",
        run: |server, params| change(server, params, |users, user, password| users.add(user, password)),
    },
    Command {
        name: "user_password",
        aliases: &[],
        recipes: &[&[USER, PASSWORD]],
        doc: "Gives a user another password. The old one is refused from then on.",
        section: "ours",
        run: |server, params| change(server, params, |users, user, password| users.change(user, password)),
    },
    Command {
        name: "user_remove",
        aliases: &[],
        recipes: &[&[USER]],
        doc: "Removes a user, who is refused from then on. Bindings stay until they expire; `ul_rm` removes them.",
        section: "ours",
        run: |server, params| change(server, params, |users, user, _| users.remove(user)),
    },
    Command {
        name: "user_list",
        aliases: &[],
        recipes: &[&[MiParameter::optional(
            "from",
            ParameterKind::Int,
            "The position to begin at, from 0: a thousand users are listed at once.",
        )]],
        doc: "Lists users in the order of their names.",
        section: "ours",
        run: list,
    },
    Command {
        name: "user_flush",
        aliases: &[],
        recipes: &[&[MiParameter::optional(
            "user",
            ParameterKind::Str,
            "The user; everybody if it is left out.",
        )]],
        doc: "Forgets what was looked up of users, so that changes which another program made to the database count at \
              once.",
        section: "ours",
        run: flush,
    },
];

fn users(server: &Arc<dyn Server>) -> Result<&dyn Users, MiError> {
    server.users().ok_or_else(|| UserError::NoUsers.into())
}

fn change(
    server: &Arc<dyn Server>,
    params: &Params,
    act: impl FnOnce(&dyn Users, &str, &str) -> Result<(), UserError>,
) -> Result<Reply, MiError> {
    let text = |name| params.str(name).unwrap_or_default();
    act(users(server)?, text("user"), text("password"))?;
    Ok(Reply::ok())
}

fn list(server: &Arc<dyn Server>, params: &Params) -> Result<Reply, MiError> {
    let from = u32::try_from(params.int("from").unwrap_or(0))
        .map_err(|_| MiError::invalid_params("parameter `from` must not be negative"))?;
    let listed: Vec<_> = users(server)?.list(from)?.into_iter().map(|name| json!({ "User": name })).collect();
    Ok(Reply::Value(json!({ "Users": listed })))
}

fn flush(server: &Arc<dyn Server>, params: &Params) -> Result<Reply, MiError> {
    users(server)?.flush(params.str("user"))?;
    Ok(Reply::ok())
}
