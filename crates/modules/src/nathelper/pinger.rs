//! When contacts are pinged: evenly over the interval, a few in each tick.
//!
//! Each worker walks over its own shards of each table, one after the other, each in the same share of the interval.
//! A shard's records lie in its table in the order of a keyed hash, so the walk meets them evenly, whoever registered
//! when. A second walk follows `ping_threshold` behind the first and removes those that have not answered.

use std::net::IpAddr;
use std::time::Duration;

use seawall_location::{Domain, Part, Step, Visited};
use seawall_net::{SocketId, Transport};
use seawall_sip::Span;
use seawall_sip::uri::host_ip;
use seawall_transaction::PingToken;

use super::ping::{self, Hop, Kind, PingSettings};
use crate::configuration::Configuration;
use crate::context::{EventParameters, Target};
use crate::events::Gather;
use crate::node::Node;
use crate::statistics::Stat;

/// Contacts that are visited while a shard is locked: a few microseconds of looking and copying.
const VISITS_PER_LOCK: usize = 32;

/// Contacts that one tick of a worker visits at most: less than a millisecond of work. At ticks of 10 ms that is 25 000
/// a second and worker, a million in 40 s; a walk that falls behind its time goes on at this pace.
const VISITS_PER_TICK: usize = 256;

/// Pings of a worker that wait for the address of a host name. Contacts behind one edge proxy share its name, which is
/// remembered; more than these together are names that nobody finds.
const PINGS_LATER: usize = 1024;

/// How long a ping waits for an address, in microseconds.
const NAME_PATIENCE_US: u64 = 5_000_000;

/// From which time between two ticks on the walks start anew where they have to be by then, in microseconds.
const LONGEST_TICK_US: u64 = 1_000_000;

/// A time, from all the clocks that pinging needs.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Monotonic microseconds.
    pub now_us: u64,
    /// Seconds since the Unix epoch.
    pub now_s: u64,
}

/// The walks of one worker.
#[derive(Debug, Default)]
pub struct Pinger {
    index: usize,
    workers: usize,
    /// What the walks are made for.
    interval_ms: u64,
    /// The time of the last tick.
    seen_us: u64,
    /// By the number of the table: the walk that pings, and the one that removes.
    walks: Vec<(Walk, Walk)>,
    due: Due,
}

impl Pinger {
    /// The pinger of one worker among others.
    #[must_use]
    pub fn new(index: usize, workers: usize) -> Self {
        Self { index, workers: workers.max(1), ..Self::default() }
    }

    /// Sends what is due, by `send`, which may take the bytes away, and removes contacts that have not answered.
    /// `names` gives the addresses of a host name, or none while they are being sought, which it is told to begin.
    pub fn tick(
        &mut self,
        node: &Node,
        configuration: &Configuration,
        now: Moment,
        events: &mut Vec<EventParameters>,
        names: &mut dyn FnMut(&str, bool) -> Option<Vec<IpAddr>>,
        send: &mut dyn FnMut(Target, &mut Vec<u8>),
    ) {
        let Some(settings) = configuration.settings.nat.ping.as_deref() else { return };
        // After a pause, of the process or by MI, nothing is caught up: that would be the burst that nobody wants.
        if self.interval_ms != settings.interval_ms || now.now_us > self.seen_us + LONGEST_TICK_US {
            self.interval_ms = settings.interval_ms;
            self.walks.clear();
        }
        self.seen_us = now.now_us;
        let listens = configuration.routes.location_events;
        let mut way = Way { node, settings, now_us: now.now_us, names, send };
        let sent = self.due.send_later(&mut way);
        node.counters.add(self.index, Stat::SentPings, sent);
        for (number, domain) in node.location.domains().iter().enumerate() {
            let shards = Shards::new(self.index, self.workers, domain.shard_count());
            let time = Duration::from_micros(now.now_us);
            let ahead = shards.goal(time, settings.interval_ms);
            let behind = shards.goal(time.saturating_sub(settings.threshold), settings.interval_ms);
            if number >= self.walks.len() {
                self.walks.push((Walk::at(ahead), Walk::at(behind)));
            }
            let Some((pings, removals)) = self.walks.get_mut(number) else { continue };
            // Removing comes first: what is lost in this moment is not pinged once more.
            if settings.remove_flag != 0 {
                let mut sink = Gather::new(node, listens, events);
                let mut removed = 0;
                removals.advance(behind, shards, |part| {
                    domain.visit(part, now.now_s, &mut sink, &mut |_, binding| {
                        let lost = settings.is_lost(&binding.numbers);
                        removed += u64::from(lost);
                        if lost { Step::Remove } else { Step::Leave }
                    })
                });
                node.counters.add(self.index, Stat::LostContacts, removed);
            }
            let due = &mut self.due;
            let mut sent = 0;
            pings.advance(ahead, shards, |part| {
                let visited = due.gather(node, settings, domain, part, now.now_s);
                sent += due.send(number, &mut way);
                visited
            });
            node.counters.add(self.index, Stat::SentPings, sent);
        }
    }
}

