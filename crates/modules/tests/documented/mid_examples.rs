//! The examples of the document of `mid_registrar`, as they stand there: each loads, and those of its functions are run.

use crate::harness::{ALL_MODULES, Request, Server, program, reply};

const EXAMPLES: &str = include_str!("parity/mid_registrar.examples");

/// The examples: number and text, without the lines of dots.
fn examples() -> impl Iterator<Item = (&'static str, String)> {
    EXAMPLES.split("\n=== ").skip(1).map(|part| {
        let (title, text) = part.split_once('\n').unwrap();
        let lines = text
            .lines()
            .filter(|line| line.trim().is_empty() || !line.trim().bytes().all(|byte| byte == b'.'));
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        (title.split(' ').next().unwrap(), text)
    })
}

/// A whole script around a fragment: parameters in front, routes behind, everything else in `route{}`.
fn complete(fragment: &str) -> String {
    let relay = "route[relay] { t_relay(); }\n";
    if fragment.contains("route {") {
        return format!("{ALL_MODULES}{fragment}\n{relay}");
    }
    let (routing, routes) = fragment.split_at(fragment.find("branch_route").unwrap_or(fragment.len()));
    let (parameters, statements): (Vec<&str>, Vec<&str>) =
        routing.lines().partition(|line| line.starts_with("modparam"));
    // Every script needs a statement.
    let statements = statements.join("\n");
    format!("{ALL_MODULES}{}\nroute {{\n{statements}\nexit;\n}}\n{routes}", parameters.join("\n"))
}

fn example(number: &str) -> String {
    examples().find(|(known, _)| *known == number).expect("an example").1
}

#[test]
fn every_example_of_the_document_loads() {
    let mut numbers = Vec::new();
    for (number, text) in examples() {
        let script = complete(&text);
        drop(program(&script));
        numbers.push(number);
    }
    let expected: Vec<String> = (1..=36).map(|number| format!("1.{number}")).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn what_an_example_sets_is_what_the_server_goes_by() {
    let set = |number| {
        let server = Server::new(&complete(&example(number)));
        let configuration = server.node.configuration.load_full();
        configuration.settings.mid.clone().unwrap()
    };
    assert_eq!(set("1.1").mid.mode, seawall_registrar::mid::Mode::Aor);
    assert_eq!(set("1.2").mid.insertion, seawall_registrar::mid::Insertion::Username);
    assert_eq!((&*set("1.3").mid.contact_id_param, &*set("1.4").mid.at_escape), (&b"ctid"[..], &b"___"[..]));
    assert_eq!(set("1.5").mid.outgoing_expires_s, 3600);
    assert!(set("1.6").received.is_some() && set("1.8").extra.is_some() && set("1.9").attribute.is_some());
    assert_eq!(&*set("1.7").policy.received_param, b"rcv");
    let policy = |number| set(number).policy.clone();
    assert_eq!((policy("1.10").min_expires_s, policy("1.11").default_expires_s), (600, 1800));
    assert_eq!((policy("1.12").max_expires_s, policy("1.13").default_q), (7200, 380));
    assert_ne!(set("1.14").tcp_persistent_flag, 0);
    assert_eq!(&*policy("1.15").realm_prefix, b"sip.");
    assert!(!policy("1.16").case_sensitive);
    assert_eq!((policy("1.17").expires_max_deviation_s, policy("1.18").max_contacts), (100, 10));
    assert_eq!((policy("1.19").max_username_len, policy("1.20").max_domain_len), (128, 128));
    assert_eq!((policy("1.21").max_aor_len, policy("1.22").max_contact_len), (512, 512));
    assert_eq!(policy("1.23").retry_after_s, 30);
    assert!(policy("1.24").gruu.is_some() && policy("1.25").gruu.is_none());
}

#[test]
fn the_usage_examples_1_34_and_1_35_serve_a_phone() {
    let text = format!("{}\n{}", example("1.34"), example("1.35"));
    let script = complete(&text).replacen("route {", "modparam(\"mid_registrar\", \"mode\", 1)\nroute {", 1);
    let script = format!("xlog_level=3\n{script}");
    let mut server = Server::new(&script);
    let register = |cseq: u32| {
        let via = format!("SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK-e-{cseq}");
        Request::register(&["<sip:bob@198.51.100.7:5070>;expires=60"]).via(&via).cseq(cseq)
    };
    let run = server.receive(&register(1));
    let sent = run.request("REGISTER").clone();
    assert_eq!(sent.to, "udp:10.0.0.3:5070");
    let contact = sent.header("Contact");
    let told = server.answer(&reply(&sent.text, 200, "OK", &format!("Contact: {contact}\r\n")));
    assert_eq!(told.only().start(), "SIP/2.0 200 OK");
    assert_eq!(server.receive(&register(2)).log, ["REGISTER has been absorbed!"]);
    // The main registrar calls.
    let uri = contact.split(['<', '>']).nth(1).unwrap();
    let invite = Request::new(&format!("INVITE {uri}")).via("SIP/2.0/UDP 10.0.0.3:5070;branch=z9hG4bK-i");
    let run = server.receive_at(0, "10.0.0.3:5070", &invite.text());
    assert_eq!(run.request("INVITE").start(), "INVITE sip:bob@198.51.100.7:5070 SIP/2.0");
    let nobody = Request::new("INVITE sip:bob@192.0.2.1").via("SIP/2.0/UDP 10.0.0.3:5070;branch=z9hG4bK-n");
    let run = server.receive_at(0, "10.0.0.3:5070", &nobody.text());
    assert_eq!(run.reply(404).start(), "SIP/2.0 404 Not Found");
}
