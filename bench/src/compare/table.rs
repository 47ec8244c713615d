//! The tables: medians, and ratios to the echo and to tuned Kamailio of the same repetition.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;

use super::{CompareArgs, Results, Sample, Workload};
use crate::server::Contender;
use crate::stages;

/// All tables as Markdown.
pub fn render(args: &CompareArgs, results: &Results) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = header(args, &mut text);
    if !results.samples.is_empty() {
        let _ = speed(results, &mut text);
    }
    if !results.memory.is_empty() {
        let _ = memory(results, &mut text);
    }
    if !results.instructions.is_empty() {
        let _ = instructions(results, &mut text);
        text += &stages::table(&results.stages);
    }
    text
}

fn model() -> String {
    let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu_info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown CPU");
    model.trim_start_matches(['\t', ' ', ':']).to_owned()
}

/// The machine, in words.
pub fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{}, {cpus} CPUs, Linux {}", model(), release.trim())
}

fn header(args: &CompareArgs, text: &mut String) -> std::fmt::Result {
    let pinned = match args.workers {
        1 => format!("server on CPU {}", args.beside.pinned.server_cpu),
        workers => format!("{workers} workers, not pinned"),
    };
    if args.only_instructions {
        return writeln!(text, "Counted by callgrind on {}.\n", model());
    }
    writeln!(
        text,
        "{}; {pinned}, busy-polling generator on CPU {}; loopback UDP, in memory, no \
         authentication, {} in flight from {} source socket(s); medians of {} rounds.\n",
        machine(),
        args.beside.pinned.generator_cpu,
        args.beside.window,
        args.beside.sockets,
        args.repetitions
    )
}

fn speed(results: &Results, text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "| workload | AoRs | server | CPU µs | × echo | × Kamailio | per second | × Kamailio | p50 µs | p99 µs | \
         × echo (p50) | troubles |\n|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    )?;
    let rows: BTreeSet<(u32, Workload, Contender)> =
        results.samples.iter().map(|sample| (sample.users, sample.workload, sample.contender)).collect();
    for (users, workload, contender) in rows {
        let row = Row { results, users, workload, contender };
        let troubles: u64 = row.samples().map(|sample| sample.troubles).sum();
        writeln!(
            text,
            "| {} | {users} | {} | {:.2} | {} | {} | {:.0} | {} | {:.0} | {:.0} | {} | {troubles} |",
            workload.name(),
            contender.name(),
            row.median(|sample| sample.cpu_us),
            row.ratio_to(Contender::Echo, |sample| sample.cpu_us),
            row.ratio_to(Contender::Kamailio, |sample| sample.cpu_us),
            row.median(|sample| sample.rate_per_s),
            row.ratio_to(Contender::Kamailio, |sample| sample.rate_per_s),
            row.median(|sample| sample.p50_us),
            row.median(|sample| sample.p99_us),
            row.ratio_to(Contender::Echo, |sample| sample.p50_us),
        )?;
    }
    writeln!(text)
}

fn memory(results: &Results, text: &mut String) -> std::fmt::Result {
    writeln!(text, "| AoRs, one binding each | server | bytes a binding |\n|--:|---|--:|")?;
    let rows: BTreeSet<(u32, Contender)> =
        results.memory.iter().map(|memory| (memory.users, memory.contender)).collect();
    for (users, contender) in rows {
        let of_row = results.memory.iter().filter(|m| (m.users, m.contender) == (users, contender));
        let bytes = median(of_row.map(|memory| memory.bytes_a_binding).collect());
        writeln!(text, "| {users} | {} | {bytes:.0} |", contender.name())?;
    }
    writeln!(text)
}

fn instructions(results: &Results, text: &mut String) -> std::fmt::Result {
    writeln!(text, "| workload | server | user instructions |\n|---|---|--:|")?;
    let mut rows = results.instructions.clone();
    rows.sort_by_key(|(_, workload, _)| *workload);
    for (server, workload, each) in rows {
        writeln!(text, "| {} | {server} | {each:.0} |", workload.name())?;
    }
    writeln!(text)
}

/// One row of the speed table.
struct Row<'a> {
    results: &'a Results,
    users: u32,
    workload: Workload,
    contender: Contender,
}

impl<'a> Row<'a> {
    fn samples(&self) -> impl Iterator<Item = &'a Sample> + use<'a> {
        let (users, workload, contender) = (self.users, self.workload, self.contender);
        let belongs = move |sample: &&Sample| {
            (sample.users, sample.workload, sample.contender) == (users, workload, contender)
        };
        self.results.samples.iter().filter(belongs)
    }

    fn median(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples().map(figure).collect())
    }

    /// The median over the repetitions of this row's figure in relation to another server's; the echo's only workload
    /// stands for all of them.
    fn ratio_to(&self, other: Contender, figure: impl Fn(&Sample) -> f64) -> String {
        let workload = if other == Contender::Echo { Workload::Refresh } else { self.workload };
        let ratios: Vec<f64> = self
            .samples()
            .filter_map(|sample| {
                let stands_beside = |base: &&Sample| {
                    base.repetition == sample.repetition
                        && (base.users, base.workload, base.contender) == (self.users, workload, other)
                };
                let base = self.results.samples.iter().find(stands_beside)?;
                Some(figure(sample) / figure(base))
            })
            .filter(|ratio| ratio.is_finite())
            .collect();
        if ratios.is_empty() { "–".to_owned() } else { format!("{:.2}", median(ratios)) }
    }
}

/// The middle one, or the mean of the middle two; 0 of nothing.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    let at = |index: usize| figures.get(index).copied().unwrap_or_default();
    match figures.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => at(middle),
        _ => (at(middle - 1) + at(middle)) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(repetition: usize, contender: Contender, workload: Workload, cpu_us: f64) -> Sample {
        let (rate_per_s, p50_us, p99_us) = (1e6 / cpu_us, cpu_us, 2.0 * cpu_us);
        Sample { repetition, contender, workload, users: 10, cpu_us, rate_per_s, p50_us, p99_us, troubles: 0 }
    }

    #[test]
    fn a_median_is_the_middle() {
        for (figures, expected) in
            [(vec![], 0.0), (vec![3.0], 3.0), (vec![9.0, 1.0, 5.0], 5.0), (vec![4.0, 1.0, 2.0, 9.0], 3.0)]
        {
            assert_eq!(median(figures), expected);
        }
    }

    #[test]
    fn ratios_are_taken_within_a_repetition() {
        // The machine is twice as slow in the second round: the ratio stays.
        let mut results = Results::default();
        for (repetition, slowness) in [(0, 1.0), (1, 2.0)] {
            results.samples.push(sample(repetition, Contender::Echo, Workload::Refresh, 2.0 * slowness));
            results.samples.push(sample(repetition, Contender::Seawall, Workload::Fresh, 5.0 * slowness));
        }
        let row =
            Row { results: &results, users: 10, workload: Workload::Fresh, contender: Contender::Seawall };
        assert_eq!(row.ratio_to(Contender::Echo, |sample| sample.cpu_us), "2.50");
        assert_eq!(row.median(|sample| sample.cpu_us), 7.5);
        assert_eq!(row.ratio_to(Contender::Kamailio, |sample| sample.cpu_us), "–");
    }
}
