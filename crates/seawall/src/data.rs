//! The folder in which a server without a script keeps its users.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The script that runs when none is given.
const DEFAULT_SCRIPT: &str = include_str!("../scripts/default.cfg");

/// What stands in it for the folder.
const PLACE: &str = "/var/lib/seawall";

/// The folder that is used unless `--data` names one: `/var/lib/seawall` for root, else the one that the XDG base
/// directory specification gives to `seawall`.
pub fn default_folder() -> PathBuf {
    let is_root =
        std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if is_root {
        return PLACE.into();
    }
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_DATA_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/share")))
        .map_or_else(|| "seawall-data".into(), |base| base.join("seawall"))
}

/// Makes the folder, for its owner only, unless it is there.
///
/// # Errors
/// A sentence with what to do about it.
pub fn make(folder: &Path) -> Result<(), String> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| {
        format!("cannot make the data folder {}: {error}; name another with --data DIR", folder.display())
    })
}

/// The script that runs when none is given, with its users in this folder.
///
/// # Errors
/// The name of the folder cannot stand in a script.
pub fn default_script(folder: &Path) -> Result<String, String> {
    let text = folder.to_str().filter(|text| !text.contains(['"', '\\', '\n', '\r']));
    let text = text.ok_or_else(|| {
        format!("the data folder {} has a name that cannot stand in a script", folder.display())
    })?;
    Ok(DEFAULT_SCRIPT.replace(PLACE, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_stands_in_the_script() {
        let script = default_script(Path::new("/tmp/here")).unwrap();
        assert!(script.contains("\"sqlite:///tmp/here/seawall.db\""));
        assert!(!script.contains(PLACE));
        assert!(default_script(Path::new("/tmp/a\"b")).is_err());
    }
}
