//! A registrar with a virtual clock: requests go in as header text, answers come out as one line.
#![allow(dead_code)] // each test file uses its own part
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::net::IpAddr;
use std::sync::Arc;

use seawall_location::{Change, Domain, Location, Settings, Sink};
use seawall_registrar::{
    Added, Aor, Familiar, Found, Lookup, LookupFlags, Outcome, Policy, Save, SaveFlags, Source, Targets,
    UserAgentTest, aor, write_q,
};
use seawall_sip::{Message, Method, Uri};

/// The second in which every test starts.
pub const START_S: u64 = 1_800_000_000;

/// A registrar under test.
pub struct Registrar {
    pub policy: Policy,
    pub domain: Arc<Domain>,
    pub now_s: u64,
    pub received: &'static str,
    pub attr: &'static str,
    pub flags: u32,
    pub random: u64,
    /// What else is in a reply, for a sender who has not proven who he is.
    pub unproven: Option<Added>,
    /// Tells refreshes that say nothing new; as in a server unless a test takes it away.
    pub familiar: Option<Familiar>,
    pub log: Log,
}

/// Whether a URI is that of the registrar.
fn is_own(uri: &Uri<'_>) -> bool {
    uri.host == b"192.0.2.1" && matches!(uri.port, None | Some(5060))
}

/// Writes every change down as a word.
#[derive(Default)]
pub struct Log(pub Vec<String>);

impl Sink for Log {
    fn listens(&self) -> bool {
        true
    }

    fn change(&mut self, _domain: &str, _aor: &[u8], change: Change<'_>) {
        self.0.push(match change {
            Change::AorInsert => "+aor".into(),
            Change::AorDelete => "-aor".into(),
            Change::ContactInsert(binding) => format!("+{}", text(binding.contact)),
            Change::ContactUpdate(binding) => format!("={}", text(binding.contact)),
            Change::KeysUpdate(binding) => format!("#{}", text(binding.contact)),
            Change::ContactDelete(binding, why) => format!("-{} {why:?}", text(binding.contact)),
        });
    }
}

impl Default for Registrar {
    fn default() -> Registrar {
        Registrar::new(Policy::default())
    }
}

impl Registrar {
    pub fn new(policy: Policy) -> Registrar {
        let location = Location::new(Settings { secret: [5; 16], shards: 2 });
        let domain = location.declare("location").unwrap();
        let log = Log::default();
        Registrar {
            policy,
            domain,
            now_s: START_S,
            received: "",
            attr: "",
            flags: 0,
            random: 0,
            unproven: None,
            familiar: Some(Familiar::new(7)),
            log,
        }
    }

    /// Serves a REGISTER; gives the outcome and the header fields of the reply.
    pub fn serve(&mut self, flags: &str, aor: Option<&str>, message: &Message) -> (Outcome, String) {
        let flags = SaveFlags::parse(flags).unwrap();
        let mut log = std::mem::take(&mut self.log);
        let save = self.save(&flags, &is_own);
        let mut reply = Vec::new();
        let outcome = save.handle(message, aor.map(str::as_bytes), &mut reply, &mut log);
        self.log = log;
        (outcome, text(&reply))
    }

    /// Stores what the main registrar grants in `reply` to a REGISTER whose contacts were sent to it as `sent`.
    pub fn cache(&mut self, flags: &str, message: &Message, sent: &[&str], reply: &Message) -> Outcome {
        let flags = SaveFlags::parse(flags).unwrap();
        let sent: Vec<Vec<u8>> = sent.iter().map(|uri| uri.as_bytes().to_vec()).collect();
        let mut log = std::mem::take(&mut self.log);
        let outcome = self.save(&flags, &|_| false).cache(message, None, &sent, reply, &mut log);
        self.log = log;
        outcome
    }

