//! What the script keeps with a transaction: values, flags, armed routes and what each branch looked like.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use seawall_net::Origin;
use seawall_script::RouteId;
use seawall_sip::Edits;
use seawall_transaction::Request;
use smallvec::SmallVec;

use crate::acc::Accounting;
use crate::avps::Avps;
use crate::branch::Branch;
use crate::configuration::Configuration;
use crate::context::Target;
use crate::originate::OnAnswer;

/// The routes that `t_on_branch`, `t_on_reply` and `t_on_failure` armed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Armed {
    /// Runs for every branch before it is sent.
    pub branch: Option<RouteId>,
    /// Runs for every reply.
    pub reply: Option<RouteId>,
    /// Runs when all branches have failed.
    pub failure: Option<RouteId>,
}

/// One branch as it was sent.
#[derive(Debug, Clone, Default)]
pub struct SentBranch {
    /// The destination.
    pub branch: Branch,
    /// A reply route that was armed for this branch alone.
    pub reply_route: Option<RouteId>,
}

/// What the request route left behind for the failure route.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// The first destination.
    pub target: Branch,
    /// Changes to the message.
    pub edits: Edits,
    /// What `record_route` asked for.
    pub record_route: Option<crate::rr::RecordRoute>,
    /// What `add_path` asked for.
    pub path_header: Option<Box<crate::path::PathHeader>>,
    /// What `loose_route` found.
    pub loose_route: crate::rr::LooseRoute,
    /// The Max-Forwards to send.
    pub max_forwards: Option<u32>,
    /// Whether our Via asks for rport.
    pub add_local_rport: bool,
    /// Whether replies go to the source port.
    pub force_rport: bool,
    /// Destinations that are to be tried later.
    pub serial: crate::serial::Waiting,
}

impl Kept {
    /// Takes everything out and keeps the memory.
    fn empty(&mut self) {
        let Kept {
            target,
            edits,
            record_route,
            path_header,
            loose_route,
            max_forwards,
            add_local_rport,
            force_rport,
            serial,
        } = self;
        renew(target, Branch::is_small);
        target.clear();
        renew(edits, |edits| edits.text_len() <= LONGEST_KEPT);
        edits.clear();
        (*record_route, *path_header, *max_forwards) = (None, None, None);
        renew(loose_route, |found| found.params.is_empty());
        loose_route.driven = false;
        (*add_local_rport, *force_rport) = (false, false);
        renew(serial, crate::serial::Waiting::is_empty);
    }
}

/// Longest text of edits whose memory is kept for another transaction, in bytes.
const LONGEST_KEPT: usize = 2048;

/// Lets go of the memory of something unless it is what nearly every transaction has.
#[inline]
fn renew<T: Default>(part: &mut T, is_usual: impl FnOnce(&T) -> bool) {
    if !is_usual(part) {
        *part = T::default();
    }
}

/// The part of a transaction's state that changes.
#[derive(Debug, Default)]
pub struct Inner {
    /// Armed routes.
    pub armed: Armed,
    /// `$avp` values.
    pub avps: Avps,
    /// Message flags.
    pub flags: u32,
    /// Branches, in the order of their numbers in the transaction layer.
    pub branches: SmallVec<[SentBranch; 1]>,
    /// What `do_accounting` asked for.
    pub accounting: Accounting,
    /// Header lines for local replies.
    pub reply_headers: Vec<u8>,
    /// What the failure route starts from.
    pub kept: Kept,
    /// The To tag of the last final reply that went upstream, for accounting.
    pub to_tag: Vec<u8>,
    /// The reason phrase of that reply.
    pub reason: Vec<u8>,
    /// Headers that `t_add_hdrs` adds to the requests of this transaction.
    pub added_headers: Vec<u8>,
    /// The REGISTER on its way to the main registrar.
    pub journey: Option<Arc<crate::mid_registrar::Journey>>,
    /// Who is told how a request of the server itself ended.
    pub on_answer: Option<OnAnswer>,
    /// The request of the server itself, when a failure route may want it; one that came from the network is kept by
    /// the transaction layer.
    pub own_request: Option<Arc<Request<Target>>>,
    /// Whether the transaction is one of the server's own requests: there is nobody to reply to.
    pub is_own: bool,
    /// Whether an answer waits for the store before the transaction sees it.
    pub holds_answer: bool,
    /// Whether a route works on it that may add branches.
    pub is_busy: bool,
    /// Branches that are to be added when that route has ended.
    pub injections: Vec<super::inject::Injection>,
    /// Whether the script waits for further branches, and for how many at most.
    pub expects: Option<Option<usize>>,
    /// The phones that are being woken for it.
    pub waits: Vec<Arc<crate::registrar::waking::Wait>>,
}

impl Inner {
    /// Lets go of what no route asks for any more, because the final reply to a request other than INVITE was sent: the
    /// transaction itself stays for seconds, to absorb repetitions. Not while one of its routes has not ended.
    pub fn let_go(&mut self) {
        if !self.is_busy {
            self.branches = SmallVec::new();
            self.kept = Kept::default();
        }
    }