/// How a ping leaves.
struct Way<'a> {
    node: &'a Node,
    settings: &'a PingSettings,
    now_us: u64,
    names: &'a mut dyn FnMut(&str, bool) -> Option<Vec<IpAddr>>,
    send: &'a mut dyn FnMut(Target, &mut Vec<u8>),
}

/// Contacts that were found under a lock and are pinged after it.
#[derive(Debug, Default)]
struct Due {
    bytes: Vec<u8>,
    items: Vec<Item>,
    packet: Vec<u8>,
    /// Those whose next hop is a host name that is being resolved.
    later: Vec<Later>,
}

#[derive(Debug, Clone, Copy)]
struct Item {
    kind: Kind,
    transport: Transport,
    host: Span,
    port: u16,
    socket: Option<SocketId>,
    contact_id: u64,
    contact: Span,
    path: Span,
}

/// A ping that waits for an address.
#[derive(Debug)]
struct Later {
    /// The table of the contact.
    domain: usize,
    /// Its spans are those in `bytes`.
    item: Item,
    bytes: Vec<u8>,
    until_us: u64,
}

impl Due {
    /// Visits a part of a table and copies what is to be pinged.
    fn gather(
        &mut self,
        node: &Node,
        settings: &PingSettings,
        domain: &Domain,
        part: Part,
        now_s: u64,
    ) -> Visited {
        self.bytes.clear();
        self.items.clear();
        let (bytes, items) = (&mut self.bytes, &mut self.items);
        let mut keep = |text: &[u8]| {
            let start = bytes.len();
            bytes.extend_from_slice(text);
            Span::between(start, bytes.len())
        };
        domain.visit(part, now_s, &mut (), &mut |_, binding| {
            let Some((kind, hop)) = settings.plan(node, binding) else { return Step::Leave };
            let (contact, path) = match kind {
                Kind::KeepAlive => (Span::default(), Span::default()),
                Kind::Sip => (keep(binding.contact), keep(binding.path)),
            };
            items.push(Item {
                kind,
                transport: hop.transport,
                host: keep(hop.host),
                port: hop.port,
                socket: hop.socket,
                contact_id: binding.numbers.contact_id,
                contact,
                path,
            });
            if kind == Kind::Sip && settings.removes(&binding.numbers) { Step::Count } else { Step::Leave }
        })
    }

    /// Pings what was gathered; gives how many pings were sent.
    fn send(&mut self, domain: usize, way: &mut Way<'_>) -> u64 {
        let mut sent = 0;
        for item in &self.items {
            let host = item.host.of(&self.bytes);
            let is_sought = self.later.iter().any(|later| later.item.host.of(&later.bytes) == host);
            if let Some(found) = item.address(&self.bytes, !is_sought, way) {
                sent += item.send(domain, found, &self.bytes, &mut self.packet, way);
            } else if self.later.len() < PINGS_LATER {
                let (item, bytes) = item.alone(&self.bytes);
                self.later.push(Later { domain, item, bytes, until_us: way.now_us + NAME_PATIENCE_US });
            }
        }
        sent
    }

