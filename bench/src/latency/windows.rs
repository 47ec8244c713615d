//! Short windows of a pace: what each has shown, what the middle one of them has, and what all have together.

use std::time::Duration;

use crate::compare::median;
use crate::histogram::Histogram;
use crate::load::Report;
use crate::process::{self, Scheduled};

/// What one window has shown. Times are microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Window {
    /// Median latency of the requests that were due in it.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p999_us: f64,
    /// The longest.
    pub longest_us: f64,
    /// Requests, with those of the lead.
    pub requests: u64,
    /// Requests sent again or given up, and operations refused.
    pub troubles: u64,
    /// The longest that the generator's CPU stood still.
    pub gap_us: f64,
    /// How long the window took, with its lead.
    pub elapsed_us: f64,
    /// What the server's threads had of their CPU.
    pub run_us: f64,
    /// How long they could have run and somebody else had it.
    pub wait_us: f64,
    /// What the hypervisor took from the server's CPU.
    pub stolen_us: f64,
    /// What it took from the generator's.
    pub generator_stolen_us: f64,
}

/// The accounts that are looked at before a window and after it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Accounts {
    scheduled: Scheduled,
    stolen_ns: u64,
    generator_stolen_ns: u64,
}

impl Accounts {
    /// Those of a server's processes, its CPU and the generator's, now.
    pub fn read(pids: &[u32], server_cpu: usize, generator_cpu: usize) -> Self {
        Accounts {
            scheduled: process::scheduled(pids),
            stolen_ns: process::stolen_ns(server_cpu),
            generator_stolen_ns: process::stolen_ns(generator_cpu),
        }
    }
}

impl Window {
    /// The figures of a window from what the generator reports and the accounts at both ends.
    pub fn of(report: &Report, before: Accounts, after: Accounts) -> Self {
        let percentile = |percent| us(report.latency.percentile_ns(percent));
        let scheduled = after.scheduled.since(before.scheduled);
        Window {
            p50_us: percentile(50.0),
            p99_us: percentile(99.0),
            p999_us: percentile(99.9),
            longest_us: us(report.latency.max_ns()),
            requests: report.started,
            troubles: report.troubles(),
            gap_us: us_of(report.longest_gap),
            elapsed_us: us_of(report.elapsed),
            run_us: us(scheduled.run_ns),
            wait_us: us(scheduled.wait_ns),
            stolen_us: us(after.stolen_ns.saturating_sub(before.stolen_ns)),
            generator_stolen_us: us(after.generator_stolen_ns.saturating_sub(before.generator_stolen_ns)),
        }
    }
}

/// A server at a pace: its windows, one after the other, and all of them together.
#[derive(Clone, Debug, Default)]
pub struct Side {
    /// Requests a second at saturation, in a closed loop.
    pub saturated_per_s: f64,
    /// Requests a second that were due.
    pub rate_per_s: f64,
    /// Its windows, in the order in which they came.
    pub windows: Vec<Window>,
    /// The latency of the requests of all windows.
    pub together: Histogram,
    /// The same of those in which the generator's CPU did not stand still.
    pub undisturbed: Histogram,
}

impl Side {
    /// A server that keeps a rate from now on.
    pub fn new(saturated_per_s: f64, rate_per_s: f64) -> Self {
        Side { saturated_per_s, rate_per_s, ..Side::default() }
    }

    /// Adds a window. It is disturbed when the generator's CPU stood still for more than `most_gap_us`.
    pub fn add(&mut self, window: Window, latency: &Histogram, most_gap_us: f64) {
        self.windows.push(window);
        self.together.merge(latency);
        if window.gap_us <= most_gap_us {
            self.undisturbed.merge(latency);
        }
    }
}

/// One figure of a window.
pub type Figure = fn(&Window) -> f64;

/// How much a figure of one server is above that of another in the windows that stand beside each other, as far as neither
/// of both is disturbed by more than `most_gap_us`.
pub fn above(server: &[Window], other: &[Window], most_gap_us: f64, figure: Figure) -> Vec<f64> {
    let pairs = server.iter().zip(other);
    let is_calm = |(one, other): &(&Window, &Window)| one.gap_us.max(other.gap_us) <= most_gap_us;
    pairs.filter(is_calm).map(|(one, other)| figure(one) - figure(other)).collect()
}

