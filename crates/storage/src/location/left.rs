//! What a process before this one has left in the journal, read from there until it is in the table.
//!
//! After a kill, or after a stop with a million bindings unwritten, the journal may hold as much as the table. A start
//! does not wait until all of it is there: whoever reads rows gets those of the table with the changes of the journal
//! laid over them. What this process appends later is not here.
//!
//! Only where the changes stand is kept in memory. Once a file is in the table it is written again from its start; who reads
//! it meanwhile notices ([`Seen`]) and has to read the table once more.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use crate::error::StorageError;
use crate::location::journal::{self, Entry, Found, Journal, NOBODY, hash_of_user};
use crate::location::record::{self, Change};
use crate::location::row::{BrokenRow, Page, Row};
use crate::location::sqlite::key;

/// The two files as they were found, the older one first.
#[derive(Debug)]
pub(crate) struct Left {
    files: [Source; 2],
    seed: u64,
    /// Made by a thread of its own, while the server begins to serve.
    index: OnceLock<Index>,
    is_indexed: watch::Sender<bool>,
}

/// A file, and what was found in it.
#[derive(Debug)]
struct Source {
    file: Arc<File>,
    found: Arc<Vec<Found>>,
    /// Whether all of that is in the table.
    is_over: Arc<AtomicBool>,
}

/// Which of the files still counted, before the table was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen([bool; 2]);

/// Where the last change of a row stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    entry: Entry,
    user: u64,
    file: usize,
}

#[derive(Debug)]
struct Index {
    /// The last change of each row, by key.
    order: Vec<Place>,
    /// Users of the rows that are written, by hash, and the index of the change in `order`.
    users: Vec<(u64, u32)>,
}

impl Left {
    /// What both files held; none if that was nothing. An index of it is begun.
    pub(super) fn new(older: &Journal, newer: &Journal, seed: u64) -> Option<Arc<Left>> {
        let files = [older, newer].map(|journal| Source {
            file: Arc::clone(&journal.file),
            found: Arc::clone(&journal.found),
            is_over: Arc::clone(&journal.is_over),
        });
        if files.iter().all(|source| source.found.is_empty()) {
            return None;
        }
        let left =
            Arc::new(Left { files, seed, index: OnceLock::new(), is_indexed: watch::Sender::new(false) });
        let itself = Arc::clone(&left);
        let thread = std::thread::Builder::new().name("seawall-journal-index".to_owned());
        if thread.spawn(move || itself.make_index()).is_err() {
            left.make_index();
        }
        Some(left)
    }

    /// Waits until large parts of it can be read: a tenth of a second for a million changes. A single user need not wait.
    pub(super) async fn indexed(&self) {
        // The sender is here.
        let _ = self.is_indexed.subscribe().wait_for(|is_indexed| *is_indexed).await;
    }

    /// To be asked before the table is read.
    pub(super) fn seen(&self) -> Seen {
        Seen(
            [0, 1].map(|file| {
                self.files.get(file).is_some_and(|source| !source.is_over.load(Ordering::SeqCst))
            }),
        )
    }

    fn make_index(&self) {
        self.index.get_or_init(|| {
            let mut order: Vec<Place> = self.places().collect();
            order.sort_unstable_by_key(|place| (place.entry.key, place.file, place.entry.offset));
            // Of the changes of one row the last.
            order.reverse();
            order.dedup_by_key(|place| place.entry.key);
            order.reverse();
            let of = |(index, place): (usize, &Place)| Some((place.user, u32::try_from(index).ok()?));
            let mut users: Vec<(u64, u32)> = order.iter().enumerate().filter_map(of).collect();
            users.retain(|(user, _)| *user != NOBODY);
            users.sort_unstable();
            Index { order, users }
        });
        self.is_indexed.send_replace(true);
    }

    /// Every change, in order.
    fn places(&self) -> impl Iterator<Item = Place> {
        self.files.iter().enumerate().flat_map(|(file, source)| {
            source.found.iter().map(move |found| Place { entry: found.entry, user: found.user, file })
        })
    }

