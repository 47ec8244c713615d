//! `recvmmsg`: many datagrams in one call.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::ptr;

use super::address::{RAW_ADDRESS_BYTES, RawAddress};
use super::control::Control;
use crate::limits::{DATAGRAM_BYTES, RECEIVE_STAGGER_BYTES};

/// Buffers for one batch of datagrams. Their memory is touched only as far as datagrams reach.
///
/// Invariant: the pointers in `headers` and in the vectors of `entries` are valid from the end of [`ReceiveBatch::prepare`] to the end
/// of the call: entries from `stale` on still point into buffers which nobody has had access to since.
pub(crate) struct ReceiveBatch {
    entries: Box<[Entry]>,
    headers: Box<[libc::mmsghdr]>,
    /// How many entries the last call has used and have to be set up again.
    stale: usize,
}

/// What the kernel writes of one datagram, side by side: the batch that is received is read in one go.
struct Entry {
    buffer: Vec<u8>,
    name: RawAddress,
    control: Control,
    vector: libc::iovec,
}

/// One received datagram.
pub(crate) struct Received<'a> {
    /// Who sent it.
    pub(crate) peer: SocketAddr,
    /// The address it was sent to, if the socket reports that.
    pub(crate) local: Option<IpAddr>,
    /// It did not fit.
    pub(crate) truncated: bool,
    /// Its payload.
    pub(crate) bytes: &'a mut Vec<u8>,
}

impl ReceiveBatch {
    /// Buffers for `count` datagrams.
    pub(crate) fn new(count: usize) -> Self {
        let entry = || Entry {
            buffer: Vec::new(),
            name: RawAddress::EMPTY,
            control: Control::EMPTY,
            vector: libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 },
        };
        Self {
            entries: (0..count).map(|_| entry()).collect(),
            headers: (0..count).map(|_| super::send::empty_header()).collect(),
            stale: count,
        }
    }

    /// Receives what is there, without waiting. An error of kind `WouldBlock` means that nothing was.
    pub(crate) fn receive(&mut self, socket: RawFd) -> io::Result<usize> {
        self.prepare();
        let room = self.headers.len() as libc::c_uint;
        // SAFETY: `headers` holds `room` headers, each pointing to a name, an iovec and a control buffer in a box that
        // `self` owns and that nobody else reaches during the call; each iovec describes the spare capacity of a Vec
        // that `self` owns. `prepare` has set up every entry that anybody could have changed.
        let count = unsafe {
            libc::recvmmsg(socket, self.headers.as_mut_ptr(), room, libc::MSG_DONTWAIT, ptr::null_mut())
        };
        if count < 0 {
            return Err(io::Error::last_os_error());
        }
        let count = count as usize;
        self.stale = count;
        for (entry, header) in self.entries.iter_mut().zip(self.headers.iter()).take(count) {
            let len = header.msg_len as usize;
            if len <= entry.buffer.capacity() {
                // SAFETY: the kernel has written `len` bytes to the start of the buffer, and it has room for them.
                unsafe { entry.buffer.set_len(len) };
            }
        }
        Ok(count)
    }

    /// The datagram at `index` of the last batch.
    #[allow(clippy::unnecessary_cast, reason = "the length is of another type on musl")]
    #[inline]
    pub(crate) fn get(&mut self, index: usize) -> Option<Received<'_>> {
        if index >= self.stale {
            return None;
        }
        let header = self.headers.get(index)?;
        let entry = self.entries.get_mut(index)?;
        let peer = entry.name.get()?;
        let used = header.msg_hdr.msg_controllen as usize;
        let local = if used == 0 { None } else { entry.control.local(used) };
        let truncated = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        Some(Received { peer, local, truncated, bytes: &mut entry.buffer })
    }

    /// The payload of the datagram at `index` of the last batch, if it fit and is not empty.
    pub(crate) fn bytes(&self, index: usize) -> Option<&[u8]> {
        let header = self.headers.get(index).filter(|_| index < self.stale)?;
        let bytes = self.entries.get(index)?.buffer.as_slice();
        (!bytes.is_empty() && header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0).then_some(bytes)
    }

    /// Sets up the entries which the last batch has used.
    fn prepare(&mut self) {
        for (entry, header) in self.entries.iter_mut().zip(self.headers.iter_mut()).take(self.stale) {
            let Entry { buffer, name, control, vector } = entry;
            buffer.clear();
            if buffer.capacity() < DATAGRAM_BYTES {
                // What the handler has left instead of the buffer is too small.
                buffer.reserve_exact(DATAGRAM_BYTES + RECEIVE_STAGGER_BYTES);
            }
            vector.iov_base = buffer.as_mut_ptr().cast();
            vector.iov_len = DATAGRAM_BYTES;
            header.msg_len = 0;
            header.msg_hdr.msg_name = ptr::from_mut(name).cast();
            header.msg_hdr.msg_namelen = RAW_ADDRESS_BYTES;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.as_mut_ptr();
            header.msg_hdr.msg_controllen = Control::len() as _;
            header.msg_hdr.msg_flags = 0;
        }
        self.stale = 0;
    }
}
