//! What the main registrar's answer to a forwarded REGISTER changes (behaviour §7, "Reply").

use seawall_location::{Binding, Entry, Numbers, Removal, Sink};
use seawall_sip::{Message, Name, name_addr};
use smallvec::SmallVec;

use super::Mid;
use super::contact::Place;
use super::errands;
use super::granted::Granted;
use super::limits::GUESSES;
use super::passed;
use super::pending::{Form, Pending};
use super::registration::{Grant, Registration, Said, State, Texts, WHOLE_AOR};
use super::renewed::Granting;
use super::settings::{Mode, OnReject, Trust};
use super::upstream::{Account, Flight, Main, Shard};
use crate::plan::{Fate, Plan};
use crate::reject::Reject;
use crate::request::{Register, Wish};
use crate::save::{Outcome, Save};

/// A 2xx and where it came from.
struct Answer<'a> {
    pending: &'a Pending,
    main: &'a Main,
    granted: SmallVec<[Granted<'a>; 2]>,
    /// What the client is told besides contacts; `None` when that is too long to be kept.
    passed: Option<Vec<u8>>,
    /// What the request said, if one that says the same can go on in the same way.
    said: Option<Said>,
}

impl Mid<'_> {
    /// A forwarded request is sent (again): from now on it is under way.
    pub fn departs(&self, pending: &mut Pending) {
        if pending.order != 0 {
            return;
        }
        pending.order = self.upstream.ticket();
        let mut flight = pending.flight();
        flight.departed_s = self.second();
        let mut shard = self.upstream.shard(pending.hash);
        // A de-REGISTER of our own is under way, too: only the main registrar knows which of both comes last.
        let leaves = |registration: &Registration| {
            registration.state == State::Leaving && registration.is_sent() && flight.names(registration.key)
        };
        let account = shard.account(pending.hash, &pending.aor);
        flight.disturbed = account.is_some_and(|account| account.registrations.iter().any(leaves));
        shard.depart(flight);
    }

    /// No answer came, or none that says anything (408, 5xx): no binding changes. `message` is the request as it came.
    /// `sent_to` says where it was sent if the main registrar may have served it and its answer was lost: what it may
    /// hold now is taken away when nobody here wants it, and what it may have dropped is not relied on.
    pub fn unanswered(&self, message: &Message, pending: &Pending, sent_to: Option<(&Main, Place<'_>)>) {
        let mut shard = self.upstream.shard(pending.hash);
        shard.arrive(pending.order);
        let Some((main, place)) = sent_to.filter(|_| pending.mode != Mode::Mirror) else { return };
        let now_s = self.second();
        let mut unsure = SmallVec::<[u64; 2]>::new();
        if matches!(pending.form, Form::All)
            && let Some(account) = shard.account_mut(pending.hash, &pending.aor)
        {
            account.registrations.iter_mut().for_each(|registration| registration.rely_until(now_s));
            unsure.extend(account.registrations.iter().map(|registration| registration.key));
        }
        let Ok(register) = pending.register(message, self.policy) else { return };
        if let Some(account) = shard.account_mut(pending.hash, &pending.aor) {
            for registration in &mut account.registrations {
                registration.count_cseq(register.callid, register.cseq);
            }
        }
        self.note_echoes(&mut shard, &register, pending);
        let mut made = None;
        let mut unknown = SmallVec::<[Granted<'_>; 2]>::new();
        let written = pending.written(message, self.settings, self.policy, place, &mut made);
        self.each_sent(pending, written, |key, value, asked_s| {
            let account = shard.account_mut(pending.hash, &pending.aor);
            match account.and_then(|account| account.registration_mut(key)) {
                Some(registration) if asked_s == 0 => {
                    registration.rely_until(now_s);
                    unsure.push(key);
                }
                Some(registration) => {
                    let possible_s = now_s.saturating_add(asked_s);
                    registration.possible_s = registration.possible_s.max(possible_s);
                    registration.late_s = now_s;
                    // It may as well have been shortened.
                    registration.limit_s = registration.limit_s.min(now_s);
                }
                None if asked_s == 0 => {}
                None => unknown.push(Granted { key, granted_s: 0, asked_s, value }),
            }
        });
        for key in unsure {
            // What is bound here still is registered there again, if it was removed: the client was not told so.
            if self.wanted_until_s(&pending.aor, key).is_some() {
                self.renew(&mut shard, pending.hash, &pending.aor, key, now_s);
            }
        }
        let answer = Answer { pending, main, granted: SmallVec::new(), passed: Some(Vec::new()), said: None };
        for granted in unknown {
            // While another request about it is under way, the de-REGISTER waits for that one's answer.
            if self.upstream.waiting() < GUESSES {
                let guess = Registration {
                    deadline_s: now_s,
                    sure_s: now_s,
                    accepted_s: 0,
                    late_s: now_s,
                    possible_s: now_s.saturating_add(granted.asked_s),
                    ..self.registration(&register, &answer, &granted, true, (now_s, now_s), None)
                };
                let account = shard.open(self.upstream, pending.hash, &pending.aor);
                account.registrations.push(guess);
                self.leave(&mut shard, pending.hash, &pending.aor, granted.key);
            }
        }
    }

    /// An answer that is no 2xx: nothing changes, but that a challenge is remembered (401, 407), and that a 403 or 404
    /// to a refresh removes its bindings when `on_reject` says so. `message` is the request as it came.
    pub fn rejected(&self, message: &Message, pending: &Pending, status: u16, sink: &mut dyn Sink) {
        let mut shard = self.upstream.shard(pending.hash);
        let flight = shard.arrive(pending.order);
        if matches!(status, 401 | 407)
            && let Some(callid) = message.value(Name::CallId)
        {
            let callid = self.upstream.hash(callid);
            shard.challenge(callid, self.second());
        }
        if matches!(status, 403 | 404) && self.settings.on_reject == OnReject::Remove {
            self.remove_rejected(&mut shard, pending, flight.as_ref(), status, sink);
        }
    }

    /// Removes the bindings that the main registrar refuses to refresh, but not those about which a later request has been
    /// answered already. With a 404 it has dropped them itself.
    fn remove_rejected(
        &self,
        shard: &mut Shard,
        pending: &Pending,
        flight: Option<&Flight>,
        status: u16,
        sink: &mut dyn Sink,
    ) {
        let is_newer = |key: u64| flight.is_some_and(|flight| flight.is_overtaken(key));
        let Some(account) = shard.account_mut(pending.hash, &pending.aor) else { return };
        let flows_count = self.settings.trust == Trust::Verified && !pending.authenticated;
        let is_meant = |account: &Account, id: u64| {
            let named = match &pending.form {
                Form::All => false,
                Form::Whole { .. } => !is_newer(WHOLE_AOR) && !is_newer(id),
                Form::Contacts(sent) => {
                    !is_newer(id) && sent.iter().any(|sent| sent.id == id && !sent.removes)
                }
            };
            let own = account.registration(id).map(|registration| registration.flow);
            // A stranger's request is no refresh, and its refusal must not cost the owner the binding.
            named && (!flows_count || own.or_else(|| account.flow_of(id)) == Some(pending.flow))
        };
        let mut entry = self.domain.lock(&pending.aor, self.now_s);
        let ids: SmallVec<[u64; 4]> = entry
            .bindings()
            .map(|binding| binding.numbers.contact_id)
            .filter(|id| is_meant(account, *id))
            .collect();
        if status == 404 {
            account.registrations.retain(|registration| {
                registration.ticket != 0
                    || !(ids.contains(&registration.key)
                        || (registration.key == WHOLE_AOR && !ids.is_empty()))
            });
        }
        let goes = |_: usize, binding: &Binding<'_>| {
            ids.contains(&binding.numbers.contact_id).then_some(Removal::Administrative)
        };
        entry.remove(sink, goes);
        drop(entry);
        shard.close(pending.hash, &pending.aor);
    }

    /// A 2xx: what it grants holds here too, no longer than it says, and nothing else of the request. `message` is the
    /// request as it came and `response` the answer; `main` and `place` say where it was sent. Appends to `reply` what
    /// the client's answer says about Contact and Path.
    #[allow(clippy::too_many_arguments)]
    pub fn accepted(
        &self,
        message: &Message,
        pending: &Pending,
        response: &Message,
        main: &Main,
        place: Place<'_>,
        reply: &mut Vec<u8>,
        sink: &mut dyn Sink,
    ) -> Outcome {
        let save = self.save(&pending.flags, pending.source.source(self.is_own));
        let mut shard = self.upstream.shard(pending.hash);
        // A request that was never announced is treated as the latest.
        let flight = shard
            .arrive(pending.order)
            .unwrap_or_else(|| Flight { departed_s: self.second(), ..pending.flight() });
        shard.overtake(flight.hash, flight.order, flight.all, flight.keys.iter().map(|touch| touch.key));
        let mut made = None;
        let written = pending.written(message, self.settings, self.policy, place, &mut made);
        let granted = self.granted(pending, written, response);
        let held = granted.iter().map(|granted| granted.granted_s).filter(|granted_s| *granted_s > 0);
        if let Some(granted_s) = held.min() {
            shard.grants(&flight, flight.departed_s.saturating_add(granted_s));
        }
        let granting = Granting { message, pending, flight: &flight, response, main, place: place.mark() };
        if let Some(outcome) = self.accept_repeated(&mut shard, &save, granting, &granted, reply, sink) {
            return Outcome { status: response.status(), ..outcome };
        }
        let register = match pending.register(message, self.policy) {
            Ok(mut register) => {
                save.note_flow(&mut register);
                register
            }
            Err(reject) => return save.refuse(message, reject, reply),
        };
        if pending.is_late {
            self.note_echoes(&mut shard, &register, pending);
        }
        // What the script has added stands in the Contact value, and not in the fingerprint.
        let said = pending.fingerprint.filter(|_| pending.extra.is_empty());
        let said = said.map(|fingerprint| Said { fingerprint, place: place.mark() });
        let answer = Answer { pending, main, granted, passed: passed::lines(response), said };
        let seat = pending.seat.unwrap_or_else(|| self.domain.place(&register.aor));
        let mut entry = self.domain.lock_at(seat, &register.aor, self.now_s);
        if entry.has_expired() {
            entry.purge(sink);
        }
        let mut plan = Plan::default();
        let outcome = match self.adjust(&save, &register, &answer, &flight, &entry, &mut plan) {
            Ok(is_whole) => {
                let outcome = self.settle(&save, &register, &plan, &flight, &mut entry, reply, sink);
                if let Some(fingerprint) = pending.fingerprint.filter(|_| is_whole) {
                    save.remember(&register, fingerprint, &plan, &mut entry);
                }
                outcome
            }
            // Something else has changed the bindings meanwhile: they stay, and the client is told what holds.
            Err(_) => {
                save.list(&register, &entry, &[], reply);
                told(false)
            }
        };
        let account = shard.open(self.upstream, pending.hash, &pending.aor);
        self.note(account, &register, &answer, &flight, &entry);
        let wanted = wanted(account, &flight, &entry);
        drop(entry);
        self.follow(&mut shard, pending, &flight, &answer.granted, &wanted);
        for granted in answer.granted.iter().filter(|granted| granted.granted_s > 0) {
            let numbers = (Some(register.callid), register.cseq);
            self.protect(&mut shard, pending.hash, &pending.aor, granted.key, numbers);
        }
        Outcome { status: response.status(), ..outcome }
    }

    /// The plan for what the main registrar grants: shorter where it says so, and without what it refused. Whether that is
    /// all that was asked for.
    fn adjust<'r, 'm>(
        &self,
        save: &Save<'_>,
        register: &'r Register<'m>,
        answer: &Answer<'_>,
        flight: &Flight,
        entry: &Entry<'_>,
        plan: &mut Plan<'r, 'm>,
    ) -> Result<bool, Reject> {
        plan.make(save, register, entry)?;
        let mut is_whole = true;
        for (index, step) in plan.steps.iter_mut().enumerate() {
            let (id, granted_s) = match &answer.pending.form {
                Form::All => continue,
                Form::Whole { contacts, .. } => {
                    (contacts.get(index).map(|touch| touch.key), answer.granted_to(WHOLE_AOR))
                }
                Form::Contacts(sent) => {
                    let id = sent.get(index).map(|sent| sent.id);
                    (id, id.map_or(0, |id| answer.granted_to(id)))
                }
            };
            if id.is_some_and(|id| flight.is_overtaken(id)) {
                step.fate = Fate::Nothing;
                continue;
            }
            if let (Fate::Insert, Some(id)) = (step.fate, id) {
                // The id by which the main registrar knows it, unless another contact has taken it meanwhile.
                if entry.bindings().any(|binding| binding.numbers.contact_id == id) {
                    step.fate = Fate::Nothing;
                    continue;
                }
                step.stored = Some(Numbers { contact_id: id, ..Numbers::default() });
            }
            is_whole &= granted_s >= step.granted_s;
            if granted_s > 0 {
                step.granted_s = step.granted_s.min(granted_s);
                continue;
            }
            step.fate = match step.fate {
                Fate::Insert => Fate::Nothing,
                Fate::Update(position) | Fate::Keep(position) => Fate::Remove(position),
                other => other,
            };
        }
        for step in &plan.steps {
            save.check_sizes(register, step)?;
        }
        Ok(is_whole)
    }

    /// Carries the plan out.
    #[allow(clippy::too_many_arguments)]
    fn settle(
        &self,
        save: &Save<'_>,
        register: &Register<'_>,
        plan: &Plan<'_, '_>,
        flight: &Flight,
        entry: &mut Entry<'_>,
        reply: &mut Vec<u8>,
        sink: &mut dyn Sink,
    ) -> Outcome {
        if register.wish != Wish::RemoveAll {
            return match save.carry_out(register, plan, entry, reply, sink) {
                Ok(outcome) => outcome,
                Err(reject) => save.refuse(register.message, reject, reply),
            };
        }
        // What a later request has made stays.
        let goes = |_: usize, binding: &Binding<'_>| {
            let id = binding.numbers.contact_id;
            let is_newer = flight.is_overtaken(id) || flight.is_overtaken(WHOLE_AOR);
            (!is_newer).then_some(Removal::Asked)
        };
        let changed = entry.remove(sink, goes) > 0;
        save.list(register, entry, &[], reply);
        told(changed)
    }

    /// Writes down what the main registrar holds now.
    fn note(
        &self,
        account: &mut Account,
        register: &Register<'_>,
        answer: &Answer<'_>,
        flight: &Flight,
        entry: &Entry<'_>,
    ) {
        if register.wish == Wish::RemoveAll {
            for registration in &mut account.registrations {
                registration.count_cseq(register.callid, register.cseq);
            }
            // Of one that crossed others nobody knows which of them came last.
            let stays = |key: u64| flight.disturbed || flight.is_overtaken(key);
            account
                .registrations
                .retain(|registration| stays(registration.key) || self.may_come_back(registration));
            return;
        }
        for granted in &answer.granted {
            if let Some(known) = account.registration_mut(granted.key) {
                known.count_cseq(register.callid, register.cseq);
                if answer.pending.is_late && granted.asked_s > 0 {
                    known.late_s = self.second();
                }
            }
            let old = account.registrations.iter().position(|registration| registration.key == granted.key);
            // What a later request has decided stays. If that has removed it, the main registrar holds it all the same
            // by this answer: it has to be taken away once more.
            if flight.is_overtaken(granted.key) && (old.is_some() || granted.granted_s == 0) {
                if let Some(known) = account.registration_mut(granted.key).filter(|_| granted.granted_s > 0) {
                    self.note_overtaken(known, register, granted.granted_s, flight);
                }
                continue;
            }
            if granted.granted_s == 0 && granted.asked_s == 0 && flight.disturbed {
                continue;
            }
            if granted.granted_s == 0 {
                let comes_back = |known: &mut Registration| self.may_come_back(known);
                if !account.registration_mut(granted.key).is_some_and(comes_back) {
                    old.map(|position| account.registrations.swap_remove(position));
                }
                continue;
            }
            let is_new = old.is_none_or(|position| {
                account.registrations.get(position).is_none_or(|old| !old.is_held(self.second()))
            });
            let ends = entry
                .valid()
                .filter(|(_, binding)| granted.key == WHOLE_AOR || binding.numbers.contact_id == granted.key);
            let last_s = ends.map(|(_, binding)| binding.numbers.expires_s).max();
            let last_s = last_s.unwrap_or(self.second());
            let times = (flight.departed_s, last_s);
            let place = old.and_then(|position| account.registrations.get_mut(position));
            let texts = place.map(|place| std::mem::take(&mut place.texts));
            let mut registration = self.registration(register, answer, granted, is_new, times, texts);
            registration.rely_until(registration.sure_s.min(flight.least_s));
            match old.and_then(|position| account.registrations.get_mut(position)) {
                Some(place) => {
                    registration.late_s = registration.late_s.max(place.late_s);
                    // It was not due yet: a contact was added, or its phone has moved. It keeps its place among those
                    // that are spread over time.
                    if place.is_held(self.second()) && place.limit_s >= last_s {
                        registration.limit_s = registration.limit_s.min(place.limit_s);
                    }
                    *place = registration;
                }
                None => account.registrations.push(registration),
            }
        }
        if matches!(answer.pending.form, Form::Whole { .. }) {
            note_flows(account, (register.callid, register.cseq), answer.pending.flow, entry);
        }
    }

    /// Something was granted about which a later request has decided already: the main registrar may hold it by this
    /// answer, if it came last, unless its CSeq number would have been refused then.
    fn note_overtaken(
        &self,
        known: &mut Registration,
        register: &Register<'_>,
        granted_s: u32,
        flight: &Flight,
    ) {
        known.possible_s = known.possible_s.max(self.second().saturating_add(granted_s));
        let is_ordered = known.texts.callid() == register.callid && known.cseq > register.cseq;
        if !is_ordered {
            known.rely_until(flight.departed_s.saturating_add(granted_s));
        }
    }

    /// A registration that was granted. The times are when it was asked for, and when the last binding ends that relies
    /// on it. `texts` are those of the one before it, which nearly always says the same.
    fn registration(
        &self,
        register: &Register<'_>,
        answer: &Answer<'_>,
        granted: &Granted<'_>,
        is_new: bool,
        (departed_s, last_s): (u32, u32),
        texts: Option<Texts>,
    ) -> Registration {
        let now_s = self.second();
        let to = name_addr::address(register.message, Name::To).map(|to| to.uri).unwrap_or_default();
        let passed = answer.passed.as_deref().unwrap_or_default();
        let mut registration = Registration {
            key: granted.key,
            flow: answer.pending.flow,
            ticket: 0,
            deadline_s: 0,
            possible_s: 0,
            sure_s: 0,
            limit_s: 0,
            accepted_s: 0,
            late_s: if answer.pending.is_late { now_s } else { 0 },
            cseq: register.cseq,
            asked_s: granted.asked_s,
            due_s: 0,
            attempt: 0,
            state: State::Live,
            throttled: answer.pending.mode != Mode::Mirror,
            main: self.upstream.main(answer.main),
            texts: Texts::again(texts, [granted.value, register.callid, to, passed]),
            said: answer.said,
        };
        registration.grant(&Grant {
            now_s,
            departed_s,
            granted_s: granted.granted_s,
            last_s,
            is_new,
            is_kept: answer.passed.is_some(),
            random: answer.pending.source.random ^ granted.key.rotate_left(17),
        });
        registration
    }

    /// What has to be set right after an answer: contacts that the main registrar holds and nobody here wants, and
    /// those of which only it knows whether it holds them. `wanted` is what [`wanted`] gave.
    fn follow(
        &self,
        shard: &mut Shard,
        pending: &Pending,
        flight: &Flight,
        granted: &[Granted<'_>],
        wanted: &[(u64, Option<u32>)],
    ) {
        let (hash, aor) = (pending.hash, &*pending.aor);
        for &(key, last_s) in wanted {
            let known = shard.account_mut(hash, aor).and_then(|account| account.registration_mut(key));
            if let Some(known) = known.filter(|_| flight.disturbed) {
                known.rely_until(self.second());
            }
            let Some(last_s) = last_s else {
                let is_held = granted.iter().any(|granted| granted.key == key && granted.granted_s > 0);
                self.leave_again(shard, hash, aor, key, is_held);
                continue;
            };
            let held = shard.account(hash, aor).and_then(|account| account.registration(key));
            let ends_early = held.is_some_and(|held| held.throttled && held.sure_s < last_s);
            if flight.disturbed {
                self.renew(shard, hash, aor, key, self.second());
            } else if ends_early && let Some(held) = held {
                // The main registrar has shortened the one contact that other contacts here rely on.
                let due_s = held.limit_s.max(self.second().saturating_add(1));
                self.renew(shard, hash, aor, key, due_s);
            }
        }
        shard.close(hash, aor);
    }
}

