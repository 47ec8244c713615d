//! Phones that sleep: they close their socket, hear nothing but a push, and register again from somewhere else before they
//! can take a call (registrar 1.1.3, RFC 8599).

use std::net::UdpSocket;

use serde_json::{Value, json};

use crate::harness::call::{Call, invite};
use crate::harness::scripts::{MODULES, example, exchange};
use crate::harness::web::{Asked, Web};
use crate::harness::{Message, PATIENCE, Phone, Request, Server, mi, unique};

/// What a script needs for phones that sleep, with a gateway of the test's own.
fn modules(web: &Web, parameters: &str) -> String {
    let modules = MODULES.replace(
        "loadmodule \"registrar.so\"",
        "loadmodule \"event_routing.so\"\nloadmodule \"registrar.so\"",
    );
    format!(
        "{modules}loadmodule \"push.so\"\nmodparam(\"push\", \"http_url\", \"{}/wake\")\n\
         modparam(\"registrar\", \"pn_enable\", 1)\nmodparam(\"registrar\", \"pn_providers\", \"apns, fcm, acme\")\n\
         {parameters}\n",
        web.url()
    )
}

const ROUTING: &str = r#"
route {
	if (has_totag()) {
		if (is_method("ACK") && t_check_trans()) { t_relay(); exit; }
		if (!loose_route()) { if (!is_method("ACK")) send_reply(404, "Not Here"); exit; }
		if (!is_method("ACK"))
			async(pn_process_purr("location"), resume);
		t_relay();
		exit;
	}
	if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
	t_check_trans();
	if (is_method("REGISTER")) { save("location"); exit; }
	record_route();
	lookup("location");
	switch ($rc) {
		case 1: t_relay(); break;
		case 2: xlog("waking $ru\n"); break;
		default: t_reply(404, "Not Found");
	}
}
route[resume] {
	xlog("awake $rc\n");
	t_relay();
}
event_route[E_UL_CONTACT_REFRESH] {
	xlog("refresh $param(domain) $param(aor) $param(reason) $(param(uri){uri.param,pn-prid})\n");
}
"#;

fn start(web: &Web, parameters: &str) -> Server {
    Server::start(&format!("{}{ROUTING}", modules(web, parameters)))
}

/// A phone that sleeps: without a socket, it knows only its token.
struct Sleeper {
    user: String,
    provider: &'static str,
    token: String,
    call_id: String,
    cseq: u32,
}

impl Sleeper {
    /// Registers from a socket of its own and falls asleep. Gives the 200 too.
    fn new(server: &Server, user: &str) -> (Sleeper, Message) {
        Sleeper::with(server, user, "acme")
    }

    /// As [`Sleeper::new`], with another provider.
    fn with(server: &Server, user: &str, provider: &'static str) -> (Sleeper, Message) {
        let token = format!("token-{user}");
        let mut sleeper = Sleeper { user: user.to_owned(), provider, token, call_id: unique(), cseq: 0 };
        let (_, answer) = sleeper.wake(server);
        (sleeper, answer)
    }

    /// Opens a socket at a new address and registers from there.
    fn wake(&mut self, server: &Server) -> (Phone, Message) {
        let mut phone = Phone::udp(server, &self.user);
        let request = self.register(&phone);
        let answer = phone.ask(&request);
        assert_eq!(answer.status(), 200, "{}", answer.start);
        (phone, answer)
    }

    fn register(&mut self, phone: &Phone) -> Request {
        self.cseq += 1;
        let contact = self.contact(phone);
        let mut request = phone.register_request().with(format!("Contact: <{contact}>;expires=3600"));
        (request.call_id, request.cseq) = (self.call_id.clone(), self.cseq);
        request
    }

    /// Its contact while it has a socket.
    fn contact(&self, phone: &Phone) -> String {
        let (provider, token) = (self.provider, &self.token);
        format!("{};pn-provider={provider};pn-param=app;pn-prid={token}", phone.contact())
    }

    /// The push that it gets.
    #[track_caller]
    fn pushed(&self, web: &Web, reason: &str) -> Asked {
        let asked = web.asked();
        let body: Value = serde_json::from_str(asked.body()).unwrap();
        assert_eq!((&body["prid"], &body["reason"]), (&json!(self.token), &json!(reason)));
        asked
    }
}

