//! A model of a main registrar (RFC 3261 §10.3): one thread that serves requests in the order of their arrival, and
//! that may be slow, strict, deaf or forgetful. When it has stood still it is several threads for a moment, without
//! transactions: every copy of a request that has come meanwhile is served, in any order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use seawall_sip::{Message, Name, Uri, cseq};

use super::outbox::{Outbox, Wake};
use super::text;
use crate::network::Packet;
use crate::random::Random;

/// How the main registrar behaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conduct {
    /// The longest interval that it grants.
    pub longest_s: Option<u32>,
    /// The shortest interval that it takes; less is answered with 423.
    pub least_s: Option<u32>,
    /// A status that it refuses requests with, and how many of a thousand. With 404 it drops what it holds.
    pub refuses: Option<(u16, u16)>,
    /// Whether requests need credentials.
    pub authenticates: bool,
    /// How long a request waits before it is served.
    pub serves_after_ms: u64,
    /// How long an answer waits before it is sent.
    pub answers_after_ms: u64,
}

/// A time for which the main registrar stands still. What comes meanwhile waits in its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// How long, in milliseconds.
    pub for_ms: u64,
    /// Within how many milliseconds what has waited is served then, in any order; 0 serves it in its order.
    pub spread_ms: u64,
}

/// Most requests that wait in the socket of a main registrar that stands still.
const SOCKET: usize = 300;

/// One binding.
#[derive(Clone, Debug)]
pub struct Held {
    /// The Contact URI.
    pub uri: Vec<u8>,
    /// When it ends, in milliseconds.
    pub ends_ms: u64,
    /// Which life of Seawall has registered it.
    pub epoch: u64,
    callid: Vec<u8>,
    cseq: u32,
}

/// The main registrar.
#[derive(Debug)]
pub struct MainRegistrar {
    /// What it holds, by user.
    pub bindings: BTreeMap<String, Vec<Held>>,
    /// How it behaves.
    pub conduct: Conduct,
    /// Whether it runs.
    pub is_up: bool,
    /// Contacts that it has dropped by itself and not got back.
    pub lost: BTreeSet<(String, Vec<u8>)>,
    /// Users whose last registration was refused.
    pub denied: BTreeSet<String>,
    /// Contacts whose registration was shortened, by user, and the branch of the answer that says so.
    pub cut: BTreeMap<(String, Vec<u8>), u64>,
    queue: VecDeque<(u64, Packet)>,
    answers: BTreeMap<u64, (u64, Packet)>,
    /// Until when it stands still, and how it goes on.
    stalled_until_ms: u64,
    spread_ms: u64,
    /// What has waited in its socket, by when it is served and by arrival.
    waited: BTreeMap<(u64, u64), Packet>,
    arrivals: u64,
    random: Random,
}

impl MainRegistrar {
    /// One that holds nothing.
    pub fn new(seed: u64) -> MainRegistrar {
        MainRegistrar {
            bindings: BTreeMap::new(),
            conduct: Conduct::default(),
            is_up: true,
            lost: BTreeSet::new(),
            denied: BTreeSet::new(),
            cut: BTreeMap::new(),
            queue: VecDeque::new(),
            answers: BTreeMap::new(),
            stalled_until_ms: 0,
            spread_ms: 0,
            waited: BTreeMap::new(),
            arrivals: 0,
            random: Random::new(seed),
        }
    }

    /// It stands still from now on.
    pub fn stall(&mut self, now_ms: u64, stall: Stall) {
        self.stalled_until_ms = self.stalled_until_ms.max(now_ms + stall.for_ms);
        self.spread_ms = stall.spread_ms;
    }

    /// It is stopped, and forgets its transactions.
    pub fn stop(&mut self) {
        self.is_up = false;
        self.queue.clear();
        self.answers.clear();
        self.waited.clear();
        self.stalled_until_ms = 0;
    }

    /// It drops what it holds for a user.
    pub fn drop_user(&mut self, user: &str) {
        for held in self.bindings.remove(user).unwrap_or_default() {
            self.lost.insert((user.to_owned(), held.uri));
        }
    }

