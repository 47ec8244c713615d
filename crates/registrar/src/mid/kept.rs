//! Registrations that outlive the process: which have changed, for a store, and how they come back.
//!
//! What has to be taken away needs no entry of its own: a registration is kept until its de-REGISTER was answered, and one
//! that comes back without a binding is taken away then.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use smallvec::SmallVec;

use super::Mid;
use super::limits::SHARDS;
use super::registration::{Registration, State, Texts, WHOLE_AOR};
use super::show::Shown;
use super::upstream::{Shard, Upstream};

/// In which shards something has changed.
pub(super) struct Changes {
    any: AtomicBool,
    shards: [AtomicBool; SHARDS],
}

impl Default for Changes {
    fn default() -> Changes {
        Changes { any: AtomicBool::new(false), shards: [const { AtomicBool::new(false) }; SHARDS] }
    }
}

/// The addresses of record of a shard that have changed, each with the registrations that a store knows and that are gone
/// with their account. It has no more entries than there are accounts and rows of former ones.
pub(super) struct Noted {
    entries: HashMap<Box<[u8]>, SmallVec<[u64; 1]>>,
    changes: std::sync::Arc<Changes>,
    number: usize,
}

impl Noted {
    pub(super) fn add(&mut self, aor: &[u8], gone: &[u64]) {
        match self.entries.get_mut(aor) {
            Some(known) => known.extend_from_slice(gone),
            None => drop(self.entries.insert(aor.into(), gone.into())),
        }
        if let Some(shard) = self.changes.shards.get(self.number) {
            shard.store(true, Ordering::Release);
        }
        self.changes.any.store(true, Ordering::Release);
    }
}

impl Shard {
    /// Notes that an account is about to change.
    #[cold]
    pub(super) fn note(&mut self, hash: u64, aor: &[u8]) {
        if self.account(hash, aor).is_some()
            && let Some(noted) = &mut self.noted
        {
            noted.add(aor, &[]);
        }
    }
}

/// One address of record as a store has to know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The address of record in its canonical form.
    pub aor: Box<[u8]>,
    /// All of its registrations.
    pub registrations: Vec<Shown>,
    /// In AoR mode: from which flow the main registrar has accepted each contact.
    pub flows: Vec<(u64, u64)>,
    /// The registrations that the store was told of and that are no more, as [`Shown::contact_id`].
    pub gone: Vec<Option<u64>>,
}

impl Upstream {
    /// From now on changes are noted for [`take_changed`](Upstream::take_changed).
    pub fn keep(&self) {
        for number in 0..self.shard_count() {
            let noted =
                Noted { entries: HashMap::new(), changes: std::sync::Arc::clone(&self.changes), number };
            self.shard_at(number).noted.get_or_insert_with(|| Box::new(noted));
        }
    }