/// The registrations that a request is about, and until when, in Unix seconds, somebody here wants each.
fn wanted(account: &Account, flight: &Flight, entry: &Entry<'_>) -> SmallVec<[(u64, Option<u32>); 4]> {
    let mut wanted = SmallVec::new();
    let keys = account.registrations.iter().map(|registration| registration.key);
    for key in keys.filter(|key| flight.names(*key)) {
        wanted.push((key, errands::last_end_s(entry, key)));
    }
    wanted
}

/// AoR mode: the contacts that this request has bound were accepted from its flow.
pub(super) fn note_flows(account: &mut Account, (callid, cseq): (&[u8], u32), flow: u64, entry: &Entry<'_>) {
    let is_bound = |id: u64| entry.valid().any(|(_, binding)| binding.numbers.contact_id == id);
    account.flows.retain(|(id, _)| is_bound(*id));
    for (_, binding) in entry.valid() {
        if binding.callid == callid && binding.numbers.cseq == cseq {
            account.set_flow(binding.numbers.contact_id, flow);
        }
    }
}

/// The outcome of an answer that binds no contact of its request.
fn told(changed: bool) -> Outcome {
    Outcome {
        status: 200,
        reason: "OK",
        reject: None,
        changed,
        retransmission: false,
        expires_s: 0,
        is_brief: false,
    }
}

impl Answer<'_> {
    /// The interval granted to a registration; 0 when the main registrar does not hold it.
    fn granted_to(&self, key: u64) -> u32 {
        self.granted.iter().find(|granted| granted.key == key).map_or(0, |granted| granted.granted_s)
    }
}
