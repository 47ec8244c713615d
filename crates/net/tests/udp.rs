//! Datagrams over real loopback sockets.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::HashSet;
use std::net::UdpSocket;
use std::sync::mpsc::channel;

use common::{Command, PATIENCE, Seen, start, try_start, udp_client};
use seawall_net::{Config, Limits};

/// Sends these from one client and expects the same back, in this order (one worker keeps it).
fn check(socket: &str, messages: &[&[u8]]) {
    let server = start(1, &[socket], Limits::default());
    let client = udp_client(server.address(0));
    for message in messages {
        client.send(message).unwrap();
    }
    let mut buffer = vec![0; 70_000];
    for message in messages {
        let len = client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], *message);
    }
    let stats = server.stop();
    assert_eq!(stats.counters.datagrams_in, messages.len() as u64);
    assert_eq!(stats.counters.datagrams_out, messages.len() as u64);
}

#[test]
fn datagrams_are_answered_in_order() {
    check("udp:127.0.0.1:0", &[b"one", b"two", b"three"]);
}

#[test]
fn the_largest_datagram_passes_whole() {
    check("udp:127.0.0.1:0", &[&vec![b'x'; 65_507], b"small"]);
}

#[test]
fn ipv6_works_if_the_machine_has_it() {
    if UdpSocket::bind("[::1]:0").is_ok() {
        check("udp:[::1]:0", &[b"six"]);
    }
}

#[test]
fn a_burst_larger_than_a_batch_is_answered_in_full() {
    let server = start(1, &["udp:127.0.0.1:0"], Limits::default());
    let client = udp_client(server.address(0));
    // While the worker is blocked the kernel queues all of them, so that batches are full.
    let (unblock, blocked) = channel::<()>();
    server.command(0, Command::Block(blocked));
    for number in 0..150_u32 {
        client.send(&number.to_be_bytes()).unwrap();
    }
    drop(unblock);
    for number in 0..150_u32 {
        let mut buffer = [0; 16];
        let len = client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], number.to_be_bytes());
    }
    server.stop();
}

#[test]
fn datagrams_of_one_source_reach_all_workers() {
    let server = start(4, &["udp:127.0.0.1:0"], Limits::default());
    let client = udp_client(server.address(0));
    let mut workers = HashSet::new();
    let mut buffer = [0; 16];
    // With fair dice this fails once in 10^25 runs.
    for _ in 0..200 {
        client.send(b"x").unwrap();
        client.recv(&mut buffer).unwrap();
        workers.insert(server.expect(|seen| match seen {
            Seen::Datagram { worker, .. } => Some(worker),
            _ => None,
        }));
    }
    assert_eq!(workers.len(), 4);
    server.stop();
}

#[test]
fn an_answer_leaves_the_wildcard_address_from_where_the_request_came_to() {
    let server = start(2, &["udp:0.0.0.0:0"], Limits::default());
    let port = server.address(0).port();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    for target in ["127.0.0.1", "127.0.0.2", "127.1.2.3"] {
        client.send_to(b"x", (target, port)).unwrap();
        let (_, from) = client.recv_from(&mut [0; 16]).unwrap();
        assert_eq!(from.ip().to_string(), target);
        let local = server.expect(|seen| match seen {
            Seen::Datagram { origin, .. } => Some(origin.local),
            _ => None,
        });
        assert_eq!(local, from);
    }
    server.stop();
}

#[test]
fn an_answer_leaves_the_ipv6_wildcard_address_from_where_the_request_came_to() {
    let Ok(client) = UdpSocket::bind("[::1]:0") else { return };
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let server = start(2, &["udp:[::]:0"], Limits::default());
    client.send_to(b"x", ("::1", server.address(0).port())).unwrap();
    let (_, from) = client.recv_from(&mut [0; 16]).unwrap();
    assert_eq!(from.ip().to_string(), "::1");
    server.stop();
}

