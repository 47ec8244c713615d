//! `domain_reload` and `domain_dump` (domain, Exported MI Functions).

use std::sync::Arc;

use serde_json::{Value, json};

use crate::command::{Command, Params, Reply};
use crate::error::MiError;
use crate::server::Server;

/// The commands of this file.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "domain_reload",
        aliases: &["domain:reload"],
        recipes: &[&[]],
        doc: "Reads the table of domains again. Those that were read before stay when the database fails.",
        section: "domain: reload",
        run: reload,
    },
    Command {
        name: "domain_dump",
        aliases: &["domain:dump"],
        recipes: &[&[]],
        doc: "The domains that are in memory.",
        section: "domain: dump",
        run: dump,
    },
];

fn reload(server: &Arc<dyn Server>, _: &Params) -> Result<Reply, MiError> {
    server.reload_domains()?;
    Ok(Reply::ok())
}

fn dump(server: &Arc<dyn Server>, _: &Params) -> Result<Reply, MiError> {
    let mut domains: Vec<Value> = Vec::new();
    server.local_domains(&mut |domain| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let below = i32::from(domain.accepts_subdomains);
        let shown = match domain.attributes {
            None => json!({ "name": text(domain.name), "accept_subdomain": below }),
            Some(attributes) => {
                json!({ "name": text(domain.name), "accept_subdomain": below, "attributes": text(attributes) })
            }
        };
        domains.push(shown);
    })?;
    Ok(Reply::Value(json!({ "Domains": domains })))
}
