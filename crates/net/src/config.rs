//! What to listen on, and how.

use std::fmt;
use std::net::SocketAddr;

use crate::limits::Limits;

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Connections.
    Tcp,
}

impl fmt::Display for Transport {
    /// The name in lower case, as in a socket description: `udp`, `tcp`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        })
    }
}

/// A socket to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketSpec {
    /// The transport.
    pub transport: Transport,
    /// Where to listen. Port 0: the kernel chooses, [`crate::Bound::sockets`] tells.
    pub address: SocketAddr,
}

impl fmt::Display for SocketSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport, self.address)
    }
}

/// All that [`crate::Net::bind`] needs.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Worker threads, at most 255. 0: one for each core.
    pub workers: usize,
    /// The sockets to open. Their index is their [`crate::SocketId`].
    pub sockets: Vec<SocketSpec>,
    /// The bounds.
    pub limits: Limits,
    /// Pins worker i to the i-th core that the process may use.
    pub cpu_affinity: bool,
    /// One UDP socket for all workers, instead of one for each over which the kernel spreads datagrams. Costs more
    /// under load; used without being asked for when the kernel does not let the filter be attached.
    pub share_udp_sockets: bool,
}
