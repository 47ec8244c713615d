//! What the 2xx of a main registrar lists, held against what was sent (behaviour §7, "Reply").

use seawall_sip::name_addr::{self, Contact, contacts};
use seawall_sip::{Message, Name, Params, Uri, ascii, cseq};
use smallvec::SmallVec;

use super::contact;
use super::pending::{Form, Pending};
use super::registration::WHOLE_AOR;
use super::written::Written;
use super::{Insertion, Mid};
use crate::limits::MAX_CONTACTS_PER_REQUEST;

/// Most contacts of an answer that are looked at: those of the request and those that an address of record may have
/// besides.
const MAX_LISTED: usize = crate::limits::MAX_BINDINGS_PER_AOR + MAX_CONTACTS_PER_REQUEST;

/// What the main registrar says about one registration that the request was about.
pub(super) struct Granted<'a> {
    pub(super) key: u64,
    /// The interval; 0 when it does not hold it.
    pub(super) granted_s: u32,
    /// The interval that was asked for; 0 to remove it.
    pub(super) asked_s: u32,
    /// The Contact value as it was sent.
    pub(super) value: &'a [u8],
}

impl Mid<'_> {
    /// What the 2xx says about the registrations that the request was about. Only our own contacts are looked at.
    /// `written` is what [`Pending::written`] gave.
    pub(super) fn granted<'a>(
        &self,
        pending: &Pending,
        written: &'a Written,
        response: &Message,
    ) -> SmallVec<[Granted<'a>; 2]> {
        let mut granted = SmallVec::new();
        self.each_sent(pending, written, |key, value, asked_s| {
            let found = self.find(key, value, response);
            // RFC 3261 §10.3 step 8: every contact of a 2xx has its interval. Where one has none after all, the
            // Expires header field of the answer counts, and then what was asked for.
            let general_s = || cseq::expires(response).ok().flatten().unwrap_or(asked_s);
            let granted_s = found.map_or(0, |listed_s| listed_s.unwrap_or_else(general_s));
            granted.push(Granted { key, granted_s, asked_s, value });
        });
        granted
    }

    /// Hands each registration that the request is about to `each`: its key, the Contact value as it was sent, and the
    /// interval that it asked for.
    pub(super) fn each_sent<'a>(
        &self,
        pending: &Pending,
        written: &'a Written,
        mut each: impl FnMut(u64, &'a [u8], u32),
    ) {
        let mut keys = SmallVec::<[u64; 2]>::new();
        match &pending.form {
            Form::All => return,
            Form::Whole { .. } => keys.push(WHOLE_AOR),
            Form::Contacts(sent) => {
                sent.iter().filter(|sent| sent.written).for_each(|sent| keys.push(sent.id));
            }
        }
        for ((key, value), expires_s) in keys.into_iter().zip(written.values()).zip(pending.intervals()) {
            each(key, value, expires_s.unwrap_or(self.policy.default_expires_s));
        }
    }

    /// The interval that a 2xx lists for the contact that was sent as `value`.
    pub(super) fn find(&self, key: u64, value: &[u8], response: &Message) -> Option<Option<u32>> {
        let (sent, params) = match value {
            // As we write nearly all: no URI has such a bracket in it.
            [b'<', rest @ ..] => {
                let end = ascii::find(rest, b'>')?;
                (rest.get(..end)?, rest.get(end + 1..)?)
            }
            _ => (name_addr::NameAddr::parse(value).ok()?.uri, &b""[..]),
        };
        if let Some(interval) = find_first(sent, params, response) {
            return Some(interval);
        }
        let by_id = key != WHOLE_AOR && self.settings.insertion == Insertion::Parameter;
        let equals = |listed: &[u8]| {
            let (Ok(listed), Ok(sent)) = (Uri::parse(listed), Uri::parse(sent)) else { return false };
            listed.equals(&sent) && (!by_id || contact::contact_id(self.settings, &listed) == Some(key))
        };
        let listed = contacts(response).take(MAX_LISTED).filter_map(|contact| match contact {
            Ok(Contact::Address(address)) => Some(address),
            _ => None,
        });
        // Most main registrars list it byte for byte as it was sent.
        let mut ours = listed.filter(|address| address.uri == sent || equals(address.uri));
        let param = |address: name_addr::NameAddr<'_>| {
            let value = address.param(b"expires").flatten()?;
            ascii::parse_u32(ascii::strip_quotes(value)).ok()
        };
        ours.next().map(param)
    }
}

