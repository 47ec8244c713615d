//! `seawall check`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use seawall_engine::Source;

use crate::data;

/// Arguments of `seawall check`.
#[derive(Debug, clap::Args)]
pub struct CheckArguments {
    /// The script, an opensips.cfg.
    #[arg(value_name = "FILE", required_unless_present = "default")]
    pub file: Option<PathBuf>,
    /// Check the script that runs when none is given.
    #[arg(long, conflicts_with = "file")]
    pub default: bool,
}

/// Shows everything that is wrong with a script.
pub fn check(arguments: &CheckArguments) -> ExitCode {
    let source = match &arguments.file {
        Some(path) => Source::File(path.clone()),
        None => match data::default_script(&data::default_folder()) {
            Ok(text) => Source::Text { name: "default.cfg".to_owned(), text },
            Err(error) => {
                eprintln!("seawall: {error}");
                return ExitCode::FAILURE;
            }
        },
    };
    let diagnostics = match seawall_engine::check(&source) {
        Ok(diagnostics) => diagnostics,
        Err(error) => {
            eprintln!("seawall: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (errors, warnings) = (diagnostics.errors().count(), diagnostics.warnings().count());
    let text = diagnostics.render(std::io::stderr().is_terminal());
    if !text.is_empty() {
        eprintln!("{}\n", text.trim_end());
    }
    let name = match &source {
        Source::File(path) => path.display().to_string(),
        Source::Text { name, .. } => name.clone(),
    };
    if errors > 0 {
        eprintln!("{name}: {}, {}", counted(errors, "error"), counted(warnings, "warning"));
        return ExitCode::FAILURE;
    }
    println!("{name}: fine, {}", counted(warnings, "warning"));
    ExitCode::SUCCESS
}

fn counted(number: usize, what: &str) -> String {
    match number {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}
