//! What holds for bindings in any database: files, PostgreSQL and MariaDB, in all modes; and what servers do that files do
//! not: they go away in the middle of a change, or stand still.

use crate::crash::Load;
use crate::database_faults::{
    a_stalled_table_parks_up_to_a_bound, damaged_rows_are_left_alone, what_is_cached_waits_for_the_database,
};
use crate::harness::{Phone, Place, Server, mi};
use crate::mid::{front_script, registered, wait_until};
use crate::store::{kill, script_at, stop};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const THROUGH: &str = "single-instance-sql-write-through";
const PRESETS: [&str; 3] = [THROUGH, "single-instance-sql-write-back", "sql-only"];

fn start(place: &Place, preset: &str) -> Server {
    let parameters = "modparam(\"usrloc\", \"mi_dump_kv_store\", 1)";
    let save = "save(\"location\", \"path-lazy\"); if ($hdr(X-Note) != NULL) ul_add_key(\"location\", $tu, \"note\", $hdr(X-Note))";
    Server::start(&script_at(&place.url(), preset, parameters, save))
}

/// Registers, refreshes, removes, stops, kills: everything that was answered is there afterwards.
fn bindings_come_back(place: &Place, preset: &str) {
    let server = start(place, preset);
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::tcp(&server, "bob"));
    let noted = alice
        .register_for(600)
        .with("X-Note: \u{e9} \"x\"")
        .with("Path: <sip:192.0.2.9;lr>")
        .with("Supported: path");
    assert_eq!(alice.ask(&noted).status(), 200);
    bob.register();
    Phone::udp(&server, "carol").register();
    let mut second = Phone::udp(&server, "alice");
    second.register();
    let gone = bob.ask(&bob.register_for(0));
    assert_eq!(gone.status(), 200);
    mi::result(&server, "ul_rm", json!({"table_name": "location", "aor": "carol@127.0.0.1"}));
    let fields = ["Contact", "ContactID", "Callid", "Cseq", "Q", "Methods", "Path", "User-agent"];
    let sorted = |server: &Server| {
        let mut contacts = mi::contacts(server, "alice@127.0.0.1");
        contacts.sort_by_key(|contact| contact["Contact"].to_string());
        contacts
    };
    let before = sorted(&server);
    stop(server);
    assert_eq!(place.column("SELECT username FROM location"), ["alice", "alice"], "{preset}");
    let server = start(place, preset);
    let after = sorted(&server);
    assert_eq!(after.len(), 2, "{preset}");
    for (before, after) in before.iter().zip(&after) {
        fields.iter().for_each(|field| assert_eq!(before[field], after[field], "{preset} {field}"));
    }
    let shown =
        mi::result(&server, "ul_show_contact", json!({"table_name": "location", "aor": "alice@127.0.0.1"}));
    assert_eq!(shown["KV-Store"], json!({"note": "\u{e9} \"x\""}), "{preset}");
    for user in ["bob", "carol"] {
        assert!(mi::contacts(&server, &format!("{user}@127.0.0.1")).is_empty(), "{preset} {user}");
    }
    // Who knows her reaches the phone that is not behind another proxy, and what it says next is a refresh.
    let mut dave = Phone::udp(&server, "dave");
    dave.send(&dave.request("MESSAGE", "sip:alice@127.0.0.1").bytes());
    second.expect_request("MESSAGE");
    mi::result(&server, "ul_rm", json!({"table_name": "location", "aor": "alice@127.0.0.1"}));
    mi::result(&server, "ul_flush", json!({}));
    assert!(place.column("SELECT username FROM location").is_empty(), "{preset}");
    kill(server);
}

/// A mid-registrar whose bindings are in a database.
fn front_text(place: &Place, main: &Server) -> String {
    let more = format!(
        "loadmodule \"db_sqlite.so\"\nloadmodule \"db_postgres.so\"\nloadmodule \"db_mysql.so\"\n\
         modparam(\"usrloc\", \"working_mode_preset\", \"{THROUGH}\")\n\
         modparam(\"usrloc\", \"db_url\", \"{}\")\n",
        place.url()
    );
    front_script(main.udp(), "\"mode\", 1", &more)
}

/// In front of a main registrar: refreshes are absorbed as before.
fn absorbing_goes_on(place: &Place) {
    let main = Server::start(&crate::harness::scripts::exchange());
    let text = front_text(place, &main);
    let front = Server::start(&text);
    let listen = format!("udp:{}", front.udp());
    let mut bob = Phone::udp(&front, "bob");
    registered(&mut bob, 600);
    mi::result(&front, "ul_flush", json!({}));
    assert_eq!(place.column("SELECT username FROM location_upstream"), ["bob"]);
    kill(front);
    let front = Server::start_with(&text, &["-l", &listen]);
    registered(&mut bob, 600);
    assert_eq!(mi::statistic(&front, "mid_registrar:absorbed_regs"), 1);
    assert_eq!(mi::statistic(&main, "registrar:accepted_regs"), 1);
    mi::result(&front, "ul_rm", json!({"table_name": "location", "aor": "bob@127.0.0.1"}));
    wait_until("the main registrar has no contact", || mi::contacts(&main, "bob@127.0.0.1").is_empty());
    mi::wait_for_statistic(&front, "mid_registrar:acknowledged_deregs", 1);
    mi::result(&front, "ul_flush", json!({}));
    assert!(place.column("SELECT username FROM location_upstream").is_empty());
    kill(front);
}

