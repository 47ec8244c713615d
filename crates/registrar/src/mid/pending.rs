//! A REGISTER on its way to the main registrar: how it looks there, and what has to be known when its answer comes.

use std::cell::OnceCell;
use std::net::SocketAddr;

use seawall_location::NameId;
use seawall_sip::edit::Edits;
use seawall_sip::name_addr::{Contact, NameAddr, contacts};
use seawall_sip::{Message, Name, Uri, ascii};
use smallvec::{SmallVec, smallvec};

use super::contact::{self, Place};
use super::copied::copied;
use super::limits::{MAX_CONTACT_VALUE_LEN, REPEATED_MS};
use super::registration::WHOLE_AOR;
use super::settings::{Insertion, Mode, Settings};
use super::upstream::{Flight, Touch};
use super::written::Written;
use crate::aor::Aor;
use crate::familiar::Fingerprint;
use crate::flags::SaveFlags;
use crate::methods;
use crate::policy::Policy;
use crate::reading::Reading;
use crate::reject::Reject;
use crate::request::Register;
use crate::save::Source;

/// Parameters of a contact that are copied without a look at each, in bytes: with the URI they stay below the bound.
const USUAL_PARAMS_LEN: usize = 1024;

/// Plain data that belongs to one forwarded REGISTER. It is made by [`Mid::request`](super::Mid::request) and handed
/// back with the answer.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Its place in the order of forwarded requests; 0 before it was sent.
    pub(super) order: u64,
    pub(super) hash: u64,
    pub(super) aor: Aor,
    /// Where that is in the table of bindings.
    pub(super) seat: Option<seawall_location::Place>,
    /// What was read of the request, if it was read and is a usual one.
    pub(super) reading: Option<Reading>,
    /// The methods of Allow as a bit mask, if they were read.
    pub(super) methods: Option<u32>,
    /// What the request says in brief, if it may serve as a pattern.
    pub(super) fingerprint: Option<Fingerprint>,
    /// What is known of a refresh that says what the last one of its binding has said.
    pub(super) repeats: Option<Repeats>,
    pub(super) flags: SaveFlags,
    pub(super) source: KeptSource,
    /// What the script adds to Contact URIs.
    pub(super) extra: Box<[u8]>,
    pub(super) flow: u64,
    /// Whether the script has authenticated the client.
    pub(super) authenticated: bool,
    pub(super) mode: Mode,
    pub(super) form: Form,
    /// Whether it was sent again after a 423.
    pub(super) raised: bool,
    /// Whether copies of it may be on their way: its answer took so long that it was repeated.
    pub(super) is_late: bool,
    /// Header lines that tell which pushes are sent from here; empty for none.
    pub(super) push: Box<[u8]>,
    /// The Contact values as they were sent first, or as they were sent the last time.
    pub(super) written: OnceCell<Written>,
}

/// A refresh that says nothing new, and that was not read for this reason.
#[derive(Clone, Copy, Debug)]
pub(super) struct Repeats {
    /// Its contact.
    pub(super) contact_id: u64,
    /// The interval that the client is to get.
    pub(super) granted_s: u32,
    pub(super) cseq: u32,
}

/// [`Source`], owned.
#[derive(Clone, Debug)]
pub(super) struct KeptSource {
    received: Box<[u8]>,
    peer: (SocketAddr, &'static [u8]),
    socket: NameId,
    host_port: SmallVec<[u8; 32]>,
    flags: u32,
    cflags: u32,
    attr: Box<[u8]>,
    ownership_tag: NameId,
    pub(super) random: u64,
}

/// What becomes of the contacts on the way to the main registrar.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// `*` goes as it came.
    All,
    /// Each contact is rewritten (modes 0 and 1).
    Contacts(SmallVec<[Sent; 2]>),
    /// One contact stands for all (mode 2).
    Whole {
        /// Its interval, 0 to remove it.
        expires_s: u32,
        /// The contacts of the request, in its order: their ids, and whether they are taken away.
        contacts: SmallVec<[Touch; 2]>,
    },
}

/// One contact of the request, in its order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// The contact id.
    pub(super) id: u64,
    /// The interval to write; `None` writes none.
    pub(super) expires_s: Option<u32>,
    /// Whether it is sent at all: of two contacts that mean the same binding the later one is.
    pub(super) written: bool,
    /// Whether it takes the contact away.
    pub(super) removes: bool,
}

