//! The table of all MI commands of this crate, one file a family.

pub mod core;
pub mod location;
pub mod statistics;
pub mod users;

use crate::command::Command;

/// The name of the one command that the dispatcher answers itself.
pub(crate) const WHICH: &str = "which";

/// Every command, by family.
pub fn all() -> impl Iterator<Item = &'static Command> {
    location::COMMANDS.iter().chain(statistics::COMMANDS).chain(users::COMMANDS).chain(core::COMMANDS)
}
