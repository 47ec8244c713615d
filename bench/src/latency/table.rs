//! The tables of latencies as Markdown.

use std::fmt::Write;

use super::windows::{Figure, Quartiles, Side, Window, above, us};
use super::{LatencyArgs, Round};
use crate::compare::{machine, median};
use crate::histogram::Histogram;

type Pick = fn(&Round) -> &Side;

/// A server at a pace, with its name.
struct Row {
    name: String,
    pick: Pick,
}

/// Which windows are looked at.
#[derive(Clone, Copy)]
struct Choice {
    name: &'static str,
    /// The longest gap in one of them, microseconds.
    most_gap_us: f64,
    /// The latency of all requests in them.
    together: fn(&Side) -> &Histogram,
}

/// The figures of a window that have a column each.
const FIGURES: [Figure; 4] =
    [|window| window.p50_us, |window| window.p99_us, |window| window.p999_us, |window| window.longest_us];

/// The tables as Markdown.
pub fn render(args: &LatencyArgs, rounds: &[Round]) -> String {
    let (server, beside) = (args.server.name(), args.beside.name());
    let own = Row { name: server.to_owned(), pick: |round| &round.server };
    let others = [
        Row { name: format!("{beside}, the same rate"), pick: |round| &round.same_rate },
        Row { name: format!("{beside}, {} % of its own", args.load), pick: |round| &round.same_load },
    ];
    let choices = [
        Choice { name: "all", most_gap_us: f64::INFINITY, together: |side| &side.together },
        Choice {
            name: "undisturbed",
            most_gap_us: f64::from(args.gap_us),
            together: |side| &side.undisturbed,
        },
    ];
    let tables = Tables { args, rounds, own, others, choices };
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = tables.write(&mut text);
    text
}

struct Tables<'a> {
    args: &'a LatencyArgs,
    rounds: &'a [Round],
    own: Row,
    others: [Row; 2],
    choices: [Choice; 2],
}

