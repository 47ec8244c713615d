//! Interned names: User-Agents and sockets, of which few different ones exist and every binding has one.
//!
//! Append-only and bounded: a name keeps its number for the life of the table, so reading one takes no lock, nor does finding
//! the number of one that is known, which every new binding asks for.
//! What it does NOT do: free names. The bound ([`MAX_NAMES`]) replaces reference counts; when it is reached, new
//! names are not interned and the binding stores the bytes itself.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

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

    /// The number itself; 0 is that of the empty name. It says nothing outside of its table.
    #[inline]
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

type Chunk = Box<[OnceLock<Box<[u8]>>]>;

/// Places of the index: twice as many as names, so that a search always ends.
const PLACES: usize = 2 * MAX_NAMES;

/// Places of those that were asked for lately: more than there are models of phones in most networks, and 2 kB.
const RECENT: usize = 1024;

/// A place among [`RECENT`], from the length and both ends of a name.
#[inline]
fn glance(name: &[u8]) -> usize {
    let ends = name.first_chunk::<8>().zip(name.last_chunk::<8>());
    let (first, last) =
        ends.map_or((0, 0), |(first, last)| (u64::from_le_bytes(*first), u64::from_le_bytes(*last)));
    let mixed = (first ^ last.rotate_left(29) ^ name.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> (u64::BITS - RECENT.trailing_zeros())) as usize
}

/// The names of one [`Location`](crate::Location), shared by its domains.
pub struct Names {
    chunks: Box<[OnceLock<Chunk>]>,
    /// The numbers by the hash of their names, each in the first place from there that was free; 0 in free places. A number
    /// is written when its name can be read, and never changes.
    index: Box<[AtomicU16]>,
    /// Numbers that were asked for lately, by a glance at their names, which costs less than the hash. Several may share a
    /// place; what stands there is compared.
    recent: Box<[AtomicU16]>,
    /// How many there are; whoever adds one holds it.
    used: Mutex<u16>,
    key: Key,
}

impl Names {
    pub(crate) fn new(key: Key) -> Names {
        let chunks = (0..CHUNKS).map(|_| OnceLock::new()).collect();
        let index = (0..PLACES).map(|_| AtomicU16::new(0)).collect();
        let recent = (0..RECENT).map(|_| AtomicU16::new(0)).collect();
        Names { chunks, index, recent, used: Mutex::new(0), key }
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
        let recent = self.recent.get(glance(name));
        if let Some(id) = recent.map(|place| NameId(place.load(Ordering::Relaxed)))
            && self.name(id) == name
        {
            return Some(id);
        }
        let id = self.intern_any(name)?;
        if let Some(place) = recent {
            place.store(id.0, Ordering::Relaxed);
        }
        Some(id)
    }

    /// As [`intern`](Names::intern), for a name that was not asked for lately.
    #[cold]
    fn intern_any(&self, name: &[u8]) -> Option<NameId> {
        let place = self.key.hash(name) as usize % PLACES;
        if let Ok(known) = self.find(place, name) {
            return Some(known);
        }
        let mut used = self.used.lock();
        // Somebody else may have added it meanwhile.
        let free = match self.find(place, name) {
            Ok(known) => return Some(known),
            Err(free) => free?,
        };
        let id = used.checked_add(1).filter(|id| usize::from(*id) < MAX_NAMES)?;
        self.place(id)?.set(name.into()).ok()?;
        *used = id;
        free.store(id, Ordering::Release);
        Some(NameId(id))
    }

    /// The number of a name that is known, looked for from this place on, or the first place that is free.
    fn find(&self, from: usize, name: &[u8]) -> Result<NameId, Option<&AtomicU16>> {
        let (before, behind) = self.index.split_at_checked(from).unwrap_or_default();
        for place in behind.iter().chain(before) {
            match place.load(Ordering::Acquire) {
                0 => return Err(Some(place)),
                id if self.name(NameId(id)) == name => return Ok(NameId(id)),
                _ => {}
            }
        }
        Err(None)
    }

    /// How many names are interned.
    pub fn len(&self) -> usize {
        usize::from(*self.used.lock())
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
        assert_eq!(names.len(), MAX_NAMES - 1);
        assert_eq!(names.intern(b"agent 5").map(|id| names.name(id).to_vec()), Some(b"agent 5".to_vec()));
    }
    #[test]
    fn threads_that_add_the_same_names_get_the_same_numbers() {
        let names = names();
        let add =
            || (0..500).map(|number| names.intern(format!("agent {number}").as_bytes())).collect::<Vec<_>>();
        let (first, second) = std::thread::scope(|scope| {
            let threads = [scope.spawn(add), scope.spawn(add)];
            let [first, second] = threads.map(|thread| thread.join().unwrap());
            (first, second)
        });
        assert_eq!(first, second);
        assert_eq!(names.len(), 500);
    }
}
