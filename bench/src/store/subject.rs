//! Who is measured with a database: how each is configured, started, stopped and killed.

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::error::Error;
use crate::server::{Folder, free_address, spawn_on};
use crate::{limits, load, management, process, socket};

const SEAWALL_SCRIPT: &str = include_str!("../../configs/store-seawall.cfg");
const KAMAILIO_SCRIPT: &str = include_str!("../../configs/store-kamailio.cfg");

/// Where Debian's `kamailio-sqlite-modules` puts the statements that make Kamailio's tables.
const KAMAILIO_TABLES: &str = "/usr/share/kamailio/db_sqlite";

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The bare UDP echo.
    Echo,
    /// Seawall without a database.
    Memory,
    /// Seawall, every REGISTER on disk before its answer.
    Through,
    /// Seawall, written every interval.
    Back,
    /// Kamailio without a database.
    KamailioMemory,
    /// Kamailio, written before the answer (`db_mode 1`).
    KamailioThrough,
    /// Kamailio, written every interval (`db_mode 2`).
    KamailioBack,
}

impl Subject {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Subject::Echo => "UDP echo",
            Subject::Memory => "Seawall, memory only",
            Subject::Through => "Seawall, write-through",
            Subject::Back => "Seawall, write-back",
            Subject::KamailioMemory => "Kamailio, memory only",
            Subject::KamailioThrough => "Kamailio, db_mode 1",
            Subject::KamailioBack => "Kamailio, db_mode 2",
        }
    }

    /// Whether it is Kamailio in some mode.
    pub fn is_kamailio(self) -> bool {
        matches!(self, Subject::KamailioMemory | Subject::KamailioThrough | Subject::KamailioBack)
    }

    /// Whether it is Seawall in some mode.
    pub fn is_seawall(self) -> bool {
        matches!(self, Subject::Memory | Subject::Through | Subject::Back)
    }

    /// The part of its script that says how bindings are kept.
    fn store(self, file: &Path, interval_s: u32) -> String {
        let file = file.display();
        let usrloc = |lines: &[String]| {
            let lines = lines.iter().map(|line| format!("modparam(\"usrloc\", {line})"));
            lines.collect::<Vec<_>>().join("\n")
        };
        let preset = |name| format!("\"working_mode_preset\", \"{name}\"");
        let url = format!("\"db_url\", \"sqlite://{file}\"");
        let interval = format!("\"timer_interval\", {interval_s}");
        match self {
            Subject::Echo => String::new(),
            Subject::Memory => usrloc(&[preset("single-instance-no-db")]),
            Subject::Through => usrloc(&[preset("single-instance-sql-write-through"), url]),
            Subject::Back => usrloc(&[preset("single-instance-sql-write-back"), url, interval]),
            Subject::KamailioMemory => usrloc(&["\"db_mode\", 0".to_owned()]),
            Subject::KamailioThrough => usrloc(&["\"db_mode\", 1".to_owned(), url]),
            Subject::KamailioBack => usrloc(&["\"db_mode\", 2".to_owned(), url, interval]),
        }
    }
}

/// How a subject is started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Who.
    pub subject: Subject,
    /// Its program.
    pub program: PathBuf,
    /// UDP workers.
    pub workers: usize,
    /// The CPU that it is pinned to, if it is.
    pub cpu: Option<usize>,
    /// How often a table is written that is not written at once, seconds.
    pub interval_s: u32,
}

/// A folder with a database, and the address of whoever serves it.
#[derive(Debug)]
pub struct Place {
    folder: Folder,
    address: SocketAddr,
}

/// A process that serves, or will soon. It is killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    subject: Subject,
    child: Child,
    address: SocketAddr,
    management: SocketAddr,
    log: PathBuf,
    /// When it was started.
    pub began: Instant,
}

impl Place {
    /// A new folder below `parent`, with a database for Kamailio when `subject` is one.
    ///
    /// # Errors
    /// [`Error::System`] when there is no room, [`Error::Server`] when Kamailio's tables cannot be made.
    pub fn new(parent: &Path, subject: Subject) -> Result<Place, Error> {
        let folder = Folder::new_in(parent).map_err(Error::system("cannot make a folder"))?;
        let address = free_address().map_err(Error::system("cannot find a free port"))?;
        let place = Place { folder, address };
        if matches!(subject, Subject::KamailioThrough | Subject::KamailioBack) {
            place.make_tables().map_err(|reason| Error::Server { server: subject.name(), reason })?;
        }
        Ok(place)
    }

