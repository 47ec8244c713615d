//! What workers send to each other.

use std::net::SocketAddr;

use mio::net::TcpStream;

use super::admission::Permit;
use crate::endpoint::{ConnectionId, SocketId};

/// A message from worker to worker.
#[derive(Debug)]
pub(crate) enum Post {
    /// An accepted connection, for the receiver to own.
    Accepted { stream: TcpStream, peer: SocketAddr, socket: SocketId, permit: Permit },
    /// Bytes for a connection of the receiver.
    Send { id: ConnectionId, fallback: Option<(SocketAddr, Option<SocketId>)>, bytes: Vec<u8> },
    /// Keep a connection until this monotonic time on behalf of a holder.
    Lease { id: ConnectionId, holder: u64, until_ms: u64 },
    /// Close a connection gracefully.
    Close { id: ConnectionId },
}

impl Post {
    /// Its weight in the queue.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Post::Send { bytes, .. } => bytes.len(),
            Post::Accepted { .. } | Post::Lease { .. } | Post::Close { .. } => 0,
        }
    }
}
