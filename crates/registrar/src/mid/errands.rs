//! Requests of our own: de-REGISTERs for contacts that are gone, and REGISTERs that make sure or start over
//! (behaviour §7, "De-REGISTER" and `mid_reg_resync`).

use std::sync::Arc;

use seawall_location::Entry;
use seawall_sip::{Message, ascii};

use super::Mid;
use super::limits::{ERRANDS_PER_CALL, GUESS_ATTEMPTS, LONGEST_PAUSE_S, RENEWAL_ATTEMPTS};
use super::passed;
use super::registration::{Registration, State, Texts, WHOLE_AOR, limit_s};
use super::upstream::{Job, Main, Shard};

/// Which request of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrandKind {
    /// Takes a contact away.
    Remove,
    /// Registers a contact again.
    Renew,
}

/// A REGISTER of our own that is to be sent.
#[derive(Clone, Debug)]
pub struct Errand {
    /// What it does.
    pub kind: ErrandKind,
    /// Where it goes, by which socket, and its Request-URI.
    pub main: Arc<Main>,
    /// The URI of To and From.
    pub to: Box<[u8]>,
    /// Call-ID.
    pub callid: Box<[u8]>,
    /// CSeq number.
    pub cseq: u32,
    /// The Contact value with its `expires`.
    pub contact: Box<[u8]>,
    aor: Box<[u8]>,
    hash: u64,
    key: u64,
    ticket: u64,
    /// The Contact value without its interval, and that interval.
    value: Box<[u8]>,
    asked_s: u32,
    /// Unix second in which it was made.
    made_s: u32,
    /// Whether its Call-ID is one of ours, under which each request has a higher number than those before it.
    is_ours: bool,
}

impl Errand {
    /// The address of record in its canonical form.
    #[must_use]
    pub fn aor(&self) -> &[u8] {
        &self.aor
    }
}

impl Errand {
    /// Whether it registers, and copies of it may be on their way.
    fn is_late(&self, status: u16, now_s: u32) -> bool {
        self.kind == ErrandKind::Renew && (status == 408 || status < 300 && now_s > self.made_s)
    }
}

/// A Call-ID of ours for one registration in this life of the server, and the number of the request with this ticket under it: higher than that of each
/// request before it, also by the one that the answer to a challenge takes.
fn our_numbers(hash: u64, key: u64, born_s: u32, ticket: u64) -> (Vec<u8>, u32) {
    let round = ticket >> OUR_CSEQ_BITS;
    let cseq = (ticket & ((1 << OUR_CSEQ_BITS) - 1)) as u32 * 2 + 1;
    (format!("mid-{hash:016x}-{key:x}-{born_s:x}-{round:x}").into_bytes(), cseq)
}

/// How many bits of a ticket become a CSeq number, which has 31 with the one that a challenge takes.
const OUR_CSEQ_BITS: u32 = 29;

impl Registration {
    /// Whether a request of our own about it is on its way, and no longer due.
    pub(super) fn is_sent(&self) -> bool {
        self.ticket != 0 && self.due_s == 0
    }
}

