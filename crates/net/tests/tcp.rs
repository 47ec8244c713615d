//! Connections over real loopback sockets.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};

use common::{Command, PATIENCE, Seen, exchange, read_to_close, start, tcp_client};
use seawall_net::{Limits, SendError, StreamTarget};

const TCP: &[&str] = &["tcp:127.0.0.1:0"];

/// Sends this in pieces on one connection to one worker, and expects exactly this back before the end of the stream.
fn check(pieces: &[&[u8]], expected: &[u8]) {
    let server = start(1, TCP, Limits::default());
    let mut client = tcp_client(server.address(0));
    for piece in pieces {
        client.write_all(piece).unwrap();
    }
    client.shutdown(Shutdown::Write).unwrap();
    let answer = read_to_close(&mut client);
    assert_eq!(String::from_utf8_lossy(&answer), String::from_utf8_lossy(expected));
    server.stop();
}

#[test]
fn messages_in_one_segment_are_answered_one_by_one() {
    check(&[b"one\ntwo\nthree\n"], b"one\ntwo\nthree\n");
}

#[test]
fn a_message_in_segments_of_one_byte_is_answered() {
    check(&[b"s", b"l", b"o", b"w", b"\n", b"f", b"\n"], b"slow\nf\n");
}

#[test]
fn a_keep_alive_is_answered_at_once() {
    check(&[b"\r\n\r\n"], b"\r\n");
    check(&[b"one\n\r\n", b"\r\ntwo\n"], b"one\n\r\ntwo\n");
}

#[test]
fn a_stream_without_a_message_is_closed_after_the_reply() {
    check(&[b"one\n!two\nthree\n"], b"one\nwhat?\n");
}

#[test]
fn many_messages_keep_their_order() {
    let lines: Vec<u8> = (0..5000).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
    check(&[&lines], &lines);
}

#[test]
fn messages_survive_any_segmentation() {
    let server = start(2, TCP, Limits::default());
    // A small generator of pseudo-random numbers (Lehmer), with a fixed seed.
    let mut state = 0x5EA_u64;
    let mut random = |below: u64| {
        state = state * 48_271 % 2_147_483_647;
        usize::try_from(state % below).unwrap()
    };
    for _ in 0..10 {
        let mut client = tcp_client(server.address(0));
        let mut sent = Vec::new();
        for _ in 0..20 {
            sent.extend(vec![b'x'; random(3000)]);
            sent.push(b'\n');
        }
        let mut left = sent.as_slice();
        while !left.is_empty() {
            let (piece, rest) = left.split_at(left.len().min(1 + random(2000)));
            client.write_all(piece).unwrap();
            left = rest;
        }
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_close(&mut client).len(), sent.len());
    }
    server.stop();
}

#[test]
fn a_half_message_before_the_end_is_dropped() {
    check(&[b"one\ntw"], b"one\n");
}

