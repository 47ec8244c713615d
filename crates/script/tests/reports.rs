//! What is said about wrong scripts. Each pair of files in `reports` is a script and the report on it; its name is the behaviour.
//! `UPDATE_REPORTS=1 cargo test` writes the reports anew, to be read before they are kept.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::Path;

#[test]
fn every_report_is_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reports");
    let mut scripts: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.retain(|path| path.extension().is_some_and(|extension| extension == "cfg"));
    scripts.sort();
    assert!(scripts.len() > 20);
    for script in scripts {
        let text = fs::read_to_string(&script).unwrap();
        let report = support::load_text(&text).diagnostics.render(false);
        let expected = script.with_extension("txt");
        if std::env::var_os("UPDATE_REPORTS").is_some() {
            fs::write(&expected, report).unwrap();
        } else {
            assert_eq!(report, fs::read_to_string(&expected).unwrap_or_default(), "{}", script.display());
        }
    }
}

#[test]
fn a_program_comes_without_errors_only() {
    assert!(support::load_text("route { }").program.is_some());
    assert!(support::load_text("children=3\nroute { }").program.is_some());
    assert!(support::load_text("route { nope(); }").program.is_none());
}

#[test]
fn positions_count_lines_and_characters_from_one() {
    let loaded = support::load_text("# é\nroute {\n  echo(\"é\"); nope();\n}");
    let error = loaded.diagnostics.errors().next().unwrap();
    let position = loaded.diagnostics.position(error.span);
    assert_eq!((position.line, position.column), (3, 14));
    assert_eq!(loaded.diagnostics.file(error.span), "test.cfg");
}

#[test]
fn there_are_only_so_many_flags() {
    let flags: String = (0..33).map(|flag| format!("setflag(F{flag});")).collect();
    let loaded = support::load_text(&format!("route {{ {flags} }}"));
    assert_eq!(loaded.diagnostics.errors().next().unwrap().message, "more than 32 flags of one kind");
}

#[test]
fn the_reference_has_a_page_for_everything() {
    let pages = seawall_script::reference::markdown(support::MODULES);
    let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["language.md", "settings.md", "README.md", "core.md", "registrar.md", "usrloc.md"]);
    let registrar = &pages[4].1;
    for expected in [
        "| `max_expires` | integer | `3600` | s | 1.1 | the longest expiry |",
        "### `save(domain[, flags[, aor]])`",
        "  - `max-contacts=…` (older form `c`): a limit",
        "| -1 | not saved |",
        "| `E_SAVED` | aor | saved |",
        "No effect here: the table grows by itself",
    ] {
        assert!(registrar.contains(expected), "{expected}\n{registrar}");
    }
    assert!(pages[0].1.contains("| `{s.substr,…,…}` |"), "{}", pages[0].1);
}
