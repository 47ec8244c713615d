//! The writer: commits what the journal has gathered, group by group.
//!
//! There is no timer: the next group is whatever came while the last one was on its way to the disk, so that a lone
//! REGISTER is written at once and a thousand at a time share one commit.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use seawall_modules::node::Node;
use seawall_modules::store::{Fate, Operation, limits, take_back, take_back_late};
use seawall_net::unix_s;
use seawall_storage::StorageError;
use seawall_storage::location::RowChange;
use tokio::sync::{Notify, watch};

use super::owner;
use crate::limits::{REPLAY_AFTER_MS, REPLAY_AT_MOST_MS};

/// The task that writes.
pub struct Writer {
    /// The server.
    pub node: Arc<Node>,
    /// Rung when the journal has something.
    pub work: Arc<Notify>,
    /// Says when the server stops.
    pub stop: watch::Receiver<bool>,
    /// Tells those who wait that something is decided.
    pub told: Box<dyn Fn() + Send + Sync>,
}

impl Writer {
    /// Writes until the server stops and everything is written.
    pub async fn run(mut self) {
        let mut group = Vec::new();
        loop {
            let until = self.node.store.journal.take(limits::GROUP, &mut group);
            if !group.is_empty() {
                self.commit(std::mem::take(&mut group)).await;
            }
            if until > self.node.store.journal.settled() {
                self.node.store.journal.settle(until);
                (self.told)();
                continue;
            }
            self.sweep().await;
            if *self.stop.borrow() {
                return;
            }
            tokio::select! {
                () = self.work.notified() => {}
                _ = self.stop.changed() => {}
            }
        }
    }

    /// Commits a group, table by table, and takes back what a database did not take.
    async fn commit(&self, group: Vec<Operation>) {
        let mut parts: VecDeque<Vec<Operation>> = VecDeque::new();
        for operation in group {
            match parts
                .iter_mut()
                .find(|part| part.first().is_some_and(|first| first.table == operation.table))
            {
                Some(part) => part.push(operation),
                None => parts.push_back(vec![operation]),
            }
        }
        let mut failed: Vec<Operation> = Vec::new();
        while let Some(mut part) = parts.pop_front() {
            let lost: HashSet<(u16, &[u8])> =
                failed.iter().map(|failed| (failed.table, &*failed.aor)).collect();
            let (behind, mut good): (Vec<_>, Vec<_>) =
                part.drain(..).partition(|operation| lost.contains(&(operation.table, &*operation.aor)));
            drop(lost);
            failed.extend(behind);
            match self.write(&mut good).await {
                Ok(()) => {
                    self.kept(&good);
                }
                // One value that the database does not take must not be the ruin of all who came with it.
                Err(error) if good.len() > 1 && is_about_values(&error) => {
                    let second = good.split_off(good.len() / 2);
                    parts.push_front(second);
                    parts.push_front(good);
                }
                Err(error) => {
                    if !owner::note_loss(&self.node, &error) {
                        tracing::error!("{} changes of bindings are not kept: {error}", good.len());
                    }
                    failed.append(&mut good);
                }
            }
        }
        if !failed.is_empty() {
            failed.sort_unstable_by_key(|operation| operation.sequence);
            take_back(&self.node, &failed, unix_s());
        }
    }

    /// Tells those who wait that the database has it, and takes back what came too late for its client.
    fn kept(&self, group: &[Operation]) {
        for (index, operation) in group.iter().enumerate() {
            let fate = operation.ticket.as_ref().map_or(Fate::Kept, |ticket| ticket.decide(Fate::Kept));
            if fate == Fate::Failed {
                let mut rest = group.iter().skip(index + 1);
                let is_followed = rest.any(|later| *later.aor == *operation.aor);
                take_back_late(&self.node, operation, is_followed, unix_s());
            }
        }
    }

    /// Writes operations of one table in one transaction. While it is not known what became of them, they are written
    /// again: they come to the same. Their changes are gone afterwards, unless something is wrong with a value.
    async fn write(&self, operations: &mut [Operation]) -> Result<(), StorageError> {
        let Some(first) = operations.first() else { return Ok(()) };
        let Some(table) = self.node.store.table_number(first.table) else { return Ok(()) };
        let figures = &self.node.store.figures;
        let mut pause_ms = REPLAY_AFTER_MS;
        let mut is_unknown = false;
        let counts: Vec<usize> = operations.iter().map(|operation| operation.changes.len()).collect();
        let changes = operations.iter_mut().flat_map(|operation| std::mem::take(&mut operation.changes));
        let changes: Arc<Vec<RowChange>> = Arc::new(changes.collect());
        if changes.is_empty() {
            return Ok(());
        }
        loop {
            match table.backend.apply_shared(Arc::clone(&changes)).await {
                Ok(()) => {
                    figures.commits.fetch_add(1, Ordering::Relaxed);
                    figures.rows.fetch_add(changes.len() as u64, Ordering::Relaxed);
                    return Ok(());
                }
                Err(error @ StorageError::Unknown(_)) => {
                    tracing::warn!("{}: {error}; writing it again", table.domain.name());
                    is_unknown = true;
                }
                // It may have been done the first time, so it cannot be taken back before a database says so.
                Err(error) if is_unknown && error.may_pass() && !*self.stop.borrow() => {
                    tracing::warn!(
                        "{}: {error}; still not known what became of a change",
                        table.domain.name()
                    );
                }
                Err(error) => {
                    give_back(Arc::unwrap_or_clone(changes), &counts, operations);
                    return Err(error);
                }
            }
            figures.replays.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            pause_ms = (pause_ms * 2).min(REPLAY_AT_MOST_MS);
        }
    }

    /// Removes what has ended from the tables, where the journal had no room for it.
    async fn sweep(&self) {
        if !self.node.store.takes_sweep() {
            return;
        }
        for table in self.node.store.tables() {
            let now_s = i64::try_from(unix_s()).unwrap_or(i64::MAX);
            match table.backend.delete_expired(now_s).await {
                Ok(rows) => tracing::info!("{}: {rows} expired rows swept out", table.domain.name()),
                Err(error) => tracing::error!("{}: expired rows stay: {error}", table.domain.name()),
            }
        }
    }
}

/// Puts changes back to the operations that they are of: one half of them may be tried again.
fn give_back(changes: Vec<RowChange>, counts: &[usize], operations: &mut [Operation]) {
    let mut changes = changes.into_iter();
    for (operation, count) in operations.iter_mut().zip(counts) {
        operation.changes.extend(changes.by_ref().take(*count));
    }
}

/// Whether another group might be taken although this one was not.
fn is_about_values(error: &StorageError) -> bool {
    matches!(error, StorageError::Data(_) | StorageError::Duplicate | StorageError::Query(_))
}
