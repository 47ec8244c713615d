//! What a binding costs in memory, and a REGISTER in time.
//!
//! ```text
//! cargo run --release -p seawall-registrar --example cost -- 1000000
//! valgrind --tool=callgrind --toggle-collect='*refresh*' target/release/examples/cost 10000
//! ```
//!
//! It registers so many phones (a fresh REGISTER each), refreshes all, and prints the growth of the resident memory
//! by binding and the nanoseconds by request of both rounds, scanning of the message included.

use std::hint::black_box;
use std::time::Instant;

use seawall_location::{Domain, Location, Settings};
use seawall_registrar::{Policy, Save, SaveFlags, Source};
use seawall_sip::{Framing, Message};

const NOW_S: u64 = 1_800_000_000;

fn main() {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(100_000);
    let location = Location::new(Settings::new([1; 16]));
    let Some(domain) = location.declare("location") else { return };
    let mut server =
        Server { message: Message::empty(), reply: Vec::new(), domain: &domain, policy: Policy::default() };
    let before_kb = resident_kb();
    let fresh_ns = server.round(count, 1, NOW_S);
    let after_kb = resident_kb();
    let refresh_ns = server.round(count, 2, NOW_S + 1800);
    let bindings = domain.statistics().contacts;
    println!("{bindings} bindings, {} bytes each", (after_kb - before_kb) * 1024 / bindings.max(1));
    println!("fresh {fresh_ns} ns, refresh {refresh_ns} ns by request");
    let start = Instant::now();
    for shard in 0..domain.shard_count() {
        while domain.expire(shard, NOW_S + 5400, 64, &mut ()) {}
    }
    println!("expiry of all: {} ns by binding", start.elapsed().as_nanos() as u64 / bindings.max(1));
}

struct Server<'a> {
    message: Message,
    reply: Vec<u8>,
    domain: &'a Domain,
    policy: Policy,
}

impl Server<'_> {
    fn round(&mut self, count: u64, cseq: u32, now_s: u64) -> u64 {
        let mut spent = 0;
        for number in 0..count {
            let buffer = self.message.buffer_mut();
            buffer.clear();
            buffer.extend_from_slice(request(number, cseq).as_bytes());
            let start = Instant::now();
            if cseq == 1 {
                self.fresh(now_s)
            } else {
                self.refresh(now_s)
            }
            spent += start.elapsed().as_nanos() as u64;
        }
        spent / count.max(1)
    }

    #[inline(never)]
    fn fresh(&mut self, now_s: u64) {
        self.serve(now_s);
    }

    #[inline(never)]
    fn refresh(&mut self, now_s: u64) {
        // A body of its own, so that it is not merged with the other and can be told apart in a profile.
        self.serve(black_box(now_s));
    }

    fn serve(&mut self, now_s: u64) {
        if self.message.scan_in_place(Framing::Datagram).is_err() {
            return;
        }
        let source = Source {
            received: b"",
            socket: seawall_location::NameId::NONE,
            peer: (std::net::SocketAddr::from(([192, 0, 2, 9], 5060)), b"udp"),
            host_port: b"192.0.2.1:5060",
            flags: 0,
            cflags: 0,
            attr: b"",
            ownership_tag: seawall_location::NameId::NONE,
            is_own: &|uri| uri.host == b"192.0.2.1",
            random: 0,
            unproven: Some(seawall_registrar::Added { needed: 0, optional: 70 }),
        };
        let flags = SaveFlags::default();
        let save = Save {
            now_s,
            policy: &self.policy,
            flags: &flags,
            domain: self.domain,
            source,
            allow: None,
            familiar: None,
        };
        self.reply.clear();
        black_box(save.handle(&self.message, None, &mut self.reply, &mut ()));
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
         Expires: 3600\r\n\
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
