//! One worker: what the net calls with everything that arrives.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use seawall_modules::configuration::Configuration;
use seawall_modules::context::{Context, EventParameters, Target};
use seawall_modules::nathelper::pinger::Pinger;
use seawall_modules::node::Node;
use seawall_modules::originate::OwnRequest;
use seawall_modules::spares::Spares;
use seawall_modules::statistics::Stat;
use seawall_modules::tm::state::TransactionState;
use seawall_modules::waiting::{Answer, Errand};
use seawall_net::{Fate, Handler, Io, Origin, StreamFramer, StreamTarget, Transport};
use seawall_script::{Frame, RouteId, RouteKind};
use seawall_sip::{Framing, Habits, ScanError};
use seawall_transaction::{Effect, Effects, OwnBranch};

use crate::framer::SipFramer;
use crate::granted::Granted;
use crate::limits::{IDLE_TICK_MS, SPARE_BUFFERS, SPARE_CONTEXTS, TICK_MS};
use crate::parked::Parked;
use crate::pool::Pool;
use crate::stand_back::Gate;
use crate::start::Links;
use crate::transaction_timers::TransactionTimers;

/// What other threads send to a worker.
pub enum Command {
    /// The errand of a parked script was done.
    Answered {
        /// The parked script.
        ticket: u64,
        /// What it brought back.
        answer: Answer,
    },
    /// The configuration was replaced.
    Reconfigured,
    /// The store has decided about some of its journal.
    Settled,
    /// The location table was changed from outside.
    Raise(Vec<EventParameters>),
}

/// A worker's state.
pub struct Worker {
    pub(crate) node: Arc<Node>,
    pub(crate) index: usize,
    pub(crate) configuration: Arc<Configuration>,
    pub(crate) parked: Parked,
    pub(crate) granted: Granted,
    pub(crate) links: Arc<Links>,
    contexts: Pool<Context>,
    frames: Pool<Frame>,
    /// How the messages that come here are written as a rule.
    habits: Habits,
    /// Receive buffers of contexts that wait.
    buffers: Vec<Vec<u8>>,
    /// Effects that wait to be carried out.
    pub(crate) effects: Effects<Arc<TransactionState>, Target>,
    pub(crate) pinger: Pinger,
    /// Requests of our own that wait to be sent.
    pub(crate) own_requests: VecDeque<OwnRequest>,
    /// Those that there was no room for; their makers have yet to be told.
    pub(crate) refused_requests: Vec<OwnRequest>,
    /// Who has to stand back while this worker cannot keep up.
    pub(crate) gate: Gate,
    transaction_timers: TransactionTimers,
    next_tick_ms: u64,
    expired_until_s: u64,
    timers: Vec<Timer>,
    /// Memory of transactions that have ended, while no context has it.
    pub(crate) spares: Option<Box<Spares>>,
}

/// A `timer_route` and when it is due.
struct Timer {
    route: RouteId,
    interval_s: u32,
    due_s: u64,
}

impl Timer {
    /// Whether it is due. When the clock was set back it is due once an interval from now.
    fn is_due(&mut self, now_s: u64) -> bool {
        self.due_s = self.due_s.min(now_s.saturating_add(u64::from(self.interval_s.max(1))));
        self.due_s <= now_s
    }
}

impl Worker {
    /// A worker that starts with the node's present configuration.
    #[must_use]
    pub fn new(node: Arc<Node>, index: usize, links: Arc<Links>) -> Self {
        let configuration = own_copy(&node);
        let pinger = Pinger::new(index, node.workers);
        let gate = Gate::new(&node, &configuration);
        let mut worker = Self {
            node,
            index,
            configuration,
            parked: Parked::default(),
            granted: Granted::default(),
            links,
            contexts: Pool::new(SPARE_CONTEXTS),
            frames: Pool::new(SPARE_CONTEXTS),
            habits: Habits::default(),
            buffers: Vec::new(),
            effects: Vec::new(),
            pinger,
            own_requests: VecDeque::new(),
            refused_requests: Vec::new(),
            gate,
            transaction_timers: TransactionTimers::default(),
            next_tick_ms: 0,
            expired_until_s: 0,
            timers: Vec::new(),
            spares: Some(Box::default()),
        };
        worker.set_timers(seawall_net::unix_s());
        worker
    }

