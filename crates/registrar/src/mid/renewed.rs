//! A 2xx to a forwarded refresh that says nothing new and is granted for as long as ever: of both tables only times change.

use seawall_location::Sink;
use seawall_sip::{Message, Name, name_addr};

use super::Mid;
use super::answer::note_flows;
use super::errands::last_end_s;
use super::granted::Granted;
use super::passed;
use super::pending::Pending;
use super::registration::{Grant, Said, State, WHOLE_AOR};
use super::settings::Mode;
use super::upstream::{Flight, Main, Shard};
use crate::request::Begun;
use crate::save::{Outcome, Save};

/// The 2xx, with what it answers.
#[derive(Clone, Copy)]
pub(super) struct Granting<'a> {
    /// The request as it came.
    pub(super) message: &'a Message,
    pub(super) pending: &'a Pending,
    pub(super) flight: &'a Flight,
    pub(super) response: &'a Message,
    pub(super) main: &'a Main,
    /// [`Place::mark`](super::Place::mark) of where it was sent from.
    pub(super) place: u64,
}

impl Mid<'_> {
    /// Renews a binding and its registration as [`accepted`](Mid::accepted) would, if nothing about them but their times would
    /// change. `None` is no verdict, and nothing has changed.
    pub(super) fn accept_repeated(
        &self,
        shard: &mut Shard,
        save: &Save<'_>,
        granting: Granting<'_>,
        granted: &[Granted<'_>],
        reply: &mut Vec<u8>,
        sink: &mut dyn Sink,
    ) -> Option<Outcome> {
        let Granting { message, pending, flight, response, main, place } = granting;
        let (repeats, fingerprint, [granted]) = (pending.repeats?, pending.fingerprint?, granted) else {
            return None;
        };
        let is_crossed = flight.disturbed || flight.all_overtaken || !flight.overtaken.is_empty();
        if is_crossed || pending.is_late || pending.raised || granted.granted_s < repeats.granted_s {
            return None;
        }
        let now_s = self.second();
        let callid = message.value(Name::CallId)?;
        let begun =
            Begun { callid, cseq: repeats.cseq, place: pending.seat?, fingerprint: Some(fingerprint) };
        let mut entry = self.domain.lock_at(begun.place, &pending.aor, self.now_s);
        let renewal = save.renewal(&begun, &entry)?;
        let expires_s = now_s.saturating_add(repeats.granted_s);
        if renewal.contact_id != repeats.contact_id || renewal.expires_s != expires_s {
            return None;
        }
        let account = shard.account_mut(pending.hash, &pending.aor)?;
        if account.registrations.iter().filter(|held| flight.names(held.key)).count() != 1 {
            return None;
        }
        let held = account.registration_mut(granted.key)?;
        let is_usual = held.state == State::Live
            && held.ticket == 0
            && held.said == Some(Said { fingerprint, place })
            && held.texts.callid() == callid
            && name_addr::to_uri(message).is_ok_and(|to| held.texts.to() == to)
            && passed::lines(response).is_some_and(|lines| held.texts.passed() == lines)
            && *held.main == *main;
        if !is_usual {
            return None;
        }
        let outcome = save.carry_out_renewal(renewal, message, &mut entry, reply, sink).ok()?;
        let last_s = match granted.key {
            WHOLE_AOR => last_end_s(&entry, WHOLE_AOR).unwrap_or(expires_s),
            _ => expires_s,
        };
        let (was_held, limit_s) = (held.is_held(now_s), held.limit_s);
        held.grant(&Grant {
            now_s,
            departed_s: flight.departed_s,
            granted_s: granted.granted_s,
            last_s,
            is_new: !was_held,
            is_kept: true,
            random: pending.source.random ^ granted.key.rotate_left(17),
        });
        held.rely_until(held.sure_s.min(flight.least_s));
        if was_held && limit_s >= last_s {
            // It was not due yet, and keeps its place among those that are spread over time.
            held.limit_s = held.limit_s.min(limit_s);
        }
        held.flow = pending.flow;
        held.cseq = repeats.cseq;
        held.asked_s = granted.asked_s;
        held.attempt = 0;
        let early_s =
            (held.throttled && held.sure_s < last_s).then_some(held.limit_s.max(now_s.saturating_add(1)));
        if self.settings.mode == Mode::Aor {
            note_flows(account, (callid, repeats.cseq), pending.flow, &entry);
        }
        drop(entry);
        if let Some(due_s) = early_s {
            // The main registrar may forget it before it ends here.
            self.renew(shard, pending.hash, &pending.aor, granted.key, due_s);
        }
        self.protect(shard, pending.hash, &pending.aor, granted.key, (Some(callid), repeats.cseq));
        Some(outcome)
    }
}
