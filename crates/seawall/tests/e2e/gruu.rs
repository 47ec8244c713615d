//! GRUUs over the wire: one phone of several is reached, inside a call too, and after a restart.

use crate::harness::call::{Call, invite};
use crate::harness::scripts::{EXCHANGE, MODULES, example};
use crate::harness::{Message, Phone, Server};

const SECRET: &str =
    "modparam(\"registrar\", \"disable_gruu\", 0)\nmodparam(\"registrar\", \"gruu_secret\", \"test\")\n";

/// Registers a phone with an instance; gives its public and temporary GRUU.
fn register(phone: &mut Phone, instance: u32) -> (String, String) {
    let contact = format!("Contact: <{}>;+sip.instance=\"<urn:uuid:{instance}>\"", phone.contact());
    let answer = phone.ask(&phone.register_request().with(contact).with("Supported: gruu"));
    assert_eq!(answer.status(), 200);
    let own = answer.contacts().into_iter().find(|contact| contact.contains(&phone.contact())).unwrap();
    let parameter = |name: &str| {
        let value = own.split(&format!(";{name}=\"")).nth(1).unwrap_or_else(|| panic!("no {name} in {own}"));
        value.split('"').next().unwrap().to_owned()
    };
    (parameter("pub-gruu"), parameter("temp-gruu"))
}

/// A call in which both sides have a GRUU as their Contact; gives what the callee received and the caller's view.
fn call(caller: &mut Phone, callee: &mut Phone, to: &str, own: &str, theirs: &str) -> (Call, Message) {
    let mut request = invite(caller, to);
    request.headers.retain(|line| !line.starts_with("Contact:"));
    let request = request.with(format!("Contact: <{own}>"));
    caller.send(&request.bytes());
    let received = callee.expect_request("INVITE");
    callee.send(&received.reply(200, "OK", "callee", &format!("Contact: <{theirs}>\r\n"), ""));
    let mut answer = caller.answer_to(&request);
    while answer.status() < 200 {
        answer = caller.answer_to(&request);
    }
    assert_eq!(answer.status(), 200);
    let call = Call::new(request, answer, received.clone(), "callee");
    caller.send(&call.within(caller, "ACK").bytes());
    let ack = callee.expect_request("ACK");
    (call, ack)
}

#[test]
fn a_call_between_gruus_reaches_one_phone_of_each_user_in_both_directions() {
    let server = Server::start_with(&example("gruu.cfg"), &[]);
    let mut alice = Phone::udp(&server, "alice");
    let (mut desk, mut mobile) = (Phone::udp(&server, "bob"), Phone::tcp(&server, "bob"));
    let (_, alice_temporary) = register(&mut alice, 1);
    let (desk_public, _) = register(&mut desk, 2);
    let (mobile_public, mobile_temporary) = register(&mut mobile, 3);

    let (dialog, ack) = call(&mut alice, &mut mobile, &mobile_temporary, &alice_temporary, &mobile_public);
    assert_eq!(ack.uri(), mobile.contact());
    // The Contact of alice is her temporary GRUU: it finds her, and tells bob nothing of her.
    assert!(!alice_temporary.contains("alice"), "{alice_temporary}");
    let bye = dialog.within_from_callee(&mobile, "BYE");
    assert_eq!(bye.uri, alice_temporary);
    mobile.send(&bye.bytes());
    let received = alice.expect_request("BYE");
    assert_eq!(received.uri(), alice.contact());
    alice.send(&received.reply(200, "OK", "", "", ""));
    assert_eq!(mobile.answer_to(&bye).status(), 200);

    let message = alice.request("MESSAGE", &desk_public);
    alice.send(&message.bytes());
    let received = desk.expect_request("MESSAGE");
    desk.send(&received.reply(200, "OK", "x", "", ""));
    assert_eq!(alice.answer_to(&message).status(), 200);
    mobile.expect_silence();

    // A phone that is gone: no other takes what was meant for it.
    assert_eq!(desk.ask(&desk.register_for(0)).status(), 200);
    assert_eq!(alice.ask(&alice.request("MESSAGE", &desk_public)).status(), 404);
    let mut info = dialog.within(&alice, "INFO");
    info.uri = desk_public;
    assert_eq!(alice.ask(&info).status(), 404);
}

#[test]
fn a_temporary_gruu_outlives_a_restart() {
    let script = format!("{MODULES}{SECRET}{EXCHANGE}");
    let server = Server::start(&script);
    let (udp, tcp) = (format!("udp:{}", server.udp()), format!("tcp:{}", server.tcp()));
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::udp(&server, "bob"));
    let contact = format!("Contact: <{}>;+sip.instance=\"<urn:uuid:1>\"", bob.contact());
    let request = bob.register_request().with(contact).with("Supported: gruu");
    let answer = bob.ask(&request);
    let gruu =
        answer.need("Contact").split("temp-gruu=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    drop(server);

    let _server = Server::start_with(&script, &["-l", &udp, "-l", &tcp]);
    assert_eq!(alice.ask(&alice.request("MESSAGE", &gruu)).status(), 404);
    // The phone refreshes as if nothing had happened.
    assert_eq!(bob.ask(&request.next()).status(), 200);
    let message = alice.request("MESSAGE", &gruu);
    alice.send(&message.bytes());
    assert_eq!(bob.expect_request("MESSAGE").uri(), bob.contact());
}

#[test]
fn forged_foreign_and_oversized_ones_get_the_same_answer() {
    let server = Server::start(&format!("{MODULES}{SECRET}{EXCHANGE}"));
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::udp(&server, "bob"));
    let (_, stale) = register(&mut bob, 1);
    // Another Call-ID ends it.
    register(&mut bob, 1);
    let at = server.udp();
    let forged = stale.replacen("tgruu.", "tgruu.x", 1);
    let many = format!("sip:tgruu.{}@{at};gr", "A".repeat(8000));
    for uri in [stale, forged, many, format!("sip:tgruu.@{at};gr"), format!("sip:{at};gr")] {
        assert_eq!(alice.ask(&alice.request("MESSAGE", &uri)).start, "SIP/2.0 404 Not Found", "{uri}");
    }
    bob.expect_silence();
}

#[test]
fn a_phone_that_registers_its_own_gruu_is_refused() {
    let server = Server::start(&format!("{MODULES}{SECRET}{EXCHANGE}"));
    let mut bob = Phone::udp(&server, "bob");
    let (public, temporary) = register(&mut bob, 1);
    for uri in [public, temporary] {
        let contact = format!("Contact: <{uri}>;+sip.instance=\"<urn:uuid:1>\"");
        assert_eq!(bob.ask(&bob.register_request().with(contact)).status(), 403, "{uri}");
    }
}
