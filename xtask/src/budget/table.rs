//! The budgets as a table of docs/performance.md, which is written from them and checked, so that it cannot grow old.

use crate::Outcome;
use std::fs;
use std::path::Path;

/// Where the table is.
const PAGE: &str = "docs/performance.md";
/// The line before it, as an HTML comment that nobody sees, and the one behind it.
const BEGIN: &str = "<!-- budgets: written by `cargo xtask budget --accept` and `cargo xtask docs` -->\n";
const END: &str = "<!-- end of budgets -->\n";

/// The table of operations, what each is in words and its instructions.
pub fn table(rows: &[(&str, u64)]) -> String {
    let mut text = "| operation | instructions |\n|---|--:|\n".to_owned();
    for (operation, each) in rows {
        text += &format!("| {operation} | {} |\n", in_thousands(*each));
    }
    text
}

/// Writes the table into the page below `root`.
///
/// # Errors
/// When the page cannot be read or written, or has no place for it.
pub fn write(root: &Path, table: &str) -> Outcome {
    let page = read(root)?;
    let fresh = with_table(&page, table)?;
    if fresh == page {
        return Ok(());
    }
    fs::write(root.join(PAGE), fresh).map_err(|error| format!("{PAGE}: {error}"))
}

/// Whether the page below `root` has this table.
///
/// # Errors
/// When it has not, or cannot be read.
pub fn check(root: &Path, table: &str) -> Outcome {
    let page = read(root)?;
    if with_table(&page, table)? == page {
        return Ok(());
    }
    Err(format!("the table of budgets in {PAGE} is not that of the budgets; run cargo xtask docs"))
}

fn read(root: &Path) -> Result<String, String> {
    fs::read_to_string(root.join(PAGE)).map_err(|error| format!("{PAGE}: {error}"))
}

fn with_table(page: &str, table: &str) -> Result<String, String> {
    let place = || {
        let (before, rest) = page.split_once(BEGIN)?;
        let (_, after) = rest.split_once(END)?;
        Some(format!("{before}{BEGIN}{table}{END}{after}"))
    };
    place().ok_or_else(|| format!("{PAGE} has no place for the table of budgets"))
}

/// 12345 as `12 345`.
fn in_thousands(number: u64) -> String {
    match number / 1000 {
        0 => number.to_string(),
        thousands => format!("{} {:03}", in_thousands(thousands), number % 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_thousands() {
        for (number, expected) in [(7, "7"), (999, "999"), (1_005, "1 005"), (1_234_567, "1 234 567")] {
            assert_eq!(in_thousands(number), expected);
        }
    }

    #[test]
    fn the_table_takes_the_place_of_the_one_before_and_nothing_else_changes() {
        let page = |table: &str| format!("before\n{BEGIN}{table}{END}after\n");
        let fresh = table(&[("a refresh", 7_567)]);
        assert_eq!(with_table(&page("| old |\n"), &fresh), Ok(page(&fresh)));
        assert_eq!(with_table(&page(&fresh), &fresh), Ok(page(&fresh)));
        assert!(with_table("no place", &fresh).is_err());
    }
}
