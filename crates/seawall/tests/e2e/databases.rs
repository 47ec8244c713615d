//! Servers of databases: made with `seawall ctl db-init`, written to before a phone is answered.

use crate::harness::place::servers::{self, Kind};
use crate::harness::scripts::MODULES;
use crate::harness::server::{run, seawall};
use crate::harness::{Phone, Server, mi};
use crate::store::{Folder, kill};

fn start(url: &str) -> Server {
    Server::start(&script(url))
}

fn script(url: &str) -> String {
    format!(
        r#"{MODULES}
loadmodule "db_postgres.so"
loadmodule "db_mysql.so"
modparam("usrloc", "working_mode_preset", "single-instance-sql-write-through")
modparam("usrloc", "db_url", "{url}")
route {{
	if (is_method("REGISTER")) {{ save("location"); exit; }}
	send_reply(404, "Not Found");
}}
"#
    )
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A binding that was answered is in the database of a server, and there after a kill of Seawall and of the database.
fn check(kind: Kind) {
    let mut database = servers::Server::start(kind);
    let url = database.url();
    let made = run(&["ctl", "db-init", &url]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert!(text(&made.stdout).contains("location") && !text(&made.stdout).contains("p%40ss"));
    let again = run(&["ctl", "db-init", &url]);
    assert!(!again.status.success() && text(&again.stderr).contains("already"), "{}", text(&again.stderr));

    let server = start(&url);
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::tcp(&server, "bob"));
    alice.register();
    bob.register();
    assert_eq!(database.sql("SELECT username FROM location ORDER BY username"), "alice\nbob");
    assert_eq!(bob.ask(&bob.register_for(0)).status(), 200);
    assert_eq!(database.sql("SELECT username FROM location"), "alice");
    let before = mi::contacts(&server, "alice@127.0.0.1");
    kill(server);
    database.kill();
    database.run();
    let server = start(&url);
    server.wait_for_log("1 bindings loaded");
    assert_eq!(mi::contacts(&server, "alice@127.0.0.1")[0]["ContactID"], before[0]["ContactID"]);
    // While the database is away nobody is told that something is kept.
    let mut alice = Phone::udp(&server, "alice");
    database.kill();
    let answer = alice.ask(&alice.register_for(600));
    assert!([500, 503].contains(&answer.status()), "{}", answer.status());
    database.run();
    alice.register();
    kill(server);
}

#[test]
fn a_binding_that_was_answered_is_in_postgresql() {
    check(Kind::Postgres);
}

#[test]
fn a_binding_that_was_answered_is_in_mariadb() {
    check(Kind::Mysql);
}

#[test]
fn db_init_makes_a_file_and_changes_none_that_has_tables() {
    let folder = Folder::new();
    let url = format!("sqlite://{}", folder.file().display());
    let made = seawall().args(["ctl", "db-init"]).env("SEAWALL_DB_URL", &url).output().unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert!(text(&made.stdout).contains("subscriber"), "{}", text(&made.stdout));
    let again = run(&["ctl", "db-init", &url]);
    assert!(!again.status.success() && text(&again.stderr).contains("already"), "{}", text(&again.stderr));
    let wrong = run(&["ctl", "db-init", "oracle://u:secret@h/d"]);
    assert!(!wrong.status.success());
    assert!(text(&wrong.stderr).contains("no oracle databases") && !text(&wrong.stderr).contains("secret"));
    assert!(!run(&["ctl", "db-init", &url, "x"]).status.success());
}

/// The server does not start with this URL, and says why in these words.
fn check_refused(url: &str, words: &[&str]) {
    let folder = Folder::new();
    let cfg = folder.file().with_extension("cfg");
    std::fs::write(&cfg, script(url)).unwrap();
    let output = run(&["run", "-f", &cfg.display().to_string(), "-l", "udp:127.0.0.1:0"]);
    let said = text(&output.stderr);
    assert!(!output.status.success() && words.iter().all(|word| said.contains(word)), "{said}");
    assert!(!said.contains("p%40ss") && !said.contains("p@ss"), "{said}");
}

/// The connection to a database is encrypted where the URL says so, and a certificate is looked at.
fn check_tls(kind: Kind) {
    let database = servers::Server::start_with_tls(kind);
    let url = database.url();
    assert!(run(&["ctl", "db-init", &url]).status.success());
    let encrypted = format!("{url}?sslmode=require");
    let server = start(&encrypted);
    Phone::udp(&server, "alice").register();
    match kind {
        Kind::Postgres => {
            let seen = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                        WHERE application_name = 'seawall' AND ssl";
            assert_ne!(database.sql(seen), "0");
        }
        Kind::Mysql => {
            // Whoever comes without TLS is not let in from now on.
            database.sql("ALTER USER seawall@'%' REQUIRE SSL");
            kill(server);
            check_refused(&format!("{url}?sslmode=disable"), &["cannot be reached"]);
            let server = start(&encrypted);
            server.wait_for_log("1 bindings loaded");
            kill(server);
        }
    }
    // Nobody whom the system trusts has signed it.
    check_refused(&format!("{url}?sslmode=verify-full"), &["cannot be reached"]);
    let named = run(&["ctl", "db-init", &format!("{url}?tls_domain=dom1")]);
    assert!(!named.status.success() && text(&named.stderr).contains("no parameter \"tls_domain\""));
}

#[test]
fn connections_to_postgresql_can_be_encrypted() {
    check_tls(Kind::Postgres);
}

#[test]
fn connections_to_mariadb_can_be_encrypted() {
    check_tls(Kind::Mysql);
}
