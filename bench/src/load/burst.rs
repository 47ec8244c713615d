//! Bursts: many REGISTERs at once, without waiting for answers, which are collected afterwards. For a server that stands
//! still meanwhile and then has all its processors for itself.

use memchr::memmem::Finder;

use super::message::Branch;
use super::template::{Template, Values};
use super::{Generator, Operation, answer};
use crate::error::Error;
use crate::limits;
use crate::socket::{Endpoint, ReceiveBatch, SendBatch};

/// Who comes in a burst.
#[derive(Clone, Copy, Debug)]
pub struct Burst {
    /// The number of the first user.
    pub first_user: u32,
    /// How many users take turns.
    pub users: u32,
    /// How many requests.
    pub count: u32,
}

/// What was answered to bursts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// With 2xx.
    pub accepted: u64,
    /// Otherwise.
    pub refused: u64,
}

impl Generator {
    /// Sends a burst, from all callers' sockets in turns.
    pub fn burst(&mut self, burst: &Burst) {
        let template = |caller: &Endpoint| self.identity.template(Operation::Register, caller.address());
        let callers: Vec<(&Endpoint, Template)> =
            self.callers.iter().map(|caller| (caller, template(caller))).collect();
        let mut outgoing = SendBatch::default();
        let users = burst.users.max(1);
        let mut number = 0;
        for (caller, template) in callers.iter().cycle() {
            for _ in 0..limits::BATCH {
                if number >= burst.count {
                    break;
                }
                let values = Values {
                    operation: self.next_operation.wrapping_add(number),
                    slot: 0,
                    user: burst.first_user.saturating_add(number % users),
                    cseq: self.next_cseq.saturating_add(number / users),
                };
                outgoing.push(None, |out| template.render(values, out));
                number += 1;
            }
            if outgoing.is_empty() {
                break;
            }
            outgoing.flush(caller);
        }
        self.next_operation = self.next_operation.wrapping_add(burst.count);
        self.next_cseq = self.next_cseq.saturating_add(burst.count.div_ceil(users));
    }

    /// Reads what has been answered so far.
    ///
    /// # Errors
    /// [`Error::System`] when a socket fails.
    pub fn collect(&self) -> Result<Collected, Error> {
        let prefix = self.identity.branch_prefix();
        let finder = Finder::new(&prefix);
        let mut collected = Collected::default();
        let mut batch = ReceiveBatch::default();
        for caller in &self.callers {
            loop {
                let received =
                    batch.receive(caller, limits::BATCH).map_err(Error::system("cannot receive"))?;
                for message in (0..received).filter_map(|index| batch.datagram(index)) {
                    let is_ours = Branch::find(message, &finder).is_some();
                    match answer::status_of(message) {
                        Some(200..300) if is_ours => collected.accepted += 1,
                        Some(300..) if is_ours => collected.refused += 1,
                        _ => {}
                    }
                }
                if received == 0 {
                    break;
                }
            }
        }
        Ok(collected)
    }
}
