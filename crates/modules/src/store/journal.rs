//! The journal: changes of the location table on their way to the database, in the order in which they were made.
//!
//! An operation takes its place under the lock of its location shard and is filled in a moment later, so that the order
//! of one address of record is the order of the table, and what belongs together is never cut apart: a group ends before
//! the first place that is not filled yet.
//!
//! What it does NOT do: talk to a database, or know what a change means.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use seawall_location::Image;
use seawall_storage::location::RowChange;

/// What became of an operation that somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is not known yet.
    Open,
    /// It is on disk.
    Kept,
    /// The database did not take it, and it was taken back.
    Failed,
}

/// Somebody waits for an operation.
#[derive(Debug, Default)]
pub struct Ticket(AtomicU8);

impl Ticket {
    /// What became of it.
    #[must_use]
    pub fn fate(&self) -> Fate {
        match self.0.load(Ordering::Acquire) {
            0 => Fate::Open,
            1 => Fate::Kept,
            _ => Fate::Failed,
        }
    }

    /// Says what became of it, once and for all. Gives what it is then: whoever decides first is right.
    pub fn decide(&self, fate: Fate) -> Fate {
        let number = match fate {
            Fate::Open => return self.fate(),
            Fate::Kept => 1,
            Fate::Failed => 2,
        };
        // Whoever decides first is right: what has failed is not kept later.
        let _ = self.0.compare_exchange(0, number, Ordering::AcqRel, Ordering::Acquire);
        self.fate()
    }
}

/// Everything that one operation changes about one address of record.
#[derive(Debug)]
pub struct Operation {
    /// Its place in the order of all.
    pub sequence: u64,
    /// The number of its table.
    pub table: u16,
    /// The address of record.
    pub aor: Box<[u8]>,
    /// The rows, in order.
    pub changes: Vec<RowChange>,
    /// What the address of record held before, where that is put back when the database fails.
    pub image: Option<Image>,
    /// Who waits.
    pub ticket: Option<Arc<Ticket>>,
}

/// A place in the journal.
#[derive(Debug)]
struct Place {
    table: u16,
    aor: Box<[u8]>,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// Its operation goes on.
    Open,
    Filled(Operation),
    /// It was withdrawn before it was filled.
    Withdrawn,
}

#[derive(Debug, Default)]
struct Queue {
    places: VecDeque<Place>,
    /// The sequence number of the first place.
    first: u64,
}

/// The operations that are not settled. Sequence numbers begin with 1.
#[derive(Debug, Default)]
pub struct Journal {
    queue: Mutex<Queue>,
    /// Operations that are in the queue or on their way.
    unsettled: AtomicUsize,
    /// The last number that was given.
    last: AtomicU64,
    /// Everything up to this number is decided.
    settled: AtomicU64,
    /// The highest number of an operation that has failed.
    failed: AtomicU64,
}

impl Journal {
    /// Takes a place. Called under the lock of the location shard, before it is let go.
    pub fn open(&self, table: u16, aor: &[u8]) -> u64 {
        let mut queue = self.queue.lock();
        let sequence = self.last.load(Ordering::Relaxed) + 1;
        self.last.store(sequence, Ordering::Release);
        if queue.places.is_empty() {
            queue.first = sequence;
        }
        self.unsettled.fetch_add(1, Ordering::Relaxed);
        queue.places.push_back(Place { table, aor: aor.into(), content: Content::Open });
        sequence
    }

    /// Fills a place. False when it was withdrawn meanwhile: then the operation has failed, and its ticket says so.
    pub fn close(
        &self,
        sequence: u64,
        changes: Vec<RowChange>,
        image: Option<Image>,
        ticket: Option<Arc<Ticket>>,
    ) -> bool {
        let mut queue = self.queue.lock();
        let index = sequence.checked_sub(queue.first).and_then(|index| usize::try_from(index).ok());
        let place = index.and_then(|index| queue.places.get_mut(index));
        let Some(place) = place.filter(|place| matches!(place.content, Content::Open)) else {
            drop(queue);
            if let Some(ticket) = ticket {
                ticket.decide(Fate::Failed);
            }
            return false;
        };
        let (table, aor) = (place.table, std::mem::take(&mut place.aor));
        place.content = Content::Filled(Operation { sequence, table, aor, changes, image, ticket });
        true
    }

    /// Takes the operations of the next group: as many as have `most` changes together, one at least if there is one.
    /// Gives the number up to which all is taken, for [`Journal::settle`].
    pub fn take(&self, most: usize, into: &mut Vec<Operation>) -> u64 {
        let mut queue = self.queue.lock();
        let mut changes = 0;
        while let Some(place) = queue.places.front() {
            match &place.content {
                Content::Open => break,
                Content::Filled(operation) if changes > 0 && changes + operation.changes.len() > most => {
                    break;
                }
                Content::Filled(_) | Content::Withdrawn => {}
            }
            let taken = queue.places.pop_front().map(|place| place.content);
            queue.first += 1;
            if let Some(Content::Filled(operation)) = taken {
                changes += operation.changes.len();
                into.push(operation);
            }
        }
        queue.first.saturating_sub(1)
    }

    /// Takes the operations of one address of record from the number `from` on out of the queue, because one before them
    /// has failed; those that are not filled yet will find that out. Called under the lock of its location shard, so that none is missed.
    pub fn withdraw(&self, table: u16, aor: &[u8], from: u64, into: &mut Vec<Operation>) {
        let mut queue = self.queue.lock();
        let skipped = usize::try_from(from.saturating_sub(queue.first)).unwrap_or(usize::MAX);
        for place in queue.places.iter_mut().skip(skipped) {
            let content = match &place.content {
                Content::Open => place.table == table && *place.aor == *aor,
                Content::Filled(operation) => operation.table == table && *operation.aor == *aor,
                Content::Withdrawn => false,
            };
            if content
                && let Content::Filled(operation) = std::mem::replace(&mut place.content, Content::Withdrawn)
            {
                into.push(operation);
            }
        }
    }