/// The only contact of a message, where its parts can be copied as they stand: `<URI>` or `<URI>;parameters`.
struct OnlyContact<'m> {
    uri: &'m [u8],
    /// The parameters, each with the semicolon before it, but for `expires`, which is ours to say: those before it, and
    /// those behind.
    params: [&'m [u8]; 2],
}

fn only_contact(message: &Message) -> Option<OnlyContact<'_>> {
    let header = message.header(Name::Contact).filter(|_| !message.is_repeated(Name::Contact))?;
    let inside = header.value.strip_prefix(b"<")?;
    let (uri, rest) = inside.split_at_checked(ascii::find(inside, b'>')?)?;
    let params = rest.get(1..).filter(|params| params.len() <= USUAL_PARAMS_LEN)?;
    Some(OnlyContact { uri, params: copied(params)? })
}

/// Puts these values in the place of all Contact header fields; none leave them as they are.
fn edit_contacts(message: &Message, written: &Written, edits: &mut Edits) {
    if written.line().is_empty() {
        return;
    }
    let mut headers = message.header_all(Name::Contact);
    if let Some(first) = headers.next() {
        edits.replace_value(&first, written.line());
    }
    for other in headers {
        edits.remove_header(&other);
    }
}

/// The user of a SIP URI.
fn user_of(uri: &[u8]) -> Option<&[u8]> {
    // As nearly all are: no byte in it that means something else.
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+');
    let rest = uri.strip_prefix(b"sip:").unwrap_or_default();
    let user = ascii::find(rest, b'@').and_then(|at| rest.get(..at)).unwrap_or_default();
    if !user.is_empty() && user.iter().all(is_plain) {
        return Some(user);
    }
    Uri::parse(uri).ok().and_then(|uri| uri.user)
}

/// Appends the interval of a contact, if it has one.
pub(super) fn interval(expires_s: Option<u32>, text: &mut Vec<u8>) {
    if let Some(expires_s) = expires_s {
        text.extend_from_slice(b";expires=");
        ascii::write_u32(text, expires_s);
    }
}

/// Appends a part of a header field that may be folded, on one line.
fn push_line(line: &mut Vec<u8>, part: &[u8]) {
    // Without a way out of the loop it looks at many bytes at a time; hardly any value is folded.
    let is_folded = part.iter().fold(false, |found, byte| found | matches!(byte, b'\r' | b'\n'));
    if is_folded {
        line.extend(part.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')));
    } else {
        line.extend_from_slice(part);
    }
}

impl KeptSource {
    pub(super) fn new(source: &Source<'_>) -> KeptSource {
        KeptSource {
            received: source.received.into(),
            peer: source.peer,
            socket: source.socket,
            host_port: SmallVec::from_slice(source.host_port),
            flags: source.flags,
            cflags: source.cflags,
            attr: source.attr.into(),
            ownership_tag: source.ownership_tag,
            random: source.random,
        }
    }

    pub(super) fn source<'a>(&'a self, is_own: &'a dyn Fn(&Uri<'_>) -> bool) -> Source<'a> {
        Source {
            received: &self.received,
            peer: self.peer,
            socket: self.socket,
            host_port: &self.host_port,
            flags: self.flags,
            cflags: self.cflags,
            attr: &self.attr,
            ownership_tag: self.ownership_tag,
            is_own,
            random: self.random,
            // What comes back from the main registrar was asked for by somebody whom it knows.
            unproven: None,
        }
    }
}

impl Pending {
    /// The flags that the request was saved with.
    #[must_use]
    pub fn flags(&self) -> &SaveFlags {
        &self.flags
    }

    /// The address of record in its canonical form.
    #[must_use]
    pub fn aor(&self) -> &[u8] {
        &self.aor
    }

