//! Who appends to the journal of a table, and when it goes into the table.
//!
//! There are two files. While one is folded into the table by the thread that writes to SQLite, groups are appended to
//! the other by a thread of their own, so that no group waits for a page of SQLite.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::embedded::{Lane, LaneSender, step_back};
use crate::error::StorageError;
use crate::limits::{FOLD_AFTER, FOLD_RETRY, FOLD_SOON, FOLD_SOON_ROWS, JOURNAL_BYTES, LEFT_BYTES};
use crate::location::journal::Journal;
use crate::location::left::Left;
use crate::location::row::RowChange;
use crate::location::sqlite::{self, Fold};
use crate::location::statements::Statements;

/// The journal of one table, and the thread that appends to it.
#[derive(Debug)]
pub(crate) struct Journaled {
    lane: Lane<Appender>,
    left: Arc<Mutex<Option<Arc<Left>>>>,
}

/// What the thread works on.
#[derive(Debug)]
pub(crate) struct Appender {
    statements: Arc<Statements>,
    writer: LaneSender<Connection>,
    itself: Option<LaneSender<Appender>>,
    active: Journal,
    /// The other file, when nothing of it has to go into the table.
    spare: Option<Journal>,
    /// The other file, after it could not be put into the table, and when to try again.
    failed: Option<(Journal, Instant, StorageError)>,
    /// The generation of the other file, while it is on its way.
    folding: u64,
    /// When the first change of the active file was appended.
    since: Option<Instant>,
    /// What is in the active file and in the other.
    pending: [Pending; 2],
    hasher: RandomState,
    /// Who waits until a generation is in the table.
    waiting: Vec<(u64, oneshot::Sender<Done>)>,
    buffer: Vec<u8>,
    /// What was there at the start, and the generation with which it is in the table.
    left: (Arc<Mutex<Option<Arc<Left>>>>, u64),
    /// How many changes are in the other file.
    under_way: usize,
    /// How often a file has gone into the table.
    folds: u64,
    /// Set when the process is about to end, so that nothing goes into the table any more unless somebody waits for it.
    is_ending: bool,
    /// Set when nobody knows what is on the disk.
    lost: bool,
}

/// What this process has put into a file that is not in the table.
#[derive(Debug, Default)]
struct Pending {
    /// Users whose rows are written, by hash.
    users: HashSet<u64>,
    /// Keys of rows that are deleted. A deletion names no user.
    deleted: HashSet<i64>,
}

fn path_of(database: &Path, statements: &Statements, which: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(format!(".{}.journal-{which}", statements.table));
    name.into()
}

/// The two files of a table.
#[derive(Debug)]
pub(crate) struct Files {
    older: Journal,
    newer: Journal,
    left: Option<Arc<Left>>,
}

/// Opens both files, with what a crash has left in them. It goes into the table beside everything else, so that a start
/// does not wait for it; whoever reads the table does.
pub(crate) fn open(
    connection: &mut Connection,
    database: &Path,
    statements: &Statements,
) -> Result<Files, StorageError> {
    sqlite::check_writable(connection, statements)?;
    let (a, b) = (path_of(database, statements, "a"), path_of(database, statements, "b"));
    let seed = RandomState::new().hash_one(0);
    // There may be much to read, and nobody is served before.
    let (older, newer) = std::thread::scope(|scope| {
        let other = scope.spawn(|| Journal::open(&b, seed));
        let one = Journal::open(&a, seed);
        let gone = || Err(StorageError::Unreachable("a thread has ended".to_owned()));
        (one, other.join().unwrap_or_else(|_| gone()))
    });
    let (mut older, mut newer) = (older?, newer?);
    if older.generation > newer.generation {
        std::mem::swap(&mut older, &mut newer);
    }
    let changes = older.len() + newer.len();
    if changes > 0 {
        let table = statements.table.as_str();
        tracing::info!("{table}: {changes} changes that were kept in the journal go into the table");
    }
    if newer.generation == 0 {
        newer.begin(1)?;
    }
    let left = Left::new(&older, &newer, seed);
    Ok(Files { older, newer, left })
}

