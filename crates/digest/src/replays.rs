//! Which nonces were used, and how often: so that what somebody has overheard is of no use to him.
//!
//! A nonce serves one response, or, with qop, one for each nonce count (RFC 7616 section 3.4): any count above the
//! highest so far, and the few behind it that overtook each other. The entry is made by the first response that proved
//! its password and goes with the nonce's life. A table that is full forgets the older half, and from then on refuses
//! every nonce from that time: nothing is accepted twice.

use std::hash::BuildHasherDefault;

use hashbrown::HashMap;
use parking_lot::Mutex;
use siphasher::sip::SipHasher13;

use crate::limits::{NONCE_COUNT_WINDOW, REPLAY_SHARDS, RETRANSMISSION_S, USED_NONCES_PER_SHARD};
use crate::nonce::Nonce;

/// What a use of a nonce is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// The first with this nonce and count.
    First,
    /// The same request once more, within seconds: its answer was lost.
    Retransmission,
    /// It was used before, or nobody can tell any more.
    Replay,
}

/// The used nonces of a server.
pub struct Replays {
    shards: Vec<Mutex<Shard>>,
    capacity: usize,
}

#[derive(Default)]
struct Shard {
    /// By second and serial number. Both come from us alone, so the hash needs no secret.
    used: HashMap<u64, Entry, BuildHasherDefault<SipHasher13>>,
    /// Nonces of this second and before are refused: what was known about them may be forgotten.
    forgotten_until_s: u32,
}

struct Entry {
    /// The highest count, 0 without qop.
    highest: u32,
    /// Bit n: the count `highest - n` was used.
    seen: u64,
    /// What the request with the highest count was.
    request: u64,
    /// When it came.
    at_s: u64,
}

impl Default for Replays {
    fn default() -> Self {
        Replays::with_capacity(USED_NONCES_PER_SHARD)
    }
}

impl Replays {
    fn with_capacity(capacity: usize) -> Replays {
        let shards = (0..REPLAY_SHARDS).map(|_| Mutex::default()).collect();
        Replays { shards, capacity }
    }

    /// Notes a use of a nonce by a request that proved its password. `count` is none without qop; `request` stands for
    /// the bytes of the request and where they came from. Nonces live `lifetime_s`.
    #[must_use]
    pub fn note(&self, nonce: &Nonce, count: Option<u32>, request: u64, now_s: u64, lifetime_s: u64) -> Use {
        let key = u64::from(nonce.issued_s) << 32 | u64::from(nonce.serial);
        // Serial numbers follow each other.
        let place = usize::try_from(nonce.serial).unwrap_or(0) % REPLAY_SHARDS;
        let Some(shard) = self.shards.get(place) else { return Use::Replay };
        let mut shard = shard.lock();
        if let Some(entry) = shard.used.get_mut(&key) {
            return entry.again(count, request, now_s);
        }
        if nonce.issued_s <= shard.forgotten_until_s {
            return Use::Replay;
        }
        if shard.used.len() >= self.capacity {
            shard.make_room(now_s, lifetime_s, self.capacity);
            if nonce.issued_s <= shard.forgotten_until_s {
                return Use::Replay;
            }
        }
        let highest = count.unwrap_or(0);
        shard.used.insert(key, Entry { highest, seen: 1, request, at_s: now_s });
        Use::First
    }
}

impl Shard {
    /// Drops what has ended, and when that is not half of all, the older part of the rest.
    fn make_room(&mut self, now_s: u64, lifetime_s: u64, capacity: usize) {
        let issued_s = |key: &u64| key >> 32;
        self.used.retain(|key, _| issued_s(key).saturating_add(lifetime_s) >= now_s);
        let left = self.used.len();
        if left <= capacity / 2 {
            return;
        }
        let sum: u64 = self.used.keys().map(issued_s).sum();
        let middle_s = sum / u64::try_from(left).unwrap_or(1).max(1);
        self.used.retain(|key, _| issued_s(key) > middle_s);
        self.forgotten_until_s = u32::try_from(middle_s).unwrap_or(u32::MAX);
    }
}

