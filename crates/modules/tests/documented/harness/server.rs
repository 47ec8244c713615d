//! The server: what a worker does around the script, without sockets.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use seawall_location::{Location, Settings};
use seawall_modules::acc;
use seawall_modules::configuration::Configuration;
use seawall_modules::context::{Context, EventParameters, Failure, Target};
use seawall_modules::event_routing::{self, Delivery, Subscription, Then};
use seawall_modules::events::Gather;
use seawall_modules::mid_registrar::{self, Answered, Fronts};
use seawall_modules::nathelper::ping::{self, Pong};
use seawall_modules::nathelper::pinger::{Moment, Pinger};
use seawall_modules::node::{Identity, Node, Socket};
use seawall_modules::originate::{self, Ended, OwnRequest, Sent};
use seawall_modules::reg_event::{self, Watchers};
use seawall_modules::registrar::waking;
use seawall_modules::spares::Spares;
use seawall_modules::statistics::{COUNTED, Counters};
use seawall_modules::tm::inject;
use seawall_modules::tm::relay;
use seawall_modules::tm::state::TransactionState;
use seawall_modules::usrloc::event::CONTACT_REFRESH;
use seawall_modules::waiting::{Answer, Await, Errand, Resume};
use seawall_net::{ConnectionId, Origin, Transport};
use seawall_script::{Flow, Frame, Outcome, RouteId, RouteKind};
use seawall_sip::{Method, Name, NameAddr};
use seawall_transaction::proxy::reply::top_via_extent;
use seawall_transaction::{
    BranchToken, Effect, Effects, Keys, OwnBranch, Relay, RequestMatch, TransactionId,
};

use super::log::{self, Line};
use super::message::{Reply, Request};

/// The address that messages come from.
pub const PEER: &str = "198.51.100.7:5070";

/// The time at which every server starts: Sat, 21 Nov 2026 21:26:11 GMT.
const START_S: u64 = 1_795_296_371;

/// A message that the server sent.
#[derive(Debug, Clone)]
pub struct Packet {
    /// The next hop.
    pub to: String,
    /// The socket that it left from.
    pub from: String,
    pub text: String,
}

impl Packet {
    /// The start line.
    pub fn start(&self) -> &str {
        self.text.split("\r\n").next().unwrap()
    }

    /// The values of all headers of a name, joined by ` | `.
    pub fn header(&self, name: &str) -> String {
        let head = self.text.split("\r\n\r\n").next().unwrap();
        let values = head.split("\r\n").skip(1).filter_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        });
        values.collect::<Vec<_>>().join(" | ")
    }

    /// The body.
    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").unwrap().1
    }
}

/// What came of one message or of a moment that passed.
#[derive(Debug, Default)]
pub struct Run {
    /// Messages that were sent, in order.
    pub sent: Vec<Packet>,
    /// Lines that the script logged.
    pub log: Vec<String>,
    /// Everything else that was logged.
    pub lines: Vec<Line>,
    /// Events of the location table and of the script, whether or not a route waits for them.
    pub events: Vec<EventParameters>,
    /// How often a script waited for something that the runtime did.
    pub waits: usize,
    /// Until when its contacts want the connection to be kept, one by one; 0 where they let go.
    pub keep_connection_s: Vec<u64>,
    /// The host name that the script waits for.
    pub waiting_for: Option<String>,
}

impl Run {
    /// The start lines of what was sent.
    pub fn starts(&self) -> Vec<&str> {
        self.sent.iter().map(Packet::start).collect()
    }

    /// The only message that was sent.
    #[track_caller]
    pub fn only(&self) -> &Packet {
        assert_eq!(self.sent.len(), 1, "{:#?}", self.sent);
        &self.sent[0]
    }

    /// The first request of a method that was sent.
    #[track_caller]
    pub fn request(&self, method: &str) -> &Packet {
        let found = self.sent.iter().find(|packet| packet.start().starts_with(&format!("{method} ")));
        found.unwrap_or_else(|| panic!("no {method} in {:#?}", self.sent))
    }

