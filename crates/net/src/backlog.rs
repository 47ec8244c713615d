//! How much of what arrives is worth keeping: no more than will be served in time.

use crate::limits::{DATAGRAM_OVERHEAD_BYTES, LEAST_BUFFER_BYTES, LONGEST_WAIT_US};

/// What a worker has done with a socket's datagrams since it last looked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Served {
    /// How many were handled.
    pub(crate) datagrams: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// How long that took, and everything else that the worker did meanwhile, in microseconds.
    pub(crate) took_us: u64,
}

/// The receive buffer that is full with as much as will be served within [`LONGEST_WAIT_US`], in bytes as the kernel counts
/// them: what comes then is dropped by the kernel, which costs this process nothing, and its sender says it again. `usual`
/// is the longest. It at most doubles: a worker that has just been fast, as it refused many, may be slow with the next ones.
/// Nothing when `present` is about that already, or nothing is known.
pub(crate) fn fitting(usual: u32, present: u32, served: Served) -> Option<u32> {
    if served.datagrams == 0 || served.took_us == 0 {
        return None;
    }
    let each_bytes = served.bytes / served.datagrams + DATAGRAM_OVERHEAD_BYTES;
    let in_time = LONGEST_WAIT_US.saturating_mul(served.datagrams) / served.took_us;
    let wanted = u32::try_from(in_time.saturating_mul(each_bytes)).unwrap_or(u32::MAX);
    let most = usual.min(present.saturating_mul(2).max(LEAST_BUFFER_BYTES));
    let wanted = wanted.clamp(LEAST_BUFFER_BYTES.min(usual), most.max(LEAST_BUFFER_BYTES.min(usual)));
    let is_close = wanted / 4 * 3 <= present && present <= wanted / 3 * 4;
    (!is_close).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: u32 = 8 << 20;

    /// Datagrams of 500 bytes, so many in a second.
    fn check(per_s: u64, present: u32, expected: Option<u32>) {
        let served = Served { datagrams: 512, bytes: 512 * 500, took_us: 512 * 1_000_000 / per_s };
        assert_eq!(fitting(USUAL, present, served), expected, "{per_s}/s with {present}");
    }

    #[test]
    fn a_fast_worker_keeps_the_usual_buffer() {
        check(200_000, USUAL, None);
        check(30_000, USUAL, None);
    }

    #[test]
    fn a_slow_one_keeps_what_it_serves_in_a_fifth_of_a_second() {
        let of_5000 = 5_000 / 5 * (500 + DATAGRAM_OVERHEAD_BYTES as u32);
        check(5_000, USUAL, Some(of_5000));
        check(5_000, of_5000, None);
        check(6_000, of_5000, None);
        // It has become faster again, or says so.
        check(200_000, of_5000, Some(2 * of_5000));
        check(200_000, USUAL / 2, Some(USUAL));
    }

    #[test]
    fn a_very_slow_one_keeps_a_few_all_the_same() {
        check(10, USUAL, Some(LEAST_BUFFER_BYTES));
        assert_eq!(fitting(1000, 1000, Served { datagrams: 1, bytes: 1, took_us: 1_000_000 }), None);
    }

    #[test]
    fn without_knowledge_nothing_changes() {
        assert_eq!(fitting(USUAL, 5, Served::default()), None);
    }
}
