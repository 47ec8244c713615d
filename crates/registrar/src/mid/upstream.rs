//! What the main registrars hold on behalf of one location table: one registration for each contact, or in AoR mode
//! one for each address of record.
//!
//! It stands beside the location table and not in it, so that a registrar without a main registrar pays nothing for
//! it. Everything is plain data: [`Upstream::show`] gives it out and [`Upstream::restore`] takes it back.
//!
//! Lock order: a shard here, then the shard of the location table, never the other way round. Whoever is told of a
//! change while the location table is locked keeps it and calls [`Mid::gone`](super::Mid::gone) afterwards.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use hashbrown::HashTable;
use parking_lot::{Mutex, MutexGuard};
use seawall_location::NameId;
use siphasher::sip::SipHasher13;
use smallvec::SmallVec;

use super::echo::Echoes;
use super::kept::{Changes, Noted};
use super::limits::{CHALLENGED_PER_SHARD, CHALLENGED_S, MAINS, SHARDS};
use super::registration::Registration;

/// Bytes that memory hands over at once.
const LINE_LEN: usize = 64;

/// A main registrar as one registration reached it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Main {
    /// The socket that the REGISTER left by, interned in the names of the location table.
    pub socket: NameId,
    /// The next hop.
    pub peer: SocketAddr,
    /// The Request-URI.
    pub uri: Box<[u8]>,
}

/// The registrations of one location table at its main registrars.
pub struct Upstream {
    key: (u64, u64),
    shards: Box<[Mutex<Shard>]>,
    /// Never used, since the shard index is masked by the number of shards; it saves an unchecked index.
    spare: Mutex<Shard>,
    /// For each shard the second before which nothing of it is due, so that nobody locks it to find nothing. It is
    /// written under the lock of the shard, and may be too early.
    due_from_s: Box<[AtomicU32]>,
    tickets: AtomicU64,
    mains: Mutex<Vec<Arc<Main>>>,
    /// Own requests that wait to be sent, so that nobody locks shards to find none.
    waiting: AtomicUsize,
    /// Unix second of the last return of a main registrar that was silent; 0 for never.
    returned_s: AtomicU32,
    /// Unix second of the first request of our own; 0 before that. It tells our Call-IDs from those of another life.
    born_s: AtomicU32,
    /// Where something has changed, once somebody keeps it.
    pub(super) changes: Arc<Changes>,
    ask: fn(*const u8),
}

/// One shard.
#[derive(Default)]
pub(super) struct Shard {
    pub(super) accounts: HashTable<Box<Account>>,
    pub(super) flights: Vec<Flight>,
    /// Own requests that wait, by second and ticket.
    pub(super) jobs: BTreeMap<(u32, u64), Job>,
    challenged: VecDeque<(u64, u32)>,
    /// De-REGISTERs of which copies may be on their way.
    pub(super) echoes: Echoes,
    /// What has changed, once somebody keeps it.
    pub(super) noted: Option<Box<Noted>>,
}

/// What a request of our own is about.
pub(super) struct Job {
    pub(super) aor: Box<[u8]>,
    pub(super) key: u64,
}

/// What is registered for one address of record.
pub(super) struct Account {
    /// In place as a rule, so that finding an account reads no other memory.
    pub(super) aor: SmallVec<[u8; 40]>,
    pub(super) registrations: SmallVec<[Registration; 1]>,
    /// AoR mode: from which flow the main registrar has accepted each contact. In the other modes a registration
    /// knows its own.
    pub(super) flows: Vec<(u64, u64)>,
    /// The registrations of which a store has been told.
    pub(super) kept: SmallVec<[u64; 1]>,
}

/// A forwarded REGISTER that waits for its answer.
pub(super) struct Flight {
    pub(super) order: u64,
    /// Unix second in which it was sent first: the main registrar counts its intervals from then at the earliest.
    pub(super) departed_s: u32,
    pub(super) hash: u64,
    /// `*`: it touches everything.
    pub(super) all: bool,
    pub(super) keys: SmallVec<[Touch; 2]>,
    /// What later requests, answered before this one, have decided already.
    pub(super) overtaken: SmallVec<[u64; 2]>,
    /// Whether `*` was among those.
    pub(super) all_overtaken: bool,
    /// Whether a removal of the same was under way at the same time, so that only the main registrar knows which of
    /// both came last.
    pub(super) disturbed: bool,
    /// Unix second at which the shortest interval ends that was granted to another request about the same while this one
    /// was under way: that one may have been served last.
    pub(super) least_s: u32,
}

