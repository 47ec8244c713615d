//! Subscriptions over virtual time: what is sent when, with which document.

use crate::bench::{Bench, LIMITS};
use seawall_notifier::{Limits, Refused};

#[test]
fn the_first_document_is_full_and_comes_at_once() {
    let mut bench = Bench::new(LIMITS);
    bench.register("sip:a@192.0.2.1", 600);
    bench.subscribe("s1", 3600).unwrap();
    bench.expect(&["s1 v0 full active;expires=3600 r=active [active registered sip:a@192.0.2.1 600]"]);
    bench.answer("s1", 200);
    bench.expect(&[]);
}

#[test]
fn no_more_is_told_than_was_granted_by_a_clock_that_is_ahead() {
    let mut bench = Bench::new(LIMITS);
    bench.subscribe("s1", 120).unwrap();
    bench.fall_behind(3);
    bench.expect(&["s1 v0 full active;expires=120 r=init"]);
}

#[test]
fn an_address_without_bindings_is_in_its_initial_state() {
    let mut bench = Bench::new(LIMITS);
    bench.subscribe("s1", 60).unwrap();
    bench.expect(&["s1 v0 full active;expires=60 r=init"]);
}

#[test]
fn each_change_is_told_with_its_event() {
    let mut bench = Bench::new(LIMITS);
    bench.subscribe("s1", 3600).unwrap();
    bench.expect(&["s1 v0 full active;expires=3600 r=init"]);
    bench.answer("s1", 200);
    bench.register("sip:a@192.0.2.1", 600);
    bench.pass(5);
    bench.expect(&["s1 v1 partial active;expires=3595 r=active [active registered sip:a@192.0.2.1 595]"]);
    bench.answer("s1", 200);
    bench.register("sip:a@192.0.2.1", 600);
    bench.pass(5);
    bench.expect(&["s1 v2 partial active;expires=3590 r=active [active refreshed sip:a@192.0.2.1 595]"]);
    bench.answer("s1", 200);
    bench.register("sip:a@192.0.2.1", 60);
    bench.pass(5);
    bench.expect(&["s1 v3 partial active;expires=3585 r=active [active shortened sip:a@192.0.2.1 55]"]);
    bench.answer("s1", 200);
    bench.create("sip:b@192.0.2.2");
    bench.pass(5);
    bench.expect(&["s1 v4 partial active;expires=3580 r=active [active created sip:b@192.0.2.2 -]"]);
    bench.answer("s1", 200);
    bench.pass(60);
    bench.expect(&["s1 v5 partial active;expires=3520 r=active [terminated expired sip:a@192.0.2.1 -]"]);
    bench.answer("s1", 200);
    bench.remove("sip:b@192.0.2.2", seawall_location::Removal::Administrative);
    bench.pass(5);
    bench.expect(&[
        "s1 v6 partial active;expires=3515 r=terminated [terminated deactivated sip:b@192.0.2.2 -]",
    ]);
    bench.answer("s1", 200);
    bench.register("sip:c@192.0.2.3", 600);
    bench.pass(5);
    bench.expect(&["s1 v7 partial active;expires=3510 r=active [active registered sip:c@192.0.2.3 595]"]);
    bench.answer("s1", 200);
    bench.remove("sip:c@192.0.2.3", seawall_location::Removal::Asked);
    bench.pass(5);
    bench.expect(&[
        "s1 v8 partial active;expires=3505 r=terminated [terminated unregistered sip:c@192.0.2.3 -]",
    ]);
    bench.answer("s1", 200);
    bench.register("sip:d@192.0.2.4", 600);
    bench.remove("sip:d@192.0.2.4", seawall_location::Removal::Evicted);
    bench.pass(5);
    bench.expect(&["s1 v9 partial active;expires=3500 r=terminated [terminated rejected sip:d@192.0.2.4 -]"]);
}

#[test]
fn a_change_that_no_document_shows_is_not_told() {
    let mut bench = Bench::new(LIMITS);
    bench.register("sip:a@192.0.2.1", 600);
    bench.subscribe("s1", 3600).unwrap();
    bench.expect(&["s1 v0 full active;expires=3600 r=active [active registered sip:a@192.0.2.1 600]"]);
    bench.answer("s1", 200);
    bench.measure_latency("sip:a@192.0.2.1", 4321);
    bench.pass(10);
    bench.expect(&[]);
}

