//! One worker: waits for its sockets, its queues and its deadlines, and calls its handler.

mod accept;
mod drain;
mod serve;
mod sift;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use mio::net::TcpListener;
use mio::unix::SourceFd;
use mio::{Events, Interest, Token};

use crate::bind::Prepared;
use crate::clock::monotonic_us;
use crate::config::Transport;
use crate::endpoint::{Origin, SocketId};
use crate::handler::{Fate, Handler};
use crate::io::Io;
use crate::limits::{
    ASK_EVERY_US, COMMANDS_PER_TURN, DRAIN_POLL_MS, OVERFLOW_CHECK_MS, PANIC_PAUSE_MS, RECEIVE_BATCH,
    RECEIVE_ERRORS_IN_A_ROW,
};
use crate::mailbox::Queue;
use crate::refusing::Allowance;
use crate::shared::Shared;
use crate::sys::receive::ReceiveBatch;
use crate::tcp::{Post, StreamEvent, Streams};
use crate::udp::UdpReceiver;

/// The token of the doorbell. Sockets follow at 1, by SocketId, and connections behind them.
pub(crate) const WAKER: Token = Token(0);

/// Events taken from the kernel at once; more wait there.
const EVENTS: usize = 256;

/// A listener which this worker serves.
struct Listener {
    id: SocketId,
    listener: TcpListener,
    is_ready: bool,
    /// Not before this time: descriptors have run out.
    retry_ms: Option<u64>,
}

struct Worker<H: Handler> {
    index: usize,
    poll: mio::Poll,
    io: Io,
    handler: H,
    batch: ReceiveBatch,
    /// What is to become of the datagrams of a batch that was sifted.
    fates: Vec<Fate>,
    /// The time for refusals.
    allowance: Allowance,
    udp: Vec<UdpReceiver>,
    listeners: Vec<Listener>,
    queues: Arc<[Queue<H::Command>]>,
    /// Taken from the queues, not handled yet.
    commands: VecDeque<H::Command>,
    posts: VecDeque<Post>,
    /// Holds one message of a stream.
    message: Vec<u8>,
    /// The worker to get the next accepted connection.
    next_owner: usize,
    /// The handler's timer rests until then, after a panic in it.
    timer_rests_until_ms: u64,
    /// When to ask the kernel for dropped datagrams again.
    overflow_check_ms: u64,
    /// Until then the kernel is not asked for events while there are datagrams to be read, in microseconds.
    ask_us: u64,
    /// The first turn after a shutdown was asked for is over.
    drain_begun: bool,
}

/// Runs a worker to its end.
pub(crate) fn run<H: Handler>(
    index: usize,
    prepared: Prepared,
    handler: H,
    shared: Arc<Shared>,
    queues: Arc<[Queue<H::Command>]>,
) {
    match Worker::new(index, prepared, handler, Arc::clone(&shared), Arc::clone(&queues)) {
        Ok(mut worker) => {
            // A panic that no call of the handler has caught must not cost a worker for good.
            while !guard(|| worker.run()) {
                shared.row(index).panics.add(1);
                tracing::error!(worker = index, "the worker panicked and goes on");
                std::thread::sleep(Duration::from_millis(PANIC_PAUSE_MS));
            }
        }
        Err(error) => tracing::error!(worker = index, %error, "the worker could not register its sockets"),
    }
    // Nobody waits for this worker, and nothing is left in its queues.
    shared.drain.set_idle(index, true);
    if let Some(queue) = queues.get(index) {
        drop(queue.close());
    }
    if let Some(posts) = shared.posts.get(index) {
        drop(posts.close());
    }
}

