//! Loading a script: from a file or built in.

use std::path::{Path, PathBuf};

use seawall_modules::catalog;
use seawall_modules::context::Context;
use seawall_script::{Diagnostics, Program, load};

/// Where a script comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// A text, with the name that messages show.
    Text {
        /// The name.
        name: String,
        /// The text.
        text: String,
    },
}

/// Why a script cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There are errors in it; all of them, as text with line, column and caret.
    #[error("{rendered}")]
    Bad {
        /// The messages.
        rendered: String,
        /// How many errors there are.
        errors: usize,
    },
}

/// A script that can be run, and what there is to say about it.
pub(crate) struct LoadedScript {
    pub program: Program<Context>,
    pub diagnostics: Diagnostics,
}

/// Loads a script.
///
/// # Errors
/// It cannot be read, or there are errors in it.
pub(crate) fn load_script(source: &Source, color: bool) -> Result<LoadedScript, ScriptError> {
    let loaded = read_and_load(source)?;
    match loaded.program {
        Some(program) => Ok(LoadedScript { program, diagnostics: loaded.diagnostics }),
        None => {
            let errors = loaded.diagnostics.errors().count();
            Err(ScriptError::Bad { rendered: loaded.diagnostics.render(color), errors })
        }
    }
}

/// Checks a script and gives everything that there is to say about it.
///
/// # Errors
/// It cannot be read.
pub fn check(source: &Source) -> Result<Diagnostics, ScriptError> {
    read_and_load(source).map(|loaded| loaded.diagnostics)
}

fn read_and_load(source: &Source) -> Result<seawall_script::Loaded<Context>, ScriptError> {
    let catalog = catalog();
    match source {
        Source::Text { name, text } => Ok(load(name, text.as_bytes(), &catalog, &|path| include(None, path))),
        Source::File(path) => {
            let text =
                std::fs::read(path).map_err(|source| ScriptError::Read { path: path.clone(), source })?;
            let name = path.display().to_string();
            Ok(load(&name, &text, &catalog, &|included| include(path.parent(), included)))
        }
    }
}

/// Reads an included file; a relative name is looked for beside the script first.
fn include(folder: Option<&Path>, name: &str) -> std::io::Result<Vec<u8>> {
    if let Some(folder) = folder.filter(|_| Path::new(name).is_relative())
        && let Ok(text) = std::fs::read(folder.join(name))
    {
        return Ok(text);
    }
    std::fs::read(name)
}
