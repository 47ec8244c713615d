//! Location records as JSON text, in the shape of `ul_dump` and `ul_show_contact`.
//!
//! It is written by hand, straight into bytes: a dump of a million bindings is rendered under the table's locks,
//! where building a tree of values first would hold them ten times as long.

use std::io::Write;

use crate::server::{Contact, Expires, RecordSink, State};

/// Renders records one after the other, separated by commas, into [`RecordWriter::out`].
#[derive(Debug, Default)]
pub struct RecordWriter {
    /// The text so far; the owner may take it away at any time.
    pub out: Vec<u8>,
    brief: bool,
    records: u64,
    contacts: u64,
    open: bool,
    /// The key/value store of the record that is open, as JSON.
    keys: Vec<u8>,
}

impl RecordWriter {
    /// A writer of full records, or of brief ones that show only the contacts.
    pub fn new(brief: bool) -> Self {
        RecordWriter { brief, ..RecordWriter::default() }
    }

    /// Ends the record that is open, if any. Needed after the last one.
    pub fn close(&mut self) {
        if std::mem::take(&mut self.open) {
            self.out.push(b']');
            if !self.keys.is_empty() {
                key(&mut self.out, "KV-Store");
                self.out.append(&mut self.keys);
            }
            self.out.push(b'}');
        }
    }

    /// Begins another list of records: the next one needs no comma before it.
    pub fn restart(&mut self) {
        self.close();
        self.records = 0;
    }
}

impl RecordSink for RecordWriter {
    fn aor(&mut self, aor: &[u8]) {
        self.close();
        if self.records > 0 {
            self.out.push(b',');
        }
        self.records += 1;
        self.contacts = 0;
        self.open = true;
        self.out.extend_from_slice(b"{\"AOR\":");
        string(&mut self.out, aor);
        self.out.extend_from_slice(b",\"Contacts\":[");
    }

    fn keys(&mut self, kv_store: &[u8]) {
        self.keys.clear();
        if !self.brief && is_object(kv_store) {
            self.keys.extend_from_slice(kv_store);
        }
    }

    fn contact(&mut self, contact: &Contact<'_>) {
        if self.contacts > 0 {
            self.out.push(b',');
        }
        self.contacts += 1;
        let out = &mut self.out;
        out.extend_from_slice(b"{\"Contact\":");
        string(out, contact.contact);
        if !self.brief {
            details(out, contact);
        }
        out.push(b'}');
    }
}

fn details(out: &mut Vec<u8>, contact: &Contact<'_>) {
    out.extend_from_slice(b",\"ContactID\":\"");
    number(out, contact.contact_id);
    out.extend_from_slice(b"\",\"Expires\":");
    match contact.expires {
        Expires::In(seconds) => number(out, u64::from(seconds)),
        Expires::Permanent => out.extend_from_slice(b"\"permanent\""),
        Expires::Deleted => out.extend_from_slice(b"\"deleted\""),
        Expires::Expired => out.extend_from_slice(b"\"expired\""),
    }
    out.extend_from_slice(b",\"Q\":\"");
    priority(out, contact.q_per_mille);
    out.push(b'"');
    text_field(out, "Callid", contact.call_id);
    number_field(out, "Cseq", u64::from(contact.cseq));
    text_field(out, "User-agent", contact.user_agent);
    optional_field(out, "Received", contact.received);
    optional_field(out, "Path", contact.path);
    text_field(out, "State", state_name(contact.state).as_bytes());
    number_field(out, "Flags", u64::from(contact.flags));
    text_field(out, "Cflags", contact.cflags);
    optional_field(out, "Socket", contact.socket);
    number_field(out, "Methods", u64::from(contact.methods));
    optional_field(out, "Attr", contact.attr);
    optional_field(out, "SIP_instance", contact.sip_instance);
    if let Some(latency_us) = contact.ping_latency_us {
        number_field(out, "Ping-Latency", u64::from(latency_us));
    }
    optional_field(out, "Shtag", contact.ownership_tag);
    if let Some(kv_store) = contact.kv_store.filter(|text| is_object(text)) {
        key(out, "KV-Store");
        out.extend_from_slice(kv_store);
    }
}

/// Whether a text may stand in the reply as it is: another program may have written it into the database.
fn is_object(text: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(text).is_ok()
}

fn state_name(state: State) -> &'static str {
    match state {
        State::New => "CS_NEW",
        State::Sync => "CS_SYNC",
        State::Dirty => "CS_DIRTY",
    }
}

/// A priority without needless zeros: `1`, `0.5`, `0.25`; nothing when there is none.
fn priority(out: &mut Vec<u8>, q_per_mille: Option<u16>) {
    match q_per_mille {
        None => {}
        Some(q) if q >= 1000 => out.push(b'1'),
        Some(0) => out.push(b'0'),
        Some(q) => {
            let digits = format!("{q:03}");
            out.extend_from_slice(b"0.");
            out.extend_from_slice(digits.trim_end_matches('0').as_bytes());
        }
    }
}

fn optional_field(out: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        text_field(out, name, value);
    }
}

fn text_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    key(out, name);
    string(out, value);
}

fn number_field(out: &mut Vec<u8>, name: &str, value: u64) {
    key(out, name);
    number(out, value);
}

fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn number(out: &mut Vec<u8>, value: u64) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{value}");
}

/// Appends bytes as a JSON string. Control characters, quotes and backslashes are escaped; what is not UTF-8
/// becomes U+FFFD, since JSON text is UTF-8 (RFC 8259 section 8.1).
pub fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        escape(out, chunk.valid());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{FFFD}".as_bytes());
        }
    }
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, text: &str) {
    let needs_escape = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\' || *byte == 0x7F;
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(needs_escape) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((special, after)) = tail.split_first() else { break };
        match special {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            other => {
                let _ = write!(out, "\\u{other:04x}");
            }
        }
        rest = after;
    }
    out.extend_from_slice(rest);
}
