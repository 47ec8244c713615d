//! Management commands and the database of bindings: they see what it knows, and answer when it has what they change.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use seawall_control::server::{LocationError, Statistic, StatisticKind};
use seawall_location::{Domain, Sink};
use seawall_modules::events::Gather;
use seawall_modules::store::{Fate, Held, limits};
use seawall_net::unix_s;

use super::Management;
use crate::worker::Command;

/// How often it is looked whether a change is kept. Commands run on threads of their own, which may wait.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// How long writing everything may take: a million rows take some seconds.
const FLUSH_PATIENCE: Duration = Duration::from_secs(25);

const FAILED: LocationError = LocationError::Failed("The database fails");
const LOST: LocationError = LocationError::Failed("Another server has taken the tables");

impl Management {
    /// Makes a change and waits until it is kept; event routes that wait for it are run by a worker.
    pub(super) fn changed<R>(
        &self,
        change: impl FnOnce(&mut dyn Sink) -> Result<R, LocationError>,
    ) -> Result<R, LocationError> {
        if self.node.store.ownership.is_lost() {
            return Err(LOST);
        }
        let mut events = Vec::new();
        let listens = self.node.configuration.load().routes.location_events;
        let mut gather = Gather::new(&self.node, listens, &mut events);
        if self.node.store.is_through() {
            gather.wait_for();
        }
        let result = change(&mut gather);
        let drafted = gather.finish();
        drop(gather);
        if let Some(drafted) = drafted {
            let until = Instant::now() + Duration::from_millis(limits::PATIENCE_MS);
            while drafted.ticket.fate() == Fate::Open && Instant::now() < until {
                std::thread::sleep(LOOK_AGAIN);
            }
            if drafted.ticket.fate() != Fate::Kept {
                return Err(FAILED);
            }
        }
        if !events.is_empty() {
            // A worker whose queue is full is overloaded; the change itself stands.
            let _ = self.commands.send(0, Command::Raise(events));
        }
        result
    }

    /// Makes sure that memory is right about an address of record.
    /// What is given keeps it in memory.
    pub(super) fn know(&self, domain: &Domain, aor: &[u8]) -> Result<Option<Held>, LocationError> {
        if self.node.store.settings().is_none() {
            return Ok(None);
        }
        let held = self.node.store.hold(domain, aor);
        let known = self.runtime.block_on(self.node.store.read(domain, aor, unix_s()));
        if known { Ok(held) } else { Err(FAILED) }
    }

    /// Waits until everything that has changed so far is written, and other programs see it in the tables.
    pub(super) fn flush_all(&self) -> Result<(), LocationError> {
        if self.node.store.ownership.is_lost() {
            return Err(LOST);
        }
        self.written()?;
        for table in self.node.store.tables() {
            let settled = self.runtime.block_on(async {
                if let Some(beside) = table.beside.get() {
                    beside.flush().await?;
                }
                table.backend.settle().await
            });
            if let Err(error) = settled {
                tracing::error!("{}: {error}", table.domain.name());
                return Err(FAILED);
            }
        }
        Ok(())
    }

    fn written(&self) -> Result<(), LocationError> {
        if self.node.store.is_back() {
            return self.flushed();
        }
        let journal = &self.node.store.journal;
        let (last, settled) = (journal.last(), journal.settled());
        let until = Instant::now() + Duration::from_millis(limits::PATIENCE_MS);
        while !journal.is_settled(last) {
            if Instant::now() > until {
                return Err(FAILED);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        if journal.has_failed_since(settled) { Err(FAILED) } else { Ok(()) }
    }

    /// Write-back: has everything written now.
    fn flushed(&self) -> Result<(), LocationError> {
        let number = self.node.store.ask_flush();
        let until = Instant::now() + FLUSH_PATIENCE;
        while !self.node.store.is_flushed(number) {
            if Instant::now() > until || self.node.store.ownership.is_lost() {
                return Err(FAILED);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// What has become of records of accounting, where a script accounts to a database.
    pub(super) fn accounting_statistics(&self, each: &mut dyn FnMut(&Statistic<'_>)) {
        if self.node.configuration.load().settings.acc.database.is_none() {
            return;
        }
        let accounts = &self.node.accounts;
        let counted = [&accounts.written, &accounts.dropped, &accounts.failed];
        let mut values: Vec<u64> = counted.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        values.push(accounts.waiting() as u64);
        for (declared, value) in seawall_modules::acc::MODULE.statistics.iter().zip(values) {
            let kind =
                if declared.name == "db_waiting" { StatisticKind::Gauge } else { StatisticKind::Counter };
            each(&Statistic { group: "acc", name: declared.name, value, kind, doc: declared.doc });
        }
    }

    /// What the store does, where there is one.
    pub(super) fn store_statistics(&self, each: &mut dyn FnMut(&Statistic<'_>)) {
        let store = &self.node.store;
        if store.settings().is_none() {
            return;
        }
        let figures = &store.figures;
        for (name, value, doc) in [
            ("store_commits", &figures.commits, "Groups of changes that were committed to the database."),
            ("store_rows", &figures.rows, "Changes of rows in them."),
            (
                "store_failures",
                &figures.failures,
                "Changes that the database did not take; they were taken back.",
            ),
            (
                "store_replays",
                &figures.replays,
                "Groups that were written again because it was not known what became of them.",
            ),
            (
                "store_refused",
                &figures.refused,
                "REGISTERs refused with 503 because too much waited for the database.",
            ),
            ("loaded_rows", &figures.loaded, "Rows of the database that were loaded."),
            ("broken_rows", &figures.broken, "Rows of the database that are no bindings and were left out."),
        ] {
            let value = value.load(Ordering::Relaxed);
            each(&Statistic { group: "usrloc", name, value, kind: StatisticKind::Counter, doc });
        }
        let loading = store.tables().iter().filter(|table| !table.loading.is_done()).count() as u64;
        for (name, value, doc) in [
            ("store_unwritten", store.unwritten() as u64, "Changes that are not in the database yet."),
            (
                "store_lost",
                u64::from(store.ownership.is_lost()),
                "1 when another server has taken the tables and this one writes nothing any more.",
            ),
            ("store_loading", loading, "Tables that are being loaded."),
        ] {
            each(&Statistic { group: "usrloc", name, value, kind: StatisticKind::Gauge, doc });
        }
    }
}