/// What a main registrar has granted is told when it is on disk; what the database does not take is taken away from the main
/// registrar.
fn what_is_granted_waits_for_the_database(place: &mut Place) {
    let main = Server::start(&crate::harness::scripts::exchange());
    let front = Server::start(&front_text(place, &main));
    let [mut alice, mut bob, mut carol] = ["alice", "bob", "carol"].map(|user| Phone::udp(&front, user));
    registered(&mut bob, 600);
    place.server().stand_still(true);
    let register = alice.register_for(600);
    alice.send(&register.bytes());
    mi::wait_for_statistic(&main, "registrar:accepted_regs", 2);
    mi::wait_for_statistic(&front, "usrloc:store_unwritten", 1);
    // Longer than fr_timeout: that is the patience with the main registrar, which has answered.
    assert!(alice.receive_within(Duration::from_millis(2_500)).is_none());
    place.server().stand_still(false);
    assert_eq!(alice.receive().status(), 200);
    assert_eq!(mi::contacts(&main, "alice@127.0.0.1").len(), 1);
    place.execute("ALTER TABLE location RENAME TO elsewhere");
    let refused = carol.ask(&carol.register_for(600));
    assert_eq!(refused.status(), 500, "{}", refused.start);
    assert!(refused.need("Retry-After").parse::<u32>().unwrap() > 0);
    assert!(refused.header("Contact").is_none());
    assert!(mi::contacts(&front, "carol@127.0.0.1").is_empty());
    wait_until("the main registrar has no contact", || mi::contacts(&main, "carol@127.0.0.1").is_empty());
    place.execute("ALTER TABLE elsewhere RENAME TO location");
    registered(&mut carol, 600);
    mi::result(&front, "ul_flush", json!({}));
    assert_eq!(place.column("SELECT username FROM location ORDER BY username"), ["alice", "bob", "carol"]);
    kill(front);
    place.execute("DELETE FROM location");
    place.execute("DELETE FROM location_upstream");
}

/// Connections are cut while changes are on their way: who was told that something is kept finds it, and what could not be
/// kept has left no trace.
fn cut_connections_lose_nothing(place: &mut Place, kind: &str) {
    let server = start(place, THROUGH);
    let done = AtomicBool::new(false);
    let mut load = Load::new(u64::from(std::process::id()) << 16 | 3, false);
    load.may_fail = true;
    let cutter = &*place.server();
    let cuts = std::thread::scope(|scope| {
        let cutting = scope.spawn(|| {
            let mut cuts = 0;
            while !done.load(Ordering::Relaxed) {
                cut(cutter, kind);
                cuts += 1;
            }
            cuts
        });
        load.run(&server, 1_500);
        done.store(true, Ordering::Relaxed);
        cutting.join().unwrap()
    });
    println!("{kind}: {cuts} times cut, {} answers, {} refused", load.answers, load.refused);
    load.check(&server);
    mi::result(&server, "ul_flush", json!({}));
    let in_memory = mi::statistic(&server, "usrloc:location-contacts");
    assert_eq!(place.column("SELECT username FROM location").len() as u64, in_memory, "{kind}");
    kill(server);
    let server = start(place, THROUGH);
    server.wait_for_log("bindings loaded");
    load.check(&server);
    kill(server);
}

/// Ends every connection of the server under test.
fn cut(server: &crate::harness::place::servers::Server, kind: &str) {
    if kind == "postgres" {
        server
            .sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'seawall'");
        return;
    }
    server.sql("KILL USER seawall");
}

/// While the database stands still a REGISTER waits and look-ups go on; then it is answered.
fn a_stalled_database_holds_up_nobody_else(place: &mut Place) {
    let server = start(place, THROUGH);
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::udp(&server, "bob"));
    alice.register();
    place.server().stand_still(true);
    bob.send(&bob.register_for(600).bytes());
    let mut carol = Phone::udp(&server, "carol");
    alice.hears(&mut carol, 20);
    mi::wait_for_statistic(&server, "usrloc:store_unwritten", 1);
    assert!(bob.receive_within(Duration::from_millis(1)).is_none());
    place.server().stand_still(false);
    assert_eq!(bob.receive().status(), 200);
    kill(server);
}

