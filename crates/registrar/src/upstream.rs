//! Cached registrations (registrar 1.3.18): the REGISTER was forwarded, and what the main registrar granted in its 2xx
//! is stored here.
//!
//! The contacts are those of the request; the intervals are those of the reply, for the contact as it was sent. What
//! the reply does not list does not hold there, so it does not hold here either: it is not stored, and if it was, it
//! goes. The interval is what client and main registrar have agreed on, so `min_expires`, `max_expires` and
//! `expires_max_deviation` do not apply to it.
//!
//! What this does NOT do: answer. The reply of the main registrar passes to the client as it is.

use seawall_location::Sink;
use seawall_sip::name_addr::{Contact, Contacts};
use seawall_sip::uri::Uri;
use seawall_sip::{Message, Name, ascii, cseq};
use smallvec::SmallVec;

use crate::limits::MAX_BINDINGS_PER_AOR;
use crate::reject::Reject;
use crate::request::Register;
use crate::save::{Outcome, Save};

/// A contact that the main registrar lists.
struct Listed<'a> {
    uri: &'a [u8],
    expires_s: Option<u32>,
}

impl Save<'_> {
    /// Stores what a 2xx grants to the contacts of `request`. `sent` are their URIs as they went to the main registrar,
    /// in the order of the request; where one is missing, the contact went as it is. Nothing is written for a reply.
    pub fn cache(
        &self,
        request: &Message,
        aor: Option<&[u8]>,
        sent: &[Vec<u8>],
        reply: &Message,
        sink: &mut dyn Sink,
    ) -> Outcome {
        let mut unused = Vec::new();
        let read = Register::read_granted(request, aor, self.policy, self.flags).and_then(|mut register| {
            grant(&mut register, sent, reply)?;
            self.note_flow(&mut register);
            Ok(register)
        });
        match read {
            Ok(register) => self.run(&register, &mut unused, sink),
            Err(reject) => self.refuse(request, reject, &mut unused),
        }
    }
}

/// Puts the intervals of a 2xx in the place of those that the request asked for.
fn grant(register: &mut Register<'_>, sent: &[Vec<u8>], reply: &Message) -> Result<(), Reject> {
    if register.contacts.is_empty() {
        return Ok(());
    }
    let listed = listed(reply)?;
    // RFC 3261 §10.3 step 8: every contact of a 2xx has its interval. Where one has none after all, the Expires
    // header field of the reply counts, and then what was asked for.
    let general_s = cseq::expires(reply).ok().flatten();
    for (position, asked) in register.contacts.iter_mut().enumerate() {
        let wanted = sent.get(position).map_or(asked.uri, Vec::as_slice);
        asked.expires_s = match find(&listed, wanted) {
            Some(found) => found.expires_s.or(general_s).unwrap_or(asked.expires_s),
            None => 0,
        };
    }
    Ok(())
}

/// The contacts of a reply, as many as an address of record can have.
fn listed(reply: &Message) -> Result<SmallVec<[Listed<'_>; 4]>, Reject> {
    let mut listed = SmallVec::new();
    for header in reply.header_all(Name::Contact) {
        let mut contacts = Contacts::new(header.value);
        loop {
            let mut expires_s = None;
            let contact = contacts.next_with(|name, value| {
                if ascii::eq_ignore_case(name, b"expires") {
                    expires_s = ascii::parse_u32(ascii::strip_quotes(value.unwrap_or_default())).ok();
                }
            });
            match contact {
                Some(Ok(Contact::Address(address))) if listed.len() < MAX_BINDINGS_PER_AOR => {
                    listed.push(Listed { uri: address.uri, expires_s });
                }
                Some(Ok(_)) => {}
                Some(Err(_)) => return Err(Reject::ContactParse),
                None => break,
            }
        }
    }
    Ok(listed)
}

/// The listed contact that is byte for byte the wanted one, else one that is equivalent (RFC 3261 §19.1.4).
fn find<'l, 'a>(listed: &'l [Listed<'a>], wanted: &[u8]) -> Option<&'l Listed<'a>> {
    if let Some(found) = listed.iter().find(|contact| contact.uri == wanted) {
        return Some(found);
    }
    let wanted = Uri::parse(wanted).ok()?;
    listed.iter().find(|contact| Uri::parse(contact.uri).is_ok_and(|uri| uri.equals(&wanted)))
}
