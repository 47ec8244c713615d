//! The examples of the registrar's document, as they stand there: each loads, and each that does something is run.

use crate::harness::{ALL_MODULES, Request, Run, Server, reply};

const EXAMPLES: &str = include_str!("parity/registrar.examples");

/// What cannot be taken as it stands: number of the example, what stands there, and what a script has to say.
const MENDED: &[(&str, &str, &str)] = &[
    // An address is meant; since OpenSIPS 3 the flags come first.
    ("1.18", "t_relay(\"udp:ip:port\")", "t_relay(, \"udp:203.0.113.9:5060\")"),
    // Semicolons that the document has forgotten.
    ("1.31", "$var(next_hop) = \"50.60.50.60\"\n", "$var(next_hop) = \"50.60.50.60\";\n"),
    ("1.31", "ff4d5d8c1a8f>\")\n", "ff4d5d8c1a8f>\");\n"),
    ("1.34", "xlog(\"this AOR is registered\\n\")\n", "xlog(\"this AOR is registered\\n\");\n"),
];

/// The examples: number and text, mended.
fn examples() -> impl Iterator<Item = (&'static str, String)> {
    EXAMPLES.split("\n=== ").skip(1).map(|part| {
        let (title, text) = part.split_once('\n').unwrap();
        let number = title.split(' ').next().unwrap();
        let mut text = format!("{text}\n");
        for (_, stands, meant) in MENDED.iter().filter(|(of, _, _)| *of == number) {
            assert!(text.contains(stands), "{number} has no {stands}");
            text = text.replace(stands, meant);
        }
        (number, text)
    })
}

