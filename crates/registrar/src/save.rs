//! `save()`: what a REGISTER changes and how it is answered (behaviour §1, §2; registrar 1.4.1).

use std::net::SocketAddr;

use seawall_location::{Binding, Domain, Entry, Matching, NameId, Numbers, PUSH_FLAG, Q_NONE, Removal, Sink};
use seawall_sip::{Message, Uri, ascii};
use smallvec::SmallVec;

use crate::aor::Aor;
use crate::familiar::Familiar;
use crate::flags::{PathMode, SaveFlags};
use crate::limits::{LATEST_EXPIRY_S, MAX_ATTR_LEN, MAX_RECEIVED_LEN};
use crate::methods::Memo;
use crate::plan::{Fate, Plan, Step};
use crate::policy::{MatchingMode, Policy};
use crate::proportion;
use crate::push::Wakes;
use crate::reject::Reject;
use crate::reply::{self, Gruus};
use crate::request::{Asked, Begun, Found, Register, Wish};

/// What is known about a request besides its bytes.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The value of `received_avp`: a SIP URI, or empty.
    pub received: &'a [u8],
    /// Where the request came from, and over which transport, in lower case: the flow of RFC 5626.
    pub peer: (SocketAddr, &'static [u8]),
    /// The socket that the request came in by, interned in the domain's names.
    pub socket: NameId,
    /// Host and port of that socket as others see it: what a temporary GRUU is addressed to.
    pub host_port: &'a [u8],
    /// Branch flags to store.
    pub flags: u32,
    /// Internal flags to store.
    pub cflags: u32,
    /// The value of `attr_avp`, or empty.
    pub attr: &'a [u8],
    /// The `ownership_tag`, interned in the domain's names.
    pub ownership_tag: NameId,
    /// Whether a URI points at this server itself. Asked for contacts that are not stored yet.
    pub is_own: &'a dyn Fn(&Uri<'_>) -> bool,
    /// 64 random bits, for `expires_max_deviation`.
    pub random: u64,
    /// For a sender who is not known to be at the address that it came from: what the caller adds to the reply.
    /// `max_reply_percent` counts for such a sender alone.
    pub unproven: Option<Added>,
}

/// The lengths of the header fields that the caller adds to a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Added {
    /// Of those that have to be there.
    pub needed: usize,
    /// Of those that can be left out: Date and Server.
    pub optional: usize,
}

/// Everything that `save()` goes by.
#[derive(Clone, Copy)]
pub struct Save<'a> {
    /// Unix seconds.
    pub now_s: u64,
    /// The module parameters.
    pub policy: &'a Policy,
    /// The flags of this call.
    pub flags: &'a SaveFlags,
    /// The table to save in.
    pub domain: &'a Domain,
    /// What is known about the request besides its bytes.
    pub source: Source<'a>,
    /// Lists of methods that were read before, if the caller keeps them.
    pub allow: Option<&'a Memo>,
    /// Tells refreshes that say nothing new. Without it each is served as if it were the first.
    pub familiar: Option<&'a Familiar>,
}

/// How a REGISTER ended. `status` and `reason` make the status line of the reply; its header fields (besides those
/// that every reply has, and Date) were appended to the reply buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Status code.
    pub status: u16,
    /// Reason phrase.
    pub reason: &'static str,
    /// Why it was refused, if it was; then nothing has changed.
    pub reject: Option<Reject>,
    /// Whether any binding was added, refreshed or removed.
    pub changed: bool,
    /// Whether it repeated a request that had been served: the same answer, and no change.
    pub retransmission: bool,
    /// The latest unix second at which a contact of this request ends, 0 when none is bound: the lifetime of its
    /// connection under `tcp_persistent_flag`.
    pub expires_s: u32,
    /// Whether the caller has to leave out what is optional, so that the reply is not too long for who may have sent it.
    pub is_brief: bool,
}

impl<'a> Save<'a> {
    /// Serves a REGISTER. `aor` is the address of record as a URI, or `None` to take it from To. Header fields of
    /// the reply are appended to `reply`.
    pub fn handle(
        &self,
        message: &Message,
        aor: Option<&[u8]>,
        reply: &mut Vec<u8>,
        sink: &mut dyn Sink,
    ) -> Outcome {
        self.try_handle(message, aor, reply, sink)
            .unwrap_or_else(|reject| self.refuse(message, reject, reply))
    }