impl Mid<'_> {
    /// A binding went away here, for whatever reason. What the main registrar holds for it alone is taken away from it.
    /// The location table must not be locked.
    pub fn gone(&self, aor: &[u8], contact_id: u64) {
        let hash = self.upstream.hash(aor);
        let mut shard = self.upstream.shard(hash);
        let Some(account) = shard.account_mut(hash, aor) else { return };
        let own = account.registration(contact_id).map(|registration| registration.key);
        let whole = account.registration(WHOLE_AOR).map(|registration| registration.key);
        for key in [own, whole].into_iter().flatten() {
            if !self.is_wanted(aor, key) {
                self.leave(&mut shard, hash, aor, key);
            }
        }
        // A refresh that waits for its answer may bring it back.
        let is_touched = shard.is_touched(hash, contact_id);
        if let Some(account) = shard.account_mut(hash, aor).filter(|_| !is_touched)
            && !self.is_wanted(aor, contact_id)
        {
            account.flows.retain(|(id, _)| *id != contact_id);
        }
        shard.close(hash, aor);
    }

    /// Registers everything again, or one address of record, because the main registrar may have lost it
    /// (`mid_reg_resync`). Gives how many registrations that are.
    pub fn resync(&self, aor: Option<&[u8]>) -> usize {
        if let Some(aor) = aor {
            let hash = self.upstream.hash(aor);
            return self.resync_in(&mut self.upstream.shard(hash), Some(aor));
        }
        (0..self.upstream.shard_count())
            .map(|number| self.resync_in(&mut self.upstream.shard_at(number), None))
            .sum()
    }

    fn resync_in(&self, shard: &mut Shard, only: Option<&[u8]>) -> usize {
        let wanted = |aor: &[u8]| only.is_none_or(|only| only == aor);
        let accounts = shard.accounts.iter().filter(|account| wanted(&account.aor));
        let live = accounts.flat_map(|account| {
            let held = account.registrations.iter().filter(|held| held.state == State::Live);
            held.map(|held| (Box::from(account.aor.as_slice()), held.key))
        });
        let all: Vec<(Box<[u8]>, u64)> = live.collect();
        for (aor, key) in &all {
            self.renew(shard, self.upstream.hash(aor), aor, *key, self.second());
        }
        all.len()
    }

    /// The requests of our own that are due in one shard, at most `most`; each is to be sent, and its end told by
    /// [`done`](Mid::done).
    pub fn due(&self, shard: usize, most: usize, out: &mut Vec<Errand>) {
        let number = shard;
        if self.upstream.waiting() == 0 || self.upstream.due_from_s(number) > self.second() {
            return;
        }
        let mut shard = self.upstream.shard_at(number);
        for _ in 0..most.min(ERRANDS_PER_CALL) {
            let Some(first) = shard.jobs.first_entry().filter(|first| first.key().0 <= self.second()) else {
                break;
            };
            let ((_, ticket), Job { aor, key }) = first.remove_entry();
            self.upstream.count_waiting(false);
            out.extend(self.take_up(&mut shard, &aor, key, ticket));
        }
        self.upstream.set_due_from(number, shard.jobs.keys().next().map_or(u32::MAX, |(due_s, _)| *due_s));
    }

    /// Makes the request that is due, unless it is not wanted any more or has to wait for a client's.
    fn take_up(&self, shard: &mut Shard, aor: &[u8], key: u64, ticket: u64) -> Option<Errand> {
        let hash = self.upstream.hash(aor);
        let now_s = self.second();
        let is_touched = shard.is_touched(hash, key);
        let protection = self.protection(shard, hash, aor, key);
        let registration = shard.account_mut(hash, aor)?.registration_mut(key)?;
        if registration.ticket != ticket {
            return None;
        }
        let is_wanted = self.is_wanted(aor, key);
        let is_renewing = registration.state == State::Renewing && is_wanted;
        if registration.is_over(now_s) && !is_renewing {
            // The main registrar has forgotten it by itself.
            self.forget(shard, hash, aor, key);
            return None;
        }
        if is_touched {
            // A client's request about the same is under way, and its answer decides.
            let (state, attempt) = (registration.state, registration.attempt);
            self.schedule(shard, hash, aor, key, state, attempt, now_s + 1);
            return None;
        }
        let is_sure = registration.attempt == 0 && registration.sure_s > now_s;
        if registration.state == State::Leaving && is_wanted && is_sure {
            registration.state = State::Live;
            registration.ticket = 0;
            return None;
        }
        if registration.state == State::Renewing && !is_wanted {
            registration.state = State::Leaving;
        }
        registration.due_s = 0;
        Some(registration.errand(aor, hash, (now_s, self.upstream.born_s(now_s)), protection))
    }

    /// The main registrar answers again after a silence: what waits for another attempt is due now.
    pub fn hurry(&self) {
        self.upstream.returns(self.second());
        for number in 0..self.upstream.shard_count() {
            let shard = &mut *self.upstream.shard_at(number);
            let due_s = self.second();
            for ((later_s, ticket), job) in shard.jobs.split_off(&(due_s.saturating_add(1), 0)) {
                let hash = self.upstream.hash(&job.aor);
                let account = shard.account_mut(hash, &job.aor);
                let registration = account.and_then(|account| account.registration_mut(job.key));
                let tried = registration.filter(|known| known.ticket == ticket && known.attempt > 0);
                let at_s = if let Some(registration) = tried {
                    registration.due_s = due_s;
                    due_s
                } else {
                    later_s
                };
                shard.jobs.insert((at_s, ticket), job);
            }
            self.upstream.set_due_from(number, 0);
        }
    }

    /// A request of our own has ended: with this answer, or with none (`status` 408 or 503 then).
    pub fn done(&self, errand: &Errand, status: u16, response: Option<&Message>) {
        let mut shard = self.upstream.shard(errand.hash);
        let is_removed = errand.kind == ErrandKind::Remove && matches!(status, 200..=299 | 404 | 408);
        if is_removed {
            let callid = (!errand.is_ours).then_some(&*errand.callid);
            self.may_echo(&mut shard, errand.hash, Some(errand.key), callid, errand.cseq);
        }
        let listed = response
            .filter(|_| status < 300)
            .and_then(|response| self.find(errand.key, &errand.contact, response));
        let registration = shard
            .account_mut(errand.hash, &errand.aor)
            .and_then(|account| account.registration_mut(errand.key));
        let Some(registration) = registration else {
            drop_renewed(self, &mut shard, errand, status, listed.flatten());
            return;
        };
        if errand.is_late(status, self.second()) {
            registration.late_s = self.second();
        }
        if registration.ticket != errand.ticket {
            // A renewal that is void may have been served after the removal that made it so.
            let may_have_renewed = errand.kind == ErrandKind::Renew && (status == 408 || listed.is_some());
            if may_have_renewed && registration.state == State::Leaving {
                let possible_s = self.second().saturating_add(errand.asked_s);
                registration.possible_s = registration.possible_s.max(possible_s);
                let attempt = registration.attempt;
                let now_s = self.second();
                self.schedule(
                    &mut shard,
                    errand.hash,
                    &errand.aor,
                    errand.key,
                    State::Leaving,
                    attempt,
                    now_s,
                );
                return;
            }
            // A client's request came in between. If the main registrar has taken the contact away after that, it is
            // registered again.
            let is_served = status < 300 && listed.is_none() || status == 408;
            let lost = errand.kind == ErrandKind::Remove && is_served;
            if lost && registration.state != State::Leaving {
                registration.rely_until(self.second());
                self.renew(&mut shard, errand.hash, &errand.aor, errand.key, self.second());
            }
            return;
        }
        match (errand.kind, status) {
            (ErrandKind::Remove, 200..=299 | 404) => self.taken_away(&mut shard, errand),
            (ErrandKind::Renew, 200..=299) => {
                let passed = response.map_or(Some(Vec::new()), passed::lines);
                registration.renewed(errand, listed, passed, self.second());
                self.renew_in_time(&mut shard, errand);
                let callid = (!errand.is_ours).then_some(&*errand.callid);
                self.protect(&mut shard, errand.hash, &errand.aor, errand.key, (callid, errand.cseq));
            }
            _ => self.again(&mut shard, errand, status),
        }
    }

    /// A de-REGISTER was accepted. While copies of a REGISTER may bring the contact back, others follow.
    fn taken_away(&self, shard: &mut Shard, errand: &Errand) {
        let (hash, aor, key) = (errand.hash, &*errand.aor, errand.key);
        let known = shard.account_mut(hash, aor).and_then(|account| account.registration_mut(key));
        let late = known.and_then(|known| self.echoes_until_s(known.late_s).map(|ends_s| (known, ends_s)));
        let Some((known, ends_s)) = late else { return self.forget(shard, hash, aor, key) };
        let now_s = self.second();
        known.possible_s = known.possible_s.max(now_s.saturating_add(known.asked_s));
        let attempt = known.attempt.saturating_add(1);
        self.schedule(shard, hash, aor, key, State::Leaving, attempt, ends_s.min(now_s + pause_s(attempt)));
    }

    /// A renewal that was shortened below what clients were promised is repeated before it ends.
    fn renew_in_time(&self, shard: &mut Shard, errand: &Errand) {
        let held =
            shard.account(errand.hash, &errand.aor).and_then(|account| account.registration(errand.key));
        let Some((sure_s, limit_s)) = held.map(|held| (held.sure_s, held.limit_s)) else { return };
        let last_s = self.wanted_until_s(&errand.aor, errand.key);
        if last_s.is_some_and(|last_s| last_s > sure_s) {
            let due_s = limit_s.max(self.second().saturating_add(1));
            self.renew(shard, errand.hash, &errand.aor, errand.key, due_s);
        }
    }

    /// Tries again later, twice as much later each time, until the main registrar must have forgotten the contact.
    fn again(&self, shard: &mut Shard, errand: &Errand, status: u16) {
        let now_s = self.second();
        let account = shard.account_mut(errand.hash, &errand.aor);
        let Some(registration) = account.and_then(|account| account.registration_mut(errand.key)) else {
            return;
        };
        let attempt = registration.attempt.saturating_add(1);
        if errand.kind == ErrandKind::Remove && registration.accepted_s == 0 && attempt >= GUESS_ATTEMPTS {
            self.forget(shard, errand.hash, &errand.aor, errand.key);
            return;
        }
        let is_refused = errand.kind == ErrandKind::Renew
            && status != 408
            && ((400..500).contains(&status) || attempt >= RENEWAL_ATTEMPTS);
        if is_refused {
            // The client's own refresh finds out what there is; it is not absorbed.
            registration.limit_s = now_s;
            registration.state = State::Live;
            registration.ticket = 0;
            return;
        }
        let state = registration.state;
        if state == State::Leaving && registration.is_over(now_s) {
            self.forget(shard, errand.hash, &errand.aor, errand.key);
        } else {
            self.schedule(
                shard,
                errand.hash,
                &errand.aor,
                errand.key,
                state,
                attempt,
                now_s + pause_s(attempt),
            );
        }
    }

    /// Whether anybody here wants what the main registrar holds.
    fn is_wanted(&self, aor: &[u8], key: u64) -> bool {
        self.wanted_until_s(aor, key).is_some()
    }

    /// Until when, in Unix seconds, somebody here wants what the main registrar holds.
    pub(super) fn wanted_until_s(&self, aor: &[u8], key: u64) -> Option<u32> {
        last_end_s(&self.domain.lock(aor, self.now_s), key)
    }

    /// A registration that nobody here wants: a de-REGISTER is due, unless both end together or it is due already.
    pub(super) fn leave(&self, shard: &mut Shard, hash: u64, aor: &[u8], key: u64) {
        let now_s = self.second();
        let account = shard.account_mut(hash, aor);
        let Some(registration) = account.and_then(|account| account.registration_mut(key)) else { return };
        if registration.state == State::Leaving {
            return;
        }
        if !registration.throttled || registration.is_over(now_s) {
            self.forget(shard, hash, aor, key);
            return;
        }
        self.schedule(shard, hash, aor, key, State::Leaving, 0, now_s);
    }

    /// Goes on with a de-REGISTER that was tried before the server was started.
    pub(super) fn leave_on(&self, shard: &mut Shard, hash: u64, aor: &[u8], key: u64, attempt: u8) {
        let now_s = self.second();
        let held = shard.account(hash, aor).and_then(|account| account.registration(key));
        if held.is_some_and(|held| held.is_over(now_s)) {
            self.forget(shard, hash, aor, key);
        } else {
            self.schedule(shard, hash, aor, key, State::Leaving, attempt, now_s);
        }
    }

    /// As [`leave`](Mid::leave), after an answer that says whether the main registrar holds it. If it does, a de-REGISTER
    /// that is under way may have been served before: it does not count, and another one is due.
    pub(super) fn leave_again(&self, shard: &mut Shard, hash: u64, aor: &[u8], key: u64, is_held: bool) {
        let registration = shard.account(hash, aor).and_then(|account| account.registration(key));
        match registration.filter(|known| is_held && known.state == State::Leaving && known.is_sent()) {
            Some(known) => {
                let attempt = known.attempt;
                self.schedule(shard, hash, aor, key, State::Leaving, attempt, self.second());
            }
            None => self.leave(shard, hash, aor, key),
        }
    }

    /// A registration that is to be made sure of.
    pub(super) fn renew(&self, shard: &mut Shard, hash: u64, aor: &[u8], key: u64, due_s: u32) {
        self.schedule(shard, hash, aor, key, State::Renewing, 0, due_s);
    }

    /// Enters a request of our own; an older one about the same is void.
    #[allow(clippy::too_many_arguments)]
    fn schedule(
        &self,
        shard: &mut Shard,
        hash: u64,
        aor: &[u8],
        key: u64,
        state: State,
        attempt: u8,
        due_s: u32,
    ) {
        let ticket = self.upstream.ticket();
        let account = shard.account_mut(hash, aor);
        let Some(registration) = account.and_then(|account| account.registration_mut(key)) else { return };
        let old = (registration.due_s, registration.ticket);
        registration.ticket = ticket;
        registration.due_s = due_s.max(1);
        registration.attempt = attempt;
        registration.state = state;
        let due_s = registration.due_s;
        if shard.jobs.remove(&old).is_none() {
            self.upstream.count_waiting(true);
        }
        shard.jobs.insert((due_s, ticket), Job { aor: aor.into(), key });
        self.upstream.note_due(hash, due_s);
    }

    /// Drops a registration, and what was due for it.
    fn forget(&self, shard: &mut Shard, hash: u64, aor: &[u8], key: u64) {
        if let Some(account) = shard.account_mut(hash, aor)
            && let Some(position) = account.registrations.iter().position(|held| held.key == key)
        {
            let held = account.registrations.swap_remove(position);
            if shard.jobs.remove(&(held.due_s, held.ticket)).is_some() {
                self.upstream.count_waiting(false);
            }
        }
        shard.close(hash, aor);
    }
}

