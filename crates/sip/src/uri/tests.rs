use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Uri<'_> {
    Uri::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Scheme, user, password, host, port, parameters, headers; absent parts as "-".
fn check(input: &str, expected: [&str; 7]) {
    let uri = parse(input);
    let port = uri.port.map(|port| port.to_string());
    let found = [
        text(uri.scheme_name),
        uri.user.map_or("-", text),
        uri.password.map_or("-", text),
        text(uri.host),
        port.as_deref().unwrap_or("-"),
        text(uri.params.as_bytes()),
        uri.headers.map_or("-", text),
    ];
    assert_eq!(found, expected, "{input:?}");
}

#[test]
fn sip_uris_are_taken_apart() {
    check("sip:example.com", ["sip", "-", "-", "example.com", "-", "", "-"]);
    check("sip:alice@example.com", ["sip", "alice", "-", "example.com", "-", "", "-"]);
    check("SIPS:a:pw@h:5061;lr;x=1", ["SIPS", "a", "pw", "h", "5061", "lr;x=1", "-"]);
    check("sip:a:@h", ["sip", "a", "", "h", "-", "", "-"]);
    check(
        "sip:a@[2001:db8::1]:5070;transport=tcp",
        ["sip", "a", "-", "[2001:db8::1]", "5070", "transport=tcp", "-"],
    );
    check("sip:h?Subject=a%20b&X=", ["sip", "-", "-", "h", "-", "", "Subject=a%20b&X="]);
    check("sip:u@h;p=1?a=b", ["sip", "u", "-", "h", "-", "p=1", "a=b"]);
    check("sip:*21#@h_1", ["sip", "*21#", "-", "h_1", "-", "", "-"]);
    check("sip:user;par=u%40example.net@h", ["sip", "user;par=u%40example.net", "-", "h", "-", "", "-"]);
    check("sip:+1(212)555@h;user=phone", ["sip", "+1(212)555", "-", "h", "-", "user=phone", "-"]);
    check("sip:\u{e9}@h", ["sip", "\u{e9}", "-", "h", "-", "", "-"]);
}

#[test]
fn what_is_plain_to_see_is_what_taking_apart_finds() {
    let check = |input: &str, expected: Option<(&str, &str)>| {
        let found = Plain::read(input.as_bytes());
        assert_eq!(found.map(|plain| (text(plain.user), text(plain.host))), expected, "{input:?}");
        if let Some(plain) = found {
            let uri = parse(input);
            assert_eq!(text(plain.whole), &input[4..]);
            assert_eq!((uri.user.map_or("", text), text(uri.host)), (text(plain.user), text(plain.host)));
            assert_eq!((uri.scheme, uri.password, uri.port, uri.headers), (Scheme::Sip, None, None, None));
            assert!(uri.params.as_bytes().is_empty());
        }
    };
    check("sip:example.com", Some(("", "example.com")));
    check("sip:alice@Example.com", Some(("alice", "Example.com")));
    check("sip:+49(30)1;x=y@192.0.2.1", Some(("+49(30)1;x=y", "192.0.2.1")));
    for other in [
        "sip:",
        "sip:@h",
        "sip:a@",
        "sip:a%20b@h",
        "sip:a:b@h",
        "sip:a@b@c",
        "sip:h:5060",
        "sip:h;lr",
        "sip:h?x=y",
        "sip:[2001:db8::1]",
        "sip:a b@h",
        "sips:a@h",
        "SIP:a@h",
        "tel:1",
        "",
    ] {
        check(other, None);
    }
}

#[test]
fn other_schemes_are_taken_apart_as_far_as_they_are_known() {
    check(
        "tel:+1-201-555-0123;phone-context=x",
        ["tel", "+1-201-555-0123", "-", "", "-", "phone-context=x", "-"],
    );
    check("tel:*21#", ["tel", "*21#", "-", "", "-", "", "-"]);
    check("soap.beep://192.0.2.103:3002", ["soap.beep", "-", "-", "", "-", "", "-"]);
    assert_eq!(parse("soap.beep://192.0.2.103:3002").opaque, b"//192.0.2.103:3002");
    assert_eq!(parse("urn:service:sos").scheme, Scheme::Other);
}

