//! The torture messages of RFC 4475 and RFC 5118. For each of them one layer must object, or none; the layers of a
//! registrar or proxy that are above this crate are stood in for by [`objecting_layer`].

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv6Addr},
    path::{Path, PathBuf},
};

use seawall_sip::{
    Contact, Edits, Framing, Message, Method, Name, Uri, Via, cseq,
    digest::Credentials,
    name_addr::{self, contacts},
    stream::{Frame, Framer},
    validate,
    via::vias,
};

/// Who objects to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    /// `validate::request`, with the status of its answer.
    Validate(u16),
    /// `validate::response`: the response is thrown away.
    Discard,
    /// The check of Require or Proxy-Require: 420.
    Extensions,
    /// The hop count: 483.
    MaxForwards,
    /// The element that knows its methods: 405 or 501.
    Method,
    /// The registrar, which registers SIP addresses only: 400.
    AddressOfRecord,
    /// The registrar, on a malformed Contact: 400.
    Contact,
    /// Nobody.
    Nobody,
}

use Layer::{AddressOfRecord, Discard, Extensions, MaxForwards, Nobody, Validate};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpora")
}

fn load(file: &str) -> Message {
    let bytes = fs::read(folder().join(file)).unwrap();
    Message::parse(bytes).unwrap_or_else(|(_, error)| panic!("{file}: {error}"))
}

fn objecting_layer(message: &Message) -> Layer {
    if message.is_response() {
        return if validate::response(message).is_ok() { Nobody } else { Discard };
    }
    if let Err(objection) = validate::request(message) {
        return Validate(objection.status);
    }
    let extensions = [Name::Require, Name::ProxyRequire];
    if extensions.iter().any(|&name| validate::extensions(message, name, &[]).is_err()) {
        return Extensions;
    }
    if cseq::max_forwards(message) == Ok(Some(0)) {
        return MaxForwards;
    }
    match message.method_id() {
        Method::Other => return Layer::Method,
        Method::Register => {}
        _ => return Nobody,
    }
    let to = name_addr::address(message, Name::To).unwrap();
    if !to.parse_uri().is_ok_and(|uri| uri.is_sip()) {
        return AddressOfRecord;
    }
    let sound = |contact| match contact {
        Ok(Contact::Star) => true,
        Ok(Contact::Address(address)) => address.params.check().is_ok() && address.parse_uri().is_ok(),
        Err(_) => false,
    };
    if contacts(message).all(sound) { Nobody } else { Layer::Contact }
}

fn check(file: &str, expected: Layer) {
    let message = load(file);
    assert_eq!(objecting_layer(&message), expected, "{file}: {:?}", validate::request(&message));
    assert_written_as_it_came(file, &message);
}

/// Without edits a message is written byte for byte, and what is written reads the same.
fn assert_written_as_it_came(file: &str, message: &Message) {
    let mut out = Vec::new();
    Edits::new().write(message, &mut out);
    assert_eq!(out, message.wire(), "{file}");
    let again = Message::parse(out).unwrap();
    assert_eq!(again.header_count(), message.header_count(), "{file}");
    assert_eq!(again.body(), message.body(), "{file}");
}

