//! Absorbing a refresh that says what the last one of its binding has said: the rule is that of `absorb`, and there is nothing
//! to be read for it but the two tables.

use seawall_location::Sink;
use seawall_sip::Name;

use super::absorb::Who;
use super::registration::WHOLE_AOR;
use super::settings::Mode;
use super::{Mid, Request};
use crate::aor::Aor;
use crate::reject::Reject;
use crate::request::Begun;
use crate::save::{Outcome, Save};

impl Mid<'_> {
    /// Absorbs a refresh that says nothing new, if it is one and may be absorbed. `None` is no verdict, and nothing has
    /// changed.
    #[inline]
    pub(super) fn absorb_repeated(
        &self,
        (save, request): (&Save<'_>, &Request<'_>),
        aor: &Aor,
        begun: &Begun<'_>,
        who: Who,
        reply: &mut Vec<u8>,
        sink: &mut dyn Sink,
    ) -> Option<Result<Outcome, Reject>> {
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
        let may_absorb = self.trusts(who, flow)
            && held.is_held(self.second())
            && renewal.expires_s <= held.limit_s
            && !shard.is_being_removed(hash, key)
            // What the main registrar has told with its 2xx is repeated on the long way.
            && held.texts.passed().is_empty()
            && !(may_answer_challenge && shard.is_challenged(self.upstream.hash(begun.callid), self.second()));
        may_absorb.then(|| save.carry_out_renewal(renewal, message, &mut entry, reply, sink))
    }
}
