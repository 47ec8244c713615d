//! What a request of the main registrar finds.

use super::{PHONE, found, front, register, registered, uri_of, with_script};
use crate::harness::{Request, check_loads};

#[test]
fn mid_registrar_lookup_finds_what_a_request_of_the_main_registrar_is_for() {
    for mode in [0, 1] {
        let mut server = front(&format!("\"mode\", {mode}"), "");
        let (sent, _) = registered(&mut server, &register(1, PHONE));
        let uri = uri_of(&sent);
        assert_eq!(found(&mut server, &uri), "1 sip:bob@198.51.100.7:5070");
        let own = if mode == 0 { "1 sip:bob@198.51.100.7:5070" } else { "-1 sip:bob@example.com" };
        assert_eq!(found(&mut server, "sip:bob@example.com"), own);
        let nobody = format!("{}1", uri.trim_end_matches(|c: char| c.is_ascii_digit()));
        assert_eq!(found(&mut server, &nobody), format!("-1 {nobody}"));
    }
    let mut server = front("\"mode\", 2", "");
    registered(&mut server, &register(1, PHONE));
    server.receive(&register(2, "<sip:bob@198.51.100.8>;q=0.9;expires=60"));
    assert_eq!(found(&mut server, "sip:bob%40example.com@192.0.2.1:5060"), "1 sip:bob@198.51.100.8");
    assert_eq!(
        found(&mut server, "sip:carol%40example.com@192.0.2.1:5060"),
        "-1 sip:carol%40example.com@192.0.2.1:5060"
    );
    assert_eq!(found(&mut server, "tel:+4930"), "-3 tel:+4930");
}

#[test]
fn the_flags_of_mid_registrar_lookup_work_in_every_mode() {
    // Both phones can be called, but only one of them takes a MESSAGE.
    let first = "<sip:bob@198.51.100.7:5070>;q=0.1;expires=60;methods=\"INVITE\"";
    let second = "<sip:bob@198.51.100.8:5070>;q=0.9;expires=60";
    let run = |mode: u8, flags: &str, start: &str| {
        let script = format!(
            "if (is_method(\"REGISTER\")) {{ if (mid_registrar_save(\"location\") == 1) {{ $ru = \"sip:203.0.113.3:5070\"; t_relay(); }} exit; }}
             mid_registrar_lookup(\"location\", \"{flags}\"); xlog(\"$rc $ru $(branch(uri)[*])\");"
        );
        let mut server = with_script(&format!("\"mode\", {mode}"), &script, "");
        let (sent, _) = registered(&mut server, &register(1, first).header("User-Agent: Desk/1"));
        let second = register(2, second).header("User-Agent: Soft/2");
        if mode == 2 {
            server.receive(&second);
        } else {
            registered(&mut server, &second);
        }
        let uri = if mode == 0 { "sip:bob@example.com".to_owned() } else { uri_of(&sent) };
        let request =
            Request::new(&format!("{start} {uri}")).via("SIP/2.0/UDP 203.0.113.3:5070;branch=z9hG4bK-l");
        server
            .receive_at(0, "203.0.113.3:5070", &request.text())
            .log
            .join("")
            .replace(" <null>", "")
            .replace(&uri, "URI")
    };
    let (one, two) = ("sip:bob@198.51.100.7:5070", "sip:bob@198.51.100.8:5070");
    for mode in [0, 2] {
        assert_eq!(run(mode, "", "INVITE"), format!("1 {two} {one}"), "{mode}");
        for flags in ["no-branches", "b"] {
            assert!(run(mode, flags, "INVITE").starts_with(&format!("1 {two}")), "{mode} {flags}");
        }
        assert_eq!(run(mode, "B", "INVITE"), run(mode, "to-branches-only", "INVITE"));
        assert!(run(mode, "to-branches-only", "INVITE").starts_with("1 URI "), "{mode}");
        assert!(run(mode, "method-filtering", "MESSAGE").starts_with(&format!("1 {two}")), "{mode}");
        assert!(
            run(mode, "ua-filtering=/^desk/,case-insensitive,extended-regexp", "INVITE")
                .starts_with(&format!("1 {one}"))
        );
        assert!(
            run(mode, "ua-filtering=/^Soft/,sort-by-latency,max-ping-latency=5,branch", "INVITE")
                .starts_with(&format!("1 {two}"))
        );
    }
    assert!(run(1, "", "INVITE").starts_with(&format!("1 {one}")));
    for flags in ["method-filtering", "m"] {
        assert_eq!(run(1, flags, "MESSAGE"), "-2 URI", "{flags}");
    }
    for flags in ["ua-filtering=/^Soft/", "u/^Soft/"] {
        assert_eq!(run(1, flags, "INVITE"), "-1 URI", "{flags}");
    }
    assert!(run(1, "to-branches-only", "INVITE").starts_with(&format!("1 URI {one}")));
    check_loads("mid_registrar_lookup(\"location\", \"global\");");
    check_loads("mid_registrar_lookup(\"location\", \"no-branches\", \"sip:a@b\");");
}
