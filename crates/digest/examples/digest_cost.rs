//! What it costs to check credentials of a user whose hash is known, and to make a challenge.
//!
//! ```text
//! cargo run --release -p seawall-digest --example digest_cost -- 1000000
//! valgrind --tool=callgrind --toggle-collect='*check_one*' target/release/examples/digest_cost 10000
//! ```
//!
//! Each check is that of another request: reading the header, the nonce, the response, the nonce count, and the
//! fingerprint of a message of 700 bytes. The user's hash is at hand; looking it up is one search in a hash table.

use std::hint::black_box;
use std::time::Instant;

use seawall_digest::{Algorithm, Answer, Ha1, Hash, Memo, NonceKey, Qops, Replays, Terms, Use};

const NOW_S: u64 = 1_800_000_000;

fn main() {
    let count: u32 = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(100_000);
    let server = Server {
        key: NonceKey::new([7; 16]),
        replays: Replays::default(),
        ha1: Ha1::new(Hash::Md5, b"alice", b"example.com", b"wonder"),
        message: vec![b'x'; 700],
    };
    let qops = Qops { auth: true, auth_int: false };
    let nonce = server.key.write(Algorithm::MD5, qops, NOW_S, 1);
    let nonce = String::from_utf8_lossy(&nonce).into_owned();
    // The response is not the right one: finding that out costs as much, and the rest is done all the same.
    let headers: Vec<String> = (1..=count)
        .map(|number| {
            format!(
                "Digest username=\"alice\", realm=\"example.com\", nonce=\"{nonce}\", uri=\"sip:example.com\", \
                 response=\"0123456789abcdef0123456789abcdef\", algorithm=MD5, cnonce=\"f2a9c0d1e5b38476\", \
                 qop=auth, nc={number:08x}"
            )
        })
        .collect();
    let mut memo = Memo::default();
    let start = Instant::now();
    let used =
        headers.iter().filter(|header| server.check_one(header, &mut memo) == Some(Use::First)).count();
    let checked_ns = start.elapsed().as_nanos() as u64 / u64::from(count.max(1));
    let start = Instant::now();
    let mut out = Vec::new();
    for serial in 0..count {
        server.challenge_one(serial, &mut out);
    }
    let challenged_ns = start.elapsed().as_nanos() as u64 / u64::from(count.max(1));
    println!("{used} credentials checked, {checked_ns} ns each; a challenge takes {challenged_ns} ns");
}

struct Server {
    key: NonceKey,
    replays: Replays,
    ha1: Ha1,
    message: Vec<u8>,
}

impl Server {
    #[inline(never)]
    fn check_one(&self, header: &str, memo: &mut Memo) -> Option<Use> {
        let answer = Answer::parse(header.as_bytes()).ok()??;
        let nonce = self.key.read(answer.nonce).filter(|nonce| nonce.is_fresh(NOW_S, 30))?;
        black_box(answer.is_by(&self.ha1, b"REGISTER", b"", memo));
        let request = self.key.fingerprint(&[&self.message, &[192, 0, 2, 1], &[0x13, 0xc4]]);
        Some(self.replays.note(&nonce, answer.count, request, NOW_S, 30))
    }

    #[inline(never)]
    fn challenge_one(&self, serial: u32, out: &mut Vec<u8>) {
        out.clear();
        let Ok(terms) = Terms::read(b"auth", b"") else { return };
        self.key.challenge(out, "WWW-Authenticate", (b"example.com", terms, false), NOW_S, || serial);
        black_box(out.len());
    }
}