    /// The first reply with a code that was sent.
    #[track_caller]
    pub fn reply(&self, code: u16) -> &Packet {
        let found = self.sent.iter().find(|packet| packet.start().starts_with(&format!("SIP/2.0 {code} ")));
        found.unwrap_or_else(|| panic!("no {code} in {:#?}", self.sent))
    }
}

/// A server with a UDP and a TCP socket at 192.0.2.1:5060.
pub struct Server {
    pub node: Arc<Node>,
    pub now_s: u64,
    pub now_ms: u64,
    /// Nothing that a script waits for is answered in time.
    pub deaf: bool,
    /// More messages wait than the worker will soon get through.
    pub is_behind: bool,
    runtime: tokio::runtime::Runtime,
    pinger: Pinger,
    names_asked: usize,
    run: Run,
    effects: Effects<Arc<TransactionState>, Target>,
    parked: Option<(Box<Context>, Frame, Resume)>,
    /// Scripts that wait for events, by ticket, with the time at which they go on without one.
    waiting: HashMap<u64, (Box<Context>, Frame, Resume, u64)>,
    last_ticket: u64,
    own_requests: Vec<OwnRequest>,
    /// As a worker has it, so that transactions here begin in the memory of those before them.
    spares: Cell<Option<Box<Spares>>>,
    /// Those that have served a message.
    #[allow(clippy::vec_box)]
    contexts: RefCell<Vec<Box<Context>>>,
}

impl Server {
    /// A server that runs a script; fails if it cannot be loaded.
    #[track_caller]
    pub fn new(script: &str) -> Self {
        let program = super::program(script);
        let secret = [7; 16];
        let location = Location::new(Settings::new(secret));
        let address: SocketAddr = "192.0.2.1:5060".parse().unwrap();
        let advertised = Some(("sip.example.net", Some(5070)));
        let second: SocketAddr = "192.0.2.2:5062".parse().unwrap();
        let mut sockets = vec![
            Socket::new(0, Transport::Udp, address, None, Some("main".to_owned())),
            Socket::new(1, Transport::Tcp, address, None, None),
            Socket::new(2, Transport::Udp, second, advertised, None),
        ];
        for socket in &mut sockets {
            socket.name = location.names().intern(socket.description.as_bytes()).unwrap();
        }
        location.declare("location");
        let keys = Keys::new(secret);
        let configuration = Configuration::new(program);
        let timers = configuration.settings.tm.timers;
        let aliases = configuration.program.globals.aliases.iter();
        let aliases: Vec<_> = aliases.map(|alias| (alias.host.clone(), alias.port.unwrap_or(0))).collect();
        let (transactions, marks) = Node::transaction_layer(keys, timers);
        let store = seawall_modules::store::Store::new(configuration.settings.store.clone());
        let node = Node {
            identity: Identity::new(&sockets, &aliases),
            sockets,
            location: Arc::new(location),
            watchers: Watchers::default(),
            fronts: Fronts::default(),
            transactions,
            marks,
            keys,
            authentication: seawall_modules::auth::Nonces::new(secret),
            store,
            accounts: acc::Accounts::default(),
            storage: seawall_storage::Storage::default(),
            configuration: ArcSwap::from_pointee(configuration),
            counters: Counters::new(1),
            subscriptions: seawall_modules::event_routing::Subscriptions::default(),
            datagrams: seawall_modules::event_datagram::Datagrams::default(),
            outstanding: seawall_modules::registrar::outstanding::Outstanding::default(),
            push: seawall_modules::push::Link::default(),
            started_s: START_S,
            workers: 1,
            pinging: AtomicBool::new(true),
        };
        Self {
            node: Arc::new(node),
            now_s: START_S,
            now_ms: 1_000_000,
            deaf: false,
            is_behind: false,
            spares: Cell::default(),
            contexts: RefCell::default(),
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            pinger: Pinger::new(0, 1),
            names_asked: 0,
            run: Run::default(),
            effects: Effects::default(),
            parked: None,
            waiting: HashMap::new(),
            last_ticket: 0,
            own_requests: Vec::new(),
        }
    }

