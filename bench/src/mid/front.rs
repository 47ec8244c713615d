//! The Seawall in front, and what it says about itself.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Mode;
use crate::error::Error;
use crate::load;
use crate::server::{Folder, SEAWALL_SCRIPT, free_address, instructions_in, spawn_on, under_callgrind};
use crate::stages::Counts;
use crate::{limits, management, process, socket};

const SCRIPT: &str = include_str!("../../configs/mid.cfg");

/// How a Seawall is started.
#[derive(Clone, Debug)]
pub struct FrontSetup {
    /// The program.
    pub seawall: PathBuf,
    /// How it registers at the main registrar; `None` for a registrar of its own, without one.
    pub mode: Option<Mode>,
    /// `outgoing_expires`, seconds.
    pub outgoing_s: u32,
    /// `fr_timeout`, seconds.
    pub timeout_s: u32,
    /// UDP workers.
    pub workers: usize,
    /// The CPU that it is pinned to.
    pub cpu: Option<usize>,
    /// Run it under callgrind.
    pub count_instructions: bool,
}

/// A running Seawall. It ends when this is dropped.
#[derive(Debug)]
pub struct Front {
    child: Child,
    address: SocketAddr,
    management: SocketAddr,
    folder: Folder,
}

/// Its statistics at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// REGISTERs that it answered itself.
    pub absorbed: u64,
    /// REGISTERs that it sent on.
    pub forwarded: u64,
    /// REGISTERs that it refused.
    pub refused: u64,
    /// De-REGISTERs that it sent.
    pub deregisters: u64,
}

impl Front {
    /// Starts one in front of `main` and waits until it answers.
    ///
    /// # Errors
    /// [`Error::System`] when it cannot be started, [`Error::Server`] when it does not answer in time.
    pub fn start(setup: &FrontSetup, main: SocketAddr) -> Result<Front, Error> {
        let address = free_address().map_err(Error::system("cannot find a free port"))?;
        let management = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let management = management.map_err(Error::system("cannot find a free port"))?;
        let folder = Folder::new().map_err(Error::system("cannot make a temporary folder"))?;
        let script = folder.0.join("front.cfg");
        let text = if setup.mode.is_some() { SCRIPT } else { SEAWALL_SCRIPT };
        let text = text
            .replace("@ADDRESS@", &address.to_string())
            .replace("@WORKERS@", &setup.workers.to_string())
            .replace("@RECORD_ROUTE@", "")
            .replace("@TIMEOUT@", &setup.timeout_s.to_string())
            .replace("@MODE@", if setup.mode == Some(Mode::Aor) { "2" } else { "1" })
            .replace("@OUTGOING@", &setup.outgoing_s.to_string())
            .replace("@MAIN@", &main.to_string());
        fs::write(&script, text).map_err(Error::system("cannot write a script"))?;
        let log = File::create(folder.0.join("log")).map_err(Error::system("cannot write a log"))?;
        let log_too = log.try_clone().map_err(Error::system("cannot write a log"))?;
        let mut command = match setup.count_instructions {
            false => Command::new(&setup.seawall),
            true => under_callgrind(&setup.seawall, &folder.0),
        };
        command.args(["run", "--mi", &management.to_string(), "-f"]).arg(&script);
        command.stdin(Stdio::null()).stdout(log).stderr(log_too);
        let child = spawn_on(setup.cpu, &mut command)
            .map_err(Error::system(format!("cannot start {}", setup.seawall.display())))?;
        let mut front = Front { child, address, management, folder };
        front.wait_for_answer(setup.mode.is_some())?;
        Ok(front)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its management interface is.
    pub fn management(&self) -> SocketAddr {
        self.management
    }

    /// Processor time that it has used, nanoseconds.
    ///
    /// # Errors
    /// [`Error::System`] when it is gone.
    pub fn cpu_ns(&self) -> Result<u64, Error> {
        process::cpu_ns(self.child.id()).map_err(Error::system("cannot read the server's processor time"))
    }

    /// Ends it, and gives the instructions that callgrind has counted in it, by stage.
    pub fn stop(mut self) -> Counts {
        self.end();
        instructions_in(&self.folder.0)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.0.join("log")).unwrap_or_default()
    }

    fn wait_for_answer(&mut self, is_managed: bool) -> Result<(), Error> {
        let deadline = Instant::now() + Duration::from_millis(limits::START_TIMEOUT_MS);
        let probe = load::probe_request(self.address);
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            let answers = socket::probe(self.address, &probe, Duration::from_millis(100));
            if answers && (!is_managed || statistics(self.management).is_ok()) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(Error::Server { server: "Seawall", reason: format!("it does not answer\n{}", self.log()) })
    }
}

impl Front {
    fn end(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let _ = socket::end_process(self.child.id(), false);
        let deadline = Instant::now() + Duration::from_millis(limits::STOP_TIMEOUT_MS);
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.end();
    }
}

/// Asks a Seawall for its statistics.
///
/// # Errors
/// [`Error::System`] when it does not answer.
pub fn statistics(management: SocketAddr) -> Result<Statistics, Error> {
    let statistics = management::statistics(management, "mid_registrar")?;
    let value = |name: &str| management::value(&statistics, &format!("mid_registrar:{name}"));
    Ok(Statistics {
        absorbed: value("absorbed_regs"),
        forwarded: value("forwarded_regs"),
        refused: value("refused_regs"),
        deregisters: value("sent_deregs"),
    })
}

/// Registers everything again at a main registrar that lost it; gives its answer.
///
/// # Errors
/// [`Error::System`] when it does not answer.
pub fn resync(management: SocketAddr) -> Result<String, Error> {
    management::call(management, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"mid_reg_resync\"}")
}

/// What a Seawall knows of an address of record at the main registrar.
///
/// # Errors
/// [`Error::System`] when it does not answer.
pub fn show(management: SocketAddr, aor: &str) -> Result<String, Error> {
    let body = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"mid_reg_show\",\"params\":{{\"aor\":\"{aor}\"}}}}"
    );
    let answer = management::call(management, &body)?;
    Ok(answer.rsplit("\r\n\r\n").next().unwrap_or_default().to_owned())
}

/// Whether a program is there at all.
pub fn is_there(program: &Path) -> bool {
    program.exists()
}

impl Statistics {
    /// What was counted since an earlier moment.
    #[must_use]
    pub fn since(&self, before: &Statistics) -> Statistics {
        Statistics {
            absorbed: self.absorbed.saturating_sub(before.absorbed),
            forwarded: self.forwarded.saturating_sub(before.forwarded),
            refused: self.refused.saturating_sub(before.refused),
            deregisters: self.deregisters.saturating_sub(before.deregisters),
        }
    }
}
