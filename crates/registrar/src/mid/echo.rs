//! Copies of a request that a main registrar serves late.
//!
//! A request without an answer is sent again. A main registrar that stood still finds all copies when it goes on, and
//! where it keeps no transactions, as the usual scripts do not, it serves each of them, in several processes and so in
//! any order. A copy of a de-REGISTER may come after a REGISTER from elsewhere and take its contact away; a copy of a
//! REGISTER may bring back what was taken away. Both have been answered long before, so nobody is told.
//!
//! - Of a de-REGISTER that was repeated, or whose answer was lost, an [`Echo`] is kept for as long as copies may live.
//!   Whoever is registered for the same contact meanwhile is registered once more at once, under the Call-ID and CSeq
//!   number of that de-REGISTER: a copy of it does not have a higher one then, and must be refused (RFC 3261 §10.3 step
//!   7). Where that is no protection the contact is registered again a few times, and once when no copy can be left.
//! - A registration knows when a REGISTER for it was repeated. A de-REGISTER that is accepted while copies of that may
//!   live is followed by others.
//!
//! A main registrar that is silent keeps copies for as long as it is silent: their time counts from its return.

use std::collections::VecDeque;

use super::Mid;
use super::limits::{ECHO_LONGEST_S, ECHO_S, ECHOES_PER_SHARD};
use super::pending::Pending;
use super::registration::{Registration, State, WHOLE_AOR};
use super::upstream::Shard;
use crate::request::Register;

/// The shortest pause in seconds between two renewals that make up for what copies may have done.
const LEAST_PAUSE_S: u32 = 2;

/// A de-REGISTER of which copies may be on their way.
#[derive(Clone, Debug)]
pub(super) struct Echo {
    /// The address of record.
    pub(super) hash: u64,
    /// The registration that it takes away; `None` for all of the address of record.
    pub(super) key: Option<u64>,
    /// Its Call-ID; `None` when it is ours, whose numbers rise by themselves.
    pub(super) callid: Option<Box<[u8]>>,
    /// Its CSeq number.
    pub(super) cseq: u32,
    /// Unix second in which the last copy was sent at the latest.
    pub(super) since_s: u32,
}

/// The echoes of one shard, oldest first.
#[derive(Default)]
pub(super) struct Echoes(VecDeque<Echo>);

impl Echoes {
    /// Remembers that copies may be on their way.
    pub(super) fn note(&mut self, echo: Echo) {
        let is_same = |old: &Echo| old.hash == echo.hash && old.key == echo.key && old.callid == echo.callid;
        let cseq = match self.0.iter().position(is_same).and_then(|at| self.0.remove(at)) {
            Some(old) => old.cseq.max(echo.cseq),
            None => echo.cseq,
        };
        let is_old = |old: &Echo| old.since_s.saturating_add(ECHO_LONGEST_S) < echo.since_s;
        while self.0.front().is_some_and(is_old) || self.0.len() >= ECHOES_PER_SHARD {
            self.0.pop_front();
        }
        self.0.push_back(Echo { cseq, ..echo });
    }

    /// The last de-REGISTER of which copies may take a registration away, and until when.
    fn find(&self, hash: u64, key: u64, now_s: u32, returned_s: u32) -> Option<(&Echo, u32)> {
        let newest_first = self.0.iter().rev();
        let mut meant =
            newest_first.filter(|echo| echo.hash == hash && echo.key.is_none_or(|meant| meant == key));
        meant.find_map(|echo| ends_s(echo.since_s, now_s, returned_s).map(|ends_s| (echo, ends_s)))
    }
}

/// Until when copies of what was sent at `since_s` may live, if they may at `now_s`. The main registrar has returned from
/// its last silence at `returned_s`.
pub(super) fn ends_s(since_s: u32, now_s: u32, returned_s: u32) -> Option<u32> {
    let counts_s = if returned_s > since_s && since_s != 0 { returned_s } else { since_s };
    let ends_s = counts_s.saturating_add(ECHO_S);
    (since_s != 0 && ends_s > now_s).then_some(ends_s)
}