    /// Takes a request from the usual peer over UDP.
    pub fn receive(&mut self, request: &Request) -> Run {
        self.receive_at(0, PEER, &request.text())
    }

    /// Takes an answer from the usual peer over UDP.
    pub fn answer(&mut self, reply: &Reply) -> Run {
        self.receive_at(0, PEER, &reply.text)
    }

    /// Takes a message at a socket.
    pub fn receive_at(&mut self, socket: u16, peer: &str, text: &str) -> Run {
        let described = self.node.socket(socket).unwrap();
        let transport = described.transport;
        let origin = Origin {
            transport,
            socket,
            local: described.address,
            peer: peer.parse().unwrap(),
            connection: (transport == Transport::Tcp).then(|| ConnectionId::from_parts(0, 1, 1)),
        };
        let message = seawall_sip::Message::parse(text.as_bytes().to_vec()).expect("a SIP message");
        self.watch(|server| {
            let is_request = message.is_request();
            let mut context = server.context(RouteKind::Request, origin);
            context.packet = message.into();
            if is_request { server.request(context) } else { server.response(context) }
        })
    }

    /// Hears of an event from outside.
    pub fn hear(&mut self, event: EventParameters) -> Run {
        self.watch(|server| server.raise(vec![event]))
    }

    /// Lets time pass.
    pub fn pass(&mut self, seconds: u64) -> Run {
        self.watch(|server| {
            // In small steps, so that what one timer starts is seen by the next.
            for _ in 0..seconds * 10 {
                server.now_ms += 100;
                server.now_s = START_S + (server.now_ms - 1_000_000) / 1000;
                for shard in &server.node.transactions {
                    shard.lock().timeout(server.now_ms, &mut server.effects);
                }
                server.node.subscriptions.expire(server.now_ms);
                server.give_up_waiting();
                if server.now_ms % 1000 == 0 {
                    server.expire();
                }
                if server.node.fronts.is_used() {
                    let mut context = server.context(RouteKind::Event, seawall_modules::context::nowhere());
                    mid_registrar::tick(&mut context);
                    server.leave(context);
                }
                server.carry_out();
                server.ping();
            }
        })
    }

    /// Runs a route that is not for a message.
    pub fn start(&mut self, kind: RouteKind, route: RouteId) -> Run {
        self.watch(|server| {
            let context = server.context(kind, seawall_modules::context::nowhere());
            server.go(context, Frame::new(route));
        })
    }

    /// Runs `error_route` as it is for a request with this fault.
    pub fn fault(&mut self, request: &Request, code: u16, text: &'static str) -> Run {
        let message = seawall_sip::Message::parse(request.text().into_bytes()).expect("a SIP message");
        let route = self.node.configuration.load().routes.error.expect("an error_route");
        self.watch(|server| {
            let mut context = server.context(RouteKind::Error, seawall_modules::context::nowhere());
            context.packet = message.into();
            context.rare.error = Some((code, text));
            server.go(context, Frame::new(route));
        })
    }

    /// Where the tasks of the control side run; they go on while something is waited for.
    pub fn runtime(&self) -> tokio::runtime::Handle {
        self.runtime.handle().clone()
    }

    /// Waits for something that the control side does.
    pub fn block_on<T>(&self, task: impl Future<Output = T>) -> T {
        self.runtime.block_on(task)
    }

    /// The value of a counter.
    pub fn counter(&self, group: &str, name: &str) -> u64 {
        let index = COUNTED.iter().position(|(g, n, _)| (*g, *n) == (group, name)).expect("a counter");
        self.node.counters.value(index)
    }

