//! Where the transactions of a shard stand.

use crate::{effect::TransactionId, transaction::Transaction};

/// Slots that are used again. Each use has its own generation, so that an identifier, or a branch parameter in a
/// late response, never reaches a later transaction in the same slot.
#[derive(Debug)]
pub(crate) struct Slab<U, T> {
    shard: u16,
    slots: Vec<Slot<U, T>>,
    free: Vec<u32>,
}

/// Room that is asked for at once when the first transaction comes, because transactions would have to be moved when it
/// grows. Memory that nobody has written to costs nothing.
const FIRST_SLOTS: usize = 256;

#[derive(Debug)]
struct Slot<U, T> {
    generation: u32,
    transaction: Option<Transaction<U, T>>,
}

impl<U, T> Slab<U, T> {
    pub fn new(shard: u16) -> Slab<U, T> {
        Slab { shard, slots: Vec::new(), free: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub fn insert(&mut self, transaction: Transaction<U, T>) -> TransactionId {
        let slot = self.free.pop().unwrap_or_else(|| {
            if self.slots.capacity() == 0 {
                self.slots.reserve(FIRST_SLOTS);
            }
            self.slots.push(Slot { generation: 0, transaction: None });
            self.slots.len() as u32 - 1
        });
        let mut generation = 0;
        if let Some(place) = self.slots.get_mut(slot as usize) {
            place.generation = place.generation.wrapping_add(1);
            generation = place.generation;
            place.transaction = Some(transaction);
        }
        TransactionId { shard: self.shard, slot, generation }
    }

    pub fn remove(&mut self, id: TransactionId) -> Option<Transaction<U, T>> {
        let place = self.slots.get_mut(id.slot as usize).filter(|place| place.generation == id.generation)?;
        let transaction = place.transaction.take()?;
        self.free.push(id.slot);
        Some(transaction)
    }

    pub fn get(&self, id: TransactionId) -> Option<&Transaction<U, T>> {
        let place = self.slots.get(id.slot as usize)?;
        place.transaction.as_ref().filter(|_| place.generation == id.generation && id.shard == self.shard)
    }

    pub fn get_mut(&mut self, id: TransactionId) -> Option<&mut Transaction<U, T>> {
        let place = self.slots.get_mut(id.slot as usize)?;
        place.transaction.as_mut().filter(|_| place.generation == id.generation && id.shard == self.shard)
    }

    /// All transactions.
    pub fn iter(&self) -> impl Iterator<Item = &Transaction<U, T>> {
        self.slots.iter().filter_map(|slot| slot.transaction.as_ref())
    }

    /// The identifier of what stands in a slot now.
    pub fn id_of(&self, slot: u32) -> Option<TransactionId> {
        let place = self.slots.get(slot as usize).filter(|place| place.transaction.is_some())?;
        Some(TransactionId { shard: self.shard, slot, generation: place.generation })
    }
}
