//! What a REGISTER would change, worked out before anything is changed: all or nothing (RFC 3261 §10.3 step 7).

use std::net::IpAddr;

use seawall_location::{Binding, Candidate, Entry, Matching, Numbers, Removal};
use seawall_sip::Uri;
use smallvec::SmallVec;

use crate::limits::MAX_BINDINGS_PER_AOR;
use crate::policy::MinExpiresMode;
use crate::reject::Reject;
use crate::request::{Asked, Register, Wish};
use crate::save::Save;

/// What becomes of one contact of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is new.
    Insert,
    /// It takes the place of the binding at this position.
    Update(usize),
    /// It removes the binding at this position.
    Remove(usize),
    /// It repeats what the binding at this position already holds.
    Keep(usize),
    /// It has nothing to remove, or a later contact of the request means the same.
    Nothing,
}

/// One contact of the request with its fate.
pub(crate) struct Step<'r, 'm> {
    pub(crate) asked: &'r Asked<'m>,
    /// The interval granted in seconds, 0 to remove.
    pub(crate) granted_s: u32,
    pub(crate) fate: Fate,
    /// The numbers of the binding that it means, if there is one.
    pub(crate) stored: Option<Numbers>,
}

/// All steps of a request, and the positions of the bindings that give way to new ones.
#[derive(Default)]
pub(crate) struct Plan<'r, 'm> {
    pub(crate) steps: SmallVec<[Step<'r, 'm>; 1]>,
    pub(crate) evicted: SmallVec<[usize; 2]>,
}

impl<'r, 'm> Plan<'r, 'm> {
    /// Decides about every contact of the request, for an empty plan. Expired bindings must have been purged from `entry`.
    pub(crate) fn make(
        &mut self,
        save: &Save<'_>,
        register: &'r Register<'m>,
        entry: &Entry<'_>,
    ) -> Result<(), Reject> {
        match register.wish {
            Wish::Fetch => {}
            Wish::RemoveAll => {
                let is_stale = |binding: Binding<'_>| !is_newer(register, &binding);
                if entry.bindings().any(is_stale) {
                    return Err(Reject::InvalidCSeq);
                }
            }
            Wish::Contacts => {
                // From the last to the first: of two contacts that mean the same binding the later one holds.
                for asked in register.contacts.iter().rev() {
                    self.add(save, register, entry, asked)?;
                }
                if self.steps.len() > 1 {
                    self.steps.reverse();
                }
                self.make_room(save, entry)?;
            }
        }
        Ok(())
    }

    /// Whether the request repeats what is stored, and nothing else.
    pub(crate) fn is_retransmission(&self) -> bool {
        !self.steps.is_empty() && self.steps.iter().all(|step| matches!(step.fate, Fate::Keep(_)))
    }

    fn add(
        &mut self,
        save: &Save<'_>,
        register: &Register<'m>,
        entry: &Entry<'_>,
        asked: &'r Asked<'m>,
    ) -> Result<(), Reject> {
        let base_s = if register.is_granted { asked.expires_s } else { interval_s(save, asked)? };
        if !self.steps.is_empty() || !entry.is_empty() {
            return self.add_matched(save, register, entry, asked, base_s);
        }
        // Where nothing is bound there is nothing that it could mean: somebody who was not there.
        check_uri(save, register, asked, base_s)?;
        let fate = if base_s == 0 { Fate::Nothing } else { Fate::Insert };
        self.push(save, register, Step { asked, granted_s: base_s, fate, stored: None });
        Ok(())
    }

    #[inline(never)]
    fn add_matched(
        &mut self,
        save: &Save<'_>,
        register: &Register<'m>,
        entry: &Entry<'_>,
        asked: &'r Asked<'m>,
        base_s: u32,
    ) -> Result<(), Reject> {
        let matching = match &save.policy.push {
            Some(push) if asked.wakes.is_matched() => push.matching(asked),
            _ => save.matching(),
        };
        let candidate = candidate(register, asked);
        let found = candidate.find(entry.bindings().enumerate(), matching);
        if found.is_none_or(|(_, stored)| stored.contact != asked.uri) {
            check_uri(save, register, asked, base_s)?;
        }
        let stored = found.map(|(_, stored)| stored.numbers);
        let fate = match found {
            _ if self.is_superseded(register, &candidate, matching, stored) => Fate::Nothing,
            Some((position, stored)) => fate_of_stored(save, register, asked, base_s, position, &stored)?,
            None if base_s == 0 => Fate::Nothing,
            None => Fate::Insert,
        };
        self.push(save, register, Step { asked, granted_s: base_s, fate, stored });
        Ok(())
    }

