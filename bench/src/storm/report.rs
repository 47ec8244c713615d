//! Storms in words and tables.

use std::fmt::Write;

use super::measure::{Calm, Outcome};
use super::{StormArgs, Stormed};
use crate::compare::median;
use crate::load::{self, Share, Wave};

/// A server's outcomes, round by round.
#[derive(Clone, Debug)]
pub struct Row {
    /// Who.
    pub stormed: Stormed,
    /// One for each round.
    pub outcomes: Vec<Outcome>,
}

/// What a server does in the calm, before a storm.
pub fn calm(name: &str, calm: &Calm) -> String {
    format!(
        "{name}: capacity {:.0} refreshes/s, {:.0} of the mix; {:.2} us of processor time a refresh, {:.2} us a new one",
        calm.refreshes_per_s,
        calm.mix_before_per_s,
        calm.refresh_s * 1e6,
        calm.new_s * 1e6,
    )
}

/// What became of the requests of a storm.
pub fn wave(name: &str, wave: &Wave, capacity: f64) -> String {
    let mut text = format!(
        "{name}: {:.2} × the capacity offered, goodput {:.1} % of the capacity\n\
         | users | sent /s | accepted /s | refused /s | p50, p99, most of the accepted ms | p99 of the refused ms |\n\
         |---|--:|--:|--:|--:|--:|\n",
        wave.per_s(wave.sent()) / capacity,
        wave.per_s(wave.known.accepted + wave.new.accepted) / capacity * 100.0,
    );
    for (name, share) in [("known", &wave.known), ("new", &wave.new)] {
        let Share { sent, accepted, refused, latency, refusal } = share;
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {name} | {:.0} | {:.0} | {:.0} | {:.1}, {:.1}, {:.1} | {:.1} |",
            wave.per_s(*sent),
            wave.per_s(*accepted),
            wave.per_s(*refused),
            ms(latency.percentile_ns(50.0)),
            ms(latency.percentile_ns(99.0)),
            ms(latency.max_ns()),
            ms(refusal.percentile_ns(99.0)),
        );
    }
    text
}

/// A storm set against the calm.
pub fn outcome(outcome: &Outcome) -> String {
    let Outcome { calm, of_refreshes, of_mix, of_mix_answered, weighed, of_use, .. } = outcome;
    format!(
        "goodput: {:.1} % of the capacity for refreshes, {:.1} % of that for the same mix ({:.0}/s before, {:.0}/s after)\n\
         goodput until the last answer: {:.1} % of that for the same mix\n\
         goodput with each new one as the {:.2} refreshes that it takes: {:.1} % of the capacity\n\
         of use: {:.1} % of the processor time, by what those who were accepted would have taken in the calm",
        of_refreshes * 100.0,
        of_mix * 100.0,
        calm.mix_before_per_s,
        calm.mix_after_per_s,
        of_mix_answered * 100.0,
        calm.new_s / calm.refresh_s.max(1e-12),
        weighed * 100.0,
        of_use * 100.0,
    )
}

/// How long after the storm the first tenth of a second began from which on every request was accepted.
pub fn recovered_s(after: &Wave) -> Option<f64> {
    let bad = after.slices.iter().rposition(|slice| slice.accepted < slice.sent);
    match bad.map_or(0, |bad| bad + 1) {
        slices if slices >= after.slices.len() => None,
        slices => Some(slices as f64 * f64::from(load::SLICE_US) / 1e6),
    }
}

/// The same in words.
pub fn recovery(recovered_s: Option<f64>) -> String {
    match recovered_s {
        None => "not within the time that was looked at".to_owned(),
        Some(s) => format!("{s:.1} s after the storm"),
    }
}

/// The medians and ranges of all rounds as Markdown, and how a server stands to the echo.
pub fn render(args: &StormArgs, rows: &[Row]) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_summary(args, rows, &mut text);
    text
}

fn write_summary(args: &StormArgs, rows: &[Row], text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "{} × the capacity for {} s, {} % of known users, medians of {} rounds (lowest to highest):\n\n\
         | server | capacity, refreshes/s | of the mix, before /s | after /s | offered × | goodput, of refreshes % | of the mix % | of the mix, until the last answer % \
         | each new one as what he takes % | of use % | recovered after s |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
        args.times, args.seconds, args.known, args.repetitions,
    )?;
    for Row { stormed, outcomes } in rows {
        let span = |figure: fn(&Outcome) -> f64| Span::of(outcomes.iter().map(figure));
        let recovered =
            |outcome: &Outcome| outcome.recovered_s.map_or("–".to_owned(), |s| format!("{s:.1}"));
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            stormed.contender().name(),
            span(|outcome| outcome.calm.refreshes_per_s).shown(0),
            span(|outcome| outcome.calm.mix_before_per_s).shown(0),
            span(|outcome| outcome.calm.mix_after_per_s).shown(0),
            span(|outcome| outcome.offered).shown(2),
            span(|outcome| outcome.of_refreshes * 100.0).shown(1),
            span(|outcome| outcome.of_mix * 100.0).shown(1),
            span(|outcome| outcome.of_mix_answered * 100.0).shown(1),
            span(|outcome| outcome.weighed * 100.0).shown(1),
            span(|outcome| outcome.of_use * 100.0).shown(1),
            outcomes.iter().map(recovered).collect::<Vec<_>>().join(", "),
        )?;
    }
    writeln!(text)?;
    let Some(echo) = rows.iter().find(|row| row.stormed == Stormed::Echo) else { return Ok(()) };
    let keeps = |figure: fn(&Outcome) -> f64| Span::of(echo.outcomes.iter().map(figure));
    writeln!(
        text,
        "the echo keeps {} % of its capacity, {} % of that for the same mix, {} % of it until the last answer, at {} times what it \
         can serve",
        keeps(|outcome| outcome.of_refreshes * 100.0).shown(1),
        keeps(|outcome| outcome.of_mix * 100.0).shown(1),
        keeps(|outcome| outcome.of_mix_answered * 100.0).shown(1),
        keeps(|outcome| outcome.offered).shown(2),
    )?;
    for row in rows.iter().filter(|row| row.stormed != Stormed::Echo) {
        // Within a round: whatever else the machine does meets both alike.
        let against = |figure: fn(&Outcome) -> f64| {
            let rounds = row.outcomes.iter().zip(&echo.outcomes);
            Span::of(rounds.map(|(own, echo)| figure(own) / figure(echo).max(1e-9) * 100.0)).shown(1)
        };
        writeln!(
            text,
            "{} against what the echo keeps: {} % for refreshes, {} % for the same mix, {} % of it until the last answer",
            row.stormed.contender().name(),
            against(|outcome| outcome.of_refreshes),
            against(|outcome| outcome.of_mix),
            against(|outcome| outcome.of_mix_answered),
        )?;
    }
    Ok(())
}

