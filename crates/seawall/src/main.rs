//! The Seawall command: `run`, `check`, `ctl`, `bench`, `docs`. Start-up, signals and wiring; nothing else.

mod check;
mod data;
mod database;
mod docs;
mod logging;
mod mid;
mod phrases;
mod run;
mod user;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

// What is relayed lives for seconds and is freed by whichever worker hears of its end: this allocator takes a sixth less of
// the processor for that than the system's, and as much memory for a table of bindings (docs/performance.md).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// A SIP registrar and proxy that runs OpenSIPS scripts.
#[derive(Debug, Parser)]
#[command(name = "seawall", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve: with a script, or without one as a registrar for this machine and its private network.
    Run(run::RunArguments),
    /// Serve in front of a main registrar: take the storm of REGISTERs off it, without a script to write.
    Mid(mid::MidArguments),
    /// Check a script: everything that is wrong with it, at once. The exit status is 0 or 1.
    Check(check::CheckArguments),
    /// Talk to a running server; without a command, list the commands. `user add NAME`, `user password NAME`, `user remove
    /// NAME` and `user list` are for those who may log in; `db-init URL` makes the tables in a database.
    Ctl(CtlArguments),
    /// Load a SIP server and measure it.
    Bench(seawall_bench::cli::BenchArgs),
    /// Write the reference of everything that a script can use.
    Docs(docs::DocsArguments),
}

/// Arguments of `seawall ctl`.
#[derive(Debug, clap::Args)]
struct CtlArguments {
    /// The management interface of the server.
    #[arg(long, default_value = "http://127.0.0.1:8888/mi", value_name = "URL")]
    mi: String,
    /// The bearer token, where the server wants one.
    #[arg(long, env = "SEAWALL_MI_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Show the answer as JSON.
    #[arg(long)]
    json: bool,
    /// Take a password from the first line of the standard input instead of asking for it.
    #[arg(long)]
    password_stdin: bool,
    /// A command and its parameters, in order or as name=value; `help COMMAND` explains one.
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    words: Vec<String>,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Mid(arguments) => mid::mid(&arguments),
        Command::Check(arguments) => check::check(&arguments),
        Command::Ctl(arguments) => ctl(arguments),
        Command::Bench(arguments) => match seawall_bench::cli::run(arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("seawall bench: {error}");
                ExitCode::FAILURE
            }
        },
        Command::Docs(arguments) => docs::docs(&arguments),
    }
}

fn ctl(mut arguments: CtlArguments) -> ExitCode {
    // `--json` is as often written behind the command as before it.
    let mut behind = |option: &str| {
        let before = arguments.words.len();
        arguments.words.retain(|word| word != option);
        arguments.words.len() != before
    };
    let json = behind("--json") || arguments.json;
    let stdin = behind("--password-stdin") || arguments.password_stdin;
    if let Some(code) = database::init(&arguments.words) {
        return code;
    }
    let password = if stdin { user::Password::Stdin } else { user::Password::Asked };
    let words = match user::words(arguments.words, password).and_then(phrases::words) {
        Ok(words) => words,
        Err(text) => {
            eprintln!("seawall ctl: {text}");
            return ExitCode::FAILURE;
        }
    };
    let options = seawall_control::ctl::Options { url: arguments.mi, token: arguments.token, json };
    let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr().lock());
    ExitCode::from(seawall_control::ctl::run(&options, &words, &mut out, &mut err))
}
