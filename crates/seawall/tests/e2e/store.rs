//! Bindings in a database: on disk before they are answered, and there again after a restart.

use crate::harness::digest::ask;
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
    script_at(&format!("sqlite://{}", file.display()), preset, parameters, save)
}

/// A registrar and proxy whose bindings are kept in a database.
pub fn script_at(url: &str, preset: &str, parameters: &str, save: &str) -> String {
    format!(
        r#"{MODULES}
loadmodule "db_sqlite.so"
loadmodule "db_postgres.so"
loadmodule "db_mysql.so"
modparam("usrloc", "working_mode_preset", "{preset}")
modparam("usrloc", "db_url", "{url}")
{parameters}
route {{
	if (is_method("REGISTER")) {{ {save}; exit; }}
	if (!lookup("location")) {{ send_reply(404, "Not Found"); exit; }}
	if (!t_relay()) send_reply(500, "Relay Failed");
}}
"#
    )
}

fn start_back(file: &Path, interval_s: u32) -> Server {
    let parameters = format!("modparam(\"usrloc\", \"timer_interval\", {interval_s})");
    Server::start(&script(file, "single-instance-sql-write-back", &parameters, "save(\"location\")"))
}

fn start(file: &Path) -> Server {
    Server::start(&script(file, "single-instance-sql-write-through", "", "save(\"location\")"))
}

pub fn kill(mut server: Server) {
    server.signal("KILL");
    server.wait();
}

