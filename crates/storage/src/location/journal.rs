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
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use siphasher::sip::SipHasher13;
use twox_hash::XxHash3_64;

use crate::error::StorageError;
use crate::limits::{JOURNAL_STEP, RECORD_BYTES};
use crate::location::record::{self, Bytes, encode};
use crate::location::row::RowChange;
use crate::location::window::Window;

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

/// A change that stood in a file when it was opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) entry: Entry,
    /// Whose row is written, by hash; [`NOBODY`] for a row that is deleted.
    pub(super) user: u64,
}

/// A journal file.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(super) file: Arc<File>,
    /// Of what is in it; one more than that of the other file when it was begun.
    pub(super) generation: u64,
    /// Where the next group goes.
    end: u64,
    allocated: u64,
    /// Every change that this process has appended, in order.
    entries: Vec<Entry>,
    /// What stood in it when it was opened, in order.
    pub(super) found: Arc<Vec<Found>>,
    /// Where that ended.
    found_end: u64,
    /// Set when what stood in it when it was opened is in the table.
    pub(super) is_over: Arc<AtomicBool>,
}

impl Journal {
    /// Opens a file and reads what is in it. Users are hashed with `seed`.
    pub(super) fn open(path: &Path, seed: u64) -> Result<Journal, StorageError> {
        let failed =
            |error: std::io::Error| StorageError::Open { path: path.to_owned(), reason: error.to_string() };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path).map_err(failed)?;
        // A name that is not on disk is as good as no file.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        let allocated = file.metadata().map_err(failed)?.len();
        let mut journal = Journal {
            file: Arc::new(file),
            generation: 0,
            end: 0,
            allocated,
            entries: Vec::new(),
            found: Arc::default(),
            found_end: 0,
            is_over: Arc::default(),
        };
        journal.scan(seed).map_err(failed)?;
        Ok(journal)
    }

    /// Reads the groups that are complete.
    fn scan(&mut self, seed: u64) -> std::io::Result<()> {
        let file = Arc::clone(&self.file);
        let mut window = Window::new(&file);
        let mut found = Vec::new();
        loop {
            if !window.fill(HEADER)? {
                break;
            }
            let mut fields = Bytes(window.from(0));
            let (Some(generation), Some(length), Some(checksum)) =
                (fields.array(), fields.array(), fields.array())
            else {
                break;
            };
            let generation = u64::from_le_bytes(generation);
            let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
            let is_next = generation != 0 && (window.base == 0 || generation == self.generation);
            let behind = HEADER.saturating_add(length);
            let is_inside = window.base.saturating_add(behind as u64) <= self.allocated;
            if !is_next || !is_inside || !window.fill(behind)? {
                break;
            }
            let payload = window.part(HEADER, behind);
            if !is_sum(generation, payload, u64::from_le_bytes(checksum)) {
                break;
            }
            self.generation = generation;
            let start = window.base + HEADER as u64;
            for (entry, change) in Changes::new(payload, start) {
                let user = record::username(change).map_or(NOBODY, |username| hash_of_user(seed, username));
                found.push(Found { entry, user });
            }
            window.forget(behind);
        }
        self.end = window.base;
        self.found_end = self.end;
        self.found = Arc::new(found);
        Ok(())
    }

    /// Whether nothing of it has to go into a table.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many changes it holds.
    pub(super) fn len(&self) -> usize {
        self.found.len() + self.entries.len()
    }

    /// How many bytes this process has appended to it.
    pub(super) fn appended(&self) -> u64 {
        self.end - self.found_end
    }

    /// Every change in it, in order.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        self.found.iter().map(|found| found.entry).chain(self.entries.iter().copied())
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
        let payload = buffer.get(HEADER..).unwrap_or_default();
        self.entries.extend(Changes::new(payload, start).map(|(entry, _)| entry));
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
        read(&self.file, entry, buffer)
    }

    /// Marks the file as empty, since all of it is in the table, and begins a new generation.
    pub(super) fn begin(&mut self, generation: u64) -> Result<(), StorageError> {
        // Whoever reads what was found here has to look into the table from now on.
        self.is_over.store(true, Ordering::SeqCst);
        // An empty group keeps the generation: were it counted from 1 again, groups of long ago could be taken for new.
        let header = header(generation, 0, sum(generation, &[]));
        self.file.write_all_at(&header, 0).map_err(|error| failed(&error))?;
        self.file.sync_data().map_err(|error| failed(&error))?;
        self.generation = generation;
        self.end = HEADER as u64;
        self.allocated = self.allocated.max(self.end);
        self.entries.clear();
        self.found = Arc::default();
        self.found_end = self.end;
        Ok(())
    }
}

/// Reads a change.
pub(super) fn read(file: &File, entry: &Entry, buffer: &mut Vec<u8>) -> Result<(), StorageError> {
    buffer.resize(usize::try_from(entry.length).unwrap_or(0), 0);
    file.read_exact_at(buffer, entry.offset).map_err(|error| failed(&error))
}

/// The changes of a group, each with its bytes.
struct Changes<'a> {
    payload: &'a [u8],
    rest: Bytes<'a>,
    /// Where the group stands in the file.
    start: u64,
}

impl<'a> Changes<'a> {
    fn new(payload: &'a [u8], start: u64) -> Changes<'a> {
        Changes { payload, rest: Bytes(payload), start }
    }
}

impl<'a> Iterator for Changes<'a> {
    type Item = (Entry, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, length) = (self.rest.array()?, self.rest.array()?);
        let offset = self.start + (self.payload.len() - self.rest.0.len()) as u64;
        let length = u32::from_le_bytes(length);
        let change = self.rest.take(usize::try_from(length).ok()?)?;
        Some((Entry { key: i64::from_le_bytes(key), offset, length }, change))
    }
}

fn header(generation: u64, length: u32, sum: u64) -> Vec<u8> {
    [&generation.to_le_bytes()[..], &length.to_le_bytes(), &sum.to_le_bytes()].concat()
}

/// A start reads all of a journal before it serves, so this is one of the fast ones.
fn sum(generation: u64, payload: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(generation, payload)
}

/// Whether that is the checksum of a group, also of one that an earlier version has written.
fn is_sum(generation: u64, payload: &[u8], found: u64) -> bool {
    let earlier = || {
        let mut hasher = SipHasher13::new_with_keys(generation, payload.len() as u64);
        hasher.write(payload);
        hasher.finish()
    };
    found == sum(generation, payload) || found == earlier()
}

/// What stands for the user of a change that names none.
pub(super) const NOBODY: u64 = 0;

/// The hash of a user; the seed is a secret of the process, so that nobody can choose whom to share it with.
pub(super) fn hash_of_user(seed: u64, username: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(seed, username).max(1)
}

fn failed(error: &std::io::Error) -> StorageError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => StorageError::Full,
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => StorageError::ReadOnly,
        _ => StorageError::Unreachable(error.to_string()),
    }
}
