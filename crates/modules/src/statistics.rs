//! The counters, declared once: MI, the metrics page and the reference all read this table.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! statistics {
    ($($variant:ident $group:literal $name:literal $doc:literal,)*) => {
        /// A counter.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum Stat { $($variant,)* }

        /// Every counter: its group (the module), its name and what it counts.
        pub const COUNTED: &[(&str, &str, &str)] = &[$(($group, $name, $doc),)*];
    };
}

statistics! {
    RcvRequests "core" "rcv_requests" "Requests received.",
    RcvReplies "core" "rcv_replies" "Replies received.",
    FwdRequests "core" "fwd_requests" "Requests forwarded, stateless and stateful.",
    FwdReplies "core" "fwd_replies" "Replies forwarded.",
    DropRequests "core" "drop_requests" "Requests dropped before the script or by it.",
    DropReplies "core" "drop_replies" "Replies dropped before the script or by it.",
    ErrRequests "core" "err_requests" "Requests that broke a rule of RFC 3261 and were refused.",
    ErrReplies "core" "err_replies" "Replies that broke a rule of RFC 3261 and were discarded.",
    BadUris "core" "bad_URIs_rcvd" "Messages refused because of a URI.",
    UnsupportedMethods "core" "unsupported_methods" "Requests with a method that no RFC defines.",
    BadHeaders "core" "bad_msg_hdr" "Messages whose header section could not be used.",
    NotSip "core" "not_sip" "Datagrams that are not SIP messages.",
    KeepAlives "core" "keepalives" "Keep-alive packets received (RFC 5626 section 3.5).",
    ScriptErrors "core" "script_errors" "Runs of the script that ended by the step limit or an error.",
    Parked "core" "parked" "Runs of the script that waited for something.",
    ParkedFull "core" "parked_full" "Runs of the script refused because too many wait already.",
    OwnRequests "core" "own_requests" "Requests of the server itself.",
    Sent1xx "sl" "1xx_replies" "Stateless replies with a 1xx code.",
    Sent2xx "sl" "2xx_replies" "Stateless replies with a 2xx code.",
    Sent200 "sl" "200_replies" "Stateless replies with code 200.",
    Sent202 "sl" "202_replies" "Stateless replies with code 202.",
    Sent3xx "sl" "3xx_replies" "Stateless replies with a 3xx code.",
    Sent4xx "sl" "4xx_replies" "Stateless replies with a 4xx code.",
    Sent5xx "sl" "5xx_replies" "Stateless replies with a 5xx code.",
    Sent6xx "sl" "6xx_replies" "Stateless replies with a 6xx code.",
    SentReplies "sl" "sent_replies" "Stateless replies, all of them.",
    SentErrors "sl" "sent_err_replies" "Stateless replies that sl_reply_error sent.",
    ReceivedAcks "sl" "received_ACKs" "ACKs to stateless replies, absorbed.",
    AcceptedRegs "registrar" "accepted_regs" "Registrations accepted.",
    RejectedRegs "registrar" "rejected_regs" "Registrations rejected.",
    ShedRegs "registrar" "shed_regs" "Registrations of new contacts that were rejected because too many requests waited; counted as rejected too.",
    AbsorbedRegs "mid_registrar" "absorbed_regs" "REGISTERs answered here.",
    ForwardedRegs "mid_registrar" "forwarded_regs" "REGISTERs for the main registrar.",
    RefusedRegs "mid_registrar" "refused_regs" "REGISTERs refused here.",
    ShedMidRegs "mid_registrar" "shed_regs" "REGISTERs of new contacts refused because too many requests waited; counted as refused too.",
    AcceptedForwards "mid_registrar" "accepted_forwards" "Forwarded REGISTERs that the main registrar accepted.",
    RejectedForwards "mid_registrar" "rejected_forwards" "Forwarded REGISTERs that it rejected or did not answer.",
    SurvivedForwards "mid_registrar" "survived_forwards" "Forwarded REGISTERs that were answered here because it did not answer.",
    SentDeregs "mid_registrar" "sent_deregs" "De-REGISTERs sent.",
    AcknowledgedDeregs "mid_registrar" "acknowledged_deregs" "De-REGISTERs that the main registrar has answered with 2xx or 404.",
    SentPings "nathelper" "sent_pings" "Pings sent to contacts.",
    AnsweredPings "nathelper" "answered_pings" "SIP pings that were answered in time.",
    LostContacts "nathelper" "lost_contacts" "Contacts removed because they did not answer pings.",
    AcceptedSubscribes "reg_event" "accepted_subscribes" "SUBSCRIBEs answered with 200.",
    RejectedSubscribes "reg_event" "rejected_subscribes" "SUBSCRIBEs answered with an error.",
    SentNotifies "reg_event" "sent_notifies" "NOTIFYs made.",
    FailedNotifies "reg_event" "failed_notifies" "NOTIFYs that were not answered with a 2xx.",
}

