//! What an absorbed REGISTER costs beside a plain refresh, and a registration at the main registrar in memory.
//!
//! ```text
//! cargo run --release -p seawall-registrar --example mid_cost -- 100000
//! valgrind --tool=callgrind --toggle-collect='*absorbed*' target/release/examples/mid_cost 10000
//! ```

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Instant;

use seawall_location::{Change, Domain, Location, NameId, Settings as LocationSettings, Sink};
use seawall_registrar::mid::{Decision, Main, Mid, Mode, Place, Request, Settings, Upstream};
use seawall_registrar::{Policy, Save, SaveFlags, Source};
use seawall_sip::edit::Edits;
use seawall_sip::{Framing, Message, Name};

const NOW_S: u64 = 1_800_000_000;
const PLACE: Place<'static> = Place { host_port: b"192.0.2.1:5060", transport: b"" };

fn main() {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(100_000);
    for mode in [Mode::Contact, Mode::Aor] {
        let location = Location::new(LocationSettings::new([1; 16]));
        let (Some(front), Some(plain)) = (location.declare("front"), location.declare("plain")) else {
            return;
        };
        let settings = Settings { mode, ..Settings::default() };
        let policy = Policy { max_expires_s: 60, ..Policy::default() };
        let upstream = Upstream::new([2; 16]);
        let mut server = Server {
            cseq: 0,
            message: Message::empty(),
            reply: Vec::new(),
            front: &front,
            plain: &plain,
            settings,
            policy,
            upstream,
        };
        let before_kb = resident_kb();
        server.round(count, |server| server.registered());
        let after_kb = resident_kb();
        server.round(count, |server| server.refresh(NOW_S));
        let bytes = (after_kb - before_kb) * 1024 / count;
        let plain_ns = server.round(count, |server| server.refresh(NOW_S + 30));
        let absorbed_ns = server.round(count, |server| server.absorbed(NOW_S + 30));
        println!("{mode:?}: {bytes} bytes each; refresh {plain_ns} ns, absorbed {absorbed_ns} ns by request");
    }
}

/// Listens as the mid-registrar does, and has nothing to do.
struct Nobody;

impl Sink for Nobody {
    fn listens(&self) -> bool {
        true
    }

    fn change(&mut self, _domain: &str, _aor: &[u8], _change: Change<'_>) {}
}

struct Server<'a> {
    cseq: u32,
    message: Message,
    reply: Vec<u8>,
    front: &'a Domain,
    plain: &'a Domain,
    settings: Settings,
    policy: Policy,
    upstream: Upstream,
}

impl Server<'_> {
    fn round(&mut self, count: u64, mut act: impl FnMut(&mut Self)) -> u64 {
        let mut spent = 0;
        for number in 0..count {
            let buffer = self.message.buffer_mut();
            buffer.clear();
            self.cseq += 1;
            buffer.extend_from_slice(request(number, self.cseq).as_bytes());
            let start = Instant::now();
            act(self);
            spent += start.elapsed().as_nanos() as u64;
        }
        spent / count.max(1)
    }

    #[inline(never)]
    fn refresh(&mut self, now_s: u64) {
        if self.message.scan_in_place(Framing::Datagram).is_err() {
            return;
        }
        let flags = SaveFlags::default();
        let save = Save {
            now_s,
            policy: &self.policy,
            flags: &flags,
            domain: self.plain,
            source: source(),
            allow: None,
            familiar: None,
        };
        self.reply.clear();
        black_box(save.handle(&self.message, None, &mut self.reply, &mut ()));
    }

    #[inline(never)]
    fn absorbed(&mut self, now_s: u64) {
        if self.message.scan_in_place(Framing::Datagram).is_err() {
            return;
        }
        self.reply.clear();
        let mut reply = std::mem::take(&mut self.reply);
        let flags = SaveFlags::default();
        let decision = self.mid(now_s).request(&self.request(&flags), &mut reply, &mut Nobody);
        assert!(matches!(black_box(decision), Decision::Answered(_)), "it was forwarded");
        self.reply = reply;
    }

    /// A registration that the main registrar has granted.
    fn registered(&mut self) {
        if self.message.scan_in_place(Framing::Datagram).is_err() {
            return;
        }
        let flags = SaveFlags::default();
        let mid = self.mid(NOW_S);
        let decision = mid.request(&self.request(&flags), &mut Vec::new(), &mut Nobody);
        let Decision::Forward(mut pending) = decision else { return };
        mid.departs(&mut pending);
        let mut edits = Edits::new();
        pending.edit(&self.message, &self.settings, &self.policy, PLACE, &mut edits);
        let mut sent = Vec::new();
        edits.write(&self.message, &mut sent);
        let Ok(sent) = Message::parse(sent) else { return };
        let contact = String::from_utf8_lossy(sent.value(Name::Contact).unwrap_or_default()).into_owned();
        let text = format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nContact: {contact};expires=3600\r\n\r\n"
        );
        let Ok(response) = Message::parse(text.into_bytes()) else { return };
        let main = Main {
            socket: NameId::NONE,
            peer: SocketAddr::from(([203, 0, 113, 1], 5060)),
            uri: (*b"sip:example.com").into(),
        };
        mid.accepted(&self.message, &pending, &response, &main, PLACE, &mut Vec::new(), &mut Nobody);
    }

    fn mid(&self, now_s: u64) -> Mid<'_> {
        Mid {
            now_s,
            policy: &self.policy,
            settings: &self.settings,
            domain: self.front,
            upstream: &self.upstream,
            is_own: &|uri| uri.host == b"192.0.2.1",
        }
    }

    fn request<'a>(&'a self, flags: &'a SaveFlags) -> Request<'a> {
        Request {
            message: &self.message,
            aor: None,
            flags,
            source: source(),
            outgoing_expires_s: None,
            extra: b"",
            authenticated: false,
            holds_back: &|| false,
            allow: None,
            familiar: None,
        }
    }
}

fn source() -> Source<'static> {
    Source {
        received: b"",
        socket: NameId::NONE,
        peer: (SocketAddr::from(([192, 0, 2, 9], 5060)), b"udp"),
        host_port: b"192.0.2.1:5060",
        flags: 0,
        cflags: 0,
        attr: b"",
        ownership_tag: NameId::NONE,
        is_own: &|uri| uri.host == b"192.0.2.1",
        random: 0,
        unproven: Some(seawall_registrar::Added { needed: 0, optional: 70 }),
    }
}

fn request(number: u64, cseq: u32) -> String {
    let (host, port) =
        (format!("10.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255), 1024 + number % 60_000);
    format!(
        "REGISTER sip:sip.example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK-524287-1---{number:016x};rport\r\n\
         Max-Forwards: 70\r\n\
         Contact: <sip:user{number}@{host}:{port};rinstance={number:016x};transport=udp>;+sip.instance=\"<urn:uuid:f81d4fae-7dec-11d0-a765-{number:012x}>\"\r\n\
         To: <sip:user{number}@sip.example.com>\r\n\
         From: <sip:user{number}@sip.example.com>;tag={number:08x}\r\n\
         Call-ID: {number:020x}{number:019x}.\r\n\
         CSeq: {cseq} REGISTER\r\n\
         Expires: 60\r\n\
         Allow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO, SUBSCRIBE\r\n\
         User-Agent: Example Softphone 5.6.1 build {}\r\n\
         Content-Length: 0\r\n\r\n",
        number % 100
    )
}

fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()).and_then(|kb| kb.parse().ok()).unwrap_or(0)
}