    /// Takes a context, empty but for the time and the configuration.
    pub(crate) fn take_context(&mut self, io: &Io, origin: &Origin, route: RouteKind) -> Box<Context> {
        let mut context = self.take_context_to_receive(io, origin, route);
        if let Some(message) = context.packet.own_mut() {
            message.buffer_mut().clear();
        }
        context
    }

    /// As [`Worker::take_context`], but the last message is still in its buffer, which is about to be filled.
    // Every message takes one: its origin is copied once less where this stands.
    #[inline(always)]
    fn take_context_to_receive(&mut self, io: &Io, origin: &Origin, route: RouteKind) -> Box<Context> {
        let mut context = match self.contexts.take() {
            Some(context) => context,
            None => self.new_context(),
        };
        if !Arc::ptr_eq(&context.configuration, &self.configuration) {
            context.configuration = Arc::clone(&self.configuration);
        }
        std::mem::swap(&mut context.spares, &mut self.spares);
        context.now_ms = io.now_ms();
        context.now_s = io.unix_s();
        context.is_behind = io.is_behind();
        context.origin = *origin;
        context.route = route;
        context
    }

    #[cold]
    fn new_context(&self) -> Box<Context> {
        Box::new(Context::new(Arc::clone(&self.node), self.index))
    }

    /// Gives a context back.
    #[inline(always)]
    pub(crate) fn recycle(&mut self, mut context: Box<Context>) {
        self.take_spares(&mut context);
        self.contexts.give(context, Context::reset);
    }

    /// Takes back what a context has had of spare memory, because it is done or has to wait.
    #[inline]
    pub(crate) fn take_spares(&mut self, context: &mut Context) {
        if self.spares.is_none() {
            self.spares = context.spares.take();
        }
    }

    /// Keeps the receive buffer of a context that waits.
    pub(crate) fn keep_buffer(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() > 0 && self.buffers.len() < SPARE_BUFFERS {
            self.buffers.push(buffer);
        }
    }

    /// Takes a frame that will run `route`.
    #[inline(always)]
    pub(crate) fn take_frame(&mut self, route: RouteId) -> Box<Frame> {
        match self.frames.take() {
            Some(mut frame) => {
                frame.clear(route);
                frame
            }
            None => Box::new(Frame::new(route)),
        }
    }

    /// Gives a frame back.
    #[inline(always)]
    pub(crate) fn recycle_frame(&mut self, frame: Box<Frame>) {
        self.frames.give(frame, |_| ());
    }

    /// Hands a packet to the net. `bytes` may be swapped for another buffer.
    #[inline(always)]
    pub(crate) fn transmit(&mut self, io: &mut Io, target: Target, bytes: &mut Vec<u8>) {
        if target.transport == Transport::Udp {
            let slot = io.datagram_slot(target.socket, target.peer);
            std::mem::swap(slot, bytes);
        } else {
            self.transmit_on_stream(io, target, bytes);
        }
    }

    /// Hands a message to a connection.
    pub(crate) fn transmit_on_stream(&mut self, io: &mut Io, target: Target, bytes: &[u8]) {
        if io.send_stream(stream_target(target), bytes).is_err() {
            self.not_sent(io, bytes);
        }
    }

