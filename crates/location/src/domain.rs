//! Domains and their shards: where an address of record is found, counted, expired and dumped.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use parking_lot::{Mutex, MutexGuard};

use crate::binding::{Binding, PERMANENT};
use crate::change::{Change, Removal, Sink};
use crate::entry::Entry;
use crate::identity::{AorHash, Identity, Key};
use crate::limits::{DEFAULT_SHARDS, MAX_DOMAINS, MAX_SHARDS, MAX_STEPS_PER_EXPIRE, STALE_WHEEL_ENTRIES};
use crate::names::Names;
use crate::record::{NOT_ARMED, Record, RecordView};
use crate::table::Table;
use crate::wheel::{Due, Wheel};

/// What a [`Location`] is made from.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Seeds the hash table and the contact ids. The same secret gives the same ids on every node and after a
    /// restart; whoever knows it can guess them.
    pub secret: [u8; 16],
    /// Shards of each domain; rounded up to a power of two.
    pub shards: usize,
}

impl Settings {
    /// Settings with the default number of shards.
    pub fn new(secret: [u8; 16]) -> Settings {
        Settings { secret, shards: DEFAULT_SHARDS }
    }
}

/// All domains ("tables") of a server, by name.
pub struct Location {
    domains: Mutex<Vec<Arc<Domain>>>,
    names: Arc<Names>,
    secret: Key,
    shards: usize,
    ask: fn(*const u8),
}

impl Location {
    /// An empty location table.
    pub fn new(settings: Settings) -> Location {
        let secret = Key::from_bytes(settings.secret);
        let shards = settings.shards.clamp(1, MAX_SHARDS).next_power_of_two();
        let names = Arc::new(Names::new(secret.derive(b"names", b"")));
        Location { domains: Mutex::new(Vec::new()), names, secret, shards, ask: |_| {} }
    }

    /// The same table with a function that asks memory for what stands at an address before it is read. Without one
    /// [`Domain::expect`] has no effect. The function must not read there.
    #[must_use]
    pub fn asking(self, ask: fn(*const u8)) -> Location {
        Location { ask, ..self }
    }

    /// The domain called `name`, made when it does not exist yet. Meant for the load of a script, not for requests.
    /// `None` when there are too many domains.
    pub fn declare(&self, name: &str) -> Option<Arc<Domain>> {
        let mut domains = self.domains.lock();
        if let Some(known) = domains.iter().find(|domain| domain.name() == name) {
            return Some(Arc::clone(known));
        }
        if domains.len() >= MAX_DOMAINS {
            return None;
        }
        let domain = Arc::new(Domain::new(name, self));
        domains.push(Arc::clone(&domain));
        Some(domain)
    }

    /// The domain called `name`.
    pub fn domain(&self, name: &str) -> Option<Arc<Domain>> {
        self.domains.lock().iter().find(|domain| domain.name() == name).cloned()
    }

    /// All domains in the order of their declaration.
    pub fn domains(&self) -> Vec<Arc<Domain>> {
        self.domains.lock().clone()
    }

    /// The interned names (User-Agents and sockets) that all domains share.
    pub fn names(&self) -> &Names {
        &self.names
    }
}

/// Counters of a domain, as the statistics of `usrloc` name them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Addresses of record with at least one binding (`NAME-users`).
    pub users: u64,
    /// Bindings (`NAME-contacts`).
    pub contacts: u64,
    /// Bindings that ran out since the start (`NAME-expires`).
    pub expires: u64,
}

/// Where an address of record is in one domain, whether it has bindings or not ([`Domain::place`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(AorHash);

/// One table: addresses of record, sharded, each with its bindings.
pub struct Domain {
    name: Box<str>,
    identity: Identity,
    names: Arc<Names>,
    secret: Key,
    /// See [`Domain::set_refresh_before`].
    pub(crate) refresh_before_s: AtomicU32,
    ask: fn(*const u8),
    shards: Box<[Mutex<Shard>]>,
    /// Never used, since the shard index is masked by the number of shards; it saves an unchecked index.
    spare: Mutex<Shard>,
}

impl Domain {
    fn new(name: &str, location: &Location) -> Domain {
        let secret = location.secret;
        let identity = Identity::new(secret, name.as_bytes());
        let shards = (0..location.shards).map(|number| Mutex::new(Shard::new(number as u32))).collect();
        Domain {
            name: name.into(),
            identity,
            names: Arc::clone(&location.names),
            secret,
            ask: location.ask,
            refresh_before_s: AtomicU32::new(0),
            shards,
            spare: Mutex::new(Shard::new(0)),
        }
    }

