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
