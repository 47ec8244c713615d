//! A REGISTER on its way to the main registrar: how it looks there, and what has to be known when its answer comes.

use std::net::SocketAddr;

use seawall_location::NameId;
use seawall_sip::edit::Edits;
use seawall_sip::name_addr::{Contact, NameAddr, contacts};
use seawall_sip::{Message, Name, Uri, ascii};
use smallvec::SmallVec;

use super::contact::{self, Place};
use super::limits::{MAX_CONTACT_VALUE_LEN, REPEATED_MS};
use super::registration::WHOLE_AOR;
use super::settings::{Mode, Settings};
use super::upstream::{Flight, Touch};
use crate::aor::Aor;
use crate::flags::SaveFlags;
use crate::policy::Policy;
use crate::save::Source;

/// Plain data that belongs to one forwarded REGISTER. It is made by [`Mid::request`](super::Mid::request) and handed
/// back with the answer.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Its place in the order of forwarded requests; 0 before it was sent.
    pub(super) order: u64,
    pub(super) hash: u64,
    pub(super) aor: Aor,
    /// The `aor` argument, when there was one.
    pub(super) given_aor: Option<Box<[u8]>>,
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
}

/// [`Source`], owned.
#[derive(Clone, Debug)]
pub(super) struct KeptSource {
    received: Box<[u8]>,
    peer: (SocketAddr, &'static [u8]),
    socket: NameId,
    host_port: Box<[u8]>,
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

impl KeptSource {
    pub(super) fn new(source: &Source<'_>) -> KeptSource {
        KeptSource {
            received: source.received.into(),
            peer: source.peer,
            socket: source.socket,
            host_port: source.host_port.into(),
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
        let mut line = Vec::new();
        let has_expires = message.header(Name::Expires).is_some();
        self.values(message, settings, policy, place, |value, expires_s| {
            line.extend_from_slice(if line.is_empty() { b"" } else { b", " });
            line.extend_from_slice(value);
            let in_header = matches!(self.form, Form::Whole { .. }) && has_expires;
            if let Some(expires_s) = expires_s.filter(|_| !in_header) {
                line.extend_from_slice(b";expires=");
                ascii::write_u32(&mut line, expires_s);
            }
        });
        if !line.is_empty() {
            let mut headers = message.header_all(Name::Contact);
            if let Some(first) = headers.next() {
                edits.replace_value(&first, &line);
            }
            for other in headers {
                edits.remove_header(&other);
            }
        }
        if let Some(expires_s) = self.header_expires_s() {
            let mut digits = Vec::with_capacity(10);
            ascii::write_u32(&mut digits, expires_s);
            for header in message.header_all(Name::Expires) {
                edits.replace_value(&header, &digits);
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
                let whole = Touch { key: WHOLE_AOR, removes: *expires_s == 0 };
                contacts.iter().copied().chain([whole]).collect()
            }
            Form::Contacts(sent) => {
                let written = sent.iter().filter(|sent| sent.written);
                written.map(|sent| Touch { key: sent.id, removes: sent.removes }).collect()
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

    /// Hands each Contact value as the main registrar gets it, without `expires`, and its interval to `each`.
    pub(super) fn values(
        &self,
        message: &Message,
        settings: &Settings,
        policy: &Policy,
        place: Place<'_>,
        mut each: impl FnMut(&[u8], Option<u32>),
    ) {
        let mut value = Vec::new();
        match &self.form {
            Form::All => {}
            Form::Whole { expires_s, .. } => {
                value.push(b'<');
                contact::write_aor(settings, policy, &self.aor, place, &self.extra, &mut value);
                value.push(b'>');
                each(&value, Some(*expires_s));
            }
            Form::Contacts(all) => {
                let addresses = contacts(message).filter_map(|contact| match contact {
                    Ok(Contact::Address(address)) => Some(address),
                    _ => None,
                });
                for (sent, address) in all.iter().zip(addresses).filter(|(sent, _)| sent.written) {
                    value.clear();
                    self.write_value(&address, sent.id, settings, place, &mut value);
                    each(&value, sent.expires_s);
                }
            }
        }
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
        let push_line = |value: &mut Vec<u8>, part: &[u8]| {
            value.extend(part.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')));
        };
        if !address.display.is_empty() {
            push_line(value, address.display);
            value.push(b' ');
        }
        value.push(b'<');
        let user = address.parse_uri().ok().and_then(|uri| uri.user);
        contact::write_contact(settings, user, id, place, &self.extra, value);
        value.push(b'>');
        for param in address.params.iter() {
            let is_ours =
                [&b"expires"[..], b"received"].iter().any(|name| param.name.eq_ignore_ascii_case(name));
            if !is_ours && value.len() + param.raw.len() <= MAX_CONTACT_VALUE_LEN {
                value.push(b';');
                push_line(value, param.raw);
            }
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
