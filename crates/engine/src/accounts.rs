//! Writes records of accounting, on the control side's runtime. Nobody waits for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use seawall_modules::acc::Entry;
use seawall_modules::node::Node;
use seawall_modules::store::limits::ACCOUNTS_AT_ONCE;
use seawall_storage::{Cell, StorageError};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// How soon it is tried again after a database failed.
const AGAIN: Duration = Duration::from_secs(1);

/// How long a stop waits for a database that has records to take.
const LAST: Duration = Duration::from_secs(3);

/// The task that writes.
pub(crate) struct Tasks {
    stop: watch::Sender<bool>,
    writer: JoinHandle<()>,
}

impl Tasks {
    /// Writes what is left, and ends.
    pub(crate) async fn finish(self) {
        let _ = self.stop.send(true);
        let _ = self.writer.await;
    }
}

/// Begins to write.
pub(crate) fn start(node: &Arc<Node>, runtime: &Handle) -> Tasks {
    let work = Arc::new(Notify::new());
    let (stop, stopped) = watch::channel(false);
    let bell = Arc::clone(&work);
    node.accounts.on_work(move || bell.notify_one());
    let writer = runtime.spawn(run(Arc::clone(node), work, stopped));
    Tasks { stop, writer }
}

async fn run(node: Arc<Node>, work: Arc<Notify>, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        if write_all(&node).await {
            tokio::select! {
                () = work.notified() => {}
                _ = stop.changed() => {}
            }
        } else {
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                _ = stop.changed() => {}
            }
        }
    }
    let is_done = tokio::time::timeout(LAST, async { while !write_all(&node).await {} }).await.is_ok();
    if !is_done || node.accounts.waiting() > 0 {
        tracing::error!("acc: {} records are lost with this process", node.accounts.waiting());
    }
}

/// Writes everything that waits. False when a database cannot take it now.
async fn write_all(node: &Node) -> bool {
    loop {
        let entries = node.accounts.take(ACCOUNTS_AT_ONCE);
        if entries.is_empty() {
            return true;
        }
        if let Err(entries) = write(node, entries).await {
            node.accounts.put_back(entries);
            return false;
        }
    }
}

/// Writes records of one table; gives them back when they can be written later.
async fn write(node: &Node, entries: Vec<Entry>) -> Result<(), Vec<Entry>> {
    let count = entries.len() as u64;
    match insert(node, &entries).await {
        Ok(()) => {
            node.accounts.written.fetch_add(count, Ordering::Relaxed);
            Ok(())
        }
        // Nobody knows what became of them, and a call must not be billed twice.
        Err(error @ StorageError::Unknown(_)) => {
            tracing::error!("acc: it is not known whether {count} records are kept: {error}");
            node.accounts.failed.fetch_add(count, Ordering::Relaxed);
            Ok(())
        }
        Err(error) if error.may_pass() => {
            tracing::error!("acc: {error}; {} records wait", node.accounts.waiting() as u64 + count);
            Err(entries)
        }
        // One value that the database does not take must not be the ruin of all who came with it.
        Err(_) if entries.len() > 1 => {
            let mut left = entries.into_iter();
            while let Some(entry) = left.next() {
                if let Err(mut later) = Box::pin(write(node, vec![entry])).await {
                    later.extend(left);
                    return Err(later);
                }
            }
            Ok(())
        }
        Err(error) => {
            tracing::error!("acc: a record is not kept: {error}");
            node.accounts.failed.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }
}

async fn insert(node: &Node, entries: &[Entry]) -> Result<(), StorageError> {
    let Some(first) = entries.first() else { return Ok(()) };
    let rows: Vec<Vec<Cell>> = entries.iter().map(|entry| entry.cells.clone()).collect();
    let database = first.settings.source.database(node);
    database.insert(&first.table, &first.settings.columns, &rows).await
}
