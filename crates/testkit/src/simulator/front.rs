//! Seawall in the simulated world: its real mid-registrar, around it transactions as simple as they can be.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use seawall_location::{Change, Domain, Location, NameId, Removal, Settings as LocationSettings, Sink};
use seawall_registrar::mid::{
    Decision, Errand, ErrandKind, Main, Mid, Pending, Place, Request, Settings, Upstream,
};
use seawall_registrar::{Familiar, Found, Lookup, LookupFlags, Outcome, Policy, SaveFlags, Source, Targets};
use seawall_sip::edit::Edits;
use seawall_sip::{Message, Method, Name, Uri, cseq};

use super::Fault;
use super::main_registrar::EPOCH_SHIFT;
use super::outbox::{Outbox, Retry, Ring, Wake};
use super::script::Script;
use super::text::{self, DOMAIN};
use crate::network::Packet;
use crate::random::Random;

/// Where Seawall is.
pub const ADDRESS: ([u8; 4], u16) = ([192, 0, 2, 1], 5060);
/// Where the main registrar is.
pub const MAIN: ([u8; 4], u16) = ([203, 0, 113, 1], 5060);
const SENT_BY: &str = "192.0.2.1:5060";
const PLACE: Place<'static> = Place { host_port: SENT_BY.as_bytes(), transport: b"" };

/// The second of Unix time in which every run starts.
pub const START_S: u64 = 1_800_000_000;

/// Requests in a row without an answer, from which on the main registrar counts as silent.
const MISSES: u32 = 3;
/// While it does, one request in so many milliseconds is sent there all the same.
const PROBE_MS: u64 = 1000;

/// What clients were told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// A contact of a user holds until this Unix second.
    Holds(String, Vec<u8>, u64),
    /// A contact does not hold any more, or its owner wants it so.
    Ends(String, Vec<u8>),
    /// None of this user's does, but for these.
    AllEnd(String, Vec<Vec<u8>>),
}

/// A REGISTER that waits for the main registrar's answer.
struct Flying {
    message: Message,
    from: SocketAddr,
    bytes: Vec<u8>,
    pending: Box<Pending>,
    departed_s: u64,
    retry: Retry,
}

/// A request of our own that waits for its answer.
struct Own {
    errand: Errand,
    bytes: Vec<u8>,
    retry: Retry,
}

/// What became of the requests that were received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests, without retransmissions of those that were forwarded.
    pub received: u64,
    /// Answered here with 200.
    pub absorbed: u64,
    /// Refused here.
    pub refused: u64,
    /// Forwarded.
    pub forwarded: u64,
    /// Forwarded ones that have ended.
    pub ended: u64,
    /// Requests of our own.
    pub own: u64,
}

/// Keeps what went away until the table is unlocked.
#[derive(Default)]
struct Gone(Vec<(Vec<u8>, u64, Vec<u8>, Removal)>);

impl Sink for Gone {
    fn listens(&self) -> bool {
        true
    }

    fn change(&mut self, _domain: &str, aor: &[u8], change: Change<'_>) {
        if let Change::ContactDelete(binding, why) = change {
            self.0.push((aor.to_vec(), binding.numbers.contact_id, binding.contact.to_vec(), why));
        }
    }
}

/// Seawall.
pub struct Front {
    /// Its parameters.
    pub settings: Settings,
    policy: Policy,
    familiar: Familiar,
    /// The bindings.
    pub domain: Arc<Domain>,
    /// What the main registrar holds.
    pub upstream: Upstream,
    /// What became of requests.
    pub counts: Counts,
    /// What clients were told since it was read last.
    pub words: Vec<Word>,
    /// Which life this is.
    pub epoch: u64,
    authenticated: bool,
    fault: Fault,
    random: Random,
    branches: u64,
    flying: BTreeMap<u64, Flying>,
    /// The branches of clients whose requests are under way.
    waiting: BTreeSet<u64>,
    owns: BTreeMap<u64, Own>,
    answered: BTreeMap<u64, (SocketAddr, Vec<u8>)>,
    gone: Gone,
    /// Forwarded requests in a row without an answer.
    misses: u32,
    /// When one was sent last to see whether the main registrar is back.
    probed_ms: Cell<u64>,
}

