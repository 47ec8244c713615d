//! Every way that a request to a sleeping phone may end, at a registrar and in the three modes of a mid-registrar, where
//! calls come from the main registrar (registrar 1.1.3 and 1.3.28, mid_registrar 1.1.3 and 1.5.32).

use crate::harness::call::{Call, invite};
use crate::harness::scripts::exchange;
use crate::harness::sleeper::{
    ROUTING, Sleeper, answer, answer_as, call, cancel, final_answer, front, modules,
};
use crate::harness::web::Web;
use crate::harness::{Phone, Server, mi};

/// Where phones register, and where calls begin: the same server, or a mid-registrar and its main registrar.
struct Place {
    name: &'static str,
    web: Web,
    edge: Server,
    main: Option<Server>,
}

impl Place {
    /// A phone that calls.
    fn caller(&self) -> Phone {
        Phone::udp(self.main.as_ref().unwrap_or(&self.edge), "alice")
    }
}

/// Runs a test at a registrar and at a mid-registrar in each of its modes.
fn everywhere(parameters: &str, test: impl Fn(&Place)) {
    let name = "registrar";
    let web = Web::start();
    let edge = Server::start(&format!("{}{ROUTING}", modules(&web, parameters)));
    test(&Place { name, web, edge, main: None });
    for (name, mode) in [("mirror", 0), ("contact", 1), ("aor", 2)] {
        let main = Server::start(&format!("{}onreply_route {{ xlog(\"reply $rs\\n\"); }}\n", exchange()));
        let web = Web::start();
        let edge = Server::start(&front(&modules(&web, parameters), main.udp(), mode));
        test(&Place { name, web, edge, main: Some(main) });
    }
}

#[test]
fn a_call_wakes_the_phone_and_reaches_it_where_it_is_then() {
    everywhere("", |place| {
        let mut alice = place.caller();
        let (mut bob, _) = Sleeper::new(&place.edge, "bob");
        let call = call(&mut alice, "bob");
        bob.pushed(&place.web, "ini-INVITE").answer(200, "");
        let (mut phone, _) = bob.wake(&place.edge);
        answer(&mut alice, &call, &mut phone);
        phone.expect_silence();
        if let Some(main) = &place.main {
            assert_eq!(mi::contacts(main, "bob@127.0.0.1").len(), 1, "{}", place.name);
        }
    });
}

#[test]
fn a_cancelled_call_waits_for_nobody_any_more() {
    everywhere("", |place| {
        let mut alice = place.caller();
        let (mut bob, _) = Sleeper::new(&place.edge, "bob");
        let call = call(&mut alice, "bob");
        let push = bob.pushed(&place.web, "ini-INVITE");
        let cancel = cancel(&call);
        alice.send(&cancel.bytes());
        assert_eq!(alice.answer_to(&cancel).status(), 200, "{}", place.name);
        final_answer(&mut alice, &call, 487);
        push.answer(200, "");
        let (mut phone, _) = bob.wake(&place.edge);
        phone.expect_silence();
    });
}

#[test]
fn a_phone_that_wakes_too_late_misses_the_request() {
    everywhere("modparam(\"registrar\", \"pn_refresh_timeout\", 1)", |place| {
        let mut alice = place.caller();
        let (mut bob, _) = Sleeper::new(&place.edge, "bob");
        for method in ["INVITE", "MESSAGE"] {
            let request = match method {
                "INVITE" => invite(&alice, "sip:bob@127.0.0.1"),
                _ => alice.request(method, "sip:bob@127.0.0.1"),
            };
            alice.send(&request.bytes());
            bob.pushed(&place.web, &format!("ini-{method}")).answer(200, "");
            final_answer(&mut alice, &request, 408);
            let (mut phone, _) = bob.wake(&place.edge);
            phone.expect_silence();
        }
    });
}

#[test]
fn the_phones_that_are_awake_ring_while_another_one_wakes() {
    everywhere("", |place| {
        let (mut alice, mut desk) = (place.caller(), Phone::udp(&place.edge, "bob"));
        desk.register();
        let (mut bob, _) = Sleeper::new(&place.edge, "bob");
        let call = call(&mut alice, "bob");
        let ringing = desk.expect_request("INVITE");
        desk.send(&ringing.reply(180, "Ringing", "desk", "", ""));
        bob.pushed(&place.web, "ini-INVITE").answer(200, "");
        let (mut phone, _) = bob.wake(&place.edge);
        answer(&mut alice, &call, &mut phone);
        desk.expect_request("CANCEL");
    });
}

#[test]
fn a_phone_that_is_awake_and_takes_the_call_ends_the_wait() {
    everywhere("", |place| {
        let (mut alice, mut desk) = (place.caller(), Phone::udp(&place.edge, "bob"));
        desk.register();
        let (mut bob, _) = Sleeper::new(&place.edge, "bob");
        let call = call(&mut alice, "bob");
        bob.pushed(&place.web, "ini-INVITE").answer(200, "");
        answer(&mut alice, &call, &mut desk);
        // Where the main registrar knows both contacts, its CANCEL ends the wait of the other one.
        if let Some(main) = place.main.as_ref().filter(|_| place.name != "aor") {
            main.wait_for_log("reply 487");
        }
        let (mut phone, _) = bob.wake(&place.edge);
        phone.expect_silence();
    });
}

