//! Bindings in a database: opening it, loading from it, and writing to it, on the control side's runtime.

mod flusher;
mod loader;
mod owner;
mod table;
#[cfg(test)]
mod tests;
mod upstream;
mod writer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use seawall_location::Domain;
use seawall_modules::configuration::Configuration;
use seawall_modules::context::Context;
use seawall_modules::mid_registrar::kept;
use seawall_modules::node::Node;
use seawall_modules::store::{FlagNames, Loading, Store, StoredTable};
use seawall_modules::usrloc::settings::{StoreSettings, Write};
use seawall_net::CommandSender;
use seawall_script::{FlagSpace, Program};
use seawall_storage::location::{Columns, LocationTable};
use seawall_storage::{Database, Identifier, Storage, StorageError};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use crate::limits::SETTLE_CHANGES;
use crate::worker::Command;
use table::PreparedTable;

/// The name under which the database keeps what contact ids are made of.
const SECRET: &str = "secret";

/// How long a stop waits for what is unwritten and for journals to go into their tables, all together; that a journal is on
/// disk is waited for in any case. Who stops a service is ready to wait a few seconds.
const STOP_WITHIN: Duration = Duration::from_secs(4);

/// How long it waits for a journal at least: that of a quiet server goes into its table meanwhile.
const SETTLE_AT_LEAST: Duration = Duration::from_millis(500);

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The script names no database.
    #[error("no database: set its db_url, or db_default_url")]
    NoUrl,
    /// The database fails.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// What it has kept is not what was put there.
    #[error(
        "the secret in the table `seawall_state` is damaged: contact ids cannot be read any more; remove that row"
    )]
    Secret,
}

/// An open store, before there is a node.
pub(crate) struct Opened {
    /// What contact ids are made of.
    pub secret: [u8; 16],
    first: LocationTable,
}

/// Opens the database, makes its table where that is due, and reads the secret, or keeps `fresh` as the secret of a
/// database that has none. With a mid-registrar the table beside it is made, too.
pub(crate) async fn open(
    storage: &Storage,
    configuration: &Configuration,
    settings: &StoreSettings,
    table: &str,
    fresh: [u8; 16],
) -> Result<Opened, OpenError> {
    let database = database(storage, settings)?;
    let first = table_of(&database, settings, table)?;
    first.prepare().await?;
    if settings.write != Write::Never {
        // Better now than with the first phone.
        first.check_writable().await?;
    }
    if upstream::is_used(configuration) {
        upstream_of(&database, table)?.prepare_own().await?;
    }
    let secret = match first.state_get(SECRET).await? {
        Some(kept) => kept.try_into().map_err(|_| OpenError::Secret)?,
        None => {
            first.state_put(SECRET, &fresh).await?;
            fresh
        }
    };
    Ok(Opened { secret, first })
}

fn database(storage: &Storage, settings: &StoreSettings) -> Result<Database, OpenError> {
    let (url, options) = settings.source.as_ref().ok_or(OpenError::NoUrl)?;
    Ok(storage.database(url, options))
}

fn table_of(database: &Database, settings: &StoreSettings, name: &str) -> Result<LocationTable, OpenError> {
    // Names of location tables are letters, digits and underscores too, but may be longer.
    let name = Identifier::new(name)
        .map_err(|_| StorageError::Schema(format!("\"{name}\" is too long for the name of a table")))?;
    let table = LocationTable::new(database.clone(), &name, &settings.columns);
    Ok(match settings.write {
        _ if settings.is_sql_only => table.shared(),
        Write::Never => table,
        Write::Through => table.owned(),
        Write::Back => table.unhurried().owned(),
    })
}

/// The table of what main registrars hold.
fn upstream_of(database: &Database, name: &str) -> Result<LocationTable, OpenError> {
    let name = kept::table_name(name);
    let identifier = Identifier::new(&name)
        .map_err(|_| StorageError::Schema(format!("\"{name}\" is too long for the name of a table")))?;
    Ok(LocationTable::new(database.clone(), &identifier, &Columns::default()))
}

/// The tasks that keep what main registrars hold. Tables are added while the server runs.
type Keepers = Arc<Mutex<Vec<tokio::task::JoinHandle<()>>>>;

/// The tasks of the store.
pub(crate) struct Tasks {
    stop: watch::Sender<bool>,
    writer: tokio::task::JoinHandle<()>,
    keepers: Keepers,
    node: Arc<Node>,
    first: LocationTable,
}

impl Tasks {
    /// Writes everything that is left, and ends.
    pub(crate) async fn finish(self) {
        let began = Instant::now();
        let left = || STOP_WITHIN.saturating_sub(began.elapsed()).max(SETTLE_AT_LEAST);
        for table in self.node.store.tables() {
            if let Err(error) = table.backend.end().await {
                tracing::warn!("{}: {error}", table.domain.name());
            }
        }
        let _ = self.stop.send(true);
        if self.writer.await.is_err() {
            tracing::error!("the store's writer has failed; the last changes may not be in the database");
        }
        let keepers = std::mem::take(&mut *self.keepers.lock());
        for keeper in keepers {
            let _ = keeper.await;
        }
        for table in self.node.store.tables() {
            if let Some(beside) = table.beside.get()
                && tokio::time::timeout(left(), beside.flush()).await.is_err()
            {
                tracing::warn!("what main registrars hold goes into its table at the next start");
            }
        }
        // Everything is on disk already; whoever looks into the file of a stopped server should find it in the table. A start
        // reads what is left in the journal as fast, so nobody waits for much of it.
        match tokio::time::timeout(left(), self.first.settle_few(SETTLE_CHANGES)).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => tracing::info!("what the journal holds goes into the table at the next start"),
            Ok(Err(error)) => {
                tracing::warn!("what the journal holds goes into the table at the next start: {error}")
            }
            Err(_) => tracing::warn!("the rest of the journal goes into the table at the next start"),
        }
    }
}

