//! Values that a worker uses again and again.

/// Boxes that nobody uses now. The one that came back last is the next to be used: it is in the caches, and at hand.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    at_hand: Option<Box<T>>,
    // Boxed, because they move: into a run, into the parked ones, and back.
    #[allow(clippy::vec_box)]
    others: Vec<Box<T>>,
    /// How many there may be besides the one at hand.
    most: usize,
}

impl<T> Pool<T> {
    /// A pool that keeps so many and one.
    pub(crate) fn new(most: usize) -> Self {
        Self { at_hand: None, others: Vec::new(), most }
    }

    /// Takes one, if there is one.
    #[inline(always)]
    pub(crate) fn take(&mut self) -> Option<Box<T>> {
        match self.at_hand.take() {
            None => self.others.pop(),
            some => some,
        }
    }

    /// Takes one back, made ready for its next use by `prepare`, unless there are enough.
    #[inline(always)]
    pub(crate) fn give(&mut self, mut value: Box<T>, prepare: impl FnOnce(&mut T)) {
        if self.at_hand.is_none() {
            prepare(&mut value);
            self.at_hand = Some(value);
        } else if self.others.len() < self.most {
            prepare(&mut value);
            self.keep(value);
        }
    }

    #[inline(never)]
    fn keep(&mut self, value: Box<T>) {
        self.others.push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_back_is_used_again_and_what_is_too_much_is_not_kept() {
        let mut pool = Pool::new(2);
        assert_eq!(pool.take(), None);
        for number in 0..5 {
            pool.give(Box::new(number), |number| *number += 10);
        }
        let taken: Vec<_> = std::iter::from_fn(|| pool.take()).map(|number| *number).collect();
        assert_eq!(taken, [10, 12, 11]);
    }
}
