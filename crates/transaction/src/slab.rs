//! Where the transactions of a shard stand, and how they are found by their keys.

use crate::{effect::TransactionId, shelf::Shelved, transaction::Transaction};

/// Slots that are used again. Each use has its own generation, so that an identifier, or a branch parameter in a
/// late response, never reaches a later transaction in the same slot.
///
/// A transaction that only rests keeps its slot, which is half a line of memory; the place of its former self is taken by the
/// next one at once, while it is still in the processor's caches.
///
/// Slots are chained by the keys of their transactions, so that a transaction which comes and goes touches its slot and the
/// head of a chain, and no memory besides. The key is a keyed hash already: no client can aim at a chain.
#[derive(Debug)]
pub(crate) struct Slab<U, T> {
    shard: u16,
    /// In blocks, so that none of them is moved when there are more.
    blocks: Vec<Vec<Slot>>,
    used: usize,
    /// The slot that was freed last, which is the first of a chain of all free ones.
    free: u32,
    /// The first slot of each chain. Their number is a power of two.
    heads: Vec<u32>,
    live: Vec<Option<Transaction<U, T>>>,
    free_live: Vec<u32>,
}

/// Slots of a block.
const BLOCK_SLOTS: u32 = 256;

/// Chains at first.
const FIRST_HEADS: usize = 64;

/// Room for transactions that do not rest, which is asked for at once when the first one comes, because they would have to be
/// moved when it grows. Memory that nobody has written to costs nothing.
const FIRST_LIVE: usize = 32;

/// No slot.
const NONE: u32 = u32::MAX;

/// The key of a transaction that is not found by one. That of another one is this with a chance of 1 to 2^128.
const NO_KEY: u128 = 0;

#[derive(Debug)]
struct Slot {
    key: u128,
    generation: u32,
    /// The next slot of the same chain.
    next: u32,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Free,
    /// The index among the live ones.
    Live(u32),
    /// Its place on the shelf, taken apart so that it takes less of it here.
    Resting {
        chunk: u32,
        item: u16,
    },
}

// Half a line of memory.
const _: () = assert!(size_of::<Slot>() == 32);

