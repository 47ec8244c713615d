//! From what the script and the command line say to the sockets that are opened.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use seawall_modules::context::Context;
use seawall_modules::node::Socket;
use seawall_net::{BoundSocket, SocketSpec, Transport};
use seawall_script::{Program, SocketDefinition};

use crate::start::StartError;

/// The port of a SIP socket that names none (RFC 3261 section 19.1.2).
const DEFAULT_PORT: u16 = 5060;

/// A socket to open, and how it is to be named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What to open.
    pub spec: SocketSpec,
    /// The advertised host and port.
    pub advertised: Option<(String, Option<u16>)>,
    /// The tag.
    pub tag: Option<String>,
}

/// The sockets of a script and of `-l` options, each address once. A wildcard becomes every address of the machine, so
/// that Via and Record-Route always name an address that the peer can use.
///
/// # Errors
/// A socket's transport or address cannot be used, or there is none at all.
pub fn wanted(program: &Program<Context>, listen: &[String]) -> Result<Vec<Wanted>, StartError> {
    let mut all = Vec::new();
    for definition in &program.globals.sockets {
        add(program, definition, &mut all)?;
    }
    for text in listen {
        add(program, &parse(text)?, &mut all)?;
    }
    if all.is_empty() {
        return Err(StartError::NoSocket);
    }
    Ok(all)
}

/// Reads `proto:host[:port]`, the argument of `-l`.
fn parse(text: &str) -> Result<SocketDefinition, StartError> {
    let bad = || StartError::Listen(text.to_owned());
    let (protocol, rest) = match text.split_once(':') {
        Some((word @ ("udp" | "tcp" | "tls" | "ws" | "wss"), rest)) => (word, rest),
        _ => ("udp", text),
    };
    let (host, port) = match rest.strip_prefix("*") {
        Some("") => (b"*".as_slice(), None),
        Some(port) => {
            let port = port.strip_prefix(':').and_then(|port| port.parse::<u16>().ok()).ok_or_else(bad)?;
            (b"*".as_slice(), Some(port))
        }
        // Port 0 lets the kernel choose.
        None => match rest.strip_suffix(":0") {
            Some(host) => (host.as_bytes(), Some(0)),
            None => seawall_sip::uri::split_host_port(rest.as_bytes()).map_err(|_| bad())?,
        },
    };
    let host = String::from_utf8_lossy(host).trim_matches(['[', ']']).to_owned();
    if host.is_empty() {
        return Err(bad());
    }
    Ok(SocketDefinition { protocol: protocol.to_owned(), host, port, ..SocketDefinition::default() })
}

fn add(
    program: &Program<Context>,
    definition: &SocketDefinition,
    all: &mut Vec<Wanted>,
) -> Result<(), StartError> {
    let transport = match definition.protocol.as_str() {
        "udp" => Transport::Udp,
        "tcp" if program.globals.bool("disable_tcp") => return Ok(()),
        "tcp" => Transport::Tcp,
        other => return Err(StartError::Transport(other.to_owned())),
    };
    let module_port = match transport {
        Transport::Udp => program.parameters.int("proto_udp", "udp_port"),
        _ => program.parameters.int("proto_tcp", "tcp_port"),
    };
    let default = u16::try_from(module_port).ok().filter(|port| *port != 0).unwrap_or(DEFAULT_PORT);
    let port = definition.port.unwrap_or(default);
    let advertised = match (&definition.advertised_host, definition.advertised_port) {
        (Some(host), port) => Some((host.clone(), port)),
        (None, _) => program.globals.str("advertised_address").map(|host| {
            let port = u16::try_from(program.globals.int("advertised_port")).ok().filter(|port| *port != 0);
            (host, port)
        }),
    };
    for address in addresses(&definition.host)? {
        let spec = SocketSpec { transport, address: SocketAddr::new(address, port) };
        if port == 0 || !all.iter().any(|known| known.spec == spec) {
            all.push(Wanted { spec, advertised: advertised.clone(), tag: definition.tag.clone() });
        }
    }
    Ok(())
}

/// The addresses that a host of a `socket` line means: an address, all of this machine, or a name's first.
fn addresses(host: &str) -> Result<Vec<IpAddr>, StartError> {
    let unusable = |source| StartError::Address { host: host.to_owned(), source };
    let local = || seawall_net::local_addresses().map_err(unusable);
    if host == "*" {
        return local();
    }
    match host.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() => {
            Ok(local()?.into_iter().filter(|local| local.is_ipv4() == address.is_ipv4()).collect())
        }
        Ok(address) => Ok(vec![address]),
        Err(_) => {
            let found = (host, 0).to_socket_addrs().map_err(unusable)?;
            Ok(found.map(|address| address.ip()).take(1).collect())
        }
    }
}

/// The sockets as they were bound: with the ports that the kernel chose.
#[must_use]
pub fn describe(wanted: &[Wanted], bound: &[BoundSocket]) -> Vec<Socket> {
    wanted
        .iter()
        .zip(bound)
        .enumerate()
        .map(|(index, (wanted, bound))| {
            let advertised = wanted.advertised.as_ref().map(|(host, port)| (host.as_str(), *port));
            let id = u16::try_from(index).unwrap_or(u16::MAX);
            Socket::new(id, bound.transport, bound.address, advertised, wanted.tag.clone())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(&str, &str, Option<u16>)>) {
        let found = parse(text).ok();
        let found =
            found.as_ref().map(|socket| (socket.protocol.as_str(), socket.host.as_str(), socket.port));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn listen_options_are_read_as_documented() {
        check("udp:127.0.0.1:5060", Some(("udp", "127.0.0.1", Some(5060))));
        check("tcp:127.0.0.1", Some(("tcp", "127.0.0.1", None)));
        check("127.0.0.1:5070", Some(("udp", "127.0.0.1", Some(5070))));
        check("udp:*:5060", Some(("udp", "*", Some(5060))));
        check("udp:*", Some(("udp", "*", None)));
        check("udp:[::1]:5060", Some(("udp", "::1", Some(5060))));
        check("udp:127.0.0.1:0", Some(("udp", "127.0.0.1", Some(0))));
        check("udp:eth0:5060", Some(("udp", "eth0", Some(5060))));
        check("udp:", None);
        check("udp:127.0.0.1:99999", None);
    }
}