/// Begins to load and to write. Nothing when bindings are in memory only.
pub(crate) fn start(
    node: &Arc<Node>,
    opened: Option<Opened>,
    runtime: &Handle,
    commands: CommandSender<Command>,
) -> Option<Tasks> {
    let opened = opened?;
    apply(node);
    let work = Arc::new(Notify::new());
    let (stop, stopped) = watch::channel(false);
    let bell = Arc::clone(&work);
    node.store.on_work(move || bell.notify_one());
    let keepers = Keepers::default();
    let (weak, handle, loader_stop) = (Arc::downgrade(node), runtime.clone(), stopped.clone());
    let further = Arc::clone(&keepers);
    node.store.on_table(move |domain| {
        if let Some(node) = weak.upgrade() {
            attach(&node, domain, None, &handle, loader_stop.clone(), &further);
        }
    });
    let Opened { first, .. } = opened;
    runtime.spawn(owner::watch(Arc::clone(node), stopped.clone()));
    for domain in node.location.domains() {
        attach(node, &domain, Some(&first), runtime, stopped.clone(), &keepers);
    }
    if node.store.is_back() {
        let flusher = flusher::Flusher { node: Arc::clone(node), work, stop: stopped };
        // Not behind the workers: it locks shards for moments, and whoever waits for one must not wait for its turn. What takes
        // long, the journal and the table, has threads that are.
        let writer = runtime.spawn(flusher.run());
        return Some(Tasks { stop, writer, keepers, node: Arc::clone(node), first });
    }
    let workers = node.workers;
    let told = move || {
        for worker in 0..workers {
            // A worker whose queue is full looks by itself in its next tick.
            let _ = commands.send(worker, Command::Settled);
        }
    };
    let writer = writer::Writer { node: Arc::clone(node), work, stop: stopped, told: Box::new(told) };
    let writer = runtime.spawn(writer.run());
    Some(Tasks { stop, writer, keepers, node: Arc::clone(node), first })
}

/// Adds a location table to the store and begins to load it. `first` is the table that was opened at the start.
fn attach(
    node: &Arc<Node>,
    domain: &Arc<Domain>,
    first: Option<&LocationTable>,
    runtime: &Handle,
    stop: watch::Receiver<bool>,
    keepers: &Keepers,
) {
    let store: &Store = &node.store;
    let Some(settings) = store.settings() else { return };
    let made = match first.filter(|_| domain.name() == crate::start::DEFAULT_TABLE) {
        Some(first) => Ok(first.clone()),
        None => database(&node.storage, settings)
            .and_then(|database| table_of(&database, settings, domain.name())),
    };
    let location = match made {
        Ok(table) => table,
        Err(error) => {
            tracing::error!("the table {} stays in memory: {error}", domain.name());
            return;
        }
    };
    let backend = Arc::new(PreparedTable::new(location.clone()));
    if settings.is_sql_only {
        let table = store.add(Arc::clone(domain), backend, Loading::done());
        runtime.spawn(loader::sweep(table, settings.interval_s, stop));
        return;
    }
    let table = store.add(Arc::clone(domain), backend, Loading::default());
    if let Some(keeper) = keep_upstream(node, settings, (&table, &location), stop.clone()) {
        keepers.lock().push(runtime.spawn(keeper));
    }
    runtime.spawn(loader::load(Arc::clone(node), table, stop));
}

/// Has what main registrars hold kept, where there are any and bindings are written.
fn keep_upstream(
    node: &Arc<Node>,
    settings: &StoreSettings,
    (table, location): (&Arc<StoredTable>, &LocationTable),
    stop: watch::Receiver<bool>,
) -> Option<impl Future<Output = ()> + Send + 'static> {
    if !upstream::is_used(&node.configuration.load()) || !node.store.is_on() {
        return None;
    }
    let made =
        database(&node.storage, settings).and_then(|database| upstream_of(&database, table.domain.name()));
    match made {
        Ok(own) => {
            let own = PreparedTable::own(own.owned_with(location));
            Some(upstream::start(node, table, own, stop))
        }
        Err(error) => {
            tracing::error!("what main registrars hold for {} stays in memory: {error}", table.domain.name());
            None
        }
    }
}

/// Tells the store what a reload may have changed.
pub(crate) fn apply(node: &Node) {
    let configuration = node.configuration.load();
    node.store.set_flags(flag_names(&configuration.program));
}

fn flag_names(program: &Program<Context>) -> FlagNames {
    let name = |bit| Some((bit, program.flag_name(FlagSpace::Branch, bit)?.to_owned()));
    FlagNames((0..32).filter_map(name).collect())
}
