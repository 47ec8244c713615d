//! What came of a run.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::Operation;
use crate::histogram::Histogram;

/// What came of a run. Every operation started is counted in exactly one of `succeeded`, `refused` and `failed`.
#[derive(Clone, Debug)]
pub struct Report {
    /// What one operation was.
    pub operation: Operation,
    /// Operations started.
    pub started: u64,
    /// Those of new users between the others.
    pub new_users: u64,
    /// Operations that ended as they should: 2xx, and for a call the 2xx to its BYE.
    pub succeeded: u64,
    /// Operations that a final answer of 300 or above ended, by status.
    pub refused: BTreeMap<u16, u64>,
    /// Challenges that were answered.
    pub challenged: u64,
    /// Operations that were given up without a final answer.
    pub failed: u64,
    /// Requests or answers that did not come in time; each was sent again, unless the operation was given up.
    pub lost: u64,
    /// Answers to nothing: late ones, doubles and strangers.
    pub unexpected: u64,
    /// Provisional answers.
    pub provisional: u64,
    /// Requests that the callee received, retransmissions included.
    pub relayed: u64,
    /// Bytes of an operation's first request.
    pub request_bytes: usize,
    /// From the first start to the last end.
    pub elapsed: Duration,
    /// Durations of the operations that succeeded (of a call: from INVITE to 200).
    pub latency: Histogram,
    /// The longest gap between two looks at the clock. When the generator never sleeps its CPU stood still in it.
    pub longest_gap: Duration,
}

impl Report {
    pub(crate) fn new(operation: Operation, request_bytes: usize) -> Self {
        Report {
            operation,
            started: 0,
            new_users: 0,
            succeeded: 0,
            refused: BTreeMap::new(),
            challenged: 0,
            failed: 0,
            lost: 0,
            unexpected: 0,
            provisional: 0,
            relayed: 0,
            request_bytes,
            elapsed: Duration::ZERO,
            latency: Histogram::default(),
            longest_gap: Duration::ZERO,
        }
    }

    /// Operations with any final answer, a second.
    pub fn rate_per_s(&self) -> f64 {
        self.answered() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Operations with a final answer.
    pub fn answered(&self) -> u64 {
        self.succeeded + self.refused.values().sum::<u64>()
    }

    /// Requests sent again, and operations refused or given up.
    pub fn troubles(&self) -> u64 {
        self.lost + self.started - self.succeeded.min(self.started)
    }

    /// Whether every operation succeeded at the first attempt.
    pub fn is_clean(&self) -> bool {
        self.succeeded == self.started && self.lost == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = |ns: u64| format!("{:.1} µs", ns as f64 / 1e3);
        let percentile = |percent| us(self.latency.percentile_ns(percent));
        let mut row = |name: &str, value: String| writeln!(out, "  {name:<22}{value:>16}");
        row("operation", self.operation.name().to_owned())?;
        row("request size", format!("{} bytes", self.request_bytes))?;
        row("started", self.started.to_string())?;
        row("succeeded", self.succeeded.to_string())?;
        for (status, count) in &self.refused {
            row(&format!("refused with {status}"), count.to_string())?;
        }
        row("failed (no answer)", self.failed.to_string())?;
        row("lost, sent again", self.lost.to_string())?;
        row("unexpected answers", self.unexpected.to_string())?;
        if matches!(self.operation, Operation::Message | Operation::Invite) {
            row("relayed to callees", self.relayed.to_string())?;
        }
        row("elapsed", format!("{:.3} s", self.elapsed.as_secs_f64()))?;
        row("rate", format!("{:.0} /s", self.rate_per_s()))?;
        row("latency mean", us(self.latency.mean_ns()))?;
        for (name, percent) in [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9)] {
            row(&format!("latency {name}"), percentile(percent))?;
        }
        row("latency max", us(self.latency.max_ns()))
    }
}
