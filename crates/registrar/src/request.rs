//! A REGISTER, read and checked as far as that is possible without the bindings (behaviour §1, §2).

use seawall_location::{Entry, Place};
use seawall_sip::cseq::CSeq;
use seawall_sip::name_addr::{self, Contact, Contacts};
use seawall_sip::uri::Usual;
use seawall_sip::{Message, Name, ascii, cseq, list, validate};
use smallvec::SmallVec;

use crate::aor::{self, Aor};
use crate::familiar::Fingerprint;
use crate::first;
use crate::flags::{PathMode, SaveFlags};
use crate::limits::{
    MAX_CALLID_LEN, MAX_CONTACTS_PER_REQUEST, MAX_INSTANCE_LEN, MAX_RECEIVED_LEN, MAX_USER_AGENT_LEN,
};
use crate::methods;
use crate::path::Path;
use crate::policy::Policy;
use crate::push::Wakes;
use crate::reject::{Reject, supported};
use crate::save::Save;

/// What a REGISTER asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// No Contact: tell the bindings (RFC 3261 §10.2.3).
    Fetch,
    /// `Contact: *` with `Expires: 0`: remove all (RFC 3261 §10.2.2).
    RemoveAll,
    /// Add, refresh or remove the contacts of the request.
    Contacts,
}

/// One contact of a REGISTER. Its URI is taken apart later as a rule, when it is not one that is stored already.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'m> {
    /// The Contact URI, without brackets.
    pub uri: &'m [u8],
    /// Where its parts are, where it is a usual SIP URI that was taken apart on the way.
    pub taken: Option<Usual>,
    /// The interval asked for in seconds, from the contact, the Expires header field or `default_expires`.
    pub expires_s: u32,
    /// Whether the interval comes from the request.
    pub expires_is_given: bool,
    /// The q value in thousandths.
    pub q: Option<u16>,
    /// `+sip.instance` without its quotes; empty when there is none.
    pub instance: &'m [u8],
    /// `reg-id`; 0 when there is none.
    pub reg_id: u32,
    /// The `received` parameter without its quotes; empty when there is none.
    pub received: &'m [u8],
    /// The `methods` parameter as a bit mask.
    pub methods: Option<u32>,
    /// What it says about pushes, where they are on.
    pub wakes: Wakes,
    /// The provider that pushes to it; empty where it does not say.
    pub provider: &'m [u8],
    /// Whether it is one of Web Push without `pn-param`.
    pub is_short: bool,
}

/// A REGISTER, borrowed from its message.
#[derive(Debug)]
pub struct Register<'m> {
    /// The message.
    pub message: &'m Message,
    /// The address of record, from To or as given.
    pub aor: Aor,
    /// Call-ID.
    pub callid: &'m [u8],
    /// The number in CSeq.
    pub cseq: u32,
    /// What is asked for.
    pub wish: Wish,
    /// The contacts that it names; none for a fetch and for `*`.
    pub contacts: SmallVec<[Asked<'m>; 1]>,
    /// The Path, when a path flag is set.
    pub path: Path,
    /// Whether `Supported: path` is there.
    pub supports_path: bool,
    /// Whether GRUUs are on and `Supported: gruu` is there.
    pub supports_gruu: bool,
    /// Whether it sets up or removes a flow of a client with `Supported: outbound` (RFC 5626 §6).
    pub is_outbound: bool,
    /// The address that such a client, which talks to this server itself, sent it from, as a URI; empty otherwise.
    pub flow: Option<Box<[u8]>>,
    /// User-Agent, `n/a` when it is too long; empty when there is none.
    pub user_agent: &'m [u8],
    /// The methods of Allow as a bit mask.
    pub methods: u32,
    /// Whether the intervals were granted by another registrar, which has answered too: they are taken as they are, and
    /// no header fields of a reply are written.
    pub is_granted: bool,
    /// Where the address of record is in the table that it was read for.
    pub(crate) place: Option<Place>,
    /// What the request says, in brief, where it is a refresh that may say nothing new.
    pub(crate) fingerprint: Option<Fingerprint>,
}

