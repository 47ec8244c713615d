//! Bindings in a database: opening it, loading from it, and writing to it, on the control side's runtime.

mod flusher;
mod loader;
mod table;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use seawall_location::Domain;
use seawall_modules::context::Context;
use seawall_modules::node::Node;
use seawall_modules::store::{FlagNames, Loading, Store};
use seawall_modules::usrloc::settings::StoreSettings;
use seawall_net::CommandSender;
use seawall_script::{FlagSpace, Program};
use seawall_storage::location::LocationTable;
use seawall_storage::{Database, Identifier, Storage, StorageError};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use crate::worker::Command;
use table::PreparedTable;

/// The name under which the database keeps what contact ids are made of.
const SECRET: &str = "secret";

/// How long a stop waits for a journal to go into its table: 300 000 rows.
const SETTLE: Duration = Duration::from_secs(2);

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
/// database that has none.
pub(crate) async fn open(
    storage: &Storage,
    settings: &StoreSettings,
    table: &str,
    fresh: [u8; 16],
) -> Result<Opened, OpenError> {
    let first = table_of(&database(storage, settings)?, settings, table)?;
    first.prepare().await?;
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
    Ok(if settings.is_sql_only { table.shared() } else { table })
}

/// The tasks of the store.
pub(crate) struct Tasks {
    stop: watch::Sender<bool>,
    writer: tokio::task::JoinHandle<()>,
    first: LocationTable,
}

impl Tasks {
    /// Writes everything that is left, and ends.
    pub(crate) async fn finish(self) {
        let _ = self.stop.send(true);
        if self.writer.await.is_err() {
            tracing::error!("the store's writer has failed; the last changes may not be in the database");
        }
        // Everything is on disk already; whoever looks into the file of a stopped server should find it in the table.
        match tokio::time::timeout(SETTLE, self.first.settle()).await {
            Ok(Ok(())) => {}
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
    let (weak, handle, loader_stop) = (Arc::downgrade(node), runtime.clone(), stopped.clone());
    node.store.on_table(move |domain| {
        if let Some(node) = weak.upgrade() {
            attach(&node, domain, None, &handle, loader_stop.clone());
        }
    });
    let Opened { first, .. } = opened;
    for domain in node.location.domains() {
        attach(node, &domain, Some(&first), runtime, stopped.clone());
    }
    if node.store.is_back() {
        let flusher = flusher::Flusher { node: Arc::clone(node), work, stop: stopped };
        return Some(Tasks { stop, writer: runtime.spawn(flusher.run()), first });
    }
    let workers = node.workers;
    let told = move || {
        for worker in 0..workers {
            // A worker whose queue is full looks by itself in its next tick.
            let _ = commands.send(worker, Command::Settled);
        }
    };
    let writer = writer::Writer { node: Arc::clone(node), work, stop: stopped, told: Box::new(told) };
    Some(Tasks { stop, writer: runtime.spawn(writer.run()), first })
}

/// Adds a location table to the store and begins to load it. `first` is the table that was opened at the start.
fn attach(
    node: &Arc<Node>,
    domain: &Arc<Domain>,
    first: Option<&LocationTable>,
    runtime: &Handle,
    stop: watch::Receiver<bool>,
) {
    let store: &Store = &node.store;
    let Some(settings) = store.settings() else { return };
    let made = match first.filter(|_| domain.name() == crate::start::DEFAULT_TABLE) {
        Some(first) => Ok(first.clone()),
        None => database(&node.storage, settings)
            .and_then(|database| table_of(&database, settings, domain.name())),
    };
    let backend = match made {
        Ok(table) => Arc::new(PreparedTable::new(table)),
        Err(error) => {
            tracing::error!("the table {} stays in memory: {error}", domain.name());
            return;
        }
    };
    if settings.is_sql_only {
        let table = store.add(Arc::clone(domain), backend, Loading::done());
        runtime.spawn(loader::sweep(table, settings.interval_s, stop));
        return;
    }
    let table = store.add(Arc::clone(domain), backend, Loading::default());
    runtime.spawn(loader::load(Arc::clone(node), table, stop));
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