    /// The name of the domain, `location` as a rule.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A key of this table for one purpose outside of it: whoever has it cannot tell any other. The same secret gives the
    /// same key on every node and after a restart.
    pub fn key(&self, purpose: &[u8]) -> [u8; 16] {
        self.secret.derive(purpose, self.name.as_bytes()).to_bytes()
    }

    /// The interned names (User-Agents and sockets).
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// What was given to [`Location::asking`], for a table that stands beside this one.
    pub fn asker(&self) -> fn(*const u8) {
        self.ask
    }

    /// How many shards the domain has: the range of [`Domain::expire`] and [`Domain::snapshot`].
    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }

    /// Locks the shard of `aor` and gives its entry, which may have no bindings. Keep it briefly, and never lock
    /// another one meanwhile. `now_s` decides which bindings still count.
    #[inline]
    pub fn lock<'d>(&'d self, aor: &'d [u8], now_s: u64) -> Entry<'d> {
        self.lock_at(self.place(aor), aor, now_s)
    }

    /// Where an address of record is in this table, for [`Domain::lock_at`].
    #[inline]
    pub fn place(&self, aor: &[u8]) -> Place {
        Place(self.identity.aor(aor))
    }

    /// As [`Domain::lock`] for an address of record whose place is known.
    #[inline]
    pub fn lock_at<'d>(&'d self, Place(hash): Place, aor: &'d [u8], now_s: u64) -> Entry<'d> {
        let shard = self.shard(hash);
        let bucket = shard.table.find(self.table_hash(hash), |record| record.aor() == aor);
        Entry::new(self, shard, aor, hash, bucket, now_s)
    }

    /// Locks the shard of a place, and asks memory for what finding it reads first. What is done before
    /// [`Approach::entry`] is short, as everything under a lock.
    #[inline]
    pub fn approach(&self, Place(hash): Place) -> Approach<'_> {
        let shard = self.shard(hash);
        let table_hash = self.table_hash(hash);
        shard.table.ask_for_slot(table_hash, self.ask);
        Approach { domain: self, shard, hash, table_hash }
    }

    /// Asks memory for what finding this place reads first. In a large table that is out of the processor's caches, and
    /// whoever will lock the place a little later does not have to wait for it then.
    #[inline]
    pub fn expect(&self, Place(hash): Place) {
        self.shard(hash).table.ask_for_slot(self.table_hash(hash), self.ask);
    }

    /// As [`Domain::expect`], for what is read next; to be called a few hundred instructions after that.
    #[inline]
    pub fn expect_record(&self, Place(hash): Place) {
        self.shard(hash).table.ask_for_record(self.table_hash(hash), self.ask);
    }

    /// Writes the address of record that has the contact `contact_id` into `aor`; false when no valid binding has it.
    pub fn find_contact(&self, contact_id: u64, now_s: u64, aor: &mut Vec<u8>) -> bool {
        let hash = self.identity.aor_of(contact_id);
        let shard = self.shard(hash);
        let has_it =
            |binding: &Binding<'_>| binding.numbers.contact_id == contact_id && binding.is_valid(now_s);
        let found = shard.table.find(self.table_hash(hash), |record| {
            record.view(&self.names).bindings().any(|binding| has_it(&binding))
        });
        let found = found.and_then(|place| shard.table.get(place));
        aor.clear();
        aor.extend_from_slice(found.map_or(&[], Record::aor));
        found.is_some()
    }

    /// Whether a contact id was made for this address of record, by a server with the same secret. One that was not
    /// cannot be found by [`Domain::find_contact`].
    pub fn leads_to(&self, contact_id: u64, aor: &[u8]) -> bool {
        contact_id != 0 && self.identity.aor_of(contact_id) == self.identity.aor(aor) && contact_id < 1 << 62
    }

    /// Shows the binding that has this contact id, expired or not, and its address of record; nothing when there is none.
    pub fn contact<R>(&self, contact_id: u64, see: impl FnOnce(&[u8], &Binding<'_>) -> R) -> Option<R> {
        let hash = self.identity.aor_of(contact_id);
        let shard = self.shard(hash);
        let has_it = |binding: &Binding<'_>| binding.numbers.contact_id == contact_id;
        let place = shard.table.find(self.table_hash(hash), |record| {
            record.view(&self.names).bindings().any(|binding| has_it(&binding))
        })?;
        let found = shard.table.get(place)?;
        let binding = found.view(&self.names).bindings().find(has_it)?;
        Some(see(found.aor(), &binding))
    }

    /// Removes what has expired in one shard: at most about `budget` addresses of record in one call. True when
    /// there is more to do.
    pub fn expire(&self, shard: usize, now_s: u64, budget: usize, sink: &mut dyn Sink) -> bool {
        let Some(shard) = self.shards.get(shard) else { return false };
        let mut shard = shard.lock();
        let now_s = clamp_s(now_s);
        if shard.wheel.is_lost(now_s) {
            self.rebuild_wheel(&mut shard, now_s);
        }
        let mut steps = MAX_STEPS_PER_EXPIRE;
        for _ in 0..budget {
            match shard.wheel.pop(now_s, &mut steps) {
                Some(due) => self.look_at(&mut shard, due, now_s, sink),
                None => break,
            }
        }
        !shard.wheel.is_caught_up(now_s)
    }

    /// Copies one shard, to be read without its lock. A dump of everything takes the shards in turn.
    pub fn snapshot(&self, shard: usize, into: &mut Snapshot) {
        into.bytes.clear();
        into.ends.clear();
        let Some(shard) = self.shards.get(shard) else { return };
        for record in shard.lock().table.iter() {
            into.bytes.extend_from_slice(record.bytes());
            into.ends.push(into.bytes.len());
        }
    }

    /// Removes everything that one shard holds.
    pub fn clear(&self, shard: usize, sink: &mut dyn Sink) {
        let Some(shard) = self.shards.get(shard) else { return };
        let mut shard = shard.lock();
        let records: Vec<Record> = shard.table.take_all().collect();
        shard.contacts = 0;
        shard.wheel.clear();
        if !sink.listens() {
            return;
        }
        for record in &records {
            sink.before(&self.name, record.aor(), Some(record.view(&self.names)));
            for binding in record.view(&self.names).bindings() {
                sink.change(
                    &self.name,
                    record.aor(),
                    Change::ContactDelete(binding, Removal::Administrative),
                );
            }
            sink.change(&self.name, record.aor(), Change::AorDelete);
        }
    }

    /// The counters of this domain. Walks over the shards, not over the table.
    pub fn statistics(&self) -> Statistics {
        self.shards.iter().fold(Statistics::default(), |sum, shard| {
            let shard = shard.lock();
            Statistics {
                users: sum.users + shard.table.len() as u64,
                contacts: sum.contacts + shard.contacts as u64,
                expires: sum.expires + shard.expired,
            }
        })
    }

    /// The start of the statistic `expires` over: MI `reset_statistics`.
    pub fn reset_expires(&self) {
        for shard in &self.shards {
            shard.lock().expired = 0;
        }
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn table_hash(&self, hash: AorHash) -> u64 {
        hash.table(self.shards.len())
    }

    /// Locks the shard of this number, if there is one.
    pub(crate) fn lock_shard(&self, number: usize) -> Option<MutexGuard<'_, Shard>> {
        self.shards.get(number).map(Mutex::lock)
    }

    /// Locks the shard that an address of record is in.
    pub(crate) fn lock_shard_of(&self, hash: AorHash) -> MutexGuard<'_, Shard> {
        self.shard(hash)
    }

    #[inline]
    fn shard(&self, hash: AorHash) -> MutexGuard<'_, Shard> {
        self.shards.get(hash.shard(self.shards.len())).unwrap_or(&self.spare).lock()
    }

    /// Looks at the record of a due entry: removes what has expired, and arms the record again for what has not.
    fn look_at(&self, shard: &mut Shard, due: Due, now_s: u32, sink: &mut dyn Sink) {
        // Many records are due in the same second, so the armed second alone does not name one.
        let is_it = |record: &Record| due.is_for(self.identity.aor(record.aor()), record.armed_s());
        let found = shard.table.find(self.table_hash(due.aor()), is_it);
        let Some(bucket) = found else { return };
        let armed_s = shard.table.get(bucket).map_or(NOT_ARMED, Record::armed_s);
        self.purge(shard, bucket, u64::from(now_s), sink);
        self.tell_refreshes(shard, bucket, armed_s, now_s, sink);
        if let Some(record) = shard.table.get_mut(bucket) {
            record.set_armed_s(NOT_ARMED);
            self.arm(shard, bucket, due.aor(), now_s);
        }
    }

    /// Removes the expired bindings of the record in `bucket`, and the record when none is left.
    pub(crate) fn purge(&self, shard: &mut Shard, bucket: usize, now_s: u64, sink: &mut dyn Sink) {
        let is_over =
            |_: usize, binding: &Binding<'_>| (!binding.is_valid(now_s)).then_some(Removal::Expired);
        self.remove_where(shard, bucket, sink, is_over);
    }

    /// Removes the bindings for which `which` gives a reason, and the record when none is left. Gives their number.
    pub(crate) fn remove_where(
        &self,
        shard: &mut Shard,
        bucket: usize,
        sink: &mut dyn Sink,
        which: impl Fn(usize, &Binding<'_>) -> Option<Removal>,
    ) -> usize {
        let Some(record) = shard.table.get(bucket).map(|record| record.view(&self.names)) else { return 0 };
        let (mut removed, mut expired) = (0, 0);
        for (position, binding) in record.bindings().enumerate() {
            let Some(why) = which(position, &binding) else { continue };
            if removed == 0 && sink.listens() {
                sink.before(&self.name, record.aor(), Some(record));
            }
            removed += 1;
            expired += u64::from(why == Removal::Expired);
            if sink.listens() {
                sink.change(&self.name, record.aor(), Change::ContactDelete(binding, why));
            }
        }
        if removed == record.len() {
            if let Some(record) = shard.table.remove(bucket).filter(|_| sink.listens()) {
                sink.change(&self.name, record.aor(), Change::AorDelete);
            }
        } else if removed > 0
            && let Some(record) = shard.table.get_mut(bucket)
        {
            record.retain(&self.names, |position, binding| which(position, binding).is_none());
        }
        shard.contacts = shard.contacts.saturating_sub(removed);
        shard.expired += expired;
        removed
    }

    /// Makes sure that the wheel looks at the record in `bucket` when its first binding ends.
    pub(crate) fn arm(&self, shard: &mut Shard, bucket: usize, hash: AorHash, now_s: u32) {
        let Some(record) = shard.table.get_mut(bucket) else { return };
        let due_s = self.due_s(record, now_s);
        if due_s == PERMANENT || due_s >= record.armed_s() {
            return;
        }
        record.set_armed_s(shard.wheel.arm(hash, due_s, now_s));
        self.keep_wheel_small(shard, now_s);
    }

    /// Forgets the stale entries of the wheel when there are too many.
    #[inline]
    pub(crate) fn keep_wheel_small(&self, shard: &mut Shard, now_s: u32) {
        if shard.wheel.len() > 2 * shard.table.len() + STALE_WHEEL_ENTRIES {
            self.rebuild_wheel(shard, now_s);
        }
    }

    /// Drops the stale entries of a shard by entering each record anew. Paid for by the entries that went stale.
    #[cold]
    fn rebuild_wheel(&self, shard: &mut Shard, now_s: u32) {
        shard.wheel.clear();
        for record in shard.table.iter_mut() {
            let due_s = self.due_s(record, now_s);
            let armed_s = match due_s {
                PERMANENT => NOT_ARMED,
                _ => shard.wheel.arm(self.identity.aor(record.aor()), due_s, now_s),
            };
            record.set_armed_s(armed_s);
        }
    }
}