/// The layer that objects to each message.
const LAYERS: &[(&str, Layer)] = &[
    ("rfc4475/wsinv.dat", Nobody),
    ("rfc4475/intmeth.dat", Layer::Method),
    ("rfc4475/esc01.dat", Nobody),
    ("rfc4475/escnull.dat", Nobody),
    ("rfc4475/esc02.dat", Layer::Method),
    ("rfc4475/lwsdisp.dat", Nobody),
    ("rfc4475/longreq.dat", Nobody),
    ("rfc4475/dblreq.dat", Nobody),
    ("rfc4475/semiuri.dat", Nobody),
    ("rfc4475/transports.dat", Nobody),
    ("rfc4475/mpart01.dat", Nobody),
    ("rfc4475/unreason.dat", Nobody),
    ("rfc4475/noreason.dat", Nobody),
    ("rfc4475/badinv01.dat", Validate(400)),
    ("rfc4475/clerr.dat", Validate(400)),
    ("rfc4475/ncl.dat", Validate(400)),
    ("rfc4475/scalar02.dat", Validate(400)),
    ("rfc4475/scalarlg.dat", Discard),
    ("rfc4475/quotbal.dat", Validate(400)),
    ("rfc4475/ltgtruri.dat", Validate(400)),
    ("rfc4475/lwsruri.dat", Validate(400)),
    ("rfc4475/lwsstart.dat", Validate(400)),
    ("rfc4475/trws.dat", Validate(400)),
    ("rfc4475/escruri.dat", Validate(400)),
    ("rfc4475/baddate.dat", Nobody),
    ("rfc4475/regbadct.dat", Layer::Contact),
    ("rfc4475/badaspec.dat", Validate(400)),
    ("rfc4475/baddn.dat", Validate(400)),
    ("rfc4475/badvers.dat", Validate(505)),
    ("rfc4475/mismatch01.dat", Validate(400)),
    ("rfc4475/mismatch02.dat", Validate(400)),
    ("rfc4475/bigcode.dat", Discard),
    ("rfc4475/badbranch.dat", Nobody),
    ("rfc4475/insuf.dat", Validate(400)),
    ("rfc4475/unkscm.dat", Validate(416)),
    ("rfc4475/novelsc.dat", Validate(416)),
    ("rfc4475/unksm2.dat", AddressOfRecord),
    ("rfc4475/bext01.dat", Extensions),
    ("rfc4475/invut.dat", Nobody),
    ("rfc4475/regaut01.dat", Nobody),
    ("rfc4475/multi01.dat", Validate(400)),
    ("rfc4475/mcl01.dat", Validate(400)),
    // The transaction layer discards it, because the topmost Via is none of its own.
    ("rfc4475/bcast.dat", Nobody),
    ("rfc4475/zeromf.dat", MaxForwards),
    ("rfc4475/cparam01.dat", Nobody),
    ("rfc4475/cparam02.dat", Nobody),
    ("rfc4475/regescrt.dat", Nobody),
    ("rfc4475/sdp01.dat", Nobody),
    ("rfc4475/inv2543.dat", Nobody),
    ("rfc5118/4.1_ipv6-good.dat", Nobody),
    ("rfc5118/4.2_ipv6-bad.dat", Validate(400)),
    ("rfc5118/4.3_port-ambiguous.dat", Nobody),
    ("rfc5118/4.4_port-unambiguous.dat", Nobody),
    ("rfc5118/4.5a_via-received-brackets.dat", Nobody),
    ("rfc5118/4.5b_via-received-plain.dat", Nobody),
    ("rfc5118/4.6_ipv6-in-sdp.dat", Nobody),
    ("rfc5118/4.7_mult-ip-in-header.dat", Nobody),
    ("rfc5118/4.8_mult-ip-in-sdp.dat", Nobody),
    ("rfc5118/4.9_ipv4-mapped-ipv6.dat", Nobody),
    ("rfc5118/4.10a_ipv6-bug-abnf-3-colons.dat", Nobody),
    ("rfc5118/4.10b_ipv6-correct-abnf-2-colons.dat", Nobody),
];

#[test]
fn every_torture_message_meets_the_layer_that_must_object() {
    for &(file, layer) in LAYERS {
        check(file, layer);
    }
}

/// Which layers an entry in the "expect" column of the corpora leaves open.
fn allowed(expect: &str, layer: Layer) -> bool {
    let refused = matches!(layer, Validate(400) | AddressOfRecord | Layer::Contact);
    match expect {
        "pass" | "bind1" | "bind2" | "not400" | "noauth" => layer == Nobody,
        "method" => layer == Layer::Method,
        "silent" => matches!(layer, Discard | Nobody),
        "400" => refused,
        "400lib" => refused || layer == Nobody,
        "400or501" => refused || layer == Layer::Method,
        "416" | "505" => layer == Validate(expect.parse().unwrap()),
        "420" => layer == Extensions,
        "483or200" => layer == MaxForwards,
        "any" => true,
        other => panic!("unknown expectation {other}"),
    }
}

