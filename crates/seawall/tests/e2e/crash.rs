//! Killed at any moment under load: what was answered holds, and nothing that was removed comes back.
//!
//! `SEAWALL_KILLS` and `SEAWALL_ANSWERS` make it longer (`cargo xtask crash`).

use crate::harness::{PATIENCE, Server, mi};
use crate::store::{Folder, kill, script};
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
#[derive(Clone, Copy, Default)]
struct Phone {
    answered: Option<Said>,
    /// What is under way.
    asked: Option<Said>,
    /// The last number that it has used.
    cseq: u32,
}

/// Phones that register and go away, each waiting for its answer.
struct Load {
    phones: Vec<Phone>,
    random: u64,
    answers: u64,
}

impl Load {
    fn next(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    /// Talks to the server until so many answers have come, with others still under way.
    fn run(&mut self, server: &Server, answers: u64) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server.udp()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let own = socket.local_addr().unwrap();
        let until = self.answers + answers;
        let mut under_way = 0;
        let mut bytes = [0; 4096];
        while self.answers < until {
            while under_way < WINDOW {
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
            assert!(text.starts_with("SIP/2.0 200"), "{text}");
            let value = |name: &str| {
                let line = text.lines().find(|line| line.starts_with(name)).unwrap();
                line[name.len()..].trim().split(' ').next().unwrap().to_owned()
            };
            let user: usize = value("Call-ID: call").parse().unwrap();
            let cseq: u32 = value("CSeq:").parse().unwrap();
            let phone = &mut self.phones[user];
            let asked = phone.asked.take().filter(|said| said.cseq == cseq);
            phone.answered = Some(asked.unwrap());
            under_way -= 1;
            self.answers += 1;
        }
    }

    /// Compares what the server has with what it has answered.
    fn check(&mut self, server: &Server) {
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
            let Phone { answered, asked, cseq } = *phone;
            let may_be_new = asked.is_some() && fits(asked);
            assert!(fits(answered) || may_be_new, "u{user}: {there:?} after {answered:?}, then {asked:?}");
            // From here on the phone goes by what holds.
            phone.answered = Some(Said { cseq: there.unwrap_or(cseq), is_there: there.is_some() });
            phone.asked = None;
        }
        assert!(found.is_empty(), "{found:?}");
    }
}

#[test]
fn nothing_that_was_answered_is_lost_by_a_kill() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (kills, answers) = (number("SEAWALL_KILLS", 5), number("SEAWALL_ANSWERS", 1_500));
    let seed = number("SEAWALL_SEED", u64::from(std::process::id()) << 16 | 1);
    let folder = Folder::new();
    let text = script(&folder.file(), "single-instance-sql-write-through", "", "save(\"location\")");
    let mut load = Load { phones: vec![Phone::default(); USERS], random: seed, answers: 0 };
    println!("SEAWALL_SEED={seed}");
    let began = Instant::now();
    for round in 0..kills {
        let server = Server::start(&text);
        server.wait_for_log("bindings loaded");
        load.check(&server);
        let most = answers / 2 + load.next(answers);
        load.run(&server, most);
        kill(server);
        println!(
            "kill {}: {} answers so far, {:.0} s",
            round + 1,
            load.answers,
            began.elapsed().as_secs_f32()
        );
    }
    let server = Server::start(&text);
    server.wait_for_log("bindings loaded");
    load.check(&server);
}
