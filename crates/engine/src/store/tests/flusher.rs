//! The flusher of write-back: whatever the database does, no change is forgotten.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use seawall_modules::events::Gather;
use seawall_modules::store::Loading;
use seawall_storage::StorageError;
use tokio::sync::{Notify, watch};

use super::{Bench, NOW_S, Next, binding};
use crate::limits::LAST_FLUSHES;
use crate::store::flusher::Flusher;

/// More than two groups.
const USERS: usize = 10_000;

/// A server on which everybody has registered and nothing is written.
fn filled() -> Bench {
    let bench = Bench::with("single-instance-sql-write-back", Loading::done());
    for user in 0..USERS {
        let mut events = Vec::new();
        let mut gather = Gather::new(&bench.node, false, &mut events);
        let aor = format!("u{user}@a");
        let mut entry = bench.stored.domain.lock(aor.as_bytes(), NOW_S);
        assert!(entry.insert(&binding("sip:u@a"), &mut gather).is_ok());
    }
    assert_eq!(bench.node.store.unwritten(), USERS);
    bench
}

/// Stops the server.
fn finish(bench: &Bench) {
    let (_stop, stopped) = watch::channel(true);
    let flusher = Flusher { node: Arc::clone(&bench.node), work: Arc::new(Notify::new()), stop: stopped };
    bench.runtime.block_on(flusher.run());
}

#[test]
fn everything_is_written_at_the_end_in_some_groups() {
    let bench = filled();
    finish(&bench);
    assert_eq!((bench.table.rows.lock().len(), bench.node.store.unwritten()), (USERS, 0));
    assert!(bench.table.groups.load(Ordering::Relaxed) < 10);
    assert_eq!(bench.node.store.figures.rows.load(Ordering::Relaxed), USERS as u64);
}

#[test]
fn groups_of_which_nobody_knows_and_refused_ones_are_written_again() {
    let bench = filled();
    bench.table.next.lock().extend([Next::KeepAndLose, Next::Refuse(StorageError::Full)]);
    finish(&bench);
    assert_eq!((bench.table.rows.lock().len(), bench.node.store.unwritten()), (USERS, 0));
}

#[test]
fn what_is_never_taken_stays_noted() {
    let bench = filled();
    let refusals = (0..10 * LAST_FLUSHES).map(|_| Next::Refuse(StorageError::Full));
    bench.table.next.lock().extend(refusals);
    finish(&bench);
    assert_eq!((bench.table.rows.lock().len(), bench.node.store.unwritten()), (0, USERS));
}

#[test]
fn what_another_server_has_taken_is_not_written_any_more() {
    let bench = filled();
    let by = "another server".to_owned();
    bench.table.next.lock().push_back(Next::Refuse(StorageError::TakenOver { table: "location".into(), by }));
    finish(&bench);
    assert_eq!((bench.table.rows.lock().len(), bench.node.store.unwritten()), (0, 0));
    assert!(bench.node.store.ownership.is_lost());
    // What still changes is not gathered.
    let mut events = Vec::new();
    let mut gather = Gather::new(&bench.node, false, &mut events);
    bench.stored.domain.lock(b"late@a", NOW_S).insert(&binding("sip:late@a"), &mut gather).unwrap();
    drop(gather);
    finish(&bench);
    assert_eq!((bench.table.rows.lock().len(), bench.node.store.unwritten()), (0, 0));
}