    /// The request once more. `message` is the request as it came.
    ///
    /// # Errors
    /// None, for it was read before under the same policy.
    pub(super) fn register<'m>(&self, message: &'m Message, policy: &Policy) -> Result<Register<'m>, Reject> {
        let methods = self.methods.unwrap_or_else(|| methods::allowed(message, None));
        let known = (&self.aor, methods);
        match &self.reading {
            Some(reading) => Ok(reading.again(message, known, self.seat)),
            None => Register::read_again(message, known, policy, &self.flags),
        }
    }

    /// Tells how long the main registrar has let wait for its answer. To be called before that is dealt with; a request
    /// that is not answered at all counts as late by itself.
    pub fn waited(&mut self, milliseconds: u64) {
        self.is_late |= milliseconds >= REPEATED_MS;
    }

    /// The edits that make the received REGISTER the one for the main registrar (behaviour §7, "Forwarded form"):
    /// Contact, Expires, Feature-Caps, and no Path.
    pub fn edit(
        &self,
        message: &Message,
        settings: &Settings,
        policy: &Policy,
        place: Place<'_>,
        edits: &mut Edits,
    ) {
        for path in message.header_all(Name::Path) {
            edits.remove_header(&path);
        }
        for line in self.push.split_inclusive(|byte| *byte == b'\n') {
            edits.append_header(message, line);
        }
        match self.written.get().filter(|written| !self.raised && written.is_for(place)) {
            Some(written) => edit_contacts(message, written, edits),
            None => {
                let written = self.write(message, settings, policy, place);
                edit_contacts(message, &written, edits);
                // The values stay the same, whatever becomes of the intervals.
                let _ = self.written.set(written);
            }
        }
        if let Some(expires_s) = self.header_expires_s() {
            for header in message.header_all(Name::Expires) {
                edits.replace_value_with(&header, |text| ascii::write_u32(text, expires_s));
            }
        }
    }

    /// Raises the intervals that are asked for to what a 423 demands, once, and not in mirror mode, where the client
    /// does it. False when that is no use.
    pub fn raise(&mut self, min_expires_s: u32) -> bool {
        if self.raised || self.mode == Mode::Mirror {
            return false;
        }
        let mut grows = false;
        let mut raise = |expires_s: &mut u32| {
            if *expires_s != 0 && *expires_s < min_expires_s {
                *expires_s = min_expires_s;
                grows = true;
            }
        };
        match &mut self.form {
            Form::All => {}
            Form::Whole { expires_s, .. } => raise(expires_s),
            Form::Contacts(sent) => {
                sent.iter_mut().filter_map(|sent| sent.expires_s.as_mut()).for_each(raise)
            }
        }
        self.raised |= grows;
        grows
    }

    /// What the request is about, for the others that are on their way.
    pub(super) fn flight(&self) -> Flight {
        let keys = match &self.form {
            Form::All => SmallVec::new(),
            Form::Whole { expires_s, contacts } => {
                let mut keys = contacts.clone();
                keys.push(Touch { key: WHOLE_AOR, removes: *expires_s == 0 });
                keys
            }
            Form::Contacts(sent) => {
                let mut keys = SmallVec::new();
                let written = sent.iter().filter(|sent| sent.written);
                written.for_each(|sent| keys.push(Touch { key: sent.id, removes: sent.removes }));
                keys
            }
        };
        Flight {
            order: self.order,
            departed_s: 0,
            hash: self.hash,
            all: matches!(self.form, Form::All),
            keys,
            overtaken: SmallVec::new(),
            all_overtaken: false,
            disturbed: false,
            least_s: u32::MAX,
        }
    }

    /// The Contact values as the main registrar at `place` got them: those that are kept, or else `made` anew.
    pub(super) fn written<'p>(
        &'p self,
        message: &Message,
        settings: &Settings,
        policy: &Policy,
        place: Place<'_>,
        made: &'p mut Option<Written>,
    ) -> &'p Written {
        match self.written.get().filter(|written| written.is_for(place)) {
            Some(known) => known,
            None => made.insert(self.write(message, settings, policy, place)),
        }
    }

    /// The interval of each Contact value that is sent.
    pub(super) fn intervals(&self) -> SmallVec<[Option<u32>; 2]> {
        match &self.form {
            Form::All => SmallVec::new(),
            Form::Whole { expires_s, .. } => smallvec![Some(*expires_s)],
            Form::Contacts(all) => {
                let mut intervals = SmallVec::new();
                all.iter().filter(|sent| sent.written).for_each(|sent| intervals.push(sent.expires_s));
                intervals
            }
        }
    }

    /// Makes the Contact values, and the header field of them.
    fn write(&self, message: &Message, settings: &Settings, policy: &Policy, place: Place<'_>) -> Written {
        let mut written = Written::new();
        let in_header = message.header(Name::Expires).is_some();
        match &self.form {
            Form::All => {}
            Form::Whole { expires_s, .. } => {
                let value = |text: &mut Vec<u8>| {
                    text.push(b'<');
                    contact::write_aor(settings, policy, &self.aor, place, &self.extra, text);
                    text.push(b'>');
                };
                written.push(value, |text| interval(Some(*expires_s).filter(|_| !in_header), text));
            }
            Form::Contacts(all) => {
                if let ([sent], Some(one)) = (&**all, only_contact(message)) {
                    let value =
                        |text: &mut Vec<u8>| self.write_only_value(&one, sent.id, settings, place, text);
                    written.push(value, |text| interval(sent.expires_s, text));
                    return written.finish(place.mark());
                }
                let addresses = contacts(message).filter_map(|contact| match contact {
                    Ok(Contact::Address(address)) => Some(address),
                    _ => None,
                });
                for (sent, address) in all.iter().zip(addresses).filter(|(sent, _)| sent.written) {
                    let value =
                        |text: &mut Vec<u8>| self.write_value(&address, sent.id, settings, place, text);
                    written.push(value, |text| interval(sent.expires_s, text));
                }
            }
        }
        written.finish(place.mark())
    }

    /// `display <uri>;params`: as the client wrote it but for the URI, on one line, and without what is ours to say.
    fn write_value(
        &self,
        address: &NameAddr<'_>,
        id: u64,
        settings: &Settings,
        place: Place<'_>,
        value: &mut Vec<u8>,
    ) {
        let start = value.len();
        if !address.display.is_empty() {
            push_line(value, address.display);
            value.push(b' ');
        }
        value.push(b'<');
        let user = match settings.insertion {
            Insertion::Parameter => address.parse_uri().ok().and_then(|uri| uri.user),
            Insertion::Username => None,
        };
        contact::write_contact(settings, user, id, place, &self.extra, value);
        value.push(b'>');
        for param in address.params.iter() {
            let is_ours = match param.name.len() {
                7 => param.name.eq_ignore_ascii_case(b"expires"),
                8 => param.name.eq_ignore_ascii_case(b"received"),
                _ => false,
            };
            if !is_ours && value.len() - start + param.raw.len() <= MAX_CONTACT_VALUE_LEN {
                value.push(b';');
                push_line(value, param.raw);
            }
        }
    }

    /// As [`write_value`](Pending::write_value), for the usual form of a contact.
    fn write_only_value(
        &self,
        contact: &OnlyContact<'_>,
        id: u64,
        settings: &Settings,
        place: Place<'_>,
        value: &mut Vec<u8>,
    ) {
        value.push(b'<');
        let user = match settings.insertion {
            Insertion::Parameter => user_of(contact.uri),
            Insertion::Username => None,
        };
        contact::write_contact(settings, user, id, place, &self.extra, value);
        value.push(b'>');
        for params in contact.params {
            value.extend_from_slice(params);
        }
    }

    /// What an Expires header field has to say; `None` leaves it as it is.
    fn header_expires_s(&self) -> Option<u32> {
        match &self.form {
            Form::All => None,
            Form::Whole { expires_s, .. } => Some(*expires_s),
            Form::Contacts(_) if self.mode == Mode::Mirror => None,
            Form::Contacts(sent) => {
                sent.iter().filter(|sent| sent.written).filter_map(|sent| sent.expires_s).max()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_of_a_uri_is_found_with_or_without_reading_all_of_it() {
        for uri in [
            "sip:u@h",
            "sip:u.v-w_x+1@h:5060;x=y",
            "sip:h",
            "sip:h:5060",
            "sip:u:secret@h",
            "sip:%75@h",
            "SIP:u@h",
            "sips:u@h",
            "sip:@h",
            "sip:",
            "",
            "tel:1",
            "sip:u;x@h",
            "sip:192.0.2.1;x=u@h",
        ] {
            let expected = Uri::parse(uri.as_bytes()).ok().and_then(|uri| uri.user);
            assert_eq!(user_of(uri.as_bytes()), expected, "{uri}");
        }
    }
}
