//! What nobody sends by accident: noise, cut and changed messages, floods of headers, peers that never read. Memory
//! stays bounded, nothing panics (the harness looks), service goes on.

use crate::harness::call::invite;
use crate::harness::scripts::exchange;
use crate::harness::{Phone, SILENCE, Server, mi};
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

/// What a server may grow by while it is attacked, in KiB.
const GROWTH_KIB: u64 = 64 * 1024;

/// A small generator of numbers, so that a failing case comes again (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// Lets an attacker loose on a fresh server, then looks whether it still serves and has not grown.
fn check(attack: impl FnOnce(&Server)) {
    let server = Server::start(&exchange());
    Phone::udp(&server, "before").register();
    let before = server.resident_kib();
    attack(&server);
    let mut alice = Phone::udp(&server, "alice");
    alice.register_in_the_end();
    assert_eq!(alice.ask(&alice.request("MESSAGE", "sip:nobody@127.0.0.1")).status(), 404);
    Phone::tcp(&server, "bob").register();
    let after = server.resident_kib();
    assert!(after < before + GROWTH_KIB, "grew from {before} to {after} KiB");
}

/// A request with many different parts, to be cut and changed.
fn rich_request(phone: &Phone) -> Vec<u8> {
    let mut request = invite(phone, "sip:nobody@127.0.0.1;user=phone?X=y");
    request.uri = "sip:nobody@127.0.0.1;user=phone".to_owned();
    request.headers.push(
        "Contact: \"A, \\\"B\\\"\" <sip:a@192.0.2.1;transport=udp>;q=0.5;expires=60, sip:b@c".to_owned(),
    );
    request.headers.push("Supported: path, gruu\r\n ,outbound".to_owned());
    request
        .headers
        .push("Authorization: Digest username=\"a\", realm=\"b\", nonce=\"c\", response=\"d\"".to_owned());
    request.bytes()
}

#[test]
fn random_datagrams_are_dropped() {
    check(|server| {
        let mut numbers = Numbers(0x5eed);
        let mut mallory = Phone::udp(server, "mallory");
        for _ in 0..2000 {
            let length = numbers.below(1500);
            let bytes = numbers.bytes(length);
            mallory.send(&bytes);
        }
    });
}

#[test]
fn every_truncation_of_a_message_is_survived() {
    check(|server| {
        let mut mallory = Phone::udp(server, "mallory");
        for whole in [rich_request(&mallory), mallory.register_for(60).bytes()] {
            for length in 0..whole.len() {
                mallory.send(&whole[..length]);
            }
        }
    });
}

#[test]
fn changed_bytes_anywhere_are_survived() {
    check(|server| {
        let mut numbers = Numbers(0xc0ffee);
        let mut mallory = Phone::udp(server, "mallory");
        let originals = [rich_request(&mallory), mallory.register_for(60).bytes()];
        for round in 0..4000 {
            let mut bytes = originals[round % 2].clone();
            for _ in 0..=numbers.below(4) {
                let at = numbers.below(bytes.len());
                bytes[at] = numbers.next() as u8;
            }
            mallory.send(&bytes);
        }
    });
}

#[test]
fn random_streams_are_closed_or_ignored() {
    check(|server| {
        let mut numbers = Numbers(0xbeef);
        for _ in 0..50 {
            let mut stream = TcpStream::connect(server.tcp()).unwrap();
            stream.set_write_timeout(Some(SILENCE)).unwrap();
            let length = numbers.below(20_000);
            let bytes = numbers.bytes(length);
            // The server may have closed it already.
            let _ = stream.write_all(&bytes);
        }
    });
}

#[test]
fn ten_thousand_headers_are_refused() {
    check(|server| {
        let line = "X: a\r\n".repeat(10_000);
        for mut mallory in [Phone::udp(server, "mallory"), Phone::tcp(server, "mallory")] {
            let bytes = String::from_utf8(mallory.register_for(60).bytes()).unwrap();
            let bytes = bytes.replacen("Content-Length", &format!("{line}Content-Length"), 1);
            mallory.send(bytes.as_bytes());
            if let Some(answer) = mallory.receive_within(SILENCE) {
                assert!(matches!(answer.status(), 400 | 413 | 513), "{}", answer.start);
            }
        }
        assert!(mi::contacts(server, "mallory@127.0.0.1").is_empty());
    });
}