pub fn stop(mut server: Server) {
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

#[test]
fn write_back_writes_at_the_end_and_when_it_is_told() {
    let folder = Folder::new();
    let server = start_back(&folder.file(), 3600);
    let mut phones: Vec<Phone> =
        ["alice", "bob", "carol"].iter().map(|user| Phone::udp(&server, user)).collect();
    phones.iter_mut().for_each(|phone| drop(phone.register()));
    assert_eq!(mi::statistic(&server, "usrloc:store_unwritten"), 3);
    mi::result(&server, "ul_flush", json!({}));
    assert_eq!(mi::statistic(&server, "usrloc:store_unwritten"), 0);
    // A kill costs what came after that, and nothing else.
    Phone::udp(&server, "dave").register();
    kill(server);
    let server = start_back(&folder.file(), 3600);
    server.wait_for_log("3 bindings loaded");
    let mut carol = Phone::udp(&server, "carol");
    carol.register();
    let register = Phone::udp(&server, "alice").register_request();
    let gone = register.with("Contact: *").with("Expires: 0");
    assert_eq!(carol.ask(&gone).status(), 200);
    stop(server);
    let server = start_back(&folder.file(), 3600);
    server.wait_for_log("3 bindings loaded from 3 rows");
    assert_eq!(mi::contacts(&server, "carol@127.0.0.1").len(), 2);
    assert!(mi::contacts(&server, "alice@127.0.0.1").is_empty());
    stop(server);
}

#[test]
fn write_back_writes_every_timer_interval() {
    let folder = Folder::new();
    let server = start_back(&folder.file(), 1);
    Phone::udp(&server, "alice").register();
    mi::wait_for_statistic(&server, "usrloc:store_rows", 1);
    mi::wait_for_statistic(&server, "usrloc:store_unwritten", 0);
    kill(server);
    let server = start_back(&folder.file(), 1);
    server.wait_for_log("1 bindings loaded");
    stop(server);
}

#[test]
fn without_a_script_phones_are_still_registered_after_a_restart() {
    let folder = temporary_folder();
    let data = folder.join("data").display().to_string();
    let arguments = ["--data", &data, "-l", "udp:127.0.0.1:0", "--mi", "127.0.0.1:0"];
    let server = Server::start_as_told(&arguments);
    assert!(server.greeting.iter().any(|line| line.contains(&data)), "{:?}", server.greeting);
    server.add_user("alice", "wonder");
    let mut alice = Phone::udp(&server, "alice");
    let register = alice.register_for(600);
    assert_eq!(ask(&mut alice, &register, "wonder").status(), 200);
    kill(server);
    let server = Server::start_as_told(&arguments);
    server.wait_for_log("1 bindings loaded");
    assert_eq!(mi::contacts(&server, "alice@127.0.0.1").len(), 1);
    stop(server);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn sql_only_keeps_nothing_in_memory() {
    let folder = Folder::new();
    let save = "if (is_registered(\"location\")) xlog(\"again $tU\"); save(\"location\")";
    let server = Server::start(&script(&folder.file(), "sql-only", "", save));
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::udp(&server, "alice"));
    let first = alice.register_for(600);
    assert_eq!(alice.ask(&first).status(), 200);
    let answer = bob.ask(&bob.register_for(600));
    assert_eq!(answer.need("Contact").matches("sip:alice@").count(), 2);
    server.wait_for_log("again alice");
    assert_eq!(mi::statistic(&server, "usrloc:location-contacts"), 0);
    assert_eq!(mi::contacts(&server, "alice@127.0.0.1").len(), 2);
    // What another server has written counts at once.
    mi::result(&server, "ul_flush", json!({}));
    let file = rusqlite::Connection::open(folder.file()).unwrap();
    let own = alice.contact();
    assert_eq!(file.execute("DELETE FROM location WHERE CAST(contact AS TEXT) = ?1", [own]).unwrap(), 1);
    let mut carol = Phone::udp(&server, "carol");
    carol.send(&carol.request("MESSAGE", "sip:alice@127.0.0.1").bytes());
    bob.expect_request("MESSAGE");
    alice.expect_silence();
    assert_eq!(carol.ask(&carol.request("MESSAGE", "sip:nobody@127.0.0.1")).status(), 404);
    mi::result(&server, "ul_rm", json!({"table_name": "location", "aor": "alice@127.0.0.1"}));
    mi::result(&server, "ul_flush", json!({}));
    let rows: i64 = file.query_row("SELECT count(*) FROM location", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 0);
    kill(server);
}

#[test]
fn sql_only_sweeps_out_what_has_ended() {
    let folder = Folder::new();
    let parameters =
        "modparam(\"usrloc\", \"timer_interval\", 1)\nmodparam(\"registrar\", \"min_expires\", 1)";
    let server = Server::start(&script(&folder.file(), "sql-only", parameters, "save(\"location\")"));
    let mut alice = Phone::udp(&server, "alice");
    assert_eq!(alice.ask(&alice.register_for(1)).status(), 200);
    mi::result(&server, "ul_flush", json!({}));
    let file = rusqlite::Connection::open(folder.file()).unwrap();
    let until = std::time::Instant::now() + crate::harness::PATIENCE;
    while file.query_row("SELECT count(*) FROM location", [], |row| row.get::<_, i64>(0)).unwrap() > 0 {
        assert!(std::time::Instant::now() < until);
    }
    kill(server);
}

/// A script that keeps a value of each REGISTER, and answers a MESSAGE with it.
fn keeping(file: &Path, preset: &str) -> Server {
    let save =
        "save(\"location\"); if ($hdr(X-Note) != NULL) ul_add_key(\"location\", $tu, \"note\", $hdr(X-Note))";
    let text = script(file, preset, "modparam(\"usrloc\", \"mi_dump_kv_store\", 1)", save);
    let ask = "route {\n\tif (is_method(\"MESSAGE\")) {
\t\tif (ul_get_key(\"location\", $ru, \"note\", $var(note))) send_reply(200, \"$var(note)\"); else send_reply(404, \"None\");
\t\texit;\n\t}";
    Server::start(&text.replacen("route {", ask, 1))
}

fn note_of(asker: &mut Phone, user: &str) -> String {
    let answer = asker.ask(&asker.request("MESSAGE", &format!("sip:{user}@127.0.0.1")));
    answer.start
}

#[test]
fn values_kept_with_an_address_of_record_survive_a_restart() {
    for preset in ["single-instance-sql-write-through", "single-instance-sql-write-back", "sql-only"] {
        let folder = Folder::new();
        let server = keeping(&folder.file(), preset);
        let (mut alice, mut second) = (Phone::udp(&server, "alice"), Phone::udp(&server, "alice"));
        let noted = alice.register_for(600).with("X-Note: the \"first\" floor");
        assert_eq!(alice.ask(&noted).status(), 200);
        second.register();
        // The answer to the script's own step comes before the next message of the same phone is served.
        assert_eq!(note_of(&mut second, "alice"), "SIP/2.0 200 the \"first\" floor", "{preset}");
        stop(server);
        let file = rusqlite::Connection::open(folder.file()).unwrap();
        let foreign = "UPDATE location SET kv_store = '{\"theirs\": [1,2],' || substr(CAST(kv_store AS TEXT), 2) \
                       WHERE CAST(contact AS TEXT) = ?1";
        assert_eq!(file.execute(foreign, [alice.contact()]).unwrap(), 1);
        drop(file);
        let server = keeping(&folder.file(), preset);
        let mut asker = Phone::udp(&server, "asker");
        assert_eq!(note_of(&mut asker, "alice"), "SIP/2.0 200 the \"first\" floor", "{preset}");
        assert_eq!(note_of(&mut asker, "bob"), "SIP/2.0 404 None");
        let params = json!({"table_name": "location", "aor": "alice@127.0.0.1"});
        let shown = mi::result(&server, "ul_show_contact", params.clone());
        assert_eq!(shown["KV-Store"], json!({"note": "the \"first\" floor"}), "{preset}");
        let theirs = |shown: &serde_json::Value| {
            let contacts = shown["Contacts"].as_array().unwrap().clone();
            contacts.iter().filter(|contact| contact["KV-Store"] == json!({"theirs": [1, 2]})).count()
        };
        assert_eq!(theirs(&shown), 1, "{preset}: {shown}");
        // A refresh writes the row again, and what others have put there stays.
        let again = alice.register_for(700);
        asker.send(&again.bytes());
        assert_eq!(asker.receive().status(), 200);
        kill_after_flush(server);
        let server = keeping(&folder.file(), preset);
        let mut asker = Phone::udp(&server, "asker");
        assert_eq!(note_of(&mut asker, "alice"), "SIP/2.0 200 the \"first\" floor", "{preset}");
        assert_eq!(theirs(&mi::result(&server, "ul_show_contact", params)), 1, "{preset}");
        kill(server);
    }
}

fn kill_after_flush(server: Server) {
    mi::result(&server, "ul_flush", json!({}));
    kill(server);
}
