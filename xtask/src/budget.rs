//! `cargo xtask budget`: the instructions of the hot paths, held to what was written down.
//!
//! Times wander with the machine; instructions of the same program do not. `bench/cost` does one operation many times
//! without network, clock or random number, callgrind counts what happens in it, and each count has a budget in
//! `bench/cost/budgets.txt`. A change that costs more is noticed when it is made: it is either made cheaper, or its price
//! is accepted with `cargo xtask budget --accept` in the commit that says what for.

mod table;

use crate::Outcome;
use crate::process::{cargo, output, program, root, run as run_command};
use std::fs;
use std::path::{Path, PathBuf};

/// The operations of `seawall-cost`, and what they are in words.
const OPERATIONS: [(&str, &str); 9] = [
    ("fresh", "fresh REGISTER: scan, checks, `save()`, 200"),
    ("fresh-instance", "the same of a phone that names itself by `+sip.instance`"),
    ("refresh", "refresh"),
    ("refresh-pushed", "refresh of a phone that is woken by pushes, its token 130 characters long"),
    (
        "message",
        "MESSAGE: scan, checks, matching, look-up, transaction, forwarded request, its 200 on the way back, timers",
    ),
    ("invite", "INVITE: the same with 180 and 200"),
    ("absorbed", "REGISTER absorbed in contact mode: scan, checks, `mid_registrar_save()`, 200"),
    (
        "forwarded",
        "REGISTER forwarded in contact mode: scan, checks, `mid_registrar_save()`, transaction, forwarded request, its \
         200 with what it grants, timers",
    ),
    ("forwarded-aor", "the same in AoR mode"),
];

/// Where the budgets stand.
const BUDGETS: &str = "bench/cost/budgets.txt";

/// How often each is done: enough for what happens now and then (a table that grows, a timer) to even out.
const COUNT: u64 = 2_000;

/// How much above its budget an operation may be, in thousandths: what neighbours of a changed line cost by their place.
const SLACK_PERMILLE: u64 = 20;

/// The same for another compiler than that of the budgets, whose code differs without anybody's doing.
const OTHER_COMPILER_PERMILLE: u64 = 150;

/// The budgets, and which compiler made the program when they were taken.
#[derive(Debug, Default, PartialEq, Eq)]
struct Budgets {
    compiler: String,
    instructions: Vec<(String, u64)>,
}

/// Writes the table of docs/performance.md from the budgets.
///
/// # Errors
/// When the budgets or the page cannot be read, or the page cannot be written.
pub fn write_table() -> Outcome {
    table::write(&root(), &Budgets::accepted()?.to_table())
}

/// Whether docs/performance.md shows the budgets.
///
/// # Errors
/// When it does not, or one of the two cannot be read.
pub fn check_table() -> Outcome {
    table::check(&root(), &Budgets::accepted()?.to_table())
}

/// Counts and compares; with `--accept`, counts and writes down.
pub fn run(arguments: &[String]) -> Outcome {
    let build = ["build", "--quiet", "--profile", "budget", "--package", "seawall-cost"];
    run_command(cargo().args(build))?;
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), PathBuf::from)
        .join("budget");
    let counted: Vec<(String, u64)> = OPERATIONS
        .iter()
        .map(|(operation, _)| count(&target, operation).map(|each| ((*operation).to_owned(), each)))
        .collect::<Result<_, String>>()?;
    let measured = Budgets { compiler: compiler()?, instructions: counted };
    if arguments.iter().any(|argument| argument == "--accept") {
        fs::write(root().join(BUDGETS), measured.to_text()).map_err(|error| format!("{BUDGETS}: {error}"))?;
        return write_table();
    }
    let (report, verdict) = judge(&Budgets::accepted()?, &measured);
    print!("{report}");
    verdict.and_then(|()| check_table())
}

/// Instructions of one operation.
fn count(target: &Path, operation: &str) -> Result<u64, String> {
    let profile = target.join(format!("callgrind.{operation}"));
    let mut valgrind = program("valgrind");
    valgrind.args(["--tool=callgrind", "-q", "--toggle-collect=*measured*"]);
    valgrind.arg(format!("--callgrind-out-file={}", profile.display()));
    output(valgrind.arg(target.join("seawall-cost")).args([operation, &COUNT.to_string()]))?;
    let text = fs::read_to_string(&profile).map_err(|error| format!("{}: {error}", profile.display()))?;
    total(&text).map(|all| all / COUNT).ok_or(format!("callgrind counted nothing for {operation}"))
}

/// The sum of a profile.
fn total(profile: &str) -> Option<u64> {
    let all = profile.lines().find_map(|line| line.strip_prefix("totals: "))?;
    all.trim().parse().ok().filter(|all| *all > 0)
}

