//! One address of record under its lock: read it, match against it, change it.

use std::num::NonZeroU64;

use parking_lot::MutexGuard;

use crate::binding::{Binding, Numbers, PERMANENT, TooLong};
use crate::change::{Change, Removal, Sink, Updates};
use crate::domain::{Domain, Shard, clamp_s};
use crate::identity::AorHash;
use crate::limits::{MAX_AOR_LEN, MAX_BINDINGS_PER_AOR, MAX_KEYS_LEN};
use crate::packing::Stored;
use crate::record::{NOT_ARMED, Record, RecordView};

/// Why a binding was not stored. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A part does not fit into a record.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// The address of record does not fit into a record.
    #[error("address of record too long")]
    AorTooLong,
    /// The address of record has as many bindings as one may have ([`MAX_BINDINGS_PER_AOR`]).
    #[error("too many bindings")]
    TooMany,
    /// There is no binding at that position.
    #[error("no such binding")]
    NoSuchBinding,
}

/// The entry of one address of record, while its shard is locked. Positions count its bindings in the order of their
/// arrival; inserting and replacing leave them as they are, removing moves those behind.
pub struct Entry<'d> {
    domain: &'d Domain,
    shard: MutexGuard<'d, Shard>,
    aor: &'d [u8],
    hash: AorHash,
    bucket: Option<usize>,
    now_s: u64,
}