/// Whose bindings a REGISTER is about.
enum Whose<'a> {
    /// Those of the URI in To.
    To,
    /// Those of this URI.
    Given(&'a [u8]),
    /// Those of this address of record; it allows these methods.
    Known(&'a Aor, u32),
}

impl<'a> Whose<'a> {
    fn of(aor: Option<&'a [u8]>) -> Whose<'a> {
        aor.map_or(Whose::To, Whose::Given)
    }

    /// Writes the address of record into an empty `out`.
    #[inline]
    fn name(&self, message: &Message, policy: &Policy, out: &mut Aor) -> Result<(), Reject> {
        match self {
            Whose::To => {
                let uri = name_addr::to_uri(message).map_err(|_| Reject::AorParse)?;
                aor::canonical_text(uri, policy, out)
            }
            Whose::Given(uri) => aor::canonical_text(uri, policy, out),
            Whose::Known(aor, _) => {
                out.extend_from_slice(aor);
                Ok(())
            }
        }
    }
}

/// A REGISTER of which is known whose bindings it is about, where they are, and in brief what it says.
pub(crate) struct Begun<'m> {
    pub(crate) callid: &'m [u8],
    pub(crate) cseq: u32,
    pub(crate) place: Place,
    pub(crate) fingerprint: Option<Fingerprint>,
}

impl<'m> Begun<'m> {
    /// Begins to read a REGISTER. The address of record is written into an empty `name`; memory is asked for what stands at
    /// its place.
    ///
    /// # Errors
    /// The first fault, in the order: message, To, Call-ID, CSeq, Require, address of record.
    #[inline]
    pub(crate) fn read(
        message: &'m Message,
        aor: Option<&[u8]>,
        save: &Save<'_>,
        name: &mut Aor,
    ) -> Result<Begun<'m>, Reject> {
        let (callid, cseq) = checked(message, save.policy, false)?;
        Whose::of(aor).name(message, save.policy, name)?;
        let place = save.domain.place(name);
        save.domain.expect(place);
        let fingerprint = save.familiar.and_then(|familiar| familiar.of(save, message));
        save.domain.expect_record(place);
        Ok(Begun { callid, cseq, place, fingerprint })
    }
}

/// A REGISTER that was begun, with its address of record and what is stored there.
pub(crate) struct Found<'a> {
    pub(crate) begun: Begun<'a>,
    pub(crate) aor: &'a [u8],
    pub(crate) entry: Entry<'a>,
}

impl<'a> Found<'a> {
    /// As [`Begun::read`], for a server that has no other table to look at: the shard is locked, once. `out` is where an
    /// address of record is written that is not written in this way in the request.
    ///
    /// # Errors
    /// As [`Begun::read`].
    #[inline]
    pub(crate) fn read(
        message: &'a Message,
        aor: Option<&'a [u8]>,
        save: &Save<'a>,
        out: &'a mut Aor,
    ) -> Result<Found<'a>, Reject> {
        let (callid, cseq) = checked(message, save.policy, false)?;
        let uri = match aor {
            Some(uri) => uri,
            None => name_addr::to_uri(message).map_err(|_| Reject::AorParse)?,
        };
        let aor = aor::canonical_in(uri, save.policy, out)?;
        let place = save.domain.place(aor);
        let approach = save.domain.approach(place);
        // Memory takes as long as this does.
        let fingerprint = save.familiar.and_then(|familiar| familiar.of(save, message));
        let entry = approach.entry(aor, save.now_s);
        Ok(Found { begun: Begun { callid, cseq, place, fingerprint }, aor, entry })
    }
}

