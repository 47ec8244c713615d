//! Names of tables and columns.

use std::fmt;
use std::sync::Arc;

use crate::limits::IDENTIFIER_LEN;

/// A name that cannot be mistaken for anything else in SQL: letters, digits and underscores, not beginning with a digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identifier(Arc<str>);

/// A text is no name of a table or column.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name of a table or column has letters, digits and underscores, at most {IDENTIFIER_LEN}")]
pub struct BadIdentifier;

impl Identifier {
    /// Takes a name.
    ///
    /// # Errors
    /// It is empty or too long, begins with a digit, or has other characters.
    pub fn new(text: &str) -> Result<Identifier, BadIdentifier> {
        let legal = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let begins = text.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
        if legal && begins && text.len() <= IDENTIFIER_LEN {
            Ok(Identifier(Arc::from(text)))
        } else {
            Err(BadIdentifier)
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identifier {
    /// As it stands in SQL. In backquotes SQLite takes it for a name always; in double quotes it would read one that
    /// does not exist as a string.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}`", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_taken() {
        for good in ["subscriber", "ha1_sha256", "_x", "T1"] {
            assert_eq!(Identifier::new(good).unwrap().to_string(), format!("`{good}`"));
        }
        for bad in ["", "1a", "a b", "a;b", "a`b", "a\"b", "a.b", "\u{fc}", &"x".repeat(64)] {
            assert_eq!(Identifier::new(bad), Err(BadIdentifier), "{bad}");
        }
    }
}