/// A registration that a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Touch {
    pub(super) key: u64,
    pub(super) removes: bool,
}

impl Flight {
    /// Whether it is about this registration.
    pub(super) fn names(&self, key: u64) -> bool {
        self.all || self.keys.iter().any(|touch| touch.key == key)
    }

    /// Whether it takes this registration away from the main registrar.
    pub(super) fn removes(&self, key: u64) -> bool {
        self.all || self.keys.iter().any(|touch| touch.key == key && touch.removes)
    }

    /// Whether a later request has decided about this registration.
    pub(super) fn is_overtaken(&self, key: u64) -> bool {
        self.all_overtaken || self.overtaken.contains(&key)
    }

    /// Whether two requests are about the same, and one of them removes it.
    fn disturbs(&self, other: &Flight) -> bool {
        if self.all || other.all {
            return true;
        }
        self.keys.iter().any(|touch| other.names(touch.key) && (touch.removes || other.removes(touch.key)))
    }
}

impl Account {
    pub(super) fn registration(&self, key: u64) -> Option<&Registration> {
        self.registrations.iter().find(|registration| registration.key == key)
    }

    pub(super) fn registration_mut(&mut self, key: u64) -> Option<&mut Registration> {
        self.registrations.iter_mut().find(|registration| registration.key == key)
    }

    pub(super) fn flow_of(&self, contact_id: u64) -> Option<u64> {
        self.flows.iter().find(|(id, _)| *id == contact_id).map(|(_, flow)| *flow)
    }

    pub(super) fn set_flow(&mut self, contact_id: u64, flow: u64) {
        match self.flows.iter_mut().find(|(id, _)| *id == contact_id) {
            Some((_, known)) => *known = flow,
            None => self.flows.push((contact_id, flow)),
        }
    }
}

impl Upstream {
    /// Nothing is registered yet. The secret keeps clients from aiming at a place in the table.
    #[must_use]
    pub fn new(secret: [u8; 16]) -> Upstream {
        let both = u128::from_le_bytes(secret);
        Upstream {
            key: (both as u64, (both >> 64) as u64),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            spare: Mutex::default(),
            due_from_s: (0..SHARDS).map(|_| AtomicU32::new(u32::MAX)).collect(),
            tickets: AtomicU64::new(0),
            mains: Mutex::default(),
            waiting: AtomicUsize::new(0),
            returned_s: AtomicU32::new(0),
            born_s: AtomicU32::new(0),
            changes: Arc::default(),
            ask: |_| {},
        }
    }

    /// The same with a function that asks memory for what stands at an address before it is read: that of the location
    /// table, [`Domain::asker`](seawall_location::Domain::asker).
    #[must_use]
    pub fn asking(self, ask: fn(*const u8)) -> Upstream {
        Upstream { ask, ..self }
    }