#[test]
fn malformed_uris_are_refused_with_the_part_that_is_at_fault() {
    let refuse = |input: &[u8], error| {
        assert_eq!(
            Uri::parse(input).map(|uri| uri.host).err(),
            Some(error),
            "{:?}",
            input.escape_ascii().to_string()
        );
    };
    refuse(b"", UriError::Scheme);
    refuse(b"alice", UriError::Scheme);
    refuse(b":x", UriError::Scheme);
    refuse(b"1sip:x", UriError::Scheme);
    refuse(b"<sip:a@b>", UriError::Scheme);
    refuse(b"mailto:", UriError::Scheme);
    refuse(b"sip:", UriError::Host);
    refuse(b"sip:@h", UriError::User);
    refuse(b"sip::pw@h", UriError::User);
    refuse(b"sip:a@", UriError::Host);
    refuse(b"sip:a@b@c", UriError::User);
    refuse(b"sip:a b@c", UriError::Host);
    refuse(b"sip:a@b c", UriError::Host);
    refuse(b"sip:a\0@b", UriError::Host);
    refuse(b"sip:a@b\r\n", UriError::Host);
    refuse(b"sip:a@b>", UriError::Host);
    refuse(b"sip:a%4@b", UriError::Escape);
    refuse(b"sip:a%zz@b", UriError::Escape);
    refuse(b"sip:a@b%41", UriError::Host);
    refuse(b"sip:a@b:", UriError::Port);
    refuse(b"sip:a@b:x", UriError::Port);
    refuse(b"sip:a@b:65536", UriError::Port);
    refuse(b"sip:a@b:5060x", UriError::Port);
    refuse(b"sip:2001:db8::10", UriError::Port);
    refuse(b"sip:[2001:db8::10", UriError::Host);
    refuse(b"sip:[]", UriError::Host);
    refuse(b"sip:[::1]x", UriError::Host);
    refuse(b"sip:[::g]", UriError::Host);
    refuse(b"sip:a@b;", UriError::Param);
    refuse(b"sip:a@b;;lr", UriError::Param);
    refuse(b"sip:a@b;=1", UriError::Param);
    refuse(b"sip:a@b;x=\"q\"", UriError::Param);
    refuse(b"sip:a@b;x=%4", UriError::Escape);
    refuse(b"sip:a@b?", UriError::Header);
    refuse(b"sip:a@b?x=<y>", UriError::Header);
    refuse(b"tel:", UriError::User);
    refuse(b"tel:+", UriError::User);
    refuse(b"tel:12x", UriError::User);
    refuse(b"isbn:a b", UriError::Character);
}

#[test]
fn host_and_port_are_given_as_written() {
    let host_port = |input: &str, expected: &str| assert_eq!(text(parse(input).host_port()), expected);
    host_port("sip:a@example.com", "example.com");
    host_port("sip:a@[::1]:5060;lr", "[::1]:5060");
    host_port("sip:h:1?x=y", "h:1");
    host_port("tel:123", "");
}

#[test]
fn addresses_are_told_from_names() {
    let ip = |host: &str| host_ip(host.as_bytes()).map(|address| address.to_string());
    assert_eq!(ip("192.0.2.1").as_deref(), Some("192.0.2.1"));
    assert_eq!(ip("[2001:DB8::1]").as_deref(), Some("2001:db8::1"));
    assert_eq!(ip("2001:db8::1").as_deref(), Some("2001:db8::1"));
    assert_eq!(ip("[2001:db8:::192.0.2.1]").as_deref(), Some("2001:db8::c000:201"));
    assert_eq!(ip("example.com"), None);
    assert_eq!(ip("192.0.2.256"), None);
    assert_eq!(ip("[]"), None);
    assert_eq!(ip(""), None);
}

fn equality(left: &str, right: &str, expected: bool) {
    assert_eq!(parse(left).equals(&parse(right)), expected, "{left} and {right}");
    assert_eq!(parse(right).equals(&parse(left)), expected, "{right} and {left}");
}

