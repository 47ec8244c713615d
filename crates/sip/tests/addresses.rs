//! Addresses, contacts and Via values: what is read, and what is refused.

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::net::SocketAddr;

use seawall_sip::{
    Contact, Message, Name, NameAddr, Params, Via, ViaFix,
    ascii::NumberError,
    name_addr::{AddressError, BadQ, NameAddrs, addresses, contacts, parse_q},
    params::ParamError,
    via::{ViaError, vias},
};

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Display name, URI and parameters of one address.
fn check(value: &str, expected: (&str, &str, &str)) {
    let address = NameAddr::parse(value.as_bytes()).unwrap_or_else(|error| panic!("{value:?}: {error}"));
    let found = (text(address.display), text(address.uri), text(address.params.as_bytes()));
    assert_eq!(found, expected, "{value:?}");
    assert_eq!(text(address.raw), value.trim());
}

#[test]
fn addresses_are_taken_apart() {
    check("<sip:a@b>", ("", "sip:a@b", ""));
    check("<sip:a@b;x=1?y=z>;tag=2", ("", "sip:a@b;x=1?y=z", "tag=2"));
    check("sip:a@b;tag=2;x", ("", "sip:a@b", "tag=2;x"));
    check("sip:a@b ; tag = 2", ("", "sip:a@b", " tag = 2"));
    check(" \"A, \\\"B\\\" <x>\"\t<sip:a@b> ;q=1 ", ("\"A, \\\"B\\\" <x>\"", "sip:a@b", "q=1"));
    check("\"\"<sip:a@b>", ("\"\"", "sip:a@b", ""));
    check("A B<sip:a@b>", ("A B", "sip:a@b", ""));
    check("J\u{fc}rgen (home) <sip:a@b>", ("J\u{fc}rgen (home)", "sip:a@b", ""));
    check("<http://x/y?z>", ("", "http://x/y?z", ""));
    check("<sip:a@b>\r\n ;tag=1", ("", "sip:a@b", "tag=1"));
    check("<sip:a@b>;x=\"1,2;3\"", ("", "sip:a@b", "x=\"1,2;3\""));
}

fn refuse(value: &str, error: AddressError) {
    assert_eq!(NameAddr::parse(value.as_bytes()).map(|address| address.raw).err(), Some(error), "{value:?}");
}

#[test]
fn malformed_addresses_are_refused() {
    refuse("", AddressError::Empty);
    refuse(" ", AddressError::Empty);
    refuse("\"a <sip:a@b>", AddressError::DisplayName);
    refuse("\"a\" sip:a@b", AddressError::DisplayName);
    refuse("\"a\"", AddressError::DisplayName);
    refuse("a \"b\" <sip:a@b>", AddressError::DisplayName);
    refuse("a> <sip:a@b>", AddressError::DisplayName);
    refuse("<sip:a@b", AddressError::Address);
    refuse("<>", AddressError::Address);
    refuse("< sip:a@b >", AddressError::Address);
    refuse("<sip:a@b<c>", AddressError::Address);
    refuse("<sip:a\r\n @b>", AddressError::Address);
    refuse("sip:a @b", AddressError::Address);
    refuse("Watson, Thomas <sip:a@b>", AddressError::BracketsMissing);
    refuse("sip:a@b?x=y", AddressError::BracketsMissing);
    refuse("<sip:a@b>, <sip:c@d>", AddressError::Params(ParamError::Junk));
    refuse("<sip:a@b> tag=1", AddressError::Params(ParamError::Junk));
    refuse("<sip:a@b>;", AddressError::Params(ParamError::Name));
    refuse("<sip:a@b>;;;;", AddressError::Params(ParamError::Name));
    refuse("<sip:a@b>;a b", AddressError::Params(ParamError::Name));
    refuse("<sip:a@b>;a=\"b", AddressError::Params(ParamError::Value));
    refuse("<sip:a@b>;a=b c", AddressError::Params(ParamError::Value));
    refuse("<sip:a@b>;a=<b>", AddressError::Params(ParamError::Value));
}

