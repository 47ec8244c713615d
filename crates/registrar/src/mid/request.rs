//! `mid_registrar_save()`: what becomes of a REGISTER that a client sent (behaviour §7; mid_registrar 1.6.1).

use std::cell::OnceCell;

use seawall_location::{Entry, Sink};
use seawall_sip::{Message, Name};
use smallvec::SmallVec;

use super::absorb::{Bound, View, Who};
use super::passed;
use super::pending::{Form, KeptSource, Pending, Sent};
use super::repeated::Repeated;
use super::settings::{Mode, UpstreamDown};
use super::upstream::{Shard, Touch};
use super::{Mid, Request};
use crate::aor::Aor;
use crate::flags::SaveFlags;
use crate::plan::{Fate, Plan, Step};
use crate::policy::MatchingMode;
use crate::reading::Reading;
use crate::reject::Reject;
use crate::request::{Begun, Register, Wish};
use crate::save::{Added, Outcome, Save, Source};

/// What becomes of a REGISTER.
// A forwarded one is boxed, for it lives as long as its transaction; the outcome is small.
#[derive(Clone, Debug)]
pub enum Decision {
    /// It was answered here, and the header fields of the answer were appended to the reply: absorbed or told the
    /// bindings (200), or refused.
    Answered(Outcome),
    /// It goes to the main registrar. Nothing has changed yet.
    Forward(Box<Pending>),
}

/// What a look at both tables has come to.
enum Verdict {
    Answered(Outcome),
    /// How, and the hash of the address of record.
    Forward(Form, u64),
}

