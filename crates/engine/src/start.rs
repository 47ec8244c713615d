//! Starting and stopping the server.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use seawall_control as control;
use seawall_location::{Location, Settings as LocationSettings};
use seawall_modules::configuration::Configuration;
use seawall_modules::context::Context;
use seawall_modules::mid_registrar::Fronts;
use seawall_modules::node::{Identity, Node, Socket};
use seawall_modules::reg_event::Watchers;
use seawall_modules::statistics::Counters;
use seawall_modules::store::Store;
use seawall_net::{CommandSender, Limits, Net, Running};
use seawall_script::{Program, RouteKind};
use seawall_storage::Storage;
use seawall_transaction::Keys;

use crate::errands::Errands;
use crate::limits::{FILES_BESIDE_CONNECTIONS, MAX_WORKERS, SHUTDOWN_GRACE_MS};
use crate::management::Management;
use crate::script::{ScriptError, Source, load_script};
use crate::sockets::{self, Wanted};
use crate::worker::{Command, Worker};

/// The name of the location table that exists before any `save()`, so that MI shows it.
pub(crate) const DEFAULT_TABLE: &str = "location";

/// What to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// The script.
    pub script: Source,
    /// Sockets besides those of the script, as `-l` names them.
    pub listen: Vec<String>,
    /// Worker threads; what the script says, else one for each core.
    pub workers: Option<usize>,
    /// Where MI and the metrics page listen, instead of what the script says.
    pub http: Option<std::net::SocketAddr>,
    /// Whether messages about the script are coloured.
    pub color: bool,
    /// Told the level of the log, -3 to 4, when the script or MI sets it.
    pub on_log_level: fn(i8),
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The script cannot be used.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// There is no socket, neither in the script nor on the command line.
    #[error(
        "no socket to listen on: add `socket=udp:ADDRESS:5060` to the script, or give `-l udp:ADDRESS:5060`"
    )]
    NoSocket,
    /// A `-l` option cannot be read.
    #[error("`-l {0}`: this is not proto:address[:port]")]
    Listen(String),
    /// A transport that is not provided.
    #[error("the transport \"{0}\" is not provided; udp and tcp are")]
    Transport(String),
    /// A host of a socket has no address.
    #[error("cannot find the addresses of \"{host}\": {source}")]
    Address {
        /// The host.
        host: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A socket cannot be opened.
    #[error(transparent)]
    Bind(#[from] seawall_net::BindError),
    /// The management plane cannot start.
    #[error(transparent)]
    Control(#[from] control::ServeError),
    /// A parameter of the management modules is not usable.
    #[error("{0}")]
    Management(String),
    /// The database of bindings cannot be used.
    #[error("usrloc: {0}")]
    Store(#[from] crate::store::OpenError),
    /// No random numbers: nothing that must not be guessed can be made.
    #[error("the system gives no random numbers")]
    NoRandom,
}

/// What workers need of the threads around them.
#[derive(Default)]
pub(crate) struct Links {
    pub errands: OnceLock<Errands>,
    pub commands: OnceLock<CommandSender<Command>>,
}

/// The running server.
pub struct Engine {
    running: Running<Command>,
    management: Arc<Management>,
    control: control::Handle,
    store: Option<crate::store::Tasks>,
    accounts: crate::accounts::Tasks,
    runtime: tokio::runtime::Handle,
    warnings: Vec<String>,
}

impl Engine {
    /// Starts the server. The runtime serves the management plane and everything that waits; it must have several
    /// threads.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running.
    pub fn start(options: Options, runtime: &tokio::runtime::Handle) -> Result<Self, StartError> {
        let loaded = load_script(&options.script, options.color)?;
        let mut warnings = Vec::new();
        if loaded.diagnostics.warnings().next().is_some() {
            warnings.push(loaded.diagnostics.render(options.color));
        }
        let wanted = sockets::wanted(&loaded.program, &options.listen)?;
        let mut http_config =
            crate::management::control_config(&loaded.program).map_err(StartError::Management)?;
        if let Some(address) = options.http {
            http_config.http.get_or_insert_default().listen = vec![address];
        }
        let limits = limits(&loaded.program);
        warnings.extend(allow_files(&loaded.program, &limits));
        let bound = Net::bind(seawall_net::Config {
            workers: workers(&options, &loaded.program),
            sockets: wanted.iter().map(|wanted| wanted.spec).collect(),
            limits,
            ..seawall_net::Config::default()
        })?;
        let described = sockets::describe(&wanted, bound.sockets());
        let (storage, configuration) = (Storage::default(), Configuration::new(loaded.program));
        let opened = open_store(&storage, &configuration, runtime)?;
        let node = Arc::new(node(configuration, described, bound.workers(), storage, opened.as_ref())?);
        apply(&node, &options);
        let configuration = node.configuration.load_full();
        read_domains(&node, &configuration, runtime);
        run_startup_route(&node);
        let links = Arc::new(Links::default());
        let _ = links.errands.set(Errands::new(runtime.clone()));
        let running = bound.start(|index| Worker::new(Arc::clone(&node), index, Arc::clone(&links)))?;
        let _ = links.commands.set(running.handle());
        crate::push::start(&node, runtime, running.handle());
        let store = crate::store::start(&node, opened, runtime, running.handle());
        open_users(&node, runtime);
        let accounts = crate::accounts::start(&node, runtime);
        let management = Arc::new(Management::new(node, &running, options, wanted, runtime.clone()));
        let server: Arc<dyn control::Server> = Arc::clone(&management) as _;
        let control = match control::serve(http_config, server, runtime) {
            Ok(control) => control,
            Err(error) => {
                running.shutdown(0);
                return Err(error.into());
            }
        };
        warnings.extend(control.warnings().iter().cloned());
        Ok(Self { running, management, control, store, accounts, runtime: runtime.clone(), warnings })
    }

    /// The sockets that it listens on.
    #[must_use]
    pub fn sockets(&self) -> &[Socket] {
        &self.management.node().sockets
    }

    /// What the user should know although the server runs.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The management plane.
    #[must_use]
    pub fn control(&self) -> &control::Handle {
        &self.control
    }

    /// The number of workers.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.running.workers()
    }

    /// Loads the script anew and swaps it in.
    ///
    /// # Errors
    /// What is wrong with it; the old one goes on.
    pub fn reload(&self) -> Result<String, String> {
        control::Server::reload(&*self.management)
    }

    /// Stops: what was accepted is answered, then everything ends. True when all transactions ended in time.
    pub fn shutdown(self) -> bool {
        let stats = self.running.shutdown(SHUTDOWN_GRACE_MS);
        self.runtime.block_on(self.control.shutdown(Duration::from_secs(1)));
        // Nobody changes anything any more: what is left is all that there will be.
        if let Some(store) = self.store {
            self.runtime.block_on(store.finish());
        }
        self.runtime.block_on(self.accounts.finish());
        stats.idle_in_time
    }
}

/// Opens the database of bindings, if the script wants one: what contact ids are made of is kept there, and without it no
/// binding that was loaded could be found by its id.
fn open_store(
    storage: &Storage,
    configuration: &Configuration,
    runtime: &tokio::runtime::Handle,
) -> Result<Option<crate::store::Opened>, StartError> {
    let Some(settings) = &configuration.settings.store else { return Ok(None) };
    let opened =
        runtime.block_on(crate::store::open(storage, configuration, settings, DEFAULT_TABLE, random()?))?;
    Ok(Some(opened))
}

fn random() -> Result<[u8; 16], StartError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| StartError::NoRandom)?;
    Ok(bytes)
}

