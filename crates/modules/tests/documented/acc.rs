//! Module `acc`, to the log.

use tracing::Level;

use crate::harness::{Request, Run, Server, check_parameters, check_refused, refused, reply, route, row};

/// The lines of accounting, and their level.
fn accounted(run: &Run) -> Vec<(Level, String)> {
    let lines = run.lines.iter().filter(|line| line.target == "acc");
    lines.map(|line| (line.level, line.text.clone())).collect()
}

fn script(parameters: &str, statements: &str, routes: &str) -> String {
    format!("{}{routes}\n", route(statements).replacen("route {", &format!("{parameters}\nroute {{"), 1))
}

/// What is accounted when a relayed INVITE is answered.
fn answered(parameters: &str, statements: &str, code: u16) -> Vec<(Level, String)> {
    let mut server = Server::new(&script(parameters, &format!("{statements} t_relay();"), ""));
    let run = server.receive(&Request::invite());
    accounted(&server.answer(&reply(&run.request("INVITE").text, code, "Final", "")))
}

/// The words behind `ACC:` of each line.
fn kinds(lines: &[(Level, String)]) -> Vec<&str> {
    lines.iter().map(|(_, line)| line.split(": ").nth(1).unwrap()).collect()
}

#[test]
fn do_accounting_logs_a_transaction_that_was_answered() {
    let lines = answered("", "do_accounting(\"log\"); xlog(\"$rc\");", 200);
    assert_eq!(
        lines,
        [(
            Level::INFO,
            "ACC: transaction answered: timestamp=1795296371;method=INVITE;from_tag=from-tag;to_tag=callee;\
             call_id=call-1@example.com;code=200;reason=Final"
                .to_owned()
        )]
    );
    assert!(answered("", "", 200).is_empty());
    assert!(answered("", "do_accounting(\"log\");", 486).is_empty());
}

#[test]
fn the_flags_add_failed_and_missed_ones() {
    assert_eq!(kinds(&answered("", "do_accounting(\"log\", \"failed\");", 486)), ["transaction failed"]);
    assert_eq!(kinds(&answered("", "do_accounting(\"log\", \"missed\");", 486)), ["call missed"]);
    let both = ["transaction failed", "call missed"];
    assert_eq!(kinds(&answered("", "do_accounting(\"log\", \"failed|missed\");", 486)), both);
    // Several calls add up.
    let twice = "do_accounting(\"log\", \"failed\"); do_accounting(\"log\", \"missed\");";
    assert_eq!(kinds(&answered("", twice, 486)), both);
    assert_eq!(kinds(&answered("", twice, 200)), ["transaction answered"]);
}

#[test]
fn drop_accounting_takes_it_back() {
    let wanted = "do_accounting(\"log\", \"failed|missed\");";
    let left = |dropped: &str, code: u16| answered("", &format!("{wanted} {dropped}"), code).len();
    assert_eq!((left("drop_accounting();", 486), left("drop_accounting();", 200)), (0, 0));
    assert_eq!(left("drop_accounting(\"log\");", 486), 0);
    assert_eq!(left("drop_accounting(\"log\", \"missed\");", 486), 1);
    assert_eq!(left("drop_accounting(\"log\", \"missed|failed\");", 486), 0);
    assert_eq!(left("drop_accounting(\"log\", \"missed|failed\");", 200), 1, "ordinary accounting goes on");
}

#[test]
fn acc_log_request_logs_at_once() {
    let run =
        Server::new(&route("acc_log_request(\"403 Not $fU\"); xlog(\"$rc\");")).receive(&Request::invite());
    let lines = accounted(&run);
    assert_eq!(kinds(&lines), ["request accounted"]);
    assert!(lines[0].1.ends_with(";code=403;reason=Not alice"), "{lines:?}");
    let run = Server::new(&route("acc_log_request(\"no code\");")).receive(&Request::invite());
    assert!(accounted(&run)[0].1.ends_with(";code=0;reason=no code"));
    check_refused("§acc_log_request();", &["needs its argument `comment`"]);
}

#[test]
fn log_level_is_the_level_of_the_lines() {
    for (level, expected) in
        [(-1, Level::ERROR), (1, Level::WARN), (2, Level::INFO), (3, Level::INFO), (4, Level::DEBUG)]
    {
        let lines =
            answered(&format!("modparam(\"acc\", \"log_level\", {level})"), "do_accounting(\"log\");", 200);
        assert_eq!(lines[0].0, expected, "{level}");
    }
}