    /// Adds a step, whose interval is changed at random where that is wanted.
    #[inline]
    fn push(&mut self, save: &Save<'_>, register: &Register<'m>, mut step: Step<'r, 'm>) {
        if step.granted_s != 0 && !register.is_granted {
            step.granted_s = deviate(save, step.granted_s, self.steps.len());
        }
        self.steps.push(step);
    }

    /// Whether a later contact of the request, which was added before, means the same binding.
    fn is_superseded(
        &self,
        register: &Register<'m>,
        candidate: &Candidate<'_>,
        matching: Matching<'_>,
        stored: Option<Numbers>,
    ) -> bool {
        self.steps.iter().any(|later| match (stored, later.stored) {
            (Some(stored), Some(other)) => stored.contact_id == other.contact_id,
            (None, None) => {
                candidate.find([(0, as_binding(register, later.asked))].into_iter(), matching).is_some()
            }
            _ => false,
        })
    }

    /// Sees to it that no more bindings remain than may be (registrar 1.3.11, 1.4.1 `force-registration`).
    fn make_room(&mut self, save: &Save<'_>, entry: &Entry<'_>) -> Result<(), Reject> {
        let inserts = self.count(|fate| fate == Fate::Insert);
        if inserts == 0 {
            return Ok(());
        }
        let removes = self.count(|fate| matches!(fate, Fate::Remove(_)));
        let most = match save.flags.max_contacts.unwrap_or(save.policy.max_contacts) {
            0 => MAX_BINDINGS_PER_AOR,
            most => MAX_BINDINGS_PER_AOR.min(most as usize),
        };
        let excess = (entry.len() + inserts - removes).saturating_sub(most);
        if excess == 0 {
            return Ok(());
        }
        if !save.flags.force_registration {
            return Err(Reject::TooManyContacts);
        }
        let mut oldest: SmallVec<[(u64, usize); 8]> = entry
            .bindings()
            .enumerate()
            .filter(|(position, _)| !self.touches(*position))
            .map(|(position, binding)| (binding.numbers.freshness(save.now_s), position))
            .collect();
        oldest.sort_unstable();
        self.evicted = oldest.iter().take(excess).map(|(_, position)| *position).collect();
        if self.evicted.len() < excess { Err(Reject::TooManyContacts) } else { Ok(()) }
    }

    /// Why the binding at a position goes away, if it does.
    pub(crate) fn removal(&self, position: usize) -> Option<Removal> {
        if self.steps.iter().any(|step| step.fate == Fate::Remove(position)) {
            return Some(Removal::Asked);
        }
        self.evicted.contains(&position).then_some(Removal::Evicted)
    }

    /// Whether any binding is new.
    pub(crate) fn inserts_any(&self) -> bool {
        self.count(|fate| fate == Fate::Insert) > 0
    }

    /// Whether any binding goes away.
    pub(crate) fn removes_any(&self) -> bool {
        !self.evicted.is_empty() || self.count(|fate| matches!(fate, Fate::Remove(_))) > 0
    }

    /// How many bindings there are when it is carried out.
    pub(crate) fn remaining(&self, entry: &Entry<'_>) -> usize {
        let inserts = self.count(|fate| fate == Fate::Insert);
        let removes = self.count(|fate| matches!(fate, Fate::Remove(_))) + self.evicted.len();
        (entry.len() + inserts).saturating_sub(removes)
    }

    fn touches(&self, position: usize) -> bool {
        self.steps.iter().any(|step| match step.fate {
            Fate::Update(other) | Fate::Remove(other) | Fate::Keep(other) => other == position,
            Fate::Insert | Fate::Nothing => false,
        })
    }

    fn count(&self, which: impl Fn(Fate) -> bool) -> usize {
        self.steps.iter().filter(|step| which(step.fate)).count()
    }
}

/// RFC 3261 §10.3 step 7: CSeq orders the requests of one Call-ID only.
fn is_newer(register: &Register<'_>, stored: &Binding<'_>) -> bool {
    stored.callid != register.callid || register.cseq > stored.numbers.cseq
}