/// The examples of RFC 3261 §19.1.4.
#[test]
fn uris_are_equal_as_in_the_examples_of_rfc_3261() {
    equality("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtlAntA.CoM;Transport=tcp", true);
    equality("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", true);
    equality("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5", true);
    equality(
        "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
        "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        true,
    );
    equality(
        "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
        "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        true,
    );
    equality("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", false);
    equality("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false);
    equality("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", false);
    equality("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp", false);
    equality("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting", false);
    equality("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", false);
}

#[test]
fn a_parameter_on_one_side_only_matters_where_it_decides_the_delivery() {
    for param in [
        "transport=udp",
        "user=phone",
        "ttl=1",
        "maddr=192.0.2.1",
        "method=INVITE",
        "ob",
        "gr",
        "gr=urn:x",
        "pn-provider=apns",
        "PN-prid=x",
    ] {
        equality("sip:a@h", &format!("sip:a@h;{param}"), false);
        equality(&format!("sip:a@h;{param}"), &format!("sip:a@h;{param};x=y"), true);
    }
    for param in ["lr", "x=y", "tag=1", "obs", "grr", "pnx=1"] {
        equality("sip:a@h", &format!("sip:a@h;{param}"), true);
    }
    equality("sip:a@h;x=1", "sip:a@h;x=2", false);
    equality("sip:a@h;x=1", "sip:a@h;x", false);
    equality("sip:a@h;pn-prid=a", "sip:a@h;pn-prid=b", false);
}

#[test]
fn escapes_are_equal_to_what_they_stand_for_only_where_that_needs_no_escape() {
    equality("sip:%61@h", "sip:a@h", true);
    equality("sip:%2d@h", "sip:-@h", true);
    equality("sip:a%2C@h", "sip:a%2c@h", true);
    equality("sip:a%2c@h", "sip:a,@h", false);
    equality("sip:%41@h", "sip:a@h", false);
    equality("sip:a@h;x=%61", "sip:a@h;X=A", true);
    equality("sip:a%00@h", "sip:a@h", false);
}

#[test]
fn every_part_is_compared() {
    equality("sip:a@h", "sips:a@h", false);
    equality("sip:a@h", "sip:h", false);
    equality("sip:a@h", "sip:A@h", false);
    equality("sip:a:x@h", "sip:a:X@h", false);
    equality("sip:a@h", "sip:a:@h", false);
    equality("sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0:0:0:0:0:1]", true);
    equality("sip:a@h?x=1", "sip:a@h?x=2", false);
    equality("sip:a@h?x=1", "sip:a@h?x=1&y=2", false);
}

#[test]
fn tel_numbers_are_equal_without_their_separators() {
    equality("tel:+1-201-555-0123", "tel:+12015550123", true);
    equality("tel:+1(201)555.0123", "TEL:+12015550123", true);
    equality("tel:+12015550123", "tel:12015550123", false);
    equality("tel:123;phone-context=a.b", "tel:123;phone-context=A.B", true);
    equality("tel:123;phone-context=a.b", "tel:123", false);
    equality("tel:123", "sip:123", false);
    equality("urn:a", "URN:a", true);
    equality("urn:a", "urn:A", false);
}

#[test]
fn a_flood_of_parameters_is_not_compared_one_by_one() {
    let many = |name: &str| (0..200).map(|index| format!(";{name}{index}")).collect::<String>();
    let uri = format!("sip:a@h{}", many("p"));
    equality(&uri, &uri.clone(), true);
    equality(&uri, &format!("sip:a@h{}", many("q")), false);
}

#[test]
fn unescaping_and_escaping_are_inverse() {
    let unescape = |input: &[u8]| {
        let mut out = Vec::new();
        escape::unescape_into(input, &mut out).map(|()| out)
    };
    assert_eq!(unescape(b"a%40b%00%ff"), Ok(b"a@b\0\xff".to_vec()));
    assert_eq!(unescape(b"a%4"), Err(UriError::Escape));
    assert_eq!(unescape(b"%"), Err(UriError::Escape));
    assert_eq!(unescape(b"%+1"), Err(UriError::Escape));
    let mut out = Vec::new();
    escape::escape_user_into(b"sip:a@b;x\0", &mut out);
    assert_eq!(out, b"sip%3Aa%40b;x%00");
    out.clear();
    escape::escape_param_into(b"a=b;c", &mut out);
    assert_eq!(out, b"a%3Db%3Bc");
    let all: Vec<u8> = (0..=255).collect();
    for write in [escape::escape_user_into, escape::escape_param_into] {
        out.clear();
        write(&all, &mut out);
        assert_eq!(unescape(&out), Ok(all.clone()));
    }
}

proptest! {
    #[test]
    fn what_is_read_in_the_shortest_way_is_plain(
        user in "[a-zA-Z0-9._-]{0,40}[+%:;]?", at in "@{0,2}", host in "[a-z0-9.-]{0,30}[A-Z]?[:;?>é]?[a-z]{0,3}"
    ) {
        let raw = format!("sip:{user}{at}{host}");
        let usual = Plain::read(raw.as_bytes()).filter(|plain| {
            let has_sign = plain.user.iter().any(|byte| !byte.is_ascii_alphanumeric() && !b"-._".contains(byte));
            !plain.user.is_empty() && !has_sign && !plain.host.iter().any(u8::is_ascii_uppercase)
        });
        let expected = usual.filter(|_| (16..=64).contains(&raw.len()));
        prop_assert_eq!(Plain::read_lower(raw.as_bytes()), expected);
    }
}