/// The parts of an example between lines of dots.
fn parts(number: &str) -> Vec<String> {
    let (_, text) = examples().find(|(known, _)| *known == number).expect("an example");
    let mut parts = vec![String::new()];
    for line in text.lines() {
        if line.trim().len() > 2 && line.trim().bytes().all(|byte| byte == b'.') {
            parts.push(String::new());
        } else {
            parts.last_mut().unwrap().push_str(&format!("{line}\n"));
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// A whole script around a fragment: parameters in front, routes behind, everything else in `route{}` after `before`.
fn complete(before: &str, fragment: &str) -> String {
    if fragment.contains("route {") || fragment.contains("route{") {
        let text = fragment.replacen("route {\n", &format!("route {{\n{before}\n"), 1);
        return format!("{ALL_MODULES}{text}\nroute[relay] {{ t_relay(); }}\n");
    }
    let (routing, routes) = fragment.split_at(fragment.find("branch_route").unwrap_or(fragment.len()));
    let (parameters, statements): (Vec<&str>, Vec<&str>) =
        routing.lines().partition(|line| line.starts_with("modparam"));
    format!(
        "{ALL_MODULES}{}\nroute {{\n{before}\n{}\n}}\n{routes}",
        parameters.join("\n"),
        statements.join("\n")
    )
}

/// A server that runs an example, all parts of it one after the other.
fn server(before: &str, number: &str) -> Server {
    Server::new(&complete(before, &parts(number).concat()))
}

/// Saves what is registered, with the received URI of a header, and goes on with everything else.
const SAVE: &str = "if (is_method(\"REGISTER\")) { $avp(rcv) = $hdr(Rcv); save(\"location\"); exit; }";
const RECEIVED: &str = "modparam(\"registrar\", \"received_avp\", \"$avp(rcv)\")\n";

fn register(aor: &str, contact: &str) -> Request {
    Request::register(&[contact]).to(&format!("<{aor}>")).call_id(contact)
}

/// The contacts of a user.
fn contacts(server: &Server, aor: &str) -> Vec<String> {
    let domain = server.node.location.domain("location").unwrap();
    let entry = domain.lock(aor.as_bytes(), server.now_s);
    entry.valid().map(|(_, binding)| String::from_utf8(binding.contact.to_vec()).unwrap()).collect()
}

#[test]
fn every_example_of_the_document_loads() {
    let mut numbers = Vec::new();
    for (number, _) in examples() {
        let script = complete("", &parts(number).concat());
        drop(crate::harness::program(&script));
        numbers.push(number);
    }
    let expected: Vec<String> = (1..=38).map(|number| format!("1.{number}")).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn what_an_example_sets_is_what_the_server_goes_by() {
    let policy = |number| {
        let server = server("exit;", number);
        let configuration = server.node.configuration.load();
        configuration.settings.registrar.policy.clone()
    };
    assert_eq!(policy("1.1").default_expires_s, 1800);
    assert_eq!(policy("1.2").min_expires_s, 60);
    assert_eq!(policy("1.3").max_expires_s, 120);
    assert_eq!(policy("1.4").default_q, 1000);
    assert_eq!(&*policy("1.6").realm_prefix, b"sip.");
    assert!(!policy("1.7").case_sensitive);
    assert_eq!(&*policy("1.9").received_param, b"rcv");
    assert_eq!(policy("1.10").expires_max_deviation_s, 100);
    assert_eq!(policy("1.11").max_contacts, 10);
    assert_eq!(policy("1.12").max_username_len, 128);
    assert_eq!(policy("1.13").max_domain_len, 128);
    assert_eq!(policy("1.14").max_aor_len, 512);
    assert_eq!(policy("1.15").max_contact_len, 512);
    assert_eq!(policy("1.16").retry_after_s, 30);
    assert_eq!(&*policy("1.17").socket_header, b"Sock-Info");
    assert!(policy("1.21").gruu.is_some() && policy("1.20").gruu.is_none());
}

#[test]
fn cached_registrations_1_18() {
    let mut server =
        server("if (!is_method(\"REGISTER\")) { lookup(\"location\"); xlog(\"$ru\"); exit; }", "1.18");
    let run = server.receive(&register("sip:bob@example.com", "<sip:bob@10.0.0.7>"));
    let sent = run.request("REGISTER");
    assert_eq!(sent.to, "udp:203.0.113.9:5060");
    let granted = "Contact: <sip:bob@10.0.0.7>;expires=100\r\n";
    let run = server.answer(&reply(&sent.text.clone(), 200, "OK", granted));
    assert_eq!(run.only().start(), "SIP/2.0 200 OK");
    let invite = Request::new("INVITE sip:bob@example.com");
    assert_eq!(server.receive(&invite).log, ["sip:bob@10.0.0.7"]);
    server.pass(101);
    let later = invite.via("SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK-later");
    assert_eq!(server.receive(&later).log, ["sip:bob@example.com"]);
}

#[test]
fn attributes_of_branches_1_19() {
    let mut server = server("", "1.19");
    server.receive(&register("sip:bob@example.com", "<sip:bob@203.0.113.7>;q=0.9"));
    server.receive(&register("sip:bob@example.com", "<sip:bob@203.0.113.8>;q=0.1"));
    assert_eq!(
        server.receive(&Request::new("INVITE sip:bob@example.com")).log,
        [
            "branch 0: sip:bob@203.0.113.7, attr=contact_info",
            "branch 1: sip:bob@203.0.113.8, attr=contact_info",
            "Attributes for branch 0: contact_info",
            "Attributes for branch 1: contact_info",
        ]
    );
}

#[test]
fn save_1_30() {
    let saved = |part: usize, before: &str| {
        let mut server = Server::new(&complete(before, &parts("1.30")[part]));
        let request =
            register("sip:bob@example.com", "<sip:bob@203.0.113.7>").from("<sip:alice@example.com>;tag=x");
        let run = server.receive(&request);
        (server, run)
    };
    let one = ["sip:bob@203.0.113.7"];
    let (server, run) = saved(0, "");
    assert_eq!(
        (run.only().start(), contacts(&server, "bob@example.com")),
        ("SIP/2.0 200 OK", vec![one[0].into()])
    );

    let (mut server, _) = saved(1, "");
    let codes = (8..=12).map(|host| {
        let run = server.receive(&register("sip:bob@example.com", &format!("<sip:bob@203.0.113.{host}>")));
        run.only().start().to_owned()
    });
    let codes: Vec<String> = codes.collect();
    assert_eq!((&*codes[3], &*codes[4]), ("SIP/2.0 200 OK", "SIP/2.0 503 Service Unavailable"));

    let (server, _) = saved(2, "");
    assert_eq!(contacts(&server, "alice@example.com"), one);
    assert!(contacts(&server, "bob@example.com").is_empty());

    let (server, run) = saved(3, "$avp(aor) = \"sip:carol@example.com\";");
    assert_eq!((run.sent.len(), contacts(&server, "carol@example.com")), (0, vec![one[0].to_owned()]));

    let (server, _) = saved(4, "");
    let domain = server.node.location.domain("location").unwrap();
    let entry = domain.lock(b"bob@example.com", server.now_s);
    let (_, binding) = entry.valid().next().unwrap();
    assert_eq!(server.node.location.names().name(binding.ownership_tag), b"vip");
}

#[test]
fn remove_1_31() {
    let home = "sip:bob@46.50.64.78";
    let office = "sip:bob@50.60.50.60";
    let mobile = "sip:bob@10.0.0.3";
    let behind = "sip:bob@10.0.0.4";
    let left = |part: usize, home_received: &str| {
        let mut server = Server::new(&complete(SAVE, &format!("{RECEIVED}{}", parts("1.31")[part])));
        let bob = |contact: &str| register("sip:bob@atlanta.com", contact);
        let at_home = bob(&format!("<{home}>"));
        server.receive(&if home_received.is_empty() { at_home } else { at_home.header(home_received) });
        server.receive(&bob(&format!("<{office}>")));
        let instance = "+sip.instance=\"<urn:uuid:e5e68d40-f08a-4600-b82e-ff4d5d8c1a8f>\"";
        server.receive(&bob(&format!("<{mobile}>;{instance}")));
        server.receive(&bob(&format!("<{behind}>")).header("Rcv: sip:50.60.50.60:4444"));
        assert_eq!(contacts(&server, "bob@atlanta.com").len(), 4);
        server.receive(&Request::new("OPTIONS sip:atlanta.com"));
        contacts(&server, "bob@atlanta.com")
    };
    assert_eq!(left(0, ""), Vec::<String>::new());
    assert_eq!(left(1, ""), [office, mobile, behind]);
    assert_eq!(left(2, ""), [home, mobile]);
    assert_eq!(left(3, "Rcv: sip:50.60.50.60:5060"), [office, mobile, behind]);
    assert_eq!(left(3, ""), [home, office, mobile, behind]);
    assert_eq!(left(4, ""), [home, office, behind]);
}

#[test]
fn remove_ip_port_1_32() {
    let left = |part: usize| {
        let mut server = Server::new(&complete(SAVE, &parts("1.32")[part]));
        for (aor, contact) in [
            ("sip:bob@atlanta.com", "<sip:bob@8.8.8.8:43213>"),
            ("sip:bob@atlanta.com", "<sip:bob@8.8.8.8:43214>"),
            ("sip:carol@atlanta.com", "<sip:carol@8.8.8.8:43213>"),
        ] {
            server.receive(&register(aor, contact));
        }
        server.receive(&Request::new("OPTIONS sip:atlanta.com"));
        (contacts(&server, "bob@atlanta.com"), contacts(&server, "carol@atlanta.com").len())
    };
    let other = vec!["sip:bob@8.8.8.8:43214".to_owned()];
    assert_eq!(left(0), (other.clone(), 0));
    assert_eq!(left(1), (other, 1));
}

#[test]
fn lookup_1_33() {
    // The document strings the ways of calling it together; the last one decides what the switch sees.
    let run = |registered: Option<&str>, before: &str| -> Run {
        let script = complete(&format!("{SAVE} {before}"), &parts("1.33").concat());
        let mut server = Server::new(&script.replacen("};\n", "};\nxlog(\"$ru\");\n", 1));
        if let Some(lines) = registered {
            server.receive(&register("sip:bob@example.com", "<sip:bob@203.0.113.7>").header(lines));
        }
        server.receive(&Request::new("INVITE sip:bob@example.com"))
    };
    let aor = "$var(aor) = \"sip:bob@example.com\";";
    assert_eq!(run(Some("User-Agent: phone"), aor).log, ["sip:bob@203.0.113.7"]);
    assert_eq!(run(None, aor).only().start(), "SIP/2.0 404 Not Found");
    assert_eq!(
        run(Some("User-Agent: phone"), "$var(aor) = \"nonsense\";").only().start(),
        "SIP/2.0 404 Not Found"
    );
}

#[test]
fn is_registered_1_34() {
    let mut server = server("", "1.34");
    let bob = register("sip:bob@example.com", "<sip:bob@203.0.113.7>");
    assert!(server.receive(&bob).log.is_empty());
    let domain = server.node.location.domain("location").unwrap();
    let binding = seawall_location::Binding { contact: b"sip:bob@203.0.113.7", ..Default::default() };
    domain.lock(b"bob@example.com", server.now_s).insert(&binding, &mut ()).unwrap();
    assert_eq!(server.receive(&bob).log, ["this AOR is registered", "caller is registered"]);
    let from_bob = Request::new("OPTIONS sip:example.com").from("<sip:bob@example.com>;tag=x");
    assert_eq!(server.receive(&from_bob).log, ["caller is registered"]);
}

#[test]
fn is_contact_registered_1_35() {
    let mut server = server(SAVE, "1.35");
    server.receive(&register("sip:alice@example.com", "<sip:alice@203.0.113.7>"));
    let invite = |contacts: &str, number: u8| {
        let via = format!("SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK-{number}");
        Request::new("INVITE sip:bob@example.com").header(&format!("Contact: {contacts}")).via(&via)
    };
    let stranger = server.receive(&invite("<sip:alice@203.0.113.9>", 1));
    assert_eq!((stranger.only().start(), stranger.log.len()), ("SIP/2.0 401 Unauthorized", 0));
    let alice = server.receive(&invite("<sip:alice@203.0.113.7>, <sip:alice@203.0.113.7>", 2));
    assert_eq!((alice.sent.len(), alice.log), (0, vec!["caller is registered".to_owned()]));
}

#[test]
fn is_ip_registered_1_36() {
    let mut server = server("", "1.36");
    let bob = register("sip:bob@example.com", "<sip:bob@198.51.100.7:5070>");
    assert!(server.receive(&bob).log.is_empty());
    let domain = server.node.location.domain("location").unwrap();
    let binding = seawall_location::Binding { contact: b"sip:bob@198.51.100.7:4444", ..Default::default() };
    domain.lock(b"bob@example.com", server.now_s).insert(&binding, &mut ()).unwrap();
    assert_eq!(server.receive(&bob).log, ["already registered from this ip"]);
}

#[test]
fn add_sock_hdr_1_37() {
    let fragment = format!("{} t_relay(, \"203.0.113.9\");", parts("1.37").concat());
    let mut server = Server::new(&complete("", &fragment));
    let run = server.receive(&register("sip:bob@example.com", "<sip:bob@203.0.113.7>"));
    assert_eq!(run.request("REGISTER").header("Sock-Info"), "udp:192.0.2.1:5060");
}
