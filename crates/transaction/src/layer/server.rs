//! The calls about requests that have been received.

use std::sync::Arc;

use seawall_sip::{message::Message, name::Name, name_addr};

use super::Layer;
use crate::{
    effect::{CreateError, Effects, ReplyError, Request, RequestMatch, Target, TransactionId},
    keys::{RequestKind, ServerKey},
    limits::MAX_REASON_BYTES,
    queue::NEVER,
    transaction::{Flags, Received, Server, ServerState, Transaction},
};

impl<U: Clone, T: Target> Layer<U, T> {
    /// Matches a request that has come in (RFC 3261 §17.2.3) and absorbs what needs no routing logic:
    /// retransmissions and ACKs of responses other than 2xx. `key` is the request's
    /// [`server_key`](crate::Keys::server_key).
    pub fn request(
        &mut self,
        now_ms: u64,
        key: &ServerKey,
        message: &Message,
        out: &mut Effects<U, T>,
    ) -> RequestMatch {
        let Some(id) = self.lookup(key) else { return RequestMatch::New };
        match key.kind {
            RequestKind::Cancel => RequestMatch::Cancel(id),
            RequestKind::Ack => self.ack(now_ms, id, key, message, out),
            RequestKind::Invite | RequestKind::Other => {
                self.absorb(now_ms, id, out);
                RequestMatch::Retransmission(id)
            }
        }
    }

    /// A request has come again.
    fn absorb(&mut self, now_ms: u64, id: TransactionId, out: &mut Effects<U, T>) {
        self.counters.absorbed_requests += 1;
        if !self.repeat_rest(id, out) {
            self.with(now_ms, id, out, |transaction, step| transaction.repeat_reply(step));
        }
    }

    fn ack(
        &mut self,
        now_ms: u64,
        id: TransactionId,
        key: &ServerKey,
        message: &Message,
        out: &mut Effects<U, T>,
    ) -> RequestMatch {
        let Some(transaction) = self.slab.get(id) else { return RequestMatch::New };
        match transaction.server.state {
            ServerState::Proceeding => RequestMatch::New,
            _ if (200..300).contains(&transaction.server.status) => RequestMatch::AckFor2xx(id),
            _ if key.rfc2543 && !transaction.acknowledges(message) => RequestMatch::New,
            _ => {
                self.with(now_ms, id, out, |transaction, step| transaction.acknowledged(step));
                RequestMatch::AckForFinal(id)
            }
        }
    }

    /// The transaction that a request belongs to (`t_check_trans`): its own, or the INVITE's for ACK and CANCEL.
    #[must_use]
    pub fn find(&self, key: &ServerKey) -> Option<TransactionId> {
        self.lookup(key)
    }

    /// Creates the server transaction of a request (`t_newtran`). For an INVITE it may answer 100 (Trying), see
    /// [`Timers::trying_ms`](crate::Timers::trying_ms). A transaction that is neither forwarded nor answered is
    /// answered 408 after its `fr_inv_timeout`.
    ///
    /// # Errors
    /// [`CreateError::Exists`] when another worker was faster with the same request, [`CreateError::Full`].
    pub fn create(
        &mut self,
        now_ms: u64,
        key: &ServerKey,
        request: Arc<Request<T>>,
        context: U,
        out: &mut Effects<U, T>,
    ) -> Result<TransactionId, CreateError> {
        if let Some(id) = self.lookup(key) {
            self.absorb(now_ms, id, out);
            return Err(CreateError::Exists(id));
        }
        let received = Received { key: *key, reply_to: request.reply_to, request: Some(request) };
        let id = self.insert(now_ms, Some(received), key.kind == RequestKind::Invite, context)?;
        self.add_mark(key.mark);
        self.counters.uas_transactions += 1;
        let is_invite = key.kind == RequestKind::Invite;
        self.with(now_ms, id, out, |transaction, step| {
            // Nothing else can be due yet but the 100 (Trying) to an INVITE.
            if is_invite {
                transaction.expire(step);
            }
        });
        Ok(id)
    }

    /// Stores a new transaction; the caller takes the first step with it.
    pub(super) fn insert(
        &mut self,
        now_ms: u64,
        received: Option<Received<T>>,
        invite: bool,
        context: U,
    ) -> Result<TransactionId, CreateError> {
        if self.slab.len() >= self.capacity {
            self.counters.refused_full += 1;
            return Err(CreateError::Full);
        }
        let timers = self.timers;
        let trying = timers.trying_ms.filter(|_| invite && received.is_some());
        Ok(self.slab.insert(Transaction {
            context,
            received,
            invite,
            timers,
            created_ms: now_ms,
            server: Server::new(),
            branches: smallvec::SmallVec::new(),
            round: 0,
            flags: Flags::default(),
            trying_ms: trying.map_or(NEVER, |delay_ms| now_ms + u64::from(delay_ms)),
            guard_ms: now_ms + u64::from(timers.fr_inv_timeout_ms),
            open_until_ms: NEVER,
            cancel_headers: None,
            armed_ms: NEVER,
        }))
    }

