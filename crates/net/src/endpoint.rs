//! Names for where something came from and where it goes.

use std::fmt;
use std::net::SocketAddr;

use crate::config::Transport;

/// Index into the list of bound sockets; the same in all workers.
pub type SocketId = u16;

/// Names one TCP connection. Never used again for another one within the life of the process (a slot's generation
/// would have to wrap around 2^32).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId {
    pub(crate) worker: u8,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl ConnectionId {
    /// Puts an id together again from its parts, as [`ConnectionId::parts`] gave them.
    #[must_use]
    pub fn from_parts(worker: u8, slot: u32, generation: u32) -> Self {
        Self { worker, slot, generation }
    }

    /// The worker that owns the connection, its slot there, and the slot's generation.
    #[must_use]
    pub fn parts(self) -> (u8, u32, u32) {
        (self.worker, self.slot, self.generation)
    }

    /// The worker that owns the connection.
    #[must_use]
    pub fn worker(self) -> usize {
        usize::from(self.worker)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.worker, self.slot, self.generation)
    }
}

/// Where a message came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The transport.
    pub transport: Transport,
    /// The bound socket that received it. On a connection that we opened: the one it was opened for.
    pub socket: SocketId,
    /// The address that it was sent to; with a socket bound to the wildcard address this is the address of the packet.
    pub local: SocketAddr,
    /// The address that it was sent from.
    pub peer: SocketAddr,
    /// The connection that it came on, for TCP.
    pub connection: Option<ConnectionId>,
}

/// Where a message on a stream shall go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamTarget {
    /// The connection that a request came on (RFC 3261 §18.2.2).
    Connection {
        /// The connection.
        id: ConnectionId,
        /// Where to connect to if it is closed by now. `None`: give up.
        fallback: Option<SocketAddr>,
    },
    /// A peer, by a connection that is open already, of whichever worker; none is made.
    Open {
        /// The address to reach.
        peer: SocketAddr,
        /// The socket whose connections are preferred.
        socket: SocketId,
    },
    /// A peer: an open connection to it, of whichever worker, else a new one.
    Peer {
        /// The address to reach.
        peer: SocketAddr,
        /// The socket whose local address the connection is opened from, and in whose name messages on it arrive.
        socket: SocketId,
    },
}
