//! Module `signaling`.

use crate::harness::{Request, Server, check_refused, check_value, refused, route};

#[test]
fn send_reply_is_stateless_without_a_transaction() {
    let mut server = Server::new(&route("send_reply(486, \"Busy Here\"); xlog(\"$rc\");"));
    let run = server.receive(&Request::invite());
    assert_eq!((run.starts(), run.log.as_slice()), (vec!["SIP/2.0 486 Busy Here"], &["1".to_owned()][..]));
    assert_eq!(server.counter("sl", "4xx_replies"), 1);
}

#[test]
fn send_reply_uses_the_transaction_when_there_is_one() {
    let mut server = Server::new(&route("t_newtran(); send_reply(486, \"Busy Here\"); xlog(\"$rc\");"));
    let run = server.receive(&Request::invite());
    assert_eq!(run.starts(), ["SIP/2.0 100 Trying", "SIP/2.0 486 Busy Here"]);
    assert_eq!(server.counter("sl", "sent_replies"), 0);
    // A retransmission gets the same answer and does not run the script.
    let again = server.receive(&Request::invite());
    assert_eq!((again.starts(), again.log.len()), (vec!["SIP/2.0 486 Busy Here"], 0));
}

#[test]
fn the_to_tag_of_replies_is_known_before_they_are_sent() {
    for statements in ["", "t_newtran();"] {
        let run =
            Server::new(&route(&format!("{statements} xlog(\"$sig_local_totag\"); send_reply(404, \"x\");")))
                .receive(&Request::invite());
        let to = run.reply(404).header("To");
        assert!(to.ends_with(&format!(";tag={}", run.log[0])), "{to} {:?}", run.log);
    }
    let inside = Request::invite().to("<sip:bob@example.com>;tag=x");
    assert_eq!(Server::new(&route("xlog(\"$sig_local_totag\");")).receive(&inside).log, ["<null>"]);
}

#[test]
fn nobody_answers_an_ack() {
    check_value("send_reply(200, \"OK\")", &Request::new("ACK sip:bob@example.com"), -1);
}

#[test]
fn wrong_arguments_are_refused() {
    check_refused("send_reply(§1000, \"x\");", &["`send_reply`: a status code is from 100 to 699"]);
    check_refused("§send_reply(200);", &["needs its argument `reason`", "send_reply(code, reason)"]);
    check_refused("§send_reply();", &["needs its argument `code`"]);
    check_refused("send_reply(200, \"OK\", §\"more\");", &["takes 2 arguments, 3 given"]);
    refused("route {\n§send_reply(200, \"OK\");\n}\n", &["needs module `signaling`"]);
}
