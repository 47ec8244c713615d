//! Module `sl`.

use crate::harness::{Request, Server, check_parameters, check_refused, check_value, refused, route, row};

fn options() -> Request {
    Request::new("OPTIONS sip:bob@example.com")
}

#[test]
fn sl_send_reply_answers_without_a_transaction() {
    let script = route("append_to_reply(\"X-A: 1\\r\\n\"); sl_send_reply(404, \"Not $rU\"); xlog(\"$rc\");");
    let mut server = Server::new(&script);
    let run = server.receive(&options());
    assert_eq!(run.log, ["1"]);
    let reply = run.only();
    assert_eq!((reply.start(), &*reply.to), ("SIP/2.0 404 Not bob", "udp:198.51.100.7:5070"));
    assert_eq!(reply.header("X-A"), "1");
    assert!(reply.header("To").starts_with("<sip:bob@example.com>;tag="));
    assert!(server.node.transactions.iter().all(|shard| shard.lock().is_empty()));
    // The same request gets the same tag (RFC 3261 section 8.2.7).
    assert_eq!(server.receive(&options()).only().header("To"), reply.header("To"));
}

#[test]
fn nobody_answers_an_ack() {
    check_value("sl_send_reply(200, \"OK\")", &Request::new("ACK sip:bob@example.com"), -1);
    check_value("sl_reply_error()", &Request::new("ACK sip:bob@example.com"), -1);
}

#[test]
fn wrong_codes_are_refused() {
    let words = &["`sl_send_reply`: a status code is from 100 to 699"];
    check_refused("sl_send_reply(§99, \"x\");", words);
    check_refused("sl_send_reply(§700, \"x\");", words);
    check_refused("sl_send_reply(§\"many\", \"x\");", &["`code` of `sl_send_reply` is an integer"]);
    check_refused("§sl_send_reply(404);", &["needs its argument `reason`", "sl_send_reply(code, reason)"]);
    check_refused("sl_send_reply(404, \"a\", §\"b\");", &["takes 2 arguments, 3 given"]);
    check_value("$var(code) = 42; sl_send_reply($var(code), \"x\")", &options(), -1);
}

#[test]
fn sl_reply_error_says_what_went_wrong() {
    let run = Server::new(&route("sl_reply_error(); xlog(\"$rc\");")).receive(&options());
    assert_eq!(
        (run.starts(), run.log.as_slice()),
        (vec!["SIP/2.0 500 Server Internal Error"], &["1".to_owned()][..])
    );
    let script = format!("{}error_route {{ sl_reply_error(); }}\n", route("exit;"));
    let mut server = Server::new(&script);
    let run = server.fault(&options(), 400, "Bad To");
    assert!(run.only().start().starts_with("SIP/2.0 400 "), "{:?}", run.starts());
    assert_eq!(server.counter("sl", "sent_err_replies"), 1);
    check_refused("sl_reply_error(§1);", &["sl_reply_error", "no arguments"]);
}

#[test]
fn replies_are_counted_by_their_class() {
    for (code, name) in [
        (180, "1xx_replies"),
        (200, "200_replies"),
        (202, "202_replies"),
        (204, "2xx_replies"),
        (302, "3xx_replies"),
        (404, "4xx_replies"),
        (503, "5xx_replies"),
        (603, "6xx_replies"),
    ] {
        let mut server = Server::new(&route(&format!("sl_send_reply({code}, \"x\");")));
        server.receive(&options());
        assert_eq!((server.counter("sl", name), server.counter("sl", "sent_replies")), (1, 1), "{name}");
    }
    // Nothing here sends or gets one of these.
    let server = Server::new(&route("exit;"));
    assert_eq!((server.counter("sl", "sent_err_replies"), server.counter("sl", "received_ACKs")), (0, 0));
}

#[test]
fn the_parameters_are_those_of_the_document() {
    check_parameters("sl", &[row("enable_stats", "1", "0", "\"no\"", "takes an integer")]);
}

#[test]
fn a_function_of_a_module_that_is_not_loaded_names_the_module() {
    refused("route {\n§sl_send_reply(200, \"OK\");\n}\n", &["needs module `sl`", "loadmodule \"sl.so\""]);
}
