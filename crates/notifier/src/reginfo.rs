//! Documents of the type `application/reginfo+xml` (RFC 3680 section 5).
//!
//! Everything that came from the network is escaped; bytes that XML cannot carry are percent-encoded in URIs and
//! replaced elsewhere, so no contact can make the document unreadable.

use std::io::Write;

use seawall_location::Removal;
use seawall_sip::uri::escape::escape_param_into;

/// The type of the body of a NOTIFY.
pub const CONTENT_TYPE: &[u8] = b"application/reginfo+xml";

/// The state of a registration (RFC 3680 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationState {
    /// There is no contact.
    Init,
    /// There is one at least.
    Active,
    /// The last one has just gone.
    Terminated,
}

impl RegistrationState {
    fn word(self) -> &'static [u8] {
        match self {
            RegistrationState::Init => b"init",
            RegistrationState::Active => b"active",
            RegistrationState::Terminated => b"terminated",
        }
    }
}

/// What brought a contact into its state (RFC 3680 section 3.2). `Probation` is missing: nothing here removes a contact
/// and names a time after which it may come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContactEvent {
    /// A REGISTER.
    Registered,
    /// An operator, and not a REGISTER.
    Created,
    /// It will live longer than was said before.
    Refreshed,
    /// It will not live as long as was said before.
    Shortened,
    /// Its time was over.
    Expired,
    /// The server removed it; the phone should register anew at once.
    Deactivated,
    /// Its phone removed it.
    Unregistered,
    /// The server removed it for good: another contact took its place.
    Rejected,
}

impl ContactEvent {
    /// The event behind a removal.
    #[must_use]
    pub fn of(removal: Removal) -> Self {
        match removal {
            Removal::Asked => ContactEvent::Unregistered,
            Removal::Expired => ContactEvent::Expired,
            // Told to register anew, it would push out the contact that pushed it out.
            Removal::Evicted => ContactEvent::Rejected,
            Removal::Administrative => ContactEvent::Deactivated,
        }
    }

    /// Whether the contact is there after it.
    #[must_use]
    pub fn is_active(self) -> bool {
        use ContactEvent::{Created, Refreshed, Registered, Shortened};
        matches!(self, Registered | Created | Refreshed | Shortened)
    }

    fn word(self) -> &'static [u8] {
        match self {
            ContactEvent::Registered => b"registered",
            ContactEvent::Created => b"created",
            ContactEvent::Refreshed => b"refreshed",
            ContactEvent::Shortened => b"shortened",
            ContactEvent::Expired => b"expired",
            ContactEvent::Deactivated => b"deactivated",
            ContactEvent::Unregistered => b"unregistered",
            ContactEvent::Rejected => b"rejected",
        }
    }
}

/// A contact as a document shows it.
#[derive(Debug, Clone, Copy)]
pub struct Contact<'a> {
    /// What names it in all documents of a subscription.
    pub id: u64,
    /// Its URI.
    pub uri: &'a [u8],
    /// What happened last.
    pub event: ContactEvent,
    /// Seconds that it has left; `None` if it is permanent.
    pub expires_s: Option<u32>,
    /// Preference in thousandths.
    pub q: Option<u16>,
    /// The Call-ID that it was registered with.
    pub call_id: &'a [u8],
    /// The CSeq number that it was registered with.
    pub cseq: u32,
    /// Its `+sip.instance` with the angle brackets; empty for none. In a document with GRUUs it makes the public one.
    pub instance: &'a [u8],
}

/// What stands at the top of a document.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// The version: 0 in the first document of a subscription, and one more in each that follows.
    pub version: u32,
    /// Whether it lists everything, or what changed.
    pub full: bool,
    /// The address of record as a URI.
    pub aor: &'a [u8],
    /// The state of the registration.
    pub state: RegistrationState,
    /// Whether active contacts are shown with their public GRUUs (RFC 5628).
    pub gruus: bool,
}

/// A document that is being written.
#[derive(Debug)]
pub struct Document<'a> {
    head: Head<'a>,
    out: Vec<u8>,
    longest: usize,
}

/// What closes every document.
const END: &[u8] = b"  </registration>\n</reginfo>\n";

impl<'a> Document<'a> {
    /// Begins a document of at most `longest` bytes.
    #[must_use]
    pub fn new(head: Head<'a>, longest: usize) -> Self {
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(b"<?xml version=\"1.0\"?>\n<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\"");
        if head.gruus {
            out.extend_from_slice(b" xmlns:gr=\"urn:ietf:params:xml:ns:gruuinfo\"");
        }
        out.extend_from_slice(b" version=\"");
        number(&mut out, u64::from(head.version));
        out.extend_from_slice(b"\" state=\"");
        out.extend_from_slice(if head.full { b"full" } else { b"partial" });
        out.extend_from_slice(b"\">\n  <registration aor=\"");
        uri(&mut out, head.aor);
        // A subscription is to one address of record, so one name for it is enough.
        out.extend_from_slice(b"\" id=\"r\" state=\"");
        out.extend_from_slice(head.state.word());
        out.extend_from_slice(b"\">\n");
        Self { head, out, longest }
    }

