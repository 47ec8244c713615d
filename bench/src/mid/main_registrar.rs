//! The main registrar: a Kamailio whose table can be read, and that can be made to stand still or start anew.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::crowd::digits;
use crate::error::Error;
use crate::load;
use crate::server::{Folder, free_address, spawn_on};
use crate::{limits, process, socket};

const SCRIPT: &str = include_str!("../../configs/mid-main.cfg");

/// One contact of the main registrar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Its URI.
    pub uri: String,
    /// Seconds until it runs out.
    pub expires_s: u32,
}

/// A running Kamailio. It ends when this is dropped.
#[derive(Debug)]
pub struct MainRegistrar {
    program: PathBuf,
    child: Option<Child>,
    cpu: Option<usize>,
    address: SocketAddr,
    folder: Folder,
}

/// Reads the table of a main registrar, from any thread.
#[derive(Clone, Debug)]
pub struct Reader {
    folder: PathBuf,
}

impl MainRegistrar {
    /// Starts one on a free port, on this CPU if one is given, and waits until it answers.
    ///
    /// # Errors
    /// [`Error::System`] when it cannot be started, [`Error::Server`] when it does not answer in time.
    pub fn start(program: &Path, cpu: Option<usize>) -> Result<MainRegistrar, Error> {
        let address = free_address().map_err(Error::system("cannot find a free port"))?;
        let folder = Folder::new().map_err(Error::system("cannot make a temporary folder"))?;
        let mut main = MainRegistrar { program: program.to_owned(), child: None, cpu, address, folder };
        main.spawn()?;
        let deadline = Instant::now() + Duration::from_millis(limits::START_TIMEOUT_MS);
        while Instant::now() < deadline {
            if main.is_ready() {
                return Ok(main);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let log = fs::read_to_string(main.folder.0.join("main.log")).unwrap_or_default();
        Err(Error::Server { server: "Kamailio", reason: format!("it does not answer\n{log}") })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What reads its table.
    pub fn reader(&self) -> Reader {
        Reader { folder: self.folder.0.clone() }
    }

    /// Makes all its processes stand still, or go on.
    ///
    /// # Errors
    /// [`Error::System`] when they are not there.
    pub fn stand_still(&self, stands_still: bool) -> Result<(), Error> {
        let Some(child) = &self.child else { return Ok(()) };
        let family = process::tree(child.id()).map_err(Error::system("cannot list processes"))?;
        for pid in family {
            socket::pause_process(pid, stands_still)
                .map_err(Error::system("cannot pause the main registrar"))?;
        }
        Ok(())
    }

    /// Ends it without giving it a chance to say anything.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            for pid in process::tree(child.id()).unwrap_or_default() {
                // One that has ended by itself meanwhile is as good.
                let _ = socket::end_process(pid, true);
            }
            let _ = child.wait();
        }
    }

    /// Starts it at the same address, with an empty table. [`MainRegistrar::is_ready`] tells when it serves.
    ///
    /// # Errors
    /// [`Error::System`] when it cannot be started.
    pub fn spawn(&mut self) -> Result<(), Error> {
        self.kill();
        let folder = &self.folder.0;
        // A FIFO that a killed process has left would be taken for that of the new one.
        let _ = fs::remove_file(folder.join("fifo"));
        let script = folder.join("main.cfg");
        let text = SCRIPT
            .replace("@ADDRESS@", &self.address.to_string())
            .replace("@FOLDER@", &folder.display().to_string());
        fs::write(&script, text).map_err(Error::system("cannot write a script"))?;
        let log = File::create(folder.join("main.log")).map_err(Error::system("cannot write a log"))?;
        let log_too = log.try_clone().map_err(Error::system("cannot write a log"))?;
        let mut command = Command::new(&self.program);
        command.args(["-DD", "-E", "-m", "512", "-M", "256", "-Y"]).arg(folder).arg("-f").arg(&script);
        command.stdin(Stdio::null()).stdout(log).stderr(log_too);
        let what = || format!("cannot start {}", self.program.display());
        self.child = Some(spawn_on(self.cpu, &mut command).map_err(|error| Error::system(what())(error))?);
        Ok(())
    }

