//! The tables of the store's figures.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use super::restart::{End, Restart};
use super::speed::{Sample, Workload};
use super::subject::Subject;
use super::{Results, StoreArgs};
use crate::compare::{machine, median};
use crate::disk::Disk;

/// Everything as Markdown.
pub fn render(args: &StoreArgs, results: &Results) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = header(args, &mut text);
    if !results.samples.is_empty() {
        let _ = speed(args, results, &mut text);
    }
    if !results.restarts.is_empty() {
        let _ = restarts(results, &mut text);
    }
    text
}

fn header(args: &StoreArgs, text: &mut String) -> std::fmt::Result {
    let pinned = |cpu: Option<usize>| cpu.map_or("not pinned".to_owned(), |cpu| format!("on CPU {cpu}"));
    writeln!(
        text,
        "{}; servers with {} worker(s) {}, generator {} and {}; loopback UDP, SQLite with a write-ahead log{}; {} in flight (the \
         echo: at most 64) from {} source socket(s); medians of {} rounds.\n",
        machine(),
        args.workers,
        pinned(args.server_cpu),
        pinned(args.generator_cpu),
        if args.generator_cpu.is_some() { "busy-polling" } else { "sleeping when there is nothing to do" },
        if Disk::of(&args.folder).is_known() { "" } else { ", in a folder that is on no disk" },
        args.window,
        args.sockets,
        args.repetitions,
    )
}

fn speed(args: &StoreArgs, results: &Results, text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "| workload | AoRs | server | per second | × memory only | CPU µs | × memory only | p50 ms | p99 ms | p99.9 ms | \
         longest ms | changes a group (mean, median) | groups/s | disk flushes/s | bytes written | troubles |\n\
         |---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    )?;
    let rows: BTreeSet<(Workload, u32, Subject)> =
        results.samples.iter().map(|sample| (sample.workload, sample.asked(args), sample.subject)).collect();
    for (workload, users, subject) in rows {
        let row = Row { args, results, workload, users, subject };
        let base = if subject.is_kamailio() { Subject::KamailioMemory } else { Subject::Memory };
        let groups = |figure: fn(&Sample) -> f64| row.median(figure);
        let mean = groups(|sample| sample.groups.mean);
        let grouped = match mean > 0.0 {
            true => format!("{mean:.0}, {:.0}", groups(|sample| sample.groups.median)),
            false => "–".to_owned(),
        };
        let per_s = groups(|sample| sample.groups.per_s);
        let per_s = if mean > 0.0 { format!("{per_s:.0}") } else { "–".to_owned() };
        let flushes = row.known(|sample| sample.flushes_per_s);
        let written = row.known(|sample| sample.written);
        let name = match workload {
            Workload::Paced => format!("refresh REGISTER, {} a second", args.rate),
            _ => workload.name().to_owned(),
        };
        writeln!(
            text,
            "| {name} | {} | {} | {:.0} | {} | {:.2} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {grouped} | {per_s} | {flushes} \
             | {written} | {} |",
            row.samples().map(|sample| sample.users).max().unwrap_or(0),
            subject.name(),
            row.median(|sample| sample.rate_per_s),
            row.ratio_to(base, |sample| sample.rate_per_s),
            row.median(|sample| sample.cpu_us),
            row.ratio_to(base, |sample| sample.cpu_us),
            row.median(|sample| sample.p50_ms),
            row.median(|sample| sample.p99_ms),
            row.median(|sample| sample.p999_ms),
            row.median(|sample| sample.longest_ms),
            row.samples().map(|sample| sample.troubles).sum::<u64>(),
        )?;
    }
    writeln!(text)
}

fn restarts(results: &Results, text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "| server | end | bindings | not written | from SIGTERM to the end | rows then (users) | start: a refresh answered | a \
         look-up answered | all loaded | bindings then |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    )?;
    let seconds =
        |time: Option<Duration>| time.map_or("–".to_owned(), |time| format!("{:.2} s", time.as_secs_f64()));
    for Restart { subject, end, users, unwritten, rows, register, lookup, loaded, bindings } in
        &results.restarts
    {
        let (end, took) = match end {
            End::Stopped(took) => ("SIGTERM", Some(*took)),
            End::Killed => ("SIGKILL under load", None),
        };
        let counted = |value: u64| if subject.is_seawall() { value.to_string() } else { "–".to_owned() };
        writeln!(
            text,
            "| {} | {end} | {users} | {} | {} | {} ({}) | {} | {} | {} | {} |",
            subject.name(),
            counted(*unwritten),
            seconds(took),
            rows.0,
            rows.1,
            seconds(*register),
            seconds(*lookup),
            seconds(*loaded),
            counted(*bindings),
        )?;
    }
    writeln!(text)
}