    /// Reads a change; nothing when it is damaged.
    fn change<'a>(&self, place: &Place, buffer: &'a mut Vec<u8>) -> Result<Option<Change<'a>>, StorageError> {
        let Some(source) = self.files.get(place.file) else { return Ok(None) };
        journal::read(&source.file, &place.entry, buffer)?;
        Ok(record::decode(buffer))
    }

    /// Lays the changes over a page of the table that begins behind `after`, when the index is there. The result has at
    /// most twice `rows` rows, in no order; its [`Page::last`] is right. None when a file has gone into the table
    /// meanwhile.
    pub(super) fn over_page(
        &self,
        mut page: Page,
        after: Option<u64>,
        rows: u32,
        seen: Seen,
    ) -> Result<Option<Page>, StorageError> {
        let order = self.index.get().map(|index| index.order.as_slice()).unwrap_or_default();
        let start = after.map_or(0, |after| order.partition_point(|place| place.entry.key <= key(after)));
        let mut places = order.get(start..).unwrap_or_default();
        if let Some(last) = page.last {
            let end = places.partition_point(|place| place.entry.key <= key(last));
            places = places.get(..end).unwrap_or_default();
        }
        let most = usize::try_from(rows.max(1)).unwrap_or(usize::MAX);
        if let Some((some, _)) = places.split_at_checked(most).filter(|(_, rest)| !rest.is_empty())
            && let Some(last) = some.last()
        {
            places = some;
            page.last = Some(last.entry.key.cast_unsigned());
            page.rows.retain(|row| key(row.contact_id) <= last.entry.key);
            page.broken.retain(|row| key(row.contact_id) <= last.entry.key);
        }
        let places: Vec<&Place> = places.iter().filter(|place| seen.counts(place)).collect();
        let is_left = |id: u64| places.binary_search_by_key(&key(id), |place| place.entry.key).is_ok();
        page.rows.retain(|row| !is_left(row.contact_id));
        page.broken.retain(|row| !is_left(row.contact_id));
        let mut buffer = Vec::new();
        for place in places {
            let contact_id = place.entry.key.cast_unsigned();
            match self.change(place, &mut buffer)? {
                Some(Change::Upsert(row)) => page.rows.push(row.row(contact_id)),
                Some(Change::Delete) => {}
                None => page
                    .broken
                    .push(BrokenRow { contact_id, reason: "it is damaged in the journal".to_owned() }),
            }
        }
        Ok((self.seen() == seen).then_some(page))
    }

    /// Lays the changes over the rows of a user, with `domain` those of the user in that domain only. None as with
    /// [`over_page`](Left::over_page).
    pub(super) fn over_user(
        &self,
        mut rows: Vec<Row>,
        username: &[u8],
        domain: Option<&[u8]>,
        seen: Seen,
    ) -> Result<Option<Vec<Row>>, StorageError> {
        let keys: Vec<i64> = rows.iter().map(|row| key(row.contact_id)).collect();
        let places = self.concerning(hash_of_user(self.seed, username), keys);
        let places: Vec<Place> = places.into_iter().filter(|place| seen.counts(place)).collect();
        rows.retain(|row| places.iter().all(|place| place.entry.key != key(row.contact_id)));
        let mut buffer = Vec::new();
        for place in &places {
            if let Some(Change::Upsert(row)) = self.change(place, &mut buffer)? {
                let row = row.row(place.entry.key.cast_unsigned());
                if row.username == username && domain.is_none_or(|domain| row.domain == domain) {
                    rows.push(row);
                }
            }
        }
        rows.sort_by_key(|row| key(row.contact_id));
        Ok((self.seen() == seen).then_some(rows))
    }

    /// The last change of each row that is one of these or that a user had at some time.
    fn concerning(&self, user: u64, mut keys: Vec<i64>) -> Vec<Place> {
        let Some(Index { order, users }) = self.index.get() else {
            // Some milliseconds for a million changes, while their index is being made.
            keys.extend(self.places().filter(|place| place.user == user).map(|place| place.entry.key));
            keys.sort_unstable();
            keys.dedup();
            let mut last: Vec<Option<Place>> = vec![None; keys.len()];
            for place in self.places() {
                if let Ok(index) = keys.binary_search(&place.entry.key)
                    && let Some(known) = last.get_mut(index)
                {
                    *known = Some(place);
                }
            }
            return last.into_iter().flatten().collect();
        };
        let at = |key: i64| order.binary_search_by_key(&key, |place| place.entry.key).ok();
        let mut found: Vec<usize> = keys.into_iter().filter_map(at).collect();
        let start = users.partition_point(|(known, _)| *known < user);
        let of_user = users.iter().skip(start).take_while(|(known, _)| *known == user);
        found.extend(of_user.filter_map(|(_, index)| usize::try_from(*index).ok()));
        found.sort_unstable();
        found.dedup();
        found.into_iter().filter_map(|index| order.get(index).copied()).collect()
    }
}

impl Seen {
    fn counts(self, place: &Place) -> bool {
        let Seen(files) = self;
        files.get(place.file).is_some_and(|counts| *counts)
    }
}