    /// Sends a response that routing logic made (`t_reply`). A final one ends the pending branches of an INVITE.
    /// `bytes` is the complete response; its To tag should be the one of [`write_tag`](crate::Keys::write_tag).
    ///
    /// # Errors
    /// The transaction has ended or is answered.
    pub fn reply(
        &mut self,
        now_ms: u64,
        id: TransactionId,
        status: u16,
        bytes: Vec<u8>,
        out: &mut Effects<U, T>,
    ) -> Result<(), ReplyError> {
        self.with(now_ms, id, out, |transaction, step| {
            if transaction.is_answered() {
                return Err(ReplyError::Answered);
            }
            let bytes = Arc::new(bytes);
            if status < 200 {
                transaction.send_provisional(step, status, bytes, true);
            } else {
                transaction.send_final(step, status, bytes, true);
                transaction.cancel_branches(step, crate::effect::BranchSelection::All);
            }
            Ok(())
        })
        .unwrap_or_else(|| {
            let rests = self.slab.resting(id).is_some();
            Err(if rests { ReplyError::Answered } else { ReplyError::Gone })
        })
    }

    /// The client has cancelled the request: all pending branches are cancelled as soon as they may be, and the 487
    /// follows when they have ended. The Reason of the CANCEL is passed on (RFC 3326). The answer to the CANCEL
    /// itself, 200 with the tag of [`write_tag`](crate::Keys::write_tag), is the caller's; it may repeat this call for a CANCEL that
    /// comes again. No effect after a final response, and on a transaction that has ended.
    pub fn cancel(&mut self, now_ms: u64, id: TransactionId, cancel: &Message, out: &mut Effects<U, T>) {
        let mut reason = Vec::new();
        for header in cancel.header_named(b"Reason") {
            let line = header.span.of(cancel.bytes());
            if line.ends_with(b"\r\n") && reason.len() + line.len() <= MAX_REASON_BYTES {
                reason.extend_from_slice(line);
            }
        }
        self.with(now_ms, id, out, |transaction, step| transaction.cancel(step, &reason));
    }

    /// Whether the transaction tells by [`Failure`](crate::Effect::Failure) that all branches have failed
    /// (`t_on_failure`), instead of sending the best response. Holds for one failure.
    pub fn hold_failure(&mut self, id: TransactionId, hold: bool) {
        if let Some(transaction) = self.slab.get_mut(id) {
            transaction.flags.held = hold;
        }
    }

    /// Routing logic has nothing to add after a [`Failure`](crate::Effect::Failure): the best response is sent.
    /// Without any branch it is 408. Does nothing while branches are pending, or expected: it is sent after that.
    pub fn finish(&mut self, now_ms: u64, id: TransactionId, out: &mut Effects<U, T>) {
        self.with(now_ms, id, out, |transaction, step| transaction.finish(step));
        self.let_rest(id, out);
    }

    /// Until when at least further branches may be added though all present ones have ended (`t_wait_for_new_branches`).
    pub fn expect_branches(
        &mut self,
        now_ms: u64,
        id: TransactionId,
        until_ms: u64,
        out: &mut Effects<U, T>,
    ) {
        self.with(now_ms, id, out, |transaction, _| {
            if !transaction.is_answered() && !transaction.flags.cancelled {
                let known_ms = Some(transaction.open_until_ms).filter(|known_ms| *known_ms != NEVER);
                transaction.open_until_ms = until_ms.max(now_ms + 1).max(known_ms.unwrap_or(0));
            }
        });
    }

    /// No further branches are expected (`t_wait_no_more_branches`).
    pub fn expect_no_more_branches(&mut self, now_ms: u64, id: TransactionId, out: &mut Effects<U, T>) {
        self.with(now_ms, id, out, |transaction, step| {
            if std::mem::replace(&mut transaction.open_until_ms, NEVER) != NEVER {
                transaction.settle(step);
            }
        });
    }

    /// Changes `fr_timeout` and `fr_inv_timeout` for the branches that are yet to come.
    pub fn set_timeouts(&mut self, id: TransactionId, fr_timeout_ms: u32, fr_inv_timeout_ms: u32) {
        if let Some(transaction) = self.slab.get_mut(id) {
            transaction.timers.fr_timeout_ms = fr_timeout_ms;
            transaction.timers.fr_inv_timeout_ms = fr_inv_timeout_ms;
        }
    }

    /// Forgets a transaction that was created but neither forwarded nor answered finally, without a word to its
    /// client. Does nothing otherwise, nor while further branches are expected.
    pub fn abandon(&mut self, id: TransactionId, out: &mut Effects<U, T>) {
        if self.slab.get(id).is_some_and(|transaction| {
            transaction.branches.is_empty()
                && !transaction.is_answered()
                && transaction.open_until_ms == NEVER
        }) {
            self.remove(id, out);
        }
    }
}

impl<U, T> Transaction<U, T> {
    /// Whether the To tag of an ACK is that of the response it is for: RFC 2543 clients are told apart by it.
    fn acknowledges(&self, ack: &Message) -> bool {
        let Some(reply) = &self.server.reply else { return true };
        let Ok(reply) = Message::parse(reply.to_vec()) else { return true };
        let tag = |message: &Message| {
            name_addr::address(message, Name::To).ok().and_then(|to| to.tag().map(<[u8]>::to_vec))
        };
        tag(&reply) == tag(ack)
    }
}
