//! Loading the script anew while the server runs.

use std::sync::Arc;

use seawall_modules::configuration::Configuration;

use crate::management::Management;
use crate::script::load_script;
use crate::sockets;
use crate::start::{apply, describe_wanted, script_path};
use crate::worker::Command;

/// Loads the script again and swaps it in as a whole. Transactions that are under way keep the script that they
/// started with; bindings and connections are not touched.
///
/// # Errors
/// Why the old script goes on: the new one has errors, or wants what only a start can give.
pub(crate) fn reload(management: &Management) -> Result<String, String> {
    let options = management.options();
    let loaded = load_script(&options.script, false).map_err(|error| error.to_string())?;
    let wanted = sockets::wanted(&loaded.program, &options.listen).map_err(|error| error.to_string())?;
    let specs = |all: &[sockets::Wanted]| all.iter().map(|wanted| wanted.spec).collect::<Vec<_>>();
    if specs(&wanted) != specs(management.wanted()) {
        return Err(format!(
            "the sockets have changed to {}; they are opened at the start only, so restart the server",
            describe_wanted(&wanted)
        ));
    }
    if wanted != management.wanted() {
        return Err("the advertised names or the tags of the sockets have changed; they are set at the start only, so \
                    restart the server"
            .to_owned());
    }
    let node = management.node();
    let configuration = Configuration::new(loaded.program);
    if configuration.settings.store.as_ref() != node.store.settings() {
        return Err("where usrloc keeps its bindings has changed; that is set at the start only, so restart the server"
            .to_owned());
    }
    let is_front = |configuration: &Configuration| configuration.settings.mid.is_some();
    if node.store.is_on() && is_front(&configuration) && !is_front(&node.configuration.load()) {
        return Err(
            "what main registrars hold is kept in the database from the start on only, so restart the server"
                .to_owned(),
        );
    }
    crate::start::read_domains(node, &configuration, management.runtime());
    let warnings = loaded.diagnostics.warnings().count();
    node.configuration.store(Arc::new(configuration));
    apply(node, options);
    for worker in 0..node.workers {
        if management.commands().send(worker, Command::Reconfigured).is_err() {
            return Err(format!(
                "worker {worker} is overloaded and goes on with the old script; reload again"
            ));
        }
    }
    let name = script_path(options)
        .map_or_else(|| "the built-in script".to_owned(), |path| path.display().to_string());
    Ok(match warnings {
        0 => format!("{name} is in force"),
        1 => format!("{name} is in force, with 1 warning"),
        _ => format!("{name} is in force, with {warnings} warnings"),
    })
}