#[test]
fn the_table_covers_both_corpora_and_agrees_with_their_expectations() {
    let mut open: BTreeMap<String, Layer> =
        LAYERS.iter().map(|&(file, layer)| (file.to_owned(), layer)).collect();
    for corpus in ["rfc4475", "rfc5118"] {
        let expectations = fs::read_to_string(folder().join(corpus).join("expectations.tsv")).unwrap();
        for line in expectations.lines().skip(1) {
            let columns: Vec<_> = line.split('\t').collect();
            let file = format!("{corpus}/{}", columns[1]);
            let layer = open.remove(&file).unwrap_or_else(|| panic!("{file} is not in the table"));
            assert!(allowed(columns[4], layer), "{file}: {layer:?} where {} is expected", columns[4]);
        }
    }
    assert!(open.is_empty(), "not in the corpora: {open:?}");
}

/// The framer and the scanner must agree about where a message ends. Those without a Content-Length have no body on
/// a stream.
#[test]
fn the_framer_cuts_torture_messages_where_the_scanner_ends_them() {
    for &(file, _) in LAYERS {
        let message = load(file);
        let content_length = message.value(Name::ContentLength).map(<[u8]>::to_vec);
        let stream = message.bytes().to_vec();
        match Framer::new().frame(&stream) {
            Frame::Message { len } => {
                let mut cut = Message::empty();
                cut.buffer_mut().extend_from_slice(&stream[..len]);
                cut.scan_in_place(Framing::Stream).unwrap();
                assert_eq!(cut.wire().len(), len, "{file}");
                assert_eq!(cut.header_count(), message.header_count(), "{file}");
                if content_length.is_some() {
                    assert_eq!(cut.body(), message.body(), "{file}");
                } else {
                    assert!(cut.body().is_empty(), "{file}");
                }
            }
            Frame::Incomplete => assert_eq!(file, "rfc4475/clerr.dat"),
            Frame::Invalid { head_len, .. } => {
                assert!(["rfc4475/ncl.dat", "rfc4475/mcl01.dat"].contains(&file), "{file}");
                assert!(stream[..head_len].ends_with(b"\r\n\r\n"), "{file}");
            }
            other => panic!("{file}: {other:?}"),
        }
    }
}

fn bound_uris(file: &str) -> Vec<String> {
    let message = load(file);
    let uris = contacts(&message).map(|contact| match contact.unwrap() {
        Contact::Address(address) => String::from_utf8(address.uri.to_vec()).unwrap(),
        Contact::Star => "*".to_owned(),
    });
    uris.collect()
}

#[test]
fn contact_parameters_belong_to_the_uri_only_inside_brackets() {
    assert_eq!(bound_uris("rfc4475/cparam01.dat"), ["sip:+19725552222@gw1.example.net"]);
    assert_eq!(bound_uris("rfc4475/cparam02.dat"), ["sip:+19725552222@gw1.example.net;unknownparam"]);
    assert_eq!(bound_uris("rfc4475/regescrt.dat"), ["sip:user@example.com?Route=%3Csip:sip.example.com%3E"]);
}

#[test]
fn an_escaped_nul_does_not_end_a_user_name() {
    let uris = bound_uris("rfc4475/escnull.dat");
    assert_eq!(uris, ["sip:%00@host5.example.com", "sip:%00%00@host5.example.com"]);
    let [one, two] = &uris[..] else { panic!() };
    assert!(!Uri::parse(one.as_bytes()).unwrap().equals(&Uri::parse(two.as_bytes()).unwrap()));
}

