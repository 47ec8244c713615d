//! Module `registrar`: GRUUs (registrar 1.1.2, 1.3.20, 1.3.21).

use crate::harness::{Request, Server, check_warned, refused, route};

const FIRST: &str = "<sip:bob@198.51.100.7:5070>;+sip.instance=\"<urn:uuid:1>\"";
const SECOND: &str = "<sip:bob@198.51.100.8:5070>;+sip.instance=\"<urn:uuid:2>\"";
const PUBLIC: &str = "sip:bob@example.com;gr=urn:uuid:1";

/// A server with GRUUs that saves REGISTERs and looks everything else up.
fn server(parameters: &str) -> Server {
    let script = route(
        "if (is_method(\"REGISTER\")) { save(\"location\"); exit; }\n\
         lookup(\"location\"); xlog(\"$rc $ru $(branch(uri))\");",
    );
    let on =
        "modparam(\"registrar\", \"disable_gruu\", 0)\nmodparam(\"registrar\", \"gruu_secret\", \"s3cret\")";
    Server::new(&script.replacen("route {", &format!("{on}\n{parameters}\nroute {{"), 1))
}

/// Registers a contact with `Supported: gruu`; gives the Contact of the 200.
fn register(server: &mut Server, contact: &str) -> String {
    let request = Request::register(&[contact]).call_id(contact).header("Supported: path, gruu");
    server.receive(&request).reply(200).header("Contact")
}

/// The temporary GRUU of the last contact in a list.
fn temporary(contacts: &str) -> String {
    let value = contacts.rsplit("temp-gruu=\"").next().unwrap();
    value.split('"').next().unwrap().to_owned()
}

#[track_caller]
fn check_lookup(server: &mut Server, uri: &str, expected: &str) {
    assert_eq!(server.receive(&Request::new(&format!("INVITE {uri}"))).log, [expected], "{uri}");
}

#[test]
fn save_gives_out_a_public_and_a_temporary_gruu_and_lookup_finds_that_phone_alone() {
    let mut server = server("");
    let first = register(&mut server, FIRST);
    assert!(first.contains(&format!(";pub-gruu=\"{PUBLIC}\";temp-gruu=\"sip:tgruu.")), "{first}");
    assert!(first.contains("@192.0.2.1:5060;gr\";+sip.instance=\"<urn:uuid:1>\""), "{first}");
    register(&mut server, SECOND);
    check_lookup(&mut server, PUBLIC, "1 sip:bob@198.51.100.7:5070 <null>");
    check_lookup(&mut server, &temporary(&first), "1 sip:bob@198.51.100.7:5070 <null>");
    check_lookup(&mut server, "sip:bob@example.com", "1 sip:bob@198.51.100.7:5070 sip:bob@198.51.100.8:5070");
}

#[test]
fn one_that_is_not_ours_or_has_ended_is_not_found_whatever_is_wrong_with_it() {
    let mut server = server("");
    let gruu = temporary(&register(&mut server, FIRST));
    let again = Request::register(&[FIRST]).call_id("new").header("Supported: gruu");
    server.receive(&again);
    let forged = gruu.replacen("tgruu.", "tgruu.A", 1);
    let huge = format!("sip:tgruu.{}@192.0.2.1:5060;gr", "A".repeat(5000));
    for uri in [&*gruu, &forged, &huge, "sip:tgruu.@192.0.2.1:5060;gr", "sip:bob@example.com;gr=urn:uuid:9"] {
        check_lookup(&mut server, uri, &format!("-1 {uri} <null>"));
    }
}

#[test]
fn the_gruu_of_an_argument_counts_like_that_of_the_request() {
    let script = route(&format!(
        "if (is_method(\"REGISTER\")) {{ save(\"location\"); exit; }}\n\
         lookup(\"location\", , \"{PUBLIC}\"); xlog(\"$rc $ru\");"
    ));
    let on = "modparam(\"registrar\", \"disable_gruu\", 0)";
    let mut server = Server::new(&script.replacen("route {", &format!("{on}\nroute {{"), 1));
    register(&mut server, FIRST);
    register(&mut server, SECOND);
    let run = server.receive(&Request::new("INVITE sip:carol@example.com"));
    assert_eq!(run.log, ["1 sip:bob@198.51.100.7:5070"]);
}

