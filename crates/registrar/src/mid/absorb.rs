//! Whether a REGISTER is answered here without asking the main registrar (behaviour §7, "Absorb").

use seawall_location::{Entry, Numbers};

use super::Mid;
use super::registration::{Registration, State, WHOLE_AOR};
use super::settings::{Mode, Trust};
use super::upstream::{Account, Shard};
use crate::plan::{Fate, Plan, Step};
use crate::request::{Register, Wish};

/// Up to when the main registrar need not be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// As the rule has it: the deadline less a margin.
    Limit,
    /// More waits than can be served: the deadline itself. What the margin and the spread would have had forwarded early
    /// can wait until the next refresh.
    Crowd,
    /// It does not answer: as long as it holds the contact for certain, to which local intervals are shortened.
    Outage,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who {
    /// The flow as a keyed hash.
    pub(super) flow: u64,
    /// Whether the script has authenticated the client in this transaction.
    pub(super) authenticated: bool,
}

/// The state that a decision is made on.
pub(super) struct View<'v, 'e, 'm> {
    pub(super) shard: &'v Shard,
    pub(super) hash: u64,
    pub(super) entry: &'v Entry<'e>,
    pub(super) register: &'v Register<'m>,
    /// The Call-ID where it tells contacts apart, else empty.
    pub(super) callid: &'v [u8],
    pub(super) who: Who,
    pub(super) bound: Bound,
}

impl View<'_, '_, '_> {
    /// Whether the main registrar holds a registration as far as is known. In an outage so does one whose contact ran
    /// out while its refresh waited, until it is really taken away.
    fn holds(&self, registration: &Registration, now_s: u32) -> bool {
        registration.is_held(now_s)
            || (self.bound == Bound::Outage
                && registration.state == State::Leaving
                && !registration.is_sent()
                && registration.attempt == 0
                && registration.deadline_s > now_s)
    }
}

/// The id of the contact that a step is about, when it is known: it is bound, or in an outage it may have been.
fn known_contact(view: &View<'_, '_, '_>, step: &Step<'_, '_>) -> Option<u64> {
    match (step.stored, view.bound) {
        (Some(stored), _) => Some(stored.contact_id),
        (None, Bound::Outage) => Some(view.entry.fresh_contact_id(step.asked.uri, view.callid)),
        (None, Bound::Limit | Bound::Crowd) => None,
    }
}

impl Mid<'_> {
    /// Whether the request may be answered here. In an outage the steps of the plan are shortened to the deadline.
    pub(super) fn may_absorb(&self, view: &View<'_, '_, '_>, plan: &mut Plan<'_, '_>) -> bool {
        let Some(account) = view.shard.account(view.hash, &view.register.aor) else { return false };
        match (self.settings.mode, view.register.wish) {
            (Mode::Mirror, _) if view.bound != Bound::Outage => false,
            (_, Wish::Fetch) => true,
            (_, Wish::RemoveAll) => view.bound == Bound::Outage && self.may_remove_all(view, account),
            (Mode::Mirror | Mode::Contact, Wish::Contacts) => {
                let shard_allows = |step: &mut Step<'_, '_>| self.may_absorb_contact(view, account, step);
                !plan.steps.is_empty() && plan.steps.iter_mut().all(shard_allows)
            }
            (Mode::Aor, Wish::Contacts) => self.may_absorb_aor(view, account, plan),
        }
    }

    /// Contact mode: every contact is known, valid, not being removed, and ends before its own bound.
    fn may_absorb_contact(
        &self,
        view: &View<'_, '_, '_>,
        account: &Account,
        step: &mut Step<'_, '_>,
    ) -> bool {
        let Some(id) = known_contact(view, step) else { return false };
        let Some(registration) = account.registration(id) else { return false };
        if !self.is_trusted(view, Some(registration.flow)) || view.shard.is_being_removed(view.hash, id) {
            return false;
        }
        match step.fate {
            Fate::Update(_) | Fate::Keep(_) => {
                view.holds(registration, self.second()) && self.ends_in_time(view.bound, registration, step)
            }
            // Of two contacts that mean the same binding the other one counts.
            Fate::Nothing => step.granted_s > 0,
            // The main registrar has to be told; when it cannot be, the de-REGISTER follows later.
            Fate::Remove(_) => view.bound == Bound::Outage,
            // It ran out while its refresh waited for an answer; `known_contact` says when.
            Fate::Insert => {
                step.stored = Some(Numbers { contact_id: id, ..Numbers::default() });
                view.holds(registration, self.second()) && self.ends_in_time(view.bound, registration, step)
            }
        }
    }

    /// AoR mode: the address of record stays registered, for longer than any contact of the request.
    fn may_absorb_aor(&self, view: &View<'_, '_, '_>, account: &Account, plan: &mut Plan<'_, '_>) -> bool {
        let Some(whole) = account.registration(WHOLE_AOR) else { return false };
        let is_held = view.holds(whole, self.second()) && !view.shard.is_being_removed(view.hash, WHOLE_AOR);
        if !is_held || (plan.remaining(view.entry) == 0 && view.bound != Bound::Outage) {
            return false;
        }
        plan.steps.iter_mut().all(|step| {
            let known = known_contact(view, step).and_then(|id| account.flow_of(id));
            if !self.is_trusted(view, known) {
                return false;
            }
            match step.fate {
                Fate::Insert | Fate::Update(_) | Fate::Keep(_) => self.ends_in_time(view.bound, whole, step),
                Fate::Remove(_) | Fate::Nothing => true,
            }
        })
    }

    fn may_remove_all(&self, view: &View<'_, '_, '_>, account: &Account) -> bool {
        view.entry.bindings().all(|binding| {
            let id = binding.numbers.contact_id;
            let own = account.registration(id).map(|registration| registration.flow);
            self.is_trusted(view, own.or_else(|| account.flow_of(id)))
        })
    }

    /// Whether the sender may be answered here for a binding that was accepted from the flow `known`.
    pub(super) fn is_trusted(&self, view: &View<'_, '_, '_>, known: Option<u64>) -> bool {
        self.trusts(view.who, known)
    }

    /// As [`is_trusted`](Mid::is_trusted).
    pub(super) fn trusts(&self, who: Who, known: Option<u64>) -> bool {
        self.settings.trust == Trust::Any || who.authenticated || known == Some(who.flow)
    }

    fn ends_in_time(&self, bound: Bound, held: &Registration, step: &mut Step<'_, '_>) -> bool {
        let now_s = self.second();
        match bound {
            Bound::Limit => now_s.saturating_add(step.granted_s) <= held.limit_s,
            Bound::Crowd => now_s.saturating_add(step.granted_s) <= held.longest_s(),
            Bound::Outage => {
                step.granted_s = step.granted_s.min(held.sure_s.saturating_sub(now_s));
                step.granted_s > 0
            }
        }
    }
}