/// Opens the database of users now, so that the log tells at the start what is wrong with it.
fn open_users(node: &Node, runtime: &tokio::runtime::Handle) {
    let configuration = node.configuration.load();
    let Some(settings) = &configuration.settings.auth_db else { return };
    let Some(database) = settings.database(node) else {
        tracing::warn!("auth_db has no database: set its db_url; until then nobody can log in");
        return;
    };
    runtime.spawn(async move {
        if let Err(error) = database.open().await {
            tracing::error!("auth_db: {error}; until it can be opened nobody can log in");
        }
    });
}

/// Reads the domains of `domain` where they are kept in memory. Where that fails the database is asked each time, until
/// MI `domain_reload` has read them.
pub(crate) fn read_domains(node: &Node, configuration: &Configuration, runtime: &tokio::runtime::Handle) {
    let Some(settings) = configuration.settings.domain.as_ref().filter(|settings| settings.is_cached) else {
        return;
    };
    match runtime.block_on(seawall_modules::domain::load(settings, node)) {
        Ok(count) => tracing::info!("domain: {count} domains"),
        Err(error) => tracing::error!("domain: the domains cannot be read: {error}"),
    }
}

/// The number of workers: of the command line, of `udp_workers` in the script, else one for each core.
fn workers(options: &Options, program: &Program<Context>) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let asked = options.workers.or_else(|| {
        // More workers than cores gain nothing here: a worker never waits, while a process of OpenSIPS does.
        let udp = program.globals.is_set("udp_workers").then(|| program.globals.int("udp_workers"))?;
        usize::try_from(udp).ok().map(|workers| workers.clamp(1, cores))
    });
    asked.unwrap_or(cores).clamp(1, MAX_WORKERS)
}

/// The bounds of the net, as far as the script sets them.
fn limits(program: &Program<Context>) -> Limits {
    let mut limits = Limits::default();
    let positive = |name: &str| {
        let set = program.globals.is_set(name).then(|| program.globals.int(name));
        set.filter(|value| *value > 0).and_then(|value| u64::try_from(value).ok())
    };
    if let Some(connections) = positive("tcp_max_connections") {
        limits.tcp_max_connections = usize::try_from(connections).unwrap_or(usize::MAX);
    }
    if let Some(lifetime_s) = positive("tcp_connection_lifetime") {
        limits.tcp_connection_lifetime_s = lifetime_s;
    }
    if let Some(timeout_ms) = positive("tcp_connect_timeout") {
        limits.tcp_connect_timeout_ms = timeout_ms;
    }
    if let Some(time_s) = positive("tcp_max_msg_time") {
        limits.tcp_message_timeout_ms = time_s.saturating_mul(1000);
    }
    limits
}

