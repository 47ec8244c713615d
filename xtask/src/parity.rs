//! `parity-NAME.md`: what the document of a module declares, how Seawall stands to it, and where that is tested. Written
//! from the facts that crates/modules/tests/documented/parity.rs holds against the tables.

use crate::Outcome;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Where the facts are, below the root.
const FACTS: &str = "crates/modules/tests/documented/parity";

/// One kind of fact: the word, the heading, and the columns before state and tests.
const KINDS: &[(&str, &str, &[&str])] = &[
    ("parameter", "Parameters", &["section", "parameter", "type", "default"]),
    ("function", "Functions", &["section", "function", "routes"]),
    ("argument", "Arguments", &["section", "function", "argument", "type"]),
    ("flag", "Flags", &["section", "function", "flag", "older form"]),
    ("return", "Return codes", &["section", "function", "value"]),
    ("statistic", "Statistics", &["section", "statistic"]),
    ("example", "Examples", &["number", "example"]),
];

/// Writes a page for every file of facts, and a line for each into README.md of that folder.
pub fn write_pages(root: &Path, folder: &Path) -> Outcome {
    let failed = |error: std::io::Error| format!("parity pages: {error}");
    let mut paths: Vec<_> = fs::read_dir(root.join(FACTS))
        .map_err(failed)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "facts"));
    paths.sort();
    let readme = folder.join("README.md");
    let mut contents = fs::read_to_string(&readme).map_err(failed)?;
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let facts = fs::read_to_string(&path).map_err(failed)?;
        fs::write(folder.join(format!("parity-{name}.md")), page(&name, &facts)).map_err(failed)?;
        let _ = writeln!(contents, "- [The document of {name}, item by item](parity-{name}.md)");
    }
    fs::write(readme, contents).map_err(failed)
}

fn page(name: &str, facts: &str) -> String {
    let lines = facts.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let facts: Vec<Vec<&str>> = lines.map(|line| line.split('|').map(str::trim).collect()).collect();
    let document = facts.iter().find(|fact| fact.first() == Some(&"module")).and_then(|fact| fact.get(2));
    let mut text = format!(
        "# The document of {name}, item by item\n\nWritten by `cargo xtask docs` from \
         [the facts]({}/{name}.facts) that the tests hold against the tables; do not edit. Document: <{}>\n\n\
         *yes*: as documented. *differs*: Seawall decides otherwise, for the reason given. *later*: not built yet; refused by \
         name or accepted with a warning.\n",
        format_args!("../../{FACTS}"),
        document.unwrap_or(&""),
    );
    for (kind, heading, columns) in KINDS {
        let rows: Vec<&Vec<&str>> = facts.iter().filter(|fact| fact.first() == Some(kind)).collect();
        if rows.is_empty() {
            continue;
        }
        let later = rows.iter().filter(|fact| state(fact).starts_with("later")).count();
        let open = if later == 0 { String::new() } else { format!(", {later} of them later") };
        let _ = write!(text, "\n## {heading}\n\n{} in all{open}.\n\n| ", rows.len());
        text.push_str(&columns.join(" | "));
        text.push_str(" | state | tested by |\n|");
        text.push_str(&"---|".repeat(columns.len() + 2));
        text.push('\n');
        for fact in rows {
            row(fact, columns.len(), &mut text);
        }
    }
    text
}

fn state<'a>(fact: &[&'a str]) -> &'a str {
    fact.len().checked_sub(2).and_then(|at| fact.get(at)).copied().unwrap_or_default()
}

fn row(fact: &[&str], columns: usize, text: &mut String) {
    text.push('|');
    for (position, field) in fact.iter().skip(1).take(columns).enumerate() {
        // Sections and numbers stand plain, names as code.
        let cell = if position == 0 || field.is_empty() || field.contains(' ') {
            (*field).to_owned()
        } else {
            format!("`{field}`")
        };
        let _ = write!(text, " {cell} |");
    }
    let tests = fact.last().copied().unwrap_or_default();
    let tests: Vec<String> = tests.split(", ").map(|test| format!("`{test}`")).collect();
    let _ = writeln!(text, " {} | {} |", state(fact), tests.join(", "));
}