/// Call-ID and the number of CSeq of a REGISTER in which nothing is wrong so far.
#[inline]
fn checked<'m>(message: &'m Message, policy: &Policy, is_granted: bool) -> Result<(&'m [u8], u32), Reject> {
    if message.flaw().is_some() {
        return Err(Reject::MessageParse);
    }
    if message.value(Name::To).is_none() {
        return Err(Reject::NoTo);
    }
    let callid = message.value(Name::CallId).filter(|id| !id.is_empty()).ok_or(Reject::NoCallId)?;
    if callid.len() > MAX_CALLID_LEN {
        return Err(Reject::CallIdTooLong);
    }
    if message.value(Name::CSeq).is_none() {
        return Err(Reject::NoCSeq);
    }
    let cseq = CSeq::of(message).map_err(|_| Reject::InvalidCSeq)?;
    let requires = !is_granted && message.value(Name::Require).is_some();
    if requires && validate::unsupported(message, Name::Require, supported(policy)).next().is_some() {
        return Err(Reject::RequireUnsupported);
    }
    Ok((callid, cseq.number))
}

impl<'m> Register<'m> {
    /// Reads and checks a REGISTER. `aor` is the address of record as a URI, or `None` to take it from To.
    ///
    /// # Errors
    /// The first fault, in the order: message, To, Call-ID, CSeq, Require, address of record, Path, Expires, Contact, `pn-` parameters.
    pub fn read(
        message: &'m Message,
        aor: Option<&[u8]>,
        policy: &Policy,
        flags: &SaveFlags,
    ) -> Result<Register<'m>, Reject> {
        Register::read_as(message, Whose::of(aor), policy, flags, false)
    }

    /// A REGISTER that was begun with this address of record.
    #[inline]
    pub(crate) fn begun(message: &'m Message, aor: Aor, begun: &Begun<'m>, save: &Save<'_>) -> Register<'m> {
        Register {
            place: Some(begun.place),
            fingerprint: begun.fingerprint,
            ..Register::bare(message, aor, (begun.callid, begun.cseq), save.policy)
        }
    }

    /// Reads the rest of it.
    ///
    /// # Errors
    /// As [`read`](Register::read), from Path on.
    #[inline]
    pub(crate) fn go_on(&mut self, save: &Save<'_>) -> Result<(), Reject> {
        self.methods = methods::allowed(self.message, save.allow);
        self.read_contacts_and_path(save.policy, save.flags)
    }

    /// Reads a REGISTER that another registrar has accepted. What the request insists on was for that one to judge.
    pub(crate) fn read_granted(
        message: &'m Message,
        aor: Option<&[u8]>,
        policy: &Policy,
        flags: &SaveFlags,
    ) -> Result<Register<'m>, Reject> {
        Register::read_as(message, Whose::of(aor), policy, flags, true)
    }

    /// Reads a REGISTER again. Its address of record and the methods of Allow are what was found when it was read first.
    pub(crate) fn read_again(
        message: &'m Message,
        (aor, methods): (&Aor, u32),
        policy: &Policy,
        flags: &SaveFlags,
    ) -> Result<Register<'m>, Reject> {
        Register::read_as(message, Whose::Known(aor, methods), policy, flags, false)
    }

    fn read_as(
        message: &'m Message,
        whose: Whose<'_>,
        policy: &Policy,
        flags: &SaveFlags,
        is_granted: bool,
    ) -> Result<Register<'m>, Reject> {
        let (callid, cseq) = checked(message, policy, is_granted)?;
        let mut register = Register::bare(message, Aor::new(), (callid, cseq), policy);
        register.is_granted = is_granted;
        match whose {
            Whose::Known(aor, methods) => {
                register.aor.extend_from_slice(aor);
                register.methods = methods;
            }
            Whose::To | Whose::Given(_) => {
                whose.name(message, policy, &mut register.aor)?;
                register.methods = methods::allowed(message, None);
            }
        }
        register.read_contacts_and_path(policy, flags)?;
        Ok(register)
    }

    /// One that asks for nothing so far.
    #[inline]
    fn bare(
        message: &'m Message,
        aor: Aor,
        (callid, cseq): (&'m [u8], u32),
        policy: &Policy,
    ) -> Register<'m> {
        Register {
            message,
            aor,
            callid,
            cseq,
            wish: Wish::Fetch,
            contacts: SmallVec::new(),
            path: Path::default(),
            supports_path: false,
            supports_gruu: policy.gruu.is_some() && list::lists(message, Name::Supported, b"gruu"),
            is_outbound: false,
            flow: None,
            user_agent: user_agent(message),
            methods: 0,
            is_granted: false,
            place: None,
            fingerprint: None,
        }
    }

    #[inline]
    fn read_contacts_and_path(&mut self, policy: &Policy, flags: &SaveFlags) -> Result<(), Reject> {
        if flags.path != PathMode::Ignore {
            self.read_path(flags)?;
        }
        self.read_contacts(policy)?;
        match policy.push.as_deref() {
            Some(push) => push.read(self.message, &mut self.contacts),
            None => Ok(()),
        }
    }

    fn read_path(&mut self, flags: &SaveFlags) -> Result<(), Reject> {
        self.supports_path = list::lists(self.message, Name::Supported, b"path");
        if self.message.value(Name::Path).is_none() {
            return Ok(());
        }
        if flags.path == PathMode::Strict && !self.supports_path {
            return Err(Reject::PathUnsupported);
        }
        self.path = Path::read(self.message)?;
        Ok(())
    }

    fn read_contacts(&mut self, policy: &Policy) -> Result<(), Reject> {
        let message = self.message;
        if message.value(Name::Expires).is_some_and(<[u8]>::is_empty) {
            return Err(Reject::ExpiresParse);
        }
        // RFC 3261 §20.19: a malformed value counts as the default, not as a fault.
        let general_s = cseq::expires(message).ok().flatten();
        if first::read_usual_contact(message, general_s, policy, &mut self.contacts).is_some() {
            self.wish = Wish::Contacts;
            return self.read_flows(policy);
        }
        let mut has_star = false;
        for header in message.header_all(Name::Contact) {
            let mut contacts = Contacts::new(header.value);
            loop {
                let mut reader = Reader::new(general_s, policy);
                let contact = contacts.next_with(|name, value| reader.param(name, value));
                let Some(contact) = contact else { break };
                match contact.map_err(|_| Reject::ContactParse)? {
                    Contact::Star if has_star || !self.contacts.is_empty() => {
                        return Err(Reject::StarContacts);
                    }
                    Contact::Star => has_star = true,
                    Contact::Address(_) if has_star => return Err(Reject::StarContacts),
                    Contact::Address(_) if self.contacts.len() == MAX_CONTACTS_PER_REQUEST => {
                        return Err(Reject::TooManyContacts);
                    }
                    Contact::Address(address) => self.contacts.push(reader.finish(address.uri)?),
                }
            }
        }
        self.wish = match (has_star, self.contacts.is_empty()) {
            (true, _) if general_s == Some(0) => Wish::RemoveAll,
            (true, _) => return Err(Reject::StarExpires),
            (false, true) => Wish::Fetch,
            (false, false) => Wish::Contacts,
        };
        self.read_flows(policy)
    }

    /// Looks at the flows among the contacts, if there are any.
    #[inline]
    fn read_flows(&mut self, policy: &Policy) -> Result<(), Reject> {
        if self.contacts.iter().any(|asked| asked.reg_id != 0) { self.read_flow(policy) } else { Ok(()) }
    }

    /// What RFC 5626 §6 wants of a request with a flow.
    #[cold]
    fn read_flow(&mut self, policy: &Policy) -> Result<(), Reject> {
        if !policy.outbound {
            return Ok(());
        }
        let message = self.message;
        match self.contacts.iter().filter(|asked| asked.expires_s != 0).count() {
            0 | 1 => {}
            _ => return Err(Reject::FlowContacts),
        }
        let lists = |name| list::lists(message, name, b"outbound");
        self.is_outbound = lists(Name::Supported) || lists(Name::Require);
        let is_removal = self.contacts.iter().all(|asked| asked.expires_s == 0);
        let has_edge = self.is_granted || self.is_direct() || self.path.has_outbound_edge();
        if self.is_outbound && !is_removal && !has_edge {
            return Err(Reject::FirstHopLacksOutbound);
        }
        Ok(())
    }

    /// Whether the client talks to this server without a proxy between them.
    pub(crate) fn is_direct(&self) -> bool {
        list::items(self.message, Name::Via).nth(1).is_none()
    }
}