impl Tables<'_> {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        self.write_conditions(text)?;
        self.write_latencies(text)?;
        self.write_work(text)?;
        self.write_rounds(text)?;
        self.write_stolen(text)
    }

    /// Those beside it first, as what it is measured by.
    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.others.iter().chain([&self.own])
    }

    /// The windows of a row in all rounds.
    fn windows(&self, row: &Row, most_gap_us: f64) -> Vec<Window> {
        let windows = self.rounds.iter().flat_map(|round| &(row.pick)(round).windows);
        windows.filter(|window| window.gap_us <= most_gap_us).copied().collect()
    }

    fn write_conditions(&self, text: &mut String) -> std::fmt::Result {
        let args = self.args;
        let pinned = &args.conditions.pinned;
        writeln!(
            text,
            "{}; servers on CPU {}, busy-polling generator on CPU {}; {} % of what {} reached at saturation in the same \
             round, open loop, {} s in windows of {} ms that take turns; refresh REGISTER, {} AoRs; latency from the moment at \
             which a request was due; {} rounds.\n",
            machine(),
            pinned.server_cpu,
            pinned.generator_cpu,
            args.load,
            self.own.name,
            args.seconds,
            args.window_ms,
            args.users,
            self.rounds.len(),
        )
    }

    /// Medians over the windows and over pairs of them, and what all windows together give.
    fn write_latencies(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "| windows | server | windows | p50 µs | p99 µs | p99.9 µs | its quartiles | longest µs |\n\
             |---|---|--:|--:|--:|--:|--:|--:|"
        )?;
        for choice in &self.choices {
            for row in self.rows() {
                let windows = self.windows(row, choice.most_gap_us);
                let columns = FIGURES.map(|figure| windows.iter().map(figure).collect());
                write!(text, "| {}, median | {} | {} ", choice.name, row.name, windows.len())?;
                write_quartiles(text, columns, |us| format!("{us:.0}"))?;
            }
            for other in &self.others {
                let columns = FIGURES.map(|figure| self.above(other, choice.most_gap_us, figure));
                let pairs = columns[0].len();
                write!(
                    text,
                    "| {}, median | {} above {}, windows beside each other | {pairs} ",
                    choice.name, self.own.name, other.name
                )?;
                write_quartiles(text, columns, |us| format!("{us:+.0}"))?;
            }
        }
        for choice in &self.choices {
            for row in self.rows() {
                let mut all = Histogram::default();
                for round in self.rounds {
                    all.merge((choice.together)((row.pick)(round)));
                }
                let [p50, p99, p999] = [50.0, 99.0, 99.9].map(|percent| us(all.percentile_ns(percent)));
                let windows = self.windows(row, choice.most_gap_us).len();
                write!(text, "| {}, together | {} | {windows} ", choice.name, row.name)?;
                if windows == 0 {
                    writeln!(text, "{NOTHING}")?;
                } else {
                    writeln!(text, "| {p50:.0} | {p99:.0} | {p999:.0} | – | {:.0} |", us(all.max_ns()))?;
                }
            }
        }
        writeln!(text)
    }

    /// What the server took of its CPU, and how long it waited for it.
    fn write_work(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "| windows | server | at saturation /s | offered /s | busy % | CPU µs a request | waited for the CPU, µs a request \
             | sent again |\n|---|---|--:|--:|--:|--:|--:|--:|"
        )?;
        for choice in &self.choices {
            for row in self.rows() {
                let middle = |rate: fn(&Side) -> f64| {
                    median(self.rounds.iter().map(|round| rate((row.pick)(round))).collect())
                };
                let windows = self.windows(row, choice.most_gap_us);
                if windows.is_empty() {
                    continue;
                }
                let sum = |figure: Figure| windows.iter().map(figure).sum::<f64>();
                let (run_us, wait_us) = (sum(|window| window.run_us), sum(|window| window.wait_us));
                let requests = sum(|window| window.requests as f64).max(1.0);
                writeln!(
                    text,
                    "| {} | {} | {:.0} | {:.0} | {:.0} | {:.2} | {:.3} | {} |",
                    choice.name,
                    row.name,
                    middle(|side| side.saturated_per_s),
                    middle(|side| side.rate_per_s),
                    run_us / sum(|window| window.elapsed_us).max(1.0) * 100.0,
                    run_us / requests,
                    wait_us / requests,
                    windows.iter().map(|window| window.troubles).sum::<u64>(),
                )?;
            }
        }
        writeln!(text)
    }

    /// Whether the rounds agree.
    fn write_rounds(&self, text: &mut String) -> std::fmt::Result {
        let limit_us = f64::from(self.args.gap_us);
        for row in self.rows() {
            let (all, calm) = (self.windows(row, f64::INFINITY).len(), self.windows(row, limit_us).len());
            writeln!(
                text,
                "The generator's CPU stood still for more than {limit_us:.0} µs in {} of {all} windows of {}.\n",
                all - calm,
                row.name
            )?;
        }
        for choice in &self.choices {
            for other in &self.others {
                let of_round = |round: &Round| {
                    let (own, other) = (&(self.own.pick)(round).windows, &(other.pick)(round).windows);
                    let differences = above(own, other, choice.most_gap_us, |window| window.p999_us);
                    if differences.is_empty() {
                        "–".to_owned()
                    } else {
                        format!("{:+.0}", median(differences))
                    }
                };
                let each: Vec<String> = self.rounds.iter().map(of_round).collect();
                writeln!(
                    text,
                    "p99.9 of {} above that of {}, median of the pairs ({} windows), round by round, µs: {}.\n",
                    self.own.name,
                    other.name,
                    choice.name,
                    each.join(", ")
                )?;
            }
        }
        Ok(())
    }

    /// What the hypervisor took, where it tells that.
    fn write_stolen(&self, text: &mut String) -> std::fmt::Result {
        for row in self.rows() {
            let windows = self.windows(row, f64::INFINITY);
            let sum_ms = |figure: Figure| windows.iter().map(figure).sum::<f64>() / 1e3;
            let stolen = [sum_ms(|window| window.stolen_us), sum_ms(|window| window.generator_stolen_us)];
            if stolen.iter().any(|ms| *ms > 0.0) {
                let [server, generator] = stolen;
                writeln!(
                    text,
                    "Stolen in {:.0} ms of {}: {server:.0} ms from its CPU, {generator:.0} ms from the generator's.\n",
                    sum_ms(|window| window.elapsed_us),
                    row.name,
                )?;
            }
        }
        Ok(())
    }

    /// What it has more than another one in windows beside each other, in all rounds.
    fn above(&self, other: &Row, most_gap_us: f64, figure: Figure) -> Vec<f64> {
        let of_round = |round| {
            let (own, other): (&Side, &Side) = ((self.own.pick)(round), (other.pick)(round));
            above(&own.windows, &other.windows, most_gap_us, figure)
        };
        self.rounds.iter().flat_map(of_round).collect()
    }
}

/// In place of the columns from p50 on where no window is left.
const NOTHING: &str = "| – | – | – | – | – |";

/// The columns from p50 on.
fn write_quartiles(text: &mut String, columns: [Vec<f64>; 4], shown: fn(f64) -> String) -> std::fmt::Result {
    if columns.iter().all(Vec::is_empty) {
        return writeln!(text, "{NOTHING}");
    }
    let [p50, p99, p999, longest] = columns.map(Quartiles::of);
    writeln!(
        text,
        "| {} | {} | {} | {} to {} | {} |",
        shown(p50.middle),
        shown(p99.middle),
        shown(p999.middle),
        shown(p999.lower),
        shown(p999.upper),
        shown(longest.middle),
    )
}

