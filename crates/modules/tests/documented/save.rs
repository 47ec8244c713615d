//! `save()` of module `registrar`, by its flags.

use crate::harness::{Packet, Request, Server, check_loads, check_refused, check_value, route};

const BOB: &str = "<sip:bob@198.51.100.7:5070>";

/// A server that saves with these flags.
fn registrar(flags: &str) -> Server {
    Server::new(&route(&format!("save(\"location\", \"{flags}\"); xlog(\"$rc\");")))
}

/// A registration with its own Call-ID, so that the order of requests does not matter.
fn register(contact: &str) -> Request {
    Request::register(&[contact]).call_id(contact)
}

/// The lifetimes in a reply.
fn lifetimes(reply: &Packet) -> Vec<u32> {
    let contacts = reply.header("Contact");
    contacts
        .split("expires=")
        .skip(1)
        .map(|rest| rest.split([';', ',', ' ']).next().unwrap().parse().unwrap())
        .collect()
}

/// The lifetime that a request gets under these flags.
fn granted(flags: &str, request: &Request) -> u32 {
    lifetimes(registrar(flags).receive(request).reply(200))[0]
}

#[test]
fn a_registration_is_stored_and_answered_with_all_contacts() {
    let mut server = registrar("");
    let run = server.receive(&register(BOB));
    assert_eq!(run.log, ["1"]);
    let reply = run.only();
    assert_eq!(
        (reply.start(), &*reply.header("Contact")),
        ("SIP/2.0 200 OK", "<sip:bob@198.51.100.7:5070>;expires=3600")
    );
    assert_eq!(reply.header("Date"), "Sat, 21 Nov 2026 21:26:11 GMT");
    let run = server.receive(&register("<sip:bob@198.51.100.8>;expires=600"));
    assert_eq!(lifetimes(run.only()).len(), 2);
    assert_eq!(
        (server.counter("registrar", "accepted_regs"), server.counter("registrar", "rejected_regs")),
        (2, 0)
    );
}

#[test]
fn a_refused_registration_is_answered_and_gives_minus_one() {
    let mut server = registrar("");
    let run = server.receive(&Request::register(&["*"]));
    assert_eq!((run.only().start(), &*run.log.join("")), ("SIP/2.0 400 Bad Request", "-1"));
    assert_eq!(run.only().header("P-Registrar-Error"), "* used in contact and expires is not zero");
    assert_eq!(
        (server.counter("registrar", "accepted_regs"), server.counter("registrar", "rejected_regs")),
        (0, 1)
    );
}

#[test]
fn other_methods_are_not_saved() {
    check_value("save(\"location\")", &Request::new("OPTIONS sip:example.com"), -1);
}

#[test]
fn no_reply_saves_and_says_nothing() {
    for flags in ["no-reply", "r"] {
        let mut server = registrar(flags);
        let run = server.receive(&register(BOB));
        assert_eq!((run.sent.len(), run.log.join("")), (0, "1".to_owned()), "{flags}");
        assert_eq!(server.node.location.domain("location").unwrap().statistics().contacts, 1);
    }
}

#[test]
fn memory_only_saves_as_ever() {
    for flags in ["memory-only", "m"] {
        assert_eq!(granted(flags, &register(BOB)), 3600);
    }
}

#[test]
fn max_contacts_bounds_the_record() {
    for flags in ["max-contacts=1", "c1"] {
        let mut server = registrar(flags);
        server.receive(&register(BOB));
        let run = server.receive(&register("<sip:bob@198.51.100.8>"));
        assert_eq!(
            (run.only().start(), &*run.log.join("")),
            ("SIP/2.0 503 Service Unavailable", "-1"),
            "{flags}"
        );
        assert_eq!(run.only().header("P-Registrar-Error"), "Too many registered contacts");
        // A refresh of what is there is always possible.
        let run = server.receive(&register(BOB).cseq(2));
        assert_eq!(run.only().start(), "SIP/2.0 200 OK");
    }
}

#[test]
fn max_contacts_0_lifts_the_limit_of_the_parameter() {
    let contacts = |flags: &str| {
        let script = route(&format!("save(\"location\", \"{flags}\");"));
        let script = script.replacen("route {", "modparam(\"registrar\", \"max_contacts\", 1)\nroute {", 1);
        let mut server = Server::new(&script);
        server.receive(&register(BOB));
        server.receive(&register("<sip:bob@198.51.100.8>")).only().start().to_owned()
    };
    assert_eq!(contacts(""), "SIP/2.0 503 Service Unavailable");
    assert_eq!(contacts("max-contacts=0"), "SIP/2.0 200 OK");
    assert_eq!(contacts("max-contacts=2"), "SIP/2.0 200 OK");
}

#[test]
fn force_registration_makes_room() {
    for flags in ["max-contacts=1,force-registration", "c1f"] {
        let mut server = registrar(flags);
        server.receive(&register(BOB));
        server.pass(1);
        let run = server.receive(&register("<sip:bob@198.51.100.8>"));
        assert_eq!(run.only().header("Contact"), "<sip:bob@198.51.100.8>;expires=3600", "{flags}");
    }
}

