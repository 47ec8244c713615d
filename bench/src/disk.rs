//! What a disk was asked to do, as the kernel counts it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The disk that holds a folder.
#[derive(Clone, Debug)]
pub struct Disk {
    counters: Option<PathBuf>,
}

/// What a disk has done since the machine started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// How often somebody waited until everything was on the medium.
    pub flushes: u64,
    /// Bytes written to it.
    pub written: u64,
}

impl Disk {
    /// The disk of a folder. Without counters when it is in memory, or behind a network.
    pub fn of(folder: &Path) -> Self {
        let device = fs::metadata(folder).map(|metadata| metadata.dev()).unwrap_or(0);
        let (major, minor) = (libc::major(device), libc::minor(device));
        let entry = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
        // The kernel counts flushes for whole disks only.
        let whole = if entry.join("partition").exists() { entry.join("..") } else { entry };
        let counters = whole.join("stat");
        Disk { counters: counters.exists().then_some(counters) }
    }

    /// Whether there is a disk with counters.
    pub fn is_known(&self) -> bool {
        self.counters.is_some()
    }

    /// Its counters now; all programs of the machine are in them.
    pub fn counters(&self) -> Counters {
        let text = self.counters.as_ref().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        counters(&text)
    }
}

impl Counters {
    /// What was done since an earlier moment.
    #[must_use]
    pub fn since(self, before: Counters) -> Counters {
        Counters {
            flushes: self.flushes.saturating_sub(before.flushes),
            written: self.written.saturating_sub(before.written),
        }
    }
}

/// Reads `/sys/block/NAME/stat` (Documentation/block/stat.rst of Linux): sectors of 512 bytes and requests.
fn counters(text: &str) -> Counters {
    let field = |index| text.split_ascii_whitespace().nth(index).and_then(|word| word.parse::<u64>().ok());
    Counters { flushes: field(15).unwrap_or(0), written: field(6).unwrap_or(0) * 512 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sectors_and_flushes_are_read() {
        let text = "  5131 1401 389074 1580 24021 17043 1862 20337 0 19020 23411 0 0 0 0 987 1493\n";
        assert_eq!(counters(text), Counters { flushes: 987, written: 1862 * 512 });
        assert_eq!(counters(""), Counters::default());
    }
}
