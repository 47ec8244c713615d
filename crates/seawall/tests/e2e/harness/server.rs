//! The server process of a test.

use super::{PATIENCE, unique};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The line that ends the start-up report.
const READY: &str = "seawall is ready";

/// A running `seawall run`, killed when the test ends.
pub struct Server {
    child: Child,
    folder: PathBuf,
    /// What it printed before it was ready.
    pub greeting: Vec<String>,
    errors: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
    stopped: bool,
}

impl Server {
    /// Runs a script that names no sockets, on one UDP and one TCP port that the kernel chooses.
    pub fn start(script: &str) -> Server {
        Server::start_with(script, &["-l", "udp:127.0.0.1:0", "-l", "tcp:127.0.0.1:0"])
    }

    /// Runs a script with more arguments.
    pub fn start_with(script: &str, arguments: &[&str]) -> Server {
        let folder = temporary_folder();
        let file = folder.join("seawall.cfg");
        fs::write(&file, script).unwrap();
        let mut command = seawall();
        command.arg("run").arg("-f").arg(&file).args(arguments);
        Server::spawn(command, folder)
    }

    /// Runs a script in a file system of its own: `size` of memory at `at`, seen by nobody else. Where that is not allowed
    /// to root or in a user namespace, nothing.
    pub fn start_on_a_small_disk(script: &str, at: &Path, size: &str) -> Option<Server> {
        let folder = temporary_folder();
        let file = folder.join("seawall.cfg");
        fs::write(&file, script).unwrap();
        let is_root = fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
        let namespaces: &[&str] =
            if is_root { &["--mount"] } else { &["--user", "--map-root-user", "--mount"] };
        let allowed = Command::new("unshare").args(namespaces).arg("true").status();
        if !allowed.is_ok_and(|status| status.success()) {
            return None;
        }
        let mut command = Command::new("unshare");
        command.args(namespaces).args([
            "sh",
            "-c",
            "mount -t tmpfs -o size=$1 none $2 && shift 2 && exec \"$@\"",
            "sh",
        ]);
        command.arg(size).arg(at).arg(env!("CARGO_BIN_EXE_seawall")).arg("run").arg("-f").arg(&file);
        command.args(["-l", "udp:127.0.0.1:0", "-l", "tcp:127.0.0.1:0"]);
        Some(Server::spawn(command, folder))
    }

    /// Runs `seawall run` without a script.
    pub fn start_default(arguments: &[&str]) -> Server {
        let folder = temporary_folder();
        let mut command = seawall();
        command.arg("run").arg("--data").arg(folder.join("data")).args(arguments);
        Server::spawn(command, folder)
    }

    /// Runs `seawall run` with these arguments and no others.
    pub fn start_as_told(arguments: &[&str]) -> Server {
        let mut command = seawall();
        command.arg("run").args(arguments);
        Server::spawn(command, temporary_folder())
    }

