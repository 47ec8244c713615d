//! Further values that are accounted: `extra_fields` and `$acc_extra`.

use seawall_script::{AssignOp, Bytes, Program, Value, VarRef, WriteError};
use seawall_storage::Identifier;

use crate::avps::Avps;
use crate::context::Context;

/// Under which the values stand among those of the transaction: no name that a script can write begins so.
const PREFIX: &[u8] = b"\0acc:";

/// Which values are accounted where: tag, and the name there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extra {
    /// In lines of the log.
    pub log: Vec<(Box<[u8]>, String)>,
    /// In columns.
    pub db: Vec<(Box<[u8]>, Identifier)>,
}

impl Extra {
    /// Reads all of `extra_fields`, which were checked at load.
    pub(crate) fn new(program: &Program<Context>) -> Extra {
        let mut extra = Extra::default();
        for parameter in program.parameters.all("acc", "extra_fields") {
            if let Value::Str(text) = &parameter.value {
                let _ = extra.add(text);
            }
        }
        extra
    }

    /// Adds `backend: tag->name; tag`.
    fn add(&mut self, text: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(text).map_err(|_| "it is no text".to_owned())?;
        let (backend, fields) =
            text.split_once(':').ok_or("it has the form \"backend: tag->name; other_tag\"")?;
        for field in fields.split(';').map(str::trim).filter(|field| !field.is_empty()) {
            let (tag, name) =
                field.split_once("->").map_or((field, field), |(tag, name)| (tag.trim(), name.trim()));
            let is_word = |text: &str| {
                !text.is_empty()
                    && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
            };
            if !is_word(tag) || !is_word(name) {
                return Err(format!(
                    "\"{field}\": tags and names have letters, digits, underscores, dots and dashes"
                ));
            }
            match backend.trim() {
                "log" => self.log.push((tag.as_bytes().into(), name.to_owned())),
                "db" => {
                    let column = Identifier::new(name).map_err(|error| format!("\"{name}\": {error}"))?;
                    self.db.push((tag.as_bytes().into(), column));
                }
                other => return Err(format!("\"{other}\": {}", super::TWO_BACKENDS)),
            }
        }
        Ok(())
    }

    fn knows(&self, wanted: &[u8]) -> bool {
        self.log.iter().any(|(tag, _)| **tag == *wanted) || self.db.iter().any(|(tag, _)| **tag == *wanted)
    }
}

/// Checks `extra_fields`.
pub(super) fn check(value: &Value) -> Result<(), String> {
    match value {
        Value::Str(text) if !text.is_empty() => Extra::default().add(text),
        _ => Ok(()),
    }
}

fn key(tag: &[u8]) -> Vec<u8> {
    [PREFIX, tag].concat()
}

/// The value of a tag.
pub(super) fn value(avps: &Avps, tag: &[u8]) -> Option<Bytes> {
    avps.value(&key(tag), 0).cloned().and_then(Value::into_bytes)
}

/// `$acc_extra(tag)`.
pub(super) fn read(context: &Context, reference: &VarRef<'_>) -> Value {
    context.rare.avps.value(&key(reference.name), 0).cloned().unwrap_or(Value::Null)
}

/// `$acc_extra(tag) = value`.
pub(super) fn write(
    context: &mut Context,
    reference: &VarRef<'_>,
    _: AssignOp,
    value: Value,
) -> Result<(), WriteError> {
    if !context.configuration.settings.acc.extra.knows(reference.name) {
        return Err(WriteError::NoTarget);
    }
    let key = key(reference.name);
    context.rare.avps.remove_all(&key);
    let is_kept = value.is_null() || context.rare.avps.add(&key, value.clone());
    // The transaction goes on with what was set behind its beginning.
    if let Some((_, state)) = &context.transaction {
        let mut inner = state.lock();
        inner.avps.remove_all(&key);
        if !value.is_null() {
            inner.avps.add(&key, value);
        }
    }
    if is_kept { Ok(()) } else { Err(WriteError::Full) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_the_document_writes_them() {
        let mut extra = Extra::default();
        extra.add(b"log: a -> test_a; b").unwrap();
        extra.add(b"db:a->col_a").unwrap();
        assert_eq!(extra.log, [((*b"a").into(), "test_a".to_owned()), ((*b"b").into(), "b".to_owned())]);
        assert_eq!(extra.db, [((*b"a").into(), Identifier::new("col_a").unwrap())]);
        assert!(extra.knows(b"b") && !extra.knows(b"c"));
        let refused = |text: &str| Extra::default().add(text.as_bytes()).unwrap_err();
        assert!(refused("a->b").contains("backend"));
        assert!(refused("aaa: a->b").contains("not provided yet"));
        assert!(refused("db: a->1").contains("column"), "{}", refused("db: a->1"));
        assert!(refused("log: a b").contains("letters"));
    }
}
