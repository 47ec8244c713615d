//! The fourth argument of `save()`: the sharing tag that owns the contacts (registrar 1.4.1, `ownership_tag`).
//!
//! It is stored with each binding and shown: by MI as `Shtag`, by the events of `usrloc` as `shtag`. Which node acts for
//! a tag is the business of a cluster; a single server acts for all.

use seawall_location::NameId;
use seawall_script::{Call, Prepared, Value};

use crate::context::Context;

/// Longest tag. A tag is a name that an operator gives; the names of the location table are kept for good, so a script
/// must not fill them with what clients send.
const MAX_TAG_LEN: usize = 64;

/// Checks a constant tag.
///
/// # Errors
/// A sentence for the person who wrote the script.
pub fn prepare(value: &Value) -> Result<Prepared, String> {
    match value {
        Value::Str(tag) if tag.is_empty() || is_tag(tag) => Ok(Prepared::new(())),
        _ => Err(format!("a sharing tag is a word of up to {MAX_TAG_LEN} letters, digits and -_.")),
    }
}

/// The tag of a call, interned; no tag for an argument that was left out or is empty. `None` for one that cannot be used.
pub fn tag(context: &Context, call: &Call<'_, Context>, argument: usize) -> Option<NameId> {
    let Some(tag) = call.str(argument).filter(|tag| !tag.is_empty()) else { return Some(NameId::NONE) };
    let known = if is_tag(tag) { context.node.location.names().intern(tag) } else { None };
    if known.is_none() {
        let shown = String::from_utf8_lossy(tag).escape_debug().to_string();
        tracing::error!("line {}: save: \"{shown}\" is no sharing tag, or there are too many", call.line());
    }
    known
}

fn is_tag(tag: &[u8]) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=MAX_TAG_LEN).contains(&tag.len()) && tag.iter().all(is_word)
}
