//! One registration at a main registrar, as plain data.

use std::sync::Arc;

use super::limits::{EARLY_PART, EARLY_PART_NEW, MARGIN_PART, MARGIN_S};
use super::upstream::Main;
use crate::familiar::Fingerprint;

/// `key` of the one registration of an address of record in AoR mode.
pub(super) const WHOLE_AOR: u64 = 0;

/// How a registration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Held by the main registrar.
    Live,
    /// Not wanted any more: a de-REGISTER is due or on its way.
    Leaving,
    /// Held as far as is known, and a REGISTER of our own is due or on its way to make sure.
    Renewing,
}

/// What a main registrar holds for us.
#[derive(Clone, Debug)]
pub(super) struct Registration {
    /// The contact id, or [`WHOLE_AOR`].
    pub(super) key: u64,
    /// The flow whose REGISTER was accepted, as a keyed hash.
    pub(super) flow: u64,
    /// The ticket of the request of our own that is due or on its way; 0 for none.
    pub(super) ticket: u64,
    /// Unix second at which the main registrar forgets it.
    pub(super) deadline_s: u32,
    /// Unix second until which it may hold it after all, where that is later: the answer to a REGISTER was lost.
    pub(super) possible_s: u32,
    /// Unix second until which it is held for certain: the main registrar counts from when it served the REGISTER, and
    /// that may have been as soon as it was sent.
    pub(super) sure_s: u32,
    /// The last Unix second that a local binding may end in without asking the main registrar again.
    pub(super) limit_s: u32,
    /// Unix second of the 2xx.
    pub(super) accepted_s: u32,
    /// Unix second of the last REGISTER for it that was repeated or not answered, so that copies may live; 0 for none.
    pub(super) late_s: u32,
    /// CSeq number of the REGISTER that was accepted.
    pub(super) cseq: u32,
    /// The interval that it asked for.
    pub(super) asked_s: u32,
    /// When the request of our own is due; meaningless without a ticket.
    pub(super) due_s: u32,
    /// How often it was tried.
    pub(super) attempt: u8,
    pub(super) state: State,
    /// Whether it is taken away from the main registrar when it ends here: not in mirror mode, where both end together.
    pub(super) throttled: bool,
    pub(super) main: Arc<Main>,
    pub(super) texts: Texts,
    /// What the REGISTER that was accepted said, if one that says the same can go on with the same Contact value.
    pub(super) said: Option<Said>,
}

/// What a REGISTER said in brief, and where it was sent from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) fingerprint: Fingerprint,
    /// [`Place::mark`](super::Place::mark) of where the main registrar reaches us by the Contact value.
    pub(super) place: u64,
}

/// What a main registrar has granted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grant {
    pub(super) now_s: u32,
    /// Unix second in which it was asked for first.
    pub(super) departed_s: u32,
    pub(super) granted_s: u32,
    /// Unix second in which the last binding here ends that relies on it.
    pub(super) last_s: u32,
    /// Whether it was not held before.
    pub(super) is_new: bool,
    /// Whether what the client was told besides is kept; else whoever asks again has to be told all of it.
    pub(super) is_kept: bool,
    pub(super) random: u64,
}

/// The byte strings of a registration in one allocation.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts {
    bytes: Box<[u8]>,
    callid_at: u32,
    to_at: u32,
    passed_at: u32,
}

impl Texts {
    pub(super) fn new(contact: &[u8], callid: &[u8], to: &[u8], passed: &[u8]) -> Texts {
        Texts {
            bytes: [contact, callid, to, passed].concat().into_boxed_slice(),
            callid_at: contact.len() as u32,
            to_at: (contact.len() + callid.len()) as u32,
            passed_at: (contact.len() + callid.len() + to.len()) as u32,
        }
    }

    /// These texts, in the allocation of `old` if it says the same.
    pub(super) fn again(old: Option<Texts>, [contact, callid, to, passed]: [&[u8]; 4]) -> Texts {
        let is_same = |old: &Texts| {
            [old.contact(), old.callid(), old.to(), old.passed()] == [contact, callid, to, passed]
        };
        old.filter(is_same).unwrap_or_else(|| Texts::new(contact, callid, to, passed))
    }

    /// The Contact value as the main registrar got it, without `expires`.
    pub(super) fn contact(&self) -> &[u8] {
        self.bytes.get(..self.callid_at as usize).unwrap_or_default()
    }

    /// The Call-ID of the REGISTER that was accepted.
    pub(super) fn callid(&self) -> &[u8] {
        self.bytes.get(self.callid_at as usize..self.to_at as usize).unwrap_or_default()
    }

    /// The URI of its To.
    pub(super) fn to(&self) -> &[u8] {
        self.bytes.get(self.to_at as usize..self.passed_at as usize).unwrap_or_default()
    }

    /// The header lines of the 2xx that an answer given here repeats.
    pub(super) fn passed(&self) -> &[u8] {
        self.bytes.get(self.passed_at as usize..).unwrap_or_default()
    }
}

