//! Seawall in front of a Kamailio and of another Seawall, over the wire: phones that come, go, disappear, change their
//! address and lose their connection; a main registrar that challenges, refuses, shortens, stands still, answers late and
//! forgets.

use crate::baresip;
use crate::harness::call::{establish, invite, talk};
use crate::harness::kamailio::Kamailio;
use crate::harness::scripts::{EXCHANGE, MODULES};
use crate::harness::server::temporary_folder;
use crate::harness::{Phone, Server, digest, mi};
use crate::mid::{front, front_script, registered, wait_until};
use crate::sipp::{free_port, must_pass, sipp};
use serde_json::json;
use std::net::SocketAddr;

/// A registrar and proxy for calls, in Kamailio's language.
const KAMAILIO_EXCHANGE: &str = r#"
modparam("registrar", "min_expires", 1)
request_route {
	if (method == "REGISTER") {
		@GATE@
		save("location");
		exit;
	}
	if (has_totag()) {
		if (!loose_route() && method != "ACK") { sl_send_reply("404", "Not Here"); exit; }
		t_relay();
		exit;
	}
	if (method == "CANCEL") { t_relay(); exit; }
	record_route();
	if (!lookup("location")) { sl_send_reply("404", "Not Found"); exit; }
	t_relay();
}
"#;

/// Asks for the password "secret" of whoever registers.
const KAMAILIO_GATE: &str =
    r#"if (!pv_www_authenticate("$td", "secret", "0")) { www_challenge("$td", "0"); exit; }"#;
const SEAWALL_GATE: &str = r#"$avp(user) = $tU; $avp(password) = "secret";
	if (!pv_www_authorize("127.0.0.1")) { www_challenge("127.0.0.1", "auth"); exit; }"#;

/// Who is behind the front.
enum Main {
    Kamailio(Kamailio),
    Seawall(Box<Server>, String),
}

impl Main {
    /// Both of them, with this at the beginning of REGISTER's route.
    fn both(gates: (&str, &str), parameters: (&str, &str)) -> [Main; 2] {
        let kamailio = format!("{}{}", parameters.0, KAMAILIO_EXCHANGE.replace("@GATE@", gates.0));
        let script = format!(
            "{MODULES}loadmodule \"auth.so\"\nmodparam(\"auth\", \"username_spec\", \"$avp(user)\")\n\
             modparam(\"auth\", \"password_spec\", \"$avp(password)\")\nmodparam(\"auth\", \"calculate_ha1\", 1)\n\
             modparam(\"registrar\", \"min_expires\", 1)\n{}{}",
            parameters.1,
            EXCHANGE.replace(
                "if (is_method(\"REGISTER\")) { save(\"location\"); exit; }",
                &format!("if (is_method(\"REGISTER\")) {{ {} save(\"location\"); exit; }}", gates.1)
            )
        );
        [Main::Kamailio(Kamailio::start(&kamailio)), Main::Seawall(Box::new(Server::start(&script)), script)]
    }

    fn plain() -> [Main; 2] {
        Main::both(("", ""), ("", ""))
    }

    fn name(&self) -> &'static str {
        match self {
            Main::Kamailio(_) => "Kamailio",
            Main::Seawall(..) => "Seawall",
        }
    }

    fn address(&self) -> SocketAddr {
        match self {
            Main::Kamailio(kamailio) => kamailio.address,
            Main::Seawall(server, _) => server.udp(),
        }
    }

    fn stand_still(&self, stands_still: bool) {
        match self {
            Main::Kamailio(kamailio) => kamailio.stand_still(stands_still),
            Main::Seawall(server, _) => server.signal(if stands_still { "STOP" } else { "CONT" }),
        }
    }

    /// It starts anew with an empty memory.
    fn lose_everything(self) -> Main {
        match self {
            Main::Kamailio(mut kamailio) => {
                kamailio.restart();
                Main::Kamailio(kamailio)
            }
            Main::Seawall(server, script) => {
                let listen = format!("udp:{}", server.udp());
                drop(server);
                Main::Seawall(Box::new(Server::start_with(&script, &["-l", &listen])), script)
            }
        }
    }

    /// What it holds for a user.
    fn held(&self, user: &str) -> Vec<String> {
        match self {
            Main::Kamailio(kamailio) => {
                let mut asking = Phone::udp_to(kamailio.address, user);
                let answer = asking.ask(&asking.register_request());
                assert_eq!(answer.status(), 200, "{}", answer.start);
                answer.contacts()
            }
            Main::Seawall(server, _) => {
                let all = mi::contacts(server, &format!("{user}@127.0.0.1"));
                all.iter().map(|contact| contact["Contact"].as_str().unwrap().to_owned()).collect()
            }
        }
    }
}

