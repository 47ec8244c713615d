//! The subscriptions of the server, shared by all workers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use seawall_location::Change;
use seawall_net::{ConnectionId, SocketId};
use seawall_notifier::{Filter, Id, Notifier, Notify, Now};
use seawall_sip::cseq;

use crate::context::Context;
use crate::originate::{Ended, OnAnswer, OwnRequest};
use crate::statistics::Stat;

/// NOTIFYs that a worker makes before it looks at the network again.
const AT_ONCE: usize = 64;

/// "Nothing is due".
const NEVER: u64 = u64::MAX;

/// The way to a subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The socket that the SUBSCRIBE came to.
    pub socket: SocketId,
    /// The connection that it came on.
    pub connection: Option<ConnectionId>,
    /// Where the script wants NOTIFYs to go; empty for the dialog's way.
    pub next_hop: Vec<u8>,
}

/// All subscriptions. The lock is held for single calls into the pure part, and only ever taken inside the lock of a
/// shard of the location table, never around it.
pub struct Watchers {
    notifier: Mutex<Notifier<Way>>,
    filter: Arc<Filter>,
    /// When a NOTIFY is due next, in monotonic milliseconds; read without the lock.
    next_due_ms: AtomicU64,
}

impl Default for Watchers {
    fn default() -> Self {
        let notifier = Notifier::default();
        let filter = notifier.filter();
        Self { notifier: Mutex::new(notifier), filter, next_due_ms: AtomicU64::new(NEVER) }
    }
}

impl fmt::Debug for Watchers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Watchers").finish_non_exhaustive()
    }
}

/// The notifier under its lock. When it is let go, what is due next is known to all workers.
pub struct Locked<'a> {
    notifier: MutexGuard<'a, Notifier<Way>>,
    next_due_ms: &'a AtomicU64,
}

impl std::ops::Deref for Locked<'_> {
    type Target = Notifier<Way>;

    fn deref(&self) -> &Notifier<Way> {
        &self.notifier
    }
}

impl std::ops::DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Notifier<Way> {
        &mut self.notifier
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.next_due_ms.store(self.notifier.next_due_ms().unwrap_or(NEVER), Ordering::Relaxed);
    }
}

impl Watchers {
    /// Whether anybody subscribed to anything.
    #[inline]
    #[must_use]
    pub fn listens(&self) -> bool {
        !self.filter.is_empty()
    }

    /// Takes a change of the location table, under the lock of its shard.
    pub fn change(&self, domain: &str, aor: &[u8], change: Change<'_>) {
        if self.filter.may_have(aor) {
            self.lock().change(domain, aor, change);
        }
    }

    /// Whether [`take_due`] has something to do.
    #[inline]
    #[must_use]
    pub fn is_due(&self, now_ms: u64) -> bool {
        self.next_due_ms.load(Ordering::Relaxed) <= now_ms
    }

    /// Locks the subscriptions.
    pub fn lock(&self) -> Locked<'_> {
        Locked { notifier: self.notifier.lock(), next_due_ms: &self.next_due_ms }
    }
}

/// Puts the NOTIFYs that are due into the context, up to a bound; the rest is due still.
pub fn take_due(context: &mut Context) {
    let node = Arc::clone(&context.node);
    let now = now(context);
    for _ in 0..AT_ONCE {
        let Some(due) = node.watchers.lock().due(now) else { return };
        let limits = context.configuration.settings.reg_event.limits;
        let domain = node.location.domain(&due.domain);
        // The address of record first, then the subscriptions: in this order everywhere.
        let entry = domain.as_ref().map(|domain| domain.lock(&due.aor, now.s));
        let bindings = entry.as_ref().map(|entry| entry.valid().map(|(_, binding)| binding));
        let notify = node.watchers.lock().notify(now, due.id, bindings, &limits);
        drop(entry);
        if let Some(notify) = notify {
            send(context, notify);
        }
    }
}

/// Puts a NOTIFY into the context, to be sent when the route has ended.
pub fn send(context: &mut Context, notify: Notify<Way>) {
    context.node.counters.bump(context.worker, Stat::SentNotifies);
    let Notify { id, uri, next_hop, from, to, call_id, cseq, mut headers, body, flow } = notify;
    headers.extend_from_slice(&contact_line(context, flow.socket));
    context.own_requests.push(OwnRequest {
        method: b"NOTIFY".to_vec(),
        uri,
        from,
        to,
        call_id,
        cseq,
        headers,
        body,
        next_hop: if flow.next_hop.is_empty() { next_hop } else { flow.next_hop },
        socket: Some(flow.socket),
        connection: flow.connection,
        on_answer: Some(OnAnswer::new(move |context, ended| answered(context, id, ended))),
    });
}

/// A NOTIFY has ended.
fn answered(context: &mut Context, id: Id, ended: &Ended) {
    if !(200..300).contains(&ended.code) {
        context.node.counters.bump(context.worker, Stat::FailedNotifies);
    }
    let response = ended.response.as_deref();
    let retry_after_s = response.and_then(|response| cseq::retry_after(response).ok().flatten());
    let now = now(context);
    if !context.node.watchers.lock().answered(now, id, ended.code, retry_after_s) {
        tracing::info!("a subscription to a registration has ended: its NOTIFY got {}", ended.code);
    }
}

/// The context's time on both clocks.
pub fn now(context: &Context) -> Now {
    Now { ms: context.now_ms, s: context.now_s }
}

/// The Contact line of our side of a dialog: the socket that the subscriber has reached.
pub fn contact_line(context: &Context, socket: SocketId) -> Vec<u8> {
    let Some(socket) = context.node.socket(socket) else { return Vec::new() };
    let transport: &[u8] =
        if socket.transport == seawall_net::Transport::Udp { b"" } else { b";transport=tcp" };
    [b"Contact: <sip:", &*socket.sent_by, transport, b">\r\n"].concat()
}
