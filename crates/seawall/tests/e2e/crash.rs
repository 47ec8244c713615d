//! Killed at any moment under load: what was answered holds, and nothing that was removed comes back. With write-back that is
//! so of what was answered before the last interval; what came later holds or does not, each phone's as a whole.
//!
//! `SEAWALL_KILLS` and `SEAWALL_ANSWERS` make it longer, `SEAWALL_DATABASE` and `SEAWALL_MODE` choose what the long run is
//! about (`cargo xtask crash`).

use crate::harness::{PATIENCE, Place, Server, mi};
use crate::store::{kill, script_at};
use serde_json::json;
use std::collections::HashMap;
use std::net::UdpSocket;
use std::time::Instant;

const USERS: usize = 400;

/// REGISTERs that are under way at a time.
const WINDOW: usize = 64;

/// What a phone has said: the number of its REGISTER, and whether that registers or removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Said {
    cseq: u32,
    is_there: bool,
}

/// A phone: what was answered with 200 last, and what was said since.
#[derive(Clone, Default)]
struct Phone {
    answered: Option<Said>,
    /// What was answered before and may be what the database has, because it was not written for certain since.
    earlier: Vec<Option<Said>>,
    /// What is under way.
    asked: Option<Said>,
    /// The last number that it has used.
    cseq: u32,
}

/// Phones that register and go away, each waiting for its answer.
pub struct Load {
    phones: Vec<Phone>,
    random: u64,
    /// How many were answered with 200.
    pub answers: u64,
    /// How many were not taken, and changed nothing.
    pub refused: u64,
    /// Whether an answer comes before the change is written.
    is_back: bool,
    /// Whether the database may refuse a change.
    pub may_fail: bool,
}

impl Load {
    pub fn new(seed: u64, is_back: bool) -> Load {
        let phones = vec![Phone::default(); USERS];
        Load { phones, random: seed, answers: 0, refused: 0, is_back, may_fail: false }
    }

    /// Everything that was answered so far is written.
    fn written(&mut self) {
        self.phones.iter_mut().for_each(|phone| phone.earlier.clear());
    }

    fn next(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    /// Talks to the server until so many answers have come, with others still under way; where changes may fail, until all
    /// have been answered: what is seen in memory before it is decided may be taken back.
    pub fn run(&mut self, server: &Server, answers: u64) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server.udp()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let own = socket.local_addr().unwrap();
        let until = self.answers + answers;
        let mut under_way = 0;
        let mut bytes = [0; 4096];
        while self.answers < until || self.may_fail && under_way > 0 {
            while self.answers < until && under_way < WINDOW {
                let user = self.next(USERS as u64) as usize;
                let phone = &mut self.phones[user];
                if phone.asked.is_some() {
                    continue;
                }
                phone.cseq += 1;
                let cseq = phone.cseq;
                let is_there = !phone.answered.is_some_and(|said| said.is_there) || !cseq.is_multiple_of(3);
                phone.asked = Some(Said { cseq, is_there });
                let expires_s = if is_there { 3600 } else { 0 };
                let text = format!(
                    "REGISTER sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{user}x{cseq}\r\n\
                     From: <sip:u{user}@127.0.0.1>;tag=a\r\nTo: <sip:u{user}@127.0.0.1>\r\nCall-ID: call{user}\r\n\
                     CSeq: {cseq} REGISTER\r\nMax-Forwards: 70\r\nContact: <sip:u{user}@192.0.2.1>;expires={expires_s}\r\n\
                     Content-Length: 0\r\n\r\n"
                );
                socket.send(text.as_bytes()).unwrap();
                under_way += 1;
            }
            let length = socket.recv(&mut bytes).unwrap();
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            let is_taken = text.starts_with("SIP/2.0 200");
            assert!(is_taken || self.may_fail && text.starts_with("SIP/2.0 500"), "{text}");
            let value = |name: &str| {
                let line = text.lines().find(|line| line.starts_with(name)).unwrap();
                line[name.len()..].trim().split(' ').next().unwrap().to_owned()
            };
            let user: usize = value("Call-ID: call").parse().unwrap();
            let cseq: u32 = value("CSeq:").parse().unwrap();
            let phone = &mut self.phones[user];
            let asked = phone.asked.take().filter(|said| said.cseq == cseq);
            under_way -= 1;
            if is_taken {
                if self.is_back {
                    phone.earlier.push(phone.answered);
                }
                phone.answered = Some(asked.unwrap());
                self.answers += 1;
            } else {
                self.refused += 1;
            }
        }
    }

