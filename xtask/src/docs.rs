//! `cargo xtask docs`: writes docs/reference from the declaration tables, and the table of budgets of docs/performance.md.

use crate::process::{cargo, root, run as run_command};
use crate::{Outcome, budget, parity};
use std::path::Path;

/// Rewrites docs/reference and that table.
pub fn run(_arguments: &[String]) -> Outcome {
    budget::write_table()?;
    write_reference(&root().join("docs/reference"))
}

/// Lets the binary write its reference pages into a folder.
pub fn write_reference(folder: &Path) -> Outcome {
    std::fs::create_dir_all(folder)
        .map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    run_command(cargo().args(["run", "--quiet", "--package", "seawall", "--", "docs"]).arg(folder))?;
    parity::write_pages(&root(), folder)
}
