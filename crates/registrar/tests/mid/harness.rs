//! A mid-registrar with a virtual clock. Requests and answers go in as header lines; what comes of them comes out as
//! one line. Contact ids are written `#1`, `#2` in the order in which they appear.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that cannot go on fails

use std::sync::Arc;

use seawall_location::{Change, Domain, Location, Settings as LocationSettings, Sink};
use seawall_registrar::mid::{
    Decision, Errand, Main, Mid, Mode, Pending, Place, Request, Settings, Upstream,
};
use seawall_registrar::{
    Added, Familiar, Found, Lookup, LookupFlags, Outcome, Policy, SaveFlags, Source, Targets,
};
use seawall_sip::edit::Edits;
use seawall_sip::{Message, Method, Name, Uri};

/// The second in which every test starts.
pub const START_S: u64 = 1_800_000_000;

/// Where the main registrar reaches us.
pub const PLACE: Place<'static> = Place { host_port: b"192.0.2.1:5060", transport: b"" };

/// A REGISTER that waits for its answer.
pub struct Flying {
    pub original: Message,
    pub forwarded: Message,
    pub pending: Box<Pending>,
}

/// A mid-registrar under test.
pub struct Front {
    pub policy: Policy,
    pub settings: Settings,
    pub domain: Arc<Domain>,
    pub upstream: Upstream,
    pub now_s: u64,
    /// The port that the next request comes from.
    pub port: u16,
    pub authenticated: bool,
    /// The main registrar is known not to answer.
    pub holds_back: bool,
    /// More waits than can be served.
    pub is_behind: bool,
    /// Tells refreshes that say nothing new.
    pub familiar: Option<Familiar>,
    pub outgoing_s: Option<u32>,
    pub extra: &'static str,
    pub flags: &'static str,
    pub random: u64,
    /// How long the main registrar takes to answer.
    pub took_ms: u64,
    /// What is added to an answer to somebody who has not proven who he is.
    pub unproven: Option<Added>,
    pub flying: Vec<Option<Flying>>,
    /// Requests of our own that wait for their answer.
    pub errands: Vec<Option<Errand>>,
    ids: Vec<String>,
    gone: Gone,
}

/// Keeps what went away until the table is unlocked.
#[derive(Default)]
struct Gone(Vec<(Vec<u8>, u64)>);

impl Sink for Gone {
    fn listens(&self) -> bool {
        true
    }

    fn change(&mut self, _domain: &str, aor: &[u8], change: Change<'_>) {
        if let Change::ContactDelete(binding, _) = change {
            self.0.push((aor.to_vec(), binding.numbers.contact_id));
        }
    }
}

/// The policy that the mid_registrar document has as its defaults.
pub fn policy() -> Policy {
    Policy { min_expires_s: 10, max_expires_s: 3600, ..Policy::default() }
}

impl Front {
    pub fn new(mode: Mode) -> Front {
        Front::with(Settings { mode, ..Settings::default() }, policy())
    }

    pub fn with(settings: Settings, policy: Policy) -> Front {
        let location = Location::new(LocationSettings { secret: [5; 16], shards: 2 });
        Front {
            policy,
            settings,
            domain: location.declare("location").unwrap(),
            upstream: Upstream::new([7; 16]),
            now_s: START_S,
            port: 5070,
            authenticated: false,
            holds_back: false,
            is_behind: false,
            familiar: Some(Familiar::new(7)),
            outgoing_s: None,
            extra: "",
            flags: "",
            random: 0,
            took_ms: 0,
            unproven: None,
            flying: Vec::new(),
            errands: Vec::new(),
            ids: Vec::new(),
            gone: Gone::default(),
        }
    }

