//! Databases that do not answer, and rows that somebody else has written: the same over files, PostgreSQL and MariaDB.

use crate::cached;
use crate::harness::place::Hold;
use crate::harness::scripts::exchange;
use crate::harness::{Message, PATIENCE, Phone, Place, Server, mi};
use crate::mid::wait_until;
use crate::store::{kill, script_at};
use serde_json::{Value, json};
use std::net::UdpSocket;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const THROUGH: &str = "single-instance-sql-write-through";

/// As `limits::JOURNAL` of the store has it.
const JOURNAL: u64 = 16_384;

fn start(place: &Place, preset: &str, parameters: &str) -> Server {
    let parameters = format!("modparam(\"registrar\", \"retry_after\", 7)\n{parameters}");
    Server::start(&script_at(&place.url(), preset, &parameters, "save(\"location\")"))
}

/// A table that OpenSIPS has written, with a row that is no binding and one that is over.
pub fn damaged_rows_are_left_alone(place: &Place) {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let later = now_s + 3600;
    for (id, user, contact, expires, q) in [
        (1_i64 << 40, "alice", "sip:alice@198.51.100.1", later, 0.5),
        (1 << 41, "alice", "sip:alice@198.51.100.2", 0, -1.0),
        (1 << 42, "alice", "sip:alice@198.51.100.3", now_s - 60, -1.0),
        (1 << 43, "mallory", "no contact\r\nat all", later, -1.0),
        (1 << 44, "bob", "sip:bob@198.51.100.4", later, -1.0),
    ] {
        place.execute(&format!(
            "INSERT INTO location (contact_id, username, domain, contact, expires, q, callid, cseq, last_modified, \
             flags, cflags, user_agent, socket, methods) \
             VALUES ({id}, '{user}', '127.0.0.1', '{contact}', {expires}, {q}, 'call', 7, '2026-01-02 03:04:05', 0, '', \
             'Old phone', 'udp:192.0.2.1:5060', 5951)"
        ));
    }
    // What no column of this type may hold.
    place.execute(&format!("UPDATE location SET cseq = -5 WHERE contact_id = {}", 1_i64 << 44));
    let server = start(place, THROUGH, "");
    server.wait_for_log("2 bindings loaded");
    for id in [1_i64 << 43, 1 << 44] {
        server.wait_for_log(&format!("contact_id {id} is left out"));
    }
    assert_eq!(mi::statistic(&server, "usrloc:broken_rows"), 2);
    let contacts = mi::contacts(&server, "alice@127.0.0.1");
    let shown: Vec<_> =
        contacts.iter().map(|contact| (contact["Contact"].as_str(), contact["Q"].as_str())).collect();
    assert!(shown.contains(&(Some("sip:alice@198.51.100.1"), Some("0.5"))), "{shown:?}");
    assert_eq!(shown.len(), 2);
    assert!(contacts.iter().any(|contact| contact["Expires"] == "permanent"));
    assert!(contacts.iter().all(|contact| contact["User-agent"] == "Old phone" && contact["Cseq"] == 7));
    // Who is damaged there registers here, and finds the row of his own beside it.
    Phone::udp(&server, "bob").register();
    let ids = |contacts: &[Value]| {
        let mut ids: Vec<String> = contacts.iter().map(|contact| contact["ContactID"].to_string()).collect();
        ids.sort();
        ids
    };
    let before = ids(&contacts);
    mi::result(&server, "ul_flush", json!({}));
    kill(server);
    let damaged =
        format!("SELECT username FROM location WHERE contact_id IN ({}, {})", 1_i64 << 43, 1_i64 << 44);
    assert_eq!(place.column(&format!("{damaged} ORDER BY username")), ["bob", "mallory"]);
    // Their ids are ours now, and stay.
    let server = start(place, THROUGH, "");
    server.wait_for_log("3 bindings loaded");
    assert_eq!(ids(&mi::contacts(&server, "alice@127.0.0.1")), before);
    kill(server);
    place.execute("DELETE FROM location");
}

/// A phone that registers users by the thousand and reads no answers but those that refuse.
struct Crowd {
    socket: UdpSocket,
    sent: u64,
}

impl Crowd {
    fn new(server: &Server) -> Crowd {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server.udp()).unwrap();
        socket.set_nonblocking(true).unwrap();
        Crowd { socket, sent: 0 }
    }

    fn register(&mut self, count: u64) {
        let own = self.socket.local_addr().unwrap();
        for user in self.sent..self.sent + count {
            let text = format!(
                "REGISTER sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{user}\r\n\
                 From: <sip:c{user}@127.0.0.1>;tag=a\r\nTo: <sip:c{user}@127.0.0.1>\r\nCall-ID: {user}\r\n\
                 CSeq: 1 REGISTER\r\nMax-Forwards: 70\r\nContact: <sip:c{user}@192.0.2.1>;expires=3600\r\n\
                 Content-Length: 0\r\n\r\n"
            );
            self.socket.send(text.as_bytes()).unwrap();
        }
        self.sent += count;
    }

    /// The first answer that refuses, if one has come.
    fn refusal(&self) -> Option<Message> {
        let mut bytes = [0; 4096];
        loop {
            let length = self.socket.recv(&mut bytes).ok()?;
            let answer = Message::parse(&bytes[..length]);
            if answer.status() == 503 {
                return Some(answer);
            }
        }
    }
}