impl<U, T> Slab<U, T> {
    pub fn new(shard: u16) -> Slab<U, T> {
        Slab {
            shard,
            blocks: Vec::new(),
            used: 0,
            free: NONE,
            heads: Vec::new(),
            live: Vec::new(),
            free_live: Vec::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.used
    }

    /// How many do not rest.
    pub fn live(&self) -> usize {
        self.live.len() - self.free_live.len()
    }

    /// Stores a transaction, to be found by its key if it has one.
    #[inline]
    pub fn insert(&mut self, transaction: Transaction<U, T>) -> TransactionId {
        let key = transaction.received.as_ref().map_or(NO_KEY, |received| received.key.value);
        let index = self.insert_live(transaction);
        let number = self.take_free();
        let next = if key == NO_KEY { NONE } else { self.chain(key, number) };
        let mut generation = 0;
        if let Some(slot) = self.slot_mut(number) {
            generation = slot.generation.wrapping_add(1);
            *slot = Slot { key, generation, next, state: State::Live(index) };
        }
        TransactionId { shard: self.shard, slot: number, generation }
    }

    #[inline]
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

    /// The transaction with this key.
    #[inline]
    pub fn find(&self, key: u128) -> Option<TransactionId> {
        let mut number = *self.heads.get(self.chain_of(key))?;
        while let Some(slot) = self.slot(number) {
            if slot.key == key {
                return Some(TransactionId { shard: self.shard, slot: number, generation: slot.generation });
            }
            number = slot.next;
        }
        None
    }

    /// Takes a live transaction away.
    pub fn remove(&mut self, id: TransactionId) -> Option<Transaction<U, T>> {
        let State::Live(index) = self.state(id)? else { return None };
        self.free(id.slot);
        self.take_live(index)
    }

    /// Lets a live transaction rest, and gives its user's context. All else of it is dropped where it stands.
    pub fn rest(&mut self, id: TransactionId, place: Shelved) -> Option<U>
    where
        U: Clone,
    {
        let State::Live(index) = self.state(id)? else { return None };
        self.slot_mut(id.slot)?.state = State::Resting { chunk: place.chunk, item: place.item };
        self.free_live.push(index);
        let live = self.live.get_mut(index as usize)?;
        let context = live.as_ref()?.context.clone();
        *live = None;
        Some(context)
    }

    fn take_live(&mut self, index: u32) -> Option<Transaction<U, T>> {
        self.free_live.push(index);
        self.live.get_mut(index as usize)?.take()
    }

    /// Takes a resting transaction away.
    pub fn remove_resting(&mut self, id: TransactionId) {
        if self.resting(id).is_some() {
            self.free(id.slot);
        }
    }

    pub fn get(&self, id: TransactionId) -> Option<&Transaction<U, T>> {
        let State::Live(index) = self.state(id)? else { return None };
        self.live.get(index as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, id: TransactionId) -> Option<&mut Transaction<U, T>> {
        let State::Live(index) = self.state(id)? else { return None };
        self.live.get_mut(index as usize)?.as_mut()
    }

    /// Where the rest of a transaction that rests stands.
    pub fn resting(&self, id: TransactionId) -> Option<Shelved> {
        match self.state(id)? {
            State::Resting { chunk, item } => Some(Shelved { chunk, item }),
            State::Free | State::Live(_) => None,
        }
    }

    /// All transactions that do not rest.
    pub fn iter(&self) -> impl Iterator<Item = &Transaction<U, T>> {
        self.live.iter().flatten()
    }

    #[inline]
    fn state(&self, id: TransactionId) -> Option<State> {
        let slot = self.slot(id.slot)?;
        (slot.generation == id.generation && id.shard == self.shard).then_some(slot.state)
    }

    #[inline]
    fn slot(&self, number: u32) -> Option<&Slot> {
        self.blocks.get((number / BLOCK_SLOTS) as usize)?.get((number % BLOCK_SLOTS) as usize)
    }

    #[inline]
    fn slot_mut(&mut self, number: u32) -> Option<&mut Slot> {
        self.blocks.get_mut((number / BLOCK_SLOTS) as usize)?.get_mut((number % BLOCK_SLOTS) as usize)
    }

    /// A slot that is free, and is used from now on.
    fn take_free(&mut self) -> u32 {
        self.used += 1;
        let first = self.free;
        if let Some(slot) = self.slot(first) {
            self.free = slot.next;
            return first;
        }
        let number = self.used as u32 - 1;
        if number.is_multiple_of(BLOCK_SLOTS) {
            self.blocks.push(Vec::with_capacity(BLOCK_SLOTS as usize));
        }
        if let Some(block) = self.blocks.last_mut() {
            block.push(Slot { key: NO_KEY, generation: 0, next: NONE, state: State::Free });
        }
        number
    }

    /// Frees a slot that is used: it is the next one to be used again.
    fn free(&mut self, number: u32) {
        self.unchain(number);
        let free = std::mem::replace(&mut self.free, number);
        if let Some(slot) = self.slot_mut(number) {
            (slot.key, slot.next, slot.state) = (NO_KEY, free, State::Free);
        }
        self.used -= 1;
    }

    #[inline]
    fn chain_of(&self, key: u128) -> usize {
        // The upper half has chosen the shard.
        key as usize & self.heads.len().wrapping_sub(1)
    }

    /// Puts a slot at the head of its chain, and gives the one behind it.
    fn chain(&mut self, key: u128, number: u32) -> u32 {
        if self.used > self.heads.len() {
            self.add_heads();
        }
        let chain = self.chain_of(key);
        self.heads.get_mut(chain).map_or(NONE, |head| std::mem::replace(head, number))
    }

    fn unchain(&mut self, number: u32) {
        let Some(&Slot { key, next, .. }) = self.slot(number) else { return };
        if key == NO_KEY {
            return;
        }
        let chain = self.chain_of(key);
        let Some(head) = self.heads.get_mut(chain) else { return };
        if *head == number {
            *head = next;
            return;
        }
        let mut before = *head;
        while let Some(slot) = self.slot_mut(before) {
            if slot.next == number {
                slot.next = next;
                return;
            }
            before = slot.next;
        }
    }

    /// Twice as many chains. The slots are walked over in their order, which memory likes.
    #[cold]
    fn add_heads(&mut self) {
        let count = (self.heads.len() * 2).max(FIRST_HEADS);
        self.heads.clear();
        self.heads.resize(count, NONE);
        let slots = self.blocks.iter_mut().flatten().enumerate();
        for (number, slot) in slots.filter(|(_, slot)| slot.key != NO_KEY) {
            if let Some(head) = self.heads.get_mut(slot.key as usize & (count - 1)) {
                slot.next = std::mem::replace(head, number as u32);
            }
        }
    }
}
