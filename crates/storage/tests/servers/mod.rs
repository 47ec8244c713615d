//! Private database servers for tests: PostgreSQL and MariaDB as they are installed, with a data folder of their own, on
//! a port from the kernel, stopped at the end.
//!
//! Both refuse to run as root; then they run as `nobody`. Nothing of the system's own databases is touched.

use std::fs::{DirBuilder, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a server may take to be made or to answer: a loaded machine with two cores does it in a quarter.
const PATIENCE: Duration = Duration::from_secs(120);

/// The user and group `nobody` of Debian.
const NOBODY: u32 = 65_534;

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// PostgreSQL.
    Postgres,
    /// MariaDB, which speaks MySQL's protocol.
    Mysql,
}

/// A running server with one empty database.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    folder: PathBuf,
    port: u16,
    child: Option<Child>,
    /// Whether it has a certificate.
    has_tls: bool,
}

impl Server {
    /// Makes a server and waits until it answers.
    ///
    /// # Panics
    /// It is not installed (`cargo xtask setup` does it), or does not start.
    #[must_use]
    pub fn start(kind: Kind) -> Server {
        Server::start_with(kind, false)
    }

    /// A server with a certificate that it has signed itself.
    ///
    /// # Panics
    /// As [`start`](Server::start).
    #[must_use]
    #[allow(dead_code, reason = "not every test program has one")]
    pub fn start_with_tls(kind: Kind) -> Server {
        Server::start_with(kind, true)
    }

