//! docs/reference is what `cargo xtask docs` would write now.

use crate::{Outcome, docs};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Generates the pages into a temporary folder and compares.
pub fn check(root: &Path) -> Outcome {
    let fresh = std::env::temp_dir().join(format!("seawall-reference-{}", std::process::id()));
    let generated = docs::write_reference(&fresh).and_then(|()| pages(&fresh));
    // A folder that stays behind in the temporary directory harms nobody.
    let _ = fs::remove_dir_all(&fresh);
    let generated = generated?;
    let committed = pages(&root.join("docs/reference"))?;
    let stale: Vec<&str> = generated
        .keys()
        .chain(committed.keys())
        .filter(|name| generated.get(*name) != committed.get(*name))
        .map(String::as_str)
        .collect();
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!("docs/reference is not fresh ({}); run cargo xtask docs", stale.join(", ")))
}

fn pages(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let failed = |error| format!("cannot read {}: {error}", folder.display());
    let mut pages = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(failed)?.filter_map(Result::ok) {
        let bytes = fs::read(entry.path()).map_err(failed)?;
        pages.insert(entry.file_name().to_string_lossy().into_owned(), bytes);
    }
    Ok(pages)
}
