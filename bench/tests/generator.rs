//! The generator counts what happens, each thing once: against an echo and against a server that misbehaves on demand.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panicking")]

mod common;

use std::collections::{BTreeMap, HashSet};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use common::{Behaviour, FakeServer, Treatment, line_of};
use seawall_bench::echo;
use seawall_bench::load::{Generator, Mix, Operation, Options, Pace, Report, Storm, Work};

/// Short, so that tests with losses are; long enough for a busy machine not to lose anything else.
const PATIENCE: Duration = Duration::from_millis(300);

fn generator(target: SocketAddr) -> Generator {
    Generator::open(Options::new(target)).unwrap()
}

fn work(operation: Operation, users: u32) -> Work {
    Work { patience: PATIENCE, ..Work::once(operation, users) }
}

/// Registers some users and does `work`, against a server that behaves so. Returns the report and what the server saw
/// while the work was done.
fn check(behaviour: Behaviour, work: &Work) -> (Report, Vec<(SocketAddr, String)>) {
    let server = FakeServer::start(behaviour);
    let mut generator = generator(server.address());
    if work.operation != Operation::Register {
        assert!(generator.run(&self::work(Operation::Register, work.users)).unwrap().is_clean());
    }
    let report = generator.run(work).unwrap();
    let mut seen = server.seen();
    if work.operation != Operation::Register {
        seen.drain(..work.users as usize);
    }
    let refused: u64 = report.refused.values().sum();
    assert_eq!(
        report.started,
        report.succeeded + refused + report.failed,
        "every operation ends once: {report}"
    );
    (report, seen)
}

/// The number of the user whom a REGISTER is for.
fn user_of(message: &str) -> u32 {
    line_of(message, "To: ").unwrap().split('u').nth(1).unwrap()[..8].parse().unwrap()
}

#[test]
fn every_answer_of_an_echo_is_counted_once() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = socket.local_addr().unwrap();
    let count = 3_000;
    let server = std::thread::spawn(move || echo::serve(&socket, None, count).unwrap());
    let report = generator(target).run(&work(Operation::Register, count as u32)).unwrap();
    server.join().unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.succeeded, report.unexpected, report.latency.count()), (count, 0, count));
}

#[test]
fn an_echo_can_answer_shorter_than_it_was_asked() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = socket.local_addr().unwrap();
    let server = std::thread::spawn(move || echo::serve(&socket, Some(300), 100).unwrap());
    let report = generator(target).run(&work(Operation::Register, 100)).unwrap();
    server.join().unwrap();
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_refresh_keeps_the_call_id_and_raises_cseq() {
    let (report, seen) = check(Behaviour::default(), &Work { count: 30, ..work(Operation::Register, 10) });
    assert!(report.is_clean(), "{report}");
    let mut sequences: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (_, message) in &seen {
        let call_id = line_of(message, "Call-ID: ").unwrap();
        sequences.entry(call_id).or_default().push(line_of(message, "CSeq: ").unwrap());
    }
    assert_eq!(sequences.len(), 10, "one Call-ID for each user");
    for sequence in sequences.values() {
        assert_eq!(*sequence, ["10000001 REGISTER", "10000002 REGISTER", "10000003 REGISTER"]);
    }
}

#[test]
fn numbers_go_on_from_run_to_run() {
    let server = FakeServer::start(Behaviour::default());
    let mut generator = generator(server.address());
    for _ in 0..2 {
        assert!(generator.run(&work(Operation::Register, 5)).unwrap().is_clean());
    }
    let seen = server.seen();
    let vias: HashSet<&str> = seen.iter().map(|(_, message)| line_of(message, "Via: ").unwrap()).collect();
    assert_eq!(vias.len(), 10, "no branch comes twice");
    let second = seen.iter().filter(|(_, message)| message.contains("CSeq: 10000002 ")).count();
    assert_eq!(second, 5);
}

#[test]
fn a_lost_request_is_counted_and_sent_again_as_it_was() {
    let behaviour = Behaviour {
        register: |count, times| {
            if count % 10 == 3 && times == 0 { Treatment::Ignore } else { Treatment::Answer(200) }
        },
        ..Behaviour::default()
    };
    let (report, seen) = check(behaviour, &work(Operation::Register, 100));
    assert_eq!(report.succeeded, 100, "{report}");
    assert!(report.lost >= 10, "{report}");
    assert_eq!(seen.len() as u64, 100 + report.lost);
    let different: HashSet<&str> = seen.iter().map(|(_, message)| message.as_str()).collect();
    assert_eq!(different.len(), 100, "a retransmission is the same bytes");
    assert!(report.latency.max_ns() >= PATIENCE.as_nanos() as u64, "the wait for the lost one counts");
}

#[test]
fn a_second_answer_is_unexpected_and_counts_nothing() {
    let behaviour = Behaviour { register: |_, _| Treatment::AnswerTwice, ..Behaviour::default() };
    // One at a time, so that every second answer comes while the next operation is under way, in the same slot.
    let one_by_one = Work { pace: Pace::Closed { window: 1 }, ..work(Operation::Register, 50) };
    let (report, _) = check(behaviour, &one_by_one);
    assert_eq!((report.succeeded, report.latency.count()), (50, 50), "{report}");
    assert!((48..=50).contains(&report.unexpected), "{report}");
}