#[test]
fn matching_mode_says_what_makes_two_contacts_the_same() {
    let contacts = |flags: &str, second: Request| {
        let mut server = registrar(flags);
        server.receive(&Request::register(&["<sip:bob@198.51.100.7;rinstance=1>"]));
        lifetimes(server.receive(&second).only()).len()
    };
    let same = Request::register(&["<sip:bob@198.51.100.7;rinstance=1>"]).cseq(2);
    assert_eq!(contacts("matching-mode=0", same.clone().call_id("other")), 1);
    assert_eq!(contacts("M0", same.clone().call_id("other")), 1);
    assert_eq!(contacts("matching-mode=1", same.clone()), 1);
    assert_eq!(contacts("matching-mode=1", same.clone().call_id("other")), 2);
    assert_eq!(contacts("M1", same.clone().call_id("other")), 2);
    let moved = Request::register(&["<sip:bob@198.51.100.99;rinstance=1>"]).cseq(2);
    assert_eq!(contacts("", moved.clone()), 2);
    assert_eq!(contacts("matching-mode=rinstance", moved.clone()), 1);
    assert_eq!(contacts("matching-mode=<rinstance>", moved.clone()), 1);
    assert_eq!(contacts("M<rinstance>", moved), 1);
    let other = Request::register(&["<sip:bob@198.51.100.7;rinstance=2>"]).cseq(2);
    assert_eq!(contacts("matching-mode=rinstance", other), 2);
}

#[test]
fn path_flags_keep_the_path_and_return_it_as_they_say() {
    let with_path = register(BOB).header("Path: <sip:192.0.2.50;lr>");
    let supporting = with_path.clone().header("Supported: path");
    let path = |flags: &str, request: &Request| registrar(flags).receive(request).only().header("Path");
    for flags in ["path-off", "p0"] {
        assert_eq!(path(flags, &supporting), "");
    }
    for flags in ["path-lazy", "p1"] {
        assert_eq!(path(flags, &supporting), "<sip:192.0.2.50;lr>");
        assert_eq!(path(flags, &with_path), "");
    }
    for flags in ["path-strict", "p2"] {
        assert_eq!(path(flags, &supporting), "<sip:192.0.2.50;lr>");
        let run = registrar(flags).receive(&with_path);
        let reply = run.only();
        assert_eq!((reply.start(), &*reply.header("Unsupported")), ("SIP/2.0 420 Bad Extension", "path"));
        assert_eq!(reply.header("Path"), "<sip:192.0.2.50;lr>");
    }
}

