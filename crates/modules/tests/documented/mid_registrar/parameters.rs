//! The parameters that the module shares with a registrar, and what is wrong at load.

use super::{PHONE, found, front, granted, register, registered, uri_of, with_script};
use crate::harness::{check_parameters, check_quiet, check_refused, check_warned, reply, route, row};

#[test]
fn received_avp_received_param_and_attr_avp_belong_to_the_contact() {
    let script = "if (is_method(\"REGISTER\")) {
            $avp(rcv) = \"sip:9.9.9.9:5099\"; $avp(attr) = \"contact_info\";
            if (mid_registrar_save(\"location\") == 1) { $ru = \"sip:203.0.113.3:5070\"; t_relay(); }
            exit;
        }
        mid_registrar_lookup(\"location\"); xlog(\"$rc $ru $du $(msg.branch.attr(attr)[0])\");";
    let parameters = "\"mode\", 1\n\"received_avp\", \"$avp(rcv)\"\n\"received_param\", \"rcv\"\n\"attr_avp\", \"$avp(attr)\"";
    let mut server = with_script(parameters, script, "");
    let (sent, told) = registered(&mut server, &register(1, PHONE));
    assert_eq!(told.only().header("Contact"), format!("{PHONE};rcv=\"sip:9.9.9.9:5099\""));
    let found = found(&mut server, &uri_of(&sent));
    assert_eq!(found, "1 sip:bob@198.51.100.7:5070 sip:9.9.9.9:5099 contact_info");
}

#[test]
fn min_expires_default_expires_max_expires_and_default_q_bound_what_the_client_gets() {
    let told = |parameters: &str, contact: &str| {
        let mut server = front(&format!("\"mode\", 1\n{parameters}"), "");
        registered(&mut server, &register(1, contact)).1.only().header("Contact")
    };
    let bob = "<sip:bob@198.51.100.7:5070>";
    assert_eq!(told("", &format!("{bob};expires=5")), format!("{bob};expires=10"));
    assert_eq!(told("\"min_expires\", 600", PHONE), format!("{bob};expires=600"));
    assert_eq!(told("", bob), format!("{bob};expires=3600"));
    assert_eq!(told("\"default_expires\", 1800", bob), format!("{bob};expires=1800"));
    assert_eq!(told("", &format!("{bob};expires=9999")), format!("{bob};expires=3600"));
    assert_eq!(told("\"max_expires\", 7200", &format!("{bob};expires=9999")), format!("{bob};expires=7200"));
    assert_eq!(told("\"default_q\", 380", PHONE), format!("{bob};q=0.38;expires=60"));
}

#[test]
fn expires_max_deviation_spreads_lifetimes() {
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let mut server = front("\"mode\", 1\n\"expires_max_deviation\", 20", "");
        let told = registered(&mut server, &register(1, PHONE)).1.only().header("Contact");
        seen.insert(told.split("expires=").nth(1).unwrap().parse::<u32>().unwrap());
    }
    assert!(seen.len() > 5 && seen.iter().all(|expires| (40..=80).contains(expires)), "{seen:?}");
}

#[test]
fn max_contacts_and_retry_after_refuse_with_503() {
    let mut server = front("\"mode\", 2\n\"max_contacts\", 1\n\"retry_after\", 30", "");
    registered(&mut server, &register(1, PHONE));
    let run = server.receive(&register(2, "<sip:bob@198.51.100.8>"));
    let told = run.only();
    assert_eq!((told.start(), &*told.header("Retry-After")), ("SIP/2.0 503 Service Unavailable", "30"));
    assert_eq!(run.log, ["-1"]);
}

#[test]
fn max_username_len_max_domain_len_max_aor_len_and_max_contact_len_are_bounds() {
    let refused = |parameter: &str, contact: &str| {
        let run = front(parameter, "").receive(&register(1, contact));
        (run.log.join(""), run.sent.last().unwrap().header("P-Registrar-Error"))
    };
    for parameter in ["\"max_username_len\", 2", "\"max_domain_len\", 10", "\"max_aor_len\", 10"] {
        assert_eq!(refused(parameter, PHONE), ("-1".to_owned(), "Address Of Record too long".to_owned()));
    }
    let long = refused("\"max_contact_len\", 20", PHONE);
    assert_eq!(long, ("-1".to_owned(), "Contact/received too long".to_owned()));
    assert_eq!(refused("", PHONE).0, "1");
}

#[test]
fn realm_prefix_and_case_sensitive_say_which_aors_are_the_same() {
    let whole = |parameters: &str, to: &str| {
        let mut server = front(&format!("\"mode\", 2\n{parameters}"), "");
        let run = server.receive(&register(1, PHONE).to(to));
        run.request("REGISTER").header("Contact")
    };
    let expected = |aor: &str| format!("<sip:{aor}@192.0.2.1:5060>;expires=3600");
    assert_eq!(whole("", "<sip:Bob@sip.example.com>"), expected("Bob%40sip.example.com"));
    assert_eq!(
        whole("\"realm_prefix\", \"sip.\"", "<sip:Bob@sip.example.com>"),
        expected("Bob%40example.com")
    );
    assert_eq!(whole("\"case_sensitive\", 0", "<sip:Bob@example.com>"), expected("bob%40example.com"));
}

#[test]
fn disable_gruu_and_gruu_secret_give_out_gruus() {
    let with = "\"disable_gruu\", 0\n\"gruu_secret\", \"my_secret\"";
    let phone = format!("{PHONE};+sip.instance=\"<urn:uuid:7>\"");
    // Long enough for its answer to be (`max_reply_percent`).
    let request = |cseq| {
        let long = format!("User-Agent: {}", "x".repeat(400));
        register(cseq, &phone).header("Supported: gruu").header(&long)
    };
    let public = "sip:bob@example.com;gr=urn:uuid:7";
    let temporary = |contact: &str| {
        contact.split("temp-gruu=\"").nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned)
    };
    for mode in 0..3 {
        let mut server = front(&format!("\"mode\", {mode}"), "");
        let contact = registered(&mut server, &request(1)).1.only().header("Contact");
        assert!(!contact.contains("gruu"), "{mode} {contact}");

        let mut server = front(&format!("\"mode\", {mode}\n{with}"), "");
        let (sent, told) = registered(&mut server, &request(1));
        assert!(!sent.header("Contact").contains("gruu"), "the main registrar gives out its own");
        let first = told.only().header("Contact");
        assert!(first.contains(&format!("pub-gruu=\"{public}\"")), "{mode} {first}");
        // Each registration gets another temporary one, an absorbed one too, and all of them lead to the phone.
        let second = if mode == 0 {
            registered(&mut server, &request(2)).1.only().header("Contact")
        } else {
            server.receive(&request(2)).only().header("Contact")
        };
        let (first, second) = (temporary(&first).unwrap(), temporary(&second).unwrap());
        assert_ne!(first, second, "{mode}");
        for gruu in [public, &first, &second] {
            assert_eq!(found(&mut server, gruu), "1 sip:bob@198.51.100.7:5070", "{mode} {gruu}");
        }
        assert!(found(&mut server, "sip:bob@example.com;gr=urn:uuid:8").starts_with("-1 "), "{mode}");
    }
}