/// Local domains are asked for, and read again when an operator says so.
fn domains_are_found(place: &Place) {
    let add = |name: &str, below: i32| {
        place.execute(&format!(
            "INSERT INTO domain (domain, attrs, accept_subdomain) VALUES ('{name}', 'of {name}', {below})"
        ));
    };
    add("example.com", 0);
    add("wide.example", 1);
    let ask = |server: &Server, host: &str| {
        let mut phone = Phone::udp(server, "phone");
        phone.ask(&phone.request("MESSAGE", &format!("sip:bob@{host}"))).start
    };
    for mode in [0, 1] {
        let server = Server::start(&format!(
            r#"{}loadmodule "db_sqlite.so"
loadmodule "db_postgres.so"
loadmodule "db_mysql.so"
loadmodule "domain.so"
modparam("domain", "db_url", "{}")
modparam("domain", "db_mode", {mode})
route {{ if (is_uri_host_local($avp(attrs))) send_reply(200, "$avp(attrs)"); else send_reply(404, "Not ours"); }}
"#,
            crate::harness::scripts::MODULES,
            place.url()
        ));
        assert_eq!(ask(&server, "example.com"), "SIP/2.0 200 of example.com");
        assert_eq!(ask(&server, "a.wide.example"), "SIP/2.0 200 of wide.example");
        assert_eq!(ask(&server, "a.example.com"), "SIP/2.0 404 Not ours");
        add(&format!("new{mode}.example"), 0);
        if mode == 0 {
            assert_eq!(mi::error(&server, "domain_dump", json!({})), 500);
        } else {
            assert_eq!(ask(&server, "new1.example"), "SIP/2.0 404 Not ours");
            mi::result(&server, "domain_reload", json!({}));
            let shown = mi::result(&server, "domain:dump", json!({}));
            let wide =
                json!({"name": "wide.example", "accept_subdomain": 1, "attributes": "of wide.example"});
            assert_eq!((shown["Domains"].as_array().unwrap().len(), &shown["Domains"][3]), (4, &wide));
        }
        assert_eq!(ask(&server, &format!("new{mode}.example")), format!("SIP/2.0 200 of new{mode}.example"));
        stop(server);
    }
}

/// Calls are accounted, also those that were made while the database stood still, and none waits for that.
fn calls_are_accounted(place: &mut Place, stands_still: bool) {
    place.execute("ALTER TABLE acc ADD COLUMN note VARCHAR(64)");
    place.execute("ALTER TABLE missed_calls ADD COLUMN note VARCHAR(64)");
    let text = format!(
        r#"{}loadmodule "acc.so"
loadmodule "db_sqlite.so"
loadmodule "db_postgres.so"
loadmodule "db_mysql.so"
modparam("acc", "db_url", "{}")
modparam("acc", "extra_fields", "db: note")
route {{
	if (is_method("REGISTER")) {{ save("location"); exit; }}
	$acc_extra(note) = "to " + $rU;
	do_accounting("db", "failed|missed");
	if (!lookup("location")) {{ acc_db_request("404 Nobody", "missed_calls"); send_reply(404, "Nobody"); exit; }}
	t_relay();
}}
"#,
        crate::harness::scripts::MODULES,
        place.url()
    );
    let server = Server::start(&text);
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::udp(&server, "bob"));
    bob.register();
    if stands_still {
        place.server().stand_still(true);
    }
    let mut message = |code: u16| {
        let request = alice.request("MESSAGE", "sip:bob@127.0.0.1");
        alice.send(&request.bytes());
        let received = bob.expect_request("MESSAGE");
        bob.send(&received.reply(code, "Said", "bob-tag", "", ""));
        assert_eq!(alice.answer_to(&request).status(), code);
    };
    message(200);
    message(486);
    assert_eq!(alice.ask(&alice.request("MESSAGE", "sip:nobody@127.0.0.1")).status(), 404);
    if stands_still {
        place.server().stand_still(false);
    }
    mi::wait_for_statistic(&server, "acc:db_written", 4);
    assert_eq!(mi::statistic(&server, "acc:db_waiting"), 0);
    let of = |column: &str, table: &str| place.column(&format!("SELECT {column} FROM {table} ORDER BY id"));
    assert_eq!(of("method", "acc"), ["MESSAGE", "MESSAGE"]);
    assert_eq!(of("sip_code", "acc"), ["200", "486"]);
    assert_eq!(of("note", "acc"), ["to bob", "to bob"]);
    assert_eq!(of("sip_reason", "missed_calls"), ["Said", "Nobody"]);
    assert_eq!(of("to_tag", "acc")[0], "bob-tag");
    stop(server);
}

fn check(kind: &str) {
    let mut place = Place::new(kind);
    for preset in PRESETS {
        bindings_come_back(&place, preset);
    }
    damaged_rows_are_left_alone(&place);
    a_stalled_table_parks_up_to_a_bound(&place);
    domains_are_found(&place);
    calls_are_accounted(&mut place, kind == "postgres");
    absorbing_goes_on(&place);
    if kind != "sqlite" {
        what_is_granted_waits_for_the_database(&mut place);
        what_is_cached_waits_for_the_database(&mut place);
        cut_connections_lose_nothing(&mut place, kind);
        a_stalled_database_holds_up_nobody_else(&mut place);
    }
}

#[test]
fn sqlite_keeps_what_was_answered() {
    check("sqlite");
}

#[test]
fn postgresql_keeps_what_was_answered() {
    check("postgres");
}

#[test]
fn mariadb_keeps_what_was_answered() {
    check("mysql");
}
