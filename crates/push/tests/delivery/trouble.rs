use std::sync::Arc;
use std::time::{Duration, Instant};

use seawall_push::{Cancel, Outcome, Sender, Services};
use tokio::sync::oneshot;

use crate::apns::{call, options};
use crate::common::{Fake, PATIENCE, Reply, push, roots, sender};

#[tokio::test]
async fn a_server_that_ails_is_asked_again() {
    let fake = Fake::start().await;
    fake.script([Reply::status(503, ""), Reply::status(500, r#"{"reason":"InternalServerError"}"#)]);
    let sender = sender(&options(&fake).0);
    assert_eq!(push(&sender, call(), PATIENCE).await, Outcome::Accepted);
    let lane = sender.status()[0].lane;
    assert_eq!((lane.sent, lane.accepted, lane.failed), (3, 1, 0));
    assert!(lane.latency_us >= 600_000, "two pauses: {lane:?}");
    assert_eq!(lane.latency_us, lane.latency_most_us);
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    let fake = Fake::start().await;
    fake.script([Reply::status(429, r#"{"reason":"TooManyRequests"}"#).header("retry-after", "1")]);
    let sender = sender(&options(&fake).0);
    let began = Instant::now();
    assert_eq!(push(&sender, call(), PATIENCE).await, Outcome::Accepted);
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_pause_that_is_longer_than_the_caller_waits_ends_the_push_and_holds_the_others() {
    let fake = Fake::start().await;
    fake.script([Reply::status(503, "").header("retry-after", "60")]);
    let sender = sender(&options(&fake).0);
    let outcome = push(&sender, call(), Duration::from_secs(3)).await;
    assert_eq!(outcome, Outcome::Failed("503".to_owned()));
    assert!(sender.status()[0].held);
    assert_eq!(push(&sender, call(), Duration::from_secs(3)).await, Outcome::Late);
    assert_eq!(fake.seen().len(), 1, "the service is left alone");
}

#[tokio::test]
async fn a_connection_that_breaks_is_made_anew() {
    let fake = Fake::start().await;
    fake.script([Reply::status(200, ""), Reply::Break]);
    let sender = sender(&options(&fake).0);
    assert_eq!(push(&sender, call(), PATIENCE).await, Outcome::Accepted);
    assert_eq!(push(&sender, call(), PATIENCE).await, Outcome::Accepted);
    assert_eq!(fake.connections(), 2);
}

#[tokio::test]
async fn after_goaway_the_next_push_takes_a_new_connection() {
    let fake = Fake::start().await;
    fake.script([Reply::GoAway]);
    let sender = sender(&options(&fake).0);
    for _ in 0..3 {
        assert_eq!(push(&sender, call(), PATIENCE).await, Outcome::Accepted);
    }
    assert_eq!(fake.connections(), 2);
}

#[tokio::test]
async fn a_server_that_is_silent_costs_no_more_than_the_callers_patience() {
    let fake = Fake::start().await;
    fake.always(Reply::Silence);
    let sender = sender(&options(&fake).0);
    let began = Instant::now();
    let outcome = push(&sender, call(), Duration::from_millis(700)).await;
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(sender.waiting(), 0);
}

#[tokio::test]
async fn nobody_listens() {
    let fake = Fake::start().await;
    let (mut options, _) = options(&fake);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    options.apns.as_mut().unwrap().url = format!("https://localhost:{free}");
    let outcome = push(&sender(&options), call(), Duration::from_millis(500)).await;
    assert!(matches!(&outcome, Outcome::Failed(reason) if reason.contains("connect")), "{outcome:?}");
}

#[tokio::test]
async fn a_server_with_a_certificate_of_a_stranger_gets_nothing() {
    let (fake, stranger) = (Fake::start().await, Fake::start().await);
    let (mut options, _) = options(&fake);
    options.roots = roots(&stranger);
    let outcome = push(&sender(&options), call(), Duration::from_millis(500)).await;
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
    assert!(fake.seen().is_empty());
}

#[tokio::test]
async fn failures_in_a_row_stop_the_pushes_for_a_while() {
    let fake = Fake::start().await;
    fake.always(Reply::status(500, ""));
    let sender = sender(&options(&fake).0);
    for _ in 0..10 {
        let outcome = push(&sender, call(), Duration::from_millis(150)).await;
        assert_eq!(outcome, Outcome::Failed("500".to_owned()));
    }
    assert!(sender.status()[0].held);
    assert_eq!(push(&sender, call(), Duration::from_millis(150)).await, Outcome::Late);
    assert_eq!(fake.seen().len(), 10);
    fake.always(Reply::status(200, ""));
    assert_eq!(push(&sender, call(), PATIENCE).await, Outcome::Accepted, "it is tried again later");
    assert!(!sender.status()[0].held);
}

#[tokio::test]
async fn the_rate_is_kept_and_what_comes_too_late_is_not_sent() {
    let fake = Fake::start().await;
    let (mut options, _) = options(&fake);
    options.rate_per_s = 10;
    let sender = sender(&options);
    let all: Vec<_> = (0..30)
        .map(|_| tokio::spawn(sender.deliver(call(), Duration::from_millis(450), Cancel::default())))
        .collect();
    let mut late = 0;
    for one in all {
        late += usize::from(one.await.unwrap() == Outcome::Late);
    }
    // A second's worth at once, and one more every 100 ms.
    assert!((14..=16).contains(&late), "{late}");
    assert_eq!(fake.seen().len() + late, 30);
}

#[tokio::test]
async fn what_the_caller_gave_up_is_not_sent_any_more() {
    let fake = Fake::start().await;
    fake.script([Reply::status(500, "")]);
    let sender = sender(&options(&fake).0);
    let (done, outcome) = oneshot::channel();
    let cancel = sender.push(
        call(),
        PATIENCE,
        Box::new(move |push, outcome| {
            assert_eq!(push.reason, "ini-INVITE");
            done.send(outcome.clone()).unwrap();
        }),
    );
    fake.requests(1).await;
    cancel.cancel();
    assert_eq!(outcome.await.unwrap(), Outcome::Cancelled);
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn no_more_wait_than_there_is_room_for() {
    let fake = Fake::start().await;
    fake.always(Reply::Silence);
    let services = Services::load(&options(&fake).0).unwrap();
    let sender = Sender::with_room(services, tokio::runtime::Handle::current(), 2);
    let waiting: Vec<_> = (0..2)
        .map(|_| tokio::spawn(sender.deliver(call(), Duration::from_secs(1), Cancel::default())))
        .collect();
    fake.requests(2).await;
    assert_eq!(push(&sender, call(), PATIENCE).await, Outcome::Full);
    for one in waiting {
        assert!(matches!(one.await.unwrap(), Outcome::Failed(_)));
    }
    assert_eq!(sender.waiting(), 0);
}

#[tokio::test]
async fn other_keys_are_taken_without_losing_counts() {
    let fake = Fake::start().await;
    let (first, _) = options(&fake);
    let sender = sender(&first);
    assert_eq!(push(&sender, call(), PATIENCE).await, Outcome::Accepted);
    let (second, point) = options(&fake);
    sender.replace(Arc::new(Services::load(&second).unwrap()));
    assert_eq!(push(&sender, call(), PATIENCE).await, Outcome::Accepted);
    let seen = fake.seen();
    crate::common::claims(seen[1].header("authorization").strip_prefix("bearer ").unwrap(), &point);
    assert_eq!(sender.status()[0].lane.accepted, 2);
    sender.replace(Arc::default());
    assert_eq!(push(&sender, call(), PATIENCE).await, Outcome::NoSender);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_phones_are_pushed_over_few_connections_within_ten_seconds() {
    let fake = Fake::start().await;
    let sender = sender(&options(&fake).0);
    // The service of the test runs on the same cores, and slowly without optimisation.
    let limit = Duration::from_secs(if cfg!(debug_assertions) { 60 } else { 10 });
    let began = Instant::now();
    let all: Vec<_> =
        (0..10_000).map(|_| tokio::spawn(sender.deliver(call(), limit, Cancel::default()))).collect();
    for one in all {
        assert_eq!(one.await.unwrap(), Outcome::Accepted);
    }
    assert!(began.elapsed() < limit, "{:?}", began.elapsed());
    // Those who come while the first connection comes up may make one more each.
    assert!(fake.connections() <= 8, "{}", fake.connections());
}
