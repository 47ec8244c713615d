//! Write-back: writes what has changed every `timer_interval`, and everything when the server stops.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use seawall_modules::node::Node;
use seawall_modules::store::{Spare, StoredTable, limits, row};
use seawall_net::unix_s;
use seawall_storage::StorageError;
use seawall_storage::location::RowChange;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::owner;
use crate::limits::{FLUSH_PAUSE_MS, LAST_FLUSHES, REPLAY_AT_MOST_MS, SETTLE_AT_ONCE};

/// The task that writes.
pub struct Flusher {
    /// The server.
    pub node: Arc<Node>,
    /// Rung when somebody wants it to be written, or when too much has changed.
    pub work: Arc<Notify>,
    /// Says when the server stops.
    pub stop: watch::Receiver<bool>,
}

/// A group on its way to the disk.
struct UnderWay {
    ids: Vec<u64>,
    done: JoinHandle<Result<Vec<RowChange>, StorageError>>,
}

impl Flusher {
    /// Writes until the server stops and everything is written.
    pub async fn run(mut self) {
        let interval_s = self.node.store.settings().map_or(60, |settings| settings.interval_s);
        let interval = Duration::from_secs(u64::from(interval_s));
        let mut next = Instant::now() + interval;
        while !*self.stop.borrow() {
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.work.notified() => {}
                _ = self.stop.changed() => break,
            }
            next = Instant::now() + interval;
            let asked = self.node.store.flush_asked();
            match self.flush(false).await {
                Ok(()) => self.node.store.note_flushed(asked),
                Err(error) if owner::note_loss(&self.node, &error) => return,
                Err(error) => {
                    let left = self.node.store.unwritten();
                    tracing::error!(
                        "{left} changed bindings are not written yet, trying again later: {error}"
                    );
                }
            }
        }
        self.finish().await;
    }

    /// The last chance.
    async fn finish(&self) {
        for _ in 0..LAST_FLUSHES {
            match self.flush(true).await {
                Ok(()) => return,
                Err(error) if owner::note_loss(&self.node, &error) => return,
                Err(error) => tracing::error!("the last changes of bindings are not written: {error}"),
            }
            sleep(Duration::from_millis(REPLAY_AT_MOST_MS)).await;
        }
        tracing::error!("{} changes of bindings are lost with this process", self.node.store.unwritten());
    }

    async fn flush(&self, is_last: bool) -> Result<(), StorageError> {
        for table in self.node.store.tables() {
            let rows_before = self.node.store.figures.rows.load(Ordering::Relaxed);
            let mut under_way = None;
            let done = self.flush_table(&table, is_last, &mut under_way).await;
            // Also after an error: what has been given away comes back.
            let last = self.written(&table, under_way.take()).await;
            done.and(last)?;
            let has_written = self.node.store.figures.rows.load(Ordering::Relaxed) != rows_before;
            // It is on disk. Whoever looks into the table after an interval should find it there too, where that is little;
            // much goes there at its time, once for several intervals. At the end that is done for both modes.
            if has_written
                && !is_last
                && let Err(error) = table.backend.settle_few(SETTLE_AT_ONCE).await
            {
                tracing::warn!("{}: what was written is not in the table yet: {error}", table.domain.name());
            }
        }
        if self.node.store.takes_sweep() {
            for table in self.node.store.tables() {
                table.backend.delete_expired(i64::try_from(unix_s()).unwrap_or(i64::MAX)).await?;
            }
        }
        Ok(())
    }

    /// Writes what has changed of a table. While a group is on its way to the disk, the next one is read out of memory.
    async fn flush_table(
        &self,
        table: &Arc<StoredTable>,
        is_last: bool,
        under_way: &mut Option<UnderWay>,
    ) -> Result<(), StorageError> {
        let most = if is_last { limits::LAST_FLUSH } else { limits::FLUSH };
        let (mut ids, mut spare) = (Vec::new(), Spare::default());
        for part in 0..table.dirty.parts() {
            // Nobody who notes something waits for longer than two sets take to change places.
            table.dirty.take(part, &mut spare, &mut ids);
            while ids.len() >= most {
                let group = ids.split_off(ids.len() - most);
                if let Err(error) = self.write(table, group, is_last, under_way).await {
                    table.dirty.put_back(&ids);
                    return Err(error);
                }
            }
        }
        self.write(table, ids, is_last, under_way).await
    }

    /// Writes what memory holds of these bindings now, after what is under way. When that fails, these are noted again.
    async fn write(
        &self,
        table: &Arc<StoredTable>,
        ids: Vec<u64>,
        is_last: bool,
        under_way: &mut Option<UnderWay>,
    ) -> Result<(), StorageError> {
        if ids.is_empty() {
            return Ok(());
        }
        // One by one: the shard of a binding is locked while that one is copied.
        let changes: Vec<RowChange> = ids.iter().map(|id| self.change(table, *id)).collect();
        if let Err(error) = self.written(table, under_way.take()).await {
            table.dirty.put_back(&ids);
            return Err(error);
        }
        let backend = Arc::clone(&table.backend);
        *under_way = Some(UnderWay { ids, done: tokio::spawn(async move { backend.apply(changes).await }) });
        if !is_last {
            // Requests come first: there is time until the next interval.
            self.written(table, under_way.take()).await?;
            sleep(Duration::from_millis(FLUSH_PAUSE_MS)).await;
        }
        Ok(())
    }

    /// Waits for a group. When it fails, or nobody knows, its bindings are noted again.
    async fn written(&self, table: &StoredTable, group: Option<UnderWay>) -> Result<(), StorageError> {
        let Some(UnderWay { ids, done }) = group else { return Ok(()) };
        let gone = || StorageError::Unknown("the task that wrote has failed".to_owned());
        if let Err(error) = done.await.unwrap_or_else(|_| Err(gone())) {
            table.dirty.put_back(&ids);
            return Err(error);
        }
        table.dirty.written(ids.len());
        let figures = &self.node.store.figures;
        figures.commits.fetch_add(1, Ordering::Relaxed);
        figures.rows.fetch_add(ids.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn change(&self, table: &StoredTable, contact_id: u64) -> RowChange {
        let store = &self.node.store;
        let (flags, names) = (store.flags(), table.domain.names());
        let found = table.domain.contact(contact_id, |aor, binding| {
            Box::new(row(aor, binding, names, &flags, store.uses_domain()))
        });
        found.map_or(RowChange::Delete { contact_id }, RowChange::Upsert)
    }
}