/// The compiler that cargo uses, as it names itself.
fn compiler() -> Result<String, String> {
    let rustc = std::env::var_os("RUSTC").map_or_else(|| "rustc".into(), PathBuf::from);
    let version = output(program(&rustc.to_string_lossy()).arg("--version"))?;
    Ok(String::from_utf8_lossy(&version).trim().to_owned())
}

impl Budgets {
    fn to_text(&self) -> String {
        let lines = self.instructions.iter().map(|(name, each)| format!("{name} {each}\n"));
        format!(
            "# Instructions of each operation of bench/cost; `cargo xtask budget --accept` writes this file.\ncompiler {}\n{}",
            self.compiler,
            lines.collect::<String>()
        )
    }

    /// What was written down.
    fn accepted() -> Result<Budgets, String> {
        let text = fs::read_to_string(root().join(BUDGETS)).map_err(|error| format!("{BUDGETS}: {error}"))?;
        Budgets::read(&text)
    }

    fn to_table(&self) -> String {
        let words = |name: &str| OPERATIONS.iter().find(|(known, _)| *known == name).map(|(_, words)| *words);
        let rows: Vec<(&str, u64)> =
            self.instructions.iter().map(|(name, each)| (words(name).unwrap_or(name), *each)).collect();
        table::table(&rows)
    }

    fn read(text: &str) -> Result<Budgets, String> {
        let mut budgets = Budgets::default();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            match line.split_once(' ') {
                Some(("compiler", version)) => version.clone_into(&mut budgets.compiler),
                Some((name, each)) => {
                    let each = each.parse().map_err(|_| format!("no number in the budget: {line}"))?;
                    budgets.instructions.push((name.to_owned(), each));
                }
                None => return Err(format!("no budget: {line}")),
            }
        }
        Ok(budgets)
    }
}

/// A table of what was counted, and whether all of it is allowed.
fn judge(budgets: &Budgets, measured: &Budgets) -> (String, Outcome) {
    let same = budgets.compiler == measured.compiler;
    let slack = if same { SLACK_PERMILLE } else { OTHER_COMPILER_PERMILLE };
    let mut report = format!("instructions, allowed {}.{} % above the budget", slack / 10, slack % 10);
    if !same {
        report += &format!(", which was taken with {}", budgets.compiler);
    }
    report.push('\n');
    let mut over = Vec::new();
    for (name, each) in &measured.instructions {
        let budget = budgets.instructions.iter().find(|(known, _)| known == name).map(|(_, budget)| *budget);
        let Some(budget) = budget else {
            over.push(format!("{name} has no budget"));
            continue;
        };
        report += &format!("  {name:8} {each:6} of {budget:6}\n");
        if *each * 1000 > budget * (1000 + slack) {
            over.push(format!("{name} takes {each} instructions, {budget} were budgeted"));
        } else if *each * (1000 + slack) < budget * 1000 {
            report += &format!("  {name} has become cheaper: `cargo xtask budget --accept` keeps that\n");
        }
    }
    (report, if over.is_empty() { Ok(()) } else { Err(over.join("; ")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budgets(compiler: &str, refresh: u64) -> Budgets {
        Budgets { compiler: compiler.to_owned(), instructions: vec![("refresh".to_owned(), refresh)] }
    }

    fn check(compiler: &str, refresh: u64, expected: Outcome) {
        assert_eq!(judge(&budgets("rustc 1", 10_000), &budgets(compiler, refresh)).1, expected, "{refresh}");
    }

    #[test]
    fn two_per_cent_are_allowed_and_more_to_another_compiler() {
        let over = |refresh| Err(format!("refresh takes {refresh} instructions, 10000 were budgeted"));
        check("rustc 1", 9_000, Ok(()));
        check("rustc 1", 10_200, Ok(()));
        check("rustc 1", 10_201, over(10_201));
        check("rustc 2", 10_201, Ok(()));
        check("rustc 2", 11_501, over(11_501));
        let unknown = Budgets { instructions: vec![("new".to_owned(), 1)], ..budgets("rustc 1", 1) };
        assert_eq!(judge(&budgets("rustc 1", 1), &unknown).1, Err("new has no budget".to_owned()));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let written = budgets("rustc 1.95.0 (abc 2026-01-01)", 11_111);
        assert_eq!(Budgets::read(&written.to_text()), Ok(written));
        assert!(Budgets::read("refresh many").is_err());
        assert!(Budgets::read("refresh").is_err());
    }

    #[test]
    fn the_sum_of_a_profile_is_found() {
        assert_eq!(total("events: Ir\nsummary: 5\nfn=a\n1 5\ntotals: 7\n"), Some(7));
        assert_eq!(total("totals: 0\n"), None);
    }
}
