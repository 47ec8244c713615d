//! What the server keeps of its main registrars: one [`Front`] for each location table that `mid_registrar_save()` names.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use seawall_digest::{Challenged, is_stale, respond};
use seawall_location::{Change, Domain};
use seawall_net::Transport;
use seawall_registrar::mid::{Errand, ErrandKind, Mid, Upstream};
use seawall_sip::Uri;

use super::parameters::MidSettings;
use super::silence::Silence;
use crate::context::Context;
use crate::node::Node;
use crate::originate::{self, Ended, OnAnswer, OwnRequest};
use crate::statistics::Stat;

/// Requests of our own that a table has under way at a time: enough for thousands a second at a main registrar that
/// answers, and no flood for one that has just come back.
const MOST_ERRANDS: usize = 512;

/// Requests of our own that one worker starts in one tick, so that clients are served in between.
const ERRANDS_PER_TICK: usize = 64;

/// Contacts that went away and that one tick of a worker looks after. A mass expiry is worked off in several.
const GONE_PER_TICK: usize = 2048;

/// A location table in front of main registrars.
pub struct Front {
    /// The bindings.
    pub domain: Arc<Domain>,
    /// What the main registrars hold.
    pub upstream: Upstream,
    /// Contacts that went away while their table was locked: address of record and contact id. It has no bound of its
    /// own, because each entry takes the place of a binding.
    gone: Mutex<Vec<(Box<[u8]>, u64)>>,
    errands: AtomicUsize,
    /// Whether the main registrars answer.
    pub(super) silence: Silence,
    /// Tells whoever keeps the registrations that something has changed.
    bell: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// All of them.
#[derive(Default)]
pub struct Fronts {
    list: RwLock<Vec<Arc<Front>>>,
    is_used: AtomicBool,
    /// The time that main registrars take to answer: a moving average in sixteenths of a millisecond.
    latency: AtomicU64,
}

impl fmt::Debug for Fronts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Fronts").finish_non_exhaustive()
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Front").field("table", &self.domain.name()).finish_non_exhaustive()
    }
}

impl Fronts {
    /// The front of a table, made at its first use.
    #[must_use]
    pub fn front(&self, domain: &Arc<Domain>) -> Arc<Front> {
        if let Some(front) = self.find(domain.name()) {
            return front;
        }
        let mut list = self.list.write();
        // Another worker may have been faster.
        if let Some(front) = list.iter().find(|front| Arc::ptr_eq(&front.domain, domain)) {
            return Arc::clone(front);
        }
        let front = Arc::new(Front {
            domain: Arc::clone(domain),
            // Flows are compared after a restart, where the bindings are kept.
            upstream: Upstream::new(domain.key(b"upstream")).asking(domain.asker()),
            gone: Mutex::default(),
            errands: AtomicUsize::new(0),
            silence: Silence::default(),
            bell: OnceLock::new(),
        });
        list.push(Arc::clone(&front));
        self.is_used.store(true, Ordering::Relaxed);
        front
    }

    /// The front of the table with this name.
    #[must_use]
    pub fn find(&self, domain: &str) -> Option<Arc<Front>> {
        self.list.read().iter().find(|front| front.domain.name() == domain).cloned()
    }

    /// All fronts.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Front>> {
        self.list.read().clone()
    }

    /// Whether there is any.
    #[inline]
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }

    /// Takes a change of a location table, under the lock of its shard.
    pub fn change(&self, domain: &str, aor: &[u8], change: Change<'_>) {
        let Change::ContactDelete(binding, _) = change else { return };
        let list = self.list.read();
        if let Some(front) = list.iter().find(|front| front.domain.name() == domain) {
            front.gone.lock().push((aor.into(), binding.numbers.contact_id));
        }
    }

    /// Notes how long a main registrar took to answer.
    pub(super) fn note_latency(&self, took_ms: u64) {
        let old = self.latency.load(Ordering::Relaxed);
        let new = if old == 0 { took_ms * 16 } else { old - old / 8 + took_ms * 2 };
        // Between two workers one sample may be lost, which an average does not mind.
        self.latency.store(new.max(1), Ordering::Relaxed);
    }

    /// The time that main registrars take to answer, in milliseconds: a moving average.
    #[must_use]
    pub fn latency_ms(&self) -> u64 {
        self.latency.load(Ordering::Relaxed).div_ceil(16)
    }

    /// Tables whose main registrar has stopped answering.
    #[must_use]
    pub fn silent(&self) -> u64 {
        self.list.read().iter().filter(|front| front.silence.is_down()).count() as u64
    }

    /// De-REGISTERs and renewals that wait to be sent or sent again.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.list.read().iter().map(|front| front.upstream.waiting() as u64).sum()
    }
}

