//! A Kamailio beside the server under test: another implementation of the same standards.

use super::PATIENCE;
use super::server::{temporary_folder, wait_until_still};
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What every Kamailio here begins with; the rest is parameters and routes.
const HEAD: &str = r#"#!KAMAILIO
debug=-1
log_stderror=yes
fork=yes
children=1
auto_aliases=no
disable_tcp=yes
dns=no
rev_dns=no
listen=udp:@ADDRESS@
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "siputils.so"
loadmodule "auth.so"
modparam("usrloc", "db_mode", 0)
modparam("usrloc", "timer_interval", 1)
modparam("registrar", "default_expires", 3600)
"#;

/// A registrar in memory, with the same timing as the registrar module's defaults.
const REGISTRAR: &str = r#"
modparam("registrar", "min_expires", 60)
modparam("registrar", "max_expires", 0)
request_route {
	if (method == "REGISTER") { save("location"); exit; }
	sl_send_reply("405", "No");
}
"#;

/// A running Kamailio, ended with the test.
pub struct Kamailio {
    child: Child,
    folder: PathBuf,
    /// Where it listens, over UDP.
    pub address: SocketAddr,
}

impl Kamailio {
    /// A registrar that has answered once.
    pub fn registrar() -> Kamailio {
        Kamailio::start(REGISTRAR)
    }

    /// One with these parameters and routes.
    pub fn start(rest: &str) -> Kamailio {
        let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder = temporary_folder();
        let script = format!("{}{rest}", HEAD.replace("@ADDRESS@", &address.to_string()));
        fs::write(folder.join("kamailio.cfg"), script).unwrap();
        let mut kamailio = Kamailio { child: run(&folder), folder, address };
        kamailio.wait_until_it_answers();
        kamailio
    }

    /// Ends it, and starts it again with an empty memory.
    pub fn restart(&mut self) {
        self.end();
        self.child = run(&self.folder);
        self.wait_until_it_answers();
    }

    /// Makes it stand still, or go on.
    pub fn stand_still(&self, stands_still: bool) {
        let signal = if stands_still { "-STOP" } else { "-CONT" };
        let children = Command::new("pgrep").args(["-P", &self.child.id().to_string()]).output().unwrap();
        let all = String::from_utf8(children.stdout).unwrap();
        let children = all.split_whitespace().map(|id| id.parse::<u32>().unwrap());
        let all: Vec<u32> = children.chain([self.child.id()]).collect();
        let kill = Command::new("kill").arg(signal).args(all.iter().map(u32::to_string)).status();
        assert!(kill.unwrap().success());
        if stands_still {
            all.into_iter().for_each(wait_until_still);
        }
    }

    fn wait_until_it_answers(&mut self) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let own = socket.local_addr().unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let probe = format!(
            "OPTIONS sip:{} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKprobe\r\nFrom: <sip:a@b>;tag=p\r\n\
             To: <sip:a@b>\r\nCall-ID: probe\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
            self.address
        );
        let deadline = Instant::now() + PATIENCE;
        loop {
            // A port that is not open yet refuses, which the next try overcomes.
            let _ = socket.send_to(probe.as_bytes(), self.address);
            if socket.recv(&mut [0; 2048]).is_ok() {
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "Kamailio does not answer: {}", self.log());
        }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn end(&mut self) {
        // One that stands still has to go on first; its main process ends the others when it is asked to.
        self.stand_still(false);
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// Starts the program with the script in its folder.
fn run(folder: &PathBuf) -> Child {
    let log = fs::File::create(folder.join("log")).unwrap();
    Command::new("kamailio")
        .args(["-DD", "-E", "-m", "64", "-M", "8", "-Y"])
        .arg(folder)
        .arg("-f")
        .arg(folder.join("kamailio.cfg"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("kamailio is installed by `cargo xtask setup`")
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.end();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}
