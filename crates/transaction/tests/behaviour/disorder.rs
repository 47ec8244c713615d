//! Inputs in any order, sensible or not: every transaction still ends, and answers its client once.

use proptest::prelude::*;

use crate::harness::{Bench, RFC, Setup, TM};

/// Something that may happen within the first seconds.
fn early() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just("AGAIN".to_owned()),
        1 => Just("ACK".to_owned()),
        1 => Just("CANCEL".to_owned()),
        3 => (1_u16..4).prop_map(|count| format!("relay {count}")),
        1 => prop_oneof![Just(180_u16), Just(200), Just(480)].prop_map(|status| format!("reply {status}")),
        1 => Just("hold".to_owned()),
        1 => Just("finish".to_owned()),
        1 => (0_u16..3).prop_map(|branch| format!("fail b{branch}")),
        1 => (0_u16..3).prop_map(|branch| format!("cut b{branch}")),
        1 => (0_u16..3).prop_map(|branch| format!("others b{branch}")),
        1 => (0_u64..20_000).prop_map(|until_ms| format!("expect {until_ms}")),
        1 => Just("nomore".to_owned()),
        12 => response(),
    ]
}

fn response() -> impl Strategy<Value = String> {
    let status = prop::sample::select(vec![
        "100", "180", "183", "200", "202", "302", "401", "407", "404", "486", "487", "500", "503", "603",
        "C200", "C481",
    ]);
    (0_u16..3, status).prop_map(|(branch, status)| format!("b{branch} {status}"))
}

fn setups() -> impl Strategy<Value = Setup> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(tm, client_tcp, branch_tcp)| Setup {
        client_tcp,
        branch_tcp,
        ..if tm { TM } else { RFC }
    })
}

/// Times of the log lines that say this.
fn count(log: &[String], what: &str) -> usize {
    log.iter().filter(|line| line.split_once(' ').is_some_and(|(_, text)| text.starts_with(what))).count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn every_transaction_ends_and_answers_once(
        setup in setups(),
        invite in any::<bool>(),
        early in prop::collection::vec((0_u64..300, early()), 0..14),
        late in prop::collection::vec((0_u64..60_000, response()), 0..4),
    ) {
        let method = if invite { "INVITE" } else { "MESSAGE" };
        let mut bench = Bench::new(setup);
        bench.run(&format!("0 {method}"));
        bench.run("0 relay 1");
        let mut now_ms = 0;
        for (delay_ms, what) in early.into_iter().chain(late) {
            now_ms += delay_ms;
            bench.advance(now_ms);
            // A retransmission after the end would be a request of its own.
            if what == "AGAIN" && bench.layer.is_empty() {
                continue;
            }
            let known = what.strip_prefix('b').and_then(|rest| rest.split(' ').next()?.parse().ok());
            if known.is_some_and(|branch: usize| branch >= bench.branches()) {
                continue;
            }
            bench.run(&format!("{now_ms} {}", what.replace("AGAIN", method)));
        }
        bench.run("* end");
        prop_assert_eq!(bench.log.last().map(String::as_str), Some("empty"));
        prop_assert_eq!(count(&bench.log, "completed"), 1, "{:?}", bench.log);
        prop_assert_eq!(count(&bench.log, "ended"), 1, "{:?}", bench.log);
        // All finals but further 2xx to INVITE are the same one.
        let further = |code: &&str| code.starts_with('1') || invite && code.starts_with('2');
        let sent = bench.log.iter().filter_map(|line| line.split_once(" client "));
        let mut finals: Vec<&str> = sent.map(|(_, code)| code).filter(|code| !further(code)).collect();
        finals.dedup();
        prop_assert!(finals.len() <= 1, "{:?}", bench.log);
        prop_assert!(bench.log.len() < 400, "{} effects", bench.log.len());
    }
}