#[test]
fn parameters_of_an_address_have_their_meaning() {
    let address = NameAddr::parse(b"<sip:a@b>;Q=0.5;EXPIRES=\"60\";Tag=x;ob;tag=y").unwrap();
    assert_eq!(address.q(), Ok(Some(500)));
    assert_eq!(address.expires(), Ok(Some(60)));
    assert_eq!(address.tag(), Some(&b"x"[..]));
    assert_eq!((address.param(b"ob"), address.param(b"none")), (Some(None), None));
    let address = NameAddr::parse(b"<sip:a@b>;q;expires").unwrap();
    assert_eq!((address.q(), address.expires()), (Err(BadQ), Err(NumberError::NotANumber)));
    let address = NameAddr::parse(b"<sip:a@b>;q=1.1;expires=99999999999").unwrap();
    assert_eq!((address.q(), address.expires()), (Err(BadQ), Err(NumberError::OutOfRange)));
    let address = NameAddr::parse(b"<sip:a@b>").unwrap();
    assert_eq!((address.q(), address.expires(), address.tag()), (Ok(None), Ok(None), None));
}

#[test]
fn q_values_are_thousandths() {
    for (value, expected) in [
        ("0", 0),
        ("1", 1000),
        ("0.", 0),
        ("1.0", 1000),
        ("1.000", 1000),
        ("0.7", 700),
        ("0.33", 330),
        ("0.001", 1),
        (".5", 500),
    ] {
        assert_eq!(parse_q(value.as_bytes()), Ok(expected), "{value}");
    }
    for value in ["", ".", "2", "1.001", "0.1234", "-1", "0,5", "0.x", "01", "1e0"] {
        assert_eq!(parse_q(value.as_bytes()), Err(BadQ), "{value}");
    }
}

/// One line of text for each contact of a message with these lines.
fn listed(lines: &str) -> Vec<String> {
    let message = Message::parse(format!("REGISTER sip:b SIP/2.0\r\n{lines}\r\n\r\n").into_bytes()).unwrap();
    let describe = |contact| match contact {
        Ok(Contact::Star) => "*".to_owned(),
        Ok(Contact::Address(address)) => {
            format!("{}|{}", text(address.uri), text(address.params.as_bytes()))
        }
        Err(error) => format!("{error:?}"),
    };
    contacts(&message).map(describe).collect()
}

#[test]
fn contacts_are_listed_over_commas_and_headers() {
    assert_eq!(listed("Subject: x"), [""; 0]);
    assert_eq!(listed("Contact: *"), ["*"]);
    assert_eq!(listed("m: * , *"), ["*", "*"]);
    assert_eq!(
        listed(
            "Contact: \"a, b\" <sip:a@b,c>;q=1;+x=\"1,2\", sip:c@d;expires=5\r\nm:<sip:e@f>,\r\n <sip:g@h> ;ob"
        ),
        ["sip:a@b,c|q=1;+x=\"1,2\"", "sip:c@d|expires=5", "sip:e@f|", "sip:g@h|ob"]
    );
}

#[test]
fn a_malformed_contact_does_not_hide_the_next() {
    assert_eq!(listed("Contact:"), ["Empty"]);
    assert_eq!(listed("Contact: <sip:a@b>,"), ["sip:a@b|", "Empty"]);
    assert_eq!(listed("Contact: , <sip:a@b>"), ["Empty", "sip:a@b|"]);
    assert_eq!(listed("Contact: *x, <sip:a@b>"), ["Address", "sip:a@b|"]);
    assert_eq!(listed("Contact: <sip:a@b>;;;;, <sip:c@d>"), ["Params(Name)", "sip:c@d|"]);
    assert_eq!(listed("Contact: <sip:a b>;x=\"1,2\", <sip:c@d>"), ["Address", "sip:c@d|"]);
    assert_eq!(listed("Contact: \"open <sip:a@b>, <sip:c@d>"), ["DisplayName"]);
    assert_eq!(listed("Contact: sip:a@b?x=y, <sip:c@d>"), ["BracketsMissing", "sip:c@d|"]);
}