#[test]
fn white_space_is_allowed_around_every_delimiter() {
    let message = load("rfc4475/wsinv.dat");
    let to = name_addr::address(&message, Name::To).unwrap();
    assert_eq!((to.uri, to.tag()), (&b"sip:vivekg@chair-dnrc.example.com"[..], Some(&b"1918181833n"[..])));
    let from = name_addr::address(&message, Name::From).unwrap();
    assert_eq!((from.display, from.tag()), (&br#""J Rosenberg \\\"""#[..], Some(&b"98asjd8"[..])));
    assert_eq!(cseq::max_forwards(&message), Ok(Some(68)));
    assert_eq!(cseq::CSeq::of(&message).unwrap().number, 9);
    let vias: Vec<_> = vias(&message).map(Result::unwrap).collect();
    let summary: Vec<_> = vias.iter().map(|via| (via.transport, via.host, via.branch().unwrap())).collect();
    assert_eq!(
        summary,
        [
            (&b"UDP"[..], &b"192.0.2.2"[..], &b"390skdjuw"[..]),
            (b"TCP", b"spindle.example.com", b"z9hG4bK9ikj8"),
            (b"UDP", b"192.168.255.111", b"z9hG4bK30239"),
        ]
    );
    let Some(Ok(Contact::Address(contact))) = contacts(&message).next() else { panic!() };
    assert_eq!(contact.q(), Ok(Some(330)));
    assert_eq!(contact.param(b"newparam"), Some(Some(&b"newvalue"[..])));
    assert_eq!(message.header(Name::Subject).unwrap().value, b"");
}

#[test]
fn what_follows_the_declared_body_is_noise() {
    let message = load("rfc4475/dblreq.dat");
    assert_eq!(message.body(), b"");
    assert!(message.wire().len() < message.bytes().len());
    assert!(message.wire().ends_with(b"\r\n\r\n"));
}

#[test]
fn a_semicolon_in_the_user_part_belongs_to_the_user() {
    let message = load("rfc4475/semiuri.dat");
    let uri = Uri::parse(message.request_uri()).unwrap();
    assert_eq!(uri.user, Some(&b"user;par=u%40example.net"[..]));
    assert_eq!(uri.host, b"example.com");
    assert!(uri.params.is_empty());
}

#[test]
fn unknown_authorization_schemes_are_no_digest() {
    let message = load("rfc4475/regaut01.dat");
    let credentials = Credentials::parse(message.value(Name::Authorization).unwrap()).unwrap();
    assert!(!credentials.is_digest());
}

#[test]
fn a_bare_magic_cookie_is_no_unique_branch() {
    assert!(!Via::top(&load("rfc4475/badbranch.dat")).unwrap().has_unique_branch());
}

#[test]
fn ipv6_references_keep_address_and_port_apart() {
    let address = |text: &str| Some(IpAddr::V6(text.parse::<Ipv6Addr>().unwrap()));
    let uri_of = |file: &str, expected_ip, expected_port| {
        let message = load(file);
        let uri = Uri::parse(message.request_uri()).unwrap();
        assert_eq!((uri.host_ip(), uri.port), (expected_ip, expected_port), "{file}");
    };
    uri_of("rfc5118/4.1_ipv6-good.dat", address("2001:db8::10"), None);
    uri_of("rfc5118/4.3_port-ambiguous.dat", address("2001:db8::10:5070"), None);
    uri_of("rfc5118/4.4_port-unambiguous.dat", address("2001:db8::10"), Some(5070));
    uri_of("rfc5118/4.10a_ipv6-bug-abnf-3-colons.dat", address("2001:db8::192.0.2.1"), None);
    uri_of("rfc5118/4.10b_ipv6-correct-abnf-2-colons.dat", address("2001:db8::192.0.2.1"), None);
}

#[test]
fn received_is_read_with_and_without_brackets() {
    for file in ["rfc5118/4.5a_via-received-brackets.dat", "rfc5118/4.5b_via-received-plain.dat"] {
        let message = load(file);
        let expected = "2001:db8::9:255".parse::<Ipv6Addr>().unwrap();
        assert_eq!(Via::top(&message).unwrap().received_ip(), Some(IpAddr::V6(expected)), "{file}");
    }
}
