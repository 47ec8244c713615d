//! Handles to running workers.

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::bind::BoundSocket;
use crate::clock::monotonic_ms;
use crate::counters::{Counters, Snapshot};
use crate::mailbox::Queue;
use crate::shared::Shared;

/// Running workers. Dropping it without [`Running::shutdown`] lets them run on.
#[derive(Debug)]
pub struct Running<C> {
    pub(crate) sender: CommandSender<C>,
    pub(crate) threads: Vec<JoinHandle<()>>,
}

/// What a shutdown leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// The counters of the whole run.
    pub counters: Snapshot,
    /// Whether everything was idle before the grace was over.
    pub idle_in_time: bool,
    /// Workers which ended by a panic outside of the handler.
    pub workers_lost: usize,
}

impl<C> Running<C> {
    /// Sends a command to one worker; gives it back when there is no such worker, its queue is full, or it has ended.
    ///
    /// # Errors
    /// The command itself.
    pub fn send(&self, worker: usize, command: C) -> Result<(), C> {
        self.sender.send(worker, command)
    }

    /// A handle for other threads.
    #[must_use]
    pub fn handle(&self) -> CommandSender<C> {
        self.sender.clone()
    }

    /// The number of workers.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.sender.workers()
    }

    /// The sockets, by [`crate::SocketId`].
    #[must_use]
    pub fn sockets(&self) -> &[BoundSocket] {
        &self.sender.shared.sockets
    }

    /// The counters, which go on counting.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.sender.shared.counters)
    }

    /// Ends the workers: no connection is accepted any more but those which the kernel has ready, everything that the
    /// kernel has queued is read and handled, and the workers go on (datagrams of what is under way still arrive, see
    /// [`crate::Io::draining`]) until all handlers are idle or `grace_ms` is over. Then what is written is flushed,
    /// and the threads are joined.
    pub fn shutdown(self, grace_ms: u64) -> Stats {
        let shared = self.sender.shared;
        shared.drain.begin(monotonic_ms().saturating_add(grace_ms));
        shared.wake_all();
        let workers_lost = self.threads.into_iter().filter_map(|thread| thread.join().err()).count();
        Stats {
            counters: shared.counters.snapshot(),
            idle_in_time: shared.drain.was_idle_in_time(),
            workers_lost,
        }
    }
}

/// Sends commands to workers, from any thread. Each worker has one bounded queue for all senders; commands of one
/// sender to one worker arrive in order.
pub struct CommandSender<C> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) queues: Arc<[Queue<C>]>,
}

impl<C> CommandSender<C> {
    /// Sends a command to one worker.
    ///
    /// # Errors
    /// The command itself, when there is no such worker, its queue is full, or it has ended.
    pub fn send(&self, worker: usize, command: C) -> Result<(), C> {
        let (Some(queue), Some(doorbell)) = (self.queues.get(worker), self.shared.doorbells.get(worker))
        else {
            return Err(command);
        };
        if let Err(command) = queue.push(command, 0) {
            self.shared.counters.outside().queue_full.add_shared(1);
            return Err(command);
        }
        doorbell.ring();
        Ok(())
    }

    /// The number of workers.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.queues.len()
    }

    /// The counters, which go on counting.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.shared.counters)
    }
}

impl<C> Clone for CommandSender<C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), queues: Arc::clone(&self.queues) }
    }
}

impl<C> fmt::Debug for CommandSender<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandSender").field("workers", &self.queues.len()).finish_non_exhaustive()
    }
}
