//! Limits, counters, and what can be asked.

use std::sync::Arc;

use seawall_transaction::{CreateError, Effects, Keys, Layer, Request, Timers, limits};

use crate::harness::{BRANCH, Bench, Place, RFC, request};

#[test]
fn a_full_shard_refuses_and_counts() {
    let keys = Keys::new([1; 16]);
    let mut layer: Layer<(), Place> = Layer::new(0, keys, Timers::tm());
    layer.set_capacity(1);
    let mut create = |branch: &str| {
        let message = request("MESSAGE", branch, "");
        let key = keys.server_key(&message).expect("a key");
        let reply_to = Place { branch: None, reliable: false };
        let request = Arc::new(Request { message, reply_to, via_fix: None });
        layer.create(0, &key, request, (), &mut Effects::new())
    };
    let first = create("z9hG4bK1").expect("room for one");
    assert_eq!(create("z9hG4bK2"), Err(CreateError::Full));
    assert_eq!(create("z9hG4bK1"), Err(CreateError::Exists(first)));
    assert_eq!(layer.counters().refused_full, 1);
    assert_eq!(layer.counters().absorbed_requests, 1);
}

#[test]
fn a_transaction_has_at_most_so_many_branches() {
    let mut bench = Bench::new(RFC);
    bench.run("0 MESSAGE");
    bench.run(&format!("0 relay {}", limits::MAX_BRANCHES + 3));
    assert_eq!(bench.log.len(), limits::MAX_BRANCHES + 1);
    assert!(bench.log.contains(&"0 too many branches".to_owned()));
}

#[test]
fn counters_follow_what_happens() {
    let mut bench = Bench::new(RFC);
    for line in ["0 INVITE", "0 relay 2", "1 b0 180", "2 b1 486", "3 b0 404", "4 INVITE", "5 ACK"] {
        bench.run(line);
    }
    let counters = bench.layer.counters();
    assert_eq!(counters.uas_transactions, 1);
    assert_eq!(counters.uac_transactions, 2);
    assert_eq!(counters.received_replies, 3);
    assert_eq!(counters.relayed_replies, 2);
    assert_eq!(counters.local_replies, 0);
    assert_eq!(counters.completed_class(4), 1);
    assert_eq!(counters.completed_class(2), 0);
    assert_eq!(counters.completed_class(1), 0);
    bench.layer.reset_counters();
    assert_eq!(bench.layer.counters(), seawall_transaction::Counters::default());
}

#[test]
fn a_transaction_tells_how_it_stands() {
    let mut bench = Bench::new(RFC);
    for line in ["0 INVITE", "0 hold", "0 relay 2", "1 b0 180", "2 b1 486"] {
        bench.run(line);
    }
    let key = bench.keys.server_key(&request("INVITE", BRANCH, "")).expect("a key");
    let id = bench.layer.find(&key).expect("a transaction");
    let status = bench.layer.status(id).expect("a status");
    assert_eq!((status.branches, status.pending, status.code, status.local), (2, 1, 180, false));
    assert!(!status.cancelled && !status.answered && !status.waiting);
    let branch = bench.layer.branch(id, 1).expect("a branch");
    assert_eq!((branch.code, branch.pending), (486, false));
    assert_eq!(branch.reply.map(|reply| reply.status()), Some(486));
    assert_eq!(bench.layer.best(id), Some((1, 486)));
    assert_eq!(bench.layer.context(id), Some("context"));
    assert!(bench.layer.request_of(id).is_some_and(|request| request.message.is_request()));
    bench.run("3 CANCEL");
    assert!(bench.layer.status(id).is_some_and(|status| status.cancelled));
}

#[test]
fn timers_that_are_set_to_zero_do_not_go_off_for_ever() {
    let mut setup = RFC;
    setup.timers = Timers { t1_ms: 0, t2_ms: 0, fr_timeout_ms: 20, trying_ms: None, ..Timers::tm() };
    let mut bench = Bench::new(setup);
    for line in ["0 MESSAGE", "0 relay 1", "100 wait"] {
        bench.run(line);
    }
    assert!(bench.log.len() < 30, "{:?}", bench.log);
}