fn fate_of_stored(
    save: &Save<'_>,
    register: &Register<'_>,
    asked: &Asked<'_>,
    base_s: u32,
    position: usize,
    stored: &Binding<'_>,
) -> Result<Fate, Reject> {
    if is_newer(register, stored) {
        return Ok(if base_s == 0 { Fate::Remove(position) } else { Fate::Update(position) });
    }
    let numbers = &stored.numbers;
    let age_s = save.now_s.saturating_sub(u64::from(numbers.last_modified_s));
    let granted_s = numbers.expires_s.saturating_sub(numbers.last_modified_s);
    let is_same = register.cseq == numbers.cseq
        && base_s != 0
        && stored.contact == asked.uri
        && numbers.q == save.q_of(asked)
        && granted_s.abs_diff(base_s) <= save.policy.expires_max_deviation_s;
    if is_same && age_s <= u64::from(save.policy.cseq_delay_s) {
        Ok(Fate::Keep(position))
    } else {
        Err(Reject::InvalidCSeq)
    }
}

/// The interval that a contact gets before the random deviation; 0 removes it.
#[inline]
pub(crate) fn interval_s(save: &Save<'_>, asked: &Asked<'_>) -> Result<u32, Reject> {
    let min_s = save.flags.min_expires_s.unwrap_or(save.policy.min_expires_s);
    let is_brief = asked.expires_is_given && asked.expires_s < min_s && asked.expires_s != 0;
    if is_brief && save.policy.min_expires_mode == MinExpiresMode::Refuse {
        return Err(Reject::IntervalTooBrief(min_s));
    }
    Ok(if asked.expires_s == 0 { 0 } else { clamp(save, asked.expires_s) })
}

/// Minimum and maximum, each where it is not 0; the maximum wins over a minimum above it.
fn clamp(save: &Save<'_>, expires_s: u32) -> u32 {
    let min_s = save.flags.min_expires_s.unwrap_or(save.policy.min_expires_s);
    let raised_s = expires_s.max(min_s).max(1);
    match save.flags.max_expires_s.unwrap_or(save.policy.max_expires_s) {
        0 => raised_s,
        max_s => raised_s.min(max_s),
    }
}

/// `expires_max_deviation` (registrar 1.3.10): up to that many seconds more or less, then clamped again.
#[inline]
pub(crate) fn deviate(save: &Save<'_>, base_s: u32, number: usize) -> u32 {
    let most_s = u64::from(save.policy.expires_max_deviation_s);
    if most_s == 0 {
        return base_s;
    }
    // Each contact of a request takes other bits of the one random number.
    let random =
        save.source.random.rotate_left((number % 64) as u32).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
    let shifted_s = (u64::from(base_s) + random % (2 * most_s + 1)).saturating_sub(most_s);
    clamp(save, u32::try_from(shifted_s).unwrap_or(u32::MAX))
}

/// A contact that is not stored yet has to be a SIP URI that requests can be sent to, and not to this server: neither
/// to one of its sockets nor to a GRUU of this address of record, which would lead back to it (RFC 5627 §5.1).
#[inline]
pub(crate) fn check_uri(
    save: &Save<'_>,
    register: &Register<'_>,
    asked: &Asked<'_>,
    base_s: u32,
) -> Result<(), Reject> {
    let uri = match asked.taken.and_then(|usual| usual.of(asked.uri)) {
        Some(uri) => uri,
        None => Uri::parse(asked.uri).ok().filter(Uri::is_sip).ok_or(Reject::ContactParse)?,
    };
    let uri = &uri;
    if base_s == 0 {
        return Ok(());
    }
    // No other address begins in this way, and most contacts have one.
    let may_be_none = matches!(uri.host, [b'0' | b'2' | b'[', ..]);
    let host_ip = if may_be_none { uri.host_ip() } else { None };
    let is_no_host = host_ip.is_some_and(|address| match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_multicast() || v6.is_unspecified(),
    });
    let own_gruu = save.policy.gruu.as_deref().and_then(|gruu| gruu.read(uri, save.policy));
    let is_own_gruu = matches!(own_gruu, Some(Ok(wanted)) if wanted.aor == register.aor);
    if is_no_host || is_own_gruu || (save.source.is_own)(uri) {
        Err(Reject::ContactForbidden)
    } else {
        Ok(())
    }
}

fn candidate<'m>(register: &Register<'m>, asked: &Asked<'m>) -> Candidate<'m> {
    Candidate { contact: asked.uri, callid: register.callid, instance: asked.instance, reg_id: asked.reg_id }
}

fn as_binding<'m>(register: &Register<'m>, asked: &Asked<'m>) -> Binding<'m> {
    let mut binding = Binding {
        contact: asked.uri,
        callid: register.callid,
        instance: asked.instance,
        ..Binding::default()
    };
    binding.numbers.reg_id = asked.reg_id;
    binding
}