impl<H: Handler> Worker<H> {
    fn new(
        index: usize,
        prepared: Prepared,
        handler: H,
        shared: Arc<Shared>,
        queues: Arc<[Queue<H::Command>]>,
    ) -> io::Result<Self> {
        let registry = prepared.poll.registry();
        let mut udp = Vec::new();
        for ((id, bound), socket) in (0..).zip(&shared.sockets).zip(prepared.udp) {
            let Some(socket) = socket else { continue };
            let receiver = UdpReceiver::new(index, id, socket, bound.address);
            let token = Token(1 + usize::from(id));
            registry.register(&mut SourceFd(&receiver.descriptor()), token, Interest::READABLE)?;
            udp.push(receiver);
        }
        let mut listeners = Vec::new();
        for (id, mut listener) in prepared.listeners {
            registry.register(&mut listener, Token(1 + usize::from(id)), Interest::READABLE)?;
            listeners.push(Listener { id, listener, is_ready: true, retry_ms: None });
        }
        let mut ports = vec![None; shared.sockets.len()];
        for receiver in &udp {
            if let Some(port) = ports.get_mut(usize::from(receiver.id)) {
                *port = Some(receiver.port());
            }
        }
        let first_connection = 1 + shared.sockets.len();
        let streams = Streams::new(index, Arc::clone(&shared), registry.try_clone()?, first_connection);
        Ok(Self {
            index,
            poll: prepared.poll,
            io: Io::new(index, shared, streams, ports),
            handler,
            batch: ReceiveBatch::new(RECEIVE_BATCH),
            fates: Vec::with_capacity(RECEIVE_BATCH),
            allowance: Allowance::new(),
            udp,
            listeners,
            queues,
            commands: VecDeque::new(),
            posts: VecDeque::new(),
            message: Vec::new(),
            next_owner: index,
            timer_rests_until_ms: 0,
            overflow_check_ms: 0,
            ask_us: 0,
            drain_begun: false,
        })
    }