    /// A request that could not be sent ends its branch with 503 (RFC 3261 section 16.9); a reply is lost.
    fn not_sent(&mut self, io: &Io, bytes: &[u8]) {
        let Ok(message) = seawall_sip::Message::parse(bytes.to_vec()) else { return };
        if !message.is_request() || message.method_id() == seawall_sip::Method::Ack {
            return;
        }
        let Ok(via) = seawall_sip::Via::top(&message) else { return };
        let branch = via.branch().and_then(|branch| self.node.keys.read_branch(branch));
        let Some(OwnBranch::Transaction(token)) = branch else { return };
        if let Some(shard) = self.node.shard(token.id.shard) {
            shard.lock().branch_failed(io.now_ms(), token, &mut self.effects);
        }
    }

    /// Scans and handles one message. `bytes` is taken and another buffer left in its place.
    fn message(&mut self, io: &mut Io, origin: &Origin, bytes: &mut Vec<u8>, framing: Framing) {
        let mut context = self.take_context_to_receive(io, origin, RouteKind::Request);
        let scanned = match context.packet.own_mut() {
            Some(message) => {
                let scanned = message.receive(bytes, framing, &mut self.habits);
                if bytes.capacity() == 0
                    && let Some(buffer) = self.buffers.pop()
                {
                    *bytes = buffer;
                }
                scanned
            }
            None => Err(ScanError::Empty),
        };
        let counters = &self.node.counters;
        match scanned {
            Ok(()) if context.message().is_request() => self.request(io, context),
            Ok(()) => self.response(io, context),
            Err(error) => {
                let stat = if error == ScanError::Empty { Stat::KeepAlives } else { Stat::NotSip };
                counters.bump(self.index, stat);
                self.recycle(context);
            }
        }
        self.carry_out(io);
    }

    fn set_timers(&mut self, now_s: u64) {
        // One worker runs the timer routes; they are not for work that needs more.
        let timers = if self.index == 0 { self.configuration.routes.timers.as_slice() } else { &[] };
        self.timers = timers
            .iter()
            .map(|&(interval_s, route)| Timer {
                route,
                interval_s,
                due_s: now_s + u64::from(interval_s.max(1)),
            })
            .collect();
    }

    fn run_timer_routes(&mut self, io: &mut Io) {
        let now_s = io.unix_s();
        for index in 0..self.timers.len() {
            let Some(timer) = self.timers.get_mut(index) else { continue };
            if !timer.is_due(now_s) {
                continue;
            }
            timer.due_s = now_s + u64::from(timer.interval_s.max(1));
            let route = timer.route;
            let context = self.take_context(io, &seawall_modules::context::nowhere(), RouteKind::Timer);
            let frame = self.take_frame(route);
            self.run(io, context, frame);
        }
    }

    /// Lets the timers of this worker's transaction shards run. Whether there are transactions in them with short timers.
    fn run_transaction_timers(&mut self, io: &Io) -> bool {
        let shards = self.node.transactions.iter().skip(self.index).step_by(self.node.workers.max(1));
        self.transaction_timers.run(shards, io.now_ms(), &mut self.effects)
    }
}

/// The present configuration, to be counted by one worker alone.
fn own_copy(node: &Node) -> Arc<Configuration> {
    Arc::new(Configuration::clone(&node.configuration.load()))
}

fn stream_target(target: Target) -> StreamTarget {
    match target.connection {
        Some(id) => StreamTarget::Connection { id, fallback: Some(target.peer) },
        None => StreamTarget::Peer { peer: target.peer, socket: target.socket },
    }
}

impl Handler for Worker {
    type Command = Command;

    fn datagram(&mut self, io: &mut Io, origin: &Origin, bytes: &mut Vec<u8>) {
        self.message(io, origin, bytes, Framing::Datagram);
    }

    fn sifts(&self) -> bool {
        self.gate.is_used()
    }

    fn expect(&mut self, place: usize, bytes: &[u8]) {
        self.gate.expect(&self.configuration.settings.registrar.policy, place, bytes);
    }

    fn sift(&mut self, place: usize, now_s: u64) -> Fate {
        self.judge(place, now_s)
    }

