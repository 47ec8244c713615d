//! Taking back what the database did not take.

use std::collections::HashSet;

use seawall_location::Image;

use super::draft::Drafted;
use super::journal::{Fate, Operation};
use crate::events::Gather;
use crate::node::Node;

/// Puts back what addresses of record held before these operations, which have failed and are given in their order; whatever followed on the same
/// addresses fails with them. Gives the operations that followed. Those who wait are to be woken by the caller.
pub fn take_back(node: &Node, failed: &[Operation], now_s: u64) -> Vec<Operation> {
    let mut followed = Vec::new();
    let mut seen = HashSet::new();
    for operation in failed {
        // The first of an address of record knows what it held before all of them.
        if seen.insert((operation.table, &*operation.aor)) {
            undo(node, operation, &mut followed, now_s);
        }
    }
    for operation in failed.iter().chain(&followed) {
        node.store.journal.note_failure(operation.sequence);
        node.store.figures.failures.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if let Some(ticket) = &operation.ticket {
            ticket.decide(Fate::Failed);
        }
    }
    followed
}

/// Takes back an operation that nobody waits for any more, if it is not on its way yet. True when it was taken back.
pub(crate) fn give_up(node: &Node, drafted: &Drafted, now_s: u64) -> bool {
    let store = &node.store;
    let Drafted { sequence, table, aor, .. } = drafted;
    let Some(stored) = store.table_number(*table) else { return false };
    let mut withdrawn = Vec::new();
    {
        let mut entry = stored.domain.lock(aor, now_s);
        store.journal.withdraw(*table, aor, *sequence, &mut withdrawn);
        let Some(image) = withdrawn.first().and_then(|first| first.image.as_ref()) else {
            // It is on its way: the writer takes it back when it has arrived.
            drafted.ticket.decide(Fate::Failed);
            return false;
        };
        restore(node, &mut entry, image);
    }
    for operation in &withdrawn {
        store.journal.note_failure(operation.sequence);
        if let Some(ticket) = &operation.ticket {
            ticket.decide(Fate::Failed);
        }
    }
    true
}

/// Takes back what the database has taken after its client had been told that it failed. What followed on the same address
/// of record, `is_followed` in the same group or later, was made on top of it and stands: then nothing is taken back.
pub fn take_back_late(node: &Node, operation: &Operation, is_followed: bool, now_s: u64) {
    let store = &node.store;
    let Some(table) = store.table_number(operation.table) else { return };
    let mut entry = table.domain.lock(&operation.aor, now_s);
    let is_here = !store.is_sql_only() || table.holds.is_read(&operation.aor);
    if is_followed || !is_here || store.journal.has_later(operation.table, &operation.aor, operation.sequence)
    {
        return;
    }
    let Some(image) = &operation.image else { return };
    let mut events = Vec::new();
    // This time the database is told.
    let mut gather = Gather::new(node, false, &mut events);
    entry.restore(image, &mut gather);
    entry.purge(&mut gather);
    gather.finish();
    store.journal.note_failure(operation.sequence);
    store.figures.failures.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
}

fn undo(node: &Node, operation: &Operation, followed: &mut Vec<Operation>, now_s: u64) {
    let Some(table) = node.store.table_number(operation.table) else { return };
    let mut entry = table.domain.lock(&operation.aor, now_s);
    let start = followed.len();
    node.store.journal.withdraw(operation.table, &operation.aor, 0, followed);
    let later = followed.get(start..).unwrap_or_default();
    // What has ended by itself is not brought back, but a change behind it is.
    let image = operation.image.as_ref().or_else(|| later.iter().find_map(|later| later.image.as_ref()));
    // Under sql-only memory has nothing to put back when nobody works on it any more.
    let is_here = !node.store.is_sql_only() || table.holds.is_read(&operation.aor);
    if let Some(image) = image.filter(|_| is_here) {
        restore(node, &mut entry, image);
    }
}

/// Subscribers and main registrars are told, event routes are not: for them nothing has happened.
fn restore(node: &Node, entry: &mut seawall_location::Entry<'_>, image: &Image) {
    let mut events = Vec::new();
    let mut gather = Gather::new(node, false, &mut events);
    gather.be_silent();
    entry.restore(image, &mut gather);
    entry.purge(&mut gather);
}