#[test]
fn route_values_are_listed_over_commas_and_headers() {
    let message = Message::parse(
        b"INVITE sip:b SIP/2.0\r\nRoute: <sip:a;lr>, <sip:b;lr>;x\r\nRoute: <sip:c;lr>\r\n\r\n".to_vec(),
    )
    .unwrap();
    let uris: Vec<_> = addresses(&message, Name::Route).map(|address| text(address.unwrap().uri)).collect();
    assert_eq!(uris, ["sip:a;lr", "sip:b;lr", "sip:c;lr"]);
    assert_eq!(NameAddrs::new(b"<sip:a>,<sip:b>").count(), 2);
}

fn via(value: &str) -> Via<'_> {
    Via::parse(value.as_bytes()).unwrap_or_else(|error| panic!("{value:?}: {error}"))
}

#[test]
fn via_values_are_taken_apart() {
    let full =
        via("SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bKx;rport=7;received=192.0.2.9;maddr=224.1.1.1;ttl=16");
    assert_eq!((full.protocol, full.version, full.transport), (&b"SIP"[..], &b"2.0"[..], &b"UDP"[..]));
    assert_eq!((full.host, full.port, text(full.sent_by)), (&b"192.0.2.1"[..], Some(5062), "192.0.2.1:5062"));
    assert_eq!((full.branch().map(text), full.rport()), (Some("z9hG4bKx"), Some(Some(7))));
    assert_eq!((full.received().map(text), full.maddr().map(text)), (Some("192.0.2.9"), Some("224.1.1.1")));
    assert_eq!((full.ttl(), full.has_unique_branch()), (Some(16), true));
    let loose = via("SIP / 2.0\r\n / TCP  [2001:db8::1] : 5060 ; Branch = x ; RPORT");
    assert_eq!((loose.transport, loose.host, loose.port), (&b"TCP"[..], &b"[2001:db8::1]"[..], Some(5060)));
    assert_eq!((loose.branch().map(text), loose.rport()), (Some("x"), Some(None)));
    let short = via("SIP/2.0/TLS host.example");
    assert_eq!((short.port, short.branch(), short.rport(), short.received()), (None, None, None, None));
    assert_eq!(via("SIP/2.0/UDP h;rport=").rport(), Some(None));
    assert_eq!(via("SIP/2.0/UDP h;rport=99999").rport(), Some(None));
    assert_eq!(via("SIP/2.0/UDP h;ttl=256").ttl(), None);
}

#[test]
fn malformed_via_values_are_refused() {
    let refuse = |value: &str, error| {
        assert_eq!(Via::parse(value.as_bytes()).map(|via| via.raw).err(), Some(error), "{value:?}");
    };
    refuse("", ViaError::Empty);
    refuse("SIP/2.0 h", ViaError::Protocol);
    refuse("SIP/2.0/UDP", ViaError::Protocol);
    refuse("SIP//UDP h", ViaError::Protocol);
    refuse("/2.0/UDP h", ViaError::Protocol);
    refuse("SIP/2.0/UDP ;branch=x", ViaError::SentBy);
    refuse("SIP/2.0/UDP h:", ViaError::SentBy);
    refuse("SIP/2.0/UDP h:x", ViaError::SentBy);
    refuse("SIP/2.0/UDP h:70000", ViaError::SentBy);
    refuse("SIP/2.0/UDP [::1", ViaError::SentBy);
    refuse("SIP/2.0/UDP 192.0.2.15;;,;,,", ViaError::Params(ParamError::Name));
    refuse("SIP/2.0/UDP h i", ViaError::Params(ParamError::Junk));
    refuse("SIP/2.0/UDP h;x=\"y", ViaError::Params(ParamError::Value));
    refuse("SIP/2.0/UDP h, SIP/2.0/UDP i", ViaError::Params(ParamError::Junk));
}

