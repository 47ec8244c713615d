//! Values that are emptied for the next message only if this one could have changed them.

use std::ops::{Deref, DerefMut};

/// A value that takes note of everybody who gets it for writing. It must have no cells in it, which can be written to without.
#[derive(Debug, Default)]
pub struct Touched<T> {
    value: T,
    is_touched: bool,
}

impl<T> Touched<T> {
    /// Whether it may be different from what it was when it was emptied.
    #[inline]
    #[must_use]
    pub fn is_touched(&self) -> bool {
        self.is_touched
    }

    /// Has it emptied, unless nobody had it for writing since the last time.
    #[inline]
    pub fn renew(&mut self, empty: impl FnOnce(&mut T)) {
        if self.is_touched {
            empty(&mut self.value);
            self.is_touched = false;
        }
    }
}

impl<T> Deref for Touched<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Touched<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.is_touched = true;
        &mut self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_only_read_is_not_emptied() {
        let mut text = Touched::<String>::default();
        assert_eq!(text.len(), 0);
        text.renew(|_| panic!("nobody has written"));
        text.push('a');
        assert!(text.is_touched());
        text.renew(String::clear);
        assert!(text.is_empty() && !text.is_touched());
    }

    #[test]
    fn whoever_could_write_counts_as_a_writer() {
        let mut text = Touched::<String>::default();
        let _: &mut String = &mut text;
        assert!(text.is_touched());
    }
}
