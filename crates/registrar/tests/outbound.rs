//! Flows (RFC 5626, behaviour §2): bindings of an instance and a reg-id.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

mod common;

use common::Registrar;
use seawall_sip::Method;

const INSTANCE: &str = "+sip.instance=\"<urn:uuid:1>\"";
/// The flow as the 200 shows it.
const BOUND: &str = "<sip:alice@10.0.0.1>;expires=3600;received=\"sip:203.0.113.9:4444;transport=tcp\";\
                     +sip.instance=\"<urn:uuid:1>\";reg-id=1";

fn flow(reg_id: u32, host: u32, expires_s: u32) -> String {
    format!("Contact: <sip:alice@10.0.0.{host}>;{INSTANCE};reg-id={reg_id};expires={expires_s}")
}

#[test]
fn an_outbound_client_is_told_that_its_flow_is_used_and_is_reached_over_it() {
    let mut registrar = Registrar::default();
    let lines = format!("Supported: path, outbound\n{}", flow(1, 1, 3600));
    registrar.check("", &lines, &format!("200 | Contact: {BOUND} | Require: outbound"));
    let require = format!("Require: outbound\nCSeq: 2 REGISTER\n{}", flow(1, 1, 3600));
    registrar.check("", &require, &format!("200 | Contact: {BOUND} | Require: outbound"));
    let removal = format!("Supported: outbound\nCSeq: 3 REGISTER\n{}", flow(1, 1, 0));
    registrar.check("", &removal, "200 | Require: outbound");
}

#[test]
fn what_is_no_outbound_registration_is_not_answered_as_one() {
    let plain = format!("<sip:alice@10.0.0.1>;expires=3600;{INSTANCE}");
    // No Supported: stored as a flow, as ever, and not promised.
    let lines = flow(1, 1, 3600);
    Registrar::default().check("", &lines, &format!("200 | Contact: {plain};reg-id=1"));
    // No reg-id.
    let lines = format!("Supported: outbound\nContact: {plain}");
    Registrar::default().check("", &lines, &format!("200 | Contact: {plain}"));
    // A reg-id without instance means nothing.
    let lines = "Supported: outbound\nContact: <sip:alice@10.0.0.1>;reg-id=1";
    Registrar::default().check("", lines, "200 | Contact: <sip:alice@10.0.0.1>;expires=3600");
}

#[test]
fn a_received_of_the_script_is_preferred_to_the_source() {
    let mut registrar = Registrar { received: "sip:198.51.100.1:7000", ..Registrar::default() };
    let lines = format!("Supported: outbound\n{}", flow(1, 1, 3600));
    let bound = BOUND.replace("203.0.113.9:4444;transport=tcp", "198.51.100.1:7000");
    registrar.check("", &lines, &format!("200 | Contact: {bound} | Require: outbound"));
}

#[test]
fn a_proxy_between_must_support_outbound() {
    const REFUSED: &str = "439 | P-Registrar-Error: First hop lacks outbound support";
    let through = |path: &str, expires_s: u32| {
        let via = "Via: SIP/2.0/UDP phone;branch=z9hG4bK2";
        format!("{via}\nSupported: path, outbound\n{path}{}", flow(1, 1, expires_s))
    };
    let refused = |flags: &str, path: &str| {
        let mut registrar = Registrar::default();
        registrar.check(flags, &through(path, 60), REFUSED);
        assert_eq!(registrar.dump(), "");
    };
    let ours = "Path: <sip:edge.example.net;lr;ob>\n";
    refused("path-lazy", "");
    refused("path-lazy", "Path: <sip:edge.example.net;lr>\n");
    // The last one is that of the first hop.
    refused("path-lazy", "Path: <sip:inner.example.net;lr;ob>\nPath: <sip:edge.example.net;lr>\n");
    // Whoever does not keep the Path cannot send over the flow.
    refused("", ours);
    let served = |path: &str| {
        let mut registrar = Registrar::default();
        let (outcome, reply) = registrar.serve("path-lazy", None, &common::message(&through(path, 60)));
        assert_eq!(outcome.status, 200);
        assert!(reply.contains("Require: outbound\r\n") && !reply.contains("received="), "{reply}");
    };
    served(ours);
    served("Path: <sip:inner.example.net;lr>\nPath: <sip:edge.example.net;lr;ob>\n");
    // What is only taken away needs no flow.
    Registrar::default().check("", &through("", 0), "200 | Require: outbound");
}

