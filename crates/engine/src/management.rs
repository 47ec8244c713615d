//! The server as the management plane sees it.

mod add;
mod kept;
mod local;
mod settings;
mod upstream;
mod users;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use seawall_control::Server;
use seawall_control::server::{
    Contact, Domain, EventSubscriber, EventValue, Expires, LocalDomain, LocationError, NewContact, Process,
    PushService, RecordSink, Registration, State, Statistic, StatisticKind, Subscription,
};
use seawall_location::{self as location, Binding, PERMANENT, Q_NONE, Removal, Snapshot};
use seawall_modules::context::EventParameters;
use seawall_modules::event_datagram::{self, Refused};
use seawall_modules::mid_registrar;
use seawall_modules::node::Node;
use seawall_modules::statistics;
use seawall_net::{CommandSender, Counters, Running, unix_s};
use seawall_notifier::Now;
use seawall_registrar::aor;
use seawall_script::{FlagSpace, Value};
use seawall_sip::Uri;

pub use self::settings::control_config;
use crate::sockets::Wanted;
use crate::start::Options;
use crate::worker::Command;

/// What the management plane works on.
pub struct Management {
    node: Arc<Node>,
    commands: CommandSender<Command>,
    net: Arc<Counters>,
    options: Options,
    wanted: Vec<Wanted>,
    runtime: tokio::runtime::Handle,
    /// One reload at a time.
    reloading: Mutex<()>,
}

impl Management {
    /// The management side of a server that runs.
    #[must_use]
    pub fn new(
        node: Arc<Node>,
        running: &Running<Command>,
        options: Options,
        wanted: Vec<Wanted>,
        runtime: tokio::runtime::Handle,
    ) -> Self {
        let (commands, net) = (running.handle(), running.counters());
        Self { node, commands, net, options, wanted, runtime, reloading: Mutex::new(()) }
    }

    /// The shared state.
    #[must_use]
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn wanted(&self) -> &[Wanted] {
        &self.wanted
    }

    pub(crate) fn runtime(&self) -> &tokio::runtime::Handle {
        &self.runtime
    }

    pub(crate) fn commands(&self) -> &CommandSender<Command> {
        &self.commands
    }

    fn domain(&self, name: &str) -> Result<Arc<location::Domain>, LocationError> {
        self.node.location.domain(name).ok_or(LocationError::TableNotFound)
    }

    /// The address of record that MI names: `user@host` or a URI.
    fn canonical(&self, text: &[u8]) -> Result<aor::Aor, LocationError> {
        let configuration = self.node.configuration.load();
        let mut name = aor::Aor::new();
        let uri = if text.starts_with(b"sip:") || text.starts_with(b"sips:") {
            text.to_vec()
        } else {
            [b"sip:", text].concat()
        };
        aor::canonical_text(&uri, &configuration.settings.registrar.policy, &mut name)
            .map_err(|_| LocationError::Refused("Bad AOR"))?;
        Ok(name)
    }

    fn show(&self, binding: &Binding<'_>, now_s: u64, sink: &mut dyn RecordSink) {
        let numbers = &binding.numbers;
        let configuration = self.node.configuration.load();
        let names: Vec<&str> = (0..32u8)
            .filter(|bit| numbers.flags & (1 << bit) != 0)
            .filter_map(|bit| configuration.program.flag_name(FlagSpace::Branch, bit))
            .collect();
        let flags = names.join(" ");
        let optional = |bytes: &'_ [u8]| if bytes.is_empty() { None } else { Some(bytes.to_vec()) };
        let (received, path, attr, instance) = (
            optional(binding.received),
            optional(binding.path),
            optional(binding.attr),
            optional(binding.instance),
        );
        let socket = self.node.location.names().name(numbers.socket);
        let tag = self.node.location.names().name(binding.ownership_tag);
        sink.contact(&Contact {
            contact: binding.contact,
            contact_id: numbers.contact_id,
            expires: match numbers.expires_s {
                PERMANENT => Expires::Permanent,
                at_s if u64::from(at_s) <= now_s => Expires::Expired,
                at_s => Expires::In(u32::try_from(u64::from(at_s) - now_s).unwrap_or(u32::MAX)),
            },
            q_per_mille: Some(numbers.q).filter(|q| *q != Q_NONE),
            call_id: binding.callid,
            cseq: numbers.cseq,
            user_agent: binding.user_agent,
            received: received.as_deref(),
            path: path.as_deref(),
            state: State::New,
            flags: numbers.cflags,
            cflags: flags.as_bytes(),
            socket: Some(socket).filter(|socket| !socket.is_empty()),
            methods: numbers.methods,
            attr: attr.as_deref(),
            sip_instance: instance.as_deref(),
            ping_latency_us: Some(numbers.latency_us).filter(|latency| *latency > 0),
            ownership_tag: Some(tag).filter(|tag| !tag.is_empty()),
            kv_store: Some(binding.keys).filter(|keys| configuration.settings.shows_keys && !keys.is_empty()),
        });
    }