    /// Runs `seawall ctl` with words and what it reads from its standard input.
    pub fn ctl(&self, words: &[&str], input: &str) -> Output {
        let mut command = seawall();
        command.args(["ctl", "--mi", &format!("http://{}/mi", self.http())]).args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// The line for a shell that runs `seawall ctl` with words.
    pub fn ctl_line(&self, words: &[&str]) -> String {
        format!("{} ctl --mi http://{}/mi {}", env!("CARGO_BIN_EXE_seawall"), self.http(), words.join(" "))
    }

    /// Adds a user, who has to be new.
    pub fn add_user(&self, name: &str, password: &str) {
        let output = self.ctl(&["user", "add", name, "--password-stdin"], &format!("{password}\n"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Runs another command that serves.
    pub fn start_command(name: &str, arguments: &[&str]) -> Server {
        let mut command = seawall();
        command.arg(name).args(arguments);
        Server::spawn(command, temporary_folder())
    }

    fn spawn(mut command: Command, folder: PathBuf) -> Server {
        command.current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (lines, received) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = child.stderr.take().unwrap();
        let errors = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&errors);
        let readers = vec![
            std::thread::spawn(move || {
                stdout.lines().map_while(Result::ok).for_each(|line| drop(lines.send(line)));
            }),
            std::thread::spawn(move || {
                let mut part = [0; 4096];
                while let Ok(length @ 1..) = stderr.read(&mut part) {
                    kept.lock().unwrap().push_str(&String::from_utf8_lossy(&part[..length]));
                }
            }),
        ];
        let mut server = Server { child, folder, greeting: Vec::new(), errors, readers, stopped: false };
        server.wait_until_ready(&received);
        server
    }

    fn wait_until_ready(&mut self, received: &Receiver<String>) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match received.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line.trim() == READY => return,
                Ok(line) => self.greeting.push(line),
                Err(RecvTimeoutError::Timeout) => panic!("not ready in time; it said {:?}", self.greeting),
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait().unwrap();
                    self.readers.drain(..).for_each(|reader| reader.join().unwrap());
                    panic!("ended with {status}; it said {:?}\n{}", self.greeting, self.log());
                }
            }
        }
    }

    /// The first UDP address that it serves.
    pub fn udp(&self) -> SocketAddr {
        self.address("udp:")
    }

    /// The first TCP address that it serves.
    pub fn tcp(&self) -> SocketAddr {
        self.address("tcp:")
    }

    /// The address of MI over HTTP and of the metrics.
    pub fn http(&self) -> SocketAddr {
        self.address("http:")
    }

    /// The address of the first `listening PROTOCOL:ADDRESS` line.
    fn address(&self, protocol: &str) -> SocketAddr {
        let named = |line: &String| -> Option<SocketAddr> {
            let address = line.trim().strip_prefix("listening ")?.strip_prefix(protocol)?;
            address.split_whitespace().next()?.parse().ok()
        };
        let found = self.greeting.iter().find_map(named);
        found.unwrap_or_else(|| panic!("no `listening {protocol}…` in {:?}", self.greeting))
    }

    /// Replaces the script file (nothing happens until the server is told to reload).
    pub fn rewrite_script(&self, script: &str) {
        fs::write(self.folder.join("seawall.cfg"), script).unwrap();
    }

    /// What it has written to standard error so far: its log.
    pub fn log(&self) -> String {
        self.errors.lock().unwrap().clone()
    }

    /// Waits until the log contains a text.
    pub fn wait_for_log(&self, text: &str) {
        self.wait_for_log_times(text, 1);
    }

    /// Waits until the log contains a text so many times.
    pub fn wait_for_log_times(&self, text: &str, times: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.log().matches(text).count() < times {
            assert!(Instant::now() < deadline, "no {text:?} ({times} times) in the log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal by name, as `HUP`. After `STOP` all threads stand still.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        if name == "STOP" {
            wait_until_still(self.child.id());
        }
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Whether it still runs.
    pub fn alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end of the process, which somebody has asked for.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.stopped = true;
                self.readers.drain(..).for_each(|reader| reader.join().unwrap());
                return status;
            }
            assert!(Instant::now() < deadline, "does not end; its log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.stopped {
            let died = !std::thread::panicking() && !self.alive();
            // The process may have ended by itself, which the next lines tell.
            let _ = self.child.kill();
            let _ = self.child.wait();
            self.readers.drain(..).for_each(|reader| drop(reader.join()));
            let _ = fs::remove_dir_all(&self.folder);
            assert!(!died, "the server ended by itself:\n{}", self.log());
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
        if std::thread::panicking() {
            eprintln!("--- log of the server ---\n{}", self.log());
        } else {
            assert!(!self.log().contains("panicked at"), "a thread of the server panicked:\n{}", self.log());
        }
    }
}

/// The command under test.
pub fn seawall() -> Command {
    Command::new(env!("CARGO_BIN_EXE_seawall"))
}

/// Runs a command of Seawall to its end.
pub fn run(arguments: &[&str]) -> Output {
    seawall().args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// A new empty folder of this test process.
pub fn temporary_folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("seawall-e2e-{}", unique()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Waits until all threads of a process that was sent SIGSTOP have stopped: one that runs goes on until it notices.
pub fn wait_until_still(process: u32) {
    let deadline = Instant::now() + PATIENCE;
    let is_still = || {
        let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
        threads.flatten().all(|thread| {
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
        })
    };
    while !is_still() {
        assert!(Instant::now() < deadline, "process {process} goes on after SIGSTOP");
        std::thread::sleep(Duration::from_millis(1));
    }
}
