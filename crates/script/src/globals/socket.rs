//! `socket=` and `alias=`, taken apart.

use super::{Alias, SocketDefinition};
use crate::diagnostics::Span;
use crate::text::Text;
use crate::value::Bytes;

/// Why a value is wrong, and which part of it.
pub(crate) type SocketError = (Span, String);

/// The protocols that can stand before an address.
const PROTOCOLS: &[&str] = &[
    "udp", "tcp", "tls", "sctp", "ws", "wss", "bin", "hep_udp", "hep_tcp", "hep_tls", "smpp", "msrp", "bins",
];

/// `proto:host:port`, each optional.
#[derive(Default)]
struct Address {
    protocol: Option<String>,
    host: String,
    port: Option<u16>,
}

/// Reads the words of a socket.
pub(crate) fn socket(words: &[Text], span: Span) -> Result<SocketDefinition, SocketError> {
    let Some(first) = words.first() else { return Err((span, "an address is missing".into())) };
    let address = address(first)?;
    let mut socket = SocketDefinition {
        protocol: address.protocol.unwrap_or_else(|| "udp".into()),
        host: address.host,
        port: address.port,
        span,
        ..SocketDefinition::default()
    };
    let mut rest = words.iter().skip(1);
    while let Some(word) = rest.next() {
        let option = word.to_string_lossy();
        let mut value = || rest.next().ok_or((word.span, format!("a value is missing behind `{option}`")));
        match option.as_str() {
            "as" => {
                let advertised = self::address(value()?)?;
                socket.advertised_host = Some(advertised.host);
                socket.advertised_port = advertised.port;
            }
            "use_workers" | "use_children" => {
                let count = value()?;
                let number = count.to_string_lossy().parse();
                socket.use_workers =
                    Some(number.map_err(|_| (count.span, "this is no number of workers".into()))?);
            }
            "tag" => socket.tag = Some(value()?.to_string_lossy()),
            "tos" => socket.tos = Some(Bytes::copy(&value()?.bytes)),
            "anycast" => socket.anycast = true,
            "reuse_port" => socket.reuse_port = true,
            "accept_subdomain" => {
                return Err((
                    word.span,
                    "`accept_subdomain` is not provided; name each host by `alias`".into(),
                ));
            }
            _ => return Err((word.span, format!("unknown option `{option}` of a socket"))),
        }
    }
    Ok(socket)
}

/// Reads the value of `alias=`.
pub(crate) fn alias(words: &[Text], span: Span) -> Result<Alias, SocketError> {
    let Some(first) = words.first() else { return Err((span, "a name is missing".into())) };
    let address = address(first)?;
    Ok(Alias { protocol: address.protocol, host: address.host, port: address.port, span })
}

/// `udp:10.0.0.1:5060`, `udp:[::1]:5060`, `udp:eth0`, `10.0.0.1`, `example.com:5060`, `*:5060`.
fn address(text: &Text) -> Result<Address, SocketError> {
    let whole = text.to_string_lossy();
    let mut address = Address::default();
    let mut rest = whole.as_str();
    if let Some((word, behind)) = rest.split_once(':')
        && PROTOCOLS.contains(&word.to_ascii_lowercase().as_str())
    {
        address.protocol = Some(word.to_ascii_lowercase());
        rest = behind;
    }
    let (host, port) = match rest.strip_prefix('[') {
        Some(inside) => {
            let (host, behind) =
                inside.split_once(']').ok_or((text.span, "this `[` has no `]`".to_string()))?;
            (host, behind.strip_prefix(':'))
        }
        None => match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        },
    };
    if let Some(port) = port {
        let known = PROTOCOLS.join(", ");
        // `udpp:1.2.3.4:5060`: what looks like a port with dots in it is an address behind an unknown protocol.
        if port.contains(['.', ':', '*']) || port.chars().any(char::is_alphabetic) {
            return Err((text.span, format!("unknown protocol `{host}`: it is one of {known}")));
        }
        let number = port.parse().map_err(|_| (text.span, format!("`{port}` is no port number")))?;
        address.port = Some(number);
    }
    if host.is_empty() {
        return Err((text.span, "an address is missing".into()));
    }
    address.host = host.to_string();
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Text> {
        text.split_whitespace().map(|word| Text::verbatim(word.as_bytes(), Span::default())).collect()
    }

    fn check(text: &str, expected: (&str, &str, Option<u16>)) -> SocketDefinition {
        let socket =
            socket(&words(text), Span::default()).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        assert_eq!((socket.protocol.as_str(), socket.host.as_str(), socket.port), expected, "{text}");
        socket
    }

    #[test]
    fn sockets_are_taken_apart() {
        check("udp:10.0.0.1:5060", ("udp", "10.0.0.1", Some(5060)));
        check("TCP:[::1]:5061", ("tcp", "::1", Some(5061)));
        check("udp:*:5060", ("udp", "*", Some(5060)));
        check("udp:eth0", ("udp", "eth0", None));
        check("192.168.2.132", ("udp", "192.168.2.132", None));
        let socket = check(
            "udp:10.0.0.1:5060 as 1.2.3.4:5062 use_workers 4 tag inside anycast",
            ("udp", "10.0.0.1", Some(5060)),
        );
        assert_eq!(socket.advertised_host.as_deref(), Some("1.2.3.4"));
        assert_eq!(socket.advertised_port, Some(5062));
        assert_eq!(socket.use_workers, Some(4));
        assert_eq!(socket.tag.as_deref(), Some("inside"));
        assert!(socket.anycast);
    }

    #[test]
    fn wrong_sockets_say_why() {
        for text in [
            "",
            "udp:",
            "udpp:1.2.3.4:5060",
            "udp:1.2.3.4:99999",
            "udp:[::1:5060",
            "udp:a as",
            "udp:a accept_subdomain",
            "udp:a use_workers x",
            "udp:a b",
        ] {
            assert!(socket(&words(text), Span::default()).is_err(), "{text}");
        }
    }

    #[test]
    fn aliases_may_lack_everything_but_the_host() {
        let found = alias(&words("example.com"), Span::default()).unwrap();
        assert_eq!((found.protocol, found.host.as_str(), found.port), (None, "example.com", None));
        let found = alias(&words("udp:example.com:5060"), Span::default()).unwrap();
        assert_eq!((found.protocol.as_deref(), found.port), (Some("udp"), Some(5060)));
    }
}
