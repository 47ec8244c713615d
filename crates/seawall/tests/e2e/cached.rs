//! Cached registrations: one server in front of another, as example 1.18 of the registrar's document has it.

use crate::harness::call::{invite, talk};
use crate::harness::scripts::{EXCHANGE, MODULES, example, exchange};
use crate::harness::{Phone, Server, mi};

/// The server in front: it forwards REGISTERs to `main` and keeps what was granted.
pub(crate) fn front(main: &Server) -> String {
    let register = format!(
        "if (is_method(\"REGISTER\")) {{
            $avp(orig_ct) = $ct.fields(uri);
            t_on_reply(\"do_save\");
            t_relay(, \"udp:{}\");
            exit;
        }}",
        main.udp()
    );
    let routing = EXCHANGE.replace("if (is_method(\"REGISTER\")) { save(\"location\"); exit; }", &register);
    assert_ne!(routing, EXCHANGE);
    format!(
        "{MODULES}modparam(\"registrar\", \"mcontact_avp\", \"$avp(orig_ct)\")\n{routing}
         onreply_route[do_save] {{ if ($rs==\"200\") save(\"location\"); }}\n"
    )
}

#[test]
fn a_registration_that_the_main_registrar_grants_is_cached_and_called() {
    let main = Server::start(&format!("{MODULES}modparam(\"registrar\", \"max_expires\", 300)\n{EXCHANGE}"));
    let front = Server::start(&front(&main));
    let mut alice = Phone::udp(&front, "alice");
    let mut bob = Phone::udp(&front, "bob");

    let answer = bob.ask(&bob.register_for(3600));
    assert_eq!(answer.status(), 200);
    assert!(answer.contacts()[0].ends_with("expires=300"), "{:?}", answer.contacts());
    assert_eq!(mi::contacts(&main, "bob@127.0.0.1").len(), 1);
    let cached = mi::contacts(&front, "bob@127.0.0.1");
    assert_eq!(cached[0]["Contact"], bob.contact());
    let left_s = cached[0]["Expires"].as_u64().unwrap();
    assert!((290..=300).contains(&left_s), "{left_s}");

    alice.register();
    talk(&mut alice, &mut bob);
    // The call was routed by the cache: the main registrar saw REGISTERs only.
    assert_eq!(mi::statistic(&main, "core:rcv_requests"), 2);
}

#[test]
fn what_the_main_registrar_drops_or_refuses_is_not_cached() {
    let main = Server::start(&exchange());
    let front = Server::start(&front(&main));
    let mut bob = Phone::udp(&front, "bob");
    let first = bob.register_for(600);
    assert_eq!(bob.ask(&first).status(), 200);
    assert_eq!(mi::contacts(&front, "bob@127.0.0.1").len(), 1);
    let mut gone = first.next();
    gone.headers = vec![format!("Contact: <{}>;expires=0", bob.contact())];
    assert_eq!(bob.ask(&gone).status(), 200);
    assert!(mi::contacts(&front, "bob@127.0.0.1").is_empty());

    let refused = bob.register_request().with("Contact: <sip:bob@192.0.2.1>;q=7");
    assert_eq!(bob.ask(&refused).status(), 400);
    assert!(mi::contacts(&front, "bob@127.0.0.1").is_empty());
    assert_eq!(mi::statistic(&front, "registrar:accepted_regs"), 2);
}

#[test]
fn an_ownership_tag_is_shown_by_mi() {
    let script = crate::harness::scripts::registrar("", "save(\"location\", , , \"vip\")");
    let server = Server::start(&script);
    Phone::udp(&server, "alice").register();
    assert_eq!(mi::contacts(&server, "alice@127.0.0.1")[0]["Shtag"], "vip");
}

#[test]
fn the_example_caches_and_calls_one_phone_after_the_other() {
    let main = Server::start(&exchange());
    let script = example("cache.cfg").replace("192.0.2.10:5060", &main.udp().to_string());
    let front = Server::start_with(&script, &[]);
    let mut caller = Phone::udp(&front, "alice");
    let mut phones = [Phone::udp(&front, "bob"), Phone::udp(&front, "bob"), Phone::udp(&front, "bob")];
    for (phone, q) in phones.iter_mut().zip(["0.2", "0.9", "0.9"]) {
        let contact = format!("Contact: <{}>;q={q};expires=600", phone.contact());
        assert_eq!(phone.ask(&phone.register_request().with(contact)).status(), 200);
    }
    assert_eq!(mi::contacts(&front, "bob@127.0.0.1").len(), 3);

    let call = invite(&caller, &phones[0].aor());
    caller.send(&call.bytes());
    // The two that are preferred ring together, and decline.
    let [last, first, second] = &mut phones;
    let invites = [first.expect_request("INVITE"), second.expect_request("INVITE")];
    last.expect_silence();
    first.send(&invites[0].reply(486, "Busy Here", "first", "", ""));
    second.send(&invites[1].reply(480, "Away", "second", "", ""));
    // Then it is the turn of the last, which answers.
    let received = last.expect_request("INVITE");
    assert_eq!(received.uri(), last.contact());
    let contact = format!("Contact: <{}>\r\n", last.contact());
    last.send(&received.reply(200, "OK", "last", &contact, ""));
    while caller.answer_to(&call).status() < 200 {}
    assert_eq!(mi::statistic(&main, "core:rcv_requests"), 3);
}