/// The pause before an attempt, twice as long each time.
fn pause_s(attempt: u8) -> u32 {
    1u32.checked_shl(u32::from(attempt)).unwrap_or(LONGEST_PAUSE_S).min(LONGEST_PAUSE_S)
}

/// A renewal whose contact went away meanwhile: if the main registrar has it now, or may have it, it is taken away.
fn drop_renewed(mid: &Mid<'_>, shard: &mut Shard, errand: &Errand, status: u16, granted_s: Option<u32>) {
    if errand.kind != ErrandKind::Renew || !matches!(status, 200..=299 | 408) {
        return;
    }
    let now_s = mid.second();
    let until_s = now_s.saturating_add(granted_s.unwrap_or(errand.asked_s));
    let registration = Registration {
        key: errand.key,
        flow: 0,
        ticket: 0,
        deadline_s: if status < 300 { until_s } else { now_s },
        possible_s: until_s,
        sure_s: now_s,
        limit_s: now_s,
        accepted_s: if status < 300 { now_s } else { 0 },
        late_s: if errand.is_late(status, now_s) { now_s } else { 0 },
        cseq: errand.cseq,
        asked_s: errand.asked_s,
        due_s: 0,
        attempt: 0,
        state: State::Live,
        throttled: true,
        main: Arc::clone(&errand.main),
        texts: Texts::new(&errand.value, &errand.callid, &errand.to, b""),
        said: None,
    };
    shard.open(mid.upstream, errand.hash, &errand.aor).registrations.push(registration);
    if mid.is_wanted(&errand.aor, errand.key) {
        mid.renew(shard, errand.hash, &errand.aor, errand.key, now_s);
    } else {
        mid.leave(shard, errand.hash, &errand.aor, errand.key);
    }
}

