//! Databases that fail, and rows that somebody else has written.

use crate::harness::server::run;
use crate::harness::{Phone, Server, mi};
use crate::store::{Folder, kill, script, stop};
use rusqlite::Connection;
use serde_json::json;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

const THROUGH: &str = "single-instance-sql-write-through";

fn start(folder: &Folder, parameters: &str) -> Server {
    Server::start(&script(&folder.file(), THROUGH, parameters, "save(\"location\")"))
}

#[test]
fn a_database_that_may_only_be_read_is_told_at_the_start() {
    let folder = Folder::new();
    kill(start(&folder, ""));
    let parameters = "modparam(\"db_sqlite\", \"exec_pragma\", \"query_only=1\")";
    check_not_started(&folder, parameters, &["the database may only be read"]);
}

/// The server does not start, and says why.
fn check_not_started(folder: &Folder, parameters: &str, words: &[&str]) {
    let cfg = folder.file().with_extension("cfg");
    std::fs::write(&cfg, script(&folder.file(), THROUGH, parameters, "save(\"location\")")).unwrap();
    let output = run(&["run", "-f", &cfg.display().to_string(), "-l", "udp:127.0.0.1:0"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{text}");
    words.iter().for_each(|word| assert!(text.contains(word), "{text}"));
}

#[test]
fn a_table_of_another_version_is_not_touched() {
    let folder = Folder::new();
    kill(start(&folder, ""));
    let file = Connection::open(folder.file()).unwrap();
    file.execute("UPDATE version SET table_version = 1009 WHERE table_name = 'location'", []).unwrap();
    drop(file);
    check_not_started(&folder, "", &["1009", "1013"]);
}

#[test]
fn columns_may_have_other_names() {
    let folder = Folder::new();
    stop(start(&folder, ""));
    let file = Connection::open(folder.file()).unwrap();
    for (old, new) in [("callid", "call_identifier"), ("username", "who")] {
        file.execute(&format!("ALTER TABLE location RENAME COLUMN {old} TO {new}"), []).unwrap();
    }
    drop(file);
    let parameters = "modparam(\"usrloc\", \"callid_column\", \"call_identifier\")
        modparam(\"usrloc\", \"user_column\", \"who\")";
    let server = start(&folder, parameters);
    Phone::udp(&server, "alice").register();
    stop(server);
    let file = Connection::open(folder.file()).unwrap();
    let select = "SELECT CAST(who AS TEXT) FROM location WHERE call_identifier != ''";
    let who: String = file.query_row(select, [], |row| row.get(0)).unwrap();
    assert_eq!(who, "alice");
    drop(file);
    let server = start(&folder, parameters);
    server.wait_for_log("1 bindings loaded");
    kill(server);
}

/// A REGISTER that takes two kilobytes of the disk.
fn long_register(phone: &Phone) -> crate::harness::Request {
    let path = format!("Path: <sip:192.0.2.9;lr;x={}>", "x".repeat(1900));
    phone.register_for(600).with(path).with("Supported: path")
}

#[test]
fn a_full_disk_refuses_what_it_cannot_keep_and_nothing_else() {
    let folder = Folder::new();
    let parameters = "modparam(\"registrar\", \"retry_after\", 7)";
    let text = script(&folder.file(), THROUGH, parameters, "save(\"location\", \"path-lazy\")");
    let Some(server) = Server::start_on_a_small_disk(&text, folder.file().parent().unwrap(), "24m") else {
        assert!(
            std::env::var_os("SEAWALL_WITHOUT_NAMESPACES").is_some(),
            "no mount namespace may be made here"
        );
        return;
    };
    let mut alice = Phone::udp(&server, "alice");
    alice.register();
    // The disk as the server sees it.
    let disk = format!("/proc/{}/root{}", server.id(), folder.file().parent().unwrap().display());
    let filler = format!("{disk}/filler");
    {
        use std::io::Write;
        let mut file = std::fs::File::create(&filler).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }
    let mut kept = vec!["alice".to_owned()];
    let refused = (0..5000).find_map(|number| {
        let user = format!("u{number}");
        let mut phone = Phone::udp(&server, &user);
        let answer = phone.ask(&long_register(&phone));
        if answer.status() == 200 {
            kept.push(user);
            return None;
        }
        Some((answer, phone))
    });
    let (answer, mut phone) = refused.expect("a disk that is full at some time");
    assert_eq!((answer.status(), answer.need("Retry-After")), (500, "7"));
    assert!(mi::contacts(&server, &format!("{}@127.0.0.1", phone.user)).is_empty());
    assert!(mi::statistic(&server, "usrloc:store_failures") > 0);
    // Calls go on meanwhile.
    let mut carol = Phone::udp(&server, "carol");
    carol.send(&carol.request("MESSAGE", "sip:alice@127.0.0.1").bytes());
    alice.expect_request("MESSAGE");
    // Somebody cleans up: it is taken again without a restart.
    std::fs::remove_file(&filler).unwrap();
    let until = std::time::Instant::now() + crate::harness::PATIENCE;
    while phone.ask(&long_register(&phone)).status() != 200 {
        assert!(std::time::Instant::now() < until, "it is not taken again:\n{}", server.log());
    }
    kept.push(phone.user.clone());
    mi::result(&server, "ul_flush", json!({}));
    // A copy, because SQLite would look for the path outside of the server's file system.
    let outside = Folder::new();
    for suffix in ["", "-wal"] {
        let own = format!("{}{suffix}", outside.file().display());
        std::fs::copy(format!("{disk}/location.db{suffix}"), own).unwrap();
    }
    let copy = Connection::open(outside.file()).unwrap();
    let mut statement = copy.prepare("SELECT CAST(username AS TEXT) FROM location").unwrap();
    let mut rows: Vec<String> =
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    rows.sort();
    kept.sort();
    assert_eq!(rows, kept);
    drop(statement);
    drop(copy);
    stop(server);
}

/// Files that belong to somebody else. As root, who may do everything, the server runs as `nobody`.
#[test]
fn files_that_may_not_be_written_are_told_at_the_start() {
    let folder = Folder::new();
    kill(start(&folder, ""));
    let parent = folder.file().parent().unwrap().to_owned();
    let cfg = folder.file().with_extension("cfg");
    std::fs::write(&cfg, script(&folder.file(), THROUGH, "", "save(\"location\")")).unwrap();
    let set = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    // Where nobody can get at it.
    let program = parent.join("seawall");
    if is_root {
        std::fs::copy(env!("CARGO_BIN_EXE_seawall"), &program).unwrap();
    }
    let start = || {
        let mut command = if is_root {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&program);
            command
        } else {
            Command::new(env!("CARGO_BIN_EXE_seawall"))
        };
        let output = command.args(["run", "-l", "udp:127.0.0.1:0", "-f"]).arg(&cfg).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let files = || std::fs::read_dir(&parent).unwrap().flatten().map(|entry| entry.path());
    for path in files() {
        set(&path, if path == program { 0o755 } else { 0o666 });
    }
    set(&parent, 0o777);
    let name = |suffix: &str| parent.join(format!("location.db{suffix}"));
    set(&name(""), 0o444);
    let said = start();
    assert!(said.contains("the database may only be read"), "{said}");
    set(&name(""), 0o666);
    for suffix in [".lock", ".location.journal-a"] {
        set(&name(suffix), 0o444);
        let said = start();
        assert!(said.contains("location.db") && said.contains("Permission denied"), "{suffix}: {said}");
        set(&name(suffix), 0o666);
    }
    // A folder in which no file can be made.
    for path in files().filter(|path| path.to_string_lossy().contains("location.db.")) {
        std::fs::remove_file(path).unwrap();
    }
    set(&parent, 0o555);
    let said = start();
    assert!(said.contains("location.db") && said.contains("Permission denied"), "{said}");
    set(&parent, 0o777);
}
