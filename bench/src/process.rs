//! What a server costs, read from /proc: processor time and memory of a process and all its descendants.

use std::fs;
use std::io;

use crate::socket;

/// The process `root` and all its descendants. A process that has ended is left out.
///
/// # Errors
/// Whatever reading /proc answers.
pub fn tree(root: u32) -> io::Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if let Some(parent) = stat_fields(pid).and_then(|fields| fields.get(1)?.parse::<u32>().ok()) {
            parents.push((pid, parent));
        }
    }
    let mut family = vec![root];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        next += 1;
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
    }
    Ok(family)
}

/// Processor time, user and system, that the living threads of `root` and its descendants have had, nanoseconds. A
/// thread that ends takes its account with it: servers whose workers live as long as they do are measured rightly.
///
/// From the scheduler's own account where the kernel has one; otherwise in ticks of usually 10 ms.
///
/// # Errors
/// Whatever reading /proc answers; `NotFound` when no process of the tree is left.
pub fn cpu_ns(root: u32) -> io::Result<u64> {
    let mut total = None;
    for pid in tree(root)? {
        if let Some(cpu_ns) = scheduled_of(pid).map(|scheduled| scheduled.run_ns).or_else(|| ticked_ns(pid)) {
            total = Some(total.unwrap_or(0) + cpu_ns);
        }
    }
    total.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

/// What the scheduler gave some processes since they began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scheduled {
    /// Time on a processor, nanoseconds.
    pub run_ns: u64,
    /// Time in which they could have run and another one had the processor, nanoseconds.
    pub wait_ns: u64,
}

impl Scheduled {
    /// What came since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Scheduled {
            run_ns: self.run_ns.saturating_sub(earlier.run_ns),
            wait_ns: self.wait_ns.saturating_sub(earlier.wait_ns),
        }
    }
}

/// The scheduler's account of all living threads of some processes. Where the kernel keeps none, the time that they ran
/// comes in ticks, and that which they waited is not known.
pub fn scheduled(pids: &[u32]) -> Scheduled {
    let mut total = Scheduled::default();
    for pid in pids {
        if let Some(scheduled) = scheduled_of(*pid) {
            total.run_ns += scheduled.run_ns;
            total.wait_ns += scheduled.wait_ns;
        } else {
            total.run_ns += ticked_ns(*pid).unwrap_or(0);
        }
    }
    total
}

/// What a hypervisor took from a processor since the machine began, nanoseconds; 0 when that is not told.
pub fn stolen_ns(cpu: usize) -> u64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    stolen_ticks(&text, cpu).unwrap_or(0) * (1_000_000_000 / socket::ticks_per_second())
}

/// The eighth figure of a processor's line in /proc/stat.
fn stolen_ticks(stat: &str, cpu: usize) -> Option<u64> {
    let name = format!("cpu{cpu}");
    let mut lines = stat.lines().map(str::split_ascii_whitespace);
    let mut fields = lines.find_map(|mut fields| (fields.next() == Some(name.as_str())).then_some(fields))?;
    fields.nth(7)?.parse().ok()
}