    /// The address that a subject here listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The database.
    pub fn file(&self) -> PathBuf {
        self.folder.0.join("location.db")
    }

    /// How many rows its table has, and of how many users.
    ///
    /// # Errors
    /// [`Error::Server`] when it cannot be read.
    pub fn rows(&self, subject: Subject) -> Result<(u64, u64), Error> {
        let read = || {
            let connection = Connection::open(self.file())?;
            let sql = "SELECT count(*), count(DISTINCT username) FROM location";
            connection.query_row(sql, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
        };
        let (rows, users) = read().map_err(|error: rusqlite::Error| Error::Server {
            server: subject.name(),
            reason: format!("its table cannot be read: {error}"),
        })?;
        Ok((rows.unsigned_abs(), users.unsigned_abs()))
    }

    /// Kamailio makes no tables. Its write-ahead log is a property of the file.
    fn make_tables(&self) -> Result<(), String> {
        let connection = Connection::open(self.file()).map_err(|error| error.to_string())?;
        connection
            .query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))
            .map_err(|error| error.to_string())?;
        for name in ["standard-create.sql", "usrloc-create.sql"] {
            let path = Path::new(KAMAILIO_TABLES).join(name);
            let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            connection.execute_batch(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }
}

/// Whether Kamailio can be given a SQLite file on this machine.
pub fn has_kamailio_tables() -> bool {
    Path::new(KAMAILIO_TABLES).join("usrloc-create.sql").exists()
}

impl Running {
    /// Starts a subject; it may not serve yet.
    ///
    /// # Errors
    /// [`Error::System`] when it cannot be started.
    pub fn spawn(setup: &Setup, place: &Place) -> Result<Running, Error> {
        let management = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let management = management.map_err(Error::system("cannot find a free port"))?;
        let (folder, address) = (&place.folder.0, place.address);
        let script = folder.join("server.cfg");
        let text = if setup.subject.is_kamailio() { KAMAILIO_SCRIPT } else { SEAWALL_SCRIPT };
        let text = text
            .replace("@ADDRESS@", &address.to_string())
            .replace("@WORKERS@", &setup.workers.to_string())
            .replace("@STORE@", &setup.subject.store(&place.file(), setup.interval_s));
        fs::write(&script, text).map_err(Error::system("cannot write a script"))?;
        let log = folder.join("log");
        let file = fs::File::create(&log).map_err(Error::system("cannot write a log"))?;
        let file_too = file.try_clone().map_err(Error::system("cannot write a log"))?;
        let mut command = Command::new(&setup.program);
        match setup.subject {
            Subject::Echo => command.arg("echo").arg(address.to_string()),
            subject if subject.is_kamailio() => {
                let memory = ["-DD", "-E", "-m", "4096", "-M", "512", "-x", "fm", "-X", "fm", "-Y"];
                command.args(memory).arg(folder).arg("-f").arg(&script)
            }
            _ => command.args(["run", "--mi", &management.to_string(), "-f"]).arg(&script),
        };
        command.stdin(Stdio::null()).stdout(file).stderr(file_too);
        let began = Instant::now();
        let child = spawn_on(setup.cpu, &mut command)
            .map_err(Error::system(format!("cannot start {}", setup.program.display())))?;
        Ok(Running { subject: setup.subject, child, address, management, log, began })
    }

    /// Starts a subject and waits until it answers.
    ///
    /// # Errors
    /// As [`Running::spawn`], and [`Error::Server`] when it dies or does not answer in time.
    pub fn start(setup: &Setup, place: &Place) -> Result<Running, Error> {
        let mut running = Running::spawn(setup, place)?;
        let probe = load::probe_request(running.address);
        running.wait_until(|address| socket::probe(address, &probe, Duration::from_millis(100)))?;
        Ok(running)
    }

