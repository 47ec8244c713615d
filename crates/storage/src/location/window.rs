//! A file that is read from its start to its end, with room for as much of it as is looked at.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;

use crate::limits::JOURNAL_STEP;

/// The part of a file that is in memory. One buffer for all of a file: a start with half a gigabyte of journal would spend
/// longer on fresh memory than on what stands there.
#[derive(Debug)]
pub(super) struct Window<'a> {
    file: &'a File,
    bytes: Vec<u8>,
    filled: usize,
    /// Where it begins in the file.
    pub(super) base: u64,
}

impl<'a> Window<'a> {
    pub(super) fn new(file: &'a File) -> Window<'a> {
        let room = usize::try_from(JOURNAL_STEP).unwrap_or(0);
        Window { file, bytes: vec![0; room], filled: 0, base: 0 }
    }

    /// Reads on until there are so many bytes; false where the file ends before.
    pub(super) fn fill(&mut self, wanted: usize) -> std::io::Result<bool> {
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted, 0);
        }
        while self.filled < wanted {
            let free = self.bytes.get_mut(self.filled..).unwrap_or_default();
            match self.file.read_at(free, self.base + self.filled as u64) {
                Ok(0) => return Ok(false),
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// What has been read, from a place in the window on.
    pub(super) fn from(&self, start: usize) -> &[u8] {
        self.bytes.get(start..self.filled).unwrap_or_default()
    }

    /// A part of what has been read.
    pub(super) fn part(&self, start: usize, end: usize) -> &[u8] {
        self.from(start).get(..end.saturating_sub(start)).unwrap_or_default()
    }

    /// Moves its beginning behind what is done with.
    pub(super) fn forget(&mut self, done: usize) {
        let done = done.min(self.filled);
        self.bytes.copy_within(done..self.filled, 0);
        self.filled -= done;
        self.base += done as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_passes_piece_by_piece() {
        let path = std::env::temp_dir().join(format!("seawall-window-{}", std::process::id()));
        let mut file =
            File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let text: Vec<u8> = (0..3 * JOURNAL_STEP).map(|byte| (byte % 251) as u8).collect();
        file.write_all(&text).unwrap();
        let mut window = Window::new(&file);
        let mut seen = Vec::new();
        // Also pieces that are larger than the room there was.
        for piece in [1, 1000, 2 << 20, 7, 500_000].into_iter().cycle() {
            if !window.fill(piece).unwrap() {
                break;
            }
            assert_eq!(window.base, seen.len() as u64);
            seen.extend_from_slice(window.part(0, piece));
            window.forget(piece);
        }
        seen.extend_from_slice(window.from(0));
        assert!(seen == text);
    }
}
