//! One source address and port keeps every worker busy, and transactions do not mind which worker they meet.

use crate::harness::scripts::exchange;
use crate::harness::{Phone, Server};
use std::collections::HashMap;
use std::fs;

/// How often each thread of the server has gone to sleep so far: a worker does so between datagrams.
fn sleeps(server: &Server) -> HashMap<String, u64> {
    let threads = fs::read_dir(format!("/proc/{}/task", server.id())).unwrap();
    threads
        .filter_map(|thread| {
            let folder = thread.ok()?.path();
            let status = fs::read_to_string(folder.join("status")).ok()?;
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches:"))?;
            Some((folder.display().to_string(), line.split_whitespace().nth(1)?.parse().ok()?))
        })
        .collect()
}

#[test]
fn one_source_is_served_by_all_workers() {
    let server = Server::start(&exchange());
    let mut alice = Phone::udp(&server, "alice");
    alice.register();
    let before = sleeps(&server);
    for _ in 0..1000 {
        alice.register();
    }
    let after = sleeps(&server);
    let busy = after
        .iter()
        .filter(|(thread, count)| **count > before.get(*thread).copied().unwrap_or(0) + 100)
        .count();
    assert!(busy >= 2, "{busy} busy threads, {before:?} then {after:?}");
}

#[test]
fn transactions_survive_meeting_another_worker() {
    let server = Server::start(&exchange());
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::udp(&server, "bob"));
    bob.register();
    for _ in 0..200 {
        let message = alice.request("MESSAGE", &bob.aor());
        // Twice, so that the retransmission may be met by another worker than the first.
        alice.send(&message.bytes());
        alice.send(&message.bytes());
        let received = bob.expect_request("MESSAGE");
        assert_eq!(received.need("Call-ID"), message.call_id, "no request arrives twice");
        bob.send(&received.reply(200, "OK", "b", "", ""));
        assert_eq!(alice.answer_to(&message).status(), 200);
    }
    bob.expect_silence();
}
