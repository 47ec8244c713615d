//! Responses on their way back.

use std::net::{IpAddr, SocketAddr};

use seawall_sip::{Message, Name, Span, Via, list::Items, uri, via};

/// The port that is meant where none is written.
const DEFAULT_PORT: u16 = 5060;

/// Appends a response without its topmost Via value (RFC 3261 §16.7 step 3); everything else is copied. A response
/// without Via is copied as it is.
pub fn strip_via(response: &Message, out: &mut Vec<u8>) {
    let removed = top_via_extent(response).unwrap_or_default();
    let all = response.extent();
    let removed = if removed.is_empty() { Span { start: all.end(), len: 0 } } else { removed };
    out.extend_from_slice(response.slice(Span::between(all.start as usize, removed.start as usize)));
    out.extend_from_slice(response.slice(Span::between(removed.end() as usize, all.end() as usize)));
}

/// What has to be deleted to remove the topmost Via value: its header field, or the value and the comma after it.
#[must_use]
pub fn top_via_extent(message: &Message) -> Option<Span> {
    let header = message.header(Name::Via)?;
    // As nearly all are: one value in its line, which was taken apart when the message was scanned.
    if Via::top(message).is_ok_and(|via| via.raw.len() == header.value.len()) {
        return Some(header.span);
    }
    match Items::new(header.value).nth(1).and_then(|second| message.span_of(second)) {
        None => Some(header.span),
        Some(second) => Some(Span::between(header.value_span.start as usize, second.start as usize)),
    }
}

/// Where the response to a request goes that came from `source` over an unreliable transport (RFC 3261 §18.2.2,
/// RFC 3581 §4): to maddr; else to the source address, and there to the source port if the client asked by rport
/// or `force_rport` says so, to the port of sent-by otherwise. Over a reliable transport the response goes back on
/// its connection, and this is where to connect to should that be gone.
#[must_use]
pub fn address(via: &Via<'_>, source: SocketAddr, force_rport: bool) -> SocketAddr {
    let sent_by_port = via.port.unwrap_or(DEFAULT_PORT);
    if let Some(maddr) = via.maddr().and_then(uri::host_ip) {
        return SocketAddr::new(maddr, sent_by_port);
    }
    let port = if force_rport || via.rport().is_some() { source.port() } else { sent_by_port };
    SocketAddr::new(source.ip(), port)
}

/// The way of a response that has no transaction: what the Via below ours says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop<'a> {
    /// The transport as it was written.
    pub transport: &'a [u8],
    /// The host: maddr, received or sent-by.
    pub host: &'a [u8],
    /// The host as an address; `None` for a name that would have to be resolved.
    pub ip: Option<IpAddr>,
    /// The port.
    pub port: u16,
}

/// Where a response goes that was forwarded without state (RFC 3261 §16.11): to the element that wrote the second
/// Via. `None` if there is none: the response was for us.
#[must_use]
pub fn next_hop(response: &Message) -> Option<NextHop<'_>> {
    let via = via::vias(response).nth(1)?.ok()?;
    let sent_by_port = via.port.unwrap_or(DEFAULT_PORT);
    let rport = via.rport().flatten();
    let (host, port) = match (via.maddr(), via.received()) {
        (Some(maddr), _) => (maddr, sent_by_port),
        (None, Some(received)) => (received, rport.unwrap_or(sent_by_port)),
        (None, None) => (via.host, rport.unwrap_or(sent_by_port)),
    };
    Some(NextHop { transport: via.transport, host, ip: uri::host_ip(host), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(headers: &str) -> Message {
        let text = format!("SIP/2.0 200 OK\r\n{headers}X-Odd:  kept  \r\n\r\nbody");
        Message::parse(text.into_bytes()).expect("a response")
    }

    fn check_strip(headers: &str, expected: &str) {
        let mut out = Vec::new();
        strip_via(&response(headers), &mut out);
        let expected = format!("SIP/2.0 200 OK\r\n{expected}X-Odd:  kept  \r\n\r\nbody");
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn the_topmost_via_is_removed_and_the_rest_is_byte_exact() {
        check_strip("Via: SIP/2.0/UDP a\r\nVia: SIP/2.0/UDP b\r\n", "Via: SIP/2.0/UDP b\r\n");
        check_strip("To: x\r\nv: SIP/2.0/UDP a\r\n", "To: x\r\n");
        check_strip("Via: SIP/2.0/UDP a ,\r\n  SIP/2.0/UDP b\r\n", "Via: SIP/2.0/UDP b\r\n");
        check_strip("To: x\r\n", "To: x\r\n");
    }

    fn check_address(via: &str, force_rport: bool, expected: &str) {
        let source: SocketAddr = "192.0.2.9:7777".parse().expect("an address");
        let via = Via::parse(via.as_bytes()).expect("a Via");
        assert_eq!(address(&via, source, force_rport).to_string(), expected);
    }

    #[test]
    fn a_response_goes_to_the_source_address_and_the_port_that_was_asked_for() {
        check_address("SIP/2.0/UDP 10.0.0.1;branch=x", false, "192.0.2.9:5060");
        check_address("SIP/2.0/UDP 10.0.0.1:5070;branch=x", false, "192.0.2.9:5070");
        check_address("SIP/2.0/UDP 10.0.0.1:5070;rport;branch=x", false, "192.0.2.9:7777");
        check_address("SIP/2.0/UDP 10.0.0.1:5070;branch=x", true, "192.0.2.9:7777");
        check_address("SIP/2.0/UDP 10.0.0.1;maddr=224.0.1.75", false, "224.0.1.75:5060");
    }

    fn check_next_hop(second: &str, expected: Option<(&str, u16)>) {
        let message = response(&format!("Via: SIP/2.0/UDP us\r\n{second}"));
        let found = next_hop(&message);
        assert_eq!(
            found.map(|hop| (String::from_utf8_lossy(hop.host).into_owned(), hop.port)),
            expected.map(|(host, port)| (host.to_owned(), port))
        );
    }

    #[test]
    fn a_stateless_response_follows_the_second_via() {
        check_next_hop("", None);
        check_next_hop("Via: SIP/2.0/UDP 192.0.2.1\r\n", Some(("192.0.2.1", 5060)));
        check_next_hop("Via: SIP/2.0/UDP a:5070;received=192.0.2.1;rport=99\r\n", Some(("192.0.2.1", 99)));
        check_next_hop("Via: SIP/2.0/UDP a:5070;received=192.0.2.1\r\n", Some(("192.0.2.1", 5070)));
        check_next_hop(
            "Via: SIP/2.0/UDP a;maddr=192.0.2.3;received=192.0.2.1\r\n",
            Some(("192.0.2.3", 5060)),
        );
    }
}
