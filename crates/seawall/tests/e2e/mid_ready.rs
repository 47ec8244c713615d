//! The mid-registrar that needs no script, and the examples of it.

use crate::harness::call::{establish, talk};
use crate::harness::scripts::{EXCHANGE, MODULES, example};
use crate::harness::server::run;
use crate::harness::{Phone, Server, mi};
use serde_json::json;

fn main_registrar() -> Server {
    Server::start(&format!("{MODULES}{EXCHANGE}"))
}

/// Registers bob at the front, calls him from the main registrar's side and back, and sees his refreshes absorbed.
fn check(main: &Server, front: &Server, absorbs: bool) {
    let mut alice = Phone::udp(main, "alice");
    let mut bob = Phone::udp(front, "bob");
    alice.register();
    assert_eq!(bob.register().contacts(), [format!("<{}>;expires=3600", bob.contact())]);
    talk(&mut alice, &mut bob);
    // A call of the client goes by the main registrar, and so does everything in it.
    let call = establish(&mut bob, &mut alice);
    call.hang_up_by_callee(&mut bob, &mut alice);
    // A short life leaves room for refreshes.
    let before = mi::statistic(main, "core:rcv_requests");
    for _ in 0..2 {
        assert_eq!(bob.ask(&bob.register_for(60)).status(), 200);
    }
    let forwarded = mi::statistic(main, "core:rcv_requests") - before;
    assert_eq!(forwarded, if absorbs { 0 } else { 2 });
    // Nobody is a way to other people.
    let mut mallory = Phone::udp(front, "mallory");
    let elsewhere = mallory.request("MESSAGE", "sip:x@192.0.2.77");
    assert_eq!(mallory.ask(&elsewhere).status(), 404, "the main registrar decides");
}

#[test]
fn seawall_mid_serves_in_each_mode_without_a_script() {
    for (mode, absorbs) in [("mirror", false), ("contact", true), ("aor", true)] {
        let main = main_registrar();
        let address = format!("sip:{}", main.udp());
        let arguments = [
            "--main",
            &address,
            "--mode",
            mode,
            "-l",
            "udp:127.0.0.1:0",
            "-l",
            "tcp:127.0.0.1:0",
            "--mi",
            "127.0.0.1:0",
        ];
        let front = Server::start_command("mid", &arguments);
        check(&main, &front, absorbs);
        let shown = mi::result(&front, "mid_reg_show", json!({"aor": "bob@127.0.0.1"}));
        assert_eq!(shown["Registrations"].as_array().unwrap().len(), 1, "{mode}");
    }
}

#[test]
fn seawall_mid_refuses_what_is_no_main_registrar_and_prints_its_script() {
    for main in ["", "sip:", "no such host", "host:70000", "256.256.256.256.invalid"] {
        let output = run(&["mid", "--main", main]);
        assert!(!output.status.success(), "{main}");
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("seawall mid: "), "{main}");
    }
    let printed = run(&["mid", "--main", "192.0.2.10", "--mode", "aor", "--script"]);
    let text = String::from_utf8(printed.stdout).unwrap();
    assert!(text.contains("\"mode\", 2") && text.contains("sip:192.0.2.10:5060"));
    assert!(!text.contains("@MAIN@") && !text.contains("@FROM_MAIN@") && !text.contains("@MODE@"));
}

#[test]
fn the_examples_of_each_mode_do_what_they_promise() {
    for (name, absorbs) in [("mirror", false), ("contact", true), ("aor", true)] {
        let main = main_registrar();
        let address = main.udp();
        let script =
            example(&format!("mid-{name}.cfg")).replace("203.0.113.10:5060", &address.to_string()).replace(
                "\"203.0.113.10\" && $sp == 5060",
                &format!("\"{}\" && $sp == {}", address.ip(), address.port()),
            );
        assert!(!script.contains("203.0.113.10\""), "{name}");
        let front = Server::start_with(&script, &[]);
        check(&main, &front, absorbs);
    }
}
