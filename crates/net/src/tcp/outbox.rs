//! Bytes that wait to be written to one peer, with the ends of the messages in them.

use std::collections::VecDeque;

use super::pool::Pool;

/// A write buffer.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    /// Bytes at the start which the kernel has taken.
    written: usize,
    /// Start of the first message that is not written in full.
    unsent_from: usize,
    /// Where the messages end that are not written in full, and whether they came from the handler.
    ends: VecDeque<(usize, bool)>,
}

impl Outbox {
    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Whether none do.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes that wait.
    pub(crate) fn pending(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// Appends a message; `own` tells that the handler wants to hear when it could not be sent.
    pub(crate) fn push(&mut self, pool: &mut Pool, message: &[u8], own: bool) {
        if self.bytes.capacity() == 0 {
            self.bytes = pool.take();
        }
        // Written bytes are cut off when they are the larger part, so each byte is moved once at most on average.
        if self.unsent_from > self.bytes.len() / 2 {
            let cut = self.unsent_from;
            self.bytes.drain(..cut);
            self.written -= cut;
            self.unsent_from = 0;
            for (end, _) in &mut self.ends {
                *end -= cut;
            }
        }
        self.bytes.extend_from_slice(message);
        self.ends.push_back((self.bytes.len(), own));
    }

    /// The kernel has taken `count` bytes.
    pub(crate) fn advance(&mut self, pool: &mut Pool, count: usize) {
        self.written = (self.written + count).min(self.bytes.len());
        while let Some(&(end, _)) = self.ends.front() {
            if end > self.written {
                break;
            }
            self.unsent_from = end;
            self.ends.pop_front();
        }
        if self.is_empty() {
            pool.give(std::mem::take(&mut self.bytes));
            *self = Self { ends: std::mem::take(&mut self.ends), ..Self::default() };
        }
    }

    /// The handler's messages that are not written in full.
    pub(crate) fn unsent(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = self.unsent_from;
        self.ends.iter().filter_map(move |&(end, own)| {
            let message = self.bytes.get(start..end);
            start = end;
            message.filter(|_| own)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes messages, lets the kernel take so many bytes, and expects these to be unsent.
    fn check(messages: &[&[u8]], taken: &[usize], unsent: &[&[u8]]) {
        let (mut outbox, mut pool) = (Outbox::default(), Pool::default());
        for message in messages {
            outbox.push(&mut pool, message, true);
        }
        for &count in taken {
            outbox.advance(&mut pool, count);
        }
        assert_eq!(outbox.unsent().collect::<Vec<_>>(), unsent);
    }

    #[test]
    fn a_message_is_unsent_until_its_last_byte_is_taken() {
        check(&[b"abc", b"de", b"f"], &[], &[b"abc", b"de", b"f"]);
        check(&[b"abc", b"de", b"f"], &[2], &[b"abc", b"de", b"f"]);
        check(&[b"abc", b"de", b"f"], &[3], &[b"de", b"f"]);
        check(&[b"abc", b"de", b"f"], &[2, 2], &[b"de", b"f"]);
        check(&[b"abc", b"de", b"f"], &[6], &[]);
    }

    #[test]
    fn bytes_keep_their_order_when_the_written_part_is_cut_off() {
        let (mut outbox, mut pool) = (Outbox::default(), Pool::default());
        let (mut given, mut taken) = (Vec::new(), Vec::new());
        for round in 0..200_u8 {
            let message = vec![round; usize::from(round % 7) + 1];
            outbox.push(&mut pool, &message, round % 2 == 0);
            given.extend_from_slice(&message);
            let count = outbox.len().min(usize::from(round % 5) + 2);
            taken.extend_from_slice(&outbox.pending()[..count]);
            outbox.advance(&mut pool, count);
        }
        taken.extend_from_slice(outbox.pending());
        assert_eq!(taken, given);
        assert!(outbox.bytes.len() < 200);
    }
}
