//! An edge proxy and a registrar: phones behind the edge are called along their Path.

use crate::harness::call::{establish, talk};
use crate::harness::scripts::{EXCHANGE, MODULES, example};
use crate::harness::{Message, Phone, Server, mi};

/// A registrar that keeps the Path, and the edge of `examples/edge.cfg` in front of it.
fn edge_and_registrar() -> (Server, Server) {
    let exchange = EXCHANGE.replace("save(\"location\")", "save(\"location\", \"path-lazy\")");
    let registrar = Server::start_with(&format!("{MODULES}{exchange}"), &["-l", "udp:127.0.0.1:0"]);
    let script = example("edge.cfg").replace("5070", &registrar.udp().port().to_string());
    (Server::start_with(&script, &[]), registrar)
}

/// Registers through the edge with a contact that nobody can reach, as from behind a NAT.
fn register_behind_nat(phone: &mut Phone) -> Message {
    let contact = format!("Contact: <{}>", hidden_contact(phone));
    let answer = phone.ask(&phone.register_request().with(contact).with("Supported: path"));
    assert_eq!(answer.status(), 200);
    answer
}

fn hidden_contact(phone: &Phone) -> String {
    phone.contact().replace("127.0.0.1", "192.0.2.77")
}

#[test]
fn phones_behind_the_edge_call_each_other_over_udp() {
    let (edge, registrar) = edge_and_registrar();
    let (mut alice, mut bob) = (Phone::udp(&edge, "alice"), Phone::udp(&edge, "bob"));
    alice.register();
    let answer = register_behind_nat(&mut bob);
    let expected = format!("<sip:edge@{};received=sip:{};lr>", edge.udp(), bob.address);
    assert_eq!(answer.need("Path"), expected);
    assert_eq!(mi::contacts(&registrar, "bob@127.0.0.1")[0]["Path"], expected);

    let call = establish(&mut alice, &mut bob);
    assert_eq!(call.received.uri(), hidden_contact(&bob));
    assert!(call.received.header("Route").is_none(), "the Path goes no further than the edge");
    assert!(call.received.need("Via").contains(&edge.udp().to_string()));
    call.hang_up(&mut alice, &mut bob);
    talk(&mut bob, &mut alice);
}

#[test]
fn a_phone_on_tcp_is_reached_over_its_connection_to_the_edge() {
    let (edge, _registrar) = edge_and_registrar();
    let (mut alice, mut bob) = (Phone::udp(&edge, "alice"), Phone::tcp(&edge, "bob"));
    alice.register();
    let answer = register_behind_nat(&mut bob);
    // The side of the registrar first, then that of the phone.
    let phone = format!("received=sip:{}%3Btransport%3Dtcp;r2=on;lr>", bob.address);
    let expected = [
        format!("<sip:edge@{};{phone}", edge.udp()),
        format!("<sip:edge@{};transport=tcp;{phone}", edge.tcp()),
    ];
    assert_eq!(answer.need("Path"), expected.join(","));
    let call = establish(&mut alice, &mut bob);
    call.hang_up_by_callee(&mut alice, &mut bob);
}

#[test]
fn nobody_but_the_registrar_sends_by_a_route_through_the_edge() {
    let (edge, _registrar) = edge_and_registrar();
    let (mut alice, mut bob) = (Phone::udp(&edge, "alice"), Phone::udp(&edge, "bob"));
    let route = format!("Route: <sip:edge@{};received=sip:{};lr>", edge.udp(), bob.address);
    assert_eq!(alice.ask(&alice.request("MESSAGE", "sip:bob@192.0.2.77").with(route)).status(), 403);
    bob.expect_silence();
}
