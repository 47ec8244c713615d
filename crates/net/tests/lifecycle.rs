//! Commands, timers, panics and the end of workers.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::Write;
use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::time::Instant;

use common::{Command, Seen, exchange, read_to_close, start, tcp_client, udp_client};
use seawall_net::{Limits, StreamTarget};

const BOTH: &[&str] = &["udp:127.0.0.1:0", "tcp:127.0.0.1:0"];

#[test]
fn commands_reach_the_worker_that_they_are_for() {
    let server = start(3, BOTH, Limits::default());
    for worker in [2, 0, 1, 1] {
        server.command(worker, Command::Report);
        assert_eq!(server.next(), Seen::Ran(worker));
    }
    assert!(server.running.send(3, Command::Report).is_err());
    server.stop();
}

#[test]
fn commands_over_the_queue_limit_are_given_back() {
    let server = start(1, BOTH, Limits { command_queue: 2, ..Limits::default() });
    let (unblock, blocked) = channel::<()>();
    server.command(0, Command::Block(blocked));
    // The first command leaves the queue at some time, so two or three more fit.
    let mut accepted = 0;
    while accepted < 4 && server.running.send(0, Command::Report).is_ok() {
        accepted += 1;
    }
    assert!((1..=3).contains(&accepted), "{accepted}");
    drop(unblock);
    for _ in 0..accepted {
        assert_eq!(server.next(), Seen::Ran(0));
    }
    let stats = server.stop();
    assert_eq!(stats.counters.queue_full, 1);
}

#[test]
fn many_threads_may_send_commands() {
    let server = start(2, BOTH, Limits::default());
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let sender = server.running.handle();
            std::thread::spawn(move || {
                for _ in 0..500 {
                    assert!(sender.send(thread % 2, Command::Report).is_ok());
                }
            })
        })
        .collect();
    for _ in 0..2000 {
        assert!(matches!(server.next(), Seen::Ran(_)));
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    server.stop();
}

#[test]
fn the_timer_fires_not_before_its_deadline() {
    let server = start(1, BOTH, Limits::default());
    let before = Instant::now();
    server.command(0, Command::TimerIn(50));
    assert_eq!(server.next(), Seen::Timer);
    assert!(before.elapsed().as_millis() >= 49);
    server.stop();
}

#[test]
fn a_panic_drops_one_message_and_no_more() {
    let server = start(1, BOTH, Limits::default());
    let client = udp_client(server.address(0));
    let mut buffer = [0; 64];
    client.send(b"panic").unwrap();
    client.send(b"next").unwrap();
    let len = client.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"next");
    let mut stream = tcp_client(server.address(1));
    exchange(&mut stream, b"panic\nnext\n", b"next\n");
    server.command(0, Command::Panic);
    exchange(&mut stream, b"after\n", b"after\n");
    let mut bad = tcp_client(server.address(1));
    bad.write_all(b"? the framer panics\n").unwrap();
    assert_eq!(read_to_close(&mut bad), b"");
    let stats = server.stop();
    assert_eq!(stats.counters.panics, 4);
}

#[test]
fn shutdown_answers_what_the_kernel_has_accepted() {
    let server = start(2, BOTH, Limits::default());
    let mut streams: Vec<_> = (0..10).map(|_| tcp_client(server.address(1))).collect();
    let client = udp_client(server.address(0));
    let blocks: Vec<_> = (0..2)
        .map(|worker| {
            let (unblock, blocked) = channel::<()>();
            server.command(worker, Command::Block(blocked));
            unblock
        })
        .collect();
    for number in 0..100_u32 {
        client.send(&number.to_be_bytes()).unwrap();
    }
    for stream in &mut streams {
        stream.write_all(b"last\n").unwrap();
    }
    let address = server.address(1);
    let common::Server { running, seen: _seen } = server;
    let stopper = std::thread::spawn(move || running.shutdown(10_000));
    drop(blocks);
    for _ in 0..100 {
        assert_eq!(client.recv(&mut [0; 16]).unwrap(), 4);
    }
    for stream in &mut streams {
        assert_eq!(read_to_close(stream), b"last\n");
    }
    let stats = stopper.join().unwrap();
    assert!(stats.idle_in_time);
    assert_eq!(stats.counters.datagrams_in, 100);
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn shutdown_waits_for_what_is_under_way() {
    let server = start(2, BOTH, Limits::default());
    server.command(1, Command::Busy(true));
    server.command(1, Command::Report);
    server.next();
    let client = udp_client(server.address(0));
    let sender = server.running.handle();
    let common::Server { running, seen: _seen } = server;
    let stopper = std::thread::spawn(move || running.shutdown(60_000));
    // Still served while the other worker is busy.
    for _ in 0..20 {
        client.send(b"x").unwrap();
        client.recv(&mut [0; 16]).unwrap();
    }
    assert!(!stopper.is_finished());
    assert!(sender.send(1, Command::Busy(false)).is_ok());
    assert!(stopper.join().unwrap().idle_in_time);
    assert!(sender.send(1, Command::Report).is_err());
}

#[test]
fn shutdown_ends_when_the_grace_is_over() {
    let server = start(2, BOTH, Limits::default());
    server.command(0, Command::Busy(true));
    server.command(0, Command::Report);
    server.next();
    assert!(!server.running.shutdown(30).idle_in_time);
}

#[test]
fn shutdown_writes_what_waits_for_a_peer() {
    let server = start(2, BOTH, Limits::default());
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = StreamTarget::Peer { peer: peer.local_addr().unwrap(), socket: 1 };
    server.command(0, Command::Stream(target, b"the last word\n".to_vec()));
    assert_eq!(server.sent(), Ok(()));
    server.stop();
    let (mut accepted, _) = peer.accept().unwrap();
    accepted.set_read_timeout(Some(common::PATIENCE)).unwrap();
    assert_eq!(read_to_close(&mut accepted), b"the last word\n");
}
