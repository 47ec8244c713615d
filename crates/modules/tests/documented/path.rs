//! Module `path`.

use crate::harness::{
    Request, Run, Server, check_parameters, check_refused, check_value, check_warned, route, row,
};

const CONTACT: &str = "<sip:bob@10.0.0.5:5070>";
/// The registrar behind the edge.
const ON: &str = "t_relay(, \"udp:203.0.113.1:5060\");";
const ON_TCP: &str = "t_relay(, \"tcp:203.0.113.1:5060\");";

fn with(parameters: &str, statements: &str) -> String {
    route(statements).replacen("route {", &format!("{parameters}\nroute {{"), 1)
}

/// The Path of a REGISTER that is relayed.
fn path(script: &str) -> String {
    Server::new(script).receive(&Request::register(&[CONTACT])).request("REGISTER").header("Path")
}

#[test]
fn add_path_puts_us_into_the_path_with_a_user_if_it_is_given() {
    assert_eq!(path(&route(&format!("add_path(); {ON}"))), "<sip:192.0.2.1;lr>");
    assert_eq!(path(&route(&format!("add_path(\"edge\"); {ON}"))), "<sip:edge@192.0.2.1;lr>");
    assert_eq!(
        path(&route(&format!("$var(u) = \"a+b\"; add_path($var(u)); {ON}"))),
        "<sip:a+b@192.0.2.1;lr>"
    );
    let register = Request::register(&[CONTACT]);
    check_value("add_path()", &register, 1);
    check_value("add_path(); add_path_received()", &register, -1);
    for user in ["a b", "a>b", "a@b", "%zz", "a\\r\\nX: y"] {
        check_value(&format!("add_path(\"{user}\")"), &register, -1);
    }
}

#[test]
fn a_port_stands_there_only_where_it_is_not_5060_and_an_advertised_name_takes_the_place_of_the_address() {
    let script =
        route("force_send_socket(\"udp:192.0.2.2:5062\"); add_path(); t_relay(, \"udp:203.0.113.1\");");
    assert_eq!(path(&script), "<sip:sip.example.net:5070;r2=on;lr> | <sip:192.0.2.1;r2=on;lr>");
}

#[test]
fn add_path_received_tells_where_the_phone_is() {
    let script = route(&format!("add_path_received(); {ON}"));
    assert_eq!(path(&script), "<sip:192.0.2.1;received=sip:198.51.100.7:5070;lr>");
    let script = route(&format!("add_path_received(\"edge\"); {ON}"));
    assert_eq!(path(&script), "<sip:edge@192.0.2.1;received=sip:198.51.100.7:5070;lr>");
    // Over TCP the transport is part of that address; `;` is escaped inside of a parameter.
    let mut server = Server::new(&route(&format!("add_path_received(); {ON_TCP}")));
    let run = server.receive_at(1, "198.51.100.7:4444", &Request::register(&[CONTACT]).text());
    assert_eq!(
        run.request("REGISTER").header("Path"),
        "<sip:192.0.2.1;transport=tcp;received=sip:198.51.100.7:4444%3Btransport%3Dtcp;lr>"
    );
    let script = route("add_path_received(\"a b\"); xlog(\"$rc\");");
    assert_eq!(Server::new(&script).receive(&Request::register(&[CONTACT])).log, ["-1"]);
}

#[test]
fn enable_double_path_names_both_sides_where_they_differ() {
    let double = "<sip:192.0.2.1;transport=tcp;r2=on;lr> | <sip:192.0.2.1;r2=on;lr>";
    assert_eq!(path(&route(&format!("add_path(); {ON_TCP}"))), double);
    let off = "modparam(\"path\", \"enable_double_path\", 0)";
    assert_eq!(path(&with(off, &format!("add_path(); {ON_TCP}"))), "<sip:192.0.2.1;transport=tcp;lr>");
}

#[test]
fn our_path_goes_in_front_of_those_before_us() {
    let request = Request::register(&[CONTACT]).header("Path: <sip:outer.example.net;lr>");
    let run = Server::new(&route(&format!("add_path(); {ON}"))).receive(&request);
    assert_eq!(run.request("REGISTER").header("Path"), "<sip:192.0.2.1;lr> | <sip:outer.example.net;lr>");
}

