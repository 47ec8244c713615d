//! What the main registrars hold, in a table beside the bindings (`mid_registrar`): read at the start or before its turn,
//! written when it has changed.
//!
//! With write-through it is written as soon as the last group is on disk, and nobody waits for it: a registration that is
//! missing after a crash costs one forwarded REGISTER, and one without its binding is taken away. With write-back it is
//! written every `timer_interval`.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use seawall_modules::configuration::Configuration;
use seawall_modules::mid_registrar::{Front, kept};
use seawall_modules::node::Node;
use seawall_modules::store::{Backend, Beside, Doing, StoredTable, limits, user_and_host};
use seawall_net::unix_s;
use seawall_storage::StorageError;
use tokio::sync::{Mutex, Notify, watch};

use super::owner;
use super::table::PreparedTable;
use crate::limits::{LAST_FLUSHES, LOAD_AGAIN_MS, REPLAY_AT_MOST_MS};

/// The registrations of one location table, and where they are kept.
pub struct Registrations {
    node: Arc<Node>,
    table: Arc<StoredTable>,
    front: Arc<Front>,
    backend: PreparedTable,
    /// One writes at a time, so that what is older does not come last.
    writing: Mutex<()>,
}

/// Whether a script is in front of main registrars.
pub fn is_used(configuration: &Configuration) -> bool {
    configuration.settings.mid.is_some()
}

/// Has what the main registrars hold for a table kept in `backend`. Gives the task that writes it.
pub fn start(
    node: &Arc<Node>,
    table: &Arc<StoredTable>,
    backend: PreparedTable,
    stop: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send + 'static {
    let front = node.fronts.front(&table.domain);
    let work = Arc::new(Notify::new());
    let bell = Arc::clone(&work);
    let all = Arc::new(Registrations {
        node: Arc::clone(node),
        table: Arc::clone(table),
        front: Arc::clone(&front),
        backend,
        writing: Mutex::default(),
    });
    let _ = table.beside.set(Arc::clone(&all) as Arc<dyn Beside>);
    front.keep(move || bell.notify_one());
    run(all, work, stop)
}

/// Writes what has changed until the server stops.
async fn run(all: Arc<Registrations>, work: Arc<Notify>, mut stop: watch::Receiver<bool>) {
    let store = &all.node.store;
    let interval_s = store.settings().map_or(60, |settings| settings.interval_s);
    let pause = if store.is_back() { Some(Duration::from_secs(u64::from(interval_s))) } else { None };
    while !*stop.borrow() {
        tokio::select! {
            () = work.notified() => {}
            _ = stop.changed() => break,
        }
        if let Some(pause) = pause {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stop.changed() => break,
            }
        }
        if let Err(error) = all.write().await {
            if owner::note_loss(&all.node, &error) {
                return;
            }
            tracing::error!("{}: {error}; trying again", all.name());
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(LOAD_AGAIN_MS)) => {}
                _ = stop.changed() => break,
            }
            work.notify_one();
        }
    }
    for _ in 0..LAST_FLUSHES {
        match all.write().await {
            Ok(()) => return,
            Err(error) if owner::note_loss(&all.node, &error) => return,
            Err(error) => tracing::error!("{}: {error}", all.name()),
        }
        tokio::time::sleep(Duration::from_millis(REPLAY_AT_MOST_MS)).await;
    }
}

/// Reads all registrations of a table, if any are kept, until that has worked or the server stops.
pub async fn load(table: &StoredTable, stop: &mut watch::Receiver<bool>) -> ControlFlow<()> {
    let Some(beside) = table.beside.get() else { return ControlFlow::Continue(()) };
    while let Err(error) = beside.load().await {
        tracing::error!(
            "{}: cannot load what main registrars hold, trying again: {error}",
            table.domain.name()
        );
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(LOAD_AGAIN_MS)) => {}
            _ = stop.changed() => return ControlFlow::Break(()),
        }
    }
    ControlFlow::Continue(())
}

impl Registrations {
    fn name(&self) -> String {
        kept::table_name(self.table.domain.name())
    }

    async fn write(&self) -> Result<(), StorageError> {
        let _one = self.writing.lock().await;
        let names = self.table.domain.names();
        let use_domain = self.node.store.uses_domain();
        let mut all = Vec::new();
        loop {
            let has_more = self.front.upstream.take_changed(limits::GROUP, &mut all);
            let mut changes = Vec::new();
            for one in &all {
                kept::changes(one, names, use_domain, self.front.upstream.number(&one.aor), &mut changes);
            }
            if !changes.is_empty()
                && let Err(error) = self.backend.apply(changes).await
            {
                all.iter().for_each(|one| self.front.upstream.note_again(one));
                return Err(error);
            }
            all.clear();
            if !has_more {
                return Ok(());
            }
        }
    }

    fn resume_one(&self, aor: &[u8]) {
        let configuration = self.node.configuration.load();
        if let Some(settings) = &configuration.settings.mid {
            self.front.with(&self.node, settings, unix_s(), |mid| mid.resume(aor));
        }
    }

    async fn load_all(&self) -> Result<(), StorageError> {
        let (names, use_domain) = (self.table.domain.names(), self.node.store.uses_domain());
        let mut after = None;
        loop {
            let page = self.backend.page(after, limits::PAGE).await?;
            for row in &page.rows {
                let Some(one) = kept::registration(row, names, use_domain) else {
                    self.node.store.report_broken(&self.table, row.contact_id, &"it is no registration");
                    continue;
                };
                self.front.upstream.restore(&one, || self.table.loading.knows(&one.aor));
            }
            for broken in &page.broken {
                self.node.store.report_broken(&self.table, broken.contact_id, &broken.reason);
            }
            after = page.last;
            if after.is_none() {
                return Ok(());
            }
        }
    }
}

impl Beside for Registrations {
    fn read<'a>(&'a self, aor: &'a [u8]) -> Doing<'a, ()> {
        Box::pin(async move {
            let use_domain = self.node.store.uses_domain();
            let (user, host) = user_and_host(aor, use_domain);
            let rows = self.backend.rows_of(user, use_domain.then_some(host)).await?;
            let kept = kept::gather(aor, &rows, self.table.domain.names(), use_domain);
            self.front.upstream.restore(&kept, || self.table.loading.knows(aor));
            Ok(())
        })
    }

    fn resume(&self, aor: &[u8]) {
        self.resume_one(aor);
    }

    fn load(&self) -> Doing<'_, ()> {
        Box::pin(self.load_all())
    }

    fn resume_all(&self) {
        for shard in 0..self.front.upstream.shard_count() {
            self.front.upstream.aors(shard).iter().for_each(|aor| self.resume_one(aor));
        }
    }

    fn flush(&self) -> Doing<'_, ()> {
        Box::pin(async move {
            self.write().await?;
            self.backend.settle().await
        })
    }
}
