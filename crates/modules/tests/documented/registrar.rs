//! Module `registrar`: its other functions, and its parameters.

use crate::harness::{
    Client, Request, Run, Server, check_parameters, check_refused, check_value, reply, route, row,
};

const BOB: &str = "<sip:bob@198.51.100.7:5070>";

fn register(contact: &str) -> Request {
    Request::register(&[contact]).call_id(contact)
}

/// A server that saves REGISTERs with these parameters and runs statements on everything else.
fn server(parameters: &str, statements: &str) -> Server {
    let script =
        route(&format!("if (is_method(\"REGISTER\")) {{ save(\"location\"); exit; }}\n{statements}"));
    Server::new(&script.replacen("route {", &format!("{parameters}\nroute {{"), 1))
}

/// What a server with one parameter of the registrar answers to a registration.
fn saved(parameter: &str, request: &Request) -> Run {
    server(&format!("modparam(\"registrar\", {parameter})"), "exit;").receive(request)
}

/// The lifetime that is granted.
fn lifetime(run: &Run) -> u32 {
    let contact = run.reply(200).header("Contact");
    contact.split("expires=").nth(1).unwrap().split(';').next().unwrap().parse().unwrap()
}

/// The value of a call after bob's phone at 198.51.100.7:5070 has registered.
#[track_caller]
fn check_registered(call: &str, request: &Request, expected: &str) {
    let mut server = server("", &format!("{call}; xlog(\"$rc\");"));
    server.receive(&register(BOB));
    assert_eq!(server.receive(request).log, [expected], "{call}");
}

#[test]
fn is_registered_takes_the_aor_from_to_or_from() {
    let by_bob = Request::new("OPTIONS sip:x@example.com").from("<sip:bob@example.com>;tag=x");
    check_registered("is_registered(\"location\")", &by_bob, "1");
    check_registered("is_registered(\"location\")", &Request::invite(), "-1");
    check_registered("is_registered(\"location\", $tu)", &Request::invite(), "1");
    check_registered("is_registered(\"location\", \"sip:carol@example.com\")", &by_bob, "-1");
    check_registered("is_registered(\"location\", \"nonsense\")", &by_bob, "-1");
    check_registered("is_registered(\"other_table\", $tu)", &Request::invite(), "-1");
    let of_register = route("save(\"location\", \"no-reply\"); is_registered(\"location\"); xlog(\"$rc\");");
    assert_eq!(Server::new(&of_register).receive(&register(BOB)).log, ["1"]);
    check_refused("§is_registered();", &["is_registered(domain[, aor])"]);
    check_refused("is_registered(§\"a b\");", &["letters, digits and _"]);
}

#[test]
fn is_contact_registered_looks_for_a_contact_or_a_call_id() {
    let invite = Request::invite().from("<sip:bob@example.com>;tag=x");
    check_registered("is_contact_registered(\"location\")", &invite, "-1");
    let contact = Request::new("OPTIONS sip:x@y.z")
        .from("<sip:bob@example.com>;tag=x")
        .header(&format!("Contact: {BOB}"));
    check_registered("is_contact_registered(\"location\")", &contact, "1");
    check_registered("is_contact_registered(\"location\", $fu, $ct.fields(uri))", &contact, "1");
    check_registered("is_contact_registered(\"location\", $tu, \"sip:bob@198.51.100.99\")", &invite, "-1");
    check_registered(&format!("is_contact_registered(\"location\", $tu, , \"{BOB}\")"), &invite, "1");
    check_registered("is_contact_registered(\"location\", $tu, , \"other\")", &invite, "-1");
    check_refused("is_contact_registered(\"location\", \"a\", \"b\", \"c\", §\"d\");", &["5 given"]);
    check_refused("§is_contact_registered();", &["needs its argument `domain`"]);
}

