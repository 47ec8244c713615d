//! The table of all MI commands of this crate, one file a family.

pub mod core;
pub mod location;
pub mod reg_event;
pub mod statistics;

use crate::command::Command;

/// The name of the one command that the dispatcher answers itself.
pub(crate) const WHICH: &str = "which";

/// Every command, by family.
pub fn all() -> impl Iterator<Item = &'static Command> {
    location::COMMANDS.iter().chain(reg_event::COMMANDS).chain(statistics::COMMANDS).chain(core::COMMANDS)
}