    fn start_with(kind: Kind, has_tls: bool) -> Server {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("seawall-db-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&folder);
        DirBuilder::new().mode(0o700).create(&folder).expect("a folder for the server");
        if is_root(&folder) {
            chown(&folder, Some(NOBODY), Some(NOBODY)).expect("the folder for nobody");
        }
        // Nobody holds the port until the server does; it is asked for again should another test get it.
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("a port").port();
        drop(listener);
        let mut server = Server { kind, folder, port, child: None, has_tls };
        server.make();
        if has_tls {
            let mut certificate = server.unprivileged(Path::new("openssl"));
            certificate.args([
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
            ]);
            output(certificate.args([
                "-addext",
                "subjectAltName=IP:127.0.0.1",
                "-keyout",
                "key.pem",
                "-out",
                "cert.pem",
            ]));
        }
        server.run();
        server.create_database();
        server
    }

    /// Its URL, as `db_url` takes it.
    #[must_use]
    pub fn url(&self) -> String {
        match self.kind {
            Kind::Postgres => format!("postgres://seawall@127.0.0.1:{}/seawall", self.port),
            Kind::Mysql => format!("mysql://seawall:p%40ss@127.0.0.1:{}/seawall", self.port),
        }
    }

    /// Runs SQL as another program would; gives what it prints.
    ///
    /// # Panics
    /// It fails.
    pub fn sql(&self, sql: &str) -> String {
        let arguments = match self.kind {
            Kind::Postgres => vec!["-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", "seawall", "-c", sql],
            Kind::Mysql => vec!["-N", "-B", "seawall", "-e", sql],
        };
        output(&mut self.client(&arguments))
    }

    /// Ends it as a power cut does, for those that are connected.
    ///
    /// # Panics
    /// It cannot be ended.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the server can be killed");
            child.wait().expect("the server has ended");
        }
    }

    /// Stops it without an end, as a machine does whose disk hangs, or lets it go on.
    ///
    /// # Panics
    /// It cannot be told.
    #[allow(dead_code, reason = "not every test program stops one")]
    pub fn stand_still(&self, stands_still: bool) {
        let signal = if stands_still { "-STOP" } else { "-CONT" };
        let parent = self.child.as_ref().expect("a running server").id().to_string();
        let tell = |processes: &[&str]| {
            let status = Command::new("kill").arg(signal).args(processes).status();
            status.is_ok_and(|status| status.success())
        };
        assert!(tell(&[&parent]), "kill {signal}");
        // PostgreSQL serves each connection by a process of its own, which may end while it is told.
        let all_are_told = (0..100).any(|_| {
            let children = Command::new("pgrep").args(["-P", &parent]).output().expect("pgrep");
            let children = String::from_utf8_lossy(&children.stdout).into_owned();
            let children: Vec<&str> = children.split_whitespace().collect();
            children.is_empty() || tell(&children)
        });
        assert!(all_are_told, "kill {signal} of the processes for connections");
    }

    /// Keeps everybody else from a table until what is given is dropped.
    ///
    /// # Panics
    /// It fails.
    #[must_use]
    #[allow(dead_code, reason = "not every test program locks one")]
    pub fn lock(&self, table: &str) -> Lock {
        let (mut client, text) = match self.kind {
            Kind::Postgres => (
                self.client(&["-q", "-A", "-t", "-d", "seawall"]),
                format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;\nSELECT 'locked';\n"),
            ),
            Kind::Mysql => (
                self.client(&["-N", "-B", "-n", "seawall"]),
                format!("LOCK TABLES {table} WRITE;\nSELECT 'locked';\n"),
            ),
        };
        let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a client");
        client.stdin.as_mut().expect("its input").write_all(text.as_bytes()).expect("it listens");
        let mut said = String::new();
        let mut output = BufReader::new(client.stdout.take().expect("its output"));
        while said.trim() != "locked" {
            said.clear();
            assert!(output.read_line(&mut said).expect("it answers") > 0, "the table cannot be locked");
        }
        Lock(client)
    }

    /// Starts it again on the same port.
    ///
    /// # Panics
    /// It does not start.
    pub fn run(&mut self) {
        let began = Instant::now();
        // After a kill the processes that PostgreSQL started may take a moment to notice.
        while began.elapsed() < PATIENCE {
            let mut child = self.command().spawn().expect("the server starts");
            while child.try_wait().expect("the server's state").is_none() {
                assert!(began.elapsed() < PATIENCE, "{:?} does not answer: {}", self.kind, self.log());
                if self.answers() {
                    self.child = Some(child);
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        panic!("{:?} does not start: {}", self.kind, self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn answers(&self) -> bool {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        if TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            return false;
        }
        let mut client = self.client(match self.kind {
            Kind::Postgres => &["-d", "postgres", "-c", ""],
            Kind::Mysql => &["-e", "SELECT 1"],
        });
        client.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        client.status().is_ok_and(|status| status.success())
    }

    /// The program that comes with the server, and connects to it, with these arguments more.
    fn client(&self, arguments: &[&str]) -> Command {
        let (program, bare, port, user) = match self.kind {
            Kind::Postgres => ("psql", "-X", "-p", ["-U", "seawall"]),
            Kind::Mysql => ("mariadb", "--no-defaults", "-P", ["-u", "root"]),
        };
        let mut client = Command::new(program);
        client.args([bare, "-h", "127.0.0.1", port, &self.port.to_string()]).args(user).args(arguments);
        client
    }

    /// Makes the data folder.
    fn make(&self) {
        let data = self.folder.join("data");
        match self.kind {
            Kind::Postgres => {
                let mut initdb = self.unprivileged(&postgres_program("initdb"));
                initdb.arg("-D").arg(&data);
                initdb.args(["-U", "seawall", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"]);
                output(&mut initdb);
            }
            Kind::Mysql => {
                let mut install = self.unprivileged(Path::new("mariadb-install-db"));
                install.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
                install.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
                output(&mut install);
            }
        }
    }

    fn create_database(&self) {
        output(&mut self.client(match self.kind {
            Kind::Postgres => &["-q", "-d", "postgres", "-c", "CREATE DATABASE seawall"],
            Kind::Mysql => &[
                "-e",
                "CREATE DATABASE seawall CHARACTER SET utf8mb4; CREATE USER seawall@'%' IDENTIFIED BY 'p@ss'; \
                 GRANT ALL ON seawall.* TO seawall@'%'",
            ],
        }));
    }

    /// The server itself.
    fn command(&self) -> Command {
        let (data, port) = (self.folder.join("data"), self.port.to_string());
        let mut server = match self.kind {
            Kind::Postgres => {
                let mut server = self.unprivileged(&postgres_program("postgres"));
                server.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-p", &port, "-k"]).arg(&self.folder);
                server
            }
            Kind::Mysql => {
                let mut server = self.unprivileged(Path::new("mariadbd"));
                server.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
                server.args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--port", &port]);
                server.arg("--socket").arg(self.folder.join("socket"));
                server.arg("--pid-file").arg(self.folder.join("pid"));
                server
            }
        };
        let file = |name: &str| self.folder.join(name).display().to_string();
        match self.kind {
            _ if !self.has_tls => {}
            Kind::Postgres => {
                let (certificate, key) = (file("cert.pem"), file("key.pem"));
                server.args(["-c", "ssl=on", "-c", &format!("ssl_cert_file={certificate}")]);
                server.args(["-c", &format!("ssl_key_file={key}")]);
            }
            Kind::Mysql => {
                server.arg(format!("--ssl-cert={}", file("cert.pem")));
                server.arg(format!("--ssl-key={}", file("key.pem")));
            }
        }
        let log = File::create(self.folder.join("log")).expect("a log");
        let copy = log.try_clone().expect("a log");
        server.stdin(Stdio::null()).stdout(log).stderr(copy);
        server
    }

    /// A program as somebody who is not root.
    fn unprivileged(&self, program: &Path) -> Command {
        let mut command = if is_nobodys(&self.folder) {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(&self.folder);
        command
    }
}

/// A table that is locked.
#[derive(Debug)]
pub struct Lock(Child);

impl Drop for Lock {
    fn drop(&mut self) {
        // Its session ends with what it reads.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After a test that has failed, processes that stand still would not notice that their server is gone.
        if let Some(child) = &self.child {
            let _ = Command::new("pkill").args(["-CONT", "-P", &child.id().to_string()]).status();
        }
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn is_root(folder: &Path) -> bool {
    std::fs::metadata(folder).is_ok_and(|metadata| metadata.uid() == 0)
}

fn is_nobodys(folder: &Path) -> bool {
    std::fs::metadata(folder).is_ok_and(|metadata| metadata.uid() == NOBODY)
}

/// A program of PostgreSQL, which Debian keeps off the path.
fn postgres_program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin").join(name)).collect();
    found.retain(|path| path.exists());
    found.sort();
    found.pop().unwrap_or_else(|| name.into())
}

/// Runs a program to its end; gives what it prints.
fn output(command: &mut Command) -> String {
    let told = command.stdin(Stdio::null()).output();
    let told = told.unwrap_or_else(|error| panic!("{command:?}: {error}; `cargo xtask setup` installs it"));
    assert!(
        told.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&told.stdout),
        String::from_utf8_lossy(&told.stderr)
    );
    String::from_utf8_lossy(&told.stdout).trim_end().to_owned()
}
