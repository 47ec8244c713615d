//! What a process before this one has left in the journal, read from memory until it is in the table.
//!
//! After a kill, or after a stop with a million bindings unwritten, the journal may hold as much as the table. A start
//! does not wait until all of it is there: whoever reads rows gets those of the table with the changes of the journal
//! laid over them. What this process appends later is not here.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use crate::location::journal::{Entry, Journal};
use crate::location::record::{self, Change};
use crate::location::row::{BrokenRow, Page, Row};
use crate::location::sqlite::key;

/// The two files as they were found, the older one first.
#[derive(Debug)]
pub(crate) struct Left {
    files: [File; 2],
    /// The last change of each row, by key. Made when somebody reads.
    order: OnceLock<Vec<Place>>,
    /// Users of the rows that are written, by hash, and the index of the change in `order`.
    users: OnceLock<Vec<(u64, u32)>>,
    hasher: RandomState,
}

#[derive(Debug)]
struct File {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

/// Where the last change of a row stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    key: i64,
    file: usize,
    entry: Entry,
}

impl Left {
    /// Takes what both files held; none if that was nothing.
    pub(super) fn take(older: &mut Journal, newer: &mut Journal) -> Option<Left> {
        let is_empty = older.entries.is_empty() && newer.entries.is_empty();
        let files = [older, newer].map(|journal| File {
            bytes: std::mem::take(&mut journal.left),
            entries: if is_empty { Vec::new() } else { journal.entries.clone() },
        });
        let left = Left { files, order: OnceLock::new(), users: OnceLock::new(), hasher: RandomState::new() };
        (!is_empty).then_some(left)
    }

    fn order(&self) -> &[Place] {
        self.order.get_or_init(|| {
            let [older, newer] = &self.files;
            let mut order = Vec::with_capacity(older.entries.len() + newer.entries.len());
            for (file, File { entries, .. }) in self.files.iter().enumerate() {
                order.extend(entries.iter().map(|entry| Place { key: entry.key, file, entry: *entry }));
            }
            order.sort_unstable_by_key(|place| (place.key, place.file, place.entry.offset));
            // Of the changes of one row the last.
            order.reverse();
            order.dedup_by_key(|place| place.key);
            order.reverse();
            order
        })
    }

    fn users(&self) -> &[(u64, u32)] {
        self.users.get_or_init(|| {
            let of = |(index, place): (usize, &Place)| match self.change(place) {
                Some(Change::Upsert(row)) => {
                    let [username, ..] = row.texts;
                    Some((self.hasher.hash_one(username), u32::try_from(index).ok()?))
                }
                _ => None,
            };
            let mut users: Vec<(u64, u32)> = self.order().iter().enumerate().filter_map(of).collect();
            users.sort_unstable();
            users
        })
    }

    fn change(&self, place: &Place) -> Option<Change<'_>> {
        let bytes = &self.files.get(place.file)?.bytes;
        let start = usize::try_from(place.entry.offset).ok()?;
        let length = usize::try_from(place.entry.length).ok()?;
        record::decode(bytes.get(start..start.checked_add(length)?)?)
    }

    /// Lays the changes over a page of the table that begins behind `after`. The result has at most twice `rows` rows, in
    /// no order; its [`Page::last`] is right.
    pub(super) fn over_page(&self, mut page: Page, after: Option<u64>, rows: u32) -> Page {
        let order = self.order();
        let start = after.map_or(0, |after| order.partition_point(|place| place.key <= key(after)));
        let mut places = order.get(start..).unwrap_or_default();
        if let Some(last) = page.last {
            let end = places.partition_point(|place| place.key <= key(last));
            places = places.get(..end).unwrap_or_default();
        }
        let most = usize::try_from(rows.max(1)).unwrap_or(usize::MAX);
        if let Some((some, _)) = places.split_at_checked(most).filter(|(_, rest)| !rest.is_empty())
            && let Some(last) = some.last()
        {
            places = some;
            page.last = Some(last.key.cast_unsigned());
            page.rows.retain(|row| key(row.contact_id) <= last.key);
            page.broken.retain(|row| key(row.contact_id) <= last.key);
        }
        let is_left = |id: u64| places.binary_search_by_key(&key(id), |place| place.key).is_ok();
        page.rows.retain(|row| !is_left(row.contact_id));
        page.broken.retain(|row| !is_left(row.contact_id));
        for place in places {
            let contact_id = place.key.cast_unsigned();
            match self.change(place) {
                Some(Change::Upsert(row)) => page.rows.push(row.row(contact_id)),
                Some(Change::Delete) => {}
                None => page
                    .broken
                    .push(BrokenRow { contact_id, reason: "it is damaged in the journal".to_owned() }),
            }
        }
        page
    }

    /// Lays the changes over the rows of a user, with `domain` those of the user in that domain only.
    pub(super) fn over_user(&self, mut rows: Vec<Row>, username: &[u8], domain: Option<&[u8]>) -> Vec<Row> {
        let order = self.order();
        rows.retain(|row| order.binary_search_by_key(&key(row.contact_id), |place| place.key).is_err());
        let (users, hash) = (self.users(), self.hasher.hash_one(username));
        let start = users.partition_point(|(user, _)| *user < hash);
        let of_user = users.iter().skip(start).take_while(|(user, _)| *user == hash);
        for place in of_user.filter_map(|(_, index)| order.get(usize::try_from(*index).ok()?)) {
            if let Some(Change::Upsert(row)) = self.change(place) {
                let row = row.row(place.key.cast_unsigned());
                if row.username == username && domain.is_none_or(|domain| row.domain == domain) {
                    rows.push(row);
                }
            }
        }
        rows.sort_by_key(|row| key(row.contact_id));
        rows
    }
}