#[test]
fn a_call_waits_until_the_phone_has_woken_and_is_taken_at_its_new_address() {
    let web = Web::start();
    let server = start(&web, "");
    let mut alice = Phone::udp(&server, "alice");
    let (mut bob, answer) = Sleeper::new(&server, "bob");
    assert_eq!(answer.need("Feature-Caps"), "*;+sip.pns=\"acme\";+sip.pnsreg=\"130\"");
    assert_eq!(mi::contacts(&server, "bob@127.0.0.1")[0]["Flags"], json!(4));
    let call = invite(&alice, "sip:bob@127.0.0.1");
    alice.send(&call.bytes());
    assert_eq!(alice.answer_to(&call).status(), 100);
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

/// Answers a call that a phone has received, and gives the 200 to the caller.
fn answer(caller: &mut Phone, call: &Request, callee: &mut Phone, contact: &str) -> Message {
    let received = callee.expect_request("INVITE");
    callee.send(&received.reply(200, "OK", "callee", &format!("Contact: <{contact}>\r\n"), ""));
    loop {
        let answer = caller.answer_to(call);
        if answer.status() >= 200 {
            assert_eq!(answer.status(), 200, "{}", answer.start);
            return answer;
        }
    }
}

#[test]
fn a_cancelled_call_wakes_nobody_any_more() {
    let web = Web::start();
    let server = start(&web, "");
    let mut alice = Phone::udp(&server, "alice");
    let (mut bob, _) = Sleeper::new(&server, "bob");
    let call = invite(&alice, "sip:bob@127.0.0.1");
    alice.send(&call.bytes());
    assert_eq!(alice.answer_to(&call).status(), 100);
    let push = bob.pushed(&web, "ini-INVITE");
    let mut cancel = call.clone();
    cancel.method = "CANCEL".to_owned();
    (cancel.headers, cancel.body) = (Vec::new(), String::new());
    alice.send(&cancel.bytes());
    assert_eq!(alice.answer_to(&cancel).status(), 200);
    assert_eq!(alice.answer_to(&call).status(), 487);
    push.answer(200, "");
    let (mut phone, _) = bob.wake(&server);
    phone.expect_silence();
}

#[test]
fn a_phone_that_wakes_too_late_misses_the_call() {
    let web = Web::start();
    let server = start(&web, "modparam(\"registrar\", \"pn_refresh_timeout\", 1)");
    let mut alice = Phone::udp(&server, "alice");
    let (mut bob, _) = Sleeper::new(&server, "bob");
    for method in ["INVITE", "MESSAGE"] {
        let request = if method == "INVITE" {
            invite(&alice, "sip:bob@127.0.0.1")
        } else {
            alice.request(method, "sip:bob@127.0.0.1")
        };
        alice.send(&request.bytes());
        bob.pushed(&web, &format!("ini-{method}")).answer(200, "");
        while alice.answer_to(&request).status() != 408 {}
        let (mut phone, _) = bob.wake(&server);
        phone.expect_silence();
    }
}

#[test]
fn the_phones_that_are_awake_ring_while_another_one_wakes() {
    let web = Web::start();
    let server = start(&web, "");
    let (mut alice, mut desk) = (Phone::udp(&server, "alice"), Phone::udp(&server, "bob"));
    desk.register();
    let (mut bob, _) = Sleeper::new(&server, "bob");
    let call = invite(&alice, "sip:bob@127.0.0.1");
    alice.send(&call.bytes());
    let ringing = desk.expect_request("INVITE");
    desk.send(&ringing.reply(180, "Ringing", "desk", "", ""));
    bob.pushed(&web, "ini-INVITE").answer(200, "");
    let (mut phone, _) = bob.wake(&server);
    let contact = phone.contact();
    answer(&mut alice, &call, &mut phone, &contact);
    desk.expect_request("CANCEL");
}

#[test]
fn a_message_and_a_bye_wake_a_phone_as_well() {
    let web = Web::start();
    let server = start(&web, "modparam(\"registrar\", \"pn_enable_purr\", 1)");
    let mut alice = Phone::udp(&server, "alice");
    let (mut bob, registered) = Sleeper::new(&server, "bob");
    let message = alice.request("MESSAGE", "sip:bob@127.0.0.1");
    alice.send(&message.bytes());
    bob.pushed(&web, "ini-MESSAGE").answer(200, "");
    let (mut phone, _) = bob.wake(&server);
    let received = phone.expect_request("MESSAGE");
    phone.send(&received.reply(200, "OK", "b", "", ""));
    assert_eq!(alice.answer_to(&message).status(), 200);

    // It takes a call, tells its PURR, and falls asleep in it.
    let caps = registered.need("Feature-Caps").to_owned();
    let purr = caps.split("+sip.pnspurr=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let call = invite(&alice, "sip:bob@127.0.0.1");
    alice.send(&call.bytes());
    bob.pushed(&web, "ini-INVITE").answer(200, "");
    let (mut phone, _) = bob.wake(&server);
    let contact = format!("{};pn-purr={purr}", phone.contact());
    let received = phone.expect_request("INVITE");
    phone.send(&received.reply(200, "OK", "callee", &format!("Contact: <{contact}>\r\n"), ""));
    let accepted = loop {
        let answer = alice.answer_to(&call);
        if answer.status() >= 200 {
            break answer;
        }
    };
    let call = Call::new(call, accepted, received, "callee");
    alice.send(&call.within(&alice, "ACK").bytes());
    phone.expect_request("ACK");
    drop(phone);
    let bye = call.within(&alice, "BYE");
    alice.send(&bye.bytes());
    bob.pushed(&web, "mid-BYE").answer(200, "");
    let (mut phone, _) = bob.wake(&server);
    let received = phone.expect_request("BYE");
    assert!(received.start.contains(&purr), "{}", received.start);
    phone.send(&received.reply(200, "OK", "callee", "", ""));
    assert_eq!(alice.answer_to(&bye).status(), 200);
    server.wait_for_log("awake 1");
}

#[test]
fn a_phone_is_woken_before_its_registration_ends() {
    let web = Web::start();
    let parameters = "modparam(\"usrloc\", \"contact_refresh_timer\", 1)\n\
        modparam(\"registrar\", \"min_expires\", 1)";
    let server = start(&web, parameters);
    let (bob, _) = Sleeper::new(&server, "bob");
    // Bob's registration is far from its end; that of carol is half over in two seconds.
    let mut carol = Sleeper {
        user: "carol".to_owned(),
        provider: "acme",
        token: "token-carol".to_owned(),
        call_id: unique(),
        cseq: 0,
    };
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
    let call = invite(&alice, "sip:bob@127.0.0.1");
    alice.send(&call.bytes());
    bob.pushed(&web, "ini-INVITE").answer(200, "");
    server.wait_for_log("alice waits for bob");
    let (mut phone, _) = bob.wake(&server);
    let contact = phone.contact();
    answer(&mut alice, &call, &mut phone, &contact);

    // As it stands, who has just registered is called at once.
    let server = Server::start_with(&script, &[]);
    let mut alice = Phone::udp(&server, "alice");
    let mut bob = Sleeper {
        user: "bob".to_owned(),
        provider: "apns",
        token: "t".to_owned(),
        call_id: unique(),
        cseq: 0,
    };
    let (mut phone, _) = bob.wake(&server);
    let call = invite(&alice, "sip:bob@127.0.0.1");
    alice.send(&call.bytes());
    let contact = phone.contact();
    answer(&mut alice, &call, &mut phone, &contact);
}

#[test]
fn the_example_with_a_gateway_of_ones_own_does_what_it_says() {
    let web = Web::start();
    let script = example("push-gateway.cfg").replace("https://push.example.net", &web.url());
    let server = Server::start_with(&script, &[]);
    let mut alice = Phone::udp(&server, "alice");
    let (mut bob, _) = Sleeper::with(&server, "bob", "apns");
    let call = invite(&alice, "sip:bob@127.0.0.1");
    alice.send(&call.bytes());
    let asked = web.asked();
    let body: Value = serde_json::from_str(asked.body()).unwrap();
    let expected =
        json!({"provider": "apns", "token": "token-bob", "reason": "ini-INVITE", "call_id": call.call_id});
    assert_eq!(body, expected);
    asked.answer(200, "");
    let (mut phone, _) = bob.wake(&server);
    let contact = phone.contact();
    answer(&mut alice, &call, &mut phone, &contact);
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
    let call = invite(&alice, "sip:bob@127.0.0.1");
    alice.send(&call.bytes());
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

#[test]
fn a_phone_behind_a_mid_registrar_wakes_for_calls_of_the_main_registrar() {
    let main = Server::start(&exchange());
    for mode in 0..3 {
        let web = Web::start();
        let module =
            modules(&web, "").replace("modparam(\"registrar\", \"pn_", "modparam(\"mid_registrar\", \"pn_");
        let module = module.replace(
            "loadmodule \"push.so\"",
            &format!("loadmodule \"mid_registrar.so\"\nmodparam(\"mid_registrar\", \"mode\", {mode})\nloadmodule \"push.so\""),
        );
        let address = main.udp();
        let routing = ROUTING
            .replace(
                "save(\"location\"); exit;",
                &format!("if (mid_registrar_save(\"location\") == 1) {{ $ru = \"sip:{address}\"; t_relay(); }} exit;"),
            )
            .replace("lookup(\"location\");", "mid_registrar_lookup(\"location\");");
        let front = Server::start(&format!("{module}{routing}"));
        let mut alice = Phone::udp(&main, "alice");
        let user = format!("bob{mode}");
        let (mut bob, _) = Sleeper::new(&front, &user);
        assert_eq!(mi::contacts(&main, &format!("{user}@127.0.0.1")).len(), 1);
        let call = invite(&alice, &format!("sip:{user}@127.0.0.1"));
        alice.send(&call.bytes());
        bob.pushed(&web, "ini-INVITE").answer(200, "");
        let (mut phone, _) = bob.wake(&front);
        let contact = phone.contact();
        answer(&mut alice, &call, &mut phone, &contact);
        assert_eq!(mi::contacts(&main, &format!("{user}@127.0.0.1")).len(), 1, "{mode}");
    }
}
