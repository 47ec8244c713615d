//! The table of all MI commands of this crate, one file a family.

pub mod core;
pub mod domain;
pub mod events;
pub mod location;
pub mod mid_registrar;
pub mod nathelper;
pub mod push;
pub mod reg_event;
pub mod statistics;
pub mod users;

use crate::command::Command;

/// The name of the one command that the dispatcher answers itself.
pub(crate) const WHICH: &str = "which";

/// Every command, by family.
pub fn all() -> impl Iterator<Item = &'static Command> {
    let parts = [
        location::COMMANDS,
        mid_registrar::COMMANDS,
        reg_event::COMMANDS,
        statistics::COMMANDS,
        nathelper::COMMANDS,
        push::COMMANDS,
        domain::COMMANDS,
        users::COMMANDS,
        core::COMMANDS,
        events::COMMANDS,
    ];
    parts.into_iter().flatten()
}
