//! IPv6 everywhere: phones on `::1` over UDP and TCP, calls between IPv4 and IPv6, MI, Path, addresses in other
//! spellings.

use crate::harness::call::establish;
use crate::harness::scripts::{EXCHANGE, MODULES, example, exchange};
use crate::harness::{Phone, Server, mi};

const SIX: &[&str] = &["-l", "udp:[::1]:0", "-l", "tcp:[::1]:0"];

/// Both families: the first UDP and TCP sockets are of IPv4.
const BOTH: &[&str] =
    &["-l", "udp:127.0.0.1:0", "-l", "tcp:127.0.0.1:0", "-l", "udp:[::1]:0", "-l", "tcp:[::1]:0"];

/// The last address of a transport that the server listens on.
fn last(server: &Server, transport: &str) -> std::net::SocketAddr {
    let prefix = format!("listening {transport}:");
    let mut lines = server.greeting.iter().rev().filter_map(|line| line.trim().strip_prefix(&prefix));
    lines.next().unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn phones_on_udp_and_tcp_register_and_call_each_other() {
    let server = Server::start_with(&exchange(), SIX);
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::tcp(&server, "bob"));
    alice.register();
    let answer = bob.register();
    assert!(answer.need("Via").contains("[::1]"), "{}", answer.need("Via"));
    assert!(answer.need("Via").contains("received=::1"), "{}", answer.need("Via"));

    let contacts = mi::contacts(&server, "bob@127.0.0.1");
    assert_eq!(contacts[0]["Contact"], bob.contact());
    assert_eq!(contacts[0]["Socket"], format!("tcp:{}", server.tcp()));

    let call = establish(&mut alice, &mut bob);
    let routes = call.received.addresses("Record-Route");
    assert_eq!(routes.len(), 2, "{routes:?}");
    assert!(routes.iter().all(|route| route.contains("[::1]:")), "{routes:?}");
    call.hang_up(&mut alice, &mut bob);
    let call = establish(&mut bob, &mut alice);
    call.hang_up_by_callee(&mut bob, &mut alice);
}

#[test]
fn a_call_goes_from_ipv4_to_ipv6_and_back() {
    let server = Server::start_with(&exchange(), BOTH);
    let mut four = Phone::udp(&server, "four");
    let mut six = Phone::udp_to(last(&server, "udp"), "six");
    four.register();
    six.register();
    for (caller_is_six, hangs_up) in [(false, true), (true, false)] {
        let (caller, callee) = if caller_is_six { (&mut six, &mut four) } else { (&mut four, &mut six) };
        let call = establish(caller, callee);
        // Each side has a Route of its own family, the nearer one first.
        let routes = call.received.addresses("Record-Route");
        assert_eq!(routes.len(), 2, "{routes:?}");
        assert_eq!(routes[0].contains("[::1]"), !caller_is_six, "{routes:?}");
        assert_eq!(routes[1].contains("127.0.0.1"), !caller_is_six, "{routes:?}");
        assert_eq!(call.received.all("Via")[0].contains("[::1]"), !caller_is_six);
        if hangs_up {
            call.hang_up(caller, callee);
        } else {
            call.hang_up_by_callee(caller, callee);
        }
    }
}

#[test]
fn an_address_is_ours_in_every_spelling() {
    let script = format!(
        "{MODULES}route {{
	if (is_method(\"REGISTER\")) {{ save(\"location\"); exit; }}
	if (is_myself(\"$rd\")) send_reply(200, \"Ours\"); else send_reply(404, \"Not Ours\");
}}"
    );
    let server = Server::start_with(&script, SIX);
    let mut alice = Phone::udp(&server, "alice");
    let mut status = |host: &str| alice.ask(&alice.request("OPTIONS", &format!("sip:{host}"))).status();
    assert_eq!(status("[::1]"), 200);
    assert_eq!(status("[0:0:0:0:0:0:0:1]"), 200);
    assert_eq!(status("[0000:0000::0001]"), 200);
    assert_eq!(status("[::2]"), 404);

    // A contact at this server would call itself for ever; a multicast or unspecified address is no phone.
    let port = server.udp().port();
    for host in [format!("[::1]:{port}"), format!("[0:0::1]:{port}"), "[ff02::1]".into(), "[::]".into()] {
        let contact = format!("Contact: <sip:alice@{host}>");
        assert_eq!(alice.ask(&alice.register_request().with(contact)).status(), 403, "{host}");
    }
    // Contacts are the same in every spelling.
    for host in ["[2001:db8::7]", "[2001:DB8:0:0:0:0:0:7]"] {
        let contact = format!("Contact: <sip:alice@{host}>");
        assert_eq!(alice.ask(&alice.register_request().with(contact)).contacts().len(), 1, "{host}");
    }
}

#[test]
fn functions_that_take_addresses_take_those_of_ipv6() {
    let script = format!(
        "{MODULES}route {{
	if (is_method(\"REGISTER\")) {{ save(\"location\"); exit; }}
	$var(found) = 0;
	if (is_ip_registered(\"location\", $fu, $si)) $var(found) = 1;
	remove_ip_port($si, $sp, \"location\");
	if (is_registered(\"location\", $fu)) $var(found) = $var(found) + 2;
	append_to_reply(\"X-Found: $var(found) $si $sp $af\\r\\n\");
	send_reply(200, \"OK\");
}}"
    );
    let server = Server::start_with(&script, SIX);
    let mut alice = Phone::udp(&server, "alice");
    alice.register();
    let answer = alice.ask(&alice.request("OPTIONS", "sip:[::1]"));
    let expected = format!("1 ::1 {} INET6", alice.address.port());
    assert_eq!(answer.need("X-Found"), expected);
}

#[test]
fn a_path_and_a_gruu_have_addresses_in_brackets() {
    let save = EXCHANGE.replace("save(\"location\")", "save(\"location\", \"path-lazy\")");
    let gruu =
        "modparam(\"registrar\", \"disable_gruu\", 0)\nmodparam(\"registrar\", \"gruu_secret\", \"x\")\n";
    let registrar = Server::start_with(&format!("{MODULES}{gruu}{save}"), &["-l", "udp:[::1]:0"]);
    let port = registrar.udp().port().to_string();
    let edge = example("edge.cfg").replace("127.0.0.1:0", "[::1]:0").replace("5070", &port);
    let edge = edge.replace("\"127.0.0.1\"", "\"::1\"").replace("sip:127.0.0.1", "sip:[::1]");
    let edge = Server::start_with(&edge, &[]);
    let (mut alice, mut bob) = (Phone::udp(&edge, "alice"), Phone::tcp(&edge, "bob"));
    alice.register();
    let contact = format!("Contact: <{}>;+sip.instance=\"<urn:uuid:1>\"", bob.contact());
    let answer = bob.ask(&bob.register_request().with(contact).with("Supported: path, gruu"));
    let received = format!(";received=sip:{}%3Btransport%3Dtcp;r2=on;lr>", bob.address);
    let expected =
        format!("<sip:edge@{}{received},<sip:edge@{};transport=tcp{received}", edge.udp(), edge.tcp());
    assert_eq!(answer.need("Path"), expected);
    assert!(
        answer.need("Contact").contains(&format!("@{};gr\"", registrar.udp())),
        "{}",
        answer.need("Contact")
    );
    let call = establish(&mut alice, &mut bob);
    call.hang_up(&mut alice, &mut bob);
}