    /// How many shards there are: the range of [`Mid::due`](super::Mid::due).
    #[must_use]
    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }

    /// How many requests of our own wait to be sent or to be sent again (`deregs_pending`).
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Addresses of record and registrations that the main registrars hold.
    #[must_use]
    pub fn len(&self) -> (usize, usize) {
        self.shards.iter().fold((0, 0), |(aors, registrations), shard| {
            let shard = shard.lock();
            let held: usize = shard.accounts.iter().map(|account| account.registrations.len()).sum();
            (aors + shard.accounts.len(), registrations + held)
        })
    }

    /// Whether no main registrar holds anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len().0 == 0
    }

    /// Forwarded requests whose answer is still to come.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().flights.len()).sum()
    }

    pub(super) fn hash(&self, bytes: &[u8]) -> u64 {
        SipHasher13::new_with_keys(self.key.0, self.key.1).hash(bytes)
    }

    /// Where a REGISTER came from, as a number: what `absorb=verified` compares. An IPv4 address and its port fit as they are;
    /// of an IPv6 address it is a keyed hash, so that nobody can look for one that has the number of another sender.
    pub(super) fn flow(&self, (peer, transport): (SocketAddr, &[u8])) -> u64 {
        // The names of transports have eight letters at most, and all end in two letters of their own.
        let transport = transport.iter().fold(0u64, |name, byte| name << 8 | u64::from(*byte));
        match peer.ip().to_canonical() {
            IpAddr::V4(v4) => transport << 48 | u64::from(v4.to_bits()) << 16 | u64::from(peer.port()),
            IpAddr::V6(v6) => {
                let words = [v6.to_bits(), u128::from(transport) << 16 | u128::from(peer.port())];
                self.hash(words.map(u128::to_le_bytes).as_flattened())
            }
        }
    }

    pub(super) fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        self.shard_at(self.number_of(hash))
    }

    /// As [`shard`](Upstream::shard), for somebody who will read the account of this hash a few hundred instructions later:
    /// memory is asked for it meanwhile.
    pub(super) fn shard_expecting(&self, hash: u64) -> MutexGuard<'_, Shard> {
        let shard = self.shard(hash);
        // The first that may be it is it, but for one time in a hundred.
        if let Some(account) = shard.accounts.find(hash, |_| true) {
            let start = std::ptr::from_ref::<Account>(account).cast::<u8>();
            for line in (0..size_of::<Account>()).step_by(LINE_LEN) {
                (self.ask)(start.wrapping_add(line));
            }
        }
        shard
    }

    fn number_of(&self, hash: u64) -> usize {
        (hash >> 48) as usize & (self.shards.len().wrapping_sub(1))
    }

    /// The second before which nothing of a shard is due.
    pub(super) fn due_from_s(&self, number: usize) -> u32 {
        self.due_from_s.get(number).map_or(0, |due_s| due_s.load(Ordering::Relaxed))
    }

    /// Says what [`due_from_s`](Upstream::due_from_s) gives. The shard is locked.
    pub(super) fn set_due_from(&self, number: usize, due_s: u32) {
        if let Some(place) = self.due_from_s.get(number) {
            place.store(due_s, Ordering::Relaxed);
        }
    }

    /// Something of the shard of this hash, which is locked, is due at `due_s`.
    pub(super) fn note_due(&self, hash: u64, due_s: u32) {
        let number = self.number_of(hash);
        self.set_due_from(number, self.due_from_s(number).min(due_s));
    }

    pub(super) fn shard_at(&self, number: usize) -> MutexGuard<'_, Shard> {
        self.shards.get(number).unwrap_or(&self.spare).lock()
    }

    /// A number that was never given before.
    pub(super) fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Unix second of the last return of a main registrar that was silent; 0 for never.
    pub(super) fn returned_s(&self) -> u32 {
        self.returned_s.load(Ordering::Relaxed)
    }

    /// A main registrar that was silent answers again.
    pub(super) fn returns(&self, now_s: u32) {
        self.returned_s.store(now_s, Ordering::Relaxed);
    }

    /// Unix second of the first request of our own, which this one is if there was none.
    pub(super) fn born_s(&self, now_s: u32) -> u32 {
        match self.born_s.compare_exchange(0, now_s, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => now_s,
            Err(born_s) => born_s,
        }
    }

    pub(super) fn count_waiting(&self, added: bool) {
        if added {
            self.waiting.fetch_add(1, Ordering::Relaxed);
        } else {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The shared form of a main registrar: there are few, and many registrations at each.
    pub(super) fn main(&self, main: &Main) -> Arc<Main> {
        let mut mains = self.mains.lock();
        if let Some(known) = mains.iter().find(|known| ***known == *main) {
            return Arc::clone(known);
        }
        let new = Arc::new(main.clone());
        if mains.len() >= MAINS {
            mains.remove(0);
        }
        mains.push(Arc::clone(&new));
        new
    }
}

impl Shard {
    pub(super) fn account(&self, hash: u64, aor: &[u8]) -> Option<&Account> {
        self.accounts.find(hash, |account| account.aor.as_slice() == aor).map(|account| &**account)
    }

    /// The account to be changed, which is noted where somebody keeps it.
    pub(super) fn account_mut(&mut self, hash: u64, aor: &[u8]) -> Option<&mut Account> {
        if self.noted.is_some() {
            self.note(hash, aor);
        }
        self.accounts.find_mut(hash, |account| account.aor.as_slice() == aor).map(|account| &mut **account)
    }

    /// The account of an address of record, made when there is none.
    pub(super) fn open(&mut self, upstream: &Upstream, hash: u64, aor: &[u8]) -> &mut Account {
        if let Some(noted) = &mut self.noted {
            noted.add(aor, &[]);
        }
        self.accounts
            .entry(hash, |account| account.aor.as_slice() == aor, |account| upstream.hash(&account.aor))
            .or_insert_with(|| {
                Box::new(Account {
                    aor: SmallVec::from_slice(aor),
                    registrations: SmallVec::new(),
                    flows: Vec::new(),
                    kept: SmallVec::new(),
                })
            })
            .into_mut()
    }

    /// Forgets an account without registrations.
    pub(super) fn close(&mut self, hash: u64, aor: &[u8]) {
        let found = self.accounts.find_entry(hash, |account| account.aor.as_slice() == aor);
        if let Ok(slot) = found
            && slot.get().registrations.is_empty()
        {
            let (account, _) = slot.remove();
            if let Some(noted) = &mut self.noted {
                noted.add(aor, &account.kept);
            }
        }
    }

    /// Adds a request that is on its way, and notes which others it crosses.
    pub(super) fn depart(&mut self, mut flight: Flight) {
        for other in self.flights.iter_mut().filter(|other| other.hash == flight.hash) {
            if flight.disturbs(other) {
                other.disturbed = true;
                flight.disturbed = true;
            }
        }
        self.flights.push(flight);
    }

    /// Takes a request whose answer has come or will not come.
    pub(super) fn arrive(&mut self, order: u64) -> Option<Flight> {
        let position = self.flights.iter().position(|flight| flight.order == order)?;
        Some(self.flights.swap_remove(position))
    }

    /// Tells the requests before this one that it was answered first, and what it was about.
    pub(super) fn overtake(
        &mut self,
        hash: u64,
        order: u64,
        all: bool,
        keys: impl Iterator<Item = u64> + Clone,
    ) {
        for other in self.flights.iter_mut().filter(|other| other.hash == hash && other.order < order) {
            other.all_overtaken |= all;
            for key in keys.clone() {
                if other.names(key) && !other.overtaken.contains(&key) {
                    other.overtaken.push(key);
                }
            }
        }
    }

    /// Tells the requests that cross this one for how long it was granted what they are about.
    pub(super) fn grants(&mut self, flight: &Flight, until_s: u32) {
        for other in self.flights.iter_mut().filter(|other| other.hash == flight.hash) {
            if flight.keys.iter().any(|touch| other.names(touch.key)) {
                other.least_s = other.least_s.min(until_s);
            }
        }
    }

    /// Whether a request is under way that is about this registration.
    pub(super) fn is_touched(&self, hash: u64, key: u64) -> bool {
        self.flights.iter().any(|flight| flight.hash == hash && flight.names(key))
    }

    /// Whether a request is under way that takes this registration away.
    pub(super) fn is_being_removed(&self, hash: u64, key: u64) -> bool {
        self.flights.iter().any(|flight| flight.hash == hash && flight.removes(key))
    }

    /// Remembers that a client was challenged: its next request carries the answer to the main registrar.
    pub(super) fn challenge(&mut self, callid: u64, now_s: u32) {
        if self.challenged.len() >= CHALLENGED_PER_SHARD {
            self.challenged.pop_front();
        }
        self.challenged.push_back((callid, now_s.saturating_add(CHALLENGED_S)));
    }

    /// Whether a client was challenged lately.
    pub(super) fn is_challenged(&self, callid: u64, now_s: u32) -> bool {
        self.challenged.iter().any(|(known, until_s)| *known == callid && *until_s > now_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flow_has_a_number_of_its_own() {
        let upstream = Upstream::new([7; 16]);
        let mut flows = Vec::new();
        for peer in
            ["192.0.2.1:5060", "192.0.2.1:5061", "192.0.2.2:5060", "[2001:db8::1]:5060", "[2001:db8::2]:5060"]
        {
            let peer: SocketAddr = peer.parse().unwrap();
            for transport in [&b"udp"[..], b"tcp", b"tls", b"ws", b"wss", b"sctp"] {
                flows.push(upstream.flow((peer, transport)));
            }
        }
        let count = flows.len();
        flows.sort_unstable();
        flows.dedup();
        assert_eq!(flows.len(), count);
        // One socket may take both families.
        let mapped = "[::ffff:192.0.2.1]:5060".parse().unwrap();
        let plain = "192.0.2.1:5060".parse().unwrap();
        assert_eq!(upstream.flow((mapped, b"udp")), upstream.flow((plain, b"udp")));
    }
}