#[test]
fn calls_reach_the_phone_and_so_does_everything_inside_them() {
    for main in Main::plain() {
        for mode in 0..3 {
            let front = front(main.address(), mode, "");
            let mut alice = Phone::udp_to(main.address(), "alice");
            let mut bob = if mode == 1 { Phone::tcp(&front, "bob") } else { Phone::udp(&front, "bob") };
            alice.register();
            registered(&mut bob, 600);
            talk(&mut alice, &mut bob);
            let call = establish(&mut alice, &mut bob);
            call.hang_up_by_callee(&mut alice, &mut bob);
            let mut goodbye = bob.register_for(0);
            goodbye.cseq = 9;
            assert_eq!(bob.ask(&goodbye).status(), 200, "{} {mode}", main.name());
            assert!(main.held("bob").is_empty(), "{} {mode}: {:?}", main.name(), main.held("bob"));
            let call = invite(&alice, &bob.aor());
            assert_eq!(alice.ask(&call).status(), 404, "{} {mode}", main.name());
        }
    }
}

#[test]
fn a_phone_that_disappears_and_comes_back_from_elsewhere_is_there_once() {
    for main in Main::plain() {
        for mode in [1, 2] {
            let front = front(main.address(), mode, "\"min_expires\", 1");
            let mut bob = Phone::udp(&front, "bob");
            registered(&mut bob, 1);
            assert_eq!(main.held("bob").len(), 1);
            wait_until("the main registrar knows that it is gone", || main.held("bob").is_empty());
            // From another address, over another transport.
            let mut bob = Phone::tcp(&front, "bob");
            registered(&mut bob, 600);
            assert_eq!(main.held("bob").len(), 1, "{} {mode}", main.name());
            drop(bob);
            // Its connection is lost; the next one is where calls go.
            let mut bob = Phone::tcp(&front, "bob");
            registered(&mut bob, 600);
            let mut alice = Phone::udp_to(main.address(), "alice");
            alice.send(&invite(&alice, &bob.aor()).bytes());
            bob.expect_request("INVITE");
            let mut all = bob.register_request().with("Contact: *".to_owned()).with("Expires: 0".to_owned());
            all.cseq = 9;
            assert_eq!(bob.ask(&all).status(), 200, "{} {mode}", main.name());
            assert!(main.held("bob").is_empty(), "{} {mode}", main.name());
        }
    }
}

#[test]
fn a_main_registrar_that_challenges_is_answered_by_the_phone_and_by_us() {
    for main in Main::both((KAMAILIO_GATE, SEAWALL_GATE), ("", "")) {
        let credential =
            "loadmodule \"uac_auth.so\"\nmodparam(\"uac_auth\", \"credential\", \"bob:127.0.0.1:secret\")\n";
        // The Request-URI stays: the phone's answer to the challenge is about it.
        let parameters = "\"mode\", 1\n\"min_expires\", 1\n\"absorb\", \"verified\"";
        let script =
            front_script(main.address(), parameters, credential).replacen("$ru = \"sip:", "$du = \"sip:", 1);
        let front = Server::start(&script);
        let mut bob = Phone::udp(&front, "bob");
        let request = bob.register_for(2);
        let answer = digest::ask(&mut bob, &request, "secret");
        assert_eq!(answer.status(), 200, "{}: {}", main.name(), answer.start);
        // It disappears, and the main registrar does not let just anybody take it away.
        mi::wait_for_statistic(&front, "mid_registrar:acknowledged_deregs", 1);
        assert_eq!(mi::statistic(&front, "mid_registrar:sent_deregs"), 1, "{}", main.name());
        if let Main::Seawall(..) = &main {
            assert!(main.held("bob").is_empty());
        }
        // A wrong password is the phone's own affair.
        let mut carol = Phone::udp(&front, "carol");
        let request = carol.register_for(60);
        assert_eq!(digest::ask(&mut carol, &request, "wrong").status(), 401);
    }
}

