//! What keeping bindings in a SQLite file costs a refresh: instructions under callgrind, with and without.
//!
//! With write-back the file is written at the stop, which is not counted: what is left is what a worker does for each refresh of
//! a binding that is noted already. With write-through it is all that is done until the change is on disk.

use crate::error::Error;
use crate::refresh_cost::{RefreshCostArgs, each};

/// What has bindings written, with the place for the preset.
macro_rules! kept {
    ($preset:literal) => {
        concat!(
            "loadmodule \"db_sqlite.so\"\nmodparam(\"usrloc\", \"db_url\", \"sqlite://@FOLDER@/location.db\")\n",
            "modparam(\"usrloc\", \"timer_interval\", 3600)\nmodparam(\"usrloc\", \"working_mode_preset\", \"",
            $preset,
            "\")\n"
        )
    };
}

/// Measures and prints a table.
///
/// # Errors
/// [`Error::Server`] when the server does not start or requests were lost, [`Error::System`] when the machine refuses
/// something.
pub fn cli(args: &RefreshCostArgs) -> Result<(), Error> {
    println!("| bindings | instructions | more |\n|---|--:|--:|");
    let memory = each(args, "", "")?;
    println!("| in memory only | {memory:.0} | |");
    for (name, lines) in [
        ("write-back", kept!("single-instance-sql-write-back")),
        ("write-through", kept!("single-instance-sql-write-through")),
    ] {
        let kept = each(args, lines, "")?;
        println!("| {name} | {kept:.0} | {:+.2} % |", (kept / memory.max(1.0) - 1.0) * 100.0);
    }
    Ok(())
}
