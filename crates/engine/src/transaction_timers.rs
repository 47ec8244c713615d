//! The timers of a worker's transaction shards.

use parking_lot::Mutex;
use seawall_transaction::{Effects, Layer, Target};

use crate::limits::RESTS_PER_TURN;

/// Where a worker stands with the transactions of its shards that only rest. Those end by the thousand, and nobody waits for
/// it: a turn of the worker forgets a few, and the requests that have come meanwhile do not wait for the others.
#[derive(Debug, Default)]
pub(crate) struct TransactionTimers {
    /// The shard that the next turn begins with.
    first: usize,
    /// Whether the last turn may have left some for the next one.
    pub(crate) has_left: bool,
}

impl TransactionTimers {
    /// Lets the timers run that are due, and forgets [`RESTS_PER_TURN`] of those that have rested for long enough at most. Whether
    /// there are transactions with short timers.
    pub(crate) fn run<'a, U: Clone + 'a, T: Target + 'a>(
        &mut self,
        shards: impl Iterator<Item = &'a Mutex<Layer<U, T>>> + Clone,
        now_ms: u64,
        effects: &mut Effects<U, T>,
    ) -> bool {
        let mut is_busy = false;
        let mut left = RESTS_PER_TURN;
        // Each turn begins where the last one has stopped, so that no shard waits for the others for ever.
        let (first, shards) = (self.first, shards.enumerate());
        for (place, shard) in shards.clone().skip(first).chain(shards.take(first)) {
            let mut layer = shard.lock();
            if layer.poll_timeout().is_some_and(|due_ms| due_ms <= now_ms) {
                layer.run_timers(now_ms, effects);
                let ended = layer.end_rests(now_ms, left);
                left -= ended;
                if left == 0 && ended > 0 {
                    self.first = place;
                }
            }
            // The end of one that only waits for repetitions may come a little late.
            is_busy |= !layer.is_resting();
        }
        self.has_left = left == 0;
        is_busy
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use seawall_sip::Message;
    use seawall_transaction::{Keys, Request, Timers};

    use super::*;

    const SHARDS: u16 = 4;

    #[derive(Clone, Copy)]
    struct Nowhere;

    impl Target for Nowhere {
        fn is_reliable(&self) -> bool {
            false
        }
    }

    /// Shards with so many transactions that rest from the second 0 on.
    fn resting(count: usize) -> Vec<Mutex<Layer<(), Nowhere>>> {
        let keys = Keys::new([1; 16]);
        let shards: Vec<_> =
            (0..SHARDS).map(|shard| Mutex::new(Layer::new(shard, keys, Timers::tm()))).collect();
        let mut effects = Effects::new();
        for number in 0..count {
            let text = format!(
                "MESSAGE sip:b@c SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK{number}\r\nFrom: <sip:a@c>;tag=1\r\n\
                 To: <sip:b@c>\r\nCall-ID: {number}\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n"
            );
            let message = Message::parse(text.into_bytes()).unwrap();
            let key = keys.server_key(&message).unwrap();
            let request = Arc::new(Request { message, reply_to: Nowhere, via_fix: None });
            let mut layer = shards[usize::from(key.shard(SHARDS))].lock();
            let id = layer.create(0, &key, request, (), &mut effects).unwrap();
            layer.reply(0, id, 200, b"SIP/2.0 200 OK\r\n\r\n".to_vec(), &mut effects).unwrap();
            layer.finish(0, id, &mut effects);
        }
        shards
    }

    fn count(shards: &[Mutex<Layer<(), Nowhere>>]) -> Vec<usize> {
        shards.iter().map(|shard| shard.lock().len()).collect()
    }

    #[test]
    fn no_turn_ends_more_than_its_bound_and_all_shards_have_their_turn() {
        let all = 3 * RESTS_PER_TURN + 17;
        let shards = resting(all);
        let mut timers = TransactionTimers::default();
        let mut left = all;
        let mut turns = 0;
        while left > 0 {
            assert!(!timers.run(shards.iter(), 6_000, &mut Effects::new()), "nothing but rests");
            let now: usize = count(&shards).iter().sum();
            assert_eq!(left - now, left.min(RESTS_PER_TURN));
            assert_eq!(timers.has_left, left >= RESTS_PER_TURN, "{left}");
            left = now;
            turns += 1;
        }
        assert_eq!(turns, 4);
    }

    #[test]
    fn a_turn_goes_on_with_the_shard_where_the_last_one_has_stopped() {
        let shards = resting(4 * RESTS_PER_TURN);
        let mut timers = TransactionTimers::default();
        timers.run(shards.iter(), 6_000, &mut Effects::new());
        let before = count(&shards);
        let stopped = timers.first;
        // What comes to an end in the first shard meanwhile does not keep the others waiting.
        timers.run(shards.iter(), 6_000, &mut Effects::new());
        assert!(count(&shards)[stopped] < before[stopped]);
        assert_ne!(timers.first, stopped);
    }

    #[test]
    fn what_does_not_rest_is_looked_at_whatever_else_ends() {
        let shards = resting(2 * RESTS_PER_TURN);
        let keys = Keys::new([1; 16]);
        let text = "MESSAGE sip:b@c SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKlast\r\nCall-ID: 1\r\nCSeq: 1 MESSAGE\r\n\r\n";
        let message = Message::parse(text.as_bytes().to_vec()).unwrap();
        let key = keys.server_key(&message).unwrap();
        let request = Arc::new(Request { message, reply_to: Nowhere, via_fix: None });
        let mut effects = Effects::new();
        shards[0].lock().create(5_000, &key, request, (), &mut effects).unwrap();
        assert!(TransactionTimers::default().run(shards.iter(), 6_000, &mut effects));
    }
}