    /// It is restarted without its bindings.
    pub fn forget(&mut self) {
        self.stop();
        self.is_up = true;
        let users: Vec<String> = self.bindings.keys().cloned().collect();
        users.iter().for_each(|user| self.drop_user(user));
    }

    /// A request arrives.
    pub fn receive(&mut self, now_ms: u64, packet: Packet, out: &mut Outbox) {
        if !self.is_up {
            return;
        }
        if now_ms < self.stalled_until_ms {
            if self.waited.len() < SOCKET {
                self.arrivals += 1;
                let at_ms = self.stalled_until_ms + self.random.below(self.spread_ms + 1);
                self.waited.insert((at_ms, self.arrivals), packet);
                out.wakes.push((at_ms, Wake::Main));
            }
            return;
        }
        let Some(branch) = text::parse(&packet.bytes).map(|request| text::branch(&request)) else { return };
        if let Some((ready_ms, answer)) = self.answers.get(&branch) {
            if *ready_ms <= now_ms {
                out.packets.push(answer.clone());
            }
            return;
        }
        let same = |(_, waiting): &(u64, Packet)| waiting.bytes == packet.bytes;
        if self.queue.iter().any(same) {
            return;
        }
        let last_ms = self.queue.back().map_or(0, |(at_ms, _)| *at_ms);
        let at_ms = (now_ms + self.conduct.serves_after_ms).max(last_ms);
        self.queue.push_back((at_ms, packet));
        out.wakes.push((at_ms, Wake::Main));
    }

    /// Serves what is due.
    pub fn work(&mut self, now_ms: u64, out: &mut Outbox) {
        if now_ms < self.stalled_until_ms {
            return out.wakes.push((self.stalled_until_ms, Wake::Main));
        }
        while let Some(entry) = self.waited.first_entry().filter(|entry| entry.key().0 <= now_ms) {
            let packet = entry.remove();
            self.work_on(now_ms, packet, out);
        }
        while self.queue.front().is_some_and(|(at_ms, _)| *at_ms <= now_ms) {
            let Some((_, packet)) = self.queue.pop_front() else { return };
            self.work_on(now_ms, packet, out);
        }
    }

    fn work_on(&mut self, now_ms: u64, packet: Packet, out: &mut Outbox) {
        let Some(request) = text::parse(&packet.bytes) else { return };
        let branch = text::branch(&request);
        // A copy is refused as the first one was, or accepted, though chance decides about others.
        let is_accepted = |(_, answer): &(u64, Packet)| answer.bytes.starts_with(b"SIP/2.0 2");
        let before = self.answers.get(&branch).map(is_accepted);
        if before != Some(false) {
            let (status, lines) = self.serve(now_ms, &request, before.is_some());
            let bytes = text::answer(&request, status, &lines);
            let answer = Packet { from: packet.to, to: packet.from, bytes };
            self.answers.insert(branch, (now_ms + self.conduct.answers_after_ms, answer));
        }
        out.wakes.push((now_ms + self.conduct.answers_after_ms, Wake::Answer(branch)));
    }

    /// Sends an answer that was held back.
    pub fn answer(&mut self, branch: u64, out: &mut Outbox) {
        if let Some((_, answer)) = self.answers.get(&branch) {
            out.packets.push(answer.clone());
        }
    }

    /// Whether a request is a repetition that outlived the transactions of a registrar that was restarted.
    fn has_served(&self, user: &str, request: &Message) -> bool {
        let callid = request.value(Name::CallId).unwrap_or_default();
        let number = cseq::CSeq::of(request).map_or(0, |cseq| cseq.number);
        let same = |held: &Held| held.callid == callid && held.cseq == number;
        self.bindings.get(user).is_some_and(|all| all.iter().any(same))
    }