    fn watch(&mut self, act: impl FnOnce(&mut Self)) -> Run {
        self.run = Run::default();
        let ((), lines) = log::capture(|| {
            act(self);
            self.carry_out();
        });
        let mut run = std::mem::take(&mut self.run);
        for line in lines {
            if line.target == "script" { run.log.push(line.text) } else { run.lines.push(line) }
        }
        run
    }

    /// A context, which has served another message before where there is one, as in a worker.
    fn context(&self, route: RouteKind, origin: Origin) -> Box<Context> {
        let mut context = match self.contexts.borrow_mut().pop() {
            Some(mut used) => {
                used.configuration = self.node.configuration.load_full();
                if let Some(message) = used.packet.own_mut() {
                    message.buffer_mut().clear();
                }
                used
            }
            None => Box::new(Context::new(Arc::clone(&self.node), 0)),
        };
        context.now_ms = self.now_ms;
        context.now_s = self.now_s;
        context.is_behind = self.is_behind;
        context.origin = origin;
        context.route = route;
        context.spares = self.spares.take();
        context
    }

    fn request(&mut self, mut context: Box<Context>) {
        let method = context.message().method_id();
        let absorbed = match method {
            Method::Register | Method::Cancel => false,
            Method::Ack => matches!(relay::matching(&mut context), RequestMatch::AckForFinal(_)),
            _ => matches!(relay::matching(&mut context), RequestMatch::Retransmission(_)),
        };
        if absorbed {
            self.effects.append(&mut context.effects);
            return;
        }
        let main = context.configuration.routes.main.expect("a route{}");
        self.go(context, Frame::new(main));
    }

    fn go(&mut self, mut context: Box<Context>, mut frame: Frame) {
        let configuration = Arc::clone(&context.configuration);
        let outcome = seawall_script::run(&configuration.program, &mut frame, &mut *context);
        match outcome {
            Outcome::Parked => self.park(context, frame),
            _ => self.leave(context),
        }
    }

    /// Does what a script waits for; a host name only when the test tells it by [`Server::resolved`].
    fn park(&mut self, mut context: Box<Context>, frame: Frame) {
        let wait = context.rare.waiting.take().expect("something to wait for");
        match wait.errand {
            Errand::Commit(_) => panic!("this server keeps its bindings in memory"),
            Errand::Host(host) => {
                self.run.waiting_for = Some(host);
                self.parked = Some((context, frame, wait.resume));
            }
            Errand::Task(task) => {
                self.run.waits += 1;
                context.share_packet();
                let answer = (!self.deaf).then(|| self.runtime.block_on(task));
                self.go_on(context, frame, wait.resume, answer);
            }
            Errand::Event(awaited) => {
                self.run.waits += 1;
                context.share_packet();
                self.last_ticket += 1;
                let ticket = self.last_ticket;
                let Await { wanted, filters, until_ms, begin } = awaited;
                let then = Then::Resume { worker: 0, ticket };
                let subscription = Subscription { wanted, filters, until_ms, then };
                let number = self.node.subscriptions.add(subscription).expect("room");
                if begin.is_some_and(|begin| begin(&mut context)) {
                    self.node.subscriptions.remove(number);
                    return self.go_on(context, frame, wait.resume, None);
                }
                let events = std::mem::take(&mut context.events);
                let patience_ms = wait.patience_ms.expect("its own patience");
                let until_ms = self.now_ms + patience_ms;
                self.waiting.insert(ticket, (context, frame, wait.resume, until_ms));
                self.raise(events);
            }
        }
    }

    /// Lets scripts go on that have waited for an event long enough.
    fn give_up_waiting(&mut self) {
        let late = self.waiting.iter().filter(|(_, waiting)| waiting.3 <= self.now_ms);
        let late: Vec<u64> = late.map(|(ticket, _)| *ticket).collect();
        for ticket in late {
            self.heard(ticket, None);
        }
    }

    fn heard(&mut self, ticket: u64, answer: Option<Answer>) {
        let Some((mut context, frame, resume, _)) = self.waiting.remove(&ticket) else { return };
        (context.now_ms, context.now_s) = (self.now_ms, self.now_s);
        self.go_on(context, frame, resume, answer);
    }

