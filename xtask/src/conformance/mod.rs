//! `cargo xtask conformance`: OpenSIPS's own scripts and its public SIPssert scenarios, from checkouts that stand
//! outside the tree (they are GPL, so nothing of them is copied here).

mod baresip;
mod calls;

use crate::Outcome;
use crate::process::{cargo, output, program, root, run as run_command};
use crate::setup::{FOR_CONFORMANCE, FOR_TESTS, tools};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const USAGE: &str =
    "usage: cargo xtask conformance [--opensips CHECKOUT] [--sipssert CHECKOUT --runner SIPSSERT.PY]";

/// The scenarios that must pass: a set of the suite and the numbers within it. The others need two real network interfaces.
const SCENARIOS: &[(&str, &str)] = &[
    ("registration", "01,02,03,04,05,06,07,08,09"),
    ("record-route", "01,02"),
    ("auth", "01,02,03,04,05,06,07,08"),
];

/// Builds the release binary and drives it with what the arguments name.
pub fn run(arguments: &[String]) -> Outcome {
    let opensips = option(arguments, "--opensips");
    let sipssert = option(arguments, "--sipssert");
    let runner = option(arguments, "--runner");
    if opensips.is_none() && sipssert.is_none() || sipssert.is_some() != runner.is_some() {
        return Err(USAGE.to_owned());
    }
    tools(FOR_TESTS)?;
    tools(FOR_CONFORMANCE)?;
    run_command(cargo().args(["build", "--release", "--package", "seawall"]))?;
    let binary = binary()?;
    if let Some(checkout) = opensips {
        stock_scripts(&binary, &checkout)?;
    }
    if let (Some(checkout), Some(runner)) = (sipssert, runner) {
        scenarios(&binary, &checkout, &runner)?;
    }
    println!("== conformance passed");
    Ok(())
}

/// The stock script and the residential template must load unchanged and serve calls.
fn stock_scripts(binary: &Path, checkout: &Path) -> Outcome {
    load_and_call(binary, &checkout.join("etc/opensips.cfg"))?;
    println!("== etc/opensips.cfg serves calls");
    let templates = checkout.join("examples/templates");
    let expanded = output(program("m4").current_dir(&templates).arg("residential.m4"))?;
    let script = std::env::temp_dir().join(format!("seawall-residential-{}.cfg", std::process::id()));
    fs::write(&script, expanded).map_err(|error| format!("cannot write {}: {error}", script.display()))?;
    let outcome = load_and_call(binary, &script);
    // A file that stays behind in the temporary directory harms nobody.
    let _ = fs::remove_file(&script);
    outcome?;
    println!("== examples/templates/residential.m4 serves calls");
    Ok(())
}

fn load_and_call(binary: &Path, script: &Path) -> Outcome {
    run_command(Command::new(binary).arg("check").arg(script))?;
    calls::serve(binary, script, &target()?.join("conformance-server.log"))
}

/// The SIPssert scenarios, as they are, through their runner (which needs root for its network namespace).
fn scenarios(binary: &Path, checkout: &Path, runner: &Path) -> Outcome {
    let python = python()?;
    for (set, only) in SCENARIOS {
        let mut command = Command::new(&python);
        command.arg(runner).arg(checkout.join(set)).args(["--only", only, "--"]);
        command.arg(binary).args(["run", "-f", "{cfg}", "-l", "{sock}"]);
        run_command(&mut command)?;
    }
    Ok(())
}

/// A Python with what the scenarios import, in a virtual environment of its own below the build folder.
fn python() -> Result<PathBuf, String> {
    let folder = target()?.join("conformance-python");
    let python = folder.join("bin/python");
    if !python.exists() {
        run_command(program("python3").args(["-m", "venv"]).arg(&folder))?;
        run_command(
            Command::new(&python).args(["-m", "pip", "install", "--quiet", "opensips", "jinja2", "pyyaml"]),
        )?;
    }
    Ok(python)
}

fn binary() -> Result<PathBuf, String> {
    Ok(target()?.join("release/seawall"))
}

/// Cargo's build folder, wherever it was put.
fn target() -> Result<PathBuf, String> {
    let raw = output(cargo().args(["metadata", "--format-version", "1", "--no-deps", "--offline"]))?;
    let metadata: serde_json::Value = serde_json::from_slice(&raw).map_err(|error| error.to_string())?;
    let folder = metadata.get("target_directory").and_then(serde_json::Value::as_str);
    Ok(folder.map_or_else(|| root().join("target"), PathBuf::from))
}

/// The value that follows a flag.
fn option(arguments: &[String], flag: &str) -> Option<PathBuf> {
    let at = arguments.iter().position(|argument| argument == flag)?;
    arguments.get(at + 1).map(PathBuf::from)
}