    /// Pings whose address has been found since, and gives up those that have waited long enough.
    fn send_later(&mut self, way: &mut Way<'_>) -> u64 {
        let (mut sent, packet) = (0, &mut self.packet);
        self.later.retain(|later| match later.item.address(&later.bytes, false, way) {
            Some(found) => {
                sent += later.item.send(later.domain, found, &later.bytes, packet, way);
                false
            }
            None => later.until_us > way.now_us,
        });
        sent
    }
}

impl Item {
    /// The item with bytes of its own.
    fn alone(&self, bytes: &[u8]) -> (Item, Vec<u8>) {
        let mut own = Vec::new();
        let mut keep = |span: Span| {
            let start = own.len();
            own.extend_from_slice(span.of(bytes));
            Span::between(start, own.len())
        };
        let (host, contact, path) = (keep(self.host), keep(self.contact), keep(self.path));
        (Item { host, contact, path, ..*self }, own)
    }

    /// Its address; none while that is being sought, which begins now if `ask` says so.
    fn address(&self, bytes: &[u8], ask: bool, way: &mut Way<'_>) -> Option<Option<IpAddr>> {
        let host = self.host.of(bytes);
        if let Some(address) = host_ip(host) {
            return Some(Some(address));
        }
        let Ok(name) = std::str::from_utf8(host) else { return Some(None) };
        let fits = |address: &IpAddr| {
            way.node.sockets.iter().any(|socket| socket.address.is_ipv4() == address.is_ipv4())
        };
        (way.names)(name, ask).map(|addresses| addresses.into_iter().find(fits))
    }

    /// Pings at an address, if there is one; gives the number of pings.
    fn send(
        &self,
        domain: usize,
        found: Option<IpAddr>,
        bytes: &[u8],
        packet: &mut Vec<u8>,
        way: &mut Way<'_>,
    ) -> u64 {
        let hop = Hop {
            transport: self.transport,
            host: self.host.of(bytes),
            port: self.port,
            socket: self.socket,
        };
        let Some(target) = found.and_then(|address| hop.target(way.node, address)) else { return 0 };
        let Some(socket) = way.node.socket(target.socket) else { return 0 };
        packet.clear();
        match self.kind {
            Kind::KeepAlive => packet.extend_from_slice(ping::KEEP_ALIVE),
            Kind::Sip => {
                let domain = u16::try_from(domain).unwrap_or(u16::MAX);
                let token = PingToken { domain, contact_id: self.contact_id, sent_us: way.now_us };
                let parts = (self.contact.of(bytes), self.path.of(bytes));
                ping::write_request(way.settings, &way.node.keys, socket, token, parts, packet);
            }
        }
        (way.send)(target, packet);
        1
    }
}

/// The shards of one worker.
#[derive(Debug, Clone, Copy)]
struct Shards {
    index: usize,
    workers: usize,
    count: u64,
}

impl Shards {
    fn new(index: usize, workers: usize, all: usize) -> Self {
        Self { index, workers, count: all.saturating_sub(index).div_ceil(workers) as u64 }
    }

    /// How far a walk has to be at a time.
    fn goal(self, time: Duration, interval_ms: u64) -> Goal {
        let interval_us = u128::from(interval_ms.max(1)) * 1000;
        let way = time.as_micros() * u128::from(self.count) * u128::from(WHOLE) / interval_us;
        Goal { turn: (way / u128::from(WHOLE)) as u64, until: (way % u128::from(WHOLE)) as u32 }
    }

    /// The shard whose turn it is.
    fn shard(self, turn: u64) -> usize {
        self.index + (turn % self.count.max(1)) as usize * self.workers
    }
}

/// A shard's table in the units of [`Part::until`].
const WHOLE: u32 = 1 << 16;

/// A place of a walk: the number of the shard's turn, counted through all rounds, and how far it is in that shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Goal {
    turn: u64,
    until: u32,
}