impl Registration {
    /// The request for what is due. A de-REGISTER continues the Call-ID that the main registrar knows, but not in AoR
    /// mode: there the contact belongs to several phones, and each goes on counting under its own. A renewal has a
    /// Call-ID of ours for the same reason, unless it is to protect the contact from copies of a de-REGISTER.
    fn errand(
        &self,
        aor: &[u8],
        hash: u64,
        (now_s, born_s): (u32, u32),
        protection: Option<(Box<[u8]>, u32)>,
    ) -> Errand {
        let mut contact = self.texts.contact().to_vec();
        contact.extend_from_slice(b";expires=");
        let (ours, our_cseq) = our_numbers(hash, self.key, born_s, self.ticket);
        let is_ours = self.key == WHOLE_AOR || self.texts.callid() == ours;
        let (kind, asked_s, (callid, cseq), is_ours) = match (self.state, protection) {
            (State::Leaving, _) if is_ours => (ErrandKind::Remove, 0, (ours, our_cseq), true),
            (State::Leaving, _) => {
                // Two numbers for each attempt: a challenge is answered with the next one.
                let cseq = self.cseq.saturating_add(1 + 2 * u32::from(self.attempt));
                (ErrandKind::Remove, 0, (self.texts.callid().to_vec(), cseq), false)
            }
            (_, Some((callid, cseq))) => (ErrandKind::Renew, self.asked_s, (callid.into_vec(), cseq), false),
            (_, None) => (ErrandKind::Renew, self.asked_s, (ours, our_cseq), true),
        };
        ascii::write_u32(&mut contact, asked_s);
        Errand {
            value: self.texts.contact().into(),
            asked_s: self.asked_s,
            kind,
            main: Arc::clone(&self.main),
            to: self.texts.to().into(),
            callid: callid.into(),
            cseq,
            contact: contact.into(),
            aor: aor.into(),
            hash,
            key: self.key,
            ticket: self.ticket,
            made_s: now_s,
            is_ours,
        }
    }

