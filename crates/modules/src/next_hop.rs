//! The next hop that was worked out last.
//!
//! Who stands in front of a main registrar, or of a gateway, sends nearly everything to the same URI (`$du`): it is read once,
//! and compared from then on.

use std::cell::RefCell;

use seawall_net::SocketId;
use smallvec::SmallVec;

use crate::context::Target;

/// Longest URI that is kept, in bytes: `sip:`, an IPv6 address, a port and a transport have room.
const LONGEST: usize = 80;

/// What a URI has come to.
#[derive(Debug)]
struct Known {
    uri: SmallVec<[u8; LONGEST]>,
    /// The socket that it was to be sent from, or the one that its request came by.
    preferred: SocketId,
    is_chosen: bool,
    target: Target,
}

/// The memory of a [`Context`](crate::context::Context), which stays when it serves the next message. It holds only what
/// comes to the same each time: a URI with an IP address, and sockets, which are those of the start.
#[derive(Debug, Default)]
pub struct NextHop(RefCell<Option<Known>>);

impl NextHop {
    /// The next hop of a URI, if it was the last one. `chosen` is the socket that it is to be sent from, `origin` the one that
    /// its request came by.
    #[inline]
    #[must_use]
    pub fn find(&self, uri: &[u8], chosen: Option<SocketId>, origin: SocketId) -> Option<Target> {
        let known = self.0.borrow();
        let known = known.as_ref().filter(|known| known.uri.as_slice() == uri)?;
        let is_same = (known.preferred, known.is_chosen) == (chosen.unwrap_or(origin), chosen.is_some());
        is_same.then_some(known.target)
    }

    /// Whether this is the URI of the last next hop, which is a SIP URI.
    #[inline]
    #[must_use]
    pub fn knows(&self, uri: &[u8]) -> bool {
        self.0.borrow().as_ref().is_some_and(|known| known.uri.as_slice() == uri)
    }

    /// Remembers what a URI with an IP address has come to.
    pub fn note(&self, uri: &[u8], chosen: Option<SocketId>, origin: SocketId, target: Target) {
        if uri.len() <= LONGEST {
            let known = Known {
                uri: SmallVec::from_slice(uri),
                preferred: chosen.unwrap_or(origin),
                is_chosen: chosen.is_some(),
                target,
            };
            *self.0.borrow_mut() = Some(known);
        }
    }
}

#[cfg(test)]
mod tests {
    use seawall_net::Transport;

    use super::*;

    #[test]
    fn a_next_hop_is_known_for_the_same_uri_and_the_same_sockets_only() {
        let hop = NextHop::default();
        let peer = std::net::SocketAddr::from(([192, 0, 2, 1], 5060));
        let target = Target { transport: Transport::Udp, socket: 3, peer, connection: None };
        assert_eq!(hop.find(b"sip:192.0.2.1", None, 3), None);
        assert!(!hop.knows(b"sip:192.0.2.1"));
        hop.note(b"sip:192.0.2.1", None, 3, target);
        assert!(hop.knows(b"sip:192.0.2.1"));
        let check = |uri: &str, chosen, origin, expected| {
            assert_eq!(hop.find(uri.as_bytes(), chosen, origin), expected, "{uri} {chosen:?} {origin}");
        };
        check("sip:192.0.2.1", None, 3, Some(target));
        check("sip:192.0.2.1", None, 4, None);
        // A socket that was chosen decides about the transport, too.
        check("sip:192.0.2.1", Some(3), 3, None);
        check("sip:192.0.2.2", None, 3, None);
        check("sip:192.0.2.1:5060", None, 3, None);
        hop.note(b"sip:192.0.2.2", Some(4), 3, target);
        check("sip:192.0.2.1", None, 3, None);
        check("sip:192.0.2.2", Some(4), 5, Some(target));
        hop.note("x".repeat(LONGEST + 1).as_bytes(), None, 3, target);
        check("sip:192.0.2.2", Some(4), 3, Some(target));
    }
}