    #[inline]
    fn try_handle(
        &self,
        message: &Message,
        aor: Option<&[u8]>,
        reply: &mut Vec<u8>,
        sink: &mut dyn Sink,
    ) -> Result<Outcome, Reject> {
        let mut out = Aor::new();
        let Found { begun, aor, mut entry } = Found::read(message, aor, self, &mut out)?;
        match self.renew(message, &begun, &mut entry, reply, sink) {
            Some(renewed) => renewed,
            None => self.go_on((message, &begun), aor, entry, reply, sink),
        }
    }

    /// Serves a REGISTER that says something new.
    #[inline(never)]
    fn go_on(
        &self,
        (message, begun): (&Message, &Begun<'_>),
        aor: &[u8],
        entry: Entry<'_>,
        reply: &mut Vec<u8>,
        sink: &mut dyn Sink,
    ) -> Result<Outcome, Reject> {
        let mut register = Register::begun(message, Aor::from_slice(aor), begun, self);
        if entry.is_empty() {
            // Who has no binding yet sends little, as a rule, so that the shard may as well stay locked.
            register.go_on(self)?;
            self.note_flow(&mut register);
            return self.run_under(entry, &register, reply, sink);
        }
        // Reading the rest may take a while.
        drop(entry);
        register.go_on(self)?;
        self.note_flow(&mut register);
        self.try_run(&register, reply, sink)
    }

    /// Serves a REGISTER that was read already.
    pub fn run(&self, register: &Register<'_>, reply: &mut Vec<u8>, sink: &mut dyn Sink) -> Outcome {
        match self.try_run(register, reply, sink) {
            Ok(outcome) => outcome,
            Err(reject) => self.refuse(register.message, reject, reply),
        }
    }

    /// The answer to a request that is refused.
    pub fn refuse(&self, message: &Message, reject: Reject, reply: &mut Vec<u8>) -> Outcome {
        let (status, reason, _) = reject.answer();
        reject.write_headers(message, self.policy, reply);
        Outcome {
            status,
            reason,
            reject: Some(reject),
            changed: false,
            retransmission: false,
            expires_s: 0,
            is_brief: false,
        }
    }

    fn try_run(
        &self,
        register: &Register<'_>,
        reply: &mut Vec<u8>,
        sink: &mut dyn Sink,
    ) -> Result<Outcome, Reject> {
        let place = register.place.unwrap_or_else(|| self.domain.place(&register.aor));
        self.run_under(self.domain.lock_at(place, &register.aor, self.now_s), register, reply, sink)
    }

    /// Serves a REGISTER that was read, under the lock of its shard.
    fn run_under(
        &self,
        mut entry: Entry<'_>,
        register: &Register<'_>,
        reply: &mut Vec<u8>,
        sink: &mut dyn Sink,
    ) -> Result<Outcome, Reject> {
        if let [asked] = register.contacts.as_slice()
            && asked.expires_s != 0
            && entry.is_empty()
            && !register.is_granted
        {
            return self.insert_first(register, asked, &mut entry, reply, sink);
        }
        // Expired bindings that the wheel has not come to yet must neither match nor count.
        if entry.has_expired() {
            entry.purge(sink);
        }
        let mut plan = Plan::default();
        plan.make(self, register, &entry)?;
        if self.flags.known_only && plan.inserts_any() {
            return Err(Reject::overloaded(self.policy, self.source.random));
        }
        for step in &plan.steps {
            self.check_sizes(register, step)?;
        }
        self.carry_out(register, &plan, &mut entry, reply, sink)
    }

    /// Does what was planned, and lists what holds now.
    pub(crate) fn carry_out(
        &self,
        register: &Register<'_>,
        plan: &Plan<'_, '_>,
        entry: &mut Entry<'_>,
        reply: &mut Vec<u8>,
        sink: &mut dyn Sink,
    ) -> Result<Outcome, Reject> {
        let done = self.apply(register, plan, entry, sink);
        if let Some(fingerprint) = register.fingerprint {
            self.remember(register, fingerprint, plan, entry);
        }
        let is_brief = !register.is_granted && self.write_reply(register, entry, &done.ids, reply)?;
        Ok(Outcome {
            status: 200,
            reason: "OK",
            reject: None,
            changed: done.changed,
            retransmission: plan.is_retransmission(),
            expires_s: done.expires_s,
            is_brief,
        })
    }

    /// Appends the header fields of a 200. `ids` are the contacts of the request that are bound now. Gives whether the
    /// rest of the reply has to be brief.
    ///
    /// # Errors
    /// A list that was asked for and nothing else, when it is too long for a sender who may be somebody else.
    fn write_reply(
        &self,
        register: &Register<'_>,
        entry: &Entry<'_>,
        ids: &[u64],
        reply: &mut Vec<u8>,
    ) -> Result<bool, Reject> {
        self.bounded(register.message, register.wish, ids, reply, |only, reply| {
            self.write_fields(register, entry, only, reply);
        })
    }

    /// Appends what `write` gives for the bindings that the flags want, or for those of `ids` alone where that would be too
    /// long for a sender who may be somebody else. Gives whether the rest of the reply has to be brief.
    ///
    /// # Errors
    /// As [`write_reply`](Save::write_reply).
    #[inline]
    pub(crate) fn bounded(
        &self,
        message: &Message,
        wish: Wish,
        ids: &[u64],
        reply: &mut Vec<u8>,
        write: impl Fn(Option<&[u64]>, &mut Vec<u8>),
    ) -> Result<bool, Reject> {
        let start = reply.len();
        let only = self.flags.only_request_contacts.then_some(ids);
        write(only, reply);
        let is_brief = self.is_brief(message, reply.len() - start);
        if is_brief
            && only.is_none()
            && let Some(added) = self.source.unproven
            && proportion::exceeds(message, reply.len() - start + added.needed, self.policy.max_reply_percent)
        {
            reply.truncate(start);
            rewrite(wish, ids, reply, &write)?;
        }
        Ok(is_brief)
    }

    /// Whether a reply with so many bytes of header fields of its own has to be brief, because it would be too long for a sender
    /// who may be somebody else.
    #[inline]
    pub(crate) fn is_brief(&self, message: &Message, len: usize) -> bool {
        match (self.source.unproven, self.policy.max_reply_percent) {
            (None, _) | (_, 0) => false,
            (Some(added), percent) => {
                proportion::exceeds(message, len + added.needed + added.optional, percent)
            }
        }
    }

    /// Appends what a 200 says whose sender is known: the bindings that hold, or those of `ids` alone where the flags
    /// say so.
    pub(crate) fn list(&self, register: &Register<'_>, entry: &Entry<'_>, ids: &[u64], reply: &mut Vec<u8>) {
        let only = self.flags.only_request_contacts.then_some(ids);
        self.write_fields(register, entry, only, reply);
    }

    fn write_fields(
        &self,
        register: &Register<'_>,
        entry: &Entry<'_>,
        only: Option<&[u64]>,
        reply: &mut Vec<u8>,
    ) {
        reply::write_contacts(entry, self.policy, only, self.gruus(register).as_ref(), reply);
        self.write_others(register, entry, reply);
    }

    /// What the GRUUs of a reply are made of, if it has to tell them.
    #[inline]
    pub(crate) fn gruus<'r>(&'r self, register: &'r Register<'_>) -> Option<Gruus<'r>> {
        let gruu = self.policy.gruu.as_deref().filter(|_| register.supports_gruu)?;
        Some(Gruus { gruu, aor: &register.aor, host_port: self.source.host_port })
    }

    /// Appends what a 200 says besides the bindings.
    #[inline]
    pub(crate) fn write_others(&self, register: &Register<'_>, entry: &Entry<'_>, reply: &mut Vec<u8>) {
        if let Some(push) = self.policy.push.as_deref()
            && register.contacts.iter().any(|asked| asked.wakes != Wakes::Not)
        {
            push.write_reply(register, self.domain, entry, reply);
        }
        if register.is_outbound {
            reply.extend_from_slice(b"Require: outbound\r\n");
        }
        if matches!(self.flags.path, PathMode::Lazy | PathMode::Strict) && register.supports_path {
            reply::write_path(&register.path.joined, reply);
        }
    }

    pub(crate) fn matching(&self) -> Matching<'_> {
        self.flags.matching.as_ref().unwrap_or(&self.policy.matching).matching()
    }

    /// The q to store for a contact.
    pub(crate) fn q_of(&self, asked: &Asked<'_>) -> u16 {
        match (asked.q, self.policy.default_q) {
            (Some(q), _) => q,
            (None, 0) => Q_NONE,
            (None, default_q) => default_q.min(1000),
        }
    }

    /// What the table could refuse to hold is refused before anything is changed.
    #[inline]
    pub(crate) fn check_sizes(&self, register: &Register<'_>, step: &Step<'_, '_>) -> Result<(), Reject> {
        let received = self.received(register, step.asked);
        if received.len() > MAX_RECEIVED_LEN || self.source.attr.len() > MAX_ATTR_LEN {
            return Err(Reject::ContactTooLong);
        }
        let is_new = matches!(step.fate, Fate::Insert | Fate::Update(_));
        if is_new && !received.is_empty() && !Uri::parse(received).is_ok_and(|uri| uri.is_sip()) {
            return Err(Reject::ContactParse);
        }
        Ok(())
    }

    /// Notes where the request came from, as a URI: requests for a flow go back over it (RFC 5626 §5.3).
    #[inline]
    pub(crate) fn note_flow(&self, register: &mut Register<'_>) {
        if register.is_outbound && register.is_direct() {
            register.flow = Some(self.flow());
        }
    }

    #[cold]
    fn flow(&self) -> Box<[u8]> {
        let (address, transport) = self.source.peer;
        let mut uri = b"sip:".to_vec();
        ascii::write_socket_address(&mut uri, address.ip().to_canonical(), address.port());
        if transport != b"udp" {
            uri.extend_from_slice(b";transport=");
            uri.extend_from_slice(transport);
        }
        uri.into()
    }

    /// Where requests for a contact have to go, when not to its URI: behaviour §2, "received, in order".
    fn received<'r>(&'r self, register: &'r Register<'_>, asked: &'r Asked<'_>) -> &'r [u8] {
        if self.flags.path_received && !register.path.received.is_empty() {
            return &register.path.received;
        }
        if !self.source.received.is_empty() {
            return self.source.received;
        }
        if let Some(flow) = &register.flow {
            return flow;
        }
        if self.policy.trust_contact_received { asked.received } else { b"" }
    }

    /// What a step stores.
    fn binding<'r>(&'r self, register: &'r Register<'_>, step: &'r Step<'_, '_>) -> Binding<'r> {
        let stored = step.stored.map_or((0, 0), |stored| (stored.contact_id, stored.latency_us));
        self.binding_as(register, step.asked, step.granted_s, stored)
    }

    /// What a contact stores that is granted so many seconds, of this id and latency.
    #[inline(always)]
    pub(crate) fn binding_as<'r>(
        &'r self,
        register: &'r Register<'_>,
        asked: &'r Asked<'_>,
        granted_s: u32,
        (contact_id, latency_us): (u64, u32),
    ) -> Binding<'r> {
        let now_s = u32::try_from(self.now_s).unwrap_or(LATEST_EXPIRY_S);
        let comes_by_path = self.flags.path_received && !register.path.received.is_empty();
        let numbers = Numbers {
            contact_id,
            expires_s: now_s.saturating_add(granted_s).min(LATEST_EXPIRY_S),
            last_modified_s: now_s,
            cseq: register.cseq,
            flags: self.source.flags | if comes_by_path { self.policy.nat_flag } else { 0 },
            cflags: self.source.cflags | if asked.wakes == Wakes::Here { PUSH_FLAG } else { 0 },
            methods: asked.methods.unwrap_or(register.methods),
            reg_id: asked.reg_id,
            latency_us,
            q: self.q_of(asked),
            // A phone that registers is there, whatever became of the last pings.
            unanswered: 0,
            socket: self.socket(register),
        };
        Binding {
            numbers,
            contact: asked.uri,
            callid: register.callid,
            received: self.received(register, asked),
            path: &register.path.joined,
            instance: asked.instance,
            attr: self.source.attr,
            user_agent: register.user_agent,
            ownership_tag: self.source.ownership_tag,
            keys: &[],
            aor_keys: &[],
        }
    }

    /// The socket to store: that of the `sock_hdr_name` header with `socket-header`, else the one that received.
    #[inline]
    fn socket(&self, register: &Register<'_>) -> NameId {
        if self.flags.socket_header { self.named_socket(register) } else { self.source.socket }
    }

    #[cold]
    fn named_socket(&self, register: &Register<'_>) -> NameId {
        if self.policy.socket_header.is_empty() {
            return self.source.socket;
        }
        let mut headers = register.message.header_named(&self.policy.socket_header);
        let named = headers.next().filter(|header| is_socket(header.value));
        named.and_then(|header| self.domain.names().intern(header.value)).unwrap_or(self.source.socket)
    }

    /// Does what was planned. Nothing here can fail: sizes and counts were checked.
    fn apply(
        &self,
        register: &Register<'_>,
        plan: &Plan<'_, '_>,
        entry: &mut Entry<'_>,
        sink: &mut dyn Sink,
    ) -> Done {
        let mut done = Done::default();
        if matches!(register.wish, Wish::RemoveAll) {
            done.changed = entry.remove(sink, |_, _| Some(Removal::Asked)) > 0;
            return done;
        }
        for step in &plan.steps {
            match step.fate {
                Fate::Update(position) => {
                    let binding = self.binding(register, step);
                    done.changed |= entry.replace(position, &binding, sink).is_ok();
                    done.bound(&binding.numbers);
                }
                Fate::Keep(_) => done.bound(&step.stored.unwrap_or_default()),
                Fate::Insert | Fate::Remove(_) | Fate::Nothing => {}
            }
        }
        // Positions hold until here: removing moves them. Inserting comes last, when there is room.
        if plan.removes_any() {
            done.changed |= entry.remove(sink, |position, _| plan.removal(position)) > 0;
        }
        for step in plan.steps.iter().filter(|step| step.fate == Fate::Insert) {
            self.insert(self.binding(register, step), entry, sink, &mut done);
        }
        done
    }

    fn insert(&self, mut binding: Binding<'_>, entry: &mut Entry<'_>, sink: &mut dyn Sink, done: &mut Done) {
        // The main registrar may know it by one already.
        if binding.numbers.contact_id == 0 {
            binding.numbers.contact_id = self.contact_id(binding.contact, binding.callid, entry);
        }
        if entry.insert(&binding, sink).is_ok() {
            done.changed = true;
            done.bound(&binding.numbers);
        }
    }

    /// The contact id of a new binding.
    #[inline]
    pub(crate) fn contact_id(&self, contact: &[u8], callid: &[u8], entry: &Entry<'_>) -> u64 {
        let mode = self.flags.matching.as_ref().unwrap_or(&self.policy.matching);
        let by_callid = matches!(mode, MatchingMode::UriAndCallId);
        entry.fresh_contact_id(contact, if by_callid { callid } else { b"" })
    }
}

