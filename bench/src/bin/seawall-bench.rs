//! The generator, the echo and the comparison as a program of their own: what `cargo xtask compare` runs.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use seawall_bench::{
    Error, cli, compare, connections, echo, latency, mid, phones, pure, push_cost, refresh_cost, store,
    store_cost, storm, workers,
};

/// Load generator and comparison with other servers.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Load(cli::BenchArgs),
    Compare(compare::CompareArgs),
    /// Open thousands of TCP connections and see what each takes.
    Connections(connections::ConnectionsArgs),
    /// Answer every datagram with itself: the yardstick.
    Echo(echo::EchoArgs),
    Latency(latency::LatencyArgs),
    /// Let a crowd register at a Seawall in front of a Kamailio, and see who is registered there.
    Mid(mid::MidArgs),
    /// What absorbed and forwarded REGISTERs cost Seawall, against those of a registrar.
    MidCost(mid::cost::CostArgs),
    /// Be pinged, answer, and tell how evenly the pings came.
    Phones(phones::PhonesArgs),
    /// Serve REGISTERs in this process, without a network.
    Pure(pure::PureArgs),
    /// What push notifications cost a refresh, in instructions.
    PushCost(refresh_cost::RefreshCostArgs),
    Store(store::StoreArgs),
    /// What keeping bindings in a database costs a refresh, in instructions.
    StoreCost(refresh_cost::RefreshCostArgs),
    /// Offer a server many times what it can serve, and see what it accepts.
    Storm(storm::StormArgs),
    /// What a REGISTER costs with several workers, against one.
    Workers(workers::WorkersArgs),
}

fn main() -> ExitCode {
    let outcome: Result<(), Error> = match Arguments::parse().command {
        Command::Load(args) => cli::run(args),
        Command::Echo(args) => echo::cli(&args),
        Command::Latency(args) => latency::cli(&args),
        Command::Mid(args) => mid::cli(&args),
        Command::MidCost(args) => mid::cost::cli(&args),
        Command::Phones(args) => phones::cli(&args),
        Command::Pure(args) => pure::cli(args),
        Command::PushCost(args) => push_cost::cli(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Store(args) => store::run(&args),
        Command::StoreCost(args) => store_cost::cli(&args),
        Command::Storm(args) => storm::cli(&args),
        Command::Workers(args) => workers::cli(&args),
        Command::Connections(args) => connections::cli(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
