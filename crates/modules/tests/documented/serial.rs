//! The core: `serialize_branches` and `next_branches`, with which the contacts of a lookup are tried one after the other.

use crate::harness::{Request, Run, Server, check, check_refused, reply, route};

const DESTINATIONS: &str = "xlog(\"$rc $ru\"); for ($var(uri) in $(branch[*])) xlog(\"$var(uri)\");";

/// Four destinations: the Request-URI with q 500, two with 800, one without.
const FOUR: &str = "$(msg.branch.q[0]) = 500;
    append_branch(\"sip:a@203.0.113.1\", 800); append_branch(\"sip:none@203.0.113.2\"); append_branch(\"sip:b@203.0.113.3\", 800);";

fn invite() -> Request {
    Request::new("INVITE sip:bob@203.0.113.9")
}

#[test]
fn destinations_come_in_groups_of_the_same_q_and_those_without_come_last() {
    let statements = format!(
        "{FOUR} serialize_branches(1); xlog(\"$rc $ru $(branch[0])\");
         while (next_branches()) {{ {DESTINATIONS} while (remove_branch(0)) {{ $var(x) = 1; }} }} xlog(\"$rc\");"
    );
    check(
        &statements,
        &invite(),
        &[
            "1 sip:bob@203.0.113.9 <null>",
            "1 sip:a@203.0.113.1",
            "sip:b@203.0.113.3",
            "1 sip:bob@203.0.113.9",
            "2 sip:none@203.0.113.2",
            "-1",
        ],
    );
}

#[test]
fn keep_order_tries_each_for_itself_as_they_stand() {
    let statements =
        format!("{FOUR} serialize_branches(1, 1); while (next_branches()) xlog(\"$rc $ru $(branch[0])\");");
    check(
        &statements,
        &invite(),
        &[
            "1 sip:bob@203.0.113.9 <null>",
            "1 sip:a@203.0.113.1 <null>",
            "1 sip:none@203.0.113.2 <null>",
            "2 sip:b@203.0.113.3 <null>",
        ],
    );
}

#[test]
fn there_is_nothing_to_put_in_order_among_equals() {
    let statements = "append_branch(\"sip:a@203.0.113.1\"); serialize_branches(1); xlog(\"$rc $(branch[0])\"); next_branches(); xlog(\"$rc\");";
    check(statements, &invite(), &["1 sip:a@203.0.113.1", "-1"]);
    check("serialize_branches(1); xlog(\"$rc\"); next_branches(); xlog(\"$rc\");", &invite(), &["1", "-1"]);
}

#[test]
fn clear_forgets_those_that_wait_and_without_it_the_new_ones_come_first() {
    let statements = |clear: u8| {
        format!(
            "append_branch(\"sip:a@203.0.113.1\", 900); serialize_branches(1);
             append_branch(\"sip:b@203.0.113.2\", 900); serialize_branches({clear});
             while (next_branches()) xlog(\"$rc $ru\");"
        )
    };
    let new = ["1 sip:b@203.0.113.2", "1 sip:bob@203.0.113.9"];
    check(&statements(0), &invite(), &[&new[..], &["1 sip:a@203.0.113.1", "2 sip:bob@203.0.113.9"]].concat());
    check(&statements(1), &invite(), &[new[0], "2 sip:bob@203.0.113.9"]);
}

#[test]
fn more_than_128_cannot_wait() {
    let statements = "$var(i) = 0;
        while ($var(i) < 70) { append_branch(\"sip:a@203.0.113.1\", 900); serialize_branches(0); $var(rc) = $rc; $var(i) = $var(i) + 1; }
        xlog(\"$var(rc)\");";
    check(statements, &invite(), &["-1"]);
}

/// A server that tries bob's phones one after the other.
fn serial() -> Server {
    let script = route(
        "if (is_method(\"REGISTER\")) { save(\"location\", \"path-off\"); exit; }
         lookup(\"location\"); serialize_branches(1);
         if (next_branches()) t_on_failure(\"next\");
         t_relay();",
    );
    let mut server = Server::new(&format!(
        "{script}failure_route[next] {{
            if (next_branches()) {{ xlog(\"then $rc\"); t_on_failure(\"next\"); t_relay(); }}
         }}\n"
    ));
    for (contact, path) in [
        ("<sip:bob@203.0.113.1>;q=0.1", ""),
        ("<sip:bob@203.0.113.2>;q=0.9", "Path: <sip:edge@203.0.113.50;lr>"),
        ("<sip:bob@203.0.113.3>;q=0.5", ""),
        ("<sip:bob@203.0.113.4>;q=0.5", ""),
    ] {
        let request = Request::register(&[contact]).call_id(contact);
        server.receive(&if path.is_empty() { request } else { request.header(path) });
    }
    server
}

/// Where the INVITEs went.
fn called(run: &Run) -> Vec<String> {
    let invites = run.sent.iter().filter(|packet| packet.start().starts_with("INVITE"));
    invites.map(|packet| packet.to.clone()).collect()
}

#[test]
fn the_contacts_of_a_lookup_are_tried_in_the_order_of_their_q() {
    let mut server = serial();
    let mut run = server.receive(&Request::new("INVITE sip:bob@example.com"));
    assert_eq!(called(&run), ["udp:203.0.113.50:5060"]);
    assert_eq!(run.request("INVITE").header("Route"), "<sip:edge@203.0.113.50;lr>");
    run = server.answer(&reply(&run.request("INVITE").text, 486, "Busy Here", ""));
    assert_eq!(
        (called(&run), run.log.join("")),
        (vec!["udp:203.0.113.3:5060".into(), "udp:203.0.113.4:5060".into()], "then 1".into())
    );
    // What belonged to the first contact is not sent to the others.
    assert_eq!(run.request("INVITE").header("Route"), "");
    let invites: Vec<String> = run
        .sent
        .iter()
        .filter(|packet| packet.start().starts_with("INVITE"))
        .map(|packet| packet.text.clone())
        .collect();
    assert_eq!(called(&server.answer(&reply(&invites[0], 486, "Busy Here", ""))), Vec::<String>::new());
    run = server.answer(&reply(&invites[1], 480, "Away", ""));
    assert_eq!((called(&run), run.log.join("")), (vec!["udp:203.0.113.1:5060".into()], "then 2".into()));
    // The last one decides.
    run = server.answer(&reply(&run.request("INVITE").text, 603, "Decline", ""));
    assert_eq!(run.reply(603).start(), "SIP/2.0 603 Decline");
}

#[test]
fn wrong_arguments_and_routes_are_refused() {
    check_refused("§serialize_branches();", &["needs its argument `clear`"]);
    check_refused("serialize_branches(§\"yes\");", &["integer"]);
    check_refused("next_branches(§1);", &["1 given"]);
    let script = format!("{}onreply_route {{ §next_branches(); }}\n", route("exit;"));
    crate::harness::refused(&script, &["next_branches", "onreply_route"]);
}
