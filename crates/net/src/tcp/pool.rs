//! Byte buffers for reuse, so that connections hold none while nothing is on its way.

use crate::limits::{POOLED_BUFFER_BYTES, POOLED_BUFFERS};

/// Empty buffers.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    free: Vec<Vec<u8>>,
}

impl Pool {
    /// An empty buffer.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.free.pop().unwrap_or_default()
    }

    /// Gives a buffer back; large ones and those over the number to be kept are freed.
    pub(crate) fn give(&mut self, mut buffer: Vec<u8>) {
        let worth = (1..=POOLED_BUFFER_BYTES).contains(&buffer.capacity());
        if worth && self.free.len() < POOLED_BUFFERS {
            buffer.clear();
            self.free.push(buffer);
        }
    }
}