#[test]
fn the_path_of_a_binding_is_used_by_lookup() {
    let script = |flags: &str| {
        route(&format!(
            "if (is_method(\"REGISTER\")) {{ save(\"location\", \"{flags}\"); exit; }}
             lookup(\"location\"); xlog(\"$du\"); t_relay();"
        ))
    };
    let relayed = |flags: &str, path: &str| {
        let mut server = Server::new(&script(flags));
        server.receive(&register(BOB).header(path).header("Supported: path"));
        let run = server.receive(&Request::new("INVITE sip:bob@example.com"));
        (run.log.join(""), run.request("INVITE").header("Route"), run.request("INVITE").to.clone())
    };
    let (du, routes, to) = relayed("path-lazy", "Path: <sip:192.0.2.50;lr>");
    assert_eq!((&*du, &*routes, &*to), ("sip:192.0.2.50;lr", "<sip:192.0.2.50;lr>", "udp:192.0.2.50:5060"));
    // Without a flag the Path is not looked at.
    let (du, routes, _) = relayed("", "Path: <sip:192.0.2.50;lr>");
    assert_eq!((&*du, &*routes), ("<null>", ""));
}

#[test]
fn path_received_takes_the_source_from_the_path() {
    for flags in ["path-off,path-received", "p0v"] {
        let mut server = registrar(flags);
        let path = "Path: <sip:192.0.2.50;lr;received=sip:203.0.113.5:4444>";
        let run = server.receive(&register(BOB).header(path).header("Supported: path"));
        assert!(
            run.only().header("Contact").contains("received=\"sip:203.0.113.5:4444\""),
            "{}",
            run.only().text
        );
    }
}

#[test]
fn only_request_contacts_lists_what_was_asked_for() {
    for flags in ["only-request-contacts", "o"] {
        let mut server = registrar(flags);
        server.receive(&register(BOB));
        let run = server.receive(&register("<sip:bob@198.51.100.8>"));
        assert_eq!(run.only().header("Contact"), "<sip:bob@198.51.100.8>;expires=3600", "{flags}");
    }
}

#[test]
fn socket_header_names_the_socket_of_the_binding() {
    let socket = |flags: &str| {
        let script = route(&format!(
            "if (is_method(\"REGISTER\")) {{ save(\"location\", \"{flags}\"); exit; }} lookup(\"location\"); xlog(\"$socket_out\");"
        ));
        let parameter = "modparam(\"registrar\", \"sock_hdr_name\", \"Sock-Info\")\nroute {";
        let mut server = Server::new(&script.replacen("route {", parameter, 1));
        server.receive(&register(BOB).header("Sock-Info: udp:192.0.2.2:5062"));
        server.receive(&Request::new("INVITE sip:bob@example.com")).log.join("")
    };
    assert_eq!(socket("socket-header"), "udp:192.0.2.2:5062");
    assert_eq!(socket("s"), "udp:192.0.2.2:5062");
    assert_eq!(socket(""), "udp:192.0.2.1:5060");
}

#[test]
fn min_expires_and_max_expires_bound_the_lifetime() {
    let asking = |seconds: u32| register(&format!("{BOB};expires={seconds}"));
    assert_eq!(granted("", &asking(30)), 60);
    for flags in ["min-expires=100", "e100"] {
        assert_eq!(granted(flags, &asking(30)), 100);
        assert_eq!(granted(flags, &asking(200)), 200);
    }
    assert_eq!(granted("min-expires=0", &asking(5)), 5);
    for flags in ["max-expires=1000", "E1000"] {
        assert_eq!(granted(flags, &asking(7200)), 1000);
        assert_eq!(granted(flags, &asking(700)), 700);
    }
    assert_eq!(granted("max-expires=0", &asking(7200)), 7200);
}

#[test]
fn old_letters_may_stand_in_a_row_and_names_may_have_blanks() {
    check_loads("save(\"location\", \"mrc5fM1p1vose30E900\");");
    check_loads("save(\"location\", \"memory-only , max-contacts=5\");");
    check_loads("save(\"location\",, $fu);");
}

#[test]
fn a_given_aor_takes_the_place_of_to() {
    let script = route(
        "save(\"location\", , \"sip:carol@example.com\"); is_registered(\"location\", \"sip:carol@example.com\"); xlog(\"$rc\");",
    );
    assert_eq!(Server::new(&script).receive(&register(BOB)).log, ["1"]);
    let script = route("save(\"location\", \"no-reply\", \"nonsense\"); xlog(\"$rc\");");
    assert_eq!(Server::new(&script).receive(&register(BOB)).log, ["-1"]);
}

#[test]
fn flags_in_a_variable_are_read_when_it_runs() {
    let script = route("$var(f) = \"max-expires=100\"; save(\"location\", $var(f)); xlog(\"$rc\");");
    let run = Server::new(&script).receive(&register(BOB));
    assert_eq!(lifetimes(run.only()), [100]);
    let script = route("$var(f) = \"max-expire=100\"; save(\"location\", $var(f)); xlog(\"$rc\");");
    let run = Server::new(&script).receive(&register(BOB));
    assert_eq!((run.sent.len(), run.log.join("")), (0, "-1".to_owned()));
    assert!(run.lines.iter().any(|line| line.text.contains("max-expire=100")), "{:?}", run.lines);
}

#[test]
fn wrong_flags_are_refused_where_they_stand() {
    let wrong =
        |flags: &str, words: &[&str]| check_refused(&format!("save(\"location\", §\"{flags}\");"), words);
    wrong("max-contact=1", &["unknown flag \"max-contact=1\"", "did you mean \"max-contacts\"?"]);
    wrong("no_reply", &["did you mean \"no-reply\"?"]);
    wrong("nonsense-flag", &["the flags are memory-only, no-reply, max-contacts"]);
    for flag in [
        "memory-only=1",
        "no-reply=1",
        "max-contacts",
        "max-contacts=many",
        "max-contacts=-1",
        "force-registration=1",
        "matching-mode",
        "matching-mode=a b",
        "path-off=1",
        "path-lazy=1",
        "path-strict=1",
        "path-received=1",
        "only-request-contacts=1",
        "socket-header=1",
        "min-expires",
        "min-expires=1h",
        "max-expires",
        "max-expires=-5",
        "c",
        "p3",
        "M",
        "e",
        "E",
    ] {
        wrong(flag, &["no valid value"]);
    }
    wrong("mz", &["unknown flag \"mz\""]);
}

#[test]
fn wrong_arguments_are_refused() {
    check_refused(
        "§save();",
        &["save(domain[, flags[, aor[, ownership_tag]]])", "needs its argument `domain`"],
    );
    check_refused("save(§$var(table));", &["`domain` of `save` is a string in quotes"]);
    check_refused("save(§\"no table\");", &["letters, digits and _"]);
    check_refused("save(§\"\");", &["letters, digits and _"]);
    check_refused("save(\"location\", , , §\"very important\");", &["a sharing tag is a word"]);
    let script = format!("{}failure_route[f] {{ §save(\"location\"); }}\n", route("exit;"));
    crate::harness::refused(&script, &["save", "failure_route"]);
    check_refused("save(\"location\", \"\", \"a\", \"b\", §\"c\");", &["5 given"]);
}

#[test]
fn a_contact_at_our_own_socket_is_refused_and_one_at_its_port_of_another_transport_is_not() {
    for (contact, code) in [
        ("<sip:bob@192.0.2.1:5060>", 403),
        ("<sip:bob@192.0.2.1:5060;transport=TCP>", 403),
        ("<sip:bob@192.0.2.1:5060;transport=ws>", 200),
    ] {
        registrar("").receive(&register(contact)).reply(code);
    }
}
