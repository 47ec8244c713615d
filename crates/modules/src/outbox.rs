//! Packets that a route wants to send, kept until the worker hands them to the net.

use seawall_net::Origin;

use crate::context::{Target, nowhere};

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

/// The packets of one run, in order. They are written and sent where they stand, and their buffers stay there.
#[derive(Debug, Default)]
pub struct Outbox {
    items: Vec<Outgoing>,
    /// How many of them wait; behind them are buffers.
    used: usize,
    /// Takes what there is no place for, which does not happen.
    nowhere: Vec<u8>,
}

impl Outbox {
    /// An empty buffer, one that was used before if there is one.
    #[inline]
    pub fn buffer(&mut self) -> Vec<u8> {
        let item = self.items.get_mut(self.used);
        let mut bytes = item.map(|item| std::mem::take(&mut item.bytes)).unwrap_or_default();
        bytes.clear();
        bytes
    }

    /// Queues a packet.
    #[inline]
    pub fn push(&mut self, target: Target, bytes: Vec<u8>) {
        *self.packet(target) = bytes;
    }

    /// Queues a packet that is empty, to be written to.
    #[inline(always)]
    pub fn packet(&mut self, target: Target) -> &mut Vec<u8> {
        if self.used == self.items.len() {
            self.grow();
        }
        let Some(item) = self.items.get_mut(self.used) else { return &mut self.nowhere };
        self.used += 1;
        item.target = target;
        item.bytes.clear();
        &mut item.bytes
    }

    /// Adds a place. It is not told for whom: that would have to be written down for every packet.
    #[cold]
    fn grow(&mut self) {
        let Origin { transport, socket, peer, connection, .. } = nowhere();
        let target = Target { transport, socket, peer, connection };
        self.items.push(Outgoing { target, bytes: Vec::new() });
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Hands every packet to `send`, in order, and keeps the buffers. `send` may swap a buffer for another.
    #[inline(always)]
    pub fn drain(&mut self, mut send: impl FnMut(Target, &mut Vec<u8>)) {
        for item in self.items.iter_mut().take(self.used) {
            send(item.target, &mut item.bytes);
            if item.bytes.capacity() > SPARE_BYTES {
                item.bytes = Vec::new();
            }
        }
        self.used = 0;
        if self.items.len() > SPARE_BUFFERS {
            self.items.truncate(SPARE_BUFFERS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_net::Transport;

    #[test]
    fn packets_are_sent_once_in_order_and_their_buffers_are_used_again() {
        let target = |port| Target {
            transport: Transport::Udp,
            socket: 0,
            peer: ([192, 0, 2, 1], port).into(),
            connection: None,
        };
        let mut outbox = Outbox::default();
        for round in 0..3_u8 {
            assert!(outbox.is_empty());
            for number in 0..20_u8 {
                let port = number.into();
                if number % 3 == 0 {
                    let mut bytes = outbox.buffer();
                    assert_eq!(bytes, b"");
                    bytes.extend([round, number]);
                    outbox.push(target(port), bytes);
                } else {
                    outbox.packet(target(port)).extend([round, number]);
                }
            }
            // One is swapped for a long one, which is not kept.
            let mut sent = Vec::new();
            outbox.drain(|target, bytes| {
                sent.push((target.peer.port(), bytes.clone()));
                if target.peer.port() == 5 {
                    *bytes = vec![0; SPARE_BYTES + 1];
                }
            });
            let expected: Vec<_> = (0..20).map(|number| (number.into(), vec![round, number])).collect();
            assert_eq!(sent, expected);
            assert_eq!(outbox.items.len(), SPARE_BUFFERS);
            assert!(outbox.items.iter().all(|item| item.bytes.capacity() <= SPARE_BYTES));
        }
    }
}
