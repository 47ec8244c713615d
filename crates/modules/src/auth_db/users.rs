//! Users who were looked up, remembered for a while.

use std::fmt;
use std::sync::Arc;

use hashbrown::HashTable;
use parking_lot::Mutex;
use seawall_digest::{Ha1, Hash};
use seawall_script::Value;

/// How many users are remembered in one shard: a million in all, some 250 MB at worst. Only users in the database count
/// for more than [`NOBODY_S`].
const USERS_PER_SHARD: usize = 16 * 1024;

/// Many more than workers, so that two of them seldom meet.
const SHARDS: usize = 64;

/// How long it is remembered, in seconds, that there is no such user: long enough that somebody who guesses names asks the
/// database seldom, short enough for a user who was just added by another program.
const NOBODY_S: u64 = 5;

/// What the database knows about a user.
#[derive(Debug)]
pub struct Record {
    /// Hashes of the password, one for each hash function that is stored.
    pub ha1: Box<[Ha1]>,
    /// The columns of `load_credentials`, in their order.
    pub values: Box<[Value]>,
}

impl Record {
    /// The hash made by a hash function.
    pub fn ha1(&self, hash: Hash) -> Option<Ha1> {
        self.ha1.iter().find(|ha1| ha1.hash() == hash).copied()
    }
}

/// Whom a name stands for; nobody, or somebody.
pub type Found = Option<Arc<Record>>;

/// What a user is remembered by.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    /// The table.
    pub table: &'a str,
    /// The realm of the credentials.
    pub realm: &'a [u8],
    /// Their user name.
    pub username: &'a [u8],
}

impl Name<'_> {
    /// The parts with what cannot stand in them between them.
    pub fn parts(&self) -> [&[u8]; 5] {
        [self.table.as_bytes(), b"\0", self.realm, b"\0", self.username]
    }

    fn is(&self, key: &[u8]) -> bool {
        let mut rest = key;
        for part in self.parts() {
            let Some(after) = rest.strip_prefix(part) else { return false };
            rest = after;
        }
        rest.is_empty()
    }
}

struct Entry {
    hash: u64,
    key: Box<[u8]>,
    found: Found,
    at_s: u64,
    until_s: u64,
}

/// The table. Hashes of names come from a keyed function, so that nobody can aim at a bucket.
pub struct Users {
    shards: Vec<Mutex<HashTable<Entry>>>,
}

impl fmt::Debug for Users {
    /// Says nothing: what it holds is as good as passwords.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Users")
    }
}

impl Default for Users {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl Users {
    fn shard(&self, hash: u64) -> Option<&Mutex<HashTable<Entry>>> {
        self.shards.get(usize::try_from(hash >> 58).unwrap_or(0) % SHARDS)
    }

    /// Whom a name stands for, and since when that is known; nothing when it has to be looked up.
    pub fn find(&self, hash: u64, name: Name<'_>, now_s: u64) -> Option<(Found, u64)> {
        let shard = self.shard(hash)?.lock();
        let entry = shard.find(hash, |entry| entry.hash == hash && name.is(&entry.key))?;
        (now_s < entry.until_s).then(|| (entry.found.clone(), entry.at_s))
    }

    /// Remembers what was looked up.
    pub fn remember(&self, hash: u64, name: Name<'_>, found: Found, now_s: u64, ttl_s: u64) {
        if ttl_s == 0 {
            return;
        }
        let Some(shard) = self.shard(hash) else { return };
        let ttl_s = if found.is_some() { ttl_s } else { ttl_s.min(NOBODY_S) };
        let entry =
            Entry { hash, key: name.parts().concat().into(), found, at_s: now_s, until_s: now_s + ttl_s };
        let mut shard = shard.lock();
        if let Some(known) = shard.find_mut(hash, |known| known.hash == hash && name.is(&known.key)) {
            *known = entry;
            return;
        }
        if shard.len() >= USERS_PER_SHARD {
            make_room(&mut shard, now_s);
        }
        shard.insert_unique(hash, entry, |entry| entry.hash);
    }

    /// Forgets a user, with or without a domain in the name, in every table and realm.
    pub fn forget(&self, user: &[u8]) {
        let of = |key: &[u8]| {
            let name = key.rsplit(|byte| *byte == 0).next().unwrap_or_default();
            name == user || name.split(|byte| *byte == b'@').next() == Some(user)
        };
        for shard in &self.shards {
            shard.lock().retain(|entry| !of(&entry.key));
        }
    }

    /// Forgets everybody.
    pub fn forget_all(&self) {
        self.shards.iter().for_each(|shard| shard.lock().clear());
    }
}

/// Drops what is over and names of nobody; when that is not half of all, those who were looked up first.
fn make_room(shard: &mut HashTable<Entry>, now_s: u64) {
    shard.retain(|entry| entry.found.is_some() && now_s < entry.until_s);
    let left = shard.len();
    if left > USERS_PER_SHARD / 2 {
        let sum: u64 = shard.iter().map(|entry| entry.at_s).sum();
        let middle_s = sum / u64::try_from(left).unwrap_or(1).max(1);
        shard.retain(|entry| entry.at_s > middle_s);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(username: &str) -> Name<'_> {
        Name { table: "subscriber", realm: b"r", username: username.as_bytes() }
    }

    fn somebody() -> Found {
        Some(Arc::new(Record { ha1: Box::default(), values: Box::default() }))
    }

    #[test]
    fn users_are_remembered_for_their_time_and_nobody_for_less() {
        let users = Users::default();
        users.remember(1, name("alice"), somebody(), 100, 60);
        users.remember(1, name("bob"), None, 100, 60);
        let check = |user: &str, now_s: u64, expected: Option<bool>| {
            let found = users.find(1, name(user), now_s);
            assert_eq!(found.map(|(found, _)| found.is_some()), expected, "{user} at {now_s}");
        };
        check("alice", 159, Some(true));
        check("alice", 160, None);
        check("bob", 104, Some(false));
        check("bob", 105, None);
        check("carol", 100, None);
        assert!(users.find(1, Name { realm: b"s", ..name("alice") }, 100).is_none());
    }

    #[test]
    fn a_changed_user_is_forgotten_in_all_forms() {
        let users = Users::default();
        for user in ["alice", "alice@example.com", "alicia"] {
            users.remember(1, name(user), somebody(), 100, 60);
        }
        users.forget(b"alice");
        assert!(users.find(1, name("alice"), 100).is_none());
        assert!(users.find(1, name("alice@example.com"), 100).is_none());
        assert!(users.find(1, name("alicia"), 100).is_some());
        users.forget_all();
        assert!(users.find(1, name("alicia"), 100).is_none());
    }

    #[test]
    fn a_shard_has_a_bound() {
        let users = Users::default();
        for number in 0..USERS_PER_SHARD as u64 + 100 {
            users.remember(number, name(&number.to_string()), somebody(), number / 100, 60_000);
        }
        assert!(users.shards[0].lock().len() <= USERS_PER_SHARD);
        let last = USERS_PER_SHARD as u64 + 99;
        assert!(users.find(last, name(&last.to_string()), last / 100).is_some());
    }

    #[test]
    fn nothing_is_remembered_for_no_time() {
        let users = Users::default();
        users.remember(1, name("alice"), somebody(), 100, 0);
        assert!(users.find(1, name("alice"), 100).is_none());
    }
}