/// The middle of some figures, and what a quarter of them is below and above.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quartiles {
    /// A quarter is not above it.
    pub lower: f64,
    /// The median.
    pub middle: f64,
    /// A quarter is not below it.
    pub upper: f64,
}

impl Quartiles {
    /// Those of `figures`, between two of them in proportion; zeroes of nothing.
    pub fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).or(figures.last()).copied().unwrap_or_default();
        let quantile = |part: f64| {
            let place = part * figures.len().saturating_sub(1) as f64;
            let (below, above) = (at(place.floor() as usize), at(place.ceil() as usize));
            below + (above - below) * place.fract()
        };
        let (lower, upper) = (quantile(0.25), quantile(0.75));
        Quartiles { lower, middle: median(figures), upper }
    }
}

/// Nanoseconds as microseconds.
pub fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}

fn us_of(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(figures: &[f64], (lower, middle, upper): (f64, f64, f64)) {
        assert_eq!(Quartiles::of(figures.to_vec()), Quartiles { lower, middle, upper }, "{figures:?}");
    }

    #[test]
    fn quartiles_stand_between_the_figures_in_proportion() {
        check(&[], (0.0, 0.0, 0.0));
        check(&[7.0], (7.0, 7.0, 7.0));
        check(&[4.0, 2.0], (2.5, 3.0, 3.5));
        check(&[5.0, 1.0, 2.0, 4.0, 3.0], (2.0, 3.0, 4.0));
        check(&[4.0, 1.0, 2.0, 3.0], (1.75, 2.5, 3.25));
    }

    fn window(p999_us: f64, gap_us: f64) -> Window {
        Window { p999_us, gap_us, ..Window::default() }
    }

    #[test]
    fn a_pair_counts_when_neither_window_is_disturbed() {
        let server = [window(10.0, 0.0), window(500.0, 900.0), window(30.0, 200.0), window(1.0, 0.0)];
        let other = [window(4.0, 0.0), window(5.0, 0.0), window(6.0, 200.0), window(7.0, 201.0)];
        let p999: Figure = |window| window.p999_us;
        assert_eq!(above(&server, &other, 200.0, p999), [6.0, 24.0]);
        assert_eq!(above(&server, &other, f64::INFINITY, p999), [6.0, 495.0, 24.0, -6.0]);
        assert_eq!(above(&server, &other[..1], 200.0, p999), [6.0], "a window without a neighbour");
    }

    #[test]
    fn a_disturbed_window_counts_among_all_of_them_only() {
        let mut latency = Histogram::default();
        latency.record(50);
        let mut side = Side::new(2000.0, 1000.0);
        side.add(window(1.0, 200.0), &latency, 200.0);
        side.add(window(2.0, 200.5), &latency, 200.0);
        assert_eq!((side.windows.len(), side.together.count(), side.undisturbed.count()), (2, 2, 1));
    }

    #[test]
    fn a_window_has_what_came_between_both_looks_at_the_accounts() {
        let accounts = |run_ns, wait_ns, stolen_ns, generator_stolen_ns| Accounts {
            scheduled: Scheduled { run_ns, wait_ns },
            stolen_ns,
            generator_stolen_ns,
        };
        let mut report = Report::new(crate::load::Operation::Register, 500);
        for number in 1..=1000 {
            report.latency.record(number * 1000);
        }
        (report.started, report.succeeded, report.lost) = (1100, 1099, 2);
        (report.elapsed, report.longest_gap) = (Duration::from_millis(110), Duration::from_micros(70));
        let window =
            Window::of(&report, accounts(5_000, 100, 7_000, 0), accounts(95_000, 3_100, 7_000, 9_000));
        let expected = Window {
            p50_us: us(report.latency.percentile_ns(50.0)),
            p99_us: us(report.latency.percentile_ns(99.0)),
            p999_us: us(report.latency.percentile_ns(99.9)),
            longest_us: 1000.0,
            requests: 1100,
            troubles: 3,
            gap_us: 70.0,
            elapsed_us: 110_000.0,
            run_us: 90.0,
            wait_us: 3.0,
            stolen_us: 0.0,
            generator_stolen_us: 9.0,
        };
        assert_eq!(window, expected);
        assert!((500.0..=510.0).contains(&window.p50_us) && (999.0..=1000.0).contains(&window.p999_us));
    }
}
