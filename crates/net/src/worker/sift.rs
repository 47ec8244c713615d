//! A batch of datagrams while more wait behind it than will soon be served: who is refused is found first, so that it costs
//! little, and the time that it takes is kept to its share.

use std::net::SocketAddr;

use super::{Worker, guard};
use crate::clock::monotonic_us;
use crate::endpoint::SocketId;
use crate::handler::{Fate, Handler};
use crate::refusing::share_us;

/// The time that went into those whom the handler refused, while it served others too.
struct Told {
    /// When the last message had been handled.
    noted_us: u64,
    /// How many had been refused then.
    refused: u64,
    took_us: u64,
}

impl Told {
    fn new(now_us: u64, refused: u64) -> Self {
        Self { noted_us: now_us, refused, took_us: 0 }
    }

    /// Takes note of a message that has been handled.
    fn note(&mut self, now_us: u64, refused: u64) {
        if refused != self.refused {
            self.took_us += now_us.saturating_sub(self.noted_us);
        }
        (self.noted_us, self.refused) = (now_us, refused);
    }
}

impl<H: Handler> Worker<H> {
    /// As [`Worker::handle_datagrams`], after looking who stands back. Receiving the batch began at `began_us`.
    #[cold]
    pub(super) fn sift_datagrams(
        &mut self,
        count: usize,
        id: SocketId,
        bound: SocketAddr,
        began_us: u64,
    ) -> (u64, u64) {
        let received_us = monotonic_us();
        self.io.is_behind = self.allowance.is_left(received_us);
        let sifts = self.io.is_behind && self.handler.sifts();
        if sifts {
            self.judge(count);
        }
        let sifted_us = monotonic_us();
        // Whom the handler itself refuses has cost more than whom it serves, or less: only a clock tells.
        let mut told = (self.io.is_behind && !sifts).then(|| Told::new(sifted_us, self.handler.refused()));
        let refused_before = self.handler.refused();
        let (mut handled, mut bytes, mut dropped) = (0, 0, 0);
        for index in 0..count {
            let fate = if sifts { self.fates.get(index).copied().unwrap_or_default() } else { Fate::Served };
            let len = match fate {
                Fate::Served => self.handle_datagram(index, id, bound, H::datagram),
                Fate::Refused => self.handle_datagram(index, id, bound, H::refuse),
                Fate::Dropped => {
                    dropped += 1;
                    self.batch.bytes(index).map(<[u8]>::len)
                }
            };
            handled += u64::from(len.is_some());
            bytes += len.unwrap_or(0) as u64;
            if let Some(told) = &mut told {
                told.note(monotonic_us(), self.handler.refused());
            }
        }
        self.io.current = None;
        let handled_us = monotonic_us();
        // What is refused is told now, so that this counts too.
        self.io.flush_datagrams();
        let served_us = monotonic_us();
        let refused = self.handler.refused().saturating_sub(refused_before);
        let receiving_us = share_us(received_us.saturating_sub(began_us), dropped + refused, count as u64);
        let sifting_us = if sifts { sifted_us.saturating_sub(received_us) } else { 0 };
        let answered = (count as u64).saturating_sub(dropped);
        let handling_us = told.map_or_else(
            || share_us(handled_us.saturating_sub(sifted_us), refused, answered),
            |told| told.took_us,
        );
        let sending_us = share_us(served_us.saturating_sub(handled_us), refused, answered);
        self.allowance.spend(receiving_us + sifting_us + handling_us + sending_us);
        (handled, bytes)
    }

    /// Asks the handler about every datagram of the batch. What it has to read for that is asked of memory first, so that
    /// it waits for all of it together.
    fn judge(&mut self, count: usize) {
        let now_s = self.io.unix_s();
        self.fates.clear();
        for index in 0..count {
            if let Some(bytes) = self.batch.bytes(index)
                && !guard(|| self.handler.expect(index, bytes))
            {
                self.after_panic("expect", self.io.sends.used());
            }
        }
        for index in 0..count {
            let mut fate = Fate::Served;
            if self.batch.bytes(index).is_some() && !guard(|| fate = self.handler.sift(index, now_s)) {
                self.after_panic("sift", self.io.sends.used());
            }
            self.fates.push(fate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_time_of_those_who_were_refused_counts() {
        let mut told = Told::new(100, 7);
        // When each was handled, and how many had been refused then.
        for (now_us, refused) in [(105, 7), (108, 8), (110, 8), (117, 9), (116, 10)] {
            told.note(now_us, refused);
        }
        assert_eq!(told.took_us, 3 + 7);
    }
}