fn user_agent(message: &Message) -> &[u8] {
    match message.value(Name::UserAgent) {
        Some(agent) if agent.len() > MAX_USER_AGENT_LEN => b"n/a",
        Some(agent) => agent,
        None => b"",
    }
}

impl Asked<'_> {
    /// One of which nothing is known but the interval that the request gives.
    #[inline]
    pub(crate) fn new(given_s: Option<u32>, policy: &Policy) -> Self {
        Asked {
            uri: b"",
            taken: None,
            expires_s: given_s.unwrap_or(policy.default_expires_s),
            expires_is_given: given_s.is_some(),
            q: None,
            instance: b"",
            reg_id: 0,
            received: b"",
            methods: None,
            wakes: Wakes::Not,
            provider: b"",
            is_short: false,
        }
    }
}

/// One contact while its parameters are walked over.
struct Reader<'m, 'p> {
    asked: Asked<'m>,
    fault: Option<Reject>,
    policy: &'p Policy,
}

impl<'m, 'p> Reader<'m, 'p> {
    #[inline]
    fn new(general_s: Option<u32>, policy: &'p Policy) -> Reader<'m, 'p> {
        Reader { asked: Asked::new(general_s, policy), fault: None, policy }
    }

    #[inline]
    fn param(&mut self, name: &[u8], value: Option<&'m [u8]>) {
        let value = ascii::strip_quotes(value.unwrap_or_default());
        match name.len() {
            1 if is(name, b"q") => self.q(value),
            6 if is(name, b"reg-id") => self.asked.reg_id = ascii::parse_u32(value).unwrap_or(0),
            7 if is(name, b"expires") => self.expires(value),
            7 if is(name, b"methods") => self.asked.methods = Some(methods::listed(value)),
            8 if is(name, b"received") => self.asked.received = value,
            13 if is(name, b"+sip.instance") => self.asked.instance = value,
            _ => {}
        }
    }