/// Appends a list of the bindings that the flags want, or of those with these ids alone.
type Write<'w> = dyn Fn(Option<&[u64]>, &mut Vec<u8>) + 'w;

/// As [`Save::bounded`], for what turned out to be too long.
#[cold]
fn rewrite(wish: Wish, ids: &[u64], reply: &mut Vec<u8>, write: &Write<'_>) -> Result<(), Reject> {
    if wish == Wish::Fetch {
        return Err(Reject::ReplyTooLong);
    }
    write(Some(ids), reply);
    Ok(())
}

/// What a request has left behind.
#[derive(Default)]
struct Done {
    changed: bool,
    expires_s: u32,
    /// The contacts of the request that are bound now.
    ids: SmallVec<[u64; 2]>,
}

impl Done {
    fn bound(&mut self, numbers: &Numbers) {
        self.ids.push(numbers.contact_id);
        self.expires_s = self.expires_s.max(numbers.expires_s);
    }
}

/// Whether a text has the form `proto:host:port`.
fn is_socket(text: &[u8]) -> bool {
    let Some((protocol, address)) =
        text.iter().position(|byte| *byte == b':').and_then(|at| text.split_at_checked(at))
    else {
        return false;
    };
    let host_port = address.get(1..).unwrap_or_default();
    let is_protocol = [&b"udp"[..], b"tcp", b"tls", b"ws", b"wss", b"sctp"]
        .iter()
        .any(|name| protocol.eq_ignore_ascii_case(name));
    is_protocol && seawall_sip::uri::split_host_port(host_port).is_ok()
}