#[test]
fn workers_may_share_one_socket() {
    let sockets = vec![common::spec("udp:127.0.0.1:0")];
    let config = Config { workers: 3, sockets, share_udp_sockets: true, ..Config::default() };
    let server = common::start_with(config).unwrap();
    let client = udp_client(server.address(0));
    for _ in 0..50 {
        client.send(b"x").unwrap();
        assert_eq!(client.recv(&mut [0; 16]).unwrap(), 1);
    }
    server.stop();
}

#[test]
fn what_the_kernel_has_to_drop_is_counted() {
    let limits = Limits { udp_receive_buffer_bytes: 4096, ..Limits::default() };
    let server = start(1, &["udp:127.0.0.1:0"], limits);
    let client = udp_client(server.address(0));
    let (unblock, blocked) = channel::<()>();
    server.command(0, Command::Block(blocked));
    server.command(0, Command::Report);
    for _ in 0..200 {
        client.send(&[b'x'; 500]).unwrap();
    }
    drop(unblock);
    // On loopback what is sent is queued or dropped at once.
    let counters = server.stop().counters;
    assert!(counters.datagrams_overflowed > 0);
    assert_eq!(counters.datagrams_in + counters.datagrams_overflowed, 200);
}

#[test]
fn a_datagram_over_the_limit_or_empty_is_dropped_and_counted() {
    let limits = Limits { max_message_bytes: 100, ..Limits::default() };
    let server = start(1, &["udp:127.0.0.1:0"], limits);
    let client = udp_client(server.address(0));
    client.send(&[b'x'; 101]).unwrap();
    client.send(b"").unwrap();
    client.send(&[b'y'; 100]).unwrap();
    let mut buffer = [0; 200];
    assert_eq!(client.recv(&mut buffer).unwrap(), 100);
    let stats = server.stop();
    assert_eq!((stats.counters.datagrams_dropped, stats.counters.datagrams_in), (2, 1));
}

#[test]
fn a_datagram_that_cannot_be_sent_does_not_hold_up_the_next() {
    let server = start(1, &["udp:127.0.0.1:0", "tcp:127.0.0.1:0"], Limits::default());
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let own = client.local_addr().unwrap();
    let send = |socket, peer, bytes: &[u8]| {
        server.command(0, Command::Datagram { socket, peer, bytes: bytes.to_vec(), times: 1 });
    };
    // Of another family, too large, by a socket that is none for datagrams or does not exist, empty.
    send(0, "[::1]:9".parse().unwrap(), b"x");
    send(0, own, &[b'x'; 65_536]);
    send(1, own, b"x");
    send(9, own, b"x");
    send(0, own, b"");
    send(0, own, b"good");
    let mut buffer = [0; 16];
    let len = client.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"good");
    let stats = server.stop();
    assert_eq!((stats.counters.datagram_send_errors, stats.counters.datagrams_out), (4, 1));
}

#[test]
fn more_datagrams_than_a_batch_may_be_written_in_one_call() {
    let server = start(1, &["udp:127.0.0.1:0"], Limits::default());
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let peer = client.local_addr().unwrap();
    server.command(0, Command::Datagram { socket: 0, peer, bytes: b"many".to_vec(), times: 150 });
    for _ in 0..150 {
        assert_eq!(client.recv(&mut [0; 16]).unwrap(), 4);
    }
    server.stop();
}

#[test]
fn a_port_in_use_is_an_error_that_names_the_socket() {
    let server = start(2, &["udp:127.0.0.1:0", "tcp:127.0.0.1:0"], Limits::default());
    for (index, transport) in ["udp", "tcp"].into_iter().enumerate() {
        let name = format!("{transport}:{}", server.address(index));
        let error = try_start(2, &[&name], Limits::default()).err().expect("the port is in use");
        assert!(error.to_string().starts_with(&name), "{error}");
    }
    server.stop();
}

#[test]
fn several_sockets_answer_each_from_its_own_address() {
    let server = start(2, &["udp:127.0.0.1:0", "udp:127.0.0.1:0"], Limits::default());
    for index in [0, 1, 0] {
        let client = udp_client(server.address(index));
        client.send(b"x").unwrap();
        assert_eq!(client.recv(&mut [0; 16]).unwrap(), 1);
    }
    server.stop();
}
