//! Packets that a route wants to send, kept until the worker hands them to the net.

use crate::context::Target;

/// Buffers that are kept for reuse; more than a route sends on the plain path, little enough to forget about.
const SPARE_BUFFERS: usize = 16;

/// A spare buffer larger than this is given back to the allocator: one huge message must not pin its memory.
const SPARE_BYTES: usize = 16 * 1024;

/// A packet and where it goes.
#[derive(Debug)]
pub struct Outgoing {
    /// The next hop.
    pub target: Target,
    /// The message.
    pub bytes: Vec<u8>,
}

/// The packets of one run, in order.
#[derive(Debug, Default)]
pub struct Outbox {
    items: Vec<Outgoing>,
    spare: Vec<Vec<u8>>,
}

impl Outbox {
    /// An empty buffer, from the pool if there is one.
    #[inline]
    pub fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Queues a packet.
    #[inline]
    pub fn push(&mut self, target: Target, bytes: Vec<u8>) {
        self.items.push(Outgoing { target, bytes });
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Hands every packet to `send`, in order, and keeps the buffers. `send` may swap a buffer for another.
    #[inline(always)]
    pub fn drain(&mut self, mut send: impl FnMut(Target, &mut Vec<u8>)) {
        // Where they are: a packet with its target is a dozen words.
        for item in &mut self.items {
            send(item.target, &mut item.bytes);
        }
        while let Some(Outgoing { bytes, .. }) = self.items.pop() {
            self.recycle(bytes);
        }
    }

    /// Gives a buffer back that was not used.
    #[inline]
    pub fn recycle(&mut self, mut bytes: Vec<u8>) {
        if self.spare.len() < SPARE_BUFFERS && bytes.capacity() <= SPARE_BYTES {
            bytes.clear();
            self.spare.push(bytes);
        }
    }
}
