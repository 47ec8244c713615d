//! One worker's connections by slot.

use super::connection::Connection;
use crate::endpoint::ConnectionId;

/// Slots with generations: an id of a connection that is gone finds nothing, even if its slot is in use again.
#[derive(Debug)]
pub(crate) struct Slab {
    worker: u8,
    slots: Vec<Slot>,
    free: Vec<u32>,
    len: usize,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    connection: Option<Box<Connection>>,
}

impl Slab {
    pub(crate) fn new(worker: u8) -> Self {
        Self { worker, slots: Vec::new(), free: Vec::new(), len: 0 }
    }

    /// An id for a connection to come; [`Slab::fill`] or [`Slab::release`] must follow.
    pub(crate) fn reserve(&mut self) -> ConnectionId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, connection: None });
            // As many connections are out of the question: each one takes a descriptor.
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let generation = self.slots.get(slot as usize).map_or(0, |slot| slot.generation);
        ConnectionId { worker: self.worker, slot, generation }
    }

    /// Puts the connection in its reserved place.
    pub(crate) fn fill(&mut self, id: ConnectionId, connection: Connection) {
        if let Some(slot) = self.slots.get_mut(id.slot as usize) {
            slot.connection = Some(Box::new(connection));
            self.len += 1;
        }
    }

    /// Gives up a reserved place.
    pub(crate) fn release(&mut self, id: ConnectionId) {
        if let Some(slot) = self.slots.get_mut(id.slot as usize) {
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(id.slot);
        }
    }

    /// Takes a connection out; its id is not valid any more.
    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Box<Connection>> {
        let slot = self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?;
        let connection = slot.connection.take()?;
        self.len -= 1;
        self.release(id);
        Some(connection)
    }

    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?;
        slot.connection.as_deref_mut()
    }

    /// The id of the connection that is in a slot now.
    pub(crate) fn id_at(&self, slot: usize) -> Option<ConnectionId> {
        let entry = self.slots.get(slot).filter(|slot| slot.connection.is_some())?;
        let slot = u32::try_from(slot).ok()?;
        Some(ConnectionId { worker: self.worker, slot, generation: entry.generation })
    }

    /// The ids of all connections.
    pub(crate) fn ids(&self) -> Vec<ConnectionId> {
        (0..self.slots.len()).filter_map(|slot| self.id_at(slot)).collect()
    }

    /// How many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}
