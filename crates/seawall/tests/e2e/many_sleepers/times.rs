//! Where the time of a call to a sleeping phone goes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What happens to a call, in its order.
#[derive(Clone, Copy)]
pub enum Moment {
    /// Its INVITE was sent for the first time.
    Called,
    /// The push service got the push; the phone registers at once.
    Pushed,
    /// The phone got the 200 to its REGISTER.
    Registered,
    /// The phone got the INVITE.
    Invited,
    /// The caller got the phone's 200.
    Taken,
}

/// The ways from one moment to another one that are reported.
const STAGES: [(&str, Moment, Moment); 5] = [
    ("INVITE to push", Moment::Called, Moment::Pushed),
    ("push to 200 of REGISTER", Moment::Pushed, Moment::Registered),
    ("push to branch", Moment::Pushed, Moment::Invited),
    ("branch to 200", Moment::Invited, Moment::Taken),
    ("INVITE to 200", Moment::Called, Moment::Taken),
];

/// The moments of all calls.
pub struct Times {
    began: Instant,
    /// Microseconds since the beginning and one, by call; 0 until it happens.
    calls: Vec<[AtomicU64; 5]>,
}

impl Times {
    pub fn new(calls: usize) -> Times {
        Times { began: Instant::now(), calls: (0..calls).map(|_| Default::default()).collect() }
    }

    /// Something happens to a call. What has happened already keeps its time.
    pub fn note(&self, call: usize, moment: Moment) {
        let now_us = self.began.elapsed().as_micros() as u64 + 1;
        let place = &self.calls[call][moment as usize];
        let _ = place.compare_exchange(0, now_us, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Prints how long each stage has taken.
    pub fn print(&self) {
        println!("  {:<26}{:>9}{:>9}{:>9}{:>9}  ms", "", "p50", "p90", "p99", "most");
        for (name, from, to) in STAGES {
            let mut took_us: Vec<u64> =
                self.calls.iter().filter_map(|call| between(call, from, to)).collect();
            took_us.sort_unstable();
            let at = |percent: usize| {
                let place = (took_us.len() * percent).div_ceil(100).saturating_sub(1);
                took_us.get(place).map_or(0.0, |took_us| *took_us as f64 / 1000.0)
            };
            println!("  {name:<26}{:>9.1}{:>9.1}{:>9.1}{:>9.1}", at(50), at(90), at(99), at(100));
        }
    }
}

fn between(call: &[AtomicU64; 5], from: Moment, to: Moment) -> Option<u64> {
    let at = |moment: Moment| {
        let at_us = call[moment as usize].load(Ordering::Relaxed);
        (at_us > 0).then_some(at_us)
    };
    Some(at(to)?.saturating_sub(at(from)?))
}