    /// RFC 3261 §10.3, steps 3 to 8.
    fn serve(&mut self, now_ms: u64, request: &Message, is_copy: bool) -> (u16, String) {
        let user = text::user(request);
        let asked = text::listed(request);
        let registers = asked.as_ref().is_some_and(|asked| asked.iter().any(|(_, expires_s)| *expires_s > 0));
        if self.conduct.authenticates && !is_copy && request.header(Name::Authorization).is_none() {
            return (401, "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"1\"\r\n".to_owned());
        }
        if let Some((status, per_mille)) = self.conduct.refuses
            && registers
            && !is_copy
            && !self.has_served(&user, request)
            && self.random.chance(per_mille)
        {
            self.denied.insert(user.clone());
            if status == 404 {
                self.drop_user(&user);
            }
            return (status, String::new());
        }
        let least_s = self.conduct.least_s.unwrap_or(0);
        let is_brief = |(_, expires_s): &(Vec<u8>, u32)| !is_copy && *expires_s > 0 && *expires_s < least_s;
        if asked.as_ref().is_some_and(|asked| asked.iter().any(is_brief)) {
            self.denied.insert(user);
            return (423, format!("Min-Expires: {least_s}\r\n"));
        }
        let callid = request.value(Name::CallId).unwrap_or_default();
        let number = cseq::CSeq::of(request).map_or(0, |cseq| cseq.number);
        let branch = text::branch(request);
        let all = self.bindings.entry(user.clone()).or_default();
        all.retain(|held| held.ends_ms > now_ms);
        let mut next = all.clone();
        // The same number again is a repetition that outlived the transactions of a registrar that was restarted.
        let is_late =
            |held: &Held| held.callid == callid && (held.cseq > number || held.cseq == number && !registers);
        // What Seawall has sent in an earlier life nobody knows in this one.
        let mut lost = Vec::new();
        let takes_away = |held: &Held| held.epoch > epoch(branch);
        match asked {
            None if all.iter().any(is_late) => return (400, String::new()),
            None => lost.extend(next.drain(..).filter(takes_away)),
            Some(asked) => {
                for (uri, asked_s) in asked {
                    let position = next.iter().position(|held| is_same(&held.uri, &uri));
                    if position.and_then(|at| next.get(at)).is_some_and(is_late) {
                        return (400, String::new());
                    }
                    let old = position.map(|at| next.remove(at));
                    let old_ms = old.as_ref().map(|old| old.ends_ms);
                    lost.extend(old.filter(|old| asked_s == 0 && takes_away(old)));
                    if asked_s > 0 {
                        let granted_s = asked_s.min(self.conduct.longest_s.unwrap_or(asked_s));
                        let epoch = epoch(branch);
                        let ends_ms = now_ms + u64::from(granted_s) * 1000;
                        let was_lost = self.lost.remove(&(user.clone(), uri.clone()));
                        // That a copy of something old is served again says nothing about what was refused since.
                        if !is_copy {
                            self.denied.remove(&user);
                        }
                        if was_lost || old_ms.is_some_and(|old_ms| old_ms > ends_ms) {
                            self.cut.insert((user.clone(), uri.clone()), branch);
                        } else if self.cut.get(&(user.clone(), uri.clone())) != Some(&branch) {
                            // A copy of what has shortened it makes it no longer known.
                            self.cut.remove(&(user.clone(), uri.clone()));
                        }
                        next.push(Held { uri, ends_ms, epoch, callid: callid.to_vec(), cseq: number });
                    }
                }
            }
        }
        let line = |held: &Held| {
            // A registrar may round up; one that rounds down would be kind.
            let left_s = (held.ends_ms - now_ms).div_ceil(1000);
            format!("Contact: <{}>;expires={left_s}\r\n", text::text(&held.uri))
        };
        let lines = next.iter().map(line).collect();
        *all = next;
        self.lost.extend(lost.into_iter().map(|held| (user.clone(), held.uri)));
        (200, lines)
    }
}

/// Where the life of Seawall stands in the number of a branch.
pub const EPOCH_SHIFT: u32 = 40;

/// Which life of Seawall has made a branch.
fn epoch(branch: u64) -> u64 {
    branch >> EPOCH_SHIFT
}

fn is_same(left: &[u8], right: &[u8]) -> bool {
    match (Uri::parse(left), Uri::parse(right)) {
        (Ok(left), Ok(right)) => left.equals(&right),
        _ => false,
    }
}
