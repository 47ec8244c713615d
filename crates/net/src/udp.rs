//! One UDP socket as a worker sees it.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use crate::endpoint::SocketId;
use crate::io::UdpPort;
use crate::sys::{address, options};

/// A UDP socket and what is known about its state.
#[derive(Debug)]
pub(crate) struct UdpReceiver {
    pub(crate) id: SocketId,
    /// Keeps the descriptor open.
    socket: Arc<UdpSocket>,
    /// The bound address.
    pub(crate) local: SocketAddr,
    /// The kernel may have datagrams for us.
    pub(crate) is_ready: bool,
    /// Receive errors since the last datagram.
    pub(crate) errors: u32,
    /// Drops that the kernel had told of at the last look; `None`: another worker looks.
    overflowed: Option<u32>,
}

impl UdpReceiver {
    /// `worker`: whose it is. A socket that all workers share is looked after by the first one.
    pub(crate) fn new(worker: usize, id: SocketId, socket: Arc<UdpSocket>, local: SocketAddr) -> Self {
        let is_mine = worker == 0 || Arc::strong_count(&socket) == 1;
        Self { id, socket, local, is_ready: true, errors: 0, overflowed: is_mine.then_some(0) }
    }

    /// Its descriptor, open as long as this value lives.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// How many datagrams the kernel has dropped since the last look, as its buffer was full.
    pub(crate) fn newly_overflowed(&mut self) -> u32 {
        let Some(before) = self.overflowed else { return 0 };
        // Kernels that do not tell count nothing.
        let now = options::dropped_datagrams(self.descriptor()).unwrap_or(before);
        self.overflowed = Some(now);
        now.wrapping_sub(before)
    }

    /// What sending needs.
    pub(crate) fn port(&self) -> UdpPort {
        UdpPort { socket: self.descriptor(), wildcard: address::is_wildcard(self.local.ip()) }
    }
}