/// A table that cannot be written parks REGISTERs up to a bound; beyond it they are refused at once and change nothing, and
/// look-ups go on meanwhile. Then what waited is served.
pub fn a_stalled_table_parks_up_to_a_bound(place: &Place) {
    let is_file = matches!(place, Place::File(_));
    // A file has a journal beside it unless it is shared, so that a table which cannot be written holds up nobody.
    let preset = if is_file { "sql-only" } else { THROUGH };
    let patient = "modparam(\"db_postgres\", \"timeout\", 60)\nmodparam(\"db_mysql\", \"timeout_interval\", 20)\n\
                   modparam(\"db_sqlite\", \"exec_pragma\", \"busy_timeout=60000\")";
    let server = start(place, preset, patient);
    let mut alice = Phone::udp(&server, "alice");
    alice.register();
    let hold = Hold::new(place, "location");
    let mut crowd = Crowd::new(&server);
    let began = Instant::now();
    let refusal = loop {
        crowd.register(128);
        // What is under way would drop out of the socket if it were more than that.
        let is_through = || {
            let names = json!({"statistics": ["usrloc:store_unwritten", "usrloc:store_refused"]});
            let shown = mi::result(&server, "get_statistics", names);
            let shown = shown.as_object().unwrap().values();
            shown.map(|value| value.as_u64().unwrap()).sum::<u64>() + 64 >= crowd.sent
        };
        while !is_through() && began.elapsed() < PATIENCE {}
        if let Some(refusal) = crowd.refusal() {
            break refusal;
        }
        assert!(began.elapsed() < PATIENCE, "nobody is refused of {}: {}", crowd.sent, server.log());
    };
    println!("{}: full after {:?}", place.url(), began.elapsed());
    assert_eq!(refusal.need("Retry-After"), "7");
    assert_eq!(refusal.need("P-Registrar-Error"), "Location store is overloaded");
    let waiting = mi::statistic(&server, "usrloc:store_unwritten");
    assert!((JOURNAL..JOURNAL + 64).contains(&waiting), "{waiting}");
    // At once, as long as it is full.
    let mut bob = Phone::udp(&server, "bob");
    assert_eq!(bob.ask(&bob.register_for(600)).status(), 503);
    let mut carol = Phone::udp(&server, "carol");
    alice.hears(&mut carol, 20);
    assert_eq!(mi::statistic(&server, "usrloc:store_commits"), 1);
    drop(hold);
    mi::wait_for_statistic(&server, "usrloc:store_unwritten", 0);
    bob.register();
    mi::result(&server, "ul_flush", json!({}));
    // Everybody who was told that he is registered is, and nobody else.
    let rows = || place.column("SELECT username FROM location");
    let accepted = || mi::statistic(&server, "registrar:accepted_regs");
    wait_until("the rows are those of whom was answered", || rows().len() as u64 == accepted());
    assert!(accepted() > 2);
    let refused = refusal.need("To").trim_start_matches("<sip:").split('@').next().unwrap().to_owned();
    assert!(refused.starts_with('c') && !rows().contains(&refused), "{refused}");
    kill(server);
    place.execute("DELETE FROM location");
}

/// `save()` in an `onreply_route`: what another registrar has granted passes when it is on disk, however long that takes, and
/// not at all if the database does not take it.
pub fn what_is_cached_waits_for_the_database(place: &mut Place) {
    let main = Server::start(&exchange());
    let database = format!(
        "loadmodule \"db_postgres.so\"\nloadmodule \"db_mysql.so\"\nmodparam(\"tm\", \"fr_timeout\", 2)\n\
         modparam(\"usrloc\", \"working_mode_preset\", \"{THROUGH}\")\nmodparam(\"usrloc\", \"db_url\", \"{}\")\n\
         modparam(\"registrar\", \"retry_after\", 7)\nmodparam(\"registrar\", \"mcontact_avp\"",
        place.url()
    );
    let text = cached::front(&main).replace("modparam(\"registrar\", \"mcontact_avp\"", &database);
    let front = Server::start(&text);
    let [mut alice, mut bob] = ["alice", "bob"].map(|user| Phone::udp(&front, user));
    assert_eq!(alice.ask(&alice.register_for(600)).status(), 200);
    assert_eq!(place.column("SELECT username FROM location"), ["alice"]);
    place.server().stand_still(true);
    let register = bob.register_for(600);
    bob.send(&register.bytes());
    mi::wait_for_statistic(&front, "usrloc:store_unwritten", 1);
    // Longer than fr_timeout: that is the patience with the other registrar, which has answered.
    assert!(bob.receive_within(Duration::from_millis(2_500)).is_none());
    place.server().stand_still(false);
    assert_eq!(bob.receive().status(), 200);
    assert_eq!(place.column("SELECT username FROM location ORDER BY username"), ["alice", "bob"]);
    place.execute("ALTER TABLE location RENAME TO elsewhere");
    let mut carol = Phone::udp(&front, "carol");
    let refused = carol.ask(&carol.register_for(600));
    assert_eq!((refused.status(), refused.need("Retry-After")), (500, "7"));
    assert!(mi::contacts(&front, "carol@127.0.0.1").is_empty());
    place.execute("ALTER TABLE elsewhere RENAME TO location");
    assert_eq!(carol.ask(&carol.register_for(600)).status(), 200);
    assert_eq!(place.column("SELECT username FROM location ORDER BY username"), ["alice", "bob", "carol"]);
    kill(front);
    place.execute("DELETE FROM location");
}
