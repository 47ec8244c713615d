//! Of several servers that have a table in memory the one that took it last writes it, and nobody else.

use std::sync::atomic::{AtomicBool, Ordering};

use seawall_storage::StorageError;
use seawall_storage::location::{LocationTable, RowChange};

use crate::common::{all, row, table, upsert};
use crate::server::database;
use crate::servers::Server;

/// A server of its own, with connections of its own.
fn owner(server: &Server) -> LocationTable {
    table(&database(&server.url())).owned()
}

fn is_taken_over(error: &StorageError) -> bool {
    let own = format!("process {}", std::process::id());
    matches!(error, StorageError::TakenOver { table, by } if table == "location" && by.starts_with(&own))
}

/// Goes through it with an empty table, which it leaves empty.
pub async fn check(server: &Server) {
    the_last_one_writes(server).await;
    nothing_comes_after_it_was_taken(server).await;
    server.sql("DELETE FROM location");
}

async fn the_last_one_writes(server: &Server) {
    let (first, second, others) = (owner(server), owner(server), table(&database(&server.url())));
    assert!(first.can_be_taken() && !others.can_be_taken());
    // Who has taken nothing writes nothing.
    let error = first.apply(vec![upsert(&row(1, "alice"))]).await.unwrap_err();
    assert!(matches!(&error, StorageError::TakenOver { by, .. } if by.contains("nobody")), "{error}");
    first.check_owner().await.unwrap();
    first.take().await.unwrap();
    first.apply(vec![upsert(&row(1, "alice")), upsert(&row(2, "bob"))]).await.unwrap();
    let delete = |contact_id| RowChange::Delete { contact_id };
    first.apply(vec![upsert(&row(3, "carol")), delete(2)]).await.unwrap();
    first.apply(vec![delete(1)]).await.unwrap();
    first.check_owner().await.unwrap();
    assert_eq!(all(&others, 10).await, [row(3, "carol")]);

    second.take().await.unwrap();
    second.apply(vec![upsert(&row(4, "dave"))]).await.unwrap();
    for changes in [
        vec![upsert(&row(5, "erin"))],
        vec![delete(4)],
        vec![upsert(&row(3, "changed")), delete(4)],
        (10..2000).map(|id| upsert(&row(id, "many"))).collect(),
    ] {
        let error = first.apply(changes).await.unwrap_err();
        assert!(is_taken_over(&error) && !error.may_pass(), "{error}");
    }
    assert!(is_taken_over(&first.check_owner().await.unwrap_err()));
    // What it has lost it does not take again.
    first.take().await.unwrap();
    assert!(is_taken_over(&first.apply(vec![delete(4)]).await.unwrap_err()));
    second.check_owner().await.unwrap();
    // Who shares the table is not kept from it, and keeps nobody from it.
    others.apply(vec![delete(3)]).await.unwrap();
    second.apply(vec![upsert(&row(6, "frank"))]).await.unwrap();
    assert_eq!(all(&second, 10).await, [row(4, "dave"), row(6, "frank")]);
    // What goes with a table is taken with it.
    let beside = table(&database(&server.url())).owned_with(&first);
    assert!(is_taken_over(&beside.apply(vec![delete(4)]).await.unwrap_err()));
    server.sql("DELETE FROM location");
}

/// One writes group after group while the other one takes the table: what the former was told is kept is there when the
/// latter begins to read, and nothing comes later.
async fn nothing_comes_after_it_was_taken(server: &Server) {
    for _ in 0..10 {
        let (first, second) = (owner(server), owner(server));
        first.take().await.unwrap();
        let (begun, writer) = (std::sync::Arc::new(AtomicBool::new(false)), first.clone());
        let has_begun = std::sync::Arc::clone(&begun);
        let writing = tokio::spawn(async move {
            for group in 0.. {
                let rows = (0..20).map(|id| upsert(&row(group * 20 + id + 1, "many")));
                if let Err(error) = writer.apply(rows.collect()).await {
                    return (group, error);
                }
                has_begun.store(true, Ordering::Release);
            }
            unreachable!()
        });
        while !begun.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        second.take().await.unwrap();
        let taken = all(&second, 1000).await.len() as u64;
        let (groups, error) = writing.await.unwrap();
        assert!(is_taken_over(&error), "{error}");
        assert_eq!((taken, second.count().await.unwrap()), (groups * 20, groups * 20));
        server.sql("DELETE FROM location");
    }
}