    /// Lets a script that waited go on.
    fn go_on(&mut self, mut context: Box<Context>, mut frame: Frame, resume: Resume, answer: Option<Answer>) {
        match resume(&mut context, answer) {
            Flow::Pending => self.park(context, frame),
            Flow::Value(value) => {
                context.write_outputs(&mut frame);
                let configuration = Arc::clone(&context.configuration);
                let program = &configuration.program;
                match seawall_script::resume(program, &mut frame, &mut *context, value) {
                    Outcome::Parked => self.park(context, frame),
                    _ => self.leave(context),
                }
            }
            Flow::Exit | Flow::Drop | Flow::Error => self.leave(context),
        }
    }

    /// Tells the script that waits what its name was resolved to.
    pub fn resolved(&mut self, addresses: &[&str]) -> Run {
        let (context, frame, resume) = self.parked.take().expect("a script that waits");
        let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.watch(|server| server.go_on(context, frame, resume, Some(Box::new(addresses))))
    }

    /// Carries out what a route decided.
    fn leave(&mut self, mut context: Box<Context>) {
        if let (Some(failure), Some((id, _))) = (context.rare.failure, &context.transaction) {
            let status = self.node.shard(id.shard).unwrap().lock().status(*id);
            if status.is_some_and(|status| !status.answered && status.pending == 0) {
                mid_registrar::survive(&mut context, failure.code);
            }
        }
        waking::carry_out(&mut context);
        if let Some((id, state)) = context.transaction.take()
            && matches!(context.route, RouteKind::Request | RouteKind::Failure)
        {
            if state.lock().expects.is_some() {
                relay::keep(&context, &state);
            }
            let mut inner = state.lock();
            inner.avps = std::mem::take(&mut context.rare.avps);
            inner.flags = context.flags;
            inner.accounting = context.rare.accounting;
            drop(inner);
            let mut layer = self.node.shard(id.shard).unwrap().lock();
            if context.route == RouteKind::Failure {
                layer.finish(context.now_ms, id, &mut context.effects);
            } else {
                layer.abandon(id, &mut context.effects);
            }
            drop(layer);
            inject::give_up_turn(&mut context, &(id, state));
        }
        let node = Arc::clone(&self.node);
        context.outbox.drain(|target, bytes| self.run.sent.push(packet(&node, target, bytes)));
        self.effects.append(&mut context.effects);
        self.run.keep_connection_s.extend(context.keep_connection.drain(..).map(|lease| lease.until_s));
        self.own_requests.append(&mut context.own_requests);
        for launch in std::mem::take(&mut context.rare.launches) {
            let Errand::Task(task) = launch.wait.errand else { panic!("only tasks are launched") };
            let mut started = self.context(RouteKind::Request, context.origin);
            let answer = (!self.deaf).then(|| self.runtime.block_on(task));
            let Flow::Value(code) = (launch.wait.resume)(&mut started, answer) else { panic!("a value") };
            let Some(route) = launch.route else { continue };
            let mut frame = Frame::new(route);
            frame.set_return_code(code);
            launch.parameter.into_iter().for_each(|parameter| frame.parameter(parameter));
            started.write_outputs(&mut frame);
            self.go(started, frame);
        }
        for launched in std::mem::take(&mut context.rare.launched) {
            let mut frame = Frame::new(launched.route);
            frame.set_return_code(launched.code);
            let started = self.context(RouteKind::Request, context.origin);
            self.go(started, frame);
        }
        if let spares @ Some(_) = context.spares.take() {
            self.spares.set(spares);
        }
        let events = std::mem::take(&mut context.events);
        context.reset();
        self.contexts.get_mut().push(context);
        self.raise(events);
    }

