//! Trying destinations one after the other: `serialize_branches` and `next_branches` of the core.

use seawall_script::{Call, Flow};

use crate::branch::{Branch, NO_Q};
use crate::context::Context;
use crate::core::MAX_BRANCHES;

/// How many destinations may wait for their turn. Several hunt groups in a row stay below; a loop that adds some without
/// ever using them does not eat the memory.
const MAX_WAITING: usize = 128;

/// Destinations that wait for their turn, in groups of the same priority, the next one first.
#[derive(Debug, Clone, Default)]
pub struct Waiting {
    groups: Vec<Vec<Branch>>,
}

impl Waiting {
    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.groups.clear();
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    fn count(&self) -> usize {
        self.groups.iter().map(Vec::len).sum()
    }
}

/// `serialize_branches(clear, keep_order)`: the Request-URI and the branches become groups to be tried in turn. Without
/// branches, or when all have the same q, there is nothing to put into an order, and they stay as they are.
pub fn serialize(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let (clear, keep_order) = (call.int(0).unwrap_or(0) != 0, call.int(1).unwrap_or(0) != 0);
    let first_q = context.target.q;
    let is_flat = context.rare.branches.iter().all(|branch| branch.q == first_q);
    if context.rare.branches.is_empty() || (is_flat && !keep_order) {
        return Flow::TRUE;
    }
    let before = if clear { 0 } else { context.rare.serial.count() };
    if before + 1 + context.rare.branches.len() > MAX_WAITING {
        return Flow::FALSE;
    }
    let first = Branch { uri: context.request_uri().to_vec(), ..context.target.clone() };
    let mut all = vec![first];
    all.append(&mut context.rare.branches);
    let mut groups: Vec<Vec<Branch>> = if keep_order {
        all.into_iter().map(|branch| vec![branch]).collect()
    } else {
        // A stable sort: among equals the order of the lookup stays.
        all.sort_by_key(|branch| std::cmp::Reverse(rank(branch.q)));
        all.chunk_by(|one, next| one.q == next.q).map(<[Branch]>::to_vec).collect()
    };
    if !clear {
        groups.append(&mut context.rare.serial.groups);
    }
    context.rare.serial.groups = groups;
    Flow::TRUE
}

/// A destination without q comes last.
fn rank(q: u16) -> u32 {
    if q == NO_Q { 0 } else { u32::from(q) + 1 }
}

/// `next_branches()`: the next group becomes the destinations of the request, and its first one the Request-URI.
pub fn next(context: &mut Context, _: &mut Call<'_, Context>) -> Flow {
    if context.rare.serial.groups.is_empty() {
        return Flow::FALSE;
    }
    let mut group = context.rare.serial.groups.remove(0).into_iter();
    if let Some(first) = group.next() {
        *context.target = first;
    }
    let room = MAX_BRANCHES.saturating_sub(context.rare.branches.len());
    context.rare.branches.extend(group.take(room));
    Flow::Value(if context.rare.serial.groups.is_empty() { 2 } else { 1 })
}