#[test]
fn a_main_registrar_that_shortens_or_refuses_has_its_way() {
    let shortest = (
        "modparam(\"registrar\", \"max_expires\", 100)\n",
        "modparam(\"registrar\", \"max_expires\", 100)\n",
    );
    for main in Main::both(("", ""), shortest) {
        for mode in 0..3 {
            let front = front(main.address(), mode, "");
            let mut bob = Phone::udp(&front, "bob");
            let answer = registered(&mut bob, 600);
            assert!(answer.contacts()[0].ends_with("expires=100"), "{} {mode}", main.name());
        }
    }
    let gates = ("sl_send_reply(\"403\", \"No\"); exit;", "send_reply(403, \"No\"); exit;");
    for main in Main::both(gates, ("", "")) {
        for mode in 0..3 {
            let front = front(main.address(), mode, "");
            let mut bob = Phone::udp(&front, "bob");
            assert_eq!(bob.ask(&bob.register_for(600)).status(), 403, "{} {mode}", main.name());
            assert!(mi::contacts(&front, "bob@127.0.0.1").is_empty());
        }
    }
}

#[test]
fn an_answer_that_comes_when_nobody_waits_leaves_nothing_behind() {
    for main in Main::plain() {
        for mode in [1, 2] {
            let front = front(main.address(), mode, "");
            let mut bob = Phone::udp(&front, "bob");
            main.stand_still(true);
            // The client is told that it failed; then the main registrar serves what has waited for it.
            assert_eq!(bob.ask(&bob.register_for(600)).status(), 408, "{} {mode}", main.name());
            main.stand_still(false);
            // More follow for as long as copies of what has waited may be served.
            wait_until("it is taken away", || mi::statistic(&front, "mid_registrar:acknowledged_deregs") > 0);
            wait_until("nothing is left", || main.held("bob").is_empty());
            assert!(mi::contacts(&front, "bob@127.0.0.1").is_empty());
            // It is let in again.
            let mut again = bob.register_for(600);
            again.cseq = 40;
            assert_eq!(bob.ask(&again).status(), 200, "{} {mode}", main.name());
            assert_eq!(main.held("bob").len(), 1);
            let mut all = bob.register_request().with("Contact: *").with("Expires: 0");
            all.cseq = 41;
            assert_eq!(bob.ask(&all).status(), 200);
        }
    }
}

#[test]
fn an_answer_that_comes_after_a_newer_request_undoes_nothing() {
    for main in Main::plain() {
        for mode in [1, 2] {
            let front = front(main.address(), mode, "\"outgoing_expires\", 60");
            let mut bob = Phone::udp(&front, "bob");
            registered(&mut bob, 60);
            main.stand_still(true);
            // A refresh and a goodbye wait together for a main registrar that answers both later.
            let forwarded = |count: u64| {
                wait_until("it is on its way", || {
                    mi::statistic(&front, "mid_registrar:forwarded_regs") == count
                });
            };
            let mut refresh = bob.register_for(60);
            refresh.cseq = 2;
            bob.send(&refresh.bytes());
            forwarded(2);
            let mut goodbye = bob.register_for(0);
            goodbye.cseq = 3;
            bob.send(&goodbye.bytes());
            forwarded(3);
            main.stand_still(false);
            assert_eq!(bob.answer_to(&goodbye).status(), 200, "{} {mode}", main.name());
            wait_until("it is gone on both sides", || {
                main.held("bob").is_empty() && mi::contacts(&front, "bob@127.0.0.1").is_empty()
            });
        }
    }
}

