//! What a part of the simulated world wants to happen.

use crate::network::Packet;

/// Somebody to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wake {
    /// What comes from outside: the number of a deed.
    Deed(usize),
    /// A phone.
    Phone(usize),
    /// A transaction of Seawall with the main registrar, by its branch.
    Transaction(u64),
    /// The main registrar's queue.
    Main,
    /// An answer that the main registrar holds back.
    Answer(u64),
    /// Seawall's ticker.
    Tick,
    /// The disorder ends.
    Quiet,
    /// The run ends.
    End,
}

/// Packets to send and wakes to come.
#[derive(Debug, Default)]
pub struct Outbox {
    /// To be sent now.
    pub packets: Vec<Packet>,
    /// Who is to be woken when.
    pub wakes: Vec<(u64, Wake)>,
}

/// How long a request waits for its answer (timer F).
const GIVES_UP_MS: u64 = 32_000;

/// The timer that sends a request again over UDP (RFC 3261 §17.1.2: T1, T2, timer F), and when it gives up.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    next_ms: u64,
    pause_ms: u64,
    ends_ms: u64,
}

/// What a timer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ring {
    /// Not yet.
    No,
    /// Send again.
    Again,
    /// Nobody answers.
    Over,
}

impl Retry {
    /// A request is sent for the first time.
    pub fn new(now_ms: u64) -> Retry {
        Retry { next_ms: now_ms + 500, pause_ms: 500, ends_ms: now_ms + GIVES_UP_MS }
    }

    /// How long the request waits for its answer.
    pub fn age_ms(&self, now_ms: u64) -> u64 {
        (now_ms + GIVES_UP_MS).saturating_sub(self.ends_ms)
    }

    /// When it is to be looked at.
    pub fn due_ms(&self) -> u64 {
        self.next_ms.min(self.ends_ms)
    }

    /// Looks at it.
    pub fn ring(&mut self, now_ms: u64) -> Ring {
        if now_ms >= self.ends_ms {
            return Ring::Over;
        }
        if now_ms < self.next_ms {
            return Ring::No;
        }
        self.pause_ms = (self.pause_ms * 2).min(4000);
        self.next_ms = now_ms + self.pause_ms;
        Ring::Again
    }
}
