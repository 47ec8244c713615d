//! Counters: one row for each worker, written by it alone, read by anybody.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter with one writing thread.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Adds; only the thread that owns the row may call this, which saves the locked instruction.
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Adds from any thread.
    pub(crate) fn add_shared(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($( $(#[doc = $doc:literal])+ $name:ident, )+) => {
        /// One worker's counters, on cache lines of their own.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub(crate) struct Row { $( pub(crate) $name: Count, )+ }

        /// What has been counted so far, summed over the workers.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Snapshot { $( $(#[doc = $doc])+ pub $name: u64, )+ }

        impl Snapshot {
            /// Every counter: name, meaning, value.
            pub fn entries(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$( (stringify!($name), concat!($($doc),+).trim_ascii_start(), self.$name), )+].into_iter()
            }

            fn add(&mut self, row: &Row) {
                $( self.$name = self.$name.wrapping_add(row.$name.value()); )+
            }
        }
    };
}

counters! {
    /// Datagrams received and handed to the handler.
    datagrams_in,
    /// Bytes of these.
    datagram_bytes_in,
    /// Datagrams sent.
    datagrams_out,
    /// Bytes of these.
    datagram_bytes_out,
    /// Datagrams received and thrown away: empty, or larger than the limit.
    datagrams_dropped,
    /// Datagrams that the kernel dropped because its receive buffer was full; looked up once a second.
    datagrams_overflowed,
    /// Datagrams that could not be sent.
    datagram_send_errors,
    /// Errors of the receive call.
    datagram_receive_errors,
    /// Messages received on connections.
    stream_messages_in,
    /// Bytes received on connections.
    stream_bytes_in,
    /// Messages given to connections.
    stream_messages_out,
    /// Bytes written to connections.
    stream_bytes_out,
    /// Messages which could not be sent on a connection.
    stream_send_errors,
    /// Keep-alives and other bytes skipped on connections.
    stream_skipped,
    /// Streams on which no message could be found; closed.
    stream_invalid,
    /// Streams with a message above the size limit; closed.
    stream_oversized,
    /// Connections accepted.
    tcp_accepted,
    /// Connections opened.
    tcp_opened,
    /// Connections that could not be opened.
    tcp_connect_failed,
    /// Connections closed.
    tcp_closed,
    /// Connections refused because of the limit in all or per source.
    tcp_refused,
    /// Connections closed because a message took too long to arrive.
    tcp_slow_senders,
    /// Connections closed because the peer did not read.
    tcp_slow_readers,
    /// Commands handled.
    commands,
    /// Commands and messages between workers refused because a queue was full.
    queue_full,
    /// Panics of the handler.
    panics,
    /// Times that a worker woke up.
    wakeups,
}

/// The counters of all workers.
#[derive(Debug)]
pub struct Counters {
    /// One row for each worker, and a last one for all other threads.
    rows: Box<[Row]>,
    outside: Row,
}

impl Counters {
    pub(crate) fn new(workers: usize) -> Self {
        Self { rows: (0..workers).map(|_| Row::default()).collect(), outside: Row::default() }
    }

    /// The row of a worker. Rows of workers that do not exist are the one of the other threads.
    pub(crate) fn row(&self, worker: usize) -> &Row {
        self.rows.get(worker).unwrap_or(&self.outside)
    }

    /// The row that any thread may write with [`Count::add_shared`].
    pub(crate) fn outside(&self) -> &Row {
        &self.outside
    }

    /// Sums over the workers.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut sum = Snapshot::default();
        for row in self.rows.iter().chain([&self.outside]) {
            sum.add(row);
        }
        sum
    }

    /// The counters of one worker; `None` if there is no such worker.
    #[must_use]
    pub fn worker(&self, worker: usize) -> Option<Snapshot> {
        let row = self.rows.get(worker)?;
        let mut one = Snapshot::default();
        one.add(row);
        Some(one)
    }
}
