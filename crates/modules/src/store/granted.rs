//! What another registrar has granted and was stored here: its 2xx passes to the client when that is on disk, as an answer
//! of our own would, so that nobody is told of a registration that a crash could take away.

use std::sync::Arc;

use seawall_transaction::TransactionId;

use super::draft::Drafted;
use super::journal::Fate;
use super::{Refused, undo};
use crate::context::Context;
use crate::node::Node;
use crate::tm::state::TransactionState;

/// Whether an answer has to wait for this.
#[must_use]
pub fn has_to_wait(drafted: &Drafted) -> bool {
    drafted.ticket.fate() != Fate::Kept
}

/// Whether that is decided, so that [`is_kept`] can be asked without taking anything back.
#[must_use]
pub fn is_decided(drafted: &Drafted) -> bool {
    drafted.ticket.fate() != Fate::Open
}

/// At the end of a wait: whether it is on disk. What is not decided by now is taken back, unless it is on its way.
#[must_use]
pub fn is_kept(node: &Node, drafted: &Drafted, now_s: u64) -> bool {
    if drafted.ticket.fate() == Fate::Open {
        undo::give_up(node, drafted, now_s);
    }
    drafted.ticket.fate() == Fate::Kept
}

/// Answers the client that the store did not take what the other registrar has granted. The context has the request.
pub fn refuse(context: &mut Context, id: TransactionId, state: &Arc<TransactionState>) {
    context.configuration = Arc::clone(&state.configuration);
    context.transaction = Some((id, Arc::clone(state)));
    let settings = &state.configuration.settings;
    let policy = settings.mid.as_ref().map_or(&settings.registrar.policy, |mid| &mid.policy);
    let mut headers = Vec::new();
    let reject = Refused::Failed.reject();
    reject.write_headers(context.packet.message(), policy, &mut headers);
    let (code, reason, _) = reject.answer();
    state.lock().reply_headers.extend_from_slice(&headers);
    crate::reply::stateful(context, code, reason.as_bytes(), b"");
    context.transaction = None;
}