#[test]
fn a_path_is_added_to_what_a_failure_route_sends_too() {
    let script = "add_path(); t_on_failure(\"next\"); t_relay(, \"udp:203.0.113.1\");";
    let script = route(script) + "failure_route[next] { $du = \"sip:203.0.113.2\"; t_relay(); }\n";
    let mut server = Server::new(&script);
    let first = server.receive(&Request::register(&[CONTACT]));
    let refusal = crate::harness::reply(&first.request("REGISTER").text, 503, "No", "");
    let second = server.receive_at(0, "203.0.113.1:5060", &refusal.text);
    assert_eq!(second.request("REGISTER").to, "udp:203.0.113.2:5060");
    assert_eq!(second.request("REGISTER").header("Path"), "<sip:192.0.2.1;lr>");
}

/// A first request that the registrar sends along the Path of a phone.
fn back(parameters: &str, routes: &str) -> Run {
    let script = with(parameters, "loose_route(); xlog(\"$rc $du\"); t_relay();");
    Server::new(&script).receive(&Request::invite().header(&format!("Route: {routes}")))
}

const USE: &str = "modparam(\"path\", \"use_received\", 1)";

#[test]
fn use_received_sends_to_where_the_phone_registered_from() {
    let route = "<sip:192.0.2.1;received=sip:198.51.100.9:6000;lr>";
    let run = back(USE, route);
    assert_eq!(run.log, ["1 sip:198.51.100.9:6000"]);
    let sent = run.request("INVITE");
    assert_eq!((&*sent.to, &*sent.header("Route")), ("udp:198.51.100.9:6000", ""));
    assert_eq!(sent.start(), "INVITE sip:bob@203.0.113.9:5080 SIP/2.0");
    // Without the parameter the Request-URI says where it goes.
    let run = back("", route);
    assert_eq!((&*run.log[0], &*run.request("INVITE").to), ("-1 <null>", "udp:203.0.113.9:5080"));
}

#[test]
fn use_received_over_tcp_and_with_a_double_path_leaves_on_the_side_of_the_phone() {
    let phone = "received=sip:198.51.100.9:6000%3Btransport%3Dtcp";
    let run = back(
        USE,
        &format!("<sip:192.0.2.1;{phone};r2=on;lr>, <sip:192.0.2.1;transport=tcp;{phone};r2=on;lr>"),
    );
    let sent = run.request("INVITE");
    assert_eq!((&*sent.to, &*sent.header("Route")), ("tcp:198.51.100.9:6000", ""));
    assert_eq!(sent.from, "tcp:192.0.2.1:5060");
}

#[test]
fn a_received_that_is_no_address_or_not_of_our_own_route_does_not_count() {
    for route in [
        "<sip:192.0.2.1;received=nonsense;lr>",
        "<sip:192.0.2.1;received=sip:host.example.net;lr>",
        "<sip:192.0.2.1;received=sip:1.2.3.4%0D%0AX:y;lr>",
        "<sip:192.0.2.1;received;lr>",
    ] {
        assert_eq!(back(USE, route).request("INVITE").to, "udp:203.0.113.9:5080", "{route}");
    }
    // Somebody else's parameter is theirs to read, and a further Route is followed first.
    let foreign = back(USE, "<sip:203.0.113.50;received=sip:198.51.100.9:6000;lr>");
    assert_eq!(foreign.request("INVITE").to, "udp:203.0.113.50:5060");
    let further = back(USE, "<sip:192.0.2.1;received=sip:198.51.100.9:6000;lr>, <sip:203.0.113.50;lr>");
    assert_eq!(further.request("INVITE").to, "udp:203.0.113.50:5060");
}

#[test]
fn a_double_path_without_received_chooses_the_socket() {
    let run = back("", "<sip:192.0.2.1;r2=on;lr>, <sip:sip.example.net:5070;r2=on;lr>");
    assert_eq!(run.request("INVITE").from, "udp:192.0.2.2:5062");
}

#[test]
fn wrong_arguments_are_refused_and_use_received_wants_rr() {
    check_refused("add_path(\"a\", §\"b\");", &["add_path", "2 given"]);
    check_refused("add_path_received(\"a\", §\"b\");", &["add_path_received", "2 given"]);
    check_parameters(
        "path",
        &[
            row("use_received", "0", "0", "\"yes\"", "takes an integer"),
            row("enable_double_path", "1", "0", "\"yes\"", "takes an integer"),
        ],
    );
    check_warned(
        "loadmodule \"path.so\"\nmodparam(\"path\", \"use_received\", §1)\nroute { exit; }\n",
        &["use_received", "no effect without the module rr"],
    );
}