    /// Takes everything out, and keeps what memory nearly every transaction needs.
    fn empty(&mut self, mut give: impl FnMut(Branch)) {
        // Each field by its name, so that none that is added is left out.
        let Inner {
            armed,
            avps,
            flags,
            branches,
            accounting,
            reply_headers,
            kept,
            to_tag,
            reason,
            added_headers,
            journey,
            on_answer,
            own_request,
            is_own,
            holds_answer,
            is_busy,
            injections,
            expects,
            waits,
        } = self;
        (*armed, *accounting, *flags) = (Armed::default(), Accounting::default(), 0);
        (*is_own, *holds_answer, *is_busy, *expects) = (false, false, false, None);
        (*journey, *on_answer, *own_request) = (None, None, None);
        renew(avps, Avps::is_empty);
        for text in [reply_headers, to_tag, reason, added_headers] {
            renew(text, Vec::is_empty);
        }
        renew(injections, Vec::is_empty);
        renew(waits, Vec::is_empty);
        while let Some(SentBranch { mut branch, reply_route: _ }) = branches.pop() {
            if branch.is_small() {
                branch.clear();
                give(branch);
            }
        }
        kept.empty();
    }
}

/// A transaction's state, shared between the transaction layer and the routes that run for it.
pub struct TransactionState {
    /// The script under which the transaction was made; its routes stay the same over a reload.
    pub configuration: Arc<Configuration>,
    /// Where the request came from.
    pub origin: Origin,
    inner: Mutex<Inner>,
}

impl TransactionState {
    /// The state of a new transaction.
    #[must_use]
    pub fn new(configuration: Arc<Configuration>, origin: Origin, inner: Inner) -> Self {
        Self { configuration, origin, inner: Mutex::new(inner) }
    }

    /// The state of a new transaction, with nothing in it yet.
    #[must_use]
    pub fn shared(configuration: Arc<Configuration>, origin: Origin) -> Arc<Self> {
        Arc::new(Self { configuration, origin, inner: Mutex::new(Inner::default()) })
    }

    /// Takes everything out, for a transaction that is to come. `give` gets destinations whose memory may be used again.
    pub(crate) fn empty(&mut self, give: impl FnMut(Branch)) {
        self.inner.get_mut().empty(give);
    }

    /// The part that changes, while nobody else knows of the transaction.
    pub fn inner_mut(&mut self) -> &mut Inner {
        self.inner.get_mut()
    }

    /// The part that changes. Held for moments only, never while a route runs.
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }
}

impl std::fmt::Debug for TransactionState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TransactionState").field("origin", &self.origin).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use seawall_script::Value;

    use super::*;
    use crate::acc::Wanted;
    use crate::tm::inject::Injection;

    #[test]
    fn nothing_of_a_transaction_is_left_for_the_next_one() {
        let branch = Branch { uri: b"sip:a@192.0.2.1".to_vec(), flags: 1, q: 500, ..Branch::default() };
        let mut inner = Inner {
            flags: 7,
            branches: [SentBranch { branch: branch.clone(), reply_route: None }].into_iter().collect(),
            accounting: Accounting {
                log: Wanted { is_on: true, ..Wanted::default() },
                ..Accounting::default()
            },
            reply_headers: b"A: b\r\n".to_vec(),
            to_tag: b"tag".to_vec(),
            reason: b"OK".to_vec(),
            added_headers: b"C: d\r\n".to_vec(),
            is_own: true,
            holds_answer: true,
            is_busy: true,
            injections: vec![Injection { branches: Vec::new(), cancel: true, last: true, wait: None }],
            expects: Some(Some(1)),
            ..Inner::default()
        };
        inner.avps.add(b"name", Value::str(b"value"));
        inner.kept.target = branch.clone();
        inner.kept.target.set_attribute(b"name", Value::str(b"value"));
        inner.kept.edits.insert_before(0, b"text");
        inner.kept.record_route = Some(crate::rr::RecordRoute::default());
        inner.kept.loose_route = crate::rr::LooseRoute { driven: true, params: b";a".to_vec() };
        inner.kept.max_forwards = Some(1);
        inner.kept.add_local_rport = true;
        inner.kept.force_rport = true;
        let mut given = Vec::new();
        inner.empty(|branch| given.push(branch));
        assert_eq!(format!("{inner:?}"), format!("{:?}", Inner::default()));
        assert_eq!(format!("{given:?}"), format!("{:?}", [Branch::default()]));
    }

    #[test]
    fn the_memory_of_a_long_destination_is_not_kept() {
        let branch = Branch { uri: vec![b'a'; 4096], ..Branch::default() };
        let mut inner = Inner::default();
        inner.kept.target = branch.clone();
        inner.branches.push(SentBranch { branch, reply_route: None });
        inner.empty(|_| panic!("it is long"));
        assert_eq!(inner.kept.target.uri.capacity(), 0);
    }
}
