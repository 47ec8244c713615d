//! Every bound of the language, with its reason.

/// Instructions that one run of a script may execute. A long residential script takes a few hundred; a million means
/// a loop that was not meant, and ends before a worker is noticeably held up.
pub const SCRIPT_STEPS: u32 = 1_000_000;

/// Nested `route()` calls. OpenSIPS documents 100 as the depth at which a recursion is taken for an error.
pub const ROUTE_DEPTH: usize = 100;

/// Iterations of one `while`, unless the global `max_while_loops` says otherwise (its documented default).
pub const WHILE_LOOPS: u32 = 100;

/// Values that one `for` walks over. A message cannot hold more headers than this.
pub const FOR_ITEMS: usize = 1_024;

/// Bytes that one format string may expand to: a whole message with something around it.
pub const FORMAT_BYTES: usize = 128 * 1_024;

/// Compiled expressions kept for patterns that are only known at run time. Older ones are thrown away.
pub const REGEX_CACHE: usize = 256;

/// Bytes of memory that one compiled expression may take, so that `a{1000}{1000}` is refused.
pub const REGEX_BYTES: usize = 1 << 20;

/// Named flags of one kind: they are kept in one 32 bit word, as documented.
pub const FLAG_NAMES: usize = 32;

/// Nested blocks and parentheses in the source, so that a hostile file cannot exhaust the parser's stack.
pub const NESTING: usize = 100;

/// Variables inside of the names and indexes of variables.
pub const VARIABLE_NESTING: usize = 10;

/// Files that `include_file` and `import_file` may bring in, one inside the other, so that a circle ends.
pub const INCLUDE_DEPTH: usize = 10;

/// Files of one script in all.
pub const FILES: usize = 256;

/// Bytes of one source file.
pub const SOURCE_BYTES: usize = 8 << 20;

/// Diagnostics that are kept; what a file with more than that needs is not more messages.
pub const DIAGNOSTICS: usize = 500;

/// Variables of one run whose names are only known at run time (`$var($…)`).
pub const DYNAMIC_VARIABLES: usize = 256;