    /// Waits until `is_so`, given its address, which may take some time by itself.
    fn wait_until(&mut self, is_so: impl Fn(SocketAddr) -> bool) -> Result<(), Error> {
        let deadline = Instant::now() + Duration::from_millis(limits::LONGEST_STOP_MS);
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return Err(self.error("it ended by itself"));
            }
            if is_so(self.address) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(self.error("it does not answer"))
    }

    /// Sends a request again and again until it is answered with 200; how long after the start that was. None when it is
    /// answered otherwise for too long, which is told, or not at all.
    pub fn first_answer(
        address: SocketAddr,
        began: Instant,
        write: impl Fn(SocketAddr) -> Vec<u8>,
    ) -> Option<Duration> {
        let socket = UdpSocket::bind("127.0.0.1:0").ok()?;
        socket.connect(address).ok()?;
        socket.set_read_timeout(Some(Duration::from_millis(limits::ASK_AGAIN_MS))).ok()?;
        let request = write(socket.local_addr().ok()?);
        let deadline = Instant::now() + Duration::from_millis(limits::LONGEST_STOP_MS);
        let mut answer = [0; limits::DATAGRAM_BYTES];
        let mut refused: Option<Instant> = None;
        while Instant::now() < deadline {
            // A port that nobody has opened yet refuses.
            let sent = socket.send(&request).is_ok();
            match socket.recv(&mut answer) {
                Ok(length) if answer.get(..length).is_some_and(|bytes| bytes.starts_with(b"SIP/2.0 200")) => {
                    return Some(began.elapsed());
                }
                Ok(length) => {
                    let since = *refused.get_or_insert_with(Instant::now);
                    if since.elapsed() > Duration::from_millis(limits::LONGEST_REFUSAL_MS) {
                        let text = String::from_utf8_lossy(answer.get(..length).unwrap_or_default());
                        eprintln!("  it goes on answering\n{text}to\n{}", String::from_utf8_lossy(&request));
                        return None;
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(error) if sent && error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        None
    }

    /// Waits until its log has a text; how long after the start that was.
    ///
    /// # Errors
    /// [`Error::Server`] when it dies or that does not come.
    pub fn wait_for_log(&mut self, text: &str) -> Result<Duration, Error> {
        let log = self.log.clone();
        self.wait_until(|_| fs::read_to_string(&log).is_ok_and(|log| log.contains(text)))?;
        Ok(self.began.elapsed())
    }

    /// Its first process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A statistic of Seawall's; 0 of anybody else.
    pub fn statistic(&self, name: &str) -> u64 {
        let module = name.split(':').next().unwrap_or_default();
        let text = self.subject.is_seawall().then(|| management::statistics(self.management, module));
        text.and_then(Result::ok).map_or(0, |text| management::value(&text, name))
    }

    /// Where its statistics are asked for, if it has some.
    pub fn management(&self) -> Option<SocketAddr> {
        self.subject.is_seawall().then_some(self.management)
    }

    /// Processor time of the whole process tree, nanoseconds.
    pub fn cpu_ns(&self) -> u64 {
        process::cpu_ns(self.pid()).unwrap_or(0)
    }

    /// Asks it to end (SIGTERM) and waits; how long that took, and how it ended.
    ///
    /// # Errors
    /// [`Error::Server`] when it does not end in time.
    pub fn stop(mut self) -> Result<(Duration, ExitStatus), Error> {
        let began = Instant::now();
        let _ = socket::end_process(self.pid(), false);
        let deadline = began + Duration::from_millis(limits::LONGEST_STOP_MS);
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                Ok(Some(status)) => return Ok((began.elapsed(), status)),
                Err(error) => return Err(Error::system("cannot look after a server")(error)),
            }
        }
        Err(self.error("it does not end"))
    }

    /// Ends it without giving it a chance to say anything.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            for pid in process::tree(self.pid()).unwrap_or_default() {
                // One that has ended by itself meanwhile is as good.
                let _ = socket::end_process(pid, true);
            }
            let _ = self.child.wait();
        }
    }

    fn error(&self, reason: &str) -> Error {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let mut last: Vec<&str> = log.lines().rev().take(12).collect();
        last.reverse();
        Error::Server { server: self.subject.name(), reason: format!("{reason}\n{}", last.join("\n")) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}
