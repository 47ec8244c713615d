//! Limits, counters, and what can be asked.

use std::sync::Arc;

use seawall_transaction::{
    CreateError, Effects, ForwardError, Keys, Layer, ReplyError, Request, Timers, limits,
};

use crate::harness::{BRANCH, Bench, Place, RFC, TM, check, request};

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

#[test]
fn a_transaction_that_rests_tells_how_it_ended_and_takes_nothing_more() {
    let mut bench = Bench::new(TM);
    for line in ["0 MESSAGE", "0 relay 1", "10 b0 202", "20 b0 202"] {
        bench.run(line);
    }
    let key = bench.keys.server_key(&request("MESSAGE", BRANCH, "")).expect("a key");
    let id = bench.layer.find(&key).expect("a transaction");
    let status = bench.layer.status(id).expect("a status");
    assert_eq!((status.branches, status.pending, status.code, status.local), (1, 0, 202, false));
    assert!(status.answered && !status.cancelled && !status.waiting && !status.open);
    assert_eq!(bench.layer.next_branch(id), Err(ForwardError::Answered));
    let mut out = Effects::new();
    assert_eq!(bench.layer.forward(30, id, [], &mut out), Err(ForwardError::Answered));
    assert_eq!(bench.layer.reply(30, id, 200, Vec::new(), &mut out), Err(ReplyError::Answered));
    assert!(out.is_empty() && bench.layer.is_settled() && bench.layer.is_resting());
    assert!(bench.layer.context(id).is_none() && bench.layer.branch(id, 0).is_none());
    // The response that came again belongs to it still.
    assert_eq!(bench.layer.counters().received_replies, 2);
    bench.run("* end");
    assert!(bench.layer.status(id).is_none() && !bench.layer.absorb_response(id.branch(0)));
    assert_eq!(bench.layer.next_branch(id), Err(ForwardError::Gone));
    assert_eq!(bench.layer.reply(30, id, 200, Vec::new(), &mut out), Err(ReplyError::Gone));
    let expected = ["0 b0 MESSAGE", "10 client 202", "10 completed 202", "10 ended", "5010 forgotten"];
    assert_eq!(bench.log.get(..5), Some(&expected.map(str::to_owned)[..]));
}

#[test]
fn what_routing_logic_has_answered_rests_when_it_is_looked_at_again() {
    check(
        TM,
        "0 MESSAGE
         0 reply 403
         100 MESSAGE
         600 MESSAGE
         * end",
        "0 client 403
         0 completed 403 local
         100 absorbed
         100 client 403
         500 ended
         600 absorbed
         600 client 403
         5000 forgotten
         empty",
    );
}

#[test]
fn shorter_timers_that_are_set_meanwhile_hold_for_what_rests_after_that() {
    let keys = Keys::new([1; 16]);
    let mut layer: Layer<(), Place> = Layer::new(0, keys, Timers::tm());
    let mut out = Effects::new();
    for (wait_ms, branch) in [(9000, "z9hG4bK1"), (1000, "z9hG4bK2"), (9000, "z9hG4bK3"), (0, "z9hG4bK4")] {
        let mut timers = Timers::tm();
        timers.set_wait(wait_ms);
        layer.set_timers(timers);
        let message = request("MESSAGE", branch, "");
        let key = keys.server_key(&message).expect("a key");
        let reply_to = Place { branch: None, reliable: false };
        let request = Arc::new(Request { message, reply_to, via_fix: None });
        let id = layer.create(0, &key, request, (), &mut out).expect("room");
        layer.reply(0, id, 200, b"SIP/2.0 200 OK\r\n\r\n".to_vec(), &mut out).expect("not answered yet");
    }
    let mut left = Vec::new();
    for now_ms in [499, 500, 999, 1000, 8999, 9000] {
        layer.timeout(now_ms, &mut out);
        left.push(layer.len());
    }
    assert_eq!(left, [3, 3, 3, 2, 2, 0]);
    assert!(layer.is_empty() && layer.poll_timeout().is_none());
}