    /// A renewal was accepted.
    fn renewed(&mut self, errand: &Errand, listed: Option<Option<u32>>, passed: Option<Vec<u8>>, now_s: u32) {
        self.state = State::Live;
        self.ticket = 0;
        self.attempt = 0;
        let Some(granted_s) =
            listed.map(|listed_s| listed_s.unwrap_or(self.asked_s)).filter(|granted_s| *granted_s > 0)
        else {
            // It does not hold the contact: the client's next refresh is forwarded.
            self.limit_s = now_s;
            return;
        };
        let lines = passed.as_deref().unwrap_or_default();
        self.texts = Texts::new(self.texts.contact(), &errand.callid, self.texts.to(), lines);
        self.cseq = errand.cseq;
        self.accepted_s = now_s;
        self.deadline_s = now_s.saturating_add(granted_s);
        self.possible_s = self.deadline_s;
        self.sure_s = errand.made_s.saturating_add(granted_s);
        self.limit_s =
            limit_s(errand.made_s, granted_s, 0, false, errand.ticket.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        if passed.is_none() {
            self.limit_s = now_s;
        }
    }
}

/// When, in Unix seconds, the last of the valid bindings ends that a registration stands for.
pub(super) fn last_end_s(entry: &Entry<'_>, key: u64) -> Option<u32> {
    let meant = entry.valid().filter(|(_, binding)| key == WHOLE_AOR || binding.numbers.contact_id == key);
    meant.map(|(_, binding)| binding.numbers.expires_s).max()
}