    fn run(&mut self) {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let asks = self.asks();
            if asks && let Err(error) = self.wait(&mut events) {
                tracing::error!(worker = self.index, %error, "the worker cannot wait for events and ends");
                return;
            }
            self.io.clock.refresh();
            let mut was_busy = false;
            if asks {
                self.ask_us = self.io.clock.now_us() + ASK_EVERY_US;
                self.note(&events);
                was_busy = !events.is_empty();
            }
            was_busy |= self.turn();
            if self.io.draining() && self.drain_step(was_busy) {
                break;
            }
        }
        self.finish();
    }

    /// Whether the kernel is to be asked what there is: when there are no datagrams to be read, now and then while there are,
    /// and always in a shutdown, which must not end before everything is known.
    fn asks(&self) -> bool {
        self.io.draining()
            || self.io.clock.now_us() >= self.ask_us
            || !self.udp.iter().any(|socket| socket.is_ready)
    }

    /// Sleeps until there is something to do.
    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let mut timeout = self.timeout();
        let doorbell = self.io.shared.doorbells.get(self.index);
        if timeout != Some(Duration::ZERO) && !doorbell.is_some_and(|doorbell| doorbell.may_sleep()) {
            timeout = Some(Duration::ZERO);
        }
        let result = self.poll.poll(events, timeout);
        if let Some(doorbell) = self.io.shared.doorbells.get(self.index) {
            doorbell.awake();
        }
        if timeout != Some(Duration::ZERO) {
            self.io.shared.row(self.index).wakeups.add(1);
        }
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            result => result,
        }
    }

    /// How long to sleep at most; `None`: until something happens.
    fn timeout(&self) -> Option<Duration> {
        let is_busy = self.udp.iter().any(|socket| socket.is_ready)
            || self.io.streams.ready_count() > 0
            || !self.commands.is_empty()
            || !self.io.streams.events.is_empty()
            || self.listeners.iter().any(|listener| listener.is_ready && listener.retry_ms.is_none());
        if is_busy {
            return Some(Duration::ZERO);
        }
        let now_ms = self.io.clock.now_ms();
        let mut next_ms =
            self.handler.next_deadline_ms().map(|deadline| deadline.max(self.timer_rests_until_ms));
        let mut consider = |deadline_ms: Option<u64>| {
            if let Some(deadline_ms) = deadline_ms {
                next_ms = Some(next_ms.map_or(deadline_ms, |next_ms| next_ms.min(deadline_ms)));
            }
        };
        consider(self.io.streams.next_deadline_ms());
        for listener in &self.listeners {
            consider(listener.retry_ms);
        }
        if self.io.draining() {
            consider(Some(now_ms + DRAIN_POLL_MS));
        }
        next_ms.map(|next_ms| Duration::from_millis(next_ms.saturating_sub(now_ms)))
    }

    /// Remembers what the kernel has told.
    fn note(&mut self, events: &Events) {
        let now_ms = self.io.clock.now_ms();
        let sockets = self.io.shared.sockets.len();
        for event in events {
            let Some(index) = event.token().0.checked_sub(1) else { continue };
            if let Some(slot) = index.checked_sub(sockets) {
                self.io.streams.note(now_ms, slot, event);
                continue;
            }
            for socket in self.udp.iter_mut().filter(|socket| usize::from(socket.id) == index) {
                socket.is_ready = true;
            }
            for listener in self.listeners.iter_mut().filter(|listener| usize::from(listener.id) == index) {
                listener.is_ready = true;
            }
        }
    }

    /// Gives everything its share; `true` if there was something to do.
    fn turn(&mut self) -> bool {
        let mut was_busy = self.commands_turn();
        for index in 0..self.udp.len() {
            was_busy |= self.datagrams_turn(index);
        }
        was_busy |= self.accept_turn();
        was_busy |= self.streams_turn();
        was_busy |= self.timers_turn();
        was_busy |= self.events_turn();
        was_busy
    }

    /// Counts a panic of the handler and drops the send slot that it was writing, if it was: `used` slots were in use
    /// when the call began. Slots before the last one are complete.
    fn after_panic(&mut self, call: &'static str, used: usize) {
        self.io.shared.row(self.index).panics.add(1);
        tracing::error!(worker = self.index, call, "the handler panicked; what it was handling is dropped");
        let now_used = self.io.sends.used();
        if now_used != used {
            self.io.sends.truncate(now_used.saturating_sub(1));
        }
        self.io.current = None;
    }

    fn commands_turn(&mut self) -> bool {
        let Some(doorbell) = self.io.shared.doorbells.get(self.index) else { return false };
        if doorbell.is_pending() {
            // In this order: see `Shared::all_idle`.
            self.io.shared.drain.set_idle(self.index, false);
            doorbell.clear();
            if let Some(queue) = self.queues.get(self.index) {
                queue.take(&mut self.commands);
            }
            if let Some(posts) = self.io.shared.posts.get(self.index) {
                posts.take(&mut self.posts);
            }
        }
        if self.commands.is_empty() && self.posts.is_empty() {
            return false;
        }
        let now_ms = self.io.clock.now_ms();
        while let Some(post) = self.posts.pop_front() {
            self.io.streams.handle_post(now_ms, post);
        }
        for _ in 0..COMMANDS_PER_TURN {
            let Some(command) = self.commands.pop_front() else { break };
            self.io.shared.row(self.index).commands.add(1);
            let used = self.io.sends.used();
            if !guard(|| self.handler.command(&mut self.io, command)) {
                self.after_panic("command", used);
            }
        }
        self.io.flush();
        true
    }

    /// Receives and handles one batch from one socket.
    fn datagrams_turn(&mut self, index: usize) -> bool {
        let Some(socket) = self.udp.get_mut(index).filter(|socket| socket.is_ready) else { return false };
        let began_us = socket.is_behind.then(monotonic_us);
        let count = match self.batch.receive(socket.descriptor()) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                socket.is_ready = false;
                return false;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return true,
            Err(error) => {
                self.io.shared.row(self.index).datagram_receive_errors.add(1);
                socket.errors += 1;
                if socket.errors >= RECEIVE_ERRORS_IN_A_ROW {
                    tracing::error!(worker = self.index, socket = %socket.local, %error, "receiving fails");
                    socket.errors = 0;
                    socket.is_ready = false;
                }
                return true;
            }
        };
        socket.errors = 0;
        if count < RECEIVE_BATCH {
            // The kernel had no more; when it gets more there is a new event. Where datagrams come in company, the next ones
            // are there as a rule when these are served, and reading them takes one call instead of two.
            socket.is_ready = count > 1;
        }
        socket.note_batch(count == RECEIVE_BATCH, self.io.clock.now_us());
        let (id, bound) = (socket.id, socket.local);
        let (handled, bytes) = match began_us.filter(|_| socket.is_behind) {
            None => self.handle_datagrams(count, id, bound),
            Some(began_us) => self.sift_datagrams(count, id, bound, began_us),
        };
        if let Some(socket) = self.udp.get_mut(index) {
            socket.note_served(handled, bytes);
        }
        let row = self.io.shared.row(self.index);
        row.datagrams_in.add(handled);
        row.datagram_bytes_in.add(bytes);
        self.io.is_behind = false;
        self.io.flush();
        true
    }

    /// Gives how many datagrams of the batch went to the handler, and their bytes.
    fn handle_datagrams(&mut self, count: usize, id: SocketId, bound: SocketAddr) -> (u64, u64) {
        let (mut handled, mut bytes) = (0, 0);
        for index in 0..count {
            if let Some(len) = self.handle_datagram(index, id, bound, H::datagram) {
                handled += 1;
                bytes += len as u64;
            }
        }
        self.io.current = None;
        (handled, bytes)
    }

    /// Gives one datagram of the batch to the handler, and its length, unless it is not fit for that.
    #[inline]
    fn handle_datagram(
        &mut self,
        index: usize,
        id: SocketId,
        bound: SocketAddr,
        call: impl FnOnce(&mut H, &mut Io, &Origin, &mut Vec<u8>),
    ) -> Option<usize> {
        let received = self.batch.get(index)?;
        let len = received.bytes.len();
        if len == 0 || len > self.io.shared.limits.max_message_bytes || received.truncated {
            self.io.shared.row(self.index).datagrams_dropped.add(1);
            return None;
        }
        let mut origin = Origin {
            transport: Transport::Udp,
            socket: id,
            local: bound,
            peer: received.peer,
            connection: None,
        };
        if let Some(local) = received.local {
            origin.local.set_ip(local);
            self.io.current = Some((id, received.peer, local));
        }
        let used = self.io.sends.used();
        if !guard(|| call(&mut self.handler, &mut self.io, &origin, received.bytes)) {
            self.after_panic("datagram", used);
        }
        Some(len)
    }

    fn timers_turn(&mut self) -> bool {
        let now_ms = self.io.clock.now_ms();
        if now_ms >= self.overflow_check_ms {
            self.overflow_check_ms = now_ms + OVERFLOW_CHECK_MS;
            self.count_overflows();
        }
        if self.io.streams.next_deadline_ms().is_some_and(|deadline_ms| deadline_ms <= now_ms) {
            self.io.streams.fire(now_ms);
        }
        let is_due = self.handler.next_deadline_ms().is_some_and(|deadline_ms| deadline_ms <= now_ms);
        if !is_due || now_ms < self.timer_rests_until_ms {
            return false;
        }
        let used = self.io.sends.used();
        if !guard(|| self.handler.timer(&mut self.io)) {
            self.after_panic("timer", used);
            self.timer_rests_until_ms = now_ms + PANIC_PAUSE_MS;
        }
        self.io.flush();
        true
    }

    fn count_overflows(&mut self) {
        let overflowed: u32 =
            self.udp.iter_mut().map(UdpReceiver::newly_overflowed).fold(0, u32::wrapping_add);
        self.io.shared.row(self.index).datagrams_overflowed.add(u64::from(overflowed));
    }

    /// Tells the handler what has happened to connections since the last turn.
    fn events_turn(&mut self) -> bool {
        let count = self.io.streams.events.len();
        for _ in 0..count {
            let Some(event) = self.io.streams.events.pop_front() else { break };
            let used = self.io.sends.used();
            let told = guard(|| match event {
                StreamEvent::Closed { id, peer } => self.handler.connection_closed(&mut self.io, id, peer),
                StreamEvent::Failed { peer, bytes } => self.handler.send_failed(&mut self.io, peer, &bytes),
            });
            if !told {
                self.after_panic("connection_closed or send_failed", used);
            }
        }
        if count > 0 {
            self.io.flush();
        }
        count > 0
    }
}

/// Calls the handler; `false` if it panicked. The handler's own state after a panic is its own matter: it is built for
/// that, as every message is handled on its own.
fn guard(call: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(call)).is_ok()
}
