//! The journal of a location table in a SQLite file: what was changed and is not in the table yet.
//!
//! A refresh of a random row of a large table costs two pages of SQLite, one in its log and one in its file: 8 KB and
//! more for some 300 bytes. So a group of changes is appended to a file beside the database, which is on disk when
//! the phones are answered; the last change of each row goes into the table later, in the order of the primary key.
//!
//! The file is a sequence of groups: generation, length, checksum, changes. It is never cut but written again from its
//! start, since blocks that exist are synced without a change of the file system's own tables. A group of another
//! generation than the first is left over from before; one with a wrong checksum was not complete when the power went,
//! so nobody was told that it is kept.

use std::fs::{File, OpenOptions};
use std::hash::Hasher;
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use siphasher::sip::SipHasher13;

use crate::error::StorageError;
use crate::limits::{JOURNAL_STEP, RECORD_BYTES};
use crate::location::record::{Bytes, encode};
use crate::location::row::RowChange;

/// Generation, length and checksum of a group.
const HEADER: usize = 8 + 4 + 8;

/// Key and length of a change.
const CHANGE_HEADER: usize = 8 + 4;

/// Where a change stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) key: i64,
    pub(super) offset: u64,
    pub(super) length: u32,
}

/// A journal file.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    /// Of what is in it; one more than that of the other file when it was begun.
    pub(super) generation: u64,
    /// Where the next group goes.
    end: u64,
    allocated: u64,
    /// Every change in it, in order.
    pub(super) entries: Vec<Entry>,
    /// What stood in it when it was opened, until somebody takes it.
    pub(super) left: Vec<u8>,
}