/// The interval that a 2xx lists for a contact, when it lists that one alone in its first line, byte for byte as it was sent.
/// `params` are those that it was sent with, each with its semicolon.
fn find_first(sent: &[u8], params: &[u8], response: &Message) -> Option<Option<u32>> {
    let value = response.header(Name::Contact)?.value;
    let listed = value.strip_prefix(b"<")?.strip_prefix(sent)?.strip_prefix(b">")?;
    if let interval @ Some(_) = usual_interval(listed, params) {
        return Some(interval);
    }
    // More contacts follow, or a quoted text holds what looks like that.
    if listed.contains(&b',') {
        return None;
    }
    let expires = Params::after(listed).ok()?.value(b"expires");
    Some(expires.and_then(|value| ascii::parse_u32(ascii::strip_quotes(value)).ok()))
}

/// The interval of a contact that is listed with the interval before all else, as most registrars do, or behind what it was
/// sent with.
fn usual_interval(listed: &[u8], params: &[u8]) -> Option<u32> {
    const EXPIRES: &[u8] = b";expires=";
    let digits = match listed.strip_prefix(EXPIRES) {
        // More contacts may follow a comma.
        Some(rest) if ascii::find(rest, b',').is_some() => return None,
        Some(rest) => rest.get(..ascii::find(rest, b';').unwrap_or(rest.len()))?,
        None => listed.strip_prefix(params)?.strip_prefix(EXPIRES)?,
    };
    ascii::parse_u32(digits).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_that_is_listed_as_it_was_sent_is_found_without_reading_the_list() {
        let check = |contact: &str, expected| {
            let head = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n";
            let response = Message::parse(format!("{head}{contact}\r\n").into_bytes()).unwrap();
            assert_eq!(find_first(b"sip:u@h;ctid=1", b";x=\"a,b\"", &response), expected, "{contact}");
        };
        check("Contact: <sip:u@h;ctid=1>;expires=60\r\n", Some(Some(60)));
        check("Contact: <sip:u@h;ctid=1> ; q=1 ; Expires = 60\r\n", Some(Some(60)));
        check("Contact: <sip:u@h;ctid=1>;expires=60;x=\"a\"\r\n", Some(Some(60)));
        check("Contact: <sip:u@h;ctid=1>;expires=60 ;x\r\n", Some(Some(60)));
        check("Contact: <sip:u@h;ctid=1>;x=\"a,b\";expires=60\r\n", Some(Some(60)));
        check("Contact: <sip:u@h;ctid=1>;x=\";expires=9\";expires=\"60\"\r\n", Some(Some(60)));
        check("Contact: <sip:u@h;ctid=1>\r\nContact: <sip:u@h;ctid=2>;expires=70\r\n", Some(None));
        check("Contact: <sip:u@h;ctid=1>;expires=none\r\n", Some(None));
        // These are for who reads the whole list.
        for other in [
            "",
            "Contact: <sip:u@h;ctid=1>;expires=60, <sip:u@h;ctid=2>;expires=70\r\n",
            "Contact: <sip:u@h;ctid=2>;expires=70, <sip:u@h;ctid=1>;expires=60\r\n",
            "Contact: sip:u@h;ctid=1;expires=60\r\n",
            "Contact: \"U\" <sip:u@h;ctid=1>;expires=60\r\n",
            "Contact: <sip:u@h;ctid=1>;x=\",\";expires=60\r\n",
            "Contact: <sip:u@h;ctid=1>junk\r\n",
            "Contact: <sip:u@h;ctid=1>;x=\"a,b\";expires=60, <sip:u@h;ctid=2>;expires=70\r\n",
        ] {
            check(other, None);
        }
    }
}