    /// `mi_dump_kv_store` of an address of record.
    fn show_keys(&self, keys: &[u8], sink: &mut dyn RecordSink) {
        if !keys.is_empty() && self.node.configuration.load().settings.shows_keys {
            sink.keys(keys);
        }
    }

    fn tm_statistics(&self, each: &mut dyn FnMut(&Statistic<'_>)) {
        let mut sum = seawall_transaction::Counters::default();
        let mut in_use = 0;
        for shard in &self.node.transactions {
            let layer = shard.lock();
            in_use += layer.len() as u64;
            sum.add(&layer.counters());
        }
        let counted = [
            ("received_replies", sum.received_replies, "Replies received for a transaction."),
            ("relayed_replies", sum.relayed_replies, "Replies relayed by a transaction."),
            ("local_replies", sum.local_replies, "Replies that a transaction made itself."),
            ("UAS_transactions", sum.uas_transactions, "Server transactions made."),
            ("UAC_transactions", sum.uac_transactions, "Client transactions made."),
            ("2xx_transactions", sum.completed_class(2), "Transactions completed with a 2xx code."),
            ("3xx_transactions", sum.completed_class(3), "Transactions completed with a 3xx code."),
            ("4xx_transactions", sum.completed_class(4), "Transactions completed with a 4xx code."),
            ("5xx_transactions", sum.completed_class(5), "Transactions completed with a 5xx code."),
            ("6xx_transactions", sum.completed_class(6), "Transactions completed with a 6xx code."),
            ("absorbed_requests", sum.absorbed_requests, "Requests recognised as retransmissions."),
            ("retransmissions", sum.retransmissions, "Messages that were sent again."),
            ("refused_full", sum.refused_full, "Transactions refused because there were too many."),
        ];
        for (name, value, doc) in counted {
            each(&Statistic { group: "tm", name, value, kind: StatisticKind::Counter, doc });
        }
        let doc = "Transactions in memory.";
        each(&Statistic {
            group: "tm",
            name: "inuse_transactions",
            value: in_use,
            kind: StatisticKind::Gauge,
            doc,
        });
    }

    fn location_statistics(&self, each: &mut dyn FnMut(&Statistic<'_>)) {
        let mut users = 0;
        for domain in self.node.location.domains() {
            let found = domain.statistics();
            users += found.users;
            for (suffix, value, kind, doc) in [
                (
                    "users",
                    found.users,
                    StatisticKind::Gauge,
                    "Addresses of record with a binding in this table.",
                ),
                ("contacts", found.contacts, StatisticKind::Gauge, "Bindings in this table."),
                (
                    "expires",
                    found.expires,
                    StatisticKind::Counter,
                    "Bindings of this table that have expired.",
                ),
            ] {
                each(&Statistic {
                    group: "usrloc",
                    name: &format!("{}-{suffix}", domain.name()),
                    value,
                    kind,
                    doc,
                });
            }
        }
        let doc = "Addresses of record with a binding, in all tables.";
        each(&Statistic {
            group: "usrloc",
            name: "registered_users",
            value: users,
            kind: StatisticKind::Gauge,
            doc,
        });
    }

    fn registration_statistics(&self, each: &mut dyn FnMut(&Statistic<'_>)) {
        let declared = mid_registrar::MODULE.statistics;
        for (name, value) in mid_registrar::gauges(&self.node) {
            let doc = declared.iter().find(|statistic| statistic.name == name).map_or("", |found| found.doc);
            each(&Statistic { group: "mid_registrar", name, value, kind: StatisticKind::Gauge, doc });
        }
    }

    fn parameter_statistics(&self, each: &mut dyn FnMut(&Statistic<'_>)) {
        let configuration = self.node.configuration.load();
        if !configuration.program.is_loaded("registrar") {
            return;
        }
        let policy = &configuration.settings.registrar.policy;
        for (name, value, doc) in [
            ("max_expires", policy.max_expires_s, "The parameter max_expires."),
            ("max_contacts", policy.max_contacts, "The parameter max_contacts."),
            ("defaults_expires", policy.default_expires_s, "The parameter default_expires."),
        ] {
            each(&Statistic {
                group: "registrar",
                name,
                value: u64::from(value),
                kind: StatisticKind::Gauge,
                doc,
            });
        }
    }
}

impl Server for Management {
    fn version(&self) -> String {
        format!(
            "Seawall ({} ({}/{}))",
            env!("CARGO_PKG_VERSION"),
            std::env::consts::ARCH,
            std::env::consts::OS
        )
    }

    fn now_s(&self) -> u64 {
        unix_s()
    }

    fn started_s(&self) -> u64 {
        self.node.started_s
    }

    fn processes(&self) -> Vec<Process> {
        let pid = std::process::id();
        let workers = (0..self.node.workers).map(|index| format!("SIP worker {index}"));
        workers
            .chain(["management".to_owned()])
            .enumerate()
            .map(|(index, kind)| Process { id: u32::try_from(index).unwrap_or(u32::MAX), pid, kind })
            .collect()
    }

    fn log_level(&self) -> i8 {
        self.node.configuration.load().log_level.load(Ordering::Relaxed)
    }

    fn set_log_level(&self, level: i8) {
        self.node.configuration.load().log_level.store(level, Ordering::Relaxed);
        (self.options.on_log_level)(level);
    }

    fn statistics(&self, each: &mut dyn FnMut(&Statistic<'_>)) {
        let mut group = "";
        for (index, &(of, name, doc)) in statistics::COUNTED.iter().enumerate() {
            if group == "core" && of != "core" {
                let up_s = unix_s().saturating_sub(self.node.started_s);
                let doc = "Seconds since the start.";
                each(&Statistic {
                    group: "core",
                    name: "timestamp",
                    value: up_s,
                    kind: StatisticKind::Gauge,
                    doc,
                });
            }
            group = of;
            each(&Statistic {
                group: of,
                name,
                value: self.node.counters.value(index),
                kind: StatisticKind::Counter,
                doc,
            });
        }
        self.parameter_statistics(each);
        self.tm_statistics(each);
        self.location_statistics(each);
        self.store_statistics(each);
        self.accounting_statistics(each);
        crate::push::statistics(&self.node, each);
        self.registration_statistics(each);
        let doc = "Subscriptions to registrations that stand.";
        each(&Statistic {
            group: "reg_event",
            name: "subscriptions",
            value: self.node.watchers.lock().len() as u64,
            kind: StatisticKind::Gauge,
            doc,
        });
        for (name, doc, value) in self.net.snapshot().entries() {
            each(&Statistic { group: "net", name, value, kind: StatisticKind::Counter, doc });
        }
    }

    fn reset_statistic(&self, group: &str, name: &str) {
        let found = statistics::COUNTED.iter().position(|(of, known, _)| *of == group && *known == name);
        if let Some(index) = found {
            self.node.counters.reset(index);
        } else if group == "tm" {
            for shard in &self.node.transactions {
                shard.lock().reset_counter(name);
            }
        } else if group == "usrloc"
            && let Some(domain) =
                name.strip_suffix("-expires").and_then(|name| self.node.location.domain(name))
        {
            domain.reset_expires();
        }
    }

    fn reload(&self) -> Result<String, String> {
        let _one = self.reloading.lock();
        crate::reload::reload(self)
    }

    fn reload_domains(&self) -> Result<usize, LocationError> {
        self.read_domains()
    }

    fn local_domains(&self, each: &mut dyn FnMut(&LocalDomain<'_>)) -> Result<(), LocationError> {
        self.show_domains(each)
    }

    fn pinging(&self) -> bool {
        self.node.configuration.load().settings.nat.ping.is_some()
            && self.node.pinging.load(Ordering::Relaxed)
    }

    fn set_pinging(&self, on: bool) -> bool {
        let possible = self.node.configuration.load().settings.nat.ping.is_some();
        if possible {
            self.node.pinging.store(on, Ordering::Relaxed);
        }
        possible
    }

    fn users(&self) -> Option<&dyn seawall_control::users::Users> {
        let configuration = self.node.configuration.load();
        configuration.settings.auth_db.is_some().then_some(self as _)
    }

    fn domains(&self) -> Vec<Domain> {
        let describe = |domain: &Arc<location::Domain>| Domain {
            name: domain.name().to_owned(),
            hash_size: domain.shard_count(),
            parts: domain.shard_count(),
        };
        self.node.location.domains().iter().map(describe).collect()
    }

    fn dump_part(&self, domain: &str, part: usize, sink: &mut dyn RecordSink) {
        let Some(domain) = self.node.location.domain(domain).filter(|domain| part < domain.shard_count())
        else {
            return;
        };
        // The shard is locked while its bytes are copied, and free again while they are shown.
        let mut copy = Snapshot::default();
        domain.snapshot(part, &mut copy);
        let now_s = unix_s();
        for record in copy.records(domain.names()) {
            sink.aor(record.aor());
            self.show_keys(record.keys(), sink);
            for binding in record.bindings() {
                self.show(&binding, now_s, sink);
            }
        }
    }

    fn show_aor(&self, domain: &str, aor: &[u8], sink: &mut dyn RecordSink) -> Result<(), LocationError> {
        let domain = self.domain(domain)?;
        let name = self.canonical(aor)?;
        let _held = self.know(&domain, &name)?;
        let now_s = unix_s();
        let entry = domain.lock(&name, now_s);
        if entry.is_empty() {
            return Err(LocationError::AorNotFound);
        }
        sink.aor(&name);
        self.show_keys(entry.keys(), sink);
        for binding in entry.bindings() {
            self.show(&binding, now_s, sink);
        }
        Ok(())
    }

    fn remove_aor(&self, domain: &str, aor: &[u8]) -> Result<(), LocationError> {
        let domain = self.domain(domain)?;
        let name = self.canonical(aor)?;
        let _held = self.know(&domain, &name)?;
        let all = |_: usize, _: &Binding<'_>| Some(Removal::Administrative);
        let removed = self.changed(|sink| Ok(domain.lock(&name, unix_s()).remove(sink, all)))?;
        if removed == 0 { Err(LocationError::AorNotFound) } else { Ok(()) }
    }

    fn remove_contact(&self, domain: &str, aor: &[u8], contact: &[u8]) -> Result<(), LocationError> {
        let domain = self.domain(domain)?;
        let name = self.canonical(aor)?;
        let _held = self.know(&domain, &name)?;
        let wanted = Uri::parse(contact).ok();
        let which = |_: usize, binding: &Binding<'_>| {
            let same = match (&wanted, Uri::parse(binding.contact)) {
                (Some(wanted), Ok(known)) => wanted.equals(&known),
                _ => binding.contact == contact,
            };
            same.then_some(Removal::Administrative)
        };
        self.changed(|sink| {
            let mut entry = domain.lock(&name, unix_s());
            if entry.is_empty() {
                return Err(LocationError::AorNotFound);
            }
            if entry.remove(sink, which) == 0 { Err(LocationError::ContactNotFound) } else { Ok(()) }
        })
    }

    fn add_contact(&self, domain: &str, aor: &[u8], contact: &NewContact<'_>) -> Result<(), LocationError> {
        let domain = self.domain(domain)?;
        let name = self.canonical(aor)?;
        let _held = self.know(&domain, &name)?;
        self.changed(|sink| add::add(&self.node, &domain, &name, contact, sink))
    }

    fn flush(&self) -> Result<(), LocationError> {
        self.flush_all()
    }

    fn subscriptions(&self, from: u64, count: usize, each: &mut dyn FnMut(&Subscription<'_>)) {
        let now = Now { ms: seawall_net::monotonic_ms(), s: unix_s() };
        self.node.watchers.lock().list(now, from, count, &mut |shown| {
            each(&Subscription {
                id: shown.id.number(),
                domain: shown.domain,
                aor: shown.aor,
                subscriber: shown.subscriber,
                target: shown.target,
                call_id: shown.call_id,
                expires_s: shown.left_ms.div_ceil(1000),
                notifies: shown.notifies,
            });
        });
    }

    fn event_subscribe(&self, event: &str, socket: &str, expire_s: u64) -> Result<(), LocationError> {
        if !self.node.configuration.load().program.is_loaded("event_datagram") {
            return Err(LocationError::Failed("The module event_datagram is not loaded"));
        }
        let now_ms = seawall_net::monotonic_ms();
        event_datagram::subscribe(&self.node.subscriptions, (event, socket), Some(expire_s), now_ms).map_err(
            |refused| match refused {
                Refused::Event => LocationError::Refused("Bad event"),
                Refused::Socket => LocationError::Refused("Bad socket"),
                Refused::Full => LocationError::Failed("Too many subscribers"),
            },
        )
    }

    fn event_subscribers(&self, each: &mut dyn FnMut(&EventSubscriber<'_>)) {
        let now_ms = seawall_net::monotonic_ms();
        for (event, to, until_ms) in self.node.subscriptions.all_outside() {
            let expires_s = (until_ms != u64::MAX).then(|| until_ms.saturating_sub(now_ms).div_ceil(1000));
            each(&EventSubscriber { event: &event, socket: &to.to_string(), expires_s });
        }
    }

    fn events(&self, each: &mut dyn FnMut(&str)) {
        let modules = seawall_modules::MODULES.iter();
        modules.flat_map(|module| module.events).for_each(|event| each(event.name));
    }

    fn event_raise(&self, event: &str, values: &[(String, EventValue)]) -> Result<(), LocationError> {
        if !event_datagram::is_event_name(event) {
            return Err(LocationError::Refused("Bad event"));
        }
        let value = |value: &EventValue| match value {
            EventValue::Int(number) => Value::Int(*number),
            EventValue::Text(text) => Value::str(text),
        };
        let values = values.iter().map(|(name, given)| (name.as_str().into(), value(given))).collect();
        let event = EventParameters { name: event.into(), values, subject: None };
        self.commands.send(0, Command::Raise(vec![event])).map_err(|_| LocationError::Failed("Overloaded"))
    }

    fn push_wake(&self, domain: &str, aor: &[u8], reason: &[u8]) -> Result<usize, LocationError> {
        let table = self.domain(domain)?;
        let name = self.canonical(aor)?;
        crate::push::wake_all(&self.node, &table, domain, &name, reason).ok_or(LocationError::AorNotFound)
    }

    fn push_services(&self, each: &mut dyn FnMut(&PushService<'_>)) {
        crate::push::services(&self.node, each);
    }

    fn end_subscription(&self, id: u64) -> bool {
        self.node.watchers.lock().terminate(id.into())
    }

    fn registrations(
        &self,
        aor: &[u8],
        each: &mut dyn FnMut(&Registration<'_>),
    ) -> Result<(), LocationError> {
        upstream::show(&self.node, aor, unix_s(), each)
    }

    fn resync(&self, aor: Option<&[u8]>) -> Result<usize, LocationError> {
        upstream::resync(&self.node, aor, unix_s())
    }
}
