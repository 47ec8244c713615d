//! Interned names: User-Agents and sockets, of which few different ones exist and every binding has one.
//!
//! Append-only and bounded: a name keeps its number for the life of the table, so reading one takes no lock.
//! What it does NOT do: free names. The bound ([`MAX_NAMES`]) replaces reference counts; when it is reached, new
//! names are not interned and the binding stores the bytes itself.

use std::sync::OnceLock;

use hashbrown::HashTable;
use parking_lot::Mutex;

use crate::identity::Key;
use crate::limits::MAX_NAMES;

const CHUNK: usize = 256;
const CHUNKS: usize = MAX_NAMES / CHUNK;

/// The number of an interned name. `NameId::NONE` is the empty name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NameId(pub(crate) u16);

impl NameId {
    /// The empty name.
    pub const NONE: NameId = NameId(0);
}

type Chunk = Box<[OnceLock<Box<[u8]>>]>;

/// The names of one [`Location`](crate::Location), shared by its domains.
pub struct Names {
    chunks: Box<[OnceLock<Chunk>]>,
    index: Mutex<Index>,
    key: Key,
}

struct Index {
    by_name: HashTable<u16>,
    used: u16,
}

impl Names {
    pub(crate) fn new(key: Key) -> Names {
        let chunks = (0..CHUNKS).map(|_| OnceLock::new()).collect();
        Names { chunks, index: Mutex::new(Index { by_name: HashTable::new(), used: 0 }), key }
    }

    /// The name behind `id`; empty for [`NameId::NONE`] and for an id of another table.
    #[inline]
    pub fn name(&self, id: NameId) -> &[u8] {
        self.slot(id.0).and_then(OnceLock::get).map_or(&[], |name| name)
    }

    /// The number of `name`, which is added when it is new. `None` when the table of names is full.
    pub fn intern(&self, name: &[u8]) -> Option<NameId> {
        if name.is_empty() {
            return Some(NameId::NONE);
        }
        let hash = self.key.hash(name);
        let mut index = self.index.lock();
        if let Some(known) = index.by_name.find(hash, |id| self.name(NameId(*id)) == name) {
            return Some(NameId(*known));
        }
        let id = index.used.checked_add(1).filter(|id| usize::from(*id) < MAX_NAMES)?;
        self.place(id)?.set(name.into()).ok()?;
        index.used = id;
        index.by_name.insert_unique(hash, id, |other| self.key.hash(self.name(NameId(*other))));
        Some(NameId(id))
    }

    /// How many names are interned.
    pub fn len(&self) -> usize {
        usize::from(self.index.lock().used)
    }

    /// Whether no name is interned yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn slot(&self, id: u16) -> Option<&OnceLock<Box<[u8]>>> {
        let id = usize::from(id);
        self.chunks.get(id / CHUNK)?.get()?.get(id % CHUNK)
    }

    fn place(&self, id: u16) -> Option<&OnceLock<Box<[u8]>>> {
        let chunk = self.chunks.get(usize::from(id) / CHUNK)?;
        let chunk = chunk.get_or_init(|| (0..CHUNK).map(|_| OnceLock::new()).collect());
        chunk.get(usize::from(id) % CHUNK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::new(Key::from_bytes([7; 16]))
    }

    #[test]
    fn a_name_keeps_its_number() {
        let names = names();
        let first = names.intern(b"Phone/1.0").unwrap();
        let second = names.intern(b"Phone/2.0").unwrap();
        assert_ne!(first, second);
        assert_eq!(names.intern(b"Phone/1.0"), Some(first));
        assert_eq!(names.name(first), b"Phone/1.0");
        assert_eq!(names.name(NameId::NONE), b"");
        assert_eq!(names.intern(b""), Some(NameId::NONE));
    }

    #[test]
    fn a_full_table_of_names_refuses_new_ones_and_keeps_the_old() {
        let names = names();
        for number in 1..MAX_NAMES {
            assert!(names.intern(format!("agent {number}").as_bytes()).is_some(), "{number}");
        }
        assert_eq!(names.intern(b"one more"), None);
        assert_eq!(names.intern(b"agent 5").map(|id| names.name(id).to_vec()), Some(b"agent 5".to_vec()));
    }
}
