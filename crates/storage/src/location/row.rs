//! A row of the table, and what happens to it.

/// One binding, as the `location` table keeps it.
///
/// Byte strings are what SIP carried. An empty one is stored as NULL where the column may be NULL.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// The primary key.
    pub contact_id: u64,
    /// User part of the address of record.
    pub username: Vec<u8>,
    /// Host part; empty without `use_domain`.
    pub domain: Vec<u8>,
    /// The contact's URI.
    pub contact: Vec<u8>,
    /// Where its REGISTER came from, as a URI.
    pub received: Vec<u8>,
    /// Path header values, joined by commas.
    pub path: Vec<u8>,
    /// Unix seconds at which it ends; 0 for one that does not end.
    pub expires: i64,
    /// Its preference, 0 to 1; -1 without one.
    pub q: f32,
    /// Call-ID of the last REGISTER.
    pub callid: Vec<u8>,
    /// CSeq of the last REGISTER.
    pub cseq: u32,
    /// Unix seconds of the last change. Stored as a date in UTC.
    pub last_modified: i64,
    /// Message flags.
    pub flags: u32,
    /// Branch flags, as text.
    pub cflags: Vec<u8>,
    /// The phone's name for itself.
    pub user_agent: Vec<u8>,
    /// Our socket on which the REGISTER came, as `udp:192.0.2.1:5060`.
    pub socket: Vec<u8>,
    /// Bit mask of the methods that it takes; none if it did not say.
    pub methods: Option<u32>,
    /// `+sip.instance`.
    pub sip_instance: Vec<u8>,
    /// The key/value store of the binding, as text.
    pub kv_store: Vec<u8>,
    /// The attribute that the script gave it.
    pub attr: Vec<u8>,
}

/// A change of one row. Doing it twice comes to the same as doing it once.
#[derive(Clone, Debug, PartialEq)]
pub enum RowChange {
    /// The row is this one from now on, whether it was there or not.
    Upsert(Box<Row>),
    /// There is no such row from now on.
    Delete {
        /// The primary key.
        contact_id: u64,
    },
}

impl RowChange {
    /// The row that is changed.
    #[must_use]
    pub fn contact_id(&self) -> u64 {
        match self {
            RowChange::Upsert(row) => row.contact_id,
            RowChange::Delete { contact_id } => *contact_id,
        }
    }
}

/// Some of the rows of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Those that could be read.
    pub rows: Vec<Row>,
    /// Those that could not.
    pub broken: Vec<BrokenRow>,
    /// Where the next page begins: what to give as `after_contact_id`. None after the last page. The order is the
    /// database's own.
    pub last: Option<u64>,
}

impl Page {
    /// Tells the log of rows that cannot be read.
    pub(crate) fn warn(&self, table: &str) {
        for broken in &self.broken {
            tracing::error!("{table}: row {} is not used: {}", broken.contact_id, broken.reason);
        }
    }
}

/// A row that cannot be read: to be reported, and left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenRow {
    /// Its primary key.
    pub contact_id: u64,
    /// What is wrong with it. No value of it is part of the text.
    pub reason: String,
}
