//! `seawall mid`: in front of a main registrar, without a script to write.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::process::ExitCode;

use seawall_engine::Source;
use seawall_sip::uri::split_host_port;

use crate::run::{self, Serving};

/// The script, with places for what the command line says.
const SCRIPT: &str = include_str!("../scripts/mid.cfg");

/// The sockets, when the command line names none.
const LISTEN: [&str; 2] = ["udp:*:5060", "tcp:*:5060"];

/// How registrations reach the main registrar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Every REGISTER is forwarded.
    Mirror,
    /// Each contact is registered there for an hour; its refreshes are absorbed meanwhile.
    Contact,
    /// Each user is registered there once for an hour; contacts come and go here.
    Aor,
}

/// Arguments of `seawall mid`.
#[derive(Debug, clap::Args)]
pub struct MidArguments {
    /// The main registrar, as [sip:]HOST[:PORT].
    #[arg(long, value_name = "URI")]
    pub main: String,
    /// How registrations reach it.
    #[arg(long, value_enum, default_value = "contact")]
    pub mode: Mode,
    /// A socket to listen on, as proto:address[:port]; * is every address. Port 5060 over UDP and TCP if left out.
    #[arg(short = 'l', long = "listen", value_name = "SOCKET")]
    pub listen: Vec<String>,
    /// Worker threads; one for each core if left out.
    #[arg(short = 'w', long, value_name = "N")]
    pub workers: Option<usize>,
    /// Where the management interface and the metrics page listen.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub mi: Option<SocketAddr>,
    /// Print the script instead of running it.
    #[arg(long)]
    pub script: bool,
}

/// Serves until it is told to stop.
pub fn mid(arguments: &MidArguments) -> ExitCode {
    let text = match script(&arguments.main, arguments.mode) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("seawall mid: {error}");
            return ExitCode::FAILURE;
        }
    };
    if arguments.script {
        print!("{text}");
        return ExitCode::SUCCESS;
    }
    let mut listen = arguments.listen.clone();
    if listen.is_empty() {
        listen.extend(LISTEN.map(str::to_owned));
    }
    run::serve_script(Serving {
        script: Source::Text { name: "mid.cfg".to_owned(), text },
        listen,
        workers: arguments.workers,
        http: arguments.mi,
        explain: None,
    })
}

/// The script for a main registrar.
fn script(main: &str, mode: Mode) -> Result<String, String> {
    let place = main.strip_prefix("sip:").unwrap_or(main);
    let (host, port) = split_host_port(place.as_bytes())
        .map_err(|_| format!("\"{main}\" is no main registrar: it is written [sip:]HOST[:PORT]"))?;
    let host = String::from_utf8_lossy(host).into_owned();
    let port = port.unwrap_or(5060);
    let from_main: Vec<String> = addresses(&host, port)?
        .into_iter()
        .map(|ip| format!("$si == \"{ip}\" && ($sp == {port} || $socket_in(proto) == \"tcp\")"))
        .collect();
    let mode = match mode {
        Mode::Mirror => "0",
        Mode::Contact => "1",
        Mode::Aor => "2",
    };
    Ok(SCRIPT
        .replace("@MODE@", mode)
        .replace("@MAIN@", &format!("{host}:{port}"))
        .replace("@FROM_MAIN@", &from_main.join(" || ")))
}

/// The addresses of the main registrar: what comes from them comes from it.
fn addresses(host: &str, port: u16) -> Result<Vec<IpAddr>, String> {
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    let found = (plain, port).to_socket_addrs().map_err(|error| format!("{host}: {error}"))?;
    let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() { Err(format!("{host} has no address")) } else { Ok(addresses) }
}