impl Mid<'_> {
    /// Serves a REGISTER as far as that is possible without the main registrar. Header fields of the reply are appended
    /// to `reply`; `sink` is told of changes.
    pub fn request(&self, request: &Request<'_>, reply: &mut Vec<u8>, sink: &mut dyn Sink) -> Decision {
        let Request { allow, familiar, .. } = *request;
        let save = Save { allow, familiar, ..self.save(request.flags, request.source) };
        let flow = self.upstream.flow(request.source.peer);
        let who = Who { flow, authenticated: request.authenticated };
        let mut name = Aor::new();
        let begun = match Begun::read(request.message, request.aor, &save, &mut name) {
            Ok(begun) => begun,
            Err(reject) => return Decision::Answered(save.refuse(request.message, reject, reply)),
        };
        match self.serve_repeated((&save, request), &name, &begun, who, reply, sink) {
            None => {}
            Some(Repeated::Forward(pending)) => return Decision::Forward(pending),
            Some(Repeated::Answered(renewed)) => {
                let outcome = renewed.unwrap_or_else(|reject| save.refuse(request.message, reject, reply));
                return Decision::Answered(outcome);
            }
        }
        let mut register = Register::begun(request.message, name, &begun, &save);
        let read = register.go_on(&save);
        let served = read.and_then(|()| {
            save.note_flow(&mut register);
            let outgoing_s = request.outgoing_expires_s;
            let bound = if request.flags.known_only { Bound::Crowd } else { Bound::Limit };
            let mut verdict = self.serve(&save, &register, who, bound, outgoing_s, reply, sink)?;
            if self.settings.upstream_down == UpstreamDown::Absorb
                && matches!(verdict, Verdict::Forward(..))
                && (request.holds_back)()
            {
                // What is granted then is no pattern for later.
                register.fingerprint = None;
                verdict = self.serve(&save, &register, who, Bound::Outage, outgoing_s, reply, sink)?;
            }
            Ok(match verdict {
                Verdict::Answered(outcome) => Decision::Answered(outcome),
                Verdict::Forward(form, hash) => self.forward(request, register, form, (hash, flow)),
            })
        });
        served.unwrap_or_else(|reject| Decision::Answered(save.refuse(request.message, reject, reply)))
    }

    /// What has to be known when the answer comes.
    fn forward(
        &self,
        request: &Request<'_>,
        register: Register<'_>,
        form: Form,
        (hash, flow): (u64, u64),
    ) -> Decision {
        let push = self.policy.push.as_deref().map(|push| push.forwarded(&register)).unwrap_or_default();
        Decision::Forward(Box::new(Pending {
            order: 0,
            hash,
            seat: register.place,
            reading: Reading::of(&register),
            methods: Some(register.methods),
            fingerprint: register.fingerprint,
            repeats: None,
            aor: register.aor,
            // What was sent before the crowd came is answered as ever.
            flags: SaveFlags { known_only: false, ..request.flags.clone() },
            source: KeptSource::new(&request.source),
            extra: request.extra.into(),
            flow,
            authenticated: request.authenticated,
            mode: self.settings.mode,
            form,
            raised: false,
            is_late: false,
            push,
            written: OnceCell::new(),
        }))
    }

    /// Answers a forwarded REGISTER from what is known here, because the main registrar does not (`upstream_down`):
    /// the intervals are those of the client, but end with the main registrar's deadline. `None` when it cannot be:
    /// the failure is passed on then. To be called after [`unanswered`](Mid::unanswered).
    pub fn survive(
        &self,
        message: &Message,
        pending: &Pending,
        reply: &mut Vec<u8>,
        sink: &mut dyn Sink,
    ) -> Option<Outcome> {
        if self.settings.upstream_down != UpstreamDown::Absorb {
            return None;
        }
        let save = self.save(&pending.flags, pending.source.source(self.is_own));
        let mut register = pending.register(message, self.policy).ok()?;
        save.note_flow(&mut register);
        let who = Who { flow: pending.flow, authenticated: pending.authenticated };
        match self.serve(&save, &register, who, Bound::Outage, None, reply, sink) {
            Ok(Verdict::Answered(outcome)) => Some(outcome),
            Ok(Verdict::Forward(..)) | Err(_) => None,
        }
    }

    /// Looks at both tables, and answers if that may be.
    #[allow(clippy::too_many_arguments)]
    fn serve(
        &self,
        save: &Save<'_>,
        register: &Register<'_>,
        who: Who,
        bound: Bound,
        outgoing_expires_s: Option<u32>,
        reply: &mut Vec<u8>,
        sink: &mut dyn Sink,
    ) -> Result<Verdict, Reject> {
        let hash = self.upstream.hash(&register.aor);
        let mut shard = self.upstream.shard_expecting(hash);
        let place = register.place.unwrap_or_else(|| self.domain.place(&register.aor));
        let mut entry = self.domain.lock_at(place, &register.aor, self.now_s);
        // Expired bindings that the wheel has not come to yet must neither match nor count.
        if entry.has_expired() {
            entry.purge(sink);
        }
        let mut plan = Plan::default();
        plan.make(save, register, &entry)?;
        for step in &plan.steps {
            save.check_sizes(register, step)?;
        }
        let callid = self.telling_callid(save, register);
        let view = View { shard: &shard, hash, entry: &entry, register, callid, who, bound };
        let is_told = register.wish == Wish::Fetch || plan.is_retransmission();
        let mut is_local = is_told
            || (bound == Bound::Outage || !self.answers_challenge(register, &shard))
                && self.may_absorb(&view, &mut plan);
        let mut passed = if is_local { self.passed(&view, &plan) } else { b"" };
        if !passed.is_empty() && !passed::fits(register, &save.source, self.policy.max_reply_percent, passed)
        {
            // An answer that leaves it out would say that there is none: the main registrar gives its own.
            passed = b"";
            is_local = register.wish == Wish::Fetch || bound == Bound::Outage;
        }
        if is_local {
            let start = reply.len();
            reply.extend_from_slice(passed);
            let needed = passed.len();
            let unproven = save.source.unproven.map(|added| Added { needed: added.needed + needed, ..added });
            let save = Save { source: Source { unproven, ..save.source }, ..*save };
            // An earlier request may be on its way still: its answer must not bring back what goes now.
            let removed = plan.steps.iter().filter(|step| matches!(step.fate, Fate::Remove(_)));
            let removed = removed.filter_map(|step| step.stored.map(|stored| stored.contact_id));
            shard.overtake(hash, u64::MAX, register.wish == Wish::RemoveAll, removed);
            let outcome = save.carry_out(register, &plan, &mut entry, reply, sink);
            return match outcome {
                Ok(outcome) => Ok(Verdict::Answered(outcome)),
                Err(reject) => {
                    reply.truncate(start);
                    Err(reject)
                }
            };
        }
        // Who has been asked for a password was let in before.
        if bound == Bound::Crowd && plan.inserts_any() && !self.answers_challenge(register, &shard) {
            return Err(Reject::overloaded(self.policy, save.source.random));
        }
        let outgoing_s = outgoing_expires_s.unwrap_or(self.settings.outgoing_expires_s);
        Ok(Verdict::Forward(self.form(save, register, &plan, &entry, outgoing_s), hash))
    }

    /// Whether the request carries the answer to a challenge of the main registrar: it is for that one to judge.
    fn answers_challenge(&self, register: &Register<'_>, shard: &Shard) -> bool {
        let has_answer = [Name::Authorization, Name::ProxyAuthorization]
            .into_iter()
            .any(|name| register.message.value(name).is_some());
        has_answer && shard.is_challenged(self.upstream.hash(register.callid), self.second())
    }

    /// How the request looks to the main registrar.
    fn form(
        &self,
        save: &Save<'_>,
        register: &Register<'_>,
        plan: &Plan<'_, '_>,
        entry: &Entry<'_>,
        outgoing_s: u32,
    ) -> Form {
        if register.wish == Wish::RemoveAll {
            return Form::All;
        }
        let callid = self.telling_callid(save, register);
        if self.settings.mode == Mode::Aor {
            let longest_s = plan.steps.iter().map(|step| step.granted_s).max().unwrap_or(0);
            let remains = plan.remaining(entry) > 0;
            let mut contacts = SmallVec::new();
            plan.steps.iter().for_each(|step| contacts.push(self.touch(step, entry, callid)));
            return Form::Whole { expires_s: if remains { longest_s.max(outgoing_s) } else { 0 }, contacts };
        }
        let mut sent = SmallVec::new();
        for step in &plan.steps {
            let removes = step.granted_s == 0;
            let expires_s = match self.settings.mode {
                // The client's own, and none where it gave none.
                Mode::Mirror => step.asked.expires_is_given.then_some(step.asked.expires_s),
                _ if removes => Some(0),
                _ => Some(step.granted_s.max(outgoing_s)),
            };
            let id = self.touch(step, entry, callid).key;
            // A contact that another one of the request supersedes has no fate of its own.
            let written = step.fate != Fate::Nothing || removes;
            sent.push(Sent { id, expires_s, written, removes });
        }
        Form::Contacts(sent)
    }

    /// The Call-ID where it tells contacts apart (`matching-mode=1`), else nothing.
    fn telling_callid<'m>(&self, save: &Save<'_>, register: &Register<'m>) -> &'m [u8] {
        match save.flags.matching.as_ref().unwrap_or(&self.policy.matching) {
            MatchingMode::UriAndCallId => register.callid,
            MatchingMode::Uri | MatchingMode::Param(_) => b"",
        }
    }

    /// The contact that a step is about, by its id: the one that it has, or the one that it will get.
    fn touch(&self, step: &Step<'_, '_>, entry: &Entry<'_>, callid: &[u8]) -> Touch {
        let key = match step.stored {
            Some(stored) => stored.contact_id,
            None => entry.fresh_contact_id(step.asked.uri, callid),
        };
        Touch { key, removes: step.granted_s == 0 }
    }
}