/// How many counters there are.
pub const COUNT: usize = COUNTED.len();

/// The cells of one worker, away from those of the others in memory.
#[repr(align(128))]
#[derive(Debug)]
struct Cells([AtomicU64; COUNT]);

impl Default for Cells {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Cells {
    /// Adds `amount`; `is_own` tells that no other thread writes here.
    #[inline]
    fn add(&self, stat: Stat, amount: u64, is_own: bool) {
        let Some(cell) = self.0.get(stat as usize) else { return };
        if is_own {
            cell.store(cell.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
        } else {
            cell.fetch_add(amount, Ordering::Relaxed);
        }
    }
}

/// All counters. Each worker writes only its own cells, and nobody else does, which saves it the locked instruction; a
/// reader adds them up. The cells behind those of the workers belong to all other threads.
#[derive(Debug)]
pub struct Counters {
    workers: Vec<Cells>,
    /// What had been counted when a counter was last set to 0.
    forgotten: Cells,
}

impl Counters {
    /// Counters for this many workers and one more, for the control side.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self { workers: (0..=workers).map(|_| Cells::default()).collect(), forgotten: Cells::default() }
    }

    /// Adds one. Only the thread of a worker may name that worker.
    #[inline]
    pub fn bump(&self, worker: usize, stat: Stat) {
        self.add(worker, stat, 1);
    }

    /// Adds `amount`. Only the thread of a worker may name that worker.
    #[inline]
    pub fn add(&self, worker: usize, stat: Stat, amount: u64) {
        if let Some(cells) = self.workers.get(worker) {
            cells.add(stat, amount, worker + 1 < self.workers.len());
        }
    }

    /// What one worker has counted since it was started.
    #[must_use]
    pub fn own(&self, worker: usize, stat: Stat) -> u64 {
        let cell = self.workers.get(worker).and_then(|cells| cells.0.get(stat as usize));
        cell.map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    /// The sum over all workers.
    #[must_use]
    pub fn value(&self, index: usize) -> u64 {
        let forgotten = self.forgotten.0.get(index).map_or(0, |cell| cell.load(Ordering::Relaxed));
        self.counted(index).wrapping_sub(forgotten)
    }

    /// Sets a counter to 0.
    pub fn reset(&self, index: usize) {
        if let Some(cell) = self.forgotten.0.get(index) {
            cell.store(self.counted(index), Ordering::Relaxed);
        }
    }

    /// The sum over all workers, since the start.
    fn counted(&self, index: usize) -> u64 {
        let cells = self.workers.iter().filter_map(|cells| cells.0.get(index));
        cells.map(|cell| cell.load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }

    /// Counts a stateless reply by its code.
    pub fn stateless_reply(&self, worker: usize, code: u16) {
        let class = match code {
            200 => Stat::Sent200,
            202 => Stat::Sent202,
            100..=199 => Stat::Sent1xx,
            201..=299 => Stat::Sent2xx,
            300..=399 => Stat::Sent3xx,
            400..=499 => Stat::Sent4xx,
            500..=599 => Stat::Sent5xx,
            _ => Stat::Sent6xx,
        };
        // Where they stand is looked up once for both.
        let Some(cells) = self.workers.get(worker) else { return };
        let is_own = worker + 1 < self.workers.len();
        for stat in [class, Stat::SentReplies] {
            cells.add(stat, 1, is_own);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_have_counted_is_added_up_and_forgotten() {
        let counters = Counters::new(2);
        let index = Stat::RcvRequests as usize;
        for (worker, amount) in [(0, 3), (1, 4), (2, 5)] {
            counters.add(worker, Stat::RcvRequests, amount);
        }
        assert_eq!(counters.value(index), 12);
        counters.reset(index);
        assert_eq!(counters.value(index), 0);
        counters.bump(1, Stat::RcvRequests);
        assert_eq!((counters.value(index), counters.own(1, Stat::RcvRequests)), (1, 5));
        counters.bump(3, Stat::RcvRequests);
        assert_eq!(counters.value(index), 1, "there is no such worker");
    }
}