    fn q(&mut self, value: &[u8]) {
        match name_addr::parse_q(value) {
            Ok(q) => self.asked.q = Some(q),
            Err(_) => self.note(Reject::InvalidQ),
        }
    }

    #[inline]
    fn expires(&mut self, value: &[u8]) {
        if value.is_empty() {
            self.note(Reject::InvalidExpires);
        }
        let given = ascii::parse_u32(value).ok();
        self.asked.expires_s = given.unwrap_or(self.policy.default_expires_s);
        self.asked.expires_is_given = given.is_some();
    }

    /// The first fault is the one that is reported.
    #[cold]
    fn note(&mut self, fault: Reject) {
        self.fault.get_or_insert(fault);
    }

    #[inline]
    fn finish(mut self, uri: &'m [u8]) -> Result<Asked<'m>, Reject> {
        self.asked.uri = uri;
        if uri.len() > self.policy.max_contact_len {
            return Err(Reject::ContactTooLong);
        }
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if self.asked.instance.is_empty() {
            // RFC 5626 §6: without an instance it means nothing.
            self.asked.reg_id = 0;
        }
        let is_long =
            self.asked.instance.len() > MAX_INSTANCE_LEN || self.asked.received.len() > MAX_RECEIVED_LEN;
        if is_long { Err(Reject::ContactTooLong) } else { Ok(self.asked) }
    }
}

#[inline]
fn is(name: &[u8], wanted: &[u8]) -> bool {
    ascii::eq_ignore_case(name, wanted)
}
