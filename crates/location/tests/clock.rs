//! A clock that is set: the table goes by the time of day, so bindings end by the new one, and none is forgotten.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::sync::Arc;

use seawall_location::{Binding, Domain, Location, Numbers, Settings};

const NOW_S: u64 = 1_800_000_000;
const DAY_S: u64 = 86_400;

fn domain() -> Arc<Domain> {
    Location::new(Settings { secret: [9; 16], shards: 4 }).declare("location").unwrap()
}

fn insert(domain: &Domain, aor: &str, now_s: u64, lives_s: u64) {
    let numbers = Numbers { expires_s: (now_s + lives_s) as u32, ..Numbers::default() };
    let binding = Binding { numbers, contact: b"sip:a@b", ..Binding::default() };
    domain.lock(aor.as_bytes(), now_s).insert(&binding, &mut ()).unwrap();
}

/// What a worker does in one second, and how many bindings are left in memory.
fn contacts(domain: &Domain, now_s: u64) -> u64 {
    for shard in 0..domain.shard_count() {
        // Some calls at most: a worker does not stand still because the clock was set.
        let calls = (0..50).take_while(|_| domain.expire(shard, now_s, 8, &mut ())).count();
        assert!(calls < 50, "shard {shard} does not come to an end");
    }
    domain.statistics().contacts
}

#[test]
fn a_clock_that_is_set_back_ends_bindings_in_their_second() {
    for back_s in [10, 3600, DAY_S, 40 * 365 * DAY_S] {
        let domain = domain();
        insert(&domain, "old", NOW_S, 60);
        assert_eq!(contacts(&domain, NOW_S), 1);
        let now_s = NOW_S - back_s;
        insert(&domain, "new", now_s, 60);
        assert_eq!(contacts(&domain, now_s), 2);
        assert_eq!(contacts(&domain, now_s + 59), 2, "set back by {back_s} s");
        assert_eq!(contacts(&domain, now_s + 60), u64::from(back_s >= 60) + u64::from(back_s == 10));
        assert_eq!(contacts(&domain, now_s + back_s + 60), 0, "set back by {back_s} s");
    }
}

#[test]
fn a_clock_that_is_set_forward_ends_what_is_over_by_it_and_nothing_else() {
    for forward_s in [100, 3600, 17 * 3600, 19 * 3600, 40 * 365 * DAY_S] {
        let domain = domain();
        for user in 0..20 {
            insert(&domain, &format!("u{user}"), NOW_S, 60);
        }
        insert(&domain, "long", NOW_S, forward_s + 1000);
        assert_eq!(contacts(&domain, NOW_S), 21);
        let now_s = NOW_S + forward_s;
        while domain.statistics().contacts > 1 {
            // Tick by tick.
            contacts(&domain, now_s);
        }
        insert(&domain, "new", now_s, 60);
        assert_eq!(contacts(&domain, now_s + 59), 2, "set forward by {forward_s} s");
        assert_eq!(contacts(&domain, now_s + 60), 1);
        assert_eq!(contacts(&domain, now_s + 1000), 0);
    }
}
