//! Module `maxfwd`.

use crate::harness::{Request, Server, check_parameters, check_refused, check_value, route, row};

fn with(value: Option<&str>) -> Request {
    Request::invite().max_forwards(value)
}

/// The Max-Forwards that is relayed, and the value of the function.
fn relayed(script: &str, request: &Request) -> (String, String) {
    let run = Server::new(script).receive(request);
    (run.request("INVITE").header("Max-Forwards"), run.log.join(" "))
}

#[test]
fn mf_process_maxfwd_header_lowers_the_value() {
    let script = route("mf_process_maxfwd_header(10); xlog(\"$rc\"); t_relay();");
    assert_eq!(relayed(&script, &with(Some("70"))), ("69".to_owned(), "1".to_owned()));
}

#[test]
fn it_adds_a_missing_header_with_the_given_value() {
    let script = route("mf_process_maxfwd_header(10); xlog(\"$rc\"); t_relay();");
    assert_eq!(relayed(&script, &with(None)), ("10".to_owned(), "2".to_owned()));
}

#[test]
fn zero_and_nonsense_are_told_apart() {
    check_value("mf_process_maxfwd_header(10)", &with(Some("0")), -1);
    check_value("mf_process_maxfwd_header(10)", &with(Some("many")), -2);
}

#[test]
fn max_limit_bounds_what_is_sent() {
    let script = route("mf_process_maxfwd_header(10); t_relay();");
    let limited = script.replacen("route {", "modparam(\"maxfwd\", \"max_limit\", 20)\nroute {", 1);
    assert_eq!(relayed(&script, &with(Some("200"))).0, "199");
    assert_eq!(relayed(&limited, &with(Some("200"))).0, "20");
    assert_eq!(relayed(&limited, &with(Some("15"))).0, "14");
}

#[test]
fn is_maxfwd_lt_compares_what_will_be_sent() {
    check_value("is_maxfwd_lt(10)", &with(Some("9")), 1);
    check_value("is_maxfwd_lt(10)", &with(Some("10")), -1);
    check_value("is_maxfwd_lt(10)", &with(None), -2);
    check_value("is_maxfwd_lt(10)", &with(Some("many")), -3);
    check_value("mf_process_maxfwd_header(10); is_maxfwd_lt(10)", &with(Some("10")), 1);
    check_value("mf_process_maxfwd_header(5); is_maxfwd_lt(10)", &with(None), 1);
}

#[test]
fn wrong_arguments_are_refused() {
    for function in ["mf_process_maxfwd_header", "is_maxfwd_lt"] {
        check_refused(&format!("§{function}();"), &[function, "needs its argument `max_value`"]);
        check_refused(&format!("{function}(§0);"), &[function, "from 1 to 255"]);
        check_refused(&format!("{function}(§256);"), &[function, "from 1 to 255"]);
        check_refused(&format!("{function}(§\"ten\");"), &["`max_value`", "is an integer"]);
        check_refused(&format!("{function}(1, §2);"), &[function, "takes 1 argument, 2 given"]);
    }
}

#[test]
fn the_parameters_are_those_of_the_document() {
    check_parameters("maxfwd", &[row("max_limit", "256", "70", "\"many\"", "takes an integer")]);
}
