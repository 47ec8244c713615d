//! From the text of a script to a program.

use std::io;

use crate::compile;
use crate::declare::{LaterModule, Module};
use crate::diagnostics::Diagnostics;
use crate::host::Host;
use crate::parser;
use crate::program::Program;

/// What a script can use.
#[derive(Debug)]
pub struct Catalog<'a, C: 'static> {
    /// The modules that are provided; those named `core`, which may be several tables, are always loaded.
    pub modules: &'a [&'static Module<C>],
    /// Modules that are known and not provided.
    pub later: &'a [LaterModule],
}

impl<C> Clone for Catalog<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Catalog<'_, C> {}

/// A script after loading.
#[derive(Debug)]
pub struct Loaded<C: 'static> {
    /// The program; nothing if there are errors.
    pub program: Option<Program<C>>,
    /// Everything that there is to say.
    pub diagnostics: Diagnostics,
}

/// Loads a script. It never stops at the first error. `includes` reads the files that `include_file` and `import_file`
/// name, relative names as they stand.
pub fn load<C: Host>(
    source_name: &str,
    text: &[u8],
    catalog: &Catalog<'_, C>,
    includes: &dyn Fn(&str) -> io::Result<Vec<u8>>,
) -> Loaded<C> {
    let mut diagnostics = Diagnostics::default();
    let items = parser::parse(source_name, text, includes, &mut diagnostics);
    let program = compile::compile(&items, *catalog, &mut diagnostics);
    Loaded { program, diagnostics }
}

/// Parses a script without looking anything up, for tools and tests that feed it anything at all. Nothing is included.
pub fn parse(text: &[u8]) -> Diagnostics {
    let mut diagnostics = Diagnostics::default();
    let none = |_: &str| Err(io::Error::from(io::ErrorKind::NotFound));
    let items = parser::parse("script", text, &none, &mut diagnostics);
    drop(items);
    diagnostics.sort();
    diagnostics
}