    /// Whether an operation of an address of record waits that came after another. Called under the lock of its location
    /// shard, so that none is missed.
    pub fn has_later(&self, table: u16, aor: &[u8], sequence: u64) -> bool {
        let queue = self.queue.lock();
        let is_later = |(index, place): (usize, &Place)| {
            let is_of_it = match &place.content {
                Content::Open => place.table == table && *place.aor == *aor,
                Content::Filled(operation) => operation.table == table && *operation.aor == *aor,
                Content::Withdrawn => false,
            };
            is_of_it && queue.first + index as u64 > sequence
        };
        queue.places.iter().enumerate().any(is_later)
    }

    /// Everything up to `sequence` is decided.
    pub fn settle(&self, sequence: u64) {
        let before = self.settled.fetch_max(sequence, Ordering::AcqRel);
        let count = usize::try_from(sequence.saturating_sub(before)).unwrap_or(0);
        self.unsettled.fetch_sub(count, Ordering::Relaxed);
    }

    /// Notes that an operation has failed; called before it is settled.
    pub fn note_failure(&self, sequence: u64) {
        self.failed.fetch_max(sequence, Ordering::AcqRel);
    }

    /// Whether everything up to `sequence` is decided.
    #[must_use]
    pub fn is_settled(&self, sequence: u64) -> bool {
        self.settled.load(Ordering::Acquire) >= sequence
    }

    /// Up to where everything is decided.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.settled.load(Ordering::Acquire)
    }

    /// Whether any operation after `sequence` has failed so far.
    #[must_use]
    pub fn has_failed_since(&self, sequence: u64) -> bool {
        self.failed.load(Ordering::Acquire) > sequence
    }

    /// The last place that was taken.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    /// How many operations are not decided.
    #[must_use]
    pub fn len(&self) -> usize {
        self.unsettled.load(Ordering::Relaxed)
    }

    /// Whether everything is decided.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(journal: &Journal, sequence: u64, contact_id: u64) -> Arc<Ticket> {
        let ticket = Arc::new(Ticket::default());
        journal.close(sequence, vec![RowChange::Delete { contact_id }], None, Some(Arc::clone(&ticket)));
        ticket
    }

    fn take(journal: &Journal, most: usize) -> (u64, Vec<u64>) {
        let mut group = Vec::new();
        let until = journal.take(most, &mut group);
        (until, group.iter().map(|operation| operation.sequence).collect())
    }

    #[test]
    fn a_group_ends_before_the_first_operation_that_goes_on() {
        let journal = Journal::default();
        let [a, b, c] = [journal.open(0, b"a"), journal.open(0, b"b"), journal.open(0, b"c")];
        assert_eq!((a, b, c), (1, 2, 3));
        fill(&journal, c, 3);
        assert_eq!(take(&journal, 10), (0, vec![]));
        fill(&journal, a, 1);
        assert_eq!(take(&journal, 10), (1, vec![1]));
        fill(&journal, b, 2);
        assert_eq!(take(&journal, 10), (3, vec![2, 3]));
        assert_eq!(take(&journal, 10), (3, vec![]));
        assert_eq!(journal.len(), 3);
        journal.settle(3);
        assert!(journal.is_settled(3) && journal.is_empty());
        assert!(!journal.is_settled(4));
    }

    #[test]
    fn a_group_has_a_size_and_at_least_one_operation() {
        let journal = Journal::default();
        for number in 1..=5 {
            let sequence = journal.open(0, b"a");
            fill(&journal, sequence, number);
        }
        assert_eq!(take(&journal, 2), (2, vec![1, 2]));
        assert_eq!(take(&journal, 0), (3, vec![3]));
        assert_eq!(take(&journal, 10), (5, vec![4, 5]));
    }

    #[test]
    fn what_is_withdrawn_is_not_taken_and_fails_when_it_is_filled() {
        let journal = Journal::default();
        let [a, b, c, d] = [
            journal.open(0, b"alice"),
            journal.open(0, b"bob"),
            journal.open(0, b"alice"),
            journal.open(1, b"alice"),
        ];
        let first = fill(&journal, a, 1);
        fill(&journal, b, 2);
        let mut withdrawn = Vec::new();
        journal.withdraw(0, b"alice", 0, &mut withdrawn);
        assert_eq!(withdrawn.iter().map(|operation| operation.sequence).collect::<Vec<_>>(), [a]);
        assert_eq!(first.fate(), Fate::Open);
        assert_eq!(fill(&journal, c, 3).fate(), Fate::Failed);
        fill(&journal, d, 4);
        assert_eq!(take(&journal, 10), (4, vec![b, d]));
    }

    #[test]
    fn a_fate_is_decided_once() {
        let ticket = Ticket::default();
        ticket.decide(Fate::Open);
        assert_eq!(ticket.fate(), Fate::Open);
        ticket.decide(Fate::Failed);
        ticket.decide(Fate::Kept);
        assert_eq!(ticket.fate(), Fate::Failed);
    }

    #[test]
    fn failures_are_noticed_by_those_who_wait_for_all() {
        let journal = Journal::default();
        assert!(!journal.has_failed_since(0));
        journal.note_failure(7);
        assert!(journal.has_failed_since(6));
        assert!(!journal.has_failed_since(7));
    }
}
