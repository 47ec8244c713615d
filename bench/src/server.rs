//! The servers of the comparison: how each is configured, started, waited for and stopped.

use std::fs;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::stages::{Counts, by_stage};
use crate::{limits, socket};

const KAMAILIO_SCRIPT: &str = include_str!("../configs/kamailio.cfg");
pub(crate) const SEAWALL_SCRIPT: &str = include_str!("../configs/seawall.cfg");

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Contender {
    /// The bare UDP echo: what the kernel alone costs.
    Echo,
    /// Kamailio as its users tune it: the fast allocator and a hash table of 2^16.
    Kamailio,
    /// Kamailio as it is installed: default allocator, default hash table.
    KamailioDefault,
    /// Seawall.
    Seawall,
}

impl Contender {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Contender::Echo => "UDP echo",
            Contender::Kamailio => "Kamailio, tuned",
            Contender::KamailioDefault => "Kamailio, default",
            Contender::Seawall => "Seawall",
        }
    }
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The program with the `echo` command: this one.
    pub echo: PathBuf,
    /// Kamailio 5.6 or later.
    pub kamailio: PathBuf,
    /// Seawall, a release build.
    pub seawall: PathBuf,
}

impl Programs {
    /// The program of a contender.
    pub fn of(&self, contender: Contender) -> &Path {
        match contender {
            Contender::Echo => &self.echo,
            Contender::Kamailio | Contender::KamailioDefault => &self.kamailio,
            Contender::Seawall => &self.seawall,
        }
    }
}

/// How a contender is started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Who.
    pub contender: Contender,
    /// The CPU that it is pinned to; none for several workers.
    pub cpu: Option<usize>,
    /// UDP workers.
    pub workers: usize,
    /// Whether its script records a route for calls.
    pub record_route: bool,
    /// Lines for Seawall's script, before its route; `@FOLDER@` in them is a folder of its own.
    pub lines: &'static str,
    /// Turns of a loop that every REGISTER goes round in Seawall's script first; 0 for none.
    pub turns: u32,
    /// What every datagram takes of the echo's time besides, microseconds.
    pub echo_work_us: u32,
    /// Run it under callgrind and count its instructions.
    pub count_instructions: bool,
}

impl Setup {
    /// One worker that is not pinned, and nothing else.
    #[must_use]
    pub fn new(contender: Contender) -> Self {
        Setup {
            contender,
            cpu: None,
            workers: 1,
            record_route: false,
            lines: "",
            turns: 0,
            echo_work_us: 0,
            count_instructions: false,
        }
    }
}

/// A server that has answered a first request. It is stopped when this is dropped.
#[derive(Debug)]
pub struct Server {
    contender: Contender,
    child: Child,
    address: SocketAddr,
    folder: Folder,
    stopped: bool,
}