#[test]
fn nobody_else_is_told() {
    let mut bench = Bench::new(LIMITS);
    bench.subscribe_to("s1", "bob@example.com", 3600).unwrap();
    bench.expect(&["s1 v0 full active;expires=3600 r=init"]);
    bench.answer("s1", 200);
    bench.register("sip:a@192.0.2.1", 600);
    bench.pass(10);
    bench.expect(&[]);
}

#[test]
fn one_notify_at_a_time_and_what_changes_meanwhile_goes_into_the_next() {
    let mut bench = Bench::new(Limits { pace_ms: 0, ..LIMITS });
    bench.subscribe("s1", 3600).unwrap();
    bench.expect(&["s1 v0 full active;expires=3600 r=init"]);
    bench.register("sip:a@192.0.2.1", 600);
    bench.register("sip:b@192.0.2.2", 600);
    bench.register("sip:a@192.0.2.1", 700);
    bench.pass(1);
    bench.expect(&[]);
    bench.answer("s1", 200);
    bench.expect(&["s1 v1 partial active;expires=3599 r=active [active registered sip:a@192.0.2.1 699] \
                    [active registered sip:b@192.0.2.2 599]"]);
}

#[test]
fn changes_are_paced_and_the_answer_to_a_subscribe_is_not() {
    let mut bench = Bench::new(LIMITS);
    bench.subscribe("s1", 3600).unwrap();
    bench.expect(&["s1 v0 full active;expires=3600 r=init"]);
    bench.answer("s1", 200);
    bench.register("sip:a@192.0.2.1", 600);
    bench.pass(4);
    bench.expect(&[]);
    bench.refresh("s1", 1800).unwrap();
    bench.expect(&["s1 v1 full active;expires=1800 r=active [active registered sip:a@192.0.2.1 596]"]);
    bench.answer("s1", 200);
    bench.register("sip:a@192.0.2.1", 600);
    bench.pass(4);
    bench.expect(&[]);
    bench.pass(1);
    bench.expect(&["s1 v2 partial active;expires=1795 r=active [active refreshed sip:a@192.0.2.1 595]"]);
}

#[test]
fn a_subscription_ends_with_its_time() {
    let mut bench = Bench::new(LIMITS);
    bench.subscribe("s1", 60).unwrap();
    bench.expect(&["s1 v0 full active;expires=60 r=init"]);
    bench.answer("s1", 200);
    bench.pass(59);
    bench.expect(&[]);
    bench.pass(1);
    bench.expect(&["s1 v1 full terminated;reason=timeout r=init"]);
    assert_eq!(bench.refresh("s1", 60), Err(Refused::Unknown));
    bench.answer("s1", 200);
    bench.is_empty();
}

#[test]
fn an_unsubscribe_is_answered_by_a_last_notify() {
    let mut bench = Bench::new(LIMITS);
    bench.register("sip:a@192.0.2.1", 600);
    bench.subscribe("s1", 60).unwrap();
    bench.expect(&["s1 v0 full active;expires=60 r=active [active registered sip:a@192.0.2.1 600]"]);
    // It waits for the one on its way.
    bench.refresh("s1", 0).unwrap();
    bench.expect(&[]);
    bench.answer("s1", 200);
    bench.expect(&["s1 v1 full terminated;reason=timeout r=active [active registered sip:a@192.0.2.1 600]"]);
    bench.answer("s1", 481);
    bench.is_empty();
}

#[test]
fn a_fetch_is_one_notify() {
    let mut bench = Bench::new(LIMITS);
    bench.subscribe("s1", 0).unwrap();
    bench.expect(&["s1 v0 full terminated;reason=timeout r=init"]);
    bench.answer("s1", 200);
    bench.is_empty();
}

#[test]
fn a_notify_that_fails_ends_the_subscription() {
    for code in [481, 408, 404, 500, 503, 301, 603] {
        let mut bench = Bench::new(LIMITS);
        bench.subscribe("s1", 60).unwrap();
        bench.expect(&["s1 v0 full active;expires=60 r=init"]);
        bench.answer("s1", code);
        bench.is_empty();
    }
}

#[test]
fn a_subscriber_that_asks_for_a_pause_gets_everything_after_it() {
    let mut bench = Bench::new(LIMITS);
    bench.subscribe("s1", 60).unwrap();
    bench.expect(&["s1 v0 full active;expires=60 r=init"]);
    bench.answer_later("s1", 503, 30);
    bench.register("sip:a@192.0.2.1", 600);
    bench.pass(29);
    bench.expect(&[]);
    bench.pass(1);
    bench.expect(&["s1 v1 full active;expires=30 r=active [active registered sip:a@192.0.2.1 570]"]);
    // A pause beyond the end is no reason to stay.
    bench.answer_later("s1", 480, 10);
    bench.is_empty();
    bench.subscribe("s2", 60).unwrap();
    bench.expect(&["s2 v0 full active;expires=60 r=active [active registered sip:a@192.0.2.1 570]"]);
    bench.answer_later("s2", 500, u32::MAX);
    bench.pass(60);
    bench.expect(&["s2 v1 full terminated;reason=timeout r=active [active registered sip:a@192.0.2.1 510]"]);
    bench.answer_later("s2", 500, u32::MAX);
    bench.is_empty();
}

