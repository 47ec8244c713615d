//! Socket options which neither the standard library nor socket2 has, and the cores of the process.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use socket2::SockRef;

fn set<T>(socket: RawFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: `value` is valid for reads of its own size, and the kernel only reads it.
    let result = unsafe {
        libc::setsockopt(
            socket,
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Asks for the local address of each datagram (`IP_PKTINFO`, `IPV6_RECVPKTINFO`).
pub(crate) fn report_local_address(socket: RawFd, ipv6: bool) -> io::Result<()> {
    let on: libc::c_int = 1;
    if ipv6 {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, &on)
    } else {
        set(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, &on)
    }
}

/// Gives a socket a receive buffer: past the system's limit (`net.core.rmem_max`) where this process may do so, else as
/// much as that allows. The kernel counts what it needs around a datagram too, and doubles `bytes` for that.
///
/// # Errors
/// What the system answers to `setsockopt`; a limit is no error.
pub fn set_receive_buffer(socket: &impl AsFd, bytes: usize) -> io::Result<()> {
    let forced = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    match set(socket.as_fd().as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &forced) {
        Ok(()) => Ok(()),
        Err(_) => SockRef::from(socket).set_recv_buffer_size(bytes),
    }
}

/// Sets the send buffer past the system's limit, for which a privilege is needed.
pub(crate) fn force_send_buffer(socket: RawFd, bytes: usize) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    set(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &bytes)
}

/// What the kernel holds of a socket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Bytes of what was received and not read yet, with what the kernel needs around it.
    pub(crate) received: u32,
    /// How many such bytes there may be.
    pub(crate) receive_buffer: u32,
    /// How many datagrams were dropped since the socket was opened (modulo 2^32).
    pub(crate) drops: u32,
}

/// Asks what the kernel holds of a socket.
pub(crate) fn memory(socket: RawFd) -> io::Result<Memory> {
    // SO_MEMINFO gives an array of counters, linux/sock_diag.h: SK_MEMINFO_RMEM_ALLOC is the first, SK_MEMINFO_RCVBUF the
    // second, SK_MEMINFO_DROPS the ninth.
    let mut counters = [0_u32; 9];
    let mut len = std::mem::size_of_val(&counters) as libc::socklen_t;
    // SAFETY: `counters` is valid for writes of `len` bytes, and `len` for its own size.
    let result = unsafe {
        libc::getsockopt(
            socket,
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            counters.as_mut_ptr().cast(),
            std::ptr::from_mut(&mut len),
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let [received, receive_buffer, .., drops] = counters;
    Ok(Memory { received, receive_buffer, drops })
}

/// Lets every datagram that arrives for the group of sockets that share this one's port go to a random one of the
/// first `members`, instead of choosing by source address and port.
pub(crate) fn spread_datagrams(socket: RawFd, members: u32) -> io::Result<()> {
    // Offsets of the packet filter's ancillary data: SKF_AD_OFF (-0x1000) + SKF_AD_RANDOM (56), linux/filter.h.
    let random = (-0x1000_i32 + 56) as u32;
    let instruction = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let mut program = [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, random),
        instruction(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, members.max(1)),
        // BPF_A: the accumulator.
        instruction(libc::BPF_RET | 0x10, 0),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // The kernel copies the program during the call, so it may live on the stack.
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF, &filter)
}

/// Pins the calling thread to the `index`-th core (modulo their number) that it may run on.
pub(crate) fn pin_to_core(index: usize) -> io::Result<()> {
    // SAFETY: all zeros is a valid, empty cpu_set_t.
    let mut allowed: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `allowed` is valid for writes of its size; 0 means the calling thread.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut allowed) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let cores: Vec<usize> = (0..libc::CPU_SETSIZE as usize)
        // SAFETY: the number is below CPU_SETSIZE, so inside the set.
        .filter(|&core| unsafe { libc::CPU_ISSET(core, &allowed) })
        .collect();
    let Some(&core) = index.checked_rem(cores.len()).and_then(|index| cores.get(index)) else {
        return Ok(());
    };
    // SAFETY: all zeros is a valid, empty cpu_set_t.
    let mut one: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `core` is below CPU_SETSIZE, so inside the set.
    unsafe { libc::CPU_SET(core, &mut one) };
    // SAFETY: `one` is valid for reads of its size; 0 means the calling thread.
    if unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &one) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