impl<'d> Entry<'d> {
    pub(crate) fn new(
        domain: &'d Domain,
        shard: MutexGuard<'d, Shard>,
        aor: &'d [u8],
        hash: AorHash,
        bucket: Option<usize>,
        now_s: u64,
    ) -> Entry<'d> {
        Entry { domain, shard, aor, hash, bucket, now_s }
    }

    /// The address of record.
    pub fn aor(&self) -> &'d [u8] {
        self.aor
    }

    /// The second for which the entry was locked.
    pub fn now_s(&self) -> u64 {
        self.now_s
    }

    /// How many bindings are stored, expired ones that the wheel has not come to included.
    #[inline]
    pub fn len(&self) -> usize {
        self.record().map_or(0, Record::len)
    }

    /// Whether no binding is stored.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.record().is_none()
    }

    /// The stored bindings by position, expired ones included.
    #[inline]
    pub fn bindings(&self) -> impl Iterator<Item = Binding<'_>> + Clone {
        let names = self.domain.names();
        self.record().map_or(RecordView::new(&[], names), |record| record.view(names)).bindings()
    }

    /// The bindings that count at the second for which the entry was locked, with their positions.
    pub fn valid(&self) -> impl Iterator<Item = (usize, Binding<'_>)> + Clone {
        let now_s = self.now_s;
        self.bindings().enumerate().filter(move |(_, binding)| binding.is_valid(now_s))
    }

    /// The stored binding, if there is no other, expired or not. Cheaper than to look at the bindings.
    #[inline]
    pub fn only(&self) -> Option<Stored<'_>> {
        self.record()?.only()
    }

    /// Whether a stored binding does not count any more. Cheaper than to look at the bindings.
    #[inline]
    pub fn has_expired(&self) -> bool {
        self.record().is_some_and(|record| u64::from(record.earliest_expiry_s()) <= self.now_s)
    }

    /// The binding at `position`.
    pub fn binding(&self, position: usize) -> Option<Binding<'_>> {
        self.bindings().nth(position)
    }

    /// Removes the bindings whose time is over, as the wheel would do a little later. Positions change.
    pub fn purge(&mut self, sink: &mut dyn Sink) {
        if let Some(bucket) = self.bucket {
            self.domain.purge(&mut self.shard, bucket, self.now_s, sink);
            self.forget_if_gone();
        }
    }

    /// A contact id for a new binding: over `contact`, and over `callid` where the Call-ID tells bindings apart
    /// (else empty). Unique in its domain.
    pub fn fresh_contact_id(&self, contact: &[u8], callid: &[u8]) -> u64 {
        if callid.is_empty() {
            let id = self.domain.identity().usual_contact_id(self.hash, contact);
            if self.is_free(id) {
                return id;
            }
        }
        self.other_contact_id(contact, callid)
    }

    #[cold]
    fn other_contact_id(&self, contact: &[u8], callid: &[u8]) -> u64 {
        // There are far more ids than bindings.
        let attempts = (0..=u8::MAX).cycle();
        let mut ids =
            attempts.map(|attempt| self.domain.identity().contact_id(self.hash, contact, callid, attempt));
        ids.find(|id| self.is_free(*id)).unwrap_or_default()
    }

    /// Whether a contact id is one, and no binding has it.
    fn is_free(&self, id: u64) -> bool {
        id != 0 && !self.record().is_some_and(|record| record.has_contact_id(id))
    }

    /// Stores a new binding behind the others and gives its contact id, which is made here when
    /// `binding.numbers.contact_id` is 0.
    pub fn insert(&mut self, binding: &Binding<'_>, sink: &mut dyn Sink) -> Result<u64, Refused> {
        binding.check()?;
        if self.aor.len() > MAX_AOR_LEN {
            return Err(Refused::AorTooLong);
        }
        if self.len() >= MAX_BINDINGS_PER_AOR {
            return Err(Refused::TooMany);
        }
        if binding.numbers.contact_id == 0 {
            let contact_id = self.fresh_contact_id(binding.contact, &[]);
            let numbers = Numbers { contact_id, ..binding.numbers };
            return self.insert(&Binding { numbers, ..*binding }, sink);
        }
        if self.bucket.is_none() {
            self.store_first(binding, None, sink);
            return Ok(binding.numbers.contact_id);
        }
        let names = self.domain.names();
        let listens = sink.listens();
        self.before(sink);
        if let Some(record) = self.record_mut() {
            record.push(binding, 0, names);
        }
        self.shard.contacts += 1;
        self.arm();
        if listens {
            self.tell_inserted(binding, sink);
        }
        Ok(binding.numbers.contact_id)
    }

    /// As [`insert`](Entry::insert), for a binding with its contact id, with the mark that [`mark`](Entry::mark) would give it.
    /// It is cheap where there is no other.
    #[inline]
    pub fn insert_marked(
        &mut self,
        binding: &Binding<'_>,
        mark: Option<NonZeroU64>,
        sink: &mut dyn Sink,
    ) -> Result<(), Refused> {
        if self.bucket.is_some() || binding.numbers.contact_id == 0 {
            return self.insert_and_mark(binding, mark, sink);
        }
        binding.check()?;
        if self.aor.len() > MAX_AOR_LEN {
            return Err(Refused::AorTooLong);
        }
        self.store_first(binding, mark, sink);
        Ok(())
    }

    #[cold]
    fn insert_and_mark(
        &mut self,
        binding: &Binding<'_>,
        mark: Option<NonZeroU64>,
        sink: &mut dyn Sink,
    ) -> Result<(), Refused> {
        self.insert(binding, sink)?;
        if let Some(mark) = mark {
            self.mark(self.len().saturating_sub(1), mark);
        }
        Ok(())
    }

    /// Stores `binding` in the place of the one at `position`. Without a change of its byte strings this touches its
    /// numbers only. A contact id of 0 keeps the id that is there.
    pub fn replace(
        &mut self,
        position: usize,
        binding: &Binding<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), Refused> {
        binding.check()?;
        if binding.numbers.contact_id == 0 {
            let old = self.binding(position).ok_or(Refused::NoSuchBinding)?;
            let numbers = Numbers { contact_id: old.numbers.contact_id, ..binding.numbers };
            return self.replace(position, &Binding { numbers, ..*binding }, sink);
        }
        let domain = self.domain;
        let updates = sink.listens_to_updates();
        if updates == Updates::Whole {
            self.before(sink);
        }
        let record = self.record_mut().filter(|record| position < record.len());
        record.ok_or(Refused::NoSuchBinding)?.replace(position, binding, domain.names());
        self.arm();
        match updates {
            Updates::Nothing => {}
            Updates::Ids => sink.refreshed(domain.name(), binding.numbers.contact_id),
            Updates::Whole => {
                let keys = self.binding(position).map_or(&[][..], |stored| stored.keys);
                self.tell(sink, Change::ContactUpdate(Binding { keys, aor_keys: self.keys(), ..*binding }));
            }
        }
        Ok(())
    }

    /// The binding that bears this mark, expired or not, and its position.
    #[inline]
    pub fn marked(&self, mark: NonZeroU64) -> Option<(usize, Stored<'_>)> {
        self.record()?.marked(mark.get())
    }

    /// Marks the binding at `position`: what the mark means is the caller's affair. It is gone as soon as the binding is
    /// changed in any way but by [`renew`](Entry::renew), or leaves this memory.
    #[inline]
    pub fn mark(&mut self, position: usize, mark: NonZeroU64) {
        if let Some(record) = self.record_mut() {
            record.set_mark(position, mark.get());
        }
    }

    /// A refresh of the binding at `position` that changes nothing about it but its end, the time of its last REGISTER,
    /// which is the second for which the entry was locked, and its CSeq. It counts as answering.
    #[inline]
    pub fn renew(&mut self, position: usize, expires_s: u32, cseq: u32, sink: &mut dyn Sink) {
        let updates = sink.listens_to_updates();
        if updates == Updates::Whole {
            self.before(sink);
        }
        let now_s = clamp_s(self.now_s);
        let is_armed = self.record_mut().is_some_and(|record| {
            record.renew(position, (expires_s, now_s), cseq);
            record.armed_s() <= expires_s
        });
        // What was armed for it, and all others are due then or later: as a rule so is this one, and nothing is left to do.
        if !(is_armed && self.domain.is_due_at_end()) {
            self.arm();
        }
        match updates {
            Updates::Nothing => {}
            Updates::Ids => {
                if let Some(contact_id) = self.record().and_then(|record| record.contact_id(position)) {
                    sink.refreshed(self.domain.name(), contact_id);
                }
            }
            Updates::Whole => {
                if let Some(binding) = self.binding(position) {
                    self.tell(sink, Change::ContactUpdate(binding));
                }
            }
        }
    }

    /// Writes new numbers into the binding at `position`.
    pub fn set_numbers(
        &mut self,
        position: usize,
        numbers: &Numbers,
        sink: &mut dyn Sink,
    ) -> Result<(), Refused> {
        self.binding(position).ok_or(Refused::NoSuchBinding)?;
        self.before(sink);
        if let Some(record) = self.record_mut() {
            record.set_numbers(position, numbers);
        }
        self.arm();
        if let Some(binding) = self.binding(position).filter(|_| sink.listens()) {
            self.tell(sink, Change::ContactUpdate(binding));
        }
        Ok(())
    }

    /// The key/value store of the address of record as text; empty when it has none.
    pub fn keys(&self) -> &[u8] {
        self.record().map_or(&[], Record::keys)
    }

    /// Replaces the key/value store of the address of record, which lives as long as it has a binding.
    ///
    /// # Errors
    /// There is no binding, or the store is too long ([`MAX_KEYS_LEN`]).
    pub fn set_keys(&mut self, keys: &[u8], sink: &mut dyn Sink) -> Result<(), Refused> {
        if keys.len() > MAX_KEYS_LEN {
            return Err(Refused::TooLong(TooLong::Keys));
        }
        if self.is_empty() {
            return Err(Refused::NoSuchBinding);
        }
        self.before(sink);
        if let Some(record) = self.record_mut() {
            record.set_keys(keys);
        }
        if sink.listens() {
            self.bindings().for_each(|binding| self.tell(sink, Change::KeysUpdate(binding)));
        }
        Ok(())
    }

    /// Removes the bindings for which `which` gives a reason, and gives their number.
    pub fn remove(
        &mut self,
        sink: &mut dyn Sink,
        which: impl Fn(usize, &Binding<'_>) -> Option<Removal>,
    ) -> usize {
        let Some(bucket) = self.bucket else { return 0 };
        let removed = self.domain.remove_where(&mut self.shard, bucket, sink, which);
        self.forget_if_gone();
        removed
    }

    #[inline]
    fn record(&self) -> Option<&Record> {
        self.shard.table.get(self.bucket?)
    }

    #[inline]
    fn record_mut(&mut self) -> Option<&mut Record> {
        self.shard.table.get_mut(self.bucket?)
    }

    fn forget_if_gone(&mut self) {
        // The shard is locked, so an empty bucket can only mean that this record was removed.
        if self.record().is_none() {
            self.bucket = None;
        }
    }

    /// Stores the first binding of an address of record, and tells of both.
    fn store_first(&mut self, binding: &Binding<'_>, mark: Option<NonZeroU64>, sink: &mut dyn Sink) {
        let domain = self.domain;
        let listens = sink.listens();
        if listens {
            sink.before(domain.name(), self.aor, None);
            sink.change(domain.name(), self.aor, Change::AorInsert);
        }
        let shard = &mut *self.shard;
        // When the wheel has to look is known before there is a record to be read.
        let expires_s = binding.numbers.expires_s;
        let is_due_at_end = domain.is_due_at_end();
        let armed_s = if is_due_at_end && expires_s != PERMANENT {
            shard.wheel.arm(self.hash, expires_s, clamp_s(self.now_s))
        } else {
            NOT_ARMED
        };
        let mark = mark.map_or(0, NonZeroU64::get);
        let record = Record::first(self.aor, binding, (armed_s, mark), domain.names());
        self.bucket = Some(shard.table.insert(domain.table_hash(self.hash), record));
        shard.contacts += 1;
        if is_due_at_end {
            domain.keep_wheel_small(shard, clamp_s(self.now_s));
        } else {
            self.arm();
        }
        if listens {
            self.tell_inserted(binding, sink);
        }
    }

    /// A copy is made of the binding, which is left to those who want it.
    #[inline(never)]
    fn tell_inserted(&self, binding: &Binding<'_>, sink: &mut dyn Sink) {
        self.tell(sink, Change::ContactInsert(Binding { aor_keys: self.keys(), ..*binding }));
    }

    fn arm(&mut self) {
        if let Some(bucket) = self.bucket {
            self.domain.arm(&mut self.shard, bucket, self.hash, clamp_s(self.now_s));
        }
    }

    /// The packed record, if there is one.
    pub(crate) fn view(&self) -> Option<RecordView<'_>> {
        self.record().map(|record| record.view(self.domain.names()))
    }

    pub(crate) fn domain(&self) -> &'d Domain {
        self.domain
    }

    /// Puts a whole record in the place of what is there, and has the wheel look at it.
    pub(crate) fn put(&mut self, record: Record) {
        let domain = self.domain;
        let (old, new) = (self.len(), record.len());
        match self.record_mut() {
            Some(place) => *place = record,
            None => {
                let hash = domain.table_hash(self.hash);
                self.bucket = Some(self.shard.table.insert(hash, record));
            }
        }
        self.shard.contacts = (self.shard.contacts + new).saturating_sub(old);
        self.arm();
    }

    /// Shows a sink what is there before it changes.
    pub(crate) fn before(&self, sink: &mut dyn Sink) {
        if sink.listens() {
            sink.before(self.domain.name(), self.aor, self.view());
        }
    }

    pub(crate) fn tell(&self, sink: &mut dyn Sink, change: Change<'_>) {
        if sink.listens() {
            sink.change(self.domain.name(), self.aor, change);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::{Binding, Location, Numbers, PERMANENT, Settings};

    proptest! {
        /// Nothing is armed for a renewal that ends later than what is armed: the wheel looks in time all the same.
        #[test]
        fn the_wheel_never_looks_later_than_the_first_binding_ends(
            steps in prop::collection::vec((0..3_u8, 0..3_usize, 1..200_000_u32, any::<bool>()), 1..30),
        ) {
            let location = Location::new(Settings { secret: [1; 16], shards: 1 });
            let domain = location.declare("location").unwrap();
            let mut now_s = 1000;
            for (what, position, life_s, lasts) in steps {
                now_s += u64::from(life_s) % 50;
                let mut entry = domain.lock(b"alice", now_s);
                let expires_s = if lasts { PERMANENT } else { now_s as u32 + life_s };
                let numbers = Numbers { expires_s, ..Numbers::default() };
                let binding = Binding { numbers, contact: b"sip:a", ..Binding::default() };
                match what {
                    0 => drop(entry.insert(&binding, &mut ())),
                    1 => drop(entry.replace(position, &binding, &mut ())),
                    _ => entry.renew(position, expires_s, 1, &mut ()),
                }
                if let Some(record) = entry.record() {
                    prop_assert!(record.armed_s() <= record.earliest_expiry_s());
                }
            }
        }

        /// An entry that was approached is the entry that is locked.
        #[test]
        fn who_approaches_finds_what_locking_finds(names in prop::collection::vec("[a-e]{1,2}", 1..40), wanted in "[a-e]{1,2}") {
            let location = Location::new(Settings { secret: [1; 16], shards: 2 });
            let domain = location.declare("location").unwrap();
            let binding = Binding { contact: b"sip:a", ..Binding::default() };
            for name in &names {
                domain.lock(name.as_bytes(), 1000).insert(&binding, &mut ()).unwrap();
            }
            let len = domain.lock(wanted.as_bytes(), 1000).len();
            let entry = domain.approach(domain.place(wanted.as_bytes())).entry(wanted.as_bytes(), 1000);
            prop_assert_eq!((entry.len(), entry.aor()), (len, wanted.as_bytes()));
        }
    }
}