impl Mid<'_> {
    /// Copies of a de-REGISTER that ends now may be on their way.
    pub(super) fn may_echo(
        &self,
        shard: &mut Shard,
        hash: u64,
        key: Option<u64>,
        callid: Option<&[u8]>,
        cseq: u32,
    ) {
        shard.echoes.note(Echo { hash, key, callid: callid.map(Box::from), cseq, since_s: self.second() });
    }

    /// Copies of a request that takes contacts away may be on their way.
    pub(super) fn note_echoes(&self, shard: &mut Shard, register: &Register<'_>, pending: &Pending) {
        let flight = pending.flight();
        let removed = flight.keys.iter().filter(|touch| touch.removes).map(|touch| Some(touch.key));
        for key in removed.chain(flight.all.then_some(None)) {
            self.may_echo(shard, pending.hash, key, Some(register.callid), register.cseq);
        }
    }

    /// Whether a copy of a REGISTER may bring back what was taken away. What is left of it then is the time for which the
    /// main registrar may hold it.
    pub(super) fn may_come_back(&self, known: &mut Registration) -> bool {
        let comes_back = known.throttled && self.echoes_until_s(known.late_s).is_some();
        if comes_back {
            known.rely_until(self.second());
            known.possible_s = known.possible_s.max(self.second().saturating_add(known.asked_s));
        }
        comes_back
    }

    /// Until when copies of the REGISTERs for a registration may live; `None` when none do.
    pub(super) fn echoes_until_s(&self, late_s: u32) -> Option<u32> {
        ends_s(late_s, self.second(), self.upstream.returned_s())
    }

    /// The Call-ID and CSeq number that protect a registration from the copies of a de-REGISTER; `None` where there are
    /// no such copies, where numbers of ours do, and where these are of no use: the registration has them, or its client
    /// goes on counting there and would be refused.
    pub(super) fn protection(
        &self,
        shard: &Shard,
        hash: u64,
        aor: &[u8],
        key: u64,
    ) -> Option<(Box<[u8]>, u32)> {
        let (echo, _) = shard.echoes.find(hash, key, self.second(), self.upstream.returned_s())?;
        let callid = echo.callid.as_deref()?;
        let held = shard.account(hash, aor)?.registration(key)?;
        let is_free = held.texts.callid() != callid && !self.counts_under(aor, key, callid);
        is_free.then(|| (callid.into(), echo.cseq))
    }

    /// Whether a client of a registration counts under this Call-ID.
    fn counts_under(&self, aor: &[u8], key: u64, callid: &[u8]) -> bool {
        let entry = self.domain.lock(aor, self.now_s);
        let mut meant =
            entry.valid().filter(|(_, binding)| key == WHOLE_AOR || binding.numbers.contact_id == key);
        meant.any(|(_, binding)| binding.callid == callid)
    }

    /// A registration was accepted under this Call-ID and CSeq number (`None` is one of ours): sees to it that no copy of
    /// a de-REGISTER before it takes it away for long.
    pub(super) fn protect(
        &self,
        shard: &mut Shard,
        hash: u64,
        aor: &[u8],
        key: u64,
        (callid, cseq): (Option<&[u8]>, u32),
    ) {
        let now_s = self.second();
        let found = shard.echoes.find(hash, key, now_s, self.upstream.returned_s());
        let Some((echo, ends_s)) = found else { return };
        let Some(held) = shard.account(hash, aor).and_then(|account| account.registration(key)) else {
            return;
        };
        let is_its_own = echo.callid.as_deref() == callid;
        // A registrar may carry out a `*` without a look at the numbers, and a copy of an older REGISTER may put its
        // Call-ID in the place of the one that protects.
        let lasts = echo.key.is_some() && self.echoes_until_s(held.late_s).is_none();
        if is_its_own && cseq >= echo.cseq && lasts {
            return;
        }
        let is_of_use = |callid: &[u8]| !self.counts_under(aor, key, callid);
        let due_s = if !is_its_own && echo.callid.as_deref().is_none_or(is_of_use) {
            now_s
        } else {
            // Again and again, ever more rarely, and once more when no copy can be left.
            ends_s.min(now_s + (ECHO_S + now_s).saturating_sub(ends_s).max(LEAST_PAUSE_S))
        };
        let is_renewed =
            |held: &Registration| held.state == State::Renewing && (1..=due_s).contains(&held.due_s);
        // What nobody wants is being taken away.
        if held.state != State::Leaving && !is_renewed(held) {
            self.renew(shard, hash, aor, key, due_s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(key: Option<u64>, cseq: u32, since_s: u32) -> Echo {
        Echo { hash: 1, key, callid: Some(Box::from(*b"a")), cseq, since_s }
    }

    #[test]
    fn copies_live_as_long_as_a_transaction_and_through_a_silence() {
        let check = |since_s, now_s, returned_s, expected| {
            assert_eq!(ends_s(since_s, now_s, returned_s), expected);
        };
        check(100, 100, 0, Some(132));
        check(100, 131, 50, Some(132));
        check(100, 132, 50, None);
        check(100, 700, 690, Some(722));
        check(100, 722, 690, None);
        // It was never sent.
        check(0, 5, 2, None);
    }

    #[test]
    fn the_last_one_about_a_registration_counts() {
        let mut echoes = Echoes::default();
        echoes.note(echo(Some(7), 3, 100));
        echoes.note(echo(Some(8), 9, 101));
        echoes.note(echo(Some(7), 2, 102));
        let found = |key, now_s| echoes.find(1, key, now_s, 0).map(|(echo, ends_s)| (echo.cseq, ends_s));
        assert_eq!((found(7, 110), found(8, 110), found(9, 110)), (Some((3, 134)), Some((9, 133)), None));
        assert_eq!(found(8, 133), None);
        echoes.note(echo(None, 5, 110));
        assert_eq!(echoes.find(1, 9, 111, 0).unwrap().0.cseq, 5);
        assert!(echoes.find(2, 9, 111, 0).is_none());
    }

    #[test]
    fn there_are_never_more_than_the_limit_and_none_from_long_ago() {
        let mut echoes = Echoes::default();
        (0..1000).for_each(|key| echoes.note(echo(Some(key), 1, 100)));
        assert_eq!(echoes.0.len(), ECHOES_PER_SHARD);
        echoes.note(echo(Some(1), 1, 101 + ECHO_LONGEST_S));
        assert_eq!(echoes.0.len(), 1);
    }
}
