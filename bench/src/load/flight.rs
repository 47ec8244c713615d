//! Operations under way: a slot for each, so that an answer finds its operation by the slot in its branch.

use crate::limits;

/// How far an operation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The slot is free.
    Free,
    /// The first request waits for its final answer.
    First,
    /// As [`Stage::First`], and a provisional answer has come: an INVITE is not sent again any more.
    Proceeding,
    /// The BYE waits for its answer; `direct` when it went past the server.
    Bye {
        /// It was sent to the callee, not to the server.
        direct: bool,
    },
}

/// One operation under way.
#[derive(Clone, Debug)]
pub struct Flight {
    /// The operation's number.
    pub operation: u32,
    /// Its user.
    pub user: u32,
    /// The CSeq of its first request.
    pub cseq: u32,
    /// How far it has come.
    pub stage: Stage,
    /// Times the current request was sent.
    pub attempts: u8,
    /// Whether its request was answered by a challenge once.
    pub challenged: bool,
    /// When it should have started: latency counts from here.
    pub scheduled_ns: u64,
    /// When the current request was last sent.
    pub sent_ns: u64,
    /// The BYE, to send it again.
    pub bye: Vec<u8>,
}

/// All slots of a run.
#[derive(Debug)]
pub struct Flights {
    slots: Vec<Flight>,
    free: Vec<u16>,
}

impl Flights {
    /// `most` slots, at most [`limits::MAX_IN_FLIGHT`].
    pub fn new(most: usize) -> Self {
        let most = most.min(limits::MAX_IN_FLIGHT);
        let empty = Flight {
            operation: 0,
            user: 0,
            cseq: 0,
            stage: Stage::Free,
            attempts: 0,
            challenged: false,
            scheduled_ns: 0,
            sent_ns: 0,
            bye: Vec::new(),
        };
        Flights { slots: vec![empty; most], free: (0..most as u16).rev().collect() }
    }

    /// How many operations are under way.
    pub fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many could start now.
    pub fn room(&self) -> usize {
        self.free.len()
    }

    /// Takes a slot; `None` when all are taken.
    pub fn start(
        &mut self,
        operation: u32,
        user: u32,
        cseq: u32,
        scheduled_ns: u64,
        now_ns: u64,
    ) -> Option<u16> {
        let slot = self.free.pop()?;
        let flight = self.slots.get_mut(usize::from(slot))?;
        flight.operation = operation;
        flight.user = user;
        flight.cseq = cseq;
        flight.stage = Stage::First;
        flight.attempts = 1;
        flight.challenged = false;
        flight.scheduled_ns = scheduled_ns;
        flight.sent_ns = now_ns;
        Some(slot)
    }

    /// The operation in a slot, if it is that operation and still under way.
    pub fn find(&mut self, slot: u16, operation: u32) -> Option<&mut Flight> {
        let flight = self.slots.get_mut(usize::from(slot))?;
        (flight.stage != Stage::Free && flight.operation == operation).then_some(flight)
    }

    /// The operation in a slot, whichever it is, if one is under way.
    pub fn at(&mut self, slot: u16) -> Option<&mut Flight> {
        self.slots.get_mut(usize::from(slot)).filter(|flight| flight.stage != Stage::Free)
    }

    /// Frees a slot that is taken.
    pub fn end(&mut self, slot: u16) {
        if let Some(flight) = self.slots.get_mut(usize::from(slot))
            && flight.stage != Stage::Free
        {
            flight.stage = Stage::Free;
            self.free.push(slot);
        }
    }

    /// Collects the slots whose request has waited for `patience_ns` or longer at `now_ns`.
    pub fn overdue(&self, now_ns: u64, patience_ns: u64, into: &mut Vec<u16>) {
        into.clear();
        for (slot, flight) in self.slots.iter().enumerate() {
            let allowed_ns = match flight.stage {
                Stage::Free => continue,
                Stage::Proceeding => patience_ns.max(limits::INVITE_GIVE_UP_NS),
                Stage::First | Stage::Bye { .. } => patience_ns,
            };
            if now_ns.saturating_sub(flight.sent_ns) >= allowed_ns {
                into.push(slot as u16);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_found_until_it_ends() {
        let mut flights = Flights::new(2);
        let slot = flights.start(7, 1, 1, 0, 0).unwrap();
        assert!(flights.find(slot, 7).is_some());
        assert!(flights.find(slot, 8).is_none(), "another operation of the same slot");
        flights.end(slot);
        assert!(flights.find(slot, 7).is_none());
        assert_eq!((flights.in_flight(), flights.room()), (0, 2));
    }

    #[test]
    fn ending_twice_frees_once() {
        let mut flights = Flights::new(1);
        let slot = flights.start(1, 1, 1, 0, 0).unwrap();
        flights.end(slot);
        flights.end(slot);
        assert_eq!(flights.room(), 1);
        assert!(flights.start(2, 1, 1, 0, 0).is_some());
        assert!(flights.start(3, 1, 1, 0, 0).is_none());
    }

    #[test]
    fn only_what_waits_too_long_is_overdue() {
        let mut flights = Flights::new(3);
        let old = flights.start(1, 1, 1, 0, 0).unwrap();
        flights.start(2, 2, 1, 0, 500).unwrap();
        let proceeding = flights.start(3, 3, 1, 0, 0).unwrap();
        flights.find(proceeding, 3).unwrap().stage = Stage::Proceeding;
        let mut overdue = Vec::new();
        flights.overdue(500, 500, &mut overdue);
        assert_eq!(overdue, [old]);
    }
}
