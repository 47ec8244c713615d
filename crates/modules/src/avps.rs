//! `$avp` values: named, several to a name, the newest first.

use seawall_script::{Bytes, Value};

/// How many values one message may carry. A script that adds one for every contact of a large record stays
/// far below; a loop that never ends does not eat the memory.
pub const MAX_VALUES: usize = 4096;

/// The values of one message and its transaction.
#[derive(Debug, Clone, Default)]
pub struct Avps {
    /// In the order in which they were added; the newest is last.
    entries: Vec<(Bytes, Value)>,
}

impl Avps {
    /// Forgets all values.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Whether there is no value at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value at `index`, 0 being the newest.
    #[must_use]
    pub fn value<'a>(&'a self, name: &[u8], index: usize) -> Option<&'a Value> {
        let mut matching = self.entries.iter().rev().filter(|(key, _)| &**key == name);
        matching.nth(index).map(|(_, value)| value)
    }

    /// All values of a name, newest first.
    pub fn values<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a Value> {
        self.entries.iter().rev().filter(move |(key, _)| &**key == name).map(|(_, value)| value)
    }

    /// Adds a value in front of the others. Returns false when there is no room.
    pub fn add(&mut self, name: &[u8], value: Value) -> bool {
        if self.entries.len() >= MAX_VALUES {
            return false;
        }
        self.entries.push((Bytes::copy(name), value));
        true
    }

    /// Replaces the value at `index`. Returns false when there is none.
    pub fn set(&mut self, name: &[u8], index: usize, value: Value) -> bool {
        let mut matching = self.entries.iter_mut().rev().filter(|(key, _)| &**key == name);
        match matching.nth(index) {
            Some((_, slot)) => {
                *slot = value;
                true
            }
            None => false,
        }
    }

    /// Removes the value at `index`.
    pub fn remove(&mut self, name: &[u8], index: usize) {
        let mut seen = 0;
        let found = self.entries.iter().enumerate().rev().find_map(|(position, (key, _))| {
            let matches = &**key == name;
            let here = matches && seen == index;
            seen += usize::from(matches);
            here.then_some(position)
        });
        if let Some(position) = found {
            self.entries.remove(position);
        }
    }

    /// Removes all values of a name.
    pub fn remove_all(&mut self, name: &[u8]) {
        self.entries.retain(|(key, _)| &**key != name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_value_has_index_zero() {
        let mut avps = Avps::default();
        for number in 1..=3 {
            assert!(avps.add(b"a", Value::Int(number)));
        }
        avps.add(b"b", Value::Int(9));
        let values: Vec<_> = avps.values(b"a").cloned().collect();
        assert_eq!(values, [Value::Int(3), Value::Int(2), Value::Int(1)]);
        avps.remove(b"a", 1);
        assert_eq!(avps.value(b"a", 1), Some(&Value::Int(1)));
        assert!(avps.set(b"a", 0, Value::Int(7)));
        assert_eq!(avps.value(b"a", 0), Some(&Value::Int(7)));
        assert!(!avps.set(b"a", 2, Value::Int(7)));
        avps.remove_all(b"a");
        assert_eq!(avps.value(b"a", 0), None);
        assert_eq!(avps.value(b"b", 0), Some(&Value::Int(9)));
    }
}
