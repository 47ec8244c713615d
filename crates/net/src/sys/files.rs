//! How many files the process may have open: each connection takes one.

use std::io;

/// Lets the process have `wanted` files open at once, as far as the system allows, and gives how many it may have then. A
/// limit that is higher stays.
///
/// # Errors
/// When the system does not tell its limit.
pub fn allow_open_files(wanted: u64) -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit for the call to write to.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let (soft, hard) = (limit.rlim_cur, limit.rlim_max);
    if soft >= wanted {
        return Ok(soft);
    }
    // Beyond the hard limit is for the superuser; up to it is for everybody.
    for (soft, hard) in [(wanted, hard.max(wanted)), (wanted.min(hard), hard)] {
        let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
        // SAFETY: the kernel only reads `limit`.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } == 0 {
            return Ok(soft);
        }
    }
    Ok(soft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_never_lowered_and_goes_no_further_than_the_system_allows() {
        let before = allow_open_files(0).unwrap();
        assert_eq!(allow_open_files(before).unwrap(), before);
        let most = allow_open_files(u64::from(u32::MAX)).unwrap();
        assert!(most >= before);
        assert_eq!(allow_open_files(1).unwrap(), most);
    }
}
