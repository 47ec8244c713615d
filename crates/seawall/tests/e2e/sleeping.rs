//! Phones that sleep: they close their socket, hear nothing but a push, and register again from somewhere else before they
//! can take a call (registrar 1.1.3, RFC 8599).

use std::net::UdpSocket;

use serde_json::{Value, json};

use crate::harness::scripts::example;
use crate::harness::sleeper::{ROUTING, Sleeper, answer, call, modules};
use crate::harness::web::Web;
use crate::harness::{PATIENCE, Phone, Request, Server, mi};

fn start(web: &Web, parameters: &str) -> Server {
    Server::start(&format!("{}{ROUTING}", modules(web, parameters)))
}

#[test]
fn a_call_waits_until_the_phone_has_woken_and_is_taken_at_its_new_address() {
    let web = Web::start();
    let server = start(&web, "");
    let mut alice = Phone::udp(&server, "alice");
    let (mut bob, answer) = Sleeper::new(&server, "bob");
    assert_eq!(answer.need("Feature-Caps"), "*;+sip.pns=\"acme\";+sip.pnsreg=\"130\"");
    assert_eq!(mi::contacts(&server, "bob@127.0.0.1")[0]["Flags"], json!(4));
    let call = call(&mut alice, "bob");
    bob.pushed(&web, "ini-INVITE").answer(200, "");
    server.wait_for_log("waking sip:bob@127.0.0.1");
    server.wait_for_log("refresh location bob@127.0.0.1 ini-INVITE token-bob");
    let (mut phone, _) = bob.wake(&server);
    let received = phone.expect_request("INVITE");
    assert_eq!(
        received.start,
        format!("INVITE {} SIP/2.0", phone.contact()),
        "stripped of what is for pushes"
    );
    assert!(received.header("Record-Route").is_some(), "it starts from what the route had decided");
    phone.send(&received.reply(200, "OK", "b", &format!("Contact: <{}>\r\n", phone.contact()), ""));
    assert_eq!(alice.answer_to(&call).status(), 200);
    phone.expect_silence();
}

#[test]
fn a_phone_is_woken_before_its_registration_ends() {
    let web = Web::start();
    let parameters = "modparam(\"usrloc\", \"contact_refresh_timer\", 1)\n\
        modparam(\"registrar\", \"min_expires\", 1)";
    let server = start(&web, parameters);
    let (bob, _) = Sleeper::new(&server, "bob");
    // Bob's registration is far from its end; that of carol is half over in two seconds.
    let mut carol = Sleeper::fresh("carol", "pn-provider=acme;pn-param=app;pn-prid=token-carol");
    let mut phone = Phone::udp(&server, "carol");
    let request = carol.register(&phone);
    let brief =
        Request { headers: vec![format!("Contact: <{}>;expires=4", carol.contact(&phone))], ..request };
    assert_eq!(phone.ask(&brief).status(), 200);
    carol.pushed(&web, "reg-refresh").answer(200, "");
    server.wait_for_log("refresh location carol@127.0.0.1 reg-refresh token-carol");
    assert!(!server.log().contains(&format!("{}@", bob.user)), "nobody else is woken");
}

#[test]
fn the_example_with_built_in_delivery_does_what_it_says() {
    let web = Web::start();
    let script = example("push.cfg").replace("https://push.example.net", &web.url());
    let server =
        Server::start_with(&script.replace("\"pn_skip_pn_interval\", 20", "\"pn_skip_pn_interval\", 0"), &[]);
    let mut alice = Phone::udp(&server, "alice");
    let (mut bob, registered) = Sleeper::with(&server, "bob", "fcm");
    assert!(registered.need("Feature-Caps").contains("+sip.pnspurr"));
    let first = call(&mut alice, "bob");
    bob.pushed(&web, "ini-INVITE").answer(200, "");
    server.wait_for_log("alice waits for bob");
    let (mut phone, _) = bob.wake(&server);
    answer(&mut alice, &first, &mut phone);

    // As it stands, who has just registered is called at once.
    let server = Server::start_with(&script, &[]);
    let mut alice = Phone::udp(&server, "alice");
    let mut bob = Sleeper::fresh("bob", "pn-provider=apns;pn-param=app;pn-prid=t");
    let (mut phone, _) = bob.wake(&server);
    let again = call(&mut alice, "bob");
    answer(&mut alice, &again, &mut phone);
}

#[test]
fn the_example_with_a_gateway_of_ones_own_does_what_it_says() {
    let web = Web::start();
    let script = example("push-gateway.cfg").replace("https://push.example.net", &web.url());
    let server = Server::start_with(&script, &[]);
    let mut alice = Phone::udp(&server, "alice");
    let (mut bob, _) = Sleeper::with(&server, "bob", "apns");
    let call = call(&mut alice, "bob");
    let asked = web.asked();
    let body: Value = serde_json::from_str(asked.body()).unwrap();
    let expected =
        json!({"provider": "apns", "token": "token-bob", "reason": "ini-INVITE", "call_id": call.call_id});
    assert_eq!(body, expected);
    asked.answer(200, "");
    let (mut phone, _) = bob.wake(&server);
    answer(&mut alice, &call, &mut phone);
}

#[test]
fn a_program_outside_hears_that_a_phone_has_to_be_woken() {
    let web = Web::start();
    let script = format!("loadmodule \"event_datagram.so\"\n{}{ROUTING}", modules(&web, ""));
    let server = Server::start(&script);
    let outside = UdpSocket::bind("127.0.0.1:0").unwrap();
    outside.set_read_timeout(Some(PATIENCE)).unwrap();
    let to = format!("udp:{}", outside.local_addr().unwrap());
    mi::result(&server, "evi:subscribe", json!(["E_UL_CONTACT_REFRESH", to, 600]));
    let shown = mi::result(&server, "evi:subscribers", json!({}));
    assert_eq!(shown["Events"][0]["subscribers"][0]["socket"], json!(to));
    let mut alice = Phone::udp(&server, "alice");
    let (bob, _) = Sleeper::new(&server, "bob");
    let call = call(&mut alice, "bob");
    bob.pushed(&web, "ini-INVITE").answer(200, "");
    let mut buffer = [0; 8192];
    let length = outside.recv(&mut buffer).unwrap();
    let told: Value = serde_json::from_slice(&buffer[..length]).unwrap();
    assert_eq!((&told["jsonrpc"], &told["method"]), (&json!("2.0"), &json!("E_UL_CONTACT_REFRESH")));
    let params = &told["params"];
    assert_eq!((&params["aor"], &params["reason"]), (&json!("bob@127.0.0.1"), &json!("ini-INVITE")));
    assert_eq!(params["req_callid"], json!(call.call_id));
    assert!(params["uri"].as_str().unwrap().contains("pn-prid=token-bob"), "{told}");
    mi::result(&server, "evi:subscribe", json!(["E_UL_CONTACT_REFRESH", to, 0]));
    assert_eq!(mi::result(&server, "evi:subscribers", json!({})), json!({ "Events": [] }));
}
