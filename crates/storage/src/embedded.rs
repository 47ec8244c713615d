//! A SQLite file that this server owns: two threads that do nothing but run statements, one to write and one to read, and
//! one for the journal of each location table in it.
//!
//! `sqlx` hands every single statement through a channel to a thread and back. A group of a thousand changes goes
//! through the channel of this module once, with statements that stay prepared (`examples/rate.rs` measures both).

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::{Mutex, oneshot};

use crate::database::Options;
use crate::error::StorageError;
use crate::limits::BACKGROUND_NICE;
use crate::location::appender::{self, Journaled};
use crate::location::statements::Statements;

/// A file and the threads that work on it. Dropping it ends them when they have done what they were asked for.
#[derive(Debug)]
pub(crate) struct Embedded {
    path: PathBuf,
    pub(crate) writer: Lane<Connection>,
    pub(crate) reader: Lane<Connection>,
    /// By table.
    journals: Mutex<HashMap<String, Arc<Journaled>>>,
    /// The lock goes with the last thread.
    ownership: Arc<File>,
}

impl Embedded {
    /// Takes the file for this process and opens it twice.
    pub(crate) fn open(path: &Path, options: &Options) -> Result<Embedded, StorageError> {
        let ownership = Arc::new(own(path)?);
        let writer = connect(path, options)?;
        let mode: String = writer.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if mode != "wal" {
            // A file system without shared memory, or another process that has the file open in another mode.
            return Err(StorageError::Schema(format!(
                "{} cannot be switched to a write-ahead log; its journal mode is {mode}",
                path.display()
            )));
        }
        let reader = connect(path, options)?;
        let writer = Lane::start("seawall-sql-write", writer, |_| None, Arc::clone(&ownership))?;
        // What goes from the journal into the table is on disk already.
        writer.sender().send(|_| step_back());
        Ok(Embedded {
            path: path.to_owned(),
            writer,
            reader: Lane::start("seawall-sql-read", reader, |_| None, Arc::clone(&ownership))?,
            journals: Mutex::default(),
            ownership,
        })
    }

    /// The journal of a table, which must be there. When it is asked for first, what a crash has left in it begins to
    /// go into the table.
    pub(crate) async fn journal(&self, statements: &Arc<Statements>) -> Result<Arc<Journaled>, StorageError> {
        let mut journals = self.journals.lock().await;
        if let Some(known) = journals.get(&statements.table) {
            return Ok(Arc::clone(known));
        }
        let (path, table) = (self.path.clone(), Arc::clone(statements));
        let files = self.writer.run(move |connection| appender::open(connection, &path, &table)).await?;
        let (table, writer) = (Arc::clone(statements), self.writer.sender());
        let journal = Arc::new(Journaled::start(table, writer, files, Arc::clone(&self.ownership))?);
        journals.insert(statements.table.clone(), Arc::clone(&journal));
        Ok(journal)
    }
}

/// Lets all other threads have the processor before this one, from now on: for work that nobody who calls or registers waits
/// for.
pub(crate) fn step_back() {
    // Where that is forbidden, it is only slower.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), BACKGROUND_NICE);
}

fn connect(path: &Path, options: &Options) -> Result<Connection, StorageError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_millis(u64::from(options.busy_timeout_ms)))?;
    // A commit returns when it is on disk: what a phone was told must outlive the loss of power.
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA cache_size = -65536;")?;
    connection.set_prepared_statement_cache_capacity(64);
    for (name, value) in &options.pragmas {
        // Words only: the module checks them at load.
        connection.execute_batch(&format!("PRAGMA {name} = {value};"))?;
    }
    Ok(connection)
}

/// Takes the file `PATH.lock` for this process. The kernel lets go of it when the process ends, however it ends. The
/// database itself is not locked: tools may read it, and change it between two of our transactions.
fn own(path: &Path) -> Result<File, StorageError> {
    let failed =
        |error: std::io::Error| StorageError::Open { path: path.to_owned(), reason: error.to_string() };
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(PathBuf::from(name)).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).map_err(failed)?;
            writeln!(file, "{}", std::process::id()).map_err(failed)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_string(&mut text));
            let process = read.ok().and_then(|_| text.trim().parse::<u32>().ok());
            let owner = process.map(|process| format!(" (process {process})")).unwrap_or_default();
            Err(StorageError::Owned { path: path.to_owned(), owner })
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// A thread that works on one state, one job after the other.
#[derive(Debug)]
pub(crate) struct Lane<S> {
    jobs: LaneSender<S>,
}

/// Who may give a [`Lane`] jobs. The thread ends when there is none left.
#[derive(Debug)]
pub(crate) struct LaneSender<S>(mpsc::Sender<Job<S>>);

impl<S> Clone for LaneSender<S> {
    fn clone(&self) -> Self {
        LaneSender(self.0.clone())
    }
}

impl<S> LaneSender<S> {
    /// Has a job done some time. Nothing happens when the thread has ended.
    pub(crate) fn send(&self, job: impl FnOnce(&mut S) + Send + 'static) {
        let _ = self.0.send(Box::new(job));
    }
}

impl<S: Send + 'static> Lane<S> {
    /// Starts the thread. `rest` does what is due by itself after every job, and says how long nothing will be; without
    /// that the thread waits for jobs only. The lock on the file is held until the thread ends.
    pub(crate) fn start(
        name: &str,
        mut state: S,
        rest: impl Fn(&mut S) -> Option<Duration> + Send + 'static,
        ownership: Arc<File>,
    ) -> Result<Lane<S>, StorageError> {
        let (jobs, queue) = mpsc::channel::<Job<S>>();
        let run = move || {
            loop {
                let job = match rest(&mut state) {
                    Some(left) => queue.recv_timeout(left),
                    None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
                };
                match job {
                    Ok(job) => job(&mut state),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            // The file is closed before somebody else may have it.
            drop(state);
            drop(ownership);
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        thread.map(drop).map_err(|error| StorageError::Unreachable(error.to_string()))?;
        Ok(Lane { jobs: LaneSender(jobs) })
    }

    /// Who may give it jobs.
    pub(crate) fn sender(&self) -> LaneSender<S> {
        self.jobs.clone()
    }

    /// Has a job done and waits for its result. Jobs are done in the order in which they were given; one that is not
    /// waited for any more is done all the same.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut S) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let gone = || StorageError::Unreachable("its thread has ended".to_owned());
        let (done, answer) = oneshot::channel();
        self.jobs.send(move |state| drop(done.send(job(state))));
        answer.await.map_err(|_| gone())?
    }
}
