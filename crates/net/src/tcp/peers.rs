//! Which connection leads to a peer, over all workers.

use std::collections::HashMap;
use std::net::SocketAddr;

use parking_lot::Mutex;

use crate::endpoint::{ConnectionId, SocketId};

/// The table of open connections by peer. Holds what may be reused: a connection whose peer has stopped sending is
/// taken out before it is closed.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    by_peer: Mutex<HashMap<SocketAddr, Vec<(SocketId, ConnectionId)>>>,
}

impl Peers {
    /// The connection to reuse: one of that socket, else any one to that peer (a phone behind a NAT cannot be reached
    /// in another way).
    pub(crate) fn find(&self, peer: SocketAddr, socket: Option<SocketId>) -> Option<ConnectionId> {
        choose(self.by_peer.lock().get(&peer)?, socket)
    }

    /// Enters a connection that is being opened, unless there is one to reuse by now, which is given.
    pub(crate) fn find_or_insert(
        &self,
        peer: SocketAddr,
        socket: SocketId,
        id: ConnectionId,
    ) -> Option<ConnectionId> {
        let mut by_peer = self.by_peer.lock();
        let known = by_peer.entry(peer).or_default();
        let found = choose(known, Some(socket));
        if found.is_none() {
            known.push((socket, id));
        }
        found
    }

    /// Enters an accepted connection.
    pub(crate) fn insert(&self, peer: SocketAddr, socket: SocketId, id: ConnectionId) {
        self.by_peer.lock().entry(peer).or_default().push((socket, id));
    }

    /// Takes a connection out. Nothing happens if it is not in.
    pub(crate) fn remove(&self, peer: SocketAddr, id: ConnectionId) {
        let mut by_peer = self.by_peer.lock();
        let Some(known) = by_peer.get_mut(&peer) else { return };
        known.retain(|&(_, other)| other != id);
        if known.is_empty() {
            by_peer.remove(&peer);
        }
    }
}

fn choose(known: &[(SocketId, ConnectionId)], socket: Option<SocketId>) -> Option<ConnectionId> {
    let same = known.iter().find(|(other, _)| Some(*other) == socket);
    same.or(known.first()).map(|&(_, id)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(slot: u32) -> ConnectionId {
        ConnectionId::from_parts(0, slot, 0)
    }

    #[test]
    fn the_connection_of_the_same_socket_is_preferred() {
        let peers = Peers::default();
        let peer = "192.0.2.1:5060".parse().unwrap();
        peers.insert(peer, 1, id(1));
        peers.insert(peer, 2, id(2));
        assert_eq!(peers.find(peer, Some(2)), Some(id(2)));
        assert_eq!(peers.find(peer, Some(7)), Some(id(1)));
        peers.remove(peer, id(1));
        assert_eq!(peers.find(peer, Some(7)), Some(id(2)));
        peers.remove(peer, id(2));
        assert_eq!(peers.find(peer, None), None);
        assert!(peers.by_peer.lock().is_empty());
    }

    #[test]
    fn of_two_workers_that_connect_at_once_one_wins() {
        let peers = Peers::default();
        let peer = "192.0.2.1:5060".parse().unwrap();
        assert_eq!(peers.find_or_insert(peer, 1, id(1)), None);
        assert_eq!(peers.find_or_insert(peer, 1, id(2)), Some(id(1)));
    }
}
