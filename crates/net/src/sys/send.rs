//! `sendmmsg`: many datagrams in one call.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::ptr;

use super::address::RawAddress;
use super::control::Control;
use crate::limits::SEND_SLOT_BYTES;

/// Datagrams being written, to be sent together.
pub(crate) struct SendBatch {
    slots: Box<[Slot]>,
    used: usize,
    headers: Box<[libc::mmsghdr]>,
}

struct Slot {
    bytes: Vec<u8>,
    socket: RawFd,
    name: RawAddress,
    name_len: libc::socklen_t,
    control: Control,
    control_len: usize,
    vector: libc::iovec,
}

/// What became of a flush.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flushed {
    /// Datagrams that the kernel took.
    pub(crate) sent: u64,
    /// Their bytes.
    pub(crate) sent_bytes: u64,
    /// Datagrams that it refused.
    pub(crate) failed: u64,
}

impl SendBatch {
    /// Room for `count` datagrams.
    pub(crate) fn new(count: usize) -> Self {
        let slot = || Slot {
            bytes: Vec::with_capacity(SEND_SLOT_BYTES),
            socket: -1,
            name: RawAddress::EMPTY,
            name_len: 0,
            control: Control::EMPTY,
            control_len: 0,
            vector: libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 },
        };
        Self {
            slots: (0..count).map(|_| slot()).collect(),
            used: 0,
            headers: (0..count).map(|_| empty_header()).collect(),
        }
    }

    /// Whether the next slot needs a flush first.
    pub(crate) fn is_full(&self) -> bool {
        self.used >= self.slots.len()
    }

    /// Whether there is nothing to send.
    pub(crate) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// How many slots have been handed out since the last flush.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// Forgets the slots handed out after the first `used`.
    pub(crate) fn truncate(&mut self, used: usize) {
        self.used = self.used.min(used);
    }

    /// An empty buffer to write a datagram to; `None` when full. One that stays empty is not sent.
    #[inline(always)]
    pub(crate) fn slot(
        &mut self,
        socket: RawFd,
        peer: SocketAddr,
        source: Option<IpAddr>,
    ) -> Option<&mut Vec<u8>> {
        let slot = self.slots.get_mut(self.used)?;
        self.used += 1;
        slot.socket = socket;
        slot.name_len = slot.name.set(peer);
        slot.control_len = source.map_or(0, |source| slot.control.set_source(source));
        slot.bytes.clear();
        Some(&mut slot.bytes)
    }

    /// Sends everything. When the kernel has no room, waits once for at most `stall_ms` and then gives up the rest of
    /// that socket.
    pub(crate) fn flush(&mut self, stall_ms: i32) -> Flushed {
        let mut flushed = Flushed::default();
        let mut may_stall = true;
        let mut start = 0;
        while let Some((socket, filled, end)) = self.prepare(start) {
            self.send_run(socket, filled, &mut flushed, &mut may_stall, stall_ms);
            start = end;
        }
        self.used = 0;
        flushed
    }

    /// Sends what the first `filled` headers point to, right after [`SendBatch::prepare`].
    fn send_run(
        &mut self,
        socket: RawFd,
        filled: usize,
        flushed: &mut Flushed,
        may_stall: &mut bool,
        stall_ms: i32,
    ) {
        let mut done = 0;
        while done < filled {
            let Some(headers) = self.headers.get_mut(done..filled) else { break };
            // SAFETY: `prepare` has pointed each of these headers to the name, bytes and control message of one slot;
            // the slots are owned by `self` and unchanged since.
            let sent = unsafe {
                libc::sendmmsg(
                    socket,
                    headers.as_mut_ptr(),
                    headers.len() as libc::c_uint,
                    libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
                )
            };
            if sent > 0 {
                let sent = sent as usize;
                flushed.sent += sent as u64;
                flushed.sent_bytes +=
                    headers.iter().take(sent).map(|header| u64::from(header.msg_len)).sum::<u64>();
                done += sent;
                continue;
            }
            match io::Error::last_os_error().kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock if *may_stall => {
                    *may_stall = false;
                    wait_writable(socket, stall_ms);
                }
                io::ErrorKind::WouldBlock => {
                    flushed.failed += (filled - done) as u64;
                    break;
                }
                // The error belongs to the first datagram: no route, too large, address of another family.
                _ => {
                    flushed.failed += 1;
                    done += 1;
                }
            }
        }
    }

    /// Points one header to each slot that is not empty of the next run: those from `start` on that go out by the same
    /// socket. Slots are filled in the order of handling, so these are long runs. Gives the socket, the number of headers
    /// and the index behind the run; nothing when all runs were sent.
    fn prepare(&mut self, start: usize) -> Option<(RawFd, usize, usize)> {
        let rest = self.slots.get_mut(start..self.used)?;
        let socket = rest.first()?.socket;
        let mut headers = self.headers.iter_mut();
        let (mut filled, mut end) = (0, start);
        for slot in rest {
            if slot.socket != socket {
                break;
            }
            end += 1;
            if slot.bytes.is_empty() {
                continue;
            }
            // There are as many headers as slots.
            let Some(header) = headers.next() else { break };
            slot.point(header);
            filled += 1;
        }
        Some((socket, filled, end))
    }
}

impl Slot {
    /// Points a header to what is to be sent.
    #[inline]
    fn point(&mut self, header: &mut libc::mmsghdr) {
        self.vector.iov_base = self.bytes.as_mut_ptr().cast();
        self.vector.iov_len = self.bytes.len();
        header.msg_len = 0;
        header.msg_hdr.msg_name = ptr::from_mut(&mut self.name).cast();
        header.msg_hdr.msg_namelen = self.name_len;
        header.msg_hdr.msg_iov = &mut self.vector;
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_control =
            if self.control_len == 0 { ptr::null_mut() } else { self.control.as_mut_ptr() };
        header.msg_hdr.msg_controllen = self.control_len as _;
    }
}

/// A header that points nowhere.
pub(super) fn empty_header() -> libc::mmsghdr {
    // SAFETY: all zeros is a valid mmsghdr: null pointers and zero lengths.
    unsafe { std::mem::zeroed() }
}

fn wait_writable(socket: RawFd, stall_ms: i32) {
    let mut poll = libc::pollfd { fd: socket, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one valid pollfd, as the count says.
    unsafe { libc::poll(&mut poll, 1, stall_ms) };
}