#[test]
fn is_ip_registered_looks_for_an_address() {
    let invite = Request::invite();
    check_registered("is_ip_registered(\"location\", $tu, $si)", &invite, "1");
    check_registered("is_ip_registered(\"location\", $tu, $si, $sp)", &invite, "1");
    check_registered(
        "$var(ip) = \"198.51.100.8\"; is_ip_registered(\"location\", $tu, $var(ip))",
        &invite,
        "-1",
    );
    check_registered("$var(p) = 5071; is_ip_registered(\"location\", $tu, $si, $var(p))", &invite, "-1");
    let several = "$avp(ip) = \"198.51.100.8\"; $avp(ip) = \"198.51.100.7\"; $avp(p) = 1; $avp(p) = 5070;";
    check_registered(&format!("{several} is_ip_registered(\"location\", $tu, $avp(ip))"), &invite, "1");
    check_registered(
        &format!("{several} is_ip_registered(\"location\", $tu, $avp(ip), $avp(p))"),
        &invite,
        "1",
    );
    check_registered(
        &format!("{several} $avp(p) = 9; is_ip_registered(\"location\", $tu, $avp(ip), $avp(p))"),
        &invite,
        "-1",
    );
    check_refused(
        "is_ip_registered(\"location\", $tu, §\"198.51.100.7\");",
        &["`ip` of `is_ip_registered` is a variable"],
    );
    check_refused("§is_ip_registered(\"location\", $tu);", &["needs its argument `ip`"]);
}

#[test]
fn remove_takes_contacts_out() {
    let left = |call: &str| {
        let statements = format!(
            "{call}; xlog(\"$rc\"); lookup(\"location\"); for ($var(u) in $(msg.branch.uri[*])) xlog(\"$var(u)\");"
        );
        let mut server = server("", &statements);
        let phone = "<sip:bob@198.51.100.8>;+sip.instance=\"<urn:uuid:1>\"";
        server.receive(&register(BOB));
        server.receive(&register(phone));
        server.receive(&Request::new("INVITE sip:bob@example.com")).log
    };
    let (first, second) = ("sip:bob@198.51.100.7:5070", "sip:bob@198.51.100.8");
    assert_eq!(left("remove(\"location\", \"sip:bob@example.com\")"), ["1", "sip:bob@example.com"]);
    assert_eq!(left("remove(\"location\", $ru, \"sip:bob@198.51.100.8\")"), ["1", first]);
    assert_eq!(left("remove(\"location\", $ru, , \"198.51.100.7\")"), ["1", second]);
    assert_eq!(left("remove(\"location\", $ru, , , \"<urn:uuid:1>\")"), ["1", first]);
    assert_eq!(left("remove(\"location\", $ru, , , , NAT)").len(), 3);
    assert_eq!(left("remove(\"location\", \"sip:carol@example.com\")").len(), 3);
    assert_eq!(left("remove(\"location\", \"nonsense\")")[0], "-1");
    check_refused("§remove(\"location\");", &["needs its argument `aor`"]);
    check_refused("remove(§\"a b\", $ru);", &["letters, digits and _"]);
}

#[test]
fn remove_resolves_host_names_before_matching() {
    const LEFT: &str =
        "xlog(\"$rc\"); lookup(\"location\"); for ($var(u) in $(msg.branch.uri[*])) xlog(\"$var(u)\");";
    let phones = |statements: &str| {
        let script = route(&format!(
            "if (is_method(\"REGISTER\")) {{ save(\"location\", \"path-off\"); exit; }}\n{statements}"
        ));
        let mut server = Server::new(&script);
        server.receive(&register("<sip:bob@198.51.100.7>"));
        server.receive(&register("<sip:bob@phone.example.com>"));
        server.receive(&register("<sip:bob@198.51.100.9>").header("Path: <sip:edge.example.com;lr>"));
        server
    };
    let invite = Request::new("INVITE sip:bob@example.com");
    let all = ["sip:bob@198.51.100.7", "sip:bob@phone.example.com", "sip:bob@198.51.100.9"];
    let left = |gone: &str| -> Vec<&str> {
        std::iter::once("1").chain(all.into_iter().filter(|uri| *uri != gone)).collect()
    };

    // The name that was given, then those on the way to the contacts.
    let mut server = phones(&format!("remove(\"location\", $ru, , \"desk.example.com\"); {LEFT}"));
    assert_eq!(server.receive(&invite).waiting_for.as_deref(), Some("desk.example.com"));
    assert_eq!(server.resolved(&["192.0.2.77"]).waiting_for.as_deref(), Some("phone.example.com"));
    assert_eq!(
        server.resolved(&["192.0.2.78", "192.0.2.77"]).waiting_for.as_deref(),
        Some("edge.example.com")
    );
    assert_eq!(server.resolved(&[]).log, left("sip:bob@phone.example.com"));

    // The Path comes before the contact.
    let mut server = phones(&format!("remove(\"location\", $ru, , \"192.0.2.50\"); {LEFT}"));
    assert_eq!(server.receive(&invite).waiting_for.as_deref(), Some("phone.example.com"));
    assert_eq!(server.resolved(&[]).waiting_for.as_deref(), Some("edge.example.com"));
    assert_eq!(server.resolved(&["192.0.2.50"]).log, left("sip:bob@198.51.100.9"));

    // What the other filters leave out is not asked for.
    let statements = format!("remove(\"location\", $ru, \"sip:bob@198.51.100.7\", \"198.51.100.7\"); {LEFT}");
    assert_eq!(phones(&statements).receive(&invite).log, left("sip:bob@198.51.100.7"));
}