#[test]
fn refusals_are_counted_by_status() {
    let behaviour = Behaviour {
        register: |count, _| Treatment::Answer([200, 403, 503, 200][count as usize % 4]),
        ..Behaviour::default()
    };
    let (report, _) = check(behaviour, &work(Operation::Register, 40));
    assert_eq!(report.succeeded, 20, "{report}");
    assert_eq!(report.refused, BTreeMap::from([(403, 10), (503, 10)]));
    assert_eq!(report.latency.count(), 20, "a refusal has no latency");
}

#[test]
fn a_server_that_says_nothing_makes_every_operation_fail_in_bounded_time() {
    let behaviour = Behaviour { register: |_, _| Treatment::Ignore, ..Behaviour::default() };
    let quick = Work { patience: Duration::from_millis(20), ..work(Operation::Register, 20) };
    let (report, seen) = check(behaviour, &quick);
    assert_eq!((report.succeeded, report.failed, report.lost), (0, 20, 80), "{report}");
    assert_eq!(seen.len(), 80, "four attempts each");
    assert!(report.elapsed < Duration::from_secs(5), "{report}");
}

#[test]
fn a_port_where_nobody_listens_is_no_error_but_failures() {
    let target = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let quick = Work { patience: Duration::from_millis(10), ..work(Operation::Register, 5) };
    let report = generator(target).run(&quick).unwrap();
    assert_eq!((report.started, report.failed), (5, 5), "{report}");
}

#[test]
fn a_relayed_message_is_answered_by_the_callee() {
    let (report, _) = check(Behaviour::default(), &Work { count: 200, ..work(Operation::Message, 20) });
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.succeeded, report.relayed), (200, 200));
}

#[test]
fn a_call_without_a_recorded_route_hangs_up_past_the_server() {
    let (report, seen) = check(Behaviour::default(), &work(Operation::Invite, 40));
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.succeeded, report.provisional, report.relayed), (40, 40, 120));
    assert!(!seen.iter().any(|(_, message)| message.starts_with("ACK") || message.starts_with("BYE")));
}

#[test]
fn a_call_with_a_recorded_route_hangs_up_through_the_server() {
    let behaviour = Behaviour { record_route: true, ..Behaviour::default() };
    let (report, seen) = check(behaviour, &work(Operation::Invite, 40));
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.succeeded, report.relayed), (40, 120));
    for method in ["ACK", "BYE"] {
        let of_method = seen.iter().filter(|(_, message)| message.starts_with(method));
        let routed = of_method.filter(|(_, message)| line_of(message, "Route: ").is_some()).count();
        assert_eq!(routed, 40, "{method}");
    }
}

#[test]
fn a_refused_call_is_acknowledged() {
    let behaviour = Behaviour { refuse_relays: Some(404), ..Behaviour::default() };
    let (report, seen) = check(behaviour, &work(Operation::Invite, 10));
    assert_eq!(report.refused, BTreeMap::from([(404, 10)]), "{report}");
    let acknowledged = seen.iter().filter(|(_, message)| message.starts_with("ACK")).count();
    assert_eq!(acknowledged, 10);
}

#[test]
fn every_source_socket_is_used() {
    let server = FakeServer::start(Behaviour::default());
    let options = Options { sockets: 8, ..Options::new(server.address()) };
    let report = Generator::open(options).unwrap().run(&work(Operation::Register, 200)).unwrap();
    assert!(report.is_clean(), "{report}");
    let sources: HashSet<SocketAddr> = server.seen().into_iter().map(|(from, _)| from).collect();
    assert_eq!(sources.len(), 8);
}

#[test]
fn an_open_loop_keeps_to_its_schedule() {
    let pace = Pace::Open { rate_per_s: 1_000.0, most_in_flight: 1_000 };
    let (report, _) = check(Behaviour::default(), &Work { pace, ..work(Operation::Register, 200) });
    assert!(report.is_clean(), "{report}");
    // The last of 200 is due after 199 ms. How much later it ends is the machine's affair.
    assert!(report.elapsed >= Duration::from_millis(199), "{report}");
}

#[test]
fn the_lead_is_done_and_its_latency_is_not_counted() {
    let pace = Pace::Open { rate_per_s: 1_000.0, most_in_flight: 1_000 };
    let lead = Duration::from_micros(39_500);
    let (report, seen) = check(Behaviour::default(), &Work { pace, lead, ..work(Operation::Register, 100) });
    assert!(report.is_clean(), "{report}");
    // Those due after 0 to 39 ms.
    assert_eq!((seen.len(), report.succeeded, report.latency.count()), (100, 100, 60));
}

