//! The order in which the bindings of an address of record are listed and called.

use smallvec::SmallVec;

use crate::binding::{Binding, Q_NONE};

/// How bindings are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Highest q first, ties in the order of arrival.
    #[default]
    Preference,
    /// Most recently registered or refreshed first (`desc_time_order`).
    NewestFirst,
    /// Lowest ping latency first, those that were never pinged last; ties by q (`sort-by-latency`).
    FastestFirst,
}

/// The positions of `bindings` (as [`Entry::valid`](crate::Entry::valid) gives them) in `order`, at a time in Unix seconds.
pub fn ordered<'a>(
    bindings: impl Iterator<Item = (usize, Binding<'a>)>,
    order: Order,
    now_s: u64,
) -> SmallVec<[usize; 8]> {
    let mut keyed: SmallVec<[(u64, usize); 8]> =
        bindings.map(|(position, binding)| (rank(&binding, position, order, now_s), position)).collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, position)| position).collect()
}

/// The most that [`Numbers::freshness`](crate::Numbers::freshness) gives.
const FRESHEST: u64 = (1 << 33) - 1;

/// Smaller comes first; equal ranks keep the order of arrival.
fn rank(binding: &Binding<'_>, position: usize, order: Order, now_s: u64) -> u64 {
    let numbers = &binding.numbers;
    let preference = match numbers.q {
        Q_NONE => u64::from(u16::MAX),
        q => u64::from(u16::MAX - 1 - q),
    };
    match order {
        Order::Preference => preference,
        Order::NewestFirst => {
            (FRESHEST - numbers.freshness(now_s)) << 16 | (0xFFFF - (position as u64 & 0xFFFF))
        }
        Order::FastestFirst => {
            let latency_us = if numbers.latency_us == 0 { u32::MAX } else { numbers.latency_us };
            u64::from(latency_us) << 16 | preference
        }
    }
}
