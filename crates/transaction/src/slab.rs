//! Where the transactions of a shard stand.

use crate::{effect::TransactionId, layer::rest::Rest, transaction::Transaction};

/// Slots that are used again. Each use has its own generation, so that an identifier, or a branch parameter in a
/// late response, never reaches a later transaction in the same slot.
///
/// A transaction that only rests keeps its slot, which is small; the place of its former self is taken by the next one at
/// once, while it is still in the processor's caches.
#[derive(Debug)]
pub(crate) struct Slab<U, T> {
    shard: u16,
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    live: Vec<Option<Transaction<U, T>>>,
    free_live: Vec<u32>,
}

/// Room for slots that is asked for at once when the first transaction comes, because they would have to be moved when it
/// grows. Memory that nobody has written to costs nothing.
const FIRST_SLOTS: usize = 256;

/// The same for transactions that do not rest.
const FIRST_LIVE: usize = 32;

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    state: State<T>,
}

#[derive(Debug)]
enum State<T> {
    Free,
    /// The index among the live ones.
    Live(u32),
    Resting(Rest<T>),
}

impl<U, T> Slab<U, T> {
    pub fn new(shard: u16) -> Slab<U, T> {
        Slab { shard, slots: Vec::new(), free: Vec::new(), live: Vec::new(), free_live: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many do not rest.
    pub fn live(&self) -> usize {
        self.live.len() - self.free_live.len()
    }

    pub fn insert(&mut self, transaction: Transaction<U, T>) -> TransactionId {
        let index = self.insert_live(transaction);
        let slot = self.free.pop().unwrap_or_else(|| {
            if self.slots.capacity() == 0 {
                self.slots.reserve(FIRST_SLOTS);
            }
            self.slots.push(Slot { generation: 0, state: State::Free });
            self.slots.len() as u32 - 1
        });
        let mut generation = 0;
        if let Some(place) = self.slots.get_mut(slot as usize) {
            place.generation = place.generation.wrapping_add(1);
            generation = place.generation;
            place.state = State::Live(index);
        }
        TransactionId { shard: self.shard, slot, generation }
    }

    fn insert_live(&mut self, transaction: Transaction<U, T>) -> u32 {
        if let Some(index) = self.free_live.pop() {
            if let Some(place) = self.live.get_mut(index as usize) {
                *place = Some(transaction);
            }
            return index;
        }
        if self.live.capacity() == 0 {
            self.live.reserve(FIRST_LIVE);
        }
        self.live.push(Some(transaction));
        self.live.len() as u32 - 1
    }

    /// Takes a live transaction away.
    pub fn remove(&mut self, id: TransactionId) -> Option<Transaction<U, T>> {
        let transaction = self.take_live(id, State::Free)?;
        self.free.push(id.slot);
        Some(transaction)
    }

    /// Lets a live transaction rest, and gives what it was before.
    pub fn rest(&mut self, id: TransactionId, rest: Rest<T>) -> Option<Transaction<U, T>> {
        self.take_live(id, State::Resting(rest))
    }

    fn take_live(&mut self, id: TransactionId, state: State<T>) -> Option<Transaction<U, T>> {
        let place = self.slots.get_mut(id.slot as usize).filter(|place| place.generation == id.generation)?;
        let State::Live(index) = place.state else { return None };
        place.state = state;
        self.free_live.push(index);
        self.live.get_mut(index as usize)?.take()
    }

    /// Takes a resting transaction away.
    pub fn remove_resting(&mut self, id: TransactionId) -> Option<Rest<T>> {
        let place = self.slots.get_mut(id.slot as usize).filter(|place| place.generation == id.generation)?;
        if !matches!(place.state, State::Resting(_)) {
            return None;
        }
        self.free.push(id.slot);
        match std::mem::replace(&mut place.state, State::Free) {
            State::Resting(rest) => Some(rest),
            State::Free | State::Live(_) => None,
        }
    }

    pub fn get(&self, id: TransactionId) -> Option<&Transaction<U, T>> {
        match self.state(id)? {
            State::Live(index) => self.live.get(*index as usize)?.as_ref(),
            State::Free | State::Resting(_) => None,
        }
    }

    pub fn get_mut(&mut self, id: TransactionId) -> Option<&mut Transaction<U, T>> {
        let State::Live(index) = *self.state(id)? else { return None };
        self.live.get_mut(index as usize)?.as_mut()
    }

    /// A transaction that rests.
    pub fn resting(&self, id: TransactionId) -> Option<&Rest<T>> {
        match self.state(id)? {
            State::Resting(rest) => Some(rest),
            State::Free | State::Live(_) => None,
        }
    }

    fn state(&self, id: TransactionId) -> Option<&State<T>> {
        let place = self.slots.get(id.slot as usize)?;
        (place.generation == id.generation && id.shard == self.shard).then_some(&place.state)
    }

    /// All transactions that do not rest.
    pub fn iter(&self) -> impl Iterator<Item = &Transaction<U, T>> {
        self.live.iter().flatten()
    }

    /// The identifier of what stands in a slot now.
    pub fn id_of(&self, slot: u32) -> Option<TransactionId> {
        let is_used = |place: &&Slot<T>| !matches!(place.state, State::Free);
        let place = self.slots.get(slot as usize).filter(is_used)?;
        Some(TransactionId { shard: self.shard, slot, generation: place.generation })
    }
}
