//! Databases that fail, and rows that somebody else has written.

use crate::harness::server::run;
use crate::harness::{Message, Phone, Server, mi};
use crate::store::{Folder, kill, script};
use rusqlite::{Connection, params};
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};

const THROUGH: &str = "single-instance-sql-write-through";

fn start(folder: &Folder, parameters: &str) -> Server {
    Server::start(&script(&folder.file(), THROUGH, parameters, "save(\"location\")"))
}

fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// The answer to a REGISTER that the database did not take: 500, and nothing has changed.
fn check_refused(answer: &Message) {
    assert_eq!(answer.status(), 500, "{}", answer.start);
    assert_eq!(answer.need("P-Registrar-Error"), "Location store failed");
    assert!(answer.need("Retry-After").parse::<u32>().unwrap() > 0);
    assert_eq!(answer.header("Contact"), None);
}

#[test]
fn a_full_disk_refuses_changes_and_keeps_what_is_there() {
    let folder = Folder::new();
    // SQLite counts pages: beyond them it says what a full disk says.
    let parameters = "modparam(\"db_sqlite\", \"exec_pragma\", \"max_page_count=24\")";
    let server = start(&folder, parameters);
    let mut kept = Vec::new();
    let mut refused = None;
    for number in 0..400 {
        let mut phone = Phone::udp(&server, &format!("u{number}"));
        let long = format!("User-Agent: {}", "x".repeat(250));
        let answer = phone.ask(&phone.register_for(3600).with(long));
        if answer.status() != 200 {
            refused = Some((phone, answer));
            break;
        }
        kept.push(phone);
    }
    let (phone, answer) = refused.expect("it is never full");
    check_refused(&answer);
    assert!(!kept.is_empty());
    assert!(mi::contacts(&server, &format!("{}@127.0.0.1", phone.user)).is_empty());
    // What was there is there, and is found.
    assert_eq!(mi::contacts(&server, "u0@127.0.0.1").len(), 1);
    let caller = &mut Phone::udp(&server, "caller");
    caller.send(&caller.request("MESSAGE", "sip:u0@127.0.0.1").bytes());
    kept[0].expect_request("MESSAGE");
    assert!(mi::statistic(&server, "usrloc:store_failures") > 0);
    let count = kept.len();
    kill(server);
    let server = start(&folder, "");
    server.wait_for_log(&format!("{count} bindings loaded"));
    let mut phone = Phone::udp(&server, &phone.user);
    phone.register();
    kill(server);
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
fn rows_of_opensips_are_taken_as_they_are_and_damaged_ones_are_left_alone() {
    let folder = Folder::new();
    let server = start(&folder, "");
    Phone::udp(&server, "own").register();
    kill(server);
    let file = Connection::open(folder.file()).unwrap();
    let insert = "INSERT INTO location (contact_id, username, domain, contact, expires, q, callid, cseq, last_modified, \
                  flags, cflags, user_agent, socket, methods) \
                  VALUES (?1, ?2, '127.0.0.1', ?3, ?4, ?5, 'call', 7, '2026-01-02 03:04:05', 0, '', 'Old phone', \
                  'udp:192.0.2.1:5060', 5951)";
    let later = now_s() + 3600;
    for (id, user, contact, expires, q) in [
        (1_i64 << 40, "alice", "sip:alice@198.51.100.1", later, 0.5),
        (1 << 41, "alice", "sip:alice@198.51.100.2", 0, -1.0),
        (1 << 42, "alice", "sip:alice@198.51.100.3", now_s() - 60, -1.0),
        (1 << 43, "mallory", "no contact\r\nat all", later, -1.0),
    ] {
        file.execute(insert, params![id, user, contact, expires, q]).unwrap();
    }
    drop(file);
    let server = start(&folder, "");
    server.wait_for_log("3 bindings loaded");
    server.wait_for_log(&format!("contact_id {} is left out", 1_i64 << 43));
    let contacts = mi::contacts(&server, "alice@127.0.0.1");
    let shown: Vec<_> =
        contacts.iter().map(|contact| (contact["Contact"].as_str(), contact["Q"].as_str())).collect();
    assert!(shown.contains(&(Some("sip:alice@198.51.100.1"), Some("0.5"))), "{shown:?}");
    assert_eq!(shown.len(), 2);
    assert!(contacts.iter().any(|contact| contact["Expires"] == "permanent"));
    assert!(contacts.iter().all(|contact| contact["User-agent"] == "Old phone" && contact["Cseq"] == 7));
    assert_eq!(mi::statistic(&server, "usrloc:broken_rows"), 1);
    let ids = |contacts: &[serde_json::Value]| {
        let mut ids: Vec<String> = contacts.iter().map(|contact| contact["ContactID"].to_string()).collect();
        ids.sort();
        ids
    };
    let before = ids(&contacts);
    mi::result(&server, "ul_flush", json!({}));
    kill(server);
    // Their ids are ours now, and stay.
    let server = start(&folder, "");
    server.wait_for_log("3 bindings loaded");
    assert_eq!(ids(&mi::contacts(&server, "alice@127.0.0.1")), before);
    kill(server);
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
    let parameters = "modparam(\"usrloc\", \"callid_column\", \"call_identifier\")
        modparam(\"usrloc\", \"user_column\", \"who\")";
    let server = start(&folder, parameters);
    Phone::udp(&server, "alice").register();
    kill(server);
    let file = Connection::open(folder.file()).unwrap();
    let who: String =
        file.query_row("SELECT who FROM location WHERE call_identifier != ''", [], |row| row.get(0)).unwrap();
    assert_eq!(who, "alice");
    drop(file);
    let server = start(&folder, parameters);
    server.wait_for_log("1 bindings loaded");
    kill(server);
}
