//! Where the instructions of an operation go: a profile of callgrind, added up by stage. What stage a line belongs to is told by
//! the source file that it stands in; a line of a library that was made part of our code belongs to the code around it.

use std::collections::HashMap;

/// The stages, in the order of a request's way: a name, and where the source files stand that belong to it.
pub const STAGES: [(&str, &[&str]); 12] = [
    ("the net: receiving, sending", &["crates/net/"]),
    (
        "scan: lines, names, start line",
        &[
            "sip/src/scan.rs",
            "sip/src/lanes.rs",
            "sip/src/habit.rs",
            "sip/src/message.rs",
            "sip/src/name.rs",
            "sip/src/method.rs",
        ],
    ),
    ("checks", &["sip/src/validate.rs"]),
    (
        "what is sent: response, edits",
        &["sip/src/build.rs", "sip/src/edit.rs", "modules/src/reply.rs", "modules/src/forward"],
    ),
    ("Via, addresses, URIs, lists", &["crates/sip/"]),
    ("the script", &["crates/script/"]),
    ("save(), lookup(), the mid-registrar", &["crates/registrar/"]),
    ("the location table", &["crates/location/"]),
    ("transactions, their keys, tags", &["crates/transaction/"]),
    (
        "functions of the script, contexts",
        &["crates/modules/", "crates/push/", "crates/digest/", "crates/notifier/"],
    ),
    ("the worker's loop", &["crates/engine/", "crates/seawall/"]),
    ("copying, comparing, memory", &[]),
];

/// Instructions by stage, in the order of [`STAGES`]. What belongs to no other is in the last one: libraries that are
/// called.
pub type Counts = [u64; STAGES.len()];

/// Adds up what a profile counts, without what is counted again for callers.
pub fn by_stage(profile: &str) -> Counts {
    let mut counts = Counts::default();
    let mut names: HashMap<&str, usize> = HashMap::new();
    let mut here = LAST;
    let mut is_call = false;
    for line in profile.lines() {
        let file =
            ["fl=", "fi=", "fe="].iter().find_map(|prefix| Some((*prefix, line.strip_prefix(prefix)?)));
        if let Some((prefix, file)) = file {
            let (number, path) = file.split_once(' ').unwrap_or((file, ""));
            let stage = match path {
                "" => names.get(number).copied().unwrap_or(LAST),
                path => *names.entry(number).or_insert_with(|| stage_of(path)),
            };
            // A function begins where it stands; within it a line of a library leaves us where we are.
            if prefix == "fl=" || stage != LAST {
                here = stage;
            }
        } else if let Some(called) = line.strip_prefix("cfi=").or_else(|| line.strip_prefix("cfl=")) {
            if let Some((number, path)) = called.split_once(' ') {
                names.entry(number).or_insert_with(|| stage_of(path));
            }
        } else if line.starts_with("calls=") {
            is_call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '*')) {
            let cost = line.split_ascii_whitespace().nth(1).and_then(|cost| cost.parse::<u64>().ok());
            if let (Some(cost), false, Some(count)) = (cost, is_call, counts.get_mut(here)) {
                *count += cost;
            }
            is_call = false;
        }
    }
    counts
}

/// The stage of everything else.
const LAST: usize = STAGES.len() - 1;

fn stage_of(path: &str) -> usize {
    let belongs = |(_, parts): &(&str, &[&str])| parts.iter().any(|part| path.contains(part));
    STAGES.iter().position(belongs).unwrap_or(LAST)
}

/// A table of what one operation takes: the difference of a longer and a shorter run, for each of `operations`.
pub fn table(fewer: &Counts, more: &Counts, operations: u64) -> String {
    let each: Vec<f64> = more
        .iter()
        .zip(fewer)
        .map(|(more, fewer)| more.saturating_sub(*fewer) as f64 / operations.max(1) as f64)
        .collect();
    let all: f64 = each.iter().sum();
    let row =
        |name: &str, each: f64| format!("| {name} | {each:.0} | {:.0} % |\n", 100.0 * each / all.max(1.0));
    let rows: String = STAGES
        .iter()
        .zip(&each)
        .filter(|(_, each)| **each >= 0.5)
        .map(|((name, _), each)| row(name, *each))
        .collect();
    format!("| stage | instructions | share |\n|---|--:|--:|\n{rows}{}", row("all", all))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = "events: Ir\n\
        fl=(1) /s/crates/sip/src/scan.rs\nfn=(1) scan\n10 100\n\
        fi=(2) /rustc/x/library/core/src/slice.rs\n+5 30\n\
        fi=(3) /s/crates/sip/src/via.rs\n7 20\n\
        fi=(2)\n+1 4\n\
        fe=(1)\n* 6\n\
        cfi=(4) /s/crates/location/src/domain.rs\ncfn=(2) lock\ncalls=3 9\n12 999\n\
        fl=(4)\nfn=(2)\n9 50\n\
        fl=(2)\nfn=(3) grow\n-3 7\ntotals: 217\n";

    fn count(counts: &Counts, name: &str) -> u64 {
        let place = STAGES.iter().position(|(stage, _)| stage.contains(name)).unwrap();
        counts[place]
    }

    #[test]
    fn every_line_is_counted_once_in_its_stage() {
        let counts = by_stage(PROFILE);
        assert_eq!(count(&counts, "scan"), 136);
        assert_eq!(count(&counts, "Via"), 24);
        assert_eq!(count(&counts, "location"), 50);
        assert_eq!(count(&counts, "copying"), 7);
        assert_eq!(counts.iter().sum::<u64>(), 217);
    }

    #[test]
    fn the_table_has_what_one_operation_takes() {
        let more = by_stage(PROFILE);
        let text = table(&Counts::default(), &more, 2);
        assert!(text.contains("| scan: lines, names, start line | 68 | 63 % |"), "{text}");
        assert!(text.ends_with("| all | 108 | 100 % |\n"), "{text}");
        assert!(!text.contains("checks"), "{text}");
    }
}