#[test]
fn a_peer_that_has_stopped_sending_gets_a_late_answer() {
    let server = start(1, TCP, Limits::default());
    let mut client = tcp_client(server.address(0));
    client.write_all(b"silent\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let (worker, origin, _) = server.message();
    let target = StreamTarget::Connection { id: origin.connection.unwrap(), fallback: None };
    server.command(worker, Command::Stream(target, b"late\n".to_vec()));
    assert_eq!(read_to_close(&mut client), b"late\n");
    server.closed();
    server.command(worker, Command::Stream(target, b"too late\n".to_vec()));
    server.expect(|seen| (seen == Seen::Sent(Err(SendError::Closed))).then_some(()));
    server.stop();
}

#[test]
fn a_peer_that_has_stopped_sending_is_not_kept_for_ever() {
    let server = start(1, TCP, Limits { tcp_half_closed_ms: 50, ..Limits::default() });
    let mut client = tcp_client(server.address(0));
    client.write_all(b"silent\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_close(&mut client), b"");
    server.stop();
}

#[test]
fn connections_are_spread_over_the_workers() {
    let server = start(3, TCP, Limits::default());
    let mut clients: Vec<_> = (0..6).map(|_| tcp_client(server.address(0))).collect();
    let mut workers = HashSet::new();
    for client in &mut clients {
        exchange(client, b"x\n", b"x\n");
        let (worker, origin, _) = server.message();
        assert_eq!(origin.peer, client.local_addr().unwrap());
        assert_eq!(origin.local, server.address(0));
        assert_eq!(origin.connection.unwrap().worker(), worker);
        workers.insert(worker);
    }
    assert_eq!(workers.len(), 3);
    server.stop();
}

#[test]
fn a_connection_is_reused_by_every_worker_and_by_its_id() {
    let server = start(3, TCP, Limits::default());
    let mut client = tcp_client(server.address(0));
    exchange(&mut client, b"x\n", b"x\n");
    let (_, origin, _) = server.message();
    let by_peer = StreamTarget::Peer { peer: origin.peer, socket: 0 };
    let by_id = StreamTarget::Connection { id: origin.connection.unwrap(), fallback: None };
    for worker in 0..3 {
        for target in [by_peer, by_id] {
            let text = format!("from {worker}\n");
            server.command(worker, Command::Stream(target, text.clone().into_bytes()));
            exchange(&mut client, b"", text.as_bytes());
        }
    }
    let stats = server.stop();
    assert_eq!((stats.counters.tcp_opened, stats.counters.tcp_accepted), (0, 1));
}

#[test]
fn one_connection_is_opened_for_all_workers_and_reused() {
    let server = start(3, TCP, Limits::default());
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = peer.local_addr().unwrap();
    for worker in [0, 1, 2, 0] {
        let target = StreamTarget::Peer { peer: address, socket: 0 };
        server.command(worker, Command::Stream(target, b"call\n".to_vec()));
        assert_eq!(server.sent(), Ok(()));
    }
    let (mut accepted, from) = peer.accept().unwrap();
    accepted.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(from.ip(), server.address(0).ip());
    exchange(&mut accepted, b"answer\n", b"call\ncall\ncall\ncall\nanswer\n");
    let (_, origin, bytes) = server.message();
    assert_eq!(
        (bytes.as_slice(), origin.peer, origin.local, origin.socket),
        (&b"answer\n"[..], address, from, 0)
    );
    let stats = server.stop();
    assert_eq!(stats.counters.tcp_opened, 1);
}

#[test]
fn an_answer_for_a_closed_connection_goes_to_the_fallback() {
    let server = start(2, TCP, Limits::default());
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = tcp_client(server.address(0));
    exchange(&mut client, b"x\n", b"x\n");
    let (_, origin, _) = server.message();
    drop(client);
    server.closed();
    for worker in 0..2 {
        let fallback = Some(peer.local_addr().unwrap());
        let target = StreamTarget::Connection { id: origin.connection.unwrap(), fallback };
        server.command(worker, Command::Stream(target, b"back\n".to_vec()));
        assert_eq!(server.sent(), Ok(()));
    }
    let (mut accepted, _) = peer.accept().unwrap();
    accepted.set_read_timeout(Some(PATIENCE)).unwrap();
    exchange(&mut accepted, b"", b"back\nback\n");
    server.stop();
}

#[test]
fn a_message_to_a_peer_that_does_not_listen_is_reported() {
    let server = start(1, TCP, Limits::default());
    let unused = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = unused.local_addr().unwrap();
    drop(unused);
    server.command(0, Command::Stream(StreamTarget::Peer { peer, socket: 0 }, b"x\n".to_vec()));
    // The kernel may tell at once or later.
    let told = server.expect(|seen| match seen {
        Seen::Sent(Err(SendError::Connect)) => Some(None),
        Seen::Failed { peer, bytes } => Some(Some((peer, bytes))),
        _ => None,
    });
    assert!(told.is_none_or(|told| told == (peer, b"x\n".to_vec())));
    let stats = server.stop();
    assert_eq!(stats.counters.tcp_connect_failed, 1);
}

#[test]
fn connections_over_the_limit_are_closed_and_those_of_others_stay() {
    for limits in [
        Limits { tcp_max_connections: 2, ..Limits::default() },
        Limits { tcp_max_connections_per_source: 2, ..Limits::default() },
    ] {
        let server = start(2, TCP, limits);
        let mut kept: Vec<_> = (0..2).map(|_| tcp_client(server.address(0))).collect();
        for client in &mut kept {
            exchange(client, b"x\n", b"x\n");
        }
        assert_eq!(read_to_close(&mut tcp_client(server.address(0))), b"");
        for client in &mut kept {
            exchange(client, b"y\n", b"y\n");
        }
        drop(kept.pop());
        server.closed();
        exchange(&mut tcp_client(server.address(0)), b"z\n", b"z\n");
        let stats = server.stop();
        assert_eq!(stats.counters.tcp_refused, 1);
    }
}

#[test]
fn a_peer_that_never_reads_is_cut_off_at_the_buffer_limit() {
    let limits = Limits { tcp_write_buffer_bytes: 64 << 10, ..Limits::default() };
    let server = start(1, TCP, limits);
    let mut client = tcp_client(server.address(0));
    let mut other = tcp_client(server.address(0));
    // Each line asks for 2000 copies of itself; more than the kernel's buffers take.
    let line = [b"flood".as_slice(), &vec![b'x'; 16 << 10], b"\n"].concat();
    client.write_all(&line).unwrap();
    assert_eq!(server.closed(), client.local_addr().unwrap());
    exchange(&mut other, b"x\n", b"x\n");
    let stats = server.stop();
    assert_eq!(stats.counters.tcp_slow_readers, 1);
}

#[test]
fn a_peer_that_stops_reading_is_cut_off_in_time() {
    let limits = Limits { tcp_write_timeout_ms: 100, tcp_write_buffer_bytes: 64 << 20, ..Limits::default() };
    let server = start(1, TCP, limits);
    let mut client = tcp_client(server.address(0));
    let line = [b"flood".as_slice(), &vec![b'x'; 16 << 10], b"\n"].concat();
    client.write_all(&line).unwrap();
    assert_eq!(server.closed(), client.local_addr().unwrap());
    let stats = server.stop();
    assert_eq!(stats.counters.tcp_slow_readers, 1);
}

#[test]
fn all_write_buffers_together_are_bounded() {
    let limits = Limits { tcp_write_buffers_total_bytes: 10, ..Limits::default() };
    let server = start(1, TCP, limits);
    let mut client = tcp_client(server.address(0));
    client.write_all(b"more than ten\nten\n").unwrap();
    exchange(&mut client, b"", b"ten\n");
    server.stop();
}

#[test]
fn all_unfinished_messages_together_are_bounded() {
    let server = start(2, TCP, Limits { tcp_read_buffers_total_bytes: 100, ..Limits::default() });
    let mut first = tcp_client(server.address(0));
    exchange(&mut first, b"x\nunfinished", b"x\n");
    let mut second = tcp_client(server.address(0));
    second.write_all(&[b'x'; 101]).unwrap();
    assert_eq!(read_to_close(&mut second), b"");
    exchange(&mut first, b", finished\n", b"unfinished, finished\n");
    server.stop();
}

#[test]
fn a_message_that_does_not_end_in_time_is_cut_off() {
    let server = start(1, TCP, Limits { tcp_message_timeout_ms: 100, ..Limits::default() });
    let mut client = tcp_client(server.address(0));
    exchange(&mut client, b"in time\n", b"in time\n");
    client.write_all(b"never ends").unwrap();
    assert_eq!(read_to_close(&mut client), b"");
    let stats = server.stop();
    assert_eq!(stats.counters.tcp_slow_senders, 1);
}

#[test]
fn a_message_over_the_size_limit_is_cut_off() {
    for message in [vec![b'x'; 200], [vec![b'x'; 150], vec![b'\n']].concat()] {
        let server = start(1, TCP, Limits { max_message_bytes: 100, ..Limits::default() });
        let mut client = tcp_client(server.address(0));
        client.write_all(&message).unwrap();
        assert_eq!(read_to_close(&mut client), b"");
        let stats = server.stop();
        assert_eq!(stats.counters.stream_oversized, 1);
    }
}

#[test]
fn an_idle_connection_is_closed_unless_it_is_to_be_kept() {
    let server = start(1, TCP, Limits { tcp_connection_lifetime_s: 1, ..Limits::default() });
    let mut kept = tcp_client(server.address(0));
    exchange(&mut kept, b"keep me\n", b"keep me\n");
    let (worker, origin, _) = server.message();
    server.command(worker, Command::Keep(origin.connection.unwrap(), 1, 3600));
    let mut idle = tcp_client(server.address(0));
    exchange(&mut idle, b"x\n", b"x\n");
    assert_eq!(read_to_close(&mut idle), b"");
    exchange(&mut kept, b"still here\n", b"still here\n");
    server.stop();
}

#[test]
fn a_connection_is_kept_as_long_as_its_longest_holder_wants_it_and_no_longer() {
    // Two workers, so that leases also travel from one to the other.
    let server = start(2, TCP, Limits { tcp_connection_lifetime_s: 1, ..Limits::default() });
    let mut client = tcp_client(server.address(0));
    exchange(&mut client, b"keep me\n", b"keep me\n");
    let (_, origin, _) = server.message();
    let id = origin.connection.unwrap();
    for worker in 0..2 {
        server.command(worker, Command::Keep(id, 1, 3600));
        server.command(worker, Command::Keep(id, 2, 3600));
    }
    let mut idle = tcp_client(server.address(0));
    exchange(&mut idle, b"x\n", b"x\n");
    assert_eq!(read_to_close(&mut idle), b"");
    server.command(0, Command::Keep(id, 1, 0));
    server.command(1, Command::Keep(id, 1, 0));
    exchange(&mut client, b"still here\n", b"still here\n");
    server.command(0, Command::Keep(id, 2, 0));
    server.command(1, Command::Keep(id, 2, 0));
    assert_eq!(read_to_close(&mut client), b"");
    server.stop();
}

#[test]
fn a_connection_closed_by_the_handler_gets_what_was_sent_before() {
    let server = start(2, TCP, Limits::default());
    let mut client = tcp_client(server.address(0));
    exchange(&mut client, b"x\n", b"x\n");
    let (worker, origin, _) = server.message();
    let id = origin.connection.unwrap();
    server
        .command(worker, Command::Stream(StreamTarget::Connection { id, fallback: None }, b"bye\n".to_vec()));
    server.command(worker, Command::Close(id));
    assert_eq!(read_to_close(&mut client), b"bye\n");
    drop(client);
    server.closed();
    server.stop();
}

#[test]
fn a_reset_connection_is_reported_as_closed() {
    let server = start(2, TCP, Limits::default());
    let mut client = tcp_client(server.address(0));
    exchange(&mut client, b"x\n", b"x\n");
    let own = client.local_addr().unwrap();
    socket2::SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(client);
    assert_eq!(server.closed(), own);
    server.stop();
}

#[test]
fn ipv6_connections_work_if_the_machine_has_ipv6() {
    if std::net::UdpSocket::bind("[::1]:0").is_err() {
        return;
    }
    let server = start(1, &["tcp:[::1]:0"], Limits::default());
    exchange(&mut tcp_client(server.address(0)), b"six\n", b"six\n");
    server.stop();
}

#[test]
fn a_busy_connection_does_not_starve_another() {
    let server = start(1, TCP, Limits::default());
    let mut busy = tcp_client(server.address(0));
    let mut other = tcp_client(server.address(0));
    let mut reader = busy.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        let lines = b"busy\n".repeat(10_000);
        for _ in 0..20 {
            busy.write_all(&lines).unwrap();
        }
    });
    let drain = std::thread::spawn(move || {
        let mut left = 5 * 10_000 * 20;
        let mut chunk = vec![0; 65_536];
        while left > 0 {
            left -= reader.read(&mut chunk).unwrap();
        }
    });
    for _ in 0..20 {
        exchange(&mut other, b"me too\n", b"me too\n");
    }
    writer.join().unwrap();
    drain.join().unwrap();
    server.stop();
}