impl Journaled {
    pub(crate) fn start(
        statements: Arc<Statements>,
        writer: LaneSender<Connection>,
        Files { mut older, newer, left }: Files,
        ownership: Arc<std::fs::File>,
    ) -> Result<Journaled, StorageError> {
        let (now, is_unhurried) = (Instant::now(), statements.is_unhurried);
        let until = if newer.is_empty() { older.generation } else { newer.generation };
        let left = Arc::new(Mutex::new(left));
        let since = (!newer.is_empty()).then_some(now);
        let (folding, under_way) = (older.generation, older.len());
        let (spare, failed) = if older.is_empty() {
            older.begin(newer.generation + 1)?;
            (Some(older), None)
        } else {
            // Whoever loads the table comes first.
            let why = StorageError::Unreachable("a crash has left it".to_owned());
            (None, Some((older, now + FOLD_AFTER, why)))
        };
        let appender = Appender {
            statements,
            writer,
            itself: None,
            active: newer,
            spare,
            failed,
            folding,
            since,
            pending: Default::default(),
            hasher: RandomState::new(),
            waiting: Vec::new(),
            buffer: Vec::new(),
            left: (Arc::clone(&left), until),
            under_way,
            folds: 0,
            is_ending: false,
            lost: false,
        };
        let lane = Lane::start("seawall-journal", appender, Appender::rest, ownership)?;
        if is_unhurried {
            lane.sender().send(|_| step_back());
        }
        let itself = lane.sender();
        lane.sender().send(move |appender| appender.itself = Some(itself));
        Ok(Journaled { lane, left })
    }

    /// Appends a group; it is on disk when this returns.
    pub(crate) async fn append(&self, changes: Arc<Vec<RowChange>>) -> Result<(), StorageError> {
        // Nothing holds the changes any more when this is done.
        let has_room = self.lane.run(move |appender: &mut Appender| appender.append(&changes)).await?;
        if !has_room {
            // The table does not keep up: this group is kept, and whoever brings the next one waits. What goes wrong with
            // the table is logged, and told when there is no more room at all.
            let _ = self.settle(None).await;
        }
        Ok(())
    }

    /// What a process before this one has appended, while it is not all in the table.
    pub(crate) fn left(&self) -> Option<Arc<Left>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on changes stay in the journal, and nobody who appends waits for the table.
    pub(crate) async fn end(&self) -> Result<(), StorageError> {
        self.lane
            .run(|appender: &mut Appender| {
                appender.is_ending = true;
                Ok(())
            })
            .await
    }

    /// How many changes are not in the table.
    pub(crate) async fn waiting(&self) -> Result<usize, StorageError> {
        let count = |appender: &mut Appender| Ok(appender.active.len() + appender.under_way);
        self.lane.run(count).await
    }

    /// Which of these rows, read from the table, this process has deleted meanwhile; and how often a file has gone into the
    /// table. While that stays the same, what was read before the question is right without them.
    pub(crate) async fn deleted(&self, keys: Vec<i64>) -> Result<(Vec<i64>, u64), StorageError> {
        let ask = |appender: &mut Appender| {
            let is_deleted = |key: &i64| appender.pending.iter().any(|pending| pending.deleted.contains(key));
            Ok((keys.into_iter().filter(is_deleted).collect(), appender.folds))
        };
        self.lane.run(ask).await
    }

    /// Waits until what was appended before is in the table; with a user only if this process has appended something of
    /// the user's that may not be. Of deletions [`deleted`](Journaled::deleted) tells.
    pub(crate) async fn settle(&self, user: Option<&[u8]>) -> Result<(), StorageError> {
        let user = user.map(<[u8]>::to_vec);
        let wait = move |appender: &mut Appender| Ok(appender.wait(user.as_deref()));
        match self.lane.run(wait).await? {
            None => Ok(()),
            Some(done) => done
                .await
                .map_err(|_| StorageError::Unreachable("the thread of the journal has ended".to_owned()))?,
        }
    }
}

impl Drop for Journaled {
    fn drop(&mut self) {
        // The thread ends when nobody can send it anything.
        self.lane.sender().send(|appender| appender.itself = None);
    }
}

type Done = Result<(), StorageError>;

impl Appender {
    /// Appends; whether there is room for more.
    fn append(&mut self, changes: &[RowChange]) -> Result<bool, StorageError> {
        if self.lost {
            let what = "its journal could not be written; restart the server when the disk is well";
            return Err(StorageError::Damaged(what.to_owned()));
        }
        if changes.is_empty() {
            return Ok(true);
        }
        if self.active.appended() > 3 * JOURNAL_BYTES
            && let Some((_, _, error)) = &self.failed
        {
            return Err(error.clone());
        }
        let appended = self.active.append(changes, &mut self.buffer);
        self.lost = matches!(appended, Err(StorageError::Unknown(_)));
        appended?;
        let [pending, _] = &mut self.pending;
        for change in changes {
            match change {
                RowChange::Upsert(row) => {
                    pending.users.insert(self.hasher.hash_one(row.username.as_slice()));
                    pending.deleted.remove(&sqlite::key(row.contact_id));
                }
                RowChange::Delete { contact_id } => {
                    pending.deleted.insert(sqlite::key(*contact_id));
                }
            }
        }
        self.since.get_or_insert_with(Instant::now);
        Ok(self.is_ending || self.active.appended() <= 2 * JOURNAL_BYTES)
    }