#[test]
fn via_values_are_listed_topmost_first() {
    let message = Message::parse(
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=1, SIP/2.0/TCP b\r\nSubject: x\r\nv: bad, SIP/2.0/TLS c\r\n\r\n".to_vec(),
    )
    .unwrap();
    let hosts: Vec<_> = vias(&message).map(|via| via.map(|via| text(via.host))).collect();
    assert_eq!(hosts, [Ok("a"), Ok("b"), Err(ViaError::Protocol), Ok("c")]);
    let top = Via::top(&message).unwrap();
    assert_eq!((text(top.raw), top.branch()), ("SIP/2.0/UDP a;branch=1", Some(&b"1"[..])));
    assert!(message.span_of(top.raw).is_some());
}

fn fixed(value: &str, source: &str) -> String {
    let via = via(value);
    let source: SocketAddr = source.parse().unwrap();
    let mut out = Vec::new();
    match ViaFix::for_source(&via, source) {
        Some(fix) => fix.write(&via, &mut out),
        None => out.extend_from_slice(via.raw),
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn received_and_rport_are_added_as_rfc_3581_asks() {
    let check = |value: &str, source: &str, expected: &str| assert_eq!(fixed(value, source), expected);
    check("SIP/2.0/UDP 192.0.2.1;branch=x", "192.0.2.1:5060", "SIP/2.0/UDP 192.0.2.1;branch=x");
    check("SIP/2.0/UDP 192.0.2.1:9", "192.0.2.1:5060", "SIP/2.0/UDP 192.0.2.1:9");
    check("SIP/2.0/UDP 10.0.0.1", "192.0.2.1:5060", "SIP/2.0/UDP 10.0.0.1;received=192.0.2.1");
    check(
        "SIP/2.0/UDP h.example;branch=x",
        "192.0.2.1:5060",
        "SIP/2.0/UDP h.example;branch=x;received=192.0.2.1",
    );
    check(
        "SIP/2.0/UDP 192.0.2.1;rport;branch=x",
        "192.0.2.1:4711",
        "SIP/2.0/UDP 192.0.2.1;rport=4711;branch=x;received=192.0.2.1",
    );
    check(
        "SIP/2.0/UDP 10.0.0.1;RPort=1 ; branch=x",
        "192.0.2.1:65535",
        "SIP/2.0/UDP 10.0.0.1;rport=65535 ; branch=x;received=192.0.2.1",
    );
    check("SIP/2.0/UDP [::1];rport", "[2001:db8::2]:7", "SIP/2.0/UDP [::1];rport=7;received=2001:db8::2");
    check("SIP/2.0/UDP [2001:DB8::2]", "[2001:db8::2]:7", "SIP/2.0/UDP [2001:DB8::2]");
    check("SIP/2.0/UDP 192.0.2.1", "[::ffff:192.0.2.1]:7", "SIP/2.0/UDP 192.0.2.1");
}

#[test]
fn a_received_that_the_client_claims_is_replaced() {
    let forged = "SIP/2.0/UDP 192.0.2.1;received=198.51.100.7;rport;branch=x";
    assert_eq!(fixed(forged, "192.0.2.1:5"), "SIP/2.0/UDP 192.0.2.1;rport=5;branch=x;received=192.0.2.1");
    assert_eq!(
        fixed("SIP/2.0/UDP 192.0.2.1;received=198.51.100.7", "192.0.2.1:5"),
        "SIP/2.0/UDP 192.0.2.1;received=192.0.2.1"
    );
    let twice = fixed("SIP/2.0/UDP h;received=1.1.1.1;a;Received=2.2.2.2", "192.0.2.1:5");
    assert_eq!(twice, "SIP/2.0/UDP h;a;received=192.0.2.1");
}

#[test]
fn parameter_values_do_not_reach_into_the_next_item() {
    let params = Params::after(b";a=1,b=2;c").unwrap();
    let all: Vec<_> = params.iter().map(|param| text(param.raw)).collect();
    assert_eq!(all, ["a=1,b=2", "c"]);
    assert_eq!(params.check(), Err(ParamError::Value));
}
