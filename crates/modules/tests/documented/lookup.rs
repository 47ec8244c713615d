//! `lookup()` of module `registrar`, by its flags.

use crate::harness::{Request, Server, check_loads, check_refused, check_value, route};

/// Logs all destinations of a request.
const DESTINATIONS: &str = "xlog(\"$ru\"); for ($var(uri) in $(branch[*])) xlog(\"$var(uri)\");";

/// A server with these registrations of bob, which looks up with these flags and logs the value and all destinations.
fn looked_up(flags: &str, registrations: &[Request], request: &Request) -> Vec<String> {
    run_lookup(
        &format!("lookup(\"location\", \"{flags}\"); xlog(\"$rc\"); {DESTINATIONS}"),
        registrations,
        request,
    )
}

fn run_lookup(statements: &str, registrations: &[Request], request: &Request) -> Vec<String> {
    let script =
        route(&format!("if (is_method(\"REGISTER\")) {{ save(\"location\"); exit; }}\n{statements}"));
    let mut server = Server::new(&script);
    for registration in registrations {
        let run = server.receive(registration);
        assert_eq!(run.only().start(), "SIP/2.0 200 OK", "{}", run.only().text);
    }
    server.receive(request).log
}

fn register(contact: &str) -> Request {
    Request::register(&[contact]).call_id(contact)
}

/// Two phones: the second is preferred.
fn two() -> [Request; 2] {
    [register("<sip:bob@198.51.100.7>;q=0.3"), register("<sip:bob@198.51.100.8>;q=0.8")]
}

fn invite() -> Request {
    Request::new("INVITE sip:bob@example.com")
}

#[test]
fn the_best_contact_goes_into_the_request_uri_and_the_others_into_branches() {
    assert_eq!(looked_up("", &two(), &invite()), ["1", "sip:bob@198.51.100.8", "sip:bob@198.51.100.7"]);
}

#[test]
fn nobody_is_minus_one() {
    assert_eq!(looked_up("", &[], &invite()), ["-1", "sip:bob@example.com"]);
    assert_eq!(looked_up("", &two(), &Request::new("INVITE sip:example.com"))[0], "-1");
}

#[test]
fn an_aor_that_cannot_be_read_is_minus_three() {
    check_value("lookup(\"location\", , \"nonsense\")", &invite(), -3);
    check_value("lookup(\"location\", , \"tel:+49123\")", &invite(), -3);
}

#[test]
fn a_given_aor_takes_the_place_of_the_request_uri() {
    let log = run_lookup(
        &format!("lookup(\"location\", \"\", $fu); xlog(\"$rc\"); {DESTINATIONS}"),
        &two(),
        &Request::new("INVITE sip:carol@example.com").from("<sip:bob@example.com>;tag=x"),
    );
    assert_eq!(log, ["1", "sip:bob@198.51.100.8", "sip:bob@198.51.100.7"]);
}

#[test]
fn no_branches_takes_the_best_alone() {
    for flags in ["no-branches", "b"] {
        assert_eq!(looked_up(flags, &two(), &invite()), ["1", "sip:bob@198.51.100.8"], "{flags}");
    }
}

#[test]
fn to_branches_only_leaves_the_request_uri() {
    for flags in ["to-branches-only", "B"] {
        assert_eq!(
            looked_up(flags, &two(), &invite()),
            ["1", "sip:bob@example.com", "sip:bob@198.51.100.8", "sip:bob@198.51.100.7"],
            "{flags}"
        );
    }
}