#[test]
fn a_call_to_phones_that_are_awake_wakes_nobody_and_waits_for_nobody() {
    everywhere("modparam(\"registrar\", \"pn_skip_pn_interval\", 3600)", |place| {
        let mut alice = place.caller();
        let (_, mut mobile) = {
            let mut bob = Sleeper::fresh("bob", "pn-provider=acme;pn-param=app;pn-prid=token-bob");
            let (mobile, _) = bob.wake(&place.edge);
            (bob, mobile)
        };
        let call = call(&mut alice, "bob");
        let received = mobile.expect_request("INVITE");
        mobile.send(&received.reply(486, "Busy Here", "b", "", ""));
        // A call that waited for anybody would keep this answer until pn_refresh_timeout.
        final_answer(&mut alice, &call, 486);
        assert_eq!(mi::statistic(&place.edge, "push:sent"), 0, "{}", place.name);
    });
}

#[test]
fn two_sleeping_phones_of_a_user_are_both_woken_and_the_first_to_answer_has_the_call() {
    everywhere("", |place| {
        let mut alice = place.caller();
        let phone = |token: &str| format!("pn-provider=acme;pn-param=app;pn-prid={token}");
        let (mut one, _) = Sleeper::told(&place.edge, "bob", &phone("one"));
        let (mut other, _) = Sleeper::told(&place.edge, "bob", &phone("other"));
        let call = call(&mut alice, "bob");
        for _ in 0..2 {
            place.web.asked().answer(200, "");
        }
        let (mut first, _) = one.wake(&place.edge);
        let ringing = first.expect_request("INVITE");
        first.send(&ringing.reply(180, "Ringing", "one", "", ""));
        let (mut second, _) = other.wake(&place.edge);
        answer(&mut alice, &call, &mut second);
        first.expect_request("CANCEL");
    });
}

#[test]
fn two_calls_for_a_phone_are_one_push_and_a_branch_each() {
    everywhere("", |place| {
        let (mut alice, mut carol) = (place.caller(), place.caller());
        let (mut bob, _) = Sleeper::new(&place.edge, "bob");
        let first = call(&mut alice, "bob");
        bob.pushed(&place.web, "ini-INVITE").answer(200, "");
        let second = call(&mut carol, "bob");
        // The second call waits as soon as its route has ended, which its log line precedes.
        place.edge.wait_for_log_times("waking ", 2);
        let (mut phone, _) = bob.wake(&place.edge);
        for _ in 0..2 {
            let received = phone.expect_request("INVITE");
            phone.send(&received.reply(486, "Busy Here", "b", "", ""));
        }
        final_answer(&mut alice, &first, 486);
        final_answer(&mut carol, &second, 486);
        assert_eq!(mi::statistic(&place.edge, "push:sent"), 1, "{}", place.name);
    });
}

#[test]
fn a_message_and_a_bye_wake_a_phone_as_well() {
    everywhere("modparam(\"registrar\", \"pn_enable_purr\", 1)", |place| {
        let mut alice = place.caller();
        let (mut bob, registered) = Sleeper::new(&place.edge, "bob");
        let message = alice.request("MESSAGE", "sip:bob@127.0.0.1");
        alice.send(&message.bytes());
        bob.pushed(&place.web, "ini-MESSAGE").answer(200, "");
        let (mut phone, _) = bob.wake(&place.edge);
        let received = phone.expect_request("MESSAGE");
        phone.send(&received.reply(200, "OK", "b", "", ""));
        final_answer(&mut alice, &message, 200);

        // It takes a call, tells its PURR, and falls asleep in it.
        let caps = registered.need("Feature-Caps").to_owned();
        let purr = caps.split("+sip.pnspurr=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let call = call(&mut alice, "bob");
        bob.pushed(&place.web, "ini-INVITE").answer(200, "");
        let (mut phone, _) = bob.wake(&place.edge);
        let contact = format!("{};pn-purr={purr}", phone.contact());
        let (received, accepted) = answer_as(&mut alice, &call, &mut phone, &contact);
        let call = Call::new(call, accepted, received, "callee");
        alice.send(&call.within(&alice, "ACK").bytes());
        phone.expect_request("ACK");
        drop(phone);
        let bye = call.within(&alice, "BYE");
        alice.send(&bye.bytes());
        bob.pushed(&place.web, "mid-BYE").answer(200, "");
        let (mut phone, _) = bob.wake(&place.edge);
        let received = phone.expect_request("BYE");
        assert!(received.start.contains(&purr), "{}: {}", place.name, received.start);
        phone.send(&received.reply(200, "OK", "callee", "", ""));
        final_answer(&mut alice, &bye, 200);
        place.edge.wait_for_log("awake 1");
    });
}