/// Somebody who has locked the shard of a place, and will look for an address of record there a little later
/// ([`Domain::approach`]).
pub struct Approach<'d> {
    domain: &'d Domain,
    shard: MutexGuard<'d, Shard>,
    hash: AorHash,
    table_hash: u64,
}

impl<'d> Approach<'d> {
    /// The entry of an address of record, whose place it has to be, as [`Domain::lock_at`] gives it. All of its record is
    /// asked of memory before any of it is read.
    #[inline]
    pub fn entry(self, aor: &'d [u8], now_s: u64) -> Entry<'d> {
        let Approach { domain, shard, hash, table_hash } = self;
        let bucket = shard.table.find(table_hash, |record| {
            record.expect(domain.ask);
            record.aor() == aor
        });
        Entry::new(domain, shard, aor, hash, bucket, now_s)
    }
}

/// One shard of a domain.
pub(crate) struct Shard {
    pub(crate) table: Table,
    pub(crate) wheel: Wheel,
    pub(crate) contacts: usize,
    pub(crate) expired: u64,
}

impl Shard {
    fn new(number: u32) -> Shard {
        Shard { table: Table::new(), wheel: Wheel::new(number), contacts: 0, expired: 0 }
    }
}

/// A copy of one shard ([`Domain::snapshot`]); reusable, so that a dump allocates once.
#[derive(Default)]
pub struct Snapshot {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Snapshot {
    /// The addresses of record in the copy, in no order. `names` are those of the domain.
    pub fn records<'a>(&'a self, names: &'a Names) -> impl Iterator<Item = RecordView<'a>> {
        let mut start = 0;
        self.ends.iter().filter_map(move |end| {
            let bytes = self.bytes.get(start..*end)?;
            start = *end;
            Some(RecordView::new(bytes, names))
        })
    }
}

/// Unix seconds in 32 bits, which are enough until 2106.
pub(crate) fn clamp_s(now_s: u64) -> u32 {
    u32::try_from(now_s).unwrap_or(PERMANENT - 1)
}