#[cfg(test)]
pub(super) mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        args: LatencyArgs,
    }

    /// Parses arguments; `None` when they are refused.
    pub fn args(line: &str) -> Option<LatencyArgs> {
        Program::try_parse_from(line.split(' ')).ok().map(|program| program.args)
    }

    /// A side whose windows have these p99.9 and gaps.
    fn side(rate_per_s: f64, windows: &[(f64, f64)]) -> Side {
        let mut side = Side::new(rate_per_s / 0.8, rate_per_s);
        for (p999_us, gap_us) in windows {
            let mut latency = Histogram::default();
            latency.record((p999_us * 1e3) as u64);
            let window = Window {
                p50_us: 100.0,
                p99_us: 200.0,
                p999_us: *p999_us,
                longest_us: p999_us + 1.0,
                requests: 110,
                troubles: 1,
                gap_us: *gap_us,
                elapsed_us: 110_000.0,
                run_us: 550.0,
                wait_us: 11.0,
                ..Window::default()
            };
            side.add(window, &latency, 200.0);
        }
        side
    }

    fn check(rounds: &[Round], expected: &[&str]) {
        let text = render(&args("latency").unwrap(), rounds);
        for line in expected {
            assert!(text.lines().any(|is| is == *line), "{line}\nis missing in\n{text}");
        }
        assert_eq!(text.contains("Stolen"), expected.iter().any(|line| line.starts_with("Stolen")), "{text}");
    }

    /// The machine is slow in the third window of each, for all alike, and in the first of the second round for one.
    fn rounds() -> [Round; 2] {
        [
            Round {
                server: side(1000.0, &[(300.0, 5.0), (310.0, 5.0), (5300.0, 900.0)]),
                same_rate: side(1000.0, &[(200.0, 5.0), (220.0, 5.0), (5260.0, 900.0)]),
                same_load: side(1200.0, &[(250.0, 5.0), (250.0, 5.0), (5290.0, 900.0)]),
            },
            Round {
                server: side(900.0, &[(320.0, 5.0), (330.0, 5.0)]),
                same_rate: side(900.0, &[(9000.0, 700.0), (240.0, 5.0)]),
                same_load: side(1100.0, &[(260.0, 5.0), (270.0, 5.0)]),
            },
        ]
    }

    #[test]
    fn the_middle_window_shows_and_the_longest_answer_is_not_hidden() {
        check(
            &rounds(),
            &[
                "| all, median | UDP echo, the same rate | 5 | 100 | 200 | 240 | 220 to 5260 | 241 |",
                "| all, median | Seawall | 5 | 100 | 200 | 320 | 310 to 330 | 321 |",
                "| undisturbed, median | UDP echo, the same rate | 3 | 100 | 200 | 220 | 210 to 230 | 221 |",
                "| undisturbed, median | Seawall | 4 | 100 | 200 | 315 | 308 to 322 | 316 |",
                "| all, together | Seawall | 5 | 324 | 5300 | 5300 | – | 5300 |",
                "| undisturbed, together | UDP echo, 80 % of its own | 4 | 252 | 270 | 270 | – | 270 |",
                "The generator's CPU stood still for more than 200 µs in 2 of 5 windows of UDP echo, the same rate.",
                "The generator's CPU stood still for more than 200 µs in 1 of 5 windows of Seawall.",
            ],
        );
    }

    #[test]
    fn differences_are_taken_between_windows_beside_each_other() {
        let above = "Seawall above UDP echo, the same rate, windows beside each other";
        let p999 = "p99.9 of Seawall above that of UDP echo, the same rate, median of the pairs";
        check(
            &rounds(),
            &[
                &format!("| all, median | {above} | 5 | +0 | +0 | +90 | +40 to +90 | +90 |"),
                &format!("| undisturbed, median | {above} | 3 | +0 | +0 | +90 | +90 to +95 | +90 |"),
                &format!("{p999} (all windows), round by round, µs: +90, -4295."),
                &format!("{p999} (undisturbed windows), round by round, µs: +95, +90."),
            ],
        );
    }

    #[test]
    fn work_is_told_by_the_request() {
        check(
            &rounds(),
            &[
                "| all | Seawall | 1188 | 950 | 0 | 5.00 | 0.100 | 5 |",
                "| undisturbed | UDP echo, the same rate | 1188 | 950 | 0 | 5.00 | 0.100 | 3 |",
            ],
        );
    }

    #[test]
    fn what_was_stolen_is_told_where_something_was() {
        let mut rounds = rounds();
        rounds[1].server.windows[0].stolen_us = 20_000.0;
        check(&rounds, &["Stolen in 550 ms of Seawall: 20 ms from its CPU, 0 ms from the generator's."]);
    }

    #[test]
    fn a_round_without_an_undisturbed_pair_says_so() {
        let rounds = [Round {
            server: side(1000.0, &[(300.0, 900.0)]),
            same_rate: side(1000.0, &[(200.0, 5.0)]),
            same_load: side(1000.0, &[(200.0, 5.0)]),
        }];
        let p999 = "p99.9 of Seawall above that of UDP echo, the same rate, median of the pairs";
        check(
            &rounds,
            &[
                "| undisturbed, median | Seawall | 0 | – | – | – | – | – |",
                "| undisturbed, together | Seawall | 0 | – | – | – | – | – |",
                &format!("{p999} (undisturbed windows), round by round, µs: –."),
            ],
        );
        let text = render(&args("latency").unwrap(), &rounds);
        assert!(!text.contains("| undisturbed | Seawall |"), "nothing is known of its work then");
    }
}
