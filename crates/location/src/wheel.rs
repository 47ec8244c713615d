//! The expiry wheel of one shard: which addresses of record have to be looked at in which second.
//!
//! Three levels of slots (1 s, 64 s and 4096 s wide). An entry is 8 bytes: the hash of the address of record and the
//! low bits of its due second. Entries are never searched or moved when a binding is refreshed: they fall due at
//! the old time, the record shows that it lives on, and a new entry is made. So a refresh costs the wheel nothing.
//! Each wheel has a phase of its own: where one level is moved to the next, which touches many entries at once, comes at
//! another second in every shard, so that a large table does not stand still when an hour is full.
//! What it does NOT do: decide what has expired. The record decides; an entry only says "look now".

use crate::identity::AorHash;

const SLOTS: u32 = 64;
const TOP_SLOTS: u32 = 16;
const LEVEL_1_S: u32 = SLOTS;
const LEVEL_2_S: u32 = SLOTS * SLOTS;
const SLOT_BITS: u32 = SLOTS.trailing_zeros();
/// Entries further away than this fall due early (and are then made anew): a wheel turns once in 18 hours.
const HORIZON_S: u32 = LEVEL_2_S * TOP_SLOTS;
/// A clock that is set back by no more than this is waited for.
const BACK_S: u32 = 5;
const DUE_BITS: u32 = 24;
const DUE_MASK: u32 = (1 << DUE_BITS) - 1;

/// One entry of the wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due(u64);

impl Due {
    fn new(aor: AorHash, due_s: u32) -> Due {
        Due(aor.bits() << DUE_BITS | u64::from(due_s & DUE_MASK))
    }

    pub(crate) fn aor(self) -> AorHash {
        AorHash::from_bits(self.0 >> DUE_BITS)
    }

    /// Whether this is the entry that was made for this record and `armed_s`. All others of that record are stale.
    pub(crate) fn is_for(self, aor: AorHash, armed_s: u32) -> bool {
        self == Due::new(aor, armed_s)
    }

    fn low_bits(self) -> u32 {
        self.0 as u32 & DUE_MASK
    }
}

/// The wheel. Time is unix seconds in 32 bits.
#[derive(Default)]
pub(crate) struct Wheel {
    /// How far ahead of the clock its levels are moved, below [`LEVEL_2_S`].
    phase_s: u32,
    current_s: u32,
    len: usize,
    seconds: Vec<Vec<Due>>,
    minutes: Vec<Vec<Due>>,
    hours: Vec<Vec<Due>>,
}

impl Wheel {
    /// An empty wheel; `number` tells it from those of the other shards.
    pub(crate) fn new(number: u32) -> Wheel {
        let slots = |count: u32| (0..count).map(|_| Vec::new()).collect();
        Wheel {
            // The golden ratio: the phases of any number of shards are spread evenly.
            phase_s: number.wrapping_mul(0x9E37_79B9) >> (u32::BITS - LEVEL_2_S.trailing_zeros()),
            current_s: 0,
            len: 0,
            seconds: slots(SLOTS),
            minutes: slots(SLOTS),
            hours: slots(TOP_SLOTS),
        }
    }