impl Entry {
    fn again(&mut self, count: Option<u32>, request: u64, now_s: u64) -> Use {
        let count = count.unwrap_or(0);
        if count == self.highest && request == self.request && now_s <= self.at_s + RETRANSMISSION_S {
            return Use::Retransmission;
        }
        // Without qop a nonce serves once; with a count there is one for each.
        if count == 0 || self.highest == 0 {
            return Use::Replay;
        }
        if count > self.highest {
            let step = count - self.highest;
            self.seen = self.seen.checked_shl(step).unwrap_or(0) | 1;
            (self.highest, self.request, self.at_s) = (count, request, now_s);
            return Use::First;
        }
        let behind = self.highest - count;
        if behind >= NONCE_COUNT_WINDOW || self.seen & (1 << behind) != 0 {
            return Use::Replay;
        }
        self.seen |= 1 << behind;
        Use::First
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::Algorithm;
    use crate::challenge::Qops;

    fn nonce(issued_s: u32, serial: u32) -> Nonce {
        Nonce { issued_s, serial, algorithm: Algorithm::MD5, qops: Qops { auth: true, auth_int: false } }
    }

    /// Uses of one nonce: count (0 for none), request, second, and what they are.
    fn check(uses: &[(u32, u64, u64, Use)]) {
        let replays = Replays::default();
        for &(count, request, now_s, expected) in uses {
            let count = Some(count).filter(|count| *count > 0);
            let outcome = replays.note(&nonce(1000, 5), count, request, now_s, 30);
            assert_eq!(outcome, expected, "{count:?} of request {request} at {now_s}");
        }
    }

    #[test]
    fn each_count_serves_once() {
        use Use::{First, Replay};
        check(&[(1, 1, 1000, First), (2, 2, 1001, First), (2, 3, 1001, Replay), (1, 4, 1001, Replay)]);
        check(&[(9, 1, 1000, First), (7, 2, 1000, First), (7, 3, 1000, Replay), (8, 4, 1000, First)]);
        check(&[(100, 1, 1000, First), (37, 2, 1000, First), (36, 3, 1000, Replay)]);
        check(&[(1, 1, 1000, First), (u32::MAX, 2, 1000, First), (1, 3, 1000, Replay)]);
    }

    #[test]
    fn without_a_count_a_nonce_serves_once() {
        use Use::{First, Replay};
        check(&[(0, 1, 1000, First), (0, 2, 1000, Replay), (1, 3, 1000, Replay)]);
        check(&[(1, 1, 1000, First), (0, 2, 1000, Replay)]);
    }

    #[test]
    fn a_lost_answer_is_no_attack() {
        use Use::{First, Replay, Retransmission};
        check(&[(1, 1, 1000, First), (1, 1, 1005, Retransmission), (1, 1, 1006, Replay)]);
        check(&[(0, 1, 1000, First), (0, 1, 1001, Retransmission), (0, 2, 1001, Replay)]);
        check(&[(1, 1, 1000, First), (2, 2, 1001, First), (1, 1, 1001, Replay)]);
    }

    #[test]
    fn a_full_table_forgets_and_refuses_rather_than_accept_twice() {
        let replays = Replays::with_capacity(4);
        let shards = u32::try_from(REPLAY_SHARDS).unwrap();
        let mut used = Vec::new();
        for step in 0..200u32 {
            let nonce = nonce(1000 + step / 4, step * shards);
            if replays.note(&nonce, Some(1), 1, u64::from(nonce.issued_s), 30) == Use::First {
                used.push(nonce);
            }
            assert!(replays.shards.iter().all(|shard| shard.lock().used.len() <= 4));
            for old in &used {
                assert_eq!(replays.note(old, Some(1), 2, u64::from(nonce.issued_s), 30), Use::Replay);
            }
        }
        // Those of the present second are served most of the time.
        assert!(used.len() > 100, "{}", used.len());
    }

    #[test]
    fn what_has_ended_makes_room_without_harm() {
        let replays = Replays::with_capacity(4);
        for step in 0..100u32 {
            let nonce = nonce(1000 + step * 10, 0);
            let now_s = u64::from(nonce.issued_s);
            assert_eq!(replays.note(&nonce, None, 1, now_s, 10), Use::First, "{step}");
        }
    }
}