#[test]
fn tcp_persistent_flag_keeps_the_connection_as_long_as_the_contact() {
    let script = "setflag(\"KEEP\"); if (mid_registrar_save(\"location\") == 1) { $ru = \"sip:203.0.113.3:5070\"; t_relay(, ); }";
    let script = script.replace("t_relay(, )", "t_relay()");
    let contact = "<sip:bob@198.51.100.7:5070;transport=tcp>;expires=60";
    for (parameters, keeps) in
        [("\"mode\", 1\n\"tcp_persistent_flag\", \"KEEP\"", true), ("\"mode\", 1", false)]
    {
        let mut server = with_script(parameters, &script, "");
        let text = |cseq| {
            let via = format!("SIP/2.0/TCP 198.51.100.7:5070;branch=z9hG4bK-t-{cseq}");
            register(cseq, contact).via(&via).text()
        };
        let run = server.receive_at(1, "198.51.100.7:5070", &text(1));
        let sent = run.request("REGISTER").clone();
        let told = server.answer(&reply(&sent.text, 200, "OK", &granted(&sent)));
        assert_eq!(told.keep_connection_s.len(), usize::from(keeps));
        server.pass(10);
        let run = server.receive_at(1, "198.51.100.7:5070", &text(2));
        let expected: Vec<u64> = if keeps { vec![server.now_s + 65] } else { Vec::new() };
        assert_eq!(run.keep_connection_s, expected);
    }
}

#[test]
fn wrong_arguments_are_refused_where_they_stand() {
    check_refused(
        "§mid_registrar_save();",
        &["mid_registrar_save(domain[, flags[, aor[, outgoing_expires[, ownership_tag]]]])"],
    );
    check_refused("mid_registrar_save(§\"a b\");", &["letters, digits and _"]);
    check_refused("mid_registrar_save(\"location\", §\"no-replay\");", &["no-reply"]);
    check_refused("mid_registrar_save(\"location\", §\"socket-header\");", &["save() only"]);
    check_refused("mid_registrar_save(\"location\", §\"min-expires=5\");", &["save() only"]);
    check_refused("mid_registrar_save(\"location\", , , §-1);", &["must not be negative"]);
    check_refused("mid_registrar_save(\"location\", , , , §\"a b\");", &["sharing tag"]);
    check_refused("§mid_registrar_lookup();", &["mid_registrar_lookup(domain[, flags[, aor]])"]);
    check_refused("mid_registrar_lookup(§\"a b\");", &["letters, digits and _"]);
    check_refused("mid_registrar_lookup(\"location\", §\"metod-filtering\");", &["method-filtering"]);
}

