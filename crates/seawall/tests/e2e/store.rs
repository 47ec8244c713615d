//! Bindings in a database: on disk before they are answered, and there again after a restart.

use crate::harness::scripts::{MODULES, registrar};
use crate::harness::server::{run, temporary_folder};
use crate::harness::{Phone, Server, mi};
use serde_json::json;
use std::path::{Path, PathBuf};

/// A folder with a database in it, removed when the test ends.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        Folder(temporary_folder())
    }

    pub fn file(&self) -> PathBuf {
        self.0.join("location.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A registrar and proxy whose bindings are kept in a file.
pub fn script(file: &Path, preset: &str, parameters: &str, save: &str) -> String {
    format!(
        r#"{MODULES}
loadmodule "db_sqlite.so"
modparam("usrloc", "working_mode_preset", "{preset}")
modparam("usrloc", "db_url", "sqlite://{}")
{parameters}
route {{
	if (is_method("REGISTER")) {{ {save}; exit; }}
	if (!lookup("location")) {{ send_reply(404, "Not Found"); exit; }}
	if (!t_relay()) send_reply(500, "Relay Failed");
}}
"#,
        file.display()
    )
}

fn start(file: &Path) -> Server {
    Server::start(&script(file, "single-instance-sql-write-through", "", "save(\"location\")"))
}

pub fn kill(mut server: Server) {
    server.signal("KILL");
    server.wait();
}

fn stop(mut server: Server) {
    server.signal("TERM");
    assert!(server.wait().success(), "{}", server.log());
}

#[test]
fn a_binding_that_was_answered_survives_a_kill() {
    let folder = Folder::new();
    let server = start(&folder.file());
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::tcp(&server, "bob"));
    alice.register();
    bob.register();
    let before = mi::contacts(&server, "alice@127.0.0.1");
    kill(server);
    let server = start(&folder.file());
    server.wait_for_log("2 bindings loaded");
    let after = mi::contacts(&server, "alice@127.0.0.1");
    for field in ["Contact", "ContactID", "Callid", "Cseq", "Q", "Methods", "State"] {
        assert_eq!(before[0][field], after[0][field], "{field}");
    }
    assert_eq!(mi::contacts(&server, "bob@127.0.0.1").len(), 1);
    // Who knows her reaches her, and what she says next is a refresh.
    let mut carol = Phone::udp(&server, "carol");
    carol.send(&carol.request("MESSAGE", "sip:alice@127.0.0.1").bytes());
    assert_eq!(alice.expect_request("MESSAGE").method(), "MESSAGE");
    kill(server);
}

#[test]
fn what_was_removed_does_not_come_back() {
    let folder = Folder::new();
    let server = start(&folder.file());
    let mut alice = Phone::udp(&server, "alice");
    alice.register();
    let gone = alice.ask(&alice.register_for(0));
    assert_eq!(gone.status(), 200);
    Phone::udp(&server, "bob").register();
    mi::result(&server, "ul_rm", json!({"table_name": "location", "aor": "bob@127.0.0.1"}));
    kill(server);
    let server = start(&folder.file());
    server.wait_for_log("0 bindings loaded from 0 rows");
    assert!(mi::contacts(&server, "alice@127.0.0.1").is_empty());
    assert!(mi::contacts(&server, "bob@127.0.0.1").is_empty());
    stop(server);
}

#[test]
fn what_waits_is_answered_before_the_server_stops() {
    let folder = Folder::new();
    let server = start(&folder.file());
    let mut phones: Vec<Phone> = (0..40).map(|user| Phone::udp(&server, &format!("u{user}"))).collect();
    for phone in &mut phones {
        let register = phone.register_for(600);
        phone.send(&register.bytes());
    }
    for phone in &mut phones {
        assert_eq!(phone.receive().status(), 200);
    }
    assert_eq!(mi::statistic(&server, "usrloc:store_rows"), 40);
    assert!(mi::statistic(&server, "usrloc:store_commits") <= 40);
    assert_eq!(mi::statistic(&server, "usrloc:store_unwritten"), 0);
    mi::result(&server, "ul_flush", json!({}));
    stop(server);
    let server = start(&folder.file());
    server.wait_for_log("40 bindings loaded");
    assert_eq!(mi::statistic(&server, "usrloc:loaded_rows"), 40);
    stop(server);
}

#[test]
fn a_file_belongs_to_one_server() {
    let folder = Folder::new();
    let server = start(&folder.file());
    let cfg = folder.file().with_extension("cfg");
    std::fs::write(
        &cfg,
        script(&folder.file(), "single-instance-sql-write-through", "", "save(\"location\")"),
    )
    .unwrap();
    let second = run(&["run", "-f", &cfg.display().to_string(), "-l", "udp:127.0.0.1:0"]);
    let text = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success() && text.contains("belongs to another running server"), "{text}");
    stop(server);
}

#[test]
fn a_preset_without_a_database_is_refused() {
    let folder = Folder::new();
    let cfg = folder.file().with_extension("cfg");
    let text = script(&folder.file(), "single-instance-sql-write-through", "", "save(\"location\")");
    let text: Vec<&str> = text.lines().filter(|line| !line.contains("db_url")).collect();
    std::fs::write(&cfg, text.join("\n")).unwrap();
    let output = run(&["run", "-f", &cfg.display().to_string(), "-l", "udp:127.0.0.1:0"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("set its db_url"), "{text}");
}

#[test]
fn memory_only_bindings_end_with_the_process() {
    let folder = Folder::new();
    let save = "if ($tU == \"guest\") save(\"location\", \"memory-only\"); else save(\"location\")";
    let text = script(&folder.file(), "single-instance-sql-write-through", "", save);
    let server = Server::start(&text);
    Phone::udp(&server, "guest").register();
    Phone::udp(&server, "alice").register();
    assert_eq!(mi::contacts(&server, "guest@127.0.0.1").len(), 1);
    kill(server);
    let server = Server::start(&text);
    server.wait_for_log("1 bindings loaded");
    assert_eq!(mi::contacts(&server, "guest@127.0.0.1").len(), 0);
    assert_eq!(mi::contacts(&server, "alice@127.0.0.1").len(), 1);
    stop(server);
}

#[test]
fn a_repetition_is_answered_alike_and_writes_nothing() {
    let folder = Folder::new();
    let server = start(&folder.file());
    let mut alice = Phone::udp(&server, "alice");
    let register = alice.register_for(600);
    for _ in 0..3 {
        assert_eq!(alice.ask(&register).status(), 200);
    }
    assert_eq!(mi::statistic(&server, "usrloc:store_rows"), 1);
    stop(server);
}

#[test]
fn a_reload_does_not_move_the_bindings() {
    let folder = Folder::new();
    let server = start(&folder.file());
    server.rewrite_script(&registrar("", "save(\"location\")"));
    let said = mi::call(&server, "reload", json!({}));
    assert!(said["error"].to_string().contains("keeps its bindings"), "{said}");
    stop(server);
}
