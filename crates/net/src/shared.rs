//! What all workers and the handles of other threads share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::bind::BoundSocket;
use crate::counters::{Counters, Row};
use crate::limits::Limits;
use crate::mailbox::{Doorbell, Queue};
use crate::tcp::{Admission, Peers, Post};

/// Shared state; none of it depends on the handler.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) sockets: Vec<BoundSocket>,
    pub(crate) counters: Arc<Counters>,
    /// One for each worker.
    pub(crate) doorbells: Vec<Doorbell>,
    /// Messages from worker to worker, one queue for each receiving worker.
    pub(crate) posts: Vec<Queue<Post>>,
    pub(crate) peers: Peers,
    pub(crate) admission: Arc<Admission>,
    /// Bytes that wait in all connections' write buffers.
    pub(crate) unsent_bytes: AtomicUsize,
    /// Bytes of unfinished messages that all connections hold.
    pub(crate) unfinished_bytes: AtomicUsize,
    pub(crate) drain: Drain,
}

impl Shared {
    /// The number of workers.
    pub(crate) fn workers(&self) -> usize {
        self.doorbells.len()
    }

    /// The counters of a worker.
    pub(crate) fn row(&self, worker: usize) -> &Row {
        self.counters.row(worker)
    }

    /// Sends to another worker; gives the message back when its queue is full or it has ended.
    pub(crate) fn post(&self, worker: usize, post: Post) -> Result<(), Post> {
        let (Some(queue), Some(doorbell)) = (self.posts.get(worker), self.doorbells.get(worker)) else {
            return Err(post);
        };
        let bytes = post.bytes();
        queue.push(post, bytes)?;
        doorbell.ring();
        Ok(())
    }

    /// Wakes every worker.
    pub(crate) fn wake_all(&self) {
        for doorbell in &self.doorbells {
            doorbell.wake();
        }
    }

    /// Whether all workers are idle and nothing is on its way to one. The order matters: a worker withdraws its idle
    /// flag before it clears its doorbell, so when no doorbell is pending the flags are up to date.
    fn all_idle(&self) -> bool {
        !self.doorbells.iter().any(Doorbell::is_pending)
            && self.drain.idle.iter().all(|idle| idle.load(Ordering::SeqCst))
    }
}

/// The state of a shutdown.
#[derive(Debug)]
pub(crate) struct Drain {
    /// When the grace is over, in monotonic milliseconds; 0 while nobody has asked for a shutdown.
    deadline_ms: AtomicU64,
    /// All workers were idle, or the grace is over.
    finished: AtomicBool,
    /// All workers were idle before the grace was over.
    idle_in_time: AtomicBool,
    idle: Vec<AtomicBool>,
}

impl Drain {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            deadline_ms: AtomicU64::new(0),
            finished: AtomicBool::new(false),
            idle_in_time: AtomicBool::new(false),
            idle: (0..workers).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// Asks for a shutdown.
    pub(crate) fn begin(&self, deadline_ms: u64) {
        self.deadline_ms.store(deadline_ms.max(1), Ordering::SeqCst);
    }

    /// The deadline, once a shutdown was asked for.
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        match self.deadline_ms.load(Ordering::Relaxed) {
            0 => None,
            deadline_ms => Some(deadline_ms),
        }
    }

    /// Whether the workers shall end now.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::SeqCst)
    }

    /// Whether everything was idle before the grace was over.
    pub(crate) fn was_idle_in_time(&self) -> bool {
        self.idle_in_time.load(Ordering::SeqCst)
    }

    /// Records whether a worker is idle.
    pub(crate) fn set_idle(&self, worker: usize, idle: bool) {
        if let Some(flag) = self.idle.get(worker) {
            flag.store(idle, Ordering::SeqCst);
        }
    }
}

impl Shared {
    /// Called by each worker after a turn of the drain; `true` when it shall end.
    pub(crate) fn drain_step(&self, worker: usize, quiet: bool, now_ms: u64) -> bool {
        self.drain.set_idle(worker, quiet);
        if self.drain.is_finished() {
            return true;
        }
        let Some(deadline_ms) = self.drain.deadline_ms() else { return false };
        let all_idle = quiet && self.all_idle();
        if !all_idle && now_ms < deadline_ms {
            return false;
        }
        if !self.drain.finished.swap(true, Ordering::SeqCst) {
            self.drain.idle_in_time.store(all_idle, Ordering::SeqCst);
            self.wake_all();
        }
        true
    }
}