/// Asks the system for as many open files as the script wants, or its connections need; says so if there are to be fewer.
fn allow_files(program: &Program<Context>, limits: &Limits) -> Option<String> {
    let connections = u64::try_from(limits.tcp_max_connections).unwrap_or(u64::MAX);
    let set = u64::try_from(program.globals.int("open_files_limit")).unwrap_or(0);
    let wanted = if set > 0 { set } else { connections.saturating_add(FILES_BESIDE_CONNECTIONS) };
    let allowed = seawall_net::allow_open_files(wanted).ok().filter(|allowed| *allowed < wanted)?;
    Some(format!(
        "the system lets this process have {allowed} files open, not {wanted}: there can be fewer TCP connections than \
         tcp_max_connections={connections} says; raise the limit of open files (`ulimit -n`, `LimitNOFILE=` of systemd)"
    ))
}

/// Puts the shared state together.
pub(crate) fn node(
    configuration: Configuration,
    mut sockets: Vec<Socket>,
    workers: usize,
    storage: Storage,
    opened: Option<&crate::store::Opened>,
) -> Result<Node, StartError> {
    let secret = random()?;
    // The secret of contact ids lives as long as the bindings; all others end with the process.
    let location = Location::new(LocationSettings::new(opened.map_or(secret, |opened| opened.secret)))
        .asking(seawall_net::ask_memory);
    for socket in &mut sockets {
        socket.name = location.names().intern(socket.description.as_bytes()).unwrap_or_default();
    }
    if configuration.program.is_loaded("usrloc") {
        location.declare(DEFAULT_TABLE);
    }
    let keys = Keys::new(secret);
    let store = Store::new(configuration.settings.store.clone());
    let timers = configuration.settings.tm.timers;
    let (transactions, marks) = Node::transaction_layer(keys, timers);
    Ok(Node {
        identity: Identity::new(&sockets, &aliases(&configuration.program)),
        sockets,
        location: Arc::new(location),
        watchers: Watchers::default(),
        fronts: Fronts::default(),
        transactions,
        marks,
        keys,
        authentication: seawall_modules::auth::Nonces::new(secret),
        store,
        accounts: seawall_modules::acc::Accounts::default(),
        storage,
        configuration: ArcSwap::from_pointee(configuration),
        counters: Counters::new(workers),
        subscriptions: seawall_modules::event_routing::Subscriptions::default(),
        datagrams: seawall_modules::event_datagram::Datagrams::default(),
        outstanding: seawall_modules::registrar::outstanding::Outstanding::default(),
        push: seawall_modules::push::Link::default(),
        started_s: seawall_net::unix_s(),
        workers,
        pinging: AtomicBool::new(true),
    })
}

/// The further names of this server, each with its port, 0 for any.
fn aliases(program: &Program<Context>) -> Vec<(String, u16)> {
    program.globals.aliases.iter().map(|alias| (alias.host.clone(), alias.port.unwrap_or(0))).collect()
}

/// Tells what outlives a reload what the present configuration says.
pub(crate) fn apply(node: &Node, options: &Options) {
    let configuration = node.configuration.load_full();
    node.identity.rename(&node.sockets, &aliases(&configuration.program));
    if let Some(ping) = &configuration.settings.nat.ping {
        for (name, address) in ping.unknown_sockets(node) {
            tracing::warn!("{name}: {address} is no socket of this server; pings leave from others");
        }
    }
    crate::push::apply(node);
    crate::store::apply(node);
    (options.on_log_level)(configuration.log_level.load(Ordering::Relaxed));
    let headers = configuration.settings.server_header.clone().unwrap_or_default();
    for shard in &node.transactions {
        let mut layer = shard.lock();
        layer.set_timers(configuration.settings.tm.timers);
        layer.set_reply_headers(&headers);
    }
}

/// Runs `startup_route` before the first message is read.
fn run_startup_route(node: &Arc<Node>) {
    let configuration = node.configuration.load_full();
    let Some(route) = configuration.routes.startup else { return };
    let mut context = Context::new(Arc::clone(node), node.workers);
    context.route = RouteKind::Startup;
    context.now_s = seawall_net::unix_s();
    context.now_ms = seawall_net::monotonic_ms();
    let mut frame = seawall_script::Frame::new(route);
    seawall_script::run(&configuration.program, &mut frame, &mut context);
}

/// The script file, if the script is one.
pub(crate) fn script_path(options: &Options) -> Option<&PathBuf> {
    match &options.script {
        Source::File(path) => Some(path),
        Source::Text { .. } => None,
    }
}

/// The transports that a list of sockets uses, for messages.
pub(crate) fn describe_wanted(wanted: &[Wanted]) -> String {
    let texts: Vec<String> = wanted.iter().map(|wanted| wanted.spec.to_string()).collect();
    texts.join(", ")
}