    fn raise(&mut self, events: Vec<EventParameters>) {
        for event in events {
            self.run.events.push(event.clone());
            self.deliver(&event);
            let Some(route) = self.node.configuration.load().event_route(&event.name) else { continue };
            let mut frame = Frame::new(route);
            for (name, value) in event.values {
                frame.named_parameter(name.as_bytes(), value);
            }
            let context = self.context(RouteKind::Event, seawall_modules::context::nowhere());
            self.go(context, frame);
        }
    }

    fn deliver(&mut self, event: &EventParameters) {
        for delivery in self.node.subscriptions.deliver(event, self.now_ms) {
            let mut context = self.context(RouteKind::Event, seawall_modules::context::nowhere());
            match delivery {
                Delivery::Route(notify) => {
                    context.configuration = Arc::clone(&notify.configuration);
                    context.rare.notice.clone_from(&notify.transaction);
                    context.rare.notice_is_pushed =
                        event.subject.as_ref().is_some_and(|subject| subject.is_pushed);
                    event_routing::expose(&mut context, event);
                    self.go(context, Frame::new(notify.route));
                }
                Delivery::Resume { ticket, .. } => self.heard(ticket, Some(Box::new(event.clone()))),
                Delivery::Inject(wait) => {
                    assert_ne!(waking::arrived(&mut context, &wait, event), Flow::Pending);
                    self.leave(context);
                }
                Delivery::GiveUp(wait) => {
                    waking::lost(&mut context, &wait);
                    self.leave(context);
                }
                Delivery::Datagram(to) => self.node.datagrams.send(&to, event),
                Delivery::Settle(id) => self.node.outstanding.finish(id),
            }
        }
    }

    fn response(&mut self, mut context: Box<Context>) {
        let branch = self.node.keys.response_branch(context.message());
        if let Some(OwnBranch::Ping(token)) = branch {
            let status = context.message().status();
            let pong = Pong { token, status, now_us: self.now_ms * 1000, now_s: self.now_s };
            let configuration = self.node.configuration.load_full();
            let mut events = Vec::new();
            ping::answered(&self.node, 0, &configuration, pong, &mut events);
            return self.raise(events);
        }
        let Some(OwnBranch::Transaction(token)) = branch else { return };
        let node = Arc::clone(&self.node);
        let shard = node.shard(token.id.shard).unwrap();
        let Some(matched) = shard.lock().match_response(token, context.message()) else { return };
        let message = context.message().clone();
        let relayed = if matched.fresh {
            self.reply_routes(&mut context, token, &matched.context)
        } else {
            Relay::AsReceived
        };
        if message.status() >= 200 {
            let mut inner = matched.context.lock();
            let to = message.value(Name::To).and_then(|to| NameAddr::parse(to).ok());
            inner.to_tag = to.and_then(|to| to.tag()).unwrap_or_default().to_vec();
            inner.reason = message.reason().to_vec();
        }
        let relayed = if matched.fresh && message.status() >= 200 {
            self.registration_answered(&mut context, token, &matched.context, relayed)
        } else {
            relayed
        };
        shard.lock().response(self.now_ms, token, &message, relayed, &mut self.effects);
        context.transaction = None;
        self.leave(context);
    }

    /// The main registrar has answered a forwarded REGISTER.
    fn registration_answered(
        &mut self,
        context: &mut Context,
        token: BranchToken,
        state: &Arc<TransactionState>,
        relayed: Relay,
    ) -> Relay {
        let Some(journey) = state.lock().journey.clone() else { return relayed };
        match mid_registrar::answered(context, token.branch, &journey, state) {
            Answered::Passes => relayed,
            Answered::Edited => Relay::Edited(edited(context).into()),
            Answered::Again => {
                let request = self.node.shard(token.id.shard).unwrap().lock().request_of(token.id).unwrap();
                let mut again = self.context(RouteKind::Failure, state.origin);
                again.packet.share(request);
                relay::restore(&mut again, token.id, state, Failure { code: 423, branch: token.branch });
                assert_eq!(relay::again(&mut again), Flow::TRUE);
                self.leave(again);
                relayed
            }
        }
    }

