//! Module `rr`.

use crate::harness::{
    Request, Run, Server, check_parameters, check_refused, check_text, check_value, route, row,
};

/// Relays a request that came over UDP.
fn relayed(statements: &str, request: &Request) -> Run {
    Server::new(&route(&format!("{statements} t_relay();"))).receive(request)
}

/// The Record-Route of what is relayed.
fn recorded(script: &str, request: &Request) -> String {
    Server::new(script).receive(request).request("INVITE").header("Record-Route")
}

fn with_parameter(parameter: &str, statements: &str) -> String {
    route(statements).replacen("route {", &format!("modparam(\"rr\", {parameter})\nroute {{"), 1)
}

/// A request inside of a dialog that alice has started.
fn inside(headers: &[&str]) -> Request {
    let request = Request::new("BYE sip:bob@203.0.113.9:5080").to("<sip:bob@example.com>;tag=callee");
    headers.iter().fold(request, |request, line| request.header(line))
}

#[test]
fn record_route_puts_us_into_the_path() {
    let run = relayed("record_route(); xlog(\"$rc\"); record_route(); xlog(\"$rc\");", &Request::invite());
    assert_eq!(run.request("INVITE").header("Record-Route"), "<sip:192.0.2.1:5060;lr;ftag=from-tag>");
    assert_eq!(run.log, ["1", "-1"], "there is one already");
}

#[test]
fn parameters_are_added_to_the_record_route() {
    let line = "<sip:192.0.2.1:5060;lr;ftag=from-tag;a=1;b=2>";
    assert_eq!(
        recorded(&route("record_route(\";a=1\"); add_rr_param(\";b=2\"); t_relay();"), &Request::invite()),
        line
    );
    assert_eq!(
        recorded(&route("add_rr_param(\";a=1;b=2\"); record_route(); t_relay();"), &Request::invite()),
        line
    );
    assert_eq!(recorded(&route("add_rr_param(\";a=1\"); t_relay();"), &Request::invite()), "");
    check_value("record_route(\";a=1>\\r\\nX: y\")", &Request::invite(), -1);
    check_value("add_rr_param(\";a=<\")", &Request::invite(), -1);
}

#[test]
fn append_fromtag_and_add_username_say_what_stands_in_it() {
    let relay = "record_route(); t_relay();";
    let invite = Request::invite();
    assert_eq!(recorded(&with_parameter("\"append_fromtag\", 0", relay), &invite), "<sip:192.0.2.1:5060;lr>");
    assert_eq!(
        recorded(&with_parameter("\"add_username\", 1", relay), &invite),
        "<sip:bob@192.0.2.1:5060;lr;ftag=from-tag>"
    );
}

#[test]
fn enable_double_rr_records_both_sides() {
    let relay = "record_route(); t_relay(, \"tcp:203.0.113.9:5080\");";
    assert_eq!(
        recorded(&route(relay), &Request::invite()),
        "<sip:192.0.2.1:5060;transport=tcp;r2=on;lr;ftag=from-tag> | <sip:192.0.2.1:5060;r2=on;lr;ftag=from-tag>"
    );
    assert_eq!(
        recorded(&with_parameter("\"enable_double_rr\", 0", relay), &Request::invite()),
        "<sip:192.0.2.1:5060;transport=tcp;lr;ftag=from-tag>"
    );
}

#[test]
fn record_route_preset_names_another_host() {
    let invite = Request::invite();
    assert_eq!(
        recorded(&route("record_route_preset(\"1.2.3.4:5090\"); t_relay();"), &invite),
        "<sip:1.2.3.4:5090;lr;ftag=from-tag>"
    );
    // The first is the outbound side, which the callee meets first.
    assert_eq!(
        recorded(&route("record_route_preset(\"1.2.3.4:5090\", \"10.0.0.1\"); t_relay();"), &invite),
        "<sip:1.2.3.4:5090;r2=on;lr;ftag=from-tag> | <sip:10.0.0.1;r2=on;lr;ftag=from-tag>"
    );
    check_value("record_route_preset(\"not a host\")", &invite, -1);
    check_value("record_route(); record_route_preset(\"1.2.3.4\")", &invite, -1);
}

