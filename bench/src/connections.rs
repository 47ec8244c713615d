//! Many TCP connections: what each takes of a server's memory and processor time.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::error::Error;
use crate::limits::{
    CONNECTION_ANSWER_BYTES, CONNECTION_PATIENCE_MS, CONNECTIONS_AT_ONCE, CONNECTIONS_PER_ADDRESS,
    FILES_BESIDE_CONNECTIONS, MAX_CONNECTIONS,
};
use crate::load;
use crate::process;
use crate::server::{Contender, Programs, Server, Setup};

/// `seawall-bench connections`: opens TCP connections in steps from several loopback addresses, registers a phone over each,
/// refreshes all of them, and closes them again.
#[derive(Clone, Debug, clap::Args)]
pub struct ConnectionsArgs {
    /// How many connections; fewer where the system allows fewer open files.
    #[arg(long, default_value_t = 50_000)]
    pub count: u32,
    /// How many of them between two looks at the server.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub step: u32,
    /// How long nothing happens then, seconds, to see what idle connections cost.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub idle_s: u64,
    /// Workers of the server.
    #[arg(long, default_value_t = 1)]
    pub workers: usize,
    /// The Seawall to measure.
    #[arg(long, default_value = "target/release/seawall")]
    pub seawall: PathBuf,
}

/// What the server's script has besides.
const LINES: &str = "socket=tcp:@ADDRESS@\ntcp_max_connections=120000\ntcp_connection_lifetime=3600\n";

/// One look at the server.
#[derive(Clone, Copy, Debug)]
struct Look {
    memory_bytes: u64,
    cpu_ns: u64,
    kernel_bytes: u64,
    at: Instant,
}

/// Measures and prints.
///
/// # Errors
/// [`Error::Server`] when the server does not start or does not answer, [`Error::System`] when the machine refuses
/// something, [`Error::Usage`] for more connections than [`MAX_CONNECTIONS`].
pub fn cli(args: &ConnectionsArgs) -> Result<(), Error> {
    if args.count == 0 || args.count > MAX_CONNECTIONS {
        return Err(Error::Usage(format!("connections: 1 to {MAX_CONNECTIONS} are possible")));
    }
    let files = seawall_net::allow_open_files(u64::from(args.count) + FILES_BESIDE_CONNECTIONS)
        .map_err(Error::system("cannot read the limit of open files"))?;
    let count = u32::try_from(files.saturating_sub(FILES_BESIDE_CONNECTIONS)).unwrap_or(u32::MAX);
    let count = count.min(args.count);
    if count < args.count {
        println!("the system allows {files} open files: {count} connections");
    }
    let programs = Programs { echo: PathBuf::new(), kamailio: PathBuf::new(), seawall: args.seawall.clone() };
    let setup = Setup { workers: args.workers, lines: LINES, ..Setup::new(Contender::Seawall) };
    let server = Server::start(&setup, &programs, load::probe_request)?;
    measure(args, count, &server)?;
    server.stop().map(drop)
}

fn measure(args: &ConnectionsArgs, count: u32, server: &Server) -> Result<(), Error> {
    let mut phones: Vec<Phone> = Vec::with_capacity(count as usize);
    let first = look(server)?;
    println!("| connections | bytes each | kernel, both ends, bytes each | CPU us to connect and register |");
    println!("|--:|--:|--:|--:|");
    while phones.len() < count as usize {
        let before = look(server)?;
        let step = args.step.min(count - phones.len() as u32);
        let from = phones.len();
        for number in (from as u32..).take(step as usize) {
            phones.push(Phone::connect(server.address(), number).map_err(Error::system("cannot connect"))?);
        }
        ask(phones.get_mut(from..).unwrap_or_default(), 1)?;
        let after = look(server)?;
        println!(
            "| {} | {:.0} | {:.0} | {:.2} |",
            phones.len(),
            growth(first.memory_bytes, after.memory_bytes, phones.len()),
            growth(first.kernel_bytes, after.kernel_bytes, phones.len()),
            after.cpu_ns.saturating_sub(before.cpu_ns) as f64 / 1e3 / f64::from(step),
        );
    }
    let before = look(server)?;
    ask(&mut phones, 2)?;
    let refreshed = look(server)?;
    println!(
        "refreshed over its connection: {:.2} us of CPU each",
        refreshed.cpu_ns.saturating_sub(before.cpu_ns) as f64 / 1e3 / phones.len() as f64
    );
    std::thread::sleep(Duration::from_secs(args.idle_s));
    let idle = look(server)?;
    println!(
        "idle: {:.3} % of a processor, {:.0} bytes each",
        idle.cpu_ns.saturating_sub(refreshed.cpu_ns) as f64
            / idle.at.duration_since(refreshed.at).as_nanos() as f64
            * 100.0,
        growth(first.memory_bytes, idle.memory_bytes, phones.len()),
    );
    let total = phones.len();
    drop(phones);
    std::thread::sleep(Duration::from_secs(1));
    let closed = look(server)?;
    println!(
        "closed: {:.2} us of CPU each; {:.0} bytes of each are left (the bindings stay)",
        closed.cpu_ns.saturating_sub(idle.cpu_ns) as f64 / 1e3 / total as f64,
        growth(first.memory_bytes, closed.memory_bytes, total),
    );
    Ok(())
}