impl Front {
    /// Runs `act` over the state of this table.
    pub fn with<R>(
        &self,
        node: &Node,
        settings: &MidSettings,
        now_s: u64,
        act: impl FnOnce(&Mid<'_>) -> R,
    ) -> R {
        let is_own = |uri: &Uri<'_>| crate::registrar::is_own_socket(node, uri);
        let result = act(&Mid {
            now_s,
            policy: &settings.policy,
            settings: &settings.mid,
            domain: &self.domain,
            upstream: &self.upstream,
            is_own: &is_own,
        });
        if self.upstream.has_changed()
            && let Some(bell) = self.bell.get()
        {
            bell();
        }
        result
    }

    /// Has the registrations kept: `bell` is called when something of them has changed.
    pub fn keep(&self, bell: impl Fn() + Send + Sync + 'static) {
        if self.bell.set(Box::new(bell)).is_ok() {
            self.upstream.keep();
        }
    }

    /// Takes contacts that went away.
    fn take_gone(&self) -> Vec<(Box<[u8]>, u64)> {
        let mut gone = self.gone.lock();
        let left = gone.len().saturating_sub(GONE_PER_TICK);
        gone.split_off(left)
    }
}

/// The statistics that are worked out when somebody asks.
#[must_use]
pub fn gauges(node: &Node) -> [(&'static str, u64); 4] {
    let counted = |stat: Stat| node.counters.value(stat as usize);
    let (absorbed, forwarded) = (counted(Stat::AbsorbedRegs), counted(Stat::ForwardedRegs));
    let ratio = (absorbed * 10_000).checked_div(absorbed + forwarded).unwrap_or(0);
    [
        ("pending_deregs", node.fronts.waiting()),
        ("absorb_ratio", ratio),
        ("upstream_latency", node.fronts.latency_ms()),
        ("upstream_silent", node.fronts.silent()),
    ]
}

/// Looks after what time and other people have done: contacts that went away are taken away from the main registrars, and
/// what is due is put into the context to be sent.
pub fn tick(context: &mut Context) {
    let Some(settings) = context.configuration.settings.mid.clone() else { return };
    let node = Arc::clone(&context.node);
    if node.store.ownership.is_doubtful(context.now_ms) {
        // Another server may be in front of them now: what has ended here is known to the main registrars from there.
        return;
    }
    for front in node.fronts.all() {
        let gone = front.take_gone();
        let mut errands = Vec::new();
        front.with(&node, &settings, context.now_s, |mid| {
            for (aor, contact_id) in &gone {
                mid.gone(aor, *contact_id);
            }
            if front.silence.take_return() {
                mid.hurry();
            }
            // Nothing waits, as nearly always: no shard has to be asked.
            if front.upstream.waiting() == 0 {
                return;
            }
            // Every worker looks after its own shards.
            for shard in (context.worker..front.upstream.shard_count()).step_by(node.workers.max(1)) {
                let under_way = front.errands.load(Ordering::Relaxed) + errands.len();
                let room = MOST_ERRANDS.saturating_sub(under_way);
                mid.due(shard, room.min(ERRANDS_PER_TICK.saturating_sub(errands.len())), &mut errands);
            }
        });
        for errand in errands {
            send(context, &front, errand);
        }
    }
}

/// Puts a request of our own into the context.
fn send(context: &mut Context, front: &Arc<Front>, errand: Errand) {
    front.errands.fetch_add(1, Ordering::Relaxed);
    if errand.kind == ErrandKind::Remove {
        context.node.counters.bump(context.worker, Stat::SentDeregs);
    }
    attempt(context, Arc::clone(front), errand, 0, b"");
}

/// Sends a request of our own, with the answer to `answered` challenges so far.
fn attempt(context: &mut Context, front: Arc<Front>, errand: Errand, answered: u32, authorization: &[u8]) {
    let socket = context.node.socket_by_name(errand.main.socket);
    let transport = socket.and_then(|id| context.node.socket(id)).map(|socket| socket.transport);
    let tag = context.random();
    let request = OwnRequest {
        method: b"REGISTER".to_vec(),
        uri: errand.main.uri.to_vec(),
        from: [b"<", &*errand.to, b">;tag=", format!("{tag:016x}").as_bytes()].concat(),
        to: [b"<", &*errand.to, b">"].concat(),
        call_id: errand.callid.to_vec(),
        cseq: errand.cseq.min(i32::MAX as u32),
        headers: [b"Contact: ", &*errand.contact, b"\r\n", authorization].concat(),
        body: Vec::new(),
        next_hop: originate::uri_of(transport.unwrap_or(Transport::Udp), errand.main.peer),
        socket,
        connection: None,
        on_answer: None,
    };
    let on_answer = OnAnswer::new(move |context, ended| {
        if ended.response.is_some() {
            front.silence.heard();
        } else if ended.code == 408 {
            front.silence.missed();
        }
        if let Some(lines) = credentials(context, &errand, answered, ended) {
            // RFC 3261 section 22.2: the next number.
            let mut errand = errand;
            errand.cseq = errand.cseq.saturating_add(1);
            return attempt(context, front, errand, answered + 1, &lines);
        }
        front.errands.fetch_sub(1, Ordering::Relaxed);
        if errand.kind == ErrandKind::Remove && matches!(ended.code, 200..=299 | 404) {
            context.node.counters.bump(context.worker, Stat::AcknowledgedDeregs);
        }
        let Some(settings) = context.configuration.settings.mid.clone() else { return };
        front.with(&context.node, &settings, context.now_s, |mid| {
            mid.done(&errand, ended.code, ended.response.as_deref());
        });
    });
    context.own_requests.push(OwnRequest { on_answer: Some(on_answer), ..request });
}

/// What answers the challenge that a request of our own has met. None when it met none, when nobody gave us credentials
/// for it, and when the main registrar does not take those that we have.
fn credentials(context: &mut Context, errand: &Errand, answered: u32, ended: &Ended) -> Option<Vec<u8>> {
    let response = ended.response.as_deref().filter(|_| matches!(ended.code, 401 | 407))?;
    let logins = context.configuration.settings.uac.clone()?;
    if answered > 0 && !(answered == 1 && is_stale(response)) {
        return None;
    }
    let cnonce = format!("{:016x}", context.random());
    let to = Uri::parse(&errand.to).ok();
    let request = Challenged {
        method: b"REGISTER",
        uri: &errand.main.uri,
        body: b"",
        user: to.and_then(|uri| uri.user).unwrap_or_default(),
        cnonce: cnonce.as_bytes(),
    };
    let lines = respond(response, logins.all(), &request);
    (!lines.is_empty()).then_some(lines)
}
