//! What an operator does to a running server: reload, stop, start without a script.

use crate::harness::call::{establish, invite};
use crate::harness::scripts::{MODULES, exchange};
use crate::harness::{Phone, Server, mi};
use serde_json::json;

/// An exchange that answers calls to nobody in another way, so that a reload shows.
fn changed() -> String {
    exchange().replace("404, \"Not Found\"", "480, \"Changed\"")
}

/// Asks until the answer to a MESSAGE to nobody is this one.
fn wait_for_answer(phone: &mut Phone, status: u16) {
    for _ in 0..1000 {
        if phone.ask(&phone.request("MESSAGE", "sip:nobody@127.0.0.1")).status() == status {
            return;
        }
    }
    panic!("no {status}");
}

#[test]
fn a_hangup_signal_reloads_the_script_and_keeps_bindings_and_calls() {
    let server = Server::start(&exchange());
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::udp(&server, "bob"));
    bob.register();
    let established = establish(&mut alice, &mut bob);
    let ringing = invite(&alice, &bob.aor());
    alice.send(&ringing.bytes());
    let received = bob.expect_request("INVITE");
    bob.send(&received.reply(180, "Ringing", "b", "", ""));
    while alice.answer_to(&ringing).status() != 180 {}

    server.rewrite_script(&changed());
    server.signal("HUP");
    let mut carol = Phone::udp(&server, "carol");
    wait_for_answer(&mut carol, 480);

    // The call that rang is answered, the one that stood is ended, and the binding is still there.
    bob.send(&received.reply(200, "OK", "b", &format!("Contact: <{}>\r\n", bob.contact()), ""));
    while alice.answer_to(&ringing).status() != 200 {}
    established.hang_up(&mut alice, &mut bob);
    assert_eq!(mi::contacts(&server, "bob@127.0.0.1").len(), 1);
}

#[test]
fn a_script_with_mistakes_is_not_taken_and_the_old_one_stays() {
    let server = Server::start(&exchange());
    let mut alice = Phone::udp(&server, "alice");
    server.rewrite_script(&changed().replace("t_relay()", "t_rellay()"));
    let refused = mi::call(&server, "reload", json!({}));
    assert!(refused["error"].to_string().contains("t_rellay"), "{refused}");
    server.signal("HUP");
    server.wait_for_log("t_rellay");
    wait_for_answer(&mut alice, 404);
}

#[test]
fn reload_over_mi_swaps_the_script() {
    let server = Server::start(&exchange());
    let mut alice = Phone::udp(&server, "alice");
    server.rewrite_script(&changed());
    mi::result(&server, "reload", json!({}));
    wait_for_answer(&mut alice, 480);
}

#[test]
fn a_reload_takes_new_names_of_the_server_and_refuses_new_sockets() {
    let script = |first: &str| {
        format!(
            "{first}\n{MODULES}route {{ if (is_myself(\"$rd\")) send_reply(200, \"Ours\"); else send_reply(404, \"Not Ours\"); }}\n"
        )
    };
    let server = Server::start(&script(""));
    let mut alice = Phone::udp(&server, "alice");
    let mut asked = || alice.ask(&alice.request("OPTIONS", "sip:new.example")).status();
    assert_eq!(asked(), 404);
    server.rewrite_script(&script("alias=new.example"));
    mi::result(&server, "reload", json!({}));
    assert_eq!(asked(), 200);
    for socket in ["socket=udp:127.0.0.1:0", "advertised_address=\"elsewhere.example\""] {
        server.rewrite_script(&script(socket));
        let refused = mi::call(&server, "reload", json!({}));
        assert!(refused["error"].to_string().contains("restart the server"), "{refused}");
    }
    assert_eq!(asked(), 200);
}

#[test]
fn a_server_that_is_told_to_stop_answers_what_it_accepted() {
    let mut server = Server::start(&exchange());
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::udp(&server, "bob"));
    bob.register();
    let call = invite(&alice, &bob.aor());
    alice.send(&call.bytes());
    let received = bob.expect_request("INVITE");
    server.signal("TERM");
    bob.send(&received.reply(486, "Busy Here", "b", "", ""));
    bob.expect_request("ACK");
    while alice.answer_to(&call).status() < 300 {}
    let mut ack = call.clone();
    ack.method = "ACK".to_owned();
    alice.send(&ack.bytes());
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn an_idle_server_stops_at_once() {
    let mut server = Server::start(&exchange());
    let mut alice = Phone::tcp(&server, "alice");
    alice.register();
    server.signal("INT");
    assert_eq!(server.wait().code(), Some(0));
    alice.expect_closed();
}

#[test]
fn without_a_script_it_says_how_to_use_it() {
    let server =
        Server::start_default(&["-l", "udp:127.0.0.1:0", "-l", "tcp:127.0.0.1:0", "--mi", "127.0.0.1:0"]);
    let text = server.greeting.join("\n");
    assert!(text.contains("private"), "the rule who is served: {text}");
    assert!(text.contains(&server.udp().to_string()), "where: {text}");
    assert!(text.contains("/metrics") && text.contains("/mi"), "management: {text}");
    assert!(text.contains("user add alice"), "how users are added: {text}");
}

#[test]
fn a_socket_that_is_taken_is_an_error_that_names_it() {
    let server = Server::start(&exchange());
    let folder = crate::harness::server::temporary_folder();
    let file = folder.join("taken.cfg");
    std::fs::write(&file, format!("{MODULES}\nroute {{ exit; }}\n")).unwrap();
    let listen = format!("tcp:{}", server.tcp());
    let failed = crate::harness::server::run(&["run", "-f", &file.display().to_string(), "-l", &listen]);
    assert!(!failed.status.success());
    let text = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(text.contains(&server.tcp().to_string()), "{text}");
    std::fs::remove_dir_all(folder).unwrap();
}
