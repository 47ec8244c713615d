//! Module `registrar`: `save()` in an `onreply_route`, which caches what another registrar grants, and `ownership_tag`.

use crate::harness::{Request, Run, Server, reply, route};

const PHONE: &str = "<sip:bob@10.0.0.7:5070>";

/// A server that forwards REGISTERs with the contact of its own socket, and saves what comes of it.
fn cache(parameters: &str, request: &str, answer: &str) -> Server {
    let script = route(&format!(
        "if (is_method(\"REGISTER\")) {{
            $avp(orig_ct) = $ct.fields(uri);
            {request}
            t_on_reply(\"do_save\");
            t_relay(, \"203.0.113.9\");
            exit;
         }}
         lookup(\"location\"); xlog(\"$rc $ru\");"
    ));
    let script = format!("{script}onreply_route[do_save] {{\n{answer}\n}}\n");
    let parameters = format!("modparam(\"registrar\", \"mcontact_avp\", \"$avp(orig_ct)\")\n{parameters}");
    Server::new(&script.replacen("route {", &format!("{parameters}\nroute {{"), 1))
}

/// As in the document.
const DO_SAVE: &str = "if ($rs == \"200\") { save(\"location\"); xlog(\"saved $rc\"); }";

fn register(contact: &str) -> Request {
    Request::register(&[contact])
}

/// What the main registrar answers.
fn grant(server: &mut Server, request: &Request, code: u16, lines: &str) -> Run {
    let run = server.receive(request);
    let sent = run.request("REGISTER").text.clone();
    server.answer(&reply(&sent, code, "Answer", lines))
}

/// Where a call of bob goes now.
fn found(server: &mut Server) -> String {
    let via = format!("SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK-{}", server.now_ms);
    server.receive(&Request::new("INVITE sip:bob@example.com").via(&via)).log.join("")
}

#[test]
fn save_stores_the_contact_of_the_request_for_as_long_as_the_main_registrar_grants() {
    let mut server = cache("", "", DO_SAVE);
    let granted = "Contact: <sip:bob@10.0.0.7:5070>;expires=100\r\n";
    let run = grant(&mut server, &register(PHONE), 200, granted);
    assert_eq!(run.log, ["saved 1"]);
    // Nothing is answered here: the reply of the main registrar passes.
    assert_eq!(
        (run.only().start(), &*run.only().header("Contact")),
        ("SIP/2.0 200 Answer", granted[9..].trim_end())
    );
    assert_eq!(found(&mut server), "1 sip:bob@10.0.0.7:5070");
    assert_eq!(server.counter("registrar", "accepted_regs"), 1);
    server.pass(99);
    assert_eq!(found(&mut server), "1 sip:bob@10.0.0.7:5070");
    server.pass(2);
    assert_eq!(found(&mut server), "-1 sip:bob@example.com");
}

#[test]
fn the_life_is_that_of_the_contact_which_mcontact_avp_names() {
    let mut server = cache("", "$avp(orig_ct) = \"sip:cache@192.0.2.1:5060;id=7\";", DO_SAVE);
    let granted =
        "Contact: <sip:bob@10.0.0.7:5070>;expires=7, <sip:cache@192.0.2.1:5060;id=7>;expires=300\r\n";
    grant(&mut server, &register(PHONE), 200, granted);
    server.pass(290);
    assert_eq!(found(&mut server), "1 sip:bob@10.0.0.7:5070");
    server.pass(20);
    assert_eq!(found(&mut server), "-1 sip:bob@example.com");
}

#[test]
fn without_the_variable_the_request_is_looked_at_as_it_was_sent() {
    let mut server = cache(
        "",
        "$avp(orig_ct) = NULL; remove_hf(\"Contact\"); append_hf(\"Contact: <sip:cache@192.0.2.1>\\r\\n\");",
        DO_SAVE,
    );
    let run = grant(&mut server, &register(PHONE), 200, "Contact: <sip:cache@192.0.2.1>;expires=100\r\n");
    assert_eq!(run.log, ["saved 1"]);
    assert_eq!(found(&mut server), "1 sip:bob@10.0.0.7:5070");
}

#[test]
fn a_contact_that_was_not_granted_is_not_stored_and_one_that_was_removed_goes() {
    let mut server = cache("", "", DO_SAVE);
    grant(&mut server, &register(PHONE), 200, "Contact: <sip:other@10.0.0.9>;expires=100\r\n");
    assert_eq!(found(&mut server), "-1 sip:bob@example.com");
    let granted = "Contact: <sip:bob@10.0.0.7:5070>;expires=100\r\n";
    let again = |cseq: u32, contact: &str| {
        let via = format!("SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK-r{cseq}");
        register(contact).cseq(cseq).via(&via)
    };
    grant(&mut server, &again(2, PHONE), 200, granted);
    server.pass(1);
    assert_eq!(found(&mut server), "1 sip:bob@10.0.0.7:5070");
    grant(&mut server, &again(3, &format!("{PHONE};expires=0")), 200, "");
    server.pass(1);
    assert_eq!(found(&mut server), "-1 sip:bob@example.com");
}

#[test]
fn save_does_nothing_for_replies_that_grant_nothing_and_for_other_requests() {
    for code in [180, 302, 403] {
        let mut server = cache("", "", "save(\"location\"); xlog(\"$rs $rc\");");
        let run = grant(&mut server, &register(PHONE), code, "Contact: <sip:bob@10.0.0.7:5070>\r\n");
        assert_eq!(run.log, [format!("{code} -1")]);
        assert_eq!(found(&mut server), "-1 sip:bob@example.com");
        assert_eq!(server.counter("registrar", "rejected_regs"), 0);
    }
    let script = route("t_on_reply(\"r\"); t_relay();");
    let mut server = Server::new(&format!(
        "{script}onreply_route[r] {{ save(\"location\"); xlog(\"$rc\"); remove(\"location\", \"sip:bob@example.com\"); xlog(\"$rc\"); }}\n"
    ));
    let run = server.receive(&Request::new("OPTIONS sip:bob@203.0.113.9"));
    let sent = run.request("OPTIONS").text.clone();
    let contact = "Contact: <sip:bob@10.0.0.7:5070>\r\n";
    assert_eq!(server.answer(&reply(&sent, 200, "OK", contact)).log, ["-1", "1"]);
}

#[test]
fn flags_values_and_address_of_record_are_those_of_the_call_and_of_the_transaction() {
    let parameters = "modparam(\"registrar\", \"attr_avp\", \"$avp(attr)\")
        modparam(\"registrar\", \"received_avp\", \"$avp(rcv)\")
        modparam(\"registrar\", \"sock_hdr_name\", \"Sock-Info\")";
    let request = "$avp(attr) = \"desk\"; $avp(rcv) = \"sip:198.51.100.7:4444\"; setbflag(NAT);";
    let answer = "save(\"location\", \"memory-only, max-contacts=1, force-registration, path-off, socket-header\", \"sip:carol@example.com\", \"vip\");
        if (is_registered(\"location\", \"sip:carol@example.com\")) xlog(\"carol\");
        if (is_registered(\"location\", \"sip:bob@example.com\")) xlog(\"bob\");";
    for mode in [0, 1] {
        let mode = format!("{parameters}\nmodparam(\"tm\", \"onreply_avp_mode\", {mode})");
        let mut server = cache(&mode, request, answer);
        let phone =
            register(PHONE).header("Path: <sip:edge@192.0.2.50;lr>").header("Sock-Info: udp:192.0.2.2:5062");
        let run = grant(&mut server, &phone, 200, "Contact: <sip:bob@10.0.0.7:5070>;expires=100\r\n");
        assert_eq!(run.log, ["carol"]);
        let domain = server.node.location.domain("location").unwrap();
        let entry = domain.lock(b"carol@example.com", server.now_s);
        let (_, binding) = entry.valid().next().unwrap();
        let names = server.node.location.names();
        assert_eq!(
            (binding.attr, binding.received, binding.path, names.name(binding.ownership_tag)),
            (&b"desk"[..], &b"sip:198.51.100.7:4444"[..], &b"<sip:edge@192.0.2.50;lr>"[..], &b"vip"[..])
        );
        assert_eq!(names.name(binding.numbers.socket), b"udp:192.0.2.2:5062");
        assert_ne!(binding.numbers.flags, 0);
    }
}

#[test]
fn more_contacts_than_may_be_are_granted_and_not_stored() {
    let mut server = cache("", "", "save(\"location\", \"max-contacts=1\"); xlog(\"$rc\");");
    let both = "Contact: <sip:bob@10.0.0.7>;expires=100, <sip:bob@10.0.0.8>;expires=100\r\n";
    let run =
        grant(&mut server, &Request::register(&["<sip:bob@10.0.0.7>", "<sip:bob@10.0.0.8>"]), 200, both);
    assert_eq!((run.log.join(""), run.sent.len()), ("-1".to_owned(), 1));
    assert_eq!(found(&mut server), "-1 sip:bob@example.com");
    assert_eq!(server.counter("registrar", "rejected_regs"), 1);
}

#[test]
fn tcp_persistent_flag_keeps_the_connection_of_the_client() {
    let parameter = "modparam(\"registrar\", \"tcp_persistent_flag\", \"TCP_PERSIST\")";
    let mut server = cache(parameter, "setflag(TCP_PERSIST);", DO_SAVE);
    let contact = "<sip:bob@10.0.0.7:5070;transport=tcp>";
    let run = server.receive_at(1, "198.51.100.7:5070", &register(contact).text());
    let sent = run.request("REGISTER").text.clone();
    let run = server.answer(&reply(&sent, 200, "OK", &format!("Contact: {contact};expires=100\r\n")));
    // Five seconds longer than the contact.
    assert_eq!(run.keep_connection_s, [server.now_s + 105]);
}

#[test]
fn an_ownership_tag_is_stored_with_each_contact_and_told_by_events() {
    let script = route("$var(tag) = $hdr(Tag); save(\"location\", , , $var(tag)); xlog(\"$rc\");");
    let mut server =
        Server::new(&format!("{script}event_route[E_UL_CONTACT_INSERT] {{ xlog(\"$param(shtag)\"); }}\n"));
    let tagged = |contact: &str, tag: &str| {
        let request = register(contact).call_id(contact);
        if tag.is_empty() { request } else { request.header(&format!("Tag: {tag}")) }
    };
    assert_eq!(server.receive(&tagged("<sip:bob@10.0.0.7>", "vip")).log, ["1", "vip"]);
    assert_eq!(server.receive(&tagged("<sip:bob@10.0.0.8>", "")).log, ["1", ""]);
    // A refresh belongs to whom its own call says.
    server.receive(&tagged("<sip:bob@10.0.0.7>", "gold").cseq(2));
    let run = server.receive(&tagged("<sip:bob@10.0.0.9>", "no word"));
    assert_eq!((run.log.join(""), run.sent.len()), ("-1".to_owned(), 0));
    let domain = server.node.location.domain("location").unwrap();
    let entry = domain.lock(b"bob@example.com", server.now_s);
    let names = server.node.location.names();
    let tags: Vec<&[u8]> = entry.valid().map(|(_, binding)| names.name(binding.ownership_tag)).collect();
    assert_eq!(tags, [&b"gold"[..], b""]);
}