#[test]
fn a_refresh_belongs_to_its_dialog_and_comes_in_order() {
    let mut bench = Bench::new(LIMITS);
    bench.subscribe("s1", 60).unwrap();
    bench.expect(&["s1 v0 full active;expires=60 r=init"]);
    assert_eq!(bench.refresh("s2", 60), Err(Refused::Unknown));
    bench.refresh("s1", 60).unwrap();
    bench.next_cseq("s1", -1);
    assert_eq!(bench.refresh("s1", 60), Err(Refused::OutOfOrder));
    bench.next_cseq("s1", 5);
    bench.refresh("s1", 60).unwrap();
    for (from, to) in
        [("call-s1", "other"), ("tag=remote-s1", "tag=other"), ("Event: reg", "Event: reg;id=2")]
    {
        bench.next_cseq("s1", 1);
        assert_eq!(bench.refresh_with("s1", 60, from, to), Err(Refused::Unknown), "{from}");
    }
    assert!(bench.refresh_with("s1", 60, "Event: reg", "Event: presence").is_err());
}

#[test]
fn subscriptions_are_bounded_in_all_by_address_and_by_source() {
    let limits = Limits { subscriptions: 3, per_aor: 2, per_source: 2, ..LIMITS };
    let mut bench = Bench::new(limits);
    bench.subscribe("s1", 60).unwrap();
    bench.source("192.0.2.8");
    bench.subscribe("s2", 60).unwrap();
    bench.source("192.0.2.9");
    assert_eq!(bench.subscribe("s3", 60), Err(Refused::TooManyForAor));
    bench.source("192.0.2.8");
    bench.subscribe_to("s4", "bob@example.com", 60).unwrap();
    assert_eq!(bench.subscribe_to("s5", "carol@example.com", 60), Err(Refused::TooMany));
    let mut bench = Bench::new(limits);
    bench.source("2001:db8:1:1::1");
    bench.subscribe_to("s1", "a@example.com", 60).unwrap();
    bench.source("2001:db8:1:1:ffff::2");
    bench.subscribe_to("s2", "b@example.com", 60).unwrap();
    assert_eq!(bench.subscribe_to("s3", "c@example.com", 60), Err(Refused::TooManyForSource));
    bench.source("2001:db8:1:2::1");
    bench.subscribe_to("s3", "c@example.com", 60).unwrap();
}

#[test]
fn an_operator_can_end_a_subscription() {
    let mut bench = Bench::new(LIMITS);
    bench.subscribe("s1", 60).unwrap();
    bench.expect(&["s1 v0 full active;expires=60 r=init"]);
    assert!(bench.terminate("s1"));
    bench.answer("s1", 200);
    bench.expect(&["s1 v1 full terminated;reason=deactivated r=init"]);
    bench.answer("s1", 200);
    assert!(!bench.terminate("s1"));
}

#[test]
fn many_changes_become_a_full_document() {
    let mut bench = Bench::new(LIMITS);
    bench.subscribe("s1", 3600).unwrap();
    bench.expect(&["s1 v0 full active;expires=3600 r=init"]);
    for number in 0..100 {
        let contact = format!("sip:a@192.0.2.{number}");
        bench.register(&contact, 600);
        if number > 0 {
            bench.remove(&contact, seawall_location::Removal::Asked);
        }
    }
    bench.answer("s1", 200);
    bench.pass(5);
    bench.expect(&["s1 v1 full active;expires=3595 r=active [active registered sip:a@192.0.2.0 595]"]);
}

#[test]
fn a_document_fits_into_a_datagram() {
    let mut bench = Bench::new(LIMITS);
    for number in 0..1000 {
        bench.register(&format!("sip:{}@192.0.2.1:{}", "a".repeat(100), 1000 + number), 600);
    }
    bench.subscribe("s1", 3600).unwrap();
    let (bytes, contacts) = bench.next_size();
    assert!(bytes <= 60_000, "{bytes}");
    assert!(contacts > 150, "{contacts}");
}