    fn mid(&self) -> Mid<'_> {
        Mid {
            now_s: self.now_s,
            policy: &self.policy,
            settings: &self.settings,
            domain: &self.domain,
            upstream: &self.upstream,
            is_own: &|uri: &Uri<'_>| uri.host == b"192.0.2.1",
        }
    }

    fn run<R>(&mut self, act: impl FnOnce(&Mid<'_>, &mut dyn Sink) -> R) -> R {
        let mut gone = std::mem::take(&mut self.gone);
        let result = act(&self.mid(), &mut gone);
        for (aor, id) in gone.0.drain(..) {
            self.mid().gone(&aor, id);
        }
        self.gone = gone;
        result
    }

    /// Main registrar number `number`.
    pub fn main(&self, number: u8) -> Main {
        Main {
            socket: self.domain.names().intern(b"udp:192.0.2.1:5060").unwrap(),
            peer: ([203, 0, 113, number], 5060).into(),
            uri: (*b"sip:example.com").into(),
        }
    }

    /// A client sends a REGISTER. The answer, or `-> ` and what the main registrar gets.
    pub fn send(&mut self, lines: &str) -> String {
        let message = message(lines);
        let flags = SaveFlags { known_only: self.is_behind, ..SaveFlags::parse(self.flags).unwrap() };
        let (port, authenticated, outgoing_s, extra, random) =
            (self.port, self.authenticated, self.outgoing_s, self.extra, self.random);
        let (unproven, holds_back) = (self.unproven, self.holds_back);
        let familiar = self.familiar.clone();
        let decided = self.run(|mid, sink| {
            let source = Source {
                received: b"",
                peer: (([198, 51, 100, 1], port).into(), b"udp"),
                host_port: b"192.0.2.1:5060",
                ownership_tag: seawall_location::NameId::NONE,
                socket: mid.domain.names().intern(b"udp:192.0.2.1:5060").unwrap(),
                flags: 0,
                cflags: 0,
                attr: b"",
                is_own: mid.is_own,
                random,
                unproven,
            };
            let mut reply = Vec::new();
            let request = Request {
                message: &message,
                aor: None,
                flags: &flags,
                source,
                outgoing_expires_s: outgoing_s,
                extra: extra.as_bytes(),
                authenticated,
                holds_back: &|| holds_back,
                allow: None,
                familiar: familiar.as_ref(),
            };
            match mid.request(&request, &mut reply, sink) {
                Decision::Answered(outcome) => Err(answer(&outcome, &reply)),
                Decision::Forward(mut pending) => {
                    mid.departs(&mut pending);
                    Ok(pending)
                }
            }
        });
        match decided {
            Err(answer) => self.shown(&answer),
            Ok(pending) => {
                let forwarded = self.forwarded(&message, &pending);
                let line = format!(
                    "-> {}",
                    headers(&forwarded, &[Name::Contact, Name::Expires, Name::Path, Name::FeatureCaps])
                );
                self.flying.push(Some(Flying { original: message, forwarded, pending }));
                self.shown(&line)
            }
        }
    }

    fn forwarded(&self, message: &Message, pending: &Pending) -> Message {
        let mut edits = Edits::new();
        pending.edit(message, &self.settings, &self.policy, PLACE, &mut edits);
        let mut bytes = Vec::new();
        edits.write(message, &mut bytes);
        Message::parse(bytes).map_err(|(_, error)| error).unwrap()
    }

    /// A client sends a REGISTER, and this comes of it.
    #[track_caller]
    pub fn check(&mut self, lines: &str, expected: &str) {
        assert_eq!(self.send(lines), expected, "{lines}");
    }

    /// The main registrar answers the request with this number; what the client is told, and nothing after a 423 that
    /// leads to another attempt.
    pub fn answer(&mut self, number: usize, status: u16, lines: &str) -> String {
        let lines = self.unshown(lines);
        let mut flying = self.flying[number].take().unwrap();
        flying.pending.waited(self.took_ms);
        let response = response(status, &lines);
        if status == 423 {
            let min_s = seawall_sip::cseq::number(&response, Name::MinExpires).unwrap().unwrap();
            if flying.pending.raise(min_s) {
                flying.forwarded = self.forwarded(&flying.original, &flying.pending);
                let line = format!("-> {}", headers(&flying.forwarded, &[Name::Contact, Name::Expires]));
                self.flying[number] = Some(flying);
                return self.shown(&line);
            }
        }
        let main = self.main(1);
        let told = self.run(|mid, sink| {
            let mut reply = Vec::new();
            match status {
                200..300 => {
                    let outcome = mid.accepted(
                        &flying.original,
                        &flying.pending,
                        &response,
                        &main,
                        PLACE,
                        &mut reply,
                        sink,
                    );
                    answer(&outcome, &reply)
                }
                500.. | 408 => {
                    // A 5xx says that nothing was done; when nothing comes, it may have been.
                    let sent_to = (status == 408).then_some((&main, PLACE));
                    mid.unanswered(&flying.original, &flying.pending, sent_to);
                    match mid.survive(&flying.original, &flying.pending, &mut reply, sink) {
                        Some(outcome) => answer(&outcome, &reply),
                        None => status.to_string(),
                    }
                }
                _ => {
                    mid.rejected(&flying.original, &flying.pending, status, sink);
                    status.to_string()
                }
            }
        });
        self.shown(&told)
    }

    #[track_caller]
    pub fn check_answer(&mut self, number: usize, status: u16, lines: &str, expected: &str) {
        assert_eq!(self.answer(number, status, lines), expected, "{lines}");
    }

    /// The main registrar grants all that the last request asks for.
    pub fn grant(&mut self) -> String {
        let number = self.flying.len() - 1;
        self.grant_to(number)
    }

    /// The main registrar grants all that the request with this number asks for.
    pub fn grant_to(&mut self, number: usize) -> String {
        let forwarded = &self.flying[number].as_ref().unwrap().forwarded;
        let general = forwarded.value(Name::Expires).map(<[u8]>::to_vec);
        let mut lines = String::new();
        for contact in seawall_sip::name_addr::contacts(forwarded) {
            let seawall_sip::Contact::Address(address) = contact.unwrap() else { continue };
            let expires = address.param(b"expires").flatten().map(<[u8]>::to_vec).or(general.clone());
            let expires = text(&expires.unwrap_or_else(|| b"3600".to_vec()));
            if expires != "0" {
                lines += &format!("Contact: <{}>;expires={expires}\n", text(address.uri));
            }
        }
        self.answer(number, 200, &lines)
    }

    /// A client registers, and the main registrar grants it.
    #[track_caller]
    pub fn register(&mut self, lines: &str) {
        let sent = self.send(lines);
        assert!(sent.starts_with("-> "), "{lines}: {sent}");
        let told = self.grant();
        assert!(told.starts_with("200"), "{lines}: {told}");
    }

    /// Time passes; what runs out goes, and the requests of our own that are due are sent: one line each.
    pub fn wait(&mut self, seconds: u64) -> Vec<String> {
        self.now_s += seconds;
        self.run(|mid, sink| {
            for shard in 0..mid.domain.shard_count() {
                while mid.domain.expire(shard, mid.now_s, 1000, sink) {}
            }
        });
        self.due()
    }

    /// What is due.
    pub fn due(&mut self) -> Vec<String> {
        let mut errands = Vec::new();
        for shard in 0..self.upstream.shard_count() {
            self.mid().due(shard, 100, &mut errands);
        }
        let lines = errands.iter().map(|errand| {
            let number = match text(&errand.callid) {
                callid if callid.starts_with("mid-") => "(ours)".to_owned(),
                callid => format!("{callid} {}", errand.cseq),
            };
            format!("{:?} {} {number} to {}", errand.kind, text(&errand.contact), errand.main.peer)
        });
        let lines: Vec<String> = lines.collect();
        self.errands.extend(errands.into_iter().map(Some));
        lines.into_iter().map(|line| self.shown(&line)).collect()
    }

    /// A request of our own, as it is sent.
    pub fn own_message(&self, number: usize) -> Message {
        let errand = self.errands[number].as_ref().unwrap();
        message(&format!(
            "To: <{}>\nCall-ID: {}\nCSeq: {} REGISTER\nContact: {}",
            text(&errand.to),
            text(&errand.callid),
            errand.cseq,
            text(&errand.contact)
        ))
    }

    /// A request of our own is answered.
    pub fn done(&mut self, number: usize, status: u16, lines: &str) {
        let errand = self.errands[number].take().unwrap();
        let response = (status != 408).then(|| response(status, &self.unshown(lines)));
        self.mid().done(&errand, status, response.as_ref());
    }

    /// An operator removes everything of alice.
    pub fn remove_all(&mut self) {
        let now_s = self.now_s;
        self.run(|mid, sink| {
            let all =
                |_: usize, _: &seawall_location::Binding<'_>| Some(seawall_location::Removal::Administrative);
            mid.domain.lock(b"alice@example.com", now_s).remove(sink, all);
        });
    }

    /// The main registrar answers again.
    /// The bindings of an address of record were loaded.
    pub fn resume(&mut self, aor: &str) {
        self.run(|mid, _| mid.resume(aor.as_bytes()));
    }

    pub fn hurry(&mut self) {
        self.mid().hurry();
    }

    pub fn resync(&mut self, aor: Option<&str>) -> usize {
        self.mid().resync(aor.map(str::as_bytes))
    }

    /// What holds here for alice: contact, seconds left.
    pub fn bindings(&self) -> Vec<String> {
        let entry = self.domain.lock(b"alice@example.com", self.now_s);
        let line = |binding: seawall_location::Binding<'_>| {
            let left = u64::from(binding.numbers.expires_s) - self.now_s;
            format!("{} {left}", text(binding.contact))
        };
        entry.valid().map(|(_, binding)| line(binding)).collect()
    }

    /// What the main registrar holds for alice as far as is known here: contact, seconds left.
    pub fn held(&self) -> Vec<String> {
        let shown = self.upstream.show(b"alice@example.com");
        let line = |held: &seawall_registrar::mid::Shown| {
            format!("{:?} {}", held.state, i64::from(held.deadline_s) - self.now_s as i64)
        };
        shown.iter().map(line).collect()
    }

    /// Where a request for this URI goes; `#1` stands for a contact id.
    pub fn lookup(&self, flags: &str, method: Method, uri: &str) -> Result<Vec<String>, Found> {
        let uri = self.unshown(uri);
        let flags = LookupFlags::parse(flags).unwrap();
        let lookup = Lookup {
            now_s: self.now_s,
            policy: &self.policy,
            flags: &flags,
            domain: &self.domain,
            method,
            user_agent: None,
        };
        let mut targets = Targets::default();
        match self.settings.lookup(&lookup, uri.as_bytes(), None, &mut targets).unwrap() {
            Found::Contacts(_) => Ok(targets.iter().map(|target| text(target.uri)).collect()),
            nothing => Err(nothing),
        }
    }

    /// Contact ids by the order of their appearance.
    fn shown(&mut self, line: &str) -> String {
        let mut shown = String::new();
        let mut rest = line;
        while let Some(at) = rest.find(|character: char| character.is_ascii_digit()) {
            let digits: String = rest[at..].chars().take_while(char::is_ascii_digit).collect();
            shown += &rest[..at];
            if digits.len() > 12 {
                let known = self.ids.iter().position(|id| *id == digits);
                let number = known.unwrap_or_else(|| {
                    self.ids.push(digits.clone());
                    self.ids.len() - 1
                });
                shown += &format!("#{}", number + 1);
            } else {
                shown += &digits;
            }
            rest = &rest[at + digits.len()..];
        }
        shown + rest
    }

    /// The way back.
    fn unshown(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for (index, id) in self.ids.iter().enumerate().rev() {
            line = line.replace(&format!("#{}", index + 1), id);
        }
        line
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A REGISTER of alice with these header lines. `CSeq: 1`, `Call-ID: a` and To are added where they are missing.
pub fn message(lines: &str) -> Message {
    let mut head = String::from("REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n");
    head += "From: <sip:alice@example.com>;tag=1\r\n";
    for (name, value) in [("To", "<sip:alice@example.com>"), ("Call-ID", "a"), ("CSeq", "1 REGISTER")] {
        if !lines.lines().any(|line| line.starts_with(&format!("{name}:"))) {
            head += &format!("{name}: {value}\r\n");
        }
    }
    for line in lines.lines().filter(|line| !line.is_empty()) {
        head += &format!("{line}\r\n");
    }
    Message::parse(format!("{head}\r\n").into_bytes()).map_err(|(_, error)| error).unwrap()
}

/// An answer with these header lines.
pub fn response(status: u16, lines: &str) -> Message {
    let mut head = format!("SIP/2.0 {status} X\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n");
    head += "From: <sip:alice@example.com>;tag=1\r\nTo: <sip:alice@example.com>;tag=2\r\nCall-ID: a\r\nCSeq: 1 REGISTER\r\n";
    for line in lines.lines().filter(|line| !line.is_empty()) {
        head += &format!("{line}\r\n");
    }
    Message::parse(format!("{head}\r\n").into_bytes()).map_err(|(_, error)| error).unwrap()
}

/// The status and the header fields of an answer in one line.
fn answer(outcome: &Outcome, headers: &[u8]) -> String {
    let mut parts = vec![outcome.status.to_string()];
    parts.extend(text(headers).split_terminator("\r\n").map(str::to_owned));
    parts.join(" | ")
}

/// Some header fields of a message in one line.
fn headers(message: &Message, names: &[Name]) -> String {
    let wanted = message.headers().filter(|header| names.contains(&header.name_id));
    wanted
        .map(|header| format!("{}: {}", text(header.name), text(header.value)))
        .collect::<Vec<_>>()
        .join(" | ")
}