#[test]
fn the_parameters_are_those_of_the_document_and_three_more() {
    let negative = "must not be negative";
    let seconds = |name, default| row(name, default, "5", "-1", negative);
    check_parameters(
        "mid_registrar",
        &[
            row("mode", "0", "2", "3", "AoR throttling"),
            row("contact_id_insertion", "ct-param", "\"ct-username\"", "\"ct-user\"", "ct-username"),
            row("contact_id_param", "ctid", "\"id\"", "\"a b\"", "name of a parameter"),
            row("at_escape_str", "%40", "\"___\"", "\"@\"", "user part"),
            seconds("outgoing_expires", "3600"),
            row("received_avp", "", "\"$avp(rcv)\"", "1", "takes a string"),
            row("received_param", "received", "\"rcv\"", "\"a b\"", "name of a parameter"),
            row("extra_contact_params_avp", "", "\"$avp(extra)\"", "1", "takes a string"),
            row("attr_avp", "", "\"$avp(attr)\"", "1", "takes a string"),
            seconds("min_expires", "10"),
            seconds("default_expires", "3600"),
            seconds("max_expires", "3600"),
            row("default_q", "0", "380", "1001", "from 0 to 1000"),
            row("tcp_persistent_flag", "", "\"KEEP\"", "3", "flag"),
            row("realm_prefix", "", "\"sip.\"", "3", "string"),
            row("case_sensitive", "1", "0", "\"x\"", ""),
            seconds("expires_max_deviation", "0"),
            seconds("max_contacts", "0"),
            seconds("max_username_len", "64"),
            seconds("max_domain_len", "64"),
            seconds("max_aor_len", "256"),
            seconds("max_contact_len", "512"),
            seconds("retry_after", "0"),
            row("disable_gruu", "1", "0", "2", "0 or 1"),
            row("gruu_secret", "0p3nS1pS", "\"s\"", "\"\"", "must not be empty"),
            row("pn_enable", "0", "false", "\"maybe\"", "integer"),
            row("pn_providers", "", "\"apns\"", "3", "string"),
            row(
                "pn_ct_match_params",
                "pn-provider, pn-prid, pn-param",
                "\"pn-prid\"",
                "\"pn-param\"",
                "pn-prid",
            ),
            seconds("pn_pnsreg_interval", "130"),
            seconds("pn_trigger_interval", "120"),
            seconds("pn_skip_pn_interval", "0"),
            row("pn_refresh_timeout", "6", "10", "181", "from 1 to 180"),
            row("pn_enable_purr", "0", "1", "\"x\"", ""),
            row("absorb", "any", "\"verified\"", "\"some\"", "verified"),
            row("on_reject", "keep", "\"remove\"", "\"drop\"", "remove"),
            row("upstream_down", "pass", "\"absorb\"", "\"hide\"", "absorb"),
            row("overload", "off", "\"drop\"", "\"wait\"", "drop"),
        ],
    );
}

#[test]
fn an_open_aor_mode_and_the_known_gruu_secret_are_warned_about() {
    let script = |parameters: &str, statements: &str| {
        route(&format!("mid_registrar_save(\"location\"); {statements}")).replacen(
            "route {",
            &format!("{parameters}\nroute {{"),
            1,
        )
    };
    let open = "modparam(\"mid_registrar\", \"mode\", §2)";
    check_warned(&script(open, ""), &["anybody may add a contact", "verified"]);
    let verified =
        "modparam(\"mid_registrar\", \"mode\", 2)\nmodparam(\"mid_registrar\", \"absorb\", \"verified\")";
    check_quiet(&script(verified, ""));
    let unprotected = "modparam(\"mid_registrar\", \"mode\", 2)";
    check_quiet(&script(unprotected, "if (!pv_www_authorize(\"\")) www_challenge(\"\", \"auth\");"));
    check_quiet(&script("modparam(\"mid_registrar\", \"mode\", 1)", ""));
    let known = "modparam(\"mid_registrar\", \"disable_gruu\", §0)";
    check_warned(&script(known, ""), &["secret that everybody knows"]);
}