impl Server {
    /// Starts a contender on a free loopback port and waits until it answers `probe`.
    ///
    /// # Errors
    /// [`Error::System`] when it cannot be started, [`Error::Server`] when it dies or does not answer in time; what it
    /// wrote to its log is then part of the message.
    pub fn start(
        setup: &Setup,
        programs: &Programs,
        probe: impl Fn(SocketAddr) -> Vec<u8>,
    ) -> Result<Self, Error> {
        let address = free_address().map_err(Error::system("cannot find a free port"))?;
        let folder = Folder::new().map_err(Error::system("cannot make a temporary folder"))?;
        let program = programs.of(setup.contender);
        let mut command = match setup.count_instructions {
            false => Command::new(program),
            true => under_callgrind(program, &folder.0),
        };
        let log = fs::File::create(folder.0.join("log")).map_err(Error::system("cannot write a log"))?;
        let log_too = log.try_clone().map_err(Error::system("cannot write a log"))?;
        arguments_of(setup, address, &folder.0, &mut command)?;
        command.stdin(Stdio::null()).stdout(log).stderr(log_too);
        let child = spawn_on(setup.cpu, &mut command)
            .map_err(Error::system(format!("cannot start {}", program.display())))?;
        let mut server = Server { contender: setup.contender, child, address, folder, stopped: false };
        server.wait_for_answer(&probe(address))?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its first process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops it and, when it ran under callgrind, returns the instructions of all its processes by stage.
    ///
    /// # Errors
    /// [`Error::Server`] when it had died before.
    pub fn stop(mut self) -> Result<Counts, Error> {
        self.check_alive()?;
        self.end();
        Ok(instructions_in(&self.folder.0))
    }

    fn wait_for_answer(&mut self, probe: &[u8]) -> Result<(), Error> {
        let deadline = Instant::now() + Duration::from_millis(limits::START_TIMEOUT_MS);
        while Instant::now() < deadline {
            self.check_alive()?;
            if socket::probe(self.address, probe, Duration::from_millis(100)) {
                return Ok(());
            }
            // A port that refuses answers at once; ask some times a second only.
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(self.error("it does not answer"))
    }

    fn check_alive(&mut self) -> Result<(), Error> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                self.stopped = true;
                Err(self.error(&format!("it ended by itself ({status})")))
            }
            Err(error) => Err(Error::system("cannot look after a server")(error)),
        }
    }

    fn error(&self, reason: &str) -> Error {
        let log = fs::read(self.folder.0.join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let mut last: Vec<&str> = log.lines().rev().take(12).collect();
        last.reverse();
        Error::Server { server: self.contender.name(), reason: format!("{reason}\n{}", last.join("\n")) }
    }

    fn end(&mut self) {
        if self.stopped {
            return;
        }
        self.stopped = true;
        let family = crate::process::tree(self.pid()).unwrap_or_default();
        let _ = socket::end_process(self.pid(), false);
        let deadline = Instant::now() + Duration::from_millis(limits::STOP_TIMEOUT_MS);
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        for pid in family {
            let _ = socket::end_process(pid, true);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Adds what each program wants to be told, and writes its script.
fn arguments_of(
    setup: &Setup,
    address: SocketAddr,
    folder: &Path,
    command: &mut Command,
) -> Result<(), Error> {
    let script = folder.join("server.cfg");
    let write = |text: &str, hash: &str| {
        let record_route = if setup.record_route { "record_route();" } else { "" };
        let text = text
            .replace("@ADDRESS@", &address.to_string())
            .replace("@WORKERS@", &setup.workers.to_string())
            .replace("@HASH@", hash)
            .replace("@RECORD_ROUTE@", record_route);
        fs::write(&script, text).map_err(Error::system("cannot write a script"))
    };
    match setup.contender {
        Contender::Echo => {
            command.arg("echo").arg(address.to_string());
            command.arg("--work-us").arg(setup.echo_work_us.to_string());
        }
        Contender::Kamailio => {
            write(KAMAILIO_SCRIPT, "modparam(\"usrloc\", \"hash_size\", 16)")?;
            command.args(["-DD", "-E", "-m", "4096", "-M", "32", "-x", "fm", "-X", "fm", "-f"]).arg(&script);
        }
        Contender::KamailioDefault => {
            write(KAMAILIO_SCRIPT, "")?;
            command.args(["-DD", "-E", "-m", "4096", "-M", "32", "-f"]).arg(&script);
        }
        Contender::Seawall => {
            let lines = setup.lines.replace("@FOLDER@", &folder.display().to_string());
            let mut text = SEAWALL_SCRIPT.replacen("\nroute {", &format!("\n{lines}\nroute {{"), 1);
            if setup.turns > 0 {
                let branch = "if (is_method(\"REGISTER\")) {";
                let turns = format!(
                    "{branch} $var(turns) = {}; while ($var(turns) > 0) {{ $var(turns) = $var(turns) - 1; }}",
                    setup.turns
                );
                text = text.replacen(branch, &turns, 1);
            }
            write(&text, "")?;
            command.args(["run", "-f"]).arg(&script);
        }
    }
    Ok(())
}

/// Runs this program with some arguments under callgrind until it ends and returns its instructions.
///
/// # Errors
/// [`Error::System`] when valgrind cannot be started, [`Error::Server`] when the program fails.
pub fn instructions_of(program: &Path, arguments: &[&str]) -> Result<u64, Error> {
    let folder = Folder::new().map_err(Error::system("cannot make a temporary folder"))?;
    let output = under_callgrind(program, &folder.0).args(arguments).stdin(Stdio::null()).output();
    let instructions = instructions_in(&folder.0).all();
    let output = output.map_err(Error::system("cannot start valgrind"))?;
    if output.status.success() && instructions > 0 {
        return Ok(instructions);
    }
    let reason = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Error::Server { server: "a program under callgrind", reason })
}

pub(crate) fn under_callgrind(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "-q"])
        .arg(format!("--callgrind-out-file={}", folder.join("callgrind.%p").display()))
        .arg(program);
    command
}

/// What callgrind counted in all processes that wrote to `folder`.
pub(crate) fn instructions_in(folder: &Path) -> Counts {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut counts = Counts::default();
    for file in files.filter(|file| file.file_name().to_string_lossy().starts_with("callgrind.")) {
        if let Ok(profile) = fs::read(file.path()) {
            counts.add(&by_stage(&String::from_utf8_lossy(&profile)));
        }
    }
    counts
}

/// Starts a process that is pinned from its first instruction on: a child inherits the affinity of the thread that
/// starts it, so a thread is pinned for this purpose and then ends.
pub(crate) fn spawn_on(cpu: Option<usize>, command: &mut Command) -> io::Result<Child> {
    std::thread::scope(|scope| {
        let spawner = scope.spawn(|| {
            if let Some(cpu) = cpu {
                socket::pin_to_cpu(cpu)?;
            }
            command.spawn()
        });
        spawner.join().unwrap_or_else(|_| Err(io::Error::other("the starting thread panicked")))
    })
}

/// A port that was free a moment ago. The server binds it again at once; if somebody else was faster it says so.
/// Runs a generator in a thread of its own, because it pins the thread that it runs on.
///
/// # Errors
/// What `generate` gives; [`Error::Server`] when it panics.
pub(crate) fn apart<R: Send>(
    server: &'static str,
    generate: impl FnOnce() -> Result<R, Error> + Send,
) -> Result<R, Error> {
    std::thread::scope(|scope| scope.spawn(generate).join())
        .unwrap_or_else(|_| Err(Error::Server { server, reason: "the generator panicked".to_owned() }))
}

pub(crate) fn free_address() -> io::Result<SocketAddr> {
    UdpSocket::bind("127.0.0.1:0")?.local_addr()
}

/// A temporary folder that goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> io::Result<Self> {
        Self::new_in(&std::env::temp_dir())
    }

    pub(crate) fn new_in(parent: &Path) -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = parent.join(format!("seawall-bench-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Folder(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