    /// Whether it answers, and its table can be read.
    pub fn is_ready(&self) -> bool {
        let probe = load::probe_request(self.address);
        self.folder.0.join("fifo").exists() && socket::probe(self.address, &probe, Duration::from_millis(50))
    }
}

impl Drop for MainRegistrar {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Reader {
    /// The whole table, read while it works.
    ///
    /// # Errors
    /// [`Error::System`] when the FIFOs fail, [`Error::Server`] when no whole answer comes in time.
    pub fn read(&self) -> Result<Vec<Contact>, Error> {
        let reply = self.folder.join("reply");
        let failed = Error::system("cannot read the main registrar's table");
        if !reply.exists() {
            let made = Command::new("mkfifo").arg(&reply).status();
            made.map_err(Error::system("cannot make a FIFO"))?;
        }
        let attempt = || -> std::io::Result<Vec<u8>> {
            let mut from = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&reply)?;
            let mut to = OpenOptions::new()
                .write(true)
                .custom_flags(libc::O_NONBLOCK)
                .open(self.folder.join("fifo"))?;
            to.write_all(
                b"{\"jsonrpc\":\"2.0\",\"method\":\"ul.dump\",\"reply_name\":\"reply\",\"id\":1}\n",
            )?;
            whole(&mut from)
        };
        let bytes = attempt().map_err(failed)?;
        if !bytes.trim_ascii_end().ends_with(b"}") {
            let reason = format!("it gave no whole table, but {} bytes", bytes.len());
            return Err(Error::Server { server: "Kamailio", reason });
        }
        Ok(contacts(&bytes))
    }
}

/// Everything until the writer closes.
fn whole(from: &mut File) -> std::io::Result<Vec<u8>> {
    let deadline = Instant::now() + Duration::from_millis(limits::DUMP_TIMEOUT_MS);
    let mut bytes = Vec::new();
    let mut part = vec![0; 1 << 16];
    while Instant::now() < deadline && bytes.len() < limits::MAX_DUMP_BYTES {
        match from.read(&mut part) {
            // Nobody has opened it yet, or whoever did has closed it.
            Ok(0) if bytes.is_empty() => std::thread::sleep(Duration::from_millis(2)),
            Ok(0) => return Ok(bytes),
            Ok(length) => bytes.extend_from_slice(part.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) => return Err(error),
        }
    }
    Err(std::io::Error::from(ErrorKind::TimedOut))
}

/// The contacts of an answer to `ul.dump` that have not run out.
fn contacts(bytes: &[u8]) -> Vec<Contact> {
    let mut contacts = Vec::new();
    let text = String::from_utf8_lossy(bytes);
    for part in text.split("\"Address\":").skip(1) {
        let uri = part.split('"').nth(1).unwrap_or_default();
        let expires = part.split("\"Expires\":").nth(1).unwrap_or_default().trim_start();
        // "expired" and "deleted" wait for a timer; they are bound no longer.
        if let Some(expires_s) = digits(expires.as_bytes()).filter(|expires_s| *expires_s > 0) {
            contacts.push(Contact { uri: uri.to_owned(), expires_s });
        }
    }
    contacts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_has_the_contacts_that_hold() {
        let dump = br#"{"AoRs":[{"Info":{"AoR":"u","Contacts":[{"Contact":{"Address":"sip:a@h;ctid=1","Expires":	57,"Q":-1}},
            {"Contact":{"Address":	"sip:b@h","Expires":	"expired"}}, {"Contact":{"Address":"sip:c@h","Expires":0}}]}}]}"#;
        assert_eq!(contacts(dump), [Contact { uri: "sip:a@h;ctid=1".to_owned(), expires_s: 57 }]);
    }
}
