//! Seawall in front of a main registrar: another Seawall, or a Kamailio.

use crate::harness::call::{establish, talk};
use crate::harness::kamailio::Kamailio;
use crate::harness::scripts::{EXCHANGE, MODULES, exchange};
use crate::harness::{Message, PATIENCE, Phone, Server, mi};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A front for a main registrar, with these parameters, and other modules with theirs. `sip:` requests of clients go there, and those that come from
/// there are looked up.
pub(crate) fn front_script(main: SocketAddr, parameters: &str, more: &str) -> String {
    let parameters: String =
        parameters.lines().map(|line| format!("modparam(\"mid_registrar\", {})\n", line.trim())).collect();
    let (ip, port) = (main.ip(), main.port());
    let register = format!(
        "if (is_method(\"REGISTER\")) {{
            mid_registrar_save(\"location\");
            switch ($retcode) {{
            case 1:
                $ru = \"sip:{main}\";
                if (!t_relay()) {{ send_reply(500, \"Server Internal Error 1\"); }}
                break;
            }}
            exit;
        }}
        if ($si != \"{ip}\" || $sp != {port}) {{
            record_route();
            $ru = \"sip:\" + $rU + \"@{main}\";
            t_relay();
            exit;
        }}"
    );
    let routing = EXCHANGE
        .replace("if (is_method(\"REGISTER\")) { save(\"location\"); exit; }", &register)
        .replace("lookup(\"location\")", "mid_registrar_lookup(\"location\")");
    assert!(routing.contains("mid_registrar_lookup") && routing.contains("mid_registrar_save"));
    format!(
        "{MODULES}modparam(\"tm\", \"fr_timeout\", 2)\nloadmodule \"mid_registrar.so\"\n{parameters}{more}{routing}"
    )
}

/// A front for a main registrar in a mode.
pub(crate) fn front(main: SocketAddr, mode: u8, parameters: &str) -> Server {
    Server::start(&front_script(main, format!("\"mode\", {mode}\n{parameters}").trim_end(), ""))
}

/// A main registrar that takes short lives.
fn main_registrar() -> Server {
    Server::start(&format!("{MODULES}modparam(\"registrar\", \"min_expires\", 1)\n{EXCHANGE}"))
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn registered(phone: &mut Phone, expires_s: u32) -> Message {
    let answer = phone.ask(&phone.register_for(expires_s));
    assert_eq!(answer.status(), 200, "{}", answer.start);
    answer
}

fn shown(front: &Server, user: &str) -> Vec<Value> {
    let shown = mi::call(front, "mid_reg_show", json!({ "aor": format!("{user}@127.0.0.1") }));
    shown["result"]["Registrations"].as_array().cloned().unwrap_or_default()
}

#[test]
fn calls_from_the_main_registrar_reach_the_client_in_each_mode() {
    for mode in 0..3 {
        let main = main_registrar();
        let front = front(main.udp(), mode, "");
        let mut alice = Phone::udp(&main, "alice");
        let mut bob = Phone::udp(&front, "bob");
        alice.register();
        let answer = registered(&mut bob, 600);
        assert_eq!(answer.contacts(), [format!("<{}>;expires=600", bob.contact())], "{mode}");
        assert_eq!(mi::contacts(&main, "bob@127.0.0.1").len(), 1);
        // The call, and requests inside it in both directions.
        talk(&mut alice, &mut bob);
        let call = establish(&mut alice, &mut bob);
        call.hang_up_by_callee(&mut alice, &mut bob);
    }
}

#[test]
fn refreshes_are_absorbed_and_what_is_gone_is_taken_away() {
    for mode in [1, 2] {
        let main = main_registrar();
        let front = front(main.udp(), mode, "\"min_expires\", 1");
        let mut bob = Phone::udp(&front, "bob");
        registered(&mut bob, 600);
        for _ in 0..5 {
            registered(&mut bob, 600);
        }
        assert_eq!(mi::statistic(&main, "core:rcv_requests"), 1);
        assert_eq!(mi::statistic(&front, "mid_registrar:absorbed_regs"), 5);
        assert_eq!(mi::statistic(&front, "mid_registrar:absorb_ratio"), 8333);
        let shown = shown(&front, "bob");
        assert_eq!((shown.len(), &shown[0]["Upstream-State"]), (1, &json!("live")));
        let left_s = shown[0]["Upstream-Expires"].as_u64().unwrap();
        assert!((3590..=3600).contains(&left_s), "{left_s}");
        assert!(shown[0]["Forward-In"].as_u64().unwrap() > 500);
        assert_eq!(shown[0]["Main"], format!("udp:{}", main.udp()));

        let output = front.ctl(&["mid", "show", "bob@127.0.0.1"], "");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("Forward-In"), "{text}");

        // It hangs up without a word: within two seconds of the end the main registrar knows.
        registered(&mut bob, 1);
        wait_until("the main registrar has no contact", || mi::contacts(&main, "bob@127.0.0.1").is_empty());
        wait_until("the de-REGISTER is acknowledged", || {
            mi::statistic(&front, "mid_registrar:acknowledged_deregs") > 0
        });
        // Nothing is known of it, unless its REGISTER was repeated on a slow machine, and copies may come.
        let left = self::shown(&front, "bob");
        assert!(left.iter().all(|held| held["Upstream-State"] == "leaving"), "{left:?}");
        // It comes back from another address.
        let mut again = Phone::udp(&front, "bob");
        registered(&mut again, 600);
        assert_eq!(mi::contacts(&main, "bob@127.0.0.1").len(), 1);
        // And says goodbye.
        let mut goodbye = again.register_for(0);
        goodbye.cseq = 9;
        assert_eq!(again.ask(&goodbye).status(), 200);
        assert!(mi::contacts(&main, "bob@127.0.0.1").is_empty());
    }
}

#[test]
fn an_operator_who_removes_a_contact_removes_it_at_the_main_registrar_too() {
    let main = main_registrar();
    let front = front(main.udp(), 1, "");
    let mut bob = Phone::udp(&front, "bob");
    registered(&mut bob, 600);
    mi::result(&front, "ul_rm", json!({"table_name": "location", "aor": "bob@127.0.0.1"}));
    wait_until("the main registrar has no contact", || mi::contacts(&main, "bob@127.0.0.1").is_empty());
}

#[test]
fn a_main_registrar_that_was_restarted_empty_is_filled_again() {
    let main = main_registrar();
    let address = main.udp();
    let front = front(address, 1, "");
    let mut bob = Phone::udp(&front, "bob");
    let mut carol = Phone::udp(&front, "carol");
    registered(&mut bob, 600);
    registered(&mut carol, 600);
    drop(main);
    let script = format!("{MODULES}{EXCHANGE}");
    let main = Server::start_with(&script, &["-l", &format!("udp:{address}")]);
    assert!(mi::contacts(&main, "bob@127.0.0.1").is_empty());
    let one = mi::result(&front, "mid_reg_resync", json!({"aor": "bob@127.0.0.1"}));
    assert_eq!(one, json!({"Registrations": 1}));
    wait_until("bob is registered again", || mi::contacts(&main, "bob@127.0.0.1").len() == 1);
    assert!(mi::contacts(&main, "carol@127.0.0.1").is_empty());
    let all = mi::result(&front, "mid_reg_resync", json!({}));
    assert_eq!(all, json!({"Registrations": 2}));
    wait_until("carol is registered again", || mi::contacts(&main, "carol@127.0.0.1").len() == 1);
    let mut alice = Phone::udp(&main, "alice");
    alice.register();
    talk(&mut alice, &mut bob);
    assert_eq!(mi::error(&front, "mid_reg_resync", json!({"aor": "nobody@127.0.0.1"})), 404);
}

#[test]
fn a_main_registrar_that_is_down_is_told_to_the_client_or_survived() {
    for (upstream_down, status) in [("pass", 408), ("absorb", 200)] {
        let main = main_registrar();
        // The margin makes every refresh a forwarded one: the main registrar is asked each time.
        let parameters = format!("\"upstream_down\", \"{upstream_down}\"\n\"outgoing_expires\", 60");
        let front = front(main.udp(), 1, &parameters);
        let mut bob = Phone::udp(&front, "bob");
        registered(&mut bob, 60);
        drop(main);
        let answer = bob.ask(&bob.register_for(60));
        assert_eq!(answer.status(), status, "{upstream_down}");
        if status == 200 {
            let expires: u32 = answer.contacts()[0].rsplit('=').next().unwrap().parse().unwrap();
            assert!((50..60).contains(&expires), "it ends with the main registrar's deadline: {expires}");
            // Who is not known yet cannot be answered.
            let mut carol = Phone::udp(&front, "carol");
            assert_eq!(carol.ask(&carol.register_for(60)).status(), 408);
        }
        assert_eq!(mi::contacts(&front, "bob@127.0.0.1").len(), 1);
    }
}

#[test]
fn a_main_registrar_that_rejects_or_shortens_has_its_way() {
    let main = Server::start(&format!("{MODULES}modparam(\"registrar\", \"max_expires\", 100)\n{EXCHANGE}"));
    let front_1 = front(main.udp(), 1, "");
    let mut bob = Phone::udp(&front_1, "bob");
    let answer = registered(&mut bob, 600);
    assert!(answer.contacts()[0].ends_with("expires=100"), "{:?}", answer.contacts());
    let left_s = mi::contacts(&front_1, "bob@127.0.0.1")[0]["Expires"].as_u64().unwrap();
    assert!((95..=100).contains(&left_s), "{left_s}");

    let main = Server::start(&format!("{MODULES}route {{ send_reply(403, \"No\"); }}\n"));
    for mode in 0..3 {
        let front = front(main.udp(), mode, "");
        let mut bob = Phone::udp(&front, "bob");
        assert_eq!(bob.ask(&bob.register_for(600)).status(), 403);
        assert!(mi::contacts(&front, "bob@127.0.0.1").is_empty(), "{mode}");
    }
    // A minimum that only the main registrar knows: the client never hears of it.
    let main = Server::start(&format!(
        "{MODULES}modparam(\"registrar\", \"min_expires\", 7200)\nmodparam(\"registrar\", \"min_expires_mode\", 1)\n{EXCHANGE}"
    ));
    let front = front(main.udp(), 1, "");
    let mut bob = Phone::udp(&front, "bob");
    let answer = registered(&mut bob, 600);
    assert!(answer.contacts()[0].ends_with("expires=600"), "{:?}", answer.contacts());
    assert_eq!(mi::statistic(&main, "core:rcv_requests"), 2);
}

#[test]
fn an_attacker_is_absorbed_with_any_and_challenged_with_verified() {
    for mode in [1, 2] {
        for (absorb, asked) in [("any", 1), ("verified", 2)] {
            let main = main_registrar();
            let front = front(main.udp(), mode, &format!("\"absorb\", \"{absorb}\""));
            let mut bob = Phone::udp(&front, "bob");
            registered(&mut bob, 600);
            registered(&mut bob, 600);
            assert_eq!(mi::statistic(&main, "core:rcv_requests"), 1);
            // The same words from another source.
            let mut mallory = Phone::udp(&front, "mallory");
            let mut forged = bob.register_for(600);
            forged.sent_by = mallory.address.to_string();
            mallory.ask(&forged);
            assert_eq!(mi::statistic(&main, "core:rcv_requests"), asked, "{mode} {absorb}");
        }
    }
}

#[test]
fn a_phone_that_loses_its_tcp_connection_is_reached_by_its_new_one() {
    let main = main_registrar();
    let front = front(main.udp(), 1, "");
    let mut alice = Phone::udp(&main, "alice");
    alice.register();
    let mut bob = Phone::tcp(&front, "bob");
    registered(&mut bob, 600);
    drop(bob);
    let mut bob = Phone::tcp(&front, "bob");
    registered(&mut bob, 600);
    // The main registrar holds both contacts until the old one has run out; the new one answers.
    assert_eq!(mi::contacts(&main, "bob@127.0.0.1").len(), 2);
    let ringing = crate::harness::call::invite(&alice, &bob.aor());
    alice.send(&ringing.bytes());
    bob.expect_request("INVITE");
}

#[test]
fn kamailio_is_a_main_registrar_in_each_mode() {
    for mode in 0..3 {
        let kamailio = Kamailio::registrar();
        let front = front(kamailio.address, mode, "\"outgoing_expires\", 600\n\"min_expires\", 1");
        let mut bob = Phone::udp(&front, "bob");
        let answer = registered(&mut bob, 90);
        assert_eq!(answer.contacts(), [format!("<{}>;expires=90", bob.contact())], "{mode}");
        let held = fetch(kamailio.address, "bob");
        assert_eq!(held.len(), 1, "{held:?}");
        let expires: u32 = held[0].rsplit('=').next().unwrap().parse().unwrap();
        let wanted = if mode == 0 { 85..=90 } else { 595..=600 };
        assert!(wanted.contains(&expires), "{mode} {expires}");
        if mode == 0 {
            continue;
        }
        registered(&mut bob, 90);
        registered(&mut bob, 1);
        wait_until("Kamailio has no contact", || fetch(kamailio.address, "bob").is_empty());
        registered(&mut bob, 90);
        assert_eq!(fetch(kamailio.address, "bob").len(), 1, "it is let in again");
    }
}

/// What a registrar holds for a user.
fn fetch(registrar: SocketAddr, user: &str) -> Vec<String> {
    let mut asking = Phone::udp_to(registrar, user);
    let answer = asking.ask(&asking.register_request());
    assert_eq!(answer.status(), 200, "{}", answer.start);
    answer.contacts()
}

#[test]
fn a_script_that_does_not_use_the_module_is_not_changed_by_it() {
    let server =
        Server::start(&exchange().replace("loadmodule \"acc.so\"", "loadmodule \"mid_registrar.so\""));
    Phone::udp(&server, "bob").register();
    assert_eq!(mi::error(&server, "mid_reg_show", json!({"aor": "bob@127.0.0.1"})), 404);
    assert_eq!(mi::result(&server, "mid_reg_resync", json!({})), json!({"Registrations": 0}));
}
