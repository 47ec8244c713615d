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
            "sip/src/mould",
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([u64; STAGES.len()]);

impl Counts {
    /// All instructions.
    pub fn all(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Adds those of another process.
    pub fn add(&mut self, other: &Counts) {
        for (count, other) in self.0.iter_mut().zip(other.0) {
            *count += other;
        }
    }

    /// What one operation takes: these are those of a run with so many operations more than the other one.
    pub fn each(&self, fewer: &Counts, operations: u64) -> Each {
        let mut each = Each::default();
        for (each, (more, fewer)) in each.0.iter_mut().zip(self.0.iter().zip(fewer.0)) {
            *each = (*more as f64 - fewer as f64) / operations.max(1) as f64;
        }
        each
    }
}

/// Instructions of one operation by stage.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Each([f64; STAGES.len()]);

impl Each {
    /// All instructions.
    pub fn all(&self) -> f64 {
        self.0.iter().sum()
    }
}

/// Adds up what a profile counts, without what is counted again for callers.
pub fn by_stage(profile: &str) -> Counts {
    let mut counts = Counts::default();
    let mut names: HashMap<&str, usize> = HashMap::new();
    // The stage of the file that was named last, and the one that lines are counted in.
    let (mut named, mut here) = (LAST, LAST);
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
            named = stage;
            // Within a function a line of a library leaves us where we are.
            if prefix == "fl=" || stage != LAST {
                here = stage;
            }
        } else if line.starts_with("fn=") {
            // One that stands in the file that was named last does not name it again.
            here = named;
        } else if let Some(called) = line.strip_prefix("cfi=").or_else(|| line.strip_prefix("cfl=")) {
            if let Some((number, path)) = called.split_once(' ') {
                names.entry(number).or_insert_with(|| stage_of(path));
            }
        } else if line.starts_with("calls=") {
            is_call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '*')) {
            let cost = line.split_ascii_whitespace().nth(1).and_then(|cost| cost.parse::<u64>().ok());
            if let (Some(cost), false, Some(count)) = (cost, is_call, counts.0.get_mut(here)) {
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

/// A table with two columns, instructions and their share, for each operation.
pub fn table(operations: &[(&str, Each)]) -> String {
    let line = |first: &str, cells: &mut dyn Iterator<Item = String>| {
        let cells: String = cells.map(|cell| format!(" {cell} |")).collect();
        format!("| {first} |{cells}\n")
    };
    let mut text = line("stage", &mut operations.iter().map(|(name, _)| format!("{name} | %")));
    text += &format!("|---|{}\n", "--:|--:|".repeat(operations.len()));
    for (place, (stage, _)) in STAGES.iter().enumerate() {
        let count = |each: &Each| each.0.get(place).copied().unwrap_or_default();
        if operations.iter().all(|(_, each)| count(each) < 0.5) {
            continue;
        }
        let cell =
            |each: &Each| format!("{:.0} | {:.0}", count(each), 100.0 * count(each) / each.all().max(1.0));
        text += &line(stage, &mut operations.iter().map(|(_, each)| cell(each)));
    }
    text + &line("all", &mut operations.iter().map(|(_, each)| format!("{:.0} | 100", each.all())))
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
        fi=(1)\n3 1\nfi=(2)\n4 2\nfn=(3) grow\n-3 7\ntotals: 220\n";

    fn count(counts: &Counts, name: &str) -> u64 {
        let place = STAGES.iter().position(|(stage, _)| stage.contains(name)).unwrap();
        counts.0[place]
    }

    #[test]
    fn every_line_is_counted_once_in_its_stage() {
        let counts = by_stage(PROFILE);
        assert_eq!(count(&counts, "scan"), 139);
        assert_eq!(count(&counts, "Via"), 24);
        assert_eq!(count(&counts, "location"), 50);
        assert_eq!(count(&counts, "copying"), 7);
        assert_eq!(counts.all(), 220);
    }

    #[test]
    fn the_table_has_what_one_operation_takes() {
        let fewer = by_stage(PROFILE);
        let mut more = fewer;
        more.add(&fewer);
        let text = table(&[("refresh", more.each(&fewer, 2)), ("nothing", Each::default())]);
        assert!(text.starts_with("| stage | refresh | % | nothing | % |\n|---|--:|--:|--:|--:|\n"), "{text}");
        assert!(text.contains("| scan: lines, names, start line | 70 | 63 | 0 | 0 |"), "{text}");
        assert!(text.ends_with("| all | 110 | 100 | 0 | 100 |\n"), "{text}");
        assert!(!text.contains("checks"), "{text}");
    }
}