    /// Whether anything was noted that was not taken yet. Never before [`keep`](Upstream::keep).
    #[inline]
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.changes.any.load(Ordering::Relaxed)
    }

    /// Takes what has changed, about `most` addresses of record; what changes after that is noted again. False when
    /// there is nothing more.
    pub fn take_changed(&self, most: usize, into: &mut Vec<Kept>) -> bool {
        self.changes.any.store(false, Ordering::Release);
        for (number, has_changed) in self.changes.shards.iter().enumerate() {
            if !has_changed.swap(false, Ordering::AcqRel) {
                continue;
            }
            let shard = &mut *self.shard_at(number);
            let entries = shard.noted.as_mut().map(|noted| std::mem::take(&mut noted.entries));
            for (aor, gone) in entries.into_iter().flatten() {
                into.push(self.taken(shard, aor, &gone));
            }
            if into.len() >= most {
                // The others have their turn with the next call.
                self.changes.any.store(true, Ordering::Release);
                return true;
            }
        }
        false
    }

    fn taken(&self, shard: &mut Shard, aor: Box<[u8]>, gone: &[u64]) -> Kept {
        let hash = self.hash(&aor);
        let found = shard.accounts.find_mut(hash, |account| account.aor.as_slice() == &*aor);
        let mut kept = Kept { aor, ..Kept::default() };
        let mut known: SmallVec<[u64; 4]> = gone.into();
        if let Some(account) = found {
            known.extend_from_slice(&account.kept);
            account.kept = account.registrations.iter().map(|held| held.key).collect();
            kept.registrations = account.registrations.iter().map(Registration::shown).collect();
            kept.flows.clone_from(&account.flows);
            known.retain(|key| !account.kept.contains(key));
        }
        kept.gone = known.into_iter().map(|key| Some(key).filter(|key| *key != WHOLE_AOR)).collect();
        kept
    }

    /// The store did not take it: it is noted again.
    pub fn note_again(&self, kept: &Kept) {
        let mut shard = self.shard(self.hash(&kept.aor));
        let gone: SmallVec<[u64; 4]> = kept.gone.iter().map(|id| id.unwrap_or(WHOLE_AOR)).collect();
        if let Some(noted) = &mut shard.noted {
            noted.add(&kept.aor, &gone);
        }
    }

    /// Puts back what [`take_changed`](Upstream::take_changed) gave, all or a part of it, after a restart. Registrations that
    /// are there stay; nothing is put back when `is_known` says, under the lock of this address of record, that it was in
    /// use since. [`Mid::resume`] is to be called when its bindings are there, too.
    pub fn restore(&self, kept: &Kept, is_known: impl FnOnce() -> bool) {
        let hash = self.hash(&kept.aor);
        let mut shard = self.shard(hash);
        if kept.registrations.is_empty() || is_known() {
            return;
        }
        let restored = |shown: &Shown| Registration {
            key: shown.contact_id.unwrap_or(WHOLE_AOR),
            flow: shown.flow,
            ticket: 0,
            deadline_s: shown.deadline_s,
            possible_s: shown.possible_s,
            sure_s: shown.sure_s,
            limit_s: shown.limit_s,
            accepted_s: shown.accepted_s,
            late_s: 0,
            cseq: shown.cseq,
            asked_s: shown.asked_s,
            due_s: 0,
            attempt: shown.attempt,
            state: shown.state,
            throttled: shown.throttled,
            main: self.main(&shown.main),
            texts: Texts::new(&shown.contact, &shown.callid, &shown.to, &shown.passed),
            said: None,
        };
        let account = shard.open(self, hash, &kept.aor);
        for held in kept.registrations.iter().map(restored) {
            if account.registration(held.key).is_none() {
                account.kept.push(held.key);
                account.registrations.push(held);
            }
        }
        for (contact_id, flow) in &kept.flows {
            if account.flow_of(*contact_id).is_none() {
                account.set_flow(*contact_id, *flow);
            }
        }
    }

    /// A number that stands for an address of record, the same after a restart if the secret is.
    #[must_use]
    pub fn number(&self, aor: &[u8]) -> u64 {
        self.hash(aor)
    }

    /// The addresses of record in one shard, for [`Mid::resume`].
    #[must_use]
    pub fn aors(&self, shard: usize) -> Vec<Box<[u8]>> {
        self.shard_at(shard).accounts.iter().map(|account| Box::from(account.aor.as_slice())).collect()
    }
}

impl Mid<'_> {
    /// Goes on with what was restored of an address of record, when its bindings are there: what nobody here wants is
    /// taken away, and what was being made sure of is again. Does nothing about what goes its way already.
    pub fn resume(&self, aor: &[u8]) {
        let hash = self.upstream.hash(aor);
        let now_s = self.second();
        let mut shard = self.upstream.shard(hash);
        let Some(account) = shard.account(hash, aor) else { return };
        let idle = account.registrations.iter().filter(|held| held.ticket == 0);
        let idle: SmallVec<[(u64, State, u8); 2]> =
            idle.map(|held| (held.key, held.state, held.attempt)).collect();
        for (key, state, attempt) in idle {
            match (state, self.wanted_until_s(aor, key).is_some()) {
                (State::Live, true) => {}
                // It may have been taken away already, by the process before this one.
                (State::Leaving | State::Renewing, true) => self.renew(&mut shard, hash, aor, key, now_s),
                // Its number goes on where the other process has stopped: one that was used is not served again.
                (State::Leaving, false) => {
                    self.leave_on(&mut shard, hash, aor, key, attempt.saturating_add(1))
                }
                (State::Live | State::Renewing, false) => self.leave(&mut shard, hash, aor, key),
            }
        }
        shard.close(hash, aor);
    }
}