#[test]
fn report_cancels_logs_that_the_caller_gave_up() {
    let lines = |parameter: &str| {
        let statements = "if (is_method(\"CANCEL\")) { t_relay(); exit; } do_accounting(\"log\"); t_relay();";
        let mut server = Server::new(&script(parameter, statements, ""));
        server.receive(&Request::invite());
        let cancel = Request::new("CANCEL sip:bob@203.0.113.9:5080")
            .via("SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK-INVITE-1");
        accounted(&server.receive(&cancel)).len()
    };
    assert_eq!((lines(""), lines("modparam(\"acc\", \"report_cancels\", 1)")), (0, 1));
}

#[test]
fn detect_direction_keeps_caller_and_callee_as_in_the_first_request() {
    let tags = |parameter: &str, ftag: &str| {
        let statements = "loose_route(); do_accounting(\"log\"); acc_log_request(\"200 OK\");";
        let request = Request::new("BYE sip:bob@203.0.113.9:5080")
            .to("<sip:bob@example.com>;tag=other-tag")
            .header(&format!("Route: <sip:192.0.2.1;lr;ftag={ftag}>"));
        let run = Server::new(&script(parameter, statements, "")).receive(&request);
        let line = accounted(&run)[0].1.clone();
        line.split(';').skip(2).take(2).map(str::to_owned).collect::<Vec<_>>().join(";")
    };
    let on = "modparam(\"acc\", \"detect_direction\", 1)";
    assert_eq!(tags("", "other-tag"), "from_tag=from-tag;to_tag=other-tag");
    assert_eq!(tags(on, "other-tag"), "from_tag=other-tag;to_tag=from-tag");
    assert_eq!(tags(on, "from-tag"), "from_tag=from-tag;to_tag=other-tag");
}

#[test]
fn nothing_in_a_message_can_forge_a_line() {
    let request = Request::invite().from("<sip:a@b>;tag=x").call_id("1;code=200");
    let run = Server::new(&route("acc_log_request(\"403 no\");")).receive(&request);
    assert!(accounted(&run)[0].1.contains(";call_id=1%3Bcode=200;"), "{:?}", run.lines);
}

#[test]
fn other_backends_and_flags_are_refused_by_name() {
    check_refused("do_accounting(§\"db\");", &["accounting to \"db\" is not provided yet"]);
    check_refused("do_accounting(§\"log|aaa\");", &["accounting to \"aaa\" is not provided yet"]);
    check_refused("do_accounting(§\"paper\");", &["there is no accounting to \"paper\""]);
    check_refused("do_accounting(\"log\", §\"cdr|missed\");", &["\"cdr\" needs the dialog module"]);
    check_refused("do_accounting(\"log\", §\"mised\");", &["there is no flag \"mised\""]);
    check_refused("do_accounting(§$var(where));", &["a string in quotes"]);
    check_refused("§do_accounting();", &["do_accounting(type[, flags[, table]])"]);
    check_refused("drop_accounting(§\"db\");", &["not provided yet"]);
    check_refused("drop_accounting(\"log\", \"missed\", §\"x\");", &["3 given"]);
}

#[test]
fn acc_needs_tm() {
    refused("loadmodule §\"acc.so\"\nroute { exit; }\n", &["tm"]);
}

#[test]
fn the_parameters_are_those_of_the_document() {
    const INT: &str = "takes an integer";
    const STR: &str = "takes a string";
    check_parameters(
        "acc",
        &[
            row("early_media", "0", "1", "\"no\"", INT),
            row("report_cancels", "0", "1", "\"no\"", INT),
            row("detect_direction", "0", "1", "\"no\"", INT),
            row("log_level", "2", "3", "5", "a level is from -3 (alert) to 4 (debug)"),
            row("log_facility", "LOG_DAEMON", "\"LOG_LOCAL0\"", "1", STR),
            row("multi_leg_info", "", "\"x=$avp(y)\"", "1", STR),
            row("multi_leg_bye_info", "", "\"x=$avp(y)\"", "1", STR),
            row("extra_fields", "", "\"log: a->b\"", "1", STR),
            row("leg_fields", "", "\"log: a->b\"", "1", STR),
            row("db_url", "", "\"mysql://localhost/x\"", "1", STR),
            row("db_table_acc", "acc", "\"x\"", "1", STR),
            row("db_table_missed_calls", "missed_calls", "\"x\"", "1", STR),
        ],
    );
}