#[test]
fn disable_gruu_is_the_default_and_takes_the_meaning_from_the_parameter() {
    let mut server = server("modparam(\"registrar\", \"disable_gruu\", 1)");
    let contact = register(&mut server, FIRST);
    assert!(!contact.contains("gruu"), "{contact}");
    check_lookup(&mut server, PUBLIC, "1 sip:bob@198.51.100.7:5070 <null>");
    let require = Request::register(&[SECOND]).header("Require: gruu");
    assert_eq!(server.receive(&require).reply(420).header("Unsupported"), "gruu");
}

#[test]
fn gruu_secret_makes_the_temporary_ones() {
    let mut ours = server("");
    let mut other = server("modparam(\"registrar\", \"gruu_secret\", \"other\")");
    let mut same = server("");
    let gruu = temporary(&register(&mut ours, FIRST));
    for server in [&mut other, &mut same] {
        register(server, FIRST);
    }
    check_lookup(&mut other, &gruu, &format!("-1 {gruu} <null>"));
    check_lookup(&mut same, &gruu, "1 sip:bob@198.51.100.7:5070 <null>");
}

#[test]
fn the_default_secret_is_warned_about_where_it_matters() {
    let script = |switch: &str, secret: &str| {
        format!(
            "loadmodule \"usrloc.so\"\nloadmodule \"signaling.so\"\nloadmodule \"registrar.so\"\n\
             modparam(\"registrar\", \"disable_gruu\", {switch})\n{secret}\nroute {{ exit; }}\n"
        )
    };
    let words = &["secret that everybody knows", "gruu_secret"];
    check_warned(&script("§0", ""), words);
    check_warned(&script("§0", "modparam(\"registrar\", \"gruu_secret\", \"OpenSIPS\")"), words);
    let short = "modparam(\"registrar\", \"gruu_secret\", \"top_secret\")";
    check_warned(&script("§0", short), &["short secret", "gruu_secret"]);
    for quiet in
        [script("1", ""), script("0", "modparam(\"registrar\", \"gruu_secret\", \"sixteen bytes of it\")")]
    {
        crate::harness::check_quiet(&quiet);
    }
    refused(
        &script("0", "modparam(\"registrar\", \"gruu_secret\", §\"\")"),
        &["gruu_secret", "must not be empty"],
    );
}

#[test]
fn gruu_legacy_lets_those_of_opensips_be_understood() {
    // What `1800000000 bob@example.com urn:uuid:1 old-call` becomes with the secret `s3cret`.
    let plain = b"1800000000 bob@example.com urn:uuid:1 old-call";
    let mixed: Vec<u8> = plain.iter().zip(b"s3cret".iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    let uri = format!("sip:tgruu.{}@192.0.2.1:5060;gr", base64(&mixed));
    for (parameters, expected) in [
        ("modparam(\"registrar\", \"gruu_legacy\", 1)", "1 sip:bob@198.51.100.7:5070 <null>".to_owned()),
        ("", format!("-1 {uri} <null>")),
    ] {
        let mut server = server(parameters);
        server.receive(&Request::register(&[FIRST]).call_id("old-call"));
        check_lookup(&mut server, &uri, &expected);
    }
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let bits =
            three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..=three.len() {
            out.push(char::from(LETTERS[(bits >> (18 - 6 * place)) as usize & 63]));
        }
        out.push_str(&"=".repeat(3 - three.len()));
    }
    out
}

#[test]
fn a_contact_that_is_a_gruu_is_refused_and_counted() {
    let mut server = server("");
    let gruu = temporary(&register(&mut server, FIRST));
    for uri in [PUBLIC, &gruu] {
        let request = Request::register(&[&format!("<{uri}>;+sip.instance=\"<urn:uuid:1>\"")]).cseq(2);
        assert_eq!(server.receive(&request).starts(), ["SIP/2.0 403 Forbidden"], "{uri}");
    }
    assert_eq!(server.counter("registrar", "rejected_regs"), 2);
}
