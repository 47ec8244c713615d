//! The flusher of write-back: whatever the database does, no change is forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use seawall_modules::events::Gather;
use seawall_modules::store::{Loading, limits};
use seawall_storage::StorageError;
use seawall_storage::location::RowChange;
use tokio::sync::{Notify, watch};

use super::{Bench, NOW_S, Next, binding, row};
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

/// An earlier version has made contact ids in another way.
#[test]
fn a_binding_with_a_foreign_id_is_written_under_ours_and_not_under_both() {
    let bench = Bench::with("single-instance-sql-write-back", Loading::default());
    let foreign = 3_846_035_968_840_385_594;
    bench.table.rows.lock().insert(foreign, row(foreign, "alice", "sip:one@a", NOW_S as i64 * 2));
    assert!(!bench.stored.domain.leads_to(foreign, b"alice@a"));
    let (_stop, stopped) = watch::channel(false);
    let (node, stored) = (Arc::clone(&bench.node), Arc::clone(&bench.stored));
    bench.runtime.block_on(crate::store::loader::load(node, stored, stopped));
    finish(&bench);
    let rows = bench.table.rows.lock();
    let [id] = rows.keys().copied().collect::<Vec<_>>()[..] else { panic!("{rows:?}") };
    assert!(id != foreign && bench.stored.domain.leads_to(id, b"alice@a"));
    assert_eq!(bench.contacts("alice@a"), ["sip:one@a"]);
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

/// While a group is on its way to the disk no shard is locked and everybody may note what he changes; beside requests groups are
/// small.
#[test]
fn a_flush_holds_no_lock_that_a_worker_wants() {
    let bench = filled();
    let largest = Arc::new(AtomicUsize::new(0));
    let (stored, seen) = (Arc::clone(&bench.stored), Arc::clone(&largest));
    let late = stored.domain.lock(b"u0@a", NOW_S).bindings().next().map(|binding| binding.numbers.contact_id);
    *bench.table.seen.lock() = Some(Box::new(move |changes: &[RowChange]| {
        seen.fetch_max(changes.len(), Ordering::Relaxed);
        for user in (0..USERS).step_by(100) {
            drop(stored.domain.lock(format!("u{user}@a").as_bytes(), NOW_S));
        }
        stored.dirty.mark(late.unwrap());
    }));
    let (stop, stopped) = watch::channel(false);
    let work = Arc::new(Notify::new());
    let flusher = Flusher { node: Arc::clone(&bench.node), work: Arc::clone(&work), stop: stopped };
    let number = bench.node.store.ask_flush();
    bench.runtime.block_on(async {
        let flushing = tokio::spawn(flusher.run());
        work.notify_one();
        while !bench.node.store.is_flushed(number) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert_eq!(largest.load(Ordering::Relaxed), limits::FLUSH);
        // What was noted meanwhile is there still, once.
        assert_eq!((bench.table.rows.lock().len(), bench.node.store.unwritten()), (USERS, 1));
        *bench.table.seen.lock() = None;
        stop.send(true).unwrap();
        flushing.await.unwrap();
    });
    assert_eq!(bench.node.store.unwritten(), 0);
}