#[test]
fn branch_looks_up_the_branches_too() {
    let carol = register("<sip:carol@198.51.100.9>").to("<sip:carol@example.com>");
    for flags in ["branch", "r"] {
        let log = run_lookup(
            &format!(
                "append_branch(\"sip:carol@example.com\"); append_branch(\"sip:dave@example.com\");
                 lookup(\"location\", \"{flags}\"); xlog(\"$rc\"); {DESTINATIONS}"
            ),
            &[register("<sip:bob@198.51.100.7>"), carol.clone()],
            &invite(),
        );
        assert_eq!(log, ["1", "sip:bob@198.51.100.7", "sip:carol@198.51.100.9"], "{flags}");
    }
}

#[test]
fn method_filtering_leaves_out_phones_that_do_not_allow_the_method() {
    let registrations = [
        register("<sip:bob@198.51.100.7>").header("Allow: INVITE, ACK, BYE, CANCEL"),
        register("<sip:bob@198.51.100.8>;q=0.5"),
    ];
    let message = Request::new("MESSAGE sip:bob@example.com");
    for flags in ["method-filtering", "m"] {
        assert_eq!(looked_up(flags, &registrations, &message), ["1", "sip:bob@198.51.100.8"], "{flags}");
        assert_eq!(looked_up(flags, &registrations[..1], &message)[0], "-2", "{flags}");
    }
    assert_eq!(looked_up("", &registrations[..1], &message)[0], "1");
}

#[test]
fn ua_filtering_chooses_by_the_user_agent() {
    let registrations = [
        register("<sip:bob@198.51.100.7>").header("User-Agent: Desk Phone 2"),
        register("<sip:bob@198.51.100.8>").header("User-Agent: Softclient"),
    ];
    for flags in [
        "ua-filtering=/Phone/",
        "ua-filtering=/phone/,case-insensitive",
        "ua-filtering=/phone/i",
        "ua-filtering=/^(Desk|Wall) Phone [0-9]+$/,extended-regexp",
        "u/^(Desk|Wall) Phone [0-9]+$/,e",
        r"ua-filtering=/^\\(Desk\\|Wall\\) Phone [0-9]\\+$/",
        "u/phone/i",
        "u/Phone/e",
    ] {
        assert_eq!(looked_up(flags, &registrations, &invite()), ["1", "sip:bob@198.51.100.7"], "{flags}");
    }
    assert_eq!(looked_up("ua-filtering=/phone/", &registrations, &invite())[0], "-1");
    // Without `extended-regexp` it is a basic expression, where these are characters.
    assert_eq!(looked_up("ua-filtering=/^(Desk|Wall) Phone/", &registrations, &invite())[0], "-1");
}

#[test]
fn global_finds_what_is_here_and_says_that_there_is_no_federation() {
    for flags in ["global", "g"] {
        assert_eq!(looked_up(flags, &two(), &invite()).len(), 3, "{flags}");
        let script = route(&format!("lookup(\"location\", §\"{flags}\");"));
        crate::harness::check_warned(&script, &["federation", "clustering is not provided yet"]);
    }
}

#[test]
fn is_registered_and_lookup_push_the_attribute_to_the_branches() {
    let script = route(
        "if (is_method(\"REGISTER\")) { $avp(attr) = $hdr(Attr); save(\"location\"); exit; }
         is_registered(\"location\", $ru); xlog(\"$msg.branch.attr(attr)\");
         lookup(\"location\");
         for ($var(a) in $(msg.branch.attr(attr)[*])) xlog(\"$var(a)\");
         t_on_branch(\"each\"); t_relay();",
    );
    let parameter = "modparam(\"registrar\", \"attr_avp\", \"$avp(attr)\")\nroute {";
    let script = script.replacen("route {", parameter, 1);
    let mut server = Server::new(&format!(
        "{script}branch_route[each] {{ xlog(\"$T_branch_idx $tm.branch.attr(attr)\"); }}\n"
    ));
    let [low, high] = two();
    server.receive(&low.header("Attr: low"));
    server.receive(&high.header("Attr: high"));
    assert_eq!(server.receive(&invite()).log, ["high", "high", "low", "0 high", "1 low"]);
}

#[test]
fn latency_flags_choose_and_order_by_the_last_ping() {
    let looked_up = |flags: &str| {
        let script = route(&format!(
            "if (is_method(\"REGISTER\")) {{ save(\"location\"); exit; }}
             lookup(\"location\", \"{flags}\"); xlog(\"$rc\"); {DESTINATIONS}"
        ));
        let mut server = Server::new(&script);
        for contact in ["<sip:slow@h>;q=1", "<sip:fast@h>;q=0.1", "<sip:never@h>;q=0.9"] {
            server.receive(&register(contact));
        }
        let domain = server.node.location.domain("location").unwrap();
        let mut entry = domain.lock(b"bob@example.com", server.now_s);
        for (position, latency_us) in [(0, 90_000), (1, 800)] {
            let numbers = entry.binding(position).unwrap().numbers;
            let pinged = seawall_location::Numbers { latency_us, ..numbers };
            entry.set_numbers(position, &pinged, &mut ()).unwrap();
        }
        drop(entry);
        server.receive(&invite()).log.join(" ")
    };
    assert_eq!(looked_up(""), "1 sip:slow@h sip:never@h sip:fast@h");
    // A contact that was never pinged is not known to be slow; among those with a latency it comes last.
    for flags in ["max-ping-latency=50000", "y50000"] {
        assert_eq!(looked_up(flags), "1 sip:never@h sip:fast@h", "{flags}");
    }
    for flags in ["sort-by-latency", "Y"] {
        assert_eq!(looked_up(flags), "1 sip:fast@h sip:slow@h sip:never@h", "{flags}");
    }
    assert_eq!(looked_up("max-ping-latency=50000,sort-by-latency"), "1 sip:fast@h sip:never@h");
}

#[test]
fn desc_time_order_and_received_and_flags_reach_the_branches() {
    let statements = "if (is_method(\"REGISTER\")) { setbflag(NAT); $avp(rcv) = \"sip:198.51.100.7:4444\"; save(\"location\"); exit; }
        lookup(\"location\"); isbflagset(NAT); xlog(\"$rc $du $socket_out\");";
    let script = route(statements).replacen(
        "route {",
        "modparam(\"registrar\", \"received_avp\", \"$avp(rcv)\")\nroute {",
        1,
    );
    let mut server = Server::new(&script);
    server.receive(&register("<sip:bob@10.0.0.1>"));
    assert_eq!(server.receive(&invite()).log, ["1 sip:198.51.100.7:4444 udp:192.0.2.1:5060"]);
}

#[test]
fn an_expired_contact_is_not_found() {
    let script = route(
        "if (is_method(\"REGISTER\")) { save(\"location\"); exit; } lookup(\"location\"); xlog(\"$rc\");",
    );
    let mut server = Server::new(&script);
    server.receive(&register("<sip:bob@198.51.100.7>;expires=100"));
    server.pass(99);
    assert_eq!(server.receive(&invite()).log, ["1"]);
    server.pass(2);
    assert_eq!(
        server.receive(&invite().via("SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK-later")).log,
        ["-1"]
    );
}

#[test]
fn wrong_flags_are_refused_where_they_stand() {
    let wrong =
        |flags: &str, words: &[&str]| check_refused(&format!("lookup(\"location\", §\"{flags}\");"), words);
    wrong("no-branch", &["unknown flag \"no-branch\"", "did you mean \"no-branches\"?"]);
    wrong("nonsense-flag", &["the flags are no-branches, to-branches-only, branch"]);
    wrong("global=1", &["no valid value"]);
    wrong("branch,no-branches", &["excludes"]);
    wrong("ua-filtering=/[/", &["the expression cannot be used"]);
    for flag in [
        "no-branches=1",
        "to-branches-only=1",
        "branch=1",
        "method-filtering=1",
        "ua-filtering",
        "ua-filtering=phone",
        "ua-filtering=//",
        "max-ping-latency",
        "max-ping-latency=fast",
        "sort-by-latency=1",
        "u",
        "y",
    ] {
        wrong(flag, &["no valid value"]);
    }
    check_loads("lookup(\"location\", \"bmY\");");
}

#[test]
fn wrong_arguments_are_refused() {
    check_refused("§lookup();", &["lookup(domain[, flags[, aor]])", "needs its argument `domain`"]);
    check_refused("lookup(§\"no table\");", &["letters, digits and _"]);
    check_refused("lookup(\"location\", \"\", \"a\", §\"b\");", &["4 given"]);
    let script = format!("{}onreply_route {{ §lookup(\"location\"); }}\n", route("exit;"));
    crate::harness::refused(&script, &["lookup", "onreply_route"]);
}