fn look(server: &Server) -> Result<Look, Error> {
    Ok(Look {
        memory_bytes: process::memory_bytes(server.pid())
            .map_err(Error::system("cannot read the server's memory"))?,
        cpu_ns: process::cpu_ns(server.pid())
            .map_err(Error::system("cannot read the server's processor time"))?,
        kernel_bytes: process::kernel_bytes().map_err(Error::system("cannot read the kernel's memory"))?,
        at: Instant::now(),
    })
}

fn growth(before: u64, after: u64, count: usize) -> f64 {
    (after as f64 - before as f64) / count.max(1) as f64
}

/// Lets every phone say a REGISTER, some at a time, and waits for their answers.
fn ask(phones: &mut [Phone], cseq: u32) -> Result<(), Error> {
    for some in phones.chunks_mut(CONNECTIONS_AT_ONCE) {
        for phone in some.iter_mut() {
            phone.say(cseq).map_err(Error::system("cannot write to a connection"))?;
        }
        for phone in some.iter_mut() {
            phone.hear()?;
        }
    }
    Ok(())
}

/// A phone and its connection.
struct Phone {
    stream: TcpStream,
    local: SocketAddr,
    server: SocketAddr,
    number: u32,
}

impl Phone {
    fn connect(server: SocketAddr, number: u32) -> io::Result<Phone> {
        // A server has a limit for each address.
        let [.., a, b] = (1 + number / CONNECTIONS_PER_ADDRESS).to_be_bytes();
        let local = IpAddr::V4(Ipv4Addr::new(127, 1, a, b));
        let new = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        new.bind(&SocketAddr::new(local, 0).into())?;
        new.set_read_timeout(Some(Duration::from_millis(CONNECTION_PATIENCE_MS)))?;
        new.set_tcp_nodelay(true)?;
        new.connect(&server.into())?;
        let stream = TcpStream::from(new);
        let local = stream.local_addr()?;
        Ok(Phone { stream, local, server, number })
    }

    fn say(&mut self, cseq: u32) -> io::Result<()> {
        let Phone { local, server, number, .. } = self;
        let host = server.ip();
        let request = format!(
            "REGISTER sip:{host} SIP/2.0\r\n\
             Via: SIP/2.0/TCP {local};branch=z9hG4bKc{cseq}x{number};rport\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:t{number}@{host}>;tag=c{number}\r\n\
             To: <sip:t{number}@{host}>\r\n\
             Call-ID: connection-{number}\r\n\
             CSeq: {cseq} REGISTER\r\n\
             Contact: <sip:t{number}@{local};transport=tcp>;expires=3600\r\n\
             User-Agent: Bench 46S 66.86.0.15\r\n\
             Content-Length: 0\r\n\r\n"
        );
        self.stream.write_all(request.as_bytes())
    }

    fn hear(&mut self) -> Result<(), Error> {
        let mut answer = [0; CONNECTION_ANSWER_BYTES];
        let mut len = 0;
        while let Some(rest) = answer.get_mut(len..).filter(|rest| !rest.is_empty()) {
            match self.stream.read(rest).map_err(Error::system("a connection has no answer"))? {
                0 => break,
                count => len += count,
            }
            let heard = answer.get(..len).unwrap_or_default();
            if heard.ends_with(b"\r\n\r\n") {
                return if heard.starts_with(b"SIP/2.0 200") { Ok(()) } else { Err(refused(heard)) };
            }
        }
        Err(refused(answer.get(..len).unwrap_or_default()))
    }
}

fn refused(heard: &[u8]) -> Error {
    let reason = format!("it answered {:?}", String::from_utf8_lossy(heard));
    Error::Server { server: "Seawall", reason }
}
