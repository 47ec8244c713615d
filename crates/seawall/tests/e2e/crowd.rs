//! A crowd of phones at a Seawall in front of a Kamailio, whose table is compared with who is there: what
//! `seawall-bench mid` measures with thousands, with some hundred here.

use std::path::PathBuf;

use clap::Parser;
use seawall_bench::mid::shares::shares;
use seawall_bench::mid::{MidArgs, Outcome, measure};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: MidArgs,
}

/// Two hundred phones of a hundred users that come and go; half a minute at the main registrar.
fn crowd(more: &str) -> (MidArgs, Outcome) {
    let line = format!(
        "crowd --users 100 --expires-s 4 --outgoing-s 30 --sample-s 2 --one-leaves-in 40 --slack-ms 4000 {more}"
    );
    let mut args = Line::try_parse_from(line.split_whitespace()).unwrap().args;
    args.seawall = PathBuf::from(env!("CARGO_BIN_EXE_seawall"));
    let outcome = measure(&args).unwrap();
    assert_eq!(outcome.wrong(), 0, "{:?}", outcome.found);
    assert_eq!(outcome.phones.broken_promises, 0, "{:?}", outcome.phones);
    assert_eq!(outcome.phones.unlisted, 0);
    assert!(outcome.found.iter().filter(|found| found.held > 100).count() >= 3, "{:?}", outcome.found);
    assert!(outcome.phones.goodbyes > 10, "{:?}", outcome.phones);
    (args, outcome)
}

#[test]
fn the_main_registrar_holds_exactly_who_is_there_and_most_is_absorbed() {
    std::thread::scope(|scope| {
        for mode in ["contact", "aor"] {
            scope.spawn(move || {
                let (args, outcome) = crowd(&format!("--mode {mode} --warm-up-s 8 --duration-s 24"));
                let measured = &outcome.measured;
                let found = shares(args.mode, (args.phones_each, args.expires_s, args.outgoing_s), measured);
                // Such short intervals leave little room between margin and jitter.
                assert!(found.absorbed > 80.0 && found.limit - found.absorbed < 6.0, "{mode} {found:?}");
                assert!(outcome.phones.failed.is_empty(), "{mode} {:?}", outcome.phones);
                // (d) Every request was absorbed, forwarded or refused.
                let counted = measured.front.absorbed + measured.front.forwarded + measured.front.refused;
                assert!(counted.abs_diff(measured.phones.sent) < 50, "{mode} {measured:?}");
            });
        }
    });
}

#[test]
fn an_outage_of_the_main_registrar_leaves_no_stale_and_no_missing_contact() {
    std::thread::scope(|scope| {
        for mode in ["contact", "aor"] {
            scope.spawn(move || {
                let trouble = "--warm-up-s 8 --duration-s 36 --trouble outage --trouble-s 6";
                crowd(&format!("--mode {mode} {trouble}"));
            });
        }
    });
}