#[test]
fn new_users_come_once_between_those_who_take_turns() {
    let mix = Some(Mix { known_percent: 30, first_new_user: 500 });
    let (report, seen) =
        check(Behaviour::default(), &Work { mix, count: 200, ..work(Operation::Register, 20) });
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.started, report.new_users), (200, 140));
    let mut requests: BTreeMap<u32, u32> = BTreeMap::new();
    for (_, message) in &seen {
        *requests.entry(user_of(message)).or_default() += 1;
    }
    let expected = (0..20).map(|user| (user, 3)).chain((500..640).map(|user| (user, 1)));
    assert_eq!(requests, expected.collect());
}

#[test]
fn a_run_ends_when_its_time_is_over() {
    let pace = Pace::Open { rate_per_s: 500.0, most_in_flight: 100 };
    let duration = Duration::from_millis(100);
    let (report, _) =
        check(Behaviour::default(), &Work { pace, duration, ..work(Operation::Register, 1_000) });
    assert!(report.started <= 51, "{report}");
    assert_eq!(report.succeeded, report.started);
}

#[test]
fn work_out_of_bounds_is_refused() {
    let mut generator = generator(SocketAddr::from(([127, 0, 0, 1], 9)));
    let base = work(Operation::Register, 10);
    for wrong in [
        Work { users: 0, ..base },
        Work { mix: Some(Mix { known_percent: 101, first_new_user: 10 }), ..base },
        Work { mix: Some(Mix { known_percent: 50, first_new_user: 9 }), ..base },
        Work { first_user: 99_999_999, ..base },
        Work { count: u64::MAX, ..base },
        Work { duration: Duration::from_secs(100_000), ..base },
        Work { patience: Duration::from_secs(61), ..base },
        Work { pace: Pace::Closed { window: 0 }, ..base },
        Work { users: 50_000, pace: Pace::Closed { window: 20_000 }, ..base },
        Work { pace: Pace::Open { rate_per_s: f64::NAN, most_in_flight: 5 }, ..base },
        Work { pace: Pace::Open { rate_per_s: 0.0, most_in_flight: 5 }, ..base },
    ] {
        assert!(generator.run(&wrong).is_err(), "{wrong:?}");
    }
    let target = SocketAddr::from(([127, 0, 0, 1], 9));
    assert!(Generator::open(Options { sockets: 0, ..Options::new(target) }).is_err());
    assert!(Generator::open(Options { sockets: 100_000, ..Options::new(target) }).is_err());
}

#[test]
fn what_an_echo_sends_back_in_a_storm_is_accepted() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut generator = generator(socket.local_addr().unwrap());
    let server = std::thread::spawn(move || echo::serve(&socket, None, 50).unwrap());
    let storm = Storm {
        users: 10,
        first_new_user: 10,
        known_percent: 50,
        rate_per_s: 500.0,
        duration: Duration::from_millis(100),
    };
    let wave = generator.storm(&storm).unwrap();
    assert_eq!(wave.known.accepted + wave.new.accepted, wave.sent());
    assert!(wave.answered >= wave.elapsed);
    // It waits for fifty, whatever the machine allowed to be sent in time.
    let rest = u32::try_from(50 - wave.sent()).unwrap();
    if rest > 0 {
        assert!(generator.run(&work(Operation::Register, rest)).unwrap().is_clean());
    }
    server.join().unwrap();
}

#[test]
fn a_storm_counts_what_was_accepted_by_who_asked_and_sends_nothing_again() {
    let server = FakeServer::start(Behaviour {
        register: |number, seen| match number % 4 {
            _ if seen > 0 => Treatment::Answer(500),
            0 => Treatment::Answer(503),
            1 => Treatment::Ignore,
            2 => Treatment::AnswerTwice,
            _ => Treatment::Answer(200),
        },
        ..Behaviour::default()
    });
    let mut generator = generator(server.address());
    let storm = Storm {
        users: 10,
        first_new_user: 10,
        known_percent: 30,
        rate_per_s: 400.0,
        duration: Duration::from_secs(1),
    };
    let wave = generator.storm(&storm).unwrap();
    let seen = server.seen();
    assert_eq!(seen.len() as u64, wave.sent());
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), seen.len(), "nothing is sent twice");
    assert!(wave.known.sent.abs_diff(wave.sent() * 3 / 10) <= 3, "thirty of a hundred: {}", wave.known.sent);
    assert_eq!(seen.iter().filter(|(_, text)| user_of(text) < 10).count() as u64, wave.known.sent);
    let (accepted, refused) =
        (wave.known.accepted + wave.new.accepted, wave.known.refused + wave.new.refused);
    assert_eq!((accepted, refused), (wave.sent() / 4 + (wave.sent() + 1) / 4, wave.sent().div_ceil(4)));
    assert_eq!(wave.known.latency.count() + wave.new.latency.count(), accepted);
    let slices = wave.slices.iter().fold((0, 0), |sum, slice| (sum.0 + slice.sent, sum.1 + slice.accepted));
    assert_eq!(slices, (wave.sent(), accepted));
    assert!(generator.storm(&Storm { rate_per_s: 1e9, ..storm }).is_err(), "out of bounds");
}
