//! One UDP socket as a worker sees it.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use crate::backlog::{self, Served};
use crate::endpoint::SocketId;
use crate::io::UdpPort;
use crate::limits::{BEHIND_PART, CAUGHT_UP_PART, FULL_BATCHES_PER_LOOK};
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
    /// More waits in the kernel than will soon be served.
    pub(crate) is_behind: bool,
    /// Full batches since the last one that was not.
    full_batches: u32,
    /// What was done since the last look, but for how long that took.
    served: Served,
    /// When that was.
    looked_us: u64,
    /// The receive buffer that it was given, as the kernel counts, once it was cut; `None` while it has that.
    uncut_buffer: Option<u32>,
    /// Drops that the kernel had told of at the last look; `None`: another worker looks.
    overflowed: Option<u32>,
}

impl UdpReceiver {
    /// `worker`: whose it is. A socket that all workers share is looked after by the first one.
    pub(crate) fn new(worker: usize, id: SocketId, socket: Arc<UdpSocket>, local: SocketAddr) -> Self {
        let is_mine = worker == 0 || Arc::strong_count(&socket) == 1;
        Self {
            id,
            socket,
            local,
            is_ready: true,
            errors: 0,
            is_behind: false,
            full_batches: 0,
            served: Served::default(),
            looked_us: 0,
            uncut_buffer: None,
            overflowed: is_mine.then_some(0),
        }
    }

    /// Its descriptor, open as long as this value lives.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// How many datagrams the kernel has dropped since the last look, as its buffer was full.
    pub(crate) fn newly_overflowed(&mut self) -> u32 {
        let Some(before) = self.overflowed else { return 0 };
        // Kernels that do not tell count nothing.
        let now = options::memory(self.descriptor()).map_or(before, |memory| memory.drops);
        self.overflowed = Some(now);
        now.wrapping_sub(before)
    }

    /// Takes note of a batch, and of what waits behind it.
    #[inline]
    pub(crate) fn note_batch(&mut self, is_full: bool, now_us: u64) {
        if !is_full {
            (self.full_batches, self.is_behind) = (0, false);
            (self.served, self.looked_us) = (Served::default(), now_us);
            if self.uncut_buffer.is_some() {
                self.give_back_buffer();
            }
            return;
        }
        self.full_batches = self.full_batches.wrapping_add(1);
        if self.full_batches.is_multiple_of(FULL_BATCHES_PER_LOOK) {
            self.look(now_us);
        }
    }

    /// Takes note of what was done with a batch.
    pub(crate) fn note_served(&mut self, datagrams: u64, bytes: u64) {
        self.served.datagrams += datagrams;
        self.served.bytes += bytes;
    }

    /// Asks the kernel how much waits, and lets it keep no more than will be served in time.
    #[cold]
    fn look(&mut self, now_us: u64) {
        // Kernels that do not tell are never behind.
        let Ok(memory) = options::memory(self.descriptor()) else { return };
        let part = if self.is_behind { CAUGHT_UP_PART } else { BEHIND_PART };
        self.is_behind = memory.received > memory.receive_buffer / part;
        let served = Served { took_us: now_us.saturating_sub(self.looked_us), ..self.served };
        (self.served, self.looked_us) = (Served::default(), now_us);
        let usual = self.uncut_buffer.unwrap_or(memory.receive_buffer);
        if let Some(bytes) = backlog::fitting(usual, memory.receive_buffer, served).filter(|_| self.is_behind)
        {
            self.uncut_buffer = Some(usual);
            self.set_buffer(bytes);
        }
    }

    #[cold]
    fn give_back_buffer(&mut self) {
        if let Some(usual) = self.uncut_buffer.take() {
            self.set_buffer(usual);
        }
    }

    /// Sets the receive buffer, as the kernel counts: twice what it is told. One that stays as it was is as good as any.
    fn set_buffer(&self, bytes: u32) {
        let _ = options::set_receive_buffer(&self.socket, bytes as usize / 2);
    }

    /// What sending needs.
    pub(crate) fn port(&self) -> UdpPort {
        UdpPort { socket: self.descriptor(), wildcard: address::is_wildcard(self.local.ip()) }
    }
}
