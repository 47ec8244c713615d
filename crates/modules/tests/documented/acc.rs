//! Module `acc`, to the log and to databases.

use seawall_storage::Cell;
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
    check_refused("do_accounting(§\"log|aaa\");", &["\"aaa\"", "other backends are not provided yet"]);
    check_refused("do_accounting(\"db\", , §\"my acc\");", &["letters, digits and underscores"]);
    check_refused("do_accounting(§\"paper\");", &["there is no accounting to \"paper\""]);
    check_refused("do_accounting(\"log\", §\"cdr|missed\");", &["\"cdr\" needs the dialog module"]);
    check_refused("do_accounting(\"log\", §\"mised\");", &["there is no flag \"mised\""]);
    check_refused("do_accounting(§$var(where));", &["a string in quotes"]);
    check_refused("§do_accounting();", &["do_accounting(type[, flags[, table]])"]);
    check_refused("drop_accounting(§\"evi\");", &["not provided yet"]);
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
    const NAME: &str = "letters, digits and underscores";
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
            row(
                "extra_fields",
                "",
                "\"log: a->b\"",
                "\"paper: a->b\"",
                "other backends are not provided yet",
            ),
            row("leg_fields", "", "\"log: a->b\"", "1", STR),
            row("db_url", "", "\"mysql://localhost/x\"", "\"mysql:/\"", "sqlite:///"),
            row("db_table_acc", "acc", "\"x\"", "\"a table\"", NAME),
            row("db_table_missed_calls", "missed_calls", "\"x\"", "\"a table\"", NAME),
            row("acc_method_column", "method", "\"x\"", "\"a column\"", NAME),
            row("acc_from_tag_column", "from_tag", "\"x\"", "\"a column\"", NAME),
            row("acc_to_tag_column", "to_tag", "\"x\"", "\"a column\"", NAME),
            row("acc_callid_column", "callid", "\"x\"", "\"a column\"", NAME),
            row("acc_sip_code_column", "sip_code", "\"x\"", "\"a column\"", NAME),
            row("acc_sip_reason_column", "sip_reason", "\"x\"", "\"a column\"", NAME),
            row("acc_time_column", "time", "\"x\"", "\"a column\"", NAME),
        ],
    );
}

const DB: &str = "modparam(\"acc\", \"db_url\", \"sqlite:///nowhere/acc.db\")";

/// The records that wait for the database: table and values, the time last.
fn records(server: &Server) -> Vec<(String, String)> {
    let shown = |cell: &Cell| match cell {
        Cell::Null => "NULL".to_owned(),
        other => other.clone().into_text().unwrap(),
    };
    let mut records = Vec::new();
    loop {
        let taken = server.node.accounts.take(100);
        if taken.is_empty() {
            return records;
        }
        for entry in taken {
            assert_eq!(entry.cells.len(), entry.settings.columns.len());
            let values: Vec<String> = entry.cells.iter().map(shown).collect();
            records.push((entry.table.as_str().to_owned(), values.join("|")));
        }
    }
}

/// What is left for the database when a relayed INVITE is answered.
fn stored(parameters: &str, statements: &str, code: u16) -> Vec<(String, String)> {
    let parameters = format!("{DB}\n{parameters}");
    let mut server = Server::new(&script(&parameters, &format!("{statements} t_relay();"), ""));
    let run = server.receive(&Request::invite());
    server.answer(&reply(&run.request("INVITE").text, code, "Final", ""));
    records(&server)
}

fn tables(records: &[(String, String)]) -> Vec<&str> {
    records.iter().map(|(table, _)| &**table).collect()
}

#[test]
fn do_accounting_leaves_a_record_for_the_database() {
    let records = stored("", "do_accounting(\"db\"); xlog(\"$rc\");", 200);
    let values = "INVITE|from-tag|callee|call-1@example.com|200|Final|2026-11-21 21:26:11";
    assert_eq!(records, [("acc".to_owned(), values.to_owned())]);
    assert!(stored("", "do_accounting(\"db\");", 486).is_empty());
    assert!(stored("", "do_accounting(\"log\", \"failed\");", 486).is_empty());
    assert_eq!(
        tables(&stored("", "do_accounting(\"db|log\", \"failed|missed\");", 486)),
        ["acc", "missed_calls"]
    );
    // The flags are those of the backends that are named with them.
    let both = "do_accounting(\"log\", \"failed\"); do_accounting(\"db\", \"missed\");";
    assert_eq!(tables(&stored("", both, 486)), ["missed_calls"]);
    let dropped = "do_accounting(\"db\", \"failed|missed\"); drop_accounting(\"db\", \"missed\");";
    assert_eq!(tables(&stored("", dropped, 486)), ["acc"]);
    assert!(stored("", "do_accounting(\"db|log\", \"failed\"); drop_accounting(\"db\");", 486).is_empty());
    assert_eq!(tables(&stored("", "do_accounting(\"db|log\"); drop_accounting(\"log\");", 200)), ["acc"]);
}

