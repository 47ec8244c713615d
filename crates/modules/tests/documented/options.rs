//! Module `options`.

use crate::harness::{
    Request, Run, Server, check_parameters, check_refused, check_value, refused, route, row,
};

fn answered(parameters: &str, request: &Request) -> Run {
    let script = route("options_reply(); xlog(\"$rc\");");
    Server::new(&script.replacen("route {", &format!("{parameters}\nroute {{"), 1)).receive(request)
}

fn ask() -> Request {
    Request::new("OPTIONS sip:192.0.2.1")
}

/// The value of a header of the 200.
fn header(parameters: &str, name: &str) -> String {
    answered(parameters, &ask()).reply(200).header(name)
}

#[test]
fn options_reply_tells_what_the_server_can_do() {
    let run = answered("", &ask());
    assert_eq!(run.log, ["1"]);
    let reply = run.reply(200);
    assert_eq!((&*reply.header("Accept"), &*reply.header("Accept-Language")), ("*/*", "en"));
    assert_eq!((&*reply.header("Accept-Encoding"), &*reply.header("Supported")), ("", ""));
    assert!(reply.header("Allow").contains("OPTIONS") && reply.header("Allow").contains("REGISTER"));
}

#[test]
fn the_parameters_are_the_values_of_the_headers_and_empty_ones_leave_them_out() {
    assert_eq!(header("modparam(\"options\", \"accept\", \"application/sdp\")", "Accept"), "application/sdp");
    assert_eq!(header("modparam(\"options\", \"accept\", \"\")", "Accept"), "");
    assert_eq!(
        header("modparam(\"options\", \"accept_encoding\", \"identity\")", "Accept-Encoding"),
        "identity"
    );
    assert_eq!(header("modparam(\"options\", \"accept_language\", \"de\")", "Accept-Language"), "de");
    assert_eq!(header("modparam(\"options\", \"support\", \"path, gruu\")", "Supported"), "path, gruu");
    assert_eq!(header("modparam(\"options\", \"allow\", \"OPTIONS\")", "Allow"), "OPTIONS");
}

#[test]
fn what_is_required_and_not_supported_gives_420() {
    let support = "modparam(\"options\", \"support\", \"path,gruu\")";
    let request = ask().header("Require: gruu, foo").header("Require: bar");
    assert_eq!(answered(support, &request).reply(420).header("Unsupported"), "foo | bar");
    assert_eq!(answered(support, &ask().header("Require: path")).starts(), ["SIP/2.0 200 OK"]);
    assert_eq!(answered("", &ask().header("Require: path")).reply(420).header("Unsupported"), "path");
}

#[test]
fn other_requests_are_left_to_the_script() {
    check_value("options_reply()", &Request::new("OPTIONS sip:bob@192.0.2.1"), -1);
    check_value("options_reply()", &Request::new("MESSAGE sip:192.0.2.1"), -1);
    check_value("options_reply()", &Request::new("OPTIONS tel:+49123"), -1);
}

#[test]
fn it_answers_by_the_transaction_where_there_is_one() {
    let script = route("t_newtran(); append_to_reply(\"X-Ours: 1\\r\\n\"); options_reply();");
    let mut server = Server::new(&script);
    let first = server.receive(&ask());
    assert_eq!(first.reply(200).header("X-Ours"), "1");
    assert_eq!(server.receive(&ask()).reply(200).text, first.reply(200).text, "a retransmission");
}

#[test]
fn wrong_arguments_and_values_are_refused() {
    check_refused("options_reply(§1);", &["options_reply", "no arguments"]);
    check_parameters(
        "options",
        &[
            row("accept", "*/*", "\"application/sdp\"", "1", "takes a string"),
            row("accept_encoding", "", "\"identity\"", "1", "takes a string"),
            row("accept_language", "en", "\"de\"", "1", "takes a string"),
            row("support", "", "\"path, gruu\"", "\"path gruu\"", "no token"),
            row(
                "allow",
                "INVITE, ACK, CANCEL, OPTIONS, BYE, REGISTER, MESSAGE, INFO, UPDATE, PRACK, REFER, SUBSCRIBE, NOTIFY, PUBLISH",
                "\"OPTIONS\"",
                "\"OPTIONS,\"",
                "no token",
            ),
        ],
    );
    let script =
        route("exit;").replacen("route {", "modparam(\"options\", \"accept\", §\"a\\r\\nX: y\")\nroute {", 1);
    refused(&script, &["accept", "control characters"]);
}