/// A walk over the shards of one worker.
#[derive(Debug, Clone, Copy)]
struct Walk {
    turn: u64,
    visited: Visited,
}

impl Walk {
    fn at(goal: Goal) -> Self {
        Self { turn: goal.turn, visited: Visited::default() }
    }

    /// Goes on to where the walk has to be by now, as far as one tick allows.
    fn advance(&mut self, goal: Goal, shards: Shards, mut visit: impl FnMut(Part) -> Visited) {
        if shards.count == 0 {
            return;
        }
        // More than a round behind, because there is more to do than time for it: nobody is pinged twice for that.
        if self.turn + shards.count < goal.turn {
            *self = Self::at(Goal { turn: goal.turn - shards.count, until: 0 });
        }
        let mut left = VISITS_PER_TICK;
        while left > 0 && self.turn <= goal.turn {
            let until = if self.turn < goal.turn { WHOLE } else { goal.until };
            let part = Part {
                shard: shards.shard(self.turn),
                from: self.visited,
                until,
                most: left.min(VISITS_PER_LOCK),
            };
            self.visited = visit(part);
            left = left.saturating_sub(self.visited.bindings);
            if !self.visited.is_done {
                continue;
            }
            if self.turn == goal.turn {
                return;
            }
            *self = Self { turn: self.turn + 1, visited: Visited::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks over shards of 1000 bindings each, one in every place, and counts what each tick visits.
    fn walk(shards: Shards, interval_ms: u64, times_ms: impl Iterator<Item = u64>) -> (Vec<usize>, Vec<u32>) {
        let mut seen = vec![0; 1000 * shards.count as usize];
        let mut ticks = Vec::new();
        let goal = |time_ms| shards.goal(Duration::from_millis(time_ms), interval_ms);
        let mut walk = Walk::at(goal(0));
        for time_ms in times_ms {
            let mut tick = 0;
            walk.advance(goal(time_ms), shards, |part| {
                let start = if part.from.places == 0 { 0 } else { part.from.place };
                let end = (1000 * part.until as usize).div_ceil(WHOLE as usize);
                let stop = end.min(start + part.most).max(start);
                let first = (part.shard - shards.index) / shards.workers * 1000;
                (start..stop).for_each(|place| seen[first + place] += 1);
                tick += stop - start;
                Visited { place: stop, places: 1000, moves: 0, bindings: stop - start, is_done: stop >= end }
            });
            ticks.push(tick);
        }
        (ticks, seen)
    }

    #[test]
    fn a_round_visits_everybody_once_and_evenly() {
        let shards = Shards::new(1, 2, 8);
        let (ticks, seen) = walk(shards, 1000, (10..=1000).step_by(10));
        assert!(seen.iter().all(|count| *count == 1), "{seen:?}");
        assert!(ticks.iter().all(|tick| (39..=41).contains(tick)), "{ticks:?}");
    }

    #[test]
    fn three_rounds_visit_everybody_three_times() {
        let (_, seen) = walk(Shards::new(0, 1, 1), 1000, (10..=3000).step_by(10));
        assert!(seen.iter().all(|count| *count == 3), "{seen:?}");
    }

    #[test]
    fn a_walk_that_is_late_goes_on_in_small_steps_and_drops_whole_rounds() {
        let shards = Shards::new(0, 1, 4);
        let (ticks, seen) = walk(shards, 1000, std::iter::once(700).chain((710..).step_by(10).take(30)));
        assert!(ticks.iter().all(|tick| *tick <= VISITS_PER_TICK), "{ticks:?}");
        assert!(seen.iter().all(|count| *count == 1), "{seen:?}");
        let (_, seen) = walk(shards, 1000, std::iter::repeat_n(600_000, 40));
        assert!(seen.iter().all(|count| *count <= 2), "{seen:?}");
    }

    #[test]
    fn a_worker_without_shards_does_nothing() {
        assert_eq!(walk(Shards::new(3, 4, 2), 1000, 0..100).0, vec![0; 100]);
    }
}