impl Registration {
    /// The times of a registration that was granted.
    pub(super) fn grant(&mut self, grant: &Grant) {
        let Grant { now_s, departed_s, granted_s, last_s, is_new, is_kept, random } = *grant;
        let local_s = last_s.saturating_sub(now_s);
        self.deadline_s = now_s.saturating_add(granted_s);
        self.possible_s = self.deadline_s;
        self.sure_s = departed_s.saturating_add(granted_s);
        self.limit_s = if is_kept { limit_s(departed_s, granted_s, local_s, is_new, random) } else { now_s };
        self.accepted_s = now_s;
    }

    /// Whether the main registrar must have forgotten it by itself.
    pub(super) fn is_over(&self, now_s: u32) -> bool {
        self.deadline_s.max(self.possible_s) <= now_s
    }

    /// The main registrar may have served a REGISTER with this number: a de-REGISTER counts on from there.
    pub(super) fn count_cseq(&mut self, callid: &[u8], cseq: u32) {
        if self.texts.callid() == callid {
            self.cseq = self.cseq.max(cseq);
        }
    }

    /// The main registrar may hold it for no longer than this Unix second after all, and perhaps not at all by then.
    pub(super) fn rely_until(&mut self, until_s: u32) {
        self.sure_s = self.sure_s.min(until_s);
        self.limit_s = self.limit_s.min(until_s.saturating_sub(1));
    }

    /// The last Unix second that a local binding may end in while the main registrar holds it for certain. Where it is asked
    /// each time, because its answer could not be kept or has not come, there is no time but `limit_s`.
    pub(super) fn longest_s(&self) -> u32 {
        let is_asked_each_time = self.limit_s <= self.accepted_s.max(self.late_s);
        if is_asked_each_time { self.limit_s } else { self.limit_s.max(self.sure_s.saturating_sub(1)) }
    }

    /// Whether the main registrar holds it at `now_s`, as far as is known.
    pub(super) fn is_held(&self, now_s: u32) -> bool {
        self.state != State::Leaving && self.deadline_s > now_s
    }
}

/// The last Unix second that a local binding may end in without asking the main registrar again: the deadline less a
/// margin, less a random time so that registrations which came together do not stay together (behaviour §7, "Absorb").
///
/// `from_s` is when the REGISTER was sent: an answer that took long makes the main registrar forget no later.
/// `granted_s` is what the main registrar gave, `local_s` the longest interval that a client has of it.
pub(super) fn limit_s(from_s: u32, granted_s: u32, local_s: u32, is_new: bool, random: u64) -> u32 {
    let margin_s = (granted_s / MARGIN_PART).clamp(1, MARGIN_S);
    let room_s = granted_s.saturating_sub(margin_s).saturating_sub(local_s);
    let most_s = if is_new {
        room_s.saturating_sub(local_s).max(room_s / EARLY_PART_NEW)
    } else {
        room_s / EARLY_PART
    };
    let most_s = u64::from(most_s);
    let early_s = (random >> 8) % (most_s + 1);
    from_s.saturating_add(granted_s).saturating_sub(margin_s).saturating_sub(early_s as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_is_small_beside_what_was_granted_and_the_rest_is_spread() {
        let range = |granted_s, local_s, is_new| {
            let all = (0..20_000u64).map(|random| limit_s(0, granted_s, local_s, is_new, random << 8));
            (all.clone().min().unwrap(), all.max().unwrap())
        };
        assert_eq!(range(3600, 60, false), (3590 - 3530 / 8, 3590));
        assert_eq!(range(3600, 60, true), (120, 3590));
        assert_eq!(range(100, 40, true), (97 - 57 / 2, 97));
        assert_eq!(range(120, 2, false), (117 - 115 / 8, 117));
        // What the client has for itself is as long: nothing can be absorbed, and nothing is spread.
        assert_eq!(range(60, 60, true), (59, 59));
        assert_eq!(range(1, 1, true), (0, 0));
    }

    #[test]
    fn texts_are_given_back_as_they_were() {
        let texts =
            Texts::new(b"<sip:a@h>", b"call", b"sip:alice@example.com", b"Service-Route: <sip:r>\r\n");
        assert_eq!(texts.contact(), b"<sip:a@h>");
        assert_eq!(texts.callid(), b"call");
        assert_eq!(texts.to(), b"sip:alice@example.com");
        assert_eq!(texts.passed(), b"Service-Route: <sip:r>\r\n");
        let same: [&[u8]; 4] = [texts.contact(), texts.callid(), texts.to(), texts.passed()];
        let place = texts.bytes.as_ptr();
        assert_eq!(Texts::again(Some(texts.clone()), same).bytes, texts.bytes);
        let [contact, callid, to, passed] = same.map(<[u8]>::to_vec);
        let again = Texts::again(Some(texts), [&contact, &callid, &to, &passed]);
        assert_eq!(again.bytes.as_ptr(), place);
        // The same bytes, another border.
        let moved = Texts::again(Some(again), [&contact, b"cal", b"lsip:alice@example.com", &passed]);
        assert_eq!((moved.callid(), moved.to()), (&b"cal"[..], &b"lsip:alice@example.com"[..]));
        assert_eq!(Texts::again(None, [b"a", b"b", b"", b""]).callid(), b"b");
    }
}
