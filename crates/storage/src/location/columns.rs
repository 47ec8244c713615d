//! Names of the columns.

use crate::identifier::Identifier;

/// A column of the `location` table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the field of `Row` that has its name")]
pub enum Column {
    ContactId,
    Username,
    Domain,
    Contact,
    Received,
    Path,
    Expires,
    Q,
    Callid,
    Cseq,
    LastModified,
    Flags,
    Cflags,
    UserAgent,
    Socket,
    Methods,
    SipInstance,
    KvStore,
    Attr,
}

/// How many columns there are.
pub(crate) const COUNT: usize = 19;

/// All columns with the names that they have in a table of OpenSIPS, in its order.
pub(crate) const ALL: [(Column, &str); COUNT] = [
    (Column::ContactId, "contact_id"),
    (Column::Username, "username"),
    (Column::Domain, "domain"),
    (Column::Contact, "contact"),
    (Column::Received, "received"),
    (Column::Path, "path"),
    (Column::Expires, "expires"),
    (Column::Q, "q"),
    (Column::Callid, "callid"),
    (Column::Cseq, "cseq"),
    (Column::LastModified, "last_modified"),
    (Column::Flags, "flags"),
    (Column::Cflags, "cflags"),
    (Column::UserAgent, "user_agent"),
    (Column::Socket, "socket"),
    (Column::Methods, "methods"),
    (Column::SipInstance, "sip_instance"),
    (Column::KvStore, "kv_store"),
    (Column::Attr, "attr"),
];

/// The names of the columns, which the script may change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    renamed: Vec<(Column, Identifier)>,
}

impl Columns {
    /// Gives a column another name.
    pub fn rename(&mut self, column: Column, name: Identifier) {
        self.renamed.retain(|(known, _)| *known != column);
        self.renamed.push((column, name));
    }

    /// The name of a column.
    #[must_use]
    pub fn name(&self, column: Column) -> &str {
        let renamed = self.renamed.iter().find(|(known, _)| *known == column).map(|(_, name)| name.as_str());
        renamed
            .or_else(|| ALL.iter().find(|(known, _)| *known == column).map(|(_, name)| *name))
            .unwrap_or_default()
    }

    /// All names, in the order of [`ALL`].
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        ALL.iter().map(|(column, _)| self.name(*column))
    }
}
