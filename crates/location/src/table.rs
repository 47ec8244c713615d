//! The hash table of a shard: open addressing over one array, so that finding a record touches one line of the array and
//! then the record, and both can be asked of memory ahead of time.
//!
//! A slot keeps the whole hash beside its record. So no record is read to find another one, nor when the table grows,
//! which at a million addresses of record would be a cache miss each. A record keeps its place until the table grows or
//! is put in order; a place that was left is marked, so that searches go on behind it.

use crate::record::Record;

/// Slots of a table that has its first record.
const FIRST_SLOTS: usize = 8;

/// Marks of slots without a record.
const NEVER_USED: u64 = 0;
const LEFT: u64 = 1;

#[derive(Default)]
struct Slot {
    /// The hash of the record; without one, whether there ever was one.
    hash: u64,
    record: Option<Record>,
}

/// Records by hash.
pub(crate) struct Table {
    /// None, or a power of two of them, at most three quarters used.
    slots: Vec<Slot>,
    len: usize,
    /// Slots whose record has left.
    left: usize,
    /// How often the records were moved.
    moves: u32,
}

impl Table {
    pub(crate) fn new() -> Table {
        Table { slots: Vec::new(), len: 0, left: 0, moves: 0 }
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many places there are: the range of [`Table::get`].
    pub(crate) fn places(&self) -> usize {
        self.slots.len()
    }

    /// How often the records were moved to other places, modulo 2^32.
    pub(crate) fn moves(&self) -> u32 {
        self.moves
    }

    /// The place of the record with this hash that `is_it`.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(&Record) -> bool) -> Option<usize> {
        let mask = self.slots.len().wrapping_sub(1);
        let mut place = hash as usize & mask;
        loop {
            // There is always a slot that was never used, so this ends.
            let slot = self.slots.get(place)?;
            match &slot.record {
                Some(record) if slot.hash == hash && is_it(record) => return Some(place),
                None if slot.hash == NEVER_USED => return None,
                _ => place = (place + 1) & mask,
            }
        }
    }

    /// The record in a place.
    #[inline]
    pub(crate) fn get(&self, place: usize) -> Option<&Record> {
        self.slots.get(place)?.record.as_ref()
    }

    /// The record in a place, to be changed; not its address of record.
    #[inline]
    pub(crate) fn get_mut(&mut self, place: usize) -> Option<&mut Record> {
        self.slots.get_mut(place)?.record.as_mut()
    }

    /// Adds a record that is not there yet; gives its place.
    pub(crate) fn insert(&mut self, hash: u64, record: Record) -> usize {
        if 4 * (self.len + self.left + 1) > 3 * self.slots.len() {
            self.put_in_order();
        }
        let place = self.free_place(hash);
        if let Some(slot) = self.slots.get_mut(place) {
            self.left -= usize::from(slot.hash == LEFT);
            *slot = Slot { hash, record: Some(record) };
            self.len += 1;
        }
        place
    }

    /// Takes the record out of a place.
    pub(crate) fn remove(&mut self, place: usize) -> Option<Record> {
        let mask = self.slots.len().wrapping_sub(1);
        let is_last = self.slots.get((place + 1) & mask).is_some_and(Slot::was_never_used);
        let slot = self.slots.get_mut(place)?;
        let record = slot.record.take()?;
        self.len -= 1;
        // No search has to go on behind a slot that is followed by one which was never used.
        slot.hash = if is_last { NEVER_USED } else { LEFT };
        self.left += usize::from(!is_last);
        Some(record)
    }

    /// Takes all records out.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = Record> + use<> {
        let slots = std::mem::take(&mut self.slots);
        (self.len, self.left) = (0, 0);
        slots.into_iter().filter_map(|slot| slot.record)
    }

    /// All records.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.slots.iter().filter_map(|slot| slot.record.as_ref())
    }

    /// All records, to be changed; not their addresses of record.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Record> {
        self.slots.iter_mut().filter_map(|slot| slot.record.as_mut())
    }

    /// Asks memory for the slot where a search for this hash begins. Reads nothing.
    #[inline]
    pub(crate) fn ask_for_slot(&self, hash: u64, ask: fn(*const u8)) {
        let mask = self.slots.len().wrapping_sub(1);
        if let Some(slot) = self.slots.get(hash as usize & mask) {
            ask(std::ptr::from_ref(slot).cast());
        }
    }

    /// Asks memory for the record with this hash, if there is one. Reads slots only.
    #[inline]
    pub(crate) fn ask_for_record(&self, hash: u64, ask: fn(*const u8)) {
        if let Some(record) = self.find(hash, |_| true).and_then(|place| self.get(place)) {
            record.expect(ask);
        }
    }

    /// The first place for a hash that has no record. There is always one.
    fn free_place(&self, hash: u64) -> usize {
        let mask = self.slots.len().wrapping_sub(1);
        let mut place = hash as usize & mask;
        while self.slots.get(place).is_some_and(|slot| slot.record.is_some()) {
            place = (place + 1) & mask;
        }
        place
    }

    /// Moves all records into an array of their own size, twice as large where the records need it.
    #[cold]
    fn put_in_order(&mut self) {
        let slots = self.slots.len();
        let is_full = 8 * (self.len + 1) > 3 * slots;
        let wanted = if is_full { (2 * slots).max(FIRST_SLOTS) } else { slots };
        let new = std::iter::repeat_with(Slot::default).take(wanted).collect();
        let old = std::mem::replace(&mut self.slots, new);
        self.left = 0;
        self.moves = self.moves.wrapping_add(1);
        for slot in old.into_iter().filter(|slot| slot.record.is_some()) {
            let place = self.free_place(slot.hash);
            if let Some(free) = self.slots.get_mut(place) {
                *free = slot;
            }
        }
    }
}

impl Slot {
    #[inline]
    fn was_never_used(&self) -> bool {
        self.record.is_none() && self.hash == NEVER_USED
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn record(number: u16) -> Record {
        Record::from_bytes(&number.to_le_bytes())
    }

    fn number(record: &Record) -> Option<u16> {
        Some(u16::from_le_bytes(record.bytes().try_into().ok()?))
    }

    proptest! {
        /// Hashes are few, so that searches run into each other.
        #[test]
        fn holds_what_a_map_holds(steps in prop::collection::vec((any::<bool>(), 0..200u16), 0..600)) {
            let mut table = Table::new();
            let mut model = HashMap::new();
            for (inserts, key) in steps {
                let hash = u64::from(key % 23);
                let found = table.find(hash, |record| number(record) == Some(key));
                prop_assert_eq!(found.is_some(), model.contains_key(&key));
                match found {
                    None if inserts => {
                        let place = table.insert(hash, record(key));
                        prop_assert_eq!(table.get(place).and_then(number), Some(key));
                        model.insert(key, ());
                    }
                    Some(place) if !inserts => {
                        prop_assert_eq!(table.remove(place).as_ref().and_then(number), Some(key));
                        prop_assert!(table.get(place).is_none());
                        model.remove(&key);
                    }
                    _ => {}
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert!(4 * (table.len + table.left) <= 3 * table.places());
            }
            let mut held: Vec<u16> = table.iter().filter_map(number).collect();
            let mut expected: Vec<u16> = model.into_keys().collect();
            held.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(held, expected);
        }
    }

    #[test]
    fn coming_and_going_does_not_make_it_grow() {
        let mut table = Table::new();
        for round in 0..10_000_u64 {
            let hash = round.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let place = table.insert(hash, record(1));
            table.remove(place);
        }
        assert_eq!((table.len(), table.places()), (0, FIRST_SLOTS));
    }
}