    fn reply_routes(
        &mut self,
        context: &mut Context,
        token: BranchToken,
        state: &Arc<TransactionState>,
    ) -> Relay {
        let general = state.configuration.routes.reply;
        let (armed, branch) = {
            let inner = state.lock();
            let sent = inner.branches.get(usize::from(token.branch));
            let own = sent.and_then(|sent| sent.reply_route);
            (own.or(inner.armed.reply), sent.map(|sent| sent.branch.clone()))
        };
        context.configuration = Arc::clone(&state.configuration);
        context.route = RouteKind::Reply;
        context.transaction = Some((token.id, Arc::clone(state)));
        context.rare.branch_index = token.branch;
        *context.target = branch.unwrap_or_default();
        context.flags = state.lock().flags;
        let shares_values = context.configuration.settings.tm.onreply_avp_mode;
        if shares_values {
            context.rare.avps = std::mem::take(&mut state.lock().avps);
        }
        for route in [general, armed].into_iter().flatten() {
            let configuration = Arc::clone(&context.configuration);
            let outcome = seawall_script::run(&configuration.program, &mut Frame::new(route), context);
            if matches!(outcome, Outcome::Done { drop: true, .. }) {
                return Relay::Drop;
            }
        }
        if shares_values {
            state.lock().avps = std::mem::take(&mut context.rare.avps);
        }
        if context.rare.edits.is_empty() {
            return Relay::AsReceived;
        }
        Relay::Edited(edited(context).into())
    }

    fn carry_out(&mut self) {
        if self.node.watchers.is_due(self.now_ms) {
            let mut context = self.context(RouteKind::Event, seawall_modules::context::nowhere());
            reg_event::take_due(&mut context);
            self.leave(context);
        }
        while !self.effects.is_empty() || !self.own_requests.is_empty() {
            for effect in std::mem::take(&mut self.effects) {
                match effect {
                    Effect::Send { to, bytes, .. } => {
                        let sent = packet(&self.node, to, &bytes);
                        self.run.sent.push(sent);
                        self.give(|spares| spares.give_text(bytes));
                    }
                    Effect::Failure { id, code, branch, context } => {
                        self.failure(id, &context, Failure { code, branch });
                    }
                    Effect::Completed { id, code, local, request, context: state } => {
                        self.completed(id, code, &state);
                        waking::forget(&self.node, &state);
                        let mut context = self.context(RouteKind::Event, seawall_modules::context::nowhere());
                        mid_registrar::completed(&mut context, &state, code, local);
                        self.leave(context);
                        if let Some(request) = request {
                            self.give(|spares| spares.give_request(request));
                        }
                    }
                    Effect::Result { code, response, context: state, .. } => {
                        let mut context = self.context(RouteKind::Local, seawall_modules::context::nowhere());
                        originate::ended(&mut context, &state, &Ended { code, response });
                        self.leave(context);
                    }
                    Effect::Spare { bytes } => self.give(|spares| spares.give_text(bytes)),
                    Effect::Ended { context: state, .. } => {
                        let mut context = self.context(RouteKind::Event, seawall_modules::context::nowhere());
                        mid_registrar::abandoned(&mut context, &state);
                        self.leave(context);
                        let configuration = self.node.configuration.load_full();
                        self.give(|spares| spares.give_state(state, &configuration));
                    }
                }
            }
            for request in std::mem::take(&mut self.own_requests) {
                self.originate(request);
            }
        }
    }

    /// Sends a request of the server itself.
    fn originate(&mut self, request: OwnRequest) {
        let mut context = self.context(RouteKind::Local, seawall_modules::context::nowhere());
        if originate::prepare(&mut context, request) {
            let configuration = Arc::clone(&context.configuration);
            if let Some(route) = configuration.routes.local {
                let outcome =
                    seawall_script::run(&configuration.program, &mut Frame::new(route), &mut *context);
                if matches!(outcome, Outcome::Done { drop: true, .. }) {
                    originate::fail(&mut context);
                }
            }
            assert_eq!(originate::send(&mut context), Sent::Done, "the next hop is a name");
        }
        self.leave(context);
    }