#[test]
fn a_main_registrar_that_stands_still_is_survived_and_not_waited_for() {
    for main in Main::plain() {
        for mode in 0..3 {
            let parameters = "\"upstream_down\", \"absorb\"\n\"outgoing_expires\", 120";
            let front = front(main.address(), mode, parameters);
            let mut phones: Vec<Phone> =
                (0..6).map(|number| Phone::udp(&front, &format!("u{number}"))).collect();
            phones.iter_mut().for_each(|phone| drop(registered(phone, 120)));
            main.stand_still(true);
            // Who comes first waits, with those who come at the same time; all are answered.
            let asked: Vec<_> = phones.iter_mut().map(|phone| refresh(phone, 2)).collect();
            for (phone, request) in phones.iter_mut().zip(&asked) {
                assert_eq!(phone.answer_to(request).status(), 200, "{} {mode}", main.name());
            }
            // The transactions end behind their answers.
            wait_until("it counts as silent", || mi::statistic(&front, "mid_registrar:upstream_silent") == 1);
            // From now on one in a second.
            let before = mi::statistic(&front, "mid_registrar:absorbed_regs");
            let asked: Vec<_> = phones.iter_mut().map(|phone| refresh(phone, 3)).collect();
            for (phone, request) in phones.iter_mut().zip(&asked) {
                assert_eq!(phone.answer_to(request).status(), 200, "{} {mode}", main.name());
            }
            assert!(mi::statistic(&front, "mid_registrar:absorbed_regs") >= before + 3);
            main.stand_still(false);
            let mut cseq = 3;
            wait_until("it is known to be back", || {
                cseq += 1;
                let phone = &mut phones[0];
                let request = refresh(phone, cseq);
                assert_eq!(phone.answer_to(&request).status(), 200);
                mi::statistic(&front, "mid_registrar:upstream_silent") == 0
            });
            for phone in &mut phones {
                assert_eq!(main.held(&phone.user).len(), 1, "{} {mode} {}", main.name(), phone.user);
                let mut goodbye = phone.register_for(0);
                goodbye.cseq = 90;
                phone.send(&goodbye.bytes());
            }
            wait_until("all are gone", || (0..6).all(|number| main.held(&format!("u{number}")).is_empty()));
        }
    }
}

/// Sends a refresh with this number.
fn refresh(phone: &mut Phone, cseq: u32) -> crate::harness::Request {
    let mut request = phone.register_for(120);
    request.cseq = cseq;
    phone.send(&request.bytes());
    request
}

#[test]
fn a_main_registrar_that_has_lost_everything_is_filled_again() {
    for mode in [1, 2] {
        for main in Main::plain() {
            let front = front(main.address(), mode, "");
            let mut bob = Phone::udp(&front, "bob");
            registered(&mut bob, 600);
            let main = main.lose_everything();
            assert!(main.held("bob").is_empty());
            mi::result(&front, "mid_reg_resync", json!({}));
            wait_until("bob is registered again", || main.held("bob").len() == 1);
            let mut alice = Phone::udp_to(main.address(), "alice");
            alice.register();
            talk(&mut alice, &mut bob);
        }
    }
}

#[test]
fn sipp_registers_at_the_front_and_is_called_from_the_main_registrar_in_each_mode() {
    for main in Main::plain() {
        for mode in 0..3 {
            let front = front(main.address(), mode, "");
            let folder = temporary_folder();
            let (port, other, caller) = (free_port(), free_port(), free_port());
            let register = |expires: &str| {
                let keys = ["-key", "expires", expires, "-key", "contact_ip", "127.0.0.1", "-key"];
                let more = ["contact_port", &port, "-s", "callee", "-m", "1", "-p", &other];
                must_pass(
                    sipp("register", &folder, front.udp(), &[&keys[..], &more[..]].concat()),
                    "register",
                );
            };
            register("600");
            let callee = sipp("callee", &folder, front.udp(), &["-p", &port, "-m", "5"]);
            let arguments = ["-s", "callee", "-p", &caller, "-m", "5", "-r", "10"];
            must_pass(sipp("caller", &folder, main.address(), &arguments), "caller");
            must_pass(callee, "callee");
            register("0");
            assert!(main.held("callee").is_empty(), "{} {mode}", main.name());
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
}

#[test]
fn baresip_registers_at_the_front_talks_and_says_goodbye_in_each_mode() {
    std::thread::scope(|scope| {
        for mode in 0..3 {
            for main in Main::plain() {
                scope.spawn(move || {
                    let front = front(main.address(), mode, "");
                    baresip::talk_through(&front, main.address(), &|user| main.held(user).len());
                });
            }
        }
    });
}