    fn refuse(&mut self, io: &mut Io, origin: &Origin, bytes: &mut Vec<u8>) {
        self.refuse_new(io, origin, bytes);
    }

    fn refused(&self) -> u64 {
        self.node.counters.own(self.index, Stat::ShedRegs)
    }

    fn stream_message(&mut self, io: &mut Io, origin: &Origin, bytes: &mut Vec<u8>) {
        if io.is_behind() && self.gate.is_used() && self.stands_back(io, origin, bytes) {
            return;
        }
        self.message(io, origin, bytes, Framing::Stream);
    }

    fn send_failed(&mut self, io: &mut Io, _: SocketAddr, bytes: &[u8]) {
        self.not_sent(io, bytes);
        self.carry_out(io);
    }

    fn command(&mut self, io: &mut Io, command: Command) {
        match command {
            Command::Answered { ticket, answer } => self.answered(io, ticket, Some(answer)),
            Command::Raise(events) => self.raise(io, events),
            Command::Settled => {
                self.settled(io);
                self.granted(io);
            }
            Command::Reconfigured => {
                self.configuration = own_copy(&self.node);
                self.gate = Gate::new(&self.node, &self.configuration);
                self.set_timers(io.unix_s());
                if let Some(spares) = &mut self.spares {
                    spares.forget_states();
                }
            }
        }
        self.carry_out(io);
    }

    fn next_deadline_ms(&self) -> Option<u64> {
        Some(self.next_tick_ms)
    }

    fn timer(&mut self, io: &mut Io) {
        let busy = self.run_transaction_timers(io) | self.ping(io)
            || !self.parked.is_empty()
            || !self.granted.is_empty()
            || !self.own_requests.is_empty()
            || self.node.watchers.is_due(io.now_ms());
        self.node.subscriptions.expire(io.now_ms());
        self.next_tick_ms = io.now_ms() + if busy { TICK_MS } else { IDLE_TICK_MS };
        if self.transaction_timers.has_left {
            self.next_tick_ms = io.now_ms() + 1;
        }
        if self.node.fronts.is_used() {
            self.look_after_fronts(io);
        }
        self.settled(io);
        self.granted(io);
        self.give_up_waiting(io);
        // Also when the clock was set back.
        if self.expired_until_s != io.unix_s() {
            self.expired_until_s = io.unix_s();
            if self.expire(io) {
                // More has expired than one step may remove: go on in the next tick.
                self.expired_until_s -= 1;
                self.next_tick_ms = io.now_ms() + TICK_MS;
            }
            self.run_timer_routes(io);
        }
        self.carry_out(io);
    }

    fn idle(&self) -> bool {
        let mut own = self.node.transactions.iter().skip(self.index).step_by(self.node.workers.max(1));
        self.parked.is_empty()
            && self.granted.is_empty()
            && self.own_requests.is_empty()
            && own.all(|shard| shard.lock().is_settled())
    }

    fn framer(&self) -> Box<dyn StreamFramer> {
        Box::<SipFramer>::default()
    }
}

/// What a worker needs of the threads around it; set once they run.
impl Links {
    /// Sends a command to a worker, if it has room.
    pub(crate) fn send(&self, worker: usize, command: Command) {
        if let Some(commands) = self.commands.get() {
            let _ = commands.send(worker, command);
        }
    }

    /// Has an errand done on behalf of a parked script. False when there is nobody to do it.
    pub(crate) fn run(&self, worker: usize, ticket: u64, errand: Errand) -> bool {
        let (Some(errands), Some(commands)) = (self.errands.get(), self.commands.get()) else {
            return false;
        };
        errands.run(commands.clone(), worker, ticket, errand)
    }
}

/// Shown to the compiler so that an effect that is added is not forgotten in `effects.rs`.
pub(crate) type WorkerEffect = Effect<Arc<TransactionState>, Target>;