    fn failure(&mut self, id: TransactionId, state: &Arc<TransactionState>, failure: Failure) {
        let received = self.node.shard(id.shard).unwrap().lock().request_of(id);
        let request = received.or_else(|| state.lock().own_request.clone()).unwrap();
        if failure.code == 408 {
            mid_registrar::fell_silent(state);
        }
        state.lock().is_busy = true;
        let route = state.lock().armed.failure.take();
        let mut context = self.context(RouteKind::Failure, state.origin);
        context.packet.share(request);
        relay::restore(&mut context, id, state, failure);
        match route {
            Some(route) => self.go(context, Frame::new(route)),
            // Nobody but the mid-registrar waits.
            None => self.leave(context),
        }
    }

    fn give(&self, give: impl FnOnce(&mut Spares)) {
        let mut spares = self.spares.take().unwrap_or_default();
        give(&mut spares);
        self.spares.set(Some(spares));
    }

    fn completed(&self, id: TransactionId, code: u16, state: &TransactionState) {
        let (accounting, to_tag, reason, avps) = {
            let inner = state.lock();
            (inner.accounting, inner.to_tag.clone(), inner.reason.clone(), inner.avps.clone())
        };
        let Some(request) = self.node.shard(id.shard).and_then(|shard| shard.lock().request_of(id)) else {
            return;
        };
        let (node, configuration) = (&*self.node, &*state.configuration);
        let (request, now_s) = (&request.message, self.now_s);
        let report = acc::Report { node, configuration, accounting, avps: &avps, request, now_s };
        report.completed(&to_tag, code, &reason);
        if code >= 300 {
            report.missed(code, &reason);
        }
    }

    fn ping(&mut self) {
        let node = Arc::clone(&self.node);
        let configuration = node.configuration.load_full();
        let now = Moment { now_us: self.now_ms * 1000, now_s: self.now_s };
        let mut events = Vec::new();
        let sent = &mut self.run.sent;
        let mut send = |target, bytes: &mut Vec<u8>| sent.push(packet(&node, target, bytes));
        // One name has an address once it was asked for, all others are never found.
        let asked = &mut self.names_asked;
        let mut names = |name: &str, ask: bool| {
            let is_known = name == "edge.example" && *asked > 0;
            *asked += usize::from(ask && name == "edge.example");
            is_known.then(|| vec!["203.0.113.60".parse().unwrap()])
        };
        self.pinger.tick(&node, &configuration, now, &mut events, &mut names, &mut send);
        self.raise(events);
    }

    fn expire(&mut self) {
        let node = Arc::clone(&self.node);
        let listens = node.configuration.load().routes.location_events;
        let mut events = Vec::new();
        for domain in node.location.domains() {
            domain.set_refresh_before(node.configuration.load().refresh_before_s());
            let now_s = self.now_s;
            let mut sink = Gather::new(&node, listens, &mut events);
            for shard in 0..domain.shard_count() {
                while domain.expire(shard, now_s, 1000, &mut sink) {}
            }
        }
        events.retain(|event| *event.name != *CONTACT_REFRESH || waking::refresh(&node, self.now_ms, event));
        self.raise(events);
    }
}

/// The response with the edits of the context and without our Via.
fn edited(context: &mut Context) -> Vec<u8> {
    let Some(message) = context.packet.own() else { return Vec::new() };
    if let Some(via) = top_via_extent(message) {
        context.rare.edits.delete(via);
    }
    let mut out = Vec::new();
    context.rare.edits.write(message, &mut out);
    out
}

fn packet(node: &Node, target: Target, bytes: &[u8]) -> Packet {
    Packet {
        to: format!("{}:{}", target.transport, target.peer),
        from: node.socket(target.socket).unwrap().description.clone(),
        text: String::from_utf8_lossy(bytes).into_owned(),
    }
}