/// The middle of some figures, and how far they reach.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Span {
    lowest: f64,
    middle: f64,
    highest: f64,
}

impl Span {
    fn of(figures: impl Iterator<Item = f64>) -> Self {
        let figures: Vec<f64> = figures.collect();
        let lowest = figures.iter().copied().reduce(f64::min).unwrap_or_default();
        let highest = figures.iter().copied().reduce(f64::max).unwrap_or_default();
        Span { lowest, middle: median(figures), highest }
    }

    fn shown(self, digits: usize) -> String {
        let Span { lowest, middle, highest } = self;
        format!("{middle:.digits$} ({lowest:.digits$} to {highest:.digits$})")
    }
}

fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Slice;
    use crate::storm::tests::args;

    fn row(stormed: Stormed, goodputs: [f64; 3]) -> Row {
        let outcome = |goodput: f64| Outcome {
            calm: Calm {
                refreshes_per_s: 1000.0,
                refresh_s: 5e-6,
                new_s: 7e-6,
                mix_before_per_s: 900.0,
                mix_after_per_s: 700.0,
            },
            offered: 10.0,
            of_refreshes: goodput,
            of_mix: goodput / 0.8,
            of_mix_answered: goodput,
            weighed: goodput * 1.2,
            of_use: goodput * 1.1,
            recovered_s: (goodput > 0.5).then_some(0.1),
        };
        Row { stormed, outcomes: goodputs.map(outcome).to_vec() }
    }

    fn check(rows: &[Row], expected: &[&str]) {
        let text = render(&args("storm").unwrap(), rows);
        for line in expected {
            assert!(text.lines().any(|is| is == *line), "{line}\nis missing in\n{text}");
        }
        let echo = rows.iter().any(|row| row.stormed == Stormed::Echo);
        assert_eq!(text.contains("the echo keeps"), echo, "{text}");
    }

    #[test]
    fn medians_and_ranges_stand_at_the_end() {
        let expected = "| Seawall | 1000 (1000 to 1000) | 900 (900 to 900) | 700 (700 to 700) | 10.00 (10.00 to 10.00) \
                        | 72.0 (40.0 to 80.0) | 90.0 (50.0 to 100.0) | 72.0 (40.0 to 80.0) | 86.4 (48.0 to 96.0) | 79.2 (44.0 to 88.0) | 0.1, –, 0.1 |";
        check(&[row(Stormed::Seawall, [0.72, 0.4, 0.8])], &[expected]);
    }

    #[test]
    fn a_server_is_set_against_what_the_echo_keeps_within_a_round() {
        check(
            &[row(Stormed::Seawall, [0.72, 0.4, 0.8]), row(Stormed::Echo, [0.8, 0.5, 0.64])],
            &[
                "the echo keeps 64.0 (50.0 to 80.0) % of its capacity, 80.0 (62.5 to 100.0) % of that for the same mix, \
                 64.0 (50.0 to 80.0) % of it until the last answer, at 10.00 (10.00 to 10.00) times what it can serve",
                "Seawall against what the echo keeps: 90.0 (80.0 to 125.0) % for refreshes, 90.0 (80.0 to 125.0) % for the same mix, \
                 90.0 (80.0 to 125.0) % of it until the last answer",
            ],
        );
    }

    #[test]
    fn it_has_recovered_from_the_tenth_on_that_accepts_everything() {
        let after = |accepted: &[u64]| Wave {
            slices: accepted.iter().map(|accepted| Slice { sent: 10, accepted: *accepted }).collect(),
            ..Wave::default()
        };
        assert_eq!(recovered_s(&after(&[10, 10])), Some(0.0));
        assert_eq!(recovered_s(&after(&[9, 10, 8, 10, 10])), Some(0.3));
        assert_eq!(recovered_s(&after(&[10, 9])), None);
    }

    #[test]
    fn one_storm_is_told_with_what_the_mix_is_in_the_calm() {
        let outcomes = row(Stormed::Seawall, [0.72, 0.4, 0.8]).outcomes;
        let text = outcome(&outcomes[0]);
        assert!(
            text.starts_with(
                "goodput: 72.0 % of the capacity for refreshes, 90.0 % of that for the same mix (900/s before, 700/s after)\n\
                 goodput until the last answer: 72.0 % of that for the same mix\n\
                 goodput with each new one as the 1.40 refreshes that it takes: 86.4 % of the capacity\n"
            ),
            "{text}"
        );
        assert!(
            calm("Seawall", &outcomes[0].calm)
                .starts_with("Seawall: capacity 1000 refreshes/s, 900 of the mix;")
        );
    }
}
