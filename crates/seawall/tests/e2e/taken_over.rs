//! A server whose tables another one has taken, while it ran or stood still: it changes nothing any more and says so.

use crate::harness::{Phone, Place, Server, mi};
use crate::mid::wait_until;
use crate::store::{kill, script_at, stop};
use serde_json::json;

const THROUGH: &str = "single-instance-sql-write-through";
const BACK: &str = "single-instance-sql-write-back";

fn start(place: &Place, preset: &str) -> Server {
    // Nothing is written because an interval is over.
    let parameters =
        "modparam(\"usrloc\", \"timer_interval\", 3600)\nmodparam(\"registrar\", \"retry_after\", 7)";
    let server = Server::start(&script_at(&place.url(), preset, parameters, "save(\"location\")"));
    server.wait_for_log("bindings loaded");
    server
}

fn users(place: &Place) -> Vec<String> {
    place.column("SELECT username FROM location ORDER BY username")
}

/// A REGISTER is refused, and nothing of it stays.
fn is_refused(server: &Server, user: &str) {
    let mut phone = Phone::udp(server, user);
    let answer = phone.ask(&phone.register_for(600));
    assert_eq!((answer.status(), answer.need("Retry-After")), (500, "7"), "{user}");
    assert!(mi::contacts(server, &format!("{user}@127.0.0.1")).is_empty(), "{user}");
}

/// Nothing changes any more by any hand; who is known is still found.
fn has_lost(server: &Server, place: &Place, known: &mut Phone) {
    mi::wait_for_statistic(server, "usrloc:store_lost", 1);
    server.wait_for_log("`location` was taken over by process");
    let before = users(place);
    is_refused(server, "late");
    // Also one that would change nothing.
    let asked = known.request("REGISTER", "sip:127.0.0.1");
    assert_eq!(known.ask(&asked).status(), 500);
    for (command, parameters) in
        [("ul_rm", json!({"table_name": "location", "aor": "alice@127.0.0.1"})), ("ul_flush", json!({}))]
    {
        assert_eq!(mi::error(server, command, parameters), 500, "{command}");
    }
    let mut caller = Phone::udp(server, "caller");
    caller.send(&caller.request("MESSAGE", "sip:alice@127.0.0.1").bytes());
    known.expect_request("MESSAGE");
    assert_eq!(users(place), before);
}

/// One stands still while another one takes its place; then it goes on.
fn one_that_stood_still(place: &Place, preset: &str) {
    let stalled = start(place, preset);
    let mut alice = Phone::udp(&stalled, "alice");
    alice.register();
    mi::result(&stalled, "ul_flush", json!({}));
    // Under write-back bob is not written when the server stops.
    Phone::udp(&stalled, "bob").register();
    stalled.signal("STOP");
    let mut dave = Phone::udp(&stalled, "dave");
    dave.send(&dave.register_for(600).bytes());

    let server = start(place, preset);
    Phone::udp(&server, "carol").register();
    mi::result(&server, "ul_rm", json!({"table_name": "location", "aor": "alice@127.0.0.1"}));
    mi::result(&server, "ul_flush", json!({}));
    let expected = if preset == THROUGH { vec!["bob", "carol"] } else { vec!["carol"] };
    assert_eq!(users(place), expected, "{preset}");

    stalled.signal("CONT");
    let answer = dave.receive();
    if preset == THROUGH {
        assert_eq!((answer.status(), answer.need("Retry-After")), (500, "7"));
    }
    has_lost(&stalled, place, &mut alice);
    // Its end writes nothing either.
    stop(stalled);
    assert_eq!(users(place), expected, "{preset}");
    Phone::udp(&server, "erin").register();
    stop(server);
    let all: Vec<&str> = expected.into_iter().chain(["erin"]).collect();
    assert_eq!(users(place), all, "{preset}");

    // Whoever is started next has them, whatever became of the others.
    let next = start(place, preset);
    assert_eq!(mi::statistic(&next, "usrloc:store_lost"), 0);
    Phone::udp(&next, "frank").register();
    mi::result(&next, "ul_flush", json!({}));
    assert!(users(place).contains(&"frank".to_owned()));
    kill(next);
    place.execute("DELETE FROM location");
}

/// One is started beside another: by mistake, or to replace it.
fn one_that_ran(place: &Place, preset: &str) {
    let first = start(place, preset);
    let mut alice = Phone::udp(&first, "alice");
    alice.register();
    mi::result(&first, "ul_flush", json!({}));
    let second = start(place, preset);
    if preset == THROUGH {
        // At once: nobody needs to have noticed.
        is_refused(&first, "dave");
    }
    has_lost(&first, place, &mut alice);
    let mut carol = Phone::udp(&second, "carol");
    carol.register();
    mi::result(&second, "ul_flush", json!({}));
    assert_eq!(users(place), ["alice", "carol"], "{preset}");
    kill(first);
    assert_eq!(mi::statistic(&second, "usrloc:store_lost"), 0);
    kill(second);
    place.execute("DELETE FROM location");
}

/// Servers that share a table keep nobody from it.
fn ones_that_share(place: &Place) {
    let parameters = "modparam(\"usrloc\", \"use_domain\", 0)";
    let text = script_at(&place.url(), "sql-only", parameters, "save(\"location\")");
    let servers = [Server::start(&text), Server::start(&text)];
    for _ in 0..2 {
        for (server, user) in servers.iter().zip(["alice", "bob"]) {
            Phone::udp(server, user).register();
        }
    }
    assert_eq!(users(place), ["alice", "alice", "bob", "bob"]);
    servers.into_iter().for_each(kill);
}

fn check(kind: &str) {
    let place = Place::new(kind);
    for preset in [THROUGH, BACK] {
        one_that_stood_still(&place, preset);
        one_that_ran(&place, preset);
    }
    ones_that_share(&place);
}

#[test]
fn a_server_that_was_replaced_writes_nothing_to_postgresql() {
    check("postgres");
}

#[test]
fn a_server_that_was_replaced_writes_nothing_to_mariadb() {
    check("mysql");
}

/// A file has a lock: nobody can take it from one that stands still.
#[test]
fn a_file_of_a_server_that_stands_still_is_not_taken() {
    let place = Place::new("sqlite");
    let stalled = start(&place, THROUGH);
    let mut alice = Phone::udp(&stalled, "alice");
    alice.register();
    stalled.signal("STOP");
    let folder = crate::harness::server::temporary_folder();
    let file = folder.join("second.cfg");
    std::fs::write(&file, script_at(&place.url(), THROUGH, "", "save(\"location\")")).unwrap();
    let name = file.display().to_string();
    let second = crate::harness::server::run(&["run", "-f", &name, "-l", "udp:127.0.0.1:0"]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && said.contains("belongs to another running server"), "{said}");
    stalled.signal("CONT");
    alice.register();
    wait_until("its bindings are written", || users(&place) == ["alice"]);
    assert_eq!(mi::statistic(&stalled, "usrloc:store_lost"), 0);
    kill(stalled);
    std::fs::remove_dir_all(folder).unwrap();
}
