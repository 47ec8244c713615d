//! A refresh that says what the last one of its binding has said. Whether it is absorbed is for the rule of `absorb`, and
//! there is nothing to be read for it but the two tables; one that is forwarded goes on with the Contact value of the last one,
//! and is not read either.

use std::cell::OnceCell;

use seawall_location::Sink;
use seawall_sip::Name;
use smallvec::smallvec;

use super::absorb::Who;
use super::pending::{Form, KeptSource, Pending, Repeats, Sent, interval};
use super::registration::{Registration, WHOLE_AOR};
use super::settings::{Mode, UpstreamDown};
use super::upstream::Touch;
use super::written::Written;
use super::{Mid, Request};
use crate::aor::Aor;
use crate::familiar::Renewal;
use crate::reject::Reject;
use crate::request::Begun;
use crate::save::{Outcome, Save};

/// What becomes of such a refresh.
pub(super) enum Repeated {
    /// It was absorbed.
    Answered(Result<Outcome, Reject>),
    /// It goes to the main registrar.
    Forward(Box<Pending>),
}

impl Mid<'_> {
    /// Serves a refresh that says nothing new, if it is one. `None` is no verdict, and nothing has changed.
    #[inline]
    pub(super) fn serve_repeated(
        &self,
        (save, request): (&Save<'_>, &Request<'_>),
        aor: &Aor,
        begun: &Begun<'_>,
        who: Who,
        reply: &mut Vec<u8>,
        sink: &mut dyn Sink,
    ) -> Option<Repeated> {
        let message = request.message;
        let may_answer_challenge =
            message.value(Name::Authorization).is_some() || message.value(Name::ProxyAuthorization).is_some();
        if self.settings.mode == Mode::Mirror || begun.fingerprint.is_none() {
            return None;
        }
        let hash = self.upstream.hash(aor);
        let shard = self.upstream.shard_expecting(hash);
        let mut entry = self.domain.lock_at(begun.place, aor, self.now_s);
        let renewal = save.renewal(begun, &entry)?;
        let account = shard.account(hash, aor)?;
        let (key, flow) = match self.settings.mode {
            Mode::Aor => (WHOLE_AOR, account.flow_of(renewal.contact_id)),
            Mode::Mirror | Mode::Contact => (renewal.contact_id, None),
        };
        let held = account.registration(key)?;
        let flow = if self.settings.mode == Mode::Aor { flow } else { Some(held.flow) };
        let is_usual =
            self.trusts(who, flow) && held.is_held(self.second()) && !shard.is_being_removed(hash, key);
        if !is_usual {
            return None;
        }
        let answers_challenge =
            may_answer_challenge && shard.is_challenged(self.upstream.hash(begun.callid), self.second());
        if renewal.expires_s <= held.limit_s && !answers_challenge {
            // What the main registrar has told with its 2xx is repeated on the long way.
            let may_absorb = held.texts.passed().is_empty();
            return may_absorb.then(|| {
                Repeated::Answered(save.carry_out_renewal(renewal, message, &mut entry, reply, sink))
            });
        }
        self.forward_repeated(request, (aor, hash), begun, who, renewal, held)
    }

    /// Sends it on as the last one was sent, if nothing stands against it that has to be looked at.
    fn forward_repeated(
        &self,
        request: &Request<'_>,
        (aor, hash): (&Aor, u64),
        begun: &Begun<'_>,
        who: Who,
        renewal: Renewal,
        held: &Registration,
    ) -> Option<Repeated> {
        let said = held.said.filter(|said| Some(said.fingerprint) == begun.fingerprint)?;
        // A crowd is absorbed for longer, and header lines about pushes are made of what was read.
        if request.flags.known_only || !request.extra.is_empty() || self.policy.push.is_some() {
            return None;
        }
        if self.settings.upstream_down == UpstreamDown::Absorb && (request.holds_back)() {
            return None;
        }
        let granted_s = renewal.expires_s.saturating_sub(self.second());
        let expires_s = granted_s.max(request.outgoing_expires_s.unwrap_or(self.settings.outgoing_expires_s));
        let id = renewal.contact_id;
        let (form, written_s) = if self.settings.mode == Mode::Aor {
            let in_header = request.message.header(Name::Expires).is_some();
            let contacts = smallvec![Touch { key: id, removes: false }];
            (Form::Whole { expires_s, contacts }, Some(expires_s).filter(|_| !in_header))
        } else {
            let sent = Sent { id, expires_s: Some(expires_s), written: true, removes: false };
            (Form::Contacts(smallvec![sent]), Some(expires_s))
        };
        let mut written = Written::new();
        written.push(|text| text.extend_from_slice(held.texts.contact()), |text| interval(written_s, text));
        Some(Repeated::Forward(Box::new(Pending {
            order: 0,
            hash,
            aor: Aor::from_slice(aor),
            seat: Some(begun.place),
            reading: None,
            methods: None,
            fingerprint: begun.fingerprint,
            repeats: Some(Repeats { contact_id: id, granted_s, cseq: begun.cseq }),
            flags: request.flags.clone(),
            source: KeptSource::new(&request.source),
            extra: Box::default(),
            flow: who.flow,
            authenticated: request.authenticated,
            mode: self.settings.mode,
            form,
            raised: false,
            is_late: false,
            push: Box::default(),
            written: OnceCell::from(written.finish(said.place)),
        })))
    }
}
