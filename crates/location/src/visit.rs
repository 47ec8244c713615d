//! Walking over a table little by little, for what has to be done to every binding once in a while: pinging.
//!
//! A walk goes through the places of one shard's table in order. Between two steps the table may change: what is
//! inserted behind the walk is met in its next round, and a table that has moved its records is walked again from its start, so
//! that nothing is left out.

use crate::binding::Binding;
use crate::change::{Removal, Sink};
use crate::domain::{Domain, Shard};
use crate::identity::AorHash;

/// What to do about a binding that was visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Leave,
    /// It is being pinged: count the ping as unanswered until [`Domain::answered`] says otherwise.
    Count,
    /// Remove it, as an operator would.
    Remove,
}

/// Which part of a shard's table to visit.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// The shard.
    pub shard: usize,
    /// Where the last visit of this shard ended; the default at the start of a round.
    pub from: Visited,
    /// How far to go, in 65 536ths of the table.
    pub until: u32,
    /// Bindings to visit at most, about: a record is not left in the middle.
    pub most: usize,
}

/// Where a visit ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Visited {
    /// The next place.
    pub place: usize,
    /// How many places the table had.
    pub places: usize,
    /// How often the table had moved its records.
    pub moves: u32,
    /// Bindings that were visited.
    pub bindings: usize,
    /// Whether the part was visited to its end.
    pub is_done: bool,
}

impl Domain {
    /// Visits the bindings in a part of a shard's table that are valid at `now_s`, under the shard's lock: `visit`
    /// only looks and copies.
    pub fn visit(
        &self,
        part: Part,
        now_s: u64,
        sink: &mut dyn Sink,
        visit: &mut dyn FnMut(&[u8], &Binding<'_>) -> Step,
    ) -> Visited {
        let Some(mut shard) = self.lock_shard(part.shard) else {
            return Visited { is_done: true, ..Visited::default() };
        };
        let shard: &mut Shard = &mut shard;
        let places = shard.table.places();
        let moves = shard.table.moves();
        let has_moved = (part.from.places, part.from.moves) != (places, moves);
        let mut place = if has_moved { 0 } else { part.from.place };
        let end = (places as u64 * u64::from(part.until)).div_ceil(1 << 16) as usize;
        let mut bindings = 0;
        let mut steps = Vec::new();
        while place < end && bindings < part.most {
            bindings += self.visit_record(shard, place, now_s, sink, visit, &mut steps);
            place += 1;
        }
        Visited { place, places, moves, bindings, is_done: place >= end }
    }

    /// Visits the record in one place; gives the number of its bindings.
    fn visit_record(
        &self,
        shard: &mut Shard,
        place: usize,
        now_s: u64,
        sink: &mut dyn Sink,
        visit: &mut dyn FnMut(&[u8], &Binding<'_>) -> Step,
        steps: &mut Vec<(usize, Step)>,
    ) -> usize {
        let Some(record) = shard.table.get_mut(place) else { return 0 };
        steps.clear();
        let view = record.view(self.names());
        for (position, binding) in view.bindings().enumerate().filter(|(_, binding)| binding.is_valid(now_s))
        {
            let step = visit(view.aor(), &binding);
            if step != Step::Leave {
                steps.push((position, step));
            }
        }
        let count = view.len();
        for (position, _) in steps.iter().filter(|(_, step)| *step == Step::Count) {
            record.count_ping(*position);
        }
        if steps.iter().any(|(_, step)| *step == Step::Remove) {
            let goes = |position: usize, _: &Binding<'_>| {
                steps.contains(&(position, Step::Remove)).then_some(Removal::Administrative)
            };
            self.remove_where(shard, place, sink, goes);
        }
        count
    }

    /// Takes note that a contact has answered a ping: none is unanswered any more. `seen` is shown the address of
    /// record and the binding as it was, under the shard's lock, and gives the new latency in microseconds, if there is
    /// one. False when no valid binding has this id.
    pub fn answered(
        &self,
        contact_id: u64,
        now_s: u64,
        seen: impl FnOnce(&[u8], &Binding<'_>) -> Option<u32>,
    ) -> bool {
        let hash: AorHash = self.identity().aor_of(contact_id);
        let mut shard = self.lock_shard_of(hash);
        let names = self.names();
        let is_it =
            |binding: &Binding<'_>| binding.numbers.contact_id == contact_id && binding.is_valid(now_s);
        let found = shard
            .table
            .find(self.table_hash(hash), |record| record.view(names).bindings().any(|one| is_it(&one)));
        let Some(record) = found.and_then(|place| shard.table.get_mut(place)) else { return false };
        let view = record.view(names);
        let Some((position, binding)) = view.bindings().enumerate().find(|(_, one)| is_it(one)) else {
            return false;
        };
        let latency_us = seen(view.aor(), &binding).unwrap_or(binding.numbers.latency_us);
        if (0, latency_us) != (binding.numbers.unanswered, binding.numbers.latency_us) {
            record.set_answered(position, latency_us);
        }
        true
    }
}