#[test]
fn in_a_reply_route_remove_compares_names_as_they_stand() {
    let script = route("if (is_method(\"REGISTER\")) { save(\"location\"); exit; } t_relay();");
    let routes = "onreply_route {
        remove(\"location\", \"sip:bob@example.com\", , \"desk.example.com\"); xlog(\"$rc\");
        if (is_registered(\"location\", \"sip:bob@example.com\")) xlog(\"there\");
        remove(\"location\", \"sip:bob@example.com\", , \"PHONE.example.com\"); xlog(\"$rc\");
        if (!is_registered(\"location\", \"sip:bob@example.com\")) xlog(\"gone\");
    }";
    let mut server = Server::new(&format!("{script}{routes}\n"));
    server.receive(&register("<sip:bob@phone.example.com>"));
    let run = server.receive(&Request::invite());
    let run = server.answer(&reply(&run.request("INVITE").text, 180, "Ringing", ""));
    assert_eq!(run.log, ["1", "there", "1", "gone"]);
}

#[test]
fn what_the_script_removes_is_told_like_any_removal() {
    let script =
        route("if (is_method(\"REGISTER\")) { save(\"location\"); exit; } remove(\"location\", $tu);");
    let mut server =
        Server::new(&format!("{script}event_route[E_UL_CONTACT_DELETE] {{ xlog(\"$param(uri)\"); }}\n"));
    server.receive(&register(BOB));
    assert_eq!(server.receive(&Request::invite()).log, ["sip:bob@198.51.100.7:5070"]);
}

#[test]
fn in_a_reply_route_the_aor_must_be_given() {
    let script = route("if (is_method(\"REGISTER\")) { save(\"location\"); exit; } t_relay();");
    let routes = "onreply_route {
        is_registered(\"location\"); xlog(\"$rc\"); is_registered(\"location\", \"sip:bob@example.com\"); xlog(\"$rc\");
    }";
    let mut server = Server::new(&format!("{script}{routes}\n"));
    server.receive(&register(BOB));
    let run = server.receive(&Request::invite());
    assert_eq!(server.answer(&reply(&run.request("INVITE").text, 180, "Ringing", "")).log, ["-1", "1"]);
}

#[test]
fn remove_ip_port_takes_contacts_of_an_address_out() {
    let left = |call: &str| {
        let mut server = server("", &format!("{call}; xlog(\"$rc\"); lookup(\"location\"); xlog(\"$rc\");"));
        server.receive(&register(BOB));
        server.receive(&Request::new("INVITE sip:bob@example.com")).log.join(" ")
    };
    assert_eq!(left("remove_ip_port(\"198.51.100.7\", 5070, \"location\")"), "1 -1");
    assert_eq!(left("remove_ip_port($si, $sp, \"location\")"), "1 -1");
    assert_eq!(left("remove_ip_port(\"198.51.100.7\", 5070, \"location\", $ru)"), "1 -1");
    assert_eq!(left("remove_ip_port(\"198.51.100.7\", 5071, \"location\")"), "1 1");
    assert_eq!(
        left("remove_ip_port(\"198.51.100.7\", 5070, \"location\", \"sip:carol@example.com\")"),
        "1 1"
    );
    check_refused("remove_ip_port(§\"phone\", 5070, \"location\");", &["\"phone\" is no IP address"]);
    check_refused("remove_ip_port(\"198.51.100.7\", §70000, \"location\");", &["a port is from 0 to 65535"]);
    check_refused("remove_ip_port(\"198.51.100.7\", 5070, §\"a b\");", &["letters, digits and _"]);
    check_refused("§remove_ip_port(\"198.51.100.7\", 5070);", &["needs its argument `domain`"]);
}

#[test]
fn add_sock_hdr_names_the_receiving_socket() {
    let script = route("add_sock_hdr(\"Sock-Info\"); xlog(\"$rc\"); t_relay(, \"203.0.113.9\");");
    let run = Server::new(&script).receive(&register(BOB));
    assert_eq!(
        (run.request("REGISTER").header("Sock-Info"), run.log.join("")),
        ("udp:192.0.2.1:5060".to_owned(), "1".to_owned())
    );
    check_value("add_sock_hdr(\"no name\")", &register(BOB), -1);
    check_refused("§add_sock_hdr();", &["needs its argument `hdr_name`"]);
}

#[test]
fn expiry_parameters_rule_the_lifetime() {
    let asking = |seconds: u32| register(&format!("{BOB};expires={seconds}"));
    assert_eq!(lifetime(&saved("\"default_expires\", 1800", &register(BOB))), 1800);
    assert_eq!(lifetime(&saved("\"min_expires\", 300", &asking(30))), 300);
    assert_eq!(lifetime(&saved("\"max_expires\", 120", &asking(3600))), 120);
    let spread = lifetime(&saved("\"expires_max_deviation\", 100", &asking(1800)));
    assert!((1700..=1900).contains(&spread), "{spread}");
    let run = saved("\"min_expires_mode\", 1", &asking(30));
    assert_eq!(
        (run.only().start(), &*run.only().header("Min-Expires")),
        ("SIP/2.0 423 Interval Too Brief", "60")
    );
}

#[test]
fn default_q_is_the_q_of_a_contact_without_one() {
    let q = |parameter: &str| {
        let mut server = server(parameter, "lookup(\"location\"); xlog(\"$msg.branch.q\");");
        server.receive(&register(BOB));
        server.receive(&Request::new("INVITE sip:bob@example.com")).log.join("")
    };
    assert_eq!(q("modparam(\"registrar\", \"default_q\", 380)"), "380");
    // 0 leaves such a contact without one.
    assert_eq!(q(""), "<null>");
}

#[test]
fn tcp_persistent_flag_keeps_the_connection_as_long_as_the_contact() {
    let server = |flag: &str| {
        let script = route(&format!("{flag} save(\"location\");"));
        let parameter = "modparam(\"registrar\", \"tcp_persistent_flag\", \"TCP_PERSIST\")\nroute {";
        Server::new(&script.replacen("route {", parameter, 1))
    };
    let contact = "<sip:bob@198.51.100.7:5070;transport=tcp>";
    let asking = |contact: &str| Request::register(&[contact]);
    // Five seconds longer than the contact; for every contact of the request, and for those over TCP only.
    let kept = |flag: &str, socket: u16, contact: &str| {
        let mut server = server(flag);
        let run = server.receive_at(socket, "198.51.100.7:5070", &asking(contact).text());
        let left = |until_s: &u64| until_s.saturating_sub(server.now_s);
        run.keep_connection_s.iter().map(left).collect::<Vec<u64>>()
    };
    let set = "setflag(TCP_PERSIST);";
    assert_eq!(kept(set, 1, &format!("{contact};expires=600")), [605]);
    assert_eq!(kept(set, 1, "<sip:bob@198.51.100.7>;expires=600"), [605]);
    assert_eq!(kept(set, 1, &format!("{contact};expires=600, <sip:bob@h.example>;expires=700")), [605, 705]);
    assert_eq!(kept(set, 1, "<sip:bob@198.51.100.7;transport=UDP>;expires=600"), [0]);
    assert_eq!(kept("", 1, contact), [0u64; 0]);
    assert_eq!(kept(set, 0, contact), [0u64; 0]);

    // A repetition over another connection, a refresh, a shorter life, a removal.
    let mut server = server(set);
    let mut until_s = |request: &Request| {
        let run = server.receive_at(1, "198.51.100.7:5070", &request.text());
        run.keep_connection_s.iter().map(|until_s| until_s.saturating_sub(server.now_s)).collect::<Vec<u64>>()
    };
    assert_eq!(until_s(&asking(contact)), [3605]);
    assert_eq!(until_s(&asking(contact)), [3605]);
    assert_eq!(until_s(&asking(&format!("{contact};expires=60")).cseq(2)), [65]);
    // A fetch has no contact.
    assert_eq!(until_s(&Request::register(&[]).cseq(3)), [0u64; 0]);
    assert_eq!(until_s(&asking(&format!("{contact};expires=0")).cseq(4)), [0]);
    until_s(&asking(contact).cseq(5));
    assert_eq!(until_s(&asking("*").header("Expires: 0").cseq(6)), [0]);
}

#[test]
fn realm_prefix_and_case_sensitive_say_which_aors_are_the_same() {
    let found = |parameter: &str, aor: &str| {
        let mut server =
            server(parameter, &format!("is_registered(\"location\", \"{aor}\"); xlog(\"$rc\");"));
        server.receive(&register(BOB));
        server.receive(&Request::invite()).log.join("")
    };
    let prefix = "modparam(\"registrar\", \"realm_prefix\", \"sip.\")";
    assert_eq!(found(prefix, "sip:bob@sip.example.com"), "1");
    assert_eq!(found("", "sip:bob@sip.example.com"), "-1");
    let insensitive = "modparam(\"registrar\", \"case_sensitive\", 0)";
    assert_eq!(found(insensitive, "sip:BOB@Example.com"), "1");
    assert_eq!(found("", "sip:BOB@Example.com"), "-1");
}

#[test]
fn received_avp_and_received_param_store_and_show_the_source() {
    let script = route("$avp(rcv) = \"sip:198.51.100.7:4444\"; save(\"location\");");
    let shown = |parameters: &str| {
        let script = script.replacen("route {", &format!("{parameters}\nroute {{"), 1);
        Server::new(&script).receive(&register(BOB)).reply(200).header("Contact")
    };
    let avp = "modparam(\"registrar\", \"received_avp\", \"$avp(rcv)\")";
    assert!(shown(avp).contains(";received=\"sip:198.51.100.7:4444\""), "{}", shown(avp));
    let named = format!("{avp}\nmodparam(\"registrar\", \"received_param\", \"rcv\")");
    assert!(shown(&named).contains(";rcv=\"sip:198.51.100.7:4444\""), "{}", shown(&named));
    assert!(!shown("").contains("received"));
}

#[test]
fn outbound_mode_0_takes_a_flow_for_a_contact_with_an_instance() {
    let flow = format!("{BOB};+sip.instance=\"<urn:x>\";reg-id=1");
    let request = register(&flow).header("Supported: outbound");
    let reply = |mode: &str| saved(&format!("\"outbound_mode\", {mode}"), &request).reply(200).clone();
    assert_eq!(reply("1").header("Require"), "outbound");
    assert!(reply("1").header("Contact").contains("received=\"sip:198.51.100.7:5070\""));
    assert_eq!(
        (reply("0").header("Require"), reply("0").header("Contact").contains("received")),
        (String::new(), false)
    );
    let through = request.clone().header("Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK-phone");
    assert_eq!(
        saved("\"outbound_mode\", 1", &through).starts(),
        ["SIP/2.0 439 First Hop Lacks Outbound Support"]
    );
    assert_eq!(saved("\"outbound_mode\", 0", &through).starts(), ["SIP/2.0 200 OK"]);
    let require = register(&flow).header("Require: outbound");
    assert_eq!(saved("\"outbound_mode\", 0", &require).reply(420).header("Unsupported"), "outbound");
}

#[test]
fn service_route_tells_a_phone_which_proxies_to_use() {
    let routes = "<sip:edge.example.net;lr>, <sip:[2001:db8::1]:5070;transport=tcp;lr>";
    let parameter = format!("\"service_route\", \"{routes}\"");
    let server = |request: &Request| saved(&parameter, request);
    assert_eq!(server(&register(BOB)).reply(200).header("Service-Route"), routes);
    assert_eq!(server(&Request::register(&["<sip:bob@h"])).reply(400).header("Service-Route"), "");
    assert_eq!(saved("\"service_route\", \"\"", &register(BOB)).reply(200).header("Service-Route"), "");
    for wrong in
        ["<sip:edge.example.net>", "<tel:+49;lr>", "<sip:a;lr>,", "<sip:a;lr?X=y>", "<sip:a;lr>\\r\\nX: y"]
    {
        let script = route("exit;").replacen(
            "route {",
            &format!("modparam(\"registrar\", \"service_route\", §\"{wrong}\")\nroute {{"),
            1,
        );
        crate::harness::refused(&script, &["service_route", "<sip:HOST;lr>"]);
    }
}

#[test]
fn trust_contact_received_lets_a_client_name_its_source() {
    let request = register(&format!("{BOB};received=\"sip:203.0.113.5:4444\""));
    let shown = |value: u8| {
        saved(&format!("\"trust_contact_received\", {value}"), &request).reply(200).header("Contact")
    };
    assert!(shown(1).contains("received=\"sip:203.0.113.5:4444\""), "{}", shown(1));
    assert!(!shown(0).contains("received"));
}

#[test]
fn max_contacts_and_retry_after_refuse_more() {
    let mut server = server(
        "modparam(\"registrar\", \"max_contacts\", 1)\nmodparam(\"registrar\", \"retry_after\", 30)",
        "exit;",
    );
    server.receive(&register(BOB));
    let run = server.receive(&register("<sip:bob@198.51.100.8>"));
    assert_eq!(
        (run.only().start(), &*run.only().header("Retry-After")),
        ("SIP/2.0 503 Service Unavailable", "30")
    );
}

#[test]
fn overload_sheds_new_contacts_and_counts_them_as_shed_regs() {
    let check = |parameters: &str, expected: &[&str]| {
        let mut server = server(parameters, "exit;");
        server.receive(&register("<sip:bob@198.51.100.1>"));
        server.is_behind = true;
        let refresh = server.receive(&register("<sip:bob@198.51.100.1>").cseq(2));
        assert_eq!(refresh.only().start(), "SIP/2.0 200 OK");
        let new = server.receive(&register("<sip:bob@198.51.100.2>").cseq(3));
        let seconds = |wait: String| wait.parse().is_ok_and(|wait: u32| (10..30).contains(&wait));
        let answers = new.sent.iter().map(|packet| match packet.header("Retry-After") {
            wait if seconds(wait.clone()) => format!("{} some time", packet.start()),
            wait => format!("{} {wait}", packet.start()),
        });
        assert_eq!(answers.collect::<Vec<_>>(), expected, "{parameters}");
        let counted = |name: &str| server.counter("registrar", name);
        let shed = u64::from(!expected.iter().any(|start| start.starts_with("SIP/2.0 200")));
        assert_eq!((counted("shed_regs"), counted("rejected_regs")), (shed, shed));
        let gone = server.receive(&register("<sip:bob@198.51.100.1>;expires=0").cseq(4));
        assert_eq!(gone.only().start(), "SIP/2.0 200 OK");
        // When it has caught up, they are welcome.
        server.is_behind = false;
        let new = server.receive(&register("<sip:bob@198.51.100.2>").cseq(5));
        assert_eq!(new.only().start(), "SIP/2.0 200 OK");
    };
    let refused = "SIP/2.0 503 Service Unavailable";
    check("", &[&format!("{refused} some time")]);
    check("modparam(\"registrar\", \"retry_after\", 77)", &[&format!("{refused} 77")]);
    check("modparam(\"registrar\", \"overload\", \"drop\")", &[]);
    check("modparam(\"registrar\", \"overload\", \"off\")", &["SIP/2.0 200 OK "]);
}

#[test]
fn max_reply_percent_bounds_what_a_stranger_gets_over_udp() {
    let listed = |percent: u32, socket: u16| {
        let parameter = format!("modparam(\"registrar\", \"max_reply_percent\", {percent})");
        let mut server = server(&parameter, "exit;");
        for number in 1..=4 {
            server.receive(&register(&format!("<sip:bob@198.51.100.{number}>")));
        }
        let refresh = register("<sip:bob@198.51.100.1>").cseq(2);
        let run = server.receive_at(socket, "198.51.100.7:5070", &refresh.text());
        assert!(
            percent == 0
                || socket == 1
                || run.only().text.len() * 100 <= refresh.text().len() * percent as usize
        );
        run.only().header("Contact").matches("expires=").count()
    };
    assert_eq!((listed(0, 0), listed(150, 0), listed(400, 0)), (4, 1, 4));
    // Over TCP the peer is where it says.
    assert_eq!(listed(150, 1), 4);
    // A list that is asked for and nothing else is refused.
    let mut server = server("", "exit;");
    for number in 1..=4 {
        server.receive(&register(&format!("<sip:bob@198.51.100.{number}>")));
    }
    assert_eq!(server.receive(&Request::register(&[])).only().start(), "SIP/2.0 403 Forbidden");
}

#[test]
fn who_has_authenticated_gets_the_whole_list() {
    let script = route(
        "$var(user) = \"bob\"; $var(password) = \"secret\";
         if ($hdr(X-Free) == NULL && !pv_www_authorize(\"\")) { www_challenge(\"\"); exit; }
         save(\"location\");",
    );
    let parameters = "modparam(\"auth\", \"username_spec\", \"$var(user)\")
        modparam(\"auth\", \"password_spec\", \"$var(password)\")
        modparam(\"auth\", \"calculate_ha1\", 1)\nroute {";
    let mut server = Server::new(&script.replacen("route {", parameters, 1));
    for number in 1..=30 {
        server.receive(&register(&format!("<sip:bob@198.51.100.{number}>")).header("X-Free: 1"));
    }
    let refresh = register("<sip:bob@198.51.100.1>").cseq(2);
    let challenge = server.receive(&refresh).reply(401).header("WWW-Authenticate");
    let value = Client::new("bob", "secret").answer(&challenge, "REGISTER", "sip:example.com", None);
    let run = server.receive(&refresh.clone().cseq(3).header(&format!("Authorization: {value}")));
    assert_eq!(run.reply(200).header("Contact").matches("expires=").count(), 30);
    // The same request without proof.
    let run = server.receive(&refresh.cseq(4).header(&format!("X-Free: {value}")));
    assert_eq!(run.reply(200).header("Contact").matches("expires=").count(), 1);
}

#[test]
fn lengths_are_bounded() {
    let start = |parameter: &str, request: &Request| saved(parameter, request).only().start().to_owned();
    let to = |user: usize, host: usize| {
        register(BOB).to(&format!("<sip:{}@{}.com>", "u".repeat(user), "h".repeat(host - 4)))
    };
    assert_eq!(start("\"max_username_len\", 64", &to(64, 10)), "SIP/2.0 200 OK");
    assert_ne!(start("\"max_username_len\", 64", &to(65, 10)), "SIP/2.0 200 OK");
    assert_eq!(start("\"max_username_len\", 128", &to(65, 10)), "SIP/2.0 200 OK");
    assert_ne!(start("\"max_domain_len\", 64", &to(10, 65)), "SIP/2.0 200 OK");
    assert_eq!(start("\"max_domain_len\", 128", &to(10, 65)), "SIP/2.0 200 OK");
    assert_ne!(start("\"max_aor_len\", 20", &to(10, 10)), "SIP/2.0 200 OK");
    assert_eq!(start("\"max_aor_len\", 21", &to(10, 10)), "SIP/2.0 200 OK");
    let contact = |len: usize| Request::register(&[&format!("<sip:{}@h>", "c".repeat(len - 6))]);
    assert_eq!(start("\"max_contact_len\", 255", &contact(255)), "SIP/2.0 200 OK");
    assert_ne!(start("\"max_contact_len\", 255", &contact(256)), "SIP/2.0 200 OK");
}

#[test]
fn attr_avp_is_kept_with_the_contact_and_given_to_the_branch() {
    let script = route(
        "if (is_method(\"REGISTER\")) { $avp(attr) = \"contact_info\"; save(\"location\"); exit; }
         lookup(\"location\"); xlog(\"$(msg.branch.attr(attr)[0])\");",
    );
    let parameter = "modparam(\"registrar\", \"attr_avp\", \"$avp(attr)\")\nroute {";
    let mut server = Server::new(&script.replacen("route {", parameter, 1));
    server.receive(&register(BOB));
    assert_eq!(server.receive(&Request::new("INVITE sip:bob@example.com")).log, ["contact_info"]);
}

#[test]
fn the_parameters_are_those_of_the_document() {
    const INT: &str = "takes an integer";
    const STR: &str = "takes a string";
    const NEGATIVE: &str = "must not be negative";
    check_parameters(
        "registrar",
        &[
            row("default_expires", "3600", "1800", "-1", NEGATIVE),
            row("min_expires", "60", "60", "-1", NEGATIVE),
            row("max_expires", "0", "120", "\"120\"", INT),
            row("default_q", "0", "1000", "1001", "from 0 to 1000"),
            row("tcp_persistent_flag", "", "\"TCP_PERSIST_DURATION\"", "3", STR),
            row("realm_prefix", "", "\"sip.\"", "0", STR),
            row("case_sensitive", "1", "0", "\"no\"", INT),
            row("received_avp", "", "\"$avp(rcv)\"", "1", STR),
            row("received_param", "received", "\"rcv\"", "1", STR),
            row("expires_max_deviation", "0", "100", "-1", NEGATIVE),
            row("max_contacts", "0", "10", "-1", NEGATIVE),
            row("max_username_len", "64", "128", "-1", NEGATIVE),
            row("max_domain_len", "64", "128", "-1", NEGATIVE),
            row("max_aor_len", "256", "512", "-1", NEGATIVE),
            // The document says 255, which locks out phones with push parameters.
            row("max_contact_len", "512", "512", "-1", NEGATIVE),
            row("retry_after", "0", "30", "-1", NEGATIVE),
            row("sock_hdr_name", "", "\"Sock-Info\"", "1", STR),
            row("mcontact_avp", "", "\"$avp(orig_ct)\"", "\"$var(orig_ct)\"", "of the form $avp(name)"),
            row("attr_avp", "", "\"$avp(attr)\"", "1", STR),
            row("gruu_secret", "OpenSIPS", "\"secret\"", "1", STR),
            row("disable_gruu", "1", "0", "2", "it is 0 or 1"),
            row("pn_enable", "0", "false", "\"maybe\"", INT),
            row("pn_providers", "", "\"apns, fcm, webpush\"", "\"a b\"", "comma separated"),
            row(
                "pn_ct_match_params",
                "pn-provider, pn-prid, pn-param",
                "\"pn-provider, pn-prid\"",
                "\"pn-provider\"",
                "without pn-prid",
            ),
            row("pn_pnsreg_interval", "130", "140", "-1", NEGATIVE),
            row("pn_trigger_interval", "120", "130", "-1", NEGATIVE),
            row("pn_skip_pn_interval", "0", "10", "-1", NEGATIVE),
            row("pn_refresh_timeout", "6", "10", "0", "from 1 to 180"),
            row("pn_enable_purr", "0", "true", "\"yes\"", INT),
            row("min_expires_mode", "0", "1", "2", "it is 0 or 1"),
            row("max_reply_percent", "150", "0", "99", "0 or from 100"),
            row("overload", "reply", "\"drop\"", "\"panic\"", "\"reply\", \"drop\" or \"off\""),
            row("overload_early", "0", "1", "\"yes\"", INT),
            row("trust_contact_received", "0", "1", "\"yes\"", INT),
            row("gruu_legacy", "0", "1", "\"yes\"", INT),
            row("outbound_mode", "1", "0", "2", "it is 0 or 1"),
            row(
                "service_route",
                "",
                "\"<sip:edge.example.net;lr>\"",
                "\"sip:edge.example.net\"",
                "<sip:HOST;lr>",
            ),
        ],
    );
}

#[test]
fn variables_in_parameters_must_be_variables() {
    let script = |value: &str| {
        route("exit;").replacen(
            "route {",
            &format!("modparam(\"registrar\", \"received_avp\", §{value})\nroute {{"),
            1,
        )
    };
    crate::harness::refused(&script("\"rcv\""), &["variable"]);
}

#[test]
fn the_statistics_show_the_parameters() {
    // "max_expires", "max_contacts" and "defaults_expires" are the parameters of these names, which the tests
    // above set; the management interface reads them from the configuration.
    let server = server(
        "modparam(\"registrar\", \"max_contacts\", 7)\nmodparam(\"registrar\", \"max_expires\", 900)",
        "exit;",
    );
    let configuration = server.node.configuration.load();
    let policy = &configuration.settings.registrar.policy;
    assert_eq!((policy.max_contacts, policy.max_expires_s, policy.default_expires_s), (7, 900, 3600));
}