#[test]
fn a_flow_is_bound_alone() {
    let refused = "400 | P-Registrar-Error: reg-id used in contact and more than 1 contact";
    for second in ["Contact: <sip:alice@10.0.0.9>".to_owned(), flow(2, 2, 60)] {
        let mut registrar = Registrar::default();
        registrar.check("", &format!("{}\n{second}", flow(1, 1, 60)), refused);
        assert_eq!(registrar.dump(), "");
    }
    // Others may be taken away with the same request.
    let mut registrar = Registrar::default();
    registrar.check("", "Contact: <sip:alice@10.0.0.9>", "200 | Contact: <sip:alice@10.0.0.9>;expires=3600");
    let bound = format!("<sip:alice@10.0.0.1>;expires=60;{INSTANCE};reg-id=1");
    let lines = format!("CSeq: 2 REGISTER\n{}\nContact: <sip:alice@10.0.0.9>;expires=0", flow(1, 1, 60));
    registrar.check("", &lines, &format!("200 | Contact: {bound}"));
}

#[test]
fn a_flow_moves_with_its_phone_and_other_flows_stay() {
    let mut registrar = Registrar::default();
    for lines in [flow(1, 1, 60), format!("CSeq: 2 REGISTER\n{}", flow(2, 2, 60))] {
        assert_eq!(registrar.serve("", None, &common::message(&lines)).0.status, 200);
    }
    registrar.serve("", None, &common::message(&format!("CSeq: 3 REGISTER\n{}", flow(1, 7, 60))));
    registrar
        .check_dump(&["sip:alice@10.0.0.7 60s cseq=3 callid=a", "sip:alice@10.0.0.2 60s cseq=2 callid=a"]);
}

#[test]
fn a_flow_and_the_same_uri_without_it_are_two_things() {
    // What phones send that had registered without outbound before; and a lost answer makes them repeat it.
    let mut registrar = Registrar::default();
    registrar.check("", "Contact: <sip:alice@10.0.0.1>", "200 | Contact: <sip:alice@10.0.0.1>;expires=3600");
    let lines = format!("CSeq: 2 REGISTER\n{}\nContact: <sip:alice@10.0.0.1>;expires=0", flow(1, 1, 3600));
    let expected = format!("200 | Contact: <sip:alice@10.0.0.1>;expires=3600;{INSTANCE};reg-id=1");
    registrar.check("", &lines, &expected);
    let changes = registrar.log.0.len();
    registrar.check("", &lines, &expected);
    registrar.check("", &lines, &expected);
    assert_eq!(registrar.log.0.len(), changes, "a repetition changes nothing");
    registrar.check_dump(&["sip:alice@10.0.0.1 3600s cseq=2 callid=a"]);
}

#[test]
fn a_request_goes_over_one_flow_of_a_phone_the_last_one_refreshed() {
    let mut registrar = Registrar::default();
    let mut add = |lines: &str| {
        registrar.now_s += 1;
        assert_eq!(registrar.serve("", None, &common::message(lines)).0.status, 200, "{lines}");
    };
    add(&format!("Call-ID: 1\n{}", flow(1, 1, 600)));
    add(&format!("Call-ID: 2\n{}", flow(2, 2, 600)));
    add("Call-ID: 3\nContact: <sip:alice@10.0.0.3>;+sip.instance=\"<urn:uuid:2>\";reg-id=1");
    add("Call-ID: 4\nContact: <sip:alice@10.0.0.4>");
    let found = |registrar: &Registrar| {
        let uris = registrar.lookup("", Method::Invite, "sip:alice@example.com").unwrap();
        uris.iter().map(|uri| uri.rsplit('.').next().unwrap().to_owned()).collect::<String>()
    };
    assert_eq!(found(&registrar), "234");
    registrar.now_s += 1;
    registrar.serve(
        "",
        None,
        &common::message(&format!("Call-ID: 1\nCSeq: 2 REGISTER\n{}", flow(1, 1, 600))),
    );
    assert_eq!(found(&registrar), "134");
}