impl Sample {
    /// The number of users that was asked for: who is slow does not get through them, and is compared all the same.
    fn asked(&self, args: &StoreArgs) -> u32 {
        args.sizes().into_iter().filter(|size| *size >= self.users).min().unwrap_or(self.users)
    }
}

/// One row of the table of rates.
struct Row<'a> {
    args: &'a StoreArgs,
    results: &'a Results,
    workload: Workload,
    users: u32,
    subject: Subject,
}

impl<'a> Row<'a> {
    fn samples_of(&self, subject: Subject) -> impl Iterator<Item = &'a Sample> + use<'a> {
        let (workload, users, args) = (self.workload, self.users, self.args);
        let fits = move |sample: &&Sample| {
            (sample.workload, sample.asked(args), sample.subject) == (workload, users, subject)
        };
        self.results.samples.iter().filter(fits)
    }

    fn samples(&self) -> impl Iterator<Item = &'a Sample> + use<'a> {
        self.samples_of(self.subject)
    }

    fn median(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples().map(figure).collect())
    }

    /// The median of what may not be known.
    fn known(&self, figure: impl Fn(&Sample) -> Option<f64>) -> String {
        let figures: Vec<f64> = self.samples().filter_map(figure).collect();
        if figures.is_empty() { "–".to_owned() } else { format!("{:.0}", median(figures)) }
    }

    /// The median over the rounds of this row's figure in relation to that of another subject in the same round.
    fn ratio_to(&self, other: Subject, figure: impl Fn(&Sample) -> f64) -> String {
        let ratios: Vec<f64> = self
            .samples()
            .filter_map(|sample| {
                let base = self.samples_of(other).find(|base| base.round == sample.round)?;
                Some(figure(sample) / figure(base))
            })
            .filter(|ratio| ratio.is_finite())
            .collect();
        if ratios.is_empty() { "–".to_owned() } else { format!("{:.2}", median(ratios)) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::speed::Groups;
    use super::*;

    fn sample(subject: Subject, round: usize, users: u32, rate_per_s: f64) -> Sample {
        Sample {
            subject,
            workload: Workload::Refresh,
            round,
            users,
            rate_per_s,
            cpu_us: 5.0,
            p50_ms: 1.0,
            p99_ms: 2.0,
            p999_ms: 3.0,
            longest_ms: 4.0,
            troubles: 0,
            groups: Groups::default(),
            flushes_per_s: None,
            written: None,
        }
    }

    #[test]
    fn a_row_is_set_against_memory_only_of_the_same_round() {
        let samples = vec![
            sample(Subject::Memory, 0, 100_000, 100.0),
            sample(Subject::Memory, 1, 100_000, 200.0),
            sample(Subject::Back, 0, 100_000, 90.0),
            sample(Subject::Back, 1, 70_000, 160.0),
        ];
        let args = StoreArgs { million: false, users: 100_000, ..StoreArgs::of(".", "seawall") };
        let text = render(&args, &Results { samples, restarts: Vec::new() });
        assert!(text.contains("| Seawall, write-back | 125 | 0.85 | 5.00 | 1.00 |"), "{text}");
    }

    #[test]
    fn a_restart_is_told_with_what_was_found() {
        let restart = Restart {
            subject: Subject::Back,
            end: End::Stopped(Duration::from_millis(1500)),
            users: 10,
            unwritten: 9,
            rows: (10, 8),
            register: Some(Duration::from_millis(30)),
            lookup: None,
            loaded: Some(Duration::from_millis(400)),
            bindings: 10,
        };
        let args = StoreArgs::of(".", "seawall");
        let text = render(&args, &Results { samples: Vec::new(), restarts: vec![restart] });
        let row = "| Seawall, write-back | SIGTERM | 10 | 9 | 1.50 s | 10 (8) | 0.03 s | – | 0.40 s | 10 |";
        assert!(text.contains(row), "{text}");
    }
}