impl Front {
    /// Seawall with an empty memory, in its life number `epoch`.
    pub fn new(script: &Script, fault: Fault, epoch: u64) -> Front {
        let mut random = Random::new(script.seed.wrapping_mul(31).wrapping_add(epoch));
        let mut secret = || u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
        let settings = LocationSettings { secret: secret().to_le_bytes(), shards: 2 };
        let upstream = Upstream::new(secret().to_le_bytes());
        Front {
            settings: script.settings.clone(),
            policy: Policy { min_expires_s: 10, max_expires_s: 3600, ..Policy::default() },
            familiar: Familiar::new(script.seed),
            domain: Location::new(settings).declare("location").expect("an empty location takes a domain"),
            upstream,
            counts: Counts::default(),
            words: Vec::new(),
            epoch,
            authenticated: script.authenticated,
            fault,
            random,
            branches: 0,
            flying: BTreeMap::new(),
            waiting: BTreeSet::new(),
            owns: BTreeMap::new(),
            answered: BTreeMap::new(),
            gone: Gone::default(),
            misses: 0,
            probed_ms: Cell::new(0),
        }
    }

    fn mid(&self, now_s: u64) -> Mid<'_> {
        Mid {
            now_s,
            policy: &self.policy,
            settings: &self.settings,
            domain: &self.domain,
            upstream: &self.upstream,
            is_own: &|uri: &Uri<'_>| uri.host == b"192.0.2.1",
        }
    }

    /// Calls the core, and tells it afterwards of what went away.
    fn run<R>(&mut self, now_s: u64, act: impl FnOnce(&Mid<'_>, &mut dyn Sink) -> R) -> R {
        let mut gone = std::mem::take(&mut self.gone);
        let result = act(&self.mid(now_s), &mut gone);
        for (aor, id, uri, why) in gone.0.drain(..) {
            if why == Removal::Administrative {
                self.words.push(Word::Ends(user_of(&aor), uri));
            }
            if self.fault != Fault::ForgetsWhatIsGone {
                self.mid(now_s).gone(&aor, id);
            }
        }
        self.gone = gone;
        result
    }

    fn name(&self, name: &[u8]) -> NameId {
        self.domain.names().intern(name).unwrap_or(NameId::NONE)
    }

    fn main(&self) -> Main {
        let uri = format!("sip:{DOMAIN}").into_bytes().into();
        Main { socket: self.name(b"udp:192.0.2.1:5060"), peer: MAIN.into(), uri }
    }

    fn branch(&mut self) -> u64 {
        self.branches += 1;
        self.epoch << EPOCH_SHIFT | self.branches
    }

    /// A client's request arrives.
    pub fn request(&mut self, now_ms: u64, packet: &Packet, out: &mut Outbox) {
        let Some(message) = text::parse(&packet.bytes) else { return };
        let branch = text::branch(&message);
        if let Some((to, bytes)) = self.answered.get(&branch) {
            out.packets.push(Packet { from: ADDRESS.into(), to: *to, bytes: bytes.clone() });
            return;
        }
        if self.waiting.contains(&branch) {
            return;
        }
        self.counts.received += 1;
        self.hear(&message);
        let now_s = second(now_ms);
        let mut reply = Vec::new();
        match self.decide(now_ms, packet.from, &message, &mut reply) {
            Decision::Answered(outcome) => {
                let accepted = (200..300).contains(&outcome.status);
                self.counts.absorbed += u64::from(accepted);
                self.counts.refused += u64::from(!accepted);
                let bytes = text::answer(&message, outcome.status, &text::text(&reply));
                if accepted {
                    self.promise(&message, &bytes, now_s);
                }
                out.packets.push(Packet { from: ADDRESS.into(), to: packet.from, bytes });
            }
            Decision::Forward(pending) => {
                self.counts.forwarded += u64::from(self.fault != Fault::CountsForwardsBadly);
                self.forward(now_ms, packet.from, message, pending, out);
            }
        }
    }

    fn decide(&mut self, now_ms: u64, from: SocketAddr, message: &Message, reply: &mut Vec<u8>) -> Decision {
        let now_s = second(now_ms);
        let is_silent = self.misses >= MISSES;
        let probed_ms = self.probed_ms.clone();
        let holds_back = || {
            is_silent && now_ms < probed_ms.get() + PROBE_MS || {
                probed_ms.set(now_ms);
                false
            }
        };
        let flags = SaveFlags::default();
        let (authenticated, random) = (self.authenticated, self.random.next_u64());
        let socket = self.name(b"udp:192.0.2.1:5060");
        let familiar = self.familiar.clone();
        let decision = self.run(now_s, |mid, sink| {
            let source = Source {
                received: b"",
                peer: (from, b"udp"),
                host_port: SENT_BY.as_bytes(),
                ownership_tag: NameId::NONE,
                socket,
                flags: 0,
                cflags: 0,
                attr: b"",
                is_own: mid.is_own,
                random,
                unproven: None,
            };
            let request = Request {
                message,
                aor: None,
                flags: &flags,
                source,
                outgoing_expires_s: None,
                extra: b"",
                authenticated,
                holds_back: &holds_back,
                allow: None,
                familiar: Some(&familiar),
            };
            mid.request(&request, reply, sink)
        });
        self.probed_ms = probed_ms;
        decision
    }

    fn forward(
        &mut self,
        now_ms: u64,
        from: SocketAddr,
        message: Message,
        mut pending: Box<Pending>,
        out: &mut Outbox,
    ) {
        self.waiting.insert(text::branch(&message));
        let bytes = self.edited(&message, &pending);
        let is_refresh = !self.upstream.show(pending.aor()).is_empty();
        if self.fault == Fault::CommitsOnForward || self.fault == Fault::ProlongsOnForward && is_refresh {
            self.believe(second(now_ms), &message, &pending, &bytes);
        }
        self.mid(second(now_ms)).departs(&mut pending);
        let (retry, departed_s) = (Retry::new(now_ms), second(now_ms));
        self.depart(Flying { message, from, bytes, pending, departed_s, retry }, out);
    }

    fn edited(&self, message: &Message, pending: &Pending) -> Vec<u8> {
        let mut edits = Edits::new();
        pending.edit(message, &self.settings, &self.policy, PLACE, &mut edits);
        let mut bytes = Vec::new();
        edits.write(message, &mut bytes);
        bytes
    }

    /// A fault: takes the request for its answer.
    fn believe(&mut self, now_s: u64, message: &Message, pending: &Pending, forwarded: &[u8]) {
        let main = self.main();
        let response = text::parse(forwarded).and_then(|forwarded| granting(&forwarded));
        let Some(response) = response else { return };
        self.run(now_s, |mid, sink| {
            let mut told = Vec::new();
            mid.accepted(message, pending, &response, &main, PLACE, &mut told, sink);
        });
    }

    fn depart(&mut self, mut flying: Flying, out: &mut Outbox) {
        let branch = self.branch();
        flying.bytes = text::with_via(&flying.bytes, SENT_BY, branch);
        out.packets.push(to_main(flying.bytes.clone()));
        out.wakes.push((flying.retry.due_ms(), Wake::Transaction(branch)));
        self.flying.insert(branch, flying);
    }

    /// A timer of a transaction runs out.
    pub fn wake(&mut self, now_ms: u64, branch: u64, out: &mut Outbox) {
        if let Some(flying) = self.flying.get_mut(&branch) {
            match flying.retry.ring(now_ms) {
                Ring::No => {}
                Ring::Again => {
                    out.packets.push(to_main(flying.bytes.clone()));
                    out.wakes.push((flying.retry.due_ms(), Wake::Transaction(branch)));
                }
                Ring::Over => {
                    if let Some(flying) = self.flying.remove(&branch) {
                        self.misses += 1;
                        self.fail(now_ms, flying, 408, out);
                    }
                }
            }
        } else if let Some(own) = self.owns.get_mut(&branch) {
            match own.retry.ring(now_ms) {
                Ring::No => {}
                Ring::Again => {
                    out.packets.push(to_main(own.bytes.clone()));
                    out.wakes.push((own.retry.due_ms(), Wake::Transaction(branch)));
                }
                Ring::Over => {
                    if let Some(own) = self.owns.remove(&branch) {
                        self.misses += 1;
                        self.mid(second(now_ms)).done(&own.errand, 408, None);
                    }
                }
            }
        }
    }

    /// An answer of the main registrar arrives.
    pub fn response(&mut self, now_ms: u64, response: &Message, out: &mut Outbox) {
        let branch = text::branch(response);
        if std::mem::take(&mut self.misses) >= MISSES {
            self.mid(second(now_ms)).hurry();
        }
        if let Some(own) = self.owns.remove(&branch) {
            self.mid(second(now_ms)).done(&own.errand, response.status(), Some(response));
            return;
        }
        let Some(mut flying) = self.flying.remove(&branch) else { return };
        if self.fault != Fault::ForgetsCopies {
            flying.pending.waited(flying.retry.age_ms(now_ms));
        }
        match response.status() {
            200..=299 => self.accept(now_ms, flying, response, out),
            423 => {
                let least_s = cseq::number(response, Name::MinExpires).ok().flatten();
                if least_s.is_some_and(|least_s| flying.pending.raise(least_s)) {
                    self.mid(second(now_ms)).departs(&mut flying.pending);
                    flying.bytes = self.edited(&flying.message, &flying.pending);
                    flying.retry = Retry::new(now_ms);
                    self.depart(flying, out);
                } else {
                    self.reject(now_ms, flying, response, out);
                }
            }
            status @ (408 | 500..=599) => self.fail(now_ms, flying, status, out),
            _ => self.reject(now_ms, flying, response, out),
        }
    }

    fn accept(&mut self, now_ms: u64, flying: Flying, response: &Message, out: &mut Outbox) {
        let now_s = second(now_ms);
        let main = self.main();
        let believed = match self.fault {
            Fault::IgnoresWhatIsGranted => text::parse(&flying.bytes).and_then(|sent| granting(&sent)),
            _ => None,
        };
        let response = believed.as_ref().unwrap_or(response);
        let mut reply = Vec::new();
        let Flying { message, pending, .. } = &flying;
        let outcome = self
            .run(now_s, |mid, sink| mid.accepted(message, pending, response, &main, PLACE, &mut reply, sink));
        // What is granted counts from when the main registrar has served the request, which is not before it was sent.
        self.end(&flying, &outcome, &reply, flying.departed_s, out);
    }

    /// A failure, passed on or answered from what is known here.
    fn fail(&mut self, now_ms: u64, flying: Flying, status: u16, out: &mut Outbox) {
        let now_s = second(now_ms);
        let main = self.main();
        let mut reply = Vec::new();
        let Flying { message, pending, .. } = &flying;
        let is_silent = status == 408 && self.fault != Fault::ForgetsSilence;
        let outcome = self.run(now_s, |mid, sink| {
            mid.unanswered(message, pending, is_silent.then_some((&main, PLACE)));
            mid.survive(message, pending, &mut reply, sink)
        });
        match outcome {
            Some(outcome) => self.end(&flying, &outcome, &reply, now_s, out),
            None => self.pass(&flying, status, "", out),
        }
    }

    fn reject(&mut self, now_ms: u64, flying: Flying, response: &Message, out: &mut Outbox) {
        let Flying { message, pending, .. } = &flying;
        self.run(second(now_ms), |mid, sink| mid.rejected(message, pending, response.status(), sink));
        let least_s = cseq::number(response, Name::MinExpires).ok().flatten();
        let lines = least_s.map_or_else(String::new, |least_s| format!("Min-Expires: {least_s}\r\n"));
        self.pass(&flying, response.status(), &lines, out);
    }

    fn end(&mut self, flying: &Flying, outcome: &Outcome, reply: &[u8], from_s: u64, out: &mut Outbox) {
        let lines = text::text(reply);
        if (200..300).contains(&outcome.status) {
            let bytes = text::answer(&flying.message, outcome.status, &lines);
            self.promise(&flying.message, &bytes, from_s);
        }
        self.pass(flying, outcome.status, &lines, out);
    }

    fn pass(&mut self, flying: &Flying, status: u16, lines: &str, out: &mut Outbox) {
        self.counts.ended += 1;
        let branch = text::branch(&flying.message);
        let bytes = text::answer(&flying.message, status, lines);
        self.waiting.remove(&branch);
        self.answered.insert(branch, (flying.from, bytes.clone()));
        out.packets.push(Packet { from: ADDRESS.into(), to: flying.from, bytes });
    }

    /// Notes what the owner of a request wants to be gone.
    fn hear(&mut self, message: &Message) {
        let user = text::user(message);
        match text::listed(message) {
            None => self.words.push(Word::AllEnd(user, Vec::new())),
            Some(all) => {
                let gone = all.into_iter().filter(|(_, expires_s)| *expires_s == 0);
                self.words.extend(gone.map(|(uri, _)| Word::Ends(user.clone(), uri)));
            }
        }
    }

    /// Notes what a 200 says about the contacts of its request; its intervals count from `from_s`.
    fn promise(&mut self, message: &Message, answer: &[u8], from_s: u64) {
        let user = text::user(message);
        let told = text::parse(answer).and_then(|answer| text::listed(&answer)).unwrap_or_default();
        let Some(asked) = text::listed(message) else {
            let kept = told.into_iter().map(|(uri, _)| uri).collect();
            self.words.push(Word::AllEnd(user, kept));
            return;
        };
        for (uri, _) in asked {
            let word = match told.iter().find(|(known, _)| *known == uri) {
                Some((_, expires_s)) => Word::Holds(user.clone(), uri, from_s + u64::from(*expires_s)),
                None => Word::Ends(user.clone(), uri),
            };
            self.words.push(word);
        }
    }

    /// Time passes: what runs out goes, and what is due is sent.
    pub fn tick(&mut self, now_ms: u64, out: &mut Outbox) {
        let now_s = second(now_ms);
        self.run(now_s, |mid, sink| {
            for shard in 0..mid.domain.shard_count() {
                while mid.domain.expire(shard, mid.now_s, 1000, sink) {}
            }
        });
        let mut due = Vec::new();
        for shard in 0..self.upstream.shard_count() {
            self.mid(now_s).due(shard, 100, &mut due);
        }
        for errand in due {
            self.counts.own += 1;
            if self.fault == Fault::NeverTakesAway && errand.kind == ErrandKind::Remove {
                self.mid(now_s).done(&errand, 200, None);
                continue;
            }
            let branch = self.branch();
            let bytes = own_request(&errand, branch);
            let retry = Retry::new(now_ms);
            out.packets.push(to_main(bytes.clone()));
            out.wakes.push((retry.due_ms(), Wake::Transaction(branch)));
            self.owns.insert(branch, Own { errand, bytes, retry });
        }
    }

    /// An operator removes an address of record.
    pub fn remove(&mut self, now_ms: u64, user: &str) {
        let now_s = second(now_ms);
        let aor = aor_of(user);
        self.run(now_s, |mid, sink| {
            mid.domain.lock(&aor, now_s).remove(sink, |_, _| Some(Removal::Administrative));
        });
    }

    /// `mid_reg_resync`.
    pub fn resync(&mut self, now_ms: u64) {
        self.mid(second(now_ms)).resync(None);
    }

    /// Which contacts a request from the main registrar for this URI reaches.
    pub fn lookup(&self, now_ms: u64, uri: &[u8]) -> Vec<Vec<u8>> {
        let flags = LookupFlags::default();
        let lookup = Lookup {
            now_s: second(now_ms),
            policy: &self.policy,
            flags: &flags,
            domain: &self.domain,
            method: Method::Invite,
            user_agent: None,
        };
        let mut targets = Targets::default();
        match self.settings.lookup(&lookup, uri, None, &mut targets) {
            Ok(Found::Contacts(_)) => targets.iter().map(|target| target.uri.to_vec()).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether a request about a user is on its way to the main registrar.
    pub fn is_busy(&self, user: &str) -> bool {
        let aor = aor_of(user);
        self.flying.values().any(|flying| flying.pending.aor() == aor)
            || self.owns.values().any(|own| own.errand.aor() == aor)
    }

    /// Whether the answer to a branch is waited for.
    pub fn awaits(&self, branch: u64) -> bool {
        self.flying.contains_key(&branch) || self.owns.contains_key(&branch)
    }

    /// Forwarded requests that wait for their answer.
    pub fn in_flight(&self) -> usize {
        self.flying.len()
    }
}

fn to_main(bytes: Vec<u8>) -> Packet {
    Packet { from: ADDRESS.into(), to: MAIN.into(), bytes }
}

/// Seawall has credentials for requests of its own.
fn own_request(errand: &Errand, branch: u64) -> Vec<u8> {
    let to = text::text(&errand.to);
    let user = to.trim_start_matches("sip:").split('@').next().unwrap_or_default().to_owned();
    let lines =
        format!("Contact: {}\r\nAuthorization: Digest username=\"us\"\r\n", text::text(&errand.contact));
    let callid = text::text(&errand.callid);
    text::Register {
        sent_by: SENT_BY,
        branch,
        user: &user,
        callid: &callid,
        cseq: errand.cseq,
        lines: &lines,
    }
    .write()
}

/// A 200 that grants what a request asks for.
fn granting(request: &Message) -> Option<Message> {
    let asked = text::listed(request)?;
    let held = asked.iter().filter(|(_, expires_s)| *expires_s > 0);
    let lines: String = held
        .map(|(uri, expires_s)| format!("Contact: <{}>;expires={expires_s}\r\n", text::text(uri)))
        .collect();
    text::parse(&text::answer(request, 200, &lines))
}

/// The second of Unix time.
pub fn second(now_ms: u64) -> u64 {
    START_S + now_ms / 1000
}

/// The address of record of a user in its canonical form.
pub fn aor_of(user: &str) -> Vec<u8> {
    format!("{user}@{DOMAIN}").into_bytes()
}

fn user_of(aor: &[u8]) -> String {
    text::text(aor).split('@').next().unwrap_or_default().to_owned()
}
