//! `clock_gettime`, which the kernel answers without a system call.

/// Monotonic microseconds.
pub(crate) fn monotonic_us() -> u64 {
    read_us(libc::CLOCK_MONOTONIC)
}

/// Microseconds since 1970.
pub(crate) fn unix_us() -> u64 {
    read_us(libc::CLOCK_REALTIME)
}

fn read_us(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the call to write to. The call fails only for clocks that do not exist,
    // and then leaves the zeros.
    unsafe { libc::clock_gettime(clock, &mut time) };
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1000
}
