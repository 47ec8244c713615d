//! Answers of other registrars that wait until what they grant is on disk.

use std::collections::VecDeque;
use std::sync::Arc;

use seawall_modules::context::Context;
use seawall_modules::statistics::Stat;
use seawall_modules::store::{Drafted, granted, limits};
use seawall_modules::tm::state::TransactionState;
use seawall_net::Io;
use seawall_script::RouteKind;
use seawall_transaction::{BranchToken, Relay};

use crate::limits::{HELD_TOO_LONG_MS, PARKED_PER_WORKER};
use crate::worker::Worker;

/// The answers of one worker, in the order in which they came.
#[derive(Default)]
pub struct Granted {
    waiting: VecDeque<Answer>,
}

/// A 2xx that was dealt with and did not reach its transaction yet.
struct Answer {
    token: BranchToken,
    state: Arc<TransactionState>,
    /// It and the client's form of it.
    context: Box<Context>,
    relay: Relay,
    drafted: Drafted,
    until_ms: u64,
}

impl Granted {
    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl Worker {
    /// Keeps an answer until what it grants is on disk. Until then its transaction has not seen it: repetitions of it are
    /// dropped (`Inner::holds_answer`).
    pub(crate) fn hold_answer(
        &mut self,
        io: &mut Io,
        mut context: Box<Context>,
        (token, state): (BranchToken, Arc<TransactionState>),
        relay: Relay,
        drafted: Drafted,
    ) {
        let until_ms = context.now_ms.saturating_add(limits::PATIENCE_MS);
        state.lock().holds_answer = true;
        // The other registrar has answered: its patience is over, and ours begins.
        if let Some(shard) = self.node.shard(token.id.shard) {
            let until_ms = until_ms.saturating_add(HELD_TOO_LONG_MS);
            shard.lock().keep_response(context.now_ms, token, until_ms, &mut self.effects);
        }
        let is_full = self.granted.waiting.len() >= PARKED_PER_WORKER;
        if !is_full {
            // A message that waits gets a buffer of its own size; the large one goes on receiving.
            context.share_packet();
            self.keep_buffer(context.take_buffer());
            self.take_spares(&mut context);
        }
        let answer = Answer { token, state, context, relay, drafted, until_ms };
        // The command that would tell may have come before.
        if is_full || granted::is_decided(&answer.drafted) {
            return self.let_pass(io, answer);
        }
        self.node.counters.bump(self.index, Stat::Parked);
        self.granted.waiting.push_back(answer);
    }

    /// Lets answers pass whose changes are decided, and those that have waited long enough. What comes later is decided
    /// later as a rule; who overtakes here waits for a tick at most.
    pub(crate) fn granted(&mut self, io: &mut Io) {
        let now_ms = io.now_ms();
        while let Some(first) = self.granted.waiting.front() {
            if !granted::is_decided(&first.drafted) && first.until_ms > now_ms {
                return;
            }
            if let Some(answer) = self.granted.waiting.pop_front() {
                self.let_pass(io, answer);
            }
        }
    }

    fn let_pass(&mut self, io: &mut Io, answer: Answer) {
        let Answer { token, state, mut context, relay, drafted, .. } = answer;
        (context.now_ms, context.now_s) = (io.now_ms(), io.unix_s());
        state.lock().holds_answer = false;
        if !granted::is_kept(&self.node, &drafted, context.now_s) {
            self.refuse_granted(io, token, &state);
        }
        self.answer_arrives(&context, token, relay);
        self.finish_quietly(io, context);
    }

    /// The client is told that nothing is stored; its transaction then ignores what the other registrar has said.
    fn refuse_granted(&mut self, io: &mut Io, token: BranchToken, state: &Arc<TransactionState>) {
        let request = self.node.shard(token.id.shard).and_then(|shard| shard.lock().request_of(token.id));
        let Some(request) = request else { return };
        let mut context = self.take_context(io, &state.origin, RouteKind::Event);
        context.packet.share(request);
        granted::refuse(&mut context, token.id, state);
        self.finish_quietly(io, context);
    }
}
