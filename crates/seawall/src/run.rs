//! `seawall run`.

use std::io::{IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use seawall_engine::{Engine, Options, Source};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{data, logging};

/// The sockets of the script that runs when none is given.
const DEFAULT_LISTEN: [&str; 2] = ["udp:*:5060", "tcp:*:5060"];

/// Where `seawall ctl` looks for MI by itself.
const DEFAULT_MI: &str = seawall_control::ctl::DEFAULT_URL;

/// Arguments of `seawall run`.
#[derive(Debug, clap::Args)]
pub struct RunArguments {
    /// The script, an opensips.cfg; without it a registrar for this machine and its private network.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// A socket to listen on besides those of the script, as proto:address[:port]; * is every address, port 0 any port.
    #[arg(short = 'l', long = "listen", value_name = "SOCKET")]
    pub listen: Vec<String>,
    /// Worker threads; what the script says, else one for each core.
    #[arg(short = 'w', long, value_name = "N")]
    pub workers: Option<usize>,
    /// The folder in which a server without a script keeps its users and who is registered: /var/lib/seawall for root, else ~/.local/share/seawall.
    #[arg(long, env = "SEAWALL_DATA", value_name = "DIR", conflicts_with = "file")]
    pub data: Option<PathBuf>,
    /// Where the management interface and the metrics page listen, instead of what the script says.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub mi: Option<SocketAddr>,
}

/// What is served, however it was asked for.
pub struct Serving {
    /// The script.
    pub script: Source,
    /// Sockets besides those of the script.
    pub listen: Vec<String>,
    /// Worker threads.
    pub workers: Option<usize>,
    /// Where the management interface listens.
    pub http: Option<SocketAddr>,
    /// Whether somebody has to be told how to register a phone, and the folder in which all is kept then.
    pub explain: Option<PathBuf>,
}

/// Serves until it is told to stop.
pub fn run(arguments: &RunArguments) -> ExitCode {
    match serving(arguments) {
        Ok(serving) => serve_script(serving),
        Err(error) => fail(&error),
    }
}

/// Serves a script until it is told to stop.
pub fn serve_script(serving: Serving) -> ExitCode {
    logging::start();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    let Serving { script, listen, workers, http, explain } = serving;
    let options = Options {
        script,
        listen,
        workers,
        http,
        color: std::io::stderr().is_terminal(),
        on_log_level: logging::set_level,
    };
    let engine = match Engine::start(options, runtime.handle()) {
        Ok(engine) => engine,
        Err(error) => return fail(&error.to_string()),
    };
    for warning in engine.warnings() {
        eprintln!("{}", warning.trim_end());
    }
    // Before anybody is told that the server is ready: a signal that comes at once must not end it the hard way.
    let signals = {
        let _entered = runtime.enter();
        Signals::catch()
    };
    let signals = match signals {
        Ok(signals) => signals,
        Err(error) => return fail(&format!("cannot wait for signals: {error}")),
    };
    if greet(&engine, explain.as_deref()).is_err() {
        // Nobody reads what is printed; the server serves all the same.
        tracing::debug!("standard output is closed");
    }
    runtime.block_on(serve(&engine, signals));
    tracing::info!("stopping: what was accepted is answered first");
    if !engine.shutdown() {
        tracing::warn!("some transactions had not ended when the time was over");
    }
    ExitCode::SUCCESS
}

fn fail(text: &str) -> ExitCode {
    eprintln!("seawall: {}", text.trim_end());
    ExitCode::FAILURE
}

fn serving(arguments: &RunArguments) -> Result<Serving, String> {
    let mut listen = arguments.listen.clone();
    let mut explain = None;
    let script = match &arguments.file {
        Some(path) => Source::File(path.clone()),
        None => {
            if listen.is_empty() {
                listen.extend(DEFAULT_LISTEN.map(str::to_owned));
            }
            let folder = arguments.data.clone().unwrap_or_else(data::default_folder);
            data::make(&folder)?;
            // A relative name would be another folder for the next one who starts it.
            let folder = folder.canonicalize().unwrap_or(folder);
            let text = data::default_script(&folder)?;
            explain = Some(folder);
            Source::Text { name: "default.cfg".to_owned(), text }
        }
    };
    Ok(Serving { script, listen, workers: arguments.workers, http: arguments.mi, explain })
}

/// The signals that the server answers to; from here on none of them ends the process by itself.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Waits for the signal to stop; reloads at SIGHUP.
async fn serve(engine: &Engine, mut signals: Signals) {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            _ = signals.hangup.recv() => match tokio::task::block_in_place(|| engine.reload()) {
                Ok(text) => tracing::info!("reload: {text}"),
                Err(text) => tracing::error!("reload: the old script goes on:\n{}", text.trim_end()),
            },
        }
    }
}

/// Tells the terminal what is served where.
fn greet(engine: &Engine, default: Option<&Path>) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for socket in engine.sockets() {
        writeln!(out, "listening {}", socket.description)?;
    }
    for address in engine.control().http() {
        writeln!(out, "listening http:{address}")?;
    }
    if let Some(folder) = default {
        explain(engine, folder, &mut out)?;
    }
    writeln!(out, "seawall is ready")?;
    out.flush()
}

/// What somebody needs who has started it for the first time.
fn explain(engine: &Engine, folder: &Path, out: &mut impl Write) -> std::io::Result<()> {
    // An address that a phone will be served from when it registers there: a private one, else the loopback.
    let sockets = engine.sockets();
    let private = sockets.iter().find(|socket| is_private(socket.address.ip()));
    let loopback = sockets.iter().find(|socket| socket.address.ip().is_loopback());
    let Some(socket) = private.or(loopback).or(sockets.first()) else { return Ok(()) };
    let server = socket.address;
    writeln!(out)?;
    let mi = engine.control().mi_url().filter(|url| url != DEFAULT_MI).map(|url| format!("--mi {url} "));
    let mi = mi.unwrap_or_default();
    writeln!(out, "  No script was given, so this is a registrar for this machine and its private network:")?;
    writeln!(out, "  loopback and private addresses are served, with a password for each user.")?;
    writeln!(out)?;
    writeln!(out, "  Add a user:        seawall ctl {mi}user add alice")?;
    writeln!(out, "  Register a phone:  server {server}, user name alice, the password you gave")?;
    writeln!(
        out,
        "    baresip:         echo '<sip:alice@{server}>;auth_pass=PASSWORD;regint=600' >> ~/.baresip/accounts"
    )?;
    writeln!(
        out,
        "  Kept in {}:  users, and who is registered; phones stay registered over a restart",
        folder.display()
    )?;
    writeln!(out, "  Call another:      sip:bob@{server}")?;
    if let Some(url) = engine.control().mi_url() {
        writeln!(out, "  Who is there:      seawall ctl {mi}ul_dump")?;
        writeln!(out, "  Management (MI):   POST {url}")?;
    }
    if let Some(url) = engine.control().metrics_url() {
        writeln!(out, "  Metrics:           {url}")?;
    }
    writeln!(out, "  Your own script:   seawall check opensips.cfg && seawall run -f opensips.cfg")?;
    writeln!(out)
}

/// Whether phones of a private network would know the server by this address.
fn is_private(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.is_private())
}