    /// Adds a contact. False when there is no room for it; nothing is added then.
    pub fn contact(&mut self, contact: &Contact<'_>) -> bool {
        let before = self.out.len();
        write_contact(&mut self.out, contact, &self.head);
        let fits = self.out.len() + END.len() <= self.longest;
        if !fits {
            self.out.truncate(before);
        }
        fits
    }

    /// Ends the document.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.out.extend_from_slice(END);
        self.out
    }
}

fn write_contact(out: &mut Vec<u8>, contact: &Contact<'_>, head: &Head<'_>) {
    out.extend_from_slice(b"    <contact id=\"");
    number(out, contact.id);
    out.extend_from_slice(b"\" state=\"");
    out.extend_from_slice(if contact.event.is_active() { b"active" } else { b"terminated" });
    out.extend_from_slice(b"\" event=\"");
    out.extend_from_slice(contact.event.word());
    if let Some(expires_s) = contact.expires_s.filter(|_| contact.event.is_active()) {
        out.extend_from_slice(b"\" expires=\"");
        number(out, u64::from(expires_s));
    }
    if let Some(q) = contact.q {
        // Writing to memory cannot fail.
        let _ = write!(out, "\" q=\"{}.{:03}", q / 1000, q % 1000);
    }
    if !contact.call_id.is_empty() {
        out.extend_from_slice(b"\" callid=\"");
        text(out, contact.call_id);
        out.extend_from_slice(b"\" cseq=\"");
        number(out, u64::from(contact.cseq));
    }
    out.extend_from_slice(b"\">\n      <uri>");
    uri(out, contact.uri);
    out.extend_from_slice(b"</uri>\n");
    if !contact.instance.is_empty() {
        // As RFC 5628 shows it: the value with the quotes that it has in Contact.
        out.extend_from_slice(b"      <unknown-param name=\"+sip.instance\">\"");
        text(out, contact.instance);
        out.extend_from_slice(b"\"</unknown-param>\n");
        if head.gruus && contact.event.is_active() {
            write_public_gruu(out, head.aor, contact.instance);
        }
    }
    out.extend_from_slice(b"    </contact>\n");
}

/// The public GRUU of an instance of the address of record (RFC 5627 section 3.1.1, RFC 5628 section 4).
fn write_public_gruu(out: &mut Vec<u8>, aor: &[u8], instance: &[u8]) {
    let bare = instance.strip_prefix(b"<").and_then(|rest| rest.strip_suffix(b">")).unwrap_or(instance);
    let mut gruu = [aor, b";gr="].concat();
    escape_param_into(bare, &mut gruu);
    out.extend_from_slice(b"      <gr:pub-gruu uri=\"");
    uri(out, &gruu);
    out.extend_from_slice(b"\"/>\n");
}

fn number(out: &mut Vec<u8>, number: u64) {
    let _ = write!(out, "{number}");
}

/// Writes a URI: what XML cannot carry is percent-encoded, which leaves it the URI that it was.
fn uri(out: &mut Vec<u8>, bytes: &[u8]) {
    escape(out, bytes, |out, byte| {
        let _ = write!(out, "%{byte:02X}");
    });
}

/// Writes other text: what XML cannot carry becomes U+FFFD.
fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    escape(out, bytes, |out, _| out.extend_from_slice("\u{fffd}".as_bytes()));
}

/// Writes text for content or an attribute in double quotes; `strange` writes a byte that is no part of a character
/// of XML 1.0 (section 2.2).
fn escape(out: &mut Vec<u8>, bytes: &[u8], strange: impl Fn(&mut Vec<u8>, u8)) {
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            let mut buffer = [0; 4];
            let encoded = character.encode_utf8(&mut buffer).as_bytes();
            match character {
                '&' => out.extend_from_slice(b"&amp;"),
                '<' => out.extend_from_slice(b"&lt;"),
                '>' => out.extend_from_slice(b"&gt;"),
                '"' => out.extend_from_slice(b"&quot;"),
                '\'' => out.extend_from_slice(b"&apos;"),
                // Tabs and line breaks would come out of an attribute as blanks.
                character if character.is_control() || matches!(character, '\u{fffe}' | '\u{ffff}') => {
                    encoded.iter().for_each(|byte| strange(out, *byte));
                }
                _ => out.extend_from_slice(encoded),
            }
        }
        chunk.invalid().iter().for_each(|byte| strange(out, *byte));
    }
}