#[test]
fn loose_route_follows_the_route() {
    let request = inside(&["Route: <sip:192.0.2.1;lr;ftag=from-tag>, <sip:203.0.113.50:5090;lr>"]);
    let run = relayed("loose_route(); xlog(\"$rc $du\");", &request);
    assert_eq!(run.log, ["1 sip:203.0.113.50:5090;lr"]);
    let sent = run.request("BYE");
    assert_eq!((&*sent.to, &*sent.header("Route")), ("udp:203.0.113.50:5090", "<sip:203.0.113.50:5090;lr>"));
    let run = relayed("loose_route();", &inside(&["Route: <sip:192.0.2.1;lr>"]));
    assert_eq!((&*run.request("BYE").to, &*run.request("BYE").header("Route")), ("udp:203.0.113.9:5080", ""));
}

#[test]
fn loose_route_translates_for_strict_routers() {
    let request = Request::new("BYE sip:192.0.2.1:5060;lr")
        .to("<sip:bob@example.com>;tag=callee")
        .header("Route: <sip:bob@203.0.113.9:5080>");
    let run = relayed("loose_route(); xlog(\"$rc\");", &request);
    assert_eq!(run.log, ["1"]);
    assert_eq!(run.request("BYE").start(), "BYE sip:bob@203.0.113.9:5080 SIP/2.0");
}

#[test]
fn loose_route_is_false_without_a_route() {
    check_value("loose_route()", &inside(&[]), -1);
    check_value("loose_route()", &inside(&["Route: <<>"]), -1);
}

#[test]
fn a_preloaded_route_to_ourselves_alone_is_removed_and_does_not_count() {
    let request = Request::invite().header("Route: <sip:192.0.2.1;lr>");
    let run = relayed("loose_route(); xlog(\"$rc\");", &request);
    assert_eq!((run.log.join(""), run.request("INVITE").header("Route")), ("-1".to_owned(), String::new()));
    let request = Request::invite().header("Route: <sip:192.0.2.1;lr>, <sip:203.0.113.50;lr>");
    assert_eq!(relayed("loose_route(); xlog(\"$rc\");", &request).log, ["1"]);
}

#[test]
fn the_parameters_of_our_route_can_be_asked_for() {
    let request = inside(&["Route: <sip:192.0.2.1;lr;ftag=from-tag;nat=yes>"]);
    check_value("loose_route(); check_route_param(\"nat=yes\")", &request, 1);
    check_value("loose_route(); check_route_param(\"nat=no\")", &request, -1);
    check_value("check_route_param(\"nat=yes\")", &request, -1);
    check_text("$rr_params", &request, "<null>");
    check_value(
        "loose_route(); if ($rr_params == \"lr;ftag=from-tag;nat=yes\") is_method(\"BYE\")",
        &request,
        1,
    );
}

#[test]
fn is_direction_tells_who_started_the_dialog() {
    let downstream = inside(&["Route: <sip:192.0.2.1;lr;ftag=from-tag>"]);
    let upstream = inside(&["Route: <sip:192.0.2.1;lr;ftag=other>"]);
    check_value("loose_route(); is_direction(\"downstream\")", &downstream, 1);
    check_value("loose_route(); is_direction(\"upstream\")", &downstream, -1);
    check_value("loose_route(); is_direction(\"upstream\")", &upstream, 1);
    check_value("is_direction(\"downstream\")", &downstream, -1);
    let unknown = inside(&["Route: <sip:192.0.2.1;lr>"]);
    check_value("loose_route(); is_direction(\"downstream\")", &unknown, -1);
}

#[test]
fn wrong_arguments_are_refused() {
    check_refused("loose_route(§1);", &["loose_route", "no arguments"]);
    check_refused("record_route(\"a\", §\"b\");", &["record_route", "2 given"]);
    check_refused("§record_route_preset();", &["record_route_preset(host[, second])"]);
    check_refused("§add_rr_param();", &["needs its argument `parameters`"]);
    check_refused("check_route_param(§\"nat=(yes\");", &["no regular expression"]);
    check_refused("§check_route_param();", &["needs its argument `expression`"]);
    check_refused("is_direction(§\"sideways\");", &["`is_direction`", "\"downstream\" or \"upstream\""]);
    check_refused("is_direction(§$rU);", &["a string in quotes"]);
}

#[test]
fn the_parameters_are_those_of_the_document() {
    check_parameters(
        "rr",
        &[
            row("append_fromtag", "1", "0", "\"yes\"", "takes an integer"),
            row("enable_double_rr", "1", "0", "\"yes\"", "takes an integer"),
            row("add_username", "0", "1", "maybe", "takes an integer"),
            row("enable_socket_mismatch_warning", "1", "0", "\"no\"", "takes an integer"),
        ],
    );
}