    /// Everything that a REGISTER is served by.
    fn save<'a>(&'a self, flags: &'a SaveFlags, is_own: &'a dyn Fn(&Uri<'_>) -> bool) -> Save<'a> {
        let source = Source {
            received: self.received.as_bytes(),
            socket: self.domain.names().intern(b"udp:192.0.2.1:5060").unwrap(),
            peer: ("203.0.113.9:4444".parse().unwrap(), b"tcp"),
            host_port: b"192.0.2.1:5060",
            flags: self.flags,
            cflags: 0,
            attr: self.attr.as_bytes(),
            ownership_tag: seawall_location::NameId::NONE,
            is_own,
            random: self.random,
            unproven: self.unproven,
        };
        Save {
            now_s: self.now_s,
            policy: &self.policy,
            flags,
            domain: &self.domain,
            source,
            allow: None,
            familiar: self.familiar.as_ref(),
        }
    }

    /// Sends one REGISTER with these header lines (see [`message`]) and compares the answer: the status, then each
    /// header field, separated by ` | `.
    #[track_caller]
    pub fn check(&mut self, flags: &str, lines: &str, expected: &str) {
        let (outcome, headers) = self.serve(flags, None, &message(lines));
        assert_eq!(answer(&outcome, &headers), expected, "{lines}");
    }

    /// Lists what is stored for alice, one line a binding in the order of arrival.
    pub fn dump(&self) -> String {
        self.dump_of("alice@example.com")
    }

    pub fn dump_of(&self, aor: &str) -> String {
        let entry = self.domain.lock(aor.as_bytes(), self.now_s);
        let line = |binding: seawall_location::Binding<'_>| {
            let numbers = binding.numbers;
            let mut line =
                format!("{} {}s", text(binding.contact), u64::from(numbers.expires_s) - self.now_s);
            if numbers.q <= 1000 {
                let mut q = Vec::new();
                write_q(numbers.q, &mut q);
                line += &format!(" q={}", text(&q));
            }
            line + &format!(" cseq={} callid={}", numbers.cseq, text(binding.callid))
        };
        entry.valid().map(|(_, binding)| line(binding)).collect::<Vec<_>>().join("\n")
    }

    #[track_caller]
    pub fn check_dump(&self, expected: &[&str]) {
        assert_eq!(self.dump(), expected.join("\n"));
    }

    /// Looks an address of record up; gives the contacts in order, or why there are none.
    pub fn lookup(&self, flags: &str, method: Method, uri: &str) -> Result<Vec<String>, Found> {
        let flags = LookupFlags::parse(flags).unwrap();
        let filter = flags.user_agent.clone();
        let matches =
            |agent: &[u8]| filter.as_ref().is_none_or(|filter| text(agent).contains(&filter.pattern));
        let lookup = Lookup {
            now_s: self.now_s,
            policy: &self.policy,
            flags: &flags,
            domain: &self.domain,
            method,
            user_agent: flags.user_agent.is_some().then_some(&matches as &UserAgentTest<'_>),
        };
        let mut targets = Targets::default();
        let parsed = Uri::parse(uri.as_bytes()).unwrap();
        let gruu =
            self.policy.gruu.as_deref().and_then(|gruu| Some((gruu, gruu.read(&parsed, &self.policy)?)));
        let found = match gruu {
            Some((gruu, wanted)) => lookup.run_gruu(gruu, wanted, &mut targets),
            None => lookup.run(&canonical(&self.policy, uri), &mut targets),
        };
        match found {
            Found::Contacts(count) => {
                assert_eq!(count, targets.len());
                Ok(targets.iter().map(|target| text(target.uri)).collect())
            }
            nothing => Err(nothing),
        }
    }
}

pub fn canonical(policy: &Policy, uri: &str) -> Aor {
    let mut canonical = Aor::new();
    aor::canonical_text(uri.as_bytes(), policy, &mut canonical).unwrap();
    canonical
}

pub fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A REGISTER of alice with these header lines. `CSeq: 1`, `Call-ID: a` and To are added where they are missing;
/// a line that is only a name with a minus sign (`-To`) leaves that header out.
pub fn message(lines: &str) -> Message {
    let mut head = String::from("REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n");
    head += "From: <sip:alice@example.com>;tag=1\r\n";
    let defaults = [("To", "<sip:alice@example.com>"), ("Call-ID", "a"), ("CSeq", "1 REGISTER")];
    for (name, value) in defaults {
        if !lines.lines().any(|line| line.starts_with(&format!("{name}:")) || line == format!("-{name}")) {
            head += &format!("{name}: {value}\r\n");
        }
    }
    for line in lines.lines().filter(|line| !line.is_empty() && !line.starts_with('-')) {
        head += &format!("{line}\r\n");
    }
    head += "\r\n";
    Message::parse(head.into_bytes()).map_err(|(_, error)| error).unwrap()
}

/// The status and the header fields of a reply in one line.
pub fn answer(outcome: &Outcome, headers: &str) -> String {
    let mut parts = vec![outcome.status.to_string()];
    parts.extend(headers.split_terminator("\r\n").map(str::to_owned));
    parts.join(" | ")
}