/// Resident memory of `root` and its descendants, bytes. A page that several of them share counts once (PSS).
///
/// # Errors
/// Whatever reading /proc answers; `NotFound` when no process of the tree is left.
pub fn memory_bytes(root: u32) -> io::Result<u64> {
    let mut total = None;
    for pid in tree(root)? {
        let Ok(rollup) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { continue };
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kilobytes = pss.and_then(|pss| pss.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        total = Some(total.unwrap_or(0) + kilobytes.unwrap_or(0) * 1024);
    }
    total.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

/// What the kernel has allocated for itself, bytes: sockets, descriptors and all else that is small, of the whole machine.
///
/// # Errors
/// Whatever reading /proc answers.
pub fn kernel_bytes() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let slab = text.lines().find_map(|line| line.strip_prefix("Slab:"));
    let kilobytes = slab.and_then(|slab| slab.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// What waits in the kernel for the UDP sockets over IPv4 with this port, bytes as the kernel counts them.
///
/// # Errors
/// Whatever reading /proc answers.
pub fn udp_queued_bytes(port: u16) -> io::Result<u64> {
    let text = fs::read_to_string("/proc/net/udp")?;
    let suffix = format!(":{port:04X}");
    let queued = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let is_it = fields.next()?.ends_with(&suffix);
        let (_, received) = fields.nth(2)?.split_once(':')?;
        u64::from_str_radix(received, 16).ok().filter(|_| is_it)
    };
    Ok(text.lines().filter_map(queued).sum())
}

/// The first two fields of every thread's schedstat: time on a processor, and time spent waiting for one. `None` where the
/// kernel keeps no account.
fn scheduled_of(pid: u32) -> Option<Scheduled> {
    let mut total = Scheduled::default();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let path = thread.ok()?.path().join("schedstat");
        let Ok(line) = fs::read_to_string(path) else { continue };
        let account = account_of(&line)?;
        total.run_ns += account.run_ns;
        total.wait_ns += account.wait_ns;
    }
    (total.run_ns > 0).then_some(total)
}

/// The first two figures of a schedstat; the third counts how often the thread was given a processor.
fn account_of(schedstat: &str) -> Option<Scheduled> {
    let mut fields = schedstat.split_ascii_whitespace().map(|field| field.parse::<u64>().ok());
    Some(Scheduled { run_ns: fields.next()??, wait_ns: fields.next()?? })
}

/// utime and stime of the whole process.
fn ticked_ns(pid: u32) -> Option<u64> {
    let fields = stat_fields(pid)?;
    let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some((ticks(11)? + ticks(12)?) * (1_000_000_000 / socket::ticks_per_second()))
}

/// The fields of /proc/PID/stat after the name: 0 is the state, 1 the parent. The name may hold spaces and brackets.
fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_ascii_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_was_written_shows() {
        let before = memory_bytes(std::process::id()).unwrap();
        let block = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = memory_bytes(std::process::id()).unwrap();
        assert!(after > before + (60 << 20), "{before} to {after} with {} bytes more", block.len());
    }

    #[test]
    fn a_thread_s_account_is_the_first_two_figures() {
        let account = |run_ns, wait_ns| Scheduled { run_ns, wait_ns };
        assert_eq!(account_of("8000 300 7\n"), Some(account(8000, 300)));
        for wrong in ["", "8000", "8000 many 7"] {
            assert_eq!(account_of(wrong), None, "{wrong}");
        }
        assert_eq!(account(8000, 300).since(account(7000, 100)), account(1000, 200));
        assert_eq!(account(1, 2).since(account(7000, 100)), account(0, 0), "a thread has ended");
        assert_eq!(scheduled(&[]), account(0, 0));
    }

    #[test]
    fn what_was_stolen_is_the_eighth_figure_of_a_processor() {
        let stat = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 2 3 4 5 6 7 80 9 10\ncpu1 1 2 3 4 5 6 7 81 9 10\ncpu10 1 2\nintr 5\n";
        let stolen = [0, 1, 10, 2].map(|cpu| stolen_ticks(stat, cpu));
        assert_eq!(stolen, [Some(80), Some(81), None, None]);
    }

    #[test]
    fn what_nobody_has_read_is_queued() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        assert_eq!(udp_queued_bytes(address.port()).unwrap(), 0);
        socket.send_to(&[1; 500], address).unwrap();
        assert!(udp_queued_bytes(address.port()).unwrap() >= 500);
        socket.recv(&mut [0; 500]).unwrap();
        assert_eq!(udp_queued_bytes(address.port()).unwrap(), 0);
    }

    #[test]
    fn a_child_belongs_to_the_tree() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let family = tree(std::process::id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(family.contains(&child.id()));
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(cpu_ns(u32::MAX).is_err());
        assert!(memory_bytes(u32::MAX).is_err());
    }
}