    /// What to wait for until all that was appended is in the table.
    fn wait(&mut self, user: Option<&[u8]>) -> Option<oneshot::Receiver<Done>> {
        let is_empty = self.active.is_empty();
        if is_empty && self.spare.is_some() {
            return None;
        }
        if let Some(user) = user {
            let hash = self.hasher.hash_one(user);
            if !self.pending.iter().any(|pending| pending.users.contains(&hash)) {
                return None;
            }
        }
        let (done, waiting) = oneshot::channel();
        self.waiting.push((if is_empty { self.folding } else { self.active.generation }, done));
        if let Some((_, again, _)) = &mut self.failed {
            *again = Instant::now();
        }
        self.fold();
        Some(waiting)
    }

    /// Has the active file put into the table, unless the other is on its way.
    fn fold(&mut self) {
        let Some(itself) = self.itself.clone() else { return };
        let journal = if let Some((journal, again, error)) = self.failed.take() {
            if again > Instant::now() {
                self.failed = Some((journal, again, error));
                return;
            }
            journal
        } else {
            if self.active.is_empty() {
                return;
            }
            let Some(spare) = self.spare.take() else { return };
            self.pending.swap(0, 1);
            self.since = None;
            std::mem::replace(&mut self.active, spare)
        };
        self.folding = journal.generation;
        self.under_way = journal.len();
        let fold = Folding { fold: Fold::new(&journal), journal, next: self.active.generation + 1 };
        submit(self.writer.clone(), itself, Arc::clone(&self.statements), fold);
    }

    /// A file has been put into the table, or not.
    fn folded(&mut self, journal: Journal, result: Done) {
        match result {
            Ok(()) => {
                let generation = self.folding;
                self.spare = Some(journal);
                self.folds += 1;
                self.under_way = 0;
                if generation >= self.left.1 {
                    *self.left.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
                }
                let [_, pending] = &mut self.pending;
                *pending = Pending::default();
                for (wanted, done) in std::mem::take(&mut self.waiting) {
                    if wanted <= generation {
                        let _ = done.send(Ok(()));
                    } else {
                        self.waiting.push((wanted, done));
                    }
                }
                if !self.waiting.is_empty() {
                    self.fold();
                }
            }
            Err(error) => {
                let table = self.statements.table.as_str();
                tracing::error!("{table}: what is in the journal cannot be put into the table: {error}");
                for (_, done) in self.waiting.drain(..) {
                    let _ = done.send(Err(error.clone()));
                }
                self.failed = Some((journal, Instant::now() + FOLD_RETRY, error));
            }
        }
    }

    /// Does what is due; gives how long nothing will be, if something will.
    fn rest(&mut self) -> Option<Duration> {
        if self.is_ending {
            return None;
        }
        let now = Instant::now();
        let due = match (&self.failed, &self.spare, self.since) {
            (Some((_, again, _)), ..) => *again,
            (None, Some(_), Some(since)) => {
                let is_much = self.active.len() > FOLD_SOON_ROWS;
                // What was found in it has time until the server is through with its start, unless many starts have left it.
                let is_full = self.active.appended() >= JOURNAL_BYTES || self.active.bytes() >= LEFT_BYTES;
                if is_full { now } else { since + if is_much { FOLD_AFTER } else { FOLD_SOON } }
            }
            _ => return None,
        };
        let left = due.saturating_duration_since(now);
        if !left.is_zero() {
            return Some(left);
        }
        self.fold();
        None
    }
}

/// A journal on its way into the table, and the generation that its file begins when it is there.
struct Folding {
    fold: Fold,
    journal: Journal,
    next: u64,
}

/// Has the next part of a journal put into the table, and then the part after it: what else the thread has to do comes
/// in between.
fn submit(
    writer: LaneSender<Connection>,
    itself: LaneSender<Appender>,
    statements: Arc<Statements>,
    mut folding: Folding,
) {
    let again = writer.clone();
    writer.send(move |connection| {
        let result = match folding.fold.step(connection, &statements, &folding.journal) {
            Ok(true) => return submit(again, itself, statements, folding),
            Ok(false) => folding.journal.begin(folding.next),
            Err(error) => Err(error),
        };
        itself.send(move |appender| appender.folded(folding.journal, result));
    });
}
