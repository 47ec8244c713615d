//! Loading a table at the start, while the server serves.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use seawall_modules::node::Node;
use seawall_modules::store::{StoredTable, Taken, limits};
use seawall_net::unix_s;
use seawall_storage::StorageError;
use seawall_storage::location::Page;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

use crate::limits::{LOAD_AGAIN_MS, LOAD_TOLD_EVERY};

/// Reads all rows of a table into memory. A database that fails is asked again.
pub async fn load(node: Arc<Node>, table: Arc<StoredTable>, mut stop: watch::Receiver<bool>) {
    let name = table.domain.name().to_owned();
    let began = Instant::now();
    let (mut after, mut read, mut taken, mut told) = (None, 0_u64, 0_u64, 0_u64);
    let mut ahead = Some(read_page(&table, after));
    while let Some(reading) = ahead.take() {
        if *stop.borrow() {
            return;
        }
        let gone = |error: JoinError| Err(StorageError::Unreachable(error.to_string()));
        let page = match reading.await.unwrap_or_else(gone) {
            Ok(page) => page,
            Err(error) => {
                tracing::error!("{name}: cannot load it, trying again: {error}");
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(LOAD_AGAIN_MS)) => {}
                    _ = stop.changed() => {}
                }
                ahead = Some(read_page(&table, after));
                continue;
            }
        };
        after = page.last;
        // The next one is read while this one goes into memory.
        ahead = after.map(|_| read_page(&table, after));
        let now_s = unix_s();
        for row in &page.rows {
            let is_taken = node.store.take_one(&table, row, now_s) == Taken::Yes;
            taken += u64::from(is_taken);
            node.store.figures.loaded.fetch_add(u64::from(is_taken), Ordering::Relaxed);
        }
        for broken in &page.broken {
            node.store.report_broken(&table, broken.contact_id, &broken.reason);
        }
        read += (page.rows.len() + page.broken.len()) as u64;
        if read / LOAD_TOLD_EVERY > told {
            told = read / LOAD_TOLD_EVERY;
            tracing::info!("{name}: {read} rows read, {taken} bindings loaded so far");
        }
        // A page is some milliseconds of work: let the others of this runtime have their turn.
        tokio::task::yield_now().await;
    }
    if super::upstream::load(&table, &mut stop).await.is_break() {
        return;
    }
    table.loading.finish();
    if let Some(beside) = table.beside.get() {
        beside.resume_all();
    }
    let seconds = began.elapsed().as_secs_f32();
    tracing::info!("{name}: {taken} bindings loaded from {read} rows in {seconds:.1} s");
}

fn read_page(table: &Arc<StoredTable>, after: Option<u64>) -> JoinHandle<Result<Page, StorageError>> {
    let backend = Arc::clone(&table.backend);
    tokio::spawn(async move { backend.page(after, limits::PAGE).await })
}

/// sql-only: nobody sees bindings end in memory, so their rows are looked for every `timer_interval`.
pub async fn sweep(table: Arc<StoredTable>, interval_s: u32, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(u64::from(interval_s))) => {}
            _ = stop.changed() => return,
        }
        let now_s = i64::try_from(unix_s()).unwrap_or(i64::MAX);
        if let Err(error) = table.backend.delete_expired(now_s).await {
            tracing::error!("{}: expired rows stay until the next time: {error}", table.domain.name());
        }
    }
}
