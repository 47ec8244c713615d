//! The Seawall command: `run`, `check`, `ctl`, `bench`, `docs`. Start-up, signals and wiring; nothing else.

mod check;
mod docs;
mod logging;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    /// Check a script: everything that is wrong with it, at once. The exit status is 0 or 1.
    Check(check::CheckArguments),
    /// Talk to a running server; without a command, list the commands.
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
    /// A command and its parameters, in order or as name=value; `help COMMAND` explains one.
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    words: Vec<String>,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(arguments) => run::run(&arguments),
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
    let before = arguments.words.len();
    arguments.words.retain(|word| word != "--json");
    let json = arguments.json || arguments.words.len() != before;
    let options = seawall_control::ctl::Options { url: arguments.mi, token: arguments.token, json };
    let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr().lock());
    ExitCode::from(seawall_control::ctl::run(&options, &arguments.words, &mut out, &mut err))
}