#[test]
fn tables_are_those_of_the_parameters_or_of_the_call() {
    let names = "modparam(\"acc\", \"db_table_acc\", \"done\")\nmodparam(\"acc\", \"db_table_missed_calls\", \"gone\")";
    let wanted = "do_accounting(\"db\", \"failed|missed\");";
    assert_eq!(tables(&stored(names, wanted, 486)), ["done", "gone"]);
    let own = "do_accounting(\"db\", \"failed\", \"my_acc\");";
    assert_eq!(tables(&stored(names, own, 486)), ["my_acc"]);
    let wrong = "$var(t) = \"a; b\"; do_accounting(\"db\", \"failed\", $var(t));";
    assert!(stored("", wrong, 486).is_empty());
    let columns =
        "modparam(\"acc\", \"acc_method_column\", \"m\")\nmodparam(\"acc\", \"acc_time_column\", \"t\")";
    let server = Server::new(&script(&format!("{DB}\n{columns}"), "exit;", ""));
    let database = server.node.configuration.load().settings.acc.database.clone().unwrap();
    let names: Vec<&str> = database.columns.iter().map(|column| column.as_str()).collect();
    assert_eq!(names, ["m", "from_tag", "to_tag", "callid", "sip_code", "sip_reason", "t"]);
}

#[test]
fn acc_db_request_leaves_a_record_at_once() {
    let statements = "acc_db_request(\"403 Not $fU\", \"acc\"); xlog(\"$rc\");
        acc_db_request(\"no code\", \"other\"); $var(t) = \"a b\"; acc_db_request(\"403 x\", $var(t)); xlog(\"$rc\");";
    let mut server = Server::new(&script(DB, statements, ""));
    let long = Request::invite().call_id(&"c".repeat(90)).from("<sip:alice@example.com>;tag=\u{e9}");
    assert_eq!(server.receive(&long).log, ["1", "-1"]);
    let found = records(&server);
    assert_eq!(tables(&found), ["acc", "other"]);
    let callid = "c".repeat(64);
    assert!(found[0].1.starts_with(&format!("INVITE|\u{e9}||{callid}|403|Not alice|2026-")), "{found:?}");
    assert!(found[1].1.contains("|000|no code|"), "{found:?}");
    let nowhere = Server::new(&route(
        "acc_db_request(\"403 x\", \"acc\"); xlog(\"$rc\"); do_accounting(\"db\"); xlog(\"$rc\");",
    ))
    .receive(&Request::invite());
    assert_eq!(nowhere.log, ["-1", "-1"]);
    check_refused("§acc_db_request(\"403 x\");", &["needs its argument `table`"]);
}

#[test]
fn further_values_stand_in_lines_and_columns() {
    let fields = "modparam(\"acc\", \"extra_fields\", \"log: a -> test_a; b\")
        modparam(\"acc\", \"extra_fields\", \"db: a->col_a; c\")";
    let statements = "$acc_extra(a) = \"1;2\"; do_accounting(\"log|db\"); t_newtran(); $acc_extra(c) = $ci;
        xlog(\"$acc_extra(a) $acc_extra(b)\");";
    let parameters = format!("{DB}\n{fields}");
    let mut server = Server::new(&script(&parameters, &format!("{statements} t_relay();"), ""));
    let run = server.receive(&Request::invite());
    assert_eq!(run.log, ["1;2 <null>"]);
    let run = server.answer(&reply(&run.request("INVITE").text, 200, "Final", ""));
    assert!(accounted(&run)[0].1.ends_with(";reason=Final;test_a=1%3B2;b="), "{:?}", accounted(&run));
    let found = records(&server);
    assert!(found[0].1.ends_with("|1;2|call-1@example.com"), "{found:?}");
    // A tag that nobody has declared has nowhere to go.
    let run = Server::new(&script(fields, "$acc_extra(z) = 1; xlog(\"[$acc_extra(z)]\"); exit;", ""))
        .receive(&Request::invite());
    assert_eq!(run.log.last().map(String::as_str), Some("[<null>]"));
}

#[test]
fn a_call_does_not_wait_for_its_record() {
    use std::sync::atomic::Ordering;
    let mut server = Server::new(&script(DB, "acc_db_request(\"200 OK\", \"acc\"); xlog(\"$rc\");", ""));
    server.receive(&Request::invite());
    let one = server.node.accounts.take(1);
    server.node.accounts.put_back(vec![one[0].clone(); seawall_modules::store::limits::ACCOUNTS]);
    assert_eq!(server.receive(&Request::invite().call_id("2")).log, ["1"]);
    // "db_dropped" and "db_waiting"; "db_written" and "db_failed" are counted by the running server.
    assert_eq!(server.node.accounts.dropped.load(Ordering::Relaxed), 1);
    assert_eq!(server.node.accounts.waiting(), seawall_modules::store::limits::ACCOUNTS);
}