    /// A second as the levels count it. It wraps where a full turn of the wheel ends, so slots stay the same.
    fn turned_s(&self, second: u32) -> u32 {
        second.wrapping_add(self.phase_s)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Enters `aor` to fall due at `due_s`, or at the horizon when that comes first. Gives back the second it was
    /// entered for, which the record keeps as its `armed_s`.
    pub(crate) fn arm(&mut self, aor: AorHash, due_s: u32, now_s: u32) -> u32 {
        if self.len == 0 {
            self.current_s = now_s;
        }
        let latest_s = self.current_s.saturating_add(HORIZON_S - 1);
        let armed_s = due_s.clamp(self.current_s, latest_s);
        self.place(Due::new(aor, armed_s));
        self.len += 1;
        armed_s
    }

    /// The next entry that is due at `now_s`, walking over at most `steps` seconds of which none is.
    pub(crate) fn pop(&mut self, now_s: u32, steps: &mut usize) -> Option<Due> {
        while self.len > 0 && self.current_s <= now_s {
            let place = self.turned_s(self.current_s) % SLOTS;
            let slot = self.seconds.get_mut(place as usize)?;
            if let Some(due) = slot.pop() {
                self.len -= 1;
                return Some(due);
            }
            if self.current_s == now_s || *steps == 0 {
                return None;
            }
            // An emptied slot gives its memory back when it had grown large.
            if slot.capacity() > 64 {
                *slot = Vec::new();
            }
            *steps -= 1;
            self.current_s += 1;
            self.cascade();
        }
        None
    }

    /// Whether [`Wheel::pop`] has caught up with `now_s`.
    pub(crate) fn is_caught_up(&self, now_s: u32) -> bool {
        let here = self.seconds.get((self.turned_s(self.current_s) % SLOTS) as usize);
        self.len == 0 || self.current_s > now_s || self.current_s == now_s && here.is_none_or(Vec::is_empty)
    }

    /// Whether the clock was set so far that entries would come much too late, or only after a walk over days: then the
    /// wheel has to be filled anew.
    pub(crate) fn is_lost(&self, now_s: u32) -> bool {
        self.len > 0
            && (self.current_s > now_s.saturating_add(BACK_S)
                || now_s.saturating_sub(self.current_s) > HORIZON_S)
    }

    /// Forgets all entries.
    pub(crate) fn clear(&mut self) {
        for slot in self.seconds.iter_mut().chain(&mut self.minutes).chain(&mut self.hours) {
            *slot = Vec::new();
        }
        self.len = 0;
    }

    fn cascade(&mut self) {
        let turned_s = self.turned_s(self.current_s);
        if !turned_s.is_multiple_of(LEVEL_1_S) {
            return;
        }
        if turned_s.is_multiple_of(LEVEL_2_S) {
            let slot = (turned_s / LEVEL_2_S % TOP_SLOTS) as usize;
            self.place_all(|wheel| wheel.hours.get_mut(slot).map(std::mem::take));
        }
        let slot = (turned_s / LEVEL_1_S % SLOTS) as usize;
        self.place_all(|wheel| wheel.minutes.get_mut(slot).map(std::mem::take));
    }

    fn place_all(&mut self, take: impl FnOnce(&mut Wheel) -> Option<Vec<Due>>) {
        for due in take(self).unwrap_or_default() {
            self.place(due);
        }
    }

    fn place(&mut self, due: Due) {
        // Both are low bits of seconds less than a horizon apart, so their difference is the true one.
        let delta_s = due.low_bits().wrapping_sub(self.current_s) & DUE_MASK;
        let due_s = self.turned_s(self.current_s.wrapping_add(delta_s));
        let slot = match delta_s {
            0..LEVEL_1_S => self.seconds.get_mut((due_s % SLOTS) as usize),
            LEVEL_1_S..LEVEL_2_S => self.minutes.get_mut((due_s >> SLOT_BITS) as usize % SLOTS as usize),
            _ => self.hours.get_mut((due_s / LEVEL_2_S % TOP_SLOTS) as usize),
        };
        if let Some(slot) = slot {
            slot.push(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Arms each (now, due) in turn, walks the clock second by second, and gives the second each one came back in.
    fn fire(number: u32, armed: &[(u32, u32)], until_s: u32) -> Vec<Option<u32>> {
        let mut wheel = Wheel::new(number);
        let mut fired = vec![None; armed.len()];
        let mut armed_s = vec![0; armed.len()];
        let mut next = 0;
        for now_s in armed.first().map_or(0, |first| first.0)..=until_s {
            while next < armed.len() && armed[next].0 == now_s {
                armed_s[next] = wheel.arm(AorHash::from_bits(next as u64), armed[next].1, now_s);
                next += 1;
            }
            let mut steps = usize::MAX;
            while let Some(due) = wheel.pop(now_s, &mut steps) {
                let number = due.aor().bits() as usize;
                assert!(due.is_for(AorHash::from_bits(number as u64), armed_s[number]));
                assert_eq!(fired[number].replace(now_s), None, "came twice");
            }
            assert!(wheel.is_caught_up(now_s));
        }
        assert_eq!(wheel.len(), fired.iter().filter(|at| at.is_none()).count());
        fired
    }

    #[test]
    fn entries_fall_due_in_their_second_on_every_level() {
        let now = 1_800_000_000;
        let dues = [0, 1, 63, 64, 65, 127, 128, 4095, 4096, 4097, 8191, 8192, 20_000, 65_535];
        let armed: Vec<_> = dues.iter().map(|delta| (now, now + delta)).collect();
        let expected: Vec<_> = armed.iter().map(|(_, due)| Some(*due)).collect();
        for number in 0..20 {
            assert_eq!(fire(number, &armed, now + 70_000), expected);
        }
    }

    #[test]
    fn an_entry_beyond_the_horizon_falls_due_at_the_horizon() {
        assert_eq!(fire(3, &[(10, 10_000_000)], 80_000), [Some(10 + HORIZON_S - 1)]);
    }

    #[test]
    fn an_entry_for_the_past_falls_due_at_once() {
        assert_eq!(fire(4, &[(1000, 10)], 1000), [Some(1000)]);
    }

    #[test]
    fn a_jump_of_the_clock_is_walked_in_bounded_steps() {
        let mut wheel = Wheel::new(7);
        wheel.arm(AorHash::from_bits(1), 5000, 0);
        let mut rounds = 0;
        loop {
            let mut steps = 100;
            rounds += 1;
            if wheel.pop(1_800_000_000, &mut steps).is_some() {
                break;
            }
        }
        assert_eq!(rounds, 50);
        assert_eq!(wheel.len(), 0);
        assert!(wheel.is_caught_up(1_800_000_000));
    }

    #[test]
    fn a_clock_that_goes_back_delays_but_loses_nothing() {
        let mut wheel = Wheel::new(7);
        wheel.arm(AorHash::from_bits(1), 2000, 1000);
        let mut steps = usize::MAX;
        assert_eq!(wheel.pop(1500, &mut steps), None);
        wheel.arm(AorHash::from_bits(2), 600, 500);
        assert_eq!(wheel.pop(700, &mut steps), None);
        assert_eq!(wheel.pop(1500, &mut steps).map(|due| due.aor().bits()), Some(2));
        assert_eq!(wheel.pop(2000, &mut steps).map(|due| due.aor().bits()), Some(1));
    }

    #[test]
    fn few_wheels_are_moved_in_the_same_second() {
        let mut moved = [0_u32; LEVEL_1_S as usize];
        for number in 0..512 {
            moved[(Wheel::new(number).phase_s % LEVEL_1_S) as usize] += 1;
        }
        assert!(moved.iter().all(|wheels| (4..=14).contains(wheels)), "{moved:?}");
    }

    proptest! {
        #[test]
        fn no_entry_is_lost_or_early(number: u32, start in 0u32..u32::MAX / 2, dues in prop::collection::vec((0u32..3, 0u32..9000), 1..60)) {
            let mut now = start;
            let armed: Vec<_> = dues.iter().map(|(step, delta)| { now += step; (now, now + delta) }).collect();
            let expected: Vec<_> = armed.iter().map(|(_, due)| Some(*due)).collect();
            prop_assert_eq!(fire(number, &armed, now + 9001), expected);
        }
    }
}
