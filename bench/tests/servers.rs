//! Servers of the comparison are started, measured and stopped; one that does not come up is reported.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::path::PathBuf;

use seawall_bench::latency::{self, LatencyArgs};
use seawall_bench::load::{self, Generator, Operation, Options, Work};
use seawall_bench::pinned::{Beside, Pinned};
use seawall_bench::process;
use seawall_bench::server::{Contender, Programs, Server, Setup};

fn programs() -> Programs {
    Programs {
        echo: PathBuf::from(env!("CARGO_BIN_EXE_seawall-bench")),
        kamailio: PathBuf::from("/bin/false"),
        seawall: PathBuf::from("/nowhere/seawall"),
    }
}

fn start(contender: Contender) -> Result<Server, seawall_bench::Error> {
    let setup = Setup::new(contender);
    Server::start(&setup, &programs(), load::probe_request)
}

#[test]
fn the_echo_answers_and_its_work_shows_in_its_processor_time() {
    let server = start(Contender::Echo).unwrap();
    let mut generator = Generator::open(Options::new(server.address())).unwrap();
    let before_ns = process::cpu_ns(server.pid()).unwrap();
    let report = generator.run(&Work::once(Operation::Register, 5_000)).unwrap();
    let cpu_ns = process::cpu_ns(server.pid()).unwrap() - before_ns;
    assert_eq!(report.succeeded, 5_000, "{report}");
    assert!(cpu_ns > 5_000 * 200, "5000 answers in {cpu_ns} ns of processor time");
    let pid = server.pid();
    server.stop().unwrap();
    assert!(process::cpu_ns(pid).is_err(), "it is gone");
}

#[test]
fn a_server_that_ends_at_once_is_reported() {
    let error = start(Contender::Kamailio).unwrap_err().to_string();
    assert!(error.contains("Kamailio, tuned: it ended by itself"), "{error}");
}

#[test]
fn a_program_that_is_not_there_is_reported() {
    let error = start(Contender::Seawall).unwrap_err().to_string();
    assert!(error.contains("cannot start /nowhere/seawall"), "{error}");
}

#[test]
fn latency_at_a_pace_counts_what_was_due() {
    let args = LatencyArgs {
        server: Contender::Echo,
        beside: Contender::Echo,
        load: 5,
        repetitions: 1,
        seconds: 1,
        window_ms: 250,
        gap_us: 200,
        users: 500,
        conditions: Beside {
            pinned: Pinned {
                server_cpu: 0,
                generator_cpu: usize::from(
                    std::thread::available_parallelism().is_ok_and(|cpus| cpus.get() > 1),
                ),
                seawall: PathBuf::new(),
            },
            kamailio: PathBuf::new(),
            window: 16,
            sockets: 1,
            markdown: None,
        },
    };
    let rounds = latency::rounds(&args, &programs()).unwrap();
    let [latency::Round { server, same_rate, same_load }] = rounds.as_slice() else {
        panic!("one round: {rounds:?}")
    };
    for own in [server, same_load] {
        assert!((own.rate_per_s - own.saturated_per_s * 0.05).abs() < 1.0, "{own:?}");
    }
    assert_eq!(same_rate.rate_per_s, server.rate_per_s, "both have the same pace");
    for side in [server, same_rate, same_load] {
        assert_eq!(side.windows.len(), 4, "{side:?}");
        let counted: u64 = side.windows.iter().map(|window| window.requests).sum();
        assert!(side.together.count() < counted, "the lead is not counted");
        for window in &side.windows {
            let rising = [0.0, window.p50_us, window.p99_us, window.p999_us, window.longest_us];
            assert!(rising.is_sorted() && window.p50_us > 0.0 && window.run_us > 0.0, "{window:?}");
            assert_eq!(window.requests, ((side.rate_per_s * 0.26) as u64).max(1));
        }
    }
}