    /// Compares what the server has with what it has answered.
    pub fn check(&mut self, server: &Server) {
        let dump = mi::result(server, "ul_dump", json!({}));
        let records = dump["Domains"][0]["AORs"].as_array().unwrap();
        let mut found: HashMap<String, Vec<u32>> = HashMap::new();
        for record in records {
            let cseqs = record["Contacts"].as_array().unwrap().iter();
            let cseqs = cseqs.map(|contact| contact["Cseq"].as_u64().unwrap() as u32).collect();
            found.insert(record["AOR"].as_str().unwrap().to_owned(), cseqs);
        }
        for (user, phone) in self.phones.iter_mut().enumerate() {
            let there = found.remove(&format!("u{user}@127.0.0.1")).unwrap_or_default();
            assert!(there.len() <= 1, "u{user} has {there:?}");
            let there = there.first().copied();
            let fits = |said: Option<Said>| match said {
                Some(said) if said.is_there => there == Some(said.cseq),
                _ => there.is_none(),
            };
            let Phone { answered, earlier, asked, cseq } = phone.clone();
            let may_be_new = asked.is_some() && fits(asked);
            let may_be_old = earlier.iter().any(|said| fits(*said));
            assert!(
                fits(answered) || may_be_new || may_be_old,
                "u{user}: {there:?} after {earlier:?} and {answered:?}, then {asked:?}"
            );
            // From here on the phone goes by what holds.
            phone.answered = Some(Said { cseq: there.unwrap_or(cseq), is_there: there.is_some() });
            phone.asked = None;
            phone.earlier.clear();
        }
        assert!(found.is_empty(), "{found:?}");
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Loads, kills and compares. Each time but for write-back everything that was answered has to be there.
fn check(kind: &str, preset: &str, kills: u64, answers: u64) {
    let seed = number("SEAWALL_SEED", u64::from(std::process::id()) << 16 | 1);
    let is_back = preset.ends_with("write-back");
    let place = Place::new(kind);
    let parameters = "modparam(\"usrloc\", \"timer_interval\", 1)";
    let text = script_at(&place.url(), preset, parameters, "save(\"location\")");
    let mut load = Load::new(seed, is_back);
    println!("SEAWALL_SEED={seed}");
    let began = Instant::now();
    for round in 0..kills {
        let server = Server::start(&text);
        server.wait_for_log("bindings loaded");
        load.check(&server);
        let most = answers / 2 + load.next(answers);
        if is_back {
            load.run(&server, most / 2);
            // The timer writes it by itself.
            mi::wait_for_statistic(&server, "usrloc:store_unwritten", 0);
            load.written();
        }
        load.run(&server, most / if is_back { 2 } else { 1 });
        kill(server);
        println!(
            "{kind}, {preset}: kill {}, {} answers so far, {:.0} s",
            round + 1,
            load.answers,
            began.elapsed().as_secs_f32()
        );
    }
    let server = Server::start(&text);
    server.wait_for_log("bindings loaded");
    load.check(&server);
    mi::result(&server, "ul_flush", json!({}));
    let mut rows = place.column("SELECT username FROM location");
    let count = rows.len();
    rows.sort();
    rows.dedup();
    assert_eq!(rows.len(), count, "somebody has two rows");
    kill(server);
}

const THROUGH: &str = "single-instance-sql-write-through";
const BACK: &str = "single-instance-sql-write-back";

/// Also the long run, of the database and mode that were chosen.
#[test]
fn nothing_that_was_answered_is_lost_by_a_kill() {
    let kind = std::env::var("SEAWALL_DATABASE").unwrap_or_else(|_| "sqlite".to_owned());
    let preset = match std::env::var("SEAWALL_MODE").as_deref() {
        Ok("write-back") => BACK,
        _ => THROUGH,
    };
    check(&kind, preset, number("SEAWALL_KILLS", 5), number("SEAWALL_ANSWERS", 1_500));
}

#[test]
fn write_back_loses_what_came_since_the_last_interval_at_most() {
    check("sqlite", BACK, 3, 1_500);
}

#[test]
fn servers_of_databases_lose_nothing_that_was_answered_either() {
    for kind in ["postgres", "mysql"] {
        check(kind, THROUGH, 2, 800);
    }
}