#[test]
fn a_header_of_100_kilobytes_is_refused() {
    check(|server| {
        let mut mallory = Phone::tcp(server, "mallory");
        let request = mallory.register_for(60).with(format!("Subject: {}", "a".repeat(100_000)));
        mallory.send(&request.bytes());
        if let Some(answer) = mallory.receive_within(SILENCE) {
            assert!(matches!(answer.status(), 400 | 413 | 513), "{}", answer.start);
        }
        mallory.expect_closed();
    });
}

#[test]
fn the_largest_datagram_is_survived() {
    check(|server| {
        let mut mallory = Phone::udp(server, "mallory");
        let mut request = mallory.register_for(60);
        request.headers.push(format!("Subject: {}", "a".repeat(64_000)));
        mallory.send(&request.bytes());
        mallory.receive_within(SILENCE);
        request.headers.pop();
        request.body = "b".repeat(64_000);
        mallory.send(&request.bytes());
        mallory.receive_within(SILENCE);
    });
}

#[test]
fn a_thousand_contacts_in_one_register_are_refused_whole() {
    check(|server| {
        let mut mallory = Phone::udp(server, "mallory");
        let contacts: Vec<String> = (0..1000).map(|n| format!("<sip:m@192.0.2.1:{}>", 1000 + n)).collect();
        let answer =
            mallory.ask(&mallory.register_request().with(format!("Contact: {}", contacts.join(","))));
        assert!(answer.status() >= 400, "{}", answer.start);
        assert!(mi::contacts(server, "mallory@127.0.0.1").is_empty());
    });
}

#[test]
fn a_peer_that_never_reads_holds_nobody_up() {
    check(|server| {
        let mut stream = TcpStream::connect(server.tcp()).unwrap();
        stream.set_write_timeout(Some(SILENCE)).unwrap();
        let mallory = Phone::udp(server, "mallory");
        let mut fetch = mallory.register_request();
        fetch.transport = "TCP";
        let mut sent = 0;
        // Ends when the server has stopped reading or has closed; never later than after 64 MiB.
        while sent < 64 << 20 {
            let bytes: Vec<u8> = (0..200)
                .flat_map(|_| {
                    fetch = fetch.next();
                    fetch.bytes()
                })
                .collect();
            if stream.write_all(&bytes).is_err() {
                break;
            }
            sent += bytes.len();
        }
        assert!(sent < 64 << 20, "the server read {sent} bytes from a peer that takes no answers");
        Phone::udp(server, "carol").register();
    });
}

#[test]
fn many_half_open_connections_keep_nobody_out_for_long() {
    check(|server| {
        let streams: Vec<TcpStream> = (0..300)
            .filter_map(|_| {
                let mut stream = TcpStream::connect_timeout(&server.tcp(), Duration::from_secs(2)).ok()?;
                stream.write_all(b"REGISTER sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP").ok()?;
                Some(stream)
            })
            .collect();
        Phone::udp(server, "carol").register();
        drop(streams);
    });
}

#[test]
fn a_method_in_lower_case_is_another_method() {
    check(|server| {
        let mut mallory = Phone::udp(server, "mallory");
        let mut request = mallory.register_for(60);
        request.method = "register".to_owned();
        request.uri = mallory.aor();
        mallory.send(&request.bytes());
        mallory.receive_within(SILENCE);
        assert!(mi::contacts(server, "mallory@127.0.0.1").is_empty());
    });
}

#[test]
fn nothing_that_a_client_sends_breaks_out_of_its_place() {
    check(|server| {
        let mut mallory = Phone::udp(server, "mallory");
        let request = mallory
            .register_request()
            .with("Contact: \"x\\\"\" <sip:a%0d%0aEvil:%201@192.0.2.1>")
            .with("User-Agent: \"}],\\u0000 <script> \u{7f}");
        let answer = mallory.ask(&request);
        assert!(answer.header("Evil").is_none());
        let dump = mi::result(server, "ul_dump", serde_json::json!({}));
        assert!(dump["Domains"].is_array());
    });
}
