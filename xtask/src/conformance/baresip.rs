//! A call between two baresip phones, one over UDP and one over TCP, through a server that runs somebody else's script.

use super::calls::SERVER;
use crate::Outcome;
use crate::process::program;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// A phone without sound devices: a tone goes out, and what comes in goes into a file.
const CONFIG: &str = include_str!("../../../crates/seawall/tests/baresip.config");

/// How long a phone may take to register.
const PATIENCE: Duration = Duration::from_secs(10);

/// Alice calls bob; both end by themselves after some seconds.
pub fn talk() -> Outcome {
    let folder = std::env::temp_dir().join(format!("seawall-baresip-{}", std::process::id()));
    let outcome = call(&folder);
    // A folder that stays behind in the temporary directory harms nobody.
    let _ = fs::remove_dir_all(&folder);
    outcome
}

fn call(folder: &Path) -> Outcome {
    let (at_bob, at_alice) = (folder.join("bob"), folder.join("alice"));
    let mut bob = phone(&at_bob, "bob", ";transport=tcp", &["-t", "8"])?;
    let called = wait_for(&at_bob, "200 OK").and_then(|()| {
        let dial = format!("/dial sip:bob@{SERVER}");
        let alice = phone(&at_alice, "alice", "", &["-t", "4", "-e", &dial])?;
        ended(alice)
    });
    if called.is_err() {
        // It would wait for a call that nobody makes.
        let _ = bob.kill();
    }
    let answered = ended(bob);
    called?;
    answered?;
    for text in ["Call established", "terminated"] {
        if !log(&at_alice).contains(text) {
            return Err(format!("baresip does not say \"{text}\":\n{}", log(&at_alice)));
        }
    }
    Ok(())
}

/// Starts a phone in a folder of its own.
fn phone(folder: &Path, user: &str, parameters: &str, more: &[&str]) -> Result<Child, String> {
    let failed = |error: std::io::Error| format!("cannot start baresip: {error}");
    fs::create_dir_all(folder).map_err(failed)?;
    let config = CONFIG.replace("FOLDER", &folder.display().to_string());
    fs::write(folder.join("config"), config).map_err(failed)?;
    let account = format!("<sip:{user}@{SERVER}{parameters}>;regint=60;answermode=auto\n");
    fs::write(folder.join("accounts"), account).map_err(failed)?;
    let log = fs::File::create(folder.join("log")).map_err(failed)?;
    let mut command = program("baresip");
    command.arg("-f").arg(folder).args(more).stdin(Stdio::null());
    command.stdout(log.try_clone().map_err(failed)?).stderr(log).spawn().map_err(failed)
}

fn ended(mut phone: Child) -> Outcome {
    let status = phone.wait().map_err(|error| format!("cannot wait for baresip: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("baresip ended with {status}")) }
}

fn wait_for(folder: &Path, text: &str) -> Outcome {
    let until = Instant::now() + PATIENCE;
    while !log(folder).contains(text) {
        if Instant::now() > until {
            return Err(format!("baresip does not say \"{text}\":\n{}", log(folder)));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn log(folder: &Path) -> String {
    fs::read(folder.join("log")).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