impl Journal {
    /// Opens a file and reads what is in it.
    pub(super) fn open(path: &Path) -> Result<Journal, StorageError> {
        let failed =
            |error: std::io::Error| StorageError::Open { path: path.to_owned(), reason: error.to_string() };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path).map_err(failed)?;
        // A name that is not on disk is as good as no file.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        let allocated = file.metadata().map_err(failed)?.len();
        let mut journal =
            Journal { file, generation: 0, end: 0, allocated, entries: Vec::new(), left: Vec::new() };
        journal.scan().map_err(failed)?;
        Ok(journal)
    }

    /// Reads the groups that are complete.
    fn scan(&mut self) -> std::io::Result<()> {
        let (mut bytes, mut end) = (Vec::new(), 0);
        loop {
            let start = end + HEADER;
            if !self.fill(&mut bytes, start)? {
                break;
            }
            let mut fields = Bytes(bytes.get(end..).unwrap_or_default());
            let (Some(generation), Some(length), Some(checksum)) =
                (fields.array(), fields.array(), fields.array())
            else {
                break;
            };
            let generation = u64::from_le_bytes(generation);
            let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
            let is_next = generation != 0 && (end == 0 || generation == self.generation);
            let behind = start.saturating_add(length);
            if !is_next || behind as u64 > self.allocated || !self.fill(&mut bytes, behind)? {
                break;
            }
            let payload = bytes.get(start..behind).unwrap_or_default();
            if sum(generation, payload) != u64::from_le_bytes(checksum) {
                break;
            }
            self.generation = generation;
            self.index(payload, start as u64);
            end = behind;
        }
        bytes.truncate(end);
        self.end = end as u64;
        self.left = bytes;
        Ok(())
    }

    /// Reads on until there are so many bytes of the file; false where it ends before.
    fn fill(&self, bytes: &mut Vec<u8>, wanted: usize) -> std::io::Result<bool> {
        while bytes.len() < wanted {
            let from = bytes.len();
            let step = usize::try_from(JOURNAL_STEP).unwrap_or(0);
            bytes.resize(wanted.max(from + step), 0);
            let read = self.file.read_at(bytes.get_mut(from..).unwrap_or_default(), from as u64);
            bytes.truncate(from + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Ok(false),
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(true)
    }

    /// Notes where the changes of a group are.
    fn index(&mut self, payload: &[u8], start: u64) {
        let mut rest = Bytes(payload);
        while let (Some(key), Some(length)) = (rest.array(), rest.array()) {
            let offset = start + (payload.len() - rest.0.len()) as u64;
            let length = u32::from_le_bytes(length);
            if rest.take(usize::try_from(length).unwrap_or(usize::MAX)).is_none() {
                return;
            }
            self.entries.push(Entry { key: i64::from_le_bytes(key), offset, length });
        }
    }

    /// How many bytes it holds.
    pub(super) fn bytes(&self) -> u64 {
        self.end
    }

    /// Appends a group and waits until it is on disk. `buffer` is room to write it in.
    pub(super) fn append(&mut self, changes: &[RowChange], buffer: &mut Vec<u8>) -> Result<(), StorageError> {
        buffer.clear();
        buffer.resize(HEADER, 0);
        for change in changes {
            let from = buffer.len();
            buffer.extend_from_slice(&change.contact_id().to_le_bytes());
            buffer.extend_from_slice(&[0; 4]);
            encode(change, buffer);
            let length = buffer.len() - from - CHANGE_HEADER;
            if length > RECORD_BYTES {
                return Err(StorageError::Data("a row is longer than any SIP message".to_owned()));
            }
            let length = u32::try_from(length).unwrap_or(0).to_le_bytes();
            if let Some(place) = buffer.get_mut(from + 8..from + CHANGE_HEADER) {
                place.copy_from_slice(&length);
            }
        }
        let payload = buffer.get(HEADER..).unwrap_or_default();
        let length = u32::try_from(payload.len());
        let length = length.map_err(|_| StorageError::Data("a group is longer than 4 GB".to_owned()))?;
        let header = header(self.generation, length, sum(self.generation, payload));
        if let Some(place) = buffer.get_mut(..HEADER) {
            place.copy_from_slice(&header);
        }
        self.write(buffer)?;
        let start = self.end + HEADER as u64;
        self.index(buffer.get(HEADER..).unwrap_or_default(), start);
        self.end += buffer.len() as u64;
        Ok(())
    }

    fn write(&mut self, group: &[u8]) -> Result<(), StorageError> {
        let end = self.end + group.len() as u64;
        if end > self.allocated {
            // Written and not only reserved: a block that was never written costs the file system a change of its tables
            // when it is, and every sync would wait for that.
            let wanted = end.next_multiple_of(JOURNAL_STEP);
            let zeros = vec![0; usize::try_from(wanted - self.allocated).unwrap_or(0)];
            self.file.write_all_at(&zeros, self.allocated).map_err(|error| failed(&error))?;
            self.allocated = wanted;
        }
        self.file.write_all_at(group, self.end).map_err(|error| failed(&error))?;
        // The kernel forgets that a page could not be written once it has said so: nobody knows what the disk holds.
        self.file.sync_data().map_err(|error| StorageError::Unknown(error.to_string()))
    }

    /// Reads a change.
    pub(super) fn read(&self, entry: &Entry, buffer: &mut Vec<u8>) -> Result<(), StorageError> {
        buffer.resize(usize::try_from(entry.length).unwrap_or(0), 0);
        self.file.read_exact_at(buffer, entry.offset).map_err(|error| failed(&error))
    }

    /// Marks the file as empty, since all of it is in the table, and begins a new generation.
    pub(super) fn begin(&mut self, generation: u64) -> Result<(), StorageError> {
        // An empty group keeps the generation: were it counted from 1 again, groups of long ago could be taken for new.
        let header = header(generation, 0, sum(generation, &[]));
        self.file.write_all_at(&header, 0).map_err(|error| failed(&error))?;
        self.file.sync_data().map_err(|error| failed(&error))?;
        self.generation = generation;
        self.end = HEADER as u64;
        self.allocated = self.allocated.max(self.end);
        self.entries.clear();
        Ok(())
    }
}

fn header(generation: u64, length: u32, sum: u64) -> Vec<u8> {
    [&generation.to_le_bytes()[..], &length.to_le_bytes(), &sum.to_le_bytes()].concat()
}

fn sum(generation: u64, payload: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(generation, payload.len() as u64);
    hasher.write(payload);
    hasher.finish()
}

fn failed(error: &std::io::Error) -> StorageError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => StorageError::Full,
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => StorageError::ReadOnly,
        _ => StorageError::Unreachable(error.to_string()),
    }
}
